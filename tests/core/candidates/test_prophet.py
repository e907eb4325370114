"""The real Prophet as a candidate: what it is given, what it may fail on, and tuning with it from end to end."""

import json
from pathlib import Path

import cmdstanpy
import numpy as np
import pandas as pd
import pytest
from prophet.serialize import model_from_json

from paxcast.core.candidates.prophet import ProphetCandidate
from paxcast.core.errors import FitFailed
from paxcast.core.fitted_by import EXACT
from paxcast.core.folds import Fold
from paxcast.core.outcome import tuned_values
from paxcast.core.space import parse_space
from paxcast.core.treatment import Rules
from paxcast.core.tuning import split, tune


@pytest.fixture(scope="module")
def fit(make_series, growing):
    """Fit Prophet on three seasons of months, or on other values."""

    def fitted(values=None, frequency="MS", seed=1, start="2010-01-01", **parameters):
        series = make_series(growing(36, noise=0.02) if values is None else values, frequency, start)
        return ProphetCandidate().fit(series, parameters, seed=seed, seconds=30)

    return fitted


@pytest.fixture(scope="module")
def monthly(fit):
    return fit()


def test_it_forecasts_the_periods_after_the_last(monthly, growing):
    forecast = monthly.forecast(6)
    assert forecast.shape == (6,)
    assert forecast.dtype == np.float64
    assert np.abs(forecast / growing(48)[36:42] - 1).max() < 0.15


def test_the_same_fit_is_the_same_text(monthly, fit):
    assert fit().to_json() == monthly.to_json()


def test_its_text_is_a_whole_prophet_model_that_forecasts_the_same_and_keeps_no_arguments_of_the_fit(monthly):
    model = model_from_json(monthly.to_json())
    future = pd.DataFrame({"ds": monthly.series.next_periods(6)})
    assert model.predict(future)["yhat"].tolist() == pytest.approx(monthly.forecast(6).tolist())
    assert json.loads(monthly.to_json())["fit_kwargs"] == {}


@pytest.mark.parametrize(
    ("frequency", "days", "periods", "seasonalities"),
    [
        ("D", "2020-01-01", 60, {"weekly"}),
        ("D", "2019-01-01", 729, {"weekly"}),
        ("D", "2019-01-01", 730, {"weekly", "yearly"}),
        ("W", "2020-01-06", 104, set()),
        ("W", "2019-01-06", 105, {"yearly"}),
        ("MS", "2020-01-01", 23, set()),
        ("MS", "2020-01-01", 24, {"yearly"}),  # the shortest history that Prophet is tried on
    ],
)
def test_seasons_are_those_that_the_data_can_show(fit, growing, frequency, days, periods, seasonalities):
    fitted = fit(growing(periods, growth=1.0, noise=0.1, season=7), frequency, start=days)
    assert set(fitted.model.seasonalities) == seasonalities


def test_parameters_reach_prophet_and_changepoints_are_a_whole_number(fit):
    model = fit(n_changepoints=7.0, growth="flat", seasonality_mode="multiplicative").model
    assert (model.n_changepoints, model.growth, model.seasonality_mode) == (7, "flat", "multiplicative")
    assert isinstance(model.n_changepoints, int)
    assert model.uncertainty_samples == 0


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
@pytest.mark.parametrize("level", [0.0, 5.0])
def test_a_series_that_never_changes_is_forecast_as_it_is(fit, level, mode):
    assert fit([level] * 36, seasonality_mode=mode).forecast(3).tolist() == pytest.approx([level] * 3)


@pytest.mark.parametrize(
    ("values", "parameters"),
    [
        ([5.0], {}),
        ([1.0, 2.0, np.inf, 4.0], {}),
        (None, {"growth": "sideways"}),
        (None, {"changepoint_range": 2.0}),
        (None, {"changepoint_prior_scale": -1.0}),
    ],
)
def test_what_prophet_refuses_is_a_failed_fit_that_names_the_airport(fit, values, parameters):
    periods = 36 if values is None else len(values)
    with pytest.raises(FitFailed, match=f"ATL: Prophet on {periods} periods: "):
        fit(values, **parameters)


def test_a_fit_leaves_no_files_behind(fit):
    before = set(Path(cmdstanpy._TMPDIR).rglob("*"))
    fit(seed=3)
    assert {path for path in Path(cmdstanpy._TMPDIR).rglob("*") if path.is_file()} <= before


# --- the history that is fitted on


