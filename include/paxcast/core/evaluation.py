"""How well a specification would have done: fitted on each fold's past, compared with what followed.

Every method's error is scaled by the same number in a fold: the seasonal naive error of that fold's past. Where the
past repeats itself exactly that is zero; then the scale is the mean level, and if that is zero too, 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar, metrics
from paxcast.core.candidates import Evaluator, History
from paxcast.core.folds import Fold
from paxcast.core.search import WORST, Loss
from paxcast.core.series import Series
from paxcast.core.space import Parameters

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
MOST_OF_HIGHEST = 3.0
LEVEL_OVER = {"D": 28}  # periods, where a season is too short for it: a closed week would make a level of nothing
LEAST_COUNTED = 1 / 3  # of a fold's periods: with fewer it is not judged on


@dataclass(frozen=True, slots=True)
class Window:
    """A fold with all that does not depend on the method. `actual`: [H] traffic, `scale`: traffic, above zero.

    `counts`: [H], whether a period is compared: one that was not observed, or lies in a shock, is not. `most`: traffic
    that no forecast of it may exceed. `level`: mean traffic of the season, of daily data the four weeks, before it.
    `rms_scale`: traffic, above zero, the scale of squared errors.
    """

    fold: Fold
    actual: Array
    scale: float
    counts: Flags
    most: float
    level: float
    rms_scale: float

    def forecast(self, evaluator: Evaluator, parameters: Parameters) -> Array:
        """[H] a specification's forecast of it, see `publishable`. Raises FitFailed."""
        return publishable(evaluator.forecast(parameters, self.fold), self.most)

    def mase(self, forecast: Array) -> float:
        """The error of a forecast of it, [H] traffic, in units of the seasonal naive error."""
        return metrics.mase(self.actual[self.counts], forecast[self.counts], self.scale)


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
            total += window.mase(window.forecast(self.evaluator, parameters))
            left = len(self.windows) - done
            if self.prune and left and total >= best * len(self.windows):
                return Loss(total / done, left)
        return Loss(total / len(self.windows))


def windows(history: History, folds: Sequence[Fold], actual: Array, counts: Flags) -> tuple[Window, ...]:
    """The folds of a history, in order, each with what followed and the scale of its errors.

    actual: [T] traffic of the whole history; counts: [T] which of it may be compared. Folds of which too little may be
    are left out.
    """
    found = []
    for fold in folds:
        part = slice(fold.cutoff, fold.cutoff + fold.horizon)
        if np.mean(counts[part]) >= LEAST_COUNTED:
            past = history.head(fold.cutoff)
            scales = fold_scale(past), fold_rms_scale(past)
            found.append(Window(fold, actual[part], scales[0], counts[part], most(past), level(past), scales[1]))
    return tuple(found)


def publishable(forecast: Array, most: float) -> Array:
    """A forecast as it may be published: never negative, never beyond what a history makes believable.

    One with a value that is not finite is NaN throughout: clipped, an infinity would pass for a number.
    """
    if not np.isfinite(forecast).all():
        return np.full(len(forecast), np.nan)
    return np.clip(forecast, 0.0, most)


def most(train: Series) -> float:
    """The traffic that no forecast may exceed: three times the highest so far. It ends trends that explode."""
    return MOST_OF_HIGHEST * float(np.max(train.y))


def level(train: Series) -> float:
    """Mean traffic of the last season, of daily data the last four weeks."""
    over = LEVEL_OVER.get(train.frequency, calendar.frequency(train.frequency).season)
    return float(np.mean(train.y[-over:]))


def forecasts(evaluator: Evaluator, parameters: Parameters, windows: Sequence[Window]) -> Array:
    """[K, H] a specification's forecast of each window, in order; NaN where it is no number. Raises FitFailed."""
    return np.array([window.forecast(evaluator, parameters) for window in windows])


def fold_scale(train: Series) -> float:
    """The naive scale of a fold's past, in traffic; never zero or NaN."""
    scale = metrics.naive_scale(train.y, calendar.frequency(train.frequency).season)
    if scale > 0:
        return scale
    return float(np.mean(np.abs(train.y))) or 1.0


def fold_rms_scale(train: Series) -> float:
    """The root mean squared change of a fold's past from one season to the next, in traffic: what RMSSE is measured in.

    Never zero or NaN: where nothing changed, the scale of the other errors.
    """
    season = calendar.frequency(train.frequency).season
    changes = train.y[season:] - train.y[:-season]
    scale = float(np.sqrt(np.mean(changes**2))) if len(changes) else 0.0
    return scale if scale > 0 else fold_scale(train)
