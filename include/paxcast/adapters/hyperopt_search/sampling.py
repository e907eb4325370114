"""Draws from a mixture that is cut off, compiled: TPE takes 24 of them from some 40 tries for each number it suggests.

The stream of numpy's generator is part of what a seed means, so the compiled loop has to give the same bits.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from paxcast.adapters.hyperopt_search.mixtures import Floats, compiled

Draws = Callable[[Floats, Floats, Floats, float, float, int, np.random.Generator], Floats]


@cache
def fast_draws() -> Draws:
    """`_draws` compiled, or `plain_draws` where the two differ: on a processor whose compilers round a product and its
    sum once instead of twice, or with a numpy that draws in another way."""
    fast = compiled(_draws)
    return fast if all(_equal(fast, components) for components in range(2, 40)) else plain_draws


def plain_draws(
    weights: Floats, mus: Floats, sigmas: Floats, low: float, high: float, count: int, rng: np.random.Generator
) -> Floats:
    """[count] values from low to below high of a mixture of K normals, all [K]; what falls outside is drawn again.

    The loop of Hyperopt's `GMM1` and `LGMM1` (0.3.0).
    """
    inside: list[float] = []
    while len(inside) < count:
        at = rng.multinomial(1, weights).argmax()
        draw = rng.normal(mus[at], sigmas[at])
        if low <= draw < high:
            inside.append(draw)
    return np.array(inside)


def _draws(
    weights: Floats, mus: Floats, sigmas: Floats, low: float, high: float, count: int, rng: np.random.Generator
) -> Floats:
    """`plain_draws` with `multinomial` written out as numpy has it: component after component, is it this one?

    Weights are above 0. `random_binomial_inversion` in numpy's distributions.c: one try has no success if the uniform
    number is at most exp(log1p(-p)); where p is above a half, it asks for failure instead.
    """
    last = len(weights) - 1
    shares, none = weights[:last].copy(), np.empty(last)
    left = 1.0
    for k in range(last):
        shares[k] /= left
        left -= weights[k]
        none[k] = math.exp(math.log1p(-min(shares[k], 1.0 - shares[k])))
    inside, found = np.empty(count), 0
    while found < count:
        at = 0
        while at < last and (rng.random() > none[at]) == (shares[at] > 0.5):
            at += 1
        draw = rng.normal(mus[at], sigmas[at])
        if low <= draw < high:
            inside[found] = draw
            found += 1
    return inside


def _equal(fast: Draws, components: int) -> bool:
    """Whether both give the same values of a mixture of so many components, and leave the generator in one state."""
    rng = np.random.default_rng(components)
    weights, mus, sigmas = rng.dirichlet(np.full(components, 0.5)), rng.normal(size=components), rng.random(components)
    ours, numpys = np.random.default_rng(components), np.random.default_rng(components)
    same = fast(weights, mus, sigmas, -1.0, 1.0, 24, ours) == plain_draws(weights, mus, sigmas, -1.0, 1.0, 24, numpys)
    return bool(same.all()) and ours.bit_generator.state == numpys.bit_generator.state
