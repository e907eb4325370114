"""The three ways to run a search: the same line, the same outcome in the ledger, and what each is for."""

from collections.abc import Callable
from typing import Any

import mlflow
import pandas as pd
import pytest

from paxcast.core.calendar import parse_as_of
from paxcast.jobs import plan, register
from paxcast.jobs import retrain as line
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
Make = Callable[..., Any]


def fresh(new_fleet: Make, table: pd.DataFrame, **search: Any) -> Workspace:
    ws = open_workspace(load(new_fleet(table, search=search, batches=1)))
    ingest(ws, NOW)
    return ws


def ask(ws: Workspace, as_of: str = "2020-12-31") -> dict[str, Any]:
    result = line.retrain(ws, Request(as_of=parse_as_of(as_of), request_id=as_of), NOW)
    assert result["failed"] == []
    return result


def outcomes(ws: Workspace, run_key: str) -> dict[str, dict[str, Any]]:
    found = [ws.objects.get(name) for name in ws.objects.names(f"runs/{run_key}/outcomes")]
    return {outcome["airport"]: outcome for outcome in found if outcome}


def test_trials_in_parallel_give_an_outcome_of_the_same_kind_and_a_run_for_each_trial_under_the_airports(
    new_fleet: Make, made_up: Make
) -> None:
    table = made_up(["AAA"], 72, "MS", "2020-12-01")
    ws = fresh(new_fleet, table, mode="spark_trials", parallelism=1, max_evals=1)
    result = ask(ws)
    (outcome,) = outcomes(ws, result["run_key"]).values()
    assert len(outcome["trials"]["prophet"]) == 6  # one, and five for one that runs beside
    plain = fresh(new_fleet, table, mode="local", max_evals=1)
    (other,) = outcomes(plain, ask(plain)["run_key"]).values()
    assert {name: type(value) for name, value in outcome.items()} == {name: type(v) for name, v in other.items()}
    assert trial_runs(plain, "AAA") == []
    losses = [trial["loss"] for trial in outcome["trials"]["prophet"]]
    assert [run.data.metrics["loss"] for run in trial_runs(ws, "AAA")] == pytest.approx(losses)
    register_again(ws, result["run_key"])
    assert len(trial_runs(ws, "AAA")) == 6


def trial_runs(ws: Workspace, airport: str) -> list[Any]:
    """The runs of trials that hang under an airport's run, in order."""
    client = mlflow.MlflowClient(ws.settings.tracking_uri, ws.settings.tracking_uri)
    experiment = client.get_experiment_by_name(ws.settings.experiment)
    (parent,) = client.search_runs([experiment.experiment_id], f"tags.kind = 'airport' and tags.airport = '{airport}'")
    below = f"tags.mlflow.parentRunId = '{parent.info.run_id}'"
    return sorted(client.search_runs([experiment.experiment_id], below), key=lambda run: run.data.tags["idem_key"])


def register_again(ws: Workspace, run_key: str) -> None:
    """As after a crash between the runs and the version: what is logged is logged, the registrations are forgotten."""
    manifest = plan.newest(ws, run_key)
    assert manifest is not None
    registry = register.Registry(ws.settings.tracking_uri, ws.settings.experiment)
    for run in registry.client.search_runs([registry.experiment_id], "tags.kind = 'airport'"):
        registry.client.update_run(run.info.run_id, status="RUNNING")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(register.Registry, "versions", lambda *_: {})
        patch.setattr(register, "_unregistered", lambda _ws, _key, results: list(results))
        register.register_batch(ws, run_key, manifest.manifest_id, 0)


def test_without_spark_no_session_is_opened(new_fleet: Make, made_up: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(conf: dict[str, str]) -> None:
        raise AssertionError("a Spark session was opened")

    monkeypatch.setattr(line.spark, "open_session", never)
    ws = fresh(new_fleet, made_up(["AAA", "BBB"], 60, "MS", "2020-12-01"), mode="local", max_evals=2)
    assert ask(ws)["refitted"] == ["AAA", "BBB"]


def test_a_later_run_tries_its_champions_point_first_and_then_the_fleets(new_fleet: Make, made_up: Make) -> None:
    codes = ["AAA", "BBB", "CCC"]
    ws = fresh(new_fleet, made_up(codes, 72, "MS", "2020-12-01"), mode="local", max_evals=12)
    ask(ws, "2020-11-30")
    later = ask(ws)
    manifest = plan.newest(ws, later["run_key"])
    assert manifest is not None
    (best,) = manifest.warm_starts()
    assert best.candidate == "prophet"
    champions = {code: {c.candidate: c.parameters for c in manifest.champions(code)} for code in codes}
    assert any("prophet" in members for members in champions.values())
    for code, outcome in outcomes(ws, later["run_key"]).items():
        own = [champions[code]["prophet"]] if "prophet" in champions[code] else []
        first = [*own, *([best.parameters] if best.parameters not in own else [])]
        assert [trial["parameters"] for trial in outcome["trials"]["prophet"]][: len(first)] == first


def test_an_outcome_says_what_fitted_it_and_why_not_the_exact_engine(new_fleet: Make, made_up: Make) -> None:
    table = made_up(["AAA"], 60, "MS", "2020-12-01")
    table["passengers"] += 200 * table.index  # growth, of which last year's value knows nothing
    space = {"changepoint_prior_scale": {"loguniform": [0.001, 0.5]}}
    ws = fresh(new_fleet, table, mode="local", max_evals=6, space=space)
    (outcome,) = outcomes(ws, ask(ws)["run_key"]).values()
    assert {e["candidate"]: e["fitted_by"] for e in outcome["entrants"]}["prophet"] == {
        "recent@2017-12-01": "CmdStan: 24 periods for 40 parameters",
        "recent@2018-12-01": "CmdStan: 36 periods for 47 parameters",
        "test@2019-12-01": "exact mode",
        "published": "exact mode",
    }
