"""Against a real Spark: local[2,4], so that lost tasks are retried as on a cluster."""

import ctypes
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyspark import TaskContext, cloudpickle

from paxcast.adapters import spark
from paxcast.adapters.spark import PackedHistory, Worker, WorkerResult, fan_out, session_conf
from paxcast.core.errors import InfrastructureError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test module

SLOTS = 2  # tasks at a time
MINUTE = 60.0


def histories(count: int) -> list[PackedHistory]:
    return [PackedHistory(f"A{i:02d}", f"c{i}", np.arange(i + 1), np.arange(i + 1) * 1.5) for i in range(count)]


def codes(count: int) -> list[str]:
    return [f"A{i:02d}" for i in range(count)]


def summing(history: PackedHistory) -> WorkerResult:
    return WorkerResult(
        history.airport, history.checksum, str(os.getpid()), float(history.values.sum() + history.days[-1])
    )


def placed(history: PackedHistory) -> WorkerResult:
    """The task it ran in as `status`, the process as `reason`."""
    time.sleep(0.02)
    context = TaskContext.get()
    assert context is not None
    return WorkerResult(history.airport, str(context.partitionId()), str(os.getpid()), 0.0)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hung() -> None:
    """In native code that holds the interpreter's lock: no deadline set in Python ends it."""
    ctypes.PyDLL(None).sleep(600)


def once(flag: Path, fault: Callable[[], None]) -> Worker:
    """A worker function in which something happens to the process at the first try of one airport."""

    def work(history: PackedHistory) -> WorkerResult:
        if history.airport == "A03" and not flag.exists():
            flag.write_text(str(os.getpid()))
            fault()
        return summing(history)

    return work


def run_tasks(session: "SparkSession", count: int, partitions: int) -> tuple[list[WorkerResult], int]:
    """The results of `placed`, and how many tasks Spark says that it ran them in."""
    context, group = session.sparkContext, f"{count} in {partitions}"
    context.setJobGroup(group, group)
    results = fan_out(session, histories(count), placed, partitions, MINUTE)
    tracker = context.statusTracker()
    infos = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
    stages = [tracker.getStageInfo(stage) for info in infos if info for stage in info.stageIds]
    last = max((stage for stage in stages if stage), key=lambda stage: stage.stageId)
    return results, int(last.numTasks)


def test_every_airport_comes_back_once_with_its_own_history(spark_session: "SparkSession") -> None:
    results = fan_out(spark_session, histories(9), summing, 4, MINUTE)
    assert [r.airport for r in results] == codes(9)
    assert [r.seconds for r in results] == [sum(v * 1.5 for v in range(i + 1)) + i for i in range(9)]
    assert [r.status for r in results] == [f"c{i}" for i in range(9)]


@pytest.mark.parametrize(("airports", "partitions", "each"), [(8, 8, {1}), (20, 8, {2, 3}), (3, 8, {1}), (5, 1, {5})])
def test_there_are_as_many_tasks_as_asked_for_and_the_airports_are_dealt_out_evenly(
    spark_session: "SparkSession", airports: int, partitions: int, each: set[int]
) -> None:
    assert spark_session.conf.get("spark.sql.adaptive.enabled") == "true"
    results, tasks = run_tasks(spark_session, airports, partitions)
    assert tasks == min(airports, partitions), "adaptive execution merged tasks"
    held = Counter(result.status for result in results)
    assert len(held) == tasks, "a task had no airport while another had several"
    assert set(held.values()) == each


def test_without_a_number_there_are_four_tasks_for_each_core(spark_session: "SparkSession") -> None:
    assert run_tasks(spark_session, 30, 0)[1] == 4 * SLOTS


def test_two_fan_outs_share_the_same_python_workers_one_for_each_slot(spark_session: "SparkSession") -> None:
    seen = [fan_out(spark_session, histories(12), placed, 12, MINUTE) for _ in range(2)]
    first, second = ({result.reason for result in results} for results in seen)
    assert len(first) == SLOTS, "two tasks at a time ran in one process"
    assert len(first | second) <= SLOTS, "a worker process was started anew, and imports everything again"


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(spark_session: "SparkSession", tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    results = fan_out(spark_session, histories(6), once(pid, killed), 3, MINUTE)
    assert [r.airport for r in results] == codes(6)
    assert pid.read_text() not in {r.reason for r in results}


def test_a_worker_that_hangs_is_ended_and_its_task_tried_again(
    spark_session: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark, "IDLE_SLACK_SECONDS", 12)
    pid = tmp_path / "pid"
    started = time.monotonic()
    results = fan_out(spark_session, histories(6), once(pid, hung), 3, 0.5)
    assert 13 <= time.monotonic() - started < 300
    assert [r.airport for r in results] == codes(6)
    assert pid.read_text() not in {r.reason for r in results}
    assert not is_running(int(pid.read_text()))


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize(("partitions", "seconds"), [(3, 4 * 10 + 60), (12, 10 + 60), (99, 10 + 60)])
def test_a_worker_may_be_silent_as_long_as_all_its_airports_may_take(
    spark_session: "SparkSession", partitions: int, seconds: int
) -> None:
    fan_out(spark_session, histories(12), summing, partitions, 10)
    assert spark_session.conf.get(spark.IDLE) == str(seconds)


def failing_with(fault: Callable[[], None]) -> Worker:
    def work(history: PackedHistory) -> WorkerResult:
        if history.airport == "A01":
            fault()
        return summing(history)

    return work


def out_of_space() -> None:
    try:
        Path("/nowhere/at/all").read_text()
    except OSError as err:
        raise ValueError("the disk is full\nand so is the other one") from err


FAULTS: Sequence[tuple[Callable[[], None], str]] = [
    (out_of_space, r"^Spark gave the batch up: ValueError: the disk is full\. The airports it had finished"),
    (killed, r"^Spark gave the batch up: Lost task .*: Python worker exited unexpectedly \(crashed\)"),
]


@pytest.mark.parametrize(("fault", "message"), FAULTS, ids=["an error", "a killed worker"])
def test_a_batch_that_spark_gives_up_says_first_what_happened(
    spark_session: "SparkSession", fault: Callable[[], None], message: str
) -> None:
    with pytest.raises(InfrastructureError, match=message):
        fan_out(spark_session, histories(2), failing_with(fault), 2, MINUTE)
    assert [r.airport for r in fan_out(spark_session, histories(2), summing, 2, MINUTE)] == codes(2)


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_workers_have_one_thread_for_numerical_libraries(spark_session: "SparkSession", name: str) -> None:
    def threads(history: PackedHistory) -> WorkerResult:
        return WorkerResult(history.airport, "ok", os.environ.get(name, "unset"), 0.0)

    assert {r.reason for r in fan_out(spark_session, histories(2), threads, 1, MINUTE)} == {"1"}


def test_a_connection_brings_its_own_master() -> None:
    assert "spark.master" not in session_conf(None, {})
    assert session_conf("local[2,4]", {"spark.ui.enabled": "true"})["spark.ui.enabled"] == "true"
