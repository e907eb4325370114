"""Calendar effects: how much of a period's traffic is due to its days: number, rest days, Easter, holidays.

    log y_t = ... + length_t + sum_j b_j x_tj          length: log of the days of a month over the average, known
    (1 - B)(1 - B^s) (log y - length)_t = sum_j b_j (1 - B)(1 - B^s) x_tj + e_t

The b are estimated by least squares on both differences, each drawn towards zero by a prior: regression with calendar
variation (Bell and Hillmer, "Modeling time series with calendar variation", 1983) without the moving average. A
history is divided by exp(length + x b) before it is fitted, and a forecast multiplied by that of its own periods.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.series import Series
from paxcast.core.treatment.public_holidays import holidays_of
from paxcast.core.treatment.raw import Array
from paxcast.core.treatment.rules import FEASTS, NO_CALENDAR, Rules

DAYS_IN_MONTH = 30.4375  # 365.25 / 12
USUAL_REST = 2 / 7
EASTER_FROM, EASTER_TO = -8, 7  # days around Easter Sunday in which people travel
PRIORS: Mapping[str, float] = {"rest": 0.3, "easter": 0.1, "holiday": 0.3}  # one standard deviation, of a log
SEASONS = {"MS": 12, "W": 52, "D": 7}  # s
FEWEST = 24  # differences that an effect is estimated on
ROUNDS = 4  # of taming what is left without the effects found so far
WILD = 3.0  # standard deviations, by the median: a difference beyond counts as much


@dataclass(frozen=True, slots=True)
class Effects:
    """The calendar effects of one history. `coefficients`: by regressor. `moved`: years that feasts lie later."""

    frequency: str
    calendar: str
    country: str | None
    moved: int
    coefficients: Mapping[str, float]

    def factors(self, ds: pd.DatetimeIndex) -> Array:
        """Each period's traffic against that of an average calendar. ds: [T] period starts; [T], above zero."""
        if self.calendar == NO_CALENDAR or not len(ds):
            return np.ones(len(ds))
        length, x = regressors(ds[0], len(ds), self.frequency, self.calendar, self.country, self.moved)
        for name, coefficient in self.coefficients.items():
            length = length + coefficient * x[name]
        return np.asarray(np.exp(length))

    def as_json(self) -> dict[str, object]:
        return {
            "frequency": self.frequency,
            "calendar": self.calendar,
            "country": self.country,
            "moved": self.moved,
            "coefficients": dict(sorted(self.coefficients.items())),
        }


def effects_from(values: Mapping[str, object]) -> Effects:
    """The effects that `as_json` described."""
    return Effects(**values)  # type: ignore[arg-type]


def estimate(series: Series, rules: Rules) -> Effects:
    """The effects in a treated history; none but the length where it is too short to tell, and none where it is always
    the same."""
    constant = not len(series.y) or np.ptp(series.y) == 0  # no count of days: an average, or made up
    which = NO_CALENDAR if constant else rules.calendar
    none = Effects(series.frequency, which, rules.country, rules.feasts_moved, {})
    if which == NO_CALENDAR:
        return none
    length, x = regressors(
        pd.Timestamp(series.ds[0]), len(series.y), series.frequency, which, rules.country, rules.feasts_moved
    )
    names = [name for name in x if np.ptp(x[name]) > 0]
    positive = series.y > 0
    log = np.log(np.where(positive, series.y, 1.0)) - length
    seen = _differences(np.where(positive, 0.0, np.nan), series.frequency) == 0
    off = _differences(log, series.frequency)[seen]
    if not names or len(off) < FEWEST:
        return none
    moved = np.column_stack([_differences(x[name], series.frequency)[seen] for name in names])
    found = _robust(off, moved, np.array([PRIORS[name] for name in names]))
    return replace(none, coefficients=dict(zip(names, found.tolist(), strict=True)))


def regressors(
    first: pd.Timestamp, periods: int, frequency: str, which: str, country: str | None, moved: int
) -> tuple[Array, dict[str, Array]]:
    """The length of each period, [T] logs, and what else tells them apart, by name, [T] each.

    Of months: the share of rest days less the usual, and that of the days around Easter. Of weeks and days: the share
    of public holidays. Public holidays and Easter only where `which` is "holidays".
    """
    last = calendar.next_periods(first, periods, frequency)[-1]
    weekday = first.dayofweek if frequency == "W" else 0
    years = [_of_year(y, weekday, frequency, which, country, moved) for y in range(first.year, last.year + 1)]
    begin = int(np.searchsorted(years[0][0], first.to_datetime64()))
    part = slice(begin, begin + periods)
    names = years[0][2]
    found = {name: np.concatenate([x[name] for _, _, x in years])[part] for name in names}
    return np.concatenate([length for _, length, _ in years])[part], found


