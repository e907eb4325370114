"""Models in an environment that has MLflow and what their own requirements name, and no Paxcast.

The line fills a real `mlflow server`; a new virtual environment gets the models' `requirements.txt` from the package
index; there they are loaded, and the release is served. Numbers must be those of the store, to the last digit: it keeps
ten of what a model forecasts, and a release holds what the store does. The environment is some 900 MB, and is removed
at the end.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import mlflow
import pandas as pd
import pytest

from paxcast.core.outcome import DIGITS

pytestmark = [pytest.mark.slow, pytest.mark.faults]  # half of the minutes it takes are pip's

NOW = pd.Timestamp("2021-01-05T12:00", tz="UTC")
CODES = ["AAA", "BBB", "CCC"]
RELEASE = "models:/small.release@champion"
OURS = ("AIRFLOW", "PAXCAST_", "MLFLOW_", "PYTHON", "SPARK_", "VIRTUAL_ENV")

ASK = """
import importlib.util, json, sys
import mlflow, pandas as pd
assert importlib.util.find_spec("paxcast") is None
release = mlflow.pyfunc.load_model("models:/small.release@champion")
told = release.predict(pd.DataFrame({"airport": ["CCC", "AAA", "BBB"]}))
ds = pd.DataFrame({"ds": told["ds"][told["airport"] == "AAA"]})
rule = mlflow.MlflowClient().get_model_version_by_alias("small.BBB", "champion").tags["rule"]
combination = mlflow.pyfunc.load_model("models:/small.BBB@champion")
try:
    combination.predict(pd.DataFrame({"ds": ds["ds"] + pd.DateOffset(months=6)}))
except ImportError as err:
    beyond = str(err)
