"""Unit faults and annual totals: found where they were put, against oracles, and never in healthy traffic."""

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paxcast.core.faults import AnnualTotal, UnitFault, annual_total, unit_fault

SHARED = Path(os.environ.get("PAXCAST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SEASON = {"D": 7, "W": 52, "MS": 12}
FACTORS = (100.0, 1_000.0, 10_000.0)


@pytest.fixture(scope="module")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the real traffic is not at {SHARED}; set PAXCAST_SHARED_DATA")
    return SHARED


def monthly(periods: int = 120, *, level=40_000.0, amplitude=0.4, growth=0.03, noise=0.05, seed=1) -> np.ndarray:
    """Whole passengers a month with a yearly season. [periods]"""
    rng, t = np.random.default_rng(seed), np.arange(periods)
    shape = 1 + amplitude * np.sin(2 * np.pi * t / 12)
    return np.round(level * (1 + growth) ** (t / 12) * shape * np.exp(rng.normal(0, noise, periods)))


def daily(periods: int = 500, *, level=3_000.0, noise=0.08, seed=1) -> np.ndarray:
    rng, t = np.random.default_rng(seed), np.arange(periods)
    week = np.array([1.0, 0.9, 0.9, 1.0, 1.2, 1.1, 1.15])[t % 7]
    year = 1 + 0.4 * np.sin(2 * np.pi * t / 365)
    return np.round(level * week * year * np.exp(rng.normal(0, noise, periods)))


def weekly(periods: int = 200, *, level=20_000.0, noise=0.08, seed=1) -> np.ndarray:
    rng, t = np.random.default_rng(seed), np.arange(periods)
    return np.round(level * (1 + 0.4 * np.sin(2 * np.pi * t / 52)) * np.exp(rng.normal(0, noise, periods)))


def summer_airport(periods: int = 120, *, noise=0.1, seed=1) -> np.ndarray:
    """Twenty times the traffic in July that there is in January."""
    rng, t = np.random.default_rng(seed), np.arange(periods)
    return np.round(20_000 * 20 ** (-(1 + np.cos(2 * np.pi * t / 12)) / 2) * np.exp(rng.normal(0, noise, periods)))


SERIES = {
    "monthly": (monthly, 12),
    "monthly growing 30 % a year": (lambda seed: monthly(level=5_000, growth=0.3, seed=seed), 12),
    "monthly with twenty times in summer": (lambda seed: summer_airport(seed=seed), 12),
    "monthly, two years": (lambda seed: monthly(24, seed=seed), 12),
    "daily": (daily, 7),
    "daily, 40 days": (lambda seed: daily(40, seed=seed), 7),
    "weekly": (weekly, 52),
}


def fault_of(values: np.ndarray, season: int = 12) -> UnitFault | None:
    return unit_fault(np.arange(len(values)), np.asarray(values, dtype=float), season)


def scaled(values: np.ndarray, start: int, length: int, factor: float) -> np.ndarray:
    out = values.astype(float)
    out[start : start + length] *= factor
    return out


def restored_oracle(values: np.ndarray) -> UnitFault | None:
    """The shortest stretch whose division by a power of ten gives back one constant yearly growth. Tries them all."""
    periods = len(values)
    for length, start, power in product(range(3, periods // 2 + 1), range(periods), (2, 3, 4, -2, -3, -4)):
        if start + length > periods:
            continue
        fixed = scaled(values, start, length, 10.0**-power)
        yearly = fixed[12:] / fixed[:-12]
        if np.allclose(yearly, yearly[0], rtol=1e-6):
            return UnitFault(first=start, last=start + length - 1, power=power)
    return None


@pytest.mark.parametrize("seed", range(12))
def test_a_stretch_in_another_unit_is_the_one_that_trying_every_stretch_finds(seed):
    rng = np.random.default_rng(seed)
    t = np.arange(60)
    clean = 8_000_000 * 1.07 ** (t / 12) * np.tile(rng.uniform(0.5, 2.0, 12), 5)
    length = int(rng.integers(3, 13))
    start = int(rng.choice([0, 60 - length, rng.integers(1, 60 - length)]))
    series = scaled(clean, start, length, 10.0 ** int(rng.choice([2, 3, 4, -2, -3, -4])))
    assert fault_of(series) == restored_oracle(series) is not None
    assert fault_of(clean) is None


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_series_is_no_fault(name, seed):
    make, season = SERIES[name]
    assert fault_of(make(seed=seed), season) is None


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("where", ["start", "middle", "end"])
def test_a_stretch_times_a_power_of_ten_is_found_where_it_is(name, factor, where):
    make, season = SERIES[name]
    for length, seed in ((3, 2), (5, 3), (12, 4)):
        values = make(seed=seed)
        start = {"start": 0, "middle": len(values) // 3, "end": len(values) - length}[where]
        if 2 * length >= len(values):
            continue
        fault = fault_of(scaled(values, start, length, factor), season)
        assert fault is not None, (length, seed)
        assert (fault.first, fault.last, 10.0**fault.power) == (start, start + length - 1, factor)


@pytest.mark.parametrize("divisor", [100.0, 1_000.0])
@pytest.mark.parametrize("start", [0, 50, 108])
def test_a_stretch_given_in_hundreds_or_thousands_is_found_though_rounded(divisor, start):
    values = monthly(level=60_000)
    values[start : start + 12] = np.round(values[start : start + 12] / divisor)
    fault = fault_of(values)
    assert fault == UnitFault(first=start, last=start + 11, power=-int(np.log10(divisor)))


def test_a_series_given_in_thousands_to_the_end_for_years_is_found():
    values = monthly(level=60_000)
    assert fault_of(scaled(values, 84, 36, 0.001)) == UnitFault(first=84, last=119, power=-3)
    assert fault_of(scaled(values, 84, 36, 1_000)) == UnitFault(first=84, last=119, power=3)


@pytest.mark.parametrize("factor", [2.0, 5.0, 10.0, 20.0, 50.0, 200.0, 300.0, 500.0, 0.1, 0.05, 0.004, 0.002])
@pytest.mark.parametrize(("start", "length"), [(0, 6), (60, 6), (108, 12)])
def test_a_change_that_is_no_power_of_ten_of_a_hundred_or_more_is_no_unit_fault(factor, start, length):
    assert fault_of(scaled(monthly(), start, length, factor)) is None


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("start", [0, 60])
def test_fewer_than_three_periods_are_no_stretch(start, length):
    assert fault_of(scaled(monthly(), start, length, 1_000)) is None


def test_a_raised_stretch_without_the_usual_shape_is_no_unit_fault():
    values = scaled(monthly(), 60, 8, 1_000)
    assert fault_of(values) is not None
    values[60:68] *= [1, 0.25, 4, 0.25, 4, 0.25, 4, 1]
    assert fault_of(values) is None


def test_an_airport_of_a_few_dozen_passengers_may_grow_a_hundredfold_but_not_a_thousandfold():
    values = monthly(level=60, amplitude=0.2)
    assert fault_of(scaled(values, 110, 10, 100)) is None
    assert fault_of(scaled(values, 110, 10, 1_000)) == UnitFault(first=110, last=119, power=3)


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.001, 0.01])
@pytest.mark.parametrize("as_of", [63, 66, 72, 120])
def test_a_collapse_to_nearly_nothing_is_an_event(share, as_of):
    values = monthly(level=500_000)
    rng = np.random.default_rng(7)
    values[59] *= 0.45
    values[60:63] = np.round(values[60:63] * share * np.array([0.3, 0.6, 4.0]) * rng.lognormal(0, 0.3, 3))
    values[63:72] *= np.linspace(0.2, 0.8, 9)
    assert fault_of(values[:as_of]) is None


@pytest.mark.parametrize("length", [3, 6, 12])
@pytest.mark.parametrize("as_of", [72, 78, 120])
def test_a_closed_airport_with_a_handful_of_passengers_is_an_event(length, as_of):
    values = monthly()
    values[60 : 60 + length] = np.random.default_rng(3).poisson(4, length)
    assert fault_of(values[:as_of]) is None


def test_a_fall_that_spills_over_its_first_and_last_month_is_an_event_even_if_its_shape_is_kept():
    values = scaled(monthly(noise=0.01, level=500_000), 60, 4, 0.01)
    assert fault_of(values) is not None
    values[59] *= 0.45
    assert fault_of(values) is None


def test_a_zero_beside_a_lowered_stretch_makes_it_an_event_and_a_gap_does_not():
    values = scaled(monthly(noise=0.01, level=500_000), 60, 5, 0.01)
    values[64] = 0.0
    assert fault_of(values) is None
    kept = np.delete(np.arange(len(values)), 64)
    assert unit_fault(kept, values[kept], 12) == UnitFault(first=60, last=63, power=-2)


@pytest.mark.parametrize("start", [0, 60, 114])
def test_growth_between_the_years_is_taken_off_a_lowered_stretch(start):
    fault = fault_of(scaled(monthly(level=500_000, growth=0.5, noise=0.01), start, 6, 0.01))
    assert fault == UnitFault(first=start, last=start + 5, power=-2)


def test_a_lowered_stretch_with_one_period_out_of_shape_is_an_event():
    values = scaled(monthly(noise=0.01, level=500_000), 60, 6, 0.001)
    values[63] *= 2
    assert fault_of(values) is None


def test_a_lowered_stretch_of_a_few_whole_passengers_is_not_judged_and_one_with_decimals_is():
    values = scaled(monthly(noise=0.01, level=8_000), 60, 6, 0.001)
    assert fault_of(values) == UnitFault(first=60, last=65, power=-3)
    assert fault_of(np.round(values)) is None


def test_no_more_than_half_of_a_series_is_called_a_fault():
    fault = fault_of(scaled(monthly(100), 20, 70, 1_000))
    assert fault is not None
    assert fault.last - fault.first < 50


def test_a_first_year_is_compared_with_its_neighbours():
    values = monthly(15, amplitude=0.1, noise=0.02)
    assert fault_of(scaled(values, 5, 4, 1_000)) == UnitFault(first=5, last=8, power=3)


def test_a_stretch_whose_season_is_never_seen_again_is_not_judged_in_a_long_history():
    short = np.array([150.0, 140, 160, 15_000, 15_500, 14_000, 15_800, 150, 150, 140, 130, 150])
    assert fault_of(short) is not None
    assert fault_of(np.concatenate([short, np.zeros(30)])) is None


def test_constant_and_zero_and_short_series_are_no_unit_fault():
    assert fault_of(np.full(60, 500.0)) is None
    assert fault_of(np.zeros(60)) is None
    assert fault_of(np.array([5.0, 5_000.0, 5.0])) is None
    assert unit_fault(np.array([], dtype=np.int64), np.array([]), 12) is None


# Annual totals


def annual_oracle(values: np.ndarray) -> list[tuple[int, int]]:
    """(year, month) of full calendar years whose month is 1.0 to 1.4 times the sum of the others. Slow and plain."""
    found = []
    for year in range(len(values) // 12):
        months = list(values[12 * year : 12 * year + 12])
        for month in range(12):
            others = sum(months[m] for m in range(12) if m != month)
            if others <= months[month] <= 1.4 * others:
                found.append((1970 + year, month + 1))
    return found


def with_totals(values: np.ndarray, month: int, years: list[int], *, others_only: bool = False) -> np.ndarray:
    """The month of these years (counted from 0) replaced by the year's total, or by the sum of the other months."""
    out = values.copy()
    for year in years:
        at = 12 * year + month - 1
        total = values[12 * year : 12 * year + 12].sum()
        out[at] = total - values[at] if others_only else total
    return out


@pytest.mark.parametrize("make", [monthly, summer_airport])
@pytest.mark.parametrize("month", [1, 7, 12])
@pytest.mark.parametrize("years", [[3, 4], [0, 1, 2], list(range(10)), [8, 9]])
@pytest.mark.parametrize("others_only", [False, True])
def test_a_month_replaced_by_the_total_of_its_year_is_found_in_every_such_year(make, month, years, others_only):
    values = with_totals(make(), month, years, others_only=others_only)
    fault = annual_total(np.arange(120), values)
    assert fault == AnnualTotal(month=month, years=tuple(1970 + y for y in years), alone=False)
    assert [(y, fault.month) for y in fault.years] == annual_oracle(values)


@pytest.mark.parametrize("make", [monthly, summer_airport, lambda: monthly(growth=0.3), lambda: monthly(noise=0.6)])
def test_healthy_monthly_series_hold_no_annual_total(make):
    for periods in (1, 5, 12, 13, 30, 119, 120):
        assert annual_total(np.arange(periods), make()[:periods]) is None


def test_one_year_alone_does_not_make_a_month_an_annual_total():
    values = with_totals(monthly(), 12, [4])
    assert annual_oracle(values) == [(1974, 12)]
    assert annual_total(np.arange(120), values) is None


def test_a_festival_month_that_outweighs_the_rest_in_some_years_is_no_annual_total():
    values = monthly(180, level=800)
    for year, ratio in ((0, 0.5), (2, 1.1), (5, 0.7), (8, 1.3), (10, 0.6), (12, 2.0)):
        at = 12 * year + 5
        values[at] = ratio * (values[12 * year : 12 * year + 12].sum() - values[at])
    assert annual_total(np.arange(180), values) is None


def test_two_months_a_year_that_carry_all_traffic_are_a_season():
    values = np.tile([0, 0, 0, 0, 0, 0, 900, 1_000, 0, 0, 0, 0], 10).astype(float)
    assert annual_total(np.arange(120), values) is None


def yearly_then_monthly(years: int, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first `years` years given by one December row each, the rest by months."""
    totals = values[: 12 * years].reshape(years, 12).sum(axis=1)
    numbers = np.concatenate([12 * np.arange(years) + 11, np.arange(12 * years, len(values))])
    return numbers, np.concatenate([totals, values[12 * years :]])


@pytest.mark.parametrize("make", [monthly, summer_airport, lambda: monthly(growth=0.3)])
@pytest.mark.parametrize("known", [36, 37, 38, 42, 48, 120])
def test_years_of_one_december_row_with_the_total_are_found_as_of_any_month(make, known):
    numbers, values = yearly_then_monthly(3, make())
    seen = numbers < known
    expected = AnnualTotal(month=12, years=(1970, 1971, 1972), alone=True)
    assert annual_total(numbers[seen], values[seen]) == expected


def test_a_single_year_given_by_its_total_is_found_between_years_of_months():
    values = monthly()
    keep = np.array([t for t in range(120) if t // 12 != 5 or t % 12 == 11])
    assert annual_total(keep, with_totals(values, 12, [5])[keep]) == AnnualTotal(month=12, years=(1975,), alone=True)


def test_a_single_month_of_a_year_with_a_months_traffic_is_no_annual_total():
    values = monthly()
    keep = np.array([t for t in range(120) if t // 12 not in (5, 6) or t % 12 == 11])
    assert annual_total(keep, values[keep]) is None


def test_one_small_event_a_year_is_no_annual_total():
    assert annual_total(12 * np.arange(8) + 5, np.full(8, 1_100.0)) is None


def test_the_newest_and_the_first_row_of_a_fast_growing_airport_are_no_annual_totals():
    values = monthly(24, level=20_000, noise=0.0)
    newest, oldest = np.append(values[:12], 9 * values[11]), np.append(9 * values[12], values[12:24])
    assert annual_total(np.arange(13), newest) is None
    assert annual_total(np.arange(11, 24), oldest) is None


def test_years_of_a_few_rows_hold_no_total_of_their_other_months():
    numbers = np.concatenate([12 * year + np.array([4, 5, 6, 7]) for year in range(6)])
    assert annual_total(numbers, np.tile([1_000.0, 1_000.0, 3_100.0, 1_000.0], 6)) is None


@pytest.mark.parametrize("ratio", [0.8, 0.9, 1.5, 2.0])
def test_a_month_well_under_or_over_the_sum_of_the_others_every_year_is_a_season(ratio):
    values = monthly(noise=0.0, growth=0.0, amplitude=0.1)
    for at in range(6, 120, 12):
        values[at] = ratio * (values[at - 6 : at + 6].sum() - values[at])
    assert annual_total(np.arange(120), values) is None


# Real traffic


def real_series(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Airport, month numbers and passengers of every healthy airport; France's absent months are zero traffic."""
    for name in ("dgac_france", "bitre_australia", "panynj"):
        frame = pd.read_parquet(folder / f"{name}_monthly.parquet").sort_values(["airport", "date"])
        for airport, group in frame[frame["airport"] != "SWF"].groupby("airport"):
            months = group["date"].to_numpy().astype("datetime64[M]").astype(np.int64)
            full = np.arange(months[0], months[-1] + 1) if name == "dgac_france" else months
            values = np.zeros(len(full))
            values[np.searchsorted(full, months)] = group["passengers"]
            yield str(airport), full, values


def injections(folder: Path, tries: int) -> Iterator[tuple[np.ndarray, np.ndarray, int, bool]]:
    """Real series with 3 to 12 months times 100, 1,000 or 10,000: (months, values, first, near the pandemic).

    Airports and surroundings of over 5,000 passengers a month; at the start, in the middle, or up to a random as_of.
    """
    rng = np.random.default_rng(5)
    for _, months, values in real_series(folder):
        if np.median(values) < 5_000 or len(values) < 36:
            continue
        for _ in range(tries):
            length, where = int(rng.integers(3, 13)), rng.choice(["start", "middle", "end"], p=[0.2, 0.6, 0.2])
            known = int(rng.integers(30, len(values) + 1)) if where == "end" else len(values)
            start = {"start": 0, "middle": int(rng.integers(1, known - length)), "end": known - length}[where]
            around = values[max(start - 12, 0) : min(start + length + 12, known)]
            if np.median(around) <= 5_000 or np.count_nonzero(values[start : start + length]) < 3:
                continue
            pandemic = bool(months[start] < 622 and months[start + length - 1] >= 600)  # 2020-01 to 2021-10
            yield months[:known], scaled(values[:known], start, length, rng.choice(FACTORS)), start, pandemic


def test_faults_put_into_real_airports_are_found(shared_data):
    found = {False: [], True: []}
    for months, values, _, pandemic in injections(shared_data, tries=12):
        found[pandemic].append(unit_fault(months, values, 12) is not None)
    assert len(found[False]) > 800
    assert np.mean(found[False]) >= 0.99
    assert np.mean(found[True]) >= 0.6  # the surroundings themselves tell little then


def test_no_healthy_real_airport_is_at_fault_at_any_year_end_or_in_the_pandemic(shared_data):
    as_ofs = [12 * (year - 1970) + 11 for year in range(1992, 2025)] + list(range(602, 624))
    flagged = []
    for airport, months, values in real_series(shared_data):
        known = {int(np.searchsorted(months, as_of, side="right")) for as_of in as_ofs}
        faults = {count: unit_fault(months[:count], values[:count], 12) for count in known}
        flagged += [(airport, months[count - 1], fault) for count, fault in faults.items() if fault]
    assert flagged == []
