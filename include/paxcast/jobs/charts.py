"""Charts of airports: drawn by the worker that has tuned one, kept beside its outcome, logged by the registering step.

Which airports get one is the setting `mlflow.charts`: `changed`, those whose first run it is or a member of whose
combination got other parameters than the champion's; `all`; `worst`, of a batch the tenth that did worst in the folds
against seasonal naive; `none`.
"""

import logging
import math
from collections.abc import Sequence

import numpy as np

from paxcast.adapters import chart
from paxcast.adapters.chart import Line, Picture
from paxcast.adapters.limits import deadline
from paxcast.core import calendar
from paxcast.core.composition import Composed
from paxcast.core.outcome import Outcome
from paxcast.core.tuning import Tuned, TuningTask

log = logging.getLogger("paxcast.charts")
SEASONS = 4  # of history
HORIZONS = 4  # at least: of daily data four weeks would not show a fold
SECONDS = 20.0  # to draw one; it takes a twentieth of a second, the first of a process about two
WORST = 0.10  # of a batch
ALL, CHANGED, OF_WORST, NONE = "all", "changed", "worst", "none"


def drawn(mode: str, task: TuningTask, tuned: Tuned, result: Outcome, composed: Composed) -> bytes | None:
    """An airport's chart as a PNG, or None where the setting wants none, or it cannot be drawn: no airport fails by it.

    composed: what the first rule makes of it.
    """
    if mode == NONE or (mode == CHANGED and not changed(task, tuned, composed)):
        return None
    try:
        with deadline(SECONDS, "drawing"):
            return chart.png(picture(tuned, result, composed))
    except Exception:
        log.warning("%s: its chart could not be drawn", result.airport, exc_info=True)
        return None


def changed(task: TuningTask, tuned: Tuned, composed: Composed) -> bool:
    """Whether there is no champion, or a member has other parameters than the champion's. One without any has none."""
    before = {s.candidate: dict(s.parameters) for s in task.champions}
    now = {e.specification.candidate: dict(e.specification.parameters) for e in tuned.entrants}
    return not before or any(before.get(name, {}) != now[name] for name in composed.weights)


def picture(tuned: Tuned, result: Outcome, composed: Composed) -> Picture:
    """The last seasons of the history that was fitted on, the folds and the test window in them, and the forecast."""
    series = tuned.treated.series
    periods = max(SEASONS * calendar.frequency(series.frequency).season, HORIZONS * len(result.ds))
    shown = series.tail(periods)
    windows = [*zip(result.folds, composed.folds, strict=True)] if result.folds else []
    if result.test and composed.test is not None:
        windows.append((result.test, composed.test))
    lines = [Line(np.array(window["ds"], dtype="datetime64[ns]"), values) for window, values in windows]
    return Picture(
        title=f"{result.airport} as of {result.as_of}: {composed.method}",
        history=Line(shown.ds, shown.y),
        folds=[line for line in lines if line.ds[0] >= shown.ds[0]],
        forecast=Line(np.array(result.ds, dtype="datetime64[ns]"), composed.forecast),
    )


def logged(mode: str, batch: Sequence[Outcome]) -> set[str]:
    """The airports of a batch whose charts are logged, if there are any. batch: all its finished outcomes."""
    if mode != OF_WORST:
        return {result.airport for result in batch}
    against = {r.airport: _against_naive(r) for r in batch}
    ranked = sorted(against, key=lambda airport: (-against[airport], airport))
    return set(ranked[: math.ceil(WORST * len(ranked))])


def _against_naive(result: Outcome) -> float:
    """The folds' error in units of seasonal naive's; of an airport without folds, or that naive never misses, 0."""
    naive = result.metrics.get("naive.cv.mase", 0.0)
    return result.metrics.get("cv.mase", 0.0) / naive if naive > 0 else 0.0
