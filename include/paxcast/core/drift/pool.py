"""How unusual a score is, by the fleet's own past: p-values from what airports in control have scored.

No table has a score's distribution: it depends on autocorrelation, on tails and on how well references are known. But
the fleet has lived through thousands of cycles in which nothing changed, and each was scored in the same way. The share
of these that is as large is the p-value; towards the largest of them the tail is taken to be an exponential one.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

TAIL = 0.005  # of the pool, from which its tail is fitted
LONGER = 4  # times is the tail that is fitted robustly
FEW = 30  # scores at least to fit a tail to


@dataclass(frozen=True, slots=True)
class Pool:
    """Scores of cycles in control, sorted, and their tail: `share` of them lie above `begin`, `mean` above it."""

    scores: Array
    begin: float
    share: float
    mean: float


def pool(scores: Array, robust: bool = False) -> Pool:
    """Of scores of any shape; what is not finite is left out. Raises ValueError if nothing is left.

    The mean of the tail is its mean excess, the most likely one. robust: for scores of which some are not of cycles in
    control, a tail four times as long, and its mean told from its median, which is log 2 of that of an exponential one.
    """
    known = np.sort(scores[np.isfinite(scores)])
    if not len(known):
        raise ValueError("no score of a cycle in control")
    size = min(max(int(len(known) * TAIL * (LONGER if robust else 1)), FEW), len(known))
    begin = float(known[-size])
    excess = known[-size:] - begin
    mean = float(np.median(excess)) / np.log(2) if robust else float(np.mean(excess))
    return Pool(known, begin, size / len(known), max(mean, 1e-9))


def surprise(of: Pool, scores: Array) -> Array:
    """-log p of scores, in their shape: p = (1 + number as large) / (1 + N), and beyond `begin` that of the tail,
    share * exp(-excess / mean): peaks over a threshold, with shape zero (Pickands, 1975). Of -inf it is zero."""
    count = len(of.scores)
    larger = count - np.searchsorted(of.scores, scores, side="left")
    inside = -np.log((1 + larger) / (1 + count))
    beyond = (np.where(np.isfinite(scores), scores, of.begin) - of.begin) / of.mean - np.log(of.share)
    return np.where(scores > of.begin, np.maximum(beyond, 0.0), inside)
