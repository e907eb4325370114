"""Against a real `mlflow server` on sqlite: many airports at a time, how they are found, and a server that fails.

What a run holds after a whole line is asked in tests/jobs/test_line.py.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import mlflow
import numpy as np
import pandas as pd
import pytest

from paxcast.adapters.mlflow_registry import CANDIDATE, RULE, AirportRun, History, Make, Registry
from paxcast.adapters.mlflow_registry.airports import Writer
from paxcast.core.errors import InfrastructureError

pytestmark = pytest.mark.slow

CODES = [f"A{i:02d}" for i in range(6)]
NOTICED = 10.0  # seconds
MONTHS, HORIZON = 36, 12


@dataclass(frozen=True)
class Server:
    """A server's address and the process that was started for it, the first of a group of its own."""

    uri: str
    process: "subprocess.Popen[bytes]"

    def send(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def started(folder: Path) -> Server:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "1"]
    with (folder / "server.log").open("wb") as log:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes that only poll
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=environment)
    uri = f"http://127.0.0.1:{port}"
    end = time.monotonic() + 900
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"{uri}/health", timeout=5):
                return Server(uri, process)
        except OSError:
            time.sleep(0.3)
    raise AssertionError((folder / "server.log").read_text())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = started(tmp_path_factory.mktemp("server"))
    yield made
    made.send(signal.SIGKILL)
    made.process.wait(120)


def traffic() -> Any:
    return 1000 + 100 * np.sin(2 * np.pi * np.arange(MONTHS) / 12)


def run_of(code: str, run_key: str = "key", **other: Any) -> AirportRun:
    """An airport's run whose model is seasonal naive."""
    member = {"parameters": {}, "fitted": None}
    model = {"airport": code, "frequency": "MS", "first_ds": "2018-01-01", "y": traffic().tolist(), "calendar": None}
    naive = {"seasonal_naive": 1.0}
    base = {
        "idem_key": f"{run_key}/{code}/first",
        "model": f"small.{code}",
        "tags": {"run_key": run_key, "airport": code, "fleet": "small", "as_of": "2020-12-31", "drift_reason": ""}
        | {CANDIDATE: "combination", "outcome": "ok"},
        "params": {f"p{i}": str(i) for i in range(120)},
        "metrics": {"cv.mase": 0.5, "naive.cv.mase": 1.0},
        "search_loss": {"prophet": [0.9, 0.8]},
        "tables": {"points.csv": "ds,y\n"},
        "chart": b"\x89PNG",
        "history": History(f"small.{code}", "c0ffee", "/store/tables/observations", 7, 36, "2018-01-01", "2020-12-01"),
        "weights": {"best": naive, "inverse_square": naive},
        "rule": "inverse_square",
        "model_json": json.dumps({**model, "members": {"seasonal_naive": member}}),
    }
    return AirportRun(**{**base, **other})


def registered(registry: Registry, runs: list[AirportRun], writers: int = 4) -> dict[str, int]:
    """Register those that are not yet, as the step does; how many there are now, and their versions."""
    there, begun = registry.versions("key"), registry.begun("key")
    for key in begun.keys() & there.keys():
        registry.end(begun[key])
    parent = registry.parent_run("key", {"fleet": "small"})
    wanted = {r.idem_key: Make(lambda r=r: r, begun.get(r.idem_key)) for r in runs if r.idem_key not in there}
    return {key: made.version for key, made in registry.register_all(parent, wanted, writers)}


@pytest.fixture(scope="module")
def registry(server: Server) -> Registry:
    """Six airports, registered four at a time."""
    found = Registry(server.uri, "paxcast-small")
    assert registered(found, [run_of(code) for code in CODES]) == {f"key/{code}/first": 1 for code in CODES}
    return found


def test_airports_registered_at_once_have_one_finished_run_and_one_version_each(registry: Registry) -> None:
    assert registered(registry, [run_of(code) for code in CODES]) == {}
    runs = registry.client.search_runs([registry.experiment_id], "tags.kind = 'airport'")
    assert sorted(run.data.tags["airport"] for run in runs) == CODES
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs} == {registry.parent_run("key", {})}
    assert registry.begun("key") == {}
    by_run = {key: made.run_id for key, made in registry.versions("key").items()}
    assert by_run == {run.data.tags["idem_key"]: run.info.run_id for run in runs}


