"""The whole line on small monthly fleets: real Spark, real MLflow on sqlite, a real store. One run, many questions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import FutureDataRead, UnknownAirports
from paxcast.jobs import forecast, histories, ledger, releases
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
    path = new_fleet(with_bad(made_up(CODES, 74, "MS", "2021-02-01")))
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
    ignored = {"run_key", "seconds", "batch"}
    first, second = ({k: v for k, v in values.items() if k not in ignored} for values in pair)
    assert first == second


def test_what_mlflow_holds_is_a_real_prophet_or_a_plain_naive_that_forecasts_the_same(line: Line) -> None:
    uri = line.ws.settings.tracking_uri
    mlflow.set_tracking_uri(uri)
    release = releases.load(line.ws, line.result["release"])
    assert release is not None
    rows = forecast.forecasts(line.ws, release)
    for entry in release.entries:
        mine = rows[rows["airport"] == entry.airport]
        model = mlflow.pyfunc.load_model(f"models:/{entry.model}/{entry.version}")
        predicted = model.predict(pd.DataFrame({"ds": mine["ds"]}))["yhat"].clip(lower=0)
        assert predicted.to_numpy() == pytest.approx(mine["yhat"].to_numpy(), rel=1e-9)


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
    assert run.data.metrics["test_mase"] > 0
    assert len(client.get_metric_history(run.info.run_id, "search_loss")) == 3
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.metrics["ok"] == 3
    assert {f.path for f in client.list_artifacts(run.info.run_id)} >= {"points.csv", "trials.csv", "forecast.csv"}


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
