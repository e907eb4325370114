"""What is said of a past forecast, checked against slow direct reads of the store: on real runs of a small fleet."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from deltalake import DeltaTable

from paxcast.core import identity
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError, UnknownAirports
from paxcast.core.explanation import Explanation
from paxcast.core.manifest import PlannedAirport
from paxcast.core.release import Entry, Release
from paxcast.jobs import drift_kept, explained, forecast, on_record, prune, releases, retrain, score
from paxcast.jobs import explain as job
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-06-01T12:00", tz="UTC")
BACKFILLED, FIRST, SECOND, THIRD, END = "2020-03-31", "2020-06-30", "2020-09-30", "2020-11-30", "2020-12-31"
QUANTILES = ["yhat", "lo80", "hi80", "lo95", "hi95"]
KEYS = {"airport", "ds", "actual", "actual_history", "forecasts", "data", "model", "calibration", "drift", "now"}
KEYS |= {"shocks", "year_before"}
Make = Callable[..., Any]


def at(as_of: str) -> pd.Timestamp:
    return parse_as_of(as_of)


@dataclass
class Line:
    """A fleet with its runs, and the tables that its source delivered: `first`, and `last` with what changed."""

    ws: Workspace
    path: Path
    first: pd.DataFrame
    last: pd.DataFrame
    released: dict[str, str]

    def explain(self, airport: str, ds: str, as_of: str | None = None) -> Explanation:
        return job.explain(self.ws, airport, pd.Timestamp(ds), at(as_of) if as_of else None)

    def release(self, as_of: str) -> Release:
        found = releases.load(self.ws, self.released[as_of])
        assert found is not None
        return found

    def value(self, table: pd.DataFrame, airport: str, date: str) -> float:
        return float(table.loc[table["airport"].eq(airport) & table["date"].eq(date), "passengers"].iloc[0])


def changed(table: pd.DataFrame, airport: str, date: str, value: float) -> pd.DataFrame:
    row = table["airport"].eq(airport) & table["date"].eq(date)
    assert row.sum() == 1
    return table.assign(passengers=table["passengers"].where(~row, value))


@pytest.fixture(scope="module")
def line(new_fleet: Make, made_up: Make) -> Line:
    """The run of FIRST is of all, later ones of AAA, and of AAA and BBB: CCC is carried on. The June of BBB comes late;
    the May and August of AAA are restated. NEW is too short for any forecast."""
    table = made_up(["AAA", "BBB", "CCC"], 60, "MS", "2020-12-01")
    table = pd.concat([table, table[table["airport"].eq("AAA")].tail(9).assign(airport="NEW")])
    path = new_fleet(table, search={"mode": "local", "max_evals": 2})
    ws = open_workspace(load(path))
    late = table["airport"].eq("BBB") & table["date"].eq("2020-06-01")
    last = changed(changed(table, "AAA", "2020-08-01", 12345), "AAA", "2020-05-01", 777)
    found = Line(ws, path, table, last, {})

    def take(rows: pd.DataFrame, until: str, known_at: str | None = None) -> None:
        rows[rows["date"] <= until].to_csv(path.with_suffix(".csv"), index=False)
        ingest(ws, NOW, known_at=at(known_at) if known_at else None)

    def run(as_of: str, **wanted: Any) -> None:
        result = retrain.retrain(ws, Request(as_of=at(as_of), request_id=as_of, **wanted), NOW)
        found.released[as_of] = result["release"]

    take(table[~late], "2020-06-01")
    run(FIRST)
    take(table, "2020-09-01")
    run(SECOND, airports=("AAA",))
    run(BACKFILLED, backfill=True)
    take(last, "2020-11-01", known_at="2020-11-15")
    run(THIRD, airports=("AAA", "BBB"))
    take(last, "2020-12-01")
    score.score(ws, at(END))
    return found


# --- the forecasts of a period


def test_each_published_release_then_in_force_is_told_oldest_first_with_what_it_said(line: Line) -> None:
    rows = line.explain("AAA", "2020-10-17").forecasts
    assert [row["as_of"] for row in rows] == [BACKFILLED, FIRST, SECOND]
    assert [row["backfill"] for row in rows] == [True, False, False]
    assert [row["published"] for row in rows] == [3, 1, 2]
    assert [row["step"] for row in rows] == [7, 4, 1]
    decisions = line.ws.tables.read("decisions")
    for row in rows:
        release = line.release(row["as_of"])
        entry = release.by_airport()["AAA"]
        said = forecast.forecasts(line.ws, release, ("AAA",)).set_index("ds").loc["2020-10-01"]
        decided = decisions[decisions["run_key"].eq(entry.run_key) & decisions["airport"].eq("AAA")].iloc[0]
        assert row["release"] == release.release_id
        assert (row["version"], row["model"]) == (entry.version, "small.AAA")
        assert row["run_key"] == release.run_key
        assert [row[name] for name in QUANTILES] == said[QUANTILES].tolist()
        assert row["confidence"] == said["confidence"]
        assert (row["method"], row["rule"]) == (decided["method"], decided["rule"])
        assert row["weights"] == json.loads(decided["weights"])


def test_a_run_of_a_part_of_the_fleet_is_told_by_the_run_key_that_people_use(line: Line) -> None:
    entry = line.release(SECOND).by_airport()["AAA"]
    assert entry.run_key.endswith("-part")
    assert not line.explain("AAA", "2020-10-01").forecasts[-1]["run_key"].endswith("-part")


def test_what_a_later_release_carries_on_is_told_once_under_the_release_that_made_it(line: Line) -> None:
    assert "CCC" in line.release(SECOND).by_airport()
    found = line.explain("CCC", "2020-12-01")
    assert [row["release"] for row in found.forecasts] == [line.released[BACKFILLED], line.released[FIRST]]
    assert found.data["as_of"] == FIRST


def test_a_release_made_after_the_period_had_ended_does_not_count_though_it_forecast_it(line: Line) -> None:
    first = forecast.forecasts(line.ws, line.release(FIRST), ("BBB",))
    assert str(first["ds"].iloc[0].date()) == "2020-06-01"  # June was not there yet
    assert [row["as_of"] for row in line.explain("BBB", "2020-06-30").forecasts] == [BACKFILLED]
    assert line.explain("BBB", "2020-07-01", FIRST).forecast["step"] == 2


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [(None, SECOND), (END, SECOND), (SECOND, SECOND), ("2020-09-29", FIRST), (FIRST, FIRST), (BACKFILLED, BACKFILLED)],
)
def test_the_newest_forecast_up_to_the_day_asked_for_is_the_one_explained(
    line: Line, as_of: str | None, expected: str
) -> None:
    found = line.explain("AAA", "2020-10-01", as_of)
    assert found.forecast["as_of"] == found.data["as_of"] == expected
    assert len(found.forecasts) == 3


def test_errors_and_coverage_are_those_of_the_scores(line: Line) -> None:
    found = line.explain("AAA", "2020-08-01")
    assert found.actual == 12345
    scores = score.read(line.ws, at(END))
    scores = scores[scores["airport"].eq("AAA") & scores["ds"].eq(pd.Timestamp("2020-08-01"))].set_index("release")
    assert len(scores) == len(found.forecasts) == 2
    for row in found.forecasts:
        one = scores.loc[row["release"]]
        assert row["error"] == one["error"] == row["yhat"] - 12345
        assert row["scaled_error"] == one["scaled_error"]
        assert (row["covered80"], row["covered95"]) == (one["covered80"], one["covered95"])


def test_where_the_error_lies_is_a_count_of_the_scores_of_the_same_step(line: Line) -> None:
    found = line.explain("BBB", "2020-09-01", FIRST)
    assert found.forecast["step"] == 4
    assert found.calibration is not None
    errors: dict[str, list[float]] = {}
    covered = []
    for row in score.read(line.ws, at(END)).itertuples():
        if row.step == 4:
            errors.setdefault(str(row.airport), []).append(float(row.scaled_error))
            covered += [(row.covered80, row.covered95)] if row.airport == "BBB" else []
    mine, size = errors["BBB"], found.calibration["scaled_error"]
    every = [e for of_one in errors.values() for e in of_one]
    assert size in mine
    assert found.calibration == {
        "scaled_error": found.forecast["scaled_error"],
        "quantile": sum(e <= size for e in mine) / len(mine),
        "fleet_quantile": sum(e <= size for e in every) / len(every),
        "n": len(mine),
        "coverage80": sum(c[0] for c in covered) / len(covered),
        "coverage95": sum(c[1] for c in covered) / len(covered),
        "tried": found.calibration["tried"],
    }
    result, entry = outcome(line, FIRST, "BBB"), line.release(FIRST).by_airport()["BBB"]
    decided = line.ws.tables.read("decisions", [("airport", "=", "BBB"), ("run_key", "=", entry.run_key)]).iloc[0]
    missed = []
    for k, window in enumerate([*result["folds"], result["test"]]):
        made = mixed(result, json.loads(decided["weights"]), lambda e, k=k: [*e["folds"], e["test"]][k])
        each = zip(made, window["actual"], window["counts"], strict=True)
        missed += [mase({**window, "actual": [y], "counts": [c]}, [f]) for f, y, c in each if c]
    tried = found.calibration["tried"]
    assert (tried["n"], tried["largest"]) == (len(missed), pytest.approx(max(missed)))
    assert tried["as_large"] == sum(e >= size for e in missed)


def test_of_a_period_that_is_still_to_come_there_is_no_error(line: Line) -> None:
    found = line.explain("AAA", "2021-02-01")
    assert (found.actual, found.actual_history, found.calibration) == (None, [], None)
    assert [row["as_of"] for row in found.forecasts] == [BACKFILLED, FIRST, SECOND, THIRD]
    for row in found.forecasts:
        assert [row[name] for name in ("error", "scaled_error", "covered80", "covered95")] == [None] * 4


def test_every_vintage_of_the_actual_is_told_in_the_order_in_which_it_became_known(line: Line) -> None:
    found = line.explain("AAA", "2020-08-31")
    was = line.value(line.first, "AAA", "2020-08-01")
    assert [(row["y"], row["known_at"]) for row in found.actual_history] == [
        (was, "2020-09-01T00:00:00+00:00"),
        (12345.0, "2020-11-16T00:00:00+00:00"),
    ]
    stored = line.ws.tables.read("observations")
    stored = stored[stored["airport"].eq("AAA") & stored["ds"].eq(pd.Timestamp("2020-08-01"))].sort_values("known_at")
    assert [row["receipt"] for row in found.actual_history] == stored["receipt"].tolist()


# --- the data


def test_the_rows_are_those_that_the_run_read_and_not_what_they_were_restated_to(line: Line) -> None:
    data = line.explain("AAA", "2020-09-01").data
    then = line.first[line.first["airport"].eq("AAA") & (line.first["date"] <= "2020-06-01")]
    assert [(row["ds"], row["y"]) for row in data["rows"]] == list(
        then[["date", "passengers"]].tail(24).astype({"passengers": float}).itertuples(index=False, name=None)
    )
    assert data["rows"][-1]["known_at"] == "2020-07-01T00:00:00+00:00"
    assert (data["first"], data["last"], data["periods"]) == ("2016-01-01", "2020-06-01", 54)
    history = pd.DataFrame({"ds": pd.to_datetime(then["date"]), "y": then["passengers"].astype(float)})
    assert data["checksum"] == identity.history_checksum(history)
    assert (data["verdict"], data["reasons"]) == ("ok", [])
    assert data["data_version"] == 0


def test_what_was_restated_since_is_told_with_both_values(line: Line) -> None:
    was = {date: line.value(line.first, "AAA", date) for date in ("2020-05-01", "2020-08-01")}
    of_may = {"ds": "2020-05-01", "then": was["2020-05-01"], "now": 777.0, "known_at": "2020-11-16T00:00:00+00:00"}
    of_august = {"ds": "2020-08-01", "then": was["2020-08-01"], "now": 12345.0, "known_at": of_may["known_at"]}
    assert line.explain("AAA", "2020-10-01", FIRST).data["restated_since"] == [of_may]
    assert line.explain("AAA", "2020-10-01", SECOND).data["restated_since"] == [of_may, of_august]
    assert line.explain("AAA", "2020-10-01", BACKFILLED).data["restated_since"] == []
    assert line.explain("AAA", "2021-01-01", THIRD).data["restated_since"] == []


def test_a_period_that_was_over_and_not_there_yet_has_no_value_then(line: Line) -> None:
    june = line.value(line.first, "BBB", "2020-06-01")
    assert line.explain("BBB", "2020-10-01", FIRST).data["restated_since"] == [
        {"ds": "2020-06-01", "then": None, "now": june, "known_at": "2020-07-01T00:00:00+00:00"}
    ]
    assert line.explain("CCC", "2020-10-01", FIRST).data["restated_since"] == []


# --- the model


def outcome(line: Line, as_of: str, airport: str) -> dict[str, Any]:
    """The outcome of a run as it lies in the store."""
    entry = line.release(as_of).by_airport()[airport]
    folder = Path(line.ws.settings.store_root) / "objects" / "runs" / line.release(as_of).run_key / "outcomes"
    found: dict[str, Any] = json.loads((folder / f"{airport}-{entry.checksum}.json").read_text(encoding="utf-8"))
    return found


def mase(window: dict[str, Any], forecast: list[float]) -> float:
    """Slow: the mean absolute error over what counts, in units of the scale."""
    misses = [abs(f - y) for f, y, c in zip(forecast, window["actual"], window["counts"], strict=True) if c]
    return sum(misses) / len(misses) / float(window["scale"])


def mixed(
    result: dict[str, Any], weights: dict[str, float], of: Callable[[dict[str, Any]], list[float]]
) -> list[float]:
    """Slow: the weighted mean of what the candidates forecast."""
    members = [(weights[e["candidate"]], of(e)) for e in result["entrants"] if e["candidate"] in weights]
    return [sum(w * values[i] for w, values in members) for i in range(len(members[0][1]))]


def test_candidates_folds_and_search_are_those_of_the_outcome(line: Line) -> None:
    found = line.explain("AAA", "2020-09-01", FIRST)
    model, result = found.model, outcome(line, FIRST, "AAA")
    weights = model["weights"]
    assert {row["candidate"] for row in model["candidates"]} == {"seasonal_naive", "prophet"}
    for row in model["candidates"]:
        entrant = next(e for e in result["entrants"] if e["candidate"] == row["candidate"])
        errors = [mase(w, f) for w, f in zip(result["folds"], entrant["folds"], strict=True)]
        assert row["cv_mase"] == pytest.approx(np.mean(errors))
        assert row["test_mase"] == pytest.approx(mase(result["test"], entrant["test"]))
        assert row["weight"] == weights.get(row["candidate"], 0.0)
        assert row["forecast"] == entrant["forecast"][2]
    naive = next(e for e in result["entrants"] if e["candidate"] == "seasonal_naive")
    assert model["folds"] == [
        {
            "split": window["split"],
            "mase": pytest.approx(mase(window, mixed(result, weights, lambda e, k=k: [*e["folds"], e["test"]][k]))),
            "mase_naive": pytest.approx(mase(window, [*naive["folds"], naive["test"]][k])),
        }
        for k, window in enumerate([*result["folds"], result["test"]])
    ]
    trials = result["trials"]["prophet"]
    assert model["search"] == [
        {
            "candidate": "prophet",
            "evaluations": len(trials),
            "first_loss": trials[0]["loss"],
            "best_loss": min(t["loss"] for t in trials),
        }
    ]


def test_what_was_decided_and_what_is_needed_to_do_it_again_is_there(line: Line) -> None:
    found = line.explain("AAA", "2020-09-01", FIRST)
    model, release = found.model, line.release(FIRST)
    decided = line.ws.tables.read("decisions")
    decided = decided[decided["run_key"].eq(release.run_key) & decided["airport"].eq("AAA")].iloc[0]
    assert model["reason"] == decided["reason"]
    assert model["parameters"] == json.loads(decided["parameters"])
    *in_folds, tested = model["folds"]
    assert np.mean([fold["mase"] for fold in in_folds]) == pytest.approx(decided["cv_mase"])
    assert tested["mase"] == pytest.approx(decided["mase"])
    said = sum(row["weight"] * row["forecast"] for row in model["candidates"] if row["weight"])
    assert said == pytest.approx(found.forecast["yhat"])
    registered = line.ws.tables.read("registrations")
    registered = registered[registered["run_key"].eq(release.run_key) & registered["airport"].eq("AAA")]
    assert [model["mlflow_run"]] == registered["mlflow_run"].tolist()
    (manifest,) = line.ws.objects.names(f"runs/{release.run_key}/manifests")
    assert model["code_version"] == line.ws.objects.get(manifest)["code_version"]
    result = outcome(line, FIRST, "AAA")
    assert model["seed"] == result["seed"]
    assert found.data["steps"] == result["steps"]


# --- today's model


def test_of_a_period_that_it_forecasts_today_s_model_says_its_forecast(line: Line) -> None:
    found = line.explain("AAA", "2021-02-01", FIRST)
    said = forecast.forecasts(line.ws, line.release(THIRD), ("AAA",)).set_index("ds").loc["2021-02-01"]
    assert found.now == {
        "release": line.released[THIRD],
        "as_of": THIRD,
        "method": line.release(THIRD).by_airport()["AAA"].candidate,
        "ds": "2021-02-01",
        "yhat": said["yhat"],
        "reason": "its forecast, step 3",
        "treated": [],
    }


def test_of_a_period_in_its_windows_today_s_model_says_what_it_forecast_of_it_there(line: Line) -> None:
    found = line.explain("BBB", "2020-08-01", FIRST)
    result = outcome(line, THIRD, "BBB")
    window = result["test"]
    at_step = window["ds"].index("2020-08-01")
    decided = line.ws.tables.read("decisions")
    entry = line.release(THIRD).by_airport()["BBB"]
    decided = decided[decided["run_key"].eq(entry.run_key) & decided["airport"].eq("BBB")].iloc[0]
    expected = mixed(result, json.loads(decided["weights"]), lambda e: e["test"])[at_step]
    assert found.now["yhat"] == pytest.approx(expected)
    assert found.now["reason"] == f"in its window {window['split']}, step {at_step + 1}"
    assert found.now["as_of"] == THIRD


def test_of_an_airport_that_was_carried_on_the_model_in_force_is_that_of_the_earlier_run(line: Line) -> None:
    now = line.explain("CCC", "2020-12-01", BACKFILLED).now
    assert (now["release"], now["as_of"], now["reason"]) == (line.released[THIRD], FIRST, "its forecast, step 6")


# --- what cannot be explained


def test_an_airport_that_the_fleet_does_not_have_is_refused(line: Line) -> None:
    with pytest.raises(UnknownAirports, match="airport XXX: fleet small has no observation of it"):
        line.explain("XXX", "2020-08-01")


def test_an_airport_that_was_never_forecast_is_refused(line: Line) -> None:
    with pytest.raises(ConfigurationError, match="airport NEW: no published release forecasts it"):
        line.explain("NEW", "2020-08-01")


@pytest.mark.parametrize("ds", ["2020-03-31", "2021-12-01"])
def test_a_period_that_nothing_forecast_is_refused_and_the_range_named(line: Line, ds: str) -> None:
    with pytest.raises(ConfigurationError, match="airport AAA; their forecasts reach from 2020-04-01 to 2021-11-01"):
        line.explain("AAA", ds)


def test_a_day_before_the_first_release_is_refused_and_that_named(line: Line) -> None:
    with pytest.raises(
        ConfigurationError, match=r"2020-03-30 is before the first release that forecasts airport AAA, .* 2020-03-31"
    ):
        line.explain("AAA", "2020-08-01", "2020-03-30")


def test_a_day_on_which_the_period_was_not_forecast_yet_is_refused_and_the_first_named(line: Line) -> None:
    with pytest.raises(
        ConfigurationError, match=r"no release up to 2020-04-30 forecast 2021-05-01 .* as of 2020-06-30"
    ):
        line.explain("AAA", "2021-05-01", "2020-04-30")


def test_a_fleet_without_data_or_without_a_release_is_told_what_to_do(ws: Workspace, made_up: Make) -> None:
    with pytest.raises(ConfigurationError, match="nothing was ingested yet"):
        job.explain(ws, "AAA", pd.Timestamp("2020-08-01"), None)
    table = made_up(["AAA"], 24, "MS", "2020-12-01")
    table.to_csv(ws.settings.source_path, index=False)
    ingest(ws, NOW)
    with pytest.raises(ConfigurationError, match="no release yet"):
        job.explain(ws, "AAA", pd.Timestamp("2020-08-01"), None)


# --- what is on record, by hand


def airport_of(ws: Workspace) -> on_record.Airport:
    nothing = pd.DataFrame()
    kept: dict[str, Any] = {"observations": nothing, "published": {}, "said": nothing, "decisions": {}, "current": None}
    return on_record.Airport(ws=ws, code="AAA", frequency="MS", **kept)


ENTRY = Entry("AAA", "small.AAA", 1, "run-part", END, "first", "ets", {})


def test_of_several_plans_of_a_history_the_first_is_the_one_that_was_read(ws: Workspace, manifest_of: Make) -> None:
    plans = [({"AAA": "first"}, 7), ({"AAA": "first"}, 5), ({"AAA": "other"}, 3), ({"BBB": "first"}, 1)]
    for number, (checksums, version) in enumerate(plans):
        airports = tuple(PlannedAirport(code, checksum, 0, "") for code, checksum in checksums.items())
        made = manifest_of(["AAA"], run_key="run", manifest_id=f"m{number}", airports=airports, data_version=version)
        ws.objects.put_if_absent(f"runs/run/manifests/m{number}.json", made.as_dict())
    assert airport_of(ws).manifest(ENTRY).data_version == 5


def test_the_verdict_is_the_one_on_the_history_that_was_forecast(ws: Workspace) -> None:
    base = {"fleet": "small", "run_key": "run", "as_of": at(END), "detail": "", "rows_known": 1, "rows_used": 0}
    base |= {"rows_quarantined": 1, "first_ds": pd.Timestamp(END), "last_ds": pd.Timestamp(END), "quarantined": True}
    rows = [("AAA", "other", "stale"), ("BBB", "first", "stale")]
    ws.tables.append("quality", pd.DataFrame([{**base, "airport": a, "checksum": c, "reasons": r} for a, c, r in rows]))
    assert airport_of(ws).judged(ENTRY) == (False, [])
    last = {**base, "airport": "AAA", "checksum": "first", "reasons": "stale,long_gap"}
    ws.tables.append("quality", pd.DataFrame([last]))
    assert airport_of(ws).judged(ENTRY) == (True, ["stale", "long_gap"])


def test_what_was_removed_from_the_store_is_named(ws: Workspace) -> None:
    one = airport_of(ws)
    for what, read in (("decision", one.decided), ("manifest", one.manifest), ("outcome", one.outcome)):
        with pytest.raises(ConfigurationError, match=f"airport AAA: the {what} of run run is no longer in .*--as-of"):
            read(ENTRY)
    assert one.mlflow_run(ENTRY) is None


# --- scores, silent airports


def test_the_forecasts_of_one_airport_are_those_that_all_releases_read_whole_have_of_it(line: Line) -> None:
    found = score.published(line.ws, on_record.EVER)
    for airport in ("AAA", "CCC", "NEW"):
        alone = score.published(line.ws, on_record.EVER, airport)
        assert alone == [p for p in found if p.entry.airport == airport]


def test_missing_scores_are_added_of_all_in_a_small_fleet_and_of_the_airport_alone_in_a_large_one(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(line.ws.tables.read("scores"))
    whole_of_bbb = len(line.ws.tables.read("scores", [("airport", "=", "BBB")]))
    for name, at_once, expected in (("small", 20_000, whole), ("large", 1, whole_of_bbb)):
        shutil.copytree(line.ws.settings.store_root, tmp_path / name)
        monkeypatch.setenv("PAXCAST_STORE", str(tmp_path / name))
        monkeypatch.setattr(score, "FORECASTS_AT_ONCE", at_once)
        copy = open_workspace(load(line.path))
        copy.tables.replace("scores", copy.tables.read("scores").head(0), {"fleet": "small"})
        found = job.explain(copy, "BBB", pd.Timestamp("2020-09-01"), None)
        assert found.calibration is not None
        assert found.calibration["n"] == line.explain("BBB", "2020-09-01").calibration["n"]  # type: ignore[index]
        assert len(copy.tables.read("scores")) == expected


def test_where_absent_means_zero_the_actual_of_an_airport_that_fell_silent_is_zero(
    new_fleet: Make, made_up: Make
) -> None:
    table = made_up(["AAA", "BBB"], 60, "MS", "2020-12-01")
    source = {"absent": "zero"}
    path = new_fleet(table, candidates=["seasonal_naive"], search={"mode": "local"}, source=source)
    ws = open_workspace(load(path))
    table[table["date"] <= "2020-09-01"].to_csv(path.with_suffix(".csv"), index=False)
    ingest(ws, NOW)
    retrain.retrain(ws, Request(as_of=at(SECOND), request_id="one"), NOW)
    assert job.explain(ws, "BBB", pd.Timestamp("2020-10-01"), None).actual is None
    table[table["airport"].eq("AAA") | (table["date"] <= "2020-09-01")].to_csv(path.with_suffix(".csv"), index=False)
    ingest(ws, NOW)
    found = job.explain(ws, "BBB", pd.Timestamp("2020-10-01"), None)
    assert (found.actual, found.actual_history) == (0.0, [])
    assert found.forecast["error"] == found.forecast["yhat"]
    assert found.forecast["scaled_error"] is not None


# --- what was pruned or removed


@pytest.fixture
def copied(line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The fleet with a store of the test's own, whose trials are pruned after a day, and nothing else."""
    shutil.copytree(line.ws.settings.store_root, tmp_path / "store")
    monkeypatch.setenv("PAXCAST_STORE", str(tmp_path / "store"))
    ages = {"trials_days": 1, "runs_days": 36_500, "tables_days": 36_500}
    settings = load(line.path)
    retention = settings.retention.model_copy(update=ages)
    return open_workspace(settings.model_copy(update={"retention": retention}))