own = mlflow.prophet.load_model("models:/small.AAA@champion")
answers = {
    "release": told.assign(ds=told["ds"].dt.strftime("%Y-%m-%d")).to_dict("records"),
    "class": type(own).__module__ + "." + type(own).__name__,
    "prophet": mlflow.pyfunc.load_model("models:/small.AAA@champion").predict(ds)["yhat"].tolist(),
    "combination": combination.predict(ds, params={"rule": rule})["yhat"].tolist(),
    "beyond": beyond,
}
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Plain:
    """A new environment, what of the line it may know (an address), and what the store holds."""

    bin: Path
    uri: str
    forecasts: pd.DataFrame

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**kept, "PATH": f"{self.bin}:{os.environ['PATH']}", "MLFLOW_TRACKING_URI": self.uri}

    def stored(self, airport: str) -> list[dict[str, Any]]:
        """An airport's forecast as the table has it, periods as text."""
        rows = self.forecasts[self.forecasts["airport"] == airport]
        return rows.assign(ds=rows["ds"].dt.strftime("%Y-%m-%d")).to_dict("records")


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Path) -> Iterator[str]:
    """The address of a server that is started with `--port`, once it answers; it is ended with the block."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    with log.open("wb") as told:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=told, stderr=told, env=environment)
    try:
        end = time.monotonic() + 900
        while not answers(f"http://127.0.0.1:{port}/health"):
            if process.poll() is not None or time.monotonic() > end:
                raise AssertionError(log.read_text())
            time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(120)


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="paxcast-plain-") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def uri(folder: Path) -> Iterator[str]:
    """A real MLflow server with one worker."""
    where = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "files")]
    with started(
        [sys.executable, "-m", "mlflow", "server", *where, "--workers", "1"], dict(os.environ), folder / "s"
    ) as at:
        yield at


@pytest.fixture(scope="module")
def forecasts(folder: Path, uri: str, write_fleet: Callable[..., Path], made_up: Callable[..., Any]) -> pd.DataFrame:
    """What the line published: AAA is forecast by Prophet alone, the others by combinations."""
    from paxcast.core.calendar import parse_as_of
    from paxcast.jobs import forecast, releases
    from paxcast.jobs.ingest import ingest
    from paxcast.jobs.retrain import retrain
    from paxcast.jobs.run import Request as Asked
    from paxcast.jobs.workspace import open_workspace
    from paxcast.settings import load

    settings = {
        "candidates": ["seasonal_naive", "window_average", "seasonal_growth"],
        "overrides": {"AAA": {"method": "prophet"}},
        "history": {"calendar": "none"},
        "search": {"mode": "local", "max_evals": 2},
        "store": str(folder / "store"),
        "mlflow": {"tracking_uri": uri},
    }
    ws = open_workspace(load(write_fleet(folder, made_up(CODES, 72, "MS", "2020-12-01"), **settings)))
    ingest(ws, NOW)
    retrain(ws, Asked(as_of=parse_as_of("2020-12-31"), request_id="plain"), NOW)
    release = releases.current(ws)
    assert release is not None
    return forecast.forecasts(ws, release)


@pytest.fixture(scope="module")
def plain(folder: Path, uri: str, forecasts: pd.DataFrame) -> Plain:
    """A virtual environment with what the release and the Prophet say that they need, from the package index."""
    mlflow.set_tracking_uri(uri)
    needed = [
        mlflow.artifacts.download_artifacts(f"models:/{model}@champion/requirements.txt", dst_path=str(folder / model))
        for model in ("small.release", "small.AAA")
    ]
    subprocess.run([sys.executable, "-m", "venv", str(folder / "env")], check=True)
    made = Plain(folder / "env" / "bin", uri, forecasts)
    pip = [str(made.bin / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, *(word for path in needed for word in ("-r", path))], check=True, env=made.environment)
    return made


def test_models_are_loaded_without_paxcast_and_forecast_what_the_store_holds_to_the_last_digit(plain: Plain) -> None:
    found = subprocess.run(
        [str(plain.bin / "python"), "-c", ASK], env=plain.environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout.splitlines()[-1])
    expected = [row for code in ("CCC", "AAA", "BBB") for row in plain.stored(code)]
    assert len(told["release"]) == len(expected) == 36
    for row, stored in zip(told["release"], expected, strict=True):
        assert row == {name: stored[name] for name in row}
    assert told["class"] == "prophet.forecaster.Prophet"
    kept = [float(f"{value:.{DIGITS}g}") for value in told["prophet"]]
    assert kept == [row["yhat"] for row in plain.stored("AAA")]
    assert told["combination"] == [row["yhat"] for row in plain.stored("BBB")]
    assert "the forecast that is kept reaches to 2021-12-01" in told["beyond"]


def ask(address: str, records: list[dict[str, str]]) -> tuple[int, Any]:
    content, kind = json.dumps({"dataframe_records": records}).encode(), {"Content-Type": "application/json"}
    try:
        with urlopen(Request(f"{address}/invocations", content, kind), timeout=600) as answer:
            return answer.status, json.load(answer)
    except HTTPError as err:
        return err.code, json.load(err)


def test_a_combination_is_served_without_paxcast(plain: Plain, folder: Path) -> None:
    serve = [str(plain.bin / "mlflow"), "models", "serve", "-m", "models:/small.BBB@champion", "--env-manager", "local"]
    stored = plain.stored("BBB")
    with started(serve, plain.environment, folder / "combination") as address:
        status, told = ask(address, [{"ds": row["ds"]} for row in stored])
    assert status == 200
    assert [row["yhat"] for row in told["predictions"]] == [row["yhat"] for row in stored]


def test_the_release_is_served_without_paxcast_and_another_one_from_the_next_start_on(
    plain: Plain, folder: Path
) -> None:
    from paxcast.adapters.mlflow_registry import Registry

    serve = [str(plain.bin / "mlflow"), "models", "serve", "-m", RELEASE, "--env-manager", "local"]
    stored = plain.stored("BBB")
    with started(serve, plain.environment, folder / "first") as address:
        status, told = ask(address, [{"airport": "BBB", "ds": row["ds"]} for row in stored[::-1]])
        assert status == 200
        for row, expected in zip(told["predictions"], stored[::-1], strict=True):
            assert {**row, "ds": row["ds"][:10]} == {name: expected[name] for name in row}
        status, told = ask(address, [{"airport": "XXX", "ds": "2021-01-01"}])
        assert (status, told["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
        assert "not in this release of 3 airports: XXX" in told["message"]

        registry, path = Registry(plain.uri, "paxcast-small"), folder / "forecasts.parquet"
        plain.forecasts.assign(yhat=1.0).to_parquet(path, index=False)
        other = registry.register_release("small.release", path, registry.parent_run("other", {}), "other", {})
        registry.set_alias("small.release", "champion", other)
        assert ask(address, [{"airport": "BBB"}])[1]["predictions"][0]["yhat"] == stored[0]["yhat"]
    with started(serve, plain.environment, folder / "second") as address:
        assert ask(address, [{"airport": "BBB"}])[1]["predictions"][0]["yhat"] == 1.0
