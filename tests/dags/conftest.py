"""A real Airflow in a folder of its own. Parsing and runs go to subprocesses: Airflow reads its settings only once.

Tests that import paxcast.orchestration themselves find an empty AIRFLOW_HOME, never the user's.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

_EMPTY = TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _EMPTY.name  # before anything imports Airflow

PROJECT = Path(__file__).resolve().parents[2]
OURS = ("AIRFLOW", "PAXCAST_", "MLFLOW_", "SPARK_")
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit code, stdout alone, and everything it said."""

    code: int
    out: str
    text: str


@dataclass(frozen=True)
class Airflow:
    """One Airflow home, with its own database, and one folder of fleet files."""

    folder: Path
    fleets: Path | None

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment without what would lead anywhere but into the folder."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        fleets = {"PAXCAST_FLEETS": str(self.fleets)} if self.fleets else {}
        return {
            **inherited,
            **fleets,
            "PAXCAST_HOME": str(self.folder / "home"),
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        }

    def run(self, *command: str) -> Finished:
        """Run a command there and wait for it."""
        done = subprocess.run(
            command, env=self.environment, cwd=PROJECT, capture_output=True, text=True, timeout=1200, check=False
        )
        return Finished(done.returncode, done.stdout, done.stdout + done.stderr)

    def airflow(self, *arguments: str) -> Finished:
        return self.run(sys.executable, "-m", "airflow", *arguments)

    def paxcast(self, *arguments: str) -> Any:
        """What `paxcast ... --json` prints."""
        done = self.run(str(Path(sys.executable).parent / "paxcast"), *arguments, "--json")
        assert done.code == 0, done.text
        return json.loads(done.out)

    def dags(self, *confs: dict[str, Any]) -> dict[str, Any]:
        """What a real DagBag finds in dags/, and what is said to those trigger configurations (see describe.py)."""
        done = self.run(sys.executable, str(Path(__file__).parent / "describe.py"), json.dumps(confs))
        assert done.code == 0, done.text
        described: dict[str, Any] = json.loads(done.out.splitlines()[-1])
        return described

    def test(self, dag_id: str, *arguments: str, **conf: Any) -> "Ended":
        """Run a DAG to its end, with a trigger configuration."""
        done = self.airflow("dags", "test", dag_id, *arguments, "--conf", json.dumps(conf))
        run_id, state = self.query("select run_id, state from dag_run order by id desc limit 1")[0]
        return Ended(self, done.code, done.text, run_id, state)

    def query(self, sql: str, *values: str) -> Rows:
        """Rows of Airflow's own database."""
        with sqlite3.connect(self.folder / "airflow" / "airflow.db") as database:
            return database.execute(sql, values).fetchall()


@dataclass(frozen=True)
class Ended:
    """A run that has ended, what it said, and what it left in Airflow's database."""

    airflow: Airflow
    code: int
    text: str
    run_id: str
    state: str

    def tasks(self) -> dict[tuple[str, int], tuple[str, int]]:
        """(task, map index) -> state and number of tries."""
        rows = self.airflow.query(
            "select task_id, map_index, state, try_number from task_instance where run_id = ?", self.run_id
        )
        return {(task, index): (state, tries) for task, index, state, tries in rows}

    def states(self) -> dict[str, str]:
        """Task -> state, of a run without mapped tasks."""
        return {task: state for (task, _), (state, _) in self.tasks().items()}

    def xcoms(self) -> dict[tuple[str, int, str], str]:
        """(task, map index, key) -> value as text."""
        rows = self.airflow.query("select task_id, map_index, key, value from xcom where run_id = ?", self.run_id)
        return {(task, index, key): str(value) for task, index, key, value in rows}

    def returned(self, task: str) -> list[Any]:
        """What each instance of a task returned, by map index."""
        values = self.xcoms().items()
        found = sorted((at, text) for (name, at, key), text in values if (name, key) == (task, "return_value"))
        return [json.loads(text) for _, text in found]


@pytest.fixture(scope="session")
def new_airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Airflow]:
    """Makes an Airflow with no database yet: `new_airflow(fleets)`; without a folder, the project's own fleets."""

    def make(fleets: Path | None = None) -> Airflow:
        return Airflow(tmp_path_factory.mktemp("airflow"), fleets)

    return make


@pytest.fixture(scope="session")
def three_fleets(new_airflow: Callable[..., Airflow], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow makes of a daily, a weekly and a monthly fleet, each named after its schedule."""
    folder = tmp_path_factory.mktemp("fleets")
    for schedule in ("daily", "weekly", "monthly"):
        (folder / f"{schedule}.yaml").write_text(
            f"source: {{kind: file, path: traffic.csv}}\nschedule: {schedule}\n", encoding="utf-8"
        )
    return new_airflow(folder).dags()