def test_after_trials_were_pruned_all_but_the_searches_is_explained_as_before(line: Line, copied: Workspace) -> None:
    before = line.explain("AAA", "2020-09-01", FIRST)
    assert not before.model["trials_pruned"]
    assert "pruned" not in explained.text(before)
    done = prune.prune(copied, pd.Timestamp.now(tz="UTC") + pd.Timedelta(days=2))
    assert (done.runs, done.releases) == ((), ())
    assert done.search_histories > 0
    assert on_record.TRIALS_PRUNED == prune.STRIPPED
    found = job.explain(copied, "AAA", pd.Timestamp("2020-09-01"), at(FIRST))
    assert found.as_json() == {
        **before.as_json(), "model": {**before.model, "search": [], "trials_pruned": True}
    }  # fmt: skip
    assert "The trials of its searches were pruned here" in explained.text(found)
    assert "trials.csv" in explained.html(found)


def test_a_version_of_the_data_that_is_gone_is_named(line: Line, copied: Workspace) -> None:
    log = Path(copied.settings.store_root) / "tables" / "observations" / "_delta_log"
    DeltaTable(str(log.parent), version=1).create_checkpoint()
    (log / f"{0:020}.json").unlink()
    with pytest.raises(
        ConfigurationError, match=r"AAA: the data \(version 0 of the table observations\) of run small-"
    ):
        job.explain(copied, "AAA", pd.Timestamp("2020-10-01"), at(FIRST))
    assert job.explain(copied, "AAA", pd.Timestamp("2020-10-01"), at(SECOND)).data["data_version"] > 0


