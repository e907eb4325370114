"""Calendar effects: days counted one by one, effects found that were put in, and none where there are none."""

import json
import math
from datetime import date, timedelta

import holidays
import numpy as np
import pandas as pd
import pytest

from paxcast.core import calendar
from paxcast.core.series import Series
from paxcast.core.treatment import Rules
from paxcast.core.treatment.calendar_effects import (
    FEWEST,
    PRIORS,
    Effects,
    effects_from,
    estimate,
    regressors,
)

STARTS = {"MS": "1996-03-01", "W": "1999-12-27", "D": "2000-02-29"}
TURN = {"MS": 336, "W": 1461, "D": 10227}  # periods of 28 years
STEPS = {"MS": "MS", "W": "7D", "D": "D"}
SEASONS = {"MS": 12, "W": 52, "D": 7}
FRENCH = Rules(calendar="holidays", country="FR")
WEEKDAYS = Rules(calendar="weekdays")
FREQUENCIES = pytest.mark.parametrize("frequency", STARTS)


def periods(frequency: str, count: int, start: str | None = None) -> pd.DatetimeIndex:
    return pd.date_range(start or STARTS[frequency], periods=count, freq=STEPS[frequency])


def easter_sunday(year: int) -> date:
    """Meeus, Jones and Butcher."""
    a, b, c = year % 19, year // 100, year % 100
    d, e, g = b // 4, b % 4, (8 * b + 13) // 25
    h = (19 * a + b - d - g + 15) % 30
    i, k = c // 4, c % 4
    m = (32 + 2 * e + 2 * i - h - k) % 7
    n = (a + 11 * h + 22 * m) // 451
    month, day = divmod(h + m - 7 * n + 114, 31)
    return date(year, month, day + 1)


def days_of(start: pd.Timestamp, frequency: str) -> list[date]:
    end = {"MS": start + pd.DateOffset(months=1), "W": start + timedelta(days=7), "D": start + timedelta(days=1)}
    return [(start + timedelta(days=n)).date() for n in range((end[frequency] - start).days)]


def slow(start: pd.Timestamp, frequency: str, feasts: "set[date] | holidays.HolidayBase") -> dict[str, float]:
    """One period, day by day."""
    days = days_of(start, frequency)
    feast = sum(day in feasts for day in days)
    rest = sum(day in feasts or day.weekday() in (5, 6) for day in days)
    easter = sum(-8 <= (day - easter_sunday(day.year)).days <= 7 for day in days)
    if frequency != "MS":
        return {"length": 0.0, "holiday": feast / len(days)}
    return {"length": math.log(len(days) / 30.4375), "rest": rest / len(days) - 2 / 7, "easter": easter / 16}


def asked(frequency: str, count: int, rules: Rules = FRENCH, start: str | None = None) -> dict[str, np.ndarray]:
    first = periods(frequency, 1, start)[0]
    length, x = regressors(first, count, frequency, rules.calendar, rules.country, rules.feasts_moved)
    return {"length": length, **x}


def series_of(y, frequency: str = "MS", start: str | None = None) -> Series:
    ds = periods(frequency, len(y), start).to_numpy().astype("datetime64[ns]")
    return Series("ATL", frequency, ds, np.asarray(y, dtype=np.float64))


def made(frequency: str = "MS", count: int = 300, rules: Rules = FRENCH, seed: int = 1, noise: float = 0.01, **b):
    """Traffic that grows, with a season, noise, and the effects `b` of the calendar. [T]"""
    rng, at = np.random.default_rng(seed), np.arange(count)
    x = asked(frequency, count, rules)
    season = 0.2 * np.sin(2 * np.pi * at / SEASONS[frequency])
    effect = x["length"] + sum(value * x[name] for name, value in b.items())
    return 1000 * np.exp(0.001 * at + season + rng.normal(0, noise, count) + effect)


# --- what tells periods apart


@FREQUENCIES
@pytest.mark.parametrize("country", ["FR", "US", None])
def test_periods_are_told_apart_by_counting_their_days_one_by_one(frequency, country):
    count = {"MS": 340, "W": 300, "D": 1500}[frequency]
    feasts = holidays.country_holidays(country) if country else set()
    found = asked(frequency, count, Rules(calendar="holidays", country=country))
    counted = [slow(start, frequency, feasts) for start in periods(frequency, count)]
    assert sorted(found) == sorted(counted[0])
    for name, values in found.items():
        np.testing.assert_allclose(values, [one[name] for one in counted], atol=1e-12, err_msg=name)


