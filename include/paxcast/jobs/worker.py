"""What runs on a Spark worker for each airport: tune it within its limits, write the outcome, never raise."""

import json
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from paxcast.adapters.limits import deadline, memory_limit
from paxcast.adapters.object_store import ObjectStore
from paxcast.adapters.spark import PackedHistory, WorkerResult
from paxcast.core import airport_model, calendar, composition, fleet_model, outcome, residuals, split_metrics, tuning
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.given import Given
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.columns import DS, Y
from paxcast.core.composition import Composed
from paxcast.core.errors import AirportTimeout, AirportTooLarge
from paxcast.core.outcome import Outcome
from paxcast.core.past import Past
from paxcast.core.search import Search
from paxcast.core.treatment import Raw, Rules, on_grid
from paxcast.core.tuning import Tuned, TuningTask
from paxcast.jobs import charts, ledger, searches

MOST_WORKERS_LOST = 2  # fewer than the four tries that Spark gives a task, so that its other airports get their turn


@dataclass(frozen=True, slots=True)
class _Made:
    """What became of one airport: the fields of its outcome; where it was tuned, its model and all that was made."""

    values: dict[str, Any]
    model: str | None = None
    tuned: Tuned | None = None
    composed: Composed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AirportWorker:
    """One batch's work, by airport. Picklable: Spark ships it to every worker."""

    store_root: str
    run_key: str
    fleet: str
    as_of: str
    batch: int
    frequency: str
    rules: dict[str, Rules]
    competing: dict[str, tuple[str, ...]]  # the candidates of its task that may be published
    search: Search
    memory_mb: int
    tasks: dict[str, TuningTask]
    attempts: dict[str, int]
    charts: str = charts.NONE
    given: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # what the fleet's model forecast, by cutoff

    def __call__(self, history: PackedHistory) -> WorkerResult:
        objects = ObjectStore(self.store_root)
        before = self._on_record(objects, history)
        if before is not None:  # a task that Spark runs again after a lost worker
            return WorkerResult(history.airport, before.status, before.reason, before.seconds)
        searches.warm()  # outside the airport's limits; at once but for a process's first airport
        began = ledger.begin(objects, self.run_key, history.airport, history.checksum, self.attempts[history.airport])
        started = time.monotonic()
        made = self._attempt(history) if began <= MOST_WORKERS_LOST else _Made(_lost(began - 1))
        result = self._outcome(history, time.monotonic() - started, made.values)
        ledger.record(objects, result, made.model, self._chart(result, made))
        return WorkerResult(history.airport, result.status, result.reason, result.seconds)

    def _on_record(self, objects: ObjectStore, history: PackedHistory) -> Outcome | None:
        """What this attempt has already made of the airport."""
        found = ledger.load(objects, self.run_key, history.airport, history.checksum)
        attempt = self.attempts[history.airport]
        return found or ledger.load_failed(objects, self.run_key, history.airport, history.checksum, attempt)

    def _attempt(self, history: PackedHistory) -> _Made:
        """A failure of any kind is a `failed` outcome with its reason."""
        try:
            with (
                deadline(self.tasks[history.airport].seconds, "tuning"),
                memory_limit(self.memory_mb, "tuning"),
            ):
                past, task = self._past(history), self.tasks[history.airport]
                tuned = tuning.tune(past, task, self._candidates(history.airport), self.search)
                values = outcome.tuned_values(past, tuned, self.competing[history.airport])
                values |= {"pinned": task.pinned, "reason": _reason(task, tuned, self.competing[history.airport])}
                composed, measured = _measured(self._outcome(history, 0.0, values), tuned)
                values |= measured
                json.dumps(values, allow_nan=False)  # a ValueError here, not where the outcome is stored
                return _Made(values, airport_model.as_text(tuned), tuned, composed)
        except (AirportTimeout, AirportTooLarge) as err:
            return _Made({"status": outcome.FAILED, "reason": str(err)})
        except Exception as err:  # noqa: BLE001 - one airport must not end the batch: it becomes a counted row, retried
            return _Made({"status": outcome.FAILED, "reason": f"{type(err).__name__}: {err}"})

    def _chart(self, result: Outcome, made: _Made) -> bytes | None:
        if made.tuned is None or made.composed is None:
            return None
        return charts.drawn(self.charts, self.tasks[result.airport], made.tuned, result, made.composed)

    def _past(self, history: PackedHistory) -> Past:
        return Past(raw_of(history, self.frequency), self.rules[history.airport])

    def _candidates(self, airport: str) -> Mapping[str, Candidate]:
        """All there are, the fleet's model with what it forecast of this airport."""
        by_cutoff = {end: np.array(values) for end, values in self.given.get(airport, {}).items()}
        return {**CANDIDATES, fleet_model.NAME: Given(fleet_model.NAME, by_cutoff)} if by_cutoff else CANDIDATES

    def _outcome(self, history: PackedHistory, seconds: float, values: dict[str, Any]) -> Outcome:
        return Outcome(
            run_key=self.run_key,
            fleet=self.fleet,
            airport=history.airport,
            as_of=self.as_of,
            checksum=history.checksum,
            batch=self.batch,
            seed=self.tasks[history.airport].seed,
            attempt=self.attempts[history.airport],
            seconds=round(seconds, 3),
            memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
            **values,
        )


def _measured(result: Outcome, tuned: Tuned) -> tuple[Composed, dict[str, Any]]:
    """What the first rule makes of an airport, and the outcome's fields that say how that did."""
    airport, series = outcome.evaluation_of(result), tuned.treated.series
    composed = composition.compose(airport, composition.FIRST_RULE)
    train, members = split_metrics.of_history(series, tuned.treated.observed, tuned.entrants, composed.weights)
    season = calendar.frequency(series.frequency).season
    found = split_metrics.of_splits(airport, composed) | train | residuals.of_combination(airport, composed, season)
    return composed, {"metrics": outcome.rounded(found), "train_members": members}


def _reason(task: TuningTask, tuned: Tuned, competing: tuple[str, ...]) -> str:
    """Why the method that is pinned has no forecast; empty where it has one, and where none is pinned."""
    entered = {entrant.specification.candidate for entrant in tuned.entrants}
    if not task.pinned or entered.intersection(competing):
        return ""
    method = ", ".join(competing)
    why = f"could not be fitted: {tuned.left_out[method]}" if method in tuned.left_out else "was not tried"
    return f"{method}, which {task.pinned_by}, {why}; seasonal naive is published"


def _lost(workers: int) -> dict[str, Any]:
    """The outcome of an airport that its workers did not survive: others of its Spark task must get their turn."""
    return {
        "status": outcome.FAILED,
        "reason": f"tuning ended {workers} workers before they could say why: killed for memory, crashed or hung; the "
        "log of the Spark executor may say more",
    }


def raw_of(history: PackedHistory, frequency: str) -> Raw:
    """A history on its grid, from the row that Spark was handed. Raises ValueError for rows off the grid."""
    dates = pd.DatetimeIndex(history.days.astype("datetime64[D]").astype("datetime64[ns]"))
    return on_grid(history.airport, pd.DataFrame({DS: dates, Y: history.values}), frequency)