# --- drift


def checked(ws: Workspace, as_of: str, airport: str, **said: Any) -> None:
    """A drift check of one airport, as it is kept."""
    base = {"airport": airport, "cycle": "2020-06-01", "tested": True, "drifted": False, "severity": "none"}
    base |= {"p": 0.4, "q": 0.9, "ratio": 1.1, "reasons": [], "fault": "", "action": "none", "why": "", "pinned": ""}
    drift_kept.keep(ws, at(as_of), [{**base, "version": 1, "cusum": [], **said}], {"world": {}, "counts": {}})


def test_the_newest_drift_verdict_that_is_not_later_is_told_of_each_release_and_as_of_the_day_asked_for(
    copied: Workspace,
) -> None:
    severe = {"drifted": True, "severity": "severe", "p": 0.001, "q": 0.002, "reasons": ["loss", "level: it fell"]}
    checked(copied, "2020-07-31", "AAA")
    checked(copied, SECOND, "AAA", **severe, action="retrain")
    checked(copied, "2020-10-01", "BBB", **severe)
    checked(copied, THIRD, "AAA", p=None, q=None, tested=False, why="not tested: 9 of the 21 months")
    told = {as_of: job.explain(copied, "AAA", pd.Timestamp("2020-11-01"), at(as_of)) for as_of in (FIRST, SECOND, END)}
    assert told[FIRST].drift is None
    assert told[SECOND].drift == {
        "as_of": SECOND, "cycle": "2020-06-01", "severity": "severe", "drifted": True, "p": 0.001, "q": 0.002,
        "reasons": ["loss", "level: it fell"], "action": "retrain", "why": "",
    }  # fmt: skip
    assert (told[END].drift["as_of"], told[END].drift["q"]) == (THIRD, None)
    assert job.explain(copied, "AAA", pd.Timestamp("2020-11-01"), None).drift == told[END].drift
    rows = told[END].forecasts
    assert [row["as_of"] for row in rows] == [BACKFILLED, FIRST, SECOND]
    assert [row["drift"] and row["drift"]["severity"] for row in rows] == [None, None, "severe"]
    for found in told.values():
        assert json.loads(json.dumps(found.as_json(), allow_nan=False)) == found.as_json()
    sentence = "Drift as of 2020-09-30: severe, q 0.002, to be retrained: loss, level: it fell."
    assert sentence in explained.text(told[SECOND]).splitlines()
    assert sentence in explained.html(told[SECOND])
    assert "severe, retrain" in explained.text(told[SECOND])
    assert "Drift as of 2020-11-30: none: not tested: 9 of the 21 months." in explained.text(told[END])
    assert "Drift as of" not in explained.text(told[FIRST])


