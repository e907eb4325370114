"""Drift checks of a small fleet on real runs: who is told, who is not, and what a repetition or a gap changes."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from paxcast import cli
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import drift, drift_asked, drift_kept, releases, retrain
from paxcast.jobs.drift import Checked
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.sections import OverrideSettings
from paxcast.settings import load

NOW = pd.Timestamp("2022-06-01T12:00", tz="UTC")
CODES = [f"A{n:02d}" for n in range(10)]
JUMPS, BROKEN, YOUNG = "A01", "A02", "NEW"
FIRST, QUIET, ONCE, TWICE, AFTER, LATER = (
    "2021-08-08", "2021-10-03", "2021-10-17", "2021-10-24", "2021-10-31", "2021-11-14"
)  # fmt: skip
JUMP = "2021-10-04"
SETTINGS: dict[str, Any] = {
    "candidates": ["weekday_year_ago"],  # takes up another level within four weeks
    "search": {"mode": "local"},
    "history": {"find_shocks": False, "shocks": []},
}
Make = Callable[..., Any]


def at(as_of: str) -> pd.Timestamp:
    return parse_as_of(as_of)


def weeks(codes: list[str], periods: int = 208, last: str = "2021-12-27") -> pd.DataFrame:
    """Growth of 10 % a year, a season, noise of 5 %; weeks begin on Mondays."""
    rng, dates = np.random.default_rng(1), pd.date_range(end=last, periods=periods, freq="W-MON")
    season = (1 + 0.2 * np.sin(2 * np.pi * np.arange(periods) / 52)) * 1.1 ** (np.arange(periods) / 52)
    frames = [
        pd.DataFrame({"airport": code, "date": dates.strftime("%Y-%m-%d"), "passengers": 1000 * (n + 2) * season})
        for n, code in enumerate(codes)
    ]
    table = pd.concat(frames, ignore_index=True)
    return table.assign(passengers=(table["passengers"] * rng.normal(1, 0.05, len(table))).round())


def times(table: pd.DataFrame, airport: str, since: str, factor: float) -> pd.DataFrame:
    rows = table["airport"].eq(airport) & (table["date"] >= since)
    return table.assign(passengers=table["passengers"].where(~rows, (table["passengers"] * factor).round()))


@dataclass
class Line:
    """A fleet whose source delivers as told, and what checks of it said."""

    ws: Workspace
    path: Path
    table: pd.DataFrame
    said: dict[str, Checked] = field(default_factory=dict)

    def take(self, as_of: str, table: pd.DataFrame | None = None) -> None:
        rows = self.table if table is None else table
        until = str((pd.Timestamp(as_of) - pd.Timedelta(days=6)).date())
        rows[rows["date"] <= until].to_csv(self.path.with_suffix(".csv"), index=False)
        ingest(self.ws, NOW)

    def retrain(self, as_of: str, **wanted: Any) -> dict[str, Any]:
        return retrain.retrain(self.ws, Request(as_of=at(as_of), request_id=as_of, **wanted), NOW)

    def check(self, as_of: str) -> Checked:
        self.said[as_of] = drift.check(self.ws, at(as_of))
        return self.said[as_of]

    def row(self, as_of: str, airport: str) -> dict[str, Any]:
        return next(row for row in self.said[as_of].rows if row["airport"] == airport)

    def stored(self, as_of: str) -> pd.DataFrame:
        rows = self.ws.tables.read("drift", [("check_key", "=", self.said[as_of].check_key)])
        return rows.sort_values("airport", ignore_index=True)

    def copy(self, folder: Path) -> "Line":
        """The same store once more, for what shall not be seen by others."""
        content = self.path.read_text(encoding="utf-8").replace(str(self.path.parent), str(folder))
        shutil.copytree(self.path.parent, folder, dirs_exist_ok=True)
        path = folder / self.path.name
        path.write_text(content, encoding="utf-8")
        return Line(open_workspace(load(path)), path, self.table, dict(self.said))


@pytest.fixture(scope="module")
def released(new_fleet: Make) -> Line:
    """A fleet with a release as of FIRST. NEW has too short a history for any forecast."""
    table = times(weeks(CODES), JUMPS, JUMP, 1.6)
    young = table[table["airport"].eq("A00") & (table["date"] > "2021-05-01")].assign(airport=YOUNG)
    table = pd.concat([table, young], ignore_index=True)
    path = new_fleet(table, **SETTINGS)
    line = Line(open_workspace(load(path)), path, table)
    line.take(FIRST)
    line.retrain(FIRST)
    return line


@pytest.fixture(scope="module")
def line(released: Line, tmp_path_factory: pytest.TempPathFactory) -> Line:
    """One airport jumps by 60 % on JUMP; one is given a thousandfold in the last week before TWICE."""
    line = released.copy(tmp_path_factory.mktemp("line"))
    line.check(FIRST)
    broken = times(line.table, BROKEN, "2021-10-18", 1000)
    for as_of in (QUIET, "2021-10-10", ONCE, TWICE):
        line.take(as_of, broken)
        line.check(as_of)
    line.check("2021-10-25")  # a day on which nothing new came
    return line


# --- who is told


def test_before_any_published_forecast_has_an_actual_nobody_is_tested(line: Line) -> None:
    said = line.said[FIRST]
    assert said.counts["tested"] == said.counts["drifted"] == said.counts["watch"] == 0
    assert {row["severity"] for row in said.rows} == {"none"}
    assert line.row(FIRST, "A00")["why"] == "not tested: no forecast that was published of it has an actual yet"
    (note,) = said.notes
    assert note.startswith("no airport can be tested yet")


def test_in_a_quiet_fleet_everybody_is_tested_and_nobody_flagged(line: Line) -> None:
    said = line.said[QUIET]
    assert said.counts == {"airports": 11, "tested": 10} | dict.fromkeys(
        ["drifted", "watch", "fault", "retrain", "fallback", "escalate", "wait"], 0
    )
    for row in said.rows:
        assert (row["drifted"], row["severity"], row["reasons"], row["action"]) == (False, "none", [], "none")
    assert not said.world["alert"]
    assert said.notes == ()


def test_an_airport_whose_level_jumps_is_watched_first_and_drifted_when_that_lasts(line: Line) -> None:
    assert line.row("2021-10-10", JUMPS)["drifted"] is False
    first, then = line.row(ONCE, JUMPS), line.row(TWICE, JUMPS)
    assert (first["severity"], first["drifted"], first["action"]) == ("watch", False, "none")
    assert (then["severity"], then["drifted"], then["action"]) == ("severe", True, "retrain")
    assert then["cycle"] == "2021-10-18"
    assert 0 < then["p"] <= then["q"] < 0.001
    assert then["p"] < first["p"]
    assert then["ratio"] > 3
    assert then["cusum"][-1] > then["cusum"][-3] > 0


def test_a_reason_is_a_test_or_says_what_changed_in_the_airport_s_inputs(line: Line) -> None:
    row = line.row(TWICE, JUMPS)
    tests = [reason for reason in row["reasons"] if ": " not in reason]
    assert "actuals above forecasts" in tests
    assert row["why"] == f"drift: {', '.join(tests)}"
    assert any(reason.startswith("level: the last 8 weeks have") for reason in row["reasons"])


def test_all_others_stay_well(line: Line) -> None:
    for as_of in (QUIET, "2021-10-10", ONCE, TWICE):
        assert {row["airport"] for row in line.said[as_of].rows if row["severity"] != "none"} <= {JUMPS, BROKEN}


def test_a_fault_of_the_feed_is_no_drift_and_retrains_nobody(line: Line) -> None:
    row = line.row(TWICE, BROKEN)
    assert (row["severity"], row["fault"], row["action"]) == ("fault", "unit", "alert")
    assert (row["drifted"], row["tested"], row["p"], row["q"]) == (False, False, None, None)
    assert row["reasons"][0].startswith("unit since 2021-10-18: ")
    assert line.said[TWICE].counts["fault"] == 1
    assert line.said[TWICE].counts["retrain"] == 1
    assert list(drift_asked.asked_for(line.ws, at(TWICE))) == [JUMPS]


def test_an_airport_without_a_model_is_named_with_the_reason(line: Line) -> None:
    row = line.row(TWICE, YOUNG)
    assert (row["tested"], row["severity"], row["version"], row["why"]) == (
        False, "none", 0, "no model of it is in force"
    )  # fmt: skip


def test_every_airport_has_one_row_with_what_is_printed_first(line: Line) -> None:
    said = line.said[TWICE]
    assert [row["airport"] for row in said.rows] == [*CODES, YOUNG]
    assert list(said.rows[0])[:7] == list(drift.SHOWN)
    assert {row["version"] for row in said.rows if row["airport"] in CODES} == {1}


# --- what is stored


def test_what_was_said_is_in_the_table_and_in_the_object(line: Line) -> None:
    said, rows = line.said[TWICE], line.stored(TWICE)
    assert said.check_key == "small-20211025T000000-drift"
    assert rows["run_key"].tolist() == rows["check_key"].tolist() == [said.check_key] * 11
    assert rows["as_of"].unique().tolist() == [TWICE]
    for stored, row in zip(rows.to_dict("records"), sorted(said.rows, key=lambda row: row["airport"]), strict=True):
        for name in (
            "airport",
            "drifted",
            "severity",
            "action",
            "cycle",
            "tested",
            "fault",
            "why",
            "pinned",
            "version",
        ):
            assert stored[name] == row[name]
        for name in ("p", "q", "ratio"):
            assert (None if np.isnan(stored[name]) else stored[name]) == row[name]
        assert (json.loads(stored["reasons"]), json.loads(stored["cusum"])) == (row["reasons"], row["cusum"])
    kept = line.ws.objects.get(f"drift/small/{said.check_key}.json")
    assert kept["world"] == said.world
    assert kept["counts"] == said.counts
    assert (kept["check_key"], kept["as_of"]) == (said.check_key, TWICE)
    assert kept["settings"] == line.ws.settings.drift.model_dump(mode="json")


def test_a_check_that_is_repeated_writes_the_same(line: Line) -> None:
    before, objects = line.stored(TWICE), list(line.ws.objects.names("drift"))
    kept = line.ws.objects.get(f"drift/small/{line.said[TWICE].check_key}.json")
    again = drift.check(line.ws, at(TWICE))
    assert again == line.said[TWICE]
    pd.testing.assert_frame_equal(line.stored(TWICE), before)
    assert list(line.ws.objects.names("drift")) == objects
    assert line.ws.objects.get(f"drift/small/{again.check_key}.json") == kept


def test_a_check_that_is_repeated_keeps_its_page(line: Line) -> None:
    name = f"drift/small/{line.said[ONCE].check_key}.json"
    line.ws.objects.put(name, {**line.ws.objects.get(name), "page": "there"})
    drift.check(line.ws, at(ONCE))
    assert line.ws.objects.get(name)["page"] == "there"


def test_of_an_airport_all_checks_are_told_oldest_first(line: Line) -> None:
    found = drift_kept.of_airport(line.ws, JUMPS)
    assert [as_of for as_of, _ in found] == sorted(at(as_of) for as_of in line.said)
    assert [row["severity"] for _, row in found][-3:] == ["watch", "severe", "severe"]


# --- no new actual, and how things came


def test_a_new_check_without_a_new_actual_holds_the_verdict(line: Line) -> None:
    held, before = line.row("2021-10-25", JUMPS), line.row(TWICE, JUMPS)
    assert {**held, "tested": True} == before
    assert held["tested"] is False
    assert line.row("2021-10-25", "A00")["p"] == line.row(TWICE, "A00")["p"]
    assert line.row("2021-10-25", "A00")["why"].startswith("not tested: no new actual since the check as of 2021-10-24")
    assert line.said["2021-10-25"].counts["tested"] == 0
    assert line.said["2021-10-25"].notes == ()


def test_how_and_when_the_data_came_changes_nothing(line: Line, released: Line, tmp_path: Path) -> None:
    other = released.copy(tmp_path / "at_once")
    mixed = times(line.table, BROKEN, "2021-10-18", 1000).sample(frac=1, random_state=1)
    other.take(TWICE, mixed)  # eleven weeks in one delivery, in no order
    for as_of in (FIRST, QUIET, "2021-10-10", ONCE, TWICE):
        assert other.check(as_of) == line.said[as_of]


def test_a_wrong_value_that_is_corrected_is_tested_again_at_once(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "corrected")
    assert other.row("2021-10-25", JUMPS)["drifted"]
    right = times(other.table, JUMPS, JUMP, 1 / 1.6)
    right = right[right["date"] <= "2021-10-18"]
    right.to_csv(other.path.with_suffix(".csv"), index=False)
    ingest(other.ws, NOW, known_at=at("2021-10-26"))
    other.check("2021-10-26")
    row = other.row("2021-10-26", JUMPS)
    assert (row["tested"], row["drifted"], row["severity"], row["cycle"]) == (True, False, "none", "2021-10-18")
    assert other.row("2021-10-26", BROKEN)["fault"] == ""


# --- what is done about it


def test_after_its_retraining_the_drifted_airport_alone_is_quiet_again(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "retrained")
    other.take(AFTER)
    asked = other.check(AFTER)
    before = releases.current(other.ws).by_airport()
    assert other.retrain(AFTER, drifted=True)["refitted"] == [JUMPS]
    after = releases.current(other.ws).by_airport()
    assert {airport for airport in before if before[airport] != after[airport]} == {JUMPS}
    assert other.check(AFTER) == asked  # once more: what it asked for stays on record
    assert other.check("2021-11-01").counts["retrain"] == 0
    row = other.row("2021-11-01", JUMPS)
    assert (row["severity"], row["tested"], row["version"]) == ("none", False, 2)
    assert row["why"].startswith("not tested: no new actual")
    for as_of in ("2021-11-07", LATER, "2021-11-21"):
        other.take(as_of)
        other.check(as_of)
        row = other.row(as_of, JUMPS)
        assert (row["tested"], row["severity"], row["action"]) == (True, "none", "none")


def test_a_check_of_a_day_that_a_later_release_or_check_has_passed_asks_for_nobody(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "back")
    past = drift_asked.past(other.ws, at(AFTER))
    said = other.check("2021-10-25T12:00:00Z")  # between two checks that are there
    row = other.row("2021-10-25T12:00:00Z", JUMPS)
    assert (row["severity"] in ("moderate", "severe"), row["action"]) == (True, "none")
    assert row["why"].endswith("nothing is asked for, as the fleet was released or checked for a later date since")
    assert said.counts["retrain"] == 0
    assert said.notes == ("nothing is asked for: the fleet was released or checked for a later date since",)
    assert drift_asked.past(other.ws, at(AFTER)) == past
    assert other.check("2021-10-25T12:00:00Z") == said
    assert other.check(TWICE) == line.said[TWICE]  # made when it was the newest, it says what it said


def test_a_thousandfold_that_stays_is_a_fault_after_half_a_year_too(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "stays")
    table = times(weeks(CODES, periods=234, last="2022-06-27"), BROKEN, "2021-10-18", 1000)
    for as_of in pd.date_range("2021-10-31", "2022-06-26", freq="21D").strftime("%Y-%m-%d"):
        other.take(as_of, table)
        other.check(as_of)
        row = other.row(as_of, BROKEN)
        assert (row["fault"], row["action"], row["reasons"][0][:22]) == ("unit", "alert", "unit since 2021-10-18:")


def test_a_feed_that_stops_for_all_is_said_though_no_airport_lags_behind_another(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "stopped")
    late = "most airports have no actual of the 5 weeks after 2021-10-18; see whether the source delivers and ingestion"
    patient = other.check("2021-11-27")  # four whole weeks are missing, which history.max_stale puts up with
    assert patient.notes == ()
    found = other.check("2021-11-28")
    assert found.notes == (f"{late} runs, and state source.delay_days if it is always so late",)
    assert (found.counts["fault"], found.counts["tested"]) == (1, 0)
    kept = other.ws.objects.get(f"drift/{other.ws.fleet}/{found.check_key}.json") or {}
    assert (kept["overdue"], kept["ended"]) == ("5 weeks after 2021-10-18", 0)


def test_forecasts_that_have_ended_are_said_and_nothing_is_tested_any_more(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "ended")
    closed = other.table[other.table["airport"].ne("A06") | (other.table["date"] < "2021-11-01")]
    for as_of, tested in (("2021-11-07", 9), ("2021-11-28", 0), ("2021-12-05", 0)):
        other.take(as_of, closed)
        assert other.check(as_of).counts["tested"] == tested
    assert other.said["2021-11-07"].notes == ()
    for as_of in ("2021-11-28", "2021-12-05"):
        (note,) = other.said[as_of].notes
        assert note.startswith(
            "the forecast has ended of 9 airports that are still reported, so what came since is not"
        )
        assert other.row(as_of, "A05")["why"] == "not tested: its forecast ended with 2021-11-01; retrain it"
    other.retrain("2021-12-05")
    assert other.check("2021-12-06").notes == ()
    why = "not tested: no forecast of its newest actuals was published beforehand"
    assert other.row("2021-12-06", "A05")["why"] == why


def test_a_fleet_of_excluded_airports_has_nothing_to_check(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "excluded")
    wanted = dict.fromkeys([*CODES, YOUNG], OverrideSettings(exclude=True))
    ws = replace(other.ws, settings=other.ws.settings.model_copy(update={"overrides": wanted}))
    with pytest.raises(ConfigurationError, match="no airport that is not excluded has an actual as of 2021-10-24"):
        drift.check(ws, at(TWICE))


def test_above_the_budget_airports_wait(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "budget")
    settings = other.ws.settings
    none = settings.model_copy(update={"drift": settings.drift.model_copy(update={"budget": 0})})
    found = drift.check(replace(other.ws, settings=none), at(TWICE))
    assert (found.counts["wait"], found.counts["retrain"], found.counts["drifted"]) == (1, 0, 1)


def test_an_excluded_airport_is_not_told_of(line: Line, tmp_path: Path) -> None:
    other = line.copy(tmp_path / "excluded")
    text = other.path.read_text(encoding="utf-8")
    other.path.write_text(
        f"{text}overrides: {{{JUMPS}: {{exclude: true}}, {BROKEN}: {{exclude: true}}}}\n", encoding="utf-8"
    )
    found = drift.check(open_workspace(load(other.path)), at(TWICE))
    assert {row["airport"] for row in found.rows} == {*CODES, YOUNG} - {JUMPS, BROKEN}
    assert (found.counts["drifted"], found.counts["fault"]) == (0, 0)


# --- too early


def test_a_fleet_with_too_little_to_compare_is_told_when_there_will_be_enough(new_fleet: Make, made_up: Make) -> None:
    table = made_up(["AAA", "BBB", "CCC"], 40, "MS", "2020-12-01")
    path = new_fleet(table, **{**SETTINGS, "horizon": 3, "folds": {"recent": 1, "earlier_years": 0}})
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    with pytest.raises(ConfigurationError, match="no release yet"):
        drift.check(ws, at("2020-12-31"))
    retrain.retrain(ws, Request(as_of=at("2020-12-31"), request_id="one"), NOW)
    found = drift.check(ws, at("2020-12-31"))
    assert [row["why"] for row in found.rows] == ["not tested: 6 of the 21 months that a test needs"] * 3
    assert found.notes == (
        "no airport can be tested yet: a test needs 21 months of forecasts and actuals, and none has more than 6; "
        "there will be enough as of 2022-03-31 at the latest, if no actual is missing",
    )
    done = command(path, "drift", "--as-of", "2020-12-31")
    assert done.exit_code == 0
    assert found.notes[0] in done.stdout
    early = command(path, "drift", "--as-of", "2020-12-30")
    assert isinstance(early.exception, ConfigurationError)
    assert "the first is as of 2020-12-31" in str(early.exception)


def test_where_nothing_was_ingested_that_is_what_is_asked_for(ws: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="nothing was ingested yet"):
        drift.check(ws, at("2020-12-31"))


# --- the command


def command(path: Path, *args: str) -> Result:
    return CliRunner().invoke(cli.app, ["--config", str(path), *args])


def test_the_command_gives_one_object_an_airport_as_json_and_nothing_else(line: Line) -> None:
    done = command(line.path, "drift", "--as-of", TWICE, "--json")
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert [list(row) for row in found] == [["airport", "drifted", "severity", "p", "q", "reasons", "action"]] * 11
    assert found == [{name: row[name] for name in drift.SHOWN} for row in line.said[TWICE].rows]


def test_the_command_tells_of_the_world_the_counts_and_who_is_not_well(line: Line) -> None:
    done = command(line.path, "drift", "--as-of", TWICE)
    assert done.exit_code == 0, done.exception
    lines = done.stdout.splitlines()
    assert lines[0].startswith("The world is as it was")
    assert "1 drifted" in lines[1]
    assert [row.split()[0] for row in lines[3:-2]] == [JUMPS, BROKEN]
    assert lines[-2].startswith(f"next: `paxcast retrain --drifted --as-of {TWICE}`")
    assert lines[-1].endswith("index.html")
    assert Path(lines[-1].removeprefix("page: ")).is_file()


def test_a_day_that_is_not_over_is_refused_as_no_check_before_it_would_act_any_more(line: Line) -> None:
    today = f"{pd.Timestamp.now(tz='UTC'):%Y-%m-%d}"
    for day in ("2199-01-01", today):
        done = command(line.path, "drift", "--as-of", day)
        assert isinstance(done.exception, ConfigurationError)
        assert str(done.exception) == f"--as-of: {day} is not over yet; leave it out for all that is known now"
    assert drift_asked.newest_check(line.ws) == at("2021-10-25")
