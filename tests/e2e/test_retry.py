"""A failure reruns only the affected airports: `airflow standalone`, 12 airports in 3 batches, injected faults.

Airports are tuned in the task's own process: what Airflow does about a failure is the same, and Spark would be started
a dozen times. tests/dags/test_dag_runs.py has it, and the tests that kill processes.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.jobs.lease import Lease

pytestmark = pytest.mark.slow

CODES = [f"A{letter}{letter}" for letter in "ABCDEFGHIJKL"]
DAG = "retrain_twelve"
FIRST, SECOND = "2020-11-30", "2020-12-31"
TWICE = ["ABB", "AGG"]  # fail at the first try: in batches 0 and 1
SEARCH = {"max_evals": 3, "space": {"changepoint_prior_scale": {"loguniform": [0.001, 0.5]}}}
NEVER = "AKK"  # fails until the fault is lifted: in batch 2


@dataclass
class Seen:
    """A run at its end: its state, its tasks, and what the store and the commands then said."""

    state: str
    tasks: dict[tuple[str, int], tuple[str, int]]
    begun: list[str]
    status: dict[str, dict[str, Any]]
    outcomes: dict[str, bytes]
    forecasts: dict[str, Any]


@dataclass
class Story:
    """Three ends: after a transient fault, with one that stays, and after that was lifted and the run cleared."""

    first: Seen
    red: Seen
    green: Seen
    cleared: list[tuple[str, int]]
    labels: set[str]
    page: str


def seen(airflow: Any, run: str, before: set[str]) -> Seen:
    """Wait for the end of a run, and look. `begun`: the airports that a worker took up since, once for each time."""
    state = airflow.ended(DAG, run)
    begun = sorted(Path(name).name.split("-")[0] for name in set(airflow.objects("begun")) - before)
    status = {row["airport"]: row for row in airflow.paxcast("twelve", "status", "--json")}
    return Seen(state, airflow.tasks(DAG, run), begun, status, airflow.objects("outcomes"), airflow.forecasts("twelve"))


def occupy(airflow: Any, what: str, minutes: float) -> None:
    """Somebody else's lease; with no minutes, it is over."""
    now = pd.Timestamp.now(tz="UTC")
    fleet, date = what.split("/")
    until = (now + pd.Timedelta(minutes=minutes)).isoformat()
    held = Lease(fleet=fleet, what=date, owner="somebody", run_key="", term=1, since=now.isoformat(), until=until)
    path = airflow.folder / "home" / "store" / "objects" / "leases" / what / "000001.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(held)), encoding="utf-8")


@pytest.fixture(scope="module")
def story(standalone: Any, made_up: Callable[..., pd.DataFrame], write_fleet: Callable[..., Path]) -> Story:
    airflow, faults = standalone, standalone.folder / "faults"
    tomorrow = (date.today() + timedelta(days=1)).isoformat()  # no scheduled run comes between
    table = made_up(CODES, 60, "MS", "2020-12-01")
    settings = {"batches": 3, "retries": 1, "start_date": tomorrow, "search": {**SEARCH, "mode": "local"}}
    write_fleet(airflow.folder / "fleets", table, "twelve", **settings)
    airflow.paxcast("twelve", "ingest", "--json")
    airflow.wait_for_dag(DAG)

    occupy(airflow, "twelve/20201201T000000Z", minutes=60)
    for code in TWICE:
        (faults / f"{code}.once").touch()
    run = airflow.trigger(DAG, as_of=FIRST)
    airflow.until(
        "validate was refused", lambda: airflow.tasks(DAG, run).get(("validate", -1), ("",))[0] == "up_for_retry"
    )
    occupy(airflow, "twelve/20201201T000000Z", minutes=0)
    first = seen(airflow, run, set())

    before = set(airflow.objects("begun"))
    (faults / f"{NEVER}.always").touch()
    run = airflow.trigger(DAG, as_of=SECOND)
    red = seen(airflow, run, before)
    instances = airflow.call("GET", f"dags/{DAG}/dagRuns/{run}/taskInstances?limit=500")["task_instances"]
    labels = {t["rendered_map_index"] for t in instances if t["task_id"] == "batch.tune"}

    before = set(airflow.objects("begun"))
    (faults / f"{NEVER}.always").unlink()
    wanted = {"dag_run_id": run, "only_failed": True, "dry_run": False}
    answer = airflow.call("POST", f"dags/{DAG}/clearTaskInstances", wanted)
    cleared = sorted((t["task_id"], t["map_index"]) for t in answer["task_instances"])
    green = seen(airflow, run, before)
    page = next((airflow.folder / "home/store/objects/reports").glob("twelve-20210101*/index.html")).read_text()
    return Story(first, red, green, cleared, labels, page)


