"""Faults of reporting that look like traffic: a stretch in another unit, an annual total in place of a month.

Both are found from one airport's series alone. A series is two arrays of the same length: `numbers`, the running
number of each period (`calendar.period_number`), strictly increasing, and `values`, finite and >= 0. Levels and
residuals are decimal logarithms, so that a power of ten is a whole number and growth is a sum.

A false alarm costs an airport its forecast, so a real event must not be mistaken for a fault. A pandemic or a strike
may take traffic down by any factor, hence a lowered stretch has to keep the usual shape closely; nothing but a fault
takes it up a hundredfold and back.
"""

from dataclasses import dataclass

import numpy as np

Floats = np.ndarray[tuple[int], np.dtype[np.float64]]
Grid = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
FlagGrid = np.ndarray[tuple[int, int], np.dtype[np.bool_]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

TOLERANCE = float(np.log10(1.1))  # the factor lies within 10 % of a power of ten
EDGE = 1.5  # a step of over 30 times between neighbours, the season apart, may begin or end a stretch
UNDONE = 0.7  # two opposite steps within five times of each other cancel out
MIN_STRETCH = 3  # periods
NEARBY = 6  # periods on each side that tell how the series grows there
MAX_PAIRS = 5  # edges that a stretch may span: keeps a series of nothing but jumps affordable
RESOLUTION = 20.0  # passengers: below, rounding alone moves a value by over 2.5 %
REGULAR = 100.0  # passengers: below, a single new route may take traffic up a hundredfold
TOTAL = (0.98, 1.4)  # a year's total, by the sum of its other eleven months: the month itself has up to 2/7 of a year
SMALL = 10_000.0  # passengers: a yearly value below may well be one charter or one festival


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFault:
    """A stretch of periods, by number, both ends included, that is `10**power` times what it should be."""

    first: int
    last: int
    power: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnualTotal:
    """Years whose one calendar month (1..12) holds the total of the year; `alone`: that row is the year's only one."""

    month: int
    years: tuple[int, ...]
    alone: bool


@dataclass(frozen=True, slots=True)
class _View:
    """A stretch against its surroundings, in decades."""

    inside: Floats  # [n] level above what season and growth lead one to expect
    near: Floats  # [m] the same differences of the periods around it

    @property
    def middle(self) -> float:
        return float(np.median(self.inside))

    @property
    def stray(self) -> float:
        """How far such differences stray where nothing is wrong."""
        return float(np.std(self.near)) if len(self.near) >= MIN_STRETCH else 0.0


def unit_fault(numbers: Integers, values: Floats, season: int) -> UnitFault | None:
    """The shortest stretch of 3 or more periods given in another unit, or None. [N], [N] passengers, season in periods.

    A stretch is a fault when its level over the same season outside, the series' own growth taken off, is within 10 %
    of 10**k with |k| >= 2 and the seasonal shape is kept. The growth can be told only as well as the neighbourhood is
    regular, so a raised stretch is granted that irregularity too; a lowered one, which could be an event, hardly any.
    Periods that are not given are unknown; zeros are traffic, and a zero in or beside a lowered stretch is an event.
    """
    if len(numbers) < 2 * MIN_STRETCH:
        return None
    level, zero = _log_level(numbers, values)
    if not np.isfinite(level).any() or np.nanmax(level) - np.nanmin(level) < EDGE:
        return None
    steps = _steps(level, season)
    for start, stop in _stretches(level, steps, season):
        power = _power(level, zero, steps, start, stop, season)
        if power:
            last = start + int(np.flatnonzero(np.isfinite(level[start:stop]))[-1])
            return UnitFault(first=int(numbers[0]) + start, last=int(numbers[0]) + last, power=power)
    return None


def _log_level(numbers: Integers, values: Floats) -> tuple[Floats, Flags]:
    """log10 of the values on the full grid of periods, NaN where there are none; and where traffic was zero. [P]"""
    at = numbers - numbers[0]
    level, zero = np.full(int(at[-1]) + 1, np.nan), np.zeros(int(at[-1]) + 1, dtype=bool)
    level[at[values > 0]] = np.log10(values[values > 0])
    zero[at[values == 0]] = True
    return level, zero


def _steps(level: Floats, season: int) -> Floats:
    """The step into each period from the one seen before it, less what is usual at that season. [P] decades"""
    seen = np.flatnonzero(np.isfinite(level))
    path = np.concatenate([[0.0], np.cumsum(_usual_steps(level, season))])
    steps = np.zeros(len(level))
    steps[seen[1:]] = np.diff(level[seen]) - np.diff(path[seen])
    return steps


def _usual_steps(level: Floats, season: int) -> Floats:
    """The step into each period that is usual at that season: the median, or of two years the other one. [P - 1]"""
    steps = np.diff(level)
    rows = -(-len(steps) // season)
    padded = np.full(rows * season, np.nan)
    padded[: len(steps)] = steps
    table = padded.reshape(rows, season)
    count = np.isfinite(table).sum(axis=0)
    middle = np.nanmedian(np.where(count == 0, 0.0, table), axis=0)
    other = np.nansum(table, axis=0) - table
    usual = np.where(count >= 3, middle, np.where(count == 2, other, 0.0))
    return np.nan_to_num(usual).ravel()[: len(steps)]


def _stretches(level: Floats, steps: Floats, season: int) -> list[tuple[int, int]]:
    """Candidates [start, stop), the shortest first: from an edge to the one that undoes it, else to the nearer end.

    None is over half of the data: what most of a series says is its unit.
    """
    edges, periods = [int(edge) for edge in np.flatnonzero(np.abs(steps) >= EDGE)], len(steps)
    near = [(start, stop) for i, start in enumerate(edges) for stop in edges[i + 1 : i + 1 + MAX_PAIRS]]
    pairs = [(start, stop) for start, stop in near if abs(steps[start] + steps[stop]) <= UNDONE]
    ends = [(0, edge) if edge <= periods - edge else (edge, periods) for edge in edges]
    lasting = [(start, stop) for start, stop in ends if _is_lasting(level, start, stop, season)]
    fitting = [(start, stop) for start, stop in pairs + lasting if MIN_STRETCH <= stop - start <= periods // 2]
    return sorted(fitting, key=lambda stretch: (stretch[1] - stretch[0], stretch))


def _is_lasting(level: Floats, start: int, stop: int, season: int) -> bool:
    """Whether the other side of an edge keeps its level for seasons: beside a short event anything looks raised."""
    around = np.concatenate([_seen(level[:start])[-4 * season :], _seen(level[stop:])[: 4 * season]])
    return abs(float(np.median(around)) - float(np.median(_seen(level[start:stop])))) >= 1.0


def _power(level: Floats, zero: Flags, steps: Floats, start: int, stop: int, season: int) -> int:
    """The power of ten by which [start, stop) is out, or 0 when it is no unit fault."""
    views = _against_seasons(level, start, stop, season)
    if not views and len(level) <= 2 * season:
        views = _against_neighbours(level, start, stop)
    known = [step for step in (steps[start], -steps[stop] if stop < len(steps) else 0.0) if step]
    for view in views:
        power = round(view.middle)
        resolved = power >= 2 and _has_resolution(level, start, stop, power, season)
        if resolved and _is_raised(view, power, float(np.mean(known))):
            return power
    power = round(views[0].middle) if views else 0
    lowered = power <= -2 and _has_resolution(level, start, stop, power, season) and _is_lowered(views[0], power)
    is_event = zero[max(start - 1, 0) : stop + 1].any() or not _is_sharp(level, start, stop, season)
    return power if lowered and not is_event else 0


def _is_raised(view: _View, power: int, step: float) -> bool:
    """Whether the level, against the seasons or by the step at the edges, and the shape of most periods fit."""
    off = min(abs(view.middle - power), abs(step - power))
    bend = float(np.quantile(np.abs(view.inside - view.middle), 0.75))
    return off <= min(TOLERANCE + 1.5 * view.stray, 0.25) and bend <= min(2 * TOLERANCE + 4 * view.stray, 0.6)


def _is_lowered(view: _View, power: int) -> bool:
    """Whether level and shape fit with hardly any allowance, in every period."""
    bend = float(np.max(np.abs(view.inside - view.middle)))
    return abs(view.middle - power) <= 2 * TOLERANCE and bend <= 3 * TOLERANCE


def _against_seasons(level: Floats, start: int, stop: int, season: int) -> list[_View]:
    """[start, stop) against the same season of both neighbouring years, of the year before, and of the year after.

    Growth in between is taken off. A view of fewer than 3 periods is left out.
    """
    change = _season_change(level, season)
    inside = _span(len(level), start, stop)
    echo = _span(len(level), start + season, stop + season)
    clean = np.where(inside | echo, np.nan, change)
    before, after = _growth(clean, start, stop)
    weight = np.linspace(0.0, 1.0, stop - start + 2)[1:-1]
    back = np.where(echo, np.nan, change)[start:stop] - (before + (after - before) * weight)
    ahead = np.full(stop - start, np.nan)
    later = np.where(inside, np.nan, change)[start + season : stop + season]
    ahead[: len(later)] = after - later
    either = np.where(np.isfinite(back), back, ahead)
    both = np.where(np.isfinite(back + ahead), (back + ahead) / 2, either)
    near = _seen(clean[max(start - 2 * season, 0) : stop + 2 * season])
    return [_View(_seen(r), near) for r in (both, back, ahead) if len(_seen(r)) >= MIN_STRETCH]


def _season_change(level: Floats, season: int) -> Floats:
    """Each level less the one a season earlier. [P] decades"""
    change = np.full(len(level), np.nan)
    change[season:] = level[season:] - level[:-season]
    return change


def _seen(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _span(periods: int, start: int, stop: int) -> Flags:
    at = np.arange(periods)
    return (at >= start) & (at < stop)


def _growth(clean: Floats, start: int, stop: int) -> tuple[float, float]:
    """The season-on-season change just before and just after a stretch; one stands in for the other. [2] decades"""
    seen = np.flatnonzero(np.isfinite(clean))
    before, after = clean[seen[seen < start][-NEARBY:]], clean[seen[seen >= stop][:NEARBY]]
    if not len(before) and not len(after):
        return 0.0, 0.0
    return float(np.median(before if len(before) else after)), float(np.median(after if len(after) else before))


def _against_neighbours(level: Floats, start: int, stop: int) -> list[_View]:
    """[start, stop) against the level on either side, for histories of under two seasons."""
    before, after, within = _seen(level[:start])[-NEARBY:], _seen(level[stop:])[:NEARBY], _seen(level[start:stop])
    sides = [side for side in (before, after) if len(side) >= MIN_STRETCH]
    if not sides or len(within) < MIN_STRETCH:
        return []
    usual = np.mean([np.median(side) for side in sides])
    return [_View(within - usual, np.concatenate([side - np.median(side) for side in sides]))]


def _has_resolution(level: Floats, start: int, stop: int, power: int, season: int) -> bool:
    """Whether the lower of stretch and surroundings is more than a few passengers, or is given with decimals."""
    around = np.concatenate([level[max(start - 2 * season, 0) : start], level[stop : stop + 2 * season]])
    lower = 10.0 ** _seen(level[start:stop] if power < 0 else around)
    decimals = np.abs(lower - np.round(lower)) > 1e-6
    enough = REGULAR if power == 2 else RESOLUTION
    return bool(len(lower)) and bool(np.quantile(lower, 0.25) >= enough or decimals.mean() > 0.5)


def _is_sharp(level: Floats, start: int, stop: int, season: int) -> bool:
    """Whether the periods right beside a stretch are as usual: an event spills over its first and last month."""
    change = _season_change(level, season)
    change[_span(len(level), start, stop) | _span(len(level), start + season, stop + season)] = np.nan
    usual, _ = _growth(change, start - 1, stop)
    beside = _seen(np.array([change[at] for at in (start - 1, stop) if 0 <= at < len(level)]))
    return bool(np.all(np.abs(beside - usual) <= 2.5 * TOLERANCE))


def annual_total(numbers: Integers, values: Floats) -> AnnualTotal | None:
    """Years whose total stands where a month's traffic should, or None. Monthly data only. [N] months, [N] passengers.

    Either the total is the year's only row, or it replaces one month of two or more years, the same month, and is
    1.0 to 1.4 times the sum of the other eleven. Periods absent from `numbers` count as not given, never as zero.
    Daily and weekly data have no such form: a year's total among them is one spike, which `implausible` is for.
    """
    if not len(numbers):
        return None
    first = int(numbers[0]) // 12
    table: Grid = np.full((int(numbers[-1]) // 12 - first + 1, 12), np.nan)
    table[numbers // 12 - first, numbers % 12] = values
    years = np.arange(first, first + len(table)) + 1970
    return _alone(table, years) or _among_months(table, years)


def _alone(table: Grid, years: Integers) -> AnnualTotal | None:
    """Totals that are the only row of their year. `table` is [Y, 12], NaN where there is no row."""
    rows_given = np.isfinite(table).sum(axis=1)
    lone = table[rows_given == 1]
    if not len(lone):
        return None
    month = int(np.argmax(np.isfinite(lone).sum(axis=0)))
    suspects = [int(row) for row in np.flatnonzero((rows_given == 1) & np.isfinite(table[:, month]))]
    yardsticks = np.flatnonzero(rows_given >= 3)
    found = _by_yardstick(table, suspects, yardsticks, month) if len(yardsticks) else _by_size(table, suspects, month)
    return AnnualTotal(month=month + 1, years=tuple(int(years[row]) for row in found), alone=True) if found else None


def _by_yardstick(table: Grid, suspects: list[int], yardsticks: Integers, month: int) -> list[int]:
    """The suspects whose value is the size of the total of the nearest year given by months."""
    near = {row: int(yardsticks[np.argmin(np.abs(yardsticks - row))]) for row in suspects}
    hits = [row for row in suspects if _is_total(table[row, month], table[near[row]], within=3.0, above=1.5)]
    if len(hits) >= 2:
        return hits
    # One such year is weaker evidence: it must be large, clear, and not just the newest or oldest row of the data.
    cut = {0} if month == 11 else {len(table) - 1} if month == 0 else set()
    sure = [row for row in hits if row not in cut and table[row, month] >= SMALL]
    return [row for row in sure if _is_total(table[row, month], table[near[row]], within=2.0, above=3.0)]


def _by_size(table: Grid, suspects: list[int], month: int) -> list[int]:
    """The suspects when the data are nothing but one large value a year, but for the first months of a change."""
    others = int(np.isfinite(table).sum()) - len(suspects)
    large = float(np.median(table[suspects, month])) >= SMALL
    return suspects if len(suspects) >= 2 and others <= 2 and large else []


def _is_total(value: float, months: Floats, *, within: float, above: float) -> bool:
    """Whether a value is the year's total that these months imply, `within` a factor, and `above` times any of them."""
    year = 12.0 * float(np.nanmean(months))
    return bool(year / within <= value <= year * within and value >= above * np.nanmax(months))


def _among_months(table: Grid, years: Integers) -> AnnualTotal | None:
    """Totals that replace one month of otherwise full years. `table` is [Y, 12], NaN where there is no row."""
    full = np.isfinite(table).sum(axis=1) >= 9
    outweighs = _outweighs(np.nan_to_num(table[full]))
    for month in range(12):
        hits = np.flatnonzero(outweighs[:, month])
        # One year in many may come out so by itself, as a festival's month does.
        if len(hits) >= 2 and 2 * len(hits) > hits[-1] - hits[0] + 1:
            return AnnualTotal(month=month + 1, years=tuple(int(y) for y in years[full][hits]), alone=False)
    return None


def _outweighs(table: Grid) -> FlagGrid:
    """Which months are about the sum of their year's others, none of which comes near them. [Y, 12]"""
    others = table.sum(axis=1, keepdims=True) - table
    second = np.sort(table, axis=1)[:, -2:-1]
    total = (table >= TOTAL[0] * others) & (table <= TOTAL[1] * others)
    flags: FlagGrid = total & (table >= 3.0 * second) & (others > 0)
    return flags
