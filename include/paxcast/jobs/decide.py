"""Decide: from what every candidate forecast for every airport to what is published of each, once and for good.

runs/RUN_KEY/fleet.json   the rule and the errors that airports share, fixed when the whole fleet is first decided;
                          with the levels that intervals are taken at after what became of those of earlier releases
runs/RUN_KEY/part.json    the same for airports asked for by name before the whole fleet was

An airport that is finished later under the same key, after a failure, is decided with what is fixed there, so that it
changes no other. A run over some airports takes what its key has of the whole fleet, else what the release before it
was decided with, and only where there is neither its own airports'.
"""

import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from paxcast.core import adaptation, calendar, composition, intervals, scoring
from paxcast.core import outcome as outcomes
from paxcast.core.adaptation import Covered
from paxcast.core.columns import FLEET
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.intervals import Pool
from paxcast.core.outcome import Outcome
from paxcast.core.release import Entry, Release
from paxcast.jobs import ledger, score
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.decide")
KEY = ["run_key", "airport", "checksum"]
STEP = ["yhat", "lo80", "hi80", "lo95", "hi95"]
READERS = 8
DOUBTED = {"unconfirmed", "closed"}  # steps of a treatment after which no forecast is of high confidence
WHOLE, PART = "fleet.json", "part.json"
Key = tuple[str, str]  # airport, checksum
Shared = dict[str, Any]


def decide(ws: Workspace, run_key: str, finished: pd.DataFrame, base: Release | None, whole: bool) -> pd.DataFrame:
    """The decision on each finished airport of a run key: those on record, and the others', which are added.

    finished: columns airport, checksum. base: the release in force before; whole: whether all of the fleet runs.
    """
    there = read(ws, [run_key])
    known = set(zip(there["airport"], there["checksum"], strict=True))
    keys = sorted(finished[["airport", "checksum"]].itertuples(index=False, name=None))
    results = _load(ws, run_key, [key for key in keys if key not in known])
    if results:
        others = [key for key in keys if key in known]
        rule, pool = _shared(ws, run_key, results, others, base, whole)
        before = base.by_airport() if base else {}
        rows = [_row(result, rule, pool, before.get(result.airport)) for result in results]
        ws.tables.append("decisions", pd.DataFrame(rows))
        there = read(ws, [run_key])
    return there.merge(finished[["airport", "checksum"]], on=["airport", "checksum"])


def read(ws: Workspace, run_keys: Sequence[str]) -> pd.DataFrame:
    """The decisions of some run keys, one row for each airport and history."""
    rows = ws.tables.read("decisions", [(FLEET, "=", ws.fleet), ("run_key", "in", list(run_keys))])
    return rows.drop_duplicates(KEY, ignore_index=True)


def _load(ws: Workspace, run_key: str, wanted: Sequence[Key]) -> list[Outcome]:
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(lambda key: ledger.load(ws.objects, run_key, *key), wanted))
    return [result for result in found if result is not None]


def _shared(
    ws: Workspace, run_key: str, results: Sequence[Outcome], others: Sequence[Key], base: Release | None, whole: bool
) -> tuple[str, Pool]:
    """The rule and the pool of errors, those on record under the run key, or fixed now.

    results: what is to be decided; others: what was decided before under this key.
    """
    name = f"runs/{run_key}/{WHOLE if whole else PART}"
    fixed = ws.objects.get(name) if whole else _on_record(ws, run_key)
    if fixed is None:
        if whole:
            fixed = _fleet(ws, [*results, *_load(ws, run_key, others)], base)
        else:
            fixed = _inherited(ws, base, len(results[0].ds)) or _fleet(ws, results, base)
        ws.objects.put_if_absent(name, fixed)
        fixed = ws.objects.get(name) or fixed
    return fixed["rule"], intervals.pool_from_json(fixed["pool"])


def _on_record(ws: Workspace, run_key: str) -> Shared | None:
    """What was fixed under a run key, for the whole fleet if it was."""
    found: Shared | None = ws.objects.get(f"runs/{run_key}/{WHOLE}") or ws.objects.get(f"runs/{run_key}/{PART}")
    return found


