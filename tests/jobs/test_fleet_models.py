"""The fleet's model in the line: trained once a run, in one Spark task, for its airports; or not at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.adapters import spark
from paxcast.adapters.spark import PackedHistory
from paxcast.core.calendar import parse_as_of
from paxcast.core.choice import Promotion
from paxcast.core.treatment import Rules
from paxcast.core.tuning import TuningTask
from paxcast.jobs import fleet_models, forecast, releases
from paxcast.jobs.backtest import backtest
from paxcast.jobs.fleet_models import FleetTraining
from paxcast.jobs.ingest import ingest
from paxcast.jobs.retrain import retrain
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = ["AAA", "BBB", "CCC"]
ENDS = [
    "2016-12-01",
    "2017-12-01",
    "2018-12-01",
    "2019-12-01",
    "2020-12-01",
]  # of 72 months: no fold before two years
Make = Callable[..., Any]
TASK = TuningTask(
    horizon=12,
    candidates=("fleet_gbm",),
    space=(),
    max_evals=1,
    seconds=60,
    recent_folds=1,
    earlier_year_folds=0,
    promotion=Promotion(0.02),
    seed=1,
)


def fresh(new_fleet: Make, table: pd.DataFrame, *candidates: str, **settings: Any) -> tuple[Workspace, Path]:
    names = ["seasonal_naive", "window_average", *candidates]
    path = new_fleet(table, candidates=names, **{"search": {"mode": "local"}, **settings})
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    return ws, path


def ask(ws: Workspace, **wanted: Any) -> dict[str, Any]:
    result = retrain(ws, Request(as_of=parse_as_of("2020-12-31"), request_id=f"{wanted}", **wanted), NOW)
    assert result["failed"] == []
    return result


def kept(ws: Workspace, run_key: str) -> list[Any]:
    return [ws.objects.get(name) for name in ws.objects.names(f"runs/{run_key}/fleet_models")]


def entrants(ws: Workspace, run_key: str) -> dict[str, dict[str, Any]]:
    found = [ws.objects.get(name) for name in ws.objects.names(f"runs/{run_key}/outcomes")]
    return {o["airport"]: {e["candidate"]: e for e in o["entrants"]} for o in found if o}


def test_it_is_trained_once_for_all_batches_and_competes_with_what_it_forecast(new_fleet: Make, made_up: Make) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 72, "MS", "2020-12-01"), "fleet_gbm")
    result = ask(ws)
    (made,) = kept(ws, result["run_key"])
    assert sorted(made) == CODES
    assert {tuple(sorted(by_cutoff)) for by_cutoff in made.values()} == {tuple(ENDS)}
    for code, competing in entrants(ws, result["run_key"]).items():
        mine = competing["fleet_gbm"]
        assert mine["competes"]
        assert mine["forecast"] == pytest.approx(made[code]["2020-12-01"], rel=1e-9)
        assert mine["test"] == pytest.approx(made[code]["2019-12-01"], rel=1e-9)
        assert mine["folds"] == [pytest.approx(made[code][end], rel=1e-9) for end in ENDS[:3]]
    release = releases.current(ws)
    assert release is not None
    assert len(forecast.forecasts(ws, release)) == 36


def test_nothing_of_it_is_there_unless_it_is_asked_for(new_fleet: Make, made_up: Make) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES[:1], 72, "MS", "2020-12-01"))
    result = ask(ws)
    assert kept(ws, result["run_key"]) == []
    assert "fleet_gbm" not in entrants(ws, result["run_key"])["AAA"]


def test_one_airport_asked_for_by_name_is_forecast_by_the_model_of_them_all(new_fleet: Make, made_up: Make) -> None:
    table = made_up(CODES, 72, "MS", "2020-12-01")
    whole, _ = fresh(new_fleet, table, "fleet_gbm")
    some, _ = fresh(new_fleet, table, "fleet_gbm")
    everyone, one = (entrants(ws, ask(ws, **w)["run_key"]) for ws, w in ((whole, {}), (some, {"airports": ("BBB",)})))
    assert list(one) == ["BBB"]
    assert one["BBB"]["fleet_gbm"] == everyone["BBB"]["fleet_gbm"]


def test_a_restatement_under_the_same_run_key_trains_anew(new_fleet: Make, made_up: Make) -> None:
    table = made_up(CODES, 72, "MS", "2020-12-01")
    ws, path = fresh(new_fleet, table, "fleet_gbm")
    first = ask(ws)
    table.loc[table["airport"].eq("BBB") & table["date"].eq("2020-12-01"), "passengers"] *= 1.5
    table.to_csv(path.with_suffix(".csv"), index=False)
    ingest(ws, pd.Timestamp("2021-04-01", tz="UTC"), known_at=parse_as_of("2020-12-31"))
    before = entrants(ws, first["run_key"])
    second = ask(ws)
    assert (second["run_key"], second["refitted"]) == (first["run_key"], ["BBB"])
    assert len(kept(ws, first["run_key"])) == 2
    names = [n for n in ws.objects.names(f"runs/{first['run_key']}/outcomes") if "/BBB-" in n]
    found = [{e["candidate"]: e["forecast"] for e in ws.objects.get(name)["entrants"]} for name in names]
    assert before["BBB"]["fleet_gbm"]["forecast"] in [f["fleet_gbm"] for f in found]
    assert found[0]["fleet_gbm"] != found[1]["fleet_gbm"]


def test_one_spark_task_says_the_same_as_this_process(spark_session: Any) -> None:
    histories = [packed(code, at) for at, code in enumerate(CODES)]
    training = FleetTraining(frequency="MS", task=TASK, rules=dict.fromkeys(CODES, Rules(absent="missing")))
    assert spark.in_one_task(spark_session, histories, training, 300) == training(histories)


def packed(code: str, at: int) -> PackedHistory:
    months = np.arange("2015-01", "2021-01", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int64)
    season = 1 + 0.2 * np.sin(2 * np.pi * np.arange(len(months)) / 12 + at)
    return PackedHistory(code, code, months, 1000.0 * season * np.random.default_rng(at).normal(1, 0.05, len(months)))


def test_an_airport_whose_rows_lie_on_no_grid_leaves_the_others_as_they_are() -> None:
    histories = [packed(code, at) for at, code in enumerate(CODES)]
    training = FleetTraining(frequency="MS", task=TASK, rules=dict.fromkeys([*CODES, "OFF"], Rules()))
    off = replace(packed("OFF", 5), days=histories[0].days + 3)
    assert training([*histories, off]) == training(histories)


def test_a_backtest_has_it_among_its_methods(new_fleet: Make, made_up: Make, tmp_path: Path) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 84, "MS", "2020-12-01"), "fleet_gbm")
    backtest(ws, None, ["2019-12-01"], 12, tmp_path)
    rows = pd.read_parquet(tmp_path / "forecasts.parquet")
    mine = rows[rows["method"].eq("fleet_gbm")]
    assert sorted(mine["airport"].unique()) == CODES
    (name,) = [n for n in ws.objects.names("runs") if "/fleet_models/" in n]
    made = ws.objects.get(name)
    assert mine.loc[mine["airport"].eq("AAA"), "yhat"].tolist() == pytest.approx(made["AAA"]["2019-12-01"], rel=1e-9)


def test_nothing_is_read_where_no_task_asks_for_it(ws: Workspace) -> None:
    def read() -> list[PackedHistory]:
        raise AssertionError("it was read")

    assert fleet_models.given(ws, None, "key", "MS", {}, read) == {}
