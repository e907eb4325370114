"""Spark: a session's settings, and spreading the airports of one batch over its tasks.

The driver holds one batch's histories and ships each airport as one packed row, its history as arrays: no shuffle of
observations, no connector between Spark and the store. Heavy imports are inside functions: Airflow parses this file.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paxcast.core.errors import InfrastructureError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa
    from pyspark.sql import SparkSession

# PySpark takes the workers' Python from here and from no setting: without it they run the system's python3. Airflow's
# operator opens the session before the task's own code runs, so it is set when this file is imported.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "STAN_NUM_THREADS")
IDLE = "spark.sql.execution.pyspark.udf.idleTimeoutSeconds"
IDLE_SLACK_SECONDS = 60  # on top of what a task's airports may take: starting Python, importing, writing outcomes
PY4J_PREFACE = "An error occurred while calling"
RESULT_SCHEMA = "airport string, status string, reason string, seconds double"


@dataclass(frozen=True, slots=True)
class PackedHistory:
    """One airport's known rows in one row. `days`: [N] days since 1970, `values`: [N] traffic, in the same order."""

    airport: str
    checksum: str
    days: "npt.NDArray[np.int64]"
    values: "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class WorkerResult:
    """What a worker says of an airport it finished; everything else is in the ledger already."""

    airport: str
    status: str
    reason: str
    seconds: float


Worker = Callable[[PackedHistory], WorkerResult]


def session_conf(master: str | None, extra: dict[str, str]) -> dict[str, str]:
    """The Spark settings of a tuning session. Without a master (a connection brings it) none is set."""
    conf = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.adaptive.coalescePartitions.enabled": "false",  # else small partitions merge into one task
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.pyspark.udf.killOnIdleTimeout": "true",  # a worker that hangs is ended, its task retried
        "spark.python.worker.reuse": "true",  # importing the forecasting libraries takes seconds: once a worker
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        **{f"spark.executorEnv.{name}": "1" for name in THREADS},  # one thread a task: the airports are the parallelism
    }
    if master:
        conf["spark.master"] = master
        if master.startswith("local"):
            conf |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    return conf | extra


def open_session(conf: dict[str, str]) -> "SparkSession":
    """A session with these settings, for jobs that run without Airflow. The caller stops it."""
    from pyspark import SparkConf
    from pyspark.sql import SparkSession

    return SparkSession.builder.config(conf=SparkConf().setAll(list(conf.items()))).appName("paxcast").getOrCreate()


def fan_out(
    spark: "SparkSession",
    histories: Sequence[PackedHistory],
    worker: Worker,
    partitions: int,
    seconds_per_airport: float,
) -> list[WorkerResult]:
    """Run `worker` on every airport, in `partitions` tasks (0: four for each core); the results, sorted by airport.

    A Python worker that stays silent for longer than its airports may take is ended, and its task retried. Raises
    InfrastructureError if Spark gives the batch up; what was finished is on record all the same.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    tasks = max(1, min(partitions or 4 * spark.sparkContext.defaultParallelism, len(histories)))
    airports_a_task = math.ceil(len(histories) / tasks)
    try:
        spark.conf.set(IDLE, str(math.ceil(airports_a_task * seconds_per_airport) + IDLE_SLACK_SECONDS))
        # Dealt out by number: repartition(tasks) deals at random, and leaves half of the tasks without any airport.
        dealt = spark.createDataFrame(_packed_rows(histories, tasks)).repartitionById(tasks, "task")
        rows = dealt.mapInPandas(_each(worker), RESULT_SCHEMA).collect()
    except (PySparkException, Py4JError, OSError) as err:
        raise InfrastructureError(
            f"Spark gave the batch up: {_what_happened(err)}. The airports it had finished are on record: a retry "
            "takes up the rest"
        ) from err
    return sorted((WorkerResult(*row) for row in rows), key=lambda result: result.airport)


def in_one_task(
    spark: "SparkSession",
    histories: Sequence[PackedHistory],
    work: Callable[[Sequence[PackedHistory]], str],
    seconds: float,
) -> str:
    """Run `work` on all histories at once, in a single task; the text that it returns.

    A Python worker that stays silent for longer than `seconds` is ended, and the task retried. Raises
    InfrastructureError if Spark gives it up.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        spark.conf.set(IDLE, str(math.ceil(seconds) + IDLE_SLACK_SECONDS))
        one = spark.createDataFrame(_packed_rows(histories, 1)).repartitionById(1, "task")
        rows = one.mapInPandas(_together(work), "text string").collect()
    except (PySparkException, Py4JError, OSError) as err:
        raise InfrastructureError(
            f"Spark gave the fleet's model up: {_what_happened(err)}. Nothing of it is on record: a retry begins again"
        ) from err
    return "".join(row.text for row in rows)


def _what_happened(err: Exception) -> str:
    """One line: what a worker's traceback ends with, else why the last task was lost, else how the message begins."""
    *_, told = str(err).split("Traceback (most recent call last):")
    lines = [line for line in told.splitlines() if line.strip() and not line.startswith((" ", PY4J_PREFACE))]
    first = lines[0].removeprefix(": ") if lines else type(err).__name__
    return first.rpartition("most recent failure: ")[2][:500].removesuffix(".")


def _packed_rows(histories: Sequence[PackedHistory], tasks: int) -> "pa.Table":
    """One row an airport, with the number of the task that it goes to: as many to each, or one more."""
    import pyarrow as pa

    return pa.table(
        {
            "task": pa.array([at % tasks for at in range(len(histories))], pa.int32()),
            "airport": pa.array([h.airport for h in histories], pa.string()),
            "checksum": pa.array([h.checksum for h in histories], pa.string()),
            "days": pa.array([h.days for h in histories], pa.list_(pa.int64())),
            "values": pa.array([h.values for h in histories], pa.list_(pa.float64())),
        }
    )


def _each(worker: Worker) -> "Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]":
    def run(frames: "Iterator[pd.DataFrame]") -> "Iterator[pd.DataFrame]":
        import pandas as pd

        for frame in frames:
            for row in frame.itertuples(index=False):
                yield pd.DataFrame([_result_row(worker(_unpacked(row)))])

    return run


def _together(
    work: Callable[[Sequence[PackedHistory]], str],
) -> "Callable[[Iterator[pd.DataFrame]], Iterator[pd.DataFrame]]":
    def run(frames: "Iterator[pd.DataFrame]") -> "Iterator[pd.DataFrame]":
        import pandas as pd

        histories = [_unpacked(row) for frame in frames for row in frame.itertuples(index=False)]
        if histories:
            yield pd.DataFrame({"text": [work(histories)]})

    return run


def _unpacked(row: Any) -> PackedHistory:
    import numpy as np

    return PackedHistory(
        row.airport, row.checksum, np.asarray(row.days, dtype=np.int64), np.asarray(row[4], dtype=np.float64)
    )


def _result_row(result: WorkerResult) -> dict[str, Any]:
    return {"airport": result.airport, "status": result.status, "reason": result.reason, "seconds": result.seconds}
