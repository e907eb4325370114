"""What a second run does after something changed: data, time, configuration, a fault that went away."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from paxcast.core import composition
from paxcast.core.calendar import parse_as_of
from paxcast.core.tuning import TuningTask
from paxcast.jobs import decide, ledger, releases, tune
from paxcast.jobs.forecast import forecasts
from paxcast.jobs.ingest import ingest
from paxcast.jobs.retrain import retrain
from paxcast.jobs.run import Request
from paxcast.jobs.status import status
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
AS_OF = parse_as_of("2020-12-31")
CODES = ["AAA", "BBB", "CCC"]
Make = Callable[..., Any]


def ask(ws: Workspace, as_of: str = "2020-12-31", **wanted: Any) -> dict[str, Any]:
    return retrain(ws, Request(as_of=parse_as_of(as_of), request_id=f"{as_of}{wanted}", **wanted), NOW)


def fresh(new_fleet: Make, table: pd.DataFrame, **settings: Any) -> tuple[Workspace, Path]:
    path = new_fleet(table, **settings)
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    return ws, path


def decisions(ws: Workspace, run_key: str) -> pd.DataFrame:
    return decide.read(ws, [run_key]).set_index("airport").sort_index()


def published(ws: Workspace) -> pd.DataFrame:
    """The forecasts in force."""
    release = releases.current(ws)
    assert release is not None
    return forecasts(ws, release)


def widths(rows: pd.DataFrame) -> dict[str, float]:
    """The mean width of the 80 % intervals of each airport."""
    return {str(code): float((own["hi80"] - own["lo80"]).mean()) for code, own in rows.groupby("airport")}


def wider(pool: dict[str, Any]) -> dict[str, Any]:
    """Twice as wide."""
    return {**pool, "quantiles": {level: [2 * q for q in values] for level, values in pool["quantiles"].items()}}


def test_a_restatement_refits_exactly_the_airports_that_it_changed(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    table = made_up(CODES, 40, "MS", "2020-12-01")
    ws, path = fresh(new_fleet, table)
    first = ask(ws)
    changed = table.copy()
    changed.loc[changed["airport"].eq("BBB") & changed["date"].eq("2020-06-01"), "passengers"] += 7
    changed.to_csv(path.with_suffix(".csv"), index=False)
    report = ingest(ws, pd.Timestamp("2021-04-01", tz="UTC"), known_at=parse_as_of("2020-12-15"))
    assert report.changed == ["BBB"]
    second = ask(ws)
    assert second["run_key"] == first["run_key"]
    assert second["refitted"] == ["BBB"]
    assert second["kept"] == ["AAA", "CCC"]
    versions = {row["airport"]: row["version"] for row in status(ws)}
    assert versions == {"AAA": 1, "BBB": 2, "CCC": 1}


def test_a_restatement_that_was_not_known_yet_changes_no_past_run(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    table = made_up(CODES, 40, "MS", "2020-12-01")
    ws, path = fresh(new_fleet, table)
    ask(ws)
    table.assign(passengers=table["passengers"] + 1).to_csv(path.with_suffix(".csv"), index=False)
    assert ingest(ws, pd.Timestamp("2021-04-01", tz="UTC")).changed == CODES
    assert ask(ws)["refitted"] == []


def test_an_older_run_registers_versions_but_moves_no_alias_and_no_pointer(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    ws, _ = fresh(new_fleet, made_up(["AAA", "BBB"], 60, "MS", "2020-12-01"))
    newest = ask(ws)
    older = ask(ws, "2020-10-31", backfill=True)
    assert older["refitted"] == ["AAA", "BBB"]
    current = releases.current(ws)
    assert current is not None
    assert current.release_id == newest["release"]
    client = mlflow.MlflowClient(ws.settings.tracking_uri, ws.settings.tracking_uri)
    assert len(client.search_model_versions("name = 'small.AAA'")) == 2
    assert client.get_model_version_by_alias("small.AAA", "champion").tags["as_of"] == "2020-12-31"
    assert releases.in_force(ws, parse_as_of("2020-11-30")).release_id == older["release"]


def test_a_later_run_starts_from_the_champion_and_keeps_its_older_release(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    ws, _ = fresh(new_fleet, made_up(["AAA", "BBB"], 60, "MS", "2020-12-01"))
    first = ask(ws, "2020-11-30")
    second = ask(ws, "2020-12-31")
    context = ws.objects.get(f"runs/{second['run_key']}/context.json")
    assert context["previous_release"] == first["release"]
    client = mlflow.MlflowClient(ws.settings.tracking_uri, ws.settings.tracking_uri)
    assert int(client.get_model_version_by_alias("small.AAA", "champion").version) == 2
    assert int(client.get_model_version_by_alias("small.AAA", "previous").version) == 1
    assert releases.load(ws, first["release"]) is not None


def test_runs_over_different_airports_of_one_date_add_up(new_fleet: Make, made_up: Make, without_spark: None) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 40, "MS", "2020-12-01"))
    ask(ws, airports=("AAA",))
    assert {r["airport"]: r["status"] for r in status(ws)} == {"AAA": "ok", "BBB": "never", "CCC": "never"}
    result = ask(ws, airports=("BBB",), max_evals=2)
    current = releases.current(ws)
    assert current is not None
    assert sorted(current.by_airport()) == ["AAA", "BBB"]
    assert current.release_id == result["release"]


def test_some_airports_of_a_later_date_are_decided_by_the_rule_and_the_errors_of_the_whole_fleet_before(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 60, "MS", "2020-12-01"), candidates=["seasonal_naive", "window_average"])
    whole = ask(ws, "2020-11-30")
    part = ask(ws, airports=("BBB",))
    shared = ws.objects.get(f"runs/{whole['run_key']}/fleet.json")
    assert shared["airports"] == 3
    assert ws.objects.get(f"runs/{part['run_key']}/fleet.json") is None
    assert decisions(ws, part["run_key"]).loc["BBB", "rule"] == shared["rule"]
    width = widths(published(ws))["BBB"]
    ws.objects.put(f"runs/{whole['run_key']}/fleet.json", {**shared, "pool": wider(shared["pool"])})  # on purpose
    forced = ask(ws, airports=("BBB",), force=True)
    assert forced["release"] != part["release"]
    assert widths(published(ws))["BBB"] == pytest.approx(2 * width)
    later = ask(ws)
    assert later["run_key"] == forced["run_key"]
    assert (later["refitted"], later["kept"]) == (["AAA", "CCC"], ["BBB"])
    assert ws.objects.get(f"runs/{later['run_key']}/fleet.json")["airports"] == 3


def test_runs_over_some_airports_publish_the_same_in_any_order_and_leave_no_trace_in_the_whole_fleets(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    table = made_up(CODES, 60, "MS", "2020-12-01")

    def after(*runs: tuple[str, ...]) -> pd.DataFrame:
        ws, _ = fresh(new_fleet, table, candidates=["seasonal_naive", "window_average", "seasonal_growth"])
        for airports in runs:
            result = ask(ws, airports=airports)
        again = ask(ws, airports=runs[-1])
        assert (again["release"], again["refitted"]) == (result["release"], [])
        return published(ws).drop(columns=["run_key", "bucket"])

    one, other = after(("AAA",), ("CCC",)), after(("CCC",), ("AAA",))
    pd.testing.assert_frame_equal(one, other)
    pd.testing.assert_frame_equal(after(("AAA", "CCC")), one.assign(version=1))
    whole, later = after(()), after(("CCC",), ("AAA",), ())
    pd.testing.assert_frame_equal(later, whole)
    assert (widths(one)["AAA"], widths(one)["CCC"]) != (widths(whole)["AAA"], widths(whole)["CCC"])


def test_what_a_run_over_some_airports_published_stays_readable_after_the_whole_fleet_was_decided(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 60, "MS", "2020-12-01"), candidates=["seasonal_naive", "window_average"])
    part = ask(ws, airports=("BBB",))
    before, told = published(ws), status(ws)
    whole = ask(ws)
    release = releases.load(ws, part["release"])
    assert release is not None
    pd.testing.assert_frame_equal(forecasts(ws, release), before)
    assert widths(published(ws))["BBB"] != widths(before)["BBB"]
    assert len(published(ws)) == 3 * len(before)
    assert {row["airport"]: row["version"] for row in status(ws)} == {"AAA": 1, "BBB": 1, "CCC": 1}
    assert {row["airport"]: row["reason"] for row in told}["BBB"].startswith("inverse_square")
    assert whole["kept"] == ["BBB"]


def test_backfills_over_some_airports_decide_the_same_in_any_order(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    table = made_up(["AAA", "BBB"], 72, "MS", "2020-12-01")
    dates = ("2020-06-30", "2020-09-30", "2020-12-31")

    def after(order: tuple[str, ...]) -> list[pd.DataFrame]:
        ws, _ = fresh(new_fleet, table, candidates=["seasonal_naive", "window_average", "seasonal_growth"])
        keys = {as_of: ask(ws, as_of, airports=("AAA",), backfill=True)["run_key"] for as_of in order}
        return [decisions(ws, keys[as_of]) for as_of in dates]

    expected = after(dates)
    assert {rows.loc["AAA", "verdict"] for rows in expected} <= {"first", "naive"}  # none looked at a sibling
    for order in (dates[::-1], (dates[1], dates[2], dates[0])):
        for found, rows in zip(after(order), expected, strict=True):
            pd.testing.assert_frame_equal(found, rows)


def test_the_tag_of_a_version_names_the_rule_that_was_published_and_the_model_forecasts_by_it(
    new_fleet: Make, made_up: Make, without_spark: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["seasonal_naive", "window_average", "seasonal_growth", "weekday_year_ago"]
    ws, _ = fresh(new_fleet, made_up(CODES, 60, "MS", "2020-12-01"), candidates=names)
    monkeypatch.setattr(composition, "fleet_rule", lambda _: ("best", {"best": 1.0}))
    ask(ws, airports=("BBB",))
    client = mlflow.MlflowClient(ws.settings.tracking_uri, ws.settings.tracking_uri)
    assert client.get_model_version("small.BBB", "1").tags["rule"] == "inverse_square"
    ask(ws)
    release = releases.current(ws)
    assert release is not None
    assert {e.rule for e in release.entries} == {"best"}
    assert client.get_model_version_by_alias("small.release", "champion").tags["rule"] == "best"
    mlflow.set_tracking_uri(ws.settings.tracking_uri)
    differs = []
    for entry in release.entries:
        version = client.get_model_version_by_alias(entry.model, "champion")
        shown = forecasts(ws, release, (entry.airport,))
        model, asked = mlflow.pyfunc.load_model(f"models:/{entry.model}@champion"), pd.DataFrame({"ds": shown["ds"]})
        found = model.predict(asked, params={"rule": version.tags["rule"]})["yhat"]
        assert found.to_numpy() == pytest.approx(shown["yhat"].to_numpy(), rel=1e-6)
        differs.append(abs(model.predict(asked)["yhat"].to_numpy() / shown["yhat"].to_numpy() - 1).max())
    assert max(differs) > 0.001


def test_a_pinned_prophet_forecasts_from_the_registry_what_was_published_with_its_calendar_effects(
    new_fleet: Make, made_up: Make, without_spark: None
) -> None:
    settings = {"overrides": {"AAA": {"method": "prophet"}}, "candidates": ["seasonal_naive", "window_average"]}
    ws, _ = fresh(new_fleet, made_up(["AAA", "BBB"], 72, "MS", "2020-12-01"), **settings)
    ask(ws)
    release = releases.current(ws)
    assert release is not None
    entry = release.by_airport()["AAA"]
    kept = ledger.load_model(ws.objects, entry.outcome_key, "AAA", entry.checksum)
    assert entry.candidate == "prophet"
    assert json.loads(kept or "")["calendar"] is not None
    mlflow.set_tracking_uri(ws.settings.tracking_uri)
    shown = published(ws)[lambda rows: rows["airport"] == "AAA"]
    found = mlflow.pyfunc.load_model("models:/small.AAA@champion").predict(pd.DataFrame({"ds": shown["ds"]}))["yhat"]
    assert found.to_numpy() == pytest.approx(shown["yhat"].to_numpy(), rel=1e-6)


def test_an_airport_that_hangs_is_failed_and_a_retry_refits_it_alone(
    new_fleet: Make, made_up: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 60, "MS", "2020-12-01"))
    right = tune.task

    def hopeless(ws: Workspace, manifest: Any, airport: str) -> TuningTask:
        from dataclasses import replace

        return replace(right(ws, manifest, airport), **({"seconds": 1e-6} if airport == "BBB" else {}))

    monkeypatch.setattr(tune, "task", hopeless)
    first = ask(ws)
    assert first["refitted"] == ["AAA", "CCC"]
    (failed,) = first["failed"]
    assert failed["airport"] == "BBB"
    assert "raise search.seconds_per_airport" in failed["reason"]
    before = {name: ws.objects.get(name) for name in ws.objects.names(f"runs/{first['run_key']}/outcomes")}
    decided, shown = decisions(ws, first["run_key"]), published(ws)
    monkeypatch.undo()
    second = ask(ws, rerun_failed=True)
    assert second["refitted"] == ["BBB"]
    assert second["failed"] == []
    after = {name: ws.objects.get(name) for name in ws.objects.names(f"runs/{first['run_key']}/outcomes")}
    assert {name: after[name] for name in before} == before
    assert ledger.newest(ws, first["run_key"]).set_index("airport").loc["BBB", "attempt"] == 2
    pd.testing.assert_frame_equal(decisions(ws, first["run_key"]).loc[["AAA", "CCC"]], decided)
    pd.testing.assert_frame_equal(published(ws)[lambda rows: rows["airport"] != "BBB"].reset_index(drop=True), shown)
    current = releases.current(ws)
    assert current is not None
    assert sorted(current.by_airport()) == CODES


def test_weekly_and_inferred_frequencies_go_the_same_way(new_fleet: Make, made_up: Make) -> None:
    ws, _ = fresh(new_fleet, made_up(["AAA", "BBB"], 140, "W", "2020-12-21"))
    result = ask(ws, "2020-12-31")
    assert result["refitted"] == ["AAA", "BBB"]
    release = releases.current(ws)
    assert release is not None
    rows = forecasts(ws, release, ("AAA",))
    assert len(rows) == 13
    assert rows["ds"].iloc[0] == pd.Timestamp("2020-12-28")
    assert set(rows["ds"].dt.day_name()) == {"Monday"}
