"""How long a release takes to load and to answer, in process and through `mlflow models serve`.

Registers a release of `--airports` airports by 13 weeks, with made-up numbers, on a real `mlflow server` on a sqlite
file. Beside it the usual way: a model for each airport, downloaded and loaded one by one. That is measured on `--usual`
Prophets of one made-up history, and multiplied by the number of airports. An answer's time over HTTP ends with its last
byte; the request is made beforehand, the answer parsed afterwards.

The last line is one JSON object, also kept in benchmarks/results/serving.json.
"""

import argparse
import json
import logging
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import measured  # isort: skip

import mlflow
import numpy as np
import pandas as pd
import psutil  # MLflow needs it too
from registration import answering, server

from paxcast.adapters.mlflow_registry import AirportRun, Registry
from paxcast.core.candidates.prophet import ProphetCandidate
from paxcast.core.series import Series

WEEKS, HISTORY_WEEKS, RELEASE = 13, 156, "models:/world.release@champion"
ONE, MANY = 300, 20  # requests for one airport, for all
STEP = {"yhat": 1.0, "lo80": 0.9, "hi80": 1.1, "lo95": 0.8, "hi95": 1.2}


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--airports", type=int, default=7000)
    asked.add_argument("--usual", type=int, default=50)
    wanted = asked.parse_args()
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as uri:
        mlflow.set_tracking_uri(uri)
        rows = release(wanted.airports)
        found = {"airports": wanted.airports, "weeks": WEEKS, **registered(Path(folder), uri, rows)}
        found |= {**in_process(rows), **served(Path(folder), uri, rows), **usual(uri, wanted.usual, wanted.airports)}
    loading = found["usual_load_seconds_extrapolated"] / found["load_and_first_answer_seconds"]
    asking = found["usual_all_airports_seconds_extrapolated"] / (found["all_airports_p50_ms"] / 1000)
    measured.keep("serving", {**found, "load_ratio": round(loading), "all_airports_ratio": round(asking)})
    return 0


def release(airports: int) -> pd.DataFrame:
    """The rows of a release, as the step `forecast` writes them; numbers are made up."""
    rng, at = np.random.default_rng(3), np.arange(airports)
    codes = np.array([f"A{i:05d}" for i in at])
    level = np.repeat(rng.gamma(2, 5000, airports), WEEKS) * rng.normal(1, 0.1, airports * WEEKS)
    columns = {
        "airport": np.repeat(codes, WEEKS),
        "model": np.repeat(np.char.add("world.", codes), WEEKS),
        "version": np.repeat(at % 52 + 1, WEEKS),
        "as_of": "2026-11-22",
        "ds": np.tile(pd.date_range("2026-11-23", periods=WEEKS, freq="W-MON"), airports),
        **{name: level * factor for name, factor in STEP.items()},
        "confidence": "high",
    }
    return pd.DataFrame(columns)


def registered(folder: Path, uri: str, rows: pd.DataFrame) -> dict[str, float]:
    """Seconds to register the release, and the size of its file."""
    path, registry = folder / "forecasts.parquet", Registry(uri, "paxcast-world")
    rows.to_parquet(path, index=False)
    parent = registry.parent_run("world-key", {"fleet": "world"})
    began = time.perf_counter()
    version = registry.register_release("world.release", path, parent, "world-release", {"fleet": "world"})
    seconds = time.perf_counter() - began
    registry.set_alias("world.release", "champion", version)
    return {"register_seconds": round(seconds, 2), "file_mb": round(path.stat().st_size / 1e6, 1)}


def in_process(rows: pd.DataFrame) -> dict[str, float]:
    """Seconds to load and to answer first, and milliseconds of a request."""
    one = requests(rows)
    begun = [time.perf_counter()]
    model = mlflow.pyfunc.load_model(RELEASE)
    begun.append(time.perf_counter())
    model.predict(one[0])
    begun.append(time.perf_counter())
    everything = rows[["airport", "ds"]].sample(frac=1, random_state=1)
    if not model.predict(everything)["yhat"].equals(rows["yhat"][everything.index].reset_index(drop=True)):
        raise RuntimeError("the release answers other numbers than were registered")
    alone = everything[["airport"]].drop_duplicates()
    return {
        "load_seconds": round(begun[1] - begun[0], 3),
        "load_and_first_answer_seconds": round(begun[2] - begun[0], 3),
        **spread("one_airport", [lambda a=a: model.predict(a) for a in one]),
        **spread("all_airports", [lambda: model.predict(everything)] * MANY),
        **spread("all_airports_without_ds", [lambda: model.predict(alone)] * MANY),
    }


def requests(rows: pd.DataFrame) -> list[pd.DataFrame]:
    """Requests for one airport each, all its weeks, spread over the fleet."""
    first = np.linspace(0, len(rows) / WEEKS - 1, ONE).astype(int) * WEEKS
    return [rows[["airport", "ds"]].iloc[at : at + WEEKS] for at in first]


def spread(
    name: str, asked: list[Callable[[], object]], cpu: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """The median and the 95th percentile of what these take, and the mean of their CPU time, in milliseconds.

    cpu: CPU seconds so far of the process that answers.
    """
    taken, used = [], cpu()
    for ask in asked:
        began = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - began) * 1000)
    mean = (cpu() - used) * 1000 / len(asked)
    waited = {f"{name}_p{q}_ms": round(float(np.percentile(taken, q)), 2) for q in (50, 95)}
    return {**waited, f"{name}_cpu_ms": round(mean, 2)}


