"""What there is to say about the forecasts of one period: plain values, and the pure parts of finding them.

`jobs/explain.py` reads what these functions take; `jobs/explained.py` makes a page of what they give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar, combination
from paxcast.core import outcome as outcomes
from paxcast.core.columns import AIRPORT, DS, KNOWN_AT, RECEIPT, Y
from paxcast.core.composition import Evaluation
from paxcast.core.outcome import Outcome

Array = npt.NDArray[np.float64]
Row = dict[str, Any]
ROWS_SHOWN = 24  # of a history, its last ones
NAIVE = 0  # seasonal naive's place among the candidates of an outcome


@dataclass(frozen=True, slots=True)
class Picture:
    """What a chart shows. `known`: the history as it was known then, `since`: later periods as they are known now;
    columns ds, y. `forecast`: columns ds, yhat, lo80, hi80, lo95, hi95. All sorted by ds."""

    known: pd.DataFrame
    since: pd.DataFrame
    forecast: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that is known of the forecasts of one period of one airport; traffic, and errors in seasonal naive's.

    `forecasts`: one of every published release then in force, oldest first. `data`, `model`, `calibration`: of the one
    that is explained, `explained` in that list. `shocks`: what it met, see `surprise`; `year_before`: the same period
    then, as it was known. `drift`: the newest drift verdict as of then, None without any; that of each forecast's date
    stands beside it. `now`: what today's model says.
    """

    airport: str
    ds: pd.Timestamp
    frequency: str
    actual: float | None
    actual_history: Sequence[Row]
    forecasts: Sequence[Row]
    explained: int
    data: Row
    model: Row
    calibration: Row | None
    shocks: Sequence[Row]
    year_before: Row | None
    drift: Row | None
    now: Row
    picture: Picture

    def as_json(self) -> dict[str, Any]:
        beside = ("frequency", "explained", "picture")
        content = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in beside}
        lists = {name: list(content[name]) for name in ("actual_history", "forecasts", "shocks")}
        return {**content, **lists, "ds": str(self.ds.date())}

    @property
    def forecast(self) -> Row:
        """The row of the forecast that is explained."""
        return self.forecasts[self.explained]


# --- the period, and what was known of it


def period_start(day: pd.Timestamp, anchor: pd.Timestamp, code: str) -> pd.Timestamp:
    """The start of the period that holds a day. anchor: any period start of the airport, for the weekday of weeks."""
    midnight = day.tz_localize(None).normalize()
    if code == "MS":
        return midnight.replace(day=1)
    return midnight - pd.Timedelta(days=(midnight - anchor).days % 7) if code == "W" else midnight


def vintages_of(observations: pd.DataFrame, ds: pd.Timestamp) -> list[Row]:
    """Everything that was ever said of a period, in the order in which it became known: y, known_at, receipt."""
    rows = observations[observations[DS] == ds].sort_values([KNOWN_AT, RECEIPT, Y])
    return [_row(row, Y, KNOWN_AT, RECEIPT) for row in rows.to_dict("records")]


def last_rows(history: pd.DataFrame) -> list[Row]:
    """The last ROWS_SHOWN rows of a history: ds, y, known_at, receipt."""
    return [_row(row, DS, Y, KNOWN_AT, RECEIPT) for row in history.tail(ROWS_SHOWN).to_dict("records")]


def restated(then: pd.DataFrame, now: pd.DataFrame) -> list[Row]:
    """The periods whose value differs today: ds, then, now, known_at of today's; then is None where there was none.

    then, now: the history at both times, columns ds, y, known_at; of rows of one period the last counts.
    """
    before, after = (rows.drop_duplicates(DS, keep="last").set_index(DS) for rows in (then, now))
    found = after.join(before[[Y]].rename(columns={Y: "then"})).sort_index()
    same = found[Y].eq(found["then"]) | (found[Y].isna() & found["then"].isna() & found.index.isin(before.index))
    return [
        {"ds": _plain(row[DS]), "then": _plain(row["then"]), "now": _plain(row[Y]), "known_at": _plain(row[KNOWN_AT])}
        for row in found[~same].reset_index().to_dict("records")
    ]


def _row(row: Mapping[Any, Any], *names: str) -> Row:
    return {name: _plain(row[name]) for name in names}


