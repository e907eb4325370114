"""Drift under a real Airflow: new weeks, one airport changed for good, the fleet retrains that one and is quiet again.

Week after week a file grows and is ingested, and `drift_watched` runs as of its end. Nobody starts a retraining but the
event of a check. In the last week everything comes a thousandfold.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.faults]

DRIFT, RETRAIN = "drift_watched", "retrain_watched"
CODES = [letter * 3 for letter in "ABCDEFGHI"]
RELEASED = pd.Timestamp("2020-06-22")  # the Monday of the last week that the first release knows
CHANGED, QUIET, FOUND, AFTER, LATER, POISONED = (RELEASED + pd.Timedelta(weeks=n) for n in (2, 1, 4, 5, 6, 7))


def traffic() -> pd.DataFrame:
    """Each airport at its level, with noise of 4 %; AAA more than twice as high from CHANGED on."""
    weeks, rng = pd.date_range("2018-01-01", POISONED, freq="7D"), np.random.default_rng(1)
    y = {code: 1000 * (i + 2) * rng.normal(1, 0.04, len(weeks)) for i, code in enumerate(CODES)}
    y["AAA"] = y["AAA"] * np.where(weeks >= CHANGED, 2.2, 1.0)
    frames = [pd.DataFrame({"airport": c, "date": weeks, "passengers": y[c].round()}) for c in CODES]
    table = pd.concat(frames, ignore_index=True)
    table.loc[table["date"] == POISONED, "passengers"] *= 1000
    return table


def as_of(week: pd.Timestamp) -> str:
    return str((week + pd.Timedelta(days=6)).date())


SETTINGS = {
    "source": {"frequency": "W"},
    "candidates": ["random_walk"],  # it follows a change at once when it is fitted anew
    "search": {"max_evals": 1, "mode": "local"},
    "history": {"find_shocks": False, "outliers": False, "shocks": [], "calendar": "none"},
    "folds": {"recent": 6, "earlier_years": 0},
    "batches": 1,
    "mlflow": {"charts": "none"},
    "drift": {"q": 0.01},  # nine airports are few to tell from what is usual
    "notify": {"log": False, "webhook": True},
    "start_date": (date.today() + timedelta(days=1)).isoformat(),  # no scheduled run comes between
}


@dataclass
class Week:
    """What was there after the run of one week's check: its rows by airport, its tasks, how many messages were sent so
    far, and the ids of the retrainings so far."""

    state: str
    rows: dict[str, dict[str, Any]]
    tasks: dict[str, str]
    messages: int
    retrained: list[str]
    versions: dict[str, int]
    links: dict[str, str]


@dataclass
class Story:
    """The weeks by their Mondays, all messages, and the one run that drift began."""

    weeks: dict[pd.Timestamp, Week]
    messages: list[str]
    triggered: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(standalone_with_webhook: Any, write_fleet: Callable[..., Path]) -> Story:
    airflow, messages = standalone_with_webhook
    fleets, table = airflow.folder / "fleets", traffic()

    def retrained() -> list[str]:
        return [run["dag_run_id"] for run in airflow.call("GET", f"dags/{RETRAIN}/dagRuns")["dag_runs"]]

    def take(week: pd.Timestamp) -> None:
        known = table[table["date"] <= week]
        write_fleet(fleets, known.assign(date=known["date"].dt.strftime("%Y-%m-%d")), "watched", **SETTINGS)
        airflow.paxcast("watched", "ingest", "--json")

    def check(week: pd.Timestamp) -> Week:
        take(week)
        run = airflow.trigger(DRIFT, as_of=as_of(week))
        state = airflow.ended(DRIFT, run)
        tasks = {name: found for (name, _), (found, _) in airflow.tasks(DRIFT, run).items()}
        if tasks["announce"] == "success":
            begun = airflow.until("the event starts a retraining", retrained)
            airflow.ended(RETRAIN, begun[0])
        rows = {row["airport"]: row for row in airflow.paxcast("watched", "drift", "--as-of", as_of(week), "--json")}
        versions = {row["airport"]: row["version"] for row in airflow.paxcast("watched", "status", "--json")}
        links = airflow.call("GET", f"dags/{DRIFT}/dagRuns/{run}/taskInstances/report/links")["extra_links"]
        return Week(state, rows, tasks, len(messages), retrained(), versions, links)

    take(RELEASED)
    airflow.paxcast("watched", "retrain", "--as-of", as_of(RELEASED), "--json")
    for dag in (DRIFT, RETRAIN):
        airflow.wait_for_dag(dag)
    told = Story({week: check(week) for week in (QUIET, FOUND, AFTER, LATER, POISONED)}, messages)
    (run,) = told.weeks[FOUND].retrained
    told.triggered = airflow.call("GET", f"dags/{RETRAIN}/dagRuns/{run}")
    told.triggered["tasks"] = airflow.tasks(RETRAIN, run)
    return told


def unwell(week: Week) -> dict[str, tuple[str, str]]:
    found = {airport: (row["severity"], row["action"]) for airport, row in week.rows.items()}
    return {airport: one for airport, one in found.items() if one != ("none", "none")}


def test_every_check_ends_well(story: Story) -> None:
    assert {week: one.state for week, one in story.weeks.items()} == dict.fromkeys(story.weeks, "success")


def test_in_a_quiet_week_nothing_is_found_announced_or_told(story: Story) -> None:
    week = story.weeks[QUIET]
    assert unwell(week) == {}
    assert (week.tasks["announce"], week.messages, week.retrained) == ("skipped", 0, [])


def test_the_airport_that_changed_is_found_and_nobody_else(story: Story) -> None:
    week = story.weeks[FOUND]
    assert unwell(week) == {"AAA": ("severe", "retrain")}
    assert week.tasks["announce"] == "success"


def test_its_event_starts_one_retraining_as_of_the_check_of_that_airport_alone(
    story: Story, standalone_with_webhook: Any
) -> None:
    run = story.triggered
    assert (run["run_type"], run["state"]) == ("asset_triggered", "success")
    assert len(story.weeks[POISONED].retrained) == 1  # nor did a later check start another
    airflow = standalone_with_webhook[0]
    client = mlflow.MlflowClient(f"sqlite:///{airflow.folder / 'home' / 'mlflow.db'}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(
        experiments, "tags.kind = 'airport' and tags.airport = 'AAA'", order_by=["start_time ASC"]
    )
    assert [one.data.tags["as_of"] for one in runs] == [as_of(RELEASED), as_of(FOUND)]
    assert runs[1].data.tags["drift_reason"].startswith("drift: ")
    assert runs[0].data.tags["drift_reason"] == ""


def test_the_new_release_holds_its_new_version_and_the_old_ones_of_all_others(story: Story) -> None:
    assert set(story.weeks[QUIET].versions.values()) == {1}
    assert story.weeks[FOUND].versions == {**dict.fromkeys(CODES, 1), "AAA": 2}
    assert story.weeks[POISONED].versions == story.weeks[FOUND].versions


def test_the_checks_after_it_are_quiet_again(story: Story) -> None:
    for week in (story.weeks[AFTER], story.weeks[LATER]):
        assert unwell(week) == {}
        assert week.tasks["announce"] == "skipped"


def test_a_week_that_came_a_thousandfold_is_a_fault_and_retrains_nothing(story: Story) -> None:
    week = story.weeks[POISONED]
    assert unwell(week) == dict.fromkeys(CODES, ("fault", "alert"))
    assert week.tasks["announce"] == "skipped"
    assert week.retrained == story.weeks[FOUND].retrained


def test_people_get_one_message_a_change_with_a_link_to_the_page(story: Story) -> None:
    assert {week: one.messages for week, one in story.weeks.items()} == {
        QUIET: 0, FOUND: 1, AFTER: 2, LATER: 2, POISONED: 3
    }  # fmt: skip
    found, well, poisoned = story.messages
    assert f"drift as of {as_of(FOUND)}: 1 of 9 airports drifted" in found
    assert "AAA: severe" in found
    assert "BBB" not in found
    assert "nothing is left to do" in well
    assert "faults in the data of 9" in poisoned
    for message in story.messages:
        page = next(line for line in message.splitlines() if line.startswith("Page: ")).removeprefix("Page: ")
        assert Path(page).is_file()


def test_the_page_can_be_opened_from_airflow_and_shows_who_drifted(story: Story) -> None:
    page = Path(story.weeks[FOUND].links["Page"].removeprefix("file://"))
    assert '<section id="AAA">' in page.read_text(encoding="utf-8")
    assert [code for code in CODES if f'<section id="{code}">' in page.read_text(encoding="utf-8")] == ["AAA"]
    kept = json.loads((page.parent.parent / f"{page.parent.name}.json").read_text(encoding="utf-8"))
    assert (kept["counts"]["drifted"], kept["counts"]["retrain"]) == (1, 1)
