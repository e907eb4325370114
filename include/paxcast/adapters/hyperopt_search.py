"""Hyperopt behind the search seam: TPE, annealing or random, the same trials for the same seed."""

import logging
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from hyperopt import STATUS_FAIL, STATUS_OK, Trials, anneal, fmin, hp, rand, tpe
from hyperopt.exceptions import AllTrialsFailed
from hyperopt.fmin import generate_trials_to_calculate

from paxcast.core.search import Record, SearchProblem, Trial
from paxcast.core.space import INTEGERS, Parameter, Parameters

ALGORITHMS = {"tpe": tpe.suggest, "anneal": anneal.suggest, "random": rand.suggest}


def search(problem: SearchProblem, algorithm: str = "tpe") -> list[Trial]:
    """Every trial, in order, `max_evals` in all unless patience ends it. A failed fit is a failed trial, not an error.

    `problem.first` is tried before anything the algorithm suggests. `fmin(points_to_evaluate=...)` is silently ignored
    when trials are passed (0.3.0), so the points are put in as trials.
    """
    logging.getLogger("hyperopt").setLevel(logging.WARNING)
    record = Record(problem)
    first = problem.first[: problem.max_evals]
    if len(first) == problem.max_evals:  # fmin with nothing left to suggest would not try them
        record.try_first()
        return record.trials
    space = {parameter.name: _expression(parameter) for parameter in problem.space}
    trials = generate_trials_to_calculate([_point(problem.space, p) for p in first]) if first else Trials()
    trials.refresh()  # else the points are not counted in max_evals, and their ids are given away a second time
    with suppress(AllTrialsFailed):  # each is on record with its reason; the airport goes on with other candidates
        fmin(
            partial(_objective, record=record),
            space,
            algo=ALGORITHMS[algorithm],
            max_evals=problem.max_evals,
            trials=trials,
            rstate=np.random.default_rng(problem.seed),
            early_stop_fn=lambda _trials: (record.over, {}),
            show_progressbar=False,
            verbose=False,
        )
    return record.trials


def _objective(sampled: dict[str, Any], record: Record) -> dict[str, Any]:
    trial = record.tried(_plain(sampled))
    return {"status": STATUS_OK, "loss": trial.loss} if trial.loss is not None else {"status": STATUS_FAIL}


def _expression(parameter: Parameter) -> Any:
    name, arguments = parameter.name, parameter.arguments
    if parameter.expression == "choice":
        return hp.choice(name, list(arguments))
    low, high, *step = (float(a) for a in arguments)
    if "log" in parameter.expression:
        low, high = float(np.log(low)), float(np.log(high))
    return getattr(hp, parameter.expression)(name, low, high, *step)


def _point(space: tuple[Parameter, ...], parameters: Parameters) -> dict[str, Any]:
    """Parameters as Hyperopt stores them: a choice by its index."""
    return {
        p.name: p.arguments.index(parameters[p.name]) if p.expression == "choice" else parameters[p.name] for p in space
    }


def _plain(sampled: dict[str, Any]) -> Parameters:
    """Hyperopt's numpy scalars as Python values, whole numbers where Prophet wants them."""
    plain: Parameters = {}
    for name, value in sorted(sampled.items()):
        item = value.item() if isinstance(value, np.generic) else value
        plain[name] = int(item) if name in INTEGERS else item
    return plain
