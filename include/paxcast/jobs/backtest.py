"""Backtest: the line re-run as of past dates, beside every candidate alone and the baselines; a row for each step.

Each origin is a run of its own in the ledger, under a key that begins with `backtest`: asked again, what is done is
kept, and what failed, which is left out, is tried again. Nothing is registered, and nothing that is read is moved.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from paxcast.adapters.spark import PackedHistory
from paxcast.core import adaptation, backtesting, calendar, composition, curves, identity, scoring
from paxcast.core.columns import AIRPORT, DS, FLEET, KNOWN_AT, Y
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.curves import Traits
from paxcast.core.errors import BatchIncomplete, ConfigurationError
from paxcast.core.history import known
from paxcast.core.intervals import Band
from paxcast.core.outcome import FAILED, OK, Outcome, evaluation_of
from paxcast.core.quality import judge_fleet
from paxcast.core.tuning import TuningTask
from paxcast.jobs import fleet_models, histories, ledger, tune, validate
from paxcast.jobs.origins import periods
from paxcast.jobs.worker import raw_of
from paxcast.jobs.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("paxcast.backtest")
PUBLISHED = backtesting.PUBLISHED
BASELINES = ("seasonal_naive", "random_walk", "zero_rule")


@dataclass(frozen=True, slots=True)
class Backtested:
    """`table`: errors by method and slice. How many airports have no rows at one origin or more: because they `failed`,
    or because there was no forecasting them (`left_out`: quarantined by then, or too short)."""

    table: pd.DataFrame
    failed: int
    left_out: int


def backtest(
    ws: Workspace,
    session: "SparkSession | None",
    origins: Sequence[str],
    horizon: int,
    out: Path,
    candidates: Sequence[str] = (),
) -> Backtested:
    """Forecast from each origin, the start of the last known period, and compare with what came.

    Writes out/forecasts.parquet: airport, origin, method, ds, y, yhat, lo80, hi80, lo95, hi95, for periods after the
    origin, and out/errors.parquet: one row for each airport, origin and method; out/slices.parquet: airport, slice,
    value; where airports failed or were left out, out/failed.csv: airport, origin, reason. Raises ConfigurationError
    for an origin that is no period of the data, or from which nothing can be forecast.
    """
    if candidates:
        ws = replace(ws, settings=ws.settings.with_candidates(candidates))
    code = histories.frequency(ws)
    everything = ws.tables.read("observations", [(FLEET, "=", ws.fleet)])
    if everything.empty:
        raise ConfigurationError(histories.nothing_ingested(ws))
    frames: list[pd.DataFrame] = []
    looks: list[LookBack] = []
    traits: dict[str, Traits] = {}
    for origin in sorted(periods(ws, everything, origins)):  # intervals learn from the origins before
        look = look_back(ws, session, everything, origin, horizon, code)
        looks.append(look)
        traits |= traits_of(ws, look.histories.values(), code)  # as they are at the newest origin
        made = rows_of(look, frames)
        frames.append(made.merge(actual(ws, everything, made, code), on=[AIRPORT, DS], how="left"))
        log.info("origin %s: %d airports", origin.date(), made[AIRPORT].nunique())
    rows = pd.concat(frames, ignore_index=True)
    out.mkdir(parents=True, exist_ok=True)
    rows[backtesting.COLUMNS].to_parquet(out / "forecasts.parquet", index=False)
    errors = backtesting.errors(rows)
    errors.to_parquet(out / "errors.parquet", index=False)
    slices = curves.slices(traits)
    slices.to_parquet(out / "slices.parquet", index=False)
    return Backtested(backtesting.table(errors, slices), *_write_missing(looks, out / "failed.csv"))


def traits_of(ws: Workspace, histories: Iterable[PackedHistory], code: str) -> dict[str, Traits]:
    """What is told apart in airports, by airport."""
    return {h.airport: curves.traits(raw_of(h, code), ws.settings.country(h.airport)) for h in histories}


def _write_missing(looks: "Sequence[LookBack]", path: Path) -> tuple[int, int]:
    """Who is missing, and from which origin; the list of an earlier backtest in the same folder does not stay. How many
    airports failed, and how many were left out."""
    path.unlink(missing_ok=True)
    missing = [(a, f"{k.origin:%Y-%m-%d}", why) for k in looks for a, why in sorted({**k.left_out, **k.failed}.items())]
    if missing:
        pd.DataFrame(missing, columns=[AIRPORT, "origin", "reason"]).to_csv(path, index=False)
    failed = {airport for look in looks for airport in look.failed}
    left_out = {airport for look in looks for airport in look.left_out}
    for airports, what in ((failed, "failed"), (left_out, "were quarantined or too short")):
        if airports:
            told = "%d airports %s at one origin or more, and have no rows there: see %s"
            log.warning(told, len(airports), what, path)
    return len(failed), len(left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookBack:
    """The line re-run from one origin, the start of the last known period, for the airports that could be forecast.

    All by airport, in one order. `airports`: what its candidates did; `published`: what that became under the fleet's
    `rule`; `histories`: what was known then; `scales`: its seasonal naive errors, see `backtesting.scale_of`.
    With the reason, `failed`: the airports that could not be tuned; `left_out`: those that a run of that day would have
    quarantined, or that are too short to compare methods on: they are not forecast.
    """

    origin: pd.Timestamp
    as_of: pd.Timestamp
    rule: str
    results: Mapping[str, Outcome]
    airports: Mapping[str, Evaluation]
    published: Mapping[str, Composed]
    histories: Mapping[str, PackedHistory]
    scales: Mapping[str, tuple[float, float]]
    failed: Mapping[str, str]
    left_out: Mapping[str, str]


def look_back(
    ws: Workspace,
    session: "SparkSession | None",
    everything: pd.DataFrame,
    origin: pd.Timestamp,
    horizon: int,
    code: str,
) -> LookBack:
    """Tune every airport that was fit as of an origin, and compose what would have been published.

    everything: all vintages of the fleet's observations; only what was known at the origin is looked at. Raises
    ConfigurationError where nothing was, or no airport could be forecast.
    """
    delay = pd.Timedelta(days=ws.settings.source.delay_days)
    as_of = calendar.period_end(pd.Series([origin]), code).iloc[0] + delay
    rows = known(everything[everything[KNOWN_AT] <= as_of], as_of)
    if rows.empty:
        raise ConfigurationError(
            f"--origins: nothing was known as of {calendar.as_of_text(as_of)}; choose a later date"
        )
    rows = rows[~rows[AIRPORT].isin([a for a in ws.settings.overrides if ws.settings.excluded(a)])]
    if rows.empty:
        raise ConfigurationError(
            f"--origins: overrides in {ws.settings.origin} exclude every airport known by {origin:%Y-%m-%d}"
        )
    packed, left_out = _fit(ws, rows, as_of, origin, code)
    found, failed = _tuned(ws, session, packed, as_of, origin, horizon, code)
    results = {r.airport: r for r in found if r.status == OK}
    airports = {airport: evaluation_of(result) for airport, result in results.items()}
    rule, errors = composition.fleet_rule(list(airports.values()))
    log.info("rule %s: MASE in unseen folds %s", rule, ", ".join(f"{r} {e:.3f}" for r, e in sorted(errors.items())))
    rows = scoring.usable(rows[rows[AIRPORT].isin(results)])
    over = [airport for airport, result in results.items() if pd.Timestamp(result.ds[-1]) <= origin]
    return LookBack(
        origin=origin,
        as_of=as_of,
        rule=rule,
        results=results,
        airports=airports,
        published={airport: composition.compose(airports[airport], rule) for airport in airports},
        histories={history.airport: history for history in packed if history.airport in results},
        scales={str(a): backtesting.scale_of(g[Y].to_numpy(), g[DS], code) for a, g in rows.groupby(AIRPORT)},
        failed=failed,
        left_out=left_out | dict.fromkeys(over, "no step of its forecast lies after the origin"),
    )


def _fit(
    ws: Workspace, rows: pd.DataFrame, as_of: pd.Timestamp, origin: pd.Timestamp, code: str
) -> tuple[list[PackedHistory], dict[str, str]]:
    """The histories that a run of that day would have forecast, and why the others are left out."""
    packed = tune.packed(scoring.usable(rows), histories.reported(ws, as_of, code))
    season = calendar.frequency(code).season
    known_periods = {h.airport: tune.periods(h, code, ws.settings.source.absent) for h in packed}
    short = {a: f"too short: {n} periods, and a season is {season}" for a, n in known_periods.items() if n < season}
    if len(short) == len(packed):
        raise ConfigurationError(
            f"--origins: no airport has one season of history, {season} periods, at {origin:%Y-%m-%d}; choose a later "
            "date"
        )
    bad = [verdict for verdict in judge_fleet(rows, as_of, validate.rules(ws)) if verdict.quarantined]
    left_out = short | {verdict.airport: f"quarantined: {', '.join(verdict.reasons)}" for verdict in bad}
    fit = [history for history in packed if history.airport not in left_out]
    if not fit:
        first, why = min(left_out.items())
        raise ConfigurationError(
            f"--origins: no airport can be forecast from {origin:%Y-%m-%d}; the first, {first}: {why}; choose another "
            "date, or mend the data"
        )
    return fit, left_out


def rows_of(look: LookBack, earlier: Sequence[pd.DataFrame] = ()) -> pd.DataFrame:
    """Every method's forecasts of the periods after one origin, without what followed: columns of a backtest, with
    scale and level. Where an airport's newest periods were not known, its first steps lie before: they are left out.

    earlier: the rows of earlier origins, with what followed: intervals learn from what of it was known by now.
    """
    frames = [
        backtesting.rows(airport, look.origin, name, look.results[airport].ds, band)
        for name, bands in _methods(look, earlier).items()
        for airport, band in zip(look.airports, bands, strict=True)
        if band is not None
    ]
    made = pd.concat(frames, ignore_index=True)
    made = made[made[DS] > look.origin].reset_index(drop=True)
    levels = {airport: e.level for airport, e in look.airports.items()}
    return made.assign(scale=made[AIRPORT].map(look.scales), level=made[AIRPORT].map(levels))


def actual(ws: Workspace, everything: pd.DataFrame, rows: pd.DataFrame, code: str) -> pd.DataFrame:
    """What is known by now of the periods of these rows, one row a period: airport, ds, y."""
    now = everything[KNOWN_AT].max()
    said = scoring.actuals(scoring.usable(everything), now)
    if ws.settings.source.absent == "zero":
        delay = ws.settings.source.delay_days
        zeros = scoring.implied_zeros(rows, everything, now, code, delay, everything[DS].max())
        said = pd.concat([said, zeros]) if len(zeros) else said
    return said[[AIRPORT, DS, Y]]


def _methods(look: LookBack, earlier: Sequence[pd.DataFrame]) -> dict[str, list[Band | None]]:
    """Each method's forecasts of all airports, with intervals: what is published, and each candidate alone."""
    airports = list(look.airports.values())

    def bands(name: str, made: Sequence[Composed | None]) -> list[Band | None]:
        learnt = adaptation.effective_levels(backtesting.cycles(earlier, name, look.origin))
        return backtesting.bands(airports, made, learnt)

    methods = {PUBLISHED: bands(PUBLISHED, list(look.published.values()))}
    for name in sorted({name for airport in airports for name in airport.candidates}):
        methods[name] = bands(name, [composition.alone(airport, name) for airport in airports])
    return methods