def test_where_only_weekdays_count_there_are_no_feasts_and_no_easter():
    found = asked("MS", 100, Rules(calendar="weekdays", country="FR"))
    counted = [slow(start, "MS", set()) for start in periods("MS", 100)]
    assert sorted(found) == ["length", "rest"]
    np.testing.assert_allclose(found["rest"], [one["rest"] for one in counted], atol=1e-12)
    assert not asked("W", 100, Rules(calendar="weekdays", country="FR"))["holiday"].any()


@FREQUENCIES
@pytest.mark.parametrize("years", [28, -28])
def test_with_feasts_moved_by_28_years_every_period_is_as_it_was_28_years_away(frequency, years):
    first = periods(frequency, 1)[0]
    there = calendar.shift(pd.DatetimeIndex([first]), int(TURN[frequency] * years / 28), frequency)[0]
    one = asked(frequency, 400)
    two = asked(frequency, 400, Rules(calendar="holidays", country="FR", feasts_moved=years), str(there.date()))
    assert there.year == first.year + years
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=0, atol=1e-12, err_msg=name)
    unmoved = asked(frequency, 400, FRENCH, str(there.date()))
    assert any(not np.array_equal(unmoved[name], values) for name, values in one.items())  # Easter lies elsewhere


@pytest.mark.parametrize("weekday", range(7))
def test_weeks_may_begin_on_any_weekday_and_on_the_last_day_of_a_year(weekday):
    start = pd.Timestamp("2006-12-25") + pd.Timedelta(days=weekday)
    found = asked("W", 120, start=str(start.date()))["holiday"]
    feasts = holidays.country_holidays("FR")
    counted = [slow(week, "W", feasts)["holiday"] for week in periods("W", 120, str(start.date()))]
    np.testing.assert_allclose(found, counted, atol=1e-12)


@FREQUENCIES
def test_what_a_caller_does_to_what_it_got_changes_nothing_for_the_next_one(frequency):
    first, again = asked(frequency, 5), asked(frequency, 5)
    for values in first.values():
        values += 7
    for name, values in asked(frequency, 5).items():
        np.testing.assert_array_equal(values, again[name])


@pytest.mark.parametrize("start", ["1690-01-01", "1895-01-01", "2095-01-01", "2230-01-01"])
def test_beyond_all_known_holidays_weekends_and_easter_are_still_there(start):
    found = asked("MS", 240, start=start)
    counted = [slow(month, "MS", set()) for month in periods("MS", 240, start)]
    np.testing.assert_allclose(found["easter"], [one["easter"] for one in counted], atol=1e-12)
    assert (found["rest"] >= np.array([one["rest"] for one in counted]) - 1e-12).all()


# --- factors


def test_a_month_counts_by_its_days_and_february_by_the_year():
    ds = periods("MS", 14, "2023-01-01")
    factors = Effects("MS", "weekdays", None, 0, {}).factors(ds) * 30.4375
    assert factors == pytest.approx([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29])


@FREQUENCIES
def test_a_factor_is_the_exponential_of_what_the_days_say(frequency):
    b = {"rest": -0.4, "easter": 0.05} if frequency == "MS" else {"holiday": -0.2}
    ds, feasts = periods(frequency, 200, "2010-02-01"), holidays.country_holidays("FR")
    found = Effects(frequency, "holidays", "FR", 0, b).factors(ds)
    for start, factor in zip(ds, found, strict=True):
        x = slow(start, frequency, feasts)
        assert factor == pytest.approx(math.exp(x["length"] + sum(value * x[name] for name, value in b.items())))


@FREQUENCIES
def test_without_a_calendar_every_factor_is_one_and_of_no_period_there_is_none(frequency):
    assert Effects(frequency, "none", "FR", 0, {}).factors(periods(frequency, 50)).tolist() == [1.0] * 50
    assert Effects(frequency, "holidays", "FR", 0, {}).factors(periods(frequency, 1)[:0]).tolist() == []


@pytest.mark.parametrize("country", [None, "FR"])
def test_over_28_years_the_factors_are_about_one_on_average(country):
    effects = Effects("MS", "holidays", country, 0, {"rest": -0.3, "easter": 0.05})
    assert effects.factors(periods("MS", 336)).mean() == pytest.approx(1.0, abs=0.015)
    assert Effects("MS", "weekdays", None, 0, {}).factors(periods("MS", 336)).mean() == pytest.approx(1.0)


@FREQUENCIES
def test_dates_in_another_resolution_have_the_same_factors(frequency):
    y = made(frequency, 200)
    plain = series_of(y, frequency)
    other = Series("ATL", frequency, plain.ds.astype("datetime64[us]"), plain.y)
    assert estimate(other, FRENCH) == estimate(plain, FRENCH)
    effects = estimate(plain, FRENCH)
    assert effects.factors(other.dates()).tolist() == effects.factors(plain.dates()).tolist()


# --- what is found in a history


