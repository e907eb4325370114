"""Histories changed on purpose, and the verdicts on forecasts of them: honest ones pass, each cheat is caught."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from paxcast.core import behaviour, tuning
from paxcast.core.candidates.prophet import ProphetCandidate, predicted
from paxcast.core.past import Past
from paxcast.core.series import Series
from paxcast.core.treatment import Raw, Rules, Shock
from paxcast.core.treatment.calendar_effects import regressors
from paxcast.core.treatment.shocks import configured

Array = npt.NDArray[np.float64]
STEPS = {"D": "D", "W": "7D", "MS": "MS"}
SHARP = Rules(shocks=(Shock(date(2012, 2, 29), date(2012, 6, 30), "made up"),), find_shocks=False)


def raw_of(values: Sequence[float] | Array, frequency: str = "MS", start: str = "2008-01-01") -> Raw:
    ds = pd.date_range(start, periods=len(values), freq=STEPS[frequency])
    return Raw("ATL", frequency, ds.to_numpy().astype("datetime64[ns]"), np.asarray(values, dtype=np.float64))


def seasonal(periods: int = 84, frequency: str = "MS", start: str = "2008-01-01") -> Raw:
    season = {"D": 7, "W": 52, "MS": 12}[frequency]
    at = np.arange(periods)
    noise = np.random.default_rng(5).normal(1, 0.03, periods)
    return raw_of((1000 + 300 * np.sin(2 * np.pi * at / season) + at) * noise, frequency, start)


def naive(raw: Raw, _rules: Rules) -> Array:
    """Last year's values, of what was observed."""
    return np.resize(raw.y[-12:], 12)


# --- the changes


@pytest.mark.parametrize(("frequency", "year"), [("MS", 12), ("W", 52), ("D", 364)])
def test_noise_is_on_the_last_year_alone_and_the_same_for_the_same_seed(frequency: str, year: int) -> None:
    raw = raw_of(np.full(3 * year, 100.0), frequency)
    noisy = behaviour.perturbed(raw, 0.05, 7)
    assert (noisy.y[:-year] == 100).all()
    assert (noisy.y[-year:] != 100).all()
    assert np.array_equal(noisy.y, behaviour.perturbed(raw, 0.05, 7).y)
    assert not np.array_equal(noisy.y, behaviour.perturbed(raw, 0.05, 8).y)


def test_noise_has_the_size_that_was_asked_for() -> None:
    raw = raw_of(np.full(12, 100.0))
    changes = np.concatenate([behaviour.perturbed(raw, 0.05, seed).y / 100 - 1 for seed in range(500)])
    assert np.std(changes) == pytest.approx(0.05, rel=0.05)
    assert np.mean(changes) == pytest.approx(0.0, abs=0.003)


def test_noise_keeps_what_is_absent_absent_zero_zero_and_nothing_below_zero() -> None:
    raw = raw_of([100.0] * 12 + [np.nan, 0.0] + [100.0] * 10)
    noisy = behaviour.perturbed(raw, 3.0, 1)
    assert np.isnan(noisy.y[12])
    assert noisy.y[13] == 0
    assert np.nanmin(noisy.y) == 0  # with such noise some would be negative
    assert behaviour.perturbed(raw_of([100.0] * 5), 0.05, 1).y.shape == (5,)


