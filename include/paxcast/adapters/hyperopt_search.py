"""Hyperopt behind the search seam: TPE or random, the same trials for the same seed."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from hyperopt import STATUS_FAIL, STATUS_OK, Trials, fmin, hp, rand, tpe
from hyperopt.exceptions import AllTrialsFailed
from hyperopt.fmin import generate_trials_to_calculate

from paxcast.core.candidates import FitFailed
from paxcast.core.space import INTEGERS, Parameter, Parameters
from paxcast.core.tuning import SearchProblem, Trial

ALGORITHMS = {"tpe": tpe.suggest, "random": rand.suggest}


def search(problem: SearchProblem, algorithm: str = "tpe") -> list[Trial]:
    """Every trial, in order, `max_evals` in all. A candidate that cannot be fitted is a failed trial, not an error.

    `problem.first` is tried before anything the algorithm suggests. `fmin(points_to_evaluate=...)` is silently ignored
    when trials are passed (0.3.0), so the points are put in as trials.
    """
    logging.getLogger("hyperopt").setLevel(logging.WARNING)
    if not problem.space:
        return [_tried(0, {}, problem.loss)]
    first = problem.first[: problem.max_evals]
    if len(first) == problem.max_evals:  # fmin with nothing left to suggest would not try them
        return [_tried(number, parameters, problem.loss) for number, parameters in enumerate(first)]
    space = {parameter.name: _expression(parameter) for parameter in problem.space}
    trials = generate_trials_to_calculate([_point(problem.space, p) for p in first]) if first else Trials()
    trials.refresh()  # else the points are not counted in max_evals, and their ids are given away a second time
    done: list[Trial] = []
    with suppress(AllTrialsFailed):  # each is on record with its reason; the airport goes on with other candidates
        fmin(
            partial(_objective, done=done, loss=problem.loss),
            space,
            algo=ALGORITHMS[algorithm],
            max_evals=problem.max_evals,
            trials=trials,
            rstate=np.random.default_rng(problem.seed),
            show_progressbar=False,
            verbose=False,
        )
    return done


def _objective(sampled: dict[str, Any], done: list[Trial], loss: Callable[[Parameters], float]) -> dict[str, Any]:
    trial = _tried(len(done), _plain(sampled), loss)
    done.append(trial)
    return {"status": STATUS_OK, "loss": trial.loss} if trial.loss is not None else {"status": STATUS_FAIL}


def _tried(number: int, parameters: Parameters, loss: Callable[[Parameters], float]) -> Trial:
    try:
        value = loss(parameters)
    except FitFailed as err:
        return Trial(number, parameters, None, str(err))
    return (
        Trial(number, parameters, value) if np.isfinite(value) else Trial(number, parameters, None, "loss not finite")
    )


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