def _inherited(ws: Workspace, base: Release | None, horizon: int) -> Shared | None:
    """What the release before was decided with, if it reached as far ahead."""
    found = _on_record(ws, base.run_key) if base else None
    return found if found and all(len(q) == horizon for q in found["pool"]["quantiles"].values()) else None


def _fleet(ws: Workspace, results: Sequence[Outcome], base: Release | None) -> Shared:
    airports = [outcomes.evaluation_of(result) for result in sorted(results, key=lambda r: r.airport)]
    rule, errors = composition.fleet_rule(airports)
    missed = [composition.missed(airport, composition.compose(airport, rule)) for airport in airports]
    cycles = _cycles(ws, calendar.parse_as_of(results[0].as_of))
    levels = adaptation.effective_levels(cycles)
    pool = intervals.pool(missed, airports[0].forecast.shape[1], effective=levels)
    log.info("rule %s: MASE in unseen folds %s", rule, ", ".join(f"{r} {e:.3f}" for r, e in sorted(errors.items())))
    taken = {str(nominal): level for nominal, level in levels.items()}
    log.info("intervals after %d periods: %s", len(cycles), ", ".join(f"{a} at {b:.3f}" for a, b in taken.items()))
    shared = {"rule": rule, "errors": errors, "airports": len(airports), "pool": pool.as_json()}
    return {**shared, "cycles": len(cycles), "levels": taken}


def _cycles(ws: Workspace, as_of: pd.Timestamp) -> list[Covered]:
    """What is known at `as_of` of the intervals of releases before it, scored first.

    Not of those that a backfill published: they were never in force, and its runs go on at once, in no order.
    """
    score.score(ws, as_of)
    rows = score.read(ws, as_of)
    in_force = (rows[scoring.FORECAST_AS_OF] < as_of) & ~rows["backfill"].astype(bool)
    return adaptation.cycles(rows[in_force])


def _row(result: Outcome, rule: str, pool: Pool, before: Entry | None) -> dict[str, Any]:
    airport = outcomes.evaluation_of(result)
    composed = composition.compose(airport, rule)
    missed = composition.missed(airport, composed)
    band = intervals.band(composed.forecast, pool, intervals.size(missed, pool.middle, airport.level))
    parameters = {e["candidate"]: e["parameters"] for e in result.entrants if e["candidate"] in composed.weights}
    seasons = result.seasons if airport.folds is not None else 0.0  # where no method was judged it is never high
    doubted = any(step["what"] in DOUBTED for step in result.steps)
    return {
        FLEET: result.fleet,
        "run_key": result.run_key,
        "airport": result.airport,
        "checksum": result.checksum,
        "as_of": result.as_of,
        "verdict": _verdict(composed, parameters, before),
        "reason": result.reason or composed.reason,  # of a pinned method that could not be fitted the worker knows why
        "method": composed.method,
        "rule": rule,
        "weights": json.dumps(composed.weights, sort_keys=True),
        "parameters": json.dumps(parameters, sort_keys=True),
        "cv_mase": composed.cv_mase,
        "cv_mase_naive": composed.cv_mase_naive,
        **_tested(airport, composed),
        "confidence": intervals.confidence(band, seasons, doubted),
        "forecast": json.dumps({"ds": result.ds, **{name: _plain(getattr(band, name)) for name in STEP}}),
    }


def _verdict(composed: Composed, parameters: dict[str, Any], before: Entry | None) -> str:
    """first, naive (the gate refused the combination), kept (same members, same parameters), or replaced."""
    if composed.gated:
        return "naive"
    if before is None:
        return "first"
    return "kept" if before.parameters == parameters else "replaced"


def _tested(airport: Evaluation, composed: Composed) -> dict[str, float | None]:
    """The errors in the untouched window, which nothing was chosen on; None without one."""
    if composed.test is None or airport.test is None:
        return {"mase": None, "mase_naive": None}
    return {"mase": airport.test_error(composed.test), "mase_naive": airport.test_error(airport.test[0])}


def _plain(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    return [float(f"{value:.{outcomes.DIGITS}g}") for value in values.tolist()]
