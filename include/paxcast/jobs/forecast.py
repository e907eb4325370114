"""Forecast: write the release's forecasts, register the release, and only then let readers see it.

The order is the promise: forecasts first, then the release's model version, the tag `rule` of its airports' versions,
their aliases, then the fleet's, then the pointer. A reader sees the old release or the new one, whole. One that waits
for a person's yes stops before the aliases: its versions are challengers until then.
"""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from paxcast.adapters.mlflow_registry import CANDIDATE, RULE, Registry
from paxcast.core import calendar
from paxcast.core.columns import FLEET
from paxcast.core.errors import ConfigurationError
from paxcast.core.identity import bucket
from paxcast.core.release import Entry, Release
from paxcast.jobs import approval, decide, lease, releases
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.forecast")
STEP = ["yhat", "lo80", "hi80", "lo95", "hi95"]


def publish(ws: Workspace, release_id: str) -> bool:
    """Publish a release; whether it is in force now (a backfill's is not: an older as_of never replaces a later)."""
    release = releases.load(ws, release_id)
    if release is None:
        raise ConfigurationError(f"fleet {ws.fleet}: there is no release {release_id}; `paxcast status` names them")
    if _was_rolled_back(ws, release):
        return False
    write(ws, release.entries)
    if releases.is_current(ws, release):
        releases.published(ws, release)
        return True
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    version = registered(ws, registry, release)
    _tell_rules(registry, release)
    with lease.alone(ws, lease.PUBLISH, release_id):  # runs of other dates may be publishing: none may undo a later one
        if _is_stale(ws, release) or _waits(ws, registry, release, version):
            return False
        releases.published(ws, release)
        return _put_in_force(ws, registry, release, version)


def _was_rolled_back(ws: Workspace, release: Release) -> bool:
    """Whether it holds versions that were rolled back: then only another rollback, or a forced run, changes that."""
    gone = releases.withdrawn(ws) if not releases.is_current(ws, release) else set()
    airports = sorted(e.airport for e in release.entries if (e.airport, e.version) in gone)
    if airports:
        log.warning(
            "release %s stays out of force: %d airports of it were rolled back (%s); `paxcast rollback --release` puts "
            "it in force again, `paxcast retrain --force` refits",
            *(release.release_id, len(airports), ", ".join(airports[:5])),
        )
    return bool(airports)


def _is_stale(ws: Workspace, release: Release) -> bool:
    """Whether it would undo what was published for its date since it was made: of airports that are not of its run."""
    base = releases.in_force(ws, calendar.parse_as_of(release.as_of))
    there = base.by_airport() if base else {}
    undone = [e.airport for e in release.entries if e.outcome_key != release.run_key and there.get(e.airport, e) != e]
    if undone:
        log.warning(
            "release %s stays out of force: since it was made %s was published, and it would undo that for %d airports "
            "(%s); run its date again, which refits nothing",
            *(release.release_id, base.release_id if base else "", len(undone), ", ".join(undone[:5])),
        )
    return bool(undone)


def _waits(ws: Workspace, registry: Registry, release: Release, version: int) -> bool:
    """Whether a person has not said yes to it yet. What would change can be looked at meanwhile."""
    asked = approval.question(ws, release)
    if asked is not None:
        approval.ask(ws, release.release_id)
        _challenge(ws, registry, release, version)
        log.warning("%s; the one in force stays until `paxcast approve %s`", asked, release.release_id)
    elif approval.is_open(ws, release.release_id):  # a later date is in force, so there is nothing left to ask
        log.warning("release %s was asked for and never approved; it is not published", release.release_id)
    return asked is not None or approval.is_open(ws, release.release_id)


def _put_in_force(ws: Workspace, registry: Registry, release: Release, version: int) -> bool:
    if not releases.may_replace(ws, release):
        log.info("release %s is of an earlier date than the one in force, which stays", release.release_id)
        return False
    move(ws, registry, release, version)
    log.info("release %s is in force", release.release_id)
    return True


def move(ws: Workspace, registry: Registry, release: Release, version: int, of: str | None = None) -> None:
    """Let readers see a release: the aliases of its airports, the fleet's, then the pointer. version: of its model;
    of: after a rollback, the as_of from which it counts."""
    writers, succeed = ws.settings.mlflow.writers, of is None
    registry.crown(f"{ws.fleet}.", dict(release.as_pairs()), writers, succeed=succeed)
    registry.crown(_model(ws), {_model(ws): version}, writers, succeed=succeed)
    releases.make_current(ws, release, of=of)


