"""Register: one MLflow run and one model version for each ok outcome of a batch that has none yet."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from paxcast.adapters.mlflow_registry import AirportRun, Registry, TrialRun
from paxcast.core import composition
from paxcast.core.columns import FLEET
from paxcast.core.combination import RULES
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import OK, Outcome, evaluation_of
from paxcast.jobs import ledger, plan
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.register")


def register_batch(ws: Workspace, run_key: str, manifest_id: str, batch: int, dag_run_id: str = "") -> int:
    """Settle the batch, and register what it has finished; how many versions are new. Twice makes no second version.

    Raises InfrastructureError within seconds if MLflow is down; nothing is refitted by trying again.
    """
    manifest = plan.load(ws, run_key, manifest_id)
    missing = _unregistered(ws, run_key, ledger.settle(ws, manifest, batch))
    if not missing:
        return 0
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    parent = registry.parent_run(run_key, _parent_tags(manifest, dag_run_id))
    versions, begun = registry.versions(run_key), registry.airport_runs(run_key)
    rows, new = [], 0
    for result in missing:
        key = idem_key(result)
        if key in versions:
            rows.append(_row(result, versions[key], begun.get(key, "")))
            continue
        run_id, version = registry.register(parent, _airport_run(ws, manifest, result, dag_run_id), begun.get(key))
        rows.append(_row(result, version, run_id))
        new += 1
    ws.tables.append("registrations", pd.DataFrame(rows))
    log.info("batch %02d: %d model versions registered", batch, new)
    return new


def registrations(ws: Workspace, run_key: str) -> pd.DataFrame:
    """Model version by airport and checksum, for everything registered under a run key."""
    rows = ws.tables.read("registrations", [(FLEET, "=", ws.fleet), ("run_key", "=", run_key)])
    return rows.sort_values("version").drop_duplicates(["airport", "checksum"])


def not_registered(ws: Workspace, manifest: Manifest, batch: int | None = None) -> list[str]:
    """The airports of a manifest, or of one of its batches, that have no model version from this very run."""
    rows = registrations(ws, manifest.run_key)
    there = set(zip(rows["airport"], rows["checksum"], strict=True))
    wanted = manifest.airports if batch is None else manifest.of_batch(batch)
    return [a.airport for a in wanted if (a.airport, a.checksum) not in there]


def idem_key(result: Outcome) -> str:
    """The name of one airport's result, for ever."""
    return f"{result.run_key}/{result.airport}/{result.checksum}"


def model_name(fleet: str, airport: str) -> str:
    return f"{fleet}.{airport}"


def _unregistered(ws: Workspace, run_key: str, results: Sequence[Outcome]) -> list[Outcome]:
    rows = registrations(ws, run_key)
    there = set(zip(rows["airport"], rows["checksum"], strict=True))
    return [r for r in results if r.status == OK and (r.airport, r.checksum) not in there]


def _parent_tags(manifest: Manifest, dag_run_id: str) -> dict[str, str]:
    return {
        "fleet": manifest.fleet,
        "as_of": manifest.as_of,
        "config_hash": manifest.config_hash,
        "data_version": str(manifest.data_version),
        "code_version": manifest.code_version,
        "dag_run_id": dag_run_id,
    }


