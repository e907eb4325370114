"""The DAG drift_{fleet} in real runs: `airflow dags test` on sqlite, a real store and a real MLflow, a tiny fleet.

Nine airports of weeks, each at its level with noise. AAA is higher for good from the second week after the release on.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core.calendar import parse_as_of
from paxcast.jobs import retrain, tune
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2025-01-01", tz="UTC")
CODES = [letter * 3 for letter in "ABCDEFGHI"]
RELEASED, QUIET, FOUND = "2020-06-28", "2020-07-05", "2020-07-26"  # Sundays, on which a week ends
CHANGED = "2020-07-06"
LARGEST_XCOM = 1000  # characters


def traffic() -> pd.DataFrame:
    weeks, rng = pd.date_range("2018-01-01", FOUND, freq="W-MON"), np.random.default_rng(1)
    y = {code: 1000 * (i + 2) * rng.normal(1, 0.04, len(weeks)) for i, code in enumerate(CODES)}
    y["AAA"] = y["AAA"] * np.where(weeks >= CHANGED, 1.6, 1.0)
    frames = [pd.DataFrame({"airport": c, "date": weeks.strftime("%Y-%m-%d"), "passengers": y[c].round()}) for c in y]
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True)
class Ended:
    """A run that has ended, what it said and left in Airflow's database."""

    airflow: Any
    code: int
    text: str
    run_id: str
    state: str

    def tasks(self) -> dict[str, str]:
        rows = self.airflow.query("select task_id, state from task_instance where run_id = ?", self.run_id)
        return dict(rows)

    def xcoms(self) -> dict[tuple[str, str], Any]:
        """(task, key) -> value."""
        rows = self.airflow.query("select task_id, key, value from xcom where run_id = ?", self.run_id)
        return {(task, key): json.loads(str(value)) for task, key, value in rows}

    def events(self) -> list[dict[str, Any]]:
        """What it published: the extras of the events of the fleet's asset of drift."""
        rows = self.airflow.query(
            "select e.extra from asset_event e join asset a on a.id = e.asset_id "
            "where a.name = 'drift_small' and e.source_run_id = ?",
            self.run_id,
        )
        return [json.loads(extra) for (extra,) in rows]


@dataclass(frozen=True)
class Line:
    """The checks, in order: before the first release, in a quiet week, when AAA has drifted."""

    ws: Workspace
    unreleased: Ended
    quiet: Ended
    found: Ended
    misspelt: Ended


@pytest.fixture(scope="module")
def in_turn() -> Iterator[None]:
    """Airports are tuned one after another in this process: of the retraining only the release is needed here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrain.spark, "open_session", lambda _conf: nullcontext())
        patch.setattr(tune.spark, "fan_out", lambda _session, packed, worker, _n, _s: [worker(one) for one in packed])
        yield


@pytest.fixture(scope="module")
def line(new_airflow: Callable[..., Any], new_fleet: Callable[..., Path], in_turn: None) -> Line:
    path = new_fleet(
        traffic(),
        source={"frequency": "W"},
        candidates=["random_walk"],  # it follows a change at once when it is fitted anew
        search={"max_evals": 1, "mode": "local"},
        history={"find_shocks": False, "outliers": False, "shocks": [], "calendar": "none"},
        folds={"recent": 6, "earlier_years": 0},
        drift={"q": 0.01},  # nine airports are few to tell what is usual from
    )
    airflow, ws = new_airflow(path.parent), open_workspace(load(path))
    migrated = airflow.airflow("db", "migrate")
    assert migrated.code == 0, migrated.text

    def check(**conf: Any) -> Ended:
        done = airflow.airflow("dags", "test", "drift_small", "--conf", json.dumps(conf))
        run_id, state = airflow.query("select run_id, state from dag_run order by id desc limit 1")[0]
        return Ended(airflow, done.code, done.text, run_id, state)

    unreleased = check()
    ingest(ws, NOW)
    retrain.retrain(ws, Request(as_of=parse_as_of(RELEASED), request_id="one"), NOW)
    return Line(ws, unreleased, check(as_of=QUIET), check(as_of=FOUND), check(as_off=QUIET))


def test_before_the_first_release_a_run_that_names_no_day_does_nothing_and_is_no_failure(line: Line) -> None:
    run = line.unreleased
    assert (run.code, run.state) == (0, "success"), run.text
    assert set(run.tasks().values()) == {"skipped"}
    assert "fleet small has no release yet, so nothing can drift" in run.text


def test_in_a_quiet_week_nobody_is_announced_and_nobody_is_told(line: Line) -> None:
    run = line.quiet
    assert (run.code, run.state) == (0, "success"), run.text
    states = run.tasks()
    assert states.pop("announce") == "skipped"
    assert set(states.values()) == {"success"}
    assert run.events() == []
    assert "told of small-20200706T000000-drift: nobody, there is no news" in run.text


def test_drift_is_announced_with_the_date_and_the_version_of_the_table_and_no_code(line: Line) -> None:
    run = line.found
    assert (run.code, run.state) == (0, "success"), run.text
    assert set(run.tasks().values()) == {"success"}
    checked = run.xcoms()["check", "return_value"]
    assert (checked["as_of"], checked["asked"], checked["counts"]["drifted"]) == (FOUND, 1, 1)
    assert run.events() == [{"as_of": FOUND, "table_version": line.ws.tables.version("drift")}]
    assert "told of small-20200727T000000-drift: log" in run.text
    assert "AAA: severe" in run.text


def test_the_page_has_a_button_in_airflow_and_a_run_in_mlflow(line: Line) -> None:
    from paxcast.adapters.mlflow_registry import Registry

    found = line.found.xcoms()
    page = Path(found["report", "return_value"])
    assert '<section id="AAA">' in page.read_text(encoding="utf-8")
    assert found["report", "_link_Page"] == page.as_uri()
    registry = Registry(line.ws.settings.tracking_uri, line.ws.settings.experiment)
    run = registry.client.get_run(found["track", "return_value"])
    assert run.data.tags["page"] == str(page)


def test_xcom_carries_keys_and_counts_and_no_list_of_airports(line: Line) -> None:
    values = {where: json.dumps(value) for where, value in line.found.xcoms().items()}
    assert values
    assert {where: len(text) for where, text in values.items() if len(text) > LARGEST_XCOM} == {}
    assert [where for where, text in values.items() if "AAA" in text] == []


def test_an_unknown_key_fails_the_check_at_once_naming_it_and_tells_nobody(line: Line) -> None:
    run = line.misspelt
    assert (run.code, run.state) == (1, "failed")
    assert "the trigger's configuration: unknown as_off; there are: as_of" in run.text
    states = run.tasks()
    assert states.pop("check") == "failed"
    assert set(states.values()) <= {"upstream_failed", "skipped"}
