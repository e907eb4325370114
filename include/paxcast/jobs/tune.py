"""Tune: one batch of airports on Spark. Each airport's outcome is durable the moment it is finished."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paxcast.adapters import spark
from paxcast.adapters.spark import PackedHistory, Worker, WorkerResult
from paxcast.core import calendar, identity, outcome
from paxcast.core.choice import Promotion
from paxcast.core.columns import AIRPORT, DS, FLEET, Y
from paxcast.core.errors import BatchIncomplete, FutureDataRead
from paxcast.core.identity import history_checksum
from paxcast.core.manifest import Manifest, PlannedAirport
from paxcast.core.search import Search
from paxcast.core.tuning import TuningTask
from paxcast.jobs import fleet_models, histories, ledger, plan, progress, searches
from paxcast.jobs.histories import Reported
from paxcast.jobs.worker import AirportWorker
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("paxcast.tune")


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of one batch. `refitted` were done now, `kept` before."""

    batch: int
    refitted: list[str]
    kept: list[str]
    failed: list[dict[str, str]]


def tune_batch(
    session: "SparkSession | None", ws: Workspace, run_key: str, manifest_id: str, batch: int
) -> BatchReport:
    """Tune the airports of a batch that are not done, and add their outcomes to the ledger.

    In the mode `per_airport` Spark spreads the airports; in `spark_trials` it spreads each airport's evaluations, the
    airports one after another; in `local` (no session) all is done in this process, for looking into one airport.
    Raises BatchIncomplete after everything is on record if an airport ended `failed`: a retry refits only those.
    """
    manifest = plan.load(ws, run_key, manifest_id)
    ws = open_workspace(ws.settings.with_numbers(manifest.numbers))
    planned = manifest.of_batch(batch)
    done = ledger.finished(ws.objects, run_key)
    still_open = [a for a in planned if (a.airport, a.checksum) not in done]
    log.info("batch %02d: %d airports, %d already done", batch, len(planned), len(planned) - len(still_open))
    results = _tuned(session, ws, manifest, batch, still_open) if still_open else []
    ledger.settle(ws, manifest, batch)
    report = _report(batch, planned, still_open, results)
    counts = len(report.refitted), len(report.kept), len(report.failed)
    log.info("batch %02d: %d refitted, %d kept, %d failed", batch, *counts)
    if report.failed:
        first = report.failed[0]
        raise BatchIncomplete(
            f"{len(report.failed)} of {len(planned)} airports failed; the first, "
            f"{first['airport']}: {first['reason']}. The others are done: a retry refits only the failed"
        )
    return report


def _tuned(
    session: "SparkSession | None", ws: Workspace, manifest: Manifest, batch: int, still_open: Sequence[PlannedAirport]
) -> list[WorkerResult]:
    failures = ledger.attempts(ws.objects, manifest.run_key)
    worker = replace(
        planned_worker(ws, session, manifest, [a.airport for a in still_open], lambda: _fit(ws, manifest)),
        batch=batch,
        charts=ws.settings.mlflow.charts,
        attempts={a.airport: failures.get((a.airport, a.checksum), 0) + 1 for a in still_open},
    )
    planned = _packed(ws, manifest, still_open)
    wanted = {(a.airport, a.checksum) for a in still_open}
    watch = progress.Watch(ws.objects, manifest.run_key, f"batch {batch:02d}", wanted, failures)
    with progress.told(watch, progress.log_to(log)):
        return spread(ws, session, worker, planned)


def planned_worker(
    ws: Workspace,
    session: "SparkSession | None",
    manifest: Manifest,
    airports: Sequence[str],
    fit: Callable[[], Collection[str]],
) -> AirportWorker:
    """What tunes these airports as they were planned, with what the fleet's model forecasts of them. First attempts.

    fit: asks for the codes of all airports that the run found fit, whichever of them the manifest is about.
    """
    tasks = {airport: task(ws, manifest, airport) for airport in airports}

    def fleet() -> list[PackedHistory]:
        codes = set(fit())
        return [history for history in planned_histories(ws, manifest) if history.airport in codes]

    return replace(
        worker_of(ws, manifest.run_key, manifest.as_of, manifest.frequency, tasks, _all_of(tasks)),
        search=_search(session, ws),
        given=fleet_models.given(ws, session, manifest.run_key, manifest.frequency, tasks, fleet),
    )


