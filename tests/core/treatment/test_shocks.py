"""Which periods are a shock: configured windows clipped to what is known, drops found, and what only looks like one."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from paxcast.core.errors import ConfigurationError
from paxcast.core.treatment import Shock
from paxcast.core.treatment.shocks import FOUND, Window, configured, found, joined

COVID = Shock(date(2020, 3, 1), date(2022, 2, 28), "Covid-19")
STEPS = {"D": "D", "W": "7D", "MS": "MS"}


def grid(first: str, last: str, code: str = "MS") -> np.ndarray:
    return pd.date_range(first, last, freq=STEPS[code]).to_numpy().astype("datetime64[ns]")


def usual(periods: int, year: int, noise: float = 0.05, seed: int = 1) -> np.ndarray:
    shape = 1000 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(periods) / year))
    return shape * np.exp(np.random.default_rng(seed).normal(0, noise, periods))


def spans(windows) -> list[tuple[int, int]]:
    return [(w.first, w.last) for w in windows]


def test_a_shock_that_has_not_begun_is_unknown_and_one_that_goes_on_is_clipped():
    assert configured(grid("2018-01-01", "2020-02-01"), "MS", [COVID]) == ()
    assert spans(configured(grid("2020-01-01", "2020-05-01"), "MS", [COVID])) == [(2, 4)]
    assert spans(configured(grid("2020-01-01", "2023-01-01"), "MS", [COVID])) == [(2, 25)]
    assert spans(configured(grid("2021-01-01", "2023-01-01"), "MS", [COVID])) == [(0, 13)]


def test_a_period_that_touches_a_shock_is_in_it():
    strike = Shock(date(2019, 7, 31), date(2019, 8, 5), "strike")
    assert spans(configured(grid("2019-06-01", "2019-10-01"), "MS", [strike])) == [(1, 2)]
    assert spans(configured(grid("2019-07-22", "2019-08-19", "W"), "W", [strike])) == [(1, 2)]  # weeks from a Monday
    assert spans(configured(grid("2019-07-30", "2019-08-19", "D"), "D", [strike])) == [(1, 6)]


def test_a_shock_that_ends_before_it_begins_is_a_wrong_setting():
    with pytest.raises(ConfigurationError, match=r"shocks: strike ends 2019-01-01, before it begins 2019-02-01"):
        Shock(date(2019, 2, 1), date(2019, 1, 1), "strike")


def test_windows_that_touch_are_one_under_the_configured_name():
    windows = [Window("b", 9, 12), Window(FOUND, 3, 4), Window("a", 5, 6), Window("c", 11, 30)]
    assert joined(windows, 25) == (Window("a", 3, 6), Window("b", 9, 24))


@pytest.mark.parametrize(("code", "year", "length"), [("MS", 12, 3), ("MS", 12, 20), ("W", 52, 8), ("D", 364, 40)])
def test_a_drop_below_half_for_long_enough_is_found_from_its_first_period_to_its_last(code, year, length):
    y = usual(6 * year, year)
    first = 3 * year + 2
    y[first : first + length] *= 0.3
    (window,) = found(y, code, [])
    slack = 5 if code == "D" else 0  # the level of a day is that of a week around it
    assert window.name == FOUND
    assert abs(window.first - first) <= slack
    assert abs(window.last - (first + length - 1)) <= slack


def test_a_drop_goes_on_until_three_months_in_a_row_are_back_above_80_percent():
    y = usual(72, 12, noise=0.0)
    y[36:40] *= 0.3
    y[40] *= 0.9  # a single good month
    y[41:45] *= 0.7
    assert spans(found(y, "MS", [])) == [(36, 44)]


def test_a_drop_that_lasts_to_the_end_of_the_data_is_found_and_so_is_its_end_while_it_recovers():
    y = usual(60, 12, noise=0.0)
    y[55:] *= 0.3
    assert spans(found(y, "MS", [])) == [(55, 59)]
    y[59] /= 0.3
    assert spans(found(y, "MS", [])) == [(55, 58)]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("two months", lambda y: y[36:38].__imul__(0.1)),
        ("not below half", lambda y: y[36:48].__imul__(0.6)),
        ("a new level", lambda y: y[36:].__imul__(0.3)),
        ("the year after a high one", lambda y: y[24:30].__imul__(3.0)),
        ("a fall", lambda y: y[:36].__imul__(1.0)),
    ],
)
def test_what_is_no_shock_is_not_found(what, change):
    y = usual(84, 12)
    change(y)
    assert found(y, "MS", []) == []


def test_an_empty_winter_that_falls_by_half_costs_too_little():
    y = np.tile([10.0] * 4 + [1000.0] * 8, 7)
    y[48:52] = 2.0
    assert found(y, "MS", []) == []


def test_where_traffic_is_wild_from_year_to_year_half_is_nothing_special():
    y = usual(120, 12, noise=0.6, seed=3)
    y[60:63] = 0.45 * y[48:51]
    assert found(y, "MS", []) == []


def test_a_pause_that_comes_again_the_next_year_is_a_habit():
    y = usual(108, 12, noise=0.02)
    for first in (48, 60, 72):
        y[first : first + 4] *= 0.1
    assert found(y, "MS", []) == []


def test_the_months_after_a_known_shock_are_compared_with_those_before_it():
    y = usual(84, 12, noise=0.0)
    y[36:66] *= 0.3  # the configured window ends with 59, the trouble with 65
    assert spans(found(y, "MS", [Window("Covid-19", 36, 59)])) == [(60, 65)]


def test_a_history_of_a_year_or_less_has_no_shock():
    assert found(usual(12, 12), "MS", []) == []
    assert found(np.array([]), "MS", []) == []


def test_what_was_not_observed_is_no_drop():
    y = usual(72, 12)
    y[36:42] = np.nan
    assert found(y, "MS", []) == []
