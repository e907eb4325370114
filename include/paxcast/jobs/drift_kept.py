"""Drift checks as they are in the store: written in the place of an earlier one of the same as_of, and read again.

drift/FLEET/CHECK_KEY.json   the verdict on the world, and the counts; the airports' rows are in the table `drift`
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from paxcast.adapters.delta_store import TABLES, Filter
from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, FLEET
from paxcast.jobs import drift_asked, releases
from paxcast.jobs.drift_asked import TABLE
from paxcast.jobs.evidence import SECOND
from paxcast.jobs.status import records
from paxcast.jobs.workspace import Workspace

LISTS = ("reasons", "cusum")  # JSON in the table
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """A check. `rows`: by airport, the columns of the table, with lists for `reasons` and `cusum`; unknown is None."""

    as_of: pd.Timestamp
    rows: Mapping[str, Row]
    world: Row


def check_key(fleet: str, as_of: pd.Timestamp) -> str:
    """The name of a check."""
    return f"{fleet}-{as_of:%Y%m%dT%H%M%S}-drift"


def keep(ws: Workspace, as_of: pd.Timestamp, rows: Sequence[Row], said: Row) -> None:
    """Store a check: first its rows, then the object, without which it is none. Its page stays.

    rows: with the columns of the table that are the airports'. said: what the object holds beside the check's name.
    """
    key = check_key(ws.fleet, as_of)
    names = {"check_key": key, "as_of": calendar.as_of_text(as_of)}
    own = {FLEET: ws.fleet, "run_key": key, **names}
    every = [{**row, **own, **{name: json.dumps(row[name]) for name in LISTS}} for row in rows]
    frame = pd.DataFrame(every) if every else pd.DataFrame(columns=TABLES[TABLE].names)
    ws.tables.replace(TABLE, frame, {FLEET: ws.fleet, "check_key": key})
    page = (ws.objects.get(_name(ws, as_of)) or {}).get("page", "")
    ws.objects.put(_name(ws, as_of), {**names, **said, "page": page})


def looks_back(ws: Workspace, as_of: pd.Timestamp) -> bool:
    """Whether a check was, or would be, first made when the fleet had been released or checked for a later date: one
    of the past, by hand or by a backfill, which nobody acts on."""
    kept = ws.objects.get(_name(ws, as_of))
    if kept is not None:
        return bool(kept.get("looked_back", False))
    newest = drift_asked.newest_check(ws)
    released = max((record.as_of for record in releases.publications(ws)), default=as_of)
    return released > as_of or (newest is not None and newest > as_of)


def before(ws: Workspace, as_of: pd.Timestamp) -> Kept | None:
    """The newest check of an earlier as_of, or None."""
    newest = drift_asked.newest_check(ws, as_of - SECOND)
    if newest is None:
        return None
    rows = _read(ws, [("as_of", "=", calendar.as_of_text(newest))])
    world = (ws.objects.get(_name(ws, newest)) or {}).get("world", {})
    return Kept(newest, {str(row[AIRPORT]): row for row in rows}, world)


def of_airport(ws: Workspace, airport: str) -> list[tuple[pd.Timestamp, Row]]:
    """What all checks said of an airport, with the instant each is as of, the oldest first."""
    rows = _read(ws, [(AIRPORT, "=", airport)])
    return sorted(((calendar.parse_as_of(row["as_of"]), row) for row in rows), key=lambda pair: pair[0])


def _read(ws: Workspace, filters: Sequence[Filter]) -> list[Row]:
    rows = records(ws.tables.read(TABLE, [(FLEET, "=", ws.fleet), *filters]))
    return [{**row, **{name: json.loads(row[name]) for name in LISTS}} for row in rows]


def _name(ws: Workspace, as_of: pd.Timestamp) -> str:
    return f"drift/{ws.fleet}/{check_key(ws.fleet, as_of)}.json"