@lru_cache(maxsize=65_536)
def _of_year(
    year: int, weekday: int, frequency: str, which: str, country: str | None, moved: int
) -> tuple[npt.NDArray[np.datetime64], Array, dict[str, Array]]:
    """The periods that begin in a year, weeks on a weekday; their lengths and regressors. Many airports share them."""
    days = pd.date_range(f"{year}-01-01", f"{year}-12-31")
    starts = {"MS": days[days.day == 1], "W": days[days.dayofweek == weekday], "D": days}[frequency]
    ends = calendar.shift(starts, 1, frequency)
    days = pd.date_range(starts[0], ends[-1], inclusive="left")
    lengths = np.asarray((ends - starts).days, dtype=np.float64)
    feast = _feasts(days, country, moved) if which == FEASTS else np.zeros(len(days), dtype=np.bool_)
    if frequency != "MS":
        return starts.to_numpy(), np.zeros(len(starts)), {"holiday": _share(feast, starts, ends)}
    found = {"rest": _share(np.asarray(days.dayofweek >= 5) | feast, starts, ends) - USUAL_REST}
    if which == FEASTS:
        found["easter"] = _share(_around_easter(days, moved), starts, ends) * lengths / (EASTER_TO - EASTER_FROM + 1)
    return starts.to_numpy(), np.log(lengths / DAYS_IN_MONTH), found


def _share(flags: npt.NDArray[np.bool_], starts: pd.DatetimeIndex, ends: pd.DatetimeIndex) -> Array:
    """Of each period's days the share with a flag. flags: by day, from the first period's first on. [T]"""
    before = np.concatenate([[0], np.cumsum(flags)])
    first, last = (np.asarray((at - starts[0]).days) for at in (starts, ends))
    return np.asarray((before[last] - before[first]) / (last - first), dtype=np.float64)


def _feasts(days: pd.DatetimeIndex, country: str | None, moved: int) -> npt.NDArray[np.bool_]:
    then = _moved(days, moved)
    known = [day for year in range(int(then[0].year), int(then[-1].year) + 1) for day in _holidays(country, year)]
    return np.asarray(then.isin(known))


@lru_cache(maxsize=4096)
def _holidays(country: str | None, year: int) -> tuple[pd.Timestamp, ...]:
    return tuple(holidays_of(country, [year])["ds"])


def _around_easter(days: pd.DatetimeIndex, moved: int) -> npt.NDArray[np.bool_]:
    from dateutil.easter import easter  # type: ignore[import-untyped]

    then = _moved(days, moved)
    sundays = {year: pd.Timestamp(easter(year)) for year in range(int(then[0].year), int(then[-1].year) + 1)}
    since = (then - pd.DatetimeIndex([sundays[year] for year in then.year])).days
    return np.asarray((since >= EASTER_FROM) & (since <= EASTER_TO))


def _moved(days: pd.DatetimeIndex, years: int) -> pd.DatetimeIndex:
    """The days so many years earlier; of 28 years, so that weekdays and leap days lie as they did."""
    return days if years == 0 else pd.DatetimeIndex(days - pd.DateOffset(years=years))


def _differences(values: Array, frequency: str) -> Array:
    """(1 - B)(1 - B^s) of values, [T - s - 1]; nothing where there are no more than that."""
    season = SEASONS[frequency]
    if len(values) <= season + 1:
        return np.empty(0)
    return np.diff(values[season:] - values[:-season])


def _robust(off: Array, moved: Array, prior: Array) -> Array:
    """The b, [R], with what no effect explains tamed: first of the differences themselves, then of what is left."""
    found = _drawn_to_zero(_tamed(off), moved, prior)
    for _ in range(ROUNDS):
        explained = moved @ found
        found = _drawn_to_zero(explained + _tamed(off - explained), moved, prior)
    return found


def _tamed(off: Array) -> Array:
    spread = WILD * 1.4826 * float(np.median(np.abs(off)))
    return np.clip(off, -spread, spread)


def _drawn_to_zero(off: Array, moved: Array, prior: Array) -> Array:
    """The mean of the b given the differences, [N] and [N, R], with normal errors and priors of mean zero. [R]"""
    noise = float(np.mean(off**2))
    if noise == 0:
        return np.zeros(len(prior))
    return np.asarray(np.linalg.solve(moved.T @ moved + np.diag(noise / prior**2), moved.T @ off))
