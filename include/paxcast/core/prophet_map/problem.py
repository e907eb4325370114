"""What Prophet's Stan model is given, the log posterior it maximises, and its mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paxcast.core.prophet_map import kernels
from paxcast.core.prophet_map.segments import running_moments, segment_moments

Array = npt.NDArray[np.float64]
FIVE_SQUARED = 25.0  # k ~ normal(0, 5), m ~ normal(0, 5)
SMALLEST_GAIN = 1e-8  # nats; a step that gains less is the last
FIRST_SIGMA = 1.0  # where Prophet starts Stan
MOST_BLOCKS, MOST_NUMBERS = 200, 1_000_000  # of the running sums kept of a window: 8 megabytes
SMALLEST, LARGEST = 1e-100, 1e100  # squares of what lies between are numbers
LINEAR, LOGISTIC, FLAT = 0, 1, 2  # prophet.models.TrendIndicator


@dataclass(frozen=True, slots=True)
class Mode:
    """The parameters at the maximum of the posterior. `delta`: [S], `beta`: [K]; all on Prophet's scaled data."""

    k: float
    m: float
    delta: Array
    beta: Array
    sigma: float
    log_posterior: float
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A training window on Prophet's scale. `t`: [T] ascending in 0..1, `x`: [T, K] features, `y`: [T]."""

    t: Array
    x: Array
    y: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """`changepoints`: [S] times in 0..1, `tau` their scale; `scales`: [K] of beta; `multiplicative`: [K]."""

    changepoints: Array
    tau: float
    scales: Array
    multiplicative: npt.NDArray[np.bool_]
    flat: bool = False


@dataclass(frozen=True, slots=True)
class Moments:
    """A training window as running sums, made once: every prior and every grid of changepoints takes its own from it.

    `running`: [T // block + 1, 3, d, d], d = K + 2, see segments.running_moments; `w`: [T, d] rows (1, x, y).
    """

    data: Data
    w: Array
    block: int
    running: Array

    def of_segments(self, changepoints: Array) -> Array:
        """[S + 1, 3, d, d]: what each segment between two changepoints adds."""
        first_rows = self.first_rows(changepoints)
        found: Array = segment_moments(self.running, self.data.t, self.w, self.block, first_rows)
        return found

    def first_rows(self, changepoints: Array) -> npt.NDArray[np.int64]:
        """[S]: the first row after each changepoint; a row at c is after it, as A = t >= c has it."""
        return np.searchsorted(self.data.t, changepoints, side="left")