def test_after_a_transient_fault_the_retry_refits_exactly_the_airports_that_failed(story: Story) -> None:
    assert story.first.state == "success"
    assert story.first.begun == sorted(CODES + TWICE)
    tries = {key: tries for key, (_, tries) in story.first.tasks.items() if key[0] == "batch.tune"}
    assert tries == {("batch.tune", 0): 2, ("batch.tune", 1): 2, ("batch.tune", 2): 1}
    assert {a: (row["status"], row["version"]) for a, row in story.first.status.items()} == dict.fromkeys(
        CODES, ("ok", 1)
    )


def test_a_run_of_a_date_that_somebody_else_writes_waits_and_tries_again(story: Story) -> None:
    assert story.first.tasks["validate", -1] == ("success", 2)
    assert {tries for (task, _), (_, tries) in story.first.tasks.items() if task in ("plan", "promote")} == {1}


def test_a_fault_that_stays_leaves_its_batch_red_and_the_eleven_others_released(story: Story) -> None:
    assert story.red.state == "failed"  # one of twelve is more than max_failed_share
    states = {key: state for key, (state, _) in story.red.tasks.items()}
    assert states["batch.tune", 2] == states["batch.register", 2] == "failed"
    assert {states["batch.tune", i] for i in (0, 1)} == {states["batch.register", i] for i in (0, 1)} == {"success"}
    assert states["report", -1] == "failed"
    assert story.red.status[NEVER]["status"] == "failed"
    assert "an injected fault" in story.red.status[NEVER]["reason"]
    others = {a: (row["as_of"], row["version"]) for a, row in story.red.status.items() if a != NEVER}
    assert others == {a: (SECOND, 2) for a in CODES if a != NEVER}
    assert story.red.status[NEVER]["as_of"] == FIRST  # its forecast of before stays in force
    assert {a: rows[0]["as_of"] for a, rows in story.red.forecasts.items()} == {
        a: FIRST if a == NEVER else SECOND for a in CODES
    }


def test_the_batch_was_tried_again_as_often_as_configured_and_each_time_for_its_open_airport_alone(
    story: Story,
) -> None:
    assert story.red.tasks["batch.tune", 2][1] == 2
    assert story.red.tasks["batch.register", 2][1] == 1


def test_clear_failed_takes_up_the_red_batch_and_what_comes_after_it(story: Story) -> None:
    assert story.cleared == [
        ("batch.register", 2), ("batch.tune", 2), ("forecast", -1), ("promote", -1), ("report", -1),
    ]  # fmt: skip


def test_clear_failed_refits_one_airport_and_releases_it(story: Story) -> None:
    assert story.green.state == "success"
    assert story.green.begun == [NEVER]
    assert {a: (r["status"], r["as_of"], r["version"]) for a, r in story.green.status.items()} == dict.fromkeys(
        CODES, ("ok", SECOND, 2)
    )


def test_the_others_keep_their_versions_and_the_bytes_of_their_forecasts(story: Story) -> None:
    assert {name: story.green.outcomes[name] for name in story.red.outcomes} == story.red.outcomes
    assert len(story.green.outcomes) == len(story.red.outcomes) + 1
    assert {a: r for a, r in story.green.forecasts.items() if a != NEVER} == {
        a: r for a, r in story.red.forecasts.items() if a != NEVER
    }


def test_the_page_tells_of_all_twelve_at_the_end(story: Story) -> None:
    assert "12 airports forecast, 0 quarantined, 0 failed" in story.page


def test_batches_can_be_searched_by_their_airports(story: Story) -> None:
    assert story.labels == {
        "batch 00: 4 airports, AAA to ADD", "batch 01: 4 airports, AEE to AHH", "batch 02: 4 airports, AII to ALL",
    }  # fmt: skip
