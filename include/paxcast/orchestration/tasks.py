"""The bodies of the tasks: read what Airflow says, call the job, hand on keys and counts: no frames, no models.

Jobs are imported inside the functions: a DAG file must parse in a fraction of a second.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from paxcast.orchestration import dag_run
from paxcast.settings import load_fleet

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import SparkSession

    from paxcast.jobs.run import Run
    from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.task")
Planned = dict[str, Any]
RELEASE, PAGE, QUESTION, ASKED = "release", "page", "question", "asked"
GATE, APPROVAL = "gate", "approval"  # the task in the group that waits for a person


def ingest(fleet: str) -> dict[str, int]:
    """Take in what the source has; the counts of rows, and the data version."""
    import pandas as pd
    from airflow.sdk import get_current_context

    from paxcast.jobs.ingest import ingest as job
    from paxcast.orchestration import params

    context = get_current_context()
    known_at = params.known_at(context["dag_run"].conf, context["params"])
    report = job(_workspace(fleet), pd.Timestamp.now(tz="UTC"), known_at)
    log.info(
        "%d rows received, %d stored, %d airports changed, data version %d",
        *(report.received, report.stored, len(report.changed), report.data_version),
    )
    for reject in report.rejected[:10]:
        log.warning("rejected: %s row %s: %s", reject["file"], reject["row"], reject["reason"])
    counts = {"received": report.received, "stored": report.stored, "repeated": report.repeated}
    return counts | {"rejected": len(report.rejected), "data_version": report.data_version}


def validate(fleet: str) -> dict[str, int]:
    """Judge every history as of the run's date; the counts, and the data version that was judged.

    Where the run is asked to go back to an earlier release it does only that, and all that follows is skipped; as it is
    where it is of the drifted, and there are none.
    """
    from dataclasses import asdict

    from paxcast.jobs import validate as job

    _go_back_if_asked(fleet)
    run = _run(fleet)
    _skip_if_nobody_drifted(run)
    with _alone(run.ws, run.as_of, run.run_key, dry_run=run.request.dry_run):
        validated = job.validate(run)
    log.info("%d airports, %d quarantined", validated.airports, validated.quarantined)
    return asdict(validated)


def plan(fleet: str, validated: dict[str, int]) -> Planned:
    """Freeze the manifest; its name, and one small entry a batch."""
    from paxcast.jobs import plan as job
    from paxcast.jobs.validate import Validated

    run = _run(fleet)
    with _alone(run.ws, run.as_of, run.run_key, dry_run=run.request.dry_run):
        planned = job.plan(run, Validated(**validated))
    manifest = planned.manifest
    log.info("%s: %d airports, %d already done", manifest.run_key, len(manifest.airports), planned.already_done)
    if run.request.dry_run:
        log.info("dry run; would forecast %s", ", ".join(a.airport for a in manifest.airports))
        return {"batches": []}
    shared = {"run_key": manifest.run_key, "manifest_id": manifest.manifest_id, "as_of": manifest.as_of}
    batches = [{**shared, "batch": i, "label": label} for i, label in enumerate(planned.labels)]
    return {**shared, "batches": batches}


def batches(planned: Planned) -> list[dict[str, Any]]:
    """The list that the batches are mapped over."""
    return list(planned["batches"])


def tune(fleet: str, batch: dict[str, Any], spark: "SparkSession | None" = None) -> dict[str, int]:
    """Tune one batch, on Spark if there is a session; how many were refitted and kept.

    Fails, after writing all, if an airport failed.
    """
    from paxcast.jobs.tune import tune_batch

    dag_run.label(batch)
    with _working_on(fleet, batch) as ws:
        report = tune_batch(spark, ws, batch["run_key"], batch["manifest_id"], batch["batch"])
    return {"refitted": len(report.refitted), "kept": len(report.kept)}


def register(fleet: str, batch: dict[str, Any]) -> int:
    """Register what the batch has finished; how many versions are new. Red, when all is done, if airports are open."""
    from paxcast.jobs.register import register_batch

    dag_run.label(batch)
    with _working_on(fleet, batch) as ws:
        new = register_batch(ws, batch["run_key"], batch["manifest_id"], batch["batch"], dag_run.run_id())
    _red_if_open(ws, batch, batch["batch"])
    return new


def promote(fleet: str, planned: Planned) -> None:
    """Decide, and make the release; its id is handed on. Red, when all is done, if airports are open."""
    import pandas as pd

    from paxcast.jobs.promote import promote as job

    now = pd.Timestamp.now(tz="UTC")
    with _working_on(fleet, planned) as ws:
        made = job(ws, planned["run_key"], planned["manifest_id"], now, dag_run.is_backfill())
        dag_run.hand_on(RELEASE, made.release_id)
    _red_if_open(ws, planned)


def ask(fleet: str, planned: Planned) -> bool:
    """Whether a person is to be asked before the release comes into force; the question is handed on."""
    from paxcast.jobs import approval, releases
    from paxcast.jobs.forecast import publish

    release_id = dag_run.handed_on("promote", RELEASE)
    with _working_on(fleet, planned) as ws:
        release = releases.load(ws, release_id)
        asked = approval.question(ws, release) if release else None
        if asked is None:
            return False
        publish(ws, release_id)  # as far as it goes without an answer: its versions can be looked at as challengers
    dag_run.hand_on(QUESTION, str(asked))
    dag_run.hand_on(ASKED, release_id)
    return True


def approved(fleet: str, planned: Planned) -> None:
    """Put on record that a person said yes."""
    import pandas as pd

    from paxcast.jobs import approval

    release_id, by = dag_run.handed_on("promote", RELEASE), dag_run.answered_by(f"{GATE}.{APPROVAL}")
    with _working_on(fleet, planned) as ws:
        approval.answer(ws, release_id, True, by, pd.Timestamp.now(tz="UTC"))


def decided(fleet: str) -> None:
    """After the gate, whatever became of it."""
    log.info("fleet %s: on with what was decided; without a yes the release in force stays", fleet)


def forecast(fleet: str, planned: Planned) -> None:
    """Write the forecasts, publish the release, and write the page. Red, when all is done, if airports are open."""
    from paxcast.jobs import report
    from paxcast.jobs.forecast import publish

    release_id = dag_run.handed_on("promote", RELEASE)
    with _working_on(fleet, planned) as ws:
        publish(ws, release_id)
        dag_run.hand_on(PAGE, report.write(ws, planned["run_key"], planned["manifest_id"]))
    _red_if_not_asked(ws, release_id)
    _red_if_open(ws, planned)


def report(fleet: str, planned: Planned) -> dict[str, Any]:
    """The run's totals, and the end of its lease; fails above the fleet's max_failed_share."""
    from dataclasses import asdict

    from paxcast.core.calendar import parse_as_of
    from paxcast.jobs import lease
    from paxcast.jobs.report import report as job

    page = dag_run.handed_on("forecast", PAGE)
    with _working_on(fleet, planned) as ws:
        totals = job(ws, planned["run_key"], page)
    lease.release(ws, lease.of_date(parse_as_of(planned["as_of"])), dag_run.owner())
    return asdict(totals)


def _go_back_if_asked(fleet: str) -> None:
    """Raises AirflowSkipException once the rollback is done that the run was asked for."""
    import pandas as pd
    from airflow.sdk.exceptions import AirflowSkipException

    from paxcast.jobs.rollback import rollback

    asked = dag_run.rollback()
    if asked is None:
        return
    release, airports = asked
    for airport in airports or (None,):
        done = rollback(_workspace(fleet), pd.Timestamp.now(tz="UTC"), airport, release)
        log.info("release %s is in force instead of %s", done.after, done.before)
    raise AirflowSkipException("rolled back; nothing is retrained")


def _skip_if_nobody_drifted(run: "Run") -> None:
    """Raises AirflowSkipException for a run of the drifted where no check asks for any."""
    from airflow.sdk.exceptions import AirflowSkipException

    from paxcast.jobs import plan

    if run.request.drifted and not plan.drifted(run):
        raise AirflowSkipException(plan.nobody_drifted(run))


@contextmanager
def _working_on(fleet: str, planned: dict[str, Any]) -> "Iterator[Workspace]":
    """The fleet's workspace, while this run holds the lease of its date."""
    from paxcast.core.calendar import parse_as_of

    ws = _workspace(fleet)
    with _alone(ws, parse_as_of(planned["as_of"]), planned["run_key"]):
        yield ws