def _plain(value: Any) -> Any:
    """A value for JSON: an instant in ISO, the start of a period as its day, what is no number as None."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat() if value.tzinfo else str(value.date())
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    return value


# --- the forecast, its error, and where that lies


def errors(row: Mapping[str, Any], actual: float | None, scaled_error: float | None) -> Row:
    """How a forecast did: error (forecast minus actual, traffic), scaled_error, covered80, covered95; None each where
    there is no actual. row: yhat, lo80, hi80, lo95, hi95."""
    if actual is None:
        return {"error": None, "scaled_error": None, "covered80": None, "covered95": None}
    return {
        "error": float(row["yhat"]) - actual,
        "scaled_error": scaled_error,
        "covered80": bool(row["lo80"] <= actual <= row["hi80"]),
        "covered95": bool(row["lo95"] <= actual <= row["hi95"]),
    }


def place(airport: str, scaled_error: float, scores: pd.DataFrame) -> Row:
    """Where an error lies among those of the same step. scores: of the whole fleet, what `scoring.newest` returns.

    `quantile`, `fleet_quantile`: the share of errors that are not larger, itself among them; `n`, `coverage80`,
    `coverage95`: of the airport alone.
    """
    mine = scores[scores[AIRPORT] == airport]
    return {
        "scaled_error": scaled_error,
        "quantile": float((mine["scaled_error"] <= scaled_error).mean()),
        "fleet_quantile": float((scores["scaled_error"] <= scaled_error).mean()),
        "n": len(mine),
        "coverage80": float(mine["covered80"].mean()),
        "coverage95": float(mine["covered95"].mean()),
    }


# --- the model


def candidates(result: Outcome, weights: Mapping[str, float], ds: str) -> list[Row]:
    """Each candidate of an outcome: its mean MASE in the folds and in the test window, its weight, what it forecast of
    a period (None where that is beyond its forecast)."""
    airport = outcomes.evaluation_of(result)
    in_folds = None if airport.folds is None else airport.folds.errors().mean(axis=1)
    at = result.ds.index(ds) if ds in result.ds else None
    return [
        {
            "candidate": name,
            "cv_mase": None if in_folds is None else _plain(float(in_folds[m])),
            "test_mase": None if airport.test is None else _plain(airport.test_error(airport.test[m])),
            "weight": float(weights.get(name, 0.0)),
            "forecast": None if at is None else _plain(float(airport.forecast[m, at])),
        }
        for m, name in enumerate(airport.candidates)
    ]


def folds(result: Outcome, weights: Mapping[str, float]) -> list[Row]:
    """The MASE of the published combination and of seasonal naive in each fold; last, if there is one, in the test
    window, which nothing was chosen on."""
    airport = outcomes.evaluation_of(result)
    weighed = _weights(airport, weights)
    rows = []
    if airport.folds is not None:
        made = combination.fold_errors(combination.combined(weighed, airport.folds.forecast), airport.folds)
        naive = combination.fold_errors(airport.folds.forecast[NAIVE], airport.folds)
        rows = [(fold["split"], made[k], naive[k]) for k, fold in enumerate(result.folds)]
    if airport.test is not None:
        tested = [combination.combined(weighed, airport.test), airport.test[NAIVE]]
        rows.append((result.test["split"], *(airport.test_error(forecast) for forecast in tested)))
    return [{"split": s, "mase": _plain(float(m)), "mase_naive": _plain(float(n))} for s, m, n in rows]


def searches(result: Outcome) -> list[Row]:
    """What each candidate's search took and brought: candidate, evaluations, best_loss (of those evaluated in every
    fold), first_loss."""
    return [
        {
            "candidate": name,
            "evaluations": len(trials),
            "best_loss": min(
                (t["loss"] for t in trials if t["loss"] is not None and not t.get("pruned")), default=None
            ),
            "first_loss": trials[0]["loss"],
        }
        for name, trials in sorted(result.trials.items())
        if trials
    ]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a model forecast of a period of the past: in which window, at which step of it (from 1)."""

    split: str
    step: int
    yhat: float


def in_windows(result: Outcome, weights: Mapping[str, float], ds: str, step: int) -> Looked | None:
    """What a combination forecast of a period in its folds or its test window; None where it lies in none.

    Of several windows that whose step is nearest to the one given; of equal ones the latest.
    """
    weighed = _weights(outcomes.evaluation_of(result), weights)
    found = []
    for k, window in sorted(enumerate(_windows(result)), key=lambda pair: str(pair[1]["ds"][0]), reverse=True):
        if ds in window["ds"]:
            at = window["ds"].index(ds)
            found.append(Looked(window["split"], at + 1, float(_made(result, weighed, k)[at])))
    return min(found, key=lambda one: abs(one.step - step), default=None)


def tried(result: Outcome, weights: Mapping[str, float], scaled_error: float | None) -> Row | None:
    """How far a combination missed where it was tried beforehand, in its folds and its test window: `n` periods from
    `first` to `last`, the `largest` error in units of the window's scale, and how many were `as_large` as the one
    given (None without one). None where it was tried nowhere."""
    weighed = _weights(outcomes.evaluation_of(result), weights)
    errors: list[tuple[str, float]] = []
    for k, window in enumerate(_windows(result)):
        off = np.abs(_made(result, weighed, k) - np.array(window["actual"])) / window["scale"]
        errors += [(ds, float(e)) for ds, e, counts in zip(window["ds"], off, window["counts"], strict=True) if counts]
    if not errors:
        return None
    days, sizes = zip(*errors, strict=True)
    as_large = None if scaled_error is None else sum(size >= scaled_error for size in sizes)
    return {"n": len(sizes), "first": min(days), "last": max(days), "largest": max(sizes), "as_large": as_large}


def span_of_windows(result: Outcome) -> tuple[str, str] | None:
    """The first and the last period of an outcome's folds and test window; None without any."""
    days = [ds for window in _windows(result) for ds in window["ds"]]
    return (min(days), max(days)) if days else None


def _windows(result: Outcome) -> list[Row]:
    return [*result.folds, *([result.test] if result.test else [])]


def _made(result: Outcome, weighed: Array, k: int) -> Array:
    """[H] what a combination forecast of the k-th window; weighed: see `_weights`."""
    return combination.combined(weighed, np.array([[*e["folds"], e["test"]][k] for e in result.entrants]))


def _weights(airport: Evaluation, weights: Mapping[str, float]) -> Array:
    """[M] weights in the order of an outcome's candidates."""
    return np.array([float(weights.get(name, 0.0)) for name in airport.candidates])


def over_by(ds: "pd.Series[pd.Timestamp]", as_of: pd.Timestamp, code: str, delay_days: int) -> "pd.Series[bool]":
    """Which periods a source had had time to report at an instant: their end and its delay were over."""
    return calendar.period_end(ds, code) + pd.Timedelta(days=delay_days) <= as_of
