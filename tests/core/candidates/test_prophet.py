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
from paxcast.core.outcome import tuned_values
from paxcast.core.space import parse_space
from paxcast.core.tuning import tune


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


def test_tuning_finds_the_better_of_two_prophets_and_gives_the_same_numbers_twice(make_series, tuner):
    days = np.arange(126)
    series = make_series(np.round(300 + 4 * days + 60 * np.sin(2 * np.pi * days / 7)), "D", start="2020-01-01")
    task = tuner.task(
        candidates=("seasonal_naive", "prophet"),
        space=parse_space({"growth": {"choice": ["flat", "linear"]}}),
        horizon=14,
    )
    search = tuner.grid({"growth": "flat"}, {"growth": "linear"})
    one, two = (tune(series, task, tuner.candidates(ProphetCandidate()), search) for _ in range(2))
    assert one.specification.as_json() == {"candidate": "prophet", "parameters": {"growth": "linear"}}
    assert one.cv_mase < one.cv_mase_naive
    assert one.fitted.to_json() == two.fitted.to_json()
    assert tuned_values(series, one) == tuned_values(series, two)
