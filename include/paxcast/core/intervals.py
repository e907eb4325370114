"""Prediction intervals from the errors that the method made in its folds.

Split conformal prediction, steps pooled (Lei et al., "Distribution-free predictive inference for regression", 2018):
the half-width is the ceil((n + 1) * level)-th smallest of n absolute out-of-sample errors.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LEVELS = (0.80, 0.95)


@dataclass(frozen=True, slots=True)
class Band:
    """A forecast with its intervals: [H] each, traffic, never negative."""

    yhat: Array
    lo80: Array
    hi80: Array
    lo95: Array
    hi95: Array


def half_width(errors: Array, level: float) -> float:
    """The half-width that covers a share `level` of errors like these. errors: [N] traffic; 0 if there are none."""
    if len(errors) == 0:
        return 0.0
    ordered = np.sort(np.abs(errors))
    rank = int(np.ceil((len(ordered) + 1) * level))
    return float(ordered[min(rank, len(ordered)) - 1])


def band(yhat: Array, errors: Array) -> Band:
    """The forecast with its 80 and 95 % intervals. yhat: [H], errors: [N] out-of-sample errors, any order."""
    half80, half95 = (half_width(errors, level) for level in LEVELS)
    floor = np.zeros_like(yhat)
    return Band(
        yhat,
        np.maximum(yhat - half80, floor),
        yhat + half80,
        np.maximum(yhat - half95, floor),
        yhat + half95,
    )


def confidence(interval: Band, seasons_of_history: float) -> str:
    """`high`, `low` or `do not publish`: from the mean width of the 80 % interval against the mean level.

    At most 0.5 of the level is high, up to 1.5 is low; fewer than two seasons of history are never high.
    """
    level = float(np.mean(interval.yhat))
    width = float(np.mean(interval.hi80 - interval.lo80))
    if level <= 0:
        return "low" if width == 0 else "do not publish"
    if width > 1.5 * level:
        return "do not publish"
    return "high" if width <= 0.5 * level and seasons_of_history >= 2 else "low"
