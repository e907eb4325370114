"""Fits on windows of one history, without a Prophet in the loop, against a real Prophet fitted on each window."""

import logging
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prophet import Prophet

from paxcast.core import prophet_map
from paxcast.core.candidates.prophet import ProphetCandidate
from paxcast.core.fitted_by import EXACT, SHORTCUT
from paxcast.core.folds import Fold
from paxcast.core.prophet_map.design import changepoint_rows, design_of

LENGTHS = {"MS": 150, "W": 320, "D": 900}
SEASONS = {"MS": 12, "W": 52.18, "D": 7}
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "growth": st.sampled_from(["linear", "flat"]),
        "seasonality_mode": st.sampled_from(["additive", "multiplicative"]),
        "changepoint_prior_scale": st.floats(0.001, 0.5),
        "seasonality_prior_scale": st.floats(0.01, 10),
        "holidays_prior_scale": st.floats(0.01, 10),
        "changepoint_range": st.floats(0.5, 0.95),
        "n_changepoints": st.integers(0, 30),
    },
)


@pytest.fixture(autouse=True)
def silent() -> None:
    logging.getLogger("prophet").setLevel(logging.CRITICAL)
    logging.getLogger("cmdstanpy").disabled = True


def traffic(frequency: str, seed: int = 1) -> np.ndarray:
    rng, at = np.random.default_rng(seed), np.arange(LENGTHS[frequency])
    level = 800 + 2 * at - 3 * np.maximum(at - len(at) // 2, 0)
    return level * (1 + 0.2 * np.sin(2 * np.pi * at / SEASONS[frequency])) * rng.normal(1, 0.05, len(at))


def prepared(make_series, frequency: str, y: np.ndarray | None = None):
    series = make_series(traffic(frequency) if y is None else y, frequency)
    return series, ProphetCandidate().prepare(series, seed=1, seconds=30)


@settings(max_examples=25, deadline=None)
@given(PARAMETERS, st.sampled_from(sorted(LENGTHS)), st.floats(0.35, 0.9))
def test_a_fold_is_forecast_as_a_real_prophet_fitted_on_its_past_forecasts_it(
    make_series, parameters, frequency, share
):
    series, evaluator = prepared(make_series, frequency)
    fold = Fold(int(share * len(series.y)), 10, "recent")
    fitted = ProphetCandidate().fit(series.head(fold.cutoff), parameters, seed=1, seconds=30)
    assert evaluator.fitted_by(parameters, fold) == fitted.fitted_by
    np.testing.assert_allclose(evaluator.forecast(parameters, fold), fitted.forecast(10), rtol=1e-9)


def test_a_window_of_less_than_two_years_has_no_yearly_season_and_one_of_two_years_has(make_series):
    series, evaluator = prepared(make_series, "D")
    for rows in (729, 730):
        fold = Fold(rows, 28, "recent")
        model = ProphetCandidate().fit(series.head(rows), {}, seed=1, seconds=30)
        assert ("yearly" in model.model.seasonalities) == (rows == 730)
        np.testing.assert_allclose(evaluator.forecast({}, fold), model.forecast(28), rtol=1e-9)


def test_what_has_been_evaluated_before_changes_no_number(make_series):
    _, evaluator = prepared(make_series, "MS")
    _, other = prepared(make_series, "MS")
    folds = [Fold(rows, 12, "recent") for rows in (80, 110, 130)]
    points = [{"changepoint_prior_scale": scale} for scale in (0.001, 0.05, 0.5)]
    asked = [(point, fold) for point in points for fold in folds]
    forward = {repr(a): evaluator.forecast(*a).tolist() for a in asked}
    backward = {repr(a): pickle.loads(pickle.dumps(other)).forecast(*a).tolist() for a in reversed(asked)}
    assert forward == backward


def design(series):
    return ProphetCandidate().prepare(series, seed=1, seconds=30).design


@settings(max_examples=20, deadline=None)
@given(PARAMETERS, st.sampled_from(sorted(LENGTHS)), st.floats(0.05, 0.3), st.floats(0.5, 0.9))
def test_a_window_of_other_values_is_fitted_on_these_in_the_last_periods_before_its_end(
    make_series, parameters, frequency, begin, share
):
    series = make_series(traffic(frequency), frequency)
    rows = int(share * len(series.y))
    own = series.head(rows).tail(int((1 - begin) * rows))
    treated = replace(own, y=own.y[::-1] * 1.3)  # what treatment made of them
    real = ProphetCandidate().fit(treated, parameters, seed=1, seconds=30)
    window = design(series).window(rows, None if real.model.yearly_seasonality else "yearly", treated.y)
    prior = window.prior(parameters)
    if window.uncovered(prior):
        assert real.fitted_by.startswith("CmdStan")
        return
    fitted, forecast = window.fitted_and_ahead(prior, 10)
    np.testing.assert_allclose(forecast, real.forecast(10), rtol=1e-8)
    past = real.model.predict(pd.DataFrame({"ds": treated.ds}))["yhat"]
    np.testing.assert_allclose(fitted, past, rtol=1e-8)


def test_a_window_of_the_historys_own_values_is_the_same_whether_these_are_stated_or_not(make_series):
    series = make_series(traffic("MS"))
    one, two = design(series).window(90, None, series.y[:90]), replace(design(series), y=series.y).window(90)
    for a, b in zip(one.fitted_and_ahead(one.prior({}), 12), two.fitted_and_ahead(two.prior({}), 12), strict=True):
        assert a.tolist() == b.tolist()


def test_fitted_values_and_what_comes_after_are_one_line_cut_at_the_end_of_the_window(make_series):
    window = design(make_series(traffic("MS"))).window(90, None, traffic("MS")[30:90])
    prior = window.prior({})
    fitted, forecast = window.fitted_and_ahead(prior, 12)
    assert (fitted.shape, forecast.shape, window.rows) == ((60,), (12,), 60)
    assert forecast.tolist() == window.forecast(prior, 12).tolist()
    still = design(make_series(traffic("MS"))).window(90, None, np.full(60, 7.0))
    assert [values.tolist() for values in still.fitted_and_ahead(still.prior({}), 2)] == [[7.0] * 60, [7.0] * 2]


def test_the_design_of_a_history_reads_its_dates_and_never_its_traffic(make_series, make_past):
    y = traffic("MS")
    of_series, of_past = design(make_series(y)), design(make_past([0.0, *[np.nan] * 9, *y[10:]]))
    assert of_series.x.tolist() == of_past.x.tolist()
    assert of_series.y.tolist() == of_past.y.tolist() == list(range(len(y)))


@pytest.mark.parametrize("value", [0.0, 42.0])
def test_a_window_in_which_nothing_changes_goes_on_like_that(make_series, value):
    y = np.concatenate([np.full(80, value), traffic("MS")[80:]])
    series, evaluator = prepared(make_series, "MS", y)
    fold = Fold(72, 12, "recent")
    assert evaluator.forecast({}, fold).tolist() == [value] * 12
    assert evaluator.fitted_by({}, fold) == SHORTCUT
    real = ProphetCandidate().fit(series.head(72), {}, seed=1, seconds=30)
    np.testing.assert_allclose(real.forecast(12), value, atol=1e-9)


def test_a_window_with_no_more_rows_than_parameters_is_cmdstans_and_says_so(make_series):
    series, evaluator = prepared(make_series, "MS")
    fold = Fold(40, 12, "recent")
    assert evaluator.fitted_by({}, fold) == "CmdStan: 40 periods for 47 parameters"
    assert evaluator.fitted_by({"n_changepoints": 5}, fold) == EXACT
    real = ProphetCandidate().fit(series.head(40), {}, seed=1, seconds=30)
    np.testing.assert_array_equal(evaluator.forecast({}, fold), real.forecast(12))


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 400), st.integers(0, 40), st.floats(0.0, 1.0))
def test_changepoints_stand_where_prophet_puts_them(rows, many, share):
    history = pd.DataFrame({"ds": pd.date_range("2010-01-01", periods=rows, freq="D"), "y": np.arange(rows) * 1.0})
    model = Prophet(n_changepoints=many, changepoint_range=share)
    model.preprocess(history)
    expected = model.changepoints_t
    times = np.arange(rows) / (rows - 1)
    np.testing.assert_allclose(times[changepoint_rows(rows, many, share)], expected, atol=1e-12)