def test_reading_the_rows_in_another_order_gives_the_same_history() -> None:
    raw = raw_of([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    again = behaviour.reordered(raw, 3)
    assert np.array_equal(again.y, raw.y, equal_nan=True)
    assert np.array_equal(again.ds, raw.ds)


@pytest.mark.parametrize(
    ("frequency", "start"), [("MS", "2008-01-01"), ("W", "2008-01-07"), ("D", "2008-02-01"), ("D", "1999-12-31")]
)
def test_28_years_away_every_period_has_the_same_day_of_the_week_and_of_the_year(frequency: str, start: str) -> None:
    raw = seasonal(500, frequency, start)
    moved = behaviour.shifted(raw, behaviour.SHIFT[frequency])
    before, after = pd.DatetimeIndex(raw.ds), pd.DatetimeIndex(moved.ds)
    for then, now in zip(before, after, strict=True):
        assert (now.year, now.month, now.day) == (then.year + 28, then.month, then.day)
        assert now.dayofweek == then.dayofweek
    assert np.array_equal(moved.y, raw.y)


def test_dates_go_back_where_the_calendar_would_not_repeat_itself() -> None:
    (late,) = [v for v in behaviour.variants(seasonal(start="2075-01-01"), SHARP, 1) if v.name == "dates"]
    assert str(late.raw.ds[0])[:10] == "2047-01-01"
    assert late.rules.shocks[0].first == date(1984, 2, 29)
    assert late.rules.feasts_moved == -28
    (usual,) = [v for v in behaviour.variants(seasonal(), SHARP, 1) if v.name == "dates"]
    assert str(usual.raw.ds[0])[:10] == "2036-01-01"


@pytest.mark.parametrize("frequency", STEPS)
@pytest.mark.parametrize("start", ["2007-12-31", "2075-12-30"])
def test_feasts_move_with_the_dates_there_and_back(frequency: str, start: str) -> None:
    begin = f"{start[:4]}-12-01" if frequency == "MS" else start
    raw = seasonal(200 if frequency == "MS" else 400, frequency, begin)
    rules = replace(SHARP, calendar="holidays", country="FR")
    (dates,) = [v for v in behaviour.variants(raw, rules, 1) if v.name == "dates"]
    assert dates.rules.feasts_moved == (28 if start < "2050" else -28)
    found = []
    for one, own in ((raw, rules), (dates.raw, dates.rules)):
        found.append(
            regressors(pd.Timestamp(one.ds[0]), len(raw.y) + 20, frequency, "holidays", "FR", own.feasts_moved)
        )
    (length, x), (length_then, x_then) = found
    assert length.tolist() == length_then.tolist()
    assert {name: values.tolist() for name, values in x.items()} == {
        name: values.tolist() for name, values in x_then.items()
    }
    there = behaviour.shifted_rules(rules, 28)
    assert behaviour.shifted_rules(there, 28).feasts_moved == 56
    assert behaviour.shifted_rules(there, -28) == rules


def test_shocks_move_with_the_dates() -> None:
    raw = seasonal()
    moved = behaviour.shifted(raw, behaviour.SHIFT["MS"])
    rules = behaviour.shifted_rules(SHARP, 28)
    assert rules.shocks == (Shock(date(2040, 2, 29), date(2040, 6, 30), "made up"),)
    assert configured(moved.ds, "MS", rules.shocks) == configured(raw.ds, "MS", SHARP.shocks)


@pytest.mark.parametrize(("frequency", "half"), [("MS", 6), ("W", 26), ("D", 182)])
def test_a_known_event_covers_the_last_half_year_and_no_other_period(frequency: str, half: int) -> None:
    raw = seasonal(800, frequency)
    rules = behaviour.announced(SHARP, raw, half)
    *_, event = configured(raw.ds, frequency, rules.shocks)
    assert (event.name, event.first, event.last) == (behaviour.EVENT, 800 - half, 799)
    assert rules.shocks[:-1] == SHARP.shocks
    after = {"MS": pd.DateOffset(months=1), "W": pd.Timedelta(days=7), "D": pd.Timedelta(days=1)}[frequency]
    assert pd.Timestamp(rules.shocks[-1].last) == pd.Timestamp(raw.ds[-1]) + after - pd.Timedelta(days=1)
    up = behaviour.raised(raw, 0.3, half)
    assert np.allclose(up.y[-half:], raw.y[-half:] * 1.3)
    assert np.array_equal(up.y[:-half], raw.y[:-half])
    assert raw.y[-1] != up.y[-1]  # the history itself is left alone


def test_the_event_is_announced_for_the_very_periods_that_are_raised() -> None:
    raw = seasonal()
    (event,) = [v for v in behaviour.variants(raw, SHARP, 1) if v.name == "event"]
    *_, window = configured(raw.ds, "MS", event.rules.shocks)
    assert np.flatnonzero(event.raw.y != raw.y).tolist() == list(range(window.first, window.last + 1))


# --- the comparison


def test_the_measures_are_what_they_say() -> None:
    base, other = np.array([100.0, 200.0, 400.0]), np.array([110.0, 200.0, 300.0])
    assert behaviour.change(base, other) == pytest.approx(0.10)  # of 10, 0 and 25 %
    assert behaviour.difference(base, other) == pytest.approx(100 / 400)
    assert behaviour.rise(base, other) == pytest.approx(610 / 700 - 1)


def test_a_forecast_of_zero_has_no_relative_change_and_no_difference_from_itself() -> None:
    zero = np.zeros(3)
    assert np.isnan(behaviour.change(zero, np.ones(3)))
    assert behaviour.difference(zero, zero) == 0
    assert np.isnan(behaviour.rise(zero, np.ones(3)))
    assert behaviour.change(np.array([0.0, 100.0]), np.array([5.0, 110.0])) == pytest.approx(0.1)


def test_an_honest_forecast_passes_everything() -> None:
    seen = behaviour.look(seasonal(), SHARP, naive, seed=1)
    assert [seen[name] for name in ("scale", "order of rows", "airport code", "dates")] == pytest.approx([0.0] * 4)
    assert seen["event"] == pytest.approx(0.15, abs=0.06)  # half of the year by 30 %
    noise = [seen[behaviour.noise_name(share)] for share in behaviour.NOISE]
    assert noise == sorted(noise)
    assert noise[1] == pytest.approx(0.67 * 0.05, rel=0.6)  # the median of |N(0, 0.05)|
    found = behaviour.findings(rows_of({"ATL": seen}))
    assert {f.check: f.passed for f in found} == dict.fromkeys(seen, True)


def by_code(raw: Raw, rules: Rules) -> Array:
    return naive(raw, rules) * (1.01 if raw.airport == "ATL" else 1.0)


def by_size(raw: Raw, rules: Rules) -> Array:
    return np.maximum(naive(raw, rules), 900.0)


def by_date(raw: Raw, rules: Rules) -> Array:
    years = (raw.ds[-1] - np.datetime64("2000-01-01")) / np.timedelta64(365, "D")
    return naive(raw, rules) * (1 + years / 1000)


def by_shock(raw: Raw, rules: Rules) -> Array:
    return naive(raw, rules) * (1 + len(configured(raw.ds, raw.frequency, SHARP.shocks)))


def deaf(raw: Raw, rules: Rules) -> Array:
    return np.resize(raw.y[-36:-24], 12)


def nervous(raw: Raw, rules: Rules) -> Array:
    return np.full(12, raw.y[-1] + 10 * (raw.y[-1] - raw.y[-2]))


@pytest.mark.parametrize(
    ("cheat", "caught"),
    [
        (by_code, {"airport code"}),
        (by_size, {"scale"}),
        (by_date, {"dates"}),
        (by_shock, {"dates"}),  # a shock that does not move with its history
        (deaf, {"event"}),
        (nervous, {"noise of 1 %", "noise of 5 %", "noise of 10 %"}),
    ],
)
def test_each_cheat_is_caught_by_the_check_that_is_there_for_it(cheat: Any, caught: set[str]) -> None:
    seen = behaviour.look(seasonal(), SHARP, cheat, seed=1)
    failed = {f.check for f in behaviour.findings(rows_of({"ATL": seen})) if f.passed is False}
    assert failed - {"event"} == caught - {"event"}
    assert ("event" in failed) == ("event" in caught) or cheat is nervous


def rows_of(seen: dict[str, dict[str, float]]) -> pd.DataFrame:
    rows = [(airport, name, value) for airport, values in seen.items() for name, value in values.items()]
    return pd.DataFrame(rows, columns=["airport", "variant", "value"])


def test_the_median_airport_decides_on_noise_and_the_worst_on_what_must_be_equal() -> None:
    calm = {"noise of 5 %": 0.01, "scale": 0.0, "event": 0.1}
    wild = {"noise of 5 %": 0.50, "scale": 2e-9, "event": 0.0}
    found = {f.check: f for f in behaviour.findings(rows_of({"AAA": calm, "BBB": calm, "CCC": wild}))}
    assert found["noise of 5 %"].passed is True
    assert (found["scale"].passed, found["event"].passed) == (False, False)
    assert "CCC" in found["scale"].measured
    assert "2 of 3 rise" in found["event"].measured
    assert {f.passed for name, f in found.items() if name not in calm} == {None}


def test_what_could_not_be_measured_neither_passes_nor_fails() -> None:
    nothing = behaviour.findings(pd.DataFrame(columns=["airport", "variant", "value"]))
    assert {f.passed for f in nothing} == {None}
    only_nan = behaviour.findings(rows_of({"AAA": {"event": float("nan")}}))
    assert {f.passed for f in only_nan} == {None}


# --- the real line, and a model that is overfitted on purpose


@pytest.mark.parametrize("which", ["none", "weekdays", "holidays"])
@pytest.mark.parametrize("start", ["2008-01-01", "2078-01-01"])
def test_tuning_itself_sees_no_scale_no_order_no_code_and_no_year(tuner: Any, which: str, start: str) -> None:
    task = tuner.task(candidates=("seasonal_naive", "scaled"), horizon=12)
    search = tuner.grid({"factor": 1.0}, {"factor": 1.02}, {"factor": 0.98})

    def forecast(raw: Raw, rules: Rules) -> Array:
        tuned = tuning.tune(Past(raw, rules), task, tuner.candidates(tuner.Scaled()), search)
        return tuned.entrants[-1].forecast

    rules = replace(SHARP, find_shocks=True, calendar=which, country="FR")
    seen = behaviour.look(seasonal(start=start), rules, forecast, seed=1)
    assert max(seen[name] for name in ("scale", "order of rows", "airport code", "dates")) < behaviour.SAME
    assert seen["event"] > 0.1


def test_one_airport_can_be_overfitted_on_purpose(make_series: Callable[..., Series]) -> None:
    """With weak priors and a changepoint at every month Prophet learns the noise by heart, and forecasts worse."""
    raw = seasonal(72)
    series = make_series(raw.y, start="2008-01-01")
    past, ahead = series.head(60), series.y[60:]

    def errors(parameters: dict[str, Any]) -> tuple[float, float]:
        fitted = ProphetCandidate().fit(past, parameters, seed=1, seconds=60)
        within = np.mean(np.abs(past.y - predicted(fitted.model, past.dates())))
        return float(within), float(np.mean(np.abs(ahead - fitted.forecast(12))))

    usual = errors({})
    weaker = [
        errors({"n_changepoints": 58, "changepoint_range": 1.0, "changepoint_prior_scale": scale})
        for scale in (0.05, 1.0, 100.0)
    ]
    within, beyond = zip(*weaker, strict=True)
    assert list(within) == sorted(within, reverse=True)
    assert within[-1] < 0.1 * usual[0]
    assert beyond[-1] > 2 * usual[1]
