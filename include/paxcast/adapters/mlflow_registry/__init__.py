"""MLflow: runs, model versions, aliases. Every write is idempotent by key: asked twice, it is done once."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Before MLflow is imported: a server that is down is noticed within seconds (its defaults block for four minutes), no
# two lines and a bar per model, no telemetry.
for _name, _value in {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}.items():
    os.environ.setdefault(_name, _value)

import mlflow  # noqa: E402
from mlflow.entities import Metric, Param, RunTag  # noqa: E402
from mlflow.entities.model_registry import ModelVersion  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.models import ModelSignature  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema  # noqa: E402

from paxcast.adapters.mlflow_registry.connection import artifact_root, one_at_a_time, reaching  # noqa: E402

MODEL_CODE = Path(__file__).parents[1] / "mlflow_models"
SIGNATURE = ModelSignature(
    Schema([ColSpec("datetime", "ds")]),
    Schema([ColSpec("double", "yhat")]),
    ParamSchema([ParamSpec("rule", DataType.string, "")]),  # empty: the model's own
)
PAGE = 1000
MOST_METRICS = 1000  # that MLflow takes at once: the losses of two candidates' searches may be more
TRACKING = "MLFLOW_TRACKING_URI"
RULE = "rule"  # the tag of a version: the rule that it forecasts by as published
ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"


@dataclass(frozen=True, slots=True)
class TrialRun:
    """One evaluation of a candidate's search, as a run of its own under its airport's."""

    candidate: str
    number: int
    params: Mapping[str, str]
    loss: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AirportRun:
    """One airport's run and model, as plain values. `idem_key` names it for ever."""

    idem_key: str
    model: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    search_loss: Mapping[str, list[float]]  # by candidate and evaluation
    trials: Sequence[TrialRun] = ()  # those that get runs of their own
    tables: Mapping[str, str]  # file name -> text
    weights: Mapping[str, Mapping[str, float]]  # by rule, of each candidate
    rule: str  # the one that it predicts with unless told another
    model_json: str


