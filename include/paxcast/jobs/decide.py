"""Decide: from what every candidate forecast for every airport to what is published of each, once and for good.

runs/RUN_KEY/fleet.json   the rule and the errors that airports share, fixed when the whole fleet is first decided;
                          with the levels that intervals are taken at after what became of those of earlier releases

An airport that is finished later under the same key, after a failure, is decided with what is fixed there, so that it
changes no other. A run over some airports takes what its key, or an earlier revision of it, has of the whole fleet;
else what the release was decided with that was frozen when it was planned; else, each airport by itself, the first
rule and its own errors. Such decisions stand beside those of the whole fleet, under `part_key`: once that is decided,
all are decided anew with it, and these are then the ones that count.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from paxcast.core import adaptation, calendar, choice, composition, intervals, scoring
from paxcast.core import outcome as outcomes
from paxcast.core.adaptation import Covered
from paxcast.core.columns import AIRPORT, FLEET
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.errors import ConfigurationError
from paxcast.core.intervals import Pool
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import Outcome
from paxcast.core.release import PART, Release, part_key
from paxcast.jobs import ledger, releases, score
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.decide")
KEY = ["run_key", "airport", "checksum"]
STEP = ["yhat", "lo80", "hi80", "lo95", "hi95"]
READERS = 8
DOUBTED = {"unconfirmed", "closed"}  # steps of a treatment after which no forecast is of high confidence
WHOLE = "fleet.json"
Key = tuple[str, str]  # airport, checksum
Shared = dict[str, Any]
Champions = Mapping[str, Mapping[str, Any]]  # by airport, the parameters of each of its method's members


def decide(ws: Workspace, run_key: str, finished: pd.DataFrame, previous: Release | None, whole: bool) -> pd.DataFrame:
    """The decision on each finished airport of a run key: those on record, and the others', which are added.

    finished: columns airport, checksum. previous: the release that was frozen when the run was planned; whole: whether
    all of the fleet runs.
    """
    with_fleet = whole or ws.objects.get(_name(run_key)) is not None
    key = run_key if with_fleet else part_key(run_key)
    there = _rows(ws, [key])
    known = set(zip(there["airport"], there["checksum"], strict=True))
    keys = sorted(finished[["airport", "checksum"]].itertuples(index=False, name=None))
    results = _load(ws, run_key, [pair for pair in keys if pair not in known])
    if results:
        others = [pair for pair in keys if pair in known]
        shared = _of_fleet(ws, run_key, results, others) if with_fleet else _of_part(ws, run_key, results, previous)
        champions = {e.airport: e.parameters for e in previous.entries} if previous else {}
        ws.tables.append("decisions", pd.DataFrame(_decided(key, results, shared, champions)))
        there = _rows(ws, [key])
    return there.merge(finished[["airport", "checksum"]], on=["airport", "checksum"])


def anew(ws: Workspace, key: str, results: Sequence[Outcome], manifest: Manifest) -> list[dict[str, Any]]:
    """The decisions that were made under a key, on these outcomes, made once more: rows of the table. Nothing is kept.

    key: of the whole fleet, or of a part. Raises ConfigurationError if what was fixed or taken then is gone.
    """
    run_key, frozen = manifest.run_key, manifest.context.get("previous_release")
    if key == run_key:
        shared: Shared | None = ws.objects.get(_name(run_key))
        if shared is None:
            raise ConfigurationError(f"run {run_key}: {_name(run_key)}, which its fleet was decided with, is gone")
    else:
        previous = releases.load(ws, frozen) if frozen else None
        if frozen and previous is None:
            raise ConfigurationError(f"run {run_key}: release {frozen}, which it was decided after, is gone")
        shared = _of_part(ws, run_key, results, previous, itself=False)  # of the whole fleet, nothing was fixed yet
    return _decided(key, results, shared, manifest.context.get("champions", {}))


def _decided(key: str, results: Sequence[Outcome], shared: Shared | None, champions: Champions) -> list[dict[str, Any]]:
    return [
        {**_row(result, *_taken(result, shared), champions.get(result.airport)), "run_key": key} for result in results
    ]


def read(ws: Workspace, run_keys: Sequence[str], airports: Sequence[str] = ()) -> pd.DataFrame:
    """The decisions of some run keys, one row for each airport and history; of all airports, or of some.

    Where the whole fleet has not decided on one yet, that of a part of it; asked for by its own key, as releases name
    it, always.
    """
    asked = set(run_keys)
    rows = _rows(ws, sorted(asked | {part_key(run_key) for run_key in asked}), airports)
    counting = set(rows.loc[rows["run_key"].isin(asked), KEY].itertuples(index=False, name=None))
    stays = [
        run_key in asked or (run_key.removesuffix(PART), *history) not in counting
        for run_key, *history in rows[KEY].itertuples(index=False, name=None)
    ]
    return rows[np.array(stays, dtype=bool)].reset_index(drop=True)


def _rows(ws: Workspace, keys: Sequence[str], airports: Sequence[str] = ()) -> pd.DataFrame:
    some = [(AIRPORT, "in", list(airports))] if airports else []
    rows = ws.tables.read("decisions", [(FLEET, "=", ws.fleet), ("run_key", "in", list(keys)), *some])
    return rows.drop_duplicates(KEY, ignore_index=True)


def _load(ws: Workspace, run_key: str, wanted: Sequence[Key]) -> list[Outcome]:
    with ThreadPoolExecutor(READERS) as readers:
        found = list(readers.map(lambda key: ledger.load(ws.objects, run_key, *key), wanted))
    return [result for result in found if result is not None]


def _of_fleet(ws: Workspace, run_key: str, results: Sequence[Outcome], others: Sequence[Key]) -> Shared:
    """What the whole fleet shares, as it is on record under the run key, or fixed now.

    results: what is to be decided; others: what was decided before under this key.
    """
    fixed = ws.objects.get(_name(run_key))
    if fixed is None:
        made = _fleet(ws, [*results, *_load(ws, run_key, others)])
        ws.objects.put_if_absent(_name(run_key), made)
        fixed = ws.objects.get(_name(run_key)) or made
    return dict(fixed)


def _of_part(
    ws: Workspace, run_key: str, results: Sequence[Outcome], previous: Release | None, itself: bool = True
) -> Shared | None:
    """What airports share that are decided before their whole fleet is, if they reach as far ahead; else nothing.

    itself: whether what was fixed under the run key counts, see `_on_record`.
    """
    found = _on_record(ws, run_key, itself) or _of_release(ws, previous)
    horizon = len(results[0].ds)
    return found if found and all(len(q) == horizon for q in found["pool"]["quantiles"].values()) else None


def _of_release(ws: Workspace, release: Release | None) -> Shared | None:
    """What a release was decided with: its whole fleet's; if it was of a part, what that took, as far back as it goes.

    A function of the release: what has been fixed under its run key since then does not count.
    """
    while release is not None:
        keys = {entry.run_key for entry in release.entries}
        in_part = part_key(release.run_key) in keys and release.run_key not in keys
        found = _on_record(ws, release.run_key, itself=not in_part)
        if found is not None:
            return found
        frozen = (ws.objects.get(f"runs/{release.run_key}/context.json") or {}).get("previous_release")
        release = releases.load(ws, frozen) if frozen else None
    return None


def _on_record(ws: Workspace, run_key: str, itself: bool = True) -> Shared | None:
    """What was fixed for the whole fleet under a run key, or else under its last revision before that has any.

    Forced, a part of a fleet gets the same numbers. A revision that was followed by another one runs no more.
    """
    base, _, number = run_key.rpartition("-r")
    earlier = [f"{base}-r{revision}" for revision in range(int(number))[::-1]] if number.isdigit() else []
    for key in [*([run_key] if itself else []), *earlier]:
        found: Shared | None = ws.objects.get(_name(key))
        if found is not None:
            return found
    return None


def _taken(result: Outcome, shared: Shared | None) -> tuple[str, Pool]:
    """Rule and pool for one airport: the shared ones, or where there are none a function of the airport alone."""
    if shared is not None:
        return shared["rule"], intervals.pool_from_json(shared["pool"])
    airport = outcomes.evaluation_of(result)
    missed = composition.missed(airport, composition.compose(airport, composition.FIRST_RULE))
    return composition.FIRST_RULE, intervals.pool([missed], airport.forecast.shape[1])


def _name(run_key: str) -> str:
    return f"runs/{run_key}/{WHOLE}"


def _fleet(ws: Workspace, results: Sequence[Outcome]) -> Shared:
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


def _row(result: Outcome, rule: str, pool: Pool, champion: Mapping[str, Any] | None) -> dict[str, Any]:
    airport = outcomes.evaluation_of(result)
    composed = composition.compose(airport, rule)
    missed = composition.missed(airport, composed)
    unit = intervals.unit(airport.level, composed.forecast)
    band = intervals.band(composed.forecast, pool, intervals.size(missed, pool.middle, unit))
    parameters = {e["candidate"]: e["parameters"] for e in result.entrants if e["candidate"] in composed.weights}
    seasons = result.seasons if airport.folds is not None else 0.0  # where no method was judged it is never high
    doubted = any(step["what"] in DOUBTED for step in result.steps)
    before = [airport.level, float(airport.forecast[0].mean())]  # the first is seasonal naive
    return {
        FLEET: result.fleet,
        "run_key": result.run_key,
        "airport": result.airport,
        "checksum": result.checksum,
        "as_of": result.as_of,
        "verdict": _verdict(composed, parameters, champion),
        "reason": _reason(result, composed),
        "method": composed.method,
        "rule": rule,
        "weights": json.dumps(composed.weights, sort_keys=True),
        "parameters": json.dumps(parameters, sort_keys=True),
        "cv_mase": composed.cv_mase,
        "cv_mase_naive": composed.cv_mase_naive,
        **_tested(airport, composed),
        "confidence": intervals.confidence(band, seasons, before, doubted),
        "forecast": json.dumps({"ds": result.ds, **{name: _plain(getattr(band, name)) for name in STEP}}),
    }


def _reason(result: Outcome, composed: Composed) -> str:
    """What was composed and why; where parameters changed, or wait for it, that too. Of a pinned method that could not
    be fitted the worker knows why."""
    changed = [
        f"{name} {made['verdict']}: {made['reason']}"
        for name, made in sorted(result.choices.items())
        if name in composed.weights and made["verdict"] in (choice.REPLACED, choice.WAITS)
    ]
    return result.reason or "; ".join([composed.reason, *changed])


def _verdict(composed: Composed, parameters: dict[str, Any], champion: Mapping[str, Any] | None) -> str:
    """first, naive (the gate refused the combination), kept (same members, same parameters), or replaced.

    champion: the parameters of the airport's members in the release before, None if it was not in one.
    """
    if composed.gated:
        return "naive"
    if champion is None:
        return "first"
    return "kept" if champion == parameters else "replaced"


def _tested(airport: Evaluation, composed: Composed) -> dict[str, float | None]:
    """The errors in the untouched window, which nothing was chosen on; None without one."""
    if composed.test is None or airport.test is None:
        return {"mase": None, "mase_naive": None}
    return {"mase": airport.test_error(composed.test), "mase_naive": airport.test_error(airport.test[0])}


def _plain(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> list[float]:
    return [float(f"{value:.{outcomes.DIGITS}g}") for value in values.tolist()]
