"""Which airports may be forecast: a verdict per airport, with reasons a user can act on.

A cause in the data quarantines the airport, never the fleet, and is never retried. A verdict is a function of that
airport's known rows, `as_of` and the rules alone: not of other airports, nor of the order of rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from paxcast.core.calendar import as_of_text, frequency, full_grid, off_grid, period_number, shift
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.errors import ConfigurationError
from paxcast.core.faults import Flags, Floats, Integers, annual_total, unit_fault
from paxcast.core.history import check_known
from paxcast.core.identity import history_checksum
from paxcast.core.treatment import Shock
from paxcast.core.treatment.gaps import last_long_gap
from paxcast.core.treatment.shocks import configured


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityRules:
    """What a fleet asks of a history, in periods of `frequency`. Raises ConfigurationError for unknown words."""

    frequency: str  # D, W, MS
    min_periods: int  # fewer observed periods than this: too_short
    max_gap: int  # a longer run of missing periods inside the span, and too little after it: long_gap
    max_stale: int  # more periods than this could be known since the newest observation: stale
    absent: str = "missing"  # or "zero": a period absent between first and last observation had no traffic
    delay_days: int = 0
    max_value: float = 1e12  # passengers in one period; above it: implausible
    shortest_part: int | None = None  # so many periods after a long gap are used alone; None: the frequency's default
    bridged: tuple[Shock, ...] = ()  # the shocks that treatment bridges: a gap inside one is bridged too
    own_bridged: Mapping[str, tuple[Shock, ...]] = field(default_factory=dict)  # in their place, at some airports

    def __post_init__(self) -> None:
        frequency(self.frequency)
        if self.absent not in ("missing", "zero"):
            raise ConfigurationError(f"source.absent: '{self.absent}' is neither missing nor zero; use one of these")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether one airport may be forecast, and if not, why. `rows_known == rows_used + rows_quarantined` always."""

    airport: str
    quarantined: bool
    reasons: tuple[str, ...]  # keys of CHECKS, in that order
    detail: str  # one sentence per reason; "" when there is none
    rows_known: int  # rows in force at `as_of`
    rows_used: int  # all of them, or none
    rows_quarantined: int
    first_ds: pd.Timestamp | None
    last_ds: pd.Timestamp | None
    checksum: str  # identity.history_checksum of the known rows


@dataclass(frozen=True, slots=True)
class _Facts:
    """One airport's rows in the order of (ds, y), without those that repeat another: arrays of the same length [N]."""

    airport: str
    ds: pd.DatetimeIndex
    number: Integers  # running number of the period
    y: Floats  # may be negative or not finite
    as_of: pd.Timestamp
    rules: QualityRules

    def observed(self) -> Integers:
        """The distinct periods that have a finite value, ascending."""
        return np.unique(self.number[np.isfinite(self.y)])

    def start(self, number: int) -> pd.Timestamp:
        """The start of a period, in the data or not."""
        return shift(self.ds[:1], number - int(self.number[0]), self.rules.frequency)[0]

    def date(self, number: int) -> str:
        """The start of a period, for a sentence."""
        return f"{self.start(number):%Y-%m-%d}"

    def ingest_again(self) -> str:
        """How a correction reaches this run: without an instant it is known from its receipt on, and no earlier."""
        return f"ingest again, with --known-at {as_of_text(self.as_of)} for a run as of that date"

    def listing(self, wrong: Flags) -> str:
        """How many rows are wrong and the first of them, for a sentence."""
        first = int(np.flatnonzero(wrong)[0])
        return f"{np.count_nonzero(wrong)} of {len(wrong)} values, first {self.y[first]:g} at {self.ds[first]:%Y-%m-%d}"


def judge_fleet(rows: pd.DataFrame, as_of: pd.Timestamp, rules: QualityRules) -> list[Verdict]:
    """One verdict per airport that has a row, sorted by airport.

    `rows`: what `history.known` returns (airport, ds, y, known_at, receipt), several rows per ds where one receipt
    contradicts itself. Raises FutureDataRead if a row was not known at `as_of`.
    """
    check_known(rows, as_of)
    groups = rows.groupby(AIRPORT, sort=True, observed=True)
    return [_judge(str(airport), group, as_of, rules) for airport, group in groups]


def judge(rows: pd.DataFrame, as_of: pd.Timestamp, rules: QualityRules) -> Verdict:
    """The verdict on the one airport of `rows`, as `judge_fleet`. Raises ValueError unless it is exactly one."""
    verdicts = judge_fleet(rows, as_of, rules)
    if len(verdicts) != 1:
        raise ValueError(f"judge takes the rows of one airport, and these hold {len(verdicts)}; use judge_fleet")
    return verdicts[0]


