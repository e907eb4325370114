"""The evaluations of one airport in parallel on Spark, by `hyperopt.SparkTrials`: one Spark job for each.

It pays where an evaluation takes a second and more: two polls of a second each, and one Spark job for each evaluation,
cost more than most of Prophet's (benchmarks/search_modes.py). What is suggested next depends on which evaluations have
ended by then, so two runs may differ: the one mode of which that is true.
"""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from hyperopt import STATUS_FAIL, STATUS_OK, SparkTrials, anneal, fmin, rand, tpe
from hyperopt.exceptions import AllTrialsFailed

from paxcast.adapters.hyperopt_search.points import expressions, plain
from paxcast.core.errors import ConfigurationError
from paxcast.core.search import Record, Search, SearchProblem, Trial, evaluated
from paxcast.core.space import INTEGERS, Parameter, Parameters

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SUGGEST = {"tpe": tpe.suggest, "anneal": anneal.suggest, "random": rand.suggest}
SHARE = 0.2  # of the evaluations, those that run side by side learn nothing of each other: so many more are made


def searching(session: "SparkSession | None", algorithm: str, parallelism: int) -> Search:
    """A search on this session. Raises ConfigurationError for a session that cannot run it, before anything is run."""
    if session is None or not hasattr(session, "_jvm"):
        raise ConfigurationError(
            "search.mode: spark_trials needs a classic Spark session, and Spark Connect has no Spark context; use "
            "per_airport, or give spark.master or a connection to a classic one"
        )
    return partial(search, session=session, algorithm=algorithm, parallelism=parallelism)


def evaluations(max_evals: int, parallelism: int) -> int:
    """How many evaluations make up for learning late: those of one core, and parallelism / 0.2 more."""
    return max_evals + math.ceil(parallelism / SHARE)


class Reading:
    """A Spark session, its context, or a data set of it, whose tasks read their input to the end.

    Those of SparkTrials (0.3.0) do not: PySpark's worker finds what is left where it expects the end, and ends itself,
    so that each evaluation starts another one, which imports everything anew.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def sparkContext(self) -> "Reading":  # noqa: N802 - Spark's name
        return Reading(self._inner.sparkContext)

    def parallelize(self, *rows: Any) -> "Reading":
        return Reading(self._inner.parallelize(*rows))

    def mapPartitions(self, function: Callable[[Any], Any]) -> Any:  # noqa: N802 - Spark's name
        return self._inner.mapPartitions(lambda rows: function(iter(list(rows))))


def search(
    problem: SearchProblem, *, session: "SparkSession", algorithm: str, parallelism: int, keep_workers: bool = True
) -> list[Trial]:
    """Every trial, in the order of its suggestion. `problem.first` is tried here, before: SparkTrials takes no points.

    The history goes to the workers once, as a broadcast. Nothing is pruned: an evaluation does not know the others.
    Without `keep_workers` each evaluation starts a Python worker of its own, as it does in Hyperopt as it is.
    """
    for name in ("hyperopt", "hyperopt-spark"):
        logging.getLogger(name).setLevel(logging.ERROR)
    record = Record(replace(problem, max_evals=evaluations(problem.max_evals, parallelism)))
    record.try_first()
    left = record.problem.max_evals - len(record.trials)
    shared = session.sparkContext.broadcast(replace(problem, first=()))
    trials = SparkTrials(parallelism=parallelism, spark_session=Reading(session) if keep_workers else session)
    try:
        with suppress(AllTrialsFailed):  # each is on record with its reason
            fmin(
                _objective(shared),
                expressions(problem.space),
                algo=SUGGEST[algorithm],
                max_evals=left,
                max_queue_len=parallelism,  # else one suggestion a second
                trials=trials,
                rstate=np.random.default_rng(problem.seed),
                early_stop_fn=partial(no_gain, patience=problem.patience),
                show_progressbar=False,
                verbose=False,
            )
    finally:
        shared.destroy()
    for document in sorted(trials.trials, key=lambda d: int(d["tid"])):
        record.add(_trial(len(record.trials), problem.space, document))
    return record.trials


def _objective(shared: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def objective(sampled: dict[str, Any]) -> dict[str, Any]:
        problem = shared.value
        trial = evaluated(problem, 0, _parameters(problem.space, sampled))
        status = STATUS_FAIL if trial.loss is None else STATUS_OK
        return {"status": status, "loss": trial.loss, "reason": trial.reason}

    return objective


def _parameters(space: tuple[Parameter, ...], sampled: dict[str, Any]) -> Parameters:
    """What Hyperopt hands to an objective, as values of Python sorted by name."""
    values: Parameters = {}
    for p in sorted(space, key=lambda p: p.name):
        value = sampled[p.name] if p.expression == "choice" else float(sampled[p.name])
        values[p.name] = int(value) if p.name in INTEGERS or p.expression == "uniformint" else value
    return values


def _trial(number: int, space: tuple[Parameter, ...], document: dict[str, Any]) -> Trial:
    parameters = plain(space, {name: values[0] for name, values in document["misc"]["vals"].items()})
    result = document["result"]
    lost = str(document["misc"].get("error", "never evaluated"))  # an evaluation that Spark lost
    return Trial(number, parameters, result.get("loss"), result.get("reason", lost))


def no_gain(trials: Any, *_state: Any, patience: int | None) -> tuple[bool, list[Any]]:
    """Whether the last `patience` evaluations brought no gain. Hyperopt's own raises on trials without a loss."""
    losses = [d["result"].get("loss") for d in trials.trials if d["result"].get("status") in (STATUS_OK, STATUS_FAIL)]
    known = [np.inf if loss is None else loss for loss in losses]
    if patience is None or not known:
        return False, []
    return len(known) - 1 - int(np.argmin(known)) >= patience, []
