"""Serial search, airports in parallel, evaluations in parallel (SparkTrials): seconds, and where they go.

The part `modes` of search_modes.py. What SparkTrials costs is measured twice: counted while it runs as it is, and as
the seconds gained when a cause is switched off:

    polls     `fmin` and its dispatcher each look once a second; off: fifty times a second
    workers   a new Python process for each evaluation, though spark.python.worker.reuse is on: a task that leaves its
              input unread, as SparkTrials' does, ends its worker (SPARK-26549); off: the input is read
"""

import json
import logging
import statistics
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hyperopt import SparkTrials, Trials, fmin, hp
from hyperopt.exceptions import AllTrialsFailed
from processes import Told, Watch, of_workers
from pyspark.sql import SparkSession

from paxcast.adapters import spark
from paxcast.adapters.hyperopt_search import spark_trials
from paxcast.adapters.hyperopt_search.spark_trials import Reading
from paxcast.core import prophet_map, tuning
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.search import Search, SearchProblem, Trial
from paxcast.core.series import Series
from paxcast.core.tuning import TuningTask

HERE = Path(__file__).resolve().parent
SHORT_POLL = 0.02
JOBS = 10
Switches = tuple[float | None, bool]  # seconds of a poll (None: as it is), workers are kept

AS_IT_IS, MENDED = "as it is", "both off"
SWITCHES: dict[str, Switches] = {
    AS_IT_IS: (None, False),
    "polls off": (SHORT_POLL, False),
    "new workers off": (None, True),
    MENDED: (SHORT_POLL, True),
}


