"""Periods and instants, against pandas' own offsets and plain loops."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.calendar import (
    FREQUENCIES,
    as_of_text,
    frequency,
    full_grid,
    infer_frequency,
    next_periods,
    off_grid,
    parse_as_of,
    period_end,
    period_number,
    shift,
)
from paxcast.core.errors import ConfigurationError

SETTINGS = settings(max_examples=60, deadline=None)
OFFSETS = {"D": pd.offsets.Day(1), "W": pd.offsets.Week(1), "MS": pd.offsets.MonthBegin(1)}
CODES = st.sampled_from(sorted(FREQUENCIES))
DAYS = st.dates(datetime(1950, 1, 1).date(), datetime(2100, 1, 1).date())


def start_of(day, code: str) -> pd.Timestamp:
    return pd.Timestamp(day.replace(day=1) if code == "MS" else day)


def column(*days: str) -> "pd.Series[pd.Timestamp]":
    return pd.Series(pd.DatetimeIndex(days))


# --- periods


@SETTINGS
@given(CODES, st.lists(DAYS, max_size=8))
def test_a_period_ends_where_pandas_puts_the_start_of_the_next(code, days):
    starts = pd.Series([start_of(day, code) for day in days], index=range(5, 5 + len(days)), dtype="datetime64[ns]")
    ends = period_end(starts, code)
    assert ends.tolist() == [(start + OFFSETS[code]).tz_localize("UTC") for start in starts]
    assert ends.index.equals(starts.index)
    assert str(ends.dtype) == "datetime64[ns, UTC]"


@pytest.mark.parametrize(
    ("code", "start", "end"),
    [
        ("MS", "2019-02-01", "2019-03-01"),
        ("MS", "2020-02-01", "2020-03-01"),
        ("MS", "2018-12-01", "2019-01-01"),
        ("D", "2020-02-28", "2020-02-29"),
        ("D", "2020-02-29", "2020-03-01"),
        ("D", "2019-12-31", "2020-01-01"),
        ("W", "2020-02-24", "2020-03-02"),
    ],
)
def test_periods_end_rightly_at_leap_days_and_ends_of_months_and_years(code, start, end):
    assert period_end(column(start), code).tolist() == [pd.Timestamp(end, tz="UTC")]


@SETTINGS
@given(CODES, DAYS, st.integers(-300, 300))
def test_a_shift_is_one_step_after_another(code, day, periods):
    expected = start = start_of(day, code)
    for _ in range(abs(periods)):
        expected = expected + OFFSETS[code] if periods > 0 else expected - OFFSETS[code]
    assert shift(pd.DatetimeIndex([start]), periods, code).tolist() == [expected]


@SETTINGS
@given(CODES, DAYS, st.integers(0, 60))
def test_the_grid_holds_every_period_from_the_first_to_the_last(code, day, count):
    expected = [start_of(day, code)]
    for _ in range(count):
        expected.append(expected[-1] + OFFSETS[code])
    assert full_grid(expected[0], expected[-1], code).tolist() == expected
    assert next_periods(expected[0], count, code).tolist() == expected[1:]


@SETTINGS
@given(CODES, DAYS)
def test_neighbouring_periods_have_neighbouring_numbers_also_before_1970(code, day):
    first = start_of(day, code)
    grid = pd.Series(full_grid(first, shift(pd.DatetimeIndex([first]), 70, code)[0], code))
    assert set(np.diff(period_number(grid, code))) == {1}


def test_weeks_keep_the_weekday_they_come_with():
    sunday = pd.Timestamp("2020-02-23")
    assert {day.day_name() for day in next_periods(sunday, 60, "W")} == {"Sunday"}


def test_an_unknown_frequency_is_refused_naming_the_setting():
    assert frequency("MS").season == 12
    with pytest.raises(ConfigurationError, match=r"source\.frequency: 'M' is not one of D, W, MS"):
        frequency("M")


@pytest.mark.parametrize("code", sorted(FREQUENCIES))
def test_a_year_is_whole_seasons_so_that_the_same_season_of_earlier_years_is_the_same_season(code):
    assert FREQUENCIES[code].year % FREQUENCIES[code].season == 0
    assert FREQUENCIES[code].code == code


# --- the grid


@SETTINGS
@given(CODES, DAYS, st.integers(0, 40), st.data())
def test_periods_of_one_grid_are_on_it_whichever_are_missing(code, day, count, data):
    grid = full_grid(start_of(day, code), shift(pd.DatetimeIndex([start_of(day, code)]), count, code)[0], code)
    kept = data.draw(st.sets(st.integers(0, count), min_size=1).map(sorted))
    assert off_grid(grid[kept], code).tolist() == [False] * len(kept)


@pytest.mark.parametrize(
    ("code", "days", "wrong"),
    [
        ("W", ["2020-01-05", "2020-01-06", "2020-01-13"], [True, False, False]),
        ("W", ["2020-01-06", "2020-01-12"], [False, True]),
        ("MS", ["2020-01-01", "2020-01-31"], [False, True]),
        ("D", ["2020-01-01T00:00", "2020-01-02T06:00"], [False, True]),
        ("W", [], []),
    ],
)
def test_weeks_on_another_weekday_than_most_and_days_within_a_month_are_off_the_grid(code, days, wrong):
    assert off_grid(pd.DatetimeIndex([pd.Timestamp(day) for day in days]), code).tolist() == wrong


# --- inference


@pytest.mark.parametrize(
    ("step", "code"), [("D", "D"), ("7D", "W"), ("W-SUN", "W"), ("MS", "MS"), ("ME", "MS"), ("28D", "MS")]
)
def test_the_frequency_is_the_most_common_step_though_periods_are_missing_and_repeated(step, code):
    days = pd.date_range("2019-11-01", periods=40, freq=step)
    kept = days.delete([3, 4, 17]).append(days[:5])[::-1]
    airports = pd.Series(["ATL"] * len(kept) + ["ORD"])
    assert infer_frequency(airports, pd.Series(kept.append(days[:1]))) == code


def test_steps_between_airports_do_not_count():
    airports = pd.Series(["ATL", "ORD", "ATL", "ORD"])
    assert infer_frequency(airports, column("2019-01-01", "2019-01-02", "2019-02-01", "2019-02-02")) == "MS"


@pytest.mark.parametrize(("step", "days"), [("2D", 2), ("14D", 14), ("QS", 92), ("YS", 365)])
def test_steps_that_are_none_of_the_three_must_be_stated(step, days):
    dates = pd.Series(pd.date_range("2017-01-01", periods=5, freq=step))
    with pytest.raises(ConfigurationError, match=rf"source\.frequency: .* is {days} days, .*state D, W or MS"):
        infer_frequency(pd.Series(["ATL"] * 5), dates)


def test_one_date_only_says_nothing_of_the_frequency():
    with pytest.raises(ConfigurationError, match=r"source\.frequency: every airport has one date only"):
        infer_frequency(pd.Series(["ATL", "ORD", "ATL"]), column("2019-01-01", "2019-02-01", "2019-01-01"))


# --- as_of


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2018-12-31", "2019-01-01T00:00Z"),
        (" 2018-12-31 ", "2019-01-01T00:00Z"),
        ("20181231", "2019-01-01T00:00Z"),
        ("2020-02-29", "2020-03-01T00:00Z"),
        ("2018-12-31T00:00:00Z", "2018-12-31T00:00Z"),
        ("2018-12-31T18:30", "2018-12-31T18:30Z"),
        ("2018-12-31 18:30:15", "2018-12-31T18:30:15Z"),
        ("2018-12-31T23:30:00-05:00", "2019-01-01T04:30Z"),
        ("2018-12-31T18:30:15.999999Z", "2018-12-31T18:30:15Z"),
    ],
)
def test_a_bare_date_is_the_end_of_that_day_and_an_instant_is_itself_in_utc_to_the_second(text, instant):
    assert parse_as_of(text) == pd.Timestamp(instant)
    assert str(parse_as_of(text).tz) == "UTC"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "2018-02-29",
        "2018-13-01",
        "12",
        "NaT",
        "31/12/2018",
        "01/02/2018",
        "2018",
        "2018-12",
        "Dec 2018",
        "9999-12-31",
        "0001-01-01",
        "2262-04-11",
        "2018-12-31T25:00",
    ],
)
def test_what_is_no_whole_iso_date_is_refused_with_an_example(text):
    with pytest.raises(ConfigurationError, match=f"as_of: '{text}' is not a date; write it as 2018-12-31"):
        parse_as_of(text)


@pytest.mark.parametrize("text", ["now", "today", "10:30"])
def test_no_text_makes_as_of_read_the_clock(text):
    with pytest.raises(ConfigurationError, match="is not a date"):
        parse_as_of(text)


SECONDS = st.integers(0, 5_000_000_000).map(lambda n: datetime(1970, 1, 2, tzinfo=UTC) + timedelta(seconds=n))


@SETTINGS
@given(SECONDS | DAYS.map(lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC)))
def test_an_as_of_written_and_read_back_is_the_same_instant(moment):
    as_of = pd.Timestamp(moment)
    assert parse_as_of(as_of_text(as_of)) == as_of
    assert as_of_text(parse_as_of(as_of_text(as_of))) == as_of_text(as_of)


def test_the_end_of_a_day_is_written_as_that_day():
    assert as_of_text(pd.Timestamp("2020-03-01", tz="UTC")) == "2020-02-29"
    assert as_of_text(pd.Timestamp("2020-03-01 06:00", tz="UTC")) == "2020-03-01T06:00:00Z"


@pytest.mark.parametrize(
    ("code", "known", "unknown"),
    [
        ("D", "2018-12-31", "2019-01-01"),
        ("MS", "2018-12-01", "2019-01-01"),
        ("W", "2018-12-25", "2018-12-26"),
    ],
)
def test_at_the_end_of_2018_december_is_known_and_nothing_later(code, known, unknown):
    ends = period_end(column(known, unknown), code)
    assert (ends <= parse_as_of("2018-12-31")).tolist() == [True, False]
