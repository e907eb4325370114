"""What a second run does after something changed: data, time, configuration, a fault that went away."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

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


def test_a_restatement_refits_exactly_the_airports_that_it_changed(new_fleet: Make, made_up: Make) -> None:
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


def test_a_restatement_that_was_not_known_yet_changes_no_past_run(new_fleet: Make, made_up: Make) -> None:
    table = made_up(CODES, 40, "MS", "2020-12-01")
    ws, path = fresh(new_fleet, table)
    ask(ws)
    table.assign(passengers=table["passengers"] + 1).to_csv(path.with_suffix(".csv"), index=False)
    assert ingest(ws, pd.Timestamp("2021-04-01", tz="UTC")).changed == CODES
    assert ask(ws)["refitted"] == []


def test_an_older_run_registers_versions_but_moves_no_alias_and_no_pointer(new_fleet: Make, made_up: Make) -> None:
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


def test_a_later_run_starts_from_the_champion_and_keeps_its_older_release(new_fleet: Make, made_up: Make) -> None:
    ws, _ = fresh(new_fleet, made_up(["AAA", "BBB"], 60, "MS", "2020-12-01"))
    first = ask(ws, "2020-11-30")
    second = ask(ws, "2020-12-31")
    context = ws.objects.get(f"runs/{second['run_key']}/context.json")
    assert context["previous_release"] == first["release"]
    client = mlflow.MlflowClient(ws.settings.tracking_uri, ws.settings.tracking_uri)
    assert int(client.get_model_version_by_alias("small.AAA", "champion").version) == 2
    assert int(client.get_model_version_by_alias("small.AAA", "previous").version) == 1
    assert releases.load(ws, first["release"]) is not None


def test_runs_over_different_airports_of_one_date_add_up(new_fleet: Make, made_up: Make) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 40, "MS", "2020-12-01"))
    ask(ws, airports=("AAA",))
    assert {r["airport"]: r["status"] for r in status(ws)} == {"AAA": "ok", "BBB": "never", "CCC": "never"}
    result = ask(ws, airports=("BBB",), max_evals=2)
    current = releases.current(ws)
    assert current is not None
    assert sorted(current.by_airport()) == ["AAA", "BBB"]
    assert current.release_id == result["release"]


def test_some_airports_of_a_later_date_are_decided_by_the_rule_and_the_errors_of_the_whole_fleet_before(
    new_fleet: Make, made_up: Make
) -> None:
    ws, _ = fresh(new_fleet, made_up(CODES, 60, "MS", "2020-12-01"), candidates=["seasonal_naive", "window_average"])
    whole = ask(ws, "2020-11-30")
    part = ask(ws, airports=("BBB",))
    shared = ws.objects.get(f"runs/{whole['run_key']}/fleet.json")
    assert shared["airports"] == 3
    assert ws.objects.get(f"runs/{part['run_key']}/part.json") == shared
    assert decisions(ws, part["run_key"]).loc["BBB", "rule"] == shared["rule"]
    later = ask(ws)
    assert later["run_key"] == part["run_key"]
    assert (later["refitted"], later["kept"]) == (["AAA", "CCC"], ["BBB"])
    assert ws.objects.get(f"runs/{later['run_key']}/fleet.json")["airports"] == 3


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
