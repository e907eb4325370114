"""The human gate under a real Airflow: asked in the UI's way, answered through its API, or by nobody."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

DAG, GATE = "retrain_gated", "gate.approval"
CODES = ["AAA", "BBB"]
HOURS = 12 / 3600  # that the first question waits for an answer


def growing() -> pd.DataFrame:
    """Months that grow, and the season with them: Prophet beats seasonal naive."""
    months, t = pd.date_range("2016-01-01", periods=60, freq="MS"), np.arange(60)
    y = 1000 * 1.035**t * (1 + 0.3 * np.sin(2 * np.pi * t / 12))
    frames = [pd.DataFrame({"airport": c, "date": months.strftime("%Y-%m-%d"), "passengers": y.round()}) for c in CODES]
    return pd.concat(frames, ignore_index=True)


def configured(mode: str, hours: float) -> dict[str, Any]:
    """One specification for all; ask whenever any changes."""
    points = {"seasonality_mode": {"choice": [mode]}}
    return {
        "candidates": ["seasonal_naive", "anchored_prophet"],
        "search": {"max_evals": 1, "algorithm": "grid", "mode": "local", "space": points},
        "promotion": {"ask_above": 0.0, "ask_hours": hours},
        "batches": 1,
        "start_date": (date.today() + timedelta(days=1)).isoformat(),  # no scheduled run comes between
    }


@dataclass
class Ended:
    """A run: how it ended, its tasks, and the newest month that forecasts in force were made after."""

    state: str
    tasks: dict[str, str]
    in_force: set[str]


@dataclass
class Story:
    """Three runs: nothing to ask; asked, and nobody answered; asked, and somebody said yes."""

    unasked: Ended
    unanswered: Ended
    approved: Ended
    question: dict[str, Any]
    while_waiting: set[str]


@pytest.fixture(scope="module")
def story(standalone: Any, write_fleet: Callable[..., Path]) -> Story:
    airflow, fleets = standalone, standalone.folder / "fleets"

    def in_force() -> set[str]:
        return {row["as_of"][:10] for row in airflow.paxcast("gated", "forecast", "--json")}

    def ended(run: str) -> Ended:
        state = airflow.ended(DAG, run)
        return Ended(state, {name: found for (name, _), (found, _) in airflow.tasks(DAG, run).items()}, in_force())

    def again(mode: str, hours: float) -> None:
        write_fleet(fleets, growing(), "gated", **configured(mode, hours))
        airflow.wait_for_dag(DAG)

    write_fleet(fleets, growing(), "gated", **configured("additive", HOURS))
    airflow.paxcast("gated", "ingest", "--json")
    again("additive", HOURS)
    unasked = ended(airflow.trigger(DAG, as_of="2020-10-31"))
    again("multiplicative", HOURS)
    unanswered = ended(airflow.trigger(DAG, as_of="2020-11-30"))
    again("multiplicative", 1.0)
    run = airflow.trigger(DAG, as_of="2020-12-31")
    asked = f"dags/{DAG}/dagRuns/{run}/taskInstances/{GATE}/-1/hitlDetails"
    airflow.until("the question is asked", lambda: airflow.tasks(DAG, run)[GATE, -1][0] in WAITING)
    question, while_waiting = airflow.call("GET", asked), in_force()
    airflow.call("PATCH", asked, {"chosen_options": ["Approve"], "params_input": {}})
    return Story(unasked, unanswered, ended(run), question, while_waiting)


WAITING = ("awaiting_input", "deferred")


def test_where_nothing_would_change_nobody_is_asked(story: Story) -> None:
    run = story.unasked
    assert (run.state, run.in_force) == ("success", {"2020-10-31"})
    assert (run.tasks["gate.ask"], run.tasks[GATE], run.tasks["forecast"]) == ("success", "skipped", "success")


def test_where_nobody_answers_in_time_the_old_release_stays_and_the_run_goes_on(story: Story) -> None:
    run = story.unanswered
    assert (run.state, run.in_force) == ("success", {"2020-10-31"})
    assert (run.tasks[GATE], run.tasks["gate.approved"]) == ("success", "skipped")
    assert (run.tasks["gate.decided"], run.tasks["forecast"], run.tasks["report"]) == ("success",) * 3


def test_the_question_says_what_would_change_and_readers_keep_the_old_release_meanwhile(story: Story) -> None:
    assert story.question["subject"] == "gated: publish the new release?"
    assert "would change the specification of 2 of 2 airports (AAA, BBB)" in story.question["body"]
    assert story.question["defaults"] == ["Reject"]
    assert story.while_waiting == {"2020-10-31"}


def test_after_a_yes_the_release_comes_into_force_and_who_said_so_is_on_record(story: Story, standalone: Any) -> None:
    run = story.approved
    assert (run.state, run.in_force) == ("success", {"2020-12-31"})
    folder = standalone.folder / "home" / "store" / "objects" / "approvals" / "gated"
    said = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    assert [(one["approved"], bool(one["by"])) for one in said] == [(False, False), (True, True)]  # November, December
