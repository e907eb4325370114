"""Evaluate: how good the fleet's forecasts are and how they behave, on a sample of airports; a page, and a row a check.

    as_of ──> sample ──> the line as of 13 origins (jobs/backtest) ──> each airport examined (jobs/examiner) ──> curves

Nothing later than `as_of` is read: the newest origin is one horizon before the last period known. What is done is kept
in the store under a key of its own, so that an evaluation that was ended goes on where it was. Nothing is registered.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paxcast.adapters import spark
from paxcast.adapters.spark import PackedHistory
from paxcast.core import calendar, curves, identity, scoring
from paxcast.core.candidate_files import GIVEN
from paxcast.core.columns import AIRPORT, DS, FLEET, KNOWN_AT, Y
from paxcast.core.errors import ConfigurationError, UnknownAirports
from paxcast.core.history import known
from paxcast.core.quality import judge_fleet
from paxcast.jobs import backtest, baselines, evaluated, examiner, histories, searches, tune, validate
from paxcast.jobs.backtest import LookBack
from paxcast.jobs.evaluated import PAXCAST, Evaluated, judged
from paxcast.jobs.examiner import Assignment, Examiner, Made
from paxcast.jobs.workspace import Workspace
from paxcast.settings import Settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("paxcast.evaluate")
SAMPLE = 20
OLDEST = 12  # periods: up to this age the staleness of a model is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is known, and what is asked: shared by all steps. `everything`: every vintage of the sample's rows."""

    as_of: pd.Timestamp
    code: str
    horizon: int
    everything: pd.DataFrame
    airports: tuple[str, ...]
    origins: tuple[pd.Timestamp, ...]

    @property
    def now(self) -> pd.DataFrame:
        """The rows in force at `as_of`, those that can be traffic."""
        return scoring.usable(known(self.everything, self.as_of))


def evaluate(
    ws: Workspace,
    session: "SparkSession | None",
    as_of: pd.Timestamp,
    *,
    airports: Sequence[str] = (),
    sample: int = SAMPLE,
    baseline: Path | None = None,
) -> Evaluated:
    """Evaluate a fleet as of an instant, on airports asked for or a sample of all sizes.

    baseline: a file of somebody's own forecasts, see `baselines.from_file`. Raises ConfigurationError where nothing is
    known or the history is too short, UnknownAirports, BadFile for a baseline that cannot be read.
    """
    seen = _look(ws, as_of, airports, sample)
    given = baselines.from_file(baseline, seen.origins, seen.airports, seen.code) if baseline else None
    looks = []
    for origin in seen.origins:
        looks.append(backtest.look_back(ws, session, seen.everything, origin, seen.horizon, seen.code))
        log.info("origin %s: %d airports", origin.date(), len(looks[-1].airports))
    rows = _rows(ws, seen, looks, given)
    found, failed = _examined(ws, session, seen, looks)
    tables = _tables(ws, seen, looks, rows, found)
    settings = ws.settings
    return Evaluated(
        fleet=ws.fleet,
        as_of=calendar.as_of_text(as_of),
        airports=seen.airports,
        origins=tuple(str(origin.date()) for origin in seen.origins),
        horizon=seen.horizon,
        rule=looks[-1].rule,
        examined_without=_given(settings),
        findings=judged(tables, failed, seen.code, settings.schedule, settings.spark.worker_memory_mb),
        tables=tables,
    )


# --- what is looked at


def _look(ws: Workspace, as_of: pd.Timestamp, airports: Sequence[str], sample: int) -> _Seen:
    then = [(FLEET, "=", ws.fleet), (KNOWN_AT, "<=", as_of.to_pydatetime())]
    everything = ws.tables.read("observations", then)
    if everything.empty:
        raise ConfigurationError(
            f"fleet {ws.fleet}: nothing is known as of {calendar.as_of_text(as_of)}; choose a later date, or run "
            "`paxcast ingest` first"
        )
    code = histories.frequency(ws)
    horizon = histories.horizon(ws, code)
    chosen = _chosen(ws, known(everything, as_of), as_of, airports, sample)
    everything = everything[everything[AIRPORT].isin(chosen)]
    origins = _origins(known(everything, as_of), code, horizon, as_of)
    return _Seen(
        as_of=as_of, code=code, horizon=horizon, everything=everything, airports=chosen, origins=tuple(origins)
    )