def test_a_run_is_found_by_its_tags_and_has_its_numbers_files_and_all_its_parameters(registry: Registry) -> None:
    query = "tags.airport = 'A03' and tags.drift_reason = '' and tags.candidate = 'combination' and tags.outcome = 'ok'"
    (run,) = registry.client.search_runs([registry.experiment_id], query)
    assert run.data.metrics["cv.mase"] == 0.5
    assert len(run.data.params) == 120
    history = registry.client.get_metric_history(run.info.run_id, "search_loss.prophet")
    assert [(m.step, m.value) for m in history] == [(0, 0.9), (1, 0.8)]
    files = {file.path for file in registry.client.list_artifacts(run.info.run_id)}
    assert files == {"points.csv", "forecast.png"}
    (version,) = registry.client.search_model_versions("name = 'small.A03' and tags.drift_reason = ''")
    assert version.tags[RULE] == "inverse_square"


def test_the_dataset_is_named_by_the_digest_of_the_whole_history_and_says_where_it_is(registry: Registry) -> None:
    (run,) = registry.client.search_runs([registry.experiment_id], "tags.airport = 'A03' and dataset.digest = 'c0ffee'")
    (used,) = run.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("small.A03", "c0ffee")
    source = json.loads(used.dataset.source)
    assert source == {"path": "/store/tables/observations", "delta_table_version": 7}
    assert json.loads(used.dataset.profile) == {"num_rows": 36, "first": "2018-01-01", "last": "2020-12-01"}
    assert type(mlflow.data.get_source(used.dataset)).__name__ == "DeltaDatasetSource"


