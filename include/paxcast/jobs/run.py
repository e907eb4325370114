"""Opening a run: from what was asked for to a run key, the same for a retry as for the first try."""

from dataclasses import dataclass

import pandas as pd

from paxcast.core import calendar, identity
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import ledger
from paxcast.jobs.workspace import Workspace, open_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What someone asked for. `request_id` names the asking (a DAG run), so that a retry of it forces nothing twice."""

    as_of: pd.Timestamp
    airports: tuple[str, ...] = ()
    max_evals: int | None = None
    force: bool = False
    rerun_failed: bool = False
    dry_run: bool = False
    request_id: str = ""
    backfill: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """An opened run: its key, and the workspace with the settings that apply to it."""

    run_key: str
    config_hash: str
    request: Request
    ws: Workspace

    @property
    def as_of(self) -> pd.Timestamp:
        return self.request.as_of


def open_run(ws: Workspace, request: Request) -> Run:
    """The run that a request means. With `force` its revision is raised, once for each `request_id`."""
    if request.force and not request.request_id:
        raise ConfigurationError("force: a forced run needs a request id, so that its retries are not forced again")
    effective = open_workspace(ws.settings.with_max_evals(request.max_evals))
    config_hash = identity.digest(effective.settings.numbers(), 8)
    base = identity.run_key(ws.fleet, request.as_of, config_hash, 0)
    revision = _revision(ws, base, request)
    return Run(identity.run_key(ws.fleet, request.as_of, config_hash, revision), config_hash, request, effective)


def _revision(ws: Workspace, base: str, request: Request) -> int:
    """The newest revision of this run; a forced request that has none yet gets the next one."""
    prefix = f"revisions/{base}"
    forced = [ws.objects.get(name) for name in ws.objects.names(prefix)]
    mine = [r["revision"] for r in forced if r and r["request_id"] == request.request_id]
    newest = max((r["revision"] for r in forced if r), default=0)
    if not request.force:
        return newest
    if mine:
        return int(mine[0])
    entry = {"revision": newest + 1, "request_id": request.request_id}
    if ws.objects.put_if_absent(f"{prefix}/{newest + 1:04d}.json", entry):
        return int(newest) + 1
    return _revision(ws, base, request)  # another request took that number at the same moment


def newest_failed_as_of(ws: Workspace) -> pd.Timestamp | None:
    """The as_of of the newest run that has failed airports: what `rerun_failed` means when no date is given."""
    still_open = ledger.still_open(ws)
    return max((calendar.parse_as_of(a) for a in still_open["as_of"].unique()), default=None)
