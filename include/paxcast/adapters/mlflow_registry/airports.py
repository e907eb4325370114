"""One airport in MLflow: its run, its model, its version. Safe to do for several airports at once, and again.

    run ──> numbers, dataset, files ──> model ──> version ──> the run counts as finished

The run is marked as finished last, so that what an interrupted try has left can be told.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, LoggedModelStatus, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from paxcast.adapters.mlflow_registry import model_folder
from paxcast.adapters.mlflow_registry.connection import takes_one_writer
from paxcast.adapters.mlflow_registry.model_folder import Ids

AT_ONCE = 1000  # entities that MLflow takes in one call
PARAMS_AT_ONCE = 100
ALREADY_EXISTS = "RESOURCE_ALREADY_EXISTS"
RULE = "rule"  # the tag of a version: the rule that it forecasts by as published


@dataclass(frozen=True, slots=True)
class TrialRun:
    """One evaluation of a candidate's search, as a run of its own under its airport's."""

    candidate: str
    number: int
    params: Mapping[str, str]
    loss: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class History:
    """The data that a run was fitted on: a Delta table at a version, an airport of it, and the digest of all its rows.

    MLflow's own digest of a frame reads 10,000 rows, and no dates.
    """

    name: str
    digest: str
    table: str
    version: int
    rows: int
    first: str
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AirportRun:
    """One airport's run and model, as plain values. `idem_key` names it for ever. `compared`: what it did against
    seasonal naive and the champion, as tags of the version."""

    idem_key: str
    model: str
    tags: Mapping[str, str]
    compared: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    search_loss: Mapping[str, list[float]]  # by candidate and evaluation
    trials: Sequence[TrialRun] = ()  # those that get runs of their own
    tables: Mapping[str, str]  # file name -> text
    chart: bytes | None = None  # a PNG
    history: History | None = None
    weights: Mapping[str, Mapping[str, float]]  # by rule, of each candidate
    rule: str  # the one that it predicts with unless told another
    model_json: str


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes airports into one experiment. It keeps nothing between them."""

    client: MlflowClient
    experiment_id: str

    def write(self, parent: str, run: AirportRun, run_id: str | None, there: Mapping[str, str]) -> tuple[str, int]:
        """The run's id and the version. run_id: begun by an earlier try; there: its trials' runs, by their keys."""
        run_id, place = self._begun(parent, run, run_id)
        self._numbers(run_id, run)
        if run.history is not None:
            self.client.log_inputs(run_id, [_dataset(run.history)])
        self._files(place, run)
        self._trials(run_id, run, there)
        ids = self._model(run_id, run)
        tags = {**run.tags, **run.compared, RULE: run.rule}
        # Of an id a sqlite file's store would ask the process's own tracking server, which may be another.
        source = ids.location if takes_one_writer(self.client.tracking_uri) else f"models:/{ids.model_id}"
        made = version(self.client, run.model, source, run_id, ids.model_id, run.idem_key, tags)
        self.client.set_terminated(run_id)
        return run_id, made

    def _begun(self, parent: str, run: AirportRun, run_id: str | None) -> tuple[str, str]:
        """The run's id, and where its files go."""
        if run_id is None:
            tags = {**run.tags, "kind": "airport", "idem_key": run.idem_key, "mlflow.parentRunId": parent}
            made = self.client.create_run(self.experiment_id, tags=tags)
        else:
            made = self.client.get_run(run_id)
        return str(made.info.run_id), str(made.info.artifact_uri)

    def _numbers(self, run_id: str, run: AirportRun) -> None:
        steps = [
            Metric(f"search_loss.{name}", loss, 0, step)
            for name, losses in run.search_loss.items()
            for step, loss in enumerate(losses)
        ]
        params = [Param(k, v) for k, v in run.params.items()]
        tags = [RunTag(k, v) for k, v in run.tags.items()]  # an earlier try's may have said less
        metrics = [*metrics_of(run.metrics), *steps]
        first = AT_ONCE - len(params[:PARAMS_AT_ONCE]) - len(tags)
        self.client.log_batch(run_id, metrics=metrics[:first], params=params[:PARAMS_AT_ONCE], tags=tags)
        for at in range(first, len(metrics), AT_ONCE):
            self.client.log_batch(run_id, metrics=metrics[at : at + AT_ONCE])
        for at in range(PARAMS_AT_ONCE, len(params), PARAMS_AT_ONCE):
            self.client.log_batch(run_id, params=params[at : at + PARAMS_AT_ONCE])

    def _files(self, place: str, run: AirportRun) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in run.tables.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            if run.chart is not None:
                (Path(folder) / "forecast.png").write_bytes(run.chart)
            self._upload(place, folder)

    def _model(self, run_id: str, run: AirportRun) -> Ids:
        """The model, which is whole when it says that it is ready."""
        kept = {name: run.tags[name] for name in ("run_key", "airport") if name in run.tags}
        made = self.client.create_logged_model(self.experiment_id, "model", source_run_id=run_id, tags=kept)
        ids = Ids(str(made.model_id), str(made.artifact_location), run_id)
        with tempfile.TemporaryDirectory() as folder:
            model_folder.write(Path(folder), ids, run.model_json, run.weights, run.rule)
            self._upload(ids.location, folder)
        self.client.finalize_logged_model(ids.model_id, LoggedModelStatus.READY)
        self.client.log_outputs(run_id, [LoggedModelOutput(ids.model_id, 0)])
        return ids

    def _upload(self, place: str, folder: str) -> None:
        """A folder's files. `MlflowClient.log_artifacts` would first ask where to, for each."""
        repository: Any = get_artifact_repository(place, tracking_uri=self.client.tracking_uri)
        repository.log_artifacts(folder)

    def _trials(self, parent: str, run: AirportRun, there: Mapping[str, str]) -> None:
        """The runs of the trials that an earlier try has not made."""
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
                self.client.log_batch(made.info.run_id, metrics=metrics_of(loss), params=params)
                self.client.set_terminated(made.info.run_id, "FAILED" if trial.loss is None else "FINISHED")


def version(
    client: MlflowClient,
    model: str,
    source: str,
    run_id: str,
    model_id: str,
    idem_key: str,
    tags: Mapping[str, str],
) -> int:
    """A new version of a model, which is made if there is none of that name."""
    try:
        client.create_registered_model(model)
    except MlflowException as err:
        if err.error_code != ALREADY_EXISTS:
            raise
    keyed = {**tags, "idem_key": idem_key}
    made = client.create_model_version(model, source, run_id, tags=keyed, model_id=model_id, await_creation_for=0)
    return int(made.version)


def metrics_of(values: Mapping[str, float], step: int = 0) -> list[Metric]:
    """Numbers as MLflow takes them, in the order of their names."""
    return [Metric(name, float(value), 0, step) for name, value in sorted(values.items())]


def _dataset(history: History) -> DatasetInput:
    columns = [("datetime", "ds"), ("double", "y")]
    schema = {"mlflow_colspec": [{"type": kind, "name": name, "required": True} for kind, name in columns]}
    profile = {"num_rows": history.rows, "first": history.first, "last": history.last}
    source = {"path": history.table, "delta_table_version": history.version}
    made = Dataset(
        history.name,
        history.digest,
        "delta_table",
        json.dumps(source),
        json.dumps(schema),
        json.dumps(profile),
    )
    return DatasetInput(made, [InputTag("mlflow.data.context", "training")])
