"""An airport's model as a folder that MLflow can load. Writing one needs no active run, so several threads may write.

There are two kinds: MLflow's own Prophet, and the model from code, `mlflow_models/airport.py`. The latter differs
between airports only in data and ids. So MLflow saves it once, as a template, which takes a tenth of a second; each
airport gets a copy with its own data and ids.
"""

import json
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import yaml
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

MODEL_CODE = Path(__file__).parents[1] / "mlflow_models"
SIGNATURE = ModelSignature(
    Schema([ColSpec("datetime", "ds")]),
    Schema([ColSpec("double", "yhat")]),
    ParamSchema([ParamSpec("rule", DataType.string, "")]),  # empty: the rule that the model was written with
)
MLMODEL = "MLmodel"
Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the one in C takes a tenth of the time
# One thread at a time may save by MLflow: that runs the model's code, and warnings are muted for the whole process.
_saving = threading.Lock()


@dataclass(frozen=True, slots=True)
class Ids:
    """Of one model: its id in MLflow, the address where MLflow keeps its files, and the id of the run it belongs to."""

    model_id: str
    location: str
    run_id: str


def write(folder: Path, ids: Ids, model_json: str, weights: Mapping[str, Mapping[str, float]], rule: str) -> None:
    """Write an airport's model into an empty folder.

    model_json: what `paxcast.core.airport_model` keeps; weights: by rule, then candidate; rule: what it forecasts by
    unless asked for another.

    An airport for which every rule is Prophet alone becomes MLflow's own Prophet. Any other becomes the model from
    code, with its data as configuration. So does a Prophet whose history had its calendar effects taken out before the
    fit: MLflow's own would not put them back into the forecast.

    The same input gives the same files, but for the time of writing that MLflow notes in MLmodel.
    """
    values = json.loads(model_json)
    alone = {name for by_candidate in weights.values() for name in by_candidate} == {"prophet"}
    if alone and values.get("calendar") is None:
        _write_prophet(folder, ids, values["members"]["prophet"]["fitted"])
        return
    config = {**values, "weights": {name: dict(w) for name, w in weights.items()}, "rule": rule}
    about, files = template()
    function = {**about["flavors"]["python_function"], "config": config}
    own = {"model_id": ids.model_id, "model_uuid": ids.model_id, "run_id": ids.run_id, "artifact_path": ids.location}
    made = {"utc_time_created": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}", "flavors": {"python_function": function}}
    with (folder / MLMODEL).open("w", encoding="utf-8") as written:
        yaml.dump({**about, **own, **made}, written, Dumper=Dumper)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@cache
def _saved() -> tuple[dict[str, Any], dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as folder, quiet():
        path = Path(folder) / "model"
        mlflow.pyfunc.save_model(
            path,
            python_model=str(MODEL_CODE / "airport.py"),
            model_config={"weights": {}},
            signature=SIGNATURE,
            pip_requirements=pins("mlflow", "pandas"),
        )
        files = {file.name: file.read_bytes() for file in sorted(path.iterdir()) if file.is_file()}
        about = yaml.safe_load(files.pop(MLMODEL))
        del files["conda.yaml"], about["flavors"]["python_function"]["env"]["conda"]  # one upload less an airport
        return about, files


def template() -> tuple[dict[str, Any], dict[str, bytes]]:
    """The model from code without an airport's data: the content of its MLmodel, and its other files by name."""
    with _saving:
        return _saved()


def _write_prophet(folder: Path, ids: Ids, text: str) -> None:
    from prophet.serialize import model_from_json

    about = Model(artifact_path=ids.location, model_uuid=ids.model_id, run_id=ids.run_id, model_id=ids.model_id)
    with _saving, quiet(), tempfile.TemporaryDirectory() as made:
        path = Path(made) / "model"
        mlflow.prophet.save_model(
            model_from_json(text),
            path,
            mlflow_model=about,
            signature=SIGNATURE,
            pip_requirements=pins("mlflow", "prophet", "pandas"),
        )
        for file in path.iterdir():
            file.rename(folder / file.name)


@contextmanager
def quiet() -> Iterator[None]:
    """Mute warnings. MLflow gives advice on signatures and type hints, but signatures are given by hand here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def pins(*packages: str) -> list[str]:
    """A requirement for each of these packages: the version that is installed here."""
    return [f"{package}=={version(package)}" for package in packages]
