"""A history made regular: every period once, gaps filled as the source says, what was given left as given."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from paxcast.core.series import regular

SETTINGS = settings(max_examples=60, deadline=None)
STEPS = {"D": "D", "W": "7D", "MS": "MS"}


def rows(days: "list[str] | pd.DatetimeIndex", values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.DatetimeIndex(days), "y": values})


def slowly_interpolated(values: dict[int, float], length: int) -> list[float]:
    """Straight lines between the nearest given neighbours, by period and not by day."""
    filled = []
    for i in range(length):
        left = max(j for j in values if j <= i)
        right = min(j for j in values if j >= i)
        share = (i - left) / (right - left) if right > left else 0.0
        filled.append(values[left] + share * (values[right] - values[left]))
    return filled


@SETTINGS
@given(st.sampled_from(sorted(STEPS)), st.dictionaries(st.integers(1, 40), st.floats(0, 1e6), max_size=30), st.data())
def test_absent_periods_are_interpolated_or_zero_and_counted(code, inner, data):
    given_values = {0: 7.0, **inner}
    length = max(given_values) + 1
    grid = pd.date_range("2019-12-01", periods=length, freq=STEPS[code])
    order = data.draw(st.permutations(sorted(given_values)))
    frame = rows(grid[order], [given_values[i] for i in order])

    missing, zero = regular("ATL", frame, code, "missing"), regular("ATL", frame, code, "zero")
    assert missing.ds.tolist() == zero.ds.tolist() == grid.to_numpy().tolist()
    assert missing.filled == zero.filled == length - len(given_values)
    assert missing.y.tolist() == pytest.approx(slowly_interpolated(given_values, length))
    assert zero.y.tolist() == [given_values.get(i, 0.0) for i in range(length)]


def test_what_was_given_is_kept_to_the_last_bit():
    values = [0.1 + 0.2, 1e-300, 1e15 + 0.5]
    assert regular("ATL", rows(["2020-01-01", "2020-01-02", "2020-01-09"], values), "D", "missing").y[
        [0, 1, 8]
    ].tolist() == (values)


def test_an_absent_leap_day_is_filled_and_a_29th_of_february_of_another_year_is_not_made_up():
    leap = regular("ATL", rows(["2020-02-28", "2020-03-01"], [10, 20]), "D", "missing")
    plain = regular("ATL", rows(["2019-02-28", "2019-03-01"], [10, 20]), "D", "missing")
    assert (leap.y.tolist(), leap.filled) == ([10, 15, 20], 1)
    assert (plain.y.tolist(), plain.filled) == ([10, 20], 0)


def test_an_absent_february_counts_as_one_month_however_short_it_is():
    assert regular("ATL", rows(["2019-01-01", "2019-03-01"], [10, 20]), "MS", "missing").y.tolist() == [10, 15, 20]


def test_weeks_are_counted_on_the_weekday_they_come_with():
    series = regular("ATL", rows(["2020-02-23", "2020-03-08"], [10, 20]), "W", "zero")
    assert [str(day)[:10] for day in series.ds] == ["2020-02-23", "2020-03-01", "2020-03-08"]


@pytest.mark.parametrize("values", [[5.0] * 12, [0.0] * 12])
def test_constant_and_zero_series_stay_what_they_are(values):
    series = regular("ATL", rows(pd.date_range("2020-01-01", periods=12, freq="MS"), values), "MS", "missing")
    assert (series.y.tolist(), series.filled) == (values, 0)


def test_a_value_that_is_no_number_counts_as_absent():
    series = regular("ATL", rows(["2020-01-01", "2020-01-02", "2020-01-03"], [1, math.nan, 3]), "D", "missing")
    assert (series.y.tolist(), series.filled) == ([1, 2, 3], 1)


def test_a_row_that_stands_twice_counts_once():
    series = regular("ATL", rows(["2020-01-01", "2020-01-02", "2020-01-01"], [1, 2, 1]), "D", "missing")
    assert (series.y.tolist(), series.filled) == ([1, 2], 0)


def test_a_period_with_two_values_is_refused_naming_airport_and_date():
    with pytest.raises(ValueError, match=r"^ATL: 2020-01-02 has more than one value; validate the history first"):
        regular("ATL", rows(["2020-01-01", "2020-01-02", "2020-01-02"], [1, 2, 3]), "D", "missing")


@pytest.mark.parametrize(
    ("code", "days", "wrong"),
    [
        ("W", ["2020-01-06", "2020-01-13", "2020-01-19"], "2020-01-19"),
        ("MS", ["2020-01-01", "2020-02-02", "2020-03-01"], "2020-02-02"),
        ("D", ["2020-01-01", "2020-01-02T12:00"], "2020-01-02"),
    ],
)
def test_a_row_off_the_grid_is_refused_and_not_dropped(code, days, wrong):
    frame = rows(pd.DatetimeIndex([pd.Timestamp(day) for day in days]), [1.0] * len(days))
    with pytest.raises(ValueError, match=rf"^ATL: {wrong} does not lie on the grid of its periods \({code}\)"):
        regular("ATL", frame, code, "missing")


def test_a_single_observation_is_a_series_of_one():
    series = regular("ATL", rows(["2020-02-29"], [3]), "D", "missing")
    assert (series.airport, series.frequency, series.y.tolist()) == ("ATL", "D", [3.0])


def test_types_are_dates_in_nanoseconds_and_doubles_whatever_came_in():
    frame = rows(["2020-01-01", "2020-01-02"], [1, 2]).astype({"ds": "datetime64[s]", "y": "Int64"})
    series = regular("ATL", frame, "D", "missing")
    assert (series.ds.dtype, series.y.dtype) == (np.dtype("datetime64[ns]"), np.dtype("float64"))


def test_the_frame_handed_in_is_left_as_it_was():
    frame = rows(["2020-03-01", "2020-01-01"], [1, 2])
    before = frame.copy(deep=True)
    regular("ATL", frame, "MS", "missing")
    assert_frame_equal(frame, before)


def test_the_head_is_the_first_periods_and_what_follows_them_comes_next(make_series):
    series = make_series(range(30), "MS", start="2018-12-01")
    head = series.head(15)
    assert head.y.tolist() == list(range(15))
    assert head.next_periods(15).tolist() == [pd.Timestamp(day) for day in series.ds[15:]]


def test_the_tail_is_the_last_periods_or_all_there_are_and_dates_are_its_own(make_series):
    series = make_series(range(30), "MS", start="2018-12-01")
    tail = series.tail(12)
    assert tail.y.tolist() == list(range(18, 30))
    assert tail.dates().tolist() == [pd.Timestamp(day) for day in series.ds[18:]]
    assert tail.next_periods(3).tolist() == series.next_periods(3).tolist()
    assert series.tail(40).y.tolist() == list(range(30))
    assert (tail.airport, tail.frequency) == ("ATL", "MS")


def test_after_the_last_day_of_february_comes_the_leap_day(make_series):
    series = make_series(range(28), "D", start="2020-02-01")
    assert [str(day.date()) for day in series.next_periods(2)] == ["2020-02-29", "2020-03-01"]
