"""What the fleet's model is told of a period to come: numbers without a unit, seen from an origin in the past.

Each airport's are made of its own treated history and of what all airports showed a year ago, nothing of them later
than the origin. An airport's code, its place in a list and its unit of traffic are in none of them; dates are only
there as month, weekday and number of working days: the same history 28 years later has the same features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.series import Series

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
FEWEST = 3  # airports that a median of the fleet needs
MOST_CARRIED = 2.0  # last year's value is carried to today's level by no more than twice or half
LONGEST_YEARS = 20.0  # beyond, the length of a history says nothing more
NEAREST = 4  # decimals of a feature: what is left of the unit of traffic in the last bits must not move a tree


@dataclass(frozen=True, slots=True)
class Scheme:
    """What a frequency implies, in periods. `level`: whose mean is the unit. `growth`: over which the growth on the
    year before is seen, short to long. A year ago is carried to the present by the growth of the last `carried`
    periods, to the power `damped`. `stride`: between the origins that are learnt from.
    """

    level: int
    growth: tuple[int, int, int, int]
    carried: int
    damped: float
    stride: int


SCHEMES = {
    "MS": Scheme(level=12, growth=(1, 3, 6, 12), carried=12, damped=0.5, stride=1),
    "W": Scheme(level=52, growth=(2, 8, 26, 52), carried=13, damped=0.5, stride=2),
    "D": Scheme(level=28, growth=(7, 28, 91, 364), carried=28, damped=1.0, stride=7),
}


@dataclass(frozen=True, slots=True)
class Own:
    """One airport's treated history and what is seen of it at each period, all [T], NaN where too little was known.

    `first`: the number of its first period. `sums`: traffic of the last so many periods; `changes`: against the year
    before; `level`: mean of the last periods; `scale`: mean seasonal naive error so far; `noise`: mean change on the
    year before, over the last year; `top`: the highest level so far.
    """

    code: str
    first: int
    y: Array
    observed: Flags
    sums: dict[int, Array]
    changes: dict[int, Array]
    level: Array
    scale: Array
    noise: Array
    top: Array


@dataclass(frozen=True, slots=True)
class Shared:
    """`odd`: by how much more than over the whole year the fleet's middle airport grew in a period, [P] from period
    number `first` on; NaN where too few airports tell. A strike, a feast that moved, a fair: it seldom comes back.
    """

    first: int
    odd: Array


@dataclass(frozen=True, slots=True)
class Rows:
    """N periods to come, each seen from an origin. `features`: [N, F]; `target`: [N] positions in the history.

    A forecast is `base` + `unit` x what the model says; both [N] traffic.
    """

    features: npt.NDArray[np.float32]
    origin: Positions
    target: Positions
    base: Array
    unit: Array


def own(series: Series, observed: Flags) -> Own:
    """What is seen of one airport's treated history at each of its periods."""
    y, scheme, known = series.y, SCHEMES[series.frequency], calendar.frequency(series.frequency)
    sums = {count: rolling(y, count) for count in {*scheme.growth, scheme.carried, scheme.level, known.year}}
    level = sums[scheme.level] / scheme.level
    seasonal = np.abs(y - lagged(y, known.season))
    so_far = np.cumsum(np.nan_to_num(seasonal)) / np.maximum(np.cumsum(np.isfinite(seasonal)), 1)
    return Own(
        code=series.frequency,
        first=int(calendar.period_number(pd.Series(series.ds[:1]), series.frequency)[0]),
        y=y,
        observed=observed,
        sums=sums,
        changes={count: change(sums[count], lagged(sums[count], known.year)) for count in scheme.growth},
        level=level,
        scale=so_far,
        noise=rolling(np.abs(y - lagged(y, known.year)), known.year) / known.year,
        top=np.fmax.accumulate(level) if len(level) else level,
    )


def shared(airports: Sequence[Own]) -> Shared:
    """What all airports show at each period that any of them has. Their order does not matter."""
    first = min(a.first for a in airports)
    last = max(a.first + len(a.y) for a in airports)
    shortest, *_, longest = SCHEMES[airports[0].code].growth
    return Shared(first, _median(airports, shortest, first, last) - _median(airports, longest, first, last))


def _median(airports: Sequence[Own], count: int, first: int, last: int) -> Array:
    table = np.full((len(airports), last - first), np.nan, dtype=np.float32)
    for row, airport in zip(table, airports, strict=True):
        row[airport.first - first : airport.first - first + len(airport.y)] = airport.changes[count]
    enough = np.isfinite(table).sum(axis=0) >= FEWEST
    found = np.full(last - first, np.nan)
    if enough.any():
        found[enough] = np.nanmedian(table[:, enough], axis=0)
    return found


def rows(airport: Own, fleet: Shared, origins: Positions, horizon: int) -> Rows:
    """Every step from each origin, one origin after another. origins: [O] positions in the history; N = O x H."""
    year = calendar.frequency(airport.code).year
    origin = np.repeat(origins, horizon)
    step = np.tile(np.arange(1, horizon + 1), len(origins))
    target = origin + step
    year_ago = target - year * _ceil(step, year)
    base, unit = _base(airport, origin, step, year_ago), at(airport.level, origin)
    unit = 0.75 * base + 0.25 * unit
    columns = [
        *(np.repeat(c, horizon) for c in _seen_at(airport, origins)),
        *_of_target(airport, fleet, origin, step, year_ago, base, unit),
    ]
    features = np.round(np.column_stack(columns), NEAREST) + 0.0  # no -0
    return Rows(features.astype(np.float32), origin, target, base, unit)


