"""One parameter of the space: how it is drawn from its prior, and how TPE suggests its next value.

TPE draws 24 candidates from where the better trials lie and takes the one that is likeliest there rather than among
the other trials (Bergstra et al., 2011, Algorithms for Hyper-Parameter Optimization, section 4).
"""

from typing import Protocol

import numpy as np
from hyperopt.tpe import EPS

from paxcast.adapters.hyperopt_search import mixtures
from paxcast.adapters.hyperopt_search.mixtures import Floats, Mixture
from paxcast.adapters.hyperopt_search.points import bounds
from paxcast.adapters.hyperopt_search.sampling import fast_draws
from paxcast.core.space import Parameter

CANDIDATES = 24


class Dimension(Protocol):
    """Values are as Hyperopt stores them: a choice by its index. `better`, `other`: [N] of trials, oldest first."""

    def drawn(self, rng: np.random.Generator) -> float:
        """One value of the prior."""

    def suggested(self, better: Floats, other: Floats, rng: np.random.Generator) -> float:
        """The next value to try."""


def dimension(parameter: Parameter) -> Dimension:
    """The dimension that a parameter describes."""
    if parameter.expression == "choice":
        return Choice(len(parameter.arguments))
    low, high = bounds(parameter)
    step = 1.0 if parameter.expression == "uniformint" else float((*parameter.arguments[2:], 0)[0])
    return Number(low, high, step, logarithmic="log" in parameter.expression)


class Choice:
    """One of `count` options, any of them first as likely as another (`ap_randint_sampler`)."""

    def __init__(self, count: int) -> None:
        self._count = count

    def drawn(self, rng: np.random.Generator) -> int:
        return int(rng.integers(self._count))

    def suggested(self, better: Floats, other: Floats, rng: np.random.Generator) -> int:
        shares = self._shares(better)
        gain = np.log(shares) - np.log(self._shares(other))
        candidates = rng.multinomial(1, shares, CANDIDATES).argmax(axis=1)
        return int(candidates[gain[candidates].argmax()])

    def _shares(self, observed: Floats) -> Floats:
        """[count] how likely each option is: how often it was tried of late, and once more each."""
        weights = mixtures.forgetting(len(observed))
        counts: Floats = np.add(np.bincount(observed.astype(np.int64), weights, self._count), 1.0)
        counts /= np.add.reduce(counts)
        return counts


class Number:
    """A number whose value, or logarithm, lies evenly between low and high; then rounded to steps, unless `step` is 0.

    The mixtures lie on the scale of low and high (`ap_uniform_sampler`, and those of the other three expressions).
    """

    def __init__(self, low: float, high: float, step: float, *, logarithmic: bool) -> None:
        self._low, self._high, self._step, self._logarithmic = low, high, step, logarithmic
        self._limits = np.array([low, high])
        self._lowest, self._highest = np.exp(self._limits) if logarithmic else self._limits

    def drawn(self, rng: np.random.Generator) -> float:
        return float(self._values(np.array([rng.uniform(self._low, self._high)]))[0])

    def suggested(self, better: Floats, other: Floats, rng: np.random.Generator) -> float:
        good, bad = self._mixture(better), self._mixture(other)
        candidates = self._values(fast_draws()(*good, self._low, self._high, CANDIDATES, rng))
        if self._step:
            candidates = np.array(list(dict.fromkeys(candidates.tolist())))  # few: each is weighed once
        gain = self._log_density(candidates, good) - self._log_density(candidates, bad)
        return float(candidates[gain.argmax()])

    def _mixture(self, observed: Floats) -> Mixture:
        if self._logarithmic:  # a step may lie below the range, at 0 even
            observed = np.log(np.maximum(observed, np.maximum(EPS, self._lowest)) if self._step else observed)
        return mixtures.parzen(observed, 0.5 * (self._high + self._low), self._high - self._low)

    def _values(self, scaled: Floats) -> Floats:
        values = np.exp(scaled) if self._logarithmic else scaled
        return np.rint(values / self._step) * self._step if self._step else values

    def _log_density(self, values: Floats, mixture: Mixture) -> Floats:
        """[S] how likely each of values: [S] is; of a step, all that is rounded to it."""
        if self._step:
            return mixtures.log_probability(self._edges(values), mixture)
        if self._logarithmic:
            return mixtures.log_density_of_logs(values, mixture)
        return mixtures.log_density(values, mixture, self._limits)

    def _edges(self, values: Floats) -> Floats:
        """[2, S + 1] between what numbers, on the scale of the mixture, each of values: [S] is the step; the limits."""
        edges, half = np.empty((2, len(values) + 1)), self._step / 2
        edges[:, -1] = self._limits
        steps = edges[:, :-1]
        np.maximum(values - half, self._lowest, out=steps[0])
        np.minimum(values + half, self._highest, out=steps[1])
        if self._logarithmic:
            np.log(np.maximum(steps, EPS), out=steps)
        return edges
