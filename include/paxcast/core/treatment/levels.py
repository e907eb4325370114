"""What kind of history it is: where traffic opened, whether it has ended, where its level moved, how many zeros."""

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar
from paxcast.core.treatment.bridging import EDGE
from paxcast.core.treatment.gaps import runs
from paxcast.core.treatment.raw import Array

OPENED = 0.02  # of the mean of the year from then on: less is no real traffic yet
ZERO_HEAVY = 0.3  # share of zeros
LONGER = 1.5  # times the longest pause before: then zeros at the end are a closure
MOVED = float(np.log(1.5))  # the level of a year, against the year before


def opening(y: Array, year: int) -> int:
    """How many periods lie before the first real traffic, 0 if there never is any. y: [T] traffic, NaN if unknown."""
    traffic = np.nan_to_num(y)
    total = np.concatenate([[0.0], np.cumsum(traffic)])
    at = np.arange(len(y))
    until = np.minimum(at + year, len(y))
    mean = (total[until] - total[at]) / (until - at)
    real = np.flatnonzero((traffic > 0) & (traffic >= OPENED * mean))
    return int(real[0]) if len(real) else 0


def closed_since(y: Array, frequency: str) -> int | None:
    """From which period on there is no traffic, longer than any pause before; None if it goes on. y: [T]"""
    pauses = runs(y == 0)
    if not pauses or pauses[-1][1] != len(y) - 1 or pauses[-1][0] == 0:
        return None
    first, last = pauses[-1]
    before = max((end - start + 1 for start, end in pauses[:-1]), default=0)
    return first if last - first + 1 >= max(EDGE[frequency], LONGER * before) else None


def moves(y: Array, frequency: str) -> list[int]:
    """The periods with which a new level begins: the growth on the year before changes by half or a third at once, and
    holds, by the sum of a year and by its two ends. y: [T] traffic. At most one a year: the largest of those nearby.
    """
    year, edge = calendar.frequency(frequency).year, EDGE[frequency]
    at = np.arange(year + edge, len(y) - year + 1)
    if not len(at):
        return []
    total = np.concatenate([[0.0], np.cumsum(y)])
    jump = _log(total, at, edge, at - year) - _log(total, at - edge, edge, at - year - edge)
    begin, end = _log(total, at, edge, at - year), _log(total, at + year - edge, edge, at - edge)
    changes = np.stack([jump, begin, end, _log(total, at, year, at - year)])
    changes = changes.round(9)  # so that rounding decides no tie: a thousand times the traffic moves on the same day
    up, down = changes.min(axis=0), changes.max(axis=0)
    return _apart(at, np.maximum(np.maximum(up, -down), 0.0), year)


def _log(total: Array, first: npt.NDArray[np.intp], count: int, before: npt.NDArray[np.intp]) -> Array:
    """The logarithm of the sum of `count` periods from `first` on over that from `before` on, 0 where either is 0."""
    over, under = total[first + count] - total[first], total[before + count] - total[before]
    both = (over > 0) & (under > 0)
    return np.log(np.where(both, over, 1.0)) - np.log(np.where(both, under, 1.0))


def _apart(at: npt.NDArray[np.intp], size: Array, year: int) -> list[int]:
    chosen: list[int] = []
    for i in np.argsort(-size, kind="stable"):
        if size[i] <= MOVED:
            break
        if all(abs(int(at[i]) - other) >= year for other in chosen):
            chosen.append(int(at[i]))
    return sorted(chosen)


def zero_heavy(y: Array) -> bool:
    """Whether so many values are zero that logarithms and factors mean little. y: [T] traffic, NaN if unknown."""
    known = y[np.isfinite(y)]
    return len(known) > 0 and float(np.mean(known == 0)) > ZERO_HEAVY
