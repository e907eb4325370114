"""How long it takes to register airports: run, numbers, dataset, files, model and version of each, on a real server.

Starts `mlflow server` on a sqlite file, as a small installation has it, and registers `--airports` outcomes of one
tuned airport under different codes, as the step `register` does, `--writers` at a time; without charts, and with one
each. Then it moves the aliases of `--models` models back to the version before, as a rollback of a fleet does, and once
more the way it is usually written, one call after another (of a tenth of them). The last line is one JSON object, also
kept in benchmarks/results/registration.json.
"""

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import measured  # isort: skip

import numpy as np
import yaml

from paxcast.adapters.mlflow_registry import Registry
from paxcast.adapters.spark import PackedHistory
from paxcast.core import manifest as manifests
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import OK, Outcome
from paxcast.core.treatment import Rules
from paxcast.jobs import charts, ledger, register, searches, tune
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

MONTHS, HORIZON, RUN_KEY = 120, 12, "registration-20201231T235959-c0ffee00-r0"
GIVEN = "fleet_gbm"  # needs a fleet


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--airports", type=int, default=100)
    asked.add_argument("--writers", type=int, default=4)
    asked.add_argument("--models", type=int, default=3000)
    wanted = asked.parse_args()
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as uri:
        found = {
            "airports": wanted.airports,
            "writers": wanted.writers,
            **timed(Path(folder) / "plain", uri, wanted.airports, wanted.writers, charts.NONE),
            **{
                f"{name}_with_charts": value
                for name, value in timed(
                    Path(folder) / "charts", uri, wanted.airports, wanted.writers, charts.ALL
                ).items()
            },
            **moved(uri, wanted.models, wanted.writers),
        }
    measured.keep("registration", found)
    return 0


def timed(folder: Path, uri: str, airports: int, writers: int, charted: str) -> dict[str, float]:
    """Wall and CPU seconds an airport; the latter of this process, the server has its own."""
    folder.mkdir()
    ws = workspace(folder, uri, writers, charted)
    model = tuned(ws)
    manifest = planned(ws, airports, *model)
    register.register_batch(ws, manifest.run_key, manifest.manifest_id, 1)  # what is done once a process
    began = time.monotonic()
    with measured.cpu() as cpu:
        new = register.register_batch(ws, manifest.run_key, manifest.manifest_id, 0)
    seconds = time.monotonic() - began
    registry = Registry(uri, ws.settings.experiment)
    versions = registry.versions(manifest.run_key)
    if not new == airports == len(versions) - 1:
        raise RuntimeError(f"{new} new, {len(versions) - 1} registered, {airports} were to be")
    return {"seconds_per_airport": round(seconds / airports, 4), "cpu_per_airport": round(cpu.seconds / airports, 4)}


