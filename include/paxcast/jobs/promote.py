"""Promote: from the registered outcomes of a run to decisions and a release. Nothing moves yet; forecast does that."""

import json
import logging

import pandas as pd

from paxcast.core import calendar
from paxcast.core import release as release_core
from paxcast.core.columns import FLEET
from paxcast.core.errors import NothingToForecast
from paxcast.core.outcome import OK
from paxcast.core.release import Entry, Release
from paxcast.jobs import ledger, register, releases
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.promote")


def promote(ws: Workspace, run_key: str, manifest_as_of: str, now: pd.Timestamp, backfill: bool = False) -> Release:
    """The release of a run: the map in force at its as_of, with the airports of this run key replaced.

    Each decision goes to the table `decisions` with its reason. Promoted twice, it is the same release.
    Raises NothingToForecast if no airport of the run is registered and there is no earlier release either.
    """
    fresh = _fresh(ws, run_key)
    base = releases.in_force(ws, calendar.parse_as_of(manifest_as_of))
    entries = [entry for entry, _ in fresh]
    if not entries and base is None:
        raise NothingToForecast(
            f"{run_key}: no airport was finished and registered, and fleet {ws.fleet} has no earlier release; "
            "`paxcast status` gives each airport's reason"
        )
    if not entries and base is not None:
        log.warning("%s: nothing was finished and registered; release %s stays", run_key, base.release_id)
        return base
    made = release_core.compose(ws.fleet, manifest_as_of, run_key, base, entries)
    if base is not None and made.entries == base.entries and base.run_key == run_key:
        made = base
    _decisions(ws, made, fresh)
    releases.keep(ws, made, now, backfill)
    log.info("release %s: %d airports, %d of them from this run", made.release_id, len(made.entries), len(entries))
    return made


def _fresh(ws: Workspace, run_key: str) -> list[tuple[Entry, pd.Series]]:
    """Every ok and registered outcome of the run key: its entry in the release, and its row."""
    rows = ledger.newest(ws, run_key)
    versions = register.registrations(ws, run_key)[["airport", "checksum", "model", "version"]]
    merged = rows[rows["status"] == OK].merge(versions, on=["airport", "checksum"])
    return [(_entry(row), row) for _, row in merged.sort_values("airport").iterrows()]


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
    )


def _decisions(ws: Workspace, made: Release, fresh: list[tuple[Entry, pd.Series]]) -> None:
    there = ws.tables.read("decisions", [(FLEET, "=", ws.fleet), ("release", "=", made.release_id)], ["airport"])
    rows = [
        {
            FLEET: ws.fleet,
            "run_key": made.run_key,
            "release": made.release_id,
            "airport": entry.airport,
            "verdict": row["verdict"],
            "reason": row["reason"],
            "candidate": entry.candidate,
            "parameters": row["parameters"],
            "version": entry.version,
        }
        for entry, row in fresh
        if entry.airport not in set(there["airport"])
    ]
    ws.tables.append("decisions", pd.DataFrame(rows))