def moments(data: Data) -> Moments:
    """One pass over the data: all a fit needs of it."""
    w = np.column_stack([np.ones(len(data.y)), data.x, data.y])
    blocks = max(1, min(MOST_BLOCKS, MOST_NUMBERS // (3 * w.shape[1] ** 2)))
    block = -(-len(data.y) // blocks)
    return Moments(data, w, block, running_moments(data.t, w, block))


def maximum(prepared: Moments, prior: Prior, begin: Mode | None = None) -> Mode:
    """The mode of the posterior, from where Prophet begins, or from given parameters."""
    data = prepared.data
    features, hinges = data.x.shape[1], len(prior.changepoints)
    changepoints = prior.changepoints[:0] if prior.flat else prior.changepoints
    if begin is None:
        k, m = first_guess(data, prior.flat)
        begin = Mode(k, m, np.zeros(hinges), np.zeros(features), FIRST_SIGMA, -np.inf, 0)
    start = np.concatenate([[begin.k, begin.m], begin.beta, begin.delta[: len(changepoints)]])
    phi, variance, log_posterior, steps = kernels.maximise(
        prepared.of_segments(changepoints),
        data.t,
        prepared.w,
        prepared.first_rows(changepoints),
        changepoints,
        np.concatenate([[1 / FIVE_SQUARED, 1 / FIVE_SQUARED], prior.scales**-2.0]),
        prior.tau,
        prior.multiplicative,
        prior.flat,
        start,
        begin.sigma**2,
        SMALLEST_GAIN,
    )
    delta = np.zeros(hinges)
    delta[: len(changepoints)] = phi[2 + features :]
    return Mode(phi[0], phi[1], delta, phi[2 : 2 + features], variance**0.5, log_posterior, steps)


def first_guess(data: Data, flat: bool) -> tuple[float, float]:
    """(k, m) where Prophet starts: the line through the first and the last point, or the mean."""
    if flat:
        return 0.0, float(np.mean(data.y))
    k = float((data.y[-1] - data.y[0]) / (data.t[-1] - data.t[0]))
    return k, float(data.y[0] - k * data.t[0])


def fitted_values(data: Data, prior: Prior, mode: Mode) -> Array:
    """yhat [T] = g (1 + X_mul beta) + X_add beta, g = (k + A delta) t + m - A (c * delta), A [T, S] = t >= c.

    Flat growth: g = m. `data.t` may lie beyond 1: the last segment goes on. `data.y` is not read.
    """
    trend: Array = np.full(len(data.t), mode.m)
    if not prior.flat:
        after = (data.t[:, None] >= prior.changepoints[None, :]).astype(np.float64)
        trend = (mode.k + after @ mode.delta) * data.t + mode.m - after @ (prior.changepoints * mode.delta)
    scaling: Array = data.x @ np.where(prior.multiplicative, mode.beta, 0.0)
    added: Array = data.x @ np.where(prior.multiplicative, 0.0, mode.beta)
    return trend * (1 + scaling) + added


def log_posterior(data: Data, prior: Prior, mode: Mode) -> float:
    """Stan's lp__ of Prophet's model, constants dropped, written out with dense matrices."""
    sse = float(np.sum((data.y - fitted_values(data, prior, mode)) ** 2))
    priors = (mode.k**2 + mode.m**2) / (2 * FIVE_SQUARED)
    priors += np.sum(np.abs(mode.delta)) / prior.tau + np.sum(mode.beta**2 / (2 * prior.scales**2))
    priors += 2 * mode.sigma**2  # sigma ~ normal+(0, 0.5)
    return float(-priors - len(data.y) * np.log(mode.sigma) - sse / (2 * mode.sigma**2))


def from_stan(stan: Mapping[str, Any]) -> tuple[Data, Prior]:
    """The dictionary that Prophet hands to Stan, as arrays."""
    data = Data(t=_array(stan["t"]), x=np.ascontiguousarray(_array(stan["X"])), y=_array(stan["y"]))
    prior = Prior(
        changepoints=_array(stan["t_change"]),
        tau=float(stan["tau"]),
        scales=_array(stan["sigmas"]),
        multiplicative=_array(stan["s_m"]) > 0,
        flat=stan["trend_indicator"] == FLAT,
    )
    return data, prior


def uncovered(rows: int, prior: Prior, trend: int = LINEAR) -> str:
    """Why a fit on so many rows is left to CmdStan, or the empty text if it is not.

    With as many parameters as rows and weak priors the model can interpolate: the posterior is then unbounded (sigma
    to 0), and it is where an optimiser stops that decides. A prior scale of zero is an error that CmdStan words.
    """
    if trend == LOGISTIC:
        return "logistic growth"
    scales = np.append(prior.scales, prior.tau)
    if np.any(scales <= 0):
        return "a prior scale of zero"
    if not np.all((scales > SMALLEST) & (scales < LARGEST)):
        return "a prior scale that is no number"
    parameters = 2 + len(prior.scales) + (0 if prior.flat else len(prior.changepoints))
    return f"{rows} periods for {parameters} parameters" if rows <= parameters else ""


def unusable(data: Data) -> str:
    """Why CmdStan is to word what is wrong with the data, or the empty text. On one date alone, time has no scale."""
    usable = all(np.abs(values).max() < LARGEST for values in (data.t, data.x, data.y))
    return "" if usable else "values that are no numbers"


def _array(values: Sequence[float] | Array) -> Array:
    return np.asarray(values, dtype=np.float64)
