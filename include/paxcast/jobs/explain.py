"""Explain: what was forecast for one period by each release then in force, from what, by which model, and how it did.

Nothing is fitted or forecast anew: all of it is on record. Only missing scores are added first.
"""

from typing import Any

import pandas as pd

from paxcast.adapters.delta_store import Filter
from paxcast.core import calendar, explanation, history, scoring, surprise
from paxcast.core.columns import AIRPORT, DS, FLEET, KNOWN_AT, Y
from paxcast.core.errors import ConfigurationError
from paxcast.core.explanation import Explanation, Picture, Row
from paxcast.core.release import Entry
from paxcast.jobs import drift_kept, histories, on_record
from paxcast.jobs.on_record import EVER, Airport
from paxcast.jobs.workspace import Workspace

STEP = ["yhat", "lo80", "hi80", "lo95", "hi95"]
OF_SCORES = [*scoring.KEY, KNOWN_AT, scoring.FORECAST_AS_OF, scoring.DATA_VERSION]
OF_DRIFT = ["as_of", "cycle", "severity", "drifted", "p", "q", "reasons", "action", "why"]
YEARS_SHOWN = {"MS": 6, "W": 3, "D": 1}  # of the history, in the chart


def explain(ws: Workspace, airport: str, ds: pd.Timestamp, as_of: pd.Timestamp | None) -> Explanation:
    """Explain the newest forecast with an as_of up to `as_of`, or of all, of the period that holds the day `ds`.

    The actual is the newest known value that can be traffic; where a source's absent period means zero, and the fleet
    is reported as far, zero. Raises UnknownAirports for an airport that was never observed, ConfigurationError where
    nothing was forecast, naming what was.
    """
    one = on_record.of_airport(ws, airport, as_of)
    start = explanation.period_start(ds, one.said[DS].iloc[-1], one.frequency)
    rows = _in_force(one, start)
    explained = _chosen(one, rows, start, as_of)
    actual = _actual(one, start)
    scores = _scores(ws, [*on_record.filters(ws, airport), (DS, "=", start.to_pydatetime())])
    checks = drift_kept.of_airport(ws, airport)
    forecasts = [
        {**_forecast(one, row, actual, scores), "drift": _drift(checks, _as_of(one.of(row).entry))} for row in rows
    ]
    asked = rows[explained]
    entry = one.of(asked).entry
    manifest = one.manifest(entry)
    known = one.known(entry, manifest)
    return Explanation(
        airport=airport,
        ds=start,
        frequency=one.frequency,
        actual=actual,
        actual_history=explanation.vintages_of(one.observations, start),
        forecasts=forecasts,
        explained=explained,
        data={**_data(one, entry, known), "data_version": manifest.data_version},
        model={**_model(one, entry, start), "code_version": manifest.code_version},
        calibration=_calibration(one, entry, forecasts[explained]),
        shocks=_shocks(one, entry, start),
        year_before=surprise.year_before(known, start, one.frequency),
        drift=_drift(checks, EVER if as_of is None else as_of),
        now=_now(one, start, int(asked.step)),
        picture=_picture(one, known, asked),
    )


# --- the forecasts of the period


def _in_force(one: Airport, start: pd.Timestamp) -> list[Any]:
    """The rows of `said` of a period, of releases from before its end, oldest first. Raises if there are none."""
    end = calendar.period_end(pd.Series([start]), one.frequency)[0]
    rows = [row for row in one.said[one.said[DS] == start].itertuples() if one.of(row).record.as_of < end]
    if not rows:
        raise ConfigurationError(
            f"ds: no published release forecast {start.date()} of airport {one.code}; their forecasts reach from "
            f"{one.said[DS].min().date()} to {one.said[DS].max().date()}"
        )
    return sorted(rows, key=lambda row: (_as_of(one.of(row).entry), one.of(row).record.number))


def _chosen(one: Airport, rows: list[Any], start: pd.Timestamp, as_of: pd.Timestamp | None) -> int:
    """Which of them is explained. Raises ConfigurationError where all are of a later as_of."""
    until = EVER if as_of is None else as_of
    early = [at for at, row in enumerate(rows) if _as_of(one.of(row).entry) <= until]
    if not early:
        raise ConfigurationError(
            f"as_of: no release up to {calendar.as_of_text(until)} forecast {start.date()} of airport {one.code}; the "
            f"first that did is as of {one.of(rows[0]).entry.as_of}"
        )
    return early[-1]


def _as_of(entry: Entry) -> pd.Timestamp:
    return calendar.parse_as_of(entry.as_of)


def _forecast(one: Airport, row: Any, actual: float | None, scores: pd.DataFrame) -> Row:
    """What one release forecast of the period, and how it did. `run_key` names the run that fitted it."""
    entry, record = one.of(row).entry, one.of(row).record
    scaled = scores.loc[(scores["run_key"] == row.run_key) & (scores["checksum"] == row.checksum), "scaled_error"]
    said = {name: float(getattr(row, name)) for name in STEP}
    return {
        "as_of": entry.as_of,
        "release": record.release_id,
        "published": record.number,
        "backfill": record.backfill,
        "version": entry.version,
        "model": entry.model,
        "run_key": entry.outcome_key,
        "method": entry.candidate,
        "rule": entry.rule,
        "weights": one.decided(entry).weights,
        "step": int(row.step),
        **said,
        "confidence": row.confidence,
        **explanation.errors(said, actual, float(scaled.iloc[0]) if len(scaled) else None),
    }


def _drift(checks: list[tuple[pd.Timestamp, Row]], until: pd.Timestamp) -> Row | None:
    """The newest drift verdict that is not later. checks: the oldest first."""
    found = [row for as_of, row in checks if as_of <= until]
    return {name: found[-1][name] for name in OF_DRIFT} if found else None


