"""Releases in the store: immutable objects, a list of what was published, and one pointer to the release in force.

releases/FLEET/RELEASE_ID.json      the map: made by promote, and nothing yet
published/FLEET/NUMBER.json         that a release was published: its forecasts are written, its model is registered
releases/FLEET/current.json         the pointer, moved last, never back in time
"""

from dataclasses import dataclass

import pandas as pd

from paxcast.core import calendar
from paxcast.core import release as releases
from paxcast.core.release import Release
from paxcast.jobs.workspace import Workspace


def keep(ws: Workspace, release: Release, now: pd.Timestamp, backfill: bool) -> None:
    """Keep a release. Kept already, it stays as it was, with the time it was first made."""
    value = {"made_at": now.isoformat(), "backfill": backfill, "release": release.as_dict()}
    ws.objects.put_if_absent(f"releases/{ws.fleet}/{release.release_id}.json", value)


def load(ws: Workspace, release_id: str) -> Release | None:
    """A release by its id, or None."""
    value = ws.objects.get(f"releases/{ws.fleet}/{release_id}.json")
    return releases.from_dict(value["release"]) if value else None


def current(ws: Workspace) -> Release | None:
    """The release in force, or None before the first."""
    pointer = ws.objects.get(f"releases/{ws.fleet}/current.json")
    return load(ws, pointer["release_id"]) if pointer else None


def may_replace(before: Release | None, release: Release) -> bool:
    """Whether a release may come into force after this one: never one of an earlier as_of."""
    return before is None or calendar.parse_as_of(before.as_of) <= calendar.parse_as_of(release.as_of)


def published(ws: Workspace, release: Release) -> None:
    """Put on record that a release was published. The newest record of its as_of already, it is not repeated."""
    records = publications(ws)
    mine = [r for r in records if r.as_of == calendar.parse_as_of(release.as_of)]
    if mine and mine[-1].release_id == release.release_id:
        return
    kept = ws.objects.get(f"releases/{ws.fleet}/{release.release_id}.json") or {}
    number = records[-1].number + 1 if records else 1
    value = {"release_id": release.release_id, "as_of": release.as_of, "backfill": kept.get("backfill", False)}
    if not ws.objects.put_if_absent(f"published/{ws.fleet}/{number:08d}.json", value):
        published(ws, release)  # another run took that number at the same moment


def is_current(ws: Workspace, release: Release) -> bool:
    """Whether the pointer names this release."""
    pointer = ws.objects.get(f"releases/{ws.fleet}/current.json")
    return pointer is not None and bool(pointer["release_id"] == release.release_id)


def make_current(ws: Workspace, release: Release) -> None:
    """Move the pointer: the last step of publishing."""
    ws.objects.put(f"releases/{ws.fleet}/current.json", {"release_id": release.release_id})


def in_force(ws: Workspace, as_of: pd.Timestamp) -> Release | None:
    """Of the published releases with the newest as_of that is not later than this instant, the last one."""
    return _newest(ws, [r for r in publications(ws) if r.as_of <= as_of])


def newest_before(ws: Workspace, as_of: pd.Timestamp, *, for_backfill: bool) -> Release | None:
    """The newest published release of a strictly earlier as_of: whose champions a run may build on.

    A backfill's runs go on at the same time, in no order: none may depend on what another of them released.
    """
    return _newest(ws, [r for r in publications(ws) if r.as_of < as_of and not (for_backfill and r.backfill)])


@dataclass(frozen=True, slots=True)
class Publication:
    """That a release was published: the how-manieth time, from 1, that one of the fleet was."""

    number: int
    as_of: pd.Timestamp
    release_id: str
    backfill: bool


def publications(ws: Workspace) -> list[Publication]:
    """Every publication of a release of the fleet, in order."""
    records = []
    for name in ws.objects.names(f"published/{ws.fleet}"):
        value = ws.objects.get(name)
        if value is not None:
            number = int(name.rsplit("/", 1)[1].removesuffix(".json"))
            as_of = calendar.parse_as_of(value["as_of"])
            records.append(Publication(number, as_of, value["release_id"], value["backfill"]))
    return records


def _newest(ws: Workspace, records: list[Publication]) -> Release | None:
    newest = max(records, key=lambda r: (r.as_of, r.number), default=None)
    return load(ws, newest.release_id) if newest else None
