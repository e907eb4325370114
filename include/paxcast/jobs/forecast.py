"""Forecast: write the release's forecasts, register the release, and only then let readers see it.

A reader sees the old release or the new one, whole, because things are written in this order:

1. the forecasts
2. the version of the release's own model, and the tags that name the rule of each airport's version
3. the record that the release was published
4. the aliases of the airports' models, then the alias of the release's own model
5. the pointer to the release in force

A release that waits for a person's yes stops after 2; until then its versions have the alias `challenger`.
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
    """Publish a release. Returns whether it is in force now.

    A release of an earlier as_of than the one in force, such as a backfill's, is published but does not replace it. One
    that was rolled back, is out of date or waits for a person's yes is not published; the log says why.

    Raises ConfigurationError where there is no such release.
    """
    release = releases.load(ws, release_id)
    if release is None:
        raise ConfigurationError(f"fleet {ws.fleet}: there is no release {release_id}; the log of its run names it")
    if _was_rolled_back(ws, release):
        return False
    write(ws, release.entries)
    if releases.is_current(ws, release):
        releases.published(ws, release)
        return True
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    version = registered(ws, registry, release)
    _tell_rules(registry, release)
    with lease.alone(ws, lease.PUBLISH, release_id):  # else a run of an earlier date, at the same time, might come last
        if _is_stale(ws, release) or _waits(ws, registry, release, version):
            return False
        releases.published(ws, release)
        return _put_in_force(ws, registry, release, version)


def _was_rolled_back(ws: Workspace, release: Release) -> bool:
    """Whether the release holds versions that were rolled back. It then stays out of force until a rollback names it; a
    forced run makes another one instead."""
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
    """Whether the release would undo what was published for its date after it was made. It may for airports that it
    carries over from the release before, because its own run did not refit them."""
    base = releases.in_force(ws, calendar.parse_as_of(release.as_of))
    there = base.by_airport() if base else {}
    undone = [e.airport for e in release.entries if e.outcome_key != release.run_key and there.get(e.airport, e) != e]
    if undone:
        log.warning(
            "release %s stays out of force: release %s was published after it was made, and would be undone for %d "
            "airports (%s); run its date again, which refits nothing",
            *(release.release_id, base.release_id if base else "", len(undone), ", ".join(undone[:5])),
        )
    return bool(undone)


def _waits(ws: Workspace, registry: Registry, release: Release, version: int) -> bool:
    """Whether the release waits for a person's yes. If it does, that is put on record and logged, and what would change
    gets the alias `challenger`, so that the person can look at it."""
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
    """Let readers see a release: move the aliases of its airports, then that of its own model, then the pointer.

    version: of its own model; of: the as_of from which it counts, given after a rollback only.
    """
    writers, succeed = ws.settings.mlflow.writers, of is None
    registry.crown(f"{ws.fleet}.", dict(release.as_pairs()), writers, succeed=succeed)
    registry.crown(_model(ws), {_model(ws): version}, writers, succeed=succeed)
    releases.make_current(ws, release, of=of)


def _challenge(ws: Workspace, registry: Registry, release: Release, version: int) -> None:
    """Let the person who is to decide see a release: its own model and each version that would be new in force get the
    alias `challenger`."""
    before = releases.current(ws)
    in_force = set(before.as_pairs()) if before else set()
    coming = {model: number for model, number in release.as_pairs() if (model, number) not in in_force}
    registry.challenge(f"{ws.fleet}.", {**coming, _model(ws): version}, ws.settings.mlflow.writers)


def forget_challengers(ws: Workspace) -> None:
    """Take the alias `challenger` from all models of the fleet: after a no nothing waits any more."""
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    registry.challenge(f"{ws.fleet}.", {}, ws.settings.mlflow.writers)


def _model(ws: Workspace) -> str:
    return f"{ws.fleet}.release"


def forecasts(ws: Workspace, release: Release, airports: tuple[str, ...] = ()) -> pd.DataFrame:
    """The forecasts of a release, of some airports or of all, sorted by airport and ds: airport, as_of, ds, yhat, lo80,
    hi80, lo95, hi95, confidence, and which model and version each row is from.

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
    """Add to the table those forecasts of these entries that it does not hold yet.

    Raises KeyError where the decision that holds a forecast is gone from the store.
    """
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
    """The version of a release's own model; it is registered here if it was not before."""
    parent = registry.parent_run(release.run_key, {"fleet": ws.fleet, "as_of": release.as_of})
    rows = forecasts(ws, release)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forecasts.parquet"
        rows[["airport", "model", "version", "as_of", "ds", *STEP, "confidence"]].to_parquet(path, index=False)
        tags = {"run_key": release.run_key, "release": release.release_id, "as_of": release.as_of, "fleet": ws.fleet}
        tags[RULE] = ", ".join(sorted({e.rule for e in release.entries}))  # those carried over may have another
        return registry.register_release(_model(ws), path, parent, release.release_id, tags)


def _tell_rules(registry: Registry, release: Release) -> None:
    """Tag the versions that this release's run registered with the rule and the method that they are published by.
    Versions that the release carries over were tagged when their own run was published."""
    own = [e for e in release.entries if e.outcome_key == release.run_key]
    registry.tell(release.run_key, {(e.model, e.version): {RULE: e.rule, CANDIDATE: e.candidate} for e in own})
