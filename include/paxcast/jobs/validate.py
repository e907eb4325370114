"""Validate: judge every airport's history at `as_of`. Bad airports are quarantined with reasons, never the fleet."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, FLEET
from paxcast.core.errors import ConfigurationError
from paxcast.core.quality import QualityRules, Verdict, judge_fleet
from paxcast.core.treatment.rules import BRIDGE, CHOOSE
from paxcast.jobs import histories
from paxcast.jobs.run import Run
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.validate")
MOST_NAMED = 10
UNHEARD_ADVICE = "write the codes as in the data, or remove them; if their data are still to come, ignore this"


@dataclass(frozen=True, slots=True)
class Validated:
    """Rows known = rows used + rows quarantined. `data_version`: the version of `observations` that was judged."""

    data_version: int
    airports: int
    quarantined: int
    rows_known: int
    rows_used: int


def rules(ws: Workspace) -> QualityRules:
    """What a history must be, from the configuration and the defaults of its frequency."""
    base = calendar.frequency(histories.frequency(ws))
    wanted, treated = ws.settings.history, ws.settings.rules()
    bridges = treated.shock_mode in (BRIDGE, CHOOSE)
    eventful = [airport for airport, own in ws.settings.overrides.items() if own.events and bridges]
    return QualityRules(
        frequency=base.code,
        min_periods=_first(wanted.min_periods, base.min_periods),
        max_gap=_first(wanted.max_gap, base.max_gap),
        max_stale=_first(wanted.max_stale, base.max_stale),
        absent=ws.settings.source.absent,
        delay_days=ws.settings.source.delay_days,
        shortest_part=treated.shortest_part(base.code),
        bridged=treated.shocks if bridges else (),
        own_bridged={airport: ws.settings.rules(airport).shocks for airport in eventful},
    )


def validate(run: Run) -> Validated:
    """Write one row an airport to `quality`, in the place of an earlier try's. Writes nothing on a dry run."""
    ws = run.ws
    histories.check_ingested(ws)
    version = ws.tables.version("observations")
    if version < 0:
        raise ConfigurationError(histories.nothing_ingested(ws))
    unheard = unheard_overrides(ws)
    if unheard:
        log.warning("%s; %s", unheard, UNHEARD_ADVICE)
    verdicts = judge(run, version)
    used = sum(v.rows_used for v in verdicts)
    if not run.request.dry_run:
        _write(run, verdicts)
    return Validated(
        version, len(verdicts), sum(v.quarantined for v in verdicts), sum(v.rows_known for v in verdicts), used
    )


def unheard_overrides(ws: Workspace) -> str:
    """What is wrong with `overrides` that name airports of which the fleet never received a row; empty if none do."""
    named = set(ws.settings.overrides)
    for table in ("observations", "rejects") if named else ():
        named -= set(ws.tables.read(table, [(FLEET, "=", ws.fleet)], [AIRPORT])[AIRPORT].dropna())
    if not named:
        return ""
    more = f" and {len(named) - MOST_NAMED} more" if len(named) > MOST_NAMED else ""
    listed = ", ".join(sorted(named)[:MOST_NAMED]) + more
    return f"{ws.settings.origin}: overrides: {listed}: fleet {ws.fleet} has no such airport, so they change nothing"


def judge(run: Run, version: int) -> list[Verdict]:
    """The verdicts at `as_of`, those of airports of which only rejected rows ever arrived among them."""
    ws = run.ws
    rows = histories.known_rows(ws, run.as_of, version)
    verdicts = judge_fleet(rows, run.as_of, rules(ws))
    verdicts = verdicts + _unreadable(ws, {v.airport for v in verdicts}, run.as_of)
    return [_left_out(ws, v) for v in sorted(verdicts, key=lambda v: v.airport)]


def _left_out(ws: Workspace, verdict: Verdict) -> Verdict:
    """The verdict, or, on an airport that the configuration excludes, that it is, whatever its data are like."""
    if not ws.settings.excluded(verdict.airport):
        return verdict
    file = Path(ws.settings.origin).name  # without its folder, which is another one on another machine
    return replace(
        verdict,
        quarantined=True,
        reasons=("excluded",),
        detail=f"excluded: by overrides in {file}",
        rows_used=0,
        rows_quarantined=verdict.rows_known,
    )


def _unreadable(ws: Workspace, seen: set[str], as_of: pd.Timestamp) -> list[Verdict]:
    """Airports none of whose rows could be read: rejected at the door, and never seen since."""
    rejects = ws.tables.read("rejects", [(FLEET, "=", ws.fleet)]).dropna(subset=[AIRPORT])
    stored = ws.tables.read("observations", [(FLEET, "=", ws.fleet)], [AIRPORT])[AIRPORT].unique()
    never = rejects[~rejects[AIRPORT].isin(seen | set(stored))].drop_duplicates(["airport", "file", "row"])
    return [
        Verdict(
            airport=str(airport),
            quarantined=True,
            reasons=("unreadable",),
            detail=f"none of {len(group)} rows could be read; the first, row {group['row'].iloc[0]} of "
            f"{group['file'].iloc[0]}: {group['reason'].iloc[0]}",
            rows_known=0,
            rows_used=0,
            rows_quarantined=0,
            first_ds=None,
            last_ds=None,
            checksum="0" * 16,
        )
        for airport, group in never.groupby(AIRPORT)
    ]


def _write(run: Run, verdicts: list[Verdict]) -> None:
    rows = [
        {
            FLEET: run.ws.fleet,
            "run_key": run.run_key,
            "as_of": run.as_of,
            "airport": v.airport,
            "quarantined": v.quarantined,
            "reasons": ",".join(v.reasons),
            "detail": v.detail,
            "rows_known": v.rows_known,
            "rows_used": v.rows_used,
            "rows_quarantined": v.rows_quarantined,
            "first_ds": v.first_ds,
            "last_ds": v.last_ds,
            "checksum": v.checksum,
        }
        for v in verdicts
    ]
    frame = pd.DataFrame(rows)
    if not frame.empty and not _same(read(run), frame):
        run.ws.tables.replace("quality", frame, {FLEET: run.ws.fleet, "run_key": run.run_key})


def read(run: Run) -> pd.DataFrame:
    """The verdicts of a run, sorted by airport."""
    rows = run.ws.tables.read("quality", [(FLEET, "=", run.ws.fleet), ("run_key", "=", run.run_key)])
    return rows.sort_values(AIRPORT, ignore_index=True)


def _same(stored: pd.DataFrame, fresh: pd.DataFrame) -> bool:
    columns = [AIRPORT, "checksum", "reasons", "detail"]
    return len(stored) == len(fresh) and bool((stored[columns].to_numpy() == fresh[columns].to_numpy()).all())


def _first(wanted: int | None, default: int) -> int:
    return default if wanted is None else wanted
