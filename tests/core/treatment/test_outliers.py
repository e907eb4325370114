"""Single wild values are found; feasts, drops, new levels and noise are left alone, the last value is doubted."""

import math
import statistics

import numpy as np
import pytest

from paxcast.core.treatment import outliers
from paxcast.core.treatment.outliers import wild

SEASON = {"MS": 12, "W": 52, "D": 7}


def traffic(periods: int, code: str = "MS", noise: float = 0.05, seed: int = 1) -> np.ndarray:
    shape = 1000 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(periods) / SEASON[code]))
    return shape * np.exp(np.random.default_rng(seed).normal(0, noise, periods))


def at(y: np.ndarray, code: str = "MS") -> list[int]:
    return np.flatnonzero(wild(y, code)).tolist()


def unconfirmed(y: np.ndarray, code: str = "MS") -> list[int]:
    return np.flatnonzero(outliers.unconfirmed(y, code, wild(y, code))).tolist()


def slow(y: list[float], season: int, factor: float) -> list[int]:
    """As the module's docstring says it, period by period, for positive values, NaN unknown; without the 2 %, and with
    the last."""

    def ratio(t: int, other: int) -> float | None:
        inside = 0 <= t < len(y) and 0 <= other < len(y)
        return math.log(y[t] / y[other]) if inside and not math.isnan(y[t] + y[other]) else None

    around: dict[int, list[float]] = {}
    beside: dict[int, list[float]] = {}
    for t in range(len(y)):
        around[t], beside[t] = [], []
        for k in (-1, 1, -2, 2, -3, 3, -4, 4, -5, 5):
            if abs(k) > 2 and len(around[t]) >= 2:
                break
            own = ratio(t, t + k * season)
            near = {j: ratio(t + j, t + j + k * season) for j in (-2, -1, 1, 2)}
            known = [r for r in near.values() if r is not None]
            if own is not None and known:
                around[t].append(own - statistics.median(known))
                beside[t] += [own - r for j in (-1, 1) if (r := near[j]) is not None]
    limit = 8 * 1.4826 * statistics.median(abs(g) for gains in around.values() for g in gains)
    limit = max(limit, math.log(factor))

    def gain(t: int) -> float:
        gains = around[t] + beside[t] if 0 <= t < len(y) and len(around[t]) >= 2 else [0.0]
        least = min(gains, key=abs)
        return least if abs(least) > limit and all(g * least > 0 for g in gains) else 0.0

    def single(t: int) -> bool:
        beside = (gain(t - 1), gain(t + 1))
        return all(gain(t) * other <= 0 and abs(gain(t)) >= abs(other) for other in beside)

    return [t for t in range(len(y)) if gain(t) and single(t)]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_wild_is_what_the_slow_oracle_says(seed):
    rng = np.random.default_rng(seed)
    y = traffic(150, noise=0.1, seed=seed)
    for t in rng.choice(150, size=3, replace=False):
        y[t] *= rng.choice([0.05, 0.2, 0.4, 3, 20])
    assert at(y) == [t for t in slow(y.tolist(), 12, 2.0) if t < 149]


@pytest.mark.parametrize("seed", range(12))
def test_after_a_stretch_that_is_not_known_too(seed):
    rng = np.random.default_rng(seed)
    y = traffic(132, noise=0.05, seed=seed)
    y[85:109] = np.nan
    for t in rng.choice([*range(85), *range(109, 131)], size=2, replace=False):
        y[t] *= rng.choice([0.05, 0.2, 3, 20])
    assert at(y) == [t for t in slow(y.tolist(), 12, 2.0) if t < 131]


@pytest.mark.parametrize("slip", [12.0, 3.0, 0.02])
@pytest.mark.parametrize("month", [111, 115, 120, 126])
def test_a_wild_value_is_found_in_the_two_seasons_after_a_shock_of_two(month, slip):
    y = traffic(132)
    y[85:109] = np.nan
    assert at(y) == []
    y[month] *= slip
    assert at(y) == [month]


@pytest.mark.parametrize("seed", range(12))
def test_what_is_unconfirmed_is_what_the_slow_oracle_says_of_the_last_season_and_nobody_replaced(seed):
    rng = np.random.default_rng(seed)
    y = traffic(120, noise=0.05, seed=seed)  # of which two may be replaced
    for t in [*rng.choice(119, size=5, replace=False), *[119] * (seed % 2)]:
        y[t] *= rng.choice([0.05, 0.2, 3, 20])
    replaced, found = at(y), slow(y.tolist(), 12, 2.0)
    assert len(replaced) <= 2
    assert unconfirmed(y) == [t for t in found if t >= 108 and t not in replaced]


