"""Approval: whether a person is to be asked before a release comes into force, and what was answered.

approvals/FLEET/RELEASE_ID.json   that it was asked for, then the answer, the last one if there were several; without a
                                  yes the old release stays, and this one is never published

Asked is where more than the share `promotion.ask_above` of the airports in force would get other specifications.
"""

from dataclasses import dataclass

import pandas as pd

from paxcast.core.errors import ConfigurationError
from paxcast.core.release import Release
from paxcast.jobs import releases
from paxcast.jobs.workspace import Workspace

ROUNDING = 1e-9  # 0.29 of 100 airports are 29 and no fewer


@dataclass(frozen=True, slots=True)
class Question:
    """A release that waits: of how many airports the specification would change, of how many that are in force."""

    release_id: str
    changed: tuple[str, ...]
    of: int
    limit: float

    def __str__(self) -> str:
        some = ", ".join(self.changed[:5]) + (" ..." if len(self.changed) > 5 else "")
        return (
            f"release {self.release_id} would change the specification of {len(self.changed)} of {self.of} airports "
            f"({some}): more than promotion.ask_above, {self.limit:.0%}"
        )


def question(ws: Workspace, release: Release) -> Question | None:
    """What is to be asked before this release comes into force; None if nothing is, or if the answer was yes."""
    limit, before = ws.settings.promotion.ask_above, releases.current(ws)
    if limit is None or before is None or not releases.may_replace(ws, release) or _approved(ws, release.release_id):
        return None
    in_force, coming = before.by_airport(), release.by_airport()
    both = sorted(in_force.keys() & coming.keys())
    changed = tuple(a for a in both if in_force[a].parameters != coming[a].parameters)
    asked = Question(release.release_id, changed, len(both), limit)
    return asked if len(changed) > limit * len(both) + ROUNDING else None


def ask(ws: Workspace, release_id: str) -> None:
    """Put on record that a release waits. What was answered before stays."""
    ws.objects.put_if_absent(_name(ws, release_id), {"approved": False, "by": "", "at": ""})


def is_open(ws: Workspace, release_id: str) -> bool:
    """Whether it was asked for, and the answer is not yes."""
    return ws.objects.get(_name(ws, release_id)) is not None and not _approved(ws, release_id)


def answer(ws: Workspace, release_id: str, approved: bool, by: str, now: pd.Timestamp) -> None:
    """Put an answer on record. Raises ConfigurationError if there is no such release."""
    if releases.load(ws, release_id) is None:
        raise ConfigurationError(f"fleet {ws.fleet}: there is no release {release_id}; the log of its run names it")
    ws.objects.put(_name(ws, release_id), {"approved": approved, "by": by, "at": now.isoformat()})


def _approved(ws: Workspace, release_id: str) -> bool:
    said = ws.objects.get(_name(ws, release_id))
    return said is not None and bool(said["approved"])


def _name(ws: Workspace, release_id: str) -> str:
    return f"approvals/{ws.fleet}/{release_id}.json"
