"""Status: one row an airport, from the ledger and the release in force."""

import math
from typing import Any

import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, FLEET
from paxcast.jobs import decide, releases
from paxcast.jobs.workspace import Workspace


def status(ws: Workspace) -> list[dict[str, Any]]:
    """One dict an airport: airport, status (ok, quarantined, failed, never), method, mase, mase_naive, as_of, ...

    Status and reason are of the newest run that judged the airport; method, errors (in the test window), as_of and
    version are of the model in force, if there is one.
    """
    seen = ws.tables.read("observations", [(FLEET, "=", ws.fleet)], [AIRPORT])[AIRPORT].unique()
    outcomes = _ordered(ws)
    newest = outcomes.drop_duplicates(AIRPORT).set_index(AIRPORT)
    entries = _in_force(ws)
    airports = sorted(set(seen) | set(newest.index))
    return [_row(a, newest, entries) for a in airports]


def _ordered(ws: Workspace) -> pd.DataFrame:
    """Every outcome, those of the newest run first; within a run, finished before failed."""
    rows = ws.tables.read("outcomes", [(FLEET, "=", ws.fleet)])
    judged = ws.tables.read("quality", [(FLEET, "=", ws.fleet)], ["run_key", "airport", "checksum"])
    rows = rows.merge(judged, on=["run_key", "airport", "checksum"])  # of a restated history only the last one counts
    released = releases.current(ws)
    instant = {a: calendar.parse_as_of(a) for a in rows["as_of"].unique()}
    rows = rows.assign(
        instant=rows["as_of"].map(instant),
        released=rows["run_key"].eq(released.run_key if released else ""),
        finished=rows["status"].ne("failed"),
    )
    return rows.sort_values(["instant", "released", "run_key", "finished", "attempt"], ascending=False)


def _in_force(ws: Workspace) -> dict[str, dict[str, Any]]:
    released = releases.current(ws)
    if released is None:
        return {}
    wanted = pd.DataFrame([(e.airport, e.run_key, e.checksum, e.version) for e in released.entries])
    wanted.columns = pd.Index(["airport", "run_key", "checksum", "version"])
    decided = decide.read(ws, sorted(wanted["run_key"].unique()))
    merged = decided.merge(wanted, on=["airport", "run_key", "checksum"])
    return {row["airport"]: row for row in records(merged)}


def _row(airport: str, newest: pd.DataFrame, entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
    entry = entries.get(airport, {})
    judged = newest.loc[airport] if airport in newest.index else None
    return {
        "airport": airport,
        "status": judged["status"] if judged is not None else "never",
        "method": entry.get("method"),
        "mase": entry.get("mase"),
        "mase_naive": entry.get("mase_naive"),
        "as_of": entry.get("as_of") or (judged["as_of"] if judged is not None else None),
        "version": entry.get("version"),
        "reason": _reason(judged, entry),
    }


def _reason(judged: Any, entry: dict[str, Any]) -> str:
    """Of an airport that is not ok, why; of the others, what was decided for the model in force."""
    if judged is None:
        return "no run has looked at this airport yet"
    return str(judged["reason"] or entry.get("reason", ""))


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain values for JSON: None where there is nothing, dates as text."""
    names = [str(name) for name in frame.columns]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in frame.itertuples(index=False, name=None)]


def _plain(value: Any) -> Any:
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value.date()) if isinstance(value, pd.Timestamp) else value