def _chosen(
    ws: Workspace, rows: pd.DataFrame, as_of: pd.Timestamp, airports: Sequence[str], sample: int
) -> tuple[str, ...]:
    """The airports asked for, or so many of those that may be forecast, from the smallest to the largest."""
    unknown = sorted(set(airports) - set(rows[AIRPORT]))
    if unknown:
        raise UnknownAirports(f"airports: {', '.join(unknown)}: fleet {ws.fleet} has no such airport by then")
    if airports:
        return tuple(sorted(set(airports)))
    bad = {v.airport for v in judge_fleet(rows, as_of, validate.rules(ws)) if v.quarantined}
    bad |= {airport for airport, own in ws.settings.overrides.items() if own.exclude}
    level = rows[~rows[AIRPORT].isin(bad)].groupby(AIRPORT)[Y].mean()
    if level.empty:
        raise ConfigurationError(
            f"fleet {ws.fleet}: every airport is quarantined or excluded; `paxcast status` says why"
        )
    ordered = sorted(level.index, key=lambda airport: (level[airport], airport))
    at = np.linspace(0, len(ordered) - 1, min(sample, len(ordered))).round().astype(int)
    return tuple(sorted(ordered[i] for i in at))


def _origins(rows: pd.DataFrame, code: str, horizon: int, as_of: pd.Timestamp) -> list[pd.Timestamp]:
    """The newest origin whose whole horizon is known, and the periods before it, oldest first: as many as a model may
    be old, where an airport has a season of history by then."""
    newest = calendar.shift(pd.DatetimeIndex([rows[DS].max()]), -horizon, code)[0]
    season = calendar.frequency(code).season
    ripe = rows.sort_values(DS).groupby(AIRPORT)[DS].nth(season - 1)
    dates = [calendar.shift(pd.DatetimeIndex([newest]), -age, code)[0] for age in range(OLDEST, -1, -1)]
    found = [date for date in dates if len(ripe) and date >= ripe.min()]
    if not found:
        raise ConfigurationError(
            f"as_of: {calendar.as_of_text(as_of)} is too early: an evaluation takes a season of history and "
            f"{horizon} known periods after it"
        )
    return found


# --- what was forecast


def _rows(ws: Workspace, seen: _Seen, looks: Sequence[LookBack], given: pd.DataFrame | None) -> pd.DataFrame:
    """Every method's forecasts from every origin, the baselines' too, with what followed: as `backtest` has them."""
    made = pd.concat([backtest.rows_of(look) for look in looks], ignore_index=True)
    others = [baselines.last_release(ws, [(look.origin, look.as_of) for look in looks], seen.airports)]
    others += [given] if given is not None else []
    first = made.drop_duplicates([AIRPORT, "origin"])[[AIRPORT, "origin", "scale", "level"]]
    periods = made[[AIRPORT, "origin", DS]].drop_duplicates()
    scaled = [o.merge(first, on=[AIRPORT, "origin"]).merge(periods, on=[AIRPORT, "origin", DS]) for o in others]
    rows = pd.concat([made, *(frame for frame in scaled if len(frame))], ignore_index=True)
    return rows.merge(backtest.actual(ws, seen.everything, rows, seen.code), on=[AIRPORT, DS], how="left")


def _steps(looks: Sequence[LookBack], rows: pd.DataFrame) -> pd.DataFrame:
    """The published forecasts with half the width of their intervals at every level: what `calibration` takes."""
    frames = []
    for look in looks:
        halves = curves.half_widths(list(look.airports.values()), list(look.published.values()))
        for airport, half in zip(look.airports, halves, strict=True):
            assert half is not None  # every airport has a published forecast
            ds = pd.to_datetime(look.results[airport].ds)
            for level, widths in zip(curves.LEVELS, half, strict=True):
                one = pd.DataFrame({AIRPORT: airport, "origin": look.origin, DS: ds, "level": level, "half": widths})
                frames.append(one)
    published = rows[rows["method"] == PAXCAST][[AIRPORT, "origin", DS, Y, "yhat"]]
    return pd.concat(frames, ignore_index=True).merge(published, on=[AIRPORT, "origin", DS])


# --- each airport examined


def _given(settings: Settings) -> tuple[str, ...]:
    """The candidates that an examined history has no forecast of: those trained across airports."""
    pinned = [own.method for own in settings.overrides.values() if own.method]
    return tuple(name for name in GIVEN if name in (*settings.candidates, *pinned))


