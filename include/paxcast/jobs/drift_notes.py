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
    there, needed = np.flatnonzero(np.isfinite(known.panel.residual[at])), _needed(rules)
    if len(there) < needed:
        return f"not tested: {len(there)} of the {needed} {CYCLES[known.frequency]} that a test needs"
    if not known.panel.live[at].any():
        return "not tested: no forecast that was published of it has an actual yet"
    if not known.panel.live[at, there[-1]]:
        return "not tested: no forecast of its newest actuals was published beforehand"
    return "not tested: the fleet has too little without drift to hold it against"


def overdue(ws: Workspace, known: Evidence, as_of: pd.Timestamp) -> str:
    """Since when most airports are not reported though they should be: `5 weeks after 2024-12-23`; "" while that is no
    longer than `history.max_stale`."""
    until = as_of - pd.Timedelta(days=ws.settings.source.delay_days)
    patience = ws.settings.history.max_stale
    last = pd.Series({a: day for a, day in known.reported.items() if not ws.settings.excluded(a)})
    default = calendar.frequency(known.frequency).max_stale
    usual, behind = feed.overdue(last, known.frequency, until, default if patience is None else patience)
    return f"{behind:,} {feed.NAMES[known.frequency]}s after {usual.date()}" if behind else ""


def ended(known: Evidence) -> int:
    """Of how many airports the forecast has ended, while their actuals go on."""
    return sum(_ended(known, airport) for airport in known.last)


def notes(
    ws: Workspace, known: Evidence, rules: Rules, rows: Sequence[dict[str, Any]], missing: str, *, looked_back: bool
) -> tuple[str, ...]:
    """What a person has to know beside the rows, a sentence each. missing: as `overdue` tells it."""
    over = ended(known)
    found: list[str] = []
    if missing:
        found.append(
            f"most airports have no actual of the {missing}; see whether the source delivers and ingestion runs, and "
            "state source.delay_days if it is always so late"
        )
    if over:
        found.append(
            f"the forecast has ended of {over} airports that are still reported, so what came since is not compared; "
            "run `paxcast retrain`"
        )
    if looked_back and any(row["drifted"] for row in rows):
        found.append("nothing is asked for: the fleet was released or checked for a later date since")
    return (*found, *(() if missing or over else _too_early(ws, known, rules, rows)))


def _ended(known: Evidence, airport: str) -> bool:
    """Whether its forecast has ended, while its actuals go on."""
    return airport in known.last and airport in known.reported and known.last[airport] < known.reported[airport]


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
