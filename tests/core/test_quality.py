"""Verdicts: what quarantines an airport, what does not, and that no row is lost on the way."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paxcast.core.calendar import FREQUENCIES, full_grid, parse_as_of, period_end, shift
from paxcast.core.columns import AIRPORT, DS, KNOWN_AT, OBSERVATION, RECEIPT, Y
from paxcast.core.errors import ConfigurationError, FutureDataRead
from paxcast.core.history import known
from paxcast.core.identity import history_checksum
from paxcast.core.quality import CHECKS, QualityRules, Verdict, judge, judge_fleet
from paxcast.core.treatment import SHOCKS, Rules, on_grid, treat

SHARED = Path(os.environ.get("PAXCAST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
START = {"MS": pd.Timestamp("2010-01-01"), "W": pd.Timestamp("2015-01-05"), "D": pd.Timestamp("2018-01-01")}
PERIODS = {"MS": 120, "W": 200, "D": 800}
YEAR = {"MS": 12, "W": 52, "D": 365}
AS_OFS = ["2012-12-31", "2019-12-31", "2020-06-30", "2020-12-31", "2021-06-30", "2022-12-31", "2024-12-31"]


@pytest.fixture(scope="module")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"the real traffic is not at {SHARED}; set PAXCAST_SHARED_DATA")
    return SHARED


def rules(code: str = "MS", **changes) -> QualityRules:
    base = FREQUENCIES[code]
    defaults = {"min_periods": base.min_periods, "max_gap": base.max_gap, "max_stale": base.max_stale}
    return QualityRules(frequency=code, **(defaults | changes))


def observations(airport: str, ds, y, code: str = "MS") -> pd.DataFrame:
    """Rows under the table contract, known as soon as their period has ended."""
    frame = pd.DataFrame({DS: pd.DatetimeIndex(ds), Y: np.asarray(y, dtype=float)})
    frame = frame.assign(**{AIRPORT: airport, RECEIPT: "r1", KNOWN_AT: period_end(frame[DS], code)})
    return frame[OBSERVATION]


def healthy(code: str = "MS", airport: str = "AAA") -> pd.DataFrame:
    """A season, some growth, some noise: whole passengers."""
    t, season = np.arange(PERIODS[code]), FREQUENCIES[code].season
    noise = np.random.default_rng(4).normal(0, 0.05, len(t))
    y = 60_000 * 1.05 ** (t / YEAR[code]) * (1 + 0.3 * np.sin(2 * np.pi * t / season)) * np.exp(noise)
    last = shift(pd.DatetimeIndex([START[code]]), len(t) - 1, code)[0]
    return observations(airport, full_grid(START[code], last, code), np.round(y), code)


def end(code: str = "MS") -> pd.Timestamp:
    """The instant at which the healthy history is complete."""
    return period_end(healthy(code)[DS], code).max()


def times(frame: pd.DataFrame, at: slice | int, factor: float) -> pd.DataFrame:
    y = frame[Y].to_numpy(copy=True)
    y[at] = y[at] * factor
    return frame.assign(**{Y: y})


def put(frame: pd.DataFrame, at: slice | int, value) -> pd.DataFrame:
    y = frame[Y].to_numpy(copy=True)
    y[at] = value
    return frame.assign(**{Y: y})


def without(frame: pd.DataFrame, at: slice) -> pd.DataFrame:
    return frame.drop(index=frame.index[at])


def again(frame: pd.DataFrame, at: int, value: float) -> pd.DataFrame:
    """The row at `at` a second time, with another value."""
    return pd.concat([frame, put(frame, at, value).iloc[[at]]], ignore_index=True)


def december_totals(frame: pd.DataFrame, *, alone: bool) -> pd.DataFrame:
    """Every December of the first four years replaced by the year's total, the other months dropped if `alone`."""
    year, december = frame[DS].dt.year, frame[DS].dt.month == 12
    early = year < START["MS"].year + 4
    total = frame.groupby(year)[Y].transform("sum")
    out = frame.assign(**{Y: frame[Y].where(~(early & december), total)})
    return out[~early | december] if alone else out


