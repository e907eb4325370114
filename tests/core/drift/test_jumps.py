"""Values out by a power of ten and years' totals, against an oracle that goes airport by airport, value by value."""

from math import inf, isfinite, isnan, log10, nan
from statistics import median

import numpy as np
import numpy.typing as npt
import pytest

from paxcast.core.drift.jumps import TOTAL, others_median, wrong_values

Array = npt.NDArray[np.float64]
YEAR = {"D": 364, "W": 52, "MS": 12}
NEAR = {"D": 14, "W": 4, "MS": 3}
PAST = {"D": 112, "W": 104, "MS": 36}


def middle(values, least=1):
    known = [v for v in values if isfinite(v)]
    return median(known) if len(known) >= least else nan


class Oracle:
    """The rules once more, from plain lists."""

    def __init__(self, y: Array, frequency: str, absent: str, periods: int):
        self.absent, self.year, self.near, self.past = absent, YEAR[frequency], NEAR[frequency], PAST[frequency]
        self.y = [[float(v) for v in row] for row in y]
        self.level = [[log10(v) if v > 0 else nan for v in row] for row in self.y]
        self.jump = [[nan] * len(row) for row in self.y]
        self.kind = [[0] * len(row) for row in self.y]
        self.expected = [[nan] * len(row) for row in self.y]
        self.airports, self.periods = range(len(self.y)), y.shape[1]
        self.first = [next((t for t, v in enumerate(row) if v > 0), self.periods) for row in self.y]
        for t in range(max(self.periods - periods - self.past, 1), self.periods):
            for a in self.airports:
                self.jump[a][t] = self.level[a][t] - self.wanted(a, t, t)
            if t >= self.periods - periods:
                self.judge(t)

    def wanted(self, a, t, end):
        start, least = end - self.near, (self.near + 1) // 2
        before = range(max(start, 0), end)
        if start < self.year or self.first[a] > start - self.year:
            return middle([self.level[a][i] for i in before], least)
        years = []
        for ago in (self.year, 2 * self.year, 3 * self.year):
            if start >= ago:
                change = middle([self.level[a][i] - self.level[a][i - ago] for i in before], least)
                years.append(self.level[a][t - ago] + change)
        return middle(years)

    def off(self, jumps):
        """What is left of each jump without the median of the others."""
        left = []
        for a in self.airports:
            others = [jumps[b] for b in self.airports if b != a and isfinite(jumps[b])]
            left.append(jumps[a] - (median(others) if others else 0.0))
        return left

    def judge(self, t):
        jumps = [self.jump[a][t] for a in self.airports]
        off = self.off(jumps)
        known = [abs(o) for o in off if isfinite(o)]
        apart = 4 * 1.4826 * median(known) if len(known) >= 8 else 0.0
        found = {a: self.verdict(a, t, jumps[a], off[a], apart) for a in self.airports}
        for a, (kind, wanted) in found.items():
            if kind:
                self.kind[a][t], self.expected[a][t] = kind, 10**wanted
                self.level[a][t] = wanted if kind == TOTAL else self.level[a][t] - kind
                self.y[a][t], self.jump[a][t] = 10 ** self.level[a][t], nan

    def verdict(self, a, t, jump, off, apart):
        y, wanted = self.y[a][t], self.level[a][t] - jump
        if not (abs(off) >= 0.5 or abs(jump) >= 0.5 or (isnan(jump) and y > 0)):
            return 0, nan
        sure = self.sure(a, t, jump, off, apart)
        power = round(off) if isfinite(off) else 0
        own = round(jump) if isfinite(jump) else 0
        unit = sure and power == own != 0 and abs(off - power) <= 0.12 and not self.goes_back(a, t, power)
        unit = unit and (power > 0 or self.fallen(a, t, power))
        seen = [v for v in self.y[a][:t] if v > 0]
        if own > 0 and abs(jump - own) <= 0.3 and len(seen) >= 4 * self.near and y >= 20 * max(seen):
            unit, power = True, own
        for measured in (jump, off):
            if isfinite(measured) and self.goes_on(a, t, measured):
                unit, power = True, round(measured)
        unlike = (isnan(jump) and self.absent == "missing") or sure
        total = self.off_total(a, t) if unlike else inf
        if isfinite(total) and not (unit and abs(off - power) < total):
            return TOTAL, wanted
        return (power, wanted) if unit else (0, nan)

    def goes_on(self, a, t, measured):
        power = round(measured)
        loosely = abs(power) > 1 or abs(measured - power) <= 0.3
        return power != 0 and loosely and power in self.kind[a][max(t - self.near, 0) : t]

    def sure(self, a, t, jump, off, apart):
        earlier = [abs(j) for j in self.jump[a][:t]]
        usually, lately = middle(earlier[-self.past :], 8), middle(earlier[-4 * self.near :])
        if isnan(usually) or isnan(jump):
            return False
        own = 6 * 1.4826 * max(usually, lately if isfinite(lately) else usually)
        return abs(jump) >= own and abs(off) >= max(own, apart)

    def goes_back(self, a, t, power):
        return any(
            (self.level[a][t] - self.level[a][t - j * self.year]) * power / abs(power) < 0.5 * abs(power)
            for j in (1, 2, 3)
            if t >= j * self.year
        )

    def fallen(self, a, t, power):
        y, agree = self.y[a][t], False
        if t + 1 < self.periods:
            after = self.off([self.level[b][t + 1] - self.wanted(b, t + 1, t) for b in self.airports])
            agree = abs(after[a] - power) <= 0.12
        return (y >= 20 or abs(y - round(y)) > 1e-6) and (agree or power < -2)

    def off_total(self, a, t):
        y = self.y[a][t]
        known = [v for v in self.y[a][max(t - 2 * self.year, 0) : t] if isfinite(v)][-self.year :]
        seen = [v for v in self.y[a][max(t - 3 * self.year, 0) : t] if isfinite(v)]
        if len(known) < 0.75 * self.year or sum(known) <= 0 or y < 3 * max(seen):
            return inf
        off = abs(log10(y / (sum(known) / len(known) * self.year)))
        return off if off <= log10(1.15) else inf