# --- what is shown


def test_the_json_has_these_keys_and_nothing_that_json_does_not_know(line: Line) -> None:
    for ds, as_of in (("2020-10-01", FIRST), ("2021-02-01", None)):
        content = line.explain("AAA", ds, as_of).as_json()
        assert set(content) == KEYS
        assert content["ds"] == ds
        assert content["drift"] is None
        assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_the_text_begins_with_what_happened(line: Line) -> None:
    found = line.explain("AAA", "2020-08-01", FIRST)
    first, second, *_ = explained.text(found).splitlines()
    said = found.forecast
    assert first == (
        f"AAA, August 2020: 12,345 came; {said['yhat']:,.0f} were forecast as of 2020-06-30, 2 months ahead (80 %: "
        f"{said['lo80']:,.0f} to {said['hi80']:,.0f}): {-said['error']:,.0f} too low, {said['scaled_error']:.1f} times "
        "the mean error of seasonal naive."
    )
    assert second.startswith("That is outside the 95 % interval. Of the ")
    text = explained.text(found)
    assert "The actual was restated: " in text
    assert "12,345 since 2020-11-16." in text
    assert "1 of them was restated since" in text
    assert " (2020-03-01 to 2022-02-28), which had begun by then. " in text
    before = line.value(line.first, "AAA", "2019-08-01")
    more, came = round((said["yhat"] / before - 1) * 100), round(12345 / before)
    assert (
        f"{before:,.0f} had come in August 2019: {abs(more)} % {'more' if more > 0 else 'fewer'} were forecast" in text
    )
    assert f", {came} times as many came." in text


