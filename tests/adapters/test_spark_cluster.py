"""Against real executors: processes of their own, as on a cluster, each with a daemon of Python workers."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyspark
import pytest
from pyspark import TaskContext, cloudpickle
from pyspark.sql import SparkSession

from paxcast.adapters.spark import PackedHistory, Worker, WorkerResult, fan_out, open_session, session_conf

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.slow
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # executors cannot import a test module

EXECUTORS = 2
MINUTE = 60.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[SparkSession]:
    """Two executors of one core each. A process has one session: that of other tests makes room, and is made anew."""
    if (other := SparkSession.getActiveSession()) is not None:
        other.stop()
    session = open_session(session_conf(f"local-cluster[{EXECUTORS},1,1024]", {"spark.executor.memory": "512m"}))
    logs = Path(pyspark.__file__).parent / "work" / str(session.sparkContext.applicationId)
    yield session
    session.stop()
    shutil.rmtree(logs, ignore_errors=True)


def histories(count: int) -> list[PackedHistory]:
    return [PackedHistory(f"A{i:02d}", f"c{i}", np.arange(i + 1), np.arange(i + 1) * 1.5) for i in range(count)]


def executor() -> int:
    """The process of the executor: the parent of the daemon whose child a Python worker is."""
    return int(Path(f"/proc/{os.getppid()}/stat").read_text().rsplit(")", 1)[1].split()[1])


def placed(history: PackedHistory) -> WorkerResult:
    """Executor and worker processes as `reason`, the task as `status`."""
    time.sleep(0.1)
    context = TaskContext.get()
    assert context is not None
    total = float(history.values.sum() + history.days[-1])
    return WorkerResult(history.airport, str(context.partitionId()), f"{executor()} {os.getpid()}", total)


def killing_its_executor(flag: Path) -> Worker:
    def work(history: PackedHistory) -> WorkerResult:
        if history.airport == "A05" and not flag.exists():
            flag.write_text(str(executor()))
            os.kill(executor(), signal.SIGKILL)
            time.sleep(30)  # its result could come too late only
        return placed(history)

    return work


def complete(results: "Sequence[WorkerResult]", count: int) -> bool:
    sums = [sum(v * 1.5 for v in range(i + 1)) + i for i in range(count)]
    return [(r.airport, r.seconds) for r in results] == [(f"A{i:02d}", sums[i]) for i in range(count)]


def executors_of(results: "Sequence[WorkerResult]") -> set[str]:
    return {result.reason.split()[0] for result in results}


def test_the_airports_are_spread_over_executors_that_are_other_processes(cluster: SparkSession) -> None:
    results = fan_out(cluster, histories(12), placed, 12, MINUTE)
    assert complete(results, 12)
    assert len(executors_of(results)) == EXECUTORS
    assert str(os.getpid()) not in executors_of(results)
    assert len({result.status for result in results}) == 12, "a task had no airport while another had several"


def test_workers_of_executors_are_used_again_and_run_this_python(cluster: SparkSession) -> None:
    def python(history: PackedHistory) -> WorkerResult:
        return WorkerResult(history.airport, sys.executable, str(os.getpid()), 0.0)

    twice = [*fan_out(cluster, histories(8), python, 8, MINUTE), *fan_out(cluster, histories(8), python, 8, MINUTE)]
    assert len({result.reason for result in twice}) <= EXECUTORS
    assert {result.status for result in twice} == {sys.executable}


def test_an_executor_that_is_killed_is_replaced_and_nothing_is_lost(cluster: SparkSession, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    results = fan_out(cluster, histories(12), killing_its_executor(killed), 12, MINUTE)
    assert complete(results, 12)
    assert results[5].reason.split()[0] != killed.read_text()
    later = fan_out(cluster, histories(12), placed, 12, MINUTE)
    assert complete(later, 12)
    assert killed.read_text() not in executors_of(later)
    assert len(executors_of(later)) == EXECUTORS, "no new executor came in its place"
