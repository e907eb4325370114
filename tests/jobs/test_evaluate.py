"""The evaluation of a small fleet: every table against what was published, the page, and what it must not read."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from paxcast import cli
from paxcast.core import curves
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import BadFile, ConfigurationError, UnknownAirports
from paxcast.core.outcome import FAILED, OK
from paxcast.core.treatment import Shock
from paxcast.jobs import backtest, baselines, evaluated, examiner, releases, retrain, tune
from paxcast.jobs import evaluate as evaluating
from paxcast.jobs.evaluate import evaluate
from paxcast.jobs.evaluated import Evaluated
from paxcast.jobs.examiner import Assignment, Clock, Examiner, Made
from paxcast.jobs.forecast import forecasts
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.sections import OverrideSettings
from paxcast.settings import load

NOW = pd.Timestamp("2021-06-01T12:00", tz="UTC")
AS_OF, RELEASED = "2019-12-31", "2018-06-30"
CODES = ["AAA", "BBB", "CCC", "DDD", "EEE", "FFF"]
CANDIDATES = ["seasonal_naive", "seasonal_growth", "window_average"]
NEWEST = pd.Timestamp("2018-12-01")
Make = Callable[..., Any]


@dataclass
class Done:
    """One evaluation, and what it was made on. `table`: all that was ingested, with months after as_of."""

    ws: Workspace
    path: Path
    table: pd.DataFrame
    given: Path
    result: Evaluated
    kept: dict[str, Any]


def fleet(new_fleet: Make, table: pd.DataFrame) -> tuple[Workspace, Path]:
    path = new_fleet(table, candidates=CANDIDATES, search={"mode": "local"})
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    return ws, path


@pytest.fixture(scope="module")
def done(new_fleet: Make, made_up: Make) -> Done:
    """Six airports; FFF begins a year and a month before the first origin. The file: AAA and BBB, 0.1 % too high."""
    table = made_up(CODES, 138, "MS", "2020-06-01")
    table = table[(table["airport"] != "FFF") | (table["date"] >= "2016-12-01")]
    ws, path = fleet(new_fleet, table)
    retrain.retrain(ws, Request(as_of=parse_as_of(RELEASED), request_id="released"), NOW)
    given = path.with_name("given.csv")
    theirs = table[table["airport"].isin(["AAA", "BBB"]) & table["date"].between("2019-01-01", "2019-12-01")]
    theirs.assign(yhat=theirs["passengers"] * 1.001).rename(columns={"date": "ds"}).to_csv(given, index=False)
    result = evaluate(ws, None, parse_as_of(AS_OF), baseline=given)
    names = {name.rsplit("/", 1)[1][:3]: name for name in ws.objects.names("evaluations")}
    return Done(ws, path, table, given, result, {airport: ws.objects.get(name) for airport, name in names.items()})


def finding(done: Done, check: str) -> Any:
    (found,) = [f for f in done.result.findings if f.check == check]
    return found


def actual(done: Done, airport: str, since: str, periods: int) -> np.ndarray:
    rows = done.table[(done.table["airport"] == airport) & (done.table["date"] >= since)]
    return rows["passengers"].to_numpy(dtype=float)[:periods]


# --- what was looked at


def test_the_newest_origin_leaves_the_whole_horizon_known_and_twelve_lie_before_it(done: Done) -> None:
    assert done.result.airports == tuple(CODES)
    assert done.result.origins == tuple(str(d.date()) for d in pd.date_range(end=NEWEST, periods=13, freq="MS"))
    assert done.result.horizon == 12


def test_every_question_has_an_answer_and_the_small_fleet_can_answer_all(done: Done) -> None:
    checks = [f.check for f in done.result.findings]
    assert len(checks) == len(set(checks)) == 21
    assert [f.check for f in done.result.findings if f.passed is None] == []
    assert all(f.expected and f.measured for f in done.result.findings)


def test_what_comes_after_as_of_changes_nothing(done: Done, new_fleet: Make) -> None:
    early = done.table[done.table["date"] < "2020-01-01"]
    ws, _ = fleet(new_fleet, early)
    again = evaluate(ws, None, parse_as_of(AS_OF))
    for name in ("calibration", "slices", "behaviour", "learning", "staleness"):
        pd.testing.assert_frame_equal(again.tables[name], done.result.tables[name])


def test_done_twice_nothing_is_done_again_and_the_numbers_are_the_same(done: Done) -> None:
    before = list(done.ws.objects.names("runs")) + list(done.ws.objects.names("evaluations"))
    again = evaluate(done.ws, None, parse_as_of(AS_OF), baseline=done.given)
    assert again.as_json() == done.result.as_json()
    assert list(done.ws.objects.names("runs")) + list(done.ws.objects.names("evaluations")) == before


def test_a_sample_holds_the_smallest_and_the_largest_airport_and_is_the_same_each_time(done: Done) -> None:
    few = [evaluate(done.ws, None, parse_as_of(AS_OF), sample=2).airports for _ in range(2)]
    assert few == [("AAA", "FFF")] * 2  # the made-up levels grow with the code
    asked = evaluate(done.ws, None, parse_as_of(AS_OF), airports=("CCC", "BBB"), sample=1)
    assert asked.airports == ("BBB", "CCC")


def test_the_line_of_a_sample_is_that_of_the_whole_fleet_with_its_rule_and_its_intervals(
    done: Done, tmp_path: Path
) -> None:
    runs = list(done.ws.objects.names("runs"))
    half = evaluate(done.ws, None, parse_as_of(AS_OF), airports=CODES[:3])
    other = evaluate(done.ws, None, parse_as_of(AS_OF), airports=CODES[3:])
    assert list(done.ws.objects.names("runs")) == runs  # nothing was tuned: all of it is on record
    coverage = [result.tables["calibration"]["coverage"] for result in (half, other, done.result)]
    assert np.allclose((coverage[0] + coverage[1]) / 2, coverage[2])  # as many steps in each half
    pinball = [r.tables["methods"].set_index("method").loc["paxcast", "pinball"] for r in (half, other, done.result)]
    assert np.mean(pinball[:2]) == pytest.approx(pinball[2])
    said = "Rule, intervals and the fleet's model are those of the whole fleet, 6 airports."
    assert half.as_json()["shared"] == done.result.shared == said
    assert f"<p>{said.replace(chr(39), '&#x27;')}</p>" in evaluated.write(half, tmp_path).read_text(encoding="utf-8")
    for name in ("methods", "slices", "behaviour", "staleness", "airports"):
        assert len(half.tables[name])
    assert half.tables["airports"]["airport"].tolist() == CODES[:3]
    assert half.tables["methods"].set_index("method").loc["paxcast", "n"] == 3 * 13


def test_of_a_fleet_too_large_for_that_the_page_says_whose_rule_it_is(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "WHOLE_FLEET", 5)
    seen = evaluating._look(done.ws, parse_as_of(AS_OF), (), 2)
    assert (seen.whole, set(seen.everything["airport"])) == (False, {"AAA", "FFF"})
    monkeypatch.setattr(evaluating, "WHOLE_FLEET", 6)
    seen = evaluating._look(done.ws, parse_as_of(AS_OF), (), 2)
    assert (seen.whole, set(seen.everything["airport"])) == (True, set(CODES))
    assert set(seen.now["airport"]) == {"AAA", "FFF"}
    assert "are those of these 2 airports" in evaluated.shared_by(2, whole=False)


def test_an_airport_that_is_excluded_is_not_evaluated_even_if_it_is_asked_for(done: Done) -> None:
    overrides = {"BBB": OverrideSettings(exclude=True), "AAA": OverrideSettings(method="window_average")}
    ws = replace(done.ws, settings=done.ws.settings.model_copy(update={"overrides": overrides}))
    with pytest.raises(
        ConfigurationError, match=r"airports: BBB: excluded by overrides in \S*small\.yaml, .* `exclude`"
    ):
        evaluate(ws, None, parse_as_of(AS_OF), airports=("AAA", "BBB"))


# --- the tables


def test_the_baseline_of_a_file_is_compared_where_it_forecast_and_nowhere_else(done: Done) -> None:
    row = done.result.tables["baselines"].set_index("baseline").loc["file"]
    assert (row["n"], row["steps"]) == (2, 24)
    scaled = []
    for airport in ("AAA", "BBB"):
        past = actual(done, airport, "2000-01-01", 1000)[:-18]
        scale = np.mean(np.abs(past[12:] - past[:-12]))
        scaled.append(np.mean(np.abs(actual(done, airport, "2019-01-01", 12) * 0.001)) / scale)
    assert row["other"] == pytest.approx(np.mean(scaled))
    assert finding(done, "against file").passed is False


def test_the_last_release_is_the_one_in_force_at_each_origin_as_far_as_it_reached(done: Done) -> None:
    release = releases.in_force(done.ws, parse_as_of(RELEASED))
    assert release is not None
    published = forecasts(done.ws, release)
    row = done.result.tables["baselines"].set_index("baseline").loc["last_release"]
    ahead = {origin: (published["ds"] > origin).sum() for origin in pd.date_range("2018-06-01", NEWEST, freq="MS")}
    assert row["steps"] == sum(ahead.values())
    assert row["n"] == 7 * len(release.entries)


def test_what_is_published_is_in_the_table_of_methods_with_its_loss_and_its_cost(done: Done) -> None:
    table = done.result.tables["methods"].set_index("method")
    assert {"paxcast", *CANDIDATES, "random_walk", "zero_rule", "last_release", "file"} == set(table.index)
    assert (table.loc[["paxcast", *CANDIDATES], ["fold_mase", "cpu_seconds"]] > 0).all().all()
    assert table.loc["file", ["covered80", "covered95", "pinball"]].isna().all()
    assert table.loc["file", "n"] == 2
    assert table.loc["file", "mase"] < table.loc["seasonal_naive", "mase"]  # which counts where the file has nothing
    assert table.loc["paxcast", "cpu_seconds"] >= table.loc[CANDIDATES, "cpu_seconds"].sum()


def test_the_curve_of_coverage_has_every_level_and_rises(done: Done) -> None:
    table = done.result.tables["calibration"]
    assert table["level"].tolist() == list(curves.LEVELS)
    assert table["coverage"].is_monotonic_increasing
    assert table["n"].tolist() == [6 * 13 * 12] * len(curves.LEVELS)  # FFF has its first season by the first origin
    methods = done.result.tables["methods"].set_index("method")
    by_level = table.set_index("level")["coverage"]
    assert by_level[0.8] == pytest.approx(methods.loc["paxcast", "covered80"])
    assert by_level[0.95] == pytest.approx(methods.loc["paxcast", "covered95"])


def test_a_model_carried_on_begins_with_what_was_published_from_its_origin(done: Done) -> None:
    longer = done.kept["BBB"]["longer"]
    assert sorted(longer) == list(done.result.origins)
    assert {len(values) for values in longer.values()} == {12 + 12}
    errors = done.result.tables["staleness"].set_index("age")
    assert errors.loc[0, "ratio"] == 1
    published = done.result.tables["methods"].set_index("method").loc["paxcast", "mase"]
    assert errors.loc[0, "fresh"] == pytest.approx(published)  # carried on, all of them begin as they were published
    assert errors["pairs"].tolist() == [6 * (13 - age) for age in range(13)]
    learnt = done.kept["BBB"]["learning"]["0"]
    assert np.allclose(longer["2018-12-01"][:12], learnt)  # nothing is searched here, so the same line twice


def test_an_airport_learns_from_as_many_years_as_it_has_more_than(done: Done) -> None:
    assert sorted(map(int, done.kept["AAA"]["learning"])) == [0, 3, 5, 7]  # ten years at its end, nine at the origin
    assert done.kept["FFF"]["learning"] == {}  # two years and a month: too short for a fold, so nothing competed
    table = done.result.tables["learning"].set_index("years")
    assert table["airports"].to_dict() == {0: 5, 3: 5, 5: 5, 7: 5}
    for years in (0, 3):
        scaled = []
        for airport in CODES[:-1]:
            past = actual(done, airport, "2000-01-01", 1000)[:-18]
            off = np.abs(actual(done, airport, "2019-01-01", 12) - done.kept[airport]["learning"][str(years)])
            scaled.append(np.mean(off) / np.mean(np.abs(past[12:] - past[:-12])))
        assert table.loc[years, "mase"] == pytest.approx(np.mean(scaled))


def test_the_line_sees_no_scale_no_order_no_code_and_no_year_and_hears_of_an_event(done: Done) -> None:
    for check in ("scale", "order of rows", "airport code", "dates", "event", "noise of 5 %"):
        assert finding(done, check).passed is True, finding(done, check)
    assert set(done.result.tables["behaviour"]["airport"]) == set(CODES)


def test_the_time_of_each_candidate_is_what_passed_until_the_next_one_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticks = iter([1.0, 4.0, 4.0, 9.0, 20.0, 22.0])
    monkeypatch.setattr(examiner.time, "process_time", lambda: next(ticks))
    candidates: Any = {"a": "A", "b": "B"}
    clock = Clock(candidates)
    assert (clock["a"], clock["b"]) == ("A", "B")
    clock.stop()
    clock.stop()  # nothing is running any more
    assert clock["a"] == "A"
    clock.stop()
    assert clock.seconds == {"a": 3.0 + 2.0, "b": 5.0}
    assert list(clock) == ["a", "b"]


def test_an_airport_that_takes_too_long_is_counted_and_ends_nothing(done: Done) -> None:
    rows = done.table[done.table["airport"] == "AAA"].rename(columns={"date": "ds", "passengers": "y"})
    (history,) = tune.packed(rows.astype({"ds": "datetime64[ns]"}))
    task = tune.task_of(done.ws.settings, CANDIDATES, 12, 1)
    rules = done.ws.settings.rules("AAA")
    parts = {"store_root": done.ws.settings.store_root, "key": "slow", "frequency": "MS", "rule": "best"}
    worker = Examiner(
        **parts,
        search=lambda problem: [],
        memory_mb=0,
        oldest=2,
        assignments={"AAA": Assignment(rules, replace(task, seconds=1e-6), None, ())},
    )
    result = worker(history)
    assert (result.airport, result.status) == ("AAA", FAILED)
    assert "evaluating: not done after" in result.reason
    assert done.ws.objects.get(examiner.name_of("slow", history)) is None
    again = replace(worker, assignments={"AAA": Assignment(rules, task, None, ())})
    assert again(history).status == OK


def test_a_model_is_carried_on_from_the_history_with_its_shocks_passed_as_they_were_for_what_was_published(
    done: Done,
) -> None:
    table = done.table[done.table["airport"] == "AAA"].rename(columns={"date": "ds", "passengers": "y"})
    struck = table["ds"].between("2018-01-01", "2018-04-01")
    table = table.assign(y=table["y"].where(~struck, table["y"] * 0.3).astype(float)).astype({"ds": "datetime64[ns]"})
    (history,) = tune.packed(table[table["ds"] <= NEWEST])
    rules = replace(done.ws.settings.rules("AAA"), shock_mode="choose", calendar="none")
    rules = replace(rules, find_shocks=False, shocks=(Shock(date(2018, 1, 1), date(2018, 4, 30), "strike"),))
    task = tune.task_of(done.ws.settings, CANDIDATES, 12, 1)
    worker = Examiner(
        store_root=done.ws.settings.store_root,
        key="carried",
        frequency="MS",
        rule="best",
        search=lambda problem: [],
        memory_mb=0,
        oldest=2,
        assignments={},
    )
    assignment = Assignment(rules, task, None, ())
    value = dict(zip(table["ds"], table["y"], strict=True))
    for mode, exactly in ((None, False), ("bridge", False), ("keep", True)):
        made = Made("2018-12-01", history, 1, {"seasonal_naive": 1.0}, {"seasonal_naive": {}}, mode)
        found = worker._longer(made, assignment)
        assert bool(found[0] == value[pd.Timestamp("2018-01-01")]) is exactly, mode
        assert found[5] == value[pd.Timestamp("2018-06-01")]


def test_how_shocks_were_passed_is_read_from_what_was_tuned_at_the_origin(done: Done) -> None:
    seen = evaluating._look(done.ws, parse_as_of(AS_OF), ("AAA",), 1)
    look = backtest.look_back(done.ws, None, seen.everything, NEWEST, seen.horizon, seen.code)
    result = look.results["AAA"]
    chosen = {"what": "shock_mode", "how": "keep; MASE in 3 folds: bridge 2.0, event 1.5, keep 1.0"}
    later = replace(look, results={**look.results, "AAA": replace(result, steps=[*result.steps, chosen])})
    modes = [
        evaluating._assignment(done.ws, seen, [one], look.histories["AAA"]).made[0].shock_mode for one in (look, later)
    ]
    assert modes == [None, "keep"]


@dataclass(frozen=True)
class Runaway:
    """Forecasts well for a year, and then without end."""

    name: str = "runaway"

    def fit(self, series: Any, parameters: Any, *, seed: int, seconds: float) -> "Runaway":
        return self

    def forecast(self, horizon: int) -> Any:
        return np.array([100.0] * 12 + [np.inf] * (horizon - 12))


def test_an_airport_whose_forecast_cannot_be_carried_on_is_counted_with_the_reason(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = done.table[done.table["airport"] == "AAA"].rename(columns={"date": "ds", "passengers": "y"})
    (history,) = tune.packed(rows.astype({"ds": "datetime64[ns]"}))
    made = Made("2018-12-01", history, 1, {"runaway": 1.0}, {"runaway": {}})
    task = tune.task_of(done.ws.settings, CANDIDATES, 12, 1)
    worker = Examiner(
        store_root=done.ws.settings.store_root,
        key="runaway",
        frequency="MS",
        rule="best",
        search=lambda problem: [],
        memory_mb=0,
        oldest=2,
        assignments={"AAA": Assignment(done.ws.settings.rules("AAA"), task, None, (made,))},
    )
    monkeypatch.setattr(examiner, "CANDIDATES", {**examiner.CANDIDATES, "runaway": Runaway()})
    result = worker(history)
    assert (result.status, result.reason) == (
        FAILED,
        "FitFailed: AAA: carried on from 2018-12-01, a forecast is not a number",
    )


# --- the page and the command


def test_the_page_and_its_numbers_are_written_and_need_nothing_from_elsewhere(done: Done, tmp_path: Path) -> None:
    page = evaluated.write(done.result, tmp_path / "new" / "folder")
    assert sorted(p.name for p in page.parent.iterdir()) == ["evaluation.json", "index.html", "plotly.min.js"]
    text = page.read_text(encoding="utf-8")
    assert all(f.check in text for f in done.result.findings)
    assert 'src="plotly.min.js"' in text
    assert "http" not in text.replace("https://plot.ly", "")
    data = json.loads(text.split("const data = ")[1].split(";\n")[0])
    assert [len(figure["traces"]) for figure in data[:4]] == [2, 1, 2, 1]
    assert json.loads((page.parent / "evaluation.json").read_text(encoding="utf-8")) == done.result.as_json()


def test_the_page_says_which_candidates_the_examined_forecast_leaves_out(done: Done, tmp_path: Path) -> None:
    assert done.result.examined_without == ()
    page = evaluated.write(done.result, tmp_path).read_text(encoding="utf-8")
    assert "Examined without" not in page
    one = replace(done.result, examined_without=("fleet_gbm",))
    assert "<p>Examined without fleet_gbm: behaviour, learning" in evaluated.write(one, tmp_path).read_text("utf-8")
    assert one.as_json()["examined_without"] == ["fleet_gbm"]


def test_it_is_the_fleets_model_wherever_it_competes(done: Done) -> None:
    named = done.ws.settings.with_candidates([*CANDIDATES, "fleet_gbm"])
    pinned = done.ws.settings.model_copy(update={"overrides": {"AAA": OverrideSettings(method="fleet_gbm")}})
    assert [evaluating._given(s) for s in (named, pinned, done.ws.settings)] == [("fleet_gbm",), ("fleet_gbm",), ()]


def test_the_command_ends_well_whatever_it_finds(done: Done, tmp_path: Path) -> None:
    args = ["--config", str(done.path), "evaluate", "--as-of", AS_OF, "--out", str(tmp_path), "--airports", "AAA,BBB"]
    said = CliRunner().invoke(cli.app, [*args, "--json"], catch_exceptions=False)
    assert said.exit_code == 0
    told = json.loads(said.stdout)
    assert told["airports"] == ["AAA", "BBB"]
    assert {f["passed"] for f in told["findings"]} >= {True, None}  # no --baseline: not measured
    assert Path(told["page"]).is_file()
    plain = CliRunner().invoke(cli.app, args, catch_exceptions=False)
    assert plain.exit_code == 0
    assert "ok   examined: every airport of the sample" in plain.stdout
    assert f"The page: {told['page']}" in plain.stdout


def test_the_commands_of_quality_are_commands_like_the_others() -> None:
    said = CliRunner().invoke(cli.app, ["--help"], catch_exceptions=False).stdout
    assert all(command in said for command in ("retrain", "doctor", "score", "backtest", "evaluate"))


def test_too_early_unknown_airports_and_no_date_are_refused(done: Done) -> None:
    with pytest.raises(ConfigurationError, match="2010-06-30 is too early"):
        evaluate(done.ws, None, parse_as_of("2010-06-30"))
    with pytest.raises(ConfigurationError, match="nothing is known as of 1999-12-31"):
        evaluate(done.ws, None, parse_as_of("1999-12-31"))
    with pytest.raises(UnknownAirports, match="XXX"):
        evaluate(done.ws, None, parse_as_of(AS_OF), airports=("AAA", "XXX"))
    args = ["--config", str(done.path), "evaluate", "--out", "x"]
    with pytest.raises(ConfigurationError, match="--as-of"):
        CliRunner().invoke(cli.app, args, catch_exceptions=False)


# --- files of others' forecasts

ORIGINS = [pd.Timestamp("2018-11-01"), NEWEST]
GOOD = "airport,ds,yhat\nAAA,2019-01-01,5\nAAA,2019-02-01,6.5\n"


def given(folder: Path, text: str, name: str = "given.csv") -> pd.DataFrame:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return baselines.from_file(path, ORIGINS, ["AAA", "BBB"], "MS")


def test_forecasts_without_an_origin_are_those_of_the_newest_one(tmp_path: Path) -> None:
    rows = given(tmp_path, GOOD)
    assert rows["origin"].tolist() == [NEWEST] * 2
    assert rows["ds"].tolist() == [pd.Timestamp("2019-01-01"), pd.Timestamp("2019-02-01")]
    assert rows["yhat"].tolist() == [5, 6.5]
    assert rows["lo80"].isna().all()
    assert set(rows["method"]) == {"file"}


def test_origins_and_intervals_are_taken_where_there_are_any_and_other_rows_left_out(tmp_path: Path) -> None:
    text = (
        "airport,ds,yhat,origin,lo80,hi80,mine\n"
        "AAA,2018-12-01,5,2018-11-01,4,6,x\n"
        "AAA,2019-01-01,5,2018-12-01,4,6,x\n"
        "AAA,2019-01-01,5,2018-10-01,4,6,an origin that is not compared\n"
        "AAA,2018-12-01,5,2018-12-01,4,6,not ahead of its origin\n"
        "ZZZ,2019-01-01,5,2018-12-01,4,6,another airport\n"
        "BBB,2019-01-01,7,2018-12-01,,6,half an interval\n"
    )
    rows = given(tmp_path, text)
    assert list(zip(rows["airport"], rows["origin"].dt.month, rows["lo80"].fillna(-1), strict=True)) == [
        ("AAA", 11, 4.0),
        ("AAA", 12, 4.0),
        ("BBB", 12, -1.0),
    ]
    path = tmp_path / "same.parquet"
    frame = pd.read_csv(tmp_path / "given.csv", parse_dates=["ds", "origin"])
    frame.to_parquet(path, index=False)
    pd.testing.assert_frame_equal(baselines.from_file(path, ORIGINS, ["AAA", "BBB"], "MS"), rows)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("airport,ds,value\nAAA,2019-01-01,5\n", "no column yhat; a baseline has the columns airport, ds, yhat"),
        ("airport,ds,yhat\nAAA,soon,5\n", "row 1: ds 'soon' is not a date"),
        ("airport,ds,yhat\nAAA,2019-01-01,5\nAAA,2019-02-01,many\n", "row 2: yhat 'many' is not a number"),
        ("airport,ds,yhat\nAAA,2019-01-01,\n", "row 1: yhat 'nan' is not a number"),
        ("airport,ds,yhat,lo80\nAAA,2019-01-01,5,low\n", "row 1: lo80 'low' is not a number"),
        (GOOD + "AAA,2019-01-01,7\n", "AAA has more than one forecast of 2019-01-01"),
        ("airport,ds,yhat\nZZZ,2019-01-01,5\n", "none of its 1 rows is a forecast of an airport and period"),
        ("airport,ds,yhat\nAAA,2017-01-01,5\n", "none of its 1 rows is a forecast of an airport and period"),
        ("", "cannot be read as CSV"),
    ],
)
def test_a_file_that_is_no_baseline_says_what_is_wrong_with_it(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadFile, match=r"given\.csv") as raised:
        given(tmp_path, text)
    assert said in str(raised.value)


def test_a_file_that_is_not_there_or_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file"):
        baselines.from_file(tmp_path / "none.csv", ORIGINS, ["AAA"], "MS")
    with pytest.raises(BadFile, match="cannot be read as Parquet"):
        given(tmp_path, GOOD, "text.parquet")


def test_an_airport_named_na_or_with_digits_is_an_airport(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_text("airport,ds,yhat\n007,2019-01-01,5\nNA,2019-01-01,5\n", encoding="utf-8")
    assert baselines.from_file(path, ORIGINS, ["007", "NA"], "MS")["airport"].tolist() == ["007", "NA"]
