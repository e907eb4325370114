"""Stretches made up from what lies on both sides: exact on a steady series, joined at the ends, as an oracle says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.treatment.bridging import Stretch, filled

SEASONS = {"MS": 12, "W": 52, "D": 364}


def steady(periods: int, season: int, growth: float = 1.1) -> np.ndarray:
    """Constant growth a season, constant shape."""
    t = np.arange(periods)
    return 1000 * growth ** (t / season) * (1 + 0.5 * np.sin(2 * np.pi * (t % season) / season))


def slow_curve(y: list[float], first: int, last: int, season: int, t: int, growth: float) -> float:
    """One period of the bridge before its ends are joined, as the module's docstring says it."""
    back, ahead = 1, 1
    while t - back * season >= first:
        back += 1
    while t + ahead * season <= last:
        ahead += 1
    a = y[t - back * season] if t - back * season >= 0 else math.nan
    b = y[t + ahead * season] if t + ahead * season < len(y) else math.nan
    total = back + ahead
    a = b / growth**total if math.isnan(a) else a
    b = a * growth**total if math.isnan(b) else b
    return a ** (ahead / total) * b ** (back / total)


def slow_growth(y: list[float], first: int, last: int, season: int) -> float:
    rates, weights = [], []
    for t in range(first - season, first):
        seasons = 1
        while t + seasons * season <= last:
            seasons += 1
        if t >= 0 and t + seasons * season < len(y):
            rates.append(math.log(y[t + seasons * season] / y[t]) / seasons)
            weights.append(y[t])
    mean = sum(r * w for r, w in zip(rates, weights, strict=True)) / sum(weights) if rates else 0.0
    return math.exp(min(max(mean, -math.log(2)), math.log(2)))


def slow_bridge(y: list[float], first: int, last: int, season: int, edge: int) -> list[float]:
    growth = slow_growth(y, first, last, season)

    def end(periods: list[int]) -> float | None:
        pairs = [(y[t], slow_curve(y, first, last, season, t, growth)) for t in periods]
        pairs = [(own, other) for own, other in pairs if not math.isnan(other)]
        if not pairs:
            return None
        ratio = sum(own for own, _ in pairs) / sum(other for _, other in pairs)
        return min(max(math.log(ratio), -math.log(2)), math.log(2))

    left = end([t for t in range(first - edge, first) if t >= 0])
    right = end([t for t in range(last + 1, last + 1 + edge) if t < len(y)])
    left, right = (right if left is None else left), (left if right is None else right)
    left, right = left or 0.0, right or 0.0
    made = []
    for t in range(first, last + 1):
        share = (t - first + 1) / (last - first + 2)
        made.append(slow_curve(y, first, last, season, t, growth) * math.exp(left + share * (right - left)))
    return made


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_bridge_is_what_the_slow_oracle_gives(data):
    season, edge = 4, 2
    y = data.draw(st.lists(st.floats(10, 1000), min_size=12, max_size=40))
    first = data.draw(st.integers(season, len(y) - 1))
    last = data.draw(st.integers(first, min(first + 10, len(y) - 1)))
    made = Stretch(np.array(y), first, last, season).bridge(edge)
    assert made.tolist() == pytest.approx(slow_bridge(y, first, last, season, edge))


@pytest.mark.parametrize(("code", "length"), [("MS", 3), ("MS", 24), ("MS", 16), ("W", 30), ("D", 3), ("D", 728)])
def test_a_steady_series_is_restored_exactly(code, length):
    season = SEASONS[code]
    y = steady(5 * season + length, season)
    holed, first = y.copy(), 2 * season + 5
    holed[first : first + length] = np.nan
    made = filled(holed, first, first + length - 1, code)
    assert made == pytest.approx(y[first : first + length], rel=2e-2 if code == "D" and length == 3 else 1e-9)


def test_a_steady_series_is_restored_from_a_few_months_after_and_from_less_than_a_year_before():
    y = steady(60, 12)
    late, early = y.copy(), y.copy()
    late[30:54], early[5:12] = np.nan, np.nan
    assert filled(late, 30, 53, "MS") == pytest.approx(y[30:54], rel=1e-9)
    assert filled(early, 5, 11, "MS") == pytest.approx(y[5:12], rel=1e-2)  # no pair tells the growth: the ends do


def test_the_stretch_itself_is_not_looked_at():
    y = steady(80, 12)
    wild = y.copy()
    wild[30:50] = 1e9
    assert filled(wild, 30, 49, "MS").tolist() == filled(y, 30, 49, "MS").tolist()


def test_an_end_joins_when_the_level_beside_it_is_not_that_of_the_season_that_shapes_it():
    before, after = np.full(96, 100.0), np.full(96, 100.0)
    before[33:36], after[60:63] = 130.0, 130.0
    falling, rising = filled(before, 36, 59, "MS"), filled(after, 36, 59, "MS")
    assert falling[:9] == pytest.approx(np.linspace(130, 117, 9), rel=0.05)
    assert rising[-9:] == pytest.approx(np.linspace(117, 130, 9), rel=0.05)
    assert filled(np.full(96, 100.0), 36, 59, "MS") == pytest.approx(100)


def test_a_season_without_traffic_stays_without():
    y = np.tile([0.0] * 4 + [50.0, 80.0, 100.0, 90.0] + [0.0] * 4, 6)
    made = filled(y, 24, 47, "MS")
    assert made.tolist() == pytest.approx(y[24:48].tolist())


def test_a_season_that_is_unknown_itself_is_looked_for_further_away():
    y = steady(84, 12)
    holed = y.copy()
    holed[24:36] = np.nan  # the season right before the stretch
    assert filled(holed, 36, 40, "MS") == pytest.approx(y[36:41], rel=1e-6)


def test_the_shape_is_that_of_the_last_season_which_is_known():
    y = np.tile(np.arange(1.0, 13.0), 4)[:41]
    y[24:36], y[36:] = np.nan, np.nan
    assert filled(y, 36, 40, "MS") == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])


def test_at_the_end_the_season_goes_on_at_the_level_reached_and_without_a_season_the_last_value():
    y = steady(36, 12, growth=1.0)
    y[33:] *= 1.5
    longer = np.concatenate([y, np.full(4, np.nan)])
    assert filled(longer, 36, 39, "MS") == pytest.approx(1.5 * steady(40, 12, growth=1.0)[36:])
    assert filled(np.array([5.0, 7.0, np.nan, np.nan]), 2, 3, "MS").tolist() == [7.0, 7.0]


def test_without_a_season_on_either_side_a_straight_line_is_drawn():
    assert filled(np.array([1.0, 9.0, 9.0, 4.0]), 1, 2, "MS").tolist() == [2.0, 3.0]


def test_a_few_days_take_the_shape_of_the_week_and_not_that_of_a_year_ago():
    week = np.array([100.0, 100, 100, 100, 120, 60, 80])
    y = np.concatenate([np.full(364, 500.0), np.tile(week, 8)])
    at = 364 + 26
    assert filled(y, at, at + 2, "D") == pytest.approx(y[at : at + 3])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 100_000), min_size=30, max_size=60), st.sampled_from([2.0, 1000.0, 1e-3]))
def test_what_is_made_up_scales_with_the_traffic_and_is_never_negative(values, factor):
    y = np.array(values, dtype=float)
    made = filled(y, 14, 20, "MS")
    assert np.all(made >= 0)
    assert filled(factor * y, 14, 20, "MS") == pytest.approx(factor * made, rel=1e-9)