def test_the_text_of_a_period_to_come_says_so(line: Line) -> None:
    first, *_ = explained.text(line.explain("BBB", "2021-02-01", BACKFILLED)).splitlines()
    assert "by a backfill, 11 months ahead" in first
    assert first.endswith("; what came is not known yet.")


def test_the_text_of_the_longest_explanation_fits_on_a_page_and_shows_the_explained_forecast(line: Line) -> None:
    found = line.explain("AAA", "2020-08-01", FIRST)
    data, model = dict(found.data), dict(found.model)
    data["rows"], data["restated_since"], data["steps"] = (
        data["rows"] * 3,
        data["restated_since"] * 50,
        [{"what": "gap", "how": "filled", "first": "2020-01-01", "last": "2020-01-01", "periods": 1, "name": ""}] * 40,
    )
    model["candidates"], model["folds"] = model["candidates"] * 12, model["folds"] * 9
    many = [{**found.forecast, "as_of": f"2020-05-{day:02d}"} for day in range(1, 31)]
    long = replace(
        found, data=data, model=model, forecasts=many, explained=2, actual_history=[*found.actual_history] * 9
    )
    text = explained.text(long)
    assert len(text.splitlines()) <= 60
    assert max(len(line) for line in text.splitlines()) < 500
    assert "2020-05-03 *" in text
    assert "(8 of 30)" in text