Poison = Callable[[pd.DataFrame], pd.DataFrame]
POISON: dict[str, tuple[Poison, tuple[str, ...]]] = {
    "nothing": (lambda f: f, ()),
    "three points": (lambda f: f.iloc[-3:], ("too_short",)),
    "one point": (lambda f: f.iloc[-1:], ("too_short",)),
    "constant": (lambda f: put(f, slice(None), 500.0), ()),
    "all zero": (lambda f: put(f, slice(None), 0.0), ("all_zero",)),
    "one NaN": (lambda f: put(f, 40, np.nan), ("not_finite",)),
    "all NaN": (lambda f: put(f, slice(None), np.nan), ("too_short", "not_finite")),
    "plus infinity": (lambda f: put(f, 40, np.inf), ("not_finite",)),
    "minus infinity": (lambda f: put(f, 40, -np.inf), ("not_finite",)),
    "negative": (lambda f: put(f, 40, -5.0), ("negative",)),
    "negative zero": (lambda f: put(f, 40, -0.0), ()),
    "a spike of 1e18": (lambda f: put(f, 40, 1e18), ("implausible",)),
    "two values for a period": (lambda f: again(f, 40, 7.0), ("conflicting_duplicates",)),
    "a value and no number for a period": (lambda f: again(f, 40, np.nan), ("not_finite", "conflicting_duplicates")),
    "the same row twice": (lambda f: pd.concat([f, f.iloc[[40]]]), ()),
    "the same missing number twice": (lambda f: again(put(f, 40, np.nan), 40, np.nan), ("not_finite",)),
    "two periods missing": (lambda f: without(f, slice(40, 42)), ()),
    "times 1,000 in the middle": (lambda f: times(f, slice(40, 46), 1_000), ("unit_fault",)),
    "times 1,000 to the end": (lambda f: times(f, slice(-5, None), 1_000), ("unit_fault",)),
    "times 1,000 at the start": (lambda f: times(f, slice(0, 4), 1_000), ("unit_fault",)),
    "times 100 for a season": (lambda f: times(f, slice(60, 72), 100), ("unit_fault",)),
    "in thousands to the end": (lambda f: times(f, slice(-20, None), 0.001), ("unit_fault",)),
    "in thousands at the start": (lambda f: times(f, slice(0, 20), 0.001), ("unit_fault",)),
    "times 1e14 for four periods": (lambda f: times(f, slice(40, 44), 1e14), ("implausible",)),
    "a second delivery in thousands": (
        lambda f: pd.concat([f, times(f, slice(40, 46), 0.001).iloc[40:46]]),
        ("conflicting_duplicates",),
    ),
    "zero for three periods": (lambda f: put(f, slice(50, 53), 0.0), ()),
    "zero for three periods at the end": (lambda f: put(f, slice(-3, None), 0.0), ()),
    "near zero for three periods": (lambda f: put(f, slice(50, 53), [6.0, 8.0, 51.0]), ()),
    "near zero at the end": (lambda f: put(f, slice(-3, None), [40.0, 90.0, 1_300.0]), ()),
    "ten times as much for three periods": (lambda f: times(f, slice(50, 53), 10), ()),
    "negative and not finite": (lambda f: put(f, slice(40, 42), [-1.0, np.inf]), ("negative", "not_finite")),
}
MONTHLY_POISON: dict[str, tuple[Poison, tuple[str, ...]]] = {
    "totals in December": (lambda f: december_totals(f, alone=False), ("annual_total",)),
    "totals instead of months": (lambda f: december_totals(f, alone=True), ("annual_total",)),
    "nothing but yearly totals": (
        lambda f: december_totals(f, alone=True).iloc[:4],
        ("too_short", "long_gap", "stale", "annual_total"),
    ),
}


def assert_conserves_rows(verdict: Verdict, frame: pd.DataFrame) -> None:
    assert verdict.rows_known == len(frame)
    assert verdict.rows_known == verdict.rows_used + verdict.rows_quarantined
    assert verdict.rows_used == (0 if verdict.quarantined else len(frame))


