"""Candidates that are trained across airports: once for a run, before its airports are tuned, as one Spark task.

runs/RUN_KEY/fleet_models/NAME-DIGEST.json    airport -> last period before it -> the forecast from there, [H] traffic

The digest is of all histories that it was trained on: a restatement under the same run key trains anew, a retry and the
run's other batches read what is there. Every fold's forecast comes from a model that had seen nothing later.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paxcast.adapters import spark
from paxcast.adapters.spark import PackedHistory
from paxcast.core import fleet_model, identity
from paxcast.core.past import Past
from paxcast.core.treatment import Rules
from paxcast.core.tuning import TuningTask
from paxcast.jobs.worker import raw_of
from paxcast.jobs.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("paxcast.fleet_models")
ByCutoff = dict[str, list[float]]
Forecasts = dict[str, ByCutoff]  # by airport


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetTraining:
    """What the one task does with all histories of a fleet. Picklable. `task`: any airport's, for its horizon and its
    folds; `rules`: by airport."""

    frequency: str
    task: TuningTask
    rules: Mapping[str, Rules]

    def __call__(self, histories: Sequence[PackedHistory]) -> str:
        """Each airport's forecasts by cutoff, as JSON. One whose rows lie on no grid is left out."""
        pasts = {h.airport: past for h in histories if (past := self._past(h)) is not None}
        found: Forecasts = {}
        if pasts:
            for cutoff in fleet_model.cutoffs(pasts, self.task):
                for airport, forecast in fleet_model.forecasts(pasts, cutoff, self.task.horizon).items():
                    found.setdefault(airport, {})[str(cutoff)[:10]] = forecast.tolist()
        return json.dumps(found, allow_nan=False)

    def _past(self, history: PackedHistory) -> Past | None:
        try:
            return Past(raw_of(history, self.frequency), self.rules[history.airport])
        except ValueError:  # its own tuning says what is wrong with it
            return None


def given(
    ws: Workspace,
    session: "SparkSession | None",
    run_key: str,
    frequency: str,
    tasks: Mapping[str, TuningTask],
    fleet: Callable[[], Sequence[PackedHistory]],
) -> Forecasts:
    """What the fleet's model forecasts of the airports of these tasks; nothing, and nothing is read, if none asks for
    it. fleet: reads the histories of all airports that may be forecast."""
    asking = {airport for airport, task in tasks.items() if fleet_model.NAME in task.candidates}
    if not asking:
        return {}
    task = tasks[min(asking)]
    found = _kept(ws, session, run_key, frequency, task, sorted(fleet(), key=lambda history: history.airport))
    return {airport: by_cutoff for airport, by_cutoff in found.items() if airport in asking}


def _kept(
    ws: Workspace,
    session: "SparkSession | None",
    run_key: str,
    frequency: str,
    task: TuningTask,
    histories: Sequence[PackedHistory],
) -> Forecasts:
    """The forecasts on record for these histories; made first where there are none."""
    digest = identity.digest([[h.airport, h.checksum] for h in histories], 16)
    name = f"runs/{run_key}/fleet_models/{fleet_model.NAME}-{digest}.json"
    found: Forecasts | None = ws.objects.get(name)
    if found is None:
        log.info("%s: training on %d airports", fleet_model.NAME, len(histories))
        ws.objects.put_if_absent(name, json.loads(_made(ws, session, frequency, task, histories)))
        found = ws.objects.get(name)
    return found or {}


def _made(
    ws: Workspace,
    session: "SparkSession | None",
    frequency: str,
    task: TuningTask,
    histories: Sequence[PackedHistory],
) -> str:
    training = FleetTraining(
        frequency=frequency,
        task=task,
        rules={h.airport: ws.settings.rules(h.airport) for h in histories},
    )
    if session is None or not histories:
        return training(histories)
    cutoffs = 2 + task.recent_folds + task.earlier_year_folds
    return spark.in_one_task(session, histories, training, cutoffs * ws.settings.search.seconds_per_airport)
