"""A stretch of a series made up from what lies before and after it, season by season.

Each period lies between the same period of the season in the last season before the stretch and in the first after it,
by distance and in logarithms: a series of constant growth and constant seasonal shape is restored exactly. Then the
whole is scaled so that both ends join: by how far the periods next to the stretch lie above such a bridge, going
evenly from the one end's factor to the other's.

All arrays are [T] traffic with NaN for what must not be used; a stretch is the periods a..b, both included.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar
from paxcast.core.treatment.raw import Array

Positions = npt.NDArray[np.intp]
EDGE = {"MS": 3, "W": 8, "D": 28}  # periods next to a stretch that tell the level there; also the shortest shock
SHORT_SEASON = {"D": 7}
FURTHER = 3  # seasons looked back or ahead beyond the nearest, where that has no value
MOST = float(np.log(2.0))  # the ends are scaled by no more than twice or half, and so is the growth of a season


@dataclass(frozen=True, slots=True)
class Stretch:
    """The periods first..last of a series `y` [T] that are to be made up; whatever `y` holds there is not looked at."""

    y: Array
    first: int
    last: int
    season: int

    def before(self, at: Positions) -> tuple[Array, Array]:
        """The same period in the last season before the stretch: values, NaN if none, and seasons between. [N], [N]"""
        return self._nearest(at, np.maximum((at - self.first) // self.season + 1, 1), -1)

    def after(self, at: Positions) -> tuple[Array, Array]:
        """The same period in the first season after the stretch: values, NaN if none, and seasons between. [N], [N]"""
        return self._nearest(at, np.maximum((self.last - at) // self.season + 1, 1), 1)

    def _nearest(self, at: Positions, seasons: Positions, way: int) -> tuple[Array, Array]:
        values = self._values(at + way * seasons * self.season)
        for _ in range(FURTHER):
            none = np.isnan(values)
            if not none.any():
                break
            seasons = seasons + none
            values = np.where(none, self._values(at + way * seasons * self.season), values)
        return values, seasons.astype(np.float64)

    def _values(self, at: Positions) -> Array:
        inside = (at >= 0) & (at < len(self.y)) & ((at < self.first) | (at > self.last))
        return np.where(inside, self.y[np.clip(at, 0, len(self.y) - 1)], np.nan)

    def growth(self) -> float:
        """Growth a season across the stretch, as a logarithm: the mean over a season's pairs, weighted by traffic."""
        at = np.arange(self.first - self.season, self.first)
        earlier, (later, seasons) = self._values(at), self.after(at)
        pair = (earlier > 0) & (later > 0)
        if not pair.any():
            return 0.0
        rates = (np.log(later[pair]) - np.log(earlier[pair])) / seasons[pair]
        return float(np.clip(np.average(rates, weights=earlier[pair]), -MOST, MOST))

    def curve(self, at: Positions) -> Array:
        """The bridge before its ends are joined, at any periods; a side that has no value is the other with growth."""
        (before, back), (after, ahead) = self.before(at), self.after(at)
        grown = np.exp(self.growth() * (back + ahead))
        earlier = np.where(np.isnan(before), after / grown, before)
        later = np.where(np.isnan(after), before * grown, after)
        share = back / (back + ahead)
        positive = (earlier > 0) & (later > 0)
        return np.where(positive, geometric(earlier, later, share, positive), (1 - share) * earlier + share * later)

    def bridge(self, edge: int) -> Array:
        """The stretch made up, its ends joined to the `edge` periods on each side. [last - first + 1]; may hold NaN."""
        ends = [
            self._end(np.arange(max(self.first - edge, 0), self.first)),
            self._end(np.arange(self.last + 1, min(self.last + 1 + edge, len(self.y)))),
        ]
        known = [end for end in ends if end is not None] or [0.0]
        at = np.arange(self.first, self.last + 1)
        factor = np.interp(at, [self.first - 1, self.last + 1], [known[0], known[-1]])
        return self.curve(at) * np.exp(factor)

    def _end(self, at: Positions) -> float | None:
        """By how much, as a logarithm, the traffic of these periods lies above the bridge; None if nothing tells."""
        return log_ratio(self.y[at], self.curve(at)) if len(at) else None


def geometric(before: Array, after: Array, share: Array, where: npt.NDArray[np.bool_]) -> Array:
    """The point between two values at that share of the way, in logarithms; 1 outside `where`. [N]"""
    low, high = np.where(where, before, 1.0), np.where(where, after, 1.0)
    return np.exp((1 - share) * np.log(low) + share * np.log(high))


def log_ratio(values: Array, references: Array) -> float | None:
    """The logarithm of sum over sum, where both are known, at most twice or half; None if either sum is zero. [N]"""
    both = np.isfinite(values) & np.isfinite(references)
    over, under = float(values[both].sum()), float(references[both].sum())
    return float(np.clip(np.log(over) - np.log(under), -MOST, MOST)) if over > 0 and under > 0 else None


def filled(y: Array, first: int, last: int, frequency: str) -> Array:
    """The periods first..last of a series made up: along the season if it has one, else on a straight line.

    At the end of the series the season is carried on at the level reached, or the last value. [last - first + 1]
    """
    for season, edge in _seasons(frequency, last - first + 1):
        made = Stretch(y, first, last, season).bridge(edge)
        if np.isfinite(made).all():
            return made
    known = np.flatnonzero(np.isfinite(y) & ((np.arange(len(y)) < first) | (np.arange(len(y)) > last)))
    return np.interp(np.arange(first, last + 1), known, y[known])


def _seasons(frequency: str, periods: int) -> list[tuple[int, int]]:
    """The seasons to try, each with how many periods tell the level at an end: a week first for a few days."""
    year, week = (calendar.frequency(frequency).year, EDGE[frequency]), SHORT_SEASON.get(frequency)
    if week is None:
        return [year]
    return [(week, week), year] if periods <= week else [year, (week, week)]
