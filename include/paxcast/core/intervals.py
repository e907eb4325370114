"""Prediction intervals: what the published method missed in its folds, at each step, over all airports of the fleet.

Split conformal prediction for each horizon (Lei et al., "Distribution-free predictive inference for regression", 2018).
An airport has a handful of folds, far too few for a 95 % interval at twelve steps, so airports lend each other theirs:
each error is put in units of the error size that its airport showed in its *other* folds, and of these ratios, from all
airports, the quantiles are taken step by step. An airport's half-width is that quantile times its own error size.

    size_i = (sum_k e_ik + N0 p) / (K + N0) unit_i      e_ik mean absolute error of fold k over its own unit
    z_ikh  = |y - yhat|_ikh / size_i without fold k     p the median e of the fleet: with few folds an airport is near
    half_ih(a) = q_h(a) size_i                          q_h the ceil((n + 1) a)-th smallest of n ratios at step h

The unit of a forecast is the mean traffic of the season before it, or its own mean where that is more (`unit`). Windows
that count for less than one do so in q_h and p (Tibshirani et al., "Conformal prediction under covariate shift", 2019).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LEVELS = (0.80, 0.95)
BORROWED = 1.0  # N0: the fleet's middle counts as much as one fold of an airport's own
MOST_LENT = 7  # windows, those of a fold plan: what an airport without folds counts for in the pool, however long it is
FAR = 2.0  # times what was before, or its part: a forecast beyond it goes where the airport has not just been
ROUNDING = 1e-9  # of the level


@dataclass(frozen=True, slots=True)
class Band:
    """A forecast with its intervals: [H] each, traffic, never negative."""

    yhat: Array
    lo80: Array
    hi80: Array
    lo95: Array
    hi95: Array


@dataclass(frozen=True, slots=True)
class Missed:
    """One airport's errors in past windows. `errors`: [K, H] actual minus forecast, NaN where nothing is compared;
    `levels`: [K] the unit of each window's forecast, zero where there was no traffic before it; `weight`: how much each
    window counts in the fleet's pool."""

    errors: Array
    levels: Array
    weight: float = 1.0

    def shares(self) -> Array:
        """[K] the mean absolute error of each window over its level; NaN where there was no traffic before it."""
        counted = np.isfinite(self.errors)
        total = np.where(counted, np.abs(self.errors), 0.0).sum(axis=1)
        level = np.where(self.levels > 0, self.levels, np.nan)
        return np.asarray(total / np.maximum(1, counted.sum(axis=1)) / level)


@dataclass(frozen=True, slots=True)
class Pool:
    """What a fleet's airports have in common. `quantiles`: by level, [H] ratios; `middle`: the median share missed."""

    quantiles: Mapping[float, Array]
    middle: float

    def as_json(self) -> dict[str, object]:
        return {"quantiles": {str(a): q.tolist() for a, q in self.quantiles.items()}, "middle": self.middle}


def pool_from_json(values: Mapping[str, object]) -> Pool:
    """The pool that `as_json` described."""
    quantiles = values["quantiles"]
    assert isinstance(quantiles, Mapping)
    return Pool({float(a): np.array(q, dtype=np.float64) for a, q in quantiles.items()}, float(str(values["middle"])))


def pool(
    airports: Sequence[Missed],
    horizon: int,
    levels: Sequence[float] = LEVELS,
    effective: Mapping[float, float] | None = None,
) -> Pool:
    """The quantiles of a fleet, [horizon] for each level; zeros where nothing was missed or compared.

    effective: by nominal level, the one to take its quantiles at (`adaptation`), where that differs.
    """
    taken = {a: (effective or {}).get(a, a) for a in levels}
    middle = _middle(airports)
    rows = [(row, missed.weight) for missed in airports for row in _ratios(missed, middle)]
    ratios, weights = np.array([row for row, _ in rows]).reshape(-1, horizon), np.array([w for _, w in rows])
    ranked = {a: [rank_of(ratios[:, h], taken[a], weights) for h in range(horizon)] for a in levels}
    return Pool({a: np.array(q) for a, q in ranked.items()}, middle)


