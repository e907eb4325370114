"""What a check could not do, and why: airports not tested, data that do not come, forecasts that have ended."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from paxcast.core import calendar
from paxcast.core.drift import feed, residuals, verdicts
from paxcast.core.drift.verdicts import Rules, Verdict
from paxcast.jobs.drift_kept import Kept
from paxcast.jobs.evidence import Evidence
from paxcast.jobs.workspace import Workspace

CYCLES = {"D": "weeks", "W": "weeks", "MS": "months"}


def untested(known: Evidence, rules: Rules, airport: str, verdict: Verdict, before: Kept | None) -> str:
    """Why an airport was not tested, in words; "" if it was."""
    if verdict.tested:
        return ""
    if _ended(known, airport):
        return f"not tested: its forecast ended with {known.last[airport].date()}; retrain it"
    if before is not None and verdict.cycle and verdict.cycle == before.rows.get(airport, {}).get("cycle"):
        held = "; its verdict holds" if verdict.p is not None else ""
        return f"not tested: no new actual since the check as of {calendar.as_of_text(before.as_of)}{held}"
    at = known.panel.airports.index(airport)
    have, needed = int(np.isfinite(known.panel.residual[at]).sum()), _needed(rules)
    if have < needed:
        return f"not tested: {have} of the {needed} {CYCLES[known.frequency]} that a test needs"
    if not known.panel.live[at].any():
        return "not tested: no forecast that was published of it has an actual yet"
    return "not tested: the fleet has too little without drift to hold it against"


def overdue(ws: Workspace, known: Evidence, as_of: pd.Timestamp) -> str:
    """For how long no airport was reported that should have been: `3 weeks`; "" if it is no longer than is usual."""
    until = as_of - pd.Timedelta(days=ws.settings.source.delay_days)
    behind = feed.overdue(known.newest, known.frequency, until)
    return f"{behind:,} {feed.NAMES[known.frequency]}s" if behind else ""


def notes(
    ws: Workspace, known: Evidence, rules: Rules, rows: Sequence[dict[str, Any]], missing: str, *, looked_back: bool
) -> tuple[str, ...]:
    """What a person has to know beside the rows, a sentence each. missing: as `overdue` tells it."""
    ended, newest = sum(_ended(known, airport) for airport in known.last), known.newest.date()
    found: list[str] = []
    if missing:
        found.append(
            f"no airport has an actual after {newest}: {missing} are missing; see whether the source delivers and "
            "ingestion runs"
        )
    if ended:
        found.append(
            f"the forecasts of {ended} airports have ended before {newest}, so what came since is not compared; run "
            "`paxcast retrain`"
        )
    if looked_back and any(row["drifted"] for row in rows):
        found.append("nothing is asked for: the fleet was released or checked for a later date since")
    return (*found, *_too_early(ws, known, rules, rows))


def _ended(known: Evidence, airport: str) -> bool:
    """Whether its forecast has ended, while the fleet's actuals go on."""
    return airport in known.last and known.last[airport] < known.newest


def _needed(rules: Rules) -> int:
    """Cycles that a test needs: to compare with, that may have drifted, and one between."""
    return rules.least + rules.window + 1


def _too_early(ws: Workspace, known: Evidence, rules: Rules, rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Where nobody could be tested: what is missing, and as of when it will be there if no actual is missing."""
    if any(row["p"] is not None or row["severity"] != verdicts.NONE for row in rows):
        return ()
    name, needed = CYCLES[known.frequency], _needed(rules)
    have = int(np.isfinite(known.panel.residual).sum(axis=1).max(initial=0))
    if have >= needed:
        return ("no airport can be tested yet: no published forecast has met enough actuals; each new one counts",)
    periods = (needed - have) * (residuals.DAYS if known.frequency == "D" else 1)
    last = calendar.shift(pd.DatetimeIndex([known.panel.cycles[-1]]), periods, known.frequency)
    end = calendar.period_end(pd.Series(last), known.frequency).iloc[0]
    ready = calendar.as_of_text(end + pd.Timedelta(days=ws.settings.source.delay_days))
    return (
        f"no airport can be tested yet: a test needs {needed} {name} of forecasts and actuals, and none has more than "
        f"{have}; there will be enough as of {ready} at the latest, if no actual is missing",
    )
