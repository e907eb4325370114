"""What the registering step tells MLflow of outcomes made by hand, on a sqlite file, and that it tells it once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mlflow
import pytest

from paxcast.adapters.mlflow_registry import Registry
from paxcast.core.composition import FIRST_RULE, compose
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import Outcome, evaluation_of
from paxcast.jobs import ledger, register
from paxcast.jobs.described import Described
from paxcast.jobs.workspace import Workspace, open_workspace

pytestmark = pytest.mark.slow

CODES = ["AAA", "BBB", "CCC"]
MODEL = '{"airport": "AAA", "members": {}}'
Make = Callable[..., Any]


@pytest.fixture
def manifest(ws: Workspace, judged_of: Make, manifest_of: Make) -> Manifest:
    """Three finished airports, the second of which was asked for by name; each has a chart."""
    made: Manifest = manifest_of(CODES, config_hash="c0ffee00", data_version=3, code_version="1.2")
    airports = tuple(replace(a, why="asked for by name") if a.airport == "BBB" else a for a in made.airports)
    made = replace(made, airports=airports, numbers={"search": {}})
    ws.objects.put(f"runs/{made.run_key}/manifests/{made.manifest_id}.json", made.as_dict())
    for code in CODES:
        ledger.record(ws.objects, finished(judged_of, code), MODEL, b"\x89PNG")
    return made


def finished(judged_of: Make, code: str) -> Outcome:
    trial = {"number": 0, "parameters": {}, "loss": 0.5, "reason": "", "pruned": False}
    trials = [trial, {**trial, "loss": None, "reason": "no"}, {**trial, "pruned": True}, {**trial, "pruned": True}]
    result: Outcome = judged_of(
        code,
        metrics={"cv.mase": 0.5, "naive.cv.mase": {"AAA": 0.1}.get(code, 1.0), "residual.mean": 2.0},
        train_members=["one", "two"],
        choices={"one": {"verdict": "kept", "reason": "0.5 against 0.5", "waiting": None}},
        trials={"one": trials},
        left_out={"odd": "too short"},
        warnings={"two": 3},
        seconds=1.5,
        memory_mb=321.0,
    )
    year = [f"2019-{month:02d}-01" for month in range(1, len(result.ds) + 1)]
    windows = [{**window, "ds": year} for window in (*result.folds, result.test)]
    return replace(result, folds=windows[:-1], test=windows[-1])


def runs(ws: Workspace) -> dict[str, Any]:
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    found = registry.client.search_runs([registry.experiment_id], "tags.kind = 'airport'")
    assert len(found) == len({run.data.tags["airport"] for run in found})
    return {run.data.tags["airport"]: run for run in found}


def test_a_run_says_what_it_is_of_what_went_wrong_and_what_it_cost(ws: Workspace, manifest: Manifest) -> None:
    assert register.register_batch(ws, manifest.run_key, manifest.manifest_id, 0, "manual__1") == 3
    found = runs(ws)
    tags = found["BBB"].data.tags
    published = compose(evaluation_of(ledger.load(ws.objects, manifest.run_key, "BBB", "first")), FIRST_RULE)
    expected = {
        "airport": "BBB", "fleet": "small", "as_of": "2020-12-31", "dag_run_id": "manual__1", "data_version": "3",
        "config_hash": "c0ffee00", "code_version": "1.2", "run_key": manifest.run_key, "candidate": published.method,
        "outcome": "ok", "drift_reason": "asked for by name", "train_members": "one, two", "checksum": "first",
    }  # fmt: skip
    assert {name: tags.get(name) for name in expected} == expected
    assert found["AAA"].data.tags["drift_reason"] == ""
    counted = {
        "failed_evaluations": 1, "failed_evaluations.one": 1, "pruned_evaluations": 2, "pruned_evaluations.one": 2,
        "left_out": 1, "warnings": 3, "warnings.two": 3, "seconds": 1.5, "memory_mb": 321.0, "residual.mean": 2.0,
        "cv.mase": 0.5, "not_exact": 0,
    }  # fmt: skip
    assert {name: found["BBB"].data.metrics.get(name) for name in counted} == counted
    assert found["BBB"].data.metrics["cv_mase.one"] > 0
    uri = ws.settings.tracking_uri
    (version,) = mlflow.MlflowClient(uri, uri).search_model_versions("name = 'small.BBB'")
    assert {name: version.tags.get(name) for name in expected} == expected


@pytest.mark.parametrize("asked", [False, True])
def test_each_evaluation_has_a_run_of_its_own_where_it_is_asked_for(
    ws: Workspace, manifest: Manifest, asked: bool
) -> None:
    told = ws.settings.model_copy(update={"mlflow": ws.settings.mlflow.model_copy(update={"trials": asked})})
    register.register_batch(open_workspace(told), manifest.run_key, manifest.manifest_id, 0)
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    found = registry.client.search_runs([registry.experiment_id], "tags.kind = 'trial' and tags.airport = 'AAA'")
    parent = runs(ws)["AAA"].info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in found} == ({parent} if asked else set())
    assert sorted(run.info.status for run in found) == (["FAILED", *["FINISHED"] * 3] if asked else [])


def test_a_version_says_what_it_did_against_seasonal_naive_and_the_champion(ws: Workspace, manifest: Manifest) -> None:
    register.register_batch(ws, manifest.run_key, manifest.manifest_id, 0)
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    tags = registry.client.get_model_version(f"{ws.fleet}.BBB", "1").tags
    assert (tags["cv.mase"], tags["naive.cv.mase"]) == ("0.5", "1")
    assert (tags["one.verdict"], tags["one.reason"]) == ("kept", "0.5 against 0.5")
    assert "cv.mase" not in runs(ws)["BBB"].data.tags  # there they are metrics


def test_the_dataset_of_a_run_is_the_history_at_its_version_of_the_store(ws: Workspace, manifest: Manifest) -> None:
    made = Described(ws, manifest, "", set())(ledger.load(ws.objects, manifest.run_key, "AAA", "first"))
    assert made.history is not None
    assert (made.history.name, made.history.digest, made.history.version) == ("small.AAA", "first", 3)
    assert made.history.table == f"{ws.tables.root}/tables/observations"


def test_only_the_worst_charts_are_logged_where_the_setting_says_so(ws: Workspace, manifest: Manifest) -> None:
    settings = ws.settings.model_copy(update={"mlflow": ws.settings.mlflow.model_copy(update={"charts": "worst"})})
    register.register_batch(replace(ws, settings=settings), manifest.run_key, manifest.manifest_id, 0)
    client = mlflow.MlflowClient(ws.settings.tracking_uri, ws.settings.tracking_uri)
    files = {code: {f.path for f in client.list_artifacts(run.info.run_id)} for code, run in runs(ws).items()}
    assert {code: "forecast.png" in names for code, names in files.items()} == {"AAA": True, "BBB": False, "CCC": False}


def test_a_crash_in_the_middle_keeps_what_is_done_and_the_next_try_registers_the_rest_once(
    ws: Workspace, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Described.__call__

    def broken(self: Described, result: Outcome) -> Any:
        if result.airport == "BBB":
            raise KeyError("BBB: the store is gone")
        return right(self, result)

    with monkeypatch.context() as patch:
        patch.setattr(Described, "__call__", broken)
        with pytest.raises(KeyError, match="BBB"):
            register.register_batch(ws, manifest.run_key, manifest.manifest_id, 0)
    done = set(ledger.registrations(ws, manifest.run_key)["airport"])
    assert "AAA" in done
    new = register.register_batch(ws, manifest.run_key, manifest.manifest_id, 0)
    assert 1 <= new <= 2
    rows = ledger.registrations(ws, manifest.run_key)
    assert sorted(rows["airport"]) == CODES
    assert set(rows["version"]) == {1}
    assert {code: run.info.run_id for code, run in runs(ws).items()} == dict(
        zip(rows["airport"], rows["mlflow_run"], strict=True)
    )
    assert register.register_batch(ws, manifest.run_key, manifest.manifest_id, 0) == 0