class Page(HTMLParser):
    """The tags of a page, opened and closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.told: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not {"src", "href", "xlink:href"} & {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.told.append(data)


@pytest.mark.parametrize(("ds", "lines"), [("2020-08-01", 3), ("2021-02-01", 3)])
def test_the_page_parses_loads_nothing_and_has_the_chart_and_every_row(line: Line, ds: str, lines: int) -> None:
    found = line.explain("AAA", ds, FIRST)
    text = explained.html(found)
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert "http" not in text
    assert "url(" not in text
    assert page.seen.count("polygon") == 2
    assert page.seen.count("polyline") == lines
    assert page.seen.count("script") == 0
    for row in found.data["rows"]:
        assert row["ds"] in page.told
    assert all(row["release"] in "".join(page.told) for row in found.forecasts)


def test_what_stands_in_the_data_is_no_markup(line: Line) -> None:
    found = line.explain("AAA", "2020-08-01", FIRST)
    rows = [{**row, "receipt": "<b>"} for row in found.actual_history]
    assert "<b>" not in explained.html(replace(found, actual_history=rows))


def test_the_chart_shows_what_was_known_then_the_forecast_and_what_came(line: Line) -> None:
    picture = line.explain("AAA", "2020-08-01", FIRST).picture
    assert (str(picture.known["ds"].iloc[0].date()), str(picture.known["ds"].iloc[-1].date())) == (
        "2016-01-01",
        "2020-06-01",
    )
    assert picture.known.set_index("ds").loc["2020-05-01", "y"] == line.value(line.first, "AAA", "2020-05-01")
    assert [str(ds.date()) for ds in picture.since["ds"]] == [f"2020-{month:02d}-01" for month in range(7, 13)]
    assert picture.since.set_index("ds").loc["2020-08-01", "y"] == 12345
    assert len(picture.forecast) == 12
