"""Releases in the store: immutable objects, and one pointer to the release in force.

releases/FLEET/RELEASE_ID.json      the map, and when it was published
releases/FLEET/current.json         the pointer, moved last, never back in time
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from paxcast.core import calendar
from paxcast.core import release as releases
from paxcast.core.release import Release
from paxcast.jobs.workspace import Workspace


def publish(ws: Workspace, release: Release, now: pd.Timestamp, backfill: bool) -> None:
    """Keep a release. Kept already, it stays as it was, with the time of its first publication."""
    value = {"published_at": now.isoformat(), "backfill": backfill, "release": release.as_dict()}
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


def make_current(ws: Workspace, release: Release) -> None:
    """Move the pointer: the last step of publishing."""
    ws.objects.put(f"releases/{ws.fleet}/current.json", {"release_id": release.release_id})


def in_force(ws: Workspace, as_of: pd.Timestamp) -> Release | None:
    """The newest release whose as_of is not later than this instant."""
    return _newest(kept for kept in _all(ws) if kept.as_of <= as_of)


def newest_before(ws: Workspace, as_of: pd.Timestamp, *, for_backfill: bool) -> Release | None:
    """The newest release of a strictly earlier as_of: whose champions a run may build on.

    A backfill's runs go on at the same time, in no order: none may depend on what another of them released.
    """
    return _newest(kept for kept in _all(ws) if kept.as_of < as_of and not (for_backfill and kept.backfill))


@dataclass(frozen=True, slots=True)
class _Kept:
    as_of: pd.Timestamp
    published_at: pd.Timestamp
    backfill: bool
    release: Release


def _all(ws: Workspace) -> Iterator[_Kept]:
    for name in ws.objects.names(f"releases/{ws.fleet}"):
        value = ws.objects.get(name)
        if value and "release" in value:
            release = releases.from_dict(value["release"])
            published = pd.Timestamp(value["published_at"])
            yield _Kept(calendar.parse_as_of(release.as_of), published, value["backfill"], release)


def _newest(kept: Iterable[_Kept]) -> Release | None:
    newest = max(kept, key=lambda k: (k.as_of, k.published_at, k.release.release_id), default=None)
    return newest.release if newest else None
