"""Single wild values: a slip of the unit, a lost month. Never two in a row; the last value may only be doubted.

A value is compared with the same period of the two seasons before and the two after (daily data: weeks, as holidays
move against any longer one); where fewer than two of these four are known, as after a shock, with the two nearest that
are, at most five seasons away. How far its ratio to such a period lies, in logarithms, from the median ratio of the two
periods on each side is what it alone has gained or lost; the same is asked of the period right before and right after
it, since the edge of a longer drop stands out on one side only. It is wild if at least two seasons are known, all
figures have one sign, and even the smallest is beyond a limit: eight robust standard deviations (from the median
absolute figure of the whole series), and at least a factor of 2 (daily data: 5, as a storm or a feast halves a day).
"""

import numpy as np

from paxcast.core import calendar
from paxcast.core.treatment.raw import Array, Flags

MOST = 0.02  # of all periods
LIMIT = 8 * 1.4826  # times the median absolute deviation
FACTOR = {"MS": 2.0, "W": 2.0, "D": 5.0}
FLOOR = 1e-3  # of the median: what is below counts as that, as zero has no logarithm
SEASONS = (-1, 1, -2, 2, -3, 3, -4, 4, -5, 5)  # nearest first
USUAL = 4  # of these
NEIGHBOURS = (-2, -1, 1, 2)
AGREEING = 2


def wild(y: Array, frequency: str) -> Flags:
    """Which values are wild, the wildest if there are more than may be replaced. y: [T] traffic, NaN is not judged."""
    gain = _lone_gains(y, frequency)
    gain[-1:] = 0.0  # what comes next may be like it
    alone = np.flatnonzero(gain)
    wildest = alone[np.argsort(-np.abs(gain[alone]), kind="stable")][: int(MOST * len(y))]
    return np.isin(np.arange(len(y)), wildest)


def unconfirmed(y: Array, frequency: str, replaced: Flags) -> Flags:
    """Which values of the last season are as wild, the last one too, but were not replaced. y, replaced: [T]"""
    newest = np.arange(len(y)) >= len(y) - calendar.frequency(frequency).season
    doubted: Flags = newest & ~replaced & (_lone_gains(y, frequency) != 0)
    return doubted


def _lone_gains(y: Array, frequency: str) -> Array:
    """What each value alone has gained or lost beyond the limit, as a logarithm; 0 within it. [T]"""
    gains, beside = _gains(_judged(y), calendar.frequency(frequency).season)
    gain = np.where(np.isfinite(gains).sum(axis=0) >= AGREEING, _agreed(np.concatenate([gains, beside])), 0.0)
    gain = gain.round(9)  # so that rounding decides no tie
    gain[np.abs(gain) <= _limit(gains, FACTOR[frequency])] = 0.0
    return np.where(_single(gain), gain, 0.0)


def _single(gain: Array) -> Flags:
    """Which of the gains that are not 0 have none beside them of the same sign or, being but its echo, larger. [T]"""
    padded = np.concatenate([[0.0], gain, [0.0]])
    single: Flags = gain != 0
    for other in (padded[:-2], padded[2:]):
        single &= (gain * other <= 0) & (np.abs(gain) >= np.abs(other))
    return single


def _judged(y: Array) -> Array:
    """Without zeros where they are more than a rare slip: there they are pauses, or below what is reported. [T]"""
    known = np.isfinite(y)
    rare = np.count_nonzero(y == 0) <= MOST * np.count_nonzero(known)
    return y if rare else np.where(y == 0, np.nan, y)


def _limit(gains: Array, factor: float) -> float:
    known = np.abs(gains[np.isfinite(gains)])
    return max(float(np.log(factor)), LIMIT * float(np.median(known)) if len(known) else 0.0)


def _agreed(gains: Array) -> Array:
    """The smallest of the known figures of each period; 0 where the signs differ. [K, T] -> [T]"""
    known = np.isfinite(gains)
    low, high = np.where(known, gains, np.inf).min(axis=0), np.where(known, gains, -np.inf).max(axis=0)
    return np.where(known.any(axis=0), np.where(low > 0, low, np.minimum(high, 0.0)), 0.0)


def _gains(y: Array, season: int) -> tuple[Array, Array]:
    """What each value alone has gained or lost against each season, as a logarithm, NaN if unknown or not asked: as
    against the periods around it [S, T], and as against the one right before and the one right after it [2 S, T]."""
    positive = y[y > 0]
    if not len(positive):
        return np.full((len(SEASONS), len(y)), np.nan), np.full((2 * len(SEASONS), len(y)), np.nan)
    logs = np.log(np.maximum(y, FLOOR * np.median(positive)))
    ratios = [logs - _moved(logs, k * season) for k in SEASONS]
    around = np.stack([ratio - _median([_moved(ratio, k) for k in NEIGHBOURS]) for ratio in ratios])
    asked = _asked(np.isfinite(around))
    beside = [
        np.where(a, ratio - _moved(ratio, k), np.nan) for a, ratio in zip(asked, ratios, strict=True) for k in (-1, 1)
    ]
    return np.where(asked, around, np.nan), np.stack(beside)


def _asked(known: Flags) -> Flags:
    """Which seasons a period is compared with: the usual ones if enough of these are known, else the nearest. [S, T]"""
    so_far = np.cumsum(known, axis=0)
    usual = np.arange(len(known))[:, None] < USUAL
    return np.where(so_far[USUAL - 1] >= AGREEING, usual, so_far <= AGREEING)


def _median(rows: list[Array]) -> Array:
    """The median of the known values of each column, NaN where there is none. [T] each -> [T]"""
    ordered = np.sort(np.stack(rows), axis=0)  # NaN last
    count, at = np.isfinite(ordered).sum(axis=0), np.arange(ordered.shape[1])
    return (ordered[np.maximum(count - 1, 0) // 2, at] + ordered[count // 2, at]) / 2  # type: ignore[no-any-return]


def _moved(values: Array, by: int) -> Array:
    """The value `by` periods later in place of each, NaN beyond the ends. [T]"""
    at = np.arange(len(values)) + by
    inside = (at >= 0) & (at < len(values))
    return np.where(inside, values[np.clip(at, 0, len(values) - 1)], np.nan)
