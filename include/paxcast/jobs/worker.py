"""What runs on a Spark worker for each airport: tune it within its limits, write the outcome, never raise."""

import json
import time
from dataclasses import dataclass
from typing import Any

import pandas as pd

from paxcast.adapters.limits import deadline, memory_limit
from paxcast.adapters.object_store import ObjectStore
from paxcast.adapters.spark import PackedHistory, WorkerResult
from paxcast.core import outcome, tuning
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.columns import DS, Y
from paxcast.core.errors import AirportTimeout, AirportTooLarge
from paxcast.core.outcome import Outcome
from paxcast.core.search import Search
from paxcast.core.series import Series, regular
from paxcast.core.tuning import TuningTask
from paxcast.jobs import ledger, searches

MOST_WORKERS_LOST = 2  # fewer than the four tries that Spark gives a task, so that its other airports get their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class AirportWorker:
    """One batch's work, by airport. Picklable: Spark ships it to every worker."""

    store_root: str
    run_key: str
    fleet: str
    as_of: str
    batch: int
    frequency: str
    absent: str
    search: Search
    memory_mb: int
    tasks: dict[str, TuningTask]
    attempts: dict[str, int]

    def __call__(self, history: PackedHistory) -> WorkerResult:
        objects = ObjectStore(self.store_root)
        before = self._on_record(objects, history)
        if before is not None:  # a task that Spark runs again after a lost worker
            return WorkerResult(history.airport, before.status, before.reason, before.seconds)
        searches.warm()  # outside the airport's limits; at once but for a process's first airport
        began = ledger.begin(objects, self.run_key, history.airport, history.checksum, self.attempts[history.airport])
        started = time.monotonic()
        values, model = self._attempt(history) if began <= MOST_WORKERS_LOST else (_lost(began - 1), None)
        result = self._outcome(history, time.monotonic() - started, values)
        ledger.record(objects, result, model)
        return WorkerResult(history.airport, result.status, result.reason, result.seconds)

    def _on_record(self, objects: ObjectStore, history: PackedHistory) -> Outcome | None:
        """What this attempt has already made of the airport."""
        found = ledger.load(objects, self.run_key, history.airport, history.checksum)
        attempt = self.attempts[history.airport]
        return found or ledger.load_failed(objects, self.run_key, history.airport, history.checksum, attempt)

    def _attempt(self, history: PackedHistory) -> tuple[dict[str, Any], str | None]:
        """The outcome's fields and the model's text; a failure of any kind is a `failed` outcome with its reason."""
        try:
            with (
                deadline(self.tasks[history.airport].seconds, "tuning"),
                memory_limit(self.memory_mb, "tuning"),
            ):
                series = _series(history, self.frequency, self.absent)
                tuned = tuning.tune(series, self.tasks[history.airport], CANDIDATES, self.search)
                values = outcome.tuned_values(series, tuned)
                json.dumps(values, allow_nan=False)  # a ValueError here, not where the outcome is stored
                return values, tuned.fitted.to_json()
        except (AirportTimeout, AirportTooLarge) as err:
            return {"status": outcome.FAILED, "reason": str(err)}, None
        except Exception as err:  # noqa: BLE001 - one airport must not end the batch: it becomes a counted row, retried
            return {"status": outcome.FAILED, "reason": f"{type(err).__name__}: {err}"}, None

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
            **values,
        )


def _lost(workers: int) -> dict[str, Any]:
    """The outcome of an airport that its workers did not survive: others of its Spark task must get their turn."""
    return {
        "status": outcome.FAILED,
        "reason": f"tuning ended {workers} workers before they could say why: killed for memory, crashed or hung; the "
        "log of the Spark executor may say more",
    }


def _series(history: PackedHistory, frequency: str, absent: str) -> Series:
    dates = pd.DatetimeIndex(history.days.astype("datetime64[D]").astype("datetime64[ns]"))
    return regular(history.airport, pd.DataFrame({DS: dates, Y: history.values}), frequency, absent)
