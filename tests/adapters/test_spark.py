"""Against a real Spark: local[2,4], so that lost tasks are retried as on a cluster."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyspark import cloudpickle

from paxcast.adapters.spark import PackedHistory, WorkerResult, fan_out, session_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test module


def histories(count: int) -> list[PackedHistory]:
    return [PackedHistory(f"A{i:02d}", f"c{i}", np.arange(i + 1), np.arange(i + 1) * 1.5) for i in range(count)]


def summing(history: PackedHistory) -> WorkerResult:
    return WorkerResult(
        history.airport, history.checksum, str(os.getpid()), float(history.values.sum() + history.days[-1])
    )


def dying_once(flag: Path) -> Callable[[PackedHistory], WorkerResult]:
    def work(history: PackedHistory) -> WorkerResult:
        if history.airport == "A03" and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), 9)
        return summing(history)

    return work


def test_every_airport_comes_back_once_with_its_own_history(spark_session: "SparkSession") -> None:
    results = fan_out(spark_session, histories(9), summing, partitions=4)
    assert [r.airport for r in results] == [f"A{i:02d}" for i in range(9)]
    assert [r.seconds for r in results] == [sum(v * 1.5 for v in range(i + 1)) + i for i in range(9)]
    assert [r.status for r in results] == [f"c{i}" for i in range(9)]


def test_airports_are_spread_over_more_than_one_task(spark_session: "SparkSession") -> None:
    seen = {r.reason for r in fan_out(spark_session, histories(8), summing, partitions=8)}
    assert len(seen) >= 2, "every airport ran in one worker process"


def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(spark_session: "SparkSession", tmp_path: Path) -> None:
    results = fan_out(spark_session, histories(6), dying_once(tmp_path / "died"), partitions=3)
    assert (tmp_path / "died").exists()
    assert [r.airport for r in results] == [f"A{i:02d}" for i in range(6)]


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"])
def test_workers_have_one_thread_for_numerical_libraries(spark_session: "SparkSession", name: str) -> None:
    def threads(history: PackedHistory) -> WorkerResult:
        return WorkerResult(history.airport, "ok", os.environ.get(name, "unset"), 0.0)

    assert {r.reason for r in fan_out(spark_session, histories(2), threads, partitions=1)} == {"1"}


def test_a_connection_brings_its_own_master() -> None:
    assert "spark.master" not in session_conf(None, {})
    assert session_conf("local[2,4]", {"spark.ui.enabled": "true"})["spark.ui.enabled"] == "true"
