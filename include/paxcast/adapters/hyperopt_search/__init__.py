"""Hyperopt behind the search seam: TPE, annealing or random, the same trials for the same seed.

    problem ──> search ──> seed by seed: sampler.suggest ──> Record.tried ──> sampler.learn

`hyperopt.fmin` writes a document for each trial and builds and walks a graph of expressions for each suggestion, which
takes longer than the evaluation. The numbers here are those of `fmin` (0.3.0) to the last bit, its loop is not used.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

from paxcast.adapters.hyperopt_search.dimensions import Number
from paxcast.adapters.hyperopt_search.points import plain, stored
from paxcast.adapters.hyperopt_search.samplers import Annealing, RandomDraws, Sampler, Tpe
from paxcast.core.search import WORST, Record, SearchProblem, Trial

SEEDS = 2**31 - 1  # fmin draws one seed below this for each suggestion

ALGORITHMS: dict[str, Callable[..., Sampler]] = {"tpe": Tpe, "anneal": Annealing, "random": RandomDraws}


def search(problem: SearchProblem, algorithm: str = "tpe") -> list[Trial]:
    """Every trial, in order, `max_evals` in all unless patience ends it. A failed fit is a failed trial, not an error.

    `problem.first` is tried before anything the algorithm suggests, which learns from it as from its own.
    """
    record = Record(problem)
    sampler = ALGORITHMS[algorithm](problem.space, problem.max_evals)
    first = deque(stored(problem.space, parameters) for parameters in problem.first)
    seeds = np.random.default_rng(problem.seed)
    while not record.over:
        point = first.popleft() if first else sampler.suggest(int(seeds.integers(SEEDS)))
        sampler.learn(point, _loss(record.tried(plain(problem.space, point))))
    return record.trials


def warm() -> None:
    """Load what is compiled into this process, or compile it (some seconds), which one environment does once."""
    few = np.array([0.25, 0.5])
    Number(0.0, 1.0, 0.0, logarithmic=False).suggested(few, few, np.random.default_rng(0))


def _loss(trial: Trial) -> float:
    """A failed trial is worse than any other, a pruned one as good as the folds that were done."""
    return WORST if trial.loss is None else trial.loss
