"""Register: one MLflow run and one model version for each ok outcome of a batch that has none yet."""

import logging
from collections.abc import Sequence
from functools import partial

import pandas as pd

from paxcast.adapters.mlflow_registry import Make, Registered, Registry
from paxcast.core.columns import FLEET
from paxcast.core.outcome import OK, Outcome
from paxcast.jobs import charts, described, ledger, plan
from paxcast.jobs.described import Described, idem_key
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.register")


def register_batch(ws: Workspace, run_key: str, manifest_id: str, batch: int, dag_run_id: str = "") -> int:
    """Settle the batch, and register what it has finished; how many versions are new. Twice makes no second version.

    Raises InfrastructureError within seconds if MLflow is down; nothing is refitted by trying again.
    """
    manifest = plan.load(ws, run_key, manifest_id)
    settled = [result for result in ledger.settle(ws, manifest, batch) if result.status == OK]
    missing = {idem_key(result): result for result in _unregistered(ws, run_key, settled)}
    if not missing:
        return 0
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    parent = registry.parent_run(run_key, described.tags_of(manifest, dag_run_id))
    there, begun = registry.versions(run_key), registry.begun(run_key)
    rows = [_row(missing[key], found) for key, found in there.items() if key in missing]
    for key in sorted(begun.keys() & there.keys()):  # an earlier try ended between the two
        registry.end(begun[key])
    make = Described(ws, manifest, dag_run_id, charts.logged(ws.settings.mlflow.charts, settled))
    wanted = {key: Make(partial(make, result), begun.get(key)) for key, result in missing.items() if key not in there}
    try:
        for key, made in registry.register_all(parent, wanted, ws.settings.mlflow.writers):
            rows.append(_row(missing[key], made))
    finally:
        ws.tables.append("registrations", pd.DataFrame(rows))  # of a try that fails midway too
    log.info("batch %02d: %d model versions registered", batch, len(wanted))
    return len(wanted)


def _unregistered(ws: Workspace, run_key: str, results: Sequence[Outcome]) -> list[Outcome]:
    rows = ledger.registrations(ws, run_key)
    there = set(zip(rows["airport"], rows["checksum"], strict=True))
    return [r for r in results if (r.airport, r.checksum) not in there]


def _row(result: Outcome, made: Registered) -> dict[str, object]:
    return {
        FLEET: result.fleet,
        "run_key": result.run_key,
        "airport": result.airport,
        "checksum": result.checksum,
        "model": described.model_name(result.fleet, result.airport),
        "version": made.version,
        "mlflow_run": made.run_id,
    }