def fleet(frequency: str, periods: int, airports: int, seed: int, *, shock: bool) -> Array:
    """Seasonal airports, some noisy, some young, some with gaps and zeros, some with wrong values near the end."""
    rng, at = np.random.default_rng(seed), np.arange(periods)
    level, noise = rng.lognormal(8, 1.5, airports), rng.choice([0.02, 0.05, 0.3], airports)
    season = 1 + rng.uniform(0, 0.8, airports)[:, None] * np.sin(2 * np.pi * at / YEAR[frequency])
    y = level[:, None] * season * np.exp(rng.normal(size=(airports, periods)) * noise[:, None])
    if shock:
        y[:, -6:-3] *= rng.uniform(0.005, 0.1, airports)[:, None]
    for row in y:
        start, size = periods - rng.integers(1, 12), rng.integers(1, 8)
        what = rng.integers(0, 5)
        if what == 1:
            row[start : start + size] *= 10.0 ** rng.choice([-3, -2, -1, 1, 2, 3])
        if what == 2:
            row[start] = row[max(start - YEAR[frequency], 0) : start].sum() * rng.uniform(0.9, 1.1)
        if what == 3:
            row[start : start + size] *= rng.choice([0.3, 3, 30])
        if what == 4:
            row[start - 5 : start] = rng.choice([np.nan, 0.0])
    y = np.where(rng.random(y.shape) < 0.01, rng.choice([np.nan, 0.0], y.shape), np.round(y, rng.integers(0, 2)))
    y[0, : periods // 2] = np.nan  # a young airport
    return y


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize(
    ("frequency", "periods", "seed"),
    [*(("MS", 90, s) for s in range(12)), *(("MS", 30, s) for s in range(3)), *(("W", 240, s) for s in range(3)),
     ("W", 80, 1), ("D", 500, 1), ("D", 100, 2)],
)  # fmt: skip
def test_wrong_values_are_those_of_a_walk_by_hand(frequency, periods, seed, absent):
    y = fleet(frequency, periods, 10, seed, shock=seed % 3 == 2)
    before = y.copy()
    found, slow = wrong_values(y, frequency, absent, 20), Oracle(y, frequency, absent, 20)
    assert np.array_equal(y, before, equal_nan=True)
    assert found.kind.tolist() == slow.kind
    assert np.allclose(found.expected, slow.expected, equal_nan=True)
    assert np.array_equal(np.isfinite(found.total), found.kind == TOTAL)


def test_the_fleets_of_that_test_hold_faults_of_every_kind():
    kinds = [wrong_values(fleet("MS", 90, 10, s, shock=s % 3 == 2), "MS", "missing", 20).kind for s in range(12)]
    assert {-3, -1, 1, 2, 3, TOTAL} <= set(np.unique(kinds).tolist())


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8])
def test_the_median_of_the_others_leaves_each_airport_out_of_its_own(count):
    values = np.array([*np.random.default_rng(count).normal(size=count), np.nan])
    found = others_median(values)
    assert np.isnan(found[-1])
    for at in range(count):
        others = [values[i] for i in range(count) if i != at]
        assert found[at] == pytest.approx(median(others) if others else 0.0)


