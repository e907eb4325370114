"""A run's airports tuned once more, as they were planned, without anything being kept.

The fleet's model is trained anew into a folder of the driver's. Airports are tuned each in a folder of its worker's,
and what they became comes back as text: workers on another machine share no folder with the driver.
"""

import json
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from paxcast.adapters.object_store import ObjectStore
from paxcast.adapters.spark import PackedHistory, WorkerResult
from paxcast.core import calendar, difference
from paxcast.core import outcome as outcomes
from paxcast.core.errors import ConfigurationError, VersionGone
from paxcast.core.manifest import Manifest, PlannedAirport
from paxcast.core.outcome import OK, Outcome
from paxcast.jobs import frozen, ledger, tune, validate
from paxcast.jobs.run import Request, Run
from paxcast.jobs.worker import AirportWorker
from paxcast.jobs.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Difference = dict[str, Any]  # airport, what, then, now


@dataclass(frozen=True, slots=True)
class Aside:
    """A worker whose outcome comes back as text, in the place of the reason, and is kept nowhere. Picklable."""

    worker: AirportWorker

    def __call__(self, history: PackedHistory) -> WorkerResult:
        with tempfile.TemporaryDirectory() as folder:
            done = replace(self.worker, store_root=folder)(history)
            made = ledger.load(ObjectStore(folder), self.worker.run_key, history.airport, history.checksum)
        return done if made is None else replace(done, reason=json.dumps(made.as_dict()))


def told(airport: str, what: str, then: Any, now: Any) -> Difference:
    """A difference, its values cut short."""
    return {"airport": airport, "what": what, "then": difference.short(then), "now": difference.short(now)}


def outcomes_anew(
    ws: Workspace,
    session: "SparkSession | None",
    manifest: Manifest,
    planned: Sequence[PlannedAirport],
    aside: ObjectStore,
    fit: Callable[[], Collection[str]],
) -> tuple[dict[str, Outcome], list[Difference]]:
    """The outcomes of these airports of a manifest, by airport; and, of those without one, what hindered it.

    ws: with the manifest's numbers; aside: where what the fleet's model forecasts is kept for the next airports; fit:
    see `tune.planned_worker`. Raises ConfigurationError if the manifest's version of the data is gone.
    """
    wanted = {a.airport: a.checksum for a in planned}
    found = {history.airport: history for history in _histories(ws, manifest, wanted)}
    same = [history for airport, history in found.items() if history.checksum == wanted[airport]]
    others = [
        told(airport, "history", checksum, found[airport].checksum if airport in found else difference.ABSENT)
        for airport, checksum in wanted.items()
        if airport not in found or found[airport].checksum != checksum
    ]
    if not same:
        return {}, others
    elsewhere = Workspace(ws.settings, ws.tables, aside)
    worker = tune.planned_worker(elsewhere, session, manifest, [history.airport for history in same], fit)
    results = tune.spread(ws, session, Aside(worker), same)
    made = {r.airport: outcomes.from_dict(json.loads(r.reason)) for r in results if r.status == OK}
    failed = [told(r.airport, "status", OK, f"{r.status}: {r.reason}") for r in results if r.status != OK]
    return made, [*others, *failed]


def fit_for(ws: Workspace, manifest: Manifest) -> set[str]:
    """The airports that a run finds fit as of its date, judged anew: what it once wrote of them may have been replaced
    under its key by now."""
    request = Request(as_of=calendar.parse_as_of(manifest.as_of))
    judged = validate.judge(Run(manifest.run_key, manifest.config_hash, request, ws), manifest.data_version)
    return {verdict.airport for verdict in judged if not verdict.quarantined}


def _histories(ws: Workspace, manifest: Manifest, airports: Collection[str]) -> list[PackedHistory]:
    """The histories as they are in the manifest's version of the store. Raises ConfigurationError if that is gone."""
    try:
        found = tune.planned_histories(ws, manifest, airports)
    except VersionGone:
        found = []
    if not found:
        raise ConfigurationError(
            f"run {manifest.run_key}: version {manifest.data_version} of the table observations, which it read, is "
            f"gone: {frozen.PRUNED}"
        )
    return found
