"""A backfill of past weeks, two at a time, beside a scheduled run, killed twice, watched by a reader, then repeated.

40 airports and 8 weeks, or as many as PAXCAST_BACKFILL_AIRPORTS and PAXCAST_BACKFILL_WEEKS say (docs/testing.md).
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from paxcast.adapters.delta_store import DeltaStore
from paxcast.core.identity import history_checksum

pytestmark = [pytest.mark.slow, pytest.mark.faults]

AIRPORTS = int(os.environ.get("PAXCAST_BACKFILL_AIRPORTS", "40"))
WEEKS = int(os.environ.get("PAXCAST_BACKFILL_WEEKS", "8"))
CODES = [f"A{number:03d}" for number in range(AIRPORTS)]
FITS = AIRPORTS * (WEEKS + 1)  # one of each airport for each week, and the scheduled run's
FLEET = "many"
DAG = f"retrain_{FLEET}"
HORIZON = 13
READER = Path(__file__).with_name("reader.py")


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
    minutes: float
    second_runs: list[dict[str, Any]]
    begun_after_second: dict[str, bytes]
    outcomes_after_second: dict[str, bytes]
    minutes_of_second: float
    seen: dict[str, Any]  # what a reader found meanwhile, see reader.py


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
    path = write_fleet(
        airflow.folder / "fleets", table, FLEET, batches=max(1, AIRPORTS // 100), search={"max_evals": 2},
        source={"frequency": "W"},
    )  # fmt: skip
    airflow.paxcast(FLEET, "ingest", "--json")
    with subprocess.Popen(
        [sys.executable, str(READER), str(path), str(AIRPORTS), str(HORIZON)], env=airflow.environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as reader:  # fmt: skip
        try:
            return done(airflow, table, mondays, reader)
        finally:
            reader.kill()


def done(airflow: Any, table: pd.DataFrame, mondays: list[pd.Timestamp], reader: "subprocess.Popen[str]") -> Backfilled:
    """Both backfills, the first one beside the scheduled run and with two kills."""
    airflow.wait_for_dag(DAG)  # unpaused: the scheduled run of this week begins
    began = time.monotonic()
    begin = mondays[0] - pd.Timedelta(weeks=1)  # where the first run's data interval begins
    end = mondays[-2] - pd.Timedelta(days=6)  # the day after the last one's begins
    span = {"from_date": f"{begin:%Y-%m-%d}", "to_date": f"{end:%Y-%m-%d}"}
    dates = ["--from-date", span["from_date"], "--to-date", span["to_date"]]
    airflow.run("airflow", "backfill", "create", "--dag-id", DAG, *dates, "--max-active-runs", "2")
    kills = [kill_a_driver(airflow, after=FITS // 6), kill_the_scheduler(airflow, after=FITS * 5 // 12)]
    runs = airflow.until("the backfill has ended", lambda: all_ended(airflow, "backfill", WEEKS), 600 + 6 * FITS)
    airflow.until("the scheduled run has ended", lambda: all_ended(airflow, "scheduled", 1), 600)
    minutes = (time.monotonic() - began) / 60
    begun, outcomes = airflow.objects("begun"), airflow.objects("outcomes")

    again = {
        "dag_id": DAG,
        "from_date": f"{span['from_date']}T00:00:00Z",
        "to_date": f"{span['to_date']}T00:00:00Z",
        "max_active_runs": 2,
        "reprocess_behavior": "completed",
    }
    airflow.until("the first backfill is closed", lambda: closed(airflow), 120)
    began = time.monotonic()
    airflow.call("POST", "backfills", again)
    airflow.until("the second backfill goes on", lambda: not all_ended(airflow, "backfill", WEEKS), 120)
    second = airflow.until("the second backfill has ended", lambda: all_ended(airflow, "backfill", WEEKS), 900 + FITS)
    minutes_of_second = (time.monotonic() - began) / 60
    seen = json.loads(reader.communicate(timeout=120)[0])
    return Backfilled(
        airflow, table, mondays, runs, begun, outcomes, kills, minutes, second, airflow.objects("begun"),
        airflow.objects("outcomes"), minutes_of_second, seen,
    )  # fmt: skip


def registry_of(airflow: Any) -> mlflow.MlflowClient:
    uri = f"sqlite:///{airflow.folder / 'home' / 'mlflow.db'}"
    return mlflow.MlflowClient(uri, uri)


def closed(airflow: Any) -> bool:
    found = airflow.call("GET", f"backfills?dag_id={DAG}")["backfills"]
    return all(entry["completed_at"] for entry in found)


def finished(airflow: Any) -> int:
    """How many airports are, of all runs."""
    return sum(1 for _ in (airflow.folder / "home" / "store" / "objects").glob("runs/*/outcomes/*.json"))


def kill_a_driver(airflow: Any, after: int) -> str:
    """Airflow's task process while its batch is being tuned, once so many airports are finished."""
    airflow.until(f"{after} airports are finished", lambda: finished(airflow) >= after, 600 + 6 * after)
    jvm = airflow.until("a batch is being tuned", lambda: airflow.descendants("deploy.SparkSubmit"), 120)[0]
    os.kill(int(Path(f"/proc/{jvm}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1]), signal.SIGKILL)
    return "driver"


def kill_the_scheduler(airflow: Any, after: int) -> str:
    airflow.until(f"{after} airports are finished", lambda: finished(airflow) >= after, 600 + 6 * after)
    own = airflow.descendants("airflow scheduler")
    for pid in own:
        if int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1]) not in own:
            os.kill(pid, signal.SIGKILL)
    airflow.start_scheduler()
    return "scheduler"


def test_all_weeks_are_done_two_at_a_time_in_spite_of_two_kills(
    backfilled: Backfilled, record_property: Callable[[str, Any], None]
) -> None:
    record_property("airports", AIRPORTS)
    record_property("runs", WEEKS + 1)
    record_property("kills", len(backfilled.kills))
    record_property("minutes", round(backfilled.minutes, 1))
    record_property("minutes_of_the_second_backfill", round(backfilled.minutes_of_second, 1))
    assert [run["state"] for run in backfilled.runs] == ["success"] * WEEKS
    assert backfilled.kills == ["driver", "scheduler"]
    starts = sorted((run["start_date"], run["end_date"]) for run in backfilled.runs)
    assert any(later[0] < earlier[1] for earlier, later in pairwise(starts)), "one after the other"


def test_there_is_one_version_for_each_airport_and_run(
    backfilled: Backfilled, record_property: Callable[[str, Any], None]
) -> None:
    client = registry_of(backfilled.airflow)
    as_ofs = {
        code: [version.tags["as_of"] for version in client.search_model_versions(f"name = '{FLEET}.{code}'")]
        for code in CODES
    }
    versions = sum(map(len, as_ofs.values()))
    record_property("versions", versions)
    record_property("duplicates", versions - sum(len(set(dates)) for dates in as_ofs.values()))
    for code, dates in as_ofs.items():
        assert len(dates) == len(set(dates)) == WEEKS + 1, code


def test_no_table_has_a_row_twice(backfilled: Backfilled) -> None:
    store = DeltaStore(str(backfilled.airflow.folder / "home" / "store"))
    for table, keys in (("outcomes", []), ("registrations", []), ("decisions", []), ("forecasts", ["ds"])):
        found = store.read(table)
        found = found[found["status"] == "ok"] if table == "outcomes" else found
        assert not found.duplicated(["run_key", "airport", "checksum", *keys]).any(), table
        assert len(found) == FITS * (HORIZON if keys else 1), table


def test_a_reader_saw_only_whole_releases_and_no_champion_of_an_earlier_date_than_before(
    backfilled: Backfilled, record_property: Callable[[str, Any], None]
) -> None:
    seen = backfilled.seen
    record_property("looks", seen["looks"])
    record_property("releases_read", seen["releases_read"])
    record_property("releases_not_whole", len(seen["not_whole"]))
    record_property("champion_as_of_decreased", len(seen["decreased"]))
    assert (seen["failed"], seen["not_whole"], seen["decreased"]) == ([], [], [])
    assert seen["looks"] > 10
    newest = f"{backfilled.mondays[-1]:%Y-%m-%d}T06:00:00Z"
    models = ["the pointer", f"{FLEET}.release", *(f"{FLEET}.{code}" for code in CODES)]
    assert {model: as_ofs[-1] for model, as_ofs in seen["as_ofs"].items()} == dict.fromkeys(models, newest)


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
    rows = backfilled.airflow.paxcast(FLEET, "status", "--json")
    newest = f"{backfilled.mondays[-1]:%Y-%m-%d}"
    assert {row["status"] for row in rows} == {"ok"}
    assert {row["as_of"][:10] for row in rows} == {newest}
    client = registry_of(backfilled.airflow)
    for code in CODES:
        champion = client.get_model_version_by_alias(f"{FLEET}.{code}", "champion")
        assert champion.tags["as_of"].startswith(newest)


def test_a_second_backfill_refits_nothing(backfilled: Backfilled) -> None:
    assert [run["state"] for run in backfilled.second_runs] == ["success"] * WEEKS
    assert backfilled.outcomes_after_second == backfilled.outcomes
    assert backfilled.begun_after_second == backfilled.begun