def _examined(
    ws: Workspace, session: "SparkSession | None", seen: _Seen, looks: Sequence[LookBack]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """What was found out about each airport, and why nothing was about the others."""
    season = calendar.frequency(seen.code).season
    now = seen.now
    packed = [h for h in tune.packed(now) if len(h.values) >= season]
    assignments = {h.airport: _assignment(ws, seen, looks, h) for h in packed}
    made = [
        [airport, result.run_key, result.checksum, dict(look.published[airport].weights)]
        for look in looks
        for airport, result in look.results.items()
    ]
    told = [ws.settings.numbers(), calendar.as_of_text(seen.as_of), looks[-1].rule, made]
    key = f"{ws.fleet}-{identity.digest(told, 8)}"
    worker = Examiner(
        store_root=ws.settings.store_root,
        key=key,
        frequency=seen.code,
        rule=looks[-1].rule,
        search=searches.by_name(ws.settings.search.algorithm),
        memory_mb=ws.settings.spark.worker_memory_mb,
        oldest=OLDEST,
        assignments=assignments,
    )
    failed = {a: "fewer periods than one season" for a in seen.airports if a not in assignments}
    if session is None or ws.settings.search.mode != "per_airport":
        results = [worker(history) for history in packed]
    else:
        seconds = ws.settings.search.seconds_per_airport * max((a.fits for a in assignments.values()), default=1)
        results = spark.fan_out(session, packed, worker, ws.settings.spark.partitions, seconds)
    failed |= {result.airport: result.reason for result in results if result.reason}
    kept = {h.airport: ws.objects.get(examiner.name_of(key, h)) for h in packed}
    return {airport: value for airport, value in kept.items() if value is not None}, failed


def _assignment(ws: Workspace, seen: _Seen, looks: Sequence[LookBack], history: PackedHistory) -> Assignment:
    airport, newest = history.airport, looks[-1]
    seed = identity.seed(airport, ws.fleet, seen.as_of, identity.digest(ws.settings.numbers(), 8))
    task = tune.task_of(ws.settings, ws.settings.candidates, seen.horizon, seed)
    made = [
        Made(
            str(look.origin.date()),
            look.histories[airport],
            look.results[airport].seed,
            look.published[airport].weights,
            {entry["candidate"]: entry["parameters"] for entry in look.results[airport].entrants},
        )
        for look in looks
        if airport in look.airports
    ]
    return Assignment(
        ws.settings.rules(airport),
        tune.overridden(ws.settings, airport, task),
        newest.histories[airport] if _competed(newest, airport) else None,
        tuple(made),
    )


def _competed(look: LookBack, airport: str) -> bool:
    """Whether candidates were compared there: of data that was bad by then seasonal naive is all there is."""
    return airport in look.airports and len(look.airports[airport].candidates) > 1


# --- what follows from it


def _tables(
    ws: Workspace,
    seen: _Seen,
    looks: Sequence[LookBack],
    rows: pd.DataFrame,
    found: Mapping[str, Mapping[str, Any]],
) -> dict[str, pd.DataFrame]:
    errors = evaluated.errors(rows)
    at_newest = rows[(rows["method"] == PAXCAST) & (rows["origin"] == looks[-1].origin)]
    made = evaluated.longer(found, seen.code)
    made = made.merge(backtest.actual(ws, seen.everything, made, seen.code), on=[AIRPORT, DS], how="left")
    scales = rows.drop_duplicates([AIRPORT, "origin"])[[AIRPORT, "origin", "scale"]]
    made = made.merge(evaluated.plain_scale(scales), on=[AIRPORT, "origin"])
    traits = backtest.traits_of(ws, tune.packed(seen.now), seen.code)
    return {
        "methods": evaluated.methods(errors, looks[-1].airports, found),
        "baselines": evaluated.beside(evaluated.plain_scale(rows)),
        "calibration": curves.calibration(_steps(looks, rows)),
        "slices": curves.by_slice(errors, curves.slices(traits)),
        "behaviour": evaluated.behaviour_rows(found),
        "learning": curves.learning(evaluated.learnt(found, evaluated.plain_scale(at_newest))),
        "staleness": curves.staleness(made, seen.code, seen.horizon, OLDEST),
        "airports": evaluated.by_airport(errors, traits, found),
    }
