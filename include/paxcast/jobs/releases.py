"""Releases in the store: immutable objects, a list of what was published, and one pointer to the release in force.

releases/FLEET/RELEASE_ID.json      the map: made by promote, and nothing yet
published/FLEET/NUMBER.json         that a release was published: its forecasts are written, its model is registered
releases/FLEET/current.json         the pointer, moved last, never back in time

A rollback (jobs/rollback.py) is a publication too: of an earlier release in the place of the one in force, whose date
it keeps. What the earlier one does not hold is withdrawn from then on: no run brings it back into force.
"""

from dataclasses import dataclass

import pandas as pd

from paxcast.core import calendar
from paxcast.core import release as releases
from paxcast.core.release import Entry, Release
from paxcast.jobs.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Publication:
    """That a release was published: the how-manieth time, from 1, that one of the fleet was. `instead_of`: the release
    that was rolled back to it."""

    number: int
    as_of: pd.Timestamp
    release_id: str
    backfill: bool
    instead_of: str | None = None


def keep(ws: Workspace, release: Release, now: pd.Timestamp, backfill: bool) -> None:
    """Keep a release. Kept already, it stays as it was, with the time it was first made."""
    value = {"made_at": now.isoformat(), "backfill": backfill, "release": release.as_dict()}
    ws.objects.put_if_absent(f"releases/{ws.fleet}/{release.release_id}.json", value)


def load(ws: Workspace, release_id: str) -> Release | None:
    """A release by its id, or None."""
    value = ws.objects.get(f"releases/{ws.fleet}/{release_id}.json")
    return releases.from_dict(value["release"]) if value and "release" in value else None  # the pointer has none


def entries(ws: Workspace, release_id: str, airport: str | None = None) -> tuple[Entry, ...] | None:
    """What a release holds, or what of one airport, which is far less work; None where there is no such release."""
    if airport is None:
        release = load(ws, release_id)
        return None if release is None else release.entries
    stored = ws.objects.get_bytes(f"releases/{ws.fleet}/{release_id}.json")
    if stored is None:
        return None
    found = releases.entry_in(stored, airport)
    return () if found is None else (found,)


def current(ws: Workspace) -> Release | None:
    """The release in force, or None before the first."""
    pointer = ws.objects.get(_pointer(ws))
    return load(ws, pointer["release_id"]) if pointer else None


def may_replace(ws: Workspace, release: Release) -> bool:
    """Whether a release may come into force after the one that is: never one of an earlier as_of."""
    pointer = ws.objects.get(_pointer(ws))
    before = current(ws)
    if pointer is None or before is None:
        return True
    since = pointer.get("as_of", before.as_of)  # after a rollback that of the release in whose place it stands
    return calendar.parse_as_of(since) <= calendar.parse_as_of(release.as_of)


def published(ws: Workspace, release: Release, *, of: str | None = None, instead_of: str | None = None) -> None:
    """Put on record that a release was published. The newest record of its as_of already, it is not repeated.

    of: the as_of from which it counts, if not its own; instead_of: the release that was rolled back.
    """
    records = publications(ws)
    as_of = of or release.as_of
    mine = [r for r in records if r.as_of == calendar.parse_as_of(as_of)]
    if mine and mine[-1].release_id == release.release_id:
        return
    kept = ws.objects.get(f"releases/{ws.fleet}/{release.release_id}.json") or {}
    number = records[-1].number + 1 if records else 1
    value = {"release_id": release.release_id, "as_of": as_of, "backfill": kept.get("backfill", False)}
    value |= {"instead_of": instead_of} if instead_of else {}
    if not ws.objects.put_if_absent(f"published/{ws.fleet}/{number:08d}.json", value):
        published(ws, release, of=of, instead_of=instead_of)  # another run took that number at the same moment


def is_current(ws: Workspace, release: Release) -> bool:
    """Whether the pointer names this release."""
    pointer = ws.objects.get(_pointer(ws))
    return pointer is not None and bool(pointer["release_id"] == release.release_id)


def make_current(ws: Workspace, release: Release, *, of: str | None = None) -> None:
    """Move the pointer: the last step of publishing. of: the as_of from which it counts, if not its own."""
    ws.objects.put(_pointer(ws), {"release_id": release.release_id, "as_of": of or release.as_of})


def counts_from(ws: Workspace) -> str | None:
    """The as_of from which the release in force counts: its own, after a rollback that of the one it replaced."""
    pointer, now = ws.objects.get(_pointer(ws)), current(ws)
    return None if pointer is None or now is None else str(pointer.get("as_of", now.as_of))


def succession(ws: Workspace) -> list[Publication]:
    """The publications that came into force, in order: none of an earlier as_of than the one before."""
    found: list[Publication] = []
    for record in publications(ws):
        if not found or record.as_of >= found[-1].as_of:
            found.append(record)
    return found


def withdrawn(ws: Workspace, as_of: pd.Timestamp | None = None) -> dict[tuple[str, int], pd.Timestamp]:
    """(airport, version) of everything that was rolled back, and not put in force by a rollback again; and the as_of
    from which the release counts that took its place. as_of: as known at an instant; else all there is."""
    found: dict[tuple[str, int], pd.Timestamp] = {}
    for record in publications(ws):
        if record.instead_of is None or (as_of is not None and record.as_of > as_of):
            continue
        before, after = (
            {(e.airport, e.version) for e in entries(ws, one) or ()} for one in (record.instead_of, record.release_id)
        )
        found = {pair: since for pair, since in found.items() if pair not in after}
        found |= {pair: record.as_of for pair in before - after if pair not in found}
    return found


def _pointer(ws: Workspace) -> str:
    return f"releases/{ws.fleet}/current.json"


def in_force(ws: Workspace, as_of: pd.Timestamp) -> Release | None:
    """Of the published releases with the newest as_of that is not later than this instant, the last one."""
    return _newest(ws, [r for r in publications(ws) if r.as_of <= as_of])


def newest_before(ws: Workspace, as_of: pd.Timestamp, *, for_backfill: bool) -> Release | None:
    """The newest published release of a strictly earlier as_of: whose champions a run may build on.

    A backfill's runs go on at the same time, in no order: none may depend on what another of them released.
    """
    return _newest(ws, [r for r in publications(ws) if r.as_of < as_of and not (for_backfill and r.backfill)])


def publications(ws: Workspace) -> list[Publication]:
    """Every publication of a release of the fleet, in order."""
    records = []
    for name in ws.objects.names(f"published/{ws.fleet}"):
        value = ws.objects.get(name)
        if value is not None:
            number = int(name.rsplit("/", 1)[1].removesuffix(".json"))
            as_of = calendar.parse_as_of(value["as_of"])
            instead_of = value.get("instead_of")
            records.append(Publication(number, as_of, value["release_id"], value["backfill"], instead_of))
    return records


def _newest(ws: Workspace, records: list[Publication]) -> Release | None:
    newest = max(records, key=lambda r: (r.as_of, r.number), default=None)
    return load(ws, newest.release_id) if newest else None
