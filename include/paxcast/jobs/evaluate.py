"""Evaluate: how good the fleet's forecasts are and how they behave, on a sample of airports; a page, and a row a check.

    as_of ──> sample ──> the line as of 13 origins (jobs/backtest) ──> each airport examined (jobs/examiner) ──> curves

The line runs on the whole fleet where that is not too large, as it does when it publishes: the rule, the intervals and
the fleet's model of a sample are not the fleet's. What is compared and examined is the sample.

Nothing later than `as_of` is read: the newest origin is one horizon before the last period known. What is done is kept
in the store under a key of its own, so that an evaluation that was ended goes on where it was. Nothing is registered.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paxcast.adapters import spark
from paxcast.adapters.spark import PackedHistory
from paxcast.core import calendar, curves, identity, scoring, shock_choice
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
WHOLE_FLEET = 200  # airports: of a larger fleet the line runs on the sample alone, which takes hours less
BY_AIRPORT = ("results", "airports", "published", "histories", "scales", "failed", "left_out")  # of a LookBack
OLDEST = 12  # periods: up to this age the staleness of a model is looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What is known, and what is asked: shared by all steps. `airports`: the sample. `everything`: every vintage of the
    rows of the airports that the line runs on: of the `whole` fleet or of the sample."""

    as_of: pd.Timestamp
    code: str
    horizon: int
    everything: pd.DataFrame
    airports: tuple[str, ...]
    origins: tuple[pd.Timestamp, ...]
    whole: bool

    @property
    def now(self) -> pd.DataFrame:
        """The sample's rows in force at `as_of`, those that can be traffic."""
        return scoring.usable(known(_of(self.everything, self.airports), self.as_of))

    def packed(self, ws: Workspace) -> list[PackedHistory]:
        """The sample's histories, as they are tuned on."""
        return tune.packed(self.now, histories.reported(ws, self.as_of, self.code))


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
    known, the history is too short or an airport excluded, UnknownAirports, BadFile for a baseline that cannot be read.
    """
    seen = _look(ws, as_of, airports, sample)
    given = baselines.from_file(baseline, seen.origins, seen.airports, seen.code) if baseline else None
    fleet = []
    for origin in seen.origins:
        fleet.append(backtest.look_back(ws, session, seen.everything, origin, seen.horizon, seen.code))
        log.info("origin %s: %d airports", origin.date(), len(fleet[-1].airports))
    rows = _rows(ws, seen, fleet, given)
    looks = [_sampled(look, seen.airports) for look in fleet]
    found, failed = _examined(ws, session, seen, looks)
    tables = _tables(ws, seen, fleet, rows, found)
    settings = ws.settings
    return Evaluated(
        fleet=ws.fleet,
        as_of=calendar.as_of_text(as_of),
        airports=seen.airports,
        origins=tuple(str(origin.date()) for origin in seen.origins),
        horizon=seen.horizon,
        rule=looks[-1].rule,
        shared=evaluated.shared_by(len(fleet[-1].airports), seen.whole),
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
    rows = known(everything, as_of)
    chosen = _chosen(ws, rows, as_of, airports, sample)
    whole = rows[AIRPORT].nunique() <= WHOLE_FLEET
    everything = everything if whole else _of(everything, chosen)
    origins = tuple(_origins(_of(rows, chosen), code, horizon, as_of, validate.rules(ws).min_periods))
    return _Seen(
        as_of=as_of, code=code, horizon=horizon, everything=everything, airports=chosen, origins=origins, whole=whole
    )


def _of(rows: pd.DataFrame, airports: Sequence[str]) -> pd.DataFrame:
    return rows[rows[AIRPORT].isin(airports)]


def _chosen(
    ws: Workspace, rows: pd.DataFrame, as_of: pd.Timestamp, airports: Sequence[str], sample: int
) -> tuple[str, ...]:
    """The airports asked for, or so many of those that may be forecast, from the smallest to the largest."""
    unknown = sorted(set(airports) - set(rows[AIRPORT]))
    if unknown:
        raise UnknownAirports(f"airports: {', '.join(unknown)}: fleet {ws.fleet} has no such airport by then")
    excluded = sorted(airport for airport in set(airports) if ws.settings.excluded(airport))
    if excluded:
        raise ConfigurationError(
            f"airports: {', '.join(excluded)}: excluded by overrides in {ws.settings.origin}, so nothing is published "
            "to be evaluated; leave it out, or remove `exclude` from its override"
        )
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


def _origins(rows: pd.DataFrame, code: str, horizon: int, as_of: pd.Timestamp, least: int) -> list[pd.Timestamp]:
    """The newest origin whose whole horizon is known, and the periods before it, oldest first: as many as a model may
    be old, where an airport has a season of history by then, and the `least` that is not quarantined."""
    newest = calendar.shift(pd.DatetimeIndex([rows[DS].max()]), -horizon, code)[0]
    season = max(calendar.frequency(code).season, least)
    ripe = rows.sort_values(DS).groupby(AIRPORT)[DS].nth(season - 1)
    dates = [calendar.shift(pd.DatetimeIndex([newest]), -age, code)[0] for age in range(OLDEST, -1, -1)]
    found = [date for date in dates if len(ripe) and date >= ripe.min()]
    if not found:
        raise ConfigurationError(
            f"as_of: {calendar.as_of_text(as_of)} is too early: an evaluation takes {season} periods of history and "
            f"{horizon} known periods after it"
        )
    return found


# --- what was forecast


def _rows(ws: Workspace, seen: _Seen, looks: Sequence[LookBack], given: pd.DataFrame | None) -> pd.DataFrame:
    """Every method's forecasts of the sample, the baselines' too, with what followed: as `backtest` has them."""
    made = pd.concat([_of(backtest.rows_of(look), seen.airports) for look in looks], ignore_index=True)
    others = [baselines.last_release(ws, [(look.origin, look.as_of) for look in looks], seen.airports)]
    others += [given] if given is not None else []
    first = made.drop_duplicates([AIRPORT, "origin"])[[AIRPORT, "origin", "scale", "level"]]
    periods = made[[AIRPORT, "origin", DS]].drop_duplicates()
    scaled = [o.merge(first, on=[AIRPORT, "origin"]).merge(periods, on=[AIRPORT, "origin", DS]) for o in others]
    rows = pd.concat([made, *(frame for frame in scaled if len(frame))], ignore_index=True)
    return rows.merge(backtest.actual(ws, seen.everything, rows, seen.code), on=[AIRPORT, DS], how="left")


def _sampled(look: LookBack, airports: Sequence[str]) -> LookBack:
    """What the line made of the sample, among all that it ran on."""
    part: dict[str, Any] = {n: {a: v for a, v in getattr(look, n).items() if a in airports} for n in BY_AIRPORT}
    return replace(look, **part)


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
    packed = [h for h in seen.packed(ws) if tune.periods(h, seen.code, ws.settings.source.absent) >= season]
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
            shock_choice.recorded(look.results[airport].steps),
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
    """Whether candidates were compared there: of a history too short for folds nothing is, not even what is pinned."""
    return airport in look.airports and look.airports[airport].folds is not None


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
    traits = backtest.traits_of(ws, seen.packed(ws), seen.code)
    return {
        "methods": evaluated.methods(errors, _sampled(looks[-1], seen.airports).airports, found),
        "baselines": evaluated.beside(evaluated.plain_scale(rows)),
        "calibration": curves.calibration(evaluated.steps(looks, rows)),
        "slices": curves.by_slice(errors, curves.slices(traits)),
        "behaviour": evaluated.behaviour_rows(found),
        "learning": curves.learning(evaluated.learnt(found, evaluated.plain_scale(at_newest))),
        "staleness": curves.staleness(made, seen.code, seen.horizon, OLDEST),
        "airports": evaluated.by_airport(errors, traits, found),
    }
