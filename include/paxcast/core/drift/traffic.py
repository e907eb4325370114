"""The traffic of all airports on one grid of periods: what the checks of the feed and of its inputs read."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS, Y

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
DAYS = {"D": 1, "W": 7}  # in a period
CYCLE = {"D": 7, "W": 1, "MS": 1}  # periods in a cycle, the unit of testing
MAD = 1.4826  # times the median absolute deviation is the standard deviation of a normal distribution


@dataclass(frozen=True, slots=True)
class Traffic:
    """y: [A, P] traffic by airport (sorted by code) and period, NaN where there is no row; the last column is newest.

    offset: [A] days by which an airport's weeks begin before those of `newest`, 0 to 6; 0 for days and months.
    """

    airports: tuple[str, ...]
    frequency: str
    newest: pd.Timestamp
    offset: Counts
    y: Array

    def start(self, airport: int, column: int) -> str:
        """The ISO date on which the period in that column begins, of that airport; both by position."""
        back = column + 1 - self.y.shape[1]
        ds = calendar.shift(pd.DatetimeIndex([self.newest]), back, self.frequency)[0]
        return str((ds - pd.Timedelta(days=int(self.offset[airport]))).date())


def on_grid(history: pd.DataFrame, frequency: str, newest: pd.Timestamp, most: int) -> Traffic:
    """The newest periods of every airport, at most `most`; later rows than `newest` are left out.

    history: columns airport, ds, y. What is no traffic (not finite, below zero) counts as no row; of two values for a
    period the larger is taken (validation quarantines such an airport). Raises ConfigurationError for an unknown
    frequency.
    """
    calendar.frequency(frequency)
    codes, airports = pd.factorize(history[AIRPORT], sort=True)
    values = history[Y].to_numpy(dtype=np.float64)
    back, offset = _back(pd.DatetimeIndex(history[DS]), frequency, newest)
    columns = int(min(most, max(back.max(initial=0) + 1, 1)))
    y = np.full((len(airports), columns), -np.inf)
    used = np.isfinite(values) & (values >= 0) & (back >= 0) & (back < columns)
    np.maximum.at(y, (codes[used], columns - 1 - back[used]), values[used])
    early = np.zeros(len(airports), dtype=np.int64)
    np.maximum.at(early, codes, offset)
    return Traffic(tuple(str(a) for a in airports), frequency, newest, early, np.where(np.isfinite(y), y, np.nan))


def _back(ds: pd.DatetimeIndex, frequency: str, newest: pd.Timestamp) -> tuple[Counts, Counts]:
    """How many periods each row lies before the newest, and the days of a week left over. [N], [N]"""
    if frequency == "MS":
        months = ds.to_numpy().astype("datetime64[M]").astype(np.int64)
        return newest.year * 12 + newest.month - 1 - 1970 * 12 - months, np.zeros(len(ds), dtype=np.int64)
    days = (np.datetime64(newest, "D") - ds.to_numpy().astype("datetime64[D]")).astype(np.int64)
    return days // DAYS[frequency], days % DAYS[frequency]


def last_true(flags: Flags) -> Counts:
    """The last column that holds in each row; -1 where none does. [A]"""
    last: Counts = np.where(flags.any(axis=1), flags.shape[1] - 1 - np.argmax(flags[:, ::-1], axis=1), -1)
    return last


def first_true(flags: Flags) -> Counts:
    """The first column that holds in each row; the number of columns where none does. [A]"""
    first: Counts = np.where(flags.any(axis=1), np.argmax(flags, axis=1), flags.shape[1])
    return first


def median(values: Array, least: int = 1) -> Array:
    """The median over the last axis of what is finite; NaN where fewer than `least` are. [..., N] -> [...]

    numpy's nanmedian does the same, row by row in Python and many times slower.
    """
    if not values.shape[-1]:
        return np.full(values.shape[:-1], np.nan)
    ordered = np.sort(np.where(np.isfinite(values), values, np.nan), axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    middle: Any = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[-1] - 1)], axis=-1)
    found = np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1)
    return np.where(count >= max(least, 1), found, np.nan)
