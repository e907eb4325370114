"""Tune: one batch of airports on Spark. Each airport's outcome is durable the moment it is finished."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paxcast.adapters import hyperopt_search, spark
from paxcast.adapters.deadline import deadline
from paxcast.adapters.object_store import ObjectStore
from paxcast.adapters.spark import PackedHistory, WorkerResult
from paxcast.core import calendar, identity, outcome, tuning
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.errors import AirportTimeout, BatchIncomplete, FutureDataRead
from paxcast.core.identity import history_checksum
from paxcast.core.manifest import Manifest, PlannedAirport
from paxcast.core.outcome import Outcome
from paxcast.core.series import Series, regular
from paxcast.core.tuning import TuningTask
from paxcast.jobs import histories, ledger, plan
from paxcast.jobs.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("paxcast.tune")
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What became of one batch. `refitted` were done now, `kept` before."""

    batch: int
    refitted: list[str]
    kept: list[str]
    failed: list[dict[str, str]]


def tune_batch(session: "SparkSession", ws: Workspace, run_key: str, manifest_id: str, batch: int) -> BatchReport:
    """Tune the airports of a batch that are not done, and add their outcomes to the ledger.

    Raises BatchIncomplete after everything is on record if an airport ended `failed`: a retry refits only those.
    """
    manifest = plan.load(ws, run_key, manifest_id)
    ws = open_workspace(ws.settings.with_numbers(manifest.numbers))
    planned = plan.planned_airports(manifest, batch)
    done = ledger.finished(ws.objects, run_key)
    still_open = [a for a in planned if (a.airport, a.checksum) not in done]
    log.info("batch %02d: %d airports, %d already done", batch, len(planned), len(planned) - len(still_open))
    results = _tuned(session, ws, manifest, batch, still_open) if still_open else []
    ledger.compact(ws, _outcomes(ws, run_key, planned, results))
    report = _report(batch, planned, still_open, results)
    counts = len(report.refitted), len(report.kept), len(report.failed)
    log.info("batch %02d: %d refitted, %d kept, %d failed", batch, *counts)
    if report.failed:
        first = report.failed[0]
        raise BatchIncomplete(
            f"batch {batch:02d}: {len(report.failed)} of {len(planned)} airports failed; the first, "
            f"{first['airport']}: {first['reason']}. The others are done: a retry refits only the failed"
        )
    return report


def _tuned(
    session: "SparkSession", ws: Workspace, manifest: Manifest, batch: int, still_open: Sequence[PlannedAirport]
) -> list[WorkerResult]:
    failures = ledger.attempts(ws.objects, manifest.run_key)
    worker = AirportWorker(
        store_root=ws.settings.store_root,
        run_key=manifest.run_key,
        fleet=manifest.fleet,
        as_of=manifest.as_of,
        batch=batch,
        frequency=manifest.frequency,
        absent=ws.settings.source.absent,
        algorithm=ws.settings.search.algorithm,
        tasks={a.airport: task(ws, manifest, a.airport) for a in still_open},
        attempts={a.airport: failures.get((a.airport, a.checksum), 0) + 1 for a in still_open},
    )
    packed = _packed(ws, manifest, still_open)
    with _progress(ws.objects, manifest.run_key, batch, still_open):
        return spark.fan_out(session, packed, worker, ws.settings.spark.partitions)


def task(ws: Workspace, manifest: Manifest, airport: str) -> TuningTask:
    """What is to be done for one airport, from the manifest alone."""
    settings = ws.settings
    return TuningTask(
        horizon=manifest.horizon,
        candidates=settings.candidates,
        space=settings.search.parameters(),
        max_evals=settings.search.max_evals,
        seconds=settings.search.seconds_per_airport,
        recent_folds=settings.folds.recent,
        earlier_year_folds=settings.folds.earlier_years,
        margin=settings.promotion.margin,
        seed=identity.seed(airport, manifest.fleet, calendar.parse_as_of(manifest.as_of), manifest.config_hash),
        champion=manifest.champion(airport),
    )


def _packed(ws: Workspace, manifest: Manifest, still_open: Sequence[PlannedAirport]) -> list[PackedHistory]:
    """The histories as they were planned. Raises FutureDataRead if the store now says something else."""
    as_of = calendar.parse_as_of(manifest.as_of)
    wanted = {a.airport: a.checksum for a in still_open}
    rows = histories.known_rows(ws, as_of, manifest.data_version, wanted)
    packed = []
    for airport, group in rows.groupby(AIRPORT, sort=True):
        checksum = history_checksum(group)
        if checksum != wanted[str(airport)]:
            raise FutureDataRead(
                f"{airport}: its history at version {manifest.data_version} of the store has checksum {checksum}, and "
                f"{wanted[str(airport)]} was planned. The store was rewritten: plan the run again with --force"
            )
        days = group[DS].to_numpy().astype("datetime64[D]").astype(np.int64)
        packed.append(PackedHistory(str(airport), checksum, days, group[Y].to_numpy(dtype=np.float64)))
    return packed


