"""The bodies of the tasks of drift_{fleet}: read what Airflow says, call the job, hand on keys and counts.

Jobs are imported inside the functions, as in `tasks`.
"""

import logging
from typing import TYPE_CHECKING, Any

from paxcast.orchestration import dag_run
from paxcast.settings import load_fleet

if TYPE_CHECKING:
    import pandas as pd

    from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.task")
Checked = dict[str, Any]  # what `check` hands on
EVEN_IF_RED = "all_done_min_one_success"  # of notify, whose one success is check: a lost page keeps nobody from knowing


def check(fleet: str) -> Checked:
    """Check the fleet for drift; the check's key and date, how many airports ask for another model, and the counts."""
    from paxcast.core.drift.policy import ASKS
    from paxcast.jobs import drift

    ws = _workspace(fleet)
    found = drift.check(ws, _as_of(ws))
    counts = ", ".join(f"{number} {name}" for name, number in found.counts.items())
    log.info("%s: %s", found.check_key, "; ".join([counts, *found.notes]))
    asked = sum(found.counts[action] for action in ASKS)
    told = {"check_key": found.check_key, "as_of": found.as_of, "table_version": ws.tables.version("drift")}
    return {**told, "asked": asked, "counts": dict(found.counts)}


def announce(fleet: str, checked: Checked) -> None:
    """Publish the event that has airports retrained, if there are any; else this is skipped, which publishes nothing.

    Nor does the check of a backfill: what was asked for in the past, the runs since have answered.
    """
    from airflow.sdk import get_current_context
    from airflow.sdk.exceptions import AirflowSkipException

    from paxcast.orchestration import fleets

    if not checked["asked"]:
        raise AirflowSkipException("no airport is to be retrained")
    if dag_run.is_backfill():
        raise AirflowSkipException("a check of a backfill has nobody retrained")
    event = get_current_context()["outlet_events"][fleets.drift(load_fleet(fleet))]
    event.extra = {"as_of": checked["as_of"], "table_version": checked["table_version"]}
    log.info("%d airports are to be retrained as of %s", checked["asked"], checked["as_of"])


def report(fleet: str, checked: Checked) -> str:
    """Write the page of the check; where it is."""
    from paxcast.jobs import drift_report

    page = drift_report.draw(_workspace(fleet), checked["check_key"])
    log.info("page: %s", page)
    return page


def track(fleet: str, checked: Checked) -> str:
    """Make the check a run in MLflow, with its page; the run's id."""
    from paxcast.jobs import drift_report

    return drift_report.track(_workspace(fleet), checked["check_key"])


def notify(fleet: str, checked: Checked, page: str | None) -> None:
    """Tell people, if there is news to them. Red if a channel could not be told; a retry tells that one alone.

    What a backfill finds in the past is no news to anybody.
    """
    from airflow.sdk import get_current_context
    from airflow.sdk.exceptions import AirflowSkipException

    from paxcast.orchestration.notifier import DriftNotifier

    if dag_run.is_backfill():
        raise AirflowSkipException("a check of a backfill is told to nobody")
    DriftNotifier(fleet=fleet, check_key=checked["check_key"], page=page or "")(get_current_context())


def _as_of(ws: "Workspace") -> "pd.Timestamp":
    """The run's date. Raises AirflowSkipException for a run without one on its form before the first release,
    ConfigurationError for a day that is not over."""
    import pandas as pd
    from airflow.sdk import get_current_context
    from airflow.sdk.exceptions import AirflowSkipException

    from paxcast.core.calendar import parse_as_of
    from paxcast.core.errors import ConfigurationError
    from paxcast.jobs import releases
    from paxcast.orchestration.params import DriftParams, asked

    context = get_current_context()
    wanted = asked(DriftParams, context["dag_run"].conf, context["params"]).as_of
    if wanted is not None:
        if parse_as_of(wanted.isoformat()) > pd.Timestamp.now(tz="UTC"):  # none before that would act any more
            raise ConfigurationError(f"as_of: {wanted} is not over yet; leave it out for all that is known now")
        return parse_as_of(wanted.isoformat())
    as_of = dag_run.due()
    if releases.in_force(ws, as_of) is None:
        raise AirflowSkipException(f"fleet {ws.fleet} has no release yet, so nothing can drift")
    return as_of


def _workspace(fleet: str) -> "Workspace":
    from paxcast.jobs.workspace import open_workspace

    return open_workspace(load_fleet(fleet))
