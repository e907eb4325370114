"""The DAG files as Airflow's processor meets them: they parse, they are light, and they say what design.md draws."""

import json
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FILES = sorted((PROJECT / "dags").glob("*.py"))
FLEETS = ("daily", "weekly", "monthly")
KINDS = ("ingest", "retrain", "drift")
HEAVY = ("pandas", "numpy", "mlflow", "prophet", "pyspark", "hyperopt", "deltalake")

# What a file costs once Airflow's own SDK is there, beside what that costs, in processor time: no machine changes that.
PARSE = """
import json, runpy, sys, time
from airflow.sdk import dag, task, task_group, Asset, Param
sdk = time.process_time()
runpy.run_path(sys.argv[1])
print("\\n" + json.dumps({"share": time.process_time() / sdk - 1, "modules": sorted(sys.modules)}))
"""
PYSPARK = "airflow.providers.apache.spark.operators.spark_pyspark.PySparkOperator"
LINE = {
    "validate": ["plan"],
    "plan": ["batches", "forecast", "promote", "report"],
    "batches": ["batch.register", "batch.tune"],
    "batch.tune": ["batch.register"],
    "batch.register": ["promote"],
    "promote": ["forecast"],
    "forecast": ["report"],
    "report": [],
}
# Of drift. Pages and MLflow are on the way to the people, who are told even where those fail; then the run is red.
WATCH = {
    "check": ["announce", "notify", "report", "track"],
    "announce": [],
    "report": ["notify", "track"],
    "track": ["finished", "notify"],
    "notify": [],
    "finished": [],
}


def name_of(path: Path) -> str:
    return path.name


