"""Airports in parallel on Spark: how they are laid out, and what Spark costs against a plain pool of processes.

The parts `layout` and `efficiency` of search_modes.py. Each airport is tuned by `tuning.tune`, without a store: the
ledger's writes are the same in every mode. Three folds, no pruning, every evaluation in full.
"""

import argparse
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import fleets
import numpy as np
import pandas as pd
import trials_on_spark
from processes import Watch
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from trials_on_spark import say, table

from paxcast.adapters import hyperopt_search, spark
from paxcast.adapters.spark import PackedHistory, WorkerResult
from paxcast.core import calendar, prophet_map, tuning
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.choice import Promotion
from paxcast.core.series import Series
from paxcast.core.tuning import TuningTask
from paxcast.sections import SearchSettings

FOLDS, TARGET = 3, 0.9
WARM_UP = 4  # airports for each process
COALESCE = "spark.sql.adaptive.coalescePartitions.enabled"

Run = Callable[[Sequence[PackedHistory]], list[WorkerResult]]


@dataclass(frozen=True)
class Tune:
    """What is done with an airport wherever it is done. The result's reason is the Spark task that it was done in."""

    task: TuningTask
    frequency: str

    def __call__(self, history: PackedHistory) -> WorkerResult:
        begin = time.monotonic()
        prophet_map.warm()
        ds = history.days.astype("datetime64[D]").astype("datetime64[ns]")
        series = Series(history.airport, self.frequency, ds, history.values)
        tuning.tune(series, self.task, CANDIDATES, hyperopt_search.search)
        context = TaskContext.get()
        task = "" if context is None else str(context.partitionId())
        return WorkerResult(history.airport, "ok", task, time.monotonic() - begin)


def real(count: int) -> list[Series]:
    """Up to `count` real airports."""
    return fleets.dgac(count) or fleets.nycflights(count)


def packed(count: int, seed: int = 1) -> list[PackedHistory]:
    """As many airports as asked for: the real ones in turn, each copy with 2 % of noise of its own."""
    rng, originals, found = np.random.default_rng(seed), real(count), []
    for at in range(count):
        series = originals[at % len(originals)]
        noise = rng.lognormal(0, 0.02, len(series.y)) if at >= len(originals) else 1.0
        days = series.ds.astype("datetime64[D]").astype(np.int64)
        found.append(PackedHistory(f"{series.airport}-{at:04d}", "", days, np.round(series.y * noise)))
    return found


def worker_of(evaluations: int) -> Tune:
    """Prophet's default space, three folds one after another (a monthly year has only two otherwise), no pruning."""
    frequency = real(1)[0].frequency
    task = TuningTask(
        horizon=calendar.frequency(frequency).horizon,
        candidates=("seasonal_naive", "prophet"),
        space=SearchSettings().parameters(),
        max_evals=evaluations,
        seconds=300.0,
        recent_folds=FOLDS,
        earlier_year_folds=0,
        promotion=Promotion(0.02),
        seed=1,
    )
    return Tune(task, frequency)


def fanned(live: SparkSession, histories: Sequence[PackedHistory], tune: Tune, partitions: int) -> list[WorkerResult]:
    """The project's mode per_airport."""
    return spark.fan_out(live, histories, tune, partitions, tune.task.seconds)


def layout(asked: argparse.Namespace) -> dict[str, Any]:
    """The same airports and the same work: packed rows dealt out by number, against groups of rows."""
    histories, tune = packed(asked.layout_airports), worker_of(asked.layout_evaluations)
    runs: dict[str, Callable[..., list[WorkerResult]]] = {
        "packed": partial(fanned, tune=tune, partitions=asked.tasks),
        "grouped, repartitioned": partial(_grouped, tune=tune, tasks=asked.tasks),
        "grouped, as it comes": partial(_grouped, tune=tune, tasks=None),
    }
    with trials_on_spark.session(f"local[{asked.cores}]") as live:
        rows = {name: _laid_out(partial(run, live), histories, asked.cores) for name, run in runs.items()}
    say(table(rows), *(_compared(name, row, rows["packed"]) for name, row in rows.items() if name != "packed"))
    return {"airports": len(histories), "evaluations": asked.layout_evaluations, "runs": rows}


def _compared(name: str, row: dict[str, Any], packed_row: dict[str, Any]) -> str:
    return (
        f"{name}: {row['wall'] / packed_row['wall']:.2f} times as long as packed; {row['tasks']} tasks had airports, "
        f"the fullest {row['fullest']} of them (packed: {packed_row['tasks']} and {packed_row['fullest']})."
    )


