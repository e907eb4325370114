"""Where and how a fleet is computed changes no number: cores, tasks, batches, a cluster, the order of the rows."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyspark
import pytest
from pyspark.sql import SparkSession

from paxcast.adapters import spark
from paxcast.core.calendar import parse_as_of
from paxcast.jobs import decide
from paxcast.jobs import retrain as line
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import open_workspace
from paxcast.settings import load

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
AS_OF = parse_as_of("2020-12-31")
CODES = [f"A{i:02d}" for i in range(8)]
EVALUATIONS = 24  # more than the 20 that TPE begins with at random
CANDIDATES = ["seasonal_naive", "auto_ets_log", "auto_theta", "mstl", "anchored_prophet"]
OF_THE_RUN = {"seconds", "memory_mb", "batch"}  # what it cost and which batch it was in: no numbers of the airport
LOCAL, ONE_CORE, CLUSTER = "local[2,4]", "local[1,4]", "local-cluster[2,1,1024]"
Make = Callable[..., Any]
Outcomes = dict[str, str]


@pytest.fixture(scope="module")
def table(made_up: Make) -> pd.DataFrame:
    return made_up(CODES, 60, "MS", "2020-12-01")


@pytest.fixture(scope="module")
def retrained(new_fleet: Make, table: pd.DataFrame) -> Callable[..., Outcomes]:
    """Retrains the fleet in a store of its own; the outcome of each airport, and what was decided on it, as text."""

    def run(
        master: str, partitions: int, batches: int = 1, shuffle: int | None = None, mode: str = "per_airport"
    ) -> Outcomes:
        rows = table if shuffle is None else table.sample(frac=1, random_state=shuffle)
        conf = {"spark.executor.memory": "512m"} if master == CLUSTER else {}
        where = {"master": master, "partitions": partitions, "conf": conf}
        search = {"max_evals": EVALUATIONS, "mode": mode}
        folds = {"recent": 2, "earlier_years": 1}
        settings = {"candidates": CANDIDATES, "folds": folds, "search": search}
        ws = open_workspace(load(new_fleet(rows, spark=where, batches=batches, **settings)))
        ingest(ws, NOW)
        with pytest.MonkeyPatch.context() as patch:
            used = sessions_of(patch)
            result = line.retrain(ws, Request(as_of=AS_OF, request_id="once"), NOW)
        assert used == ([] if mode == "local" else [master])
        assert result["refitted"] == CODES
        names = ws.objects.names(f"runs/{result['run_key']}/outcomes")
        decided = decide.read(ws, [result["run_key"]]).set_index("airport").to_dict("index")
        found = [outcome for outcome in map(ws.objects.get, names) if outcome]
        return {o["airport"]: canonical({**o, "decided": decided[o["airport"]]}) for o in found}

    return run


def sessions_of(patch: pytest.MonkeyPatch) -> list[str]:
    """The masters of the sessions that a run opens. A process has one session: that of other tests makes room first."""
    if (other := SparkSession.getActiveSession()) is not None:
        other.stop()
    masters: list[str] = []
    opened = spark.open_session

    def opening(conf: dict[str, str]) -> SparkSession:
        session = opened(conf)
        masters.append(session.sparkContext.master)
        logs[:] = [*logs, Path(pyspark.__file__).parent / "work" / str(session.sparkContext.applicationId)]
        return session

    patch.setattr(line.spark, "open_session", opening)
    return masters


logs: list[Path] = []  # folders of the cluster's executors, which Spark keeps beside its jars


@pytest.fixture(scope="module", autouse=True)
def tidy() -> Any:
    yield
    for folder in logs:
        shutil.rmtree(folder, ignore_errors=True)


def canonical(outcome: dict[str, Any]) -> str:
    kept = {name: value for name, value in outcome.items() if name not in OF_THE_RUN}
    return json.dumps(kept, sort_keys=True)  # floats with all their digits


@pytest.fixture(scope="module")
def usual(retrained: Callable[..., Outcomes]) -> Outcomes:
    return retrained(LOCAL, 2)


@pytest.mark.parametrize(
    ("master", "partitions", "batches", "shuffle", "mode"),
    [
        pytest.param(ONE_CORE, 1, 1, None, "per_airport", id="one core, one task"),
        pytest.param(LOCAL, 4, 1, 3, "per_airport", id="four tasks, rows in random order"),
        pytest.param(LOCAL, 8, 2, 7, "per_airport", id="a task for each airport, two batches, rows in random order"),
        pytest.param(LOCAL, 1, 2, 5, "local", id="without Spark, rows in random order"),
        pytest.param(CLUSTER, 2, 1, None, "per_airport", id="a cluster of two executors"),
    ],
)
def test_outcome_and_decision_are_the_same_to_the_last_bit(
    usual: Outcomes,
    retrained: Callable[..., Outcomes],
    master: str,
    partitions: int,
    batches: int,
    shuffle: int | None,
    mode: str,
) -> None:
    other = retrained(master, partitions, batches, shuffle, mode)
    assert sorted(other) == sorted(usual) == CODES
    assert {code: other[code] for code in CODES if other[code] != usual[code]} == {}


def test_there_is_something_that_could_differ(usual: Outcomes) -> None:
    outcomes = [json.loads(text) for text in usual.values()]
    assert all(len(outcome["trials"]["anchored_prophet"]) == EVALUATIONS for outcome in outcomes)
    assert all([e["candidate"] for e in outcome["entrants"]] == CANDIDATES for outcome in outcomes)
    assert len({outcome["seed"] for outcome in outcomes}) == len(CODES)
    assert any(outcome["decided"]["method"] == "combination" for outcome in outcomes)
