"""The whole line on small monthly fleets: real Spark, real MLflow on sqlite, a real store. One run, many questions."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from typer.testing import CliRunner

from paxcast import cli
from paxcast.core import composition
from paxcast.core.calendar import parse_as_of
from paxcast.core.combination import RULES
from paxcast.core.errors import FutureDataRead, UnknownAirports
from paxcast.core.outcome import evaluation_of
from paxcast.jobs import decide, forecast, histories, ledger, releases
from paxcast.jobs.ingest import ingest
from paxcast.jobs.retrain import retrain
from paxcast.jobs.run import Request
from paxcast.jobs.status import status
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
LATER = pd.Timestamp("2021-04-01T12:00", tz="UTC")
AS_OF = parse_as_of("2020-12-31")
CODES = ["AAA", "BBB", "CCC"]
DECIDED = ("method", "rule", "weights", "parameters", "cv_mase", "mase", "confidence", "forecast")
CANDIDATES = ["seasonal_naive", "auto_theta", "mstl", "prophet", "anchored_prophet"]
Make = Callable[..., Any]


@dataclass
class Line:
    """A fleet on which the line ran once as of the end of 2020, with one airport that cannot be forecast."""

    ws: Workspace
    path: Path
    result: dict[str, Any]


def ask(ws: Workspace, as_of: pd.Timestamp = AS_OF, now: pd.Timestamp = NOW, **wanted: Any) -> dict[str, Any]:
    return retrain(ws, Request(as_of=as_of, request_id=f"{as_of}{wanted}", **wanted), now)


def with_bad(table: pd.DataFrame) -> pd.DataFrame:
    bad = table[table["airport"] == "AAA"].assign(airport="BAD").iloc[-3:]
    return pd.concat([table, bad])


@pytest.fixture(scope="module")
def line(new_fleet: Make, made_up: Make) -> Line:
    table = with_bad(made_up(CODES, 74, "MS", "2021-02-01"))
    path = new_fleet(table, candidates=CANDIDATES, folds={"recent": 2, "earlier_years": 1})
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    return Line(ws, path, ask(ws))


def outcome_bytes(ws: Workspace) -> dict[str, Any]:
    return {name: ws.objects.get(name) for name in ws.objects.names("runs") if "/outcomes/" in name}


def test_good_airports_are_forecast_and_the_bad_one_is_quarantined_with_its_reason(line: Line) -> None:
    assert line.result["refitted"] == CODES
    assert line.result["kept"] == line.result["failed"] == []
    assert [q["airport"] for q in line.result["quarantined"]] == ["BAD"]
    rows = {row["airport"]: row for row in status(line.ws)}
    assert {a: rows[a]["status"] for a in rows} == {"AAA": "ok", "BBB": "ok", "CCC": "ok", "BAD": "quarantined"}
    assert rows["AAA"]["version"] == 1
    assert rows["AAA"]["mase_naive"] > 0
    assert {rows[a]["method"] for a in CODES} <= {"combination", *CANDIDATES}
    assert rows["BAD"]["reason"]


def test_the_published_forecast_starts_after_the_last_known_month_and_has_ordered_intervals(line: Line) -> None:
    release = releases.current(line.ws)
    assert release is not None
    rows = forecast.forecasts(line.ws, release)
    assert sorted(rows["airport"].unique()) == CODES
    first = rows.groupby("airport")["ds"].agg(["min", "max", "count"])
    assert (first["min"] == pd.Timestamp("2021-01-01")).all()
    assert (first["max"] == pd.Timestamp("2021-12-01")).all()
    assert (first["count"] == 12).all()
    ordered = rows[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()
    assert (ordered[:, :-1] <= ordered[:, 1:]).all()
    assert (ordered >= 0).all()


def test_a_second_run_refits_nothing_and_makes_no_second_version(line: Line) -> None:
    before, release = outcome_bytes(line.ws), releases.current(line.ws)
    again = ask(line.ws, now=LATER)
    assert again["refitted"] == []
    assert again["kept"] == CODES
    assert outcome_bytes(line.ws) == before
    assert releases.current(line.ws) == release
    client = mlflow.MlflowClient(line.ws.settings.tracking_uri, line.ws.settings.tracking_uri)
    assert {a: len(client.search_model_versions(f"name = 'small.{a}'")) for a in CODES} == dict.fromkeys(CODES, 1)
    assert len(client.search_model_versions("name = 'small.release'")) == 1


def test_a_forced_run_refits_with_the_same_numbers_under_another_revision(line: Line) -> None:
    forced = ask(line.ws, now=LATER, force=True, airports=("BBB",))
    assert forced["refitted"] == ["BBB"]
    assert forced["run_key"].endswith("-r1")
    pair = [
        next(v for n, v in outcome_bytes(line.ws).items() if f"{key}/" in n and "BBB-" in n)
        for key in (line.result["run_key"], forced["run_key"])
    ]
    ignored = {"run_key", "seconds", "memory_mb", "batch"}
    first, second = ({k: v for k, v in values.items() if k not in ignored} for values in pair)
    assert first == second
    keys = line.result["run_key"], forced["run_key"]
    one, two = (decide.read(line.ws, [key]).set_index("airport").loc["BBB", list(DECIDED)] for key in keys)
    assert one.to_dict() == two.to_dict()


def test_what_is_published_is_what_was_decided_to_the_last_digit(line: Line) -> None:
    shown = CliRunner().invoke(cli.app, ["--config", str(line.path), "forecast", "--json"], catch_exceptions=False)
    by_airport: dict[str, list[dict[str, Any]]] = {}
    for row in json.loads(shown.stdout):
        by_airport.setdefault(row["airport"], []).append(row)
    current = releases.current(line.ws)
    assert current is not None
    decided = decide.read(line.ws, [e.run_key for e in current.entries])
    keys = {(e.run_key, e.airport, e.checksum) for e in current.entries}
    decided = decided[[key in keys for key in decided[decide.KEY].itertuples(index=False, name=None)]]
    assert sorted(decided["airport"]) == sorted(by_airport) == CODES
    for row in decided.itertuples():
        mine = by_airport[str(row.airport)]
        told = {name: [step[name] for step in mine] for name in ("ds", *decide.STEP)}
        assert told == json.loads(str(row.forecast))
        assert {step["confidence"] for step in mine} == {row.confidence}


def test_the_registered_model_of_an_airport_forecasts_what_was_decided_and_under_any_rule_by_parameter(
    line: Line,
) -> None:
    mlflow.set_tracking_uri(line.ws.settings.tracking_uri)
    release = releases.load(line.ws, line.result["release"])
    assert release is not None
    rows = forecast.forecasts(line.ws, release)
    decided = decide.read(line.ws, [line.result["run_key"]]).set_index("airport")
    for entry in release.entries:
        result = ledger.load(line.ws.objects, entry.run_key, entry.airport, entry.checksum)
        assert result is not None
        mine = rows[rows["airport"] == entry.airport]
        asked = pd.DataFrame({"ds": mine["ds"]})
        model = mlflow.pyfunc.load_model(f"models:/{entry.model}/{entry.version}")
        published = model.predict(asked, params={"rule": decided.loc[entry.airport, "rule"]})["yhat"]
        assert published.to_numpy() == pytest.approx(mine["yhat"].to_numpy(), rel=1e-6)
        for rule in RULES:
            expected = composition.compose(evaluation_of(result), rule).forecast
            assert model.predict(asked, params={"rule": rule})["yhat"].to_numpy() == pytest.approx(expected, rel=1e-6)
        usual = composition.compose(evaluation_of(result), composition.FIRST_RULE).forecast
        assert model.predict(asked)["yhat"].to_numpy() == pytest.approx(usual, rel=1e-6)


def test_the_release_model_serves_every_airport_and_aliases_point_at_what_is_in_force(line: Line) -> None:
    mlflow.set_tracking_uri(line.ws.settings.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/small.release@champion")
    asked = pd.DataFrame({"airport": ["CCC", "AAA"], "ds": pd.to_datetime(["2021-02-01", "2021-01-01"])})
    answer = model.predict(asked)
    release = releases.current(line.ws)
    assert release is not None
    rows = forecast.forecasts(line.ws, release).set_index(["airport", "ds"])
    pairs = zip(asked["airport"], asked["ds"], strict=True)
    assert answer["yhat"].tolist() == [rows.loc[pair, "yhat"] for pair in pairs]
    client = mlflow.MlflowClient()
    for entry in release.entries:
        assert int(client.get_model_version_by_alias(entry.model, "champion").version) == entry.version


def test_runs_can_be_found_by_airport_and_carry_params_metrics_and_the_search(line: Line) -> None:
    client = mlflow.MlflowClient(line.ws.settings.tracking_uri, line.ws.settings.tracking_uri)
    experiment = client.get_experiment_by_name("paxcast-small")
    query = f"tags.airport = 'AAA' and tags.run_key = '{line.result['run_key']}'"
    (run,) = client.search_runs([experiment.experiment_id], query)
    assert run.data.tags["as_of"] == "2020-12-31"
    assert run.data.tags["data_version"] == "0"
    wanted = {f"{kind}.{name}" for kind in ("cv_mase", "test_mase") for name in CANDIDATES}
    wanted |= {f"{kind}.rule.{rule}" for kind in ("cv_mase", "test_mase") for rule in RULES}
    assert {name: run.data.metrics.get(name, 0) > 0 for name in wanted} == dict.fromkeys(wanted, True)
    decided = decide.read(line.ws, [line.result["run_key"]]).set_index("airport").loc["AAA"]
    assert run.data.metrics[f"test_mase.rule.{decided['rule']}"] == pytest.approx(decided["mase"])
    assert run.data.metrics["test_mase.seasonal_naive"] == pytest.approx(decided["mase_naive"])
    for name in ("prophet", "anchored_prophet"):
        assert len(client.get_metric_history(run.info.run_id, f"search_loss.{name}")) == 3
        assert run.data.params[f"{name}.changepoint_prior_scale"]
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.metrics["ok"] == 3
    assert {f.path for f in client.list_artifacts(run.info.run_id)} >= {"points.csv", "trials.csv"}


def test_the_table_of_points_holds_what_the_errors_are_made_of(line: Line) -> None:
    uri = line.ws.settings.tracking_uri
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name("paxcast-small")
    query = f"tags.airport = 'CCC' and tags.run_key = '{line.result['run_key']}'"
    (run,) = client.search_runs([experiment.experiment_id], query)
    points = pd.read_csv(client.download_artifacts(run.info.run_id, "points.csv"))
    scale = ledger.load(line.ws.objects, line.result["run_key"], "CCC", run.data.tags["checksum"]).test["scale"]  # type: ignore[union-attr]
    test = points[points["split"] == "test@2019-12-01"]
    assert test["ds"].tolist() == [f"2020-{month:02d}-01" for month in range(1, 13)]
    for name in [*CANDIDATES, *(f"rule.{rule}" for rule in RULES)]:
        error = (test["y"] - test[name]).abs().mean() / scale
        assert error == pytest.approx(run.data.metrics[f"test_mase.{name}"]), name
    ahead = points[points["split"] == "forecast"]
    assert ahead["ds"].tolist() == [f"2021-{month:02d}-01" for month in range(1, 13)]
    assert ahead["y"].isna().all()
    assert ahead["seasonal_naive"].tolist() == test["y"].tolist()  # last year's values


def test_nothing_known_later_is_read(line: Line) -> None:
    rows = histories.known_rows(line.ws, AS_OF, line.ws.tables.version("observations"))
    assert rows["ds"].max() == pd.Timestamp("2020-12-01")
    later = histories.known_rows(line.ws, parse_as_of("2021-02-28"), line.ws.tables.version("observations"))
    assert later["ds"].max() == pd.Timestamp("2021-02-01")


def test_a_store_that_gives_a_row_of_the_future_stops_the_run(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "known", lambda rows, as_of: rows)
    monkeypatch.setattr(type(line.ws.tables), "read", _without_time(type(line.ws.tables).read))
    with pytest.raises(FutureDataRead, match=r"AAA: the observation of 2021-01-01 is known only from"):
        histories.known_rows(line.ws, AS_OF, 0)


def _without_time(read: Make) -> Make:
    def leaking(self: Any, table: str, filters: list[Any], *rest: Any) -> Any:
        return read(self, table, [f for f in filters if f[0] != "known_at"], *rest)

    return leaking


def test_an_airport_nobody_knows_is_refused_by_name(line: Line) -> None:
    with pytest.raises(UnknownAirports, match="ZZZ"):
        ask(line.ws, airports=("AAA", "ZZZ"))


def test_the_page_of_charts_stands_in_the_store(line: Line) -> None:
    root = Path(line.ws.settings.store_root) / "objects" / "reports"
    page = (root / line.result["run_key"] / "index.html").read_text()
    assert "AAA" in page
    assert "BAD" in page
    assert (root / "plotly.min.js").stat().st_size > 1_000_000


def test_a_dry_run_says_who_would_be_forecast_and_writes_nothing(line: Line) -> None:
    root = Path(line.ws.settings.store_root)
    before = sorted(str(p) for p in root.rglob("*"))
    result = ask(line.ws, parse_as_of("2020-06-30"), dry_run=True)
    assert result["planned"] == CODES
    assert sorted(str(p) for p in root.rglob("*")) == before


def test_the_ledger_accounts_for_every_airport_and_every_row(line: Line) -> None:
    rows = ledger.newest(line.ws, line.result["run_key"])
    assert rows["status"].value_counts().to_dict() == {"ok": 3, "quarantined": 1}
    quality = line.ws.tables.read("quality", [("run_key", "=", line.result["run_key"])])
    assert (quality["rows_known"] == quality["rows_used"] + quality["rows_quarantined"]).all()
    known = histories.known_rows(line.ws, AS_OF, 0)
    assert quality["rows_known"].sum() == len(known)
