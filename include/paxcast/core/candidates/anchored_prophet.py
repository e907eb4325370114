"""Anchored Prophet: Prophet does not look at the latest level, so what it lately missed is added to its forecast.

    e_t = e_{t-1} + a (r_t - e_{t-1}),  r_t = y_t - yhat_t,  e_0 = 0          simple exponential smoothing of residuals
    forecast_{T+h} = yhat_{T+h} + e_T d^h

The anchor `a` (0: plain Prophet) and its damping `d` are searched with Prophet's own parameters, inside the folds. The
registered model is a real Prophet and two numbers.
"""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core.candidates import Candidate, History, Refitting
from paxcast.core.candidates.prophet import FittedProphet, ProphetCandidate, ProphetEvaluator, features, predicted
from paxcast.core.folds import Fold
from paxcast.core.series import Series
from paxcast.core.space import Parameters

ANCHOR, DAMPING = "anchor", "anchor_damping"
DEFAULTS = {ANCHOR: 0.4, DAMPING: 1.0}


@dataclass(frozen=True, slots=True)
class FittedAnchored:
    """`prophet`: the fitted Prophet; `level`: e_T in traffic; `damping`: d, each step; `inside`: [N] its own fit."""

    prophet: FittedProphet
    level: float
    damping: float
    inside: npt.NDArray[np.float64]

    @property
    def fitted_by(self) -> str:
        return self.prophet.fitted_by

    def forecast(self, horizon: int) -> npt.NDArray[np.float64]:
        return self.prophet.forecast(horizon) + ahead(self.level, self.damping, horizon)

    def fitted_values(self) -> npt.NDArray[np.float64]:
        """Of the periods that Prophet was fitted on, each one step ahead: yhat_t + e_{t-1} d."""
        return self.inside

    def to_json(self) -> str:
        values = {"prophet": self.prophet.to_json(), "level": self.level, "damping": self.damping}
        return json.dumps(values, sort_keys=True)


class AnchoredProphet:
    """Prophet and the smoothed residual, with one search for both."""

    name = "anchored_prophet"
    searched = (*ProphetCandidate.searched, ANCHOR, DAMPING)
    cost = ProphetCandidate.cost

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedAnchored:
        fitted = ProphetCandidate().fit(series, parameters, seed=seed, seconds=seconds)
        yhat = predicted(fitted.model, fitted.series.dates())
        missed = fitted.series.y - yhat
        share, damping = anchoring(parameters)
        return FittedAnchored(fitted, level(missed, share), damping, yhat + damping * levels_before(missed, share))

    def prepare(self, history: History, *, seed: int, seconds: float) -> "AnchoredEvaluator":
        plain = Refitting(self, history, seed, seconds)
        return AnchoredEvaluator(ProphetEvaluator(history, features(history), plain))


@dataclass(frozen=True, slots=True)
class AnchoredEvaluator:
    """As ProphetEvaluator, with the anchor."""

    prophet: ProphetEvaluator

    def forecast(self, parameters: Parameters, fold: Fold) -> npt.NDArray[np.float64]:
        window, prior = self.prophet.at(parameters, fold)
        if window.uncovered(prior):
            return self.prophet.plain.forecast(parameters, fold)
        fitted, forecast = window.fitted_and_ahead(prior, fold.horizon)
        share, damping = anchoring(parameters)
        missed = window.prepared.data.y * window.y_scale - fitted
        return forecast + ahead(level(missed, share), damping, fold.horizon)

    def fitted_by(self, parameters: Parameters, fold: Fold) -> str:
        return self.prophet.fitted_by(parameters, fold)


def anchoring(parameters: Parameters) -> tuple[float, float]:
    """The anchor's share and its damping; their defaults where a space does not search them."""
    stated = {**DEFAULTS, **parameters}
    return float(stated[ANCHOR]), float(stated[DAMPING])


def level(residuals: npt.NDArray[np.float64], share: float) -> float:
    """e_T of residuals [T]: the sum of a (1 - a)^(T - t) r_t."""
    weights = share * (1 - share) ** np.arange(len(residuals))[::-1]
    return float(weights @ residuals)


def levels_before(residuals: npt.NDArray[np.float64], share: float) -> npt.NDArray[np.float64]:
    """[T] e_{t-1}: what was smoothed of the residuals before each one."""
    e, found = 0.0, np.empty(len(residuals))
    for t, residual in enumerate(residuals):
        found[t] = e
        e += share * (residual - e)
    return found


def ahead(e: float, damping: float, horizon: int) -> npt.NDArray[np.float64]:
    """[H] what is added to each step."""
    return np.asarray(e * damping ** np.arange(1, horizon + 1))


CANDIDATES: tuple[Candidate, ...] = (AnchoredProphet(),)
