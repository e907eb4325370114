"""Intervals that learn: the level after each period follows from what lay outside, against a loop by hand."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from paxcast.core import backtesting
from paxcast.core.adaptation import cycles, effective_levels
from paxcast.core.intervals import LEVELS

NOMINAL = {0.80: Fraction(1, 5), 0.95: Fraction(1, 20)}  # what may lie outside


def slow_level(level: float, inside: list[float]) -> float:
    allowed = NOMINAL[level]
    for share in inside:
        outside = 1 - Fraction(share)
        allowed = allowed + Fraction(15, 100) * (NOMINAL[level] - outside)
        allowed = max(allowed, NOMINAL[level] / 2)
        allowed = min(allowed, NOMINAL[level] * 2)
    return float(1 - allowed)


# --- levels


def test_before_anything_became_of_intervals_the_levels_are_exactly_the_nominal_ones():
    assert effective_levels([]) == {0.80: 0.80, 0.95: 0.95}


@pytest.mark.parametrize("seed", range(20))
def test_the_levels_are_what_a_loop_over_the_periods_in_fractions_finds(seed):
    rng = np.random.default_rng(seed)
    shares = [{a: float(rng.beta(20 * a, 20 * (1 - a))) for a in LEVELS} for _ in range(rng.integers(1, 40))]
    found = effective_levels(shares)
    assert found == pytest.approx({a: slow_level(a, [share[a] for share in shares]) for a in LEVELS}, abs=1e-12)


def test_what_missed_too_much_is_taken_at_a_higher_level_and_what_missed_too_little_at_a_lower_one():
    one = effective_levels([{0.80: 0.7, 0.95: 0.97}])
    assert one == pytest.approx({0.80: 0.815, 0.95: 0.947})


def test_the_order_of_the_periods_matters_and_no_number_of_them_leads_beyond_half_or_twice_of_what_may_be_missed():
    all_out, all_in = {0.80: 0.0, 0.95: 0.0}, {0.80: 1.0, 0.95: 1.0}
    assert effective_levels([all_out] * 50) == pytest.approx({0.80: 0.90, 0.95: 0.975})
    assert effective_levels([all_in] * 500) == pytest.approx({0.80: 0.60, 0.95: 0.90})
    assert effective_levels([all_out, all_in])[0.80] != effective_levels([all_in, all_out])[0.80]


# --- cycles


def rows(*found: tuple[str, float, float, float]) -> pd.DataFrame:
    """Of each: period, actual, half-width at 80 % and at 95 % around 100."""
    made = pd.DataFrame(list(found), columns=["ds", "y", "half80", "half95"])
    ends = {f"{side}{a}": 100 + sign * made[f"half{a}"] for side, sign in (("lo", -1), ("hi", 1)) for a in (80, 95)}
    return made.assign(ds=pd.to_datetime(made["ds"]), **ends)


def test_a_cycle_is_the_share_of_the_actuals_of_one_period_inside_and_the_oldest_comes_first():
    found = rows(
        ("2020-03-01", 120, 10, 20),
        ("2020-01-01", 100, 10, 20),
        ("2020-03-01", 79, 10, 20),
        ("2020-03-01", 110, 10, 20),
        ("2020-03-01", 111, 10, 20),
        ("2019-12-01", 99, 0.5, 20),
    )
    expected = [{0.80: 0.0, 0.95: 1.0}, {0.80: 1.0, 0.95: 1.0}, {0.80: 0.25, 0.95: 0.75}]
    assert cycles(found) == expected
    assert cycles(found.iloc[::-1]) == expected


def test_what_is_not_known_yet_is_neither_inside_nor_outside():
    found = rows(("2020-01-01", np.nan, 10, 20), ("2020-02-01", 100, 10, 20), ("2020-02-01", np.nan, 10, 20))
    assert cycles(found) == [{0.80: 1.0, 0.95: 1.0}]
    assert cycles(found.head(1)) == cycles(found.head(0)) == []


def test_in_a_backtest_a_method_learns_from_its_own_periods_up_to_the_origin():
    earlier = [
        rows(("2020-01-01", 150, 10, 20), ("2020-02-01", 105, 10, 20), ("2020-03-01", 150, 10, 20)).assign(method=name)
        for name in ("paxcast", "other")
    ]
    earlier[1]["y"] = 100
    origin = pd.Timestamp("2020-02-01")
    assert backtesting.cycles(earlier, "paxcast", origin) == [{0.80: 0.0, 0.95: 0.0}, {0.80: 1.0, 0.95: 1.0}]
    assert backtesting.cycles(earlier, "other", origin) == [{0.80: 1.0, 0.95: 1.0}] * 2
    assert backtesting.cycles(earlier, "paxcast", pd.Timestamp("2019-12-01")) == []
    assert backtesting.cycles([], "paxcast", origin) == []
