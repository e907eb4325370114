"""What is found and removed of a real MLflow on sqlite."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters.mlflow_registry import Registry, retention

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def registry(database: str, request: pytest.FixtureRequest) -> Iterator[Registry]:
    """An experiment and models of its own for each test; pages hold two, so that everything takes several."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retention, "PAGE", 2)
        yield Registry(database, request.node.name)


def register(registry: Registry, fleet: str, run_key: str, airports: int) -> None:
    """A parent run, and of each airport a run, the model it made and a version of it."""
    client, experiment = registry.client, registry.experiment_id
    parent = client.create_run(experiment, tags={"run_key": run_key, "kind": "fleet"}).info.run_id
    for number in range(airports):
        tags = {"run_key": run_key, "kind": "airport", "mlflow.parentRunId": parent}
        run_id = client.create_run(experiment, tags=tags).info.run_id
        made = client.create_logged_model(experiment, name="model", source_run_id=run_id)
        name = f"{fleet}.A{number}"
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        tags = {"run_key": run_key, "idem_key": f"{run_key}/A{number}"}
        client.create_model_version(name, made.artifact_location, run_id, tags=tags, model_id=made.model_id)


def everything(registry: Registry) -> dict[str, Any]:
    client, experiment = registry.client, registry.experiment_id
    return {
        "runs": {run.info.run_id for run in client.search_runs([experiment])},
        "models": {model.model_id for model in client.search_logged_models([experiment])},
        "versions": {(v.name, int(v.version)) for v in client.search_model_versions() if v.name.startswith("one.")},
    }


def test_all_of_a_run_key_goes_over_many_pages_and_nothing_of_another(registry: Registry) -> None:
    register(registry, "one", "one-k-r0", 5)
    others = everything(registry)
    register(registry, "one", "one-k-r1", 5)
    found = retention.find(registry, "one-k-r1", [])
    assert (len(found.versions), len(found.runs)) == (5, 6)
    retention.remove(registry, found)
    assert everything(registry) == others
    retention.remove(registry, found)  # as after a crash before it was noted
    assert retention.find(registry, "one-k-r1", []) == retention.Found((), ())
    assert everything(registry) == others


def test_a_version_that_is_kept_keeps_its_run_its_model_and_the_run_above(registry: Registry) -> None:
    register(registry, "one", "one-k-r2", 3)
    kept = retention.find(registry, "one-k-r2", []).versions[1]
    retention.remove(registry, retention.find(registry, "one-k-r2", [kept]))
    left = everything(registry)
    assert (len(left["runs"]), len(left["models"])) == (2, 1)
    assert retention.find(registry, "one-k-r2", []).versions == (kept,)


def test_the_aliases_of_a_fleet_are_not_those_of_one_whose_name_is_like_it(registry: Registry) -> None:
    register(registry, "a_b", "a_b-k-r0", 3)
    register(registry, "axb", "axb-k-r0", 1)
    for model, alias in (
        ("a_b.A0", "champion"),
        ("a_b.A0", "previous"),
        ("a_b.A2", "champion"),
        ("axb.A0", "champion"),
    ):
        registry.set_alias(model, alias, 1)
    assert retention.aliased(registry, "a_b") == {("a_b.A0", 1): ("champion", "previous"), ("a_b.A2", 1): ("champion",)}
    assert retention.release_of(registry, ("a_b.A0", 1)) == "a_b-k-r0/A0"


def test_trials_are_found_by_fleet_and_by_when_they_began(registry: Registry) -> None:
    old, new = pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2020-03-01", tz="UTC")
    made = {}
    for run_key, kind, began in (
        ("a_b-k-r0", "trial", old),
        ("a_b-k-r1", "trial", old),
        ("a_b-k-r2", "trial", old),
        ("a_b-k-r0", "trial", new),
        ("a_b-k-r0", "airport", old),
        ("axb-k-r0", "trial", old),
    ):
        start = int(began.timestamp() * 1000)
        tags = {"kind": kind, "run_key": run_key}
        run = registry.client.create_run(registry.experiment_id, start_time=start, tags=tags)
        made[run_key, kind, began] = run.info.run_id
    found = retention.trial_runs(registry, "a_b", pd.Timestamp("2020-02-01", tz="UTC"))
    assert found == {made[f"a_b-k-r{n}", "trial", old]: f"a_b-k-r{n}" for n in range(3)}
    retention.remove_runs(registry, list(found))
    assert retention.trial_runs(registry, "a_b", pd.Timestamp("2020-02-01", tz="UTC")) == {}
    assert len(everything(registry)["runs"]) == 3


def test_a_server_that_does_not_answer_is_told(registry: Registry, tmp_path: Path) -> None:
    from paxcast.core.errors import InfrastructureError

    registry.client = type(registry.client)("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(InfrastructureError, match="Check that it runs"):
        retention.aliased(registry, "one")
