"""Forecast: write the release's forecasts, register the release, and only then let readers see it.

The order is the promise: forecasts first, then the release's model version, the tag `rule` of its airports' versions,
their aliases, then the fleet's, then the pointer. A reader sees the old release or the new one, whole.
"""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from paxcast.adapters.mlflow_registry import RULE, Registry
from paxcast.core.columns import FLEET
from paxcast.core.errors import ConfigurationError
from paxcast.core.identity import bucket
from paxcast.core.release import Entry, Release
from paxcast.jobs import decide, lease, releases
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.forecast")
STEP = ["yhat", "lo80", "hi80", "lo95", "hi95"]
CHAMPION, PREVIOUS = "champion", "previous"


def publish(ws: Workspace, release_id: str) -> bool:
    """Publish a release; whether it is in force now (a backfill's is not: an older as_of never replaces a later)."""
    release = releases.load(ws, release_id)
    if release is None:
        raise ConfigurationError(f"fleet {ws.fleet}: there is no release {release_id}; `paxcast status` names them")
    _write(ws, release.entries)
    if releases.is_current(ws, release):
        releases.published(ws, release)
        return True
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    version = _register(ws, registry, release)
    _tell_rules(registry, release)
    with lease.alone(ws, lease.PUBLISH, release_id):  # runs of other dates may be publishing: none may undo a later one
        releases.published(ws, release)
        return _put_in_force(ws, registry, release, version)


def _put_in_force(ws: Workspace, registry: Registry, release: Release, version: int) -> bool:
    before = releases.current(ws)
    if not releases.may_replace(before, release):
        log.info("release %s is of an earlier date than the one in force, which stays", release.release_id)
        return False
    as_before = set(before.as_pairs()) if before else set()
    for model, entry_version in release.as_pairs():
        if (model, entry_version) not in as_before:
            _move(registry, model, entry_version)
    _move(registry, f"{ws.fleet}.release", version)
    releases.make_current(ws, release)
    log.info("release %s is in force", release.release_id)
    return True


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


def _write(ws: Workspace, entries: tuple[Entry, ...]) -> None:
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


def _register(ws: Workspace, registry: Registry, release: Release) -> int:
    parent = registry.parent_run(release.run_key, {"fleet": ws.fleet, "as_of": release.as_of})
    rows = forecasts(ws, release)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forecasts.parquet"
        rows[["airport", "model", "version", "as_of", "ds", *STEP, "confidence"]].to_parquet(path, index=False)
        tags = {"run_key": release.run_key, "release": release.release_id, "as_of": release.as_of, "fleet": ws.fleet}
        tags[RULE] = ", ".join(sorted({e.rule for e in release.entries}))  # airports carried on may have an older one
        return registry.register_release(f"{ws.fleet}.release", path, parent, release.release_id, tags)


def _tell_rules(registry: Registry, release: Release) -> None:
    """Tag the versions of this run by what forecasts as published; those carried on were tagged in their own run."""
    own = {(e.model, e.version): e.rule for e in release.entries if e.outcome_key == release.run_key}
    registry.tag_versions(release.run_key, RULE, own)


def _move(registry: Registry, model: str, version: int) -> None:
    """Make a version the champion; what was the champion becomes `previous`."""
    before = registry.alias(model, CHAMPION)
    if before == version:
        return
    if before is not None:
        registry.set_alias(model, PREVIOUS, before)
    registry.set_alias(model, CHAMPION, version)
