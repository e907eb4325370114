"""What Airflow says of the run that a task is in: what was asked for, who asks, and what earlier tasks handed on."""

from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context

from paxcast.core.errors import NothingToForecast
from paxcast.orchestration.params import RetrainParams, asked

if TYPE_CHECKING:
    import pandas as pd

    from paxcast.jobs.run import Request
    from paxcast.jobs.workspace import Workspace


PREVIOUS = "previous"


def request(ws: "Workspace") -> "Request":
    """What this DAG run was asked to do. Raises ConfigurationError for a key that the form does not have."""
    from paxcast.core.calendar import parse_as_of
    from paxcast.jobs.run import Request, newest_failed_as_of

    context = get_current_context()
    dag_run = context["dag_run"]
    params = asked(RetrainParams, dag_run.conf, context["params"])
    as_of = parse_as_of(params.as_of.isoformat()) if params.as_of else None
    if as_of is None and params.rerun_failed:
        as_of = newest_failed_as_of(ws)
    return Request(
        as_of=as_of if as_of is not None else parse_as_of(_instant(dag_run)),
        airports=tuple(params.airports or ()),
        max_evals=params.max_evals,
        force=params.force,
        rerun_failed=params.rerun_failed,
        drifted=params.drifted or _triggered_by_drift(dag_run),
        dry_run=params.dry_run,
        request_id=dag_run.run_id,
        backfill=is_backfill(),
    )


def rollback() -> tuple[str | None, tuple[str, ...]] | None:
    """Where this DAG run is to go back to, None for the release before, and the airports; None if it is no rollback."""
    context = get_current_context()
    params = asked(RetrainParams, context["dag_run"].conf, context["params"])
    if params.rollback is None:
        return None
    return None if params.rollback == PREVIOUS else params.rollback, tuple(params.airports or ())


def due() -> "pd.Timestamp":
    """The instant that this DAG run is as of, where nobody named one."""
    from paxcast.core.calendar import parse_as_of

    return parse_as_of(_instant(get_current_context()["dag_run"]))


def _instant(dag_run: Any) -> str:
    """The triggering event's as_of, else the data interval's end, else when the run was due: never the clock."""
    from paxcast.core.calendar import parse_as_of

    events = _dates_of_events(dag_run)
    if events:
        return max(events, key=parse_as_of)
    return f"{dag_run.data_interval_end or dag_run.run_after:%Y-%m-%dT%H:%M:%SZ}"


def _triggered_by_drift(dag_run: Any) -> bool:
    """Whether the run is there for the drifted alone: an event of drift began it, and no schedule."""
    return bool(dag_run.run_type == "asset_triggered")


def _dates_of_events(dag_run: Any) -> list[str]:
    return [str(e.extra["as_of"]) for e in dag_run.consumed_asset_events if "as_of" in (e.extra or {})]


def is_backfill() -> bool:
    return get_current_context()["dag_run"].run_type == "backfill"  # an enum: its str() is DagRunType.BACKFILL


def label(batch: dict[str, Any]) -> None:
    """Before anything can fail: Airflow renders a mapped task's name after it ran."""
    get_current_context()["label"] = batch["label"]  # type: ignore[typeddict-unknown-key]


def run_id() -> str:
    return str(get_current_context()["dag_run"].run_id)


def owner() -> str:
    """One DAG run is one writer, in however many processes, tries and clears."""
    return f"{get_current_context()['dag_run'].dag_id} {run_id()}"


def hand_on(key: str, value: str) -> None:
    """To the tasks after this one, even if this one ends red."""
    get_current_context()["ti"].xcom_push(key, value)


def handed_on(task: str, key: str) -> str:
    """What a task handed on. Raises NothingToForecast if it ended before it could."""
    value = handed_on_or_none(task, key)
    if value is None:
        raise NothingToForecast(f"the task {task} ended without a {key}: its log says why")
    return value


def handed_on_or_none(task: str, key: str) -> str | None:
    """What a task handed on, if it did."""
    value = get_current_context()["ti"].xcom_pull(task_ids=task, key=key)
    return None if value is None else str(value)


def answered_by(task: str) -> str:
    """Who answered the question of a task, as Airflow knows them."""
    said = get_current_context()["ti"].xcom_pull(task_ids=task) or {}
    who = said.get("responded_by_user") or {}
    return str(who.get("name") or who.get("id") or "somebody")
