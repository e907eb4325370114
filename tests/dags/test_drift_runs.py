"""The DAG drift_{fleet} in real runs: `airflow dags test` on sqlite, a real store and a real MLflow, a tiny fleet.

Nine airports of weeks, each at its level with noise. AAA is higher for good from the second week after the release on.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core.calendar import parse_as_of
from paxcast.jobs import retrain
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
class Line:
    """The checks, in order: before the first release, in a quiet week, when AAA has drifted."""

    ws: Workspace
    unreleased: Any
    quiet: Any
    found: Any
    misspelt: Any


def events(run: Any) -> list[dict[str, Any]]:
    """What a run published: the extras of the events of the fleet's asset of drift."""
    rows = run.airflow.query(
        "select e.extra from asset_event e join asset a on a.id = e.asset_id "
        "where a.name = 'drift_small' and e.source_run_id = ?",
        run.run_id,
    )
    return [json.loads(extra) for (extra,) in rows]


@pytest.fixture(scope="module")
def line(new_airflow: Callable[..., Any], new_fleet: Callable[..., Path]) -> Line:
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

    check = partial(airflow.test, "drift_small")
    unreleased = check()
    ingest(ws, NOW)
    retrain.retrain(ws, Request(as_of=parse_as_of(RELEASED), request_id="one"), NOW)
    return Line(ws, unreleased, check(as_of=QUIET), check(as_of=FOUND), check(as_off=QUIET))


def test_before_the_first_release_a_run_that_names_no_day_does_nothing_and_is_no_failure(line: Line) -> None:
    run = line.unreleased
    assert (run.code, run.state) == (0, "success"), run.text
    assert set(run.states().values()) == {"skipped"}
    assert "fleet small has no release yet, so nothing can drift" in run.text


def test_in_a_quiet_week_nobody_is_announced_and_nobody_is_told(line: Line) -> None:
    run = line.quiet
    assert (run.code, run.state) == (0, "success"), run.text
    states = run.states()
    assert states.pop("announce") == "skipped"
    assert set(states.values()) == {"success"}
    assert events(run) == []
    assert "told of small-20200706T000000-drift: nobody, there is no news" in run.text


def test_drift_is_announced_with_the_date_and_the_version_of_the_table_and_no_code(line: Line) -> None:
    run = line.found
    assert (run.code, run.state) == (0, "success"), run.text
    assert set(run.states().values()) == {"success"}
    (checked,) = run.returned("check")
    assert (checked["as_of"], checked["asked"], checked["counts"]["drifted"]) == (FOUND, 1, 1)
    assert events(run) == [{"as_of": FOUND, "table_version": line.ws.tables.version("drift")}]
    assert "told of small-20200727T000000-drift: log" in run.text
    assert "AAA: severe" in run.text


def test_the_page_has_a_button_in_airflow_and_a_run_in_mlflow(line: Line) -> None:
    from paxcast.adapters.mlflow_registry import Registry

    (place,), (run_id,) = line.found.returned("report"), line.found.returned("track")
    page = Path(place)
    assert '<section id="AAA">' in page.read_text(encoding="utf-8")
    assert json.loads(line.found.xcoms()["report", -1, "_link_Page"]) == page.as_uri()
    registry = Registry(line.ws.settings.tracking_uri, line.ws.settings.experiment)
    run = registry.client.get_run(run_id)
    assert run.data.tags["page"] == str(page)


def test_xcom_carries_keys_and_counts_and_no_list_of_airports(line: Line) -> None:
    values = line.found.xcoms()
    assert values
    assert {where: len(text) for where, text in values.items() if len(text) > LARGEST_XCOM} == {}
    assert [where for where, text in values.items() if "AAA" in text] == []


def test_an_unknown_key_fails_the_check_at_once_naming_it_and_tells_nobody(line: Line) -> None:
    run = line.misspelt
    assert (run.code, run.state) == (1, "failed")
    assert "the trigger's configuration: unknown as_off; there are: as_of" in run.text
    states = run.states()
    assert states.pop("check") == "failed"
    assert sorted(states) == ["announce", "finished", "notify", "report", "track"]
    assert set(states.values()) <= {"upstream_failed", "skipped"}
