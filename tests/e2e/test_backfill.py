"""A backfill of 8 past weeks over 40 airports, two at a time, beside a scheduled run, killed twice, then repeated."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from paxcast.core.identity import history_checksum

pytestmark = [pytest.mark.slow, pytest.mark.faults]

DAG = "retrain_forty"
CODES = [f"{a}{b}{c}" for a in "FG" for b in "ABCDE" for c in "WXYZ"]
WEEKS = 8


@dataclass
class Backfilled:
    """What there was after the scheduled run and the first backfill, and after the second one."""

    airflow: Any
    table: pd.DataFrame
    mondays: list[pd.Timestamp]  # the as_of of each run, the scheduled one last
    runs: list[dict[str, Any]]
    begun: dict[str, bytes]
    outcomes: dict[str, bytes]
    kills: list[str]
    second_runs: list[dict[str, Any]]
    begun_after_second: dict[str, bytes]
    outcomes_after_second: dict[str, bytes]


def runs_of(airflow: Any, kind: str) -> list[dict[str, Any]]:
    found = airflow.call("GET", f"dags/{DAG}/dagRuns?limit=100&order_by=id")["dag_runs"]
    return [run for run in found if run["run_type"] == kind]


def all_ended(airflow: Any, kind: str, count: int) -> list[dict[str, Any]] | None:
    runs = runs_of(airflow, kind)
    return runs if len(runs) == count and all(run["state"] in ("success", "failed") for run in runs) else None


@pytest.fixture(scope="module")
def backfilled(
    standalone_on_postgres: Any, made_up: Callable[..., pd.DataFrame], write_fleet: Callable[..., Path]
) -> Backfilled:
    airflow = standalone_on_postgres
    now = pd.Timestamp.now(tz="UTC")
    newest = (now - pd.Timedelta(hours=6)).normalize()  # the newest schedule that has passed: Monday, 06:00
    newest = newest - pd.Timedelta(days=newest.weekday())
    mondays = [newest - pd.Timedelta(weeks=k) for k in range(WEEKS, -1, -1)]
    table = made_up(CODES, 130, "W", f"{newest - pd.Timedelta(weeks=1):%Y-%m-%d}")
    write_fleet(
        airflow.folder / "fleets", table, "forty", batches=1, search={"max_evals": 2}, source={"frequency": "W"}
    )
    airflow.paxcast("forty", "ingest", "--json")
    airflow.wait_for_dag(DAG)  # unpaused: the scheduled run of this week begins

    begin = mondays[0] - pd.Timedelta(weeks=1)  # where the first run's data interval begins
    end = mondays[-2] - pd.Timedelta(days=6)  # the day after the last one's begins
    span = {"from_date": f"{begin:%Y-%m-%d}", "to_date": f"{end:%Y-%m-%d}"}
    dates = ["--from-date", span["from_date"], "--to-date", span["to_date"]]
    airflow.run("airflow", "backfill", "create", "--dag-id", DAG, *dates, "--max-active-runs", "2")
    kills = [kill_a_driver(airflow, after=60), kill_the_scheduler(airflow, after=150)]
    runs = airflow.until("the backfill has ended", lambda: all_ended(airflow, "backfill", WEEKS), 1200)
    airflow.until("the scheduled run has ended", lambda: all_ended(airflow, "scheduled", 1), 300)
    begun, outcomes = airflow.objects("begun"), airflow.objects("outcomes")

    again = {
        "dag_id": DAG,
        "from_date": f"{span['from_date']}T00:00:00Z",
        "to_date": f"{span['to_date']}T00:00:00Z",
        "max_active_runs": 2,
        "reprocess_behavior": "completed",
    }
    airflow.until("the first backfill is closed", lambda: closed(airflow), 120)
    airflow.call("POST", "backfills", again)
    airflow.until("the second backfill goes on", lambda: not all_ended(airflow, "backfill", WEEKS), 120)
    second = airflow.until("the second backfill has ended", lambda: all_ended(airflow, "backfill", WEEKS), 900)
    return Backfilled(
        airflow, table, mondays, runs, begun, outcomes, kills, second, airflow.objects("begun"),
        airflow.objects("outcomes"),
    )  # fmt: skip


def registry_of(airflow: Any) -> mlflow.MlflowClient:
    uri = f"sqlite:///{airflow.folder / 'home' / 'mlflow.db'}"
    return mlflow.MlflowClient(uri, uri)


def closed(airflow: Any) -> bool:
    found = airflow.call("GET", f"backfills?dag_id={DAG}")["backfills"]
    return all(entry["completed_at"] for entry in found)


def kill_a_driver(airflow: Any, after: int) -> str:
    """Airflow's task process while its batch is being tuned, once so many airports are finished."""
    airflow.until(f"{after} airports are finished", lambda: len(airflow.objects("outcomes")) >= after, 600)
    jvm = airflow.until("a batch is being tuned", lambda: airflow.descendants("deploy.SparkSubmit"), 120)[0]
    os.kill(int(Path(f"/proc/{jvm}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
    return "driver"


def kill_the_scheduler(airflow: Any, after: int) -> str:
    airflow.until(f"{after} airports are finished", lambda: len(airflow.objects("outcomes")) >= after, 600)
    own = airflow.descendants("airflow scheduler")
    for pid in own:
        if int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1]) not in own:
            os.kill(pid, signal.SIGKILL)
    airflow.start_scheduler()
    return "scheduler"


def test_all_eight_weeks_are_done_two_at_a_time_in_spite_of_two_kills(backfilled: Backfilled) -> None:
    assert [run["state"] for run in backfilled.runs] == ["success"] * WEEKS
    assert backfilled.kills == ["driver", "scheduler"]
    starts = sorted((run["start_date"], run["end_date"]) for run in backfilled.runs)
    assert any(later[0] < earlier[1] for earlier, later in pairwise(starts)), "one after the other"


def test_there_is_a_version_for_each_airport_and_run(backfilled: Backfilled) -> None:
    client = registry_of(backfilled.airflow)
    for code in CODES:
        versions = client.search_model_versions(f"name = 'forty.{code}'")
        assert len(versions) == WEEKS + 1, code
        assert len({v.tags["as_of"] for v in versions}) == WEEKS + 1, code


def test_each_run_read_exactly_the_rows_that_were_known_at_its_date(backfilled: Backfilled) -> None:
    table = backfilled.table.assign(ds=pd.to_datetime(backfilled.table["date"]), y=backfilled.table["passengers"])
    wanted = set()
    for monday in backfilled.mondays:
        known = table[table["ds"] + pd.Timedelta(days=7) <= monday.tz_localize(None) + pd.Timedelta(hours=6)]
        wanted |= {(f"{monday:%Y%m%d}", code, history_checksum(rows)) for code, rows in known.groupby("airport")}
    read = set()
    for name, text in backfilled.outcomes.items():
        outcome = json.loads(text)
        read.add((name.split("/")[1].split("-")[1][:8], outcome["airport"], outcome["checksum"]))
    assert read == wanted


def test_each_forecast_begins_with_the_week_after_the_last_known_one(backfilled: Backfilled) -> None:
    for name, text in backfilled.outcomes.items():
        first = json.loads(text)["ds"][0]
        assert first.replace("-", "") == name.split("/")[1].split("-")[1][:8]


def test_neither_release_nor_alias_moved_back(backfilled: Backfilled) -> None:
    rows = backfilled.airflow.paxcast("forty", "status", "--json")
    newest = f"{backfilled.mondays[-1]:%Y-%m-%d}"
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["as_of"][:10] for row in rows} == {newest}
    client = registry_of(backfilled.airflow)
    for code in CODES:
        champion = client.get_model_version_by_alias(f"forty.{code}", "champion")
        assert champion.tags["as_of"].startswith(newest)


def test_a_second_backfill_refits_nothing(backfilled: Backfilled) -> None:
    assert [run["state"] for run in backfilled.second_runs] == ["success"] * WEEKS
    assert backfilled.outcomes_after_second == backfilled.outcomes
    assert backfilled.begun_after_second == backfilled.begun
