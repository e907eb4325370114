"""All airports on one grid of periods: where each row lies, what counts as none, and the median of what is known."""

import numpy as np
import pandas as pd
import pytest

from paxcast.core.drift.traffic import first_true, last_true, median, on_grid
from paxcast.core.errors import ConfigurationError


def frame(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["airport", "ds", "y"]).astype({"ds": "datetime64[ns]", "y": float})


def test_each_row_lies_so_many_periods_before_the_newest_and_later_ones_are_left_out():
    rows = frame(("BBB", "2019-11-01", 4), ("AAA", "2020-02-01", 1), ("AAA", "2019-12-01", 3), ("AAA", "2020-03-01", 9))
    grid = on_grid(rows, "MS", pd.Timestamp("2020-02-01"), 10)
    assert grid.airports == ("AAA", "BBB")
    assert np.array_equal(grid.y, [[np.nan, 3, np.nan, 1], [4, np.nan, np.nan, np.nan]], equal_nan=True)
    assert [grid.start(0, column) for column in range(4)] == ["2019-11-01", "2019-12-01", "2020-01-01", "2020-02-01"]


def test_only_so_many_of_the_newest_periods_are_kept():
    rows = frame(*(("AAA", f"2020-01-{day:02d}", day) for day in range(1, 32)))
    grid = on_grid(rows, "D", pd.Timestamp("2020-01-31"), 3)
    assert grid.y.tolist() == [[29, 30, 31]]
    assert grid.start(0, 0) == "2020-01-29"


def test_weeks_keep_the_weekday_they_come_with_and_lie_beside_those_that_began_up_to_six_days_later():
    newest = pd.Timestamp("2020-01-06")  # a Monday
    rows = frame(
        ("MON", "2020-01-06", 1), ("MON", "2019-12-30", 2), ("TUE", "2019-12-31", 3), ("SUN", "2020-01-05", 4)
    )  # fmt: skip
    grid = on_grid(rows, "W", newest, 10)
    assert grid.airports == ("MON", "SUN", "TUE")
    assert np.array_equal(grid.y, [[2, 1], [np.nan, 4], [np.nan, 3]], equal_nan=True)
    assert [grid.start(at, 1) for at in range(3)] == ["2020-01-06", "2020-01-05", "2019-12-31"]
    assert grid.start(2, 0) == "2019-12-24"


def test_what_is_no_traffic_counts_as_no_row_and_of_two_values_the_larger_is_taken_in_any_order():
    rows = frame(
        ("AAA", "2020-01-01", np.nan),
        ("AAA", "2020-01-02", -1),
        ("AAA", "2020-01-03", np.inf),
        ("AAA", "2020-01-04", 5),
        ("AAA", "2020-01-04", 7),
        ("AAA", "2020-01-05", 0),
    )
    for order in (rows, rows.iloc[::-1]):
        grid = on_grid(order, "D", pd.Timestamp("2020-01-05"), 9)
        assert np.array_equal(grid.y, [[np.nan, np.nan, np.nan, 7, 0]], equal_nan=True)


def test_no_rows_make_an_empty_grid_and_an_unknown_frequency_is_refused():
    assert on_grid(frame(), "MS", pd.Timestamp("2020-01-01"), 10).y.shape == (0, 1)
    with pytest.raises(ConfigurationError, match=r"source\.frequency: 'Q'"):
        on_grid(frame(), "Q", pd.Timestamp("2020-01-01"), 10)


@pytest.mark.parametrize("shape", [(40, 7), (40, 8), (5, 4, 3), (3, 1), (3, 0)])
def test_the_median_is_numpys_of_what_is_finite_and_unknown_where_that_is_too_little(shape):
    rng = np.random.default_rng(sum(shape))
    values = rng.normal(size=shape)
    values[rng.random(shape) < 0.4] = np.nan
    values[rng.random(shape) < 0.1] = np.inf
    for least in (1, 3):
        found = median(values, least)
        for at in np.ndindex(shape[:-1]):
            known = [v for v in values[at] if np.isfinite(v)]
            if len(known) >= least:
                assert found[at] == pytest.approx(np.median(known))
            else:
                assert np.isnan(found[at])


def test_first_and_last_that_hold():
    flags = np.array([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]], dtype=bool)
    assert first_true(flags).tolist() == [1, 5, 0]
    assert last_true(flags).tolist() == [3, -1, 4]