def _actual(one: Airport, start: pd.Timestamp) -> float | None:
    known = scoring.actuals(scoring.usable(one.observations), EVER)
    values = known.loc[known[DS] == start, Y]
    if len(values):
        return float(values.iloc[0])
    reported = histories.reported(one.ws, EVER, one.frequency)
    if reported is None:
        return None
    period = pd.DataFrame({AIRPORT: [one.code], DS: [start]})
    delay = one.ws.settings.source.delay_days
    zeros = scoring.implied_zeros(period, one.observations, EVER, one.frequency, delay, reported.newest)
    return 0.0 if len(zeros) else None


def _scores(ws: Workspace, filters: list[Filter]) -> pd.DataFrame:
    columns = [*OF_SCORES, "scaled_error", "covered80", "covered95"]
    return scoring.newest(ws.tables.read("scores", filters, columns), EVER)


def _calibration(one: Airport, entry: Entry, forecast: Row) -> Row | None:
    """Where its error lies among all of the same step, and among those where the model was tried beforehand."""
    if forecast["scaled_error"] is None:
        return None
    scores = _scores(one.ws, [(FLEET, "=", one.ws.fleet), ("step", "=", forecast["step"])])
    tried = explanation.tried(one.outcome(entry), one.decided(entry).weights, forecast["scaled_error"])
    return {**explanation.place(one.code, forecast["scaled_error"], scores), "tried": tried}


def _shocks(one: Airport, entry: Entry, start: pd.Timestamp) -> list[Row]:
    """What the forecast met: of the shocks that are configured now, and of those found in the newest history."""
    shocks = list(one.ws.settings.rules(one.code).shocks)
    if one.now is not None:
        shocks += surprise.found_by(one.outcome(one.now).steps, one.frequency, shocks)
    return surprise.shocks_met(start, one.frequency, _as_of(entry), shocks)


# --- what the explained forecast was made from


def _data(one: Airport, entry: Entry, known: pd.DataFrame) -> Row:
    now = history.known(one.observations, EVER)
    due = explanation.over_by(now[DS], _as_of(entry), one.frequency, one.ws.settings.source.delay_days)
    quarantined, reasons = one.judged(entry)
    return {
        "as_of": entry.as_of,
        "checksum": entry.checksum,
        "first": str(known[DS].min().date()),
        "last": str(known[DS].max().date()),
        "periods": int(known[DS].nunique()),
        "rows": explanation.last_rows(known),
        "restated_since": explanation.restated(known, now[due]),
        "steps": one.outcome(entry).steps,
        "verdict": "quarantined" if quarantined else "ok",
        "reasons": reasons,
    }


def _model(one: Airport, entry: Entry, start: pd.Timestamp) -> Row:
    result, decided = one.outcome(entry), one.decided(entry)
    return {
        "method": entry.candidate,
        "rule": entry.rule,
        "weights": decided.weights,
        "parameters": decided.parameters,
        "reason": decided.reason,
        "candidates": explanation.candidates(result, decided.weights, str(start.date())),
        "folds": explanation.folds(result, decided.weights),
        "search": explanation.searches(result),
        "trials_pruned": one.trials_pruned(entry),
        "mlflow_run": one.mlflow_run(entry),
        "seed": result.seed,
    }


# --- today's model, and the chart


def _now(one: Airport, start: pd.Timestamp, step: int) -> Row:
    """What the release in force says of the period: its forecast, or what it forecast of it in the past; at the step
    that is nearest to the one given. `treated`: what was done to that period in its history."""
    current, entry = one.current, one.now
    nothing: Row = {"release": current.release_id if current else None, "as_of": None, "method": None, "treated": []}
    where: Row = {**nothing, "ds": str(start.date()), "yhat": None}
    if entry is None:
        return {**where, "reason": "no release is in force" if current is None else "it is not in the release in force"}
    result = one.outcome(entry)
    treated = [step for step in result.steps if step["first"] <= where["ds"] <= step["last"]]
    where |= {"as_of": entry.as_of, "method": entry.candidate, "treated": treated}
    rows = one.said[(one.said["run_key"] == entry.run_key) & (one.said["checksum"] == entry.checksum)]
    said = rows[rows[DS] == start]
    if len(said):
        return {**where, "yhat": float(said["yhat"].iloc[0]), "reason": f"its forecast, step {said['step'].iloc[0]}"}
    looked = explanation.in_windows(result, one.decided(entry).weights, where["ds"], step)
    if looked is not None:
        return {**where, "yhat": looked.yhat, "reason": f"in its window {looked.split}, step {looked.step}"}
    span = explanation.span_of_windows(result)
    windows = f"lie between {span[0]} and {span[1]}" if span else "are none"
    return {**where, "reason": f"in none of its windows: these {windows}; it forecasts from {result.ds[0]} on"}


def _picture(one: Airport, known: pd.DataFrame, asked: Any) -> Picture:
    """The last years as they were known, the whole forecast, and what became known of its periods."""
    of_this = (one.said["run_key"] == asked.run_key) & (one.said["checksum"] == asked.checksum)
    forecast = one.said.loc[of_this, [DS, *STEP]].reset_index(drop=True)
    last, until = known[DS].max(), forecast[DS].max()
    now = history.known(one.observations, EVER)
    since = now[(now[DS] > last) & (now[DS] <= until)]
    shown = known[known[DS] > last - pd.DateOffset(years=YEARS_SHOWN[one.frequency])]
    return Picture(shown[[DS, Y]].reset_index(drop=True), since[[DS, Y]].reset_index(drop=True), forecast)
