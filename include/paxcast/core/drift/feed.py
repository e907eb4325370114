"""Faults of the feed: an airport that is no longer reported, values in another unit, a year's total in one period.

A fault alerts and never retrains, so a real event must not pass for one. All is told from the airports' traffic alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from paxcast.core import calendar
from paxcast.core import faults as reporting
from paxcast.core.drift import jumps
from paxcast.core.drift.traffic import CYCLE, Array, Counts, Flags, Traffic, first_true, last_true, on_grid

SILENT, UNIT, TOTAL = "silent", "unit", "annual total"
WINDOWS = 2  # how far back a wrong value may begin that the newest window still holds
QUIET = {"D": 7, "W": 2, "MS": 2}  # periods behind the newest from which an airport is silent
MOST_REPORTED = 0.75  # of the airports: who is reported sooner than these is ahead, and others are not late for it
GONE = 1.5  # seasons: who is silent for longer is not of this fleet any more
RARE = 0.05  # zeros and absences in two years, below which absence is no habit
HANDFUL, CROWD = 2, 0.05  # airports, and their share, above which it is the world that stops and not the feed
NAMES = {"D": "day", "W": "week", "MS": "month"}


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind`: silent, unit or annual total; `since`: ISO start of its first period; `detail`: a sentence for people."""

    airport: str
    kind: str
    since: str
    detail: str


def faults(
    history: pd.DataFrame,
    frequency: str,
    absent: str,
    newest: pd.Timestamp,
    *,
    window: int = 8,
    begun: Mapping[str, str] | None = None,
) -> tuple[Fault, ...]:
    """The faults of the feed that the airports' newest `window` cycles hold, by airport and begin.

    history: columns airport, ds, y: the rows of all airports as known at an instant. absent: what a period without a
    row means, `missing` or `zero`. newest: the newest period that any airport has. A wrong value is a fault as long as
    it is among the airport's newest `window` cycles, whatever followed it. Raises ConfigurationError for an unknown
    frequency.

    begun: by airport since when an earlier check found a value wrong. What is found wrong is put right before what
    follows is looked at: so a fault is no new level however long it lasts.
    """
    year = calendar.frequency(frequency).year
    held, walked = window * CYCLE[frequency], WINDOWS * window * CYCLE[frequency]
    earliest = min(begun.values(), default="") if begun else ""
    if earliest:
        first, last = calendar.period_number(pd.Series([pd.Timestamp(earliest), newest]), frequency).tolist()
        walked = max(walked, last - first + 1)
    told = walked + jumps.PAST[frequency] + jumps.YEARS * year + jumps.NEAR[frequency]
    traffic = on_grid(history, frequency, newest, max(told, int((GONE + 2) * year) + QUIET[frequency]))
    found = [*_silent(traffic, absent), *_wrong(traffic, absent, held, walked)]
    return tuple(sorted(found, key=lambda fault: (fault.airport, fault.since, fault.kind)))


# --- no longer reported


def overdue(
    last: "pd.Series[pd.Timestamp]", frequency: str, until: pd.Timestamp, patience: int
) -> tuple[pd.Timestamp, int]:
    """The newest period of most airports, and how many whole ones after it have ended by `until`, an instant (UTC); 0
    where that is no more than `patience`. last: by airport its newest period, one at least.

    `faults` compares airports with each other: it cannot tell that most of them are silent.
    """
    numbers = calendar.period_number(last, frequency)
    alive = last[numbers.max() - numbers <= GONE * calendar.frequency(frequency).year]
    usual = pd.Timestamp(alive.quantile(MOST_REPORTED, interpolation="nearest"))
    end = calendar.period_end(pd.Series([usual]), frequency).iloc[0]
    months = (until.year - end.year) * 12 + until.month - end.month
    behind = months if frequency == "MS" else (until - end).days // (7 if frequency == "W" else 1)
    return usual, behind if behind > patience else 0


def _silent(traffic: Traffic, absent: str) -> Iterator[Fault]:
    given, newest = np.isfinite(traffic.y), traffic.y.shape[1] - 1
    year, least = calendar.frequency(traffic.frequency).year, QUIET[traffic.frequency]
    last = last_true(given)
    alive = last[(last >= 0) & (newest - last <= GONE * year)]
    usual = int(np.quantile(alive, MOST_REPORTED, method="nearest")) if len(alive) else newest
    behind = usual - last
    silent = (last >= 0) & (behind >= least) & (behind <= GONE * year)
    if absent == "zero":
        regular = _empty_share(traffic.y, year) < RARE
        alone = ~crowded(_stops(given, least) & regular, given, CYCLE[traffic.frequency])
        begin = np.minimum(last + 1, newest)
        silent &= regular[np.arange(len(begin)), begin] & alone[begin]
    for at in np.flatnonzero(silent).tolist():
        since = traffic.start(at, int(last[at]) + 1)
        detail = (
            f"no row for {_count(int(behind[at]), traffic.frequency)}, since {since}, while others are reported up to "
            f"{traffic.start(at, usual)}; ask the source for them, or set overrides.{traffic.airports[at]}.exclude if "
            "it has closed"
        )
        yield Fault(traffic.airports[at], SILENT, since, detail)


def _empty_share(y: Array, year: int) -> Array:
    """[A, P] the share of zeros and absences in the two years before each period, from an airport's first row on.

    NaN where less than a year is known: an absence may then be a season's.
    """
    at, first = np.arange(y.shape[1])[None, :], first_true(np.isfinite(y))[:, None]
    empty = ~(np.nan_to_num(y) > 0) & (at >= first)
    counted = np.concatenate([np.zeros((len(y), 1)), np.cumsum(empty, axis=1)], axis=1)
    begin = np.maximum(at - 2 * year, np.minimum(first, at))
    known = at - begin
    empties = counted[:, :-1] - np.take_along_axis(counted, begin, axis=1)
    return np.where(known >= year, empties / np.maximum(known, 1), np.nan)


