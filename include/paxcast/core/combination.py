"""Several forecasts made one: a weight for each member, from how well it did in the folds.

Four rules. Weights are never negative and add up to one.

    best            the member with the lowest mean error
    best_three      the mean of the three with the lowest
    inverse_square  weights by prior / error^2 (Bates and Granger, "The combination of forecasts",
                    1969, on absolute errors)
    stacking        the non-negative weights whose mean forecast is nearest to what followed, in squares (Breiman,
                    "Stacked regressions", 1996)

A rule is judged on folds that its weights have not seen: each fold is forecast with the weights of the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
FEW = 3
SMALLEST_ERROR = 1e-9  # of a seasonal naive error: a member that made none gets all the weight there is, not infinity


@dataclass(frozen=True, slots=True)
class FoldForecasts:
    """What M members forecast in K folds of H steps. `forecast`: [M, K, H], `actual`: [K, H] traffic, `scale`: [K].

    `counts`: [K, H], whether a period is compared: what was not observed, or lay in a shock, is not. `prior`: [M], how
    many members each weighs as much as where its error is the same; all one without.
    """

    forecast: Array
    actual: Array
    scale: Array
    counts: npt.NDArray[np.bool_]
    prior: Array | None = None

    def errors(self) -> Array:
        """[M, K] mean absolute errors in units of each fold's scale; infinite where a forecast is not a number."""
        off = np.abs(self.forecast - self.actual[None]) * self.counts[None]
        mean = np.sum(off, axis=2) / np.sum(self.counts, axis=1) / self.scale
        return np.where(np.isfinite(mean), mean, np.inf)

    def of(self, members: npt.NDArray[np.bool_]) -> "FoldForecasts":
        """Some of the members. members: [M]"""
        prior = None if self.prior is None else self.prior[members]
        return FoldForecasts(self.forecast[members], self.actual, self.scale, self.counts, prior)

    def only(self, folds: npt.NDArray[np.bool_]) -> "FoldForecasts":
        """Some of the folds. folds: [K]"""
        return FoldForecasts(
            self.forecast[:, folds], self.actual[folds], self.scale[folds], self.counts[folds], self.prior
        )


def best(folds: FoldForecasts) -> Array:
    """[M] all the weight on the lowest mean error; of equal ones on the first."""
    return _equally(folds, 1)


def best_three(folds: FoldForecasts) -> Array:
    """[M] equal weights on the three lowest mean errors, or as many as there are."""
    return _equally(folds, FEW)


def inverse_square(folds: FoldForecasts) -> Array:
    """[M] weights by one over the squared mean error, times the prior."""
    error = np.maximum(folds.errors().mean(axis=1), SMALLEST_ERROR)
    if not np.isfinite(error).any():
        return best(folds)
    weights = (error.min() / error) ** 2  # a ratio first: squares of tiny errors would not be numbers
    weights = weights if folds.prior is None else weights * folds.prior
    return np.asarray(weights / weights.sum())


def stacking(folds: FoldForecasts) -> Array:
    """[M] the non-negative weights with the least squared error, each fold on its own scale; their sum made 1."""
    from scipy.optimize import nnls  # type: ignore[import-untyped]

    usable = np.isfinite(folds.errors().sum(axis=1))
    unit = folds.scale[:, None]
    rows = ((folds.forecast[usable] / unit)[:, folds.counts]).T
    weights = np.zeros(len(usable))
    weights[usable] = nnls(rows, (folds.actual / unit)[folds.counts])[0]
    return np.asarray(weights / weights.sum()) if weights.sum() > 0 else best(folds)


RULES: Mapping[str, Callable[[FoldForecasts], Array]] = {
    "best": best,
    "best_three": best_three,
    "inverse_square": inverse_square,
    "stacking": stacking,
}


def combined(weights: Array, forecasts: Array) -> Array:
    """The weighted mean of members' forecasts. weights: [M], forecasts: [M, ...]; members of no weight are not read."""
    kept = weights > 0
    return np.asarray(np.tensordot(weights[kept], forecasts[kept], axes=1), dtype=np.float64)


def cross_fitted(rule: str, folds: FoldForecasts) -> Array:
    """[K, H] each fold's forecast with the weights that the rule gives to the others; equal ones where it is alone."""
    count = folds.forecast.shape[1]
    made = np.empty_like(folds.actual)
    for k in range(count):
        others = np.arange(count) != k
        usable = np.isfinite(folds.errors()[:, k])
        weights = RULES[rule](folds.only(others)) if others.any() else usable / max(1, usable.sum())
        made[k] = combined(weights, folds.forecast[:, k])
    return made


def fold_errors(forecast: Array, folds: FoldForecasts) -> Array:
    """[K] the errors of one forecast of each fold, [K, H], as `FoldForecasts.errors` has them."""
    one = FoldForecasts(forecast[None], folds.actual, folds.scale, folds.counts)
    return np.asarray(one.errors()[0])


def _equally(folds: FoldForecasts, many: int) -> Array:
    error = folds.errors().mean(axis=1)
    order = np.argsort(error, kind="stable")[:many]
    chosen = order[np.isfinite(error[order])] if np.isfinite(error).any() else order[:1]
    weights = np.zeros(len(error))
    weights[chosen] = 1 / len(chosen)
    return weights