def _judge(airport: str, rows: pd.DataFrame, as_of: pd.Timestamp, rules: QualityRules) -> Verdict:
    facts = _facts(airport, rows, as_of, rules)
    found = {code: sentence for code, check in CHECKS.items() if (sentence := check(facts))}
    count = len(rows)
    return Verdict(
        airport=airport,
        quarantined=bool(found),
        reasons=tuple(found),
        detail=" ".join(found.values()),
        rows_known=count,
        rows_used=0 if found else count,
        rows_quarantined=count if found else 0,
        first_ds=facts.ds[0],
        last_ds=facts.ds[-1],
        checksum=history_checksum(rows),
    )


def _facts(airport: str, rows: pd.DataFrame, as_of: pd.Timestamp, rules: QualityRules) -> _Facts:
    ds, y = pd.DatetimeIndex(rows[DS]), rows[Y].to_numpy(dtype=np.float64)
    order = np.lexsort((y, ds.to_numpy()))
    ds, y = ds[order], y[order]
    same_value = (y[1:] == y[:-1]) | (np.isnan(y[1:]) & np.isnan(y[:-1]))
    new = np.concatenate([[True], ~((ds[1:] == ds[:-1]) & same_value)])
    number = period_number(ds[new].to_series(), rules.frequency)
    return _Facts(airport, ds[new], number, y[new], as_of, rules)


def _too_short(facts: _Facts) -> str:
    """With absent: zero the periods between two observations are known too, so they count."""
    seen = facts.observed()
    spanned = facts.rules.absent == "zero" and len(seen) > 0
    count = int(seen[-1] - seen[0]) + 1 if spanned else len(seen)
    if count >= facts.rules.min_periods:
        return ""
    return (
        f"Only {count} periods are observed and {facts.rules.min_periods} are needed: wait for more, supply earlier "
        "ones, or lower min_periods."
    )


def _long_gap(facts: _Facts) -> str:
    """Only where treatment could neither bridge the last long gap nor use the part after it alone."""
    seen, rules = facts.observed(), facts.rules
    missing = np.diff(seen) - 1
    if rules.absent == "zero" or not len(missing) or missing.max() <= rules.max_gap:
        return ""
    least = frequency(rules.frequency).shortest_train if rules.shortest_part is None else rules.shortest_part
    gap = last_long_gap(_not_bridged(facts, seen), rules.max_gap)
    first, last = (int(seen[0]) + at for at in gap or (0, -1))
    after = int(seen[-1]) - last
    if gap is None or after >= least:
        return ""
    return (
        f"{last - first + 1} periods in a row are missing, {facts.date(first)} to {facts.date(last)}, max_gap is "
        f"{rules.max_gap}, and the {after} periods after them are fewer than the {least} that can be used alone: "
        "supply them, or set absent: zero if they had no traffic."
    )


def _not_bridged(facts: _Facts, seen: Integers) -> Flags:
    """Which periods from the first observed to the last are missing, those in bridged shocks not among them. [P]"""
    first, last, code = int(seen[0]), int(seen[-1]), facts.rules.frequency
    shocks = facts.rules.own_bridged.get(facts.airport, facts.rules.bridged)
    missing = np.ones(last - first + 1, dtype=np.bool_)
    missing[seen - first] = False
    grid = full_grid(facts.start(first), facts.start(last), code).to_numpy().astype("datetime64[ns]")
    for window in configured(grid, code, shocks):
        missing[window.at] = False
    return missing


def _all_zero(facts: _Facts) -> str:
    finite = facts.y[np.isfinite(facts.y)]
    if not len(finite) or finite.any():
        return ""
    return f"All {len(finite)} values are zero: check the mapped column, or leave it out of the source if closed."


def _negative(facts: _Facts) -> str:
    wrong = np.isfinite(facts.y) & (facts.y < 0)
    if not wrong.any():
        return ""
    return f"Below zero: {facts.listing(wrong)}; correct them at the source and {facts.ingest_again()}."


def _not_finite(facts: _Facts) -> str:
    wrong = ~np.isfinite(facts.y)
    if not wrong.any():
        return ""
    return f"No number: {facts.listing(wrong)}; supply the numbers and {facts.ingest_again()}."


