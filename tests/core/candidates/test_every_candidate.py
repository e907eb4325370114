"""Every candidate on histories that no method likes: finite numbers, or a failed fit that names the airport."""

import warnings

import numpy as np
import pytest

from paxcast.core.candidates.refit import Method
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.errors import FitFailed

SEASON = {"D": 7, "W": 52, "MS": 12}
LONG = {"D": 60, "W": 160, "MS": 60}
HORIZON = 15
METHODS = [name for name, candidate in CANDIDATES.items() if isinstance(candidate, Method)]
NEVER_FAIL = ["seasonal_naive", "seasonal_growth", "window_average", "random_walk", "zero_rule"]


def _wave(frequency):
    at = np.arange(LONG[frequency])
    wave = 100 + 20 * np.sin(2 * np.pi * at / SEASON[frequency]) + np.random.default_rng(1).normal(size=len(at))
    return at, wave


HISTORIES = {
    "one period": lambda at, wave, season: wave[:1],
    "two periods": lambda at, wave, season: wave[:2],
    "one season and a half": lambda at, wave, season: wave[: season + season // 2],
    "two seasons": lambda at, wave, season: wave[: 2 * season],
    "constant": lambda at, wave, season: np.full(len(at), 7.0),
    "all zeros": lambda at, wave, season: np.zeros(len(at)),
    "nearly all zeros": lambda at, wave, season: np.where(at % 9 == 0, wave, 0.0),
    "one value in the middle": lambda at, wave, season: np.where(at == len(at) // 2, 1e5, 0.0),
    "opened now": lambda at, wave, season: np.where(at == len(at) - 1, 1e5, 0.0),
    "opened halfway": lambda at, wave, season: np.where(at < len(at) // 2, 0.0, wave),
    "closed halfway": lambda at, wave, season: np.where(at > len(at) // 2, 0.0, wave),
    "huge": lambda at, wave, season: wave * 1e12,
    "tiny": lambda at, wave, season: wave * 1e-12,
    "one typing error": lambda at, wave, season: np.where(at == len(at) - 5, 1e12, wave),
    "doubles every year": lambda at, wave, season: 2.0 ** (at / season),
    "repeats itself": lambda at, wave, season: np.resize(np.arange(1.0, season + 1), len(at)),
    "a straight line": lambda at, wave, season: at + 1.0,
    "all but constant": lambda at, wave, season: 7 + 1e-13 * wave,
    "constant but for the first": lambda at, wave, season: np.where(at == 0, 9.0, 7.0),
}


def history(name, frequency):
    return HISTORIES[name](*_wave(frequency), SEASON[frequency])


@pytest.mark.parametrize("name", HISTORIES)
@pytest.mark.parametrize("frequency", SEASON)
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_an_odd_history_gives_numbers_or_a_failed_fit_and_no_word_the_same_twice(
    make_series, capfd, candidate, frequency, name
):
    def forecast():
        series = make_series(history(name, frequency), frequency)
        try:
            return CANDIDATES[candidate].fit(series, {}, seed=1, seconds=20.0).forecast(HORIZON).tolist()
        except FitFailed as err:
            return str(err)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        one = forecast()
    if isinstance(one, str):
        assert one.startswith("ATL: ")
        assert candidate not in NEVER_FAIL
    else:
        assert len(one) == HORIZON
        assert np.isfinite(one).all()
    if candidate in METHODS:  # Prophet on these is its own tests' matter
        assert forecast() == one
        assert [str(w.message) for w in warned] == []
        assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize("frequency", SEASON)
@pytest.mark.parametrize("name", METHODS)
def test_a_history_that_never_changes_goes_on_so(make_series, name, frequency):
    series = make_series(np.full({"D": 400, "W": 110, "MS": 30}[frequency], 0.1), frequency)
    assert CANDIDATES[name].fit(series, {}, seed=1, seconds=1.0).forecast(9).tolist() == pytest.approx([0.1] * 9)


@pytest.mark.parametrize("frequency", SEASON)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("factor", [1000.0, 0.37, 1e-9])
def test_another_unit_of_traffic_is_another_unit_of_the_forecast(make_series, name, frequency, factor):
    periods = 400 if frequency == "D" else LONG[frequency]
    y = np.resize(_wave(frequency)[1], periods) * 1.001 ** np.arange(periods)
    fits = [CANDIDATES[name].fit(make_series(v, frequency), {}, seed=1, seconds=1.0) for v in (y, factor * y)]
    one, other = (fit.forecast(HORIZON) for fit in fits)
    assert (other / factor).tolist() == pytest.approx(one.tolist(), rel=1e-9)


@pytest.mark.parametrize("frequency", SEASON)
@pytest.mark.parametrize("name", METHODS)
def test_a_longer_forecast_begins_as_a_shorter_one(make_series, name, frequency):
    series = make_series(np.resize(_wave(frequency)[1], 400), frequency)
    fitted = CANDIDATES[name].fit(series, {}, seed=1, seconds=1.0)
    assert fitted.forecast(60)[:5].tolist() == pytest.approx(fitted.forecast(5).tolist(), rel=1e-12)