def test_the_projects_own_fleets_parse_without_an_error(new_airflow: Any) -> None:
    found = new_airflow().dags()
    assert found["errors"] == {}
    assert {"ingest_demo", "retrain_demo", "drift_demo"} <= set(found["dags"])


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_dag_file_is_a_table_of_contents(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_dag_file_holds_the_words_without_which_airflow_skips_it(path: Path) -> None:
    text = path.read_text(encoding="utf-8").lower()
    assert "airflow" in text
    assert "dag" in text


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_dag_file_parses_fast_and_imports_nothing_heavy(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PARSE, str(path)], cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    parsed = json.loads(done.stdout.splitlines()[-1])
    assert set(HEAVY) & set(parsed["modules"]) == set()
    assert parsed["share"] < 0.15


def test_every_fleet_has_a_dag_that_ingests_one_that_retrains_and_one_that_watches(
    three_fleets: dict[str, Any],
) -> None:
    assert three_fleets["errors"] == {}
    assert set(three_fleets["dags"]) == {f"{what}_{fleet}" for what in KINDS for fleet in FLEETS}


@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("what", KINDS)
def test_a_dag_says_whose_it_is_what_it_does_and_when_it_begins(
    three_fleets: dict[str, Any], what: str, fleet: str
) -> None:
    dag = three_fleets["dags"][f"{what}_{fleet}"]
    assert dag["tags"] == sorted(["paxcast", fleet])
    assert dag["doc"].strip().startswith(f"### {what}_")
    assert "**If" in dag["doc"]  # what to do when it is red
    assert datetime.fromisoformat(dag["start_date"]).utcoffset() is not None
    assert dag["max_active_runs"] == 1
    assert dag["catchup"] is False


@pytest.mark.parametrize("dag_id", [f"{what}_weekly" for what in KINDS])
def test_every_task_has_an_owner_a_description_and_retries_under_the_policy(
    three_fleets: dict[str, Any], dag_id: str
) -> None:
    for name, task in three_fleets["dags"][dag_id]["tasks"].items():
        assert task["owner"] == "paxcast", name
        assert task["retries"] >= 2, name
        assert task["policy"], name
        assert task["doc"], name


@pytest.mark.parametrize("fleet", FLEETS)
def test_retraining_is_one_straight_line_around_the_batches(three_fleets: dict[str, Any], fleet: str) -> None:
    tasks = three_fleets["dags"][f"retrain_{fleet}"]["tasks"]
    assert {name: task["downstream"] for name, task in tasks.items()} == LINE


def test_where_a_person_is_to_be_asked_a_gate_stands_between_promote_and_forecast_with_spark_or_without(
    new_airflow: Any, tmp_path: Path
) -> None:
    text = "source: {kind: file, path: traffic.csv}\npromotion: {ask_above: 0.2}\nsearch: {mode: local}\n"
    fleet_file(tmp_path, "asking.yaml", text)
    tasks = new_airflow(tmp_path).dags()["dags"]["retrain_asking"]["tasks"]
    steps = ["promote", "gate.ask", "gate.approval", "gate.approved", "gate.decided", "forecast"]
    for step, following in pairwise(steps):
        assert following in tasks[step]["downstream"]
    assert any("ApprovalOperator" in kind for kind in tasks["gate.approval"]["kinds"])
    assert tasks["gate.decided"]["rule"] == "none_failed"  # what follows goes on after a no
    without = {name: task["downstream"] for name, task in tasks.items() if not name.startswith("gate.")}
    assert {n: [d for d in found if not d.startswith("gate.")] for n, found in without.items()} == LINE
    assert [
        name for name, task in tasks.items() if PYSPARK in task["kinds"]
    ] == []  # nor is Spark there, as it is local


def test_tuning_is_the_providers_pyspark_task_and_nothing_else_is(three_fleets: dict[str, Any]) -> None:
    tasks = three_fleets["dags"]["retrain_weekly"]["tasks"]
    assert [name for name, task in tasks.items() if PYSPARK in task["kinds"]] == ["batch.tune"]


def test_after_a_failed_batch_the_line_goes_on_with_what_is_done(
    three_fleets: dict[str, Any],
) -> None:
    tasks = three_fleets["dags"]["retrain_weekly"]["tasks"]
    special = {name: task["rule"] for name, task in tasks.items() if task["rule"] != "all_success"}
    even_if_red = dict.fromkeys(("promote", "forecast", "report"), "all_done_min_one_success")
    assert special == {"batch.register": "all_done", **even_if_red}


def test_ingesting_tells_airflow_that_the_fleet_has_new_observations(three_fleets: dict[str, Any]) -> None:
    assert three_fleets["dags"]["ingest_weekly"]["tasks"]["ingest"]["outlets"] == ["observations_weekly"]


def test_a_check_is_told_to_airflow_by_one_task_and_to_people_by_another_after_page_and_mlflow(
    three_fleets: dict[str, Any],
) -> None:
    tasks = three_fleets["dags"]["drift_weekly"]["tasks"]
    assert {name: task["downstream"] for name, task in tasks.items()} == WATCH
    assert {name: task["outlets"] for name, task in tasks.items() if task["outlets"]} == {"announce": ["drift_weekly"]}
    special = {name: task["rule"] for name, task in tasks.items() if task["rule"] != "all_success"}
    assert special == {"notify": "all_done_min_one_success"}


def test_the_report_of_a_check_has_a_button_that_leads_to_its_page(three_fleets: dict[str, Any]) -> None:
    tasks = three_fleets["dags"]["drift_weekly"]["tasks"]
    assert {name: task["links"] for name, task in tasks.items() if task["links"]} == {"report": ["Page"]}


def test_the_form_of_a_check_has_a_day_and_nothing_else(three_fleets: dict[str, Any]) -> None:
    form = {"as_of": {"default": None, "type": ["string", "null"], "format": "date", "title": "as_of"}}
    assert three_fleets["dags"]["drift_weekly"]["params"] == form
    assert three_fleets["dags"]["drift_weekly"]["descriptions"]["as_of"]


def fleet_file(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_broken_fleet_file_hides_only_its_own_dags_and_shows_as_an_import_error(
    new_airflow: Any, tmp_path: Path
) -> None:
    source = "source: {kind: file, path: traffic.csv}\n"
    fleet_file(tmp_path, "good.yaml", source)
    misspelt = fleet_file(tmp_path, "misspelt.yaml", source + "schedul: daily\n")
    binary = fleet_file(tmp_path, "binary.yaml", b"\xff\xfe\x00")
    twice = fleet_file(tmp_path, "twice.yaml", source + "fleet: good\nschedule: daily\n")
    found = new_airflow(tmp_path).dags()
    assert set(found["dags"]) == {f"{what}_good" for what in KINDS}
    assert set(found["errors"]) == {"broken_fleets.py"}
    message = found["errors"]["broken_fleets.py"]
    assert f"{misspelt}: schedul: unknown setting; did you mean 'schedule'?" in message
    assert f"{binary}: not a text in UTF-8" in message
    assert f"{twice}: fleet: 'good' is already the fleet of {tmp_path / 'good.yaml'}" in message


def test_a_task_of_a_good_fleet_runs_beside_a_broken_fleet_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paxcast.settings import load_fleet

    good = fleet_file(tmp_path, "good.yaml", "source: {kind: file, path: traffic.csv}\n")
    fleet_file(tmp_path, "bad.yaml", "schedul: daily\n")
    monkeypatch.setenv("PAXCAST_FLEETS", str(tmp_path))
    assert load_fleet("good").origin == str(good)