def test_the_median_of_the_others_tells_equal_values_apart():
    assert others_median(np.array([1.0, 1.0, 5.0])).tolist() == [3.0, 3.0, 1.0]


def steady(periods: int, noise: float = 0.03, seed: int = 1, season: int = 12) -> Array:
    at, rng = np.arange(periods), np.random.default_rng(seed)
    return 20_000 * (1 + 0.4 * np.sin(2 * np.pi * at / season)) * np.exp(rng.normal(0, noise, periods))


def kinds(row: Array, frequency: str = "MS", absent: str = "missing", among: int = 12) -> list[int]:
    """What is said of the newest four values of an airport among steady ones."""
    others = [steady(len(row), seed=10 + s, season=YEAR[frequency]) for s in range(among)]
    return wrong_values(np.array([row, *others]), frequency, absent, 8).kind[0, -4:].tolist()


@pytest.mark.parametrize(("decades", "kind"), [(0.118, 1), (0.122, 0), (-0.118, 1), (-0.122, 0)])
def test_the_third_is_12_hundredths_of_a_decade(decades, kind):
    rows = np.array([steady(58, noise=1e-5, seed=s) for s in range(12)])
    rows[0, -1] *= 10 ** (1 + decades)
    assert wrong_values(rows, "MS", "missing", 8).kind[0, -1] == kind


@pytest.mark.parametrize(("factor", "kind"), [(12.5, 1), (14.5, 0), (7.8, 1), (7.0, 0), (3.0, 0), (1e4, 4), (30.0, 0)])
def test_a_value_is_of_another_unit_within_a_third_of_a_power_of_ten(factor, kind):
    row = steady(58, noise=0.001)  # ends in the quietest month: no such value is near the year's total
    row[-1] *= factor
    assert kinds(row)[-1] == kind


def test_after_a_wrong_value_the_next_is_measured_against_the_level_before_it():
    row = steady(60)
    row[-4:-1] *= 100
    assert kinds(row) == [2, 2, 2, 0]
    row[-1] *= 100
    assert kinds(row) == [2, 2, 2, 2]


def test_a_noisy_airport_may_rise_tenfold_but_not_a_thousandfold():
    row = steady(60, noise=0.5)
    row[-1] *= 10
    assert kinds(row)[-1] == 0
    row[-1] *= 100
    assert kinds(row)[-1] in (3, 4)


def test_an_airport_that_was_steady_and_is_noisy_lately_may_rise_tenfold():
    others, row = [steady(60, seed=s) for s in range(12)], np.full(60, 20_000.0)
    for swing, kind in ((1.0, 1), (3.0, 0)):
        row[-13:-1] = 20_000 * np.resize([swing, 1 / swing], 12)
        rows = np.array([row, *others])
        rows[0, -1] = 10 ** (1 + Oracle(rows, "MS", "missing", 8).wanted(0, 59, 59))
        assert wrong_values(rows, "MS", "missing", 8).kind[0, -1] == kind


def test_wrong_values_tell_nothing_of_how_far_values_stray():
    rows = np.array([steady(90, noise=0.05 + at / 120, seed=at) for at in range(30)])
    rows[:, -16:-2] *= 1000
    rows[::6, -2] *= 10
    found = wrong_values(rows, "MS", "missing", 20)
    assert (found.kind[:, -16:-2] == 3).mean() > 0.9
    assert found.kind.tolist() == Oracle(rows, "MS", "missing", 20).kind
    assert 0 < (found.kind[::6, -2] == 1).sum() < 5


def test_a_stretch_in_another_unit_does_not_break_off_where_values_are_noisy():
    rows = np.array([steady(60, noise=0.01, seed=s) for s in range(12)])
    rows[0, -4:] *= [1000, 400, 2500, 1]
    rows[1, -4:] *= [10, 5.5, 6, 1]
    rows[2, -4:] /= [10, 10, 18, 1]
    rows[:, -2] *= 1.5
    found = wrong_values(rows, "MS", "missing", 8).kind[:3, -4:]
    assert found.tolist() == [[3, 3, 3, 0], [1, 1, 1, 0], [-1, -1, -1, 0]]


