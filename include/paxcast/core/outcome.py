"""One row per airport and run: what became of it. The ledger is all of these.

`ok`: tuned, every candidate fitted and forecast. `quarantined`: its data cannot be forecast, never retried. `failed`: a
transient cause, retried. `kept`: it was already done under this run key; only reports say so, the ledger holds the `ok`
it refers to. What is published of an `ok` airport is decided later, for the whole fleet: see `composition`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar, evaluation
from paxcast.core.candidate_files import COUNTS
from paxcast.core.combination import FoldForecasts
from paxcast.core.composition import Evaluation
from paxcast.core.evaluation import Window
from paxcast.core.past import Past
from paxcast.core.tuning import Tuned, split

OK, KEPT, QUARANTINED, FAILED = "ok", "kept", "quarantined", "failed"
FINISHED = (OK, QUARANTINED)
YEAR = 364  # days: whole weeks
DIGITS = 10  # of stored forecasts: beyond, what is left of a unit of measurement in the last bits would show


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Plain values: it is stored as JSON.

    `steps`: what was done to the history. `folds`, `test`: each window's split, dates, actual and counts ([H]), scale.
    `entrants`: each candidate's parameters, its forecasts of these windows and from the end, what fitted them.
    `changes`: without folds, what seasonal naive would have missed. `ds`: the periods of the published forecast, [H].
    `level`: mean traffic of the last season. `pinned`: a person, or drift, chose it. `seasons`: length of the history.
    `trials`: by candidate; `choices`: by candidate that was searched, the verdict on its parameters, why, and the
    challenger that waits (`choice.Choice`). `metrics`: of the combination by the first rule, by split;
    `train_members`: those of its members that the metrics of the history are of. `warnings`: by candidate, while its
    published fit was made.
    `seconds`, `memory_mb` (the highest of its process): facts of the try, no numbers of the airport.
    """

    run_key: str
    fleet: str
    airport: str
    as_of: str
    checksum: str
    batch: int
    status: str
    reason: str = ""
    seed: int = 0
    periods: int = 0
    filled: int = 0
    steps: list[dict[str, Any]] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    test: dict[str, Any] = field(default_factory=dict)
    entrants: list[dict[str, Any]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    changes: list[list[float | None]] = field(default_factory=list)
    ds: list[str] = field(default_factory=list)
    level: float = 0.0
    pinned: bool = False
    seasons: float = 0.0
    trials: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    choices: dict[str, dict[str, Any]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    train_members: list[str] = field(default_factory=list)
    warnings: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    memory_mb: float = 0.0
    attempt: int = 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_dict(values: Mapping[str, Any]) -> Outcome:
    """The outcome that `as_dict` described. Unknown keys of a later version are an error, not ignored."""
    return Outcome(**values)


def tuned_values(past: Past, tuned: Tuned, competing: tuple[str, ...]) -> dict[str, Any]:
    """The fields of an `ok` outcome that tuning filled, as plain values. competing: the fleet's candidates."""
    series, horizon = tuned.treated.series, len(tuned.entrants[0].forecast)
    season = calendar.frequency(series.frequency).season
    return {
        "status": OK,
        "periods": len(series.y),
        "filled": int(np.sum(~tuned.treated.observed)),
        "steps": [step.as_json() for step in tuned.treated.steps],
        "folds": [_window(past, window) for window in tuned.windows],
        "test": _window(past, tuned.test_window) if tuned.test_window else {},
        "entrants": [
            {
                "candidate": e.specification.candidate,
                "parameters": dict(sorted(e.specification.parameters.items())),
                "competes": e.specification.candidate in competing,
                "counts": COUNTS.get((e.specification.candidate, series.frequency), 1.0),
                "folds": [_plain(f) for f in e.folds],
                "test": [] if e.test is None else _plain(e.test),
                "forecast": _plain(e.forecast),
                "fitted_by": dict(e.fitted_by),
            }
            for e in tuned.entrants
        ],
        "left_out": dict(tuned.left_out),
        "warnings": {
            e.specification.candidate: count for e in tuned.entrants if (count := getattr(e.fitted, "warnings", 0))
        },
        "choices": {name: made.as_json() for name, made in tuned.choices.items()},
        "ds": [str(d.date()) for d in series.next_periods(horizon)],
        "changes": [_plain(row, missing=None) for row in tuned.changes],
        "level": evaluation.level(series),
        "seasons": len(series.y) / season,
        "trials": {
            name: [
                {"number": t.number, "parameters": t.parameters, "loss": t.loss, "reason": t.reason, "pruned": t.pruned}
                for t in trials
            ]
            for name, trials in tuned.trials.items()
        },
    }


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Numbers as outcomes keep them: to DIGITS; what is not finite is left out."""
    return {name: float(f"{value:.{DIGITS}g}") for name, value in sorted(values.items()) if np.isfinite(value)}


def evaluation_of(result: Outcome) -> Evaluation:
    """What an `ok` outcome says of its candidates, as arrays."""
    folds = None
    if result.folds:
        folds = FoldForecasts(
            forecast=np.array([e["folds"] for e in result.entrants]),
            actual=np.array([f["actual"] for f in result.folds]),
            scale=np.array([f["scale"] for f in result.folds]),
            counts=np.array([f["counts"] for f in result.folds]),
            prior=np.array([e.get("counts", 1.0) for e in result.entrants]),
        )
    test = result.test
    windows = [*result.folds, *([test] if test else [])]
    scales = [w.get("rms_scale") for w in windows]
    return Evaluation(
        candidates=tuple(e["candidate"] for e in result.entrants),
        competes=np.array([e["competes"] for e in result.entrants]),
        folds=folds,
        test=np.array([e["test"] for e in result.entrants]) if test else None,
        test_actual=np.array(test["actual"]) if test else None,
        test_counts=np.array(test["counts"]) if test else None,
        test_scale=test["scale"] if test else None,
        forecast=np.array([e["forecast"] for e in result.entrants]),
        level=result.level,
        pinned=result.pinned,
        whole_year=not result.folds or _days(result.folds[0]["ds"][0], result.ds[0]) >= YEAR,
        window_levels=np.array([w["level"] for w in windows]),
        rms_scales=None if None in scales else np.array(scales, dtype=np.float64),
        changes=np.array(result.changes, dtype=np.float64).reshape(-1, len(result.ds)),
    )


def _days(first: str, last: str) -> int:
    return (date.fromisoformat(last) - date.fromisoformat(first)).days


def _window(past: Past, window: Window) -> dict[str, Any]:
    ds = past.ds[window.fold.cutoff : window.fold.cutoff + window.fold.horizon]
    return {
        "split": split(past, window),
        "ds": [str(d)[:10] for d in ds],
        "actual": _plain(window.actual),
        "counts": window.counts.tolist(),
        "scale": window.scale,
        "rms_scale": window.rms_scale,
        "level": window.level,
    }


def _plain(values: npt.NDArray[np.float64], missing: float | None = 0.0) -> list[Any]:
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else missing for value in values.tolist()]
