"""Candidates kept as the history they were fitted on, and fitted anew when read back."""

import json
import warnings

import numpy as np
import pytest

from paxcast.core.candidates.refit import FittedOnHistory, Method, refit
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.errors import AirportTimeout, FitFailed
from paxcast.core.folds import Fold

REFITTED = [name for name, candidate in CANDIDATES.items() if isinstance(candidate, Method)]
PERIODS = {"D": 770, "W": 110, "MS": 30}


@pytest.fixture
def fit(make_series, growing):
    def fitted(name="auto_ets", frequency="MS", start="2019-01-07"):
        season = {"D": 7, "W": 52, "MS": 12}[frequency]
        values = growing(PERIODS[frequency], growth=1.01, noise=0.05, season=season)
        start = "2019-01-01" if frequency == "MS" else start
        return CANDIDATES[name].fit(make_series(values, frequency, start), {}, seed=1, seconds=9.0)

    return fitted


@pytest.mark.parametrize("frequency", sorted(PERIODS))
@pytest.mark.parametrize("name", REFITTED)
def test_what_is_read_back_forecasts_the_same_to_the_last_bit_and_is_the_same_text(fit, name, frequency):
    fitted = fit(name, frequency)
    again = refit(fitted.to_json())
    assert again.forecast(40).tolist() == fitted.forecast(40).tolist()
    assert again.to_json() == fitted.to_json()
    assert again.fitted_by == fitted.fitted_by
    assert again.series.ds.tolist() == fitted.series.ds.tolist()


def test_the_text_is_sorted_and_holds_what_a_fit_needs(make_series):
    text = CANDIDATES["zero_rule"].fit(make_series([0.1 + 0.2, 1], "W", "2020-01-01"), {}, seed=1, seconds=1).to_json()
    told = json.loads(text)
    assert text == json.dumps(told, sort_keys=True)
    assert told == {
        "candidate": "zero_rule",
        "parameters": {},
        "frequency": "W",
        "airport": "ATL",
        "first_ds": "2020-01-01",
        "y": [0.1 + 0.2, 1.0],
    }


@pytest.mark.parametrize("text", ["[]", "{}", '{"last_season": [1.0]}'])
def test_another_text_is_refused(text):
    with pytest.raises(ValueError, match="not a text that can be fitted anew: such a one has the keys airport, candid"):
        refit(text)


def test_a_candidate_that_is_no_more_is_refused_by_name(fit):
    text = json.dumps({**json.loads(fit().to_json()), "candidate": "oracle"})
    with pytest.raises(ValueError, match="ATL: no candidate is called 'oracle'; there are "):
        refit(text)


def test_what_was_fitted_does_not_change_with_the_series(make_series, growing):
    series = make_series(growing(30))
    fitted = CANDIDATES["seasonal_growth"].fit(series, {}, seed=1, seconds=1.0)
    before, text = fitted.forecast(12).tolist(), fitted.to_json()
    series.y[:] = 0
    assert (fitted.forecast(12).tolist(), fitted.to_json()) == (before, text)


def test_a_fold_is_fitted_on_its_past_alone(make_series, growing):
    series = make_series(growing(48, noise=0.1))
    candidate = CANDIDATES["auto_ces"]
    evaluator = candidate.prepare(series, seed=1, seconds=1.0)
    alone = candidate.fit(series.head(36), {}, seed=1, seconds=1.0).forecast(12)
    assert evaluator.forecast({}, Fold(36, 12, "test")).tolist() == alone.tolist()


@pytest.mark.parametrize("values", [[], [1.0, np.nan, 2.0], [1.0, np.inf]])
def test_a_history_that_is_empty_or_not_finite_is_a_failed_fit(make_series, values):
    with pytest.raises(FitFailed, match="ATL: zero_rule needs a history of finite numbers"):
        CANDIDATES["zero_rule"].fit(make_series(values), {}, seed=1, seconds=1.0)


def raising(error):
    def method(series):
        raise error

    return Method("raising", 0.0, method)


def test_a_plain_exception_of_a_library_is_a_failed_fit_that_says_what_it_said(make_series):
    with pytest.raises(FitFailed, match="ATL: raising on 3 periods: no model able to be fitted"):
        raising(Exception("no model able to be fitted")).fit(make_series([1, 2, 3]), {}, seed=1, seconds=1.0)


@pytest.mark.parametrize("limit", [AirportTimeout("tuning: not done after 3 s"), MemoryError("no more")])
def test_the_limits_of_an_airport_are_no_failed_fit(make_series, limit):
    with pytest.raises(type(limit)):
        raising(limit).fit(make_series([1, 2, 3]), {}, seed=1, seconds=1.0)


@pytest.mark.parametrize("step", [np.nan, np.inf])
def test_a_forecast_that_is_not_a_number_is_a_failed_fit(make_series, step):
    fitted = FittedOnHistory("odd", make_series([1.0]), lambda horizon: np.array([1.0, step])[:horizon], "by hand")
    assert fitted.forecast(1).tolist() == [1.0]
    with pytest.raises(FitFailed, match="ATL: odd forecast what is not a number"):
        fitted.forecast(2)


def test_what_a_library_warns_of_is_not_shown_neither_when_it_fits_nor_when_it_forecasts(make_series):
    def warn(horizon):
        warnings.warn("look out", UserWarning, stacklevel=1)
        return np.array([1.0]) / np.array([0.0]) * 0.0 if horizon > 1 else np.array([1.0])

    def method(series):
        warn(1)
        return warn

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        fitted = Method("warning", 0.0, method).fit(make_series([1.0]), {}, seed=1, seconds=1.0)
        with pytest.raises(FitFailed):
            fitted.forecast(2)
    assert warned == []