def _all_of(tasks: dict[str, TuningTask]) -> dict[str, tuple[str, ...]]:
    return {airport: task.candidates for airport, task in tasks.items()}


def worker_of(
    ws: Workspace,
    run_key: str,
    as_of: str,
    frequency: str,
    tasks: dict[str, TuningTask],
    competing: dict[str, tuple[str, ...]],
) -> AirportWorker:
    """What tunes airports of a fleet, each by its task, and keeps the outcomes under a run key. First attempts.

    competing: by airport, those of its task's candidates that may be published; the others are there to compare with.
    """
    return AirportWorker(
        store_root=ws.settings.store_root,
        run_key=run_key,
        fleet=ws.fleet,
        as_of=as_of,
        batch=0,
        frequency=frequency,
        rules={airport: ws.settings.rules(airport) for airport in tasks},
        competing=competing,
        search=searches.by_name(ws.settings.search.algorithm),
        memory_mb=ws.settings.spark.worker_memory_mb,
        tasks=tasks,
        attempts=dict.fromkeys(tasks, 1),
    )


def spread(
    ws: Workspace, session: "SparkSession | None", worker: Worker, packed: Sequence[PackedHistory]
) -> list[WorkerResult]:
    """Tune airports where the fleet's mode says: on Spark's workers, or one after another in this process."""
    if not packed:
        return []
    if ws.settings.search.mode != "per_airport" or session is None:
        return [worker(history) for history in packed]
    seconds = ws.settings.search.seconds_per_airport
    return spark.fan_out(session, packed, worker, ws.settings.spark.partitions, seconds)


def needs_spark(ws: Workspace) -> bool:
    """Whether a fleet's batches are tuned with a Spark session. In the mode `local` they are tuned in this process."""
    return ws.settings.search.mode != "local"


def _search(session: "SparkSession | None", ws: Workspace) -> Search:
    """What each airport is searched with: in the mode `spark_trials` on Spark, from this process, else where it is."""
    wanted = ws.settings.search
    if wanted.mode != "spark_trials":
        return searches.by_name(wanted.algorithm)
    from paxcast.adapters.hyperopt_search.spark_trials import searching

    return searching(session, wanted.algorithm, wanted.parallelism)


def task(ws: Workspace, manifest: Manifest, airport: str) -> TuningTask:
    """What is to be done for one airport, from the manifest alone. On a fallback after drift its simple method competes
    alone, unless a person has pinned one."""
    seed = identity.seed(airport, manifest.fleet, calendar.parse_as_of(manifest.as_of), manifest.config_hash)
    made = overridden(ws.settings, airport, task_of(ws.settings, ws.settings.candidates, manifest.horizon, seed))
    fallback = manifest.pinned(airport)
    if fallback is not None and not made.pinned:  # a person who pins another method has looked at the airport
        made = replace(made, candidates=(fallback,), pinned=True, pinned_by="a drift check pins")
    champions, waiting = manifest.champions(airport), manifest.waiting(airport)
    return replace(made, champions=champions, waiting=waiting, first=manifest.warm_starts())


def overridden(settings: Settings, airport: str, task: TuningTask) -> TuningTask:
    """The task with what the configuration says of this airport alone: a pinned method, stated parameters."""
    own = settings.overrides.get(airport)
    if own is None:
        return task
    space = {p.name: p for p in (*task.space, *own.fixed())}
    candidates = (own.method,) if own.method else task.candidates
    ordered = tuple(space[name] for name in sorted(space))
    return replace(task, candidates=candidates, space=ordered, pinned=own.method is not None)


