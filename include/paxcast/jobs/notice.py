"""The notice of a drift check: what of it is news, and the text that people are sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, FLEET
from paxcast.core.errors import ConfigurationError
from paxcast.core.identity import digest
from paxcast.jobs.status import records
from paxcast.jobs.workspace import Workspace

NONE = "none"  # the severity of an airport that is well, and the action where there is nothing to do
FAULT = "fault"
WORST_FIRST = ("severe", FAULT, "moderate", "watch", NONE)  # a fault waits for a person, what is moderate for a run
SHOWN = 10  # airports in a text, and as many with a fault
FOR_A_PERSON = ("fallback", "escalate")  # of these it is said why
MISSED_SHOWN = 5  # checks that could not be told, the newest
LACKS = ("overdue", "ended")  # of a check: data that do not come, forecasts that have ended
REASONS = 200  # characters of an airport's reasons


@dataclass(frozen=True, slots=True)
class Check:
    """A drift check as it is in the store. `rows`: of its airports that are not well, worst first. `news`: the digest
    of what is news in it: the verdict on the world, whether data are overdue or forecasts have ended, and severity,
    fault and action of these airports. `overdue`, `ended`, `notes`: see `drift_notes`; `looked_back`: nobody acts on
    it, see `drift_kept`."""

    fleet: str
    check_key: str
    as_of: str
    world: dict[str, Any]
    counts: dict[str, int]
    rows: tuple[dict[str, Any], ...]
    page: str
    news: str
    overdue: str = ""
    ended: int = 0
    looked_back: bool = False
    notes: tuple[str, ...] = ()

    @property
    def instant(self) -> str:
        """Its as_of as a name that sorts by time."""
        return f"{calendar.parse_as_of(self.as_of):%Y%m%dT%H%M%S}"

    @property
    def headline(self) -> str:
        """What was found, in a line."""
        counts = self.counts
        found = [
            *(["the world changed"] if self.world["alert"] else []),
            *([f"no data of the {self.overdue}"] if self.overdue else []),
            *([f"forecasts of {self.ended} have ended"] if self.ended else []),
            *([f"{counts['drifted']} of {counts['airports']} airports drifted"] if counts["drifted"] else []),
            *([f"faults in the data of {counts['fault']}"] if counts["fault"] else []),
            *([f"{counts['watch']} to watch"] if counts["watch"] else []),
        ]
        if not found:
            found = [f"something to do for {len(self.rows)}"] if self.rows else ["nothing is left to do"]
        return f"{self.fleet}, drift as of {self.as_of}: {', '.join(found)}"


def load(ws: Workspace, check_key: str, page: str = "") -> Check:
    """A check by its key; page: where its report is. Raises ConfigurationError if there is no such check."""
    value = ws.objects.get(f"drift/{ws.fleet}/{check_key}.json")
    if value is None:
        raise ConfigurationError(
            f"fleet {ws.fleet}: there is no drift check {check_key} to tell of; run `paxcast drift` first"
        )
    rows = records(ws.tables.read("drift", [(FLEET, "=", ws.fleet), ("check_key", "=", check_key)]))
    unwell = sorted((row for row in rows if row["severity"] != NONE or row["action"] != NONE), key=_badness)
    told = sorted([row[AIRPORT], row["severity"], row["fault"], row["action"]] for row in unwell)
    return Check(
        fleet=ws.fleet,
        check_key=check_key,
        as_of=value["as_of"],
        world=value["world"],
        counts=value["counts"],
        rows=tuple(unwell),
        page=page or value.get("page", ""),
        news=news(bool(value["world"]["alert"]), told, [name for name in LACKS if value.get(name)]),
        overdue=value.get("overdue", ""),
        ended=value.get("ended", 0),
        looked_back=value.get("looked_back", False),
        notes=tuple(value.get("notes", ())),
    )


def run_of(ws: Workspace, check_key: str) -> str:
    """The object that says which run in MLflow the check is."""
    return f"drift/{ws.fleet}/{check_key}/mlflow.json"


def news(alert: bool, airports: Sequence[Sequence[str]], lacks: Sequence[str] = ()) -> str:
    """The digest of what is news in a check. airports: code, severity, fault and action of those that are not well;
    lacks: those of LACKS that there are."""
    return digest({"world": alert, "airports": airports, **dict.fromkeys(lacks, True)})


def text(check: Check, missed: Sequence[str], mlflow_run: str) -> str:
    """What people are sent: the world, counts, the worst airports and links. missed: the headlines of earlier checks
    that could not be told; mlflow_run: where the check is in MLflow, if it is."""
    lines = [check.headline, "", _world(check.world), *_counts(check.counts), *check.notes]
    drifted, broken = ([row for row in check.rows if (row["severity"] == FAULT) == is_one] for is_one in (False, True))
    for name, rows in (("Worst", drifted), ("Faults in the data", broken)):
        lines += ["", f"{name}:", *(_airport(row) for row in rows[:SHOWN])] if rows else []
        lines += [f"and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    links = [f"{name}: {place}" for name, place in (("Page", check.page), ("MLflow", mlflow_run)) if place]
    lines += ["", *links] if links else []
    return "\n".join([*lines, *_not_told(missed)]) + "\n"


def _badness(row: dict[str, Any]) -> tuple[int, float, str]:
    p = float("inf") if row["p"] is None else row["p"]
    return WORST_FIRST.index(row["severity"]), p, row[AIRPORT]


def _world(world: dict[str, Any]) -> str:
    if not world["alert"] and world["p"] is None:
        return "There are too few airports or cycles to tell what they have in common."
    if not world["alert"]:
        return "The world as a whole has not changed."
    return (
        f"The world changed, since {world['since']}: in {world['cycle']} the fleet's median residual is "
        f"{_number(world['shift'], '+.1f')} spreads, and {_number(world['share'], '.0%')} of airports do worse than "
        f"usual (p {_number(world['p'], '.2g')})."
    )


def _counts(counts: dict[str, int]) -> list[str]:
    return [
        f"{counts['airports']} airports, {counts['tested']} tested: {counts['drifted']} drifted, {counts['watch']} to "
        f"watch, {counts['fault']} with a fault in their data.",
        f"To retrain {counts['retrain']}, to fall back to a simple method {counts['fallback']}, for a person "
        f"{counts['escalate']}, waiting for the budget {counts['wait']}.",
    ]


def _airport(row: dict[str, Any]) -> str:
    reasons = "; ".join([*([row["fault"]] if row["fault"] else []), *json.loads(row["reasons"])])
    shown = reasons if len(reasons) <= REASONS else f"{reasons[: REASONS - 3]}..."
    action = f"{row['action']} ({row['why']})" if row["why"] and row["action"] in FOR_A_PERSON else row["action"]
    return f"{row[AIRPORT]}: {row['severity']}, q {_number(row['q'], '.2g')}, {shown or '-'}; action: {action}"


def _not_told(missed: Sequence[str]) -> list[str]:
    if not missed:
        return []
    what = "1 check before this one" if len(missed) == 1 else f"{len(missed)} checks before this one"
    newest = ", the newest" if len(missed) > MISSED_SHOWN else ""
    return ["", f"{what} could not be sent here{newest}:", *missed[-MISSED_SHOWN:]]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