@pytest.mark.parametrize("code", sorted(SEASON))
@pytest.mark.parametrize("slip", [0.001, 0.1, 10, 1000])
def test_a_slip_of_the_unit_is_found_wherever_it_is_but_at_the_end(code, slip):
    y = traffic(250, code)
    for t in (0, 20, 120, 248):
        slipped = y.copy()
        slipped[t] *= slip
        assert at(slipped, code) == [t]


@pytest.mark.parametrize("code", sorted(SEASON))
@pytest.mark.parametrize("slip", [0.0, 0.01, 100])
def test_the_last_value_is_never_replaced_but_unconfirmed_as_nothing_later_is_known(code, slip):
    y = traffic(250, code)
    assert unconfirmed(y, code) == []
    y[-1] *= slip
    assert (at(y, code), unconfirmed(y, code)) == ([], [249])


def test_a_wild_value_is_unconfirmed_no_longer_once_another_has_come():
    y = traffic(101)
    y[99] *= 100
    assert (at(y[:100]), unconfirmed(y[:100])) == ([], [99])
    assert (at(y), unconfirmed(y)) == ([99], [])


def test_what_the_2_percent_spare_is_unconfirmed_if_it_lies_in_the_last_season():
    for t in (37, 38, 45, 48):
        y = traffic(49)  # of which none may be replaced
        y[t] *= 100
        assert at(y) == []
        assert unconfirmed(y) == [t]
    y = traffic(49)
    y[36] *= 100
    assert unconfirmed(y) == []


def test_two_at_the_end_and_a_feast_in_the_last_month_are_confirmed():
    y = traffic(100)
    y[-2:] *= 100
    assert unconfirmed(y) == []
    feast = traffic(120)
    feast[11::12] *= 5
    assert unconfirmed(feast) == []


def test_in_noise_hardly_a_last_value_is_unconfirmed():
    assert sum(bool(unconfirmed(traffic(60, noise=0.3, seed=seed))) for seed in range(100)) <= 1


def test_two_in_a_row_are_an_event_and_no_slip():
    y = traffic(200)
    y[100:102] *= 0.1
    assert at(y) == []


@pytest.mark.parametrize("length", [2, 3, 5, 8])
@pytest.mark.parametrize("factor", [0.2, 5.0])
def test_neither_edge_of_a_longer_stretch_is_wild(length, factor):
    y = traffic(200, noise=0.02)
    y[100 : 100 + length] *= factor
    assert at(y) == []


def test_a_new_level_is_not_wild_wherever_it_begins():
    for begin in (60, 97, 98, 99):
        y = traffic(100, noise=0.02)
        y[begin:] *= 4
        assert at(y) == []


def test_a_feast_that_comes_every_year_is_not_wild():
    y = traffic(120)
    y[11::12] *= 5
    assert at(y) == []


def test_noise_is_not_wild_and_a_month_at_half_is_not_among_much_noise():
    assert at(traffic(300, noise=0.3)) == []
    y = traffic(300, noise=0.3)
    y[150] *= 0.5
    assert at(y) == []


def test_at_most_two_percent_are_wild_and_these_are_the_wildest():
    y = traffic(200, noise=0.01)
    factors = {15: 5, 40: 200, 70: 90, 99: 7, 130: 40, 165: 0.002}
    for t, factor in factors.items():
        y[t] *= factor
    assert at(y) == [40, 70, 130, 165]
    assert at(traffic(49) * np.where(np.arange(49) == 20, 1000, 1)) == []  # 2 % of 49 periods is less than one


def test_a_single_lost_month_is_wild_and_zeros_that_come_often_are_not():
    y = traffic(200)
    y[77] = 0.0
    assert at(y) == [77]
    y[[10, 35, 50, 90, 140]] = 0.0
    assert at(y) == []


def test_a_storm_or_a_feast_on_one_day_is_not_wild_but_a_day_without_flights_is():
    y = traffic(300, "D")
    y[100], y[200] = 0.4 * y[100], 0.0
    assert at(y, "D") == [200]


def test_unknown_periods_and_series_of_zeros_are_not_judged():
    y = traffic(120)
    y[50:60] = np.nan
    y[30] *= 100
    assert at(y) == [30]
    assert at(np.zeros(60)) == []
    assert at(np.array([])) == []
