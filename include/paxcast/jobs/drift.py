"""Drift: one check of a fleet as of an instant. Evidence -> faults -> verdicts -> explanations -> what is to be done.

A check is a function of its as_of, the configuration, the data, and what earlier checks said: done twice, it writes the
same. Without a new actual there is no new test: then the verdict of the check before holds.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT
from paxcast.core.drift import feed, holding, inputs, policy, residuals, verdicts
from paxcast.core.drift.feed import Fault
from paxcast.core.drift.holding import Earlier
from paxcast.core.drift.inputs import Finding
from paxcast.core.drift.panel import Panel
from paxcast.core.drift.policy import Action
from paxcast.core.drift.verdicts import Rules, Verdict
from paxcast.jobs import drift_asked, drift_kept, drift_notes, evidence
from paxcast.jobs.drift_kept import Kept
from paxcast.jobs.evidence import Evidence
from paxcast.jobs.workspace import Workspace

NONE, FAULT = verdicts.NONE, "fault"
SHOWN = ("airport", "drifted", "severity", "p", "q", "reasons", "action")  # first in a row, and all that is printed
ACTIONS = (policy.RETRAIN, policy.FALLBACK, policy.ESCALATE, policy.WAIT)  # that are counted
EXPLAINED = ": "  # in a reason that explains: `level: ...`; the name of a test has none
Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check said. `rows`: one an airport, sorted, SHOWN first. `world`: of the fleet as a whole. `notes`: what
    else a person has to know, see `drift_notes`."""

    check_key: str
    as_of: str
    rows: list[Row]
    world: Row
    counts: dict[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Told:
    """All that is said of airports, by airport; an airport without a fault has a verdict if it has a model."""

    verdicts: Mapping[str, Verdict]
    faults: Mapping[str, Sequence[Fault]]
    actions: Mapping[str, Action]
    findings: Mapping[str, Sequence[Finding]]
    untested: Mapping[str, str]


def check(ws: Workspace, as_of: pd.Timestamp) -> Checked:
    """Check a fleet for drift as of an instant; what is found is stored, in the place of an earlier check of it.

    Raises ConfigurationError where nothing was ingested yet, or nothing was released by then.
    """
    known, before, rules = evidence.gather(ws, as_of), drift_kept.before(ws, as_of), rules_of(ws)
    faults = _faults(ws, known, before)
    panel = residuals.of_some(known.panel, {*known.panel.airports} - {*faults})
    judged = verdicts.judge(panel, rules)
    told = _held(judged.airports, panel, known, before)
    every = [fault for own in faults.values() for fault in own]
    past = drift_asked.past(ws, as_of)
    actions = policy.act(tuple(told.values()), every, past, known.simple, ws.settings.drift.budget)
    looked_back = drift_kept.looks_back(ws, as_of)
    if looked_back:
        actions = policy.undone(actions)
    rows = _rows(
        ws,
        known,
        _Told(
            verdicts=told,
            faults=faults,
            actions={action.airport: action for action in actions},
            findings=_findings(ws, known, [a for a, verdict in told.items() if verdict.severity != NONE]),
            untested={a: drift_notes.untested(known, rules, a, verdict, before) for a, verdict in told.items()},
        ),
    )
    world = {name: _finite(value) for name, value in asdict(judged.world).items()}
    overdue = drift_notes.overdue(ws, known, as_of)
    found = Checked(
        check_key=drift_kept.check_key(ws.fleet, as_of),
        as_of=calendar.as_of_text(as_of),
        rows=rows,
        world=world,
        counts=_counts(rows),
        notes=drift_notes.notes(ws, known, rules, rows, overdue, looked_back=looked_back),
    )
    settings = ws.settings.drift.model_dump(mode="json")
    beside = {
        "looked_back": looked_back,
        "world": world,
        "counts": found.counts,
        "notes": list(found.notes),
        "overdue": overdue,
        "ended": drift_notes.ended(known),
        "data_version": known.data_version,
        "settings": settings,
    }
    drift_kept.keep(ws, as_of, rows, beside)
    return found


def rules_of(ws: Workspace) -> Rules:
    """How a fleet's airports are tested."""
    own = ws.settings.drift
    return Rules(q=own.q, window=own.window, reference=own.reference)


# --- what is said of the airports


def _faults(ws: Workspace, known: Evidence, before: Kept | None) -> dict[str, list[Fault]]:
    found: dict[str, list[Fault]] = {}
    absent, window = ws.settings.source.absent, ws.settings.drift.window
    begun = _begun(before) if before else {}
    for fault in feed.faults(known.history, known.frequency, absent, known.newest, window=window, begun=begun):
        if not ws.settings.excluded(fault.airport):
            found.setdefault(fault.airport, []).append(fault)
    return found


def _begun(before: Kept) -> dict[str, str]:
    """By airport since when the check before found values wrong, as `_row` writes it."""
    wrong = {airport: row for airport, row in before.rows.items() if row["fault"] in (feed.UNIT, feed.TOTAL)}
    return {a: min(one.split(EXPLAINED)[0].rsplit(maxsplit=1)[1] for one in row["reasons"]) for a, row in wrong.items()}


def _held(judged: Sequence[Verdict], panel: Panel, known: Evidence, before: Kept | None) -> dict[str, Verdict]:
    """By airport the verdict that counts, see `holding`."""
    there, found = np.isfinite(panel.residual), {}
    for at, verdict in enumerate(judged):
        airport = verdict.airport
        earlier, since = _earlier(before, airport), known.known_since.get(airport)
        version = known.versions[airport]
        found[airport] = holding.held(verdict, there[at], panel.live[at], earlier, version, since)
    return found


def _earlier(before: Kept | None, airport: str) -> Earlier | None:
    """What the check before said of an airport; of its reasons the tests."""
    if before is None or airport not in before.rows:
        return None
    row = before.rows[airport]
    said = {f.name: row[f.name] for f in fields(Verdict)}
    tests = tuple(reason for reason in row["reasons"] if EXPLAINED not in reason)
    return Earlier(before.as_of, row["version"], Verdict(**{**said, "reasons": tests, "cusum": tuple(row["cusum"])}))


def _findings(ws: Workspace, known: Evidence, flagged: Sequence[str]) -> dict[str, tuple[Finding, ...]]:
    """What explains those that are flagged."""
    if not flagged:
        return {}
    own = ws.settings.drift
    return inputs.findings(
        known.history[known.history[AIRPORT].isin(flagged)],
        known.frequency,
        own.window,
        {a: n for a, n in known.restated.items() if a in flagged},
        {a: known.model_age[a] for a in flagged},
        own.stale_after,
        absent=ws.settings.source.absent,
    )


# --- rows


def _rows(ws: Workspace, known: Evidence, told: _Told) -> list[Row]:
    """One an airport that is known and not excluded, sorted."""
    everyone = sorted({*known.history[AIRPORT].unique(), *known.versions})
    return [_row(airport, known, told) for airport in everyone if not ws.settings.excluded(airport)]


def _row(airport: str, known: Evidence, told: _Told) -> Row:
    faults, verdict = told.faults.get(airport, ()), told.verdicts.get(airport, Verdict(airport, ""))
    action = told.actions.get(airport, Action(airport, policy.NONE, "no model of it is in force", ""))
    explained = [f"{one.what}{EXPLAINED}{one.detail}" for one in told.findings.get(airport, ())]
    broken = [f"{fault.kind} since {fault.since}{EXPLAINED}{fault.detail}" for fault in faults]
    return {
        "airport": airport,
        "drifted": verdict.drifted,
        "severity": FAULT if faults else verdict.severity,
        "p": _finite(verdict.p),
        "q": _finite(verdict.q),
        "reasons": broken or [*verdict.reasons, *(explained if verdict.severity != NONE else [])],
        "action": action.action,
        "cycle": verdict.cycle or _newest(known.panel, airport),
        "tested": verdict.tested,
        "ratio": _finite(verdict.ratio),
        "fault": faults[0].kind if faults else "",
        "why": action.why or told.untested.get(airport, ""),
        "pinned": action.pinned,
        "version": known.versions.get(airport, 0),
        "cusum": [_finite(value) for value in verdict.cusum],
    }


def _newest(panel: Panel, airport: str) -> str:
    """The newest cycle in which an airport has a residual, "" without any."""
    if airport not in panel.airports:
        return ""
    there = np.flatnonzero(np.isfinite(panel.residual[panel.airports.index(airport)]))
    return panel.cycles[there[-1]] if len(there) else ""


def _finite(value: Any) -> Any:
    """A value as JSON has it: what is no number is None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    severities = [row["severity"] for row in rows]
    return {
        "airports": len(rows),
        "tested": sum(row["tested"] for row in rows),
        "drifted": sum(row["drifted"] for row in rows),
        "watch": severities.count(verdicts.WATCH),
        "fault": severities.count(FAULT),
        **{name: sum(row["action"] == name for row in rows) for name in ACTIONS},
    }
