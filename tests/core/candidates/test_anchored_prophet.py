"""Anchored Prophet: what Prophet lately missed is added to its forecast, in a fit as in a fold."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophet.serialize import model_from_json

from paxcast.core.candidates.anchored_prophet import AnchoredProphet, ahead, anchoring, level
from paxcast.core.candidates.prophet import ProphetCandidate, predicted
from paxcast.core.fitted_by import SHORTCUT
from paxcast.core.folds import Fold
from paxcast.core.treatment import Rules

SETTINGS = settings(max_examples=12, deadline=None)
PERIODS, HORIZON = 130, 12
POINT = {"anchor": 0.3, "anchor_damping": 0.9, "changepoint_prior_scale": 0.05}
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "anchor": st.floats(0, 1),
        "anchor_damping": st.floats(0.8, 1),
        "growth": st.sampled_from(["linear", "flat"]),
        "seasonality_mode": st.sampled_from(["additive", "multiplicative"]),
        "history_years": st.sampled_from([0, 5, 7]),
        "n_changepoints": st.integers(0, 12),
        "changepoint_prior_scale": st.floats(0.005, 0.3),
    },
)


def traffic() -> np.ndarray:
    """Grows with a season, and lies a tenth higher in its last months, which Prophet's trend is slow to follow."""
    at, rng = np.arange(PERIODS), np.random.default_rng(1)
    y = (800 + 2 * at) * (1 + 0.2 * np.sin(2 * np.pi * at / 12)) * rng.normal(1, 0.03, PERIODS)
    return np.where(at >= PERIODS - 5, 1.1, 1.0) * y


@pytest.fixture(scope="module")
def fit(make_series):
    def fitted(values=None, **parameters):
        series = make_series(traffic() if values is None else values)
        return AnchoredProphet().fit(series, parameters, seed=1, seconds=30)

    return fitted


# --- the formulas


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0, 1))
def test_the_level_is_what_a_plain_loop_of_exponential_smoothing_ends_with(residuals, share):
    e = 0.0
    for r in residuals:
        e = e + share * (r - e)
    assert level(np.array(residuals), share) == pytest.approx(e, abs=1e-6, rel=1e-9)


@given(st.floats(-1e6, 1e6), st.floats(0, 1), st.integers(1, 30))
def test_what_is_added_shrinks_by_the_damping_with_each_step(e, damping, horizon):
    slow, left = [], e
    for _ in range(horizon):
        left *= damping
        slow.append(left)
    assert ahead(e, damping, horizon).tolist() == pytest.approx(slow, abs=1e-9)


def test_what_a_space_does_not_search_has_its_default():
    assert anchoring({}) == (0.4, 1.0)
    assert anchoring({"anchor": 0.1, "growth": "flat"}) == (0.1, 1.0)
    assert anchoring({"anchor_damping": 0.9}) == (0.4, 0.9)


# --- a fit


def test_it_forecasts_what_prophet_does_plus_the_smoothed_residual(make_series, fit):
    series, plain = make_series(traffic()), {"changepoint_prior_scale": 0.05}
    prophet = ProphetCandidate().fit(series, plain, seed=1, seconds=30)
    missed = series.y - predicted(prophet.model, series.dates())
    e = 0.0
    for r in missed:
        e += 0.3 * (r - e)
    expected = [yhat + e * 0.9**h for h, yhat in enumerate(prophet.forecast(HORIZON), start=1)]
    assert fit(**POINT).forecast(HORIZON).tolist() == pytest.approx(expected)
    assert e > 10  # so that it is seen where it is not added


def test_without_an_anchor_it_is_prophet(make_series, fit):
    plain = ProphetCandidate().fit(make_series(traffic()), {}, seed=1, seconds=30)
    assert fit(anchor=0.0).forecast(HORIZON).tolist() == plain.forecast(HORIZON).tolist()


def test_fitted_on_the_last_years_it_is_as_fitted_on_a_history_of_these_alone(make_series, fit):
    last = AnchoredProphet().fit(make_series(traffic()).tail(60), POINT, seed=1, seconds=30)
    assert fit(history_years=5, **POINT).to_json() == last.to_json()
    assert fit(history_years=5, **POINT).level != pytest.approx(fit(**POINT).level, rel=1e-3)


