"""Real runs: `airflow dags test` on sqlite, real Spark, real MLflow, a small fleet. Each run serves several tests.

Five airports of six years of months, and QQQ, whose data ended long ago. The runs build on each other in this order:
first, then the same again, then one airport by force; the runs that must change nothing may come at any time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

GOOD = ["AAA", "BBB", "CCC", "DDD", "EEE"]
AS_OF = "2020-12-31"
FIRST_KEY = "small-20210101T000000-"
LABELS = {0: "batch 00: 3 airports, AAA to CCC", 1: "batch 01: 2 airports, DDD to EEE"}
LARGEST_XCOM = 1000  # characters, for two batches


@dataclass(frozen=True)
class Home:
    """An Airflow, and the folder that holds the fleet with its store and its MLflow."""

    airflow: Any
    folder: Path

    def paxcast(self, *arguments: str) -> Any:
        return self.airflow.paxcast("--config", str(self.folder / "small.yaml"), *arguments)

    def status(self) -> dict[str, dict[str, Any]]:
        return {row["airport"]: row for row in self.paxcast("status")}

    def files(self, under: str = ".") -> dict[str, tuple[int, int]]:
        """Every file with its size and the time it was last written."""
        found = (path for path in (self.folder / under).rglob("*") if path.is_file())
        return {str(p.relative_to(self.folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}

    def outcomes(self) -> dict[str, tuple[int, int]]:
        return {name: seen for name, seen in self.files("store").items() if "/outcomes/" in name and "objects" in name}


@dataclass(frozen=True)
class Line:
    """The first run, and what it left: for the tests to look at, and for the next runs to be compared with."""

    home: Home
    ingested: Any
    run: Any
    status: dict[str, dict[str, Any]]
    forecasts: list[dict[str, Any]]
    outcomes: dict[str, tuple[int, int]]


@pytest.fixture(scope="module")
def line(new_airflow: Callable[..., Any], new_fleet: Callable[..., Path], made_up: Callable[..., pd.DataFrame]) -> Line:
    """Migrate, ingest, retrain."""
    ended = made_up(["QQQ"], 40, "MS", "2019-03-01")
    fleet = new_fleet(pd.concat([made_up(GOOD, 72, "MS", "2020-12-01"), ended]))
    home = Home(new_airflow(fleet.parent), fleet.parent)
    migrated = home.airflow.airflow("db", "migrate")
    assert migrated.code == 0, migrated.text
    ingested = home.airflow.test("ingest_small")
    run = home.airflow.test("retrain_small", as_of=AS_OF)
    forecasts = home.paxcast("forecast")
    return Line(home, ingested, run, home.status(), forecasts, home.outcomes())


@pytest.fixture(scope="module")
def again(line: Line) -> Any:
    """The same request a second time."""
    return line.home.airflow.test("retrain_small", as_of=AS_OF)


@pytest.fixture(scope="module")
def forced(line: Line, again: Any) -> Any:
    """One airport by force, after the others have been compared."""
    return line.home.airflow.test("retrain_small", as_of=AS_OF, airports=["AAA"], force=True)


def test_both_dags_succeed(line: Line) -> None:
    assert (line.ingested.code, line.ingested.state) == (0, "success"), line.ingested.text
    assert (line.run.code, line.run.state) == (0, "success"), line.run.text
    assert set(line.run.tasks().values()) == {("success", 1)}


def test_every_good_airport_is_released_and_the_bad_one_says_why_not(line: Line) -> None:
    assert sorted(line.status) == [*GOOD, "QQQ"]
    assert {row["status"] for airport, row in line.status.items() if airport in GOOD} == {"ok"}
    assert {row["version"] for airport, row in line.status.items() if airport in GOOD} == {1}
    assert line.status["QQQ"]["status"] == "quarantined"
    assert line.status["QQQ"]["reason"]
    assert sorted({row["airport"] for row in line.forecasts}) == GOOD


def test_a_mapped_task_is_named_after_its_batch_and_airports(line: Line) -> None:
    rows = line.home.airflow.query(
        "select task_id, map_index, rendered_map_index from task_instance where run_id = ? and map_index >= 0",
        line.run.run_id,
    )
    wanted = {(task, index, label) for task in ("batch.tune", "batch.register") for index, label in LABELS.items()}
    assert set(rows) == wanted


def test_xcom_carries_keys_and_counts_and_no_list_of_airports(line: Line) -> None:
    values = line.ingested.xcoms() | line.run.xcoms()
    assert values
    assert {where: len(v) for where, v in values.items() if len(v) > LARGEST_XCOM} == {}
    inside = ("BBB", "QQQ")  # neither is the first or the last of a batch, which its label names
    assert [where for where, v in values.items() if any(code in v for code in inside)] == []
    assert line.run.returned("batch.tune") == [{"refitted": 3, "kept": 0}, {"refitted": 2, "kept": 0}]
    assert line.run.returned("validate")[0]["quarantined"] == 1


def test_the_same_request_again_refits_nothing(line: Line, again: Any) -> None:
    assert (again.code, again.state) == (0, "success"), again.text
    assert again.returned("batch.tune") == [{"refitted": 0, "kept": 3}, {"refitted": 0, "kept": 2}]
    assert again.returned("batch.register") == [0, 0]
    assert again.returned("plan") == line.run.returned("plan")
    assert again.returned("promote") == line.run.returned("promote")


def test_one_airport_by_force_is_refitted_alone_with_the_same_numbers(line: Line, forced: Any) -> None:
    assert (forced.code, forced.state) == (0, "success"), forced.text
    assert forced.returned("batch.tune") == [{"refitted": 1, "kept": 0}]
    fresh = {name for name in line.home.outcomes() if name not in line.outcomes}
    assert [Path(name).name.split("-")[0] for name in fresh] == ["AAA"]
    versions = {airport: row["version"] for airport, row in line.home.status().items()}
    assert versions == {"AAA": 2, "BBB": 1, "CCC": 1, "DDD": 1, "EEE": 1, "QQQ": None}
    assert line.home.paxcast("forecast") == line.forecasts


def test_a_run_that_is_asked_to_go_back_does_only_that(line: Line, forced: Any) -> None:
    outcomes, forecasts = line.home.outcomes(), line.home.paxcast("forecast")
    back = line.home.airflow.test("retrain_small", rollback="previous")
    assert (back.code, back.state) == (0, "success"), back.text
    assert {state for state, _ in back.tasks().values()} == {"skipped"}
    assert "is in force instead of" in back.text
    assert {row["version"] for row in line.home.status().values() if row["airport"] in GOOD} == {1}
    assert (line.home.outcomes(), line.home.paxcast("forecast")) == (outcomes, forecasts)


def test_outcomes_once_written_are_never_touched_again(line: Line, forced: Any) -> None:
    now = line.home.outcomes()
    assert {name: now.get(name) for name in line.outcomes} == line.outcomes
    assert len(line.outcomes) == len(GOOD) + 1


def test_a_dry_run_says_who_would_be_forecast_and_writes_nothing(line: Line) -> None:
    before = line.home.files()
    run = line.home.airflow.test("retrain_small", as_of="2020-11-30", dry_run=True)
    assert (run.code, run.state) == (0, "success"), run.text
    assert "would forecast AAA, BBB, CCC, DDD, EEE" in run.text
    assert line.home.files() == before
    states = {task: state for (task, _), (state, _) in run.tasks().items()}
    assert {task for task, state in states.items() if state == "success"} == {"validate", "plan", "batches"}
    assert set(states.values()) == {"success", "skipped"}


def test_a_run_without_a_date_is_as_of_the_end_of_its_data_interval(line: Line) -> None:
    run = line.home.airflow.test("retrain_small", "2020-12-23T10:00:00", dry_run=True)
    assert run.code == 0, run.text  # the Monday before it is the 21st
    assert "small-20201221T060000-" in run.text


def test_an_unknown_key_fails_validate_at_once_naming_the_key(line: Line) -> None:
    before = line.home.files()
    run = line.home.airflow.test("retrain_small", as_off=AS_OF)
    assert (run.code, run.state) == (1, "failed")
    assert "the trigger's configuration: unknown as_off; there are: as_of, airports, max_evals" in run.text
    assert run.tasks()["validate", -1] == ("failed", 1)
    assert run.tasks()["plan", -1][0] == "upstream_failed"
    assert line.home.files() == before


def test_an_airport_that_the_fleet_does_not_have_fails_plan_at_once_naming_the_code(line: Line) -> None:
    run = line.home.airflow.test("retrain_small", as_of=AS_OF, airports=["ZZZ"])
    assert (run.code, run.state) == (1, "failed")
    assert "airports: ZZZ: nothing of them was known as of 2020-12-31 in fleet small (6 airports)" in run.text
    assert run.tasks()["plan", -1] == ("failed", 1)


def test_three_past_weeks_can_be_backfilled(line: Line) -> None:
    span = ("--from-date", "2020-11-30", "--to-date", "2020-12-20")
    done = line.home.airflow.airflow("backfill", "create", "--dag-id", "retrain_small", *span, "--dry-run")
    assert done.code == 0, done.text
    days = [day for day in pd.date_range("2020-11-01", "2021-01-31") if f"| {day:%Y-%m-%d} 06:00:00+00:00" in done.out]
    assert [f"{day:%m-%d}" for day in days] == ["11-30", "12-07", "12-14"]