def test_holidays_take_their_own_prior_scale_and_a_window_without_any_of_one_forecasts_as_prophet():
    ds = pd.date_range("2015-01-01", periods=120, freq="MS")
    history = pd.DataFrame({"ds": ds, "y": traffic("MS")[:120]})
    dates = [ds[i] for i in (7, 19, 31, 43, 100)]
    named = pd.DataFrame({"holiday": ["fair"] * 4 + ["opening"], "ds": dates})

    def model(**arguments) -> Prophet:
        usual = {"weekly_seasonality": False, "daily_seasonality": False, "uncertainty_samples": 0, "holidays": named}
        return Prophet(**usual, **arguments)

    window = design_of(model(), history).window(90)
    for scale in (0.001, 1.0):
        prior = window.prior({"holidays_prior_scale": scale})
        assert sorted(set(prior.scales)) == sorted({scale, 10.0})
        real = prophet_map.fit(model(holidays_prior_scale=scale), history[:90])
        np.testing.assert_allclose(window.forecast(prior, 12), real.predict(history[90:102])["yhat"], rtol=1e-9)


@pytest.mark.parametrize(
    ("model", "beyond"),
    [
        (lambda: Prophet().add_regressor("wind"), "its extra regressors"),
        (lambda: Prophet().add_seasonality("month", 30.5, 3), "its own seasonalities"),
        (lambda: Prophet(changepoints=["2010-02-01"]), "its own changepoints"),
        (lambda: Prophet(scaling="minmax"), "its scaling"),
        (lambda: Prophet(growth="logistic", mcmc_samples=9), "its growth, its samples"),
    ],
)
def test_a_model_of_which_a_design_does_not_hold_everything_is_refused_by_name(model, beyond):
    history = pd.DataFrame({"ds": pd.date_range("2010-01-01", periods=60), "y": np.arange(60.0)})
    with pytest.raises(ValueError, match=f"does not hold {beyond}$"):
        design_of(model(), history)