def test_its_text_is_a_prophet_and_two_numbers_that_forecast_the_same(fit):
    fitted = fit(**POINT)
    told = json.loads(fitted.to_json())
    assert sorted(told) == ["damping", "level", "prophet"]
    plain = predicted(model_from_json(told["prophet"]), fitted.prophet.series.next_periods(HORIZON))
    again = plain + ahead(told["level"], told["damping"], HORIZON)
    assert again.tolist() == pytest.approx(fitted.forecast(HORIZON).tolist())
    assert fit(**POINT).to_json() == fitted.to_json()


@pytest.mark.parametrize("value", [0.0, 5.0])
def test_a_series_that_never_changes_is_forecast_as_it_is(fit, value):
    assert fit([value] * 36).forecast(3).tolist() == pytest.approx([value] * 3, abs=1e-9)


# --- a fold


@SETTINGS
@given(PARAMETERS, st.integers(60, 118))
def test_a_fold_is_forecast_as_a_fit_on_the_same_past_forecasts(make_series, parameters, cutoff):
    series = make_series(traffic())
    evaluator = AnchoredProphet().prepare(series, seed=1, seconds=30)
    fold = Fold(cutoff, HORIZON, "recent")
    fitted = AnchoredProphet().fit(series.head(cutoff), parameters, seed=1, seconds=30)
    assert evaluator.fitted_by(parameters, fold) == fitted.fitted_by
    np.testing.assert_allclose(evaluator.forecast(parameters, fold), fitted.forecast(HORIZON), rtol=1e-6)


@pytest.mark.parametrize("years", [0, 4])
def test_a_fold_of_a_treated_past_is_fitted_on_what_was_treated_before_its_cutoff(make_past, years):
    y = traffic()
    y[20], y[70:74], y[100:] = 1e5, np.nan, 1.0
    past = make_past([0.0, 0.0, *y], rules=Rules(), start="2001-11-01")
    fold = Fold(98, HORIZON, "recent")
    assert len(past.head(98).y) == 96
    evaluator = AnchoredProphet().prepare(past, seed=1, seconds=30)
    point = {**POINT, "history_years": years}
    fitted = AnchoredProphet().fit(past.head(98), point, seed=1, seconds=30)
    np.testing.assert_allclose(evaluator.forecast(point, fold), fitted.forecast(HORIZON), rtol=1e-6)


def test_a_fold_with_no_more_rows_than_parameters_is_a_real_prophets_with_its_anchor(make_series):
    series, fold = make_series(traffic()), Fold(40, HORIZON, "recent")
    evaluator = AnchoredProphet().prepare(series, seed=1, seconds=30)
    assert evaluator.fitted_by(POINT, fold) == "CmdStan: 40 periods for 47 parameters"
    fitted = AnchoredProphet().fit(series.head(40), POINT, seed=1, seconds=30)
    np.testing.assert_array_equal(evaluator.forecast(POINT, fold), fitted.forecast(HORIZON))


def test_a_fold_in_which_nothing_changed_goes_on_like_that(make_series):
    evaluator = AnchoredProphet().prepare(make_series([*[42.0] * 80, *traffic()[80:]]), seed=1, seconds=30)
    fold = Fold(72, HORIZON, "recent")
    assert evaluator.forecast(POINT, fold).tolist() == pytest.approx([42.0] * HORIZON)
    assert evaluator.fitted_by(POINT, fold) == SHORTCUT


def test_what_has_been_evaluated_before_changes_no_number(make_series):
    one, two = (AnchoredProphet().prepare(make_series(traffic()), seed=1, seconds=30) for _ in range(2))
    asked = [({**POINT, "history_years": years}, Fold(cut, 12, "recent")) for years in (0, 5, 8) for cut in (100, 112)]
    forward = {repr(a): one.forecast(*a).tolist() for a in asked}
    backward = {repr(a): pickle.loads(pickle.dumps(two)).forecast(*a).tolist() for a in reversed(asked)}
    assert forward == backward