def task_of(settings: Settings, candidates: Sequence[str], horizon: int, seed: int) -> TuningTask:
    """What a fleet's configuration asks for, with no memory of earlier runs."""
    return TuningTask(
        horizon=horizon,
        candidates=tuple(candidates),
        space=settings.search.parameters(),
        max_evals=settings.search.max_evals,
        patience=settings.search.patience,
        prune=settings.search.prune,
        seconds=settings.search.seconds_per_airport,
        recent_folds=settings.folds.recent,
        earlier_year_folds=settings.folds.earlier_years,
        promotion=Promotion(settings.promotion.margin, settings.promotion.shadow_cycles),
        seed=seed,
    )


def packed(rows: pd.DataFrame, reported: Reported | None = None) -> list[PackedHistory]:
    """Histories as Spark takes them, in the order of their airports. rows: airport, ds, y.

    reported: see `histories.reported`. A history that ends earlier gets one row more, no traffic in the last reported
    period; those in between are absent, and treatment declares them zero. The checksum is that of its own rows.
    """
    return [_one(str(airport), group, reported) for airport, group in rows.groupby(AIRPORT, sort=True)]


def periods(history: PackedHistory, code: str, absent: str) -> int:
    """How many periods of a history have a value: where absent means zero, all from its first to its last."""
    numbers = calendar.period_number(pd.Series(history.days.astype("datetime64[D]").astype("datetime64[ns]")), code)
    return int(np.ptp(numbers)) + 1 if absent == "zero" else len(np.unique(numbers))


def planned_histories(
    ws: Workspace, manifest: Manifest, airports: Collection[str] | None = None
) -> list[PackedHistory]:
    """The histories that were known at a manifest's as_of, in its version of the store: all airports', or some."""
    as_of = calendar.parse_as_of(manifest.as_of)
    rows = histories.known_rows(ws, as_of, manifest.data_version, airports)
    return packed(rows, histories.reported(ws, as_of, manifest.frequency, manifest.data_version))


def _packed(ws: Workspace, manifest: Manifest, still_open: Sequence[PlannedAirport]) -> list[PackedHistory]:
    """The histories as they were planned. Raises FutureDataRead if the store now says something else."""
    wanted = {a.airport: a.checksum for a in still_open}
    found = planned_histories(ws, manifest, wanted)
    for history in found:
        if history.checksum != wanted[history.airport]:
            raise FutureDataRead(
                f"{history.airport}: its history at version {manifest.data_version} of the store has checksum "
                f"{history.checksum}, and {wanted[history.airport]} was planned. The store was rewritten: plan the run "
                "again with --force"
            )
    return found


def _fit(ws: Workspace, manifest: Manifest) -> set[str]:
    """Every airport that the run found fit, whichever of them this manifest is about."""
    of_run = [(FLEET, "=", ws.fleet), ("run_key", "=", manifest.run_key)]
    judged = ws.tables.read("quality", of_run, [AIRPORT, "quarantined"])
    return set(judged.loc[~judged["quarantined"].astype(bool), AIRPORT])


def _one(airport: str, group: pd.DataFrame, reported: Reported | None) -> PackedHistory:
    ds, y = pd.DatetimeIndex(group[DS]), group[Y].to_numpy(dtype=np.float64)
    if reported is not None:
        empty = reported.after(ds.max())
        ds, y = pd.DatetimeIndex(ds.append(empty)), np.append(y, np.zeros(len(empty)))
    days = ds.to_numpy().astype("datetime64[D]").astype(np.int64)
    return PackedHistory(airport, history_checksum(group), days, y)


def _report(
    batch: int, planned: Sequence[PlannedAirport], still_open: Sequence[PlannedAirport], results: Sequence[WorkerResult]
) -> BatchReport:
    were_open = {a.airport for a in still_open}
    return BatchReport(
        batch,
        [r.airport for r in results if r.status == outcome.OK],
        [a.airport for a in planned if a.airport not in were_open],
        [{"airport": r.airport, "reason": r.reason} for r in results if r.status == outcome.FAILED],
    )