def _stops(given: Flags, least: int) -> Flags:
    """[A, P] whether a period is the first of `least` or more without a row."""
    rows = np.concatenate([np.zeros((len(given), 1)), np.cumsum(given, axis=1)], axis=1)
    stops = np.zeros_like(given)
    quiet = rows[:, least:] == rows[:, :-least]  # [A, P - least + 1]
    wide = quiet.shape[1]
    if wide > 1:
        stops[:, 1:wide] = quiet[:, 1:] & given[:, : wide - 1]
    return stops


def crowded(stops: Flags, given: Flags, cycle: int) -> Flags:
    """[P] whether more than a handful of airports stop within a cycle of each period: then the world has changed.

    A handful is two, or a twentieth of those that were reported before. Who has come back since is counted too, so
    that the last ones to come back are no faults either.
    """
    at, periods = np.arange(stops.shape[1]), stops.shape[1]
    many = np.concatenate([[0], np.cumsum(stops.sum(axis=0))])
    together = many[np.minimum(at + cycle + 1, periods)] - many[np.maximum(at - cycle, 0)]
    before = given.sum(axis=0)[np.maximum(at - cycle - 1, 0)]
    more: Flags = together > np.maximum(HANDFUL, CROWD * before)
    return more


# --- wrong values


def _wrong(traffic: Traffic, absent: str, held: int, walked: int) -> Iterator[Fault]:
    given, y = np.isfinite(traffic.y), traffic.y
    if absent == "zero":
        given = np.arange(y.shape[1])[None, :] >= first_true(given)[:, None]
        y = np.where(given, np.nan_to_num(y), np.nan)
    found = jumps.wrong_values(y, traffic.frequency, absent, walked)
    held_now = given & (np.cumsum(given[:, ::-1], axis=1)[:, ::-1] <= held)
    kind = found.kind
    if absent == "missing" and traffic.frequency == "MS":
        kind = np.where((kind == 0) & _alone_in_year(traffic, held_now), jumps.TOTAL, kind)
    for at in np.flatnonzero((kind != 0).any(axis=1)):
        seen = np.flatnonzero(given[at])
        for first, last in _stretches(kind[at, seen]):
            columns = seen[first : last + 1]
            if held_now[at, columns].any():
                yield _wrong_value(traffic, found, int(at), columns, int(kind[at, columns[0]]))


def _stretches(kind: Counts) -> Iterator[tuple[int, int]]:
    """The first and last of each run of equal kinds that are not 0."""
    edges = [*np.flatnonzero(np.diff(kind, prepend=0) != 0), len(kind)]
    return ((int(a), int(b) - 1) for a, b in pairwise(edges) if kind[a] != 0)


def _alone_in_year(traffic: Traffic, held: Flags) -> Flags:
    """[A, P] the totals that are their year's only row, among the newest values. Monthly data.

    There is no level just before to tell these by; `core.faults` tells them from the whole series.
    """
    totals = np.zeros_like(held)
    given, year, newest = np.isfinite(traffic.y), 12, traffic.newest.year * 12 + traffic.newest.month - 1
    numbers = np.arange(traffic.y.shape[1]) - traffic.y.shape[1] + 1 + newest - 1970 * year
    rows = np.cumsum(given, axis=1)
    before = np.pad(rows, ((0, 0), (year, 0)))[:, : rows.shape[1]]
    lonely = held & (rows - before <= 2)
    for at in np.flatnonzero(lonely.any(axis=1)):
        fault = reporting.annual_total(numbers[given[at]], traffic.y[at, given[at]])
        if fault is not None and fault.alone:
            years = np.isin(numbers // year + 1970, fault.years)
            totals[at] = lonely[at] & given[at] & years & (numbers % year == fault.month - 1)
    return totals


def _wrong_value(traffic: Traffic, found: jumps.Jumps, at: int, columns: Counts, kind: int) -> Fault:
    first, since = int(columns[0]), traffic.start(at, int(columns[0]))
    value, wanted, total = (float(a[at, first]) for a in (traffic.y, found.expected, found.total))
    more = f" (and {_count(len(columns) - 1, traffic.frequency)} more, up to {traffic.start(at, int(columns[-1]))})"
    told = f"{value:,.12g} in {since}{more if len(columns) > 1 else ''}"
    what = TOTAL if kind == jumps.TOTAL else UNIT
    return Fault(traffic.airports[at], what, since, f"{told}, {_why(kind, wanted, total)}")


def _why(kind: int, wanted: float, total: float) -> str:
    if kind == jumps.TOTAL and not np.isfinite(total):
        return "the only row of its year: it looks like the year's total; ingest the months, this one too"
    if kind == jumps.TOTAL:
        usual = f", where about {_rounded(wanted)} was expected" if np.isfinite(wanted) else ""
        return f"near the {_rounded(total)} of a whole year{usual}: ingest the period's own value"
    times = f"{10**kind:,} times that" if kind > 0 else f"that divided by {10**-kind:,}"
    return f"where about {_rounded(wanted)} was expected: {times}, as in another unit; ingest it again in the usual one"


def _count(periods: int, frequency: str) -> str:
    return f"{periods:,} {NAMES[frequency]}{'s' if periods != 1 else ''}"


def _rounded(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{float(f'{value:.3g}'):,.12g}"