def test_the_model_of_a_version_loads_and_forecasts_and_belongs_to_its_run(registry: Registry) -> None:
    mlflow.set_tracking_uri(registry.tracking_uri)
    mlflow.set_registry_uri(registry.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/small.A03/1")
    ds = pd.date_range("2021-01-01", periods=HORIZON, freq="MS")
    np.testing.assert_allclose(model.predict(pd.DataFrame({"ds": ds}))["yhat"], traffic()[-12:])
    version = registry.client.get_model_version("small.A03", "1")
    run = registry.client.get_run(version.run_id)
    (output,) = run.outputs.model_outputs
    assert version.source == f"models:/{output.model_id}"
    assert (model.metadata.run_id, model.metadata.model_id) == (version.run_id, output.model_id)
    assert registry.client.get_logged_model(output.model_id).status == "READY"


def test_what_is_published_by_another_rule_is_told_to_the_version_and_its_run_once(registry: Registry) -> None:
    wanted = {("small.A05", 1): {RULE: "best", CANDIDATE: "auto_ets"}, ("small.A04", 1): {CANDIDATE: "combination"}}
    assert registry.tell("key", wanted) == 1
    assert registry.tell("key", wanted) == 0
    version = registry.client.get_model_version("small.A05", "1")
    assert (version.tags[RULE], version.tags[CANDIDATE]) == ("best", "auto_ets")
    tags = registry.client.get_run(version.run_id).data.tags
    assert (tags[CANDIDATE], tags.get(RULE)) == ("auto_ets", None)


STEPS = ["_numbers", "_files", "_model", "version", "set_terminated"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_leaves_what_the_next_try_completes_once(
    registry: Registry, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"C{STEPS.index(step)}"

    def crash(*_: Any, **__: Any) -> None:
        raise OSError("the power is gone")

    with monkeypatch.context() as patch:
        where: Any = {"version": sys.modules[Writer.__module__], "set_terminated": registry.client}.get(step, Writer)
        patch.setattr(where, step, crash)
        with pytest.raises(InfrastructureError, match="the power is gone"):
            registered(registry, [run_of(code)])
    left = registry.begun("key")
    assert list(left) == [f"key/{code}/first"]
    again = registered(registry, [run_of(code)])
    assert again == ({} if step == "set_terminated" else {f"key/{code}/first": 1})
    assert registry.begun("key") == {}
    assert len(registry.client.search_model_versions(f"name = 'small.{code}'")) == 1
    (run,) = registry.client.search_runs([registry.experiment_id], f"tags.airport = '{code}'")
    assert (run.info.run_id, run.info.status) == (left[f"key/{code}/first"], "FINISHED")
    assert run.data.metrics["cv.mase"] == 0.5
    assert len(run.inputs.dataset_inputs) == 1


def test_an_airport_that_cannot_be_described_stops_the_others_and_loses_none_that_is_done(registry: Registry) -> None:
    def broken() -> AirportRun:
        raise KeyError("D1: its outcome is in the ledger and its model is not")

    parent = registry.parent_run("key", {})
    wanted = {"key/D0/first": Make(lambda: run_of("D0")), "key/D1/first": Make(broken)}
    with pytest.raises(KeyError, match="D1"):
        list(registry.register_all(parent, wanted, 1))
    assert "key/D0/first" in registry.versions("key")
    assert "key/D1/first" not in registry.versions("key")


# --- a server that is not there


def noticed(what: Callable[[], object]) -> str:
    """What a fault says that must be told within ten seconds."""
    began = time.monotonic()
    with pytest.raises(InfrastructureError) as told:
        what()
    assert time.monotonic() - began < NOTICED
    return str(told.value)


def test_a_closed_port_is_noticed_within_seconds() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    said = noticed(lambda: Registry(uri, "paxcast-small"))
    assert uri in said
    assert "nothing is refitted by trying again" in said


def test_a_port_that_takes_requests_and_never_answers_is_noticed_within_seconds() -> None:
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        said = noticed(lambda: Registry(f"http://127.0.0.1:{silent.getsockname()[1]}", "paxcast-small"))
    assert "no answer within 5 s" in said


def test_a_server_that_refuses_the_question_is_there() -> None:
    from paxcast.adapters.mlflow_registry.connection import answering

    def refuse(port: socket.socket) -> None:
        connection, _ = port.accept()
        with closing(connection):
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with closing(socket.socket()) as gate:
        gate.bind(("127.0.0.1", 0))
        gate.listen(1)
        threading.Thread(target=refuse, args=(gate,), daemon=True).start()
        answering(f"http://127.0.0.1:{gate.getsockname()[1]}")


def test_a_server_that_stops_answering_midway_is_noticed_and_the_next_try_registers_the_rest_once(
    tmp_path: Path,
) -> None:
    own = started(tmp_path)
    try:
        registry = Registry(own.uri, "paxcast-small")
        runs = [run_of(code) for code in CODES]
        assert len(registered(registry, runs[:2])) == 2

        def stopped() -> AirportRun:
            own.send(signal.SIGSTOP)
            return runs[3]

        parent = registry.parent_run("key", {})
        wanted = {runs[2].idem_key: Make(lambda: runs[2]), runs[3].idem_key: Make(stopped)}
        said = noticed(lambda: list(registry.register_all(parent, wanted, 2)))
        assert "no answer" in said
        own.send(signal.SIGCONT)
        time.sleep(8)  # what was under way may still arrive
        registered(registry, runs)
        assert sorted(registry.versions("key")) == [run.idem_key for run in runs]
        for code in CODES:
            assert len(registry.client.search_model_versions(f"name = 'small.{code}'")) == 1
            assert len(registry.client.search_runs([registry.experiment_id], f"tags.airport = '{code}'")) == 1
    finally:
        own.send(signal.SIGCONT)
        own.send(signal.SIGKILL)
        own.process.wait(120)


def test_a_sqlite_file_takes_one_writer_and_a_server_those_that_are_wanted(tmp_path: Path) -> None:
    from paxcast.adapters.mlflow_registry import bulk

    assert bulk.writers(f"sqlite:///{tmp_path}/mlflow.db", 4) == 1
    assert bulk.writers("http://localhost:5000", 4) == 4
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "paxcast-small")
    runs = [replace(run_of(code), params={}) for code in CODES[:2]]
    assert registered(registry, runs) == {run.idem_key: 1 for run in runs}
    assert registered(registry, runs) == {}