@contextmanager
def _alone(ws: "Workspace", as_of: "pd.Timestamp", run_key: str, *, dry_run: bool = False) -> "Iterator[None]":
    """No other run writes this fleet's date meanwhile; it stays this run's until report, or until it expires."""
    from paxcast.jobs import lease

    if dry_run:
        yield
        return
    with lease.held(ws, lease.of_date(as_of), dag_run.owner(), run_key):
        yield


def _red_if_open(ws: "Workspace", planned: dict[str, Any], batch: int | None = None) -> None:
    """Raises AirportsOpen if airports of the run, or of one batch of it, are not done.

    Airflow's "Clear failed" takes up red tasks only, and what comes after a batch must run again with it.
    """
    from paxcast.core.errors import AirportsOpen
    from paxcast.jobs import ledger, plan

    manifest = plan.load(ws, planned["run_key"], planned["manifest_id"])
    airports = ledger.not_registered(ws, manifest, batch)
    if airports:
        raise AirportsOpen(
            f"done, without {len(airports)} airports that are open: {', '.join(airports[:5])}"
            f"{' ...' if len(airports) > 5 else ''}. Once the cause is gone, clear the run's failed tasks"
        )


def _red_if_not_asked(ws: "Workspace", release_id: str) -> None:
    """Raises ConfigurationError if a release waits that nobody was asked for: after failed tasks were cleared it is
    another one than before, and the gate, which had not failed, did not run again."""
    from paxcast.core.errors import ConfigurationError
    from paxcast.jobs import approval, releases

    release = releases.load(ws, release_id)
    asked = approval.question(ws, release) if release else None
    if asked is not None and dag_run.handed_on_or_none(f"{GATE}.ask", ASKED) != release_id:
        raise ConfigurationError(f"{asked}; nobody was asked yet: clear {GATE}.ask with what follows, or approve it")


def _workspace(fleet: str) -> "Workspace":
    from paxcast.jobs.workspace import open_workspace

    return open_workspace(load_fleet(fleet))


def _run(fleet: str) -> "Run":
    from paxcast.jobs.run import open_run

    ws = _workspace(fleet)
    return open_run(ws, dag_run.request(ws))