@dataclass(frozen=True, slots=True, kw_only=True)
class AirportWorker:
    """What runs on a Spark worker for each airport: tune, write the outcome, never raise. Picklable."""

    store_root: str
    run_key: str
    fleet: str
    as_of: str
    batch: int
    frequency: str
    absent: str
    algorithm: str
    tasks: dict[str, TuningTask]
    attempts: dict[str, int]

    def __call__(self, history: PackedHistory) -> WorkerResult:
        objects = ObjectStore(self.store_root)
        before = ledger.load(objects, self.run_key, history.airport, history.checksum)
        if before is not None:  # a task that Spark runs again after a lost worker
            return WorkerResult(history.airport, before.status, before.reason, before.seconds)
        started = time.monotonic()
        values, model = self._attempt(history)
        result = self._outcome(history, time.monotonic() - started, values)
        ledger.record(objects, result, model)
        return WorkerResult(history.airport, result.status, result.reason, result.seconds)

    def _attempt(self, history: PackedHistory) -> tuple[dict[str, Any], str | None]:
        """The outcome's fields and the model's text; a failure of any kind is a `failed` outcome with its reason."""
        try:
            with deadline(self.tasks[history.airport].seconds, "tuning"):
                series = _series(history, self.frequency, self.absent)
                search = partial(hyperopt_search.search, algorithm=self.algorithm)
                tuned = tuning.tune(series, self.tasks[history.airport], CANDIDATES, search)
                return outcome.tuned_values(series, tuned), tuned.fitted.to_json()
        except AirportTimeout as err:
            return {"status": outcome.FAILED, "reason": str(err)}, None
        except Exception as err:  # noqa: BLE001 - one airport must not end the batch: it becomes a counted row, retried
            return {"status": outcome.FAILED, "reason": f"{type(err).__name__}: {err}"}, None

    def _outcome(self, history: PackedHistory, seconds: float, values: dict[str, Any]) -> Outcome:
        return Outcome(
            run_key=self.run_key,
            fleet=self.fleet,
            airport=history.airport,
            as_of=self.as_of,
            checksum=history.checksum,
            batch=self.batch,
            seed=self.tasks[history.airport].seed,
            attempt=self.attempts[history.airport],
            seconds=round(seconds, 3),
            **values,
        )


def _series(history: PackedHistory, frequency: str, absent: str) -> Series:
    dates = pd.DatetimeIndex(history.days.astype("datetime64[D]").astype("datetime64[ns]"))
    return regular(history.airport, pd.DataFrame({DS: dates, Y: history.values}), frequency, absent)


def _outcomes(
    ws: Workspace, run_key: str, planned: Sequence[PlannedAirport], results: Sequence[WorkerResult]
) -> Iterator[Outcome]:
    """Every outcome of the batch that is on record: finished ones, and the newest failure of the others."""
    failed = {r.airport for r in results if r.status == outcome.FAILED}
    failures = ledger.attempts(ws.objects, run_key) if failed else {}
    for a in planned:
        found = ledger.load(ws.objects, run_key, a.airport, a.checksum)
        if found is None and a.airport in failed:
            attempt = failures[a.airport, a.checksum]
            found = ledger.load_failed(ws.objects, run_key, a.airport, a.checksum, attempt)
        if found is not None:
            yield found


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


@contextmanager
def _progress(objects: ObjectStore, run_key: str, batch: int, still_open: Sequence[PlannedAirport]) -> Iterator[None]:
    """A log line now and then while Spark works: how many of the batch are done, and about how long is left."""
    wanted = {(a.airport, a.checksum) for a in still_open}
    stop = Event()

    def watch() -> None:
        told, first = 0, None
        while not stop.wait(PROGRESS_SECONDS):
            done = len(ledger.finished(objects, run_key) & wanted)
            if done - told < max(1, len(wanted) // 20):
                continue
            now = time.monotonic()
            first = first or (done, now)  # the rate is measured from here on: workers take a while to start
            left = (now - first[1]) / (done - first[0]) * (len(wanted) - done) if done > first[0] else None
            log.info("batch %02d: %d of %d airports done%s", batch, done, len(wanted), _about(left))
            told = done

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f", about {seconds:.0f} s left"