def _conflicting_duplicates(facts: _Facts) -> str:
    repeated = np.flatnonzero(facts.ds[1:] == facts.ds[:-1])
    if not len(repeated):
        return ""
    at = int(repeated[0])
    return (
        f"More than one value for {facts.ds[repeated].nunique()} dates, first {facts.ds[at]:%Y-%m-%d} with "
        f"{facts.y[at]:g} and {facts.y[at + 1]:g}; keep one of them and {facts.ingest_again()}."
    )


def _off_grid(facts: _Facts) -> str:
    code = facts.rules.frequency
    wrong = off_grid(facts.ds, code)
    if not wrong.any():
        return ""
    first, usual = facts.ds[wrong][0], facts.ds[~wrong]
    days = f"weeks on {usual[0].day_name()}" if code == "W" and len(usual) else f"periods of frequency {code}"
    return (
        f"{np.count_nonzero(wrong)} of {len(wrong)} dates do not fit among {days}, first {first:%Y-%m-%d}, a "
        f"{first.day_name()}: bring the whole history to one grid and ingest it under another fleet name, as what is "
        "stored stays."
    )


def _stale(facts: _Facts) -> str:
    seen = facts.observed()
    if not len(seen):
        return ""
    age = _ended_since(facts, int(seen[-1]))
    if age <= facts.rules.max_stale:
        return ""
    return (
        f"The newest observation is {facts.date(int(seen[-1]))}, {age} periods before the newest that could be known, "
        f"and max_stale is {facts.rules.max_stale}: ingest newer data, or leave it out of the source if closed."
    )


def _ended_since(facts: _Facts, last: int) -> int:
    """How many periods after `last` have ended and, with the source's delay, could be known at `as_of`."""
    now = facts.as_of.tz_localize(None) - pd.Timedelta(days=facts.rules.delay_days)
    if facts.rules.frequency == "MS":
        running = (now.year - 1970) * 12 + now.month - 1
    else:
        start = pd.Timestamp(facts.date(last))
        running = last + (now - start) // pd.Timedelta(days=7 if facts.rules.frequency == "W" else 1)
    return max(running - 1 - last, 0)


def _implausible(facts: _Facts) -> str:
    wrong = np.isfinite(facts.y) & (facts.y > facts.rules.max_value)
    if not wrong.any():
        return ""
    return (
        f"Above max_value {facts.rules.max_value:g}: {facts.listing(wrong)}; correct them at the source and "
        f"{facts.ingest_again()}."
    )


def _sound(facts: _Facts) -> tuple[Integers, Floats]:
    """Numbers and values of the periods that hold one value which can be traffic. [M], [M]"""
    numbers, at, count = np.unique(facts.number, return_index=True, return_counts=True)
    values = facts.y[at]
    usable = (count == 1) & (values >= 0) & (values <= facts.rules.max_value)
    return numbers[usable], values[usable]


def _unit_fault(facts: _Facts) -> str:
    numbers, values = _sound(facts)
    filled = _with_zeros(numbers, values) if facts.rules.absent == "zero" and len(numbers) else (numbers, values)
    fault = unit_fault(*filled, frequency(facts.rules.frequency).season)
    if fault is None:
        return ""
    return (
        f"The values from {facts.date(fault.first)} to {facts.date(fault.last)} look {10 ** abs(fault.power):,} times "
        f"too {'high' if fault.power > 0 else 'low'}, their shape kept, as if in another unit: correct them at the "
        f"source and {facts.ingest_again()}."
    )


def _with_zeros(numbers: Integers, values: Floats) -> tuple[Integers, Floats]:
    """Every period from the first to the last, those not given with zero traffic. [P], [P]"""
    full = np.arange(numbers[0], numbers[-1] + 1)
    filled = np.zeros(len(full))
    filled[numbers - numbers[0]] = values
    return full, filled


def _annual_total(facts: _Facts) -> str:
    if facts.rules.frequency != "MS":
        return ""
    fault = annual_total(*_sound(facts))
    if fault is None:
        return ""
    how = "is the only row of its year and" if fault.alone else "is about the sum of the other months and"
    return (
        f"Month {fault.month} of {', '.join(map(str, fault.years))} {how} looks like the year's total: supply the "
        f"months, this one too, and {facts.ingest_again()}, or drop these rows and ingest the rest under another fleet "
        "name, as what is stored stays."
    )


CHECKS: dict[str, Callable[[_Facts], str]] = {
    "too_short": _too_short,
    "long_gap": _long_gap,
    "all_zero": _all_zero,
    "negative": _negative,
    "not_finite": _not_finite,
    "conflicting_duplicates": _conflicting_duplicates,
    "off_grid": _off_grid,
    "stale": _stale,
    "implausible": _implausible,
    "unit_fault": _unit_fault,
    "annual_total": _annual_total,
}