def slowly_estimated(series: Series, rules: Rules) -> dict[str, float]:
    """Each difference by itself; least squares with one more observation for each prior."""
    season, frequency = SEASONS[series.frequency], series.frequency
    feasts = holidays.country_holidays(rules.country) if rules.country else set()
    x = [slow(start, frequency, feasts) for start in series.dates()]
    names = [name for name in x[0] if name != "length"]
    rows, off = [], []
    for t in range(season + 1, len(series.y)):
        four = ((t, 1), (t - 1, -1), (t - season, -1), (t - season - 1, 1))
        if all(series.y[i] > 0 for i, _ in four):
            off.append(sum(sign * (math.log(series.y[i]) - x[i]["length"]) for i, sign in four))
            rows.append([sum(sign * x[i][name] for i, sign in four) for name in names])
    found = np.zeros(len(names))
    for _ in range(5):  # first nothing is explained, then what the effects found so far explain
        explained = [float(np.dot(row, found)) for row in rows]
        left = [value - e for value, e in zip(off, explained, strict=True)]
        bound = 3 * 1.4826 * float(np.median([abs(value) for value in left]))
        tamed = [e + min(max(value, -bound), bound) for value, e in zip(left, explained, strict=True)]
        spread = math.sqrt(sum(value**2 for value in tamed) / len(tamed))
        priors = [[spread / PRIORS[n] if m == at else 0.0 for m in range(len(names))] for at, n in enumerate(names)]
        found = np.linalg.lstsq(np.array(rows + priors), np.array(tamed + [0.0] * len(names)), rcond=None)[0]
    return dict(zip(names, found, strict=True))


