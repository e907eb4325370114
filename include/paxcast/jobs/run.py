"""Opening a run: from what was asked for to a run key, the same for a retry as for the first try.

A run key's context (core/manifest.py) holds the fallbacks of drift checks, and its outcomes were made with them. So a
fallback that a check decides on afterwards, for a date that has run, raises the revision by itself, as `force` does:
else the airport would be done already, and stay as it was. One that has ended since, or that is forgotten as its check
was pruned, raises nothing: it ends with the next date, and an old run that is repeated stays done.
"""

from dataclasses import dataclass

import pandas as pd

from paxcast.core import calendar, identity
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import drift_asked, ledger
from paxcast.jobs.workspace import Workspace, open_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What someone asked for. `request_id` names the asking (a DAG run), so that a retry of it forces nothing twice;
    `drifted`: only the airports that the newest drift check, not later than `as_of`, asked for."""

    as_of: pd.Timestamp
    airports: tuple[str, ...] = ()
    max_evals: int | None = None
    force: bool = False
    rerun_failed: bool = False
    drifted: bool = False
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
    """The run that a request means. With `force` its revision is raised, once for each `request_id`; without, once for
    fallbacks that the newest revision was planned without."""
    if request.force and not request.request_id:
        raise ConfigurationError("force: a forced run needs a request id, so that its retries are not forced again")
    if request.drifted and request.rerun_failed:
        raise ConfigurationError("drifted, rerun_failed: each names its own airports; ask for one of the two")
    effective = open_workspace(ws.settings.with_max_evals(request.max_evals))
    config_hash = identity.digest(effective.settings.numbers(), 8)
    base = identity.run_key(ws.fleet, request.as_of, config_hash, 0)
    revision = _revision(ws, base, request) if request.force else _with_fallbacks(ws, request, config_hash)
    return Run(identity.run_key(ws.fleet, request.as_of, config_hash, revision), config_hash, request, effective)


def _revision(ws: Workspace, base: str, request: Request) -> int:
    """The revision that was raised for this request; one that has none yet gets the next one."""
    raised = _raised(ws, base)
    mine = [revision for revision, request_id in raised.items() if request_id == request.request_id]
    number = mine[0] if mine else max(raised, default=0) + 1
    if mine or _raise(ws, base, number, request.request_id):
        return number
    return _revision(ws, base, request)  # another request took that number at the same moment


def _with_fallbacks(ws: Workspace, request: Request, config_hash: str) -> int:
    """The newest revision; the next one if drift checks have put an airport on a method that it was planned without."""
    base = identity.run_key(ws.fleet, request.as_of, config_hash, 0)
    newest = max(_raised(ws, base), default=0)
    fallbacks = drift_asked.pinned(ws, request.as_of)
    context = ws.objects.get(f"runs/{identity.run_key(ws.fleet, request.as_of, config_hash, newest)}/context.json")
    if context is None or fallbacks.items() <= context.get("pinned", {}).items():
        return newest
    if request.dry_run or _raise(ws, base, newest + 1, f"drift-{identity.digest(fallbacks)}"):
        return newest + 1
    return _with_fallbacks(ws, request, config_hash)


def _raised(ws: Workspace, base: str) -> dict[int, str]:
    """For which request each revision was raised. base: the run key of revision 0."""
    found = [ws.objects.get(name) for name in ws.objects.names(f"revisions/{base}")]
    return {int(one["revision"]): str(one["request_id"]) for one in found if one}


def _raise(ws: Workspace, base: str, revision: int, request_id: str) -> bool:
    """Put a revision on record; whether it is this request's."""
    entry = {"revision": revision, "request_id": request_id}
    return ws.objects.put_if_absent(f"revisions/{base}/{revision:04d}.json", entry)


def newest_failed_as_of(ws: Workspace) -> pd.Timestamp | None:
    """The as_of of the newest run that has failed airports: what `rerun_failed` means when no date is given."""
    still_open = ledger.still_open(ws)
    return max((calendar.parse_as_of(a) for a in still_open["as_of"].unique()), default=None)
