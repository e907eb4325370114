"""The bodies of the tasks: read what Airflow says, call the job, hand on keys and counts: no frames, no models.

Jobs are imported inside the functions: a DAG file must parse in a fraction of a second.
"""

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from paxcast.core.errors import ConfigurationError
from paxcast.orchestration.params import RetrainParams
from paxcast.settings import load_fleet

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from paxcast.jobs.run import Request, Run
    from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.task")
Planned = dict[str, Any]


def ingest(fleet: str) -> dict[str, int]:
    """Take in what the source has; the counts of rows, and the data version."""
    import pandas as pd

    from paxcast.jobs.ingest import ingest as job

    report = job(_workspace(fleet), pd.Timestamp.now(tz="UTC"))
    log.info(
        "%d rows received, %d stored, %d airports changed, data version %d",
        *(report.received, report.stored, len(report.changed), report.data_version),
    )
    for reject in report.rejected[:10]:
        log.warning("rejected: %s row %s: %s", reject["file"], reject["row"], reject["reason"])
    counts = {"received": report.received, "stored": report.stored, "repeated": report.repeated}
    return counts | {"rejected": len(report.rejected), "data_version": report.data_version}


def validate(fleet: str) -> dict[str, int]:
    """Judge every history as of the run's date; the counts, and the data version that was judged."""
    from dataclasses import asdict

    from paxcast.jobs import validate as job

    validated = job.validate(_run(fleet))
    log.info("%d airports, %d quarantined", validated.airports, validated.quarantined)
    return asdict(validated)


def plan(fleet: str, validated: dict[str, int]) -> Planned:
    """Freeze the manifest; its name, and one small entry a batch."""
    from paxcast.jobs import plan as job
    from paxcast.jobs.validate import Validated

    run = _run(fleet)
    planned = job.plan(run, Validated(**validated))
    manifest = planned.manifest
    log.info("%s: %d airports, %d already done", manifest.run_key, len(manifest.airports), planned.already_done)
    if run.request.dry_run:
        log.info("dry run; would forecast %s", ", ".join(a.airport for a in manifest.airports))
        return {"batches": []}
    shared = {"run_key": manifest.run_key, "manifest_id": manifest.manifest_id}
    batches = [{**shared, "batch": i, "label": label} for i, label in enumerate(planned.labels)]
    return {**shared, "as_of": manifest.as_of, "batches": batches}


def batches(planned: Planned) -> list[dict[str, Any]]:
    """The list that the batches are mapped over."""
    return list(planned["batches"])


def tune(fleet: str, batch: dict[str, Any], spark: "SparkSession") -> dict[str, int]:
    """Tune one batch on Spark; how many were refitted and kept. Fails, after writing all, if an airport failed."""
    from paxcast.jobs.tune import tune_batch

    _label(batch)
    report = tune_batch(spark, _workspace(fleet), batch["run_key"], batch["manifest_id"], batch["batch"])
    return {"refitted": len(report.refitted), "kept": len(report.kept)}


def register(fleet: str, batch: dict[str, Any]) -> int:
    """Register what the batch has finished; how many versions are new."""
    from paxcast.jobs.register import register_batch

    _label(batch)
    run_id = get_current_context()["dag_run"].run_id
    return register_batch(_workspace(fleet), batch["run_key"], batch["manifest_id"], batch["batch"], run_id)


def promote(fleet: str, planned: Planned) -> str:
    """Decide, and make the release; its id."""
    import pandas as pd

    from paxcast.jobs.promote import promote as job

    now = pd.Timestamp.now(tz="UTC")
    release = job(_workspace(fleet), planned["run_key"], planned["as_of"], now, _is_backfill())
    return release.release_id


def forecast(fleet: str, release_id: str) -> bool:
    """Write the forecasts and publish the release; whether it is in force now."""
    from paxcast.jobs.forecast import publish

    return publish(_workspace(fleet), release_id)


def report(fleet: str, planned: Planned) -> dict[str, Any]:
    """Totals and the page; fails above the fleet's max_failed_share."""
    from dataclasses import asdict

    from paxcast.jobs.report import report as job

    return asdict(job(_workspace(fleet), planned["run_key"], planned["manifest_id"]))


def _workspace(fleet: str) -> "Workspace":
    from paxcast.jobs.workspace import open_workspace

    return open_workspace(load_fleet(fleet))


def _run(fleet: str) -> "Run":
    from paxcast.jobs.run import open_run

    ws = _workspace(fleet)
    return open_run(ws, _request(ws))


def _request(ws: "Workspace") -> "Request":
    """What this DAG run was asked to do. Unknown keys are refused here: Airflow itself accepts them."""
    from paxcast.core.calendar import parse_as_of
    from paxcast.jobs.run import Request, newest_failed_as_of

    context = get_current_context()
    dag_run = context["dag_run"]
    unknown = sorted(set(dag_run.conf or {}) - set(RetrainParams.model_fields))
    if unknown:
        known = ", ".join(RetrainParams.model_fields)
        raise ConfigurationError(f"the trigger's configuration: unknown {', '.join(unknown)}; there are: {known}")
    params = RetrainParams.model_validate({name: context["params"][name] for name in RetrainParams.model_fields})
    as_of = parse_as_of(params.as_of.isoformat()) if params.as_of else None
    if as_of is None and params.rerun_failed:
        as_of = newest_failed_as_of(ws)
    return Request(
        as_of=as_of if as_of is not None else parse_as_of(_instant(dag_run)),
        airports=tuple(params.airports or ()),
        max_evals=params.max_evals,
        force=params.force,
        rerun_failed=params.rerun_failed,
        dry_run=params.dry_run,
        request_id=dag_run.run_id,
        backfill=_is_backfill(),
    )


def _instant(dag_run: Any) -> str:
    """The triggering event's as_of, else the data interval's end, else when the run was due: never the clock."""
    from paxcast.core.calendar import parse_as_of

    events = [str(e.extra["as_of"]) for e in dag_run.consumed_asset_events if "as_of" in (e.extra or {})]
    if events:
        return max(events, key=parse_as_of)
    return f"{dag_run.data_interval_end or dag_run.run_after:%Y-%m-%dT%H:%M:%SZ}"


def _is_backfill() -> bool:
    return get_current_context()["dag_run"].run_type == "backfill"  # an enum: its str() is DagRunType.BACKFILL


def _label(batch: dict[str, Any]) -> None:
    """Before anything can fail: Airflow renders a mapped task's name after it ran."""
    get_current_context()["label"] = batch["label"]  # type: ignore[typeddict-unknown-key]
