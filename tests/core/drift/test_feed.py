"""Faults of the feed: found where they were put, held as long as the windows hold them, never in real events."""

import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paxcast.core.drift.feed import Fault, crowded, faults, overdue
from paxcast.core.errors import ConfigurationError

SHARED = Path(os.environ.get("PAXCAST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
STEP = {"D": "D", "W": "7D", "MS": "MS"}
YEAR = {"D": 364, "W": 52, "MS": 12}
BEGIN = {"D": "2014-01-06", "W": "2014-01-06", "MS": "2014-01-01"}


def steady(periods: int = 60, *, noise: float = 0.03, seed: int = 1, frequency: str = "MS") -> np.ndarray:
    at, rng = np.arange(periods), np.random.default_rng(seed)
    return 20_000 * (1 + 0.4 * np.sin(2 * np.pi * at / YEAR[frequency])) * np.exp(rng.normal(0, noise, periods))


def fleet(airports: int = 12, periods: int = 60, frequency: str = "MS") -> dict[str, np.ndarray]:
    return {f"A{at:03d}": steady(periods, seed=at, frequency=frequency) for at in range(airports)}


def history(series: Mapping[str, Iterable[float]], frequency: str = "MS", start: str = "") -> pd.DataFrame:
    """The rows of what is not NaN; all series begin on one day."""
    rows = []
    for airport, values in series.items():
        y = np.asarray(list(values), dtype=float)
        ds = pd.date_range(start or BEGIN[frequency], periods=len(y), freq=STEP[frequency])
        rows.append(pd.DataFrame({"airport": airport, "ds": ds, "y": y}).dropna())
    return pd.concat(rows, ignore_index=True)


def told(rows: pd.DataFrame, frequency: str = "MS", absent: str = "missing", **more: int) -> tuple[Fault, ...]:
    return faults(rows, frequency, absent, rows["ds"].max(), **more)


def marked(found: Iterable[Fault]) -> list[tuple[str, str, str]]:
    return [(f.airport, f.kind, f.since) for f in found]


# --- no longer reported


class ByHand:
    """Who is silent, airport by airport and period by period: each period by how many lie after it."""

    def __init__(self, rows: pd.DataFrame, frequency: str):
        self.frequency, self.newest, self.year = frequency, rows["ds"].max(), YEAR[frequency]
        self.least = {"D": 7, "W": 2, "MS": 2}[frequency]
        groups = rows.groupby("airport")
        self.known = {a: {self.back(d): y for d, y in zip(g["ds"], g["y"], strict=True)} for a, g in groups}
        self.stopped = cache(self.stopped)

    def back(self, ds: pd.Timestamp) -> int:
        if self.frequency == "MS":
            return (self.newest.year - ds.year) * 12 + self.newest.month - ds.month
        return (self.newest - ds).days // {"D": 1, "W": 7}[self.frequency]

    def stopped(self, airport: str, at: int) -> bool:
        """Whether its first period without a row lies `at` back, after hardly an empty one in two years."""
        there = self.known[airport]
        if at + 1 not in there or any(b in there for b in range(at, at - self.least, -1)) or at + 1 < self.least:
            return False
        before = [b for b in range(at + 1, at + 1 + 2 * self.year) if b <= max(there)]
        empty = sum(there.get(b, 0) == 0 for b in before)
        return len(before) >= self.year and empty / len(before) < 0.05

    def with_a_crowd(self, at: int) -> bool:
        cycle = 7 if self.frequency == "D" else 1
        near = [b for b in range(at - cycle, at + cycle + 1) if b >= 0]
        crowd = sum(any(self.stopped(other, b) for b in near) for other in self.known)
        return crowd > max(2, 0.05 * sum(at + cycle + 1 in there for there in self.known.values()))

    def silent(self, absent: str) -> dict[str, str]:
        """Airport -> since when."""
        found = {}
        for airport, there in self.known.items():
            behind = min(there)
            late = self.least <= behind <= 1.5 * self.year
            if late and (
                absent == "missing" or (self.stopped(airport, behind - 1) and not self.with_a_crowd(behind - 1))
            ):
                gone = pd.date_range(end=self.newest, periods=behind, freq=STEP[self.frequency])[0]
                found[airport] = str(gone.date())
        return found


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize(("frequency", "periods"), [("MS", 60), ("W", 150), ("D", 900)])
@pytest.mark.parametrize("seed", range(6))
def test_the_silent_ones_are_those_counted_by_hand(frequency, periods, seed, absent):
    rng, quiet = np.random.default_rng(seed), 10 * (7 if frequency == "D" else 1)
    series = {f"A{at:03d}": np.full(periods, 100.0) for at in range(30)}
    for row in series.values():
        row[rng.random(periods) < rng.choice([0, 0, 0.02, 0.2])] = rng.choice([0, np.nan])
        if rng.random() < 0.5:
            stop = periods - (quiet // 2 if rng.random() < seed / 8 else rng.integers(1, 2 * YEAR[frequency]))
            row[stop : stop + rng.choice([quiet // 3, quiet, periods])] = np.nan
        if rng.random() < 0.2:
            row[: periods - rng.integers(quiet, 3 * YEAR[frequency]) % periods] = np.nan
    series["A999"] = np.full(periods, 100.0)
    rows = history({a: row for a, row in series.items() if np.isfinite(row).any()}, frequency)
    found = {f.airport: f.since for f in told(rows, frequency, absent) if f.kind == "silent"}
    assert found == ByHand(rows, frequency).silent(absent)


@pytest.mark.parametrize(("frequency", "behind"), [("MS", 2), ("W", 2), ("D", 7)])
@pytest.mark.parametrize("absent", ["missing", "zero"])
def test_an_airport_is_silent_from_two_periods_on_or_a_week_of_days(frequency, behind, absent):
    series = fleet(8, 3 * YEAR[frequency] + 10, frequency)
    series["A003"][-behind + 1 :] = np.nan
    assert told(history(series, frequency), frequency, absent) == ()
    series["A003"][-behind:] = np.nan
    (fault,) = told(history(series, frequency), frequency, absent)
    newest = pd.date_range(BEGIN[frequency], periods=len(series["A003"]), freq=STEP[frequency])
    assert (fault.airport, fault.kind, fault.since) == ("A003", "silent", str(newest[-behind].date()))
    assert f"no row for {behind} " in fault.detail
    assert f"up to {newest[-1]:%Y-%m-%d}" in fault.detail
    assert "ask the source" in fault.detail


@pytest.mark.parametrize("absent", ["missing", "zero"])
def test_who_is_silent_for_more_than_a_season_and_a_half_is_not_of_the_fleet_any_more(absent):
    series = fleet(8, 80)
    series["A003"][-18:] = np.nan
    assert marked(told(history(series), absent=absent)) == [("A003", "silent", "2019-03-01")]
    series["A003"][-19:] = np.nan
    assert told(history(series), absent=absent) == ()


@pytest.mark.parametrize("absent", ["missing", "zero"])
def test_who_is_reported_sooner_than_all_others_makes_nobody_silent(absent):
    series = fleet(20, 120, "W")
    for airport in list(series)[1:]:
        series[airport][-2:] = np.nan
    assert told(history(series, "W"), "W", absent) == ()
    series["A005"][-4:] = np.nan
    assert [f.airport for f in told(history(series, "W"), "W", absent)] == ["A005"]


@pytest.mark.parametrize("frequency", ["D", "W", "MS"])
@pytest.mark.parametrize("until", ["2024-03-01", "2024-03-04", "2024-03-10T23:59:59", "2024-04-01", "2025-01-01"])
def test_a_fleet_is_overdue_by_the_whole_periods_that_have_ended_without_a_row(frequency, until):
    newest, instant = pd.Timestamp("2024-02-05" if frequency == "W" else "2024-02-01"), pd.Timestamp(until, tz="UTC")
    begin, ended = newest + pd.tseries.frequencies.to_offset(STEP[frequency]), 0
    while (begin + pd.tseries.frequencies.to_offset(STEP[frequency])).tz_localize("UTC") <= instant:
        begin, ended = begin + pd.tseries.frequencies.to_offset(STEP[frequency]), ended + 1
    last = pd.Series({"AAA": newest})
    assert overdue(last, frequency, instant, ended) == (newest, 0)
    if ended:
        assert overdue(last, frequency, instant, ended - 1) == (newest, ended)


@pytest.mark.parametrize(("reported", "behind"), [(24, 10), (25, 10), (26, 0), (100, 0)])
def test_a_fleet_is_overdue_if_three_quarters_of_it_are_whoever_is_still_reported(reported, behind):
    stopped, newest = pd.Timestamp("2024-02-05"), pd.Timestamp("2024-04-15")
    last = pd.Series({f"A{at:03d}": newest if at < reported else stopped for at in range(100)})
    last["OLD"] = pd.Timestamp("2020-01-06")  # of this fleet no more
    assert overdue(last, "W", pd.Timestamp("2024-04-22", tz="UTC"), 4) == (stopped if behind else newest, behind)


@pytest.mark.parametrize("absent", ["missing", "zero"])
def test_an_airport_that_reports_zeros_is_not_silent(absent):
    series = fleet()
    series["A003"][-8:] = 0
    assert told(history(series), absent=absent) == ()


def test_where_absent_means_zero_an_airport_that_often_had_no_traffic_or_is_young_is_not_silent():
    series = fleet()
    series["A003"][-4:] = np.nan
    series["A003"][-20:-18] = 0  # two of 24 months
    series["A004"][-4:] = np.nan
    series["A004"][:-15] = np.nan  # a year is not known of it
    rows = history(series)
    assert told(rows, absent="zero") == ()
    assert [f.airport for f in told(rows)] == ["A003", "A004"]
    series["A003"][-20] = 100  # one of 24
    assert [f.airport for f in told(history(series), absent="zero")] == ["A003"]


@pytest.mark.parametrize(("airports", "handful"), [(20, 2), (39, 2), (60, 3), (80, 4)])
def test_where_more_than_a_handful_stop_at_a_time_the_world_has_changed_and_not_the_feed(airports, handful):
    series = fleet(airports, 48)
    for at in range(handful):
        series[f"A{at:03d}"][-3 - at % 2 :] = np.nan
    assert len(told(history(series), absent="zero")) == handful
    series[f"A{handful:03d}"][-4:] = np.nan
    assert told(history(series), absent="zero") == ()
    assert len(told(history(series), absent="missing")) == handful + 1  # then each is missed


def test_the_last_to_come_back_after_a_common_stop_is_no_fault_and_one_that_stops_later_is():
    series = fleet(20, 60)
    for at in range(6):
        series[f"A{at:03d}"][-8 : -8 + 3] = np.nan
    series["A005"][-8:] = np.nan
    series["A006"][-3:] = np.nan
    assert marked(told(history(series), absent="zero")) == [("A006", "silent", "2018-10-01")]


def test_summer_airports_that_end_their_season_hide_no_airport_that_falls_silent():
    series = fleet(20, 60)
    for at in range(10):
        for year in range(5):
            series[f"A{at:03d}"][12 * year + 9 : 12 * year + 14] = np.nan
    series["A015"][-3:] = np.nan
    assert [f.airport for f in told(history(series), absent="zero")] == ["A015"]


def test_a_crowd_is_counted_over_a_cycle_on_either_side():
    given = np.ones((60, 30), dtype=bool)
    stops = np.zeros_like(given)
    stops[[0, 1, 2, 3], [10, 11, 11, 12]] = True
    assert np.flatnonzero(crowded(stops, given, 1)).tolist() == [11]
    assert np.flatnonzero(crowded(stops, given, 7)).tolist() == list(range(5, 18))
    assert np.flatnonzero(crowded(stops[:, ::-1], given, 1)).tolist() == [18]


def test_weeks_on_another_weekday_are_not_late():
    newest = pd.Timestamp("2020-01-06")
    rows = [("MON", newest - pd.Timedelta(weeks=w), 5.0) for w in range(120)]
    for name, early in (("TUE", 6), ("LATE", 13), ("GONE", 14)):
        rows += [(name, newest - pd.Timedelta(days=early + 7 * w), 5.0) for w in range(120)]
    frame = pd.DataFrame(rows, columns=["airport", "ds", "y"])
    assert marked(faults(frame, "W", "missing", newest)) == [("GONE", "silent", "2019-12-30")]


# --- wrong values


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize(("frequency", "periods"), [("MS", 60), ("W", 200), ("D", 500), ("D", 120), ("MS", 26)])
@pytest.mark.parametrize("factor", [100, 1000])
def test_the_newest_value_in_another_unit_is_a_fault(frequency, periods, factor, absent):
    series = fleet(10, periods, frequency)
    series["A003"][-1] *= factor
    rows = history(series, frequency)
    (fault,) = told(rows, frequency, absent)
    assert (fault.airport, fault.kind, fault.since) == ("A003", "unit", str(rows["ds"].max().date()))
    assert f"{factor:,} times that, as in another unit" in fault.detail
    assert "ingest it again" in fault.detail


def test_a_fault_tells_the_value_the_expected_one_how_many_more_and_what_to_do():
    series = fleet() | {name: np.full(60, 2_000.0) for name in ("A003", "A004", "A005", "A006")}
    series["A003"][-3:] = 200
    series["A004"][-3:] = [200, 200, 2_000]
    series["A005"][-1] = 24_500
    series["A006"][-3:] = 2  # hardly anyone: a collapse
    assert [f.detail for f in told(history(series))] == [
        "200 in 2018-10-01 (and 2 months more, up to 2018-12-01), where about 2,000 was expected: that divided by 10, "
        "as in another unit; ingest it again in the usual one",
        "200 in 2018-10-01 (and 1 month more, up to 2018-11-01), where about 2,000 was expected: that divided by 10, "
        "as in another unit; ingest it again in the usual one",
        "24,500 in 2018-12-01, near the 24,000 of a whole year, where about 2,000 was expected: ingest the period's "
        "own value",
    ]


@pytest.mark.parametrize(("frequency", "cycle"), [("MS", 1), ("W", 1), ("D", 7)])
def test_a_wrong_value_is_a_fault_as_long_as_it_lies_among_the_newest_eight_cycles(frequency, cycle):
    series = fleet(10, 3 * YEAR[frequency], frequency)
    held = 8 * cycle
    series["A003"][-held] *= 1000
    series["A004"][-held - 1] *= 1000
    rows = history(series, frequency)
    assert [f.airport for f in told(rows, frequency)] == ["A003"]
    assert told(rows, frequency, window=7) == ()
    assert [f.airport for f in told(rows, frequency, window=9)] == ["A003", "A004"]


def test_a_stretch_that_began_before_the_window_is_told_from_its_begin():
    series = fleet()
    series["A003"][-12:-6] *= 1000
    assert marked(told(history(series))) == [("A003", "unit", "2018-01-01")]


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize("factor", [1000, 10, 0.01])
def test_values_that_stay_in_another_unit_are_a_fault_for_as_long_as_checks_follow_each_other(factor, absent):
    series = fleet(10, 300, "W")
    series["A003"][230:] *= factor
    whole, begun, seen = history(series, "W"), None, []
    weeks = sorted(whole["ds"].unique())
    for newest in weeks[230::3]:
        rows = whole[whole["ds"] <= newest]
        found = faults(rows, "W", absent, newest, begun=begun)
        seen.append(marked(found))
        begun = {f.airport: f.since for f in found}
    assert seen[1:] == [[("A003", "unit", str(weeks[230].date()))]] * (len(seen) - 1)
    assert told(whole, "W", absent) == ()  # who looks for the first time takes it for the level


def test_the_newest_cycles_are_the_airports_own_where_absent_means_missing():
    series = fleet()
    series["A003"][-10] *= 1000
    series["A003"][-6:-3] = np.nan
    rows = history(series)
    assert marked(told(rows)) == [("A003", "unit", "2018-03-01")]
    assert told(rows, absent="zero") == ()


@pytest.mark.parametrize("factor", [0.3, 3.0, 1.0])
@pytest.mark.parametrize("frequency", ["MS", "W", "D"])
def test_wild_values_that_are_no_other_unit_are_drifts_business(frequency, factor):
    series = fleet(10, 3 * YEAR[frequency], frequency)
    series["A003"][-3:] *= factor
    assert told(history(series, frequency), frequency) == ()


def test_a_fall_by_ten_that_the_fleet_shares_is_none_and_one_alone_is():
    series = {a: np.r_[row[:-2], row[-2:] / 10] for a, row in fleet().items()}
    assert told(history(series)) == ()
    alone = fleet() | {"A003": series["A003"]}
    assert marked(told(history(alone))) == [("A003", "unit", "2018-11-01")]


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize("frequency", ["MS", "W", "D"])
def test_a_years_total_in_one_period_is_a_fault(frequency, absent):
    series = fleet(10, 3 * YEAR[frequency], frequency)
    series["A003"][-2] = series["A003"][-YEAR[frequency] - 2 : -2].sum()
    (fault,) = told(history(series, frequency), frequency, absent)
    assert (fault.airport, fault.kind) == ("A003", "annual total")
    assert "of a whole year, where about" in fault.detail


def test_a_total_that_is_the_only_row_of_its_year_is_a_fault_once_another_tells_what_it_is():
    months = np.full(48, 20_000.0)
    months[:36] = np.nan
    months[[11, 23, 35]] = 240_000
    rows = history(fleet(8, 48) | {"A900": months})
    assert [(f.airport, f.kind, f.since) for f in faults(rows[rows["ds"] <= "2016-12-01"], "MS", "missing",
             pd.Timestamp("2016-12-01"))] == [("A900", "annual total", "2014-12-01")]  # fmt: skip
    until = pd.Timestamp("2017-07-01")
    (fault,) = faults(rows[rows["ds"] <= until], "MS", "missing", until)
    assert (fault.airport, fault.since) == ("A900", "2016-12-01")
    assert fault.detail.startswith("240,000 in 2016-12-01, the only row of its year")
    assert faults(rows[rows["ds"] <= until], "MS", "zero", until) == ()
    assert told(rows) == ()  # eight months later


def test_an_airport_alone_is_judged_by_itself():
    row = steady()
    row[-1] *= 10
    assert marked(told(history({"A003": row}))) == [("A003", "unit", "2018-12-01")]


def test_faults_come_by_airport_and_begin_whatever_the_order_of_the_rows():
    series = fleet()
    series["A007"][-5] *= 1000
    series["A007"][-2] *= 100
    series["A003"][-3:] = np.nan
    rows = history(series)
    found = told(rows)
    assert marked(found) == [
        ("A003", "silent", "2018-10-01"), ("A007", "unit", "2018-08-01"), ("A007", "unit", "2018-11-01")
    ]  # fmt: skip
    assert told(rows.sample(frac=1, random_state=1)) == found
    assert told(rows.assign(airport=rows["airport"].astype("category"))) == found


@pytest.mark.parametrize("absent", ["missing", "zero"])
@pytest.mark.parametrize("frequency", ["MS", "W", "D"])
@pytest.mark.parametrize("periods", [1, 2, 5, 9, 15])
def test_short_histories_have_no_faults(frequency, periods, absent):
    assert told(history(fleet(3, periods, frequency), frequency), frequency, absent) == ()


def test_no_history_has_no_faults_and_an_unknown_frequency_is_refused():
    nothing = pd.DataFrame({"airport": [], "ds": pd.to_datetime([]), "y": []})
    assert faults(nothing, "MS", "zero", pd.Timestamp("2020-01-01")) == ()
    with pytest.raises(ConfigurationError, match=r"source\.frequency: 'QS'"):
        faults(nothing, "QS", "zero", pd.Timestamp("2020-01-01"))


# --- real traffic


def real(name: str) -> pd.DataFrame:
    if not SHARED.is_dir():
        pytest.skip(f"the real traffic is not at {SHARED}; set PAXCAST_SHARED_DATA")
    rows = pd.read_parquet(SHARED / f"{name}.parquet").rename(columns={"date": "ds", "passengers": "y"})
    return rows.groupby(["airport", "ds"], as_index=False)["y"].sum()


def as_of(rows: pd.DataFrame, month: str, absent: str) -> tuple[Fault, ...]:
    until = pd.Timestamp(month)
    return faults(rows[rows["ds"] <= until], "MS", absent, until)


def test_the_french_fleet_in_spring_2020_has_no_fault_but_one_airport_that_stopped_before():
    rows = real("dgac_france_monthly")
    for month in ("2020-04-01", "2020-05-01", "2020-06-01"):
        assert marked(as_of(rows, month, "zero")) == [("NTTO", "silent", "2020-02-01")]


def test_no_value_of_french_or_australian_traffic_passes_for_another_unit_or_a_total():
    for name, absent in (("dgac_france_monthly", "zero"), ("bitre_australia_monthly", "missing")):
        rows = real(name)
        for month in pd.date_range("2006-01-01", "2024-07-01", freq="6MS"):  # each month is held eight months
            assert {f.kind for f in as_of(rows, str(month.date()), absent)} <= {"silent"}


def test_hardly_a_french_airport_falls_silent_and_those_that_do_had_closed():
    rows = real("dgac_france_monthly")
    months = pd.date_range("2015-01-01", "2022-12-01", freq="3MS")
    silent = {f.airport for month in months for f in as_of(rows, str(month.date()), "zero")}
    assert silent <= {"LFSD", "LFMH", "LFLX", "LFRQ", "NTTO", "NWWR", "SOOA"}
    assert {"LFSD", "LFMH"} <= silent


def test_the_known_totals_of_new_york_are_faults_from_the_second_on_as_long_as_they_are_held():
    rows = real("panynj_monthly")
    for year in range(1995, 2006):
        assert ("SWF", "annual total") in {(f.airport, f.kind) for f in as_of(rows, f"{year}-12-01", "missing")}
    assert marked(as_of(rows, "2006-07-01", "missing")) == [("SWF", "annual total", "2005-12-01")]
    assert as_of(rows, "2006-08-01", "missing") == ()
    assert as_of(rows, "2001-10-01", "missing")[0].airport == "SWF"  # and not one for September 2001
    assert {f.airport for f in as_of(rows, "2001-12-01", "missing")} == {"SWF"}


def test_real_traffic_multiplied_by_a_thousand_is_found_at_nearly_every_airport_in_ordinary_times():
    rows = real("dgac_france_monthly").astype({"y": float})
    until = pd.Timestamp("2018-03-01")
    rows = rows[rows["ds"] <= until]
    newest = rows[rows["ds"] == until].sort_values("airport")["airport"].to_list()
    chosen = newest[::6]
    for factor, least in ((1000.0, 0.9), (3.0, 0.0), (0.3, 0.0)):
        wrong = rows["airport"].isin(chosen) & (rows["ds"] == until)
        found = faults(rows.assign(y=rows["y"].where(~wrong, rows["y"] * factor)), "MS", "zero", until)
        units = {f.airport for f in found if f.kind == "unit"}
        assert units <= set(chosen)
        assert least * len(chosen) <= len(units) <= len(chosen) * (factor == 1000)
