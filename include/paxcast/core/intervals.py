"""Prediction intervals: what the published method missed in its folds, at each step, over all airports of the fleet.

Split conformal prediction for each horizon (Lei et al., "Distribution-free predictive inference for regression", 2018).
An airport has a handful of folds, far too few for a 95 % interval at twelve steps, so airports lend each other theirs:
each error is put in units of the error size that its airport showed in its *other* folds, and of these ratios, from all
airports, the quantiles are taken step by step. An airport's half-width is that quantile times its own error size.

    size_i = (sum_k e_ik + N0 p) / (K + N0) level_i     e_ik mean absolute error of fold k over the level before it
    z_ikh  = |y - yhat|_ikh / size_i without fold k     p the median e of the fleet: with few folds an airport is near
    half_ih(a) = q_h(a) size_i                          q_h the ceil((n + 1) a)-th smallest of n ratios at step h
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
LEVELS = (0.80, 0.95)
BORROWED = 1.0  # N0: the fleet's middle counts as much as one fold of an airport's own


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
    `levels`: [K] mean traffic of the season before each window."""

    errors: Array
    levels: Array

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
    shares = np.array([share for missed in airports for share in missed.shares() if np.isfinite(share)])
    middle = float(np.median(shares)) if len(shares) else 0.0
    rows = [row for missed in airports for row in _ratios(missed, middle)]
    ratios = np.array(rows).reshape(-1, horizon)
    return Pool({a: np.array([rank_of(ratios[:, h], taken[a]) for h in range(horizon)]) for a in levels}, middle)


def size(missed: Missed, middle: float, level: float, without: int | None = None) -> float:
    """The error size of an airport in traffic at a level, its own windows' and one borrowed from the fleet."""
    shares = missed.shares()
    own = shares if without is None else np.delete(shares, without)
    own = own[np.isfinite(own)]
    return float((own.sum() + BORROWED * middle) / (len(own) + BORROWED)) * level


def rank_of(ratios: Array, level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n ratios, the largest where that is beyond; NaN left out, 0 of none."""
    ordered = np.sort(ratios[np.isfinite(ratios)])
    if len(ordered) == 0:
        return 0.0
    rank = int(np.ceil((len(ordered) + 1) * level))
    return float(ordered[min(rank, len(ordered)) - 1])


def band(yhat: Array, fleet: Pool, error_size: float) -> Band:
    """The forecast with its intervals. yhat: [H] traffic."""
    half = {a: q * error_size for a, q in fleet.quantiles.items()}
    low = {a: np.maximum(yhat - width, 0.0) for a, width in half.items()}
    return Band(yhat, low[0.80], yhat + half[0.80], low[0.95], yhat + half[0.95])


def confidence(interval: Band, seasons_of_history: float, doubted: bool = False) -> str:
    """`high`, `low` or `do not publish`: from the mean width of the 80 % interval against the mean level.

    At most 0.5 of the level is high, up to 1.5 is low. Fewer than two seasons of history are never high, nor is what is
    doubted: the past says nothing of how far a forecast is off that follows a slip, or an airport that has closed.
    """
    level = float(np.mean(interval.yhat))
    width = float(np.mean(interval.hi80 - interval.lo80))
    if level <= 0:
        return "low" if width == 0 else "do not publish"
    if width > 1.5 * level:
        return "do not publish"
    return "high" if width <= 0.5 * level and seasons_of_history >= 2 and not doubted else "low"


def _ratios(missed: Missed, middle: float) -> list[Array]:
    found = []
    for k, errors in enumerate(missed.errors):
        unit = size(missed, middle, float(missed.levels[k]), without=k)
        if unit > 0:
            found.append(np.abs(errors) / unit)
    return found
