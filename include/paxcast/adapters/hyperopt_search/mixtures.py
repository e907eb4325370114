"""The densities of TPE for a number: a mixture of normal distributions, one around each trial and one for the prior.

Each function does the arithmetic of its namesake in `hyperopt.tpe` (0.3.0) in the same order on arrays of the same
layout, so that every bit is the same; it leaves out the checks, and what no parameter here uses.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from hyperopt.tpe import DEFAULT_LF, EPS, erf, linear_forgetting_weights

Floats = npt.NDArray[np.float64]

LOST = -700.0  # its exp is lost in a sum that holds a 1; below -708, np.exp takes ten times as long
ROOT_TWO = np.sqrt(2)
ROOT_TWO_PI = np.sqrt(2 * np.pi)


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
    """`adaptive_parzen_normal` of at least two values, observed: [N] oldest first; N + 1 components.

    A component is as wide as the gap to its farther neighbour, within limits; the prior's width stays.
    """
    order = observed.argsort()
    ordered = observed.take(order)
    at = int(ordered.searchsorted(prior_mu))
    mus = _inserted(ordered, at, prior_mu)
    gaps = mus[1:] - mus[:-1]
    sigmas = _inserted(gaps, 0, gaps[0])
    np.maximum(gaps[:-1], gaps[1:], out=sigmas[1:-1])
    np.maximum(sigmas, prior_sigma / min(100.0, 1.0 + len(mus)), out=sigmas)
    np.minimum(sigmas, prior_sigma, out=sigmas)
    sigmas[at] = prior_sigma
    weights = _inserted(forgetting(len(observed)).take(order), at, 1.0)
    weights /= np.add.reduce(weights)
    return Mixture(weights, mus, sigmas)


def log_density(x: Floats, mixture: Mixture, limits: Floats) -> Floats:
    """`GMM1_lpdf` without steps: [S] logarithms of the density at x: [S], the mixture cut off at the limits: [2]."""
    weights, _, sigmas = mixture
    below = _below(limits, mixture)
    coefficients = weights / np.sqrt(2 * np.pi * np.square(sigmas))
    coefficients /= np.add.reduce(weights * (below[1] - below[0]))
    exponents = _exponents(x, mixture)
    exponents += np.log(coefficients)
    return _log_sum(exponents)


def log_density_of_logs(x: Floats, mixture: Mixture) -> Floats:
    """`LGMM1_lpdf` without steps: [S] logarithms of the density at x: [S], whose logarithms are so mixed."""
    scales = np.maximum(mixture.sigmas, EPS) * x[:, None]
    scales *= ROOT_TWO_PI
    exponents = _exponents(np.log(x), mixture)
    exponents -= np.log(scales, out=scales)
    exponents += np.log(mixture.weights)
    return _log_sum(exponents)


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


def _inserted(values: Floats, at: int, value: float) -> Floats:
    longer = np.empty(len(values) + 1)
    longer[:at], longer[at], longer[at + 1 :] = values[:at], value, values[at:]
    return longer


def _exponents(x: Floats, mixture: Mixture) -> Floats:
    """[S, K] exponents of the normal densities."""
    off = x[:, None] - mixture.mus
    off /= np.maximum(mixture.sigmas, EPS)
    np.square(off, out=off)
    off *= -0.5
    return off


def _log_sum(x: Floats) -> Floats:
    """`logsum_rows`: [S] logarithms of the sums of exp(x: [S, K]), which is overwritten."""
    most = np.maximum.reduce(x, axis=1)
    x -= most[:, None]
    np.maximum(x, LOST, out=x)
    sums: Floats = np.log(np.add.reduce(np.exp(x, out=x), axis=1))
    sums += most
    return sums


def _below(x: Floats, mixture: Mixture) -> Floats:
    """`normal_cdf`: [..., K] each component's probability of a value below x: [...]."""
    z = x[..., None] - mixture.mus
    z /= np.maximum(ROOT_TWO * mixture.sigmas, EPS)
    below: Floats = erf(z, out=z)
    below += 1
    below *= 0.5
    return below