@contextmanager
def session(master: str, extra: dict[str, str] | None = None, without: Sequence[str] = ()) -> Iterator[SparkSession]:
    """A session with the project's settings but some, whose workers find these files; one at a time."""
    for name in ("hyperopt", "hyperopt-spark"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Spark session is not provided")
    conf = spark.session_conf(master, {"spark.executorEnv.PYTHONPATH": str(HERE)})
    live = spark.open_session({name: value for name, value in conf.items() if name not in without} | (extra or {}))
    try:
        yield live
    finally:
        live.stop()


@contextmanager
def polls(shorter: float | None = None) -> Iterator[Counter[str]]:
    """How often this process slept for a second or more, by who did: fmin's loop or the dispatcher's thread.

    `shorter`: they sleep for so many seconds instead.
    """
    counted, sleep = Counter[str](), time.sleep

    def counting(seconds: float) -> None:
        if seconds >= 1:
            counted["fmin" if threading.current_thread() is threading.main_thread() else "dispatcher"] += 1
            seconds = seconds if shorter is None else shorter
        sleep(seconds)

    time.sleep = counting
    try:
        yield counted
    finally:
        time.sleep = sleep


def in_order(new_ids: list[int], domain: Any, trials: Any, _seed: int) -> list[dict[str, Any]]:
    """An algorithm for fmin that suggests 0, 1, 2, ...: every run evaluates the same points."""
    docs = []
    for at in new_ids:
        misc = {"tid": at, "cmd": domain.cmd, "workdir": domain.workdir, "idxs": {"at": [at]}, "vals": {"at": [at]}}
        docs += trials.new_trial_docs([at], [None], [domain.new_result()], [misc])
    return docs


def run_in_order(
    objective: Callable[[dict[str, int]], Any], count: int, trials: Trials, queue: int = 1, limit: float | None = None
) -> float:
    """Wall seconds of fmin with an objective that gets {"at": 0}, {"at": 1}, ...; it gives up after `limit` seconds."""
    begin = time.monotonic()
    quiet: dict[str, Any] = {
        "return_argmin": False,
        "show_progressbar": False,
        "verbose": False,
        "rstate": np.random.default_rng(1),
    }
    with suppress(AllTrialsFailed):  # none ended within the limit
        fmin(
            objective,
            {"at": hp.randint("at", count)},
            in_order,
            count,
            timeout=limit,
            max_queue_len=queue,
            trials=trials,
            **quiet,
        )
    return time.monotonic() - begin


def job_seconds(live: SparkSession, kept: bool) -> float:
    """Of the jobs that SparkTrials starts, with nothing to evaluate: the median, in a new worker or in a kept one."""
    took, context = [], (Reading(live) if kept else live).sparkContext
    for _ in range(JOBS):
        begin = time.monotonic()
        context.parallelize([0], 1).mapPartitions(lambda _: iter([0])).collect()
        took.append(time.monotonic() - begin)
    return round(statistics.median(took), 4)


def tuned(airports: Sequence[Series], task: TuningTask, look: Search) -> int:
    """Tune airport after airport; how many evaluations that took."""
    return sum(len(tuning.tune(series, task, CANDIDATES, look).trials) for series in airports)


def evaluations_in_parallel(
    live: SparkSession,
    airports: Sequence[Series],
    task: TuningTask,
    parallelism: int,
    switches: Switches,
) -> dict[str, Any]:
    """The project's mode spark_trials, with the same number of evaluations as the others, watched."""
    shorter, kept = switches
    fewer = replace(task, max_evals=task.max_evals - spark_trials.evaluations(0, parallelism))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "evaluations"

        def look(problem: SearchProblem) -> list[Trial]:
            told = replace(problem, objective=Told(problem.objective, str(file), prophet_map.warm))
            return spark_trials.search(told, session=live, algorithm="tpe", parallelism=parallelism, keep_workers=kept)

        with polls(shorter) as slept, Watch() as watch:
            count = tuned(airports, fewer, look)
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    row = {"airports": len(airports), "evaluations": count, **watch.as_row()}
    seconds = {f: round(sum(line[f] for line in lines), 3) for f in ("load", "seconds")}
    return {**row, **of_workers(lines), **seconds, "polls": dict(slept)}


def where_it_goes(row: dict[str, Any], job: float, parallelism: int) -> dict[str, float]:
    """The wall seconds of a run by cause. What evaluations do side by side counts once; the rest is waiting, for polls
    above all."""
    busy = {
        "workers starting and importing": row["workers"] * row["worker_start"],
        "workers loading the engine": row["load"],
        "evaluating": row["seconds"],
        "Spark jobs": row["evaluations"] * job,
    }
    shares = {cause: round(seconds / parallelism, 3) for cause, seconds in busy.items()}
    return {**shares, "waiting": round(row["wall"] - sum(shares.values()), 3)}


def by_switch(master: str, airports: Sequence[Series], task: TuningTask, parallelism: int) -> dict[str, Any]:
    """spark_trials as it is and with its causes switched off, each in a new session, with no worker yet."""
    rows = {}
    for name, switches in SWITCHES.items():
        with session(master) as live:
            job_seconds(live, kept=False)
            rows[name] = evaluations_in_parallel(live, airports, task, parallelism, switches)
            jobs = {"in_a_new_worker": job_seconds(live, kept=False), "in_a_kept_worker": job_seconds(live, kept=True)}
    first = rows[AS_IT_IS]
    gained = {name: round(first["wall"] - row["wall"], 3) for name, row in rows.items() if row is not first}
    goes = where_it_goes(first, jobs["in_a_kept_worker"], parallelism)
    return {"runs": rows, "job_seconds": jobs, "seconds_gained": gained, "where_it_goes": goes}


def by_length(live: SparkSession, lengths: Sequence[float], count: int, parallelism: int) -> list[dict[str, float]]:
    """Wall seconds per evaluation, by the length of an evaluation that only sleeps: serial, SparkTrials, and mended.

    The mended one is measured first, with its workers there before: as it is, SparkTrials ends those that it uses.
    """
    _slept(live, 0.0, count, parallelism, SWITCHES[MENDED])
    mended, as_it_is = (
        [_slept(live, length, count, parallelism, SWITCHES[name]) for length in lengths] for name in (MENDED, AS_IT_IS)
    )
    serial = [run_in_order(_sleeping(length), count, Trials()) / count for length in lengths]
    columns = zip(lengths, serial, as_it_is, mended, strict=True)
    return [dict(zip(("length", "serial", AS_IT_IS, MENDED), row, strict=True)) for row in columns]


def _slept(live: SparkSession, length: float, count: int, parallelism: int, switches: Switches) -> float:
    trials = SparkTrials(parallelism=parallelism, spark_session=Reading(live) if switches[1] else live)
    with polls(switches[0]):
        return run_in_order(_sleeping(length), count, trials, queue=parallelism) / count


def _sleeping(seconds: float) -> Callable[[dict[str, int]], dict[str, Any]]:
    def objective(_point: dict[str, int]) -> dict[str, Any]:
        time.sleep(seconds)
        return {"status": "ok", "loss": 0.0}

    return objective


def break_even(rows: Sequence[dict[str, float]], mode: str) -> float | None:
    """The length of an evaluation from which a mode is faster than serial, on straight lines between those measured.

    None if it is not at the longest of them; 0 if it is at all.
    """
    lead = [(row["length"], row["serial"] - row[mode]) for row in rows]
    pairs = zip([(0.0, -np.inf), *lead], lead, strict=False)
    crossed = [(one, other) for one, other in pairs if one[1] <= 0 < other[1]]
    if not crossed or lead[-1][1] <= 0:
        return None
    (low, behind), (high, ahead) = crossed[-1]
    return round(low + (high - low) * (1.0 if np.isinf(behind) else behind / (behind - ahead)), 2)


def table(rows: dict[str, dict[str, Any]] | list[dict[str, Any]]) -> str:
    """Rows as a plain table."""
    frame = pd.DataFrame.from_dict(rows, orient="index") if isinstance(rows, dict) else pd.DataFrame(rows)
    return frame.round(3).to_string(index=isinstance(rows, dict), na_rep="-")


def say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()