def assert_explains_itself(verdict: Verdict) -> None:
    assert verdict.quarantined == bool(verdict.reasons)
    assert len(re.findall(r"\.(?= [A-Z0-9]|$)", verdict.detail)) == len(verdict.reasons)
    assert bool(verdict.detail) == verdict.quarantined


@pytest.mark.parametrize("code", ["MS", "W", "D"])
@pytest.mark.parametrize("name", POISON)
def test_an_airport_with_poisoned_data_is_quarantined_for_exactly_that(name, code):
    poison, reasons = POISON[name]
    frame = poison(healthy(code))
    verdict = judge(frame, end(code), rules(code))
    assert verdict.reasons == reasons, verdict.detail
    assert_conserves_rows(verdict, frame)
    assert_explains_itself(verdict)


@pytest.mark.parametrize("name", MONTHLY_POISON)
def test_an_airport_with_annual_totals_among_its_months_is_quarantined(name):
    poison, reasons = MONTHLY_POISON[name]
    frame = poison(healthy())
    verdict = judge(frame, end(), rules())
    assert verdict.reasons == reasons, verdict.detail
    assert_conserves_rows(verdict, frame)
    assert_explains_itself(verdict)


@pytest.mark.parametrize("name", POISON)
def test_the_order_of_rows_changes_no_verdict(name):
    frame = POISON[name][0](healthy("MS"))
    expected = judge(frame, end(), rules())
    for seed in range(3):
        assert judge(frame.sample(frac=1, random_state=seed), end(), rules()) == expected


@pytest.mark.parametrize("code", ["MS", "W", "D"])
def test_a_year_missing_with_too_little_after_it_is_a_long_gap_unless_absent_means_zero(code):
    after = FREQUENCIES[code].shortest_train
    for periods, reasons in ((after - 1, ("long_gap",)), (after, ())):
        frame = without(healthy(code), slice(-periods - YEAR[code], -periods))
        assert judge(frame, end(code), rules(code)).reasons == reasons
        assert judge(frame, end(code), rules(code, absent="zero")).reasons == ()
    assert judge(frame, end(code), rules(code, shortest_part=after + 1)).reasons == ("long_gap",)


@pytest.mark.parametrize("code", ["MS", "W", "D"])
def test_what_is_not_quarantined_for_a_long_gap_is_what_treatment_can_use(code):
    least, treated = FREQUENCIES[code].shortest_train, Rules(find_shocks=False, outliers=False)
    for after in (least - 1, least, least + 1):
        frame = without(healthy(code), slice(-after - YEAR[code], -after))
        done = treat(on_grid("AAA", frame, code), treated)
        used_alone = len(done.series.y) == after
        assert used_alone == (judge(frame, end(code), rules(code)).reasons == ())


def missing_months(first: str, last: str) -> pd.DataFrame:
    """A healthy history up to the end of 2022, without these months."""
    grid = full_grid(pd.Timestamp("2014-01-01"), pd.Timestamp("2022-12-01"), "MS")
    y = 1_000 * (1 + 0.3 * np.sin(2 * np.pi * np.arange(len(grid)) / 12))
    return observations("AAA", grid, y)[lambda f: ~f[DS].between(first, last)].reset_index(drop=True)


@pytest.mark.parametrize(
    ("first", "last", "reasons"),
    [
        ("2020-04-01", "2021-02-01", ()),  # inside
        ("2020-03-01", "2022-02-01", ()),  # the whole of it
        ("2020-06-01", "2022-08-01", ()),  # of which six months lie after it: no long gap alone
        ("2020-06-01", "2022-09-01", ("long_gap",)),  # seven
    ],
)
def test_a_gap_inside_a_shock_that_is_bridged_is_bridged_too(first, last, reasons):
    frame, as_of = missing_months(first, last), parse_as_of("2022-12-31")
    assert judge(frame, as_of, rules(bridged=SHOCKS)).reasons == reasons
    assert judge(frame, as_of, rules()).reasons == ("long_gap",)
    own = {"AAA": SHOCKS, "BBB": ()}
    assert judge(frame, as_of, rules(own_bridged=own)).reasons == reasons
    assert judge(frame.assign(airport="BBB"), as_of, rules(bridged=SHOCKS, own_bridged=own)).reasons == ("long_gap",)


