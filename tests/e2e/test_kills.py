"""`kill -9` in the middle of a batch of 60, under a real scheduler and with real Spark executors.

Each run is compared with an undisturbed one of the same date: same numbers, and what was finished is not done again.
The times to recover are kept as properties of the tests: `benchmarks/recovery.py` reads them.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.faults]

DAG, AS_OF = "retrain_sixty", "2020-12-31"
CODES = [f"{a}{b}{c}" for a in "ABC" for b in "ABCDE" for c in "WXYZ"]
MIDDLE = 15  # airports finished when the blow falls
OF_THE_MOMENT = ("seconds", "memory_mb")  # the fields of an outcome that may differ between two runs


@dataclass
class Fleet:
    """The Airflow, and what a run without a blow made of the fleet."""

    airflow: Any
    clean: dict[str, dict[str, Any]]
    clean_forecasts: dict[str, Any]


def numbers(objects: dict[str, bytes]) -> dict[str, dict[str, Any]]:
    """Outcomes by airport, without what depends on the moment."""
    outcomes = [json.loads(text) for text in objects.values()]
    return {o["airport"]: {k: v for k, v in o.items() if k not in OF_THE_MOMENT} for o in outcomes}


def named(objects: dict[str, bytes]) -> set[str]:
    return {Path(name).name.split("-")[0] for name in objects}


@pytest.fixture(scope="module")
def sixty(
    standalone_to_kill: Any,
    made_up: Callable[..., pd.DataFrame],
    write_fleet: Callable[..., Path],
    record_testsuite_property: Callable[[str, Any], None],
) -> Fleet:
    airflow = standalone_to_kill
    tomorrow = (date.today() + timedelta(days=1)).isoformat()  # no scheduled run comes between
    cluster = {
        "master": "local-cluster[2,1,1024]",
        "conf": {"spark.executor.memory": "512m", "spark.driver.host": "127.0.0.1"},
        "partitions": 12,
    }
    table = made_up(CODES, 60, "MS", "2020-12-01")
    write_fleet(airflow.folder / "fleets", table, "sixty", batches=1, start_date=tomorrow, spark=cluster)
    airflow.paxcast("sixty", "ingest", "--json")
    airflow.keep("ingested")
    airflow.wait_for_dag(DAG)
    run = airflow.trigger(DAG, as_of=AS_OF)
    assert airflow.ended(DAG, run) == "success"
    record_testsuite_property("undisturbed_seconds_of_the_run", airflow.seconds(DAG, run))
    return Fleet(airflow, numbers(airflow.objects("outcomes")), airflow.forecasts("sixty"))


def worker(airflow: Any) -> list[int]:
    """One Python worker: a child of Spark's daemon, which forks them."""
    daemons = set(airflow.descendants("pyspark.daemon"))
    return [pid for pid in daemons if parent(pid) in daemons][:1]


def executor(airflow: Any) -> list[int]:
    return airflow.descendants("CoarseGrainedExecutorBackend")[:1]


def driver(airflow: Any) -> list[int]:
    """Airflow's task process, which is Spark's driver: the parent of the JVM."""
    return [parent(pid) for pid in airflow.descendants("org.apache.spark.deploy.SparkSubmit")][:1]


def scheduler(airflow: Any) -> list[int]:
    """The scheduler itself; what it has started goes on as long as it can."""
    own = airflow.descendants("airflow scheduler")
    return [pid for pid in own if parent(pid) not in own]


def parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
    return 0


@pytest.mark.parametrize("victim", [worker, executor, driver, scheduler])
def test_a_kill_in_the_middle_of_a_batch_costs_only_the_airports_in_flight(
    sixty: Fleet, victim: Callable[[Any], list[int]], record_property: Callable[[str, Any], None]
) -> None:
    airflow = sixty.airflow
    airflow.go_back("ingested")
    run = airflow.trigger(DAG, as_of=AS_OF)
    airflow.until("the batch is at its middle", lambda: len(airflow.objects("outcomes")) >= MIDDLE)
    finished = airflow.objects("outcomes")
    in_flight = named(airflow.objects("begun")) - named(finished)
    pids = victim(airflow)
    assert pids, f"no {victim.__name__} was found"
    assert len(finished) < len(CODES) - MIDDLE, "too late for the middle"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    struck = time.monotonic()
    if victim is scheduler:
        airflow.start_scheduler()

    airflow.until("what was in flight is finished", lambda: in_flight <= named(airflow.objects("outcomes")))
    record_property(f"{victim.__name__}_seconds_to_recover", round(time.monotonic() - struck, 1))
    assert airflow.ended(DAG, run) == "success"
    record_property(f"{victim.__name__}_seconds_of_the_run", airflow.seconds(DAG, run))
    after = airflow.objects("outcomes")
    assert {name: after[name] for name in finished} == finished
    begun = [Path(name).name.split("-")[0] for name in airflow.objects("begun")]
    twice = {code for code in begun if begun.count(code) > 1}
    assert twice.isdisjoint(named(finished)), "a finished airport was taken up again"
    assert numbers(after) == sixty.clean
    assert airflow.forecasts("sixty") == sixty.clean_forecasts
    versions = {row["airport"]: row["version"] for row in airflow.paxcast("sixty", "status", "--json")}
    assert versions == dict.fromkeys(CODES, 1)