def unit(level: float, yhat: Array) -> float:
    """What the errors of a forecast are measured in, traffic. level: mean of the season before it; yhat: [H].

    A forecast that returns from a slump can miss by what it returns to, not by what the slump was.
    """
    return max(level, float(np.mean(yhat)))


def size(missed: Missed, middle: float, level: float, without: int | None = None) -> float:
    """The error size of an airport in traffic at a level, its own windows' and one borrowed from the fleet."""
    shares = missed.shares()
    own = shares if without is None else np.delete(shares, without)
    own = own[np.isfinite(own)]
    return float((own.sum() + BORROWED * middle) / (len(own) + BORROWED)) * level


def rank_of(ratios: Array, level: float, weights: Array | None = None) -> float:
    """The ceil((n + 1) level)-th smallest of n ratios, the largest where that is beyond; NaN left out, 0 of none.

    weights: [n], 1 by default; then the smallest of which the weight up to it is at least (all weight + 1) level.
    """
    known = np.isfinite(ratios)
    if not known.any():
        return 0.0
    reached, ordered = _reached(ratios[known], np.ones(int(known.sum())) if weights is None else weights[known])
    wanted = (reached[-1] + 1) * level * (1 - ROUNDING)
    return float(ordered[min(int(np.searchsorted(reached, wanted)), len(ordered) - 1)])


def band(yhat: Array, fleet: Pool, error_size: float) -> Band:
    """The forecast with its intervals. yhat: [H] traffic."""
    half = {a: q * error_size for a, q in fleet.quantiles.items()}
    low = {a: np.maximum(yhat - width, 0.0) for a, width in half.items()}
    return Band(yhat, low[0.80], yhat + half[0.80], low[0.95], yhat + half[0.95])


def confidence(interval: Band, seasons_of_history: float, before: Sequence[float], doubted: bool = False) -> str:
    """`high`, `low` or `do not publish`: from the mean width of the 80 % interval against the mean level.

    At most 0.5 of the level is high, up to 1.5 is low. Fewer than two seasons of history are never high, nor is what is
    doubted: the past says nothing of how far a forecast is off that follows a slip, or an airport that has closed; or
    that lies FAR from all the traffic `before` it: the mean of the last season, that of the same periods in it. Nor is
    an interval without a width.
    """
    level = float(np.mean(interval.yhat))
    width = float(np.mean(interval.hi80 - interval.lo80))
    if level <= 0:
        return "low" if width == 0 else "do not publish"
    if width > 1.5 * level:
        return "do not publish"
    far = all(level > FAR * known or level < known / FAR for known in before)
    told = ROUNDING * level < width <= 0.5 * level
    return "high" if told and seasons_of_history >= 2 and not doubted and not far else "low"


def _middle(airports: Sequence[Missed]) -> float:
    """The median share missed, each by its weight; where that lies between two, their mean; 0 of none."""
    shares = [(share, one.weight) for one in airports for share in one.shares() if np.isfinite(share)]
    if not shares:
        return 0.0
    reached, ordered = _reached(*np.array(shares).T)
    half = reached[-1] / 2
    low, high = np.searchsorted(reached, [half * (1 - ROUNDING), half * (1 + ROUNDING)])
    return float((ordered[low] + ordered[high]) / 2)


def _reached(values: Array, weights: Array) -> tuple[Array, Array]:
    """The weight up to each of the ordered values, and these. [n] each"""
    order = np.argsort(values, kind="stable")
    return np.cumsum(weights[order]), values[order]


def _ratios(missed: Missed, middle: float) -> list[Array]:
    found = []
    for k, errors in enumerate(missed.errors):
        usual = size(missed, middle, float(missed.levels[k]), without=k)
        if usual > 0:
            found.append(np.abs(errors) / usual)
    return found
