"""Against a real MLflow on sqlite; what it holds after a whole line is asked in tests/jobs/test_line.py."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

OPEN = """
import sys, time
from paxcast.adapters.mlflow_registry import Registry
time.sleep(max(0, float(sys.argv[2]) - time.time()))
registry = Registry(sys.argv[1], "paxcast-small")
print(registry.experiment_id, registry.parent_run("small-key", {"fleet": "small"}))
"""


def test_processes_that_touch_a_new_database_at_once_find_the_same_experiment_and_parent(tmp_path: Path) -> None:
    together = str(time.time() + 15)  # by then all have imported MLflow
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/mlflow.db", together]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [process.communicate(timeout=600) for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0], ended
    experiments = {out.split()[0] for out, _ in ended}
    assert experiments == {"1"}


def test_a_parent_run_that_was_made_twice_is_the_same_one_for_everybody_afterwards(tmp_path: Path) -> None:
    from paxcast.adapters.mlflow_registry import Registry

    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "paxcast-small")
    first = registry.parent_run("small-key", {"fleet": "small"})
    tags = {"kind": "fleet", "run_key": "small-key", "idem_key": "small-key"}
    registry.client.create_run(registry.experiment_id, tags=tags)  # another batch, at the same moment
    assert registry.parent_run("small-key", {}) == first


def test_the_fleets_numbers_of_each_rerun_are_a_step_and_a_later_release_can_still_be_logged(tmp_path: Path) -> None:
    from paxcast.adapters.mlflow_registry import Registry

    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "paxcast-small")
    parent = registry.parent_run("small-key", {"fleet": "small"})
    forecasts = tmp_path / "forecasts.parquet"
    forecasts.write_bytes(b"")
    made = []
    for number, failed in enumerate((2.0, 1.0, 0.0)):
        made.append(registry.register_release("small.release", forecasts, parent, f"release-{number}", {}))
        registry.log_fleet(parent, {"failed": failed}, {})
    assert made == [1, 2, 3]
    history = registry.client.get_metric_history(parent, "failed")
    assert [(metric.step, metric.value) for metric in history] == [(0, 2.0), (1, 1.0), (2, 0.0)]


# --- the model of an airport

HORIZON = 12
RULES = ("best", "best_three", "inverse_square", "stacking")


@dataclass(frozen=True)
class Registered:
    """An airport that was tuned and registered: what each candidate forecast, and the weights of each rule."""

    uri: str
    version: str
    forecasts: dict[str, Any]
    weights: dict[str, dict[str, float]]
    ds: "pd.DatetimeIndex"

    def load(self) -> Any:
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        return mlflow.pyfunc.load_model(f"models:/small.AAA/{self.version}")


def under_every_rule(weights: dict[str, float]) -> dict[str, dict[str, float]]:
    return {rule: weights for rule in RULES}


def traffic() -> Any:
    """Ten years of months with growth and noise."""
    at, rng = np.arange(120), np.random.default_rng(3)
    return (1000 + 5 * at) * (1 + 0.3 * np.sin(2 * np.pi * at / 12)) * rng.normal(1, 0.04, 120)


def registered(
    folder: Path, names: tuple[str, ...], weights: Callable[[tuple[str, ...]], dict[str, Any]]
) -> Registered:
    """Tune one airport with these candidates, as a worker does, and register it."""
    from paxcast.adapters.mlflow_registry import AirportRun, Registry
    from paxcast.core import airport_model
    from paxcast.core.candidates.registry import CANDIDATES
    from paxcast.core.choice import Promotion
    from paxcast.core.grid import search
    from paxcast.core.past import Past
    from paxcast.core.treatment import Raw, Rules
    from paxcast.core.tuning import TuningTask, tune

    ds = pd.date_range("2011-01-01", periods=120, freq="MS").to_numpy().astype("datetime64[ns]")
    past = Past(Raw("AAA", "MS", ds, traffic()), Rules(shocks=(), find_shocks=False))
    task = TuningTask(
        horizon=HORIZON, candidates=names, space=(), max_evals=1, seconds=60, recent_folds=1, earlier_year_folds=0,
        promotion=Promotion(0.0), seed=1,
    )  # fmt: skip
    tuned = tune(past, task, CANDIDATES, search)
    made = {e.specification.candidate: e.forecast for e in tuned.entrants}
    by_rule = weights(tuple(made))
    uri = f"sqlite:///{folder}/mlflow.db"
    registry = Registry(uri, "paxcast-small")
    run = AirportRun(
        idem_key="key/AAA/first", model="small.AAA", tags={"run_key": "key"}, params={}, metrics={},
        search_loss={"one": [0.5] * 900, "two": [0.25] * 700},
        tables={}, weights=by_rule, rule="inverse_square", model_json=airport_model.as_text(tuned),
    )  # fmt: skip
    _, version = registry.register(registry.parent_run("key", {}), run, None)
    return Registered(uri, str(version), made, by_rule, tuned.treated.series.next_periods(HORIZON))


@pytest.fixture(scope="module")
def airport(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """Every candidate that there is, each under a rule of its own, and their mean under the usual rule."""
    from paxcast.core.candidate_files import names

    def weights(members: tuple[str, ...]) -> dict[str, Any]:
        mean = {name: 1 / len(members) for name in members}
        return {name: {name: 1.0} for name in members} | under_every_rule(mean)

    return registered(tmp_path_factory.mktemp("every"), names(), weights)


def test_every_candidate_forecasts_from_the_registry_as_it_did_when_it_was_tuned(airport: Registered) -> None:
    model = airport.load()
    assert len(airport.forecasts) > 10
    for name, expected in airport.forecasts.items():
        answer = model.predict(pd.DataFrame({"ds": airport.ds}), params={"rule": name})
        assert answer["ds"].tolist() == airport.ds.tolist()
        assert answer["yhat"].tolist() == [float(f"{value:.10g}") for value in expected], name


def test_beyond_what_was_published_every_candidate_is_fitted_anew_and_begins_as_it_did(airport: Registered) -> None:
    model, beyond = airport.load(), pd.date_range(airport.ds[0], periods=HORIZON + 3, freq="MS")
    for name, expected in airport.forecasts.items():
        if name == "fleet_gbm":  # is given, and reaches no further
            continue
        answer = model.predict(pd.DataFrame({"ds": beyond}), params={"rule": name})["yhat"]
        np.testing.assert_allclose(answer[:HORIZON], expected, rtol=1e-6, err_msg=name)
        assert np.isfinite(answer).all()


def test_without_a_parameter_the_usual_rule_forecasts(airport: Registered) -> None:
    mean = np.mean(list(airport.forecasts.values()), axis=0)
    np.testing.assert_allclose(airport.load().predict(pd.DataFrame({"ds": airport.ds}))["yhat"], mean, rtol=1e-6)


def test_some_periods_in_any_order_are_answered_in_that_order(airport: Registered) -> None:
    model, asked = airport.load(), airport.ds[[7, 0, 3]]
    answer = model.predict(pd.DataFrame({"ds": asked}), params={"rule": "seasonal_naive"})
    assert answer["ds"].tolist() == asked.tolist()
    np.testing.assert_allclose(answer["yhat"], airport.forecasts["seasonal_naive"][[7, 0, 3]], rtol=1e-9)


def test_a_rule_or_a_period_that_the_model_does_not_have_is_told(airport: Registered) -> None:
    model = airport.load()
    with pytest.raises(ValueError, match=r"rule: 'luck' is not one of .*best, .*stacking"):
        model.predict(pd.DataFrame({"ds": airport.ds}), params={"rule": "luck"})
    with pytest.raises(ValueError, match="ds: 2020-12-01 is no period after 2020-12-01, the last this model has seen"):
        model.predict(pd.DataFrame({"ds": pd.to_datetime(["2020-12-01"])}))
    with pytest.raises(ValueError, match="ds: 2021-01-15 is no period after"):
        model.predict(pd.DataFrame({"ds": pd.to_datetime(["2021-01-15", "2021-02-01"])}))


def test_every_loss_of_every_search_is_logged_however_many_there_are(airport: Registered) -> None:
    client = mlflow.MlflowClient(airport.uri, airport.uri)
    run_id = client.get_model_version("small.AAA", airport.version).run_id
    for name, loss, count in (("one", 0.5, 900), ("two", 0.25, 700)):
        found = client.get_metric_history(run_id, f"search_loss.{name}")
        assert [(metric.step, metric.value) for metric in found] == [(step, loss) for step in range(count)]


def test_nothing_in_it_is_pickled(airport: Registered) -> None:
    model = airport.load()
    root = Path(mlflow.artifacts.download_artifacts(f"models:/small.AAA/{airport.version}"))
    assert model.metadata.get_input_schema().input_names() == ["ds"]
    assert [path.name for path in root.rglob("*") if path.suffix in (".pkl", ".pickle", ".joblib")] == []


def test_a_fleet_whose_only_candidate_is_prophet_gets_prophets_own_flavour(tmp_path: Path) -> None:
    alone = registered(tmp_path, ("prophet",), lambda _: under_every_rule({"prophet": 1.0}))
    model = alone.load()
    own = mlflow.prophet.load_model(f"models:/small.AAA/{alone.version}")
    assert type(own).__module__.startswith("prophet")
    np.testing.assert_allclose(
        model.predict(pd.DataFrame({"ds": alone.ds}))["yhat"], alone.forecasts["prophet"], rtol=1e-6
    )
    refused = registered(tmp_path / "gated", ("prophet",), lambda _: under_every_rule({"seasonal_naive": 1.0}))
    answer = refused.load().predict(pd.DataFrame({"ds": alone.ds}))["yhat"]
    np.testing.assert_allclose(answer, refused.forecasts["seasonal_naive"], rtol=1e-9)
