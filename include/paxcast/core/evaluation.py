"""How well a specification would have done: fitted on each fold's past, compared with what followed.

Every method's error is scaled by the same number in a fold: the seasonal naive error of that fold's past. Where the
past repeats itself exactly that is zero; then the scale is the mean level, and if that is zero too, 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar, metrics
from paxcast.core.candidates import Evaluator
from paxcast.core.folds import Fold
from paxcast.core.search import WORST, Loss
from paxcast.core.series import Series
from paxcast.core.space import Parameters

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """A fold with all that does not depend on the method. `actual`: [H] traffic, `scale`: traffic, above zero."""

    fold: Fold
    actual: Array
    scale: float


@dataclass(frozen=True, slots=True)
class FoldScore:
    """One fold of one specification. `actual`, `forecast`: [H] traffic; `mase` in units of the seasonal naive error.

    `fitted_by`: what fitted it, where that may differ.
    """

    fold: Fold
    actual: Array
    forecast: Array
    mase: float
    fitted_by: str = ""


@dataclass(frozen=True, slots=True)
class FoldsLoss:
    """What a search minimises: the mean MASE over the windows, in their order. Picklable.

    With `prune` it gives an evaluation up as soon as the errors so far, were the other folds perfect, are no better
    than the loss to beat. Its loss is then the mean of the folds done, which is no better either.
    """

    evaluator: Evaluator
    windows: tuple[Window, ...]
    prune: bool = False

    def __call__(self, parameters: Parameters, best: float = WORST) -> Loss:
        total = 0.0
        for done, window in enumerate(self.windows, start=1):
            total += _forecast_and_mase(self.evaluator, parameters, window)[1]
            left = len(self.windows) - done
            if self.prune and left and total >= best * len(self.windows):
                return Loss(total / done, left)
        return Loss(total / len(self.windows))


def windows(series: Series, folds: Sequence[Fold]) -> tuple[Window, ...]:
    """The folds of a series, in order, each with what followed and the scale of its errors."""
    return tuple(
        Window(fold, series.y[fold.cutoff : fold.cutoff + fold.horizon], fold_scale(series.head(fold.cutoff)))
        for fold in folds
    )


def publishable(forecast: Array) -> Array:
    """A forecast as it may be published: traffic is never negative."""
    return np.maximum(forecast, 0.0)


def score(evaluator: Evaluator, parameters: Parameters, windows: Sequence[Window]) -> tuple[FoldScore, ...]:
    """Each window's forecast and error, in order. Raises candidates.FitFailed if one cannot be fitted."""
    scores = []
    for window in windows:
        forecast, mase = _forecast_and_mase(evaluator, parameters, window)
        fitted_by = evaluator.fitted_by(parameters, window.fold)
        scores.append(FoldScore(window.fold, window.actual, forecast, mase, fitted_by))
    return tuple(scores)


def _forecast_and_mase(evaluator: Evaluator, parameters: Parameters, window: Window) -> tuple[Array, float]:
    forecast = publishable(evaluator.forecast(parameters, window.fold))
    return forecast, metrics.mase(window.actual, forecast, window.scale)


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