def _laid_out(run: Run, histories: Sequence[PackedHistory], processes: int) -> dict[str, Any]:
    """A layout, its plan compiled and its workers started before."""
    run(histories[: WARM_UP * processes])
    row, results = _busy(run, histories, processes)
    airports = Counter(result.reason for result in results)
    return {**row, "tasks": len(airports), "fullest": max(airports.values())}


def _grouped(
    live: SparkSession, histories: Sequence[PackedHistory], tune: Tune, tasks: int | None
) -> list[WorkerResult]:
    """applyInPandas on one row an observation: repartitioned into so many tasks, or as Spark does it by itself."""
    live.conf.set(COALESCE, "false" if tasks else "true")
    rows = _observations(live, histories)
    groups = (rows.repartition(tasks, "airport") if tasks else rows).groupBy("airport")

    def each(group: pd.DataFrame) -> pd.DataFrame:
        days, values = group["day"].to_numpy(np.int64), group["value"].to_numpy(np.float64)
        result = tune(PackedHistory(str(group["airport"].iloc[0]), "", days, values))
        return pd.DataFrame([[result.airport, result.status, result.reason, result.seconds]])

    return [WorkerResult(*row) for row in groups.applyInPandas(each, spark.RESULT_SCHEMA).collect()]


def _observations(live: SparkSession, histories: Sequence[PackedHistory]) -> DataFrame:
    frames = [pd.DataFrame({"airport": h.airport, "day": h.days, "value": h.values}) for h in histories]
    return live.createDataFrame(pd.concat(frames, ignore_index=True))


def efficiency(asked: argparse.Namespace) -> dict[str, Any]:
    """Rounds of a pool and of Spark in turn, each with the same chunks of airports in as many processes."""
    histories, tune = packed(asked.airports), worker_of(asked.airport_evaluations)
    begin = time.monotonic()
    started = multiprocessing.get_context("spawn").Pool(asked.cores, prophet_map.warm)
    with trials_on_spark.session(f"local[{asked.cores}]") as live, started as pool:
        runs: dict[str, Run] = {
            "pool": partial(_pooled, pool, tune, asked.tasks),
            "spark": partial(fanned, live, tune=tune, partitions=asked.tasks),
        }
        for run in runs.values():
            run(histories[: WARM_UP * asked.cores])
        start_up = time.monotonic() - begin
        turns = [name for at in range(asked.rounds) for name in (list(runs), list(runs)[::-1])[at % 2]]
        rows = [{"by": name, **_busy(runs[name], histories, asked.cores)[0]} for name in turns]
        idle = partial(spark.fan_out, live, worker=_nothing, partitions=asked.tasks, seconds_per_airport=1.0)
        rows.append({"by": "spark, nothing to do", **_busy(idle, histories, asked.cores)[0]})
    return _efficiency(rows, len(histories), asked.tasks, start_up)


def _nothing(history: PackedHistory) -> WorkerResult:
    return WorkerResult(history.airport, "ok", "", 0.0)


def _pooled(pool: Any, tune: Tune, tasks: int, histories: Sequence[PackedHistory]) -> list[WorkerResult]:
    """A plain pool, its airports handed out in as many chunks as Spark has tasks, the same ones."""
    chunks = [histories[at::tasks] for at in range(min(tasks, len(histories)))]
    return [result for done in pool.map(partial(_chunk, tune), chunks, chunksize=1) for result in done]


def _chunk(tune: Tune, histories: Sequence[PackedHistory]) -> list[WorkerResult]:
    return [tune(history) for history in histories]


def _busy(run: Run, histories: Sequence[PackedHistory], processes: int) -> tuple[dict[str, Any], list[WorkerResult]]:
    """A run, and the share of its processes' time in which they were at an airport."""
    with Watch() as watch:
        results = run(histories)
    share = sum(result.seconds for result in results) / processes / watch.wall
    return {**watch.as_row(), "share_in_airports": round(share, 3)}, results


def _efficiency(rows: list[dict[str, Any]], airports: int, tasks: int, start_up: float) -> dict[str, Any]:
    wall = {name: sum(row["wall"] for row in rows if row["by"] == name) for name in ("pool", "spark")}
    found, idle = wall["pool"] / wall["spark"], rows[-1]
    say(
        table(rows),
        f"Spark does {found:.1%} of what a plain pool does in the same time ({airports} airports, {len(rows) // 2} "
        f"rounds each); the target of {TARGET:.0%} is {'reached' if found >= TARGET else 'missed'}. Starting both and "
        f"warming them up, {start_up:.0f} s, is not in it. Dealing the airports out to {tasks} tasks that do nothing "
        f"takes Spark {idle['wall']:.1f} s, {idle['cpu']:.1f} s of CPU.",
    )
    return {"airports": airports, "runs": rows, "efficiency": round(found, 4), "start_up_seconds": round(start_up, 1)}
