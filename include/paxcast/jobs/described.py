"""What MLflow is told of one airport: its tags, parameters, numbers, tables and model, from its outcome alone."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from paxcast.adapters.mlflow_registry import CANDIDATE, AirportRun, History, TrialRun
from paxcast.core import composition, fitted_by
from paxcast.core.columns import FLEET
from paxcast.core.combination import RULES
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.manifest import WHOLE_FLEET, Manifest
from paxcast.core.outcome import Outcome, evaluation_of
from paxcast.jobs import ledger
from paxcast.jobs.workspace import Workspace

COMPARED = ("cv.mase", "naive.cv.mase", "test.mase", "naive.test.mase")  # of the metrics, as tags of the version
USUAL = (fitted_by.EXACT, fitted_by.SHORTCUT)


def idem_key(result: Outcome) -> str:
    """The name of one airport's result, for ever."""
    return f"{result.run_key}/{result.airport}/{result.checksum}"


def model_name(fleet: str, airport: str) -> str:
    return f"{fleet}.{airport}"


def tags_of(manifest: Manifest, dag_run_id: str) -> dict[str, str]:
    """What all runs of a manifest have in common."""
    return {
        "fleet": manifest.fleet,
        "as_of": manifest.as_of,
        "config_hash": manifest.config_hash,
        "data_version": str(manifest.data_version),
        "code_version": manifest.code_version,
        "dag_run_id": dag_run_id,
    }


@dataclass(frozen=True)
class Described:
    """Makes the runs of one manifest's airports. `charted`: those whose charts are logged, if they have one."""

    ws: Workspace
    manifest: Manifest
    dag_run_id: str
    charted: set[str]

    def __call__(self, result: Outcome) -> AirportRun:
        """An airport's run. Raises KeyError if its model is not in the ledger, which only a broken store can cause."""
        airport, manifest, key = evaluation_of(result), self.manifest, (result.run_key, result.airport, result.checksum)
        by_rule = {rule: composition.compose(airport, rule) for rule in RULES}
        model = ledger.load_model(self.ws.objects, *key)
        if model is None:
            raise KeyError(f"{result.airport}: its outcome is in the ledger and its model is not; rerun with --force")
        return AirportRun(
            idem_key=idem_key(result),
            model=model_name(manifest.fleet, result.airport),
            tags={**tags_of(manifest, self.dag_run_id), **self._tags(result, by_rule[composition.FIRST_RULE])},
            compared=_compared(result),
            params=_params(result, manifest),
            metrics=_metrics(result, airport, by_rule),
            search_loss={
                name: [t["loss"] for t in trials if t["loss"] is not None] for name, trials in result.trials.items()
            },
            trials=_trial_runs(result) if self._with_trials else [],
            tables={
                "points.csv": _csv(_points(result, by_rule)),
                "trials.csv": _csv(_flat_trials(result)),
            },
            chart=ledger.load_chart(self.ws.objects, *key) if result.airport in self.charted else None,
            history=self._history(result),
            weights={rule: dict(composed.weights) for rule, composed in by_rule.items()},
            rule=composition.FIRST_RULE,
            model_json=model,
        )

    def _tags(self, result: Outcome, composed: Composed) -> dict[str, str]:
        """The tags of one airport. Its candidate is by the first rule until the fleet has decided on another one."""
        why = self._why.get(result.airport, WHOLE_FLEET)
        return {
            "run_key": self.manifest.run_key,
            "mlflow.runName": f"{result.airport} {self.manifest.as_of}",
            "airport": result.airport,
            "outcome": result.status,
            "checksum": result.checksum,
            CANDIDATE: composed.method,
            "drift_reason": "" if why == WHOLE_FLEET else why,
            "train_members": ", ".join(result.train_members),
        }

    def _history(self, result: Outcome) -> History:
        rows, first, last = self._histories.get((result.airport, result.checksum), (result.periods, "", ""))
        return History(
            name=model_name(self.manifest.fleet, result.airport),
            digest=result.checksum,
            table=f"{self.ws.tables.root}/tables/observations",
            version=self.manifest.data_version,
            rows=rows,
            first=first,
            last=last,
        )

    @property
    def _with_trials(self) -> bool:
        """Whether each evaluation has a run of its own: in the mode spark_trials, and where it is asked for. In a fleet
        these are a million."""
        return self.ws.settings.mlflow.trials or self.manifest.numbers["search"].get("parallelism") is not None

    @cached_property
    def _why(self) -> dict[str, str]:
        return {a.airport: a.why for a in self.manifest.airports}

    @cached_property
    def _histories(self) -> dict[tuple[str, str], tuple[int, str, str]]:
        """By airport and checksum how many rows the run judged, and of which first and last period."""
        of_run = [(FLEET, "=", self.ws.fleet), ("run_key", "=", self.manifest.run_key)]
        rows = self.ws.tables.read("quality", of_run, ["airport", "checksum", "rows_known", "first_ds", "last_ds"])
        return {
            (str(airport), str(checksum)): (int(known), str(first)[:10], str(last)[:10])
            for airport, checksum, known, first, last in rows.itertuples(index=False, name=None)
        }


