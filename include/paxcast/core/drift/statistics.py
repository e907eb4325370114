"""Three statistics of an airport's own cycles: loss deterioration, interval coverage, and bias; each large when bad.

All are in units of what the airport's reference says is usual, its autocorrelation included: the variance of a mean of
w values of a first-order autoregression is (1 + 2 sum_k (1 - k / w) rho^k) / w times that of one. What is left of
autocorrelation, heavy tails and estimated references, `pool.py` takes account of.

Rows are airports, columns their own cycles in order, right-aligned, NaN on the left of short ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core.drift.traffic import MAD, median

Array = npt.NDArray[np.float64]

WINDOWS = (3, 5, 8)  # cycles: the shortest for what is sudden, the longest for what is small
K = 0.5  # of the CUSUM, in standard deviations: best for a shift of one
CLIP = 4.0  # standard deviations that one cycle adds to the CUSUM at most: one wild value is no slow leak
OFFSET = 0.3  # of an airport's median loss, before the logarithm: tiny losses are alike
PRIOR = 8  # cycles that the fleet's variance counts for in an airport's
MOST_RHO = 0.9
FAR = 5.0  # robust standard deviations


@dataclass(frozen=True, slots=True)
class Usual:
    """What an airport's reference says, [A] each: mean, standard deviation, autocorrelation at lag one, cycles."""

    mean: Array
    sd: Array
    rho: Array
    count: Array


def logged(loss: Array, reference: slice) -> Array:
    """[A, N] the logarithm of the loss in units of the airport's median in the reference, from OFFSET up."""
    return np.log(OFFSET + loss / _center(loss[:, reference]))


def usual(values: Array) -> Usual:
    """Of references [A, N]. Variance and autocorrelation are drawn towards the fleet's, as short ones say little.

    A value counts for no more than FAR robust standard deviations from the airport's median: one wild or faulty cycle
    would else hide for two years all that comes after it.

    The autocorrelation is corrected for its bias, (1 + 4 rho) / N (Kendall, 1954); it is drawn to the fleet's median by
    the share of its variance between airports that chance alone, 1 / N, explains (Efron and Morris, 1975).
    """
    values = _tamed(values)
    there = np.isfinite(values)
    count = there.sum(axis=1).astype(np.float64)
    safe = np.maximum(count, 1)
    mean = np.where(there, values, 0.0).sum(axis=1) / safe
    off = np.where(there, values - mean[:, None], 0.0)
    square = np.sum(off**2, axis=1)
    raw = np.divide(np.sum(off[:, 1:] * off[:, :-1], axis=1), square, out=np.zeros_like(square), where=square > 0)
    raw = raw + (1 + 4 * raw) / safe
    enough = count >= 4
    fleet = float(np.median(raw[enough])) if enough.any() else 0.0
    between = max(float(np.var(raw[enough]) - np.mean(1 / count[enough])), 0.0) if enough.any() else 0.0
    rho = fleet + between / (between + 1 / safe) * (raw - fleet)
    variance = square / np.maximum(count - 1, 1)
    shared = float(np.median(variance[enough])) if enough.any() else 1.0
    variance = (count * variance + PRIOR * shared) / (count + PRIOR)
    return Usual(mean, np.sqrt(np.maximum(variance, 1e-12)), np.clip(rho, 0.0, MOST_RHO), count)


def worst_mean(values: Array, ref: Usual) -> Array:
    """[A, N] at each cycle the largest standardised mean of the last WINDOWS cycles; -inf where there are too few.

    The largest value of each window is left out: one wild cycle among good ones is an event, and no drift.
    """
    worst = np.full(values.shape, -np.inf)
    for width in WINDOWS:
        if values.shape[1] >= width:
            scale = ref.sd * np.sqrt(inflation(ref.rho, width) + inflation(ref.rho, np.maximum(ref.count, 1)))
            score = (_trimmed_means(values, width) - ref.mean[:, None]) / scale[:, None]
            worst = np.fmax(worst, score)
    return worst


def lopsided(residual: Array, ref: Usual) -> Array:
    """[A, N] `worst_mean` to the side that is worse: a bias that came at once."""
    mirrored = Usual(-ref.mean, ref.sd, ref.rho, ref.count)
    return np.maximum(worst_mean(residual, ref), worst_mean(-residual, mirrored))


def cusum(residual: Array, ref: Usual) -> Array:
    """[A, N] the larger of the two one-sided CUSUMs of the whitened residuals, signed: a bias that creeps in.

    z_t = (e_t - rho e_{t-1}) / sqrt(1 - rho^2), e the standardised residual; C+ = max(0, C+ + z - K), C- likewise of -z
    (Page, 1954). It starts at zero with the first cycle it is given.
    """
    e = (residual - ref.mean[:, None]) / ref.sd[:, None]
    rho = ref.rho[:, None]
    z = e.copy()
    before = e[:, :-1]
    z[:, 1:] = np.where(np.isfinite(before), (e[:, 1:] - rho * before) / np.sqrt(1 - rho**2), e[:, 1:])
    z = np.nan_to_num(np.clip(z, -CLIP, CLIP), nan=0.0)
    high, low = np.zeros(len(z)), np.zeros(len(z))
    found = np.zeros_like(z)
    for t in range(z.shape[1]):
        high, low = np.maximum(0.0, high + z[:, t] - K), np.maximum(0.0, low - z[:, t] - K)
        found[:, t] = np.where(high >= low, high, -low)
    return found


def inflation(rho: Array, width: int | Array) -> Array:
    """[A] the variance of the mean of `width` values of an AR(1) with autocorrelation rho, in units of one value's.

    The sum in closed form: [(1 - rho^2) w - 2 rho (1 - rho^w)] / [w^2 (1 - rho)^2].
    """
    w = np.asarray(width, dtype=np.float64)
    return ((1 - rho**2) * w - 2 * rho * (1 - rho**w)) / (w**2 * (1 - rho) ** 2)


def _trimmed_means(values: Array, width: int) -> Array:
    """[A, N] mean of the last `width` values but the largest of them, NaN where one of them is not there."""
    windows = np.lib.stride_tricks.sliding_window_view(values, width, axis=1)
    found = np.full(values.shape, np.nan)
    found[:, width - 1 :] = (windows.sum(axis=2) - windows.max(axis=2)) / (width - 1)
    return found


def _tamed(values: Array) -> Array:
    """[A, N] without what is further out than FAR; as they are where more than half are the same."""
    middle = median(values)[:, None]
    spread = MAD * median(np.abs(values - middle))[:, None]
    reach = np.where(spread > 0, FAR * spread, np.inf)
    tamed: Array = np.clip(values, middle - reach, middle + reach)
    return tamed


def _center(reference: Array) -> Array:
    """[A, 1] medians; where there is none, or it is nothing, one."""
    found = np.ones(len(reference))
    there = np.isfinite(reference).any(axis=1)
    if there.any():
        found[there] = np.nanmedian(reference[there], axis=1)
    return np.where(found > 0, found, 1.0)[:, None]