def _challenge(ws: Workspace, registry: Registry, release: Release, version: int) -> None:
    """Let those who are to decide see a release: the alias `challenger` of what would change, and of the fleet."""
    before = releases.current(ws)
    in_force = set(before.as_pairs()) if before else set()
    coming = {model: number for model, number in release.as_pairs() if (model, number) not in in_force}
    registry.challenge(f"{ws.fleet}.", {**coming, _model(ws): version}, ws.settings.mlflow.writers)


def forget_challengers(ws: Workspace) -> None:
    """After a no: nothing waits any more."""
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    registry.challenge(f"{ws.fleet}.", {}, ws.settings.mlflow.writers)


def _model(ws: Workspace) -> str:
    return f"{ws.fleet}.release"


def forecasts(ws: Workspace, release: Release, airports: tuple[str, ...] = ()) -> pd.DataFrame:
    """The forecasts of a release: airport, as_of, ds, yhat, lo80, hi80, lo95, hi95, confidence, sorted.

    Raises ConfigurationError for airports that the release does not hold.
    """
    entries = release.by_airport()
    unknown = sorted(set(airports) - set(entries))
    if unknown:
        raise ConfigurationError(
            f"airports: {', '.join(unknown)}: not in release {release.release_id}; `paxcast status` says why"
        )
    wanted = pd.DataFrame(
        [
            (e.airport, e.run_key, e.checksum, e.model, e.version)
            for e in release.entries
            if not airports or e.airport in airports
        ],
        columns=["airport", "run_key", "checksum", "model", "version"],
    )
    keys = sorted(wanted["run_key"].unique())
    rows = ws.tables.read("forecasts", [(FLEET, "=", ws.fleet), ("run_key", "in", keys)])
    found = rows.merge(wanted, on=["airport", "run_key", "checksum"])
    return found.sort_values(["airport", "ds"], ignore_index=True)


def write(ws: Workspace, entries: tuple[Entry, ...]) -> None:
    """Add the forecasts of these entries to the table, each once."""
    names = ["run_key", "airport", "checksum"]
    run_keys = sorted({e.run_key for e in entries})
    there = ws.tables.read("forecasts", [(FLEET, "=", ws.fleet), ("run_key", "in", run_keys)], names)
    known = set(there.itertuples(index=False, name=None))
    wanted = {key for e in entries if (key := (e.run_key, e.airport, e.checksum)) not in known}
    if not wanted:
        return
    decided = decide.read(ws, sorted({run_key for run_key, _, _ in wanted}))
    frames = [
        _rows(ws, row)
        for row in decided.itertuples()
        if (str(row.run_key), str(row.airport), str(row.checksum)) in wanted
    ]
    if len(frames) < len(wanted):
        raise KeyError(
            f"{len(wanted) - len(frames)} airports are released, but their decisions are gone from the store"
        )
    ws.tables.append("forecasts", pd.concat(frames, ignore_index=True))


def _rows(ws: Workspace, decision: Any) -> pd.DataFrame:
    frame = pd.DataFrame(json.loads(decision.forecast))
    return frame.assign(
        fleet=ws.fleet,
        bucket=bucket(decision.airport),
        run_key=decision.run_key,
        airport=decision.airport,
        as_of=decision.as_of,
        checksum=decision.checksum,
        ds=pd.to_datetime(frame["ds"]),
        confidence=decision.confidence,
    )


def registered(ws: Workspace, registry: Registry, release: Release) -> int:
    """The version of a release's own model, which is registered if it is not yet."""
    parent = registry.parent_run(release.run_key, {"fleet": ws.fleet, "as_of": release.as_of})
    rows = forecasts(ws, release)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forecasts.parquet"
        rows[["airport", "model", "version", "as_of", "ds", *STEP, "confidence"]].to_parquet(path, index=False)
        tags = {"run_key": release.run_key, "release": release.release_id, "as_of": release.as_of, "fleet": ws.fleet}
        tags[RULE] = ", ".join(sorted({e.rule for e in release.entries}))  # airports carried on may have an older one
        return registry.register_release(_model(ws), path, parent, release.release_id, tags)


def _tell_rules(registry: Registry, release: Release) -> None:
    """Tag the versions of this run by what forecasts as published, rule and method; those carried on were tagged in
    their own run."""
    own = [e for e in release.entries if e.outcome_key == release.run_key]
    registry.tell(release.run_key, {(e.model, e.version): {RULE: e.rule, CANDIDATE: e.candidate} for e in own})
