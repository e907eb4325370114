"""One row per airport and run: what became of it. The ledger is all of these.

`ok`: tuned, fitted, forecast. `quarantined`: its data cannot be forecast, never retried. `failed`: a transient cause,
retried. `kept`: it was already done under this run key; only reports say so, the ledger holds the `ok` it refers to.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from paxcast.core.evaluation import FoldScore
from paxcast.core.series import Series
from paxcast.core.tuning import Tuned

OK, KEPT, QUARANTINED, FAILED = "ok", "kept", "quarantined", "failed"
FINISHED = (OK, QUARANTINED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Plain values: it is stored as JSON. Lists in `forecast` are [H]; `points` are the forecasts in past splits."""

    run_key: str
    fleet: str
    airport: str
    as_of: str
    checksum: str
    batch: int
    status: str
    reason: str = ""
    method: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    verdict: str = ""
    seed: int = 0
    periods: int = 0
    filled: int = 0
    fitted_by: dict[str, str] = field(default_factory=dict)  # by split, and `published`
    cv_mase: float | None = None
    cv_mase_naive: float | None = None
    mase: float | None = None
    mase_naive: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    confidence: str = ""
    forecast: dict[str, list[Any]] = field(default_factory=dict)
    points: list[dict[str, Any]] = field(default_factory=list)
    trials: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    attempt: int = 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_dict(values: Mapping[str, Any]) -> Outcome:
    """The outcome that `as_dict` described. Unknown keys of a later version are an error, not ignored."""
    return Outcome(**values)


def tuned_values(series: Series, tuned: Tuned) -> dict[str, Any]:
    """The fields of an `ok` outcome that tuning filled, as plain values."""
    return {
        "status": OK,
        "reason": tuned.decision.reason,
        "method": tuned.specification.candidate,
        "parameters": dict(sorted(tuned.specification.parameters.items())),
        "verdict": tuned.decision.verdict,
        "periods": len(series.y),
        "filled": series.filled,
        "fitted_by": _fitted_by(series, tuned),
        "cv_mase": tuned.cv_mase,
        "cv_mase_naive": tuned.cv_mase_naive,
        "mase": tuned.metrics.get("test_mase"),
        "mase_naive": tuned.metrics.get("test_mase_naive"),
        "metrics": dict(tuned.metrics),
        "confidence": tuned.confidence,
        "forecast": _forecast(series, tuned),
        "points": _points(series, tuned),
        "trials": [
            {"number": t.number, "parameters": t.parameters, "loss": t.loss, "reason": t.reason, "pruned": t.pruned}
            for t in tuned.trials
        ],
    }


def _forecast(series: Series, tuned: Tuned) -> dict[str, list[Any]]:
    band = tuned.band
    dates = [str(d.date()) for d in series.next_periods(len(band.yhat))]
    values = {"yhat": band.yhat, "lo80": band.lo80, "hi80": band.hi80, "lo95": band.lo95, "hi95": band.hi95}
    return {"ds": dates, **{name: array.tolist() for name, array in values.items()}}


def _fitted_by(series: Series, tuned: Tuned) -> dict[str, str]:
    """What fitted each split and what is published, and why not the usual engine, where a candidate has several."""
    splits = {_split(series, s): s.fitted_by for s in _scores(tuned) if s.fitted_by}
    return {**splits, "published": tuned.fitted.fitted_by}


def _scores(tuned: Tuned) -> list[FoldScore]:
    return [*tuned.fold_scores, *([tuned.test] if tuned.test else [])]


def _split(series: Series, score: FoldScore) -> str:
    return f"{score.fold.kind}@{str(series.ds[score.fold.cutoff - 1])[:10]}"


def _points(series: Series, tuned: Tuned) -> list[dict[str, Any]]:
    return [
        {"split": _split(series, s), "ds": str(ds)[:10], "yhat": yhat, "y": y}
        for s in _scores(tuned)
        for ds, yhat, y in zip(_dates(series, s), s.forecast.tolist(), s.actual.tolist(), strict=True)
    ]


def _dates(series: Series, score: FoldScore) -> npt.NDArray[np.datetime64]:
    return series.ds[score.fold.cutoff : score.fold.cutoff + score.fold.horizon]
