"""The whole line without Airflow: validate, plan, tune and register each batch, promote, forecast, report."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from paxcast.adapters import spark
from paxcast.core import calendar
from paxcast.core.errors import BatchIncomplete, InfrastructureError, TooManyFailed
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import FAILED, OK
from paxcast.jobs import approval, forecast, lease, ledger, plan, promote, register, releases, report, tune, validate
from paxcast.jobs.run import Request, Run, open_run
from paxcast.jobs.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("paxcast")


def retrain(ws: Workspace, request: Request, now: pd.Timestamp) -> dict[str, Any]:
    """Run the line for a request; what became of each airport, as the command line's JSON.

    The same steps as the DAG, one batch after another in one Spark session. An airport that fails is in `failed`; the
    others are released all the same. Where drift asked for nobody nothing is done, and `nothing` says so.
    """
    run = open_run(ws, request)
    if request.drifted and not plan.drifted(run):
        return _nothing(run)
    if request.dry_run:
        return _planned_only(ws, plan.plan(run, validate.validate(run)).manifest)
    with lease.held_by_this_process(ws, lease.of_date(request.as_of), request.request_id, run.run_key):
        return _line(run, now)


def _line(run: Run, now: pd.Timestamp) -> dict[str, Any]:
    ws = run.ws
    manifest = plan.plan(run, validate.validate(run)).manifest
    before = ledger.finished(ws.objects, run.run_key)
    _tune_and_register(ws, manifest, before)
    released = promote.promote(ws, run.run_key, manifest.manifest_id, now, run.request.backfill)
    forecast.publish(ws, released.release_id)
    page = report.write(ws, run.run_key, manifest.manifest_id)
    try:
        report.report(ws, run.run_key, page)
    except TooManyFailed as err:
        log.warning("%s", err)  # the DAG's run is red for it; here the result and the exit code say so
    result = _result(ws, manifest, before, released.release_id)
    asked = approval.question(ws, released)
    return result if asked is None else {**result, "waits": str(asked)}


def _tune_and_register(ws: Workspace, manifest: Manifest, before: ledger.Done) -> None:
    batches = manifest.batches()
    still_open = [i for i, b in enumerate(batches) if any((a.airport, a.checksum) not in before for a in b)]
    if still_open:
        with session_of(ws) as session:
            for index in still_open:
                try:
                    tune.tune_batch(session, ws, manifest.run_key, manifest.manifest_id, index)
                except (BatchIncomplete, InfrastructureError) as err:
                    log.warning("batch %02d: %s", index, err)  # every failure is in the ledger, and in the result
    for index in range(len(batches)):
        register.register_batch(ws, manifest.run_key, manifest.manifest_id, index)


@contextmanager
def session_of(ws: Workspace) -> "Iterator[SparkSession | None]":
    if not tune.needs_spark(ws):
        yield None
        return
    settings = ws.settings.spark
    with spark.open_session(spark.session_conf(settings.master, settings.conf)) as session:
        yield session


def _planned_only(ws: Workspace, manifest: Manifest) -> dict[str, Any]:
    done = ledger.finished(ws.objects, manifest.run_key)
    return {
        "run_key": manifest.run_key,
        "as_of": manifest.as_of,
        "dry_run": True,
        "planned": [a.airport for a in manifest.airports],
        "would_refit": [a.airport for a in manifest.airports if (a.airport, a.checksum) not in done],
        "already_done": [a.airport for a in manifest.airports if (a.airport, a.checksum) in done],
        "quarantined": list(manifest.quarantined),
    }


def _nothing(run: Run) -> dict[str, Any]:
    """Like the result of a run that found everything done."""
    in_force = releases.current(run.ws)
    return {
        "run_key": run.run_key,
        "as_of": calendar.as_of_text(run.as_of),
        **{what: [] for what in ("refitted", "kept", "quarantined", "failed")},
        "release": in_force.release_id if in_force else None,
        "nothing": plan.nobody_drifted(run),
    }


def _result(ws: Workspace, manifest: Manifest, before: ledger.Done, release_id: str) -> dict[str, Any]:
    rows = ledger.newest(ws, manifest.run_key).set_index("airport")
    planned = {a.airport: (a.airport, a.checksum) for a in manifest.airports}
    ok = [a for a in planned if rows.loc[a, "status"] == OK]
    return {
        "run_key": manifest.run_key,
        "as_of": manifest.as_of,
        "refitted": [a for a in ok if planned[a] not in before],
        "kept": [a for a in ok if planned[a] in before],
        "quarantined": list(manifest.quarantined),
        "failed": [
            {"airport": a, "reason": str(rows.loc[a, "reason"])} for a in planned if rows.loc[a, "status"] == FAILED
        ],
        "release": release_id,
    }
