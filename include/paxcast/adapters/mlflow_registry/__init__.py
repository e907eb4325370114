"""MLflow: runs, model versions, aliases. Every write is idempotent by key: asked twice, it is done once."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

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
from mlflow.entities import RunTag  # noqa: E402
from mlflow.entities.model_registry import ModelVersion  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.models import ModelSignature  # noqa: E402
from mlflow.tracking import MlflowClient  # noqa: E402
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema  # noqa: E402

from paxcast.adapters.mlflow_registry import airports, aliases, bulk, model_folder  # noqa: E402
from paxcast.adapters.mlflow_registry.airports import (  # noqa: E402
    ALREADY_EXISTS,
    RULE,
    AirportRun,
    History,
    TrialRun,
    Writer,
)
from paxcast.adapters.mlflow_registry.bulk import Make, Registered  # noqa: E402
from paxcast.adapters.mlflow_registry.connection import answering, artifact_root, one_at_a_time, reaching  # noqa: E402
from paxcast.adapters.mlflow_registry.model_folder import MODEL_CODE, pins  # noqa: E402

__all__ = ["CANDIDATE", "PAGE", "RULE", "AirportRun", "History", "Make", "Registered", "Registry", "TrialRun"]
PAGE = 1000
TRACKING = "MLFLOW_TRACKING_URI"
RELEASE_SIGNATURE = ModelSignature(  # asked without `ds`, a release answers every period that it has of an airport
    Schema([ColSpec("string", "airport"), ColSpec("datetime", "ds", required=False)]),
    Schema(
        [
            *(ColSpec("string", "airport"), ColSpec("datetime", "ds"), ColSpec("string", "model")),
            *(ColSpec("long", "version"), ColSpec("string", "as_of")),
            *(ColSpec("double", name) for name in ("yhat", "lo80", "hi80", "lo95", "hi95")),
            ColSpec("string", "confidence"),
        ]
    ),
    ParamSchema([ParamSpec("missing", DataType.string, "error")]),
)
CANDIDATE = "candidate"  # the tag of a run and a version: the method that is published


class Registry:
    """One tracking server and its registry."""

    def __init__(self, tracking_uri: str, experiment: str) -> None:
        self.tracking_uri, self.experiment = tracking_uri, experiment
        answering(tracking_uri)
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

    def begun(self, run_key: str) -> dict[str, str]:
        """idem_key -> run id of the airports' runs under a run key that an interrupted try has left open."""
        with reaching(self.tracking_uri):
            return self._runs(f"tags.run_key = '{run_key}' and tags.kind = 'airport' and attributes.status = 'RUNNING'")

    def versions(self, run_key: str) -> dict[str, Registered]:
        """idem_key -> what is registered under a run key; of two versions of one key, which cannot be, the first."""
        with reaching(self.tracking_uri):
            found: dict[str, Registered] = {}
            for v in self._versions(run_key):
                one, key = Registered(str(v.run_id), int(v.version)), v.tags["idem_key"]
                found[key] = min(one, found.get(key, one), key=lambda r: r.version)
            return found

    def tell(self, run_key: str, wanted: Mapping[tuple[str, int], Mapping[str, str]]) -> int:
        """Give versions registered under a run key, by (model, version), these tags; how many had others.

        Their runs get the tag `candidate` too, where it is among them.
        """
        with reaching(self.tracking_uri):
            there = {(v.name, int(v.version)): v for v in self._versions(run_key)}
            other = 0
            for (model, number), tags in sorted(wanted.items()):
                found = there.get((model, number))
                differing = {} if found is None else {k: t for k, t in tags.items() if found.tags.get(k) != t}
                for name, value in differing.items():
                    if name == CANDIDATE and found is not None and found.run_id:
                        self.client.set_tag(
                            found.run_id, name, value
                        )  # first: asked again, the version's still differs
                    self.client.set_model_version_tag(model, str(number), name, value)
                other += bool(differing)
            return other

    def register(self, parent: str, run: AirportRun, run_id: str | None) -> tuple[str, int]:
        """Log one airport, register its model; the run's id and the version. `run_id`: begun by an earlier try."""
        with reaching(self.tracking_uri):
            trials = self._runs(f"tags.mlflow.parentRunId = '{run_id}'") if run.trials and run_id else {}
            return Writer(self.client, self.experiment_id).write(parent, run, run_id, trials)

    def register_all(self, parent: str, wanted: Mapping[str, Make], writers: int) -> Iterator[tuple[str, Registered]]:
        """Register airports, `writers` at a time; each one's key, run and version as it is done, in no order.

        wanted: by idem_key what makes an airport's run, called in the writer's thread, and the run that an earlier try
        has begun. Raises InfrastructureError within seconds if MLflow stops answering; those that are done are done.
        """
        model_folder.template()
        at_once = bulk.writers(self.tracking_uri, writers)
        yield from bulk.register(
            self.tracking_uri, wanted, at_once, lambda run, begun: self.register(parent, run, begun)
        )

    def end(self, run_id: str) -> None:
        """Mark a run as finished."""
        with reaching(self.tracking_uri):
            self.client.set_terminated(run_id)

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
                    signature=RELEASE_SIGNATURE,
                    pip_requirements=pins("mlflow", "pandas", "pyarrow"),
                )
            return airports.version(self.client, name, info.model_uri, parent, info.model_id, idem_key, tags)

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

    def crown(self, prefix: str, champions: Mapping[str, int], writers: int, *, succeed: bool = True) -> int:
        """Make versions the champions of their models, whose names all begin so; how many were not. They succeed the
        ones before, which become `previous`, or take their place."""
        with reaching(self.tracking_uri):
            at_once = bulk.writers(self.tracking_uri, writers)
            return aliases.crown(self.client, prefix, champions, at_once, succeed=succeed)

    def challenge(self, prefix: str, challengers: Mapping[str, int], writers: int) -> int:
        """Make versions the challengers of their models, whose names all begin so; how many were not."""
        with reaching(self.tracking_uri):
            return aliases.challenge(self.client, prefix, challengers, bulk.writers(self.tracking_uri, writers))

    def log_fleet(self, parent: str, metrics: Mapping[str, float], files: Mapping[str, str]) -> None:
        """Fleet-wide numbers and texts on the parent run, which then counts as finished.

        Logged again after a rerun, they are the next step: MLflow copies a run's metrics to each model that is logged
        in it later, a release, and fails on two values of one step.
        """
        with reaching(self.tracking_uri):
            step = max((len(self.client.get_metric_history(parent, name)) for name in metrics), default=0)
            self.client.log_batch(parent, metrics=airports.metrics_of(metrics, step))
            for name, text in files.items():
                self.client.log_text(parent, text, name)
            self.client.set_terminated(parent)

    def log_check(
        self, check_key: str, tags: Mapping[str, str], metrics: Mapping[str, float], files: Mapping[str, str]
    ) -> str:
        """A drift check as a run of its own, with texts by file name; the run's id.

        Logged again it is the same run: what is the same is not repeated, other numbers are the next step.
        """
        with reaching(self.tracking_uri):
            query = f"tags.run_key = '{check_key}' and tags.kind = 'drift'"
            if not self._runs(query):
                named = {"kind": "drift", "run_key": check_key, "idem_key": check_key, "mlflow.runName": check_key}
                self.client.create_run(self.experiment_id, tags={**tags, **named})
            run_id = self._runs(query)[check_key]  # the oldest, as in parent_run
            there = self.client.get_run(run_id).data.metrics
            changed = {name: value for name, value in metrics.items() if there.get(name) != value}
            step = max((len(self.client.get_metric_history(run_id, name)) for name in changed), default=0)
            told = [RunTag(name, value) for name, value in tags.items()]
            self.client.log_batch(run_id, metrics=airports.metrics_of(changed, step), tags=told)
            for name, text in files.items():
                self.client.log_text(run_id, text, name)
            self.client.set_terminated(run_id)
            return run_id

    @contextmanager
    def _run(self, run_id: str) -> Iterator[None]:
        """A run as the active one, which logging a model needs. MLflow leaves its address in the environment, where the
        settings of the next fleet in this process would find it: it is put back."""
        before = os.environ.get(TRACKING)
        mlflow.set_tracking_uri(self.tracking_uri)
        mlflow.set_registry_uri(self.tracking_uri)
        try:
            with mlflow.start_run(run_id=run_id), model_folder.quiet():
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