@pytest.mark.parametrize(("frequency", "count"), [("MS", 60), ("MS", 150), ("W", 170), ("D", 400)])
def test_the_effects_are_those_of_least_squares_with_priors_on_differences_taken_one_by_one(frequency, count):
    y = made(frequency, count, noise=0.1)
    y[[3, count // 2]] = 0.0
    y[count // 3] *= 20
    series = series_of(y, frequency)
    assert dict(estimate(series, FRENCH).coefficients) == pytest.approx(slowly_estimated(series, FRENCH), rel=1e-8)


@pytest.mark.parametrize(
    ("frequency", "count", "b"),
    [
        ("MS", 300, {"rest": -0.5, "easter": 0.04}),
        ("MS", 300, {"rest": 0.4, "easter": -0.04}),
        ("W", 500, {"holiday": -0.3}),
        ("D", 1200, {"holiday": 0.2}),
    ],
)
def test_effects_that_were_put_in_are_found(frequency, count, b):
    noise = 0.01
    histories = [series_of(made(frequency, count, seed=seed, noise=noise, **b), frequency) for seed in range(8)]
    found = [estimate(series, FRENCH) for series in histories]
    for name, value in b.items():
        assert np.mean([effects.coefficients[name] for effects in found]) == pytest.approx(value, rel=0.2)


@FREQUENCIES
def test_where_none_were_put_in_next_to_none_are_found(frequency):
    for seed in range(4):
        count = {"MS": 300, "W": 500, "D": 1200}[frequency]
        found = estimate(series_of(made(frequency, count, seed=seed), frequency), FRENCH).coefficients
        assert sorted(found) == (["easter", "rest"] if frequency == "MS" else ["holiday"])
        assert all(abs(b) < PRIORS[name] / 3 for name, b in found.items())


def test_in_much_noise_an_effect_is_drawn_to_zero_and_never_further_from_it_than_the_prior_allows():
    found = [
        estimate(series_of(made(count=60, seed=seed, noise=0.5, rest=-0.5)), FRENCH).coefficients for seed in range(20)
    ]
    assert np.sqrt(np.mean([b["rest"] ** 2 for b in found])) < PRIORS["rest"]
    assert np.sqrt(np.mean([b["easter"] ** 2 for b in found])) < PRIORS["easter"]


@pytest.mark.parametrize(("frequency", "count"), [("W", 170), ("D", 400)])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_an_airport_that_is_closed_on_feasts_tells_nothing_of_them(frequency, count, noise):
    feast = asked(frequency, count)["holiday"] > 0
    y = np.where(feast, 0.0, 7.0 * np.exp(np.random.default_rng(1).normal(0, noise, count)))
    if frequency == "W":  # one feast in all these weeks
        y[feast] = np.where(np.arange(feast.sum()) % 2, 7.0, 0.0)
    found = estimate(series_of(y, frequency), FRENCH).coefficients.get("holiday", 0.0)
    assert found == 0 or (frequency == "W" and abs(found) < PRIORS["holiday"])


def test_one_slip_in_a_history_decides_nothing():
    y = made(rest=-0.5, easter=0.08)
    slip = np.where(np.arange(len(y)) == 121, 50 * y, y)
    one, other = (estimate(series_of(values), FRENCH).coefficients for values in (y, slip))
    assert other == pytest.approx(one, abs=0.05)


@FREQUENCIES
@pytest.mark.parametrize("factor", [1e3, 1e-6, 1 / 3])
def test_the_unit_of_traffic_changes_nothing(frequency, factor):
    y = made(frequency, 200, noise=0.1)
    y[50] = 0.0
    one, other = (estimate(series_of(k * y, frequency), FRENCH) for k in (1.0, factor))
    assert dict(other.coefficients) == pytest.approx(dict(one.coefficients), rel=1e-9, abs=1e-12)


@FREQUENCIES
def test_the_same_history_28_years_later_with_its_feasts_has_the_same_factors(frequency):
    one = series_of(made(frequency, 300, noise=0.1), frequency)
    later = calendar.shift(one.dates(), TURN[frequency], frequency)
    other = Series("ATL", frequency, later.to_numpy(), one.y)
    effects, moved = (
        estimate(one, FRENCH),
        estimate(other, Rules(calendar="holidays", country="FR", feasts_moved=28)),
    )
    ahead = calendar.next_periods(one.dates()[-1], 30, frequency)
    factors = moved.factors(calendar.shift(ahead, TURN[frequency], frequency))
    np.testing.assert_allclose(factors, effects.factors(ahead), rtol=1e-12)


ODD = {
    "empty": [],
    "one period": [5.0],
    "a season": [5.0] * 12,
    "all zeros": [0.0] * 400,
    "constant": [7.0] * 400,
    "one value": [*[0.0] * 200, 5.0, *[0.0] * 199],
    "doubles every year": (2.0 ** (np.arange(400) / 12)).tolist(),
    "huge and tiny": [1e15, 1e-9] * 200,
    "nearly all zeros": [5.0, 0.0, 0.0] * 133,
}


@FREQUENCIES
@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("rules", [FRENCH, WEEKDAYS, Rules(calendar="holidays"), Rules()], ids=lambda r: r.calendar)
def test_an_odd_history_has_finite_factors_above_zero_and_no_great_effect(frequency, name, rules):
    series = series_of(ODD[name], frequency)
    effects = estimate(series, rules)
    assert all(abs(b) < 3 * PRIORS[which] for which, b in effects.coefficients.items())
    factors = effects.factors(periods(frequency, 60, "2020-01-01"))
    assert np.isfinite(factors).all()
    assert (factors > 0.5).all()
    assert (factors < 2).all()
    if name in ("empty", "one period", "a season", "all zeros", "one value"):
        assert effects.coefficients == {}


@pytest.mark.parametrize(("frequency", "season"), SEASONS.items())
def test_a_history_tells_of_effects_from_24_differences_on_and_a_zero_takes_four_away(frequency, season):
    start = "2000-04-15"  # nine days before Easter Monday
    start = {"MS": "2000-04-01"}.get(frequency, start)
    shortest = season + 1 + FEWEST
    y = np.random.default_rng(1).uniform(50, 100, shortest + 8)

    def tells(values) -> bool:
        return bool(estimate(series_of(values, frequency, start), FRENCH).coefficients)

    assert tells(y[:shortest])
    assert not tells(y[: shortest - 1])
    y[season + 2] = 0.0  # in the differences of its period, of the next, and of both a season later
    lost = sum(season + 1 <= t < shortest for t in (season + 2, season + 3, 2 * season + 2, 2 * season + 3))
    assert tells(y[: shortest + lost])
    assert not tells(y[: shortest + lost - 1])


@pytest.mark.parametrize("frequency", ["W", "D"])
@pytest.mark.parametrize("country", [None, "XX"])
def test_without_a_country_that_is_known_weeks_and_days_are_all_alike(frequency, country):
    effects = estimate(series_of(made(frequency, 300), frequency), Rules(calendar="holidays", country=country))
    assert effects.coefficients == {}
    assert effects.factors(periods(frequency, 60)).tolist() == [1.0] * 60


def test_months_without_a_country_still_have_weekends_and_easter():
    effects = estimate(series_of(made()), Rules(calendar="holidays"))
    assert sorted(effects.coefficients) == ["easter", "rest"]
    assert sorted(estimate(series_of(made()), WEEKDAYS).coefficients) == ["rest"]


@FREQUENCIES
def test_effects_written_as_json_and_read_back_are_the_same_to_the_last_bit(frequency):
    effects = estimate(
        series_of(made(frequency, 300), frequency), Rules(calendar="holidays", country="FR", feasts_moved=28)
    )
    again = effects_from(json.loads(json.dumps(effects.as_json())))
    assert again == effects
    assert again.factors(periods(frequency, 40)).tolist() == effects.factors(periods(frequency, 40)).tolist()
