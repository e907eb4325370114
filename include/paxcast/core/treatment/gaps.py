"""Runs of periods without a value: which are too long to be made up, and those that are made up."""

import numpy as np

from paxcast.core.treatment.bridging import filled
from paxcast.core.treatment.raw import Array, Flags

Run = tuple[int, int]


def runs(flags: Flags) -> list[Run]:
    """The stretches of True, oldest first, as first and last position."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def last_long_gap(missing: Flags, longest: int) -> Run | None:
    """The last stretch of more than `longest` missing periods that has anything after it. [T]"""
    found = [run for run in runs(missing) if run[1] - run[0] + 1 > longest and run[1] < len(missing) - 1]
    return found[-1] if found else None


def after_long_gap(missing: Flags, longest: int, shortest: int) -> int:
    """From which period on a history is used: after its last gap that is too long and has enough after it. [T] -> 0..T

    A gap at the very end has nothing after it.
    """
    for first, last in reversed(runs(missing)):
        if last - first + 1 > longest and len(missing) - 1 - last >= shortest:
            return last + 1
    return 0


def without_gaps(y: Array, missing: Flags, frequency: str) -> Array:
    """The series with the missing periods made up; other NaN are neither filled nor used. y, missing: [T]"""
    known = np.where(missing, np.nan, y)
    out = known.copy()
    for first, last in runs(missing):
        out[first : last + 1] = filled(known, first, last, frequency)
    return out
