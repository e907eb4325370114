"""Optuna behind the search seam: TPE or CMA-ES, the same trials for the same seed. The package's extra `optuna`.

CMA-ES moves all numbers together and knows no words: each `choice` is drawn at random for itself, whatever was learnt.
It starts in the middle of every range and may stay there where steps are large: give it continuous ranges.
"""

from collections.abc import Callable
from typing import cast

from paxcast.core import grid
from paxcast.core.errors import ConfigurationError
from paxcast.core.search import Record, SearchProblem, Trial
from paxcast.core.space import INTEGERS, Parameter, Parameters, Value

try:
    import cmaes  # type: ignore[import-untyped]  # noqa: F401  Optuna itself would miss it in the second trial only
    import optuna
except ImportError as err:
    raise ConfigurationError(
        "search.algorithm: optuna_tpe needs the package optuna, and optuna_cmaes the package cmaes too: "
        "pip install 'paxcast[optuna]', or use search.algorithm: tpe"
    ) from err

ALGORITHMS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "optuna_tpe": lambda seed: optuna.samplers.TPESampler(seed=seed),
    "optuna_cmaes": lambda seed: optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False),
}
SEEDS = 2**32  # Optuna takes seeds below


def search(problem: SearchProblem, algorithm: str = "optuna_tpe") -> list[Trial]:
    """Every trial, in order, `max_evals` in all unless patience ends it. A failed fit is a failed trial, not an error.

    `problem.first` is tried before anything the algorithm suggests, and the algorithm learns from it.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=ALGORITHMS[algorithm](problem.seed % SEEDS))
    for parameters in problem.first:
        study.enqueue_trial({p.name: _queued(p, parameters[p.name]) for p in problem.space})
    record = Record(problem)
    while not record.over:
        asked = study.ask()
        suggested = {p.name: _suggested(asked, p) for p in problem.space}
        _tell(study, asked, record.tried(_parameters(problem, asked.number, suggested)))
    return record.trials


def _parameters(problem: SearchProblem, number: int, suggested: Parameters) -> Parameters:
    """What is tried. A first point exactly as it was given: Optuna has its numbers on the steps of the space."""
    return problem.first[number] if number < len(problem.first) else suggested


def _tell(study: optuna.Study, asked: optuna.Trial, trial: Trial) -> None:
    if trial.loss is None:
        study.tell(asked, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(asked, trial.loss)


def _suggested(asked: optuna.Trial, parameter: Parameter) -> Value:
    """A value inside the parameter's range. A parameter with steps is suggested as a number of steps, counted from 0 as
    Hyperopt does; Optuna's own steps count from the low end."""
    name, log = parameter.name, "log" in parameter.expression
    if parameter.expression == "choice":
        chosen = cast(Value, asked.suggest_categorical(name, parameter.arguments))
        return int(chosen) if name in INTEGERS else chosen
    if parameter.expression in grid.CONTINUOUS:
        low, high = (float(a) for a in parameter.arguments)
        drawn = min(max(asked.suggest_float(name, low, high, log=log), low), high)  # exp(log(10)) is above 10
        return grid.whole(parameter, drawn) if name in INTEGERS else drawn
    factors = grid.steps(parameter)
    return grid.value_at(parameter, asked.suggest_int(name, factors[0], factors[-1], log=log))


def _queued(parameter: Parameter, value: Value) -> Value:
    """A value as Optuna holds it, the inverse of `_suggested`: the nearest number of steps where there are steps."""
    if parameter.expression == "choice":
        return value
    if parameter.expression in grid.CONTINUOUS:
        return float(value)
    return grid.nearest(parameter, float(value))