def test_one_value_that_fell_tenfold_is_no_fault_and_two_that_agree_are_one():
    row = steady(60)
    row[-1] /= 10
    assert kinds(row)[-1] == 0
    row[-2] /= 10
    assert kinds(row)[-2:] == [-1, -1]
    row[-2] /= 4
    assert kinds(row)[-2:] == [0, 0]


def test_one_value_that_fell_a_thousandfold_is_a_fault_unless_hardly_any_passenger_is_left():
    row = np.round(100 * steady(60))
    row[-1] = np.round(row[-1] / 1000)
    assert kinds(row)[-1] == -3
    row = np.round(steady(60) / 2)
    row[-1] = np.round(row[-1] / 1000)
    assert kinds(row)[-1] == 0
    row[-1] += 0.25  # a figure that never had decimals: it was divided
    assert kinds(row)[-1] == -3


def test_traffic_that_comes_back_to_what_it_was_before_a_shock_is_right():
    row = steady(90, noise=0.01)
    row[-14:-4] /= 10
    assert kinds(row) == [0, 0, 0, 0]


def test_what_the_fleet_does_together_is_no_fault_but_nothing_takes_all_of_it_up_a_thousandfold():
    rows = np.array([steady(60, seed=s) for s in range(12)])
    fallen = rows.copy()
    fallen[:, -3:] /= 10
    assert not wrong_values(fallen, "MS", "missing", 8).kind.any()
    risen = rows.copy()
    risen[:, -3:] *= 1000
    assert (wrong_values(risen, "MS", "missing", 8).kind[:, -3:] == 3).all()


def test_a_fall_is_measured_without_that_of_the_fleet_in_the_next_period_too():
    rows = np.array([steady(60, seed=s) for s in range(12)])
    rows[0, -2:] /= 10
    rows[:, -1] /= 2
    assert wrong_values(rows, "MS", "missing", 8).kind[0, -2:].tolist() == [-1, -1]


def test_an_airport_that_rises_far_less_than_a_power_of_ten_by_itself_is_right_whatever_its_fleet_does():
    rows = np.array([steady(60, seed=s) for s in range(12)])
    rows[:, -1] *= 4
    rows[0, -1] *= 10
    assert not wrong_values(rows, "MS", "missing", 8).kind.any()


def test_an_airport_that_falls_less_than_its_fleet_is_right():
    rows = np.array([steady(60, seed=s) for s in range(12)])
    rows[:, -3:] /= 100
    rows[0, -3:] *= 10
    assert not wrong_values(rows, "MS", "missing", 8).kind.any()


def test_a_total_is_told_from_a_tenfold_value_by_which_of_the_two_is_nearer():
    row = steady(60, noise=0.001)
    usual = row[-1]
    row[-1] = row[-12:].sum()
    assert kinds(row)[-1] == TOTAL
    row[-1] = 10 * usual
    assert kinds(row)[-1] == 1


@pytest.mark.parametrize(("factor", "total"), [(1.0, True), (1.13, True), (0.88, True), (1.4, False), (0.6, False)])
@pytest.mark.parametrize("frequency", ["D", "W", "MS"])
def test_a_total_of_a_year_is_within_15_percent_of_it(frequency, factor, total):
    row = steady(4 * YEAR[frequency] + 20, season=YEAR[frequency])
    row[-1] = row[-YEAR[frequency] - 1 : -1].sum() * factor
    assert (kinds(row, frequency)[-1] == TOTAL) is total


def test_after_a_gap_a_total_is_told_by_the_year_before_the_gap_where_absence_is_no_zero():
    row = steady(60)
    row[-1] = row[-23:-11].sum()
    row[-12:-1] = np.nan
    assert kinds(row)[-1] == TOTAL
    assert kinds(np.nan_to_num(row), absent="zero")[-1] == 0


def test_after_months_without_traffic_a_total_is_told_only_where_absence_is_no_zero():
    row = steady(60)
    row[-4:-1] = 0
    row[-1] = row[-13:-1].sum()
    assert kinds(row)[-1] == TOTAL
    assert kinds(row, absent="zero")[-1] == 0


@pytest.mark.parametrize(("months", "total"), [(9, True), (8, False)])
def test_nine_months_are_enough_to_know_the_total_of_a_year(months, total):
    row = np.full(60, np.nan)
    row[-months - 4 : -4] = 20_000
    row[-1] = 240_000
    assert (kinds(row)[-1] == TOTAL) is total