def _base(airport: Own, origin: Positions, step: Positions, year_ago: Positions) -> Array:
    """Last year's value carried to the present level; where there is no last year, the last season's. [N] traffic"""
    scheme, known = SCHEMES[airport.code], calendar.frequency(airport.code)
    recent = at(airport.sums[scheme.carried], origin)
    before = at(airport.sums[scheme.carried], origin - known.year)
    told = before > 0
    ratio = np.divide(recent, before, out=np.full(len(recent), np.nan), where=told)
    if known.season == known.year:
        ratio = np.where(told, ratio, 1.0)
    carried = at(airport.y, year_ago) * np.clip(ratio, 1 / MOST_CARRIED, MOST_CARRIED) ** scheme.damped
    return np.where(np.isfinite(carried), carried, _seasonal(airport, origin, step))


def _seasonal(airport: Own, origin: Positions, step: Positions) -> Array:
    """Seasonal naive. [N] traffic"""
    season = calendar.frequency(airport.code).season
    return at(airport.y, origin + step - season * _ceil(step, season))


def _seen_at(airport: Own, t: Positions) -> list[Array]:
    """What is the same for all steps from an origin: growth, and what kind of history it is. [O] each"""
    scheme, year = SCHEMES[airport.code], calendar.frequency(airport.code).year
    total, level = airport.sums[year], at(airport.level, t)
    growth = [at(airport.changes[count], t) for count in scheme.growth]
    absent, zeros = (flags.astype(np.float64) for flags in (~airport.observed, airport.y == 0))
    made_up, idle = rolling(absent, year) / year, rolling(zeros, year) / year
    quarter = scheme.growth[1]
    return [
        *growth,
        growth[1] - growth[-1],
        at(airport.changes[quarter], t - quarter),
        at(airport.changes[scheme.growth[-1]], t - year),
        *(change(at(total, t), at(total, t - years * year)) for years in (2, 3, 5)),
        change(level, at(airport.top, t)),
        per(at(airport.scale, t), level),
        per(at(airport.noise, t), level),
        np.minimum((t + 1) / year, LONGEST_YEARS),
        at(made_up, t),
        at(idle, t),
    ]


def _of_target(
    airport: Own, fleet: Shared, origin: Positions, step: Positions, year_ago: Positions, base: Array, unit: Array
) -> list[Array]:
    """What is of one period to come: its place in the year, and how last year's was. [N] each"""
    scheme, year = SCHEMES[airport.code], calendar.frequency(airport.code).year
    level, total = at(airport.level, origin), airport.sums[year]
    earlier = []
    for years in (1, 2):  # the same period of earlier years, each at that year's share of the whole
        there = at(airport.y, year_ago - years * year) * per(at(total, origin), at(total, origin - years * year))
        earlier.append(per(there - base, unit))
    usual, naive = at(airport.y, year_ago), _seasonal(airport, origin, step)
    return [
        step.astype(np.float64),
        np.clip(per(base, level), 0.0, 10.0),
        per(usual - base, unit),
        *([per(naive - base, unit)] if calendar.frequency(airport.code).season != year else []),
        *earlier,
        change(usual, at(airport.y, year_ago - year)) - at(airport.changes[scheme.growth[-1]], year_ago),
        at(fleet.odd, year_ago + airport.first - fleet.first),
        *_dates(airport.code, origin + step + airport.first, year_ago + airport.first),
    ]


def _dates(code: str, period: Positions, year_ago: Positions) -> list[Array]:
    """Month; weekday of days; of months, how many more days and working days than a year ago. [N] each"""
    if code == "MS":
        (length, working), (length_ago, working_ago) = _days(period), _days(year_ago)
        return [_plain(period % 12), length - length_ago, working - working_ago]
    days = period * 7 if code == "W" else period
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    return [_plain(month), *([_plain((period + 3) % 7)] if code == "D" else [])]


def _plain(numbers: Positions) -> Array:
    return numbers.astype(np.float64)


def _days(months: Positions) -> tuple[Array, Array]:
    """How many days and working days a month has, by its number since 1970. [N] each"""
    begin, end = (m.astype("datetime64[M]").astype("datetime64[D]") for m in (months, months + 1))
    return (end - begin).astype(np.float64), np.busday_count(begin, end).astype(np.float64)


def change(later: Array, earlier: Array) -> Array:
    """(a - b) / (a + b): growth without a unit, -1..1, of values that may be zero; 0 where both are. [N]"""
    total = later + earlier
    found = np.divide(later - earlier, total, out=np.zeros(len(total)), where=total > 0)
    found[np.isnan(total)] = np.nan
    return found


def per(values: Array, unit: Array) -> Array:
    """A quotient, NaN where the unit is zero or unknown. [N]"""
    return np.asarray(np.divide(values, unit, out=np.full(len(values), np.nan), where=unit > 0), dtype=np.float64)


def at(values: Array, positions: Positions) -> Array:
    """The values at these positions, NaN for those outside. values: [T]; [N]"""
    inside = (positions >= 0) & (positions < len(values))
    return np.where(inside, values[np.clip(positions, 0, len(values) - 1)], np.nan)


def lagged(values: Array, periods: int) -> Array:
    """The values so many periods earlier. [T]"""
    return at(values, np.arange(len(values)) - periods)


def rolling(values: Array, count: int) -> Array:
    """The sum of the last `count` values, each added up anew: no rest of what was before. [T]"""
    found = np.full(len(values), np.nan)
    if len(values) >= count:
        found[count - 1 :] = np.lib.stride_tricks.sliding_window_view(values, count).sum(axis=1)
    return found


def _ceil(step: Positions, season: int) -> Positions:
    return -(-step // season)
