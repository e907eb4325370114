"""Errors of forecasts, on plain arrays. Where a scale is zero or nothing can be compared, the answer is NaN.

Scaled errors: Hyndman and Koehler, "Another look at measures of forecast accuracy", 2006.
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def naive_scale(train: Array, season: int) -> float:
    """Mean absolute change of the training series from one season to the next. train: [T]; NaN if T <= season."""
    return float(np.mean(np.abs(train[season:] - train[:-season]))) if len(train) > season else float("nan")


def mase(actual: Array, forecast: Array, scale: float) -> float:
    """Mean absolute error in units of the naive scale. actual, forecast: [H]. A zero scale gives NaN."""
    return float(np.mean(np.abs(actual - forecast)) / scale) if scale > 0 else float("nan")


def rmsse(actual: Array, forecast: Array, train: Array, season: int) -> float:
    """Root mean squared error over that of seasonal naive in training (M5 competition). actual, forecast: [H]."""
    if len(train) <= season:
        return float("nan")
    scale = float(np.mean((train[season:] - train[:-season]) ** 2))
    return float(np.sqrt(np.mean((actual - forecast) ** 2) / scale)) if scale > 0 else float("nan")


def smape(actual: Array, forecast: Array) -> float:
    """Symmetric mean absolute percentage error, 0..2; a step where both are zero counts as no error. [H]"""
    total = np.abs(actual) + np.abs(forecast)
    error = np.abs(actual - forecast)
    return float(np.mean(np.divide(2 * error, total, out=np.zeros_like(error), where=total > 0)))


def mae(actual: Array, forecast: Array) -> float:
    """Mean absolute error, in units of traffic. [H]"""
    return float(np.mean(np.abs(actual - forecast)))


def bias(actual: Array, forecast: Array) -> float:
    """Mean of forecast minus actual, in units of traffic: above zero is too high. [H]"""
    return float(np.mean(forecast - actual))