@pytest.mark.parametrize("code", ["MS", "W", "D"])
def test_an_airport_that_ended_two_years_ago_is_stale(code):
    as_of = end(code) + pd.DateOffset(years=2)
    verdict = judge(healthy(code), as_of, rules(code))
    assert verdict.reasons == ("stale",)
    ended = {"MS": 24, "W": (as_of - end(code)).days // 7, "D": (as_of - end(code)).days}[code]
    assert f" {ended} periods before" in verdict.detail
    assert f"{verdict.last_ds:%Y-%m-%d}" in verdict.detail


def test_a_seasonal_airport_without_winter_rows_is_fine_when_absent_means_zero():
    frame = healthy()
    summer = frame[frame[DS].dt.month.between(4, 10)]
    assert judge(summer, parse_as_of("2019-11-30"), rules(absent="zero")).reasons == ()
    assert judge(summer, parse_as_of("2019-11-30"), rules(max_gap=4)).reasons == ("long_gap",)


def test_yearly_totals_are_found_when_absent_means_zero_too():
    frame = december_totals(healthy(), alone=True)
    assert judge(frame, end(), rules(absent="zero")).reasons == ("annual_total",)


def test_a_fall_that_ends_in_absent_months_is_an_event_when_absent_means_zero():
    frame = without(times(healthy(), slice(60, 66), 0.01), slice(64, 66))
    assert judge(frame, end(), rules(absent="zero")).reasons == ()
    assert judge(frame, end(), rules(absent="missing")).reasons == ("unit_fault",)


# Against slow oracles


def slow_reasons(ds: list[pd.Timestamp], as_of: pd.Timestamp, asked: QualityRules) -> set[str]:
    """too_short, long_gap and stale, by walking over every period."""
    grid = list(full_grid(min(ds), max(ds), asked.frequency))
    too_long, run, since = False, 0, 0
    for period in grid:
        if period in ds:
            too_long, since = (True, 0) if run > asked.max_gap else (too_long, since)
            run = 0
        else:
            run += 1
        since += 1  # periods since the last long gap, those of a shorter one among them
    unseen, period = 0, pd.DatetimeIndex([max(ds)])
    while True:
        period = shift(period, 1, asked.frequency)
        if period_end(period.to_series(), asked.frequency).iloc[0] + pd.Timedelta(days=asked.delay_days) > as_of:
            break
        unseen += 1
    zero = asked.absent == "zero"
    found = {"too_short"} if (len(grid) if zero else len(set(ds))) < asked.min_periods else set()
    found |= {"long_gap"} if not zero and too_long and since < asked.shortest_part else set()
    return found | ({"stale"} if unseen > asked.max_stale else set())


@pytest.mark.parametrize("code", ["MS", "W", "D"])
@pytest.mark.parametrize("seed", range(60))
def test_length_gaps_and_age_are_what_walking_over_every_period_finds(code, seed):
    rng = np.random.default_rng(seed)
    span = int(rng.integers(1, 30))
    last = shift(pd.DatetimeIndex([START[code]]), span - 1, code)[0]
    grid = full_grid(START[code], last, code)
    frame = observations("AAA", grid[rng.random(span) < 0.6].union(grid[[0]]), 500.0, code)
    as_of = period_end(frame[DS], code).max() + pd.Timedelta(
        hours=int(rng.integers(0, 24 * 12 * YEAR["D"] // YEAR[code]))
    )
    asked = rules(
        code,
        min_periods=int(rng.integers(1, 25)),
        max_gap=int(rng.integers(0, 5)),
        max_stale=int(rng.integers(0, 6)),
        delay_days=int(rng.choice([0, 1, 10, 45])),
        shortest_part=int(rng.integers(1, 20)),
        absent=str(rng.choice(["missing", "zero"])),
    )
    verdict = judge(frame, as_of, asked)
    assert set(verdict.reasons) == slow_reasons(list(frame[DS]), as_of, asked), verdict.detail


@pytest.mark.parametrize(("code", "days"), [("W", 6), ("MS", 14)])
def test_periods_off_the_grid_of_the_others_quarantine_with_the_first_of_them_and_a_way_out(code, days):
    frame = healthy(code)
    moved = frame.assign(**{DS: frame[DS].where(frame.index < len(frame) - 40, frame[DS] + pd.Timedelta(days=days))})
    first = moved[DS].iloc[-40]
    verdict = judge(moved, end(code) + pd.Timedelta(days=days), rules(code))
    assert verdict.reasons == ("off_grid",)
    assert verdict.detail.startswith(f"40 of {len(frame)} dates do not fit among ")
    assert f"first {first:%Y-%m-%d}, a {first.day_name()}: bring the whole history to one grid" in verdict.detail
    assert_conserves_rows(verdict, moved)
    assert_explains_itself(verdict)


def test_days_are_off_the_grid_of_a_fleet_that_is_stated_to_be_weekly():
    assert "off_grid" in judge(healthy("D"), end("D"), rules("W")).reasons


def test_age_counts_only_periods_that_have_ended_and_could_be_known():
    frame = observations("AAA", full_grid(pd.Timestamp("2019-01-01"), pd.Timestamp("2020-03-01"), "MS"), 500.0)
    strict = rules(max_stale=0)
    assert judge(frame, parse_as_of("2020-04-29"), strict).reasons == ()
    assert judge(frame, parse_as_of("2020-04-30"), strict).reasons == ("stale",)
    assert judge(frame, parse_as_of("2020-06-13"), rules(max_stale=0, delay_days=45)).reasons == ()
    assert judge(frame, parse_as_of("2020-06-14"), rules(max_stale=0, delay_days=45)).reasons == ("stale",)


# The fleet


def test_the_verdict_on_an_airport_depends_on_no_other_and_on_no_order():
    frames = {f"A{i:02d}": POISON[name][0](healthy()) for i, name in enumerate(POISON)}
    fleet = pd.concat([frame.assign(**{AIRPORT: code}) for code, frame in frames.items()])
    alone = [judge(frame.assign(**{AIRPORT: code}), end(), rules()) for code, frame in frames.items()]
    assert judge_fleet(fleet.sample(frac=1, random_state=1), end(), rules()) == alone
    assert [v.airport for v in alone] == sorted(frames)
    assert sum(v.rows_known for v in alone) == len(fleet)


def test_judging_edits_no_row():
    frame = POISON["two values for a period"][0](healthy())
    before = frame.copy(deep=True)
    judge(frame, end(), rules())
    pd.testing.assert_frame_equal(frame, before)


def test_a_verdict_says_span_count_and_checksum_of_the_known_rows():
    frame = healthy()
    verdict = judge(frame, end(), rules())
    assert (verdict.airport, verdict.quarantined, verdict.detail) == ("AAA", False, "")
    assert (verdict.first_ds, verdict.last_ds) == (frame[DS].min(), frame[DS].max())
    assert verdict.checksum == history_checksum(frame)


def test_a_contradiction_is_quarantined_until_a_later_receipt_settles_it():
    frame = again(healthy(), 40, 7.0)
    assert judge(known(frame, end()), end(), rules()).reasons == ("conflicting_duplicates",)
    later = put(healthy(), 40, 60_001.0).iloc[[40]].assign(**{RECEIPT: "r2", KNOWN_AT: end()})
    assert judge(known(pd.concat([frame, later]), end()), end(), rules()).reasons == ()


def test_the_detail_names_dates_numbers_and_a_way_out():
    unit = judge(times(healthy(), slice(40, 46), 1_000), end(), rules()).detail
    assert all(part in unit for part in ("2013-05-01", "2013-10-01", "1,000 times too high", "at the source"))
    gap = judge(without(healthy(), slice(100, 112)), end(), rules()).detail
    assert all(part in gap for part in ("12 periods", "2018-05-01", "2019-04-01", "max_gap is 6", "absent: zero"))
    assert "and the 8 periods after them are fewer than the 24 that can be used alone" in gap
    total = judge(december_totals(healthy(), alone=False), end(), rules()).detail
    assert all(part in total for part in ("Month 12 of 2010, 2011, 2012, 2013", "drop these rows"))
    both = judge(again(healthy(), 40, 7.0), end(), rules()).detail
    assert all(part in both for part in ("2013-05-01", "with 7 and", "keep one"))


@pytest.mark.parametrize("name", ["negative", "one NaN", "a spike of 1e18", "two values for a period", "totals"])
def test_what_a_correction_mends_names_the_instant_from_which_it_must_be_known(name):
    poison = {**POISON, "totals": MONTHLY_POISON["totals in December"]}[name][0]
    as_of = parse_as_of("2019-12-31")
    assert (
        "ingest again, with --known-at 2019-12-31 for a run as of that date"
        in judge(poison(healthy()), as_of, rules()).detail
    )


def test_reasons_have_one_fixed_order():
    assert list(CHECKS) == [
        *("too_short", "long_gap", "all_zero", "negative", "not_finite"),
        *("conflicting_duplicates", "off_grid", "stale", "implausible", "unit_fault", "annual_total"),
    ]


def test_no_rows_give_no_verdict():
    assert judge_fleet(healthy().iloc[:0], end(), rules()) == []


def test_judge_refuses_rows_of_no_airport_or_of_two():
    with pytest.raises(ValueError, match="these hold 0"):
        judge(healthy().iloc[:0], end(), rules())
    with pytest.raises(ValueError, match="these hold 2"):
        judge(pd.concat([healthy(), healthy(airport="BBB")]), end(), rules())


def test_a_row_from_the_future_is_refused():
    with pytest.raises(FutureDataRead, match="AAA"):
        judge(healthy(), end() - pd.Timedelta(seconds=1), rules())


def test_rules_refuse_words_they_do_not_know():
    with pytest.raises(ConfigurationError, match="neither missing nor zero"):
        rules(absent="nothing")
    with pytest.raises(ConfigurationError, match="not one of"):
        QualityRules(frequency="Q", min_periods=1, max_gap=1, max_stale=1)


# Real traffic


def real(folder: Path, name: str) -> pd.DataFrame:
    frame = pd.read_parquet(folder / f"{name}_monthly.parquet")
    out = pd.DataFrame(
        {AIRPORT: frame["airport"], DS: frame["date"], Y: frame["passengers"].astype(float), RECEIPT: "r1"}
    )
    return out.assign(**{KNOWN_AT: period_end(out[DS], "MS")})[OBSERVATION]


@pytest.mark.parametrize("name", ["dgac_france", "bitre_australia", "panynj"])
@pytest.mark.parametrize("day", AS_OFS)
def test_no_real_airport_is_at_fault_but_stewart_and_no_row_is_lost(shared_data, name, day):
    rows = known(real(shared_data, name), parse_as_of(day))
    asked = rules(absent="zero" if name == "dgac_france" else "missing")
    verdicts = judge_fleet(rows, parse_as_of(day), asked)
    faulty = {v.airport for v in verdicts if {"unit_fault", "annual_total"} & set(v.reasons)}
    assert faulty == ({"SWF"} if name == "panynj" else set())
    assert sum(v.rows_used + v.rows_quarantined for v in verdicts) == len(rows)
    assert sum(v.rows_known for v in verdicts) == len(rows)


def test_stewart_is_quarantined_for_its_annual_totals_and_its_neighbours_are_fine(shared_data):
    as_of = parse_as_of("2005-12-31")
    verdicts = {v.airport: v for v in judge_fleet(known(real(shared_data, "panynj"), as_of), as_of, rules())}
    assert {code for code, verdict in verdicts.items() if not verdict.quarantined} == {"JFK", "EWR", "LGA"}
    assert verdicts["SWF"].reasons == ("long_gap", "annual_total")
    assert "Month 12 of 1994, 1995" in verdicts["SWF"].detail
    assert verdicts["SWF"].rows_quarantined == 12


def test_orly_with_six_passengers_in_april_2020_is_fine(shared_data):
    orly = real(shared_data, "dgac_france").query("airport == 'LFPO'")
    for month in range(4, 13):
        as_of = pd.Timestamp(2020, month, 1, tz="UTC") + pd.DateOffset(months=1)
        assert judge(known(orly, as_of), as_of, rules(absent="zero")).reasons == ()