def moved(uri: str, models: int, writers: int) -> dict[str, float]:
    """Seconds to make the version before the champion again, of every model; by single calls, extrapolated."""
    registry = Registry(uri, "aliases")
    names = [f"many.{i:05d}" for i in range(models)]
    run = registry.client.create_run(registry.experiment_id).info

    def made(name: str) -> None:
        registry.client.create_registered_model(name)
        for _ in range(2):
            registry.client.create_model_version(name, str(run.artifact_uri), run.run_id, await_creation_for=0)

    with ThreadPoolExecutor(writers) as threads:
        list(threads.map(made, names))
    registry.crown("many.", dict.fromkeys(names, 1), writers)
    registry.crown("many.", dict.fromkeys(names, 2), writers)
    began = time.monotonic()
    back = registry.crown("many.", dict.fromkeys(names, 1), writers, succeed=False)
    bulk = time.monotonic() - began
    began, some = time.monotonic(), names[: max(1, models // 10)]
    for name in some:
        registry.alias(name, "champion")
        registry.set_alias(name, "champion", 2)
    single = (time.monotonic() - began) * models / len(some)
    if back != models:
        raise RuntimeError(f"{back} aliases moved, {models} were to be")
    return {"models": models, "rollback_seconds": round(bulk, 1), "one_by_one_seconds": round(single, 1)}


def workspace(folder: Path, uri: str, writers: int, charted: str) -> Workspace:
    path = folder / f"{folder.name}.yaml"
    content = {
        "source": {"kind": "file", "path": "none.csv", "frequency": "MS"},
        "store": "store",
        "mlflow": {"tracking_uri": uri, "writers": writers, "charts": charted},
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return open_workspace(load(path))


def tuned(ws: Workspace) -> tuple[Outcome, str, bytes | None]:
    """One made-up airport, tuned with the fleet's defaults as a worker does it: outcome, model, chart."""
    at, rng = np.arange(MONTHS), np.random.default_rng(3)
    y = (1000 + 5 * at) * (1 + 0.3 * np.sin(2 * np.pi * at / 12)) * rng.normal(1, 0.04, MONTHS)
    days = (np.datetime64("2011-01", "M") + at).astype("datetime64[D]").astype(np.int64)
    names = tuple(name for name in ws.settings.candidates if name != GIVEN)
    task = tune.task_of(ws.settings, names, HORIZON, seed=1)
    worker = replace(
        tune.worker_of(ws, RUN_KEY, "2020-12-31", "MS", {"AAA": task}, {"AAA": names}),
        search=searches.by_name("tpe"),
        rules={"AAA": Rules()},
        charts=ws.settings.mlflow.charts,
    )
    worker(PackedHistory("AAA", "first", days, y))
    result = ledger.load(ws.objects, RUN_KEY, "AAA", "first")
    model = ledger.load_model(ws.objects, RUN_KEY, "AAA", "first")
    if result is None or model is None or result.status != OK:
        raise RuntimeError("the airport could not be tuned")
    return result, model, ledger.load_chart(ws.objects, RUN_KEY, "AAA", "first")


def planned(ws: Workspace, airports: int, result: Outcome, model: str, chart: bytes | None) -> Manifest:
    """The manifest and the ledger of a run: the airports in its batch 0, one more in its batch 1."""
    run_key = f"{ws.fleet}-{RUN_KEY}"
    codes = [f"A{i:04d}" for i in range(airports + 1)]
    each = manifests.split([(code, "first", manifests.WHOLE_FLEET) for code in codes], 1)
    plan = (*each[:-1], replace(each[-1], batch=1))
    manifest = Manifest(
        manifest_id="benchmark", run_key=run_key, fleet=ws.fleet, as_of="2020-12-31", config_hash="c0ffee00",
        numbers=ws.settings.numbers(), frequency="MS", horizon=HORIZON, data_version=0, code_version="",
        airports=plan, quarantined=(),
    )  # fmt: skip
    ws.objects.put(f"runs/{run_key}/manifests/benchmark.json", manifest.as_dict())
    for airport in plan:
        own = replace(result, run_key=run_key, fleet=ws.fleet, airport=airport.airport, batch=airport.batch)
        ledger.record(ws.objects, own, model, chart)
    return manifest


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """The address of an MLflow server with two worker processes, on a sqlite file in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend, files = f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")
    command = [
        sys.executable,
        "-m",
        "mlflow",
        "server",
        "--backend-store-uri",
        backend,
        "--artifacts-destination",
        files,
    ]
    with (folder / "server.log").open("w") as log:
        # Else the server starts seven processes that poll for jobs nobody starts.
        environment = {**measured.ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        process = subprocess.Popen(
            [*command, "--port", str(port), "--workers", "2"],
            stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            yield answering(f"http://127.0.0.1:{port}", process)
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def answering(uri: str, process: "subprocess.Popen[Any]") -> str:
    """The address, once the server answers. Raises RuntimeError if it ends, or takes longer than two minutes."""
    end = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        try:
            with urlopen(f"{uri}/health", timeout=5):
                return uri
        except (URLError, OSError):
            time.sleep(0.3)
    raise RuntimeError(f"the MLflow server at {uri} did not start")


if __name__ == "__main__":
    sys.exit(main())