def _airport_run(ws: Workspace, manifest: Manifest, result: Outcome, dag_run_id: str) -> AirportRun:
    airport = evaluation_of(result)
    by_rule = {rule: composition.compose(airport, rule) for rule in RULES}
    model = ledger.load_model(ws.objects, result.run_key, result.airport, result.checksum)
    if model is None:
        raise KeyError(f"{result.airport}: its outcome is in the ledger and its model is not; rerun with --force")
    return AirportRun(
        idem_key=idem_key(result),
        model=model_name(manifest.fleet, result.airport),
        tags={
            "run_key": manifest.run_key,
            "mlflow.runName": f"{result.airport} {manifest.as_of}",
            "airport": result.airport,
            "outcome": result.status,
            "checksum": result.checksum,
            **_parent_tags(manifest, dag_run_id),
        },
        params={
            "seed": str(result.seed),
            "horizon": str(manifest.horizon),
            "frequency": manifest.frequency,
            "periods": str(result.periods),
            "filled": str(result.filled),
            **{
                f"{e['candidate']}.{name}": str(value)
                for e in result.entrants
                for name, value in e["parameters"].items()
            },
        },
        metrics=_metrics(result, airport, by_rule),
        search_loss={
            name: [t["loss"] for t in trials if t["loss"] is not None] for name, trials in result.trials.items()
        },
        trials=_trial_runs(manifest, result),
        tables={
            "points.csv": _csv(_points(result, by_rule)),
            "trials.csv": _csv(_flat_trials(result)),
            "forecast.csv": _forecast(result, by_rule),
        },
        weights={rule: dict(composed.weights) for rule, composed in by_rule.items()},
        rule=composition.FIRST_RULE,
        model_json=model,
    )


def _metrics(result: Outcome, airport: Evaluation, by_rule: Mapping[str, Composed]) -> dict[str, float]:
    """Mean MASE in the folds and in the test window, of each candidate and of each rule's combination."""
    values: dict[str, float] = {"seconds": result.seconds}
    if airport.folds is not None:
        for name, error in zip(airport.candidates, airport.folds.errors().mean(axis=1), strict=True):
            values[f"cv_mase.{name}"] = float(error)
        values |= {f"cv_mase.rule.{rule}": c.cv_mase for rule, c in by_rule.items() if c.cv_mase is not None}
    if airport.test is not None:
        for name, forecast in zip(airport.candidates, airport.test, strict=True):
            values[f"test_mase.{name}"] = airport.test_error(forecast)
        for rule, composed in by_rule.items():
            if composed.test is not None:
                values[f"test_mase.rule.{rule}"] = airport.test_error(composed.test)
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _points(result: Outcome, by_rule: Mapping[str, Composed]) -> list[dict[str, object]]:
    """What each candidate and each rule forecast of every past period, beside what followed."""
    windows = [*result.folds, *([result.test] if result.test else [])]
    rows = []
    for k, window in enumerate(windows):
        columns = {e["candidate"]: (e["folds"] + [e["test"]])[k] for e in result.entrants}
        for rule, composed in by_rule.items():
            forecast = composed.folds[k] if k < len(result.folds) else composed.test
            if forecast is not None:
                columns[f"rule.{rule}"] = forecast.tolist()
        for step, (ds, y) in enumerate(zip(window["ds"], window["actual"], strict=True)):
            rows.append({"split": window["split"], "ds": ds, "y": y, **{name: c[step] for name, c in columns.items()}})
    return rows


def _trial_runs(manifest: Manifest, result: Outcome) -> list[TrialRun]:
    """In the mode spark_trials each evaluation has a run of its own, in the others none: a fleet makes a million."""
    if manifest.numbers["search"].get("parallelism") is None:
        return []
    return [
        TrialRun(name, t["number"], {k: str(v) for k, v in t["parameters"].items()}, t["loss"], t["reason"])
        for name, trials in result.trials.items()
        for t in trials
    ]


def _flat_trials(result: Outcome) -> list[dict[str, object]]:
    return [
        {"candidate": name, "number": t["number"], "loss": t["loss"], "reason": t["reason"], **t["parameters"]}
        for name, trials in result.trials.items()
        for t in trials
    ]


def _forecast(result: Outcome, by_rule: Mapping[str, Composed]) -> str:
    columns = {e["candidate"]: e["forecast"] for e in result.entrants}
    columns |= {f"rule.{rule}": composed.forecast.tolist() for rule, composed in by_rule.items()}
    return pd.DataFrame({"ds": result.ds, **columns}).to_csv(index=False)


def _csv(rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(result: Outcome, version: int, run_id: str) -> dict[str, object]:
    return {
        FLEET: result.fleet,
        "run_key": result.run_key,
        "airport": result.airport,
        "checksum": result.checksum,
        "model": model_name(result.fleet, result.airport),
        "version": version,
        "mlflow_run": run_id,
    }