def _tuned(
    ws: Workspace,
    session: "SparkSession | None",
    packed: Sequence[PackedHistory],
    as_of: pd.Timestamp,
    origin: pd.Timestamp,
    horizon: int,
    code: str,
) -> tuple[list[Outcome], dict[str, str]]:
    """The outcomes of the airports that were tuned, and why the others were not."""
    config_hash = identity.digest([ws.settings.numbers(), horizon], 8)
    fleet = [[h.airport, h.checksum, int(h.days.max())] for h in packed]  # outcomes depend on others: the fleet's model
    run_key = f"backtest-{ws.fleet}-{origin:%Y%m%d}-{identity.digest([config_hash, fleet], 8)}"
    done = ledger.finished(ws.objects, run_key)
    planned = {h.airport: _task(ws, h.airport, as_of, config_hash, horizon) for h in packed}
    tasks = {a: _compared(ws, task) for a, task in planned.items()}
    competing = {a: task.candidates for a, task in planned.items()}
    still_open = [h for h in packed if (h.airport, h.checksum) not in done]
    failures = ledger.attempts(ws.objects, run_key)
    attempts = {h.airport: failures.get((h.airport, h.checksum), 0) + 1 for h in still_open}
    asking = {h.airport: tasks[h.airport] for h in still_open}
    given = fleet_models.given(ws, session, run_key, code, asking, lambda: packed)
    worker = tune.worker_of(ws, run_key, calendar.as_of_text(as_of), code, tasks, competing)
    worker = replace(worker, attempts=attempts, given=given)
    failed = [r for r in tune.spread(ws, session, worker, still_open) if r.status == FAILED]
    if failed:
        log.warning("%d airports failed; the first, %s: %s", len(failed), failed[0].airport, failed[0].reason)
    if len(failed) == len(packed):
        raise BatchIncomplete(
            f"--origins: all {len(failed)} airports failed from {origin:%Y-%m-%d}; the first, {failed[0].airport}: "
            f"{failed[0].reason}"
        )
    found = [ledger.load(ws.objects, run_key, h.airport, h.checksum) for h in packed]
    return [result for result in found if result is not None], {r.airport: r.reason for r in failed}


def _task(ws: Workspace, airport: str, as_of: pd.Timestamp, config_hash: str, horizon: int) -> TuningTask:
    seed = identity.seed(airport, ws.fleet, as_of, config_hash)
    return tune.overridden(ws.settings, airport, tune.task_of(ws.settings, ws.settings.candidates, horizon, seed))


def _compared(ws: Workspace, task: TuningTask) -> TuningTask:
    """The task with all that the published forecast is compared with."""
    return replace(task, candidates=tuple(dict.fromkeys([*task.candidates, *ws.settings.candidates, *BASELINES])))
