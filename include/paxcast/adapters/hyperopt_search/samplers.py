"""Where to look next: at random, by TPE, by annealing. Each point depends on a seed and on what was learned before."""

from typing import Protocol

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_OK, Trials, anneal
from hyperopt.base import Domain, spec_from_misc
from hyperopt.fmin import generate_trial

from paxcast.adapters.hyperopt_search.dimensions import dimension
from paxcast.adapters.hyperopt_search.order import drawing_order
from paxcast.adapters.hyperopt_search.points import Point, expressions
from paxcast.core.space import Parameter

FIRST_AT_RANDOM = 20  # trials that TPE learns from before it suggests
GAMMA = 0.25  # of n trials the best GAMMA * sqrt(n) are the better ones,
MOST_BETTER = 25  # but no more than this


class Sampler(Protocol):
    """A search's memory of its trials. Points are as Hyperopt stores them; a failed trial's loss is infinite."""

    def suggest(self, seed: int) -> Point:
        """The next point to try."""

    def learn(self, point: Point, loss: float) -> None:
        """Keep a trial in mind."""


class RandomDraws:
    """`rand.suggest`: each point drawn from the prior, whatever was learned."""

    def __init__(self, space: tuple[Parameter, ...], max_evals: int) -> None:
        by_name = {parameter.name: dimension(parameter) for parameter in space}
        self._dimensions = {name: by_name[name] for name in drawing_order(space)}

    def suggest(self, seed: int) -> Point:
        rng = np.random.default_rng(seed)
        return {name: each.drawn(rng) for name, each in self._dimensions.items()}

    def learn(self, point: Point, loss: float) -> None:
        pass


class Tpe(RandomDraws):
    """`tpe.suggest`: at random until there are 20 trials, then where the better ones lie and the others do not."""

    def __init__(self, space: tuple[Parameter, ...], max_evals: int) -> None:
        super().__init__(space, max_evals)
        self._values = np.empty((len(space), max_evals))
        self._losses = np.empty(max_evals)
        self._count = 0

    def suggest(self, seed: int) -> Point:
        if self._count < FIRST_AT_RANDOM:
            return super().suggest(seed)
        rng = np.random.default_rng(seed)
        by_loss = self._losses[: self._count].argsort()
        count = min(int(np.ceil(GAMMA * np.sqrt(self._count))), MOST_BETTER)
        better, other = (self._values.take(np.sort(trials), axis=1) for trials in (by_loss[:count], by_loss[count:]))
        return {
            name: each.suggested(better[at], other[at], rng) for at, (name, each) in enumerate(self._dimensions.items())
        }

    def learn(self, point: Point, loss: float) -> None:
        self._values[:, self._count] = [point[name] for name in self._dimensions]
        self._losses[self._count] = loss
        self._count += 1


class Annealing:
    """`anneal.suggest`: near one of the best trials, ever nearer. Hyperopt's own, on its own documents."""

    def __init__(self, space: tuple[Parameter, ...], max_evals: int) -> None:
        self._domain, self._trials = Domain(None, expressions(space)), Trials()

    def suggest(self, seed: int) -> Point:
        (trial,) = anneal.suggest([len(self._trials)], self._domain, self._trials, seed)
        point: Point = spec_from_misc(trial["misc"])
        return point

    def learn(self, point: Point, loss: float) -> None:
        trial = generate_trial(len(self._trials), point)
        trial |= {"state": JOB_STATE_DONE, "result": {"status": STATUS_OK, "loss": loss}}
        self._trials.insert_trial_docs([trial])
        self._trials.refresh()
