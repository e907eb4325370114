"""Promote: from the registered outcomes of a run to decisions and a release. Nothing moves yet; forecast does that."""

import json
import logging
from dataclasses import replace

import pandas as pd

from paxcast.core import calendar
from paxcast.core import release as release_core
from paxcast.core.errors import NothingToForecast
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import OK
from paxcast.core.release import Entry, Release
from paxcast.jobs import decide, ledger, plan, releases
from paxcast.jobs.workspace import Workspace, open_workspace

log = logging.getLogger("paxcast.promote")


def promote(ws: Workspace, run_key: str, manifest_id: str, now: pd.Timestamp, backfill: bool = False) -> Release:
    """The release of a run: the map in force at its as_of, with the airports of this run key replaced and without those
    that the configuration excludes.

    What is published of each is decided on the way (`decide`), with its reason. Promoted twice, it is the same release.
    Raises NothingToForecast if no airport of the run is registered and there is no earlier release either.
    """
    manifest = plan.load(ws, run_key, manifest_id)
    ws = open_workspace(ws.settings.with_numbers(manifest.numbers))
    base = releases.in_force(ws, calendar.parse_as_of(manifest.as_of))
    entries = _without_withdrawn(ws, _entries(ws, manifest))
    if not entries and base is None:
        raise NothingToForecast(
            f"{run_key}: no airport was finished and registered, and fleet {ws.fleet} has no earlier release; "
            "`paxcast status` gives each airport's reason"
        )
    if not entries and base is not None:
        log.warning("%s: nothing was finished and registered; release %s stays", run_key, base.release_id)
        return base
    made = release_core.compose(ws.fleet, manifest.as_of, run_key, _without_excluded(ws, base), entries)
    if base is not None and made.entries == base.entries and base.run_key == run_key:
        made = base
    releases.keep(ws, made, now, backfill)
    log.info("release %s: %d airports, %d of them from this run", made.release_id, len(made.entries), len(entries))
    return made


def _without_withdrawn(ws: Workspace, entries: list[Entry]) -> list[Entry]:
    """What was rolled back stays so, however often its run is repeated; only a forced one makes another version."""
    gone = releases.withdrawn(ws)
    kept = [e for e in entries if (e.airport, e.version) not in gone]
    if len(kept) < len(entries):
        log.warning(
            "%d airports were rolled back and keep what is in force; --force refits them", len(entries) - len(kept)
        )
    return kept


def _without_excluded(ws: Workspace, base: Release | None) -> Release | None:
    if base is None:
        return None
    return replace(base, entries=tuple(e for e in base.entries if not ws.settings.excluded(e.airport)))


def _entries(ws: Workspace, manifest: Manifest) -> list[Entry]:
    """Every finished and registered airport of the run key, as it stands in the release.

    Numbers come from the release that was frozen when the run was planned, not from the one in force now: siblings of a
    backfill, and other runs of this date, may have published since.
    """
    rows = ledger.newest(ws, manifest.run_key)
    versions = ledger.registrations(ws, manifest.run_key)[["airport", "checksum", "model", "version"]]
    finished = rows.loc[rows["status"] == OK, ["airport", "checksum"]].merge(versions, on=["airport", "checksum"])
    if finished.empty:
        return []
    frozen = manifest.context.get("previous_release")
    previous = releases.load(ws, frozen) if frozen else None
    decided = decide.decide(ws, manifest.run_key, finished, previous, manifest.whole)
    merged = decided.merge(finished, on=["airport", "checksum"]).sort_values("airport")
    return [_entry(row) for _, row in merged.iterrows()]


def _entry(row: pd.Series) -> Entry:
    return Entry(
        airport=row["airport"],
        model=row["model"],
        version=int(row["version"]),
        run_key=row["run_key"],
        as_of=row["as_of"],
        checksum=row["checksum"],
        candidate=row["method"],
        parameters=json.loads(row["parameters"]),
        rule=row["rule"],
    )