class Registry:
    """One tracking server and its registry."""

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        self.tracking_uri, self.experiment = tracking_uri, experiment
        with reaching(tracking_uri), one_at_a_time(tracking_uri):
            self.client = MlflowClient(tracking_uri, tracking_uri)
            self.experiment_id = self._experiment()

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(self.client.create_experiment(self.experiment, artifact_root(self.tracking_uri)))
        except MlflowException as err:
            found = self.client.get_experiment_by_name(self.experiment)
            if err.error_code != ALREADY_EXISTS or found is None:
                raise
            return str(found.experiment_id)  # made by another task a moment ago

    def parent_run(self, run_key: str, tags: Mapping[str, str]) -> str:
        """The id of the run that a fleet's airports hang under; made if it is missing."""
        with reaching(self.tracking_uri):
            query = f"tags.run_key = '{run_key}' and tags.kind = 'fleet'"
            if not self._runs(query):
                all_tags = {"kind": "fleet", "run_key": run_key, "idem_key": run_key, "mlflow.runName": run_key, **tags}
                self.client.create_run(self.experiment_id, tags=all_tags)
            return self._runs(query)[run_key]  # the oldest, should another batch have made one at the same moment

    def airport_runs(self, run_key: str) -> dict[str, str]:
        """idem_key -> run id of every airport's run that was begun under a run key."""
        with reaching(self.tracking_uri):
            return self._runs(f"tags.run_key = '{run_key}' and tags.kind = 'airport'")

    def versions(self, run_key: str) -> dict[str, int]:
        """idem_key -> model version of everything registered under a run key."""
        with reaching(self.tracking_uri):
            found: dict[str, int] = {}
            for v in self._versions(run_key):
                found[v.tags["idem_key"]] = min(int(v.version), found.get(v.tags["idem_key"], int(v.version)))
            return found

    def tag_versions(self, run_key: str, tag: str, wanted: Mapping[tuple[str, int], str]) -> int:
        """Give versions registered under a run key, by (model, version), a tag; how many did not have it yet."""
        with reaching(self.tracking_uri):
            there = {(v.name, int(v.version)): v.tags.get(tag) for v in self._versions(run_key)}
            other = {key: value for key, value in sorted(wanted.items()) if key in there and there[key] != value}
            for (model, number), value in other.items():
                self.client.set_model_version_tag(model, str(number), tag, value)
            return len(other)

    def register(self, parent: str, run: AirportRun, run_id: str | None) -> tuple[str, int]:
        """Log one airport, register its model; the run's id and the version. `run_id`: begun by an earlier try."""
        with reaching(self.tracking_uri):
            if run_id is None:
                tags = {**run.tags, "kind": "airport", "idem_key": run.idem_key, "mlflow.parentRunId": parent}
                run_id = str(self.client.create_run(self.experiment_id, tags=tags).info.run_id)
            self._log(run_id, run)
            self._log_trials(run_id, run)
            with self._run(run_id):
                info = _log_model(run)
            tags = {**run.tags, RULE: run.rule}
            made = self._version(run.model, info.model_uri, run_id, info.model_id, run.idem_key, tags)
            return run_id, made

    def register_release(self, name: str, forecasts: Path, parent: str, idem_key: str, tags: Mapping[str, str]) -> int:
        """Register a release as one model of the fleet; its version. Registered already, that version."""
        with reaching(self.tracking_uri):
            made = self.client.search_model_versions(f"name = '{name}' and tags.idem_key = '{idem_key}'")
            if made:
                return min(int(v.version) for v in made)
            with self._run(parent):
                info = mlflow.pyfunc.log_model(
                    name="release",
                    python_model=str(MODEL_CODE / "release.py"),
                    artifacts={"forecasts": str(forecasts)},
                    signature=ModelSignature(Schema([ColSpec("string", "airport"), ColSpec("datetime", "ds")])),
                    pip_requirements=_pins("mlflow", "pandas", "pyarrow"),
                )
            return self._version(name, info.model_uri, parent, info.model_id, idem_key, tags)

    def alias(self, model: str, alias: str) -> int | None:
        """The version an alias points at, or None."""
        with reaching(self.tracking_uri):
            try:
                return int(self.client.get_model_version_by_alias(model, alias).version)
            except MlflowException as err:
                if err.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
                    return None
                raise

    def set_alias(self, model: str, alias: str, to_version: int) -> None:
        """Point an alias at a version."""
        with reaching(self.tracking_uri):
            self.client.set_registered_model_alias(model, alias, str(to_version))

    def log_fleet(self, parent: str, metrics: Mapping[str, float], files: Mapping[str, str]) -> None:
        """Fleet-wide numbers and texts on the parent run, which then counts as finished.

        Logged again after a rerun, they are the next step: MLflow copies a run's metrics to each model that is logged
        in it later, a release, and fails on two values of one step.
        """
        with reaching(self.tracking_uri):
            step = max((len(self.client.get_metric_history(parent, name)) for name in metrics), default=0)
            self.client.log_batch(parent, metrics=_metrics(metrics, step))
            for name, text in files.items():
                self.client.log_text(parent, text, name)
            self.client.set_terminated(parent)

    @contextmanager
    def _run(self, run_id: str) -> Iterator[None]:
        """A run as the active one, which logging a model needs. MLflow leaves its address in the environment, where the
        settings of the next fleet in this process would find it: it is put back."""
        before = os.environ.get(TRACKING)
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            with mlflow.start_run(run_id=run_id), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # advice on signatures and type hints, which are given by hand here
                yield
        finally:
            os.environ.pop(TRACKING, None)
            if before is not None:
                os.environ[TRACKING] = before

    def _versions(self, run_key: str) -> Iterator[ModelVersion]:
        token = None
        while True:
            query = f"tags.run_key = '{run_key}'"
            page = self.client.search_model_versions(query, max_results=PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _runs(self, query: str) -> dict[str, str]:
        found: dict[str, str] = {}
        token = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], query, max_results=PAGE, page_token=token, order_by=["attributes.start_time ASC"]
            )
            for run in page:
                found.setdefault(run.data.tags["idem_key"], run.info.run_id)
            token = page.token
            if not token:
                return found

    def _log(self, run_id: str, run: AirportRun) -> None:
        steps = [
            Metric(f"search_loss.{name}", loss, 0, step)
            for name, losses in run.search_loss.items()
            for step, loss in enumerate(losses)
        ]
        params = [Param(k, v) for k, v in run.params.items()]
        tags = [RunTag(k, v) for k, v in run.tags.items()]
        metrics = [*_metrics(run.metrics), *steps]
        self.client.log_batch(run_id, metrics=metrics[:MOST_METRICS], params=params, tags=tags)
        for first in range(MOST_METRICS, len(metrics), MOST_METRICS):
            self.client.log_batch(run_id, metrics=metrics[first : first + MOST_METRICS])
        for name, text in run.tables.items():
            self.client.log_text(run_id, text, name)

    def _log_trials(self, parent: str, run: AirportRun) -> None:
        """The runs of the trials that an earlier try has not made."""
        there = self._runs(f"tags.mlflow.parentRunId = '{parent}'") if run.trials else {}
        for trial in run.trials:
            key = f"{run.idem_key}/{trial.candidate}/trial-{trial.number:04d}"
            if key not in there:
                tags = {"kind": "trial", "idem_key": key, "mlflow.parentRunId": parent, "reason": trial.reason[:500]}
                tags |= {name: run.tags[name] for name in ("run_key", "airport") if name in run.tags}
                made = self.client.create_run(
                    self.experiment_id, tags=tags, run_name=f"{trial.candidate} trial {trial.number}"
                )
                params = [Param(k, v) for k, v in trial.params.items()]
                loss = {} if trial.loss is None else {"loss": trial.loss}
                self.client.log_batch(made.info.run_id, metrics=_metrics(loss), params=params)
                self.client.set_terminated(made.info.run_id, "FAILED" if trial.loss is None else "FINISHED")

    def _version(
        self, model: str, source: str, run_id: str, model_id: str, idem_key: str, tags: Mapping[str, str]
    ) -> int:
        try:
            self.client.create_registered_model(model)
        except MlflowException as err:
            if err.error_code != ALREADY_EXISTS:
                raise
        keyed = {**tags, "idem_key": idem_key}
        return int(self.client.create_model_version(model, source, run_id, tags=keyed, model_id=model_id).version)


def _log_model(run: AirportRun) -> Any:
    """Prophet alone is MLflow's own flavour; a combination is a model from code, with its data as configuration.

    So is a Prophet fitted without calendar effects: by itself it would forecast without them.
    """
    values = json.loads(run.model_json)
    alone = {name for weights in run.weights.values() for name in weights} == {"prophet"}
    if alone and values.get("calendar") is None:
        from prophet.serialize import model_from_json

        return mlflow.prophet.log_model(
            model_from_json(values["members"]["prophet"]["fitted"]),
            name="model",
            signature=SIGNATURE,
            pip_requirements=_pins("mlflow", "prophet", "pandas"),
        )
    return mlflow.pyfunc.log_model(
        name="model",
        python_model=str(MODEL_CODE / "airport.py"),
        model_config={**values, "weights": {rule: dict(w) for rule, w in run.weights.items()}, "rule": run.rule},
        signature=SIGNATURE,
        pip_requirements=_pins("mlflow", "pandas"),
    )


def _metrics(values: Mapping[str, float], step: int = 0) -> list[Metric]:
    return [Metric(name, float(value), 0, step) for name, value in sorted(values.items())]


def _pins(*packages: str) -> list[str]:
    return [f"{package}=={version(package)}" for package in packages]
