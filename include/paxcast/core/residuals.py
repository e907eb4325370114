"""What is left of a method's errors: whether they lie to one side, and whether one tells the next.

Errors of forecasts over several steps are alike from step to step even where the method is as good as can be, so a low
p is a hint, not a fault.
"""

import numpy as np
import numpy.typing as npt

from paxcast.core.composition import Composed, Evaluation

Array = npt.NDArray[np.float64]
LAGS = 10  # of a history without a season to look over
SEASONS = 2  # of residuals, at least, to look over one


def of_combination(airport: Evaluation, composed: Composed, season: int) -> dict[str, float]:
    """`residual.mean`, `residual.share_positive`, `residual.ljung_box_p` of the folds' and the test window's errors."""
    left = in_order(airport, composed)
    if not len(left):
        return {}
    p = ljung_box(left, lags(len(left), season))
    found = {"mean": float(np.mean(left)), "share_positive": float(np.mean(left > 0)), "ljung_box_p": p}
    return {f"residual.{name}": value for name, value in found.items() if np.isfinite(value)}


def in_order(airport: Evaluation, composed: Composed) -> Array:
    """[N] actual minus forecast, traffic, of each period that counts: fold by fold, the test window last."""
    rows = []
    if airport.folds is not None:
        folds = airport.folds
        rows += [(folds.actual[k] - f)[folds.counts[k]] for k, f in enumerate(composed.folds)]
    if airport.test_actual is not None and airport.test_counts is not None and composed.test is not None:
        rows.append((airport.test_actual - composed.test)[airport.test_counts])
    return np.concatenate(rows) if rows else np.empty(0)


def lags(periods: int, season: int) -> int:
    """Over how many lags to look: one season where there are two of residuals, else ten; half of them at most."""
    return min(season if 1 < season <= periods // SEASONS else LAGS, periods // 2)


def ljung_box(residuals: Array, lags: int) -> float:
    """The p-value that residuals [N] are not autocorrelated at the first `lags` lags; NaN where they never change.

    Q = N (N + 2) sum_k r_k^2 / (N - k), chi-squared with `lags` degrees of freedom (Ljung and Box, "On a measure of
    lack of fit in time series models", 1978).
    """
    from scipy.stats import chi2  # type: ignore[import-untyped]

    count, off = len(residuals), residuals - np.mean(residuals)
    total = float(off @ off)
    if lags < 1 or total <= 0:
        return float("nan")
    r = np.array([off[k:] @ off[:-k] for k in range(1, lags + 1)]) / total
    q = count * (count + 2) * float(np.sum(r**2 / (count - np.arange(1, lags + 1))))
    return float(chi2.sf(q, lags))