@pytest.mark.parametrize(("frequency", "year"), [("MS", 12), ("W", 52), ("D", 364)])
def test_fitted_on_the_last_years_it_is_as_fitted_on_a_history_of_these_alone(make_series, growing, frequency, year):
    series = make_series(growing(4 * year, growth=1.1, noise=0.1, season=year), frequency)
    some = ProphetCandidate().fit(series, {"history_years": 3}, seed=1, seconds=30)
    alone = ProphetCandidate().fit(series.tail(3 * year), {}, seed=1, seconds=30)
    assert some.to_json() == alone.to_json()
    assert len(some.series.y) == 3 * year
    assert some.forecast(5).tolist() == alone.forecast(5).tolist()


@pytest.mark.parametrize("years", [0, 3, 10, 3.0])
def test_no_years_and_more_years_than_there_are_mean_all_of_them(fit, monthly, years):
    assert fit(history_years=years).to_json() == monthly.to_json()


@pytest.mark.parametrize("years", [0, 3, 5])
def test_a_fold_is_forecast_as_a_fit_on_the_last_years_before_it(make_series, growing, years):
    series, fold = make_series(growing(120, growth=1.05, noise=0.05)), Fold(100, 12, "recent")
    evaluator = ProphetCandidate().prepare(series, seed=1, seconds=30)
    parameters = {"history_years": years, "n_changepoints": 5}
    fitted = ProphetCandidate().fit(series.head(100), parameters, seed=1, seconds=30)
    np.testing.assert_allclose(evaluator.forecast(parameters, fold), fitted.forecast(12), rtol=1e-9)
    assert evaluator.fitted_by(parameters, fold) == fitted.fitted_by


def test_a_fold_of_years_without_a_second_one_has_no_yearly_season_as_the_fit_has_none(make_series, growing):
    series, fold = make_series(growing(900, growth=1.001, noise=0.05, season=7), "D"), Fold(850, 12, "recent")
    evaluator = ProphetCandidate().prepare(series, seed=1, seconds=30)
    parameters = {"history_years": 1}
    fitted = ProphetCandidate().fit(series.head(850), parameters, seed=1, seconds=30)
    assert set(fitted.model.seasonalities) == {"weekly"}
    assert evaluator.fitted_by(parameters, fold) == fitted.fitted_by == EXACT
    np.testing.assert_allclose(evaluator.forecast(parameters, fold), fitted.forecast(12), rtol=1e-9)


def test_a_fold_of_a_treated_past_is_fitted_on_what_was_treated_before_its_cutoff(make_past, growing):
    y = growing(120, growth=1.05, noise=0.05)
    y[30], y[60:63], y[101:] = 1e5, np.nan, 1.0
    past = make_past([0.0, 0.0, *y], rules=Rules(), start="2001-11-01")
    evaluator = ProphetCandidate().prepare(past, seed=1, seconds=30)
    fitted = ProphetCandidate().fit(past.head(100), {}, seed=1, seconds=30)
    assert len(fitted.series.y) == 98
    np.testing.assert_allclose(evaluator.forecast({}, Fold(100, 12, "recent")), fitted.forecast(12), rtol=1e-9)


def test_parameters_that_are_not_prophets_are_left_to_those_who_know_them(fit, monthly):
    assert fit(anchor=0.9, anchor_damping=0.9).to_json() == monthly.to_json()


# --- from end to end


def test_tuning_finds_the_better_of_two_prophets_and_gives_the_same_numbers_twice(make_past, tuner):
    days = np.arange(126)
    past = make_past(np.round(300 + 4 * days + 60 * np.sin(2 * np.pi * days / 7)), "D", start="2020-01-01")
    task = tuner.task(
        candidates=("seasonal_naive", "prophet"),
        space=parse_space({"growth": {"choice": ["flat", "linear"]}}),
        horizon=14,
    )
    search = tuner.grid({"growth": "flat"}, {"growth": "linear"})
    one, two = (tune(past, task, tuner.candidates(ProphetCandidate()), search) for _ in range(2))
    naive, prophet = one.entrants
    assert prophet.specification.as_json() == {"candidate": "prophet", "parameters": {"growth": "linear"}}
    for window, by_naive, by_prophet in zip(one.windows, naive.folds, prophet.folds, strict=True):
        assert window.mase(by_prophet) < window.mase(by_naive)
    assert set(prophet.fitted_by) == {split(past, w) for w in (*one.windows, one.test_window)} | {"published"}
    assert prophet.fitted.to_json() == two.entrants[1].fitted.to_json()
    assert tuned_values(past, one, task.candidates) == tuned_values(past, two, task.candidates)
