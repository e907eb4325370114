"""`airflow standalone` as a user has it: scheduler, API server, DAG processor, real Spark, MLflow on sqlite.

Everything is in a folder of its own, on free ports, in a process group of its own that is ended whole.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyspark
import pytest

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
OURS = ("AIRFLOW", "PAXCAST_", "MLFLOW_", "SPARK_")
ENDED = ("success", "failed")
HANGS = 1200  # seconds. A busy or slow machine takes several times what a quiet one does, and nothing depends on it
SOON_NOTICED = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, seen: Callable[[], Any], seconds: float = HANGS, pause: float = 0.5) -> Any:
    """Wait until `seen` gives something true, and return it. seconds: after which it is taken to hang."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = seen()
        if value:
            return value
        time.sleep(pause)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass
class Standalone:
    """A running Airflow and the folder of everything: fleets/, store/, home/, airflow/, faults/.

    `database`: the address of Airflow's own, where sqlite will not do: it locks when two processes write at once.
    `more`: more of the environment.
    `kills`: the test kills processes, and Airflow is to notice within seconds. Not for other tests: on a machine with
    much to do a scheduler that is late by 10 s would take itself for dead, and its running tasks for lost.
    """

    folder: Path
    port: int
    database: str | None = None
    kills: bool = False
    more: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    others: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        database = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database} if self.database else {}
        return {
            **inherited,
            **database,
            **(SOON_NOTICED if self.kills else {}),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{PROJECT / 'tests' / 'e2e' / 'faults'}{os.pathsep}{PROJECT / 'include'}",
            "PAXCAST_TEST_FAULTS": str(self.folder / "faults"),
            "PAXCAST_FLEETS": str(self.folder / "fleets"),
            "PAXCAST_HOME": str(self.folder / "home"),
            "SPARK_HOME": str(Path(pyspark.__file__).parent),  # local-cluster starts its executors from there
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.port}/execution/",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "5",
            **self.more,
        }

    def start(self) -> None:
        for name in ("fleets", "faults", "airflow"):
            (self.folder / name).mkdir(exist_ok=True)
        self.process = self._spawn("standalone")
        until("the API server answers", self._healthy)

    def stop(self) -> None:
        for process in [self.process, *self.others]:
            if process is not None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        for process in self.descendants(""):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def start_scheduler(self) -> None:
        """Another scheduler, as whoever looks after Airflow would start it after the first one died."""
        self.others.append(self._spawn("scheduler"))

    def _spawn(self, *arguments: str) -> "subprocess.Popen[bytes]":
        log = (self.folder / f"{arguments[0]}.log").open("ab")
        command = [str(BIN / "airflow"), *arguments]
        return subprocess.Popen(
            command, env=self.environment, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )

    def _healthy(self) -> bool:
        try:
            health = self.call("GET", "monitor/health")
        except (urllib.error.URLError, ConnectionError):
            return False
        return bool(health["scheduler"]["status"] == "healthy" and health["dag_processor"]["status"] == "healthy")

    def descendants(self, what: str) -> list[int]:
        """Live processes that carry this Airflow's folder in their environment and `what` in their command line."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with suppress(OSError):
                if f"AIRFLOW_HOME={self.folder / 'airflow'}".encode() in (entry / "environ").read_bytes() and (
                    what.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                ):
                    found.append(int(entry.name))
        return sorted(found)

    until = staticmethod(until)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the public REST API answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v2/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token()}"},
        )
        with urllib.request.urlopen(request, timeout=HANGS) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def _token(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/auth/token", timeout=HANGS) as answer:
            return str(json.loads(answer.read())["access_token"])

    def wait_for_dag(self, dag_id: str) -> None:
        """Until the DAG is known, and unpaused."""
        self.run("airflow", "dags", "reserialize")

        def known() -> bool:
            try:
                return bool(self.call("PATCH", f"dags/{dag_id}", {"is_paused": False}))
            except urllib.error.HTTPError as err:
                if err.code != 404:
                    raise
                return False

        until(f"Airflow knows {dag_id}", known)

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run as the UI's form does; its id."""
        run = self.call("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def state(self, dag_id: str, run_id: str) -> str:
        return str(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"])

    def seconds(self, dag_id: str, run_id: str) -> float:
        """How long a run that has ended took."""
        return round(float(self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["duration"]), 1)

    def ended(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run; its state."""
        return str(
            until(
                f"{run_id} has ended",
                lambda: state if (state := self.state(dag_id, run_id)) in ENDED else None,
                pause=1,
            )
        )

    def tasks(self, dag_id: str, run_id: str) -> dict[tuple[str, int], tuple[str, int]]:
        """(task, map index) -> state, number of tries."""
        found = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=500")["task_instances"]
        return {(t["task_id"], t["map_index"]): (t["state"], t["try_number"]) for t in found}

    def run(self, *command: str) -> str:
        """Run a command of the environment; what it printed on stdout. It must succeed."""
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            env=self.environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=False,
        )
        assert done.returncode in (0, 2), done.stdout + done.stderr
        return done.stdout

    def paxcast(self, fleet: str, *arguments: str) -> Any:
        return json.loads(self.run("paxcast", "--config", str(self.folder / "fleets" / f"{fleet}.yaml"), *arguments))

    def objects(self, under: str) -> dict[str, bytes]:
        """Objects of the store by name: everything under a folder of every run key."""
        root = self.folder / "home" / "store" / "objects"
        return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob(f"runs/*/{under}/*.json"))}

    def forecasts(self, fleet: str) -> dict[str, list[dict[str, Any]]]:
        """The published forecasts by airport."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in self.paxcast(fleet, "forecast", "--json"):
            rows.setdefault(row["airport"], []).append(row)
        return rows

    def keep(self, name: str) -> None:
        """Set the store and MLflow aside under a name, to come back to."""
        shutil.copytree(self.folder / "home", self.folder / name)

    def go_back(self, name: str) -> None:
        """The store and MLflow as they were when they were set aside."""
        shutil.rmtree(self.folder / "home")
        shutil.copytree(self.folder / name, self.folder / "home")


def running(airflow: Standalone) -> Iterator[Standalone]:
    try:
        airflow.start()
        yield airflow
    finally:
        airflow.stop()


@pytest.fixture(scope="module")
def standalone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """An Airflow without fleets yet; a test writes them into folder/fleets."""
    yield from running(Standalone(tmp_path_factory.mktemp("standalone"), free_port()))


class Webhook(BaseHTTPRequestHandler):
    """Takes what is posted to it, as a chat's webhook does, and says yes."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.messages.append(body["text"])  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def standalone_with_webhook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Standalone, list[str]]]:
    """An Airflow whose tasks know of a webhook, and what that was told."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    messages = server.messages = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    more = {"PAXCAST_WEBHOOK_URL": f"http://127.0.0.1:{server.server_port}/hook"}
    try:
        for airflow in running(Standalone(tmp_path_factory.mktemp("standalone"), free_port(), more=more)):
            yield airflow, messages
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def standalone_to_kill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """The same for tests that kill its processes."""
    yield from running(Standalone(tmp_path_factory.mktemp("standalone"), free_port(), kills=True))


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """A real PostgreSQL with an empty database `airflow`; its address. Skips, and says so, where there is none."""
    found = [shutil.which("initdb"), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")))]
    programs = next((Path(path).resolve().parent for path in found if path), None)
    if programs is None:
        pytest.skip("PostgreSQL's initdb is not on this machine")
    port, folder = free_port(), Path(tempfile.mkdtemp(prefix="postgres-"))
    as_its_user = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "postgres")
        as_its_user = ["runuser", "-u", "postgres", "--"]

    def run(program: str, *arguments: str) -> None:
        command = [*as_its_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    run("initdb", "-D", f"{folder}/data", "-U", "airflow", "--auth=trust")
    # A scheduler's workers inherit its connections: with kill -9 of it alone, its transaction would stay open for ever.
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c idle_in_transaction_session_timeout=60s"
    run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "airflow", "airflow")
        yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/airflow"
    finally:
        run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def standalone_on_postgres(tmp_path_factory: pytest.TempPathFactory, postgres: str) -> Iterator[Standalone]:
    """The same with PostgreSQL, which takes a backfill and a scheduler at work at once; processes are killed in it."""
    yield from running(Standalone(tmp_path_factory.mktemp("standalone"), free_port(), postgres, kills=True))
