"""What must change nothing in a forecast: the unit of traffic, the airport's code, the calendar's turn of 28 years."""

import json
from dataclasses import replace

import numpy as np
import pytest

from paxcast.core import composition
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.outcome import Outcome, evaluation_of, tuned_values
from paxcast.core.space import parse_space
from paxcast.core.treatment import Rules
from paxcast.core.tuning import tune

SPACE = parse_space(
    {
        "anchor": {"uniform": [0, 1]},
        "changepoint_prior_scale": {"uniform": [0.001, 0.5]},
        "growth": {"choice": ["flat", "linear"]},
        "history_years": {"choice": [0, 5]},
        "seasonality_mode": {"choice": ["additive", "multiplicative"]},
    }
)
PROPHETS = [
    {"changepoint_prior_scale": scale, "growth": growth, "history_years": years, "seasonality_mode": mode}
    for scale, growth, years, mode in (
        (0.05, "linear", 0, "multiplicative"),
        (0.3, "linear", 5, "additive"),
        (0.01, "flat", 0, "multiplicative"),
    )
]
POINTS = [*PROPHETS, *({**point, "anchor": 0.4} for point in PROPHETS)]
MONTHLY = (
    "seasonal_growth",
    "auto_ets",
    "auto_ets_log",
    "auto_ces",
    "auto_theta",
    "mstl",
    "prophet",
    "anchored_prophet",
)
DAILY = ("weekday_year_ago", "mstl", "window_average", "random_walk", "prophet", "anchored_prophet")
NO_SHOCKS = Rules(shocks=(), calendar="holidays", country="FR")  # of the configured ones: those that are found stay
CASES = {"MS": (132, 12, MONTHLY), "D": (800, 14, DAILY)}


def values(frequency: str) -> np.ndarray:
    """Growth, a season, noise, an opening, a gap, a slip and a heavy drop that is found."""
    periods, _, _ = CASES[frequency]
    at, rng = np.arange(periods), np.random.default_rng(4)
    season = 12 if frequency == "MS" else 7
    y = (500 + 3 * at) * (1 + 0.2 * np.sin(2 * np.pi * at / season)) * rng.normal(1, 0.04, periods)
    y[:3], y[20:22], y[40] = 0.0, np.nan, 50 * np.nanmean(y)
    if frequency == "MS":
        y[60:70] *= 0.2
    return y


@pytest.fixture(scope="module")
def published(make_past, tuner):
    """The outcome of an airport after JSON, and every rule's published forecast of it."""

    def made(frequency, y=None, start="1996-01-01", airport="ATL", rules=NO_SHOCKS):
        _, horizon, names = CASES[frequency]
        past = make_past(values(frequency) if y is None else y, frequency, start, rules, airport)
        task = tuner.task(candidates=("seasonal_naive", *names), space=SPACE, horizon=horizon)
        tuned = tune(past, task, CANDIDATES, tuner.grid(*POINTS))
        assert tuned.left_out == {}
        told = Outcome(
            run_key="r", fleet="f", airport="-", as_of="-", checksum="-", batch=0,
            **tuned_values(past, tuned, task.candidates),
        )  # fmt: skip
        told = Outcome(**json.loads(json.dumps(told.as_dict())))
        evaluation = evaluation_of(told)
        return told, evaluation, {rule: composition.compose(evaluation, rule).forecast for rule in composition.RULES}

    return made


@pytest.fixture(scope="module")
def usual(published):
    return {frequency: published(frequency) for frequency in CASES}


def chosen(told: Outcome) -> dict[str, dict]:
    return {e["candidate"]: e["parameters"] for e in told.entrants}


@pytest.mark.parametrize("frequency", CASES)
@pytest.mark.parametrize("unit", [1000.0, 0.001])
def test_a_thousand_times_the_traffic_is_a_thousand_times_the_forecast(published, usual, frequency, unit):
    one, of_one, forecasts = usual[frequency]
    other, of_other, scaled = published(
        frequency, unit * values(frequency), rules=replace(NO_SHOCKS, tiny_below=10 * unit)
    )
    assert chosen(other) == chosen(one)
    assert other.steps == one.steps
    np.testing.assert_allclose(of_other.forecast / unit, of_one.forecast, rtol=1e-9)
    np.testing.assert_allclose(of_other.folds.errors(), of_one.folds.errors(), rtol=1e-7)
    for rule, forecast in forecasts.items():
        np.testing.assert_allclose(scaled[rule] / unit, forecast, rtol=1e-9)


@pytest.mark.parametrize("frequency", CASES)
def test_the_airports_code_changes_nothing_given_the_same_seed(published, usual, frequency):
    one, _, forecasts = usual[frequency]
    other, _, renamed = published(frequency, airport="ZZZ")
    assert replace(other, airport="-") == replace(one, airport="-")
    assert {rule: f.tolist() for rule, f in renamed.items()} == {rule: f.tolist() for rule, f in forecasts.items()}


@pytest.mark.parametrize("frequency", CASES)
def test_without_shocks_twenty_eight_years_later_is_the_same_calendar_and_the_same_forecast(
    published, usual, frequency
):
    one, of_one, forecasts = usual[frequency]
    other, of_other, later = published(frequency, start="2024-01-01", rules=replace(NO_SHOCKS, feasts_moved=28))
    assert chosen(other) == chosen(one)
    assert [(s["what"], s["periods"]) for s in other.steps] == [(s["what"], s["periods"]) for s in one.steps]
    assert other.ds[0][:4] == str(int(one.ds[0][:4]) + 28)
    np.testing.assert_allclose(of_other.forecast, of_one.forecast, rtol=1e-9)
    for rule, forecast in forecasts.items():
        np.testing.assert_allclose(later[rule], forecast, rtol=1e-9)
