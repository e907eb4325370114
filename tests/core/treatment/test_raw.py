"""The raw grid of one airport: every period once, what was not observed left open, what was given left as given."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from paxcast.core.treatment import on_grid

STEPS = {"D": "D", "W": "7D", "MS": "MS"}


def rows(days: "list[str] | pd.DatetimeIndex", values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"ds": pd.DatetimeIndex(days), "y": values})


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(STEPS)), st.dictionaries(st.integers(1, 40), st.floats(0, 1e6), max_size=30), st.data())
def test_absent_periods_are_open_and_given_ones_as_they_were_in_whatever_order_they_came(code, inner, data):
    values = {0: 7.0, **inner}
    grid = pd.date_range("2019-12-01", periods=max(values) + 1, freq=STEPS[code])
    order = data.draw(st.permutations(sorted(values)))
    frame = rows(grid[order], [values[i] for i in order])
    before = frame.copy(deep=True)

    raw = on_grid("ATL", frame, code)
    assert raw.ds.tolist() == grid.to_numpy().tolist()
    assert raw.y.tolist() == pytest.approx([values.get(i, math.nan) for i in range(len(grid))], nan_ok=True, rel=0)
    assert_frame_equal(frame, before)


def test_rows_that_repeat_each_other_count_once_and_types_are_the_same_whatever_came_in():
    frame = rows(["2020-01-02", "2020-01-01", "2020-01-02"], [2, 1, 2]).astype({"ds": "datetime64[s]", "y": "Int64"})
    raw = on_grid("ATL", frame, "D")
    assert (raw.y.tolist(), raw.ds.dtype, raw.y.dtype) == ([1.0, 2.0], np.dtype("datetime64[ns]"), np.dtype("float64"))


def test_a_period_with_two_values_is_refused_naming_airport_and_date():
    with pytest.raises(ValueError, match=r"^ATL: 2020-01-02 has more than one value; validate the history first"):
        on_grid("ATL", rows(["2020-01-01", "2020-01-02", "2020-01-02"], [1, 2, 3]), "D")


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
        on_grid("ATL", frame, code)


def test_the_head_is_the_first_periods():
    raw = on_grid("ATL", rows(["2020-01-01", "2020-03-01", "2020-04-01"], [1, 3, 4]), "MS").head(3)
    assert (raw.airport, raw.frequency, raw.y[[0, 2]].tolist()) == ("ATL", "MS", [1.0, 3.0])
    assert len(raw.ds) == len(raw.y) == 3