def served(folder: Path, uri: str, rows: pd.DataFrame) -> dict[str, float]:
    """The same over HTTP, seconds until the server is there, and the memory of its one worker."""
    began = time.perf_counter()
    with scoring_server(folder, uri) as (address, process):
        started, worker = time.perf_counter() - began, worker_of(process)
        before, one = memory_mb(worker), [as_json(asked) for asked in requests(rows)]
        everything, alone = as_json(rows[["airport", "ds"]]), as_json(rows[["airport"]].drop_duplicates())
        post(address, one[0])

        def told(name: str, bodies: list[bytes]) -> dict[str, float]:
            return spread(f"http_{name}", [lambda b=b: post(address, b) for b in bodies], lambda: cpu_seconds(worker))

        return {
            "http_start_seconds": round(started, 1),
            "http_memory_mb_before": before,
            "http_memory_mb_after_first": memory_mb(worker),
            **told("one_airport", one),
            **told("all_airports", [everything] * MANY),
            **told("all_airports_without_ds", [alone] * MANY),
            "http_memory_mb_after_all": memory_mb(worker),
            "http_all_airports_answer_mb": round(len(post(address, everything)) / 1e6, 1),
        }


def as_json(asked: pd.DataFrame) -> bytes:
    """A request as MLflow's scoring server takes it."""
    told = asked.assign(ds=asked["ds"].dt.strftime("%Y-%m-%d")) if "ds" in asked else asked
    return json.dumps({"dataframe_split": told.to_dict(orient="split", index=False)}).encode()


def post(address: str, body: bytes) -> bytes:
    """The answer to a request. Raises RuntimeError with it if it is an error."""
    connection = HTTPConnection(urlparse(address).netloc, timeout=300)
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    with connection.getresponse() as answer:
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content[:2000].decode())
    connection.close()
    return content


@contextmanager
def scoring_server(folder: Path, uri: str) -> Iterator[tuple[str, "subprocess.Popen[Any]"]]:
    """`mlflow models serve` of the release in force: its address, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", RELEASE, "--env-manager", "local"]
    command += ["--workers", "1", "--port", str(port)]
    path = f"{Path(sys.executable).parent}:{measured.ENVIRONMENT['PATH']}"
    environment = {**measured.ENVIRONMENT, "MLFLOW_TRACKING_URI": uri, "PATH": path}
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            yield answering(f"http://127.0.0.1:{port}", process), process
        finally:
            process.terminate()  # MLflow has asked the system to end its own child with it
            process.wait(30)


def worker_of(process: "subprocess.Popen[Any]") -> psutil.Process:
    """The one worker of `mlflow models serve`, which is another process than the command."""
    (worker,) = psutil.Process(process.pid).children(recursive=True)
    return worker


def memory_mb(process: psutil.Process) -> int:
    """A process's resident memory."""
    return int(process.memory_info().rss // 1_000_000)


def cpu_seconds(process: psutil.Process) -> float:
    """A process's CPU seconds so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def usual(uri: str, models: int, airports: int) -> dict[str, float]:
    """Seconds to load a model an airport, and to ask each for its weeks: measured on some, for all of them."""
    registry = Registry(uri, "paxcast-world")
    parent, text = registry.parent_run("usual-key", {"fleet": "usual"}), prophet()
    weights = {"best": {"prophet": 1.0}}
    for i in range(models):
        run = AirportRun(
            idem_key=f"usual-key/{i}", model=f"usual.A{i:05d}", tags={"run_key": "usual-key"}, params={}, metrics={},
            search_loss={}, tables={}, weights=weights, rule="best", model_json=text,
        )  # fmt: skip
        registry.register(parent, run, None)
    begun = time.perf_counter()
    loaded = [mlflow.pyfunc.load_model(f"models:/usual.A{i:05d}/1") for i in range(models)]
    between = time.perf_counter()
    ahead = pd.DataFrame({"ds": pd.date_range("2026-11-23", periods=WEEKS, freq="W-MON")})
    for model in loaded:
        model.predict(ahead)
    load, ask = (between - begun) / models, (time.perf_counter() - between) / models
    return {
        "usual_measured_on": models,
        "usual_load_seconds_each": round(load, 4),
        "usual_answer_seconds_each": round(ask, 4),
        "usual_load_seconds_extrapolated": round(load * airports),
        "usual_all_airports_seconds_extrapolated": round(ask * airports),
    }


def prophet() -> str:
    """What the registry keeps of an airport whose only candidate is Prophet, fitted on a made-up history of weeks."""
    at, rng = np.arange(HISTORY_WEEKS), np.random.default_rng(3)
    y = (1000 + 2 * at) * (1 + 0.3 * np.sin(2 * np.pi * at / 52)) * rng.normal(1, 0.04, HISTORY_WEEKS)
    ds = pd.date_range(end="2026-11-16", periods=HISTORY_WEEKS, freq="W-MON")
    series = Series("AAA", "W", ds.to_numpy(), y)
    fitted = ProphetCandidate().fit(series, {}, seed=1, seconds=60).to_json()
    return json.dumps({"calendar": None, "members": {"prophet": {"parameters": {}, "fitted": fitted}}})


if __name__ == "__main__":
    sys.exit(main())
