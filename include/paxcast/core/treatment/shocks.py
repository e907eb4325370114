"""Which periods of a history are a shock: windows that are configured, and drops that are found.

A drop begins with the first of three months (8 weeks, 28 days) in a row that each lie below half of the same period of
the last two years without a shock, and lasts until as many in a row are back above 80 % of that. One that is not over
after two years is no shock but a new level. A drop must cost at least a quarter of an average period, so that an empty
winter is none, and where traffic halves and doubles from year to year, it takes more than a half: three robust
deviations. One that comes again within a year and a half is a habit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar
from paxcast.core.treatment.bridging import EDGE, SHORT_SEASON
from paxcast.core.treatment.raw import Array
from paxcast.core.treatment.rules import Shock

FALLEN, RECOVERED = 0.5, 0.8  # of the same period in the last two years without a shock
DEVIATIONS = 3 * 1.4826  # times the median absolute deviation of the growth on the year before
COST = 0.25  # of an average period's traffic, lost in each period of the beginning
LONGEST = 2  # years
HABIT = 1.5  # years: a drop that comes again within them is a season of its own
FOUND = "found"


@dataclass(frozen=True, slots=True)
class Window:
    """The periods first..last, both included, by position in the series."""

    name: str
    first: int
    last: int

    @property
    def at(self) -> npt.NDArray[np.intp]:
        return np.arange(self.first, self.last + 1)


def configured(ds: npt.NDArray[np.datetime64], frequency: str, shocks: Sequence[Shock]) -> tuple[Window, ...]:
    """The windows that have begun by the last period, clipped to what there is. ds: [T] period starts."""
    if not len(ds):
        return ()
    end = calendar.next_periods(ds[-1], 1, frequency).to_numpy()
    ends = np.concatenate([ds[1:], end.astype(ds.dtype)])
    windows = []
    for shock in shocks:
        inside = (ds <= np.datetime64(shock.last)) & (ends > np.datetime64(shock.first))
        at = np.flatnonzero(inside)
        windows += [Window(shock.name, int(at[0]), int(at[-1]))] if len(at) else []
    return joined(windows, len(ds))


def joined(windows: Sequence[Window], periods: int) -> tuple[Window, ...]:
    """The windows in order, those that touch made one, under the configured name or that of the first."""
    out: list[Window] = []
    for window in sorted(windows, key=lambda w: (w.first, w.last)):
        if out and window.first <= out[-1].last + 1:
            name = window.name if out[-1].name == FOUND else out[-1].name
            out[-1] = Window(name, out[-1].first, min(max(out[-1].last, window.last), periods - 1))
        else:
            out.append(window)
    return tuple(out)


def found(y: Array, frequency: str, known: Sequence[Window]) -> list[Window]:
    """The drops outside the `known` windows, which count as shocks themselves. y: [T] traffic, NaN where unknown."""
    year = calendar.frequency(frequency).year
    if len(y) <= year:
        return []
    search = _Search(_smoothed(y, SHORT_SEASON.get(frequency, 1)), year, EDGE[frequency])
    taken = {t for window in known for t in range(window.first, window.last + 1)}
    for t in range(year, len(y)):
        search.step(t, known=t in taken)
    search.end(len(y) - (search.run if search.begun is not None else 0))
    apart = HABIT * year
    return [w for w in search.windows if not any(0 < abs(w.first - v.first) <= apart for v in search.windows)]


def _smoothed(y: Array, width: int) -> Array:
    """The mean of `width` periods around each, of those that are known. [T]"""
    if width == 1:
        return y.copy()
    ones, finite = np.ones(width), np.isfinite(y)
    count = np.convolve(finite.astype(np.float64), ones, "same")
    total = np.convolve(np.where(finite, y, 0.0), ones, "same")
    return np.where(count > 0, total / np.maximum(count, 1.0), np.nan)


def _fallen(level: Array, year: int) -> float:
    """Below what share of the usual a period has fallen: half, or less where the growth on the year before is wild."""
    both = (level[year:] > 0) & (level[:-year] > 0)
    if not both.any():
        return FALLEN
    growth = np.log(level[year:][both] / level[:-year][both])
    return min(FALLEN, float(np.exp(-DEVIATIONS * np.median(np.abs(growth - np.median(growth))))))


class _Search:
    """Walks through the periods once; `usual` is corrected behind it, so that a shock is never what is usual."""

    def __init__(self, level: Array, year: int, least: int) -> None:
        self.level, self.year, self.least = level, year, least
        self.usual = level.copy()  # what a period would have been without a shock, as far as last years tell
        self.fallen = _fallen(level, year)
        self.windows: list[Window] = []
        self.run = 0  # how many periods in a row have been low, or, in a drop, have been back
        self.begun: int | None = None

    def step(self, t: int, *, known: bool) -> None:
        usual = self._usual(t)
        if known:
            self.end(t)
            self.usual[t] = usual
        elif np.isfinite(self.level[t]) and np.isfinite(usual):
            self._look(t, usual)
        elif self.begun is None:
            self.run = 0
        if self.begun is not None:
            self.usual[t] = usual

    def _usual(self, t: int) -> float:
        """The lower of the last two years: a drop from one high year is none."""
        last, before = self.usual[t - self.year], self.usual[max(t - 2 * self.year, 0)]
        return float(min(last, before) if t >= 2 * self.year and np.isfinite(before) else last)

    def end(self, t: int) -> None:
        """The drop is over before period t, if there is one."""
        if self.begun is not None:
            self.windows.append(Window(FOUND, self.begun, t - 1))
        self.begun, self.run = None, 0

    def _look(self, t: int, usual: float) -> None:
        sought = self.level[t] < self.fallen * usual if self.begun is None else self.level[t] >= RECOVERED * usual
        self.run = self.run + 1 if sought else 0
        first = t - self.run + 1
        if self.begun is not None and self.run >= self.least:
            self.end(first)
            self.usual[first : t + 1] = self.level[first : t + 1]
        elif self.begun is not None and t - self.begun >= LONGEST * self.year:
            self._new_level(t, self.begun)
        elif self.begun is None and self.run >= self.least and self._costly(first, t):
            self.begun, self.run = first, 0
            self.usual[first:t] = self.usual[first - self.year : t - self.year]

    def _costly(self, first: int, t: int) -> bool:
        loss = self.usual[first - self.year : t + 1 - self.year] - self.level[first : t + 1]
        return bool(np.mean(loss) >= COST * np.nanmean(self.usual[first - self.year : first]))

    def _new_level(self, t: int, begun: int) -> None:
        self.usual[begun : t + 1] = self.level[begun : t + 1]
        self.begun, self.run = None, 0
