"""Published forecasts scored as actuals arrive, late and restated ones too: on real runs, and on releases by hand."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from paxcast import cli
from paxcast.core import calendar, scoring
from paxcast.core.calendar import parse_as_of
from paxcast.core.evaluation import fold_scale
from paxcast.core.identity import bucket
from paxcast.core.release import Entry, Release
from paxcast.jobs import forecast, histories, releases, retrain, score
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-06-01T12:00", tz="UTC")
CODES = ["AAA", "BBB", "CCC"]
BACKFILLED, FIRST, SECOND, END = "2020-03-31", "2020-06-30", "2020-09-30", "2020-12-31"
ONE = ["airport", "run_key", "checksum", "ds"]
Make = Callable[..., Any]


def scores(ws: Workspace) -> pd.DataFrame:
    """Everything stored."""
    return ws.tables.read("scores").sort_values([*ONE, "known_at", "data_version"], ignore_index=True)


def of_month(rows: pd.DataFrame, airport: str, ds: str) -> pd.DataFrame:
    return rows[rows["airport"].eq(airport) & rows["ds"].eq(pd.Timestamp(ds))]


def counts(done: score.Scored) -> tuple[int, int, int, int, int]:
    assert done.forecasts == done.new + done.rescored + done.unchanged + done.unusable + done.waiting
    return done.new, done.rescored, done.unchanged, done.unusable, done.waiting


def at(as_of: str) -> pd.Timestamp:
    return parse_as_of(as_of)


# --- real runs: two retrainings with new months between, a backfill, a restatement


@dataclass
class Line:
    """What happened, in order: how each scoring counted, and what `read` gave after it."""

    ws: Workspace
    path: Path
    released: dict[str, str]
    done: dict[str, score.Scored]
    seen: dict[str, pd.DataFrame]

    def score(self, name: str, as_of: str) -> None:
        self.done[name] = score.score(self.ws, at(as_of))
        self.seen[name] = score.read(self.ws, at(as_of))

    def take(self, table: pd.DataFrame, until: str, known_at: str | None = None) -> None:
        table[table["date"] <= until].to_csv(self.path.with_suffix(".csv"), index=False)
        ingest(self.ws, NOW, known_at=at(known_at) if known_at else None)

    def retrain(self, as_of: str, **wanted: Any) -> None:
        result = retrain.retrain(self.ws, Request(as_of=at(as_of), request_id=as_of, **wanted), NOW)
        self.released[as_of] = result["release"]


def changed(table: pd.DataFrame, airport: str, date: str, value: float) -> pd.DataFrame:
    row = table["airport"].eq(airport) & table["date"].eq(date)
    assert row.sum() == 1
    return table.assign(passengers=table["passengers"].where(~row, value))


@pytest.fixture(scope="module")
def line(new_fleet: Make, made_up: Make) -> Line:
    """AAA is restated, CCC quarantined from the second run on, the last month of BBB comes late, NEW is too short."""
    table = made_up(CODES, 60, "MS", "2020-12-01")
    table = pd.concat([table, table[table["airport"].eq("AAA")].tail(9).assign(airport="NEW")])
    path = new_fleet(table, candidates=["seasonal_naive"], search={"mode": "local"})
    line = Line(open_workspace(load(path)), path, {}, {}, {})
    table = changed(table, "CCC", "2020-08-01", -5)
    line.take(table, "2020-06-01")
    line.retrain(FIRST)
    line.score("at once", FIRST)
    line.take(table, "2020-09-01")
    line.retrain(SECOND)
    line.retrain(BACKFILLED, backfill=True)
    line.score("after a quarter", SECOND)
    late = table["airport"].eq("BBB") & table["date"].eq("2020-12-01")
    line.take(table[~late], "2020-12-01")
    line.score("without the late one", END)
    line.score("again", END)
    line.take(table, "2020-12-01")
    line.score("with the late one", END)
    line.take(changed(table, "AAA", "2020-08-01", 12345), "2020-12-01", known_at="2020-11-15")
    line.score("restated", END)
    line.score("before the restatement", "2020-11-14")
    line.score("at last", END)
    return line


def test_what_was_just_forecast_has_no_actual_yet(line: Line) -> None:
    assert counts(line.done["at once"]) == (0, 0, 0, 0, 36)
    assert line.seen["at once"].empty


def test_each_month_that_is_known_is_scored_for_every_release_that_forecast_it(line: Line) -> None:
    # six months of the backfilled release, and three of the first, which the second run had scored; CCC lacks its
    # negative August
    assert counts(line.done["after a quarter"]) == (5 + 6 + 6, 0, 2 + 3 + 3, 2, 96 - 27)
    rows = line.seen["after a quarter"]
    months = rows.groupby(["airport", "forecast_as_of"])["ds"].agg(lambda ds: [d.month for d in ds])
    of_backfill, of_first = at(BACKFILLED), at(FIRST)
    assert months["AAA"].to_dict() == {of_backfill: [4, 5, 6, 7, 8, 9], of_first: [7, 8, 9]}
    assert months["CCC"].to_dict() == {of_backfill: [4, 5, 6, 7, 9], of_first: [7, 9]}
    july = of_month(rows, "AAA", "2020-07-01")
    assert july["step"].tolist() == [4, 1]
    assert july["y"].nunique() == 1


def test_a_forecast_that_a_later_release_carries_on_is_scored_once_under_the_release_that_made_it(line: Line) -> None:
    second = releases.load(line.ws, line.released[SECOND])
    assert second is not None
    assert second.by_airport()["CCC"].as_of == FIRST
    rows = line.seen["at last"]
    of_ccc = rows[rows["airport"].eq("CCC") & ~rows["backfill"]]
    assert of_ccc["release"].unique().tolist() == [line.released[FIRST]]
    assert not rows.duplicated(["airport", "run_key", "checksum", "ds"]).any()


def test_scores_of_releases_that_a_backfill_published_are_marked(line: Line) -> None:
    marks = line.seen["at last"].groupby("release")["backfill"].unique().map(list).to_dict()
    assert marks == {line.released[BACKFILLED]: [True], line.released[FIRST]: [False], line.released[SECOND]: [False]}


def test_a_run_takes_its_intervals_after_what_became_of_the_release_before_it_but_not_of_a_backfilled_one(
    line: Line,
) -> None:
    rows = line.seen["after a quarter"]
    rows = rows[rows["release"].eq(line.released[FIRST])]
    outside = [1 - rows.loc[rows["ds"].eq(pd.Timestamp(f"2020-{m:02d}-01")), "covered80"].mean() for m in (7, 8, 9)]
    allowed = 0.2
    for share in outside:
        allowed = min(max(allowed + 0.15 * (0.2 - share), 0.1), 0.4)
    for as_of, cycles, level in ((FIRST, 0, 0.8), (BACKFILLED, 0, 0.8), (SECOND, 3, 1 - allowed)):
        release = releases.load(line.ws, line.released[as_of])
        assert release is not None
        shared = line.ws.objects.get(f"runs/{release.run_key}/fleet.json")
        assert (shared["cycles"], shared["levels"]["0.8"]) == (cycles, pytest.approx(level))
    assert allowed != 0.2


def test_an_airport_that_was_never_forecast_has_no_scores(line: Line) -> None:
    assert sorted(scores(line.ws)["airport"].unique()) == CODES


def test_scoring_again_adds_nothing(line: Line) -> None:
    first, again = line.done["without the late one"], line.done["again"]
    assert (again.new, again.rescored) == (0, 0)
    assert again.unchanged == first.unchanged + first.new
    pd.testing.assert_frame_equal(line.seen["again"], line.seen["without the late one"])


def test_a_month_that_arrives_late_is_scored_when_it_does(line: Line) -> None:
    done = line.done["with the late one"]
    assert (done.new, done.rescored) == (3, 0)  # three releases forecast it
    added = of_month(scores(line.ws), "BBB", "2020-12-01")
    assert added["step"].tolist() == [9, 6, 3]


def test_a_restated_month_is_scored_again_beside_what_was_said_before(line: Line) -> None:
    done = line.done["restated"]
    assert (done.new, done.rescored) == (0, 2)
    both = of_month(scores(line.ws), "AAA", "2020-08-01")
    assert len(both) == 4
    assert both["y"].tolist()[1::2] == [12345, 12345]
    assert both["known_at"].tolist()[1::2] == [at("2020-11-15")] * 2
    for name, expected in (("restated", [12345.0] * 2), ("before the restatement", both["y"].tolist()[::2])):
        assert of_month(line.seen[name], "AAA", "2020-08-01")["y"].tolist() == expected


def test_scoring_as_of_an_earlier_day_takes_nothing_from_the_later_one(line: Line) -> None:
    assert (line.done["at last"].new, line.done["at last"].rescored) == (0, 0)
    pd.testing.assert_frame_equal(line.seen["at last"], line.seen["restated"])
    assert line.seen["before the restatement"]["known_at"].max() <= at("2020-11-14")


def test_every_stored_number_follows_from_the_forecast_the_actual_and_the_history_of_its_day(
    line: Line, regular: Make
) -> None:
    version = line.ws.tables.version("observations")
    rows = line.seen["at last"]
    rows = rows[rows["airport"].ne("CCC")]
    assert len(rows) == 2 * (9 + 6 + 3)
    for (release_id, airport), group in rows.groupby(["release", "airport"]):
        release = releases.load(line.ws, str(release_id))
        assert release is not None
        said = forecast.forecasts(line.ws, release, (str(airport),)).set_index("ds").loc[group["ds"]]
        history = histories.known_rows(line.ws, group["forecast_as_of"].iloc[0], version, [str(airport)])
        unit = fold_scale(regular(str(airport), history, "MS", "missing"))
        truth = histories.known_rows(line.ws, at(END), version, [str(airport)]).set_index("ds")["y"].loc[group["ds"]]
        assert group["scale"].tolist() == pytest.approx([unit] * len(group))
        for name in ("yhat", "lo80", "hi80", "lo95", "hi95"):
            assert group[name].tolist() == said[name].tolist()
        assert group["y"].tolist() == truth.tolist()
        assert group["error"].tolist() == (said["yhat"] - truth).tolist()
        assert group["method"].unique().tolist() == ["seasonal_naive"]


def command(path: Path, *args: str) -> Any:
    return CliRunner().invoke(cli.app, ["--config", str(path), *args], catch_exceptions=False)


def test_the_command_gives_the_counts_and_the_means_as_json(line: Line) -> None:
    found = json.loads(command(line.path, "score", "--as-of", END, "--json").stdout)
    rows = line.seen["at last"]
    assert (found["as_of"], found["new"], found["unchanged"]) == (END, 0, len(rows))
    assert found["overall"]["n"] == len(rows)
    assert found["overall"]["scaled_error"] == pytest.approx(rows["scaled_error"].mean())
    assert [row["airport"] for row in found["by_airport"]] == CODES
    assert [row["step"] for row in found["by_step"]] == list(range(1, 10))


def test_the_command_prints_a_line_for_all_for_each_step_and_for_each_airport(line: Line) -> None:
    printed = command(line.path, "score").stdout.splitlines()
    assert "with an unusable actual" in printed[0]
    assert printed[1].split() == ["n", "scaled_error", "bias", "pinball", "coverage80", "coverage95"]
    assert [row.split("  ")[0].strip() for row in printed[2:]] == ["all", *(f"step {n}" for n in range(1, 10)), *CODES]


# --- releases by hand: what real runs would take long to show


class ByHand:
    """A fleet of which observations and releases are written as told."""

    def __init__(self, folder: Path, **source: Any) -> None:
        content = {"source": {"kind": "file", "path": "small.csv", "frequency": "MS", **source}, "store": "store"}
        path = folder / "small.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        self.path, self.code = path, content["source"]["frequency"]
        self.ws = open_workspace(load(path))

    def observe(self, *rows: tuple[str, str, float], known_at: str | None = None, receipt: str = "r1") -> None:
        frame = pd.DataFrame(list(rows), columns=["airport", "ds", "y"])
        frame["ds"] = pd.to_datetime(frame["ds"])
        ended = calendar.period_end(frame["ds"], self.code)
        frame = frame.assign(known_at=at(known_at) if known_at else ended, receipt=receipt, fleet="small")
        self.ws.tables.append("observations", frame.assign(bucket=frame["airport"].map(bucket)))

    def seasons(self, *airports: str, periods: int = 36, last: str = "2020-12-01") -> None:
        step = {"W": "7D"}.get(self.code, self.code)
        dates = pd.date_range(end=last, periods=periods, freq=step)
        self.observe(*((a, f"{d:%Y-%m-%d}", 100.0 + i % 7) for a in airports for i, d in enumerate(dates)))

    def release(self, name: str, as_of: str, dates: list[str], *airports: str, publish: bool = True) -> None:
        fleet, key = self.ws.fleet, f"run-{name}"
        entries = tuple(Entry(a, f"{fleet}.{a}", 1, key, as_of, "c", "ets", {}) for a in airports)
        made = Release(release_id=name, fleet=fleet, as_of=as_of, run_key=key, previous=None, entries=entries)
        frame = pd.DataFrame([(a, d) for a in airports for d in dates], columns=["airport", "ds"])
        values = {"yhat": 100.0, "lo80": 90.0, "hi80": 110.0, "lo95": 80.0, "hi95": 120.0, "confidence": "high"}
        keys = {"fleet": fleet, "run_key": key, "as_of": as_of, "checksum": "c"}
        placed = frame.assign(ds=pd.to_datetime(frame["ds"]), bucket=frame["airport"].map(bucket), **values, **keys)
        self.ws.tables.append("forecasts", placed)
        releases.keep(self.ws, made, NOW, False)
        if publish:
            releases.published(self.ws, made)

    def score(self, as_of: str) -> tuple[int, int, int, int, int]:
        return counts(score.score(self.ws, at(as_of)))

    def read(self, as_of: str) -> list[tuple[str, str, float]]:
        rows = score.read(self.ws, at(as_of))
        return [(r.airport, str(r.ds.date()), r.y) for r in rows.itertuples()]


AHEAD = ["2021-01-01", "2021-02-01", "2021-03-01"]


@pytest.fixture
def by_hand(tmp_path: Path, isolated_home: Path) -> Callable[..., ByHand]:
    return lambda **source: ByHand(tmp_path, **source)


def test_where_nothing_was_ever_released_there_is_nothing_to_score(by_hand: Make) -> None:
    fleet = by_hand()
    assert fleet.score(END) == (0, 0, 0, 0, 0)
    assert fleet.read(END) == []
    fleet.seasons("AAA")
    assert fleet.score(END) == (0, 0, 0, 0, 0)
    found = json.loads(command(fleet.path, "score", "--json").stdout)
    assert found["overall"] == {
        "n": 0, "scaled_error": None, "bias": None, "pinball": None, "coverage80": None, "coverage95": None
    }  # fmt: skip
    assert (found["by_step"], found["by_airport"]) == ([], [])


def test_a_release_of_a_later_day_or_one_that_was_never_published_is_not_scored(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.seasons("AAA", last="2021-03-01")
    fleet.release("lost", END, AHEAD, "AAA", publish=False)
    fleet.release("later", "2021-01-31", AHEAD[1:], "AAA")
    assert fleet.score("2021-01-30") == (0, 0, 0, 0, 0)
    assert fleet.score("2021-03-31") == (2, 0, 0, 0, 0)
    assert scores(fleet.ws)["release"].unique().tolist() == ["later"]


def test_a_release_published_again_after_another_is_scored_once(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.seasons("AAA", last="2021-03-01")
    fleet.release("one", END, AHEAD, "AAA")
    fleet.release("two", END, AHEAD, "AAA")
    again = releases.load(fleet.ws, "one")
    assert again is not None
    releases.published(fleet.ws, again)
    assert fleet.score("2021-03-31") == (6, 0, 0, 0, 0)
    assert score.score(fleet.ws, at("2021-03-31")).releases == 2


def test_an_actual_that_cannot_be_traffic_waits_for_one_that_can(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.seasons("AAA")
    fleet.release("one", END, AHEAD, "AAA")
    fleet.observe(("AAA", "2021-01-01", -3.0), ("AAA", "2021-02-01", 5.0), ("AAA", "2021-02-01", 6.0))
    assert fleet.score("2021-02-28") == (0, 0, 0, 2, 1)
    fleet.observe(("AAA", "2021-01-01", 3.0), known_at="2021-02-10", receipt="r2")
    assert fleet.score("2021-02-28") == (1, 0, 0, 1, 1)
    assert fleet.read("2021-02-28") == [("AAA", "2021-01-01", 3.0)]


def test_a_correction_said_to_be_known_since_the_same_instant_takes_the_place_of_the_first(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.seasons("AAA")
    fleet.release("one", END, AHEAD, "AAA")
    for number, value in enumerate((101.0, 202.0, 101.0)):
        fleet.observe(("AAA", "2021-01-01", value), receipt=f"r{number + 2}")
        assert fleet.score("2021-02-28") == ((1, 0) if number == 0 else (0, 1)) + (0, 0, 2)
        assert fleet.score("2021-02-28") == (0, 0, 1, 0, 2)
        assert fleet.read("2021-02-28") == [("AAA", "2021-01-01", value)]


def test_a_history_that_is_restated_for_the_day_of_a_forecast_scores_it_in_the_new_unit(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.seasons("AAA", "BBB", last="2021-01-01")
    fleet.release("one", END, AHEAD, "AAA", "BBB")
    assert fleet.score("2021-01-31") == (2, 0, 0, 0, 4)
    before = score.read(fleet.ws, at("2021-01-31"))
    fleet.observe(("AAA", "2020-05-01", 900.0), known_at="2020-12-31", receipt="r2")
    assert fleet.score("2021-01-31") == (0, 1, 1, 0, 4)
    after = score.read(fleet.ws, at("2021-01-31"))
    assert after["scale"].gt(before["scale"]).tolist() == [True, False]
    assert fleet.score("2021-01-31") == (0, 0, 2, 0, 4)


def test_where_absent_means_zero_a_month_left_out_counts_as_empty_until_its_value_comes(by_hand: Make) -> None:
    fleet = by_hand(absent="zero")
    fleet.seasons("AAA")
    fleet.release("one", END, AHEAD, "AAA")
    fleet.observe(("AAA", "2021-02-01", 100.0), receipt="r2")
    assert fleet.score("2021-01-31") == (0, 0, 0, 0, 3)
    assert fleet.score("2021-02-28") == (2, 0, 0, 0, 1)
    assert fleet.read("2021-02-28") == [("AAA", "2021-01-01", 0.0), ("AAA", "2021-02-01", 100.0)]
    fleet.observe(("AAA", "2021-01-01", 77.0), receipt="r3")
    assert fleet.score("2021-02-28") == (0, 1, 1, 0, 1)
    assert fleet.read("2021-02-28") == [("AAA", "2021-01-01", 77.0), ("AAA", "2021-02-01", 100.0)]


def test_where_absent_means_zero_an_airport_that_falls_silent_counts_as_empty_as_far_as_others_are_reported(
    by_hand: Make,
) -> None:
    fleet = by_hand(absent="zero")
    fleet.seasons("AAA", "BBB")
    fleet.release("one", END, AHEAD, "AAA", "BBB")
    fleet.observe(("BBB", "2021-01-01", 100.0), ("BBB", "2021-02-01", 100.0), receipt="r2")
    assert fleet.score("2021-01-31") == (2, 0, 0, 0, 4)
    assert fleet.score("2021-03-31") == (2, 0, 2, 0, 2)
    assert [row for row in fleet.read("2021-03-31") if row[0] == "AAA"] == [
        ("AAA", "2021-01-01", 0.0),
        ("AAA", "2021-02-01", 0.0),
    ]


def test_where_absent_means_missing_a_month_left_out_is_waited_for(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.seasons("AAA")
    fleet.release("one", END, AHEAD, "AAA")
    fleet.observe(("AAA", "2021-02-01", 100.0), receipt="r2")
    assert fleet.score("2021-02-28") == (1, 0, 0, 0, 2)


def test_weeks_are_scored_on_the_weekday_they_come_with(by_hand: Make) -> None:
    fleet = by_hand(frequency="W")
    fleet.seasons("AAA", periods=80, last="2021-01-20")
    fleet.release("one", "2021-01-05", ["2021-01-06", "2021-01-13", "2021-01-20"], "AAA")
    assert fleet.score("2021-01-26") == (3, 0, 0, 0, 0)
    assert score.read(fleet.ws, at("2021-01-26"))["step"].tolist() == [1, 2, 3]


def reads_of(ws: Workspace, as_of: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tables that a scoring reads, in order."""
    seen: list[str] = []
    read = type(ws.tables).read

    def counted(self: Any, table: str, *args: Any, **kwargs: Any) -> pd.DataFrame:
        seen.append(table)
        return read(self, table, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(type(ws.tables), "read", counted)
        score.score(ws, at(as_of))
    return seen


def test_a_large_fleet_is_scored_in_slices_of_it_and_a_small_one_reads_each_table_once(
    by_hand: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, codes = by_hand(), [f"A{n:02d}" for n in range(20)]
    fleet.seasons(*codes, last="2021-03-01")
    for name, as_of in (("one", END), ("two", "2021-01-31")):
        fleet.release(name, as_of, AHEAD, *codes)
    assert sorted(reads_of(fleet.ws, "2021-03-31", monkeypatch)) == ["forecasts", "observations", "scores"]
    whole = score.read(fleet.ws, at("2021-03-31"))
    assert len(whole) == 20 * 2 * 3
    monkeypatch.setattr(score, "FORECASTS_AT_ONCE", 1)
    buckets = len({bucket(code) for code in codes})
    assert len(reads_of(fleet.ws, "2021-03-31", monkeypatch)) == 3 * buckets
    assert len(scores(fleet.ws)) == len(whole)
    fleet.ws.tables.replace("scores", scores(fleet.ws).head(0), {"fleet": "small"})
    assert fleet.score("2021-03-31") == (len(whole), 0, 0, 0, 0)
    pd.testing.assert_frame_equal(score.read(fleet.ws, at("2021-03-31")), whole)


def test_a_summary_may_be_taken_of_any_part_of_the_scores(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.seasons("AAA", "BBB", last="2021-03-01")
    fleet.release("one", END, AHEAD, "AAA", "BBB")
    fleet.score("2021-03-31")
    rows = score.read(fleet.ws, at("2021-03-31"))
    assert scoring.summary(rows[rows["airport"].eq("BBB")]).overall["n"] == 3
