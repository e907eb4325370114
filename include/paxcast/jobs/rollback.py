"""Rollback: an earlier release in force again, for the whole fleet or for one airport. Nothing is fitted or forecast.

The earlier forecasts are still in the store, and the versions in the registry: only what points at them moves, in the
order of publishing. What is rolled back is withdrawn: a rerun of its date does not bring it back, a later date's run is
not hindered, and a rollback to it puts it in force again.
"""

import logging
from dataclasses import dataclass

import pandas as pd

from paxcast.adapters.mlflow_registry import Registry
from paxcast.core import release as release_core
from paxcast.core.errors import ConfigurationError
from paxcast.core.release import Entry, Release
from paxcast.jobs import forecast, lease, releases
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.rollback")
NAMED = 5


@dataclass(frozen=True, slots=True)
class RolledBack:
    """The releases in force before and after, by their ids."""

    before: str
    after: str

    def as_json(self) -> dict[str, str]:
        return {"from": self.before, "to": self.after}


def rollback(ws: Workspace, now: pd.Timestamp, airport: str | None = None, release_id: str | None = None) -> RolledBack:
    """Put an earlier release in force: the one that is named, else the one before the one in force. With an airport
    only that airport's forecast goes back, to what that release has of it, or else to its one before.

    Done twice, or from where it was broken off, it is done once. Raises ConfigurationError where there is nothing to go
    back to, naming what there is.
    """
    with lease.alone(ws, lease.PUBLISH, f"rollback {airport or ws.fleet}"):
        current = releases.current(ws)
        if current is None:
            raise ConfigurationError(f"fleet {ws.fleet}: nothing is in force yet, so there is nothing to roll back")
        target = _of_airport(ws, current, airport, release_id, now) if airport else _of_fleet(ws, current, release_id)
        if target.release_id != current.release_id:
            _put_in_force(ws, current, target)
        return RolledBack(current.release_id, target.release_id)


def _put_in_force(ws: Workspace, current: Release, target: Release) -> None:
    """The order of publishing: forecasts, the release's model, the record, aliases, the pointer."""
    of = releases.counts_from(ws) or current.as_of
    forecast.write(ws, target.entries)
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    version = forecast.registered(ws, registry, target)
    releases.published(ws, target, of=of, instead_of=current.release_id)
    forecast.move(ws, registry, target, version, of=of)
    log.info("release %s is in force, instead of %s: %s", target.release_id, current.release_id, _back(current, target))


def _back(current: Release, target: Release) -> str:
    """Which versions changed: `ATL from version 3 to 2, ... and 5 more airports`."""
    before = current.by_airport()
    moved = [
        f"{e.airport} from version {before[e.airport].version} to {e.version}"
        for e in target.entries
        if e.airport in before and before[e.airport].version != e.version
    ]
    more = f" ... and {len(moved) - NAMED} more airports" if len(moved) > NAMED else ""
    return f"{', '.join(moved[:NAMED]) or 'no airport in both has another version'}{more}"


def _of_fleet(ws: Workspace, current: Release, release_id: str | None) -> Release:
    """The release to go back to, that was in force before: by its id, or the last of which nothing was rolled back."""
    earlier = _earlier(ws, current)
    if release_id is not None:
        known = {release.release_id: release for release in [current, *earlier]}
        if release_id not in known:
            there = ", ".join(release.release_id for release in earlier[:5])
            advice = f"{there}; name one of these, or leave --release out for the one before" if there else "none"
            raise ConfigurationError(
                f"--release: {release_id} was never in force in fleet {ws.fleet}; before the one that is were: {advice}"
            )
        return known[release_id]
    gone = releases.withdrawn(ws)
    whole = [r for r in earlier if not any((e.airport, e.version) in gone for e in r.entries)]
    if not whole:
        raise ConfigurationError(f"fleet {ws.fleet}: there is no release before {current.release_id} to go back to")
    return whole[0]


def _of_airport(ws: Workspace, current: Release, airport: str, release_id: str | None, now: pd.Timestamp) -> Release:
    """The release in force with one airport's entry replaced by an earlier one."""
    mine = current.by_airport().get(airport)
    if mine is None:
        raise ConfigurationError(
            f"--airport: {airport} is not in the release in force, {current.release_id}; `paxcast status` says why"
        )
    before = _entry_before(ws, current, mine, release_id)
    of = releases.counts_from(ws) or current.as_of
    made = release_core.compose(ws.fleet, of, current.run_key, current, [before])
    if made.entries == current.entries:
        return current
    releases.keep(ws, made, now, backfill=False)
    return made


def _entry_before(ws: Workspace, current: Release, mine: Entry, release_id: str | None) -> Entry:
    """What an airport goes back to: its entry in a release that is named, else its last one that is not rolled back."""
    if release_id is not None:
        named = _of_fleet(ws, current, release_id).by_airport().get(mine.airport)
        if named is None:
            raise ConfigurationError(f"--airport: {mine.airport} is not in release {release_id}")
        return named
    gone = {*releases.withdrawn(ws), (mine.airport, mine.version)}
    for release in _earlier(ws, current):
        entry = release.by_airport().get(mine.airport)
        if entry is not None and (entry.airport, entry.version) not in gone:
            return entry
    raise ConfigurationError(
        f"--airport: {mine.airport} was never forecast by another version that is still there; nothing to go back to"
    )


def _earlier(ws: Workspace, current: Release) -> list[Release]:
    """The releases that were in force before this one, newest first, each once."""
    ids = [record.release_id for record in reversed(releases.succession(ws))]
    found = [releases.load(ws, one) for one in dict.fromkeys(ids) if one != current.release_id]
    return [release for release in found if release is not None]
