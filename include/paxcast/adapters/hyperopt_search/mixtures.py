"""The densities of TPE for a number: a mixture of normal distributions, one around each trial and one for the prior.

Each function does the arithmetic of its namesake in `hyperopt.tpe` (0.3.0) in the same order, so that every bit is the
same; it leaves out the checks, and what no parameter here uses. Compiled is only what is rounded in one way everywhere:
sums, products, quotients. Logarithms, exponentials and sums of many are numpy's.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from hyperopt.tpe import DEFAULT_LF, EPS, erf, linear_forgetting_weights
from numba import njit

Floats = npt.NDArray[np.float64]
Loop = TypeVar("Loop", bound=Callable[..., Any])

LOST = -700.0  # its exp is lost in a sum that holds a 1; below -708, np.exp takes ten times as long
ROOT_TWO = np.sqrt(2)
ROOT_TWO_PI = np.sqrt(2 * np.pi)
NOTHING = np.empty((0, 0))


def compiled(loop: Loop) -> Loop:
    """The function, compiled when it is first called and kept beside its source."""
    fast: Loop = njit(cache=True)(loop)
    return fast


class Mixture(NamedTuple):
    """K normal distributions on a line, sorted by their means: weights (their sum is 1), means, standard deviations."""

    weights: Floats
    mus: Floats
    sigmas: Floats


@lru_cache(maxsize=4096)
def forgetting(count: int) -> Floats:
    """[count] weights of trials, oldest first: 1 for the newest 25, the older the less. Not to be written to."""
    weights: Floats = linear_forgetting_weights(count, DEFAULT_LF)
    weights.setflags(write=False)
    return weights


def parzen(observed: Floats, prior_mu: float, prior_sigma: float) -> Mixture:
    """`adaptive_parzen_normal` of at least two values, observed: [N] oldest first; N + 1 components."""
    order = observed.argsort()  # numpy's, as equal values may have unequal weights
    weights, mus, sigmas = _components(observed, forgetting(len(observed)), order, prior_mu, prior_sigma)
    weights /= np.add.reduce(weights)
    return Mixture(weights, mus, sigmas)


@compiled
def _components(
    observed: Floats, trust: Floats, order: npt.NDArray[np.int64], prior_mu: float, prior_sigma: float
) -> tuple[Floats, Floats, Floats]:
    """[N + 1] weights before they are scaled, means and standard deviations; observed, trust, order: [N].

    A component is as wide as the gap to its farther neighbour, within limits; the prior's width stays.
    """
    count = len(observed) + 1
    weights, mus, sigmas = np.empty(count), np.empty(count), np.empty(count)
    at = 0
    while at < count - 1 and observed[order[at]] < prior_mu:
        at += 1
    weights[at], mus[at] = 1.0, prior_mu
    for k in range(count - 1):
        weights[k + (k >= at)], mus[k + (k >= at)] = trust[order[k]], observed[order[k]]
    for k in range(count):
        gap = max(mus[k] - mus[max(k - 1, 0)], mus[min(k + 1, count - 1)] - mus[k])
        sigmas[k] = min(max(gap, prior_sigma / min(100.0, 1.0 + count)), prior_sigma)
    sigmas[at] = prior_sigma
    return weights, mus, sigmas


def log_density(x: Floats, mixture: Mixture, limits: Floats) -> Floats:
    """`GMM1_lpdf` without steps: [S] logarithms of the density at x: [S], the mixture cut off at the limits: [2]."""
    weights, _, sigmas = mixture
    below = _below(limits, mixture)
    coefficients = weights / np.sqrt(2 * np.pi * np.square(sigmas))
    coefficients /= np.add.reduce(weights * (below[1] - below[0]))
    return _log_sum(x, mixture, NOTHING, np.log(coefficients))


def log_density_of_logs(x: Floats, mixture: Mixture) -> Floats:
    """`LGMM1_lpdf` without steps: [S] logarithms of the density at x: [S], whose logarithms are so mixed."""
    scales = np.maximum(mixture.sigmas, EPS) * x[:, None]
    scales *= ROOT_TWO_PI
    return _log_sum(np.log(x), mixture, np.log(scales, out=scales), np.log(mixture.weights))


def log_probability(edges: Floats, mixture: Mixture) -> Floats:
    """`GMM1_lpdf` with steps: [S] logarithms of the mass between edges: [2, S + 1], the last of which cut it off.

    `LGMM1_lpdf` with steps is the same of logarithms. Components are added one after another, where np.sum adds pairs.
    """
    below = _below(edges, mixture)
    within = np.add.reduce(mixture.weights * (below[1, -1] - below[0, -1]))
    below *= mixture.weights
    totals = np.add.accumulate(below[1, :-1] - below[0, :-1], axis=1)
    shares: Floats = np.log(totals[:, -1]) - np.log(within)
    return shares


def _log_sum(x: Floats, mixture: Mixture, less: Floats, more: Floats) -> Floats:
    """`logsum_rows`: [S] logarithms of the sums of the normal densities, each with its factor; see `_exponents`."""
    exponents, most = _exponents(x, mixture.mus, np.maximum(mixture.sigmas, EPS), less, more)
    sums: Floats = np.log(np.add.reduce(np.exp(exponents, out=exponents), axis=1))
    sums += most
    return sums


@compiled
def _exponents(x: Floats, mus: Floats, widths: Floats, less: Floats, more: Floats) -> tuple[Floats, Floats]:
    """[S, K] exponents of the normal densities at x: [S], less: [S, K] or nothing subtracted, more: [K] added.

    Then less the highest of their row, which is returned too: [S].
    """
    exponents, most = np.empty((len(x), len(mus))), np.empty(len(x))
    for i in range(len(x)):
        for k in range(len(mus)):
            off = (x[i] - mus[k]) / widths[k]
            exponents[i, k] = -0.5 * (off * off)
            if less.size:
                exponents[i, k] -= less[i, k]
            exponents[i, k] += more[k]
        most[i] = exponents[i].max()
        for k in range(len(mus)):
            exponents[i, k] = max(exponents[i, k] - most[i], LOST)
    return exponents, most


def _below(x: Floats, mixture: Mixture) -> Floats:
    """`normal_cdf`: [..., K] each component's probability of a value below x: [...]."""
    z = x[..., None] - mixture.mus
    z /= np.maximum(ROOT_TWO * mixture.sigmas, EPS)
    below: Floats = erf(z, out=z)
    below += 1
    below *= 0.5
    return below