def _compared(result: Outcome) -> dict[str, str]:
    """What a version is told to have done: its errors, of the first rule's combination, beside seasonal naive's, and of
    each searched candidate the verdict against the champion with both errors."""
    errors = {name: f"{result.metrics[name]:.4g}" for name in COMPARED if name in result.metrics}
    verdicts = {f"{name}.verdict": made["verdict"] for name, made in result.choices.items()}
    reasons = {f"{name}.reason": made["reason"] for name, made in result.choices.items() if made["reason"]}
    return errors | verdicts | reasons


def _params(result: Outcome, manifest: Manifest) -> dict[str, str]:
    return {
        "seed": str(result.seed),
        "horizon": str(manifest.horizon),
        "frequency": manifest.frequency,
        "periods": str(result.periods),
        "filled": str(result.filled),
        **{f"{e['candidate']}.{name}": str(value) for e in result.entrants for name, value in e["parameters"].items()},
    }


def _metrics(result: Outcome, airport: Evaluation, by_rule: Mapping[str, Composed]) -> dict[str, float]:
    """What the outcome says of the first rule's combination in each split, what the try cost and what went wrong in it;
    mean MASE in the folds and in the test window, of each candidate and of each rule's combination."""
    values: dict[str, float] = {
        **result.metrics,
        "seconds": result.seconds,
        "memory_mb": result.memory_mb,
        **_counts(result),
    }
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


def _counts(result: Outcome) -> dict[str, float]:
    """Evaluations that failed or were given up, in all and of each candidate that was searched; candidates left out;
    warnings while published fits were made; windows that another engine than the exact one had to fit."""
    failed = {name: sum(t["loss"] is None for t in trials) for name, trials in result.trials.items()}
    pruned = {name: sum(t["pruned"] for t in trials) for name, trials in result.trials.items()}
    told = [(e["candidate"], engine) for e in result.entrants for engine in e["fitted_by"].values()]
    return {
        "failed_evaluations": sum(failed.values()),
        "pruned_evaluations": sum(pruned.values()),
        **{f"failed_evaluations.{name}": count for name, count in failed.items()},
        **{f"pruned_evaluations.{name}": count for name, count in pruned.items()},
        "left_out": len(result.left_out),
        "warnings": sum(result.warnings.values()),
        **{f"warnings.{name}": count for name, count in result.warnings.items()},
        "not_exact": sum("prophet" in name and engine not in USUAL for name, engine in told),
    }


def _points(result: Outcome, by_rule: Mapping[str, Composed]) -> list[dict[str, object]]:
    """What each candidate and each rule forecast of every past period, beside what followed; and of those to come."""
    windows = [*result.folds, *([result.test] if result.test else [])]
    rows: list[dict[str, object]] = []
    for k, window in enumerate(windows):
        columns = {e["candidate"]: (e["folds"] + [e["test"]])[k] for e in result.entrants}
        for rule, composed in by_rule.items():
            forecast = composed.folds[k] if k < len(result.folds) else composed.test
            if forecast is not None:
                columns[f"rule.{rule}"] = forecast.tolist()
        for step, (ds, y) in enumerate(zip(window["ds"], window["actual"], strict=True)):
            rows.append({"split": window["split"], "ds": ds, "y": y, **{name: c[step] for name, c in columns.items()}})
    columns = {e["candidate"]: e["forecast"] for e in result.entrants}
    columns |= {f"rule.{rule}": composed.forecast.tolist() for rule, composed in by_rule.items()}
    for step, ds in enumerate(result.ds):
        rows.append({"split": "forecast", "ds": ds, "y": None, **{name: c[step] for name, c in columns.items()}})
    return rows


def _trial_runs(result: Outcome) -> list[TrialRun]:
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


def _csv(rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
