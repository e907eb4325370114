"""How well a specification would have done: fitted on each fold's past, compared with what followed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar, metrics
from paxcast.core.candidates import Candidate
from paxcast.core.folds import Fold
from paxcast.core.series import Series
from paxcast.core.space import Parameters

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoldScore:
    """One fold of one specification. `actual`, `forecast`: [H] traffic; `mase` in units of the seasonal naive error."""

    fold: Fold
    actual: Array
    forecast: Array
    mase: float


def publishable(forecast: Array) -> Array:
    """A forecast as it may be published: traffic is never negative."""
    return np.maximum(forecast, 0.0)


def score(
    candidate: Candidate, parameters: Parameters, series: Series, folds: Sequence[Fold], *, seed: int, seconds: float
) -> tuple[FoldScore, ...]:
    """Each fold's forecast and error, in the order of `folds`. Raises candidates.FitFailed if one cannot be fitted.

    Every method's error is scaled by the same number in a fold: the seasonal naive error of that fold's past. Where the
    past repeats itself exactly that is zero; then the scale is the mean level, and if that is zero too, 1.
    """
    return tuple(_score_fold(candidate, parameters, series, fold, seed, seconds) for fold in folds)


def _score_fold(
    candidate: Candidate, parameters: Parameters, series: Series, fold: Fold, seed: int, seconds: float
) -> FoldScore:
    train = series.head(fold.cutoff)
    forecast = publishable(candidate.fit(train, parameters, seed=seed, seconds=seconds).forecast(fold.horizon))
    actual = series.y[fold.cutoff : fold.cutoff + fold.horizon]
    return FoldScore(fold, actual, forecast, metrics.mase(actual, forecast, fold_scale(train)))


def fold_scale(train: Series) -> float:
    """The naive scale of a fold's past, in traffic; never zero or NaN."""
    scale = metrics.naive_scale(train.y, calendar.frequency(train.frequency).season)
    if scale > 0:
        return scale
    return float(np.mean(np.abs(train.y))) or 1.0


def mean_mase(scores: Sequence[FoldScore]) -> float:
    """The mean of the folds' errors; infinity where one is not a number, so that it can never be chosen."""
    values = [s.mase for s in scores]
    return float(np.mean(values)) if values and np.all(np.isfinite(values)) else float("inf")
