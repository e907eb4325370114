"""A drift check's page: what it says, which airports it draws, what was in force for them, and its run in MLflow."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters import svg_chart
from paxcast.adapters.mlflow_registry import Registry
from paxcast.core import calendar
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError
from paxcast.core.identity import bucket
from paxcast.core.release import Entry, Release
from paxcast.jobs import drift_report, releases
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-06-01T12:00", tz="UTC")
KEY, AS_OF = "small-20210405T000000-drift", "2021-04-04"
WEEKS = pd.date_range(end="2021-03-29", periods=60, freq="7D")  # Mondays; the last one has ended at AS_OF
WORLD = {"alert": False, "p": 0.4, "shift": -0.25, "share": 0.125, "cycle": "2021-03-29", "since": ""}
COUNTS = {"tested": 7, "drifted": 2, "watch": 1, "fault": 1, "retrain": 1, "fallback": 1, "escalate": 0, "wait": 0}
QUIET: dict[str, Any] = {
    "run_key": KEY, "check_key": KEY, "as_of": AS_OF, "fleet": "small", "cycle": "2021-03-29", "tested": True,
    "drifted": False, "severity": "none", "p": 0.5, "q": 0.9, "ratio": 1.0, "reasons": "[]", "fault": "",
    "action": "none", "why": "", "pinned": "", "version": 1, "cusum": "[]",
}  # fmt: skip
GONE = {"drifted": True, "severity": "severe", "p": 1e-6, "q": 2e-5, "ratio": 3.456, "action": "retrain"}


class Page(HTMLParser):
    """A page as its reader has it: rows of the table, sections with their text and drawings, what it would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.sections: dict[str, list[str]] = {}
        self.lines: dict[str, list[dict[str, str | None]]] = {}
        self.links: list[str | None] = []
        self.loads: list[str] = []
        self.menus: list[list[str]] = []
        self.paragraphs: list[str] = []
        self.open: list[str] = []
        self.at = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [str(found[name]) for name in ("src", "data", "xlink:href") if name in found]
        if tag == "section":
            self.at = str(found["id"])
            self.sections[self.at], self.lines[self.at] = [], []
        if tag in ("tr", "select"):
            (self.rows if tag == "tr" else self.menus).append([])
        if tag == "a":
            self.links.append(found["href"])
        if tag in ("polyline", "polygon", "svg"):
            self.lines[self.at].append({"tag": tag, **found})
        if tag not in ("meta", "input", "polyline", "polygon", "line", "rect", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        if tag == "section":
            self.at = ""

    def handle_data(self, data: str) -> None:
        inside = self.open[-1] if self.open else ""
        if "td" in self.open or inside == "th":
            self.rows[-1].append(data)
        elif inside == "option":
            self.menus[-1].append(data)
        elif self.at:
            self.sections[self.at].append(data)
        elif inside == "p":
            self.paragraphs.append(data)

    def points(self, airport: str, kind: str, at: int = 0) -> list[tuple[float, float]]:
        found = [line for line in self.lines[airport] if line["tag"] == kind][at]
        return [(float(x), float(y)) for x, y in (pair.split(",") for pair in str(found["points"]).split())]


class Fleet:
    """A weekly fleet of which observations, releases and a check are written as told."""

    def __init__(self, folder: Path, mlflow: Path, **source: Any) -> None:
        content = {"source": {"kind": "file", "path": "small.csv", "frequency": "W", **source}, "store": "store"}
        content["mlflow"] = {"tracking_uri": f"sqlite:///{folder}/mlflow.db"}
        shutil.copy(mlflow, folder / "mlflow.db")
        (folder / "small.yaml").write_text(json.dumps(content), encoding="utf-8")
        self.ws: Workspace = open_workspace(load(folder / "small.yaml"))

    def observe(self, airport: str, values: dict[pd.Timestamp, float]) -> None:
        frame = pd.DataFrame({"ds": list(values), "y": list(values.values())})
        known = calendar.period_end(frame["ds"], "W")
        frame = frame.assign(known_at=known, receipt="r1", fleet="small", airport=airport, bucket=bucket(airport))
        self.ws.tables.append("observations", frame)

    def release(self, name: str, as_of: str, yhat: float, *airports: str, weeks: int = 13, version: int = 1) -> Release:
        key = f"run-{name}"
        entries = tuple(Entry(a, f"small.{a}", version, key, as_of, "c", "ets", {}) for a in airports)
        made = Release(release_id=name, fleet="small", as_of=as_of, run_key=key, previous=None, entries=entries)
        first = parse_as_of(as_of).tz_localize(None)
        dates = pd.date_range(first, periods=weeks, freq="7D")
        frame = pd.DataFrame([(a, d) for a in airports for d in dates], columns=["airport", "ds"])
        said = {"yhat": yhat, "lo80": yhat - 10, "hi80": yhat + 10, "lo95": yhat - 20, "hi95": yhat + 20}
        keys = {"fleet": "small", "run_key": key, "as_of": as_of, "checksum": "c", "confidence": "high"}
        self.ws.tables.append("forecasts", frame.assign(bucket=frame["airport"].map(bucket), **said, **keys))
        releases.keep(self.ws, made, NOW, False)
        releases.published(self.ws, made)
        return made

    def check(self, *rows: dict[str, Any], **told: Any) -> None:
        value = {"check_key": KEY, "as_of": AS_OF, "world": WORLD, "counts": {"airports": len(rows), **COUNTS}}
        value |= {"data_version": self.ws.tables.version("observations"), "page": "", "settings": {}, **told}
        self.ws.objects.put(f"drift/small/{KEY}.json", value)
        self.ws.tables.replace("drift", pd.DataFrame([{**QUIET, **row} for row in rows]), {"check_key": KEY})

    def page(self) -> Page:
        return Page(Path(drift_report.draw(self.ws, KEY)).read_text(encoding="utf-8"))


@pytest.fixture
def fleet(tmp_path: Path, isolated_home: Path, empty_mlflow: Path) -> Fleet:
    """AAA and BBB at 100 a week, forecast at 100; in the last weeks AAA has 150."""
    made = Fleet(tmp_path, empty_mlflow)
    made.observe(
        "AAA", {ds: 150.0 if ds >= pd.Timestamp("2021-03-15") else 100.0 + i % 7 for i, ds in enumerate(WEEKS)}
    )
    made.observe("BBB", {ds: 100.0 + i % 7 for i, ds in enumerate(WEEKS)})
    made.release("first", "2020-12-27", 100.0, "AAA", "BBB")
    made.release("second", "2021-02-28", 105.0, "AAA", "BBB", version=2)
    return made


# --- the words


def test_the_page_names_the_world_the_counts_and_every_airport_worst_first(fleet: Fleet) -> None:
    fleet.check(
        {"airport": "BBB"},
        {"airport": "CCC", "severity": "watch", "p": 0.001},
        {"airport": "AAA", **GONE, "reasons": '["loss", "level: 50 % higher"]', "why": "first time"},
        {"airport": "DDD", "severity": "moderate", "drifted": True, "p": 1e-9, "action": "fallback"},
        {
            "airport": "EEE",
            "severity": "fault",
            "p": None,
            "q": None,
            "ratio": None,
            "fault": "silent",
            "reasons": '["silent since"]',
        },
        {"airport": "ABC", "p": 0.9},
        {"airport": "FFF", **GONE, "p": 1e-9},
    )
    page = fleet.page()
    assert page.rows[0] == list(drift_report.COLUMNS)
    assert [row[0] for row in page.rows[1:]] == ["FFF", "AAA", "EEE", "DDD", "CCC", "ABC", "BBB"]
    assert page.rows[2] == [
        "AAA",
        "severe",
        "1e-06",
        "2e-05",
        "3.46",
        "loss; level: 50 % higher",
        "retrain",
        "first time",
    ]
    assert page.rows[3] == ["EEE", "fault", "silent", "none"]  # numbers that it has not are empty
    assert page.menus == [
        ["any severity", "fault", "moderate", "none", "severe", "watch"],
        ["any action", "fallback", "none", "retrain"],
    ]
    assert page.paragraphs == [
        "The world is as it was: in the cycle of 2021-03-29 12 % of the airports did worse than usual, and the median "
        "airport was 0.2 spreads below its forecast.",
        "7 of 7 airports tested: 2 drifted, 1 to watch, 1 with a fault in their data. To do: 1 retrain, 1 fallback, "
        "0 escalate, 0 wait.",
    ]


def test_a_changed_world_is_said_with_its_beginning_and_its_chance() -> None:
    world = {**WORLD, "alert": True, "p": 1.2e-7, "shift": 2.5, "share": 0.8, "since": "2021-03-22"}
    assert drift_report.of_the_world(world) == (
        "The world changed, since the cycle of 2021-03-22: in the cycle of 2021-03-29 80 % of the airports did worse "
        "than usual, and the median airport was 2.5 spreads above its forecast (p 1.2e-07). Only what an airport did "
        "beyond that counts as its own drift."
    )


def test_where_nothing_can_be_compared_yet_the_page_says_so_and_has_no_chart(fleet: Fleet) -> None:
    fleet.check({"airport": "AAA", "cycle": "", "tested": False, "p": None, "q": None, "ratio": None}, world=NOTHING)
    page = fleet.page()
    assert page.paragraphs[0] == "The world: there are too few airports or cycles to tell what they have in common."
    assert page.sections == {}


NOTHING = {"alert": False, "p": None, "shift": 0.0, "share": 0.0, "cycle": "", "since": ""}


def test_markup_in_the_data_is_text_and_a_long_reason_is_cut(fleet: Fleet) -> None:
    evil = "<script src=https://example.org/x.js></script><img src=x onerror=alert(1)>"
    fleet.check({"airport": "AAA", **GONE, "why": evil, "reasons": json.dumps([evil, "x" * 1000])})
    page = fleet.page()
    assert page.loads == []
    assert evil in page.rows[1]
    assert f"retrain: {evil}" in page.sections["AAA"]
    reasons = next(cell for cell in page.rows[1] if cell.startswith(evil + ";"))
    assert len(reasons) == drift_report.MOST_LETTERS
    assert reasons.endswith(" …")


def test_the_page_loads_nothing(fleet: Fleet) -> None:
    fleet.check({"airport": "AAA", **GONE})
    text = Path(drift_report.draw(fleet.ws, KEY)).read_text(encoding="utf-8")
    assert Page(text).loads == []
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text


def test_a_check_that_there_is_not_is_an_error_that_names_it(fleet: Fleet) -> None:
    with pytest.raises(ConfigurationError, match="fleet small: there is no drift check none-at-all"):
        drift_report.write(fleet.ws, "none-at-all")


# --- the charts


def test_the_drifted_and_the_faulty_are_drawn_worst_first_and_nobody_else(fleet: Fleet) -> None:
    fleet.check(
        {"airport": "BBB", "severity": "fault", "fault": "unit"},
        {"airport": "AAA", **GONE, "cusum": "[0.5, 1.5, 4.0]"},
        {"airport": "CCC", "severity": "watch"},
    )
    page = fleet.page()
    assert list(page.sections) == ["AAA", "BBB"]
    assert page.links == ["#AAA", "#BBB"]
    drawings = {airport: [one["tag"] for one in page.lines[airport]].count("svg") for airport in page.lines}
    assert drawings == {"AAA": 2, "BBB": 1}  # without a CUSUM only the forecasts


def test_at_most_thirty_are_drawn_and_the_page_says_of_how_many(fleet: Fleet) -> None:
    rows = [{"airport": f"A{i:02d}", **GONE, "p": i / 1000} for i in range(35)]
    fleet.check(*rows)
    page = fleet.page()
    assert list(page.sections) == [f"A{i:02d}" for i in range(30)]
    assert page.paragraphs[-1] == "Charts of the 30 worst of 35 airports."


def test_the_chart_has_half_a_year_and_of_each_week_the_newest_forecast_from_before_it(fleet: Fleet) -> None:
    fleet.check({"airport": "AAA", **GONE})
    page = fleet.page()
    came, forecast, _ = (page.points("AAA", "polyline", at) for at in range(3))
    assert len(came) == drift_report.CYCLES
    assert len(forecast) == 14  # from the first Monday of the first release to the newest week, none beyond
    assert forecast[-1][0] == came[-1][0]
    # 100 by the first release, then 105 by the second
    assert [y for _, y in forecast] == [forecast[0][1]] * 9 + [forecast[-1][1]] * 5
    bottom = svg_chart.HEIGHT - svg_chart.BOTTOM
    assert (bottom - forecast[0][1]) / (bottom - forecast[-1][1]) == pytest.approx(100 / 105, abs=0.001)
    assert len(page.points("AAA", "polygon")) == 2 * 14


def test_what_was_rolled_back_is_not_drawn(fleet: Fleet) -> None:
    second = releases.load(fleet.ws, "second")
    first = releases.load(fleet.ws, "first")
    assert first is not None
    assert second is not None
    releases.published(fleet.ws, first, of=second.as_of, instead_of="second")
    fleet.check({"airport": "AAA", **GONE})
    heights = {y for _, y in fleet.page().points("AAA", "polyline", 1)}
    assert len(heights) == 1


def test_of_an_airport_that_fell_silent_the_forecast_goes_on_without_it(fleet: Fleet) -> None:
    fleet.observe("SSS", {ds: 100.0 + i % 7 for i, ds in enumerate(WEEKS[:-4])})
    fleet.release("third", "2021-03-07", 100.0, "AAA", "BBB", "SSS", version=3)
    fleet.check({"airport": "SSS", "severity": "fault", "fault": "silent", "cycle": "2021-03-01"}, {"airport": "AAA"})
    page = fleet.page()
    came, forecast = page.points("SSS", "polyline", 0), page.points("SSS", "polyline", 1)
    assert (len(came), len(forecast)) == (drift_report.CYCLES - 4, 4)
    assert min(x for x, _ in forecast) > max(x for x, _ in came)


def test_where_absent_means_zero_a_week_without_a_row_is_drawn_as_zero(
    tmp_path: Path, isolated_home: Path, empty_mlflow: Path
) -> None:
    fleet = Fleet(tmp_path, empty_mlflow, absent="zero")
    fleet.observe("AAA", {ds: 100.0 + i % 7 for i, ds in enumerate(WEEKS[:-2])})
    fleet.observe("BBB", {ds: 100.0 + i % 7 for i, ds in enumerate(WEEKS)})
    fleet.release("first", "2021-02-28", 100.0, "AAA", "BBB")
    fleet.check({"airport": "AAA", **GONE})
    came = fleet.page().points("AAA", "polyline")
    assert len(came) == drift_report.CYCLES
    assert [y for _, y in came[-2:]] == [310.0, 310.0]  # the axis of the drawing


def test_of_days_a_chart_has_half_a_year_too() -> None:
    begin = drift_report._begin(pd.Timestamp("2021-06-30"), "D")
    assert len(pd.date_range(begin, "2021-06-30")) == 26 * 7
    assert drift_report._begin(pd.Timestamp("2021-06-01"), "MS") == pd.Timestamp("2019-05-01")


def test_the_page_of_a_large_fleet_stays_below_a_megabyte(fleet: Fleet) -> None:
    quiet = [{"airport": f"Q{i:04d}"} for i in range(3000)]
    watched = [
        {"airport": f"W{i:04d}", "severity": "watch", "reasons": json.dumps(["loss", "level: " + "x" * 150])}
        for i in range(300)
    ]
    cusum = json.dumps([float(i) / 3 for i in range(26)])
    fleet.check(*quiet, *watched, *({"airport": f"D{i:03d}", **GONE, "cusum": cusum} for i in range(50)))
    text = Path(drift_report.draw(fleet.ws, KEY)).read_text(encoding="utf-8")
    assert len(Page(text).rows) == 1 + 3350
    assert len(text.encode()) < 1_000_000


# --- MLflow


def runs(ws: Workspace) -> list[Any]:
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    return list(registry.client.search_runs([registry.experiment_id], "tags.kind = 'drift'"))


def test_a_check_is_one_run_in_mlflow_with_its_counts_its_page_and_where_that_is(fleet: Fleet) -> None:
    fleet.check({"airport": "AAA", **GONE})
    place = drift_report.write(fleet.ws, KEY)
    (run,) = runs(fleet.ws)
    tags = {name: run.data.tags[name] for name in ("kind", "fleet", "as_of", "run_key", "page", "mlflow.runName")}
    assert tags == {
        "kind": "drift", "fleet": "small", "as_of": AS_OF, "run_key": KEY, "page": place, "mlflow.runName": KEY
    }  # fmt: skip
    assert run.data.metrics.items() >= {"airports": 1, "drifted": 2, "retrain": 1}.items()
    assert run.data.metrics.items() >= {"world_alert": 0, "world_p": 0.4, "world_shift": -0.25}.items()
    assert run.info.status == "FINISHED"
    artifact = Path(run.info.artifact_uri.removeprefix("file://")) / "index.html"
    assert artifact.read_bytes() == Path(place).read_bytes()


def test_logged_again_it_is_the_same_run_and_shows_what_changed(fleet: Fleet) -> None:
    fleet.check({"airport": "AAA", **GONE})
    drift_report.write(fleet.ws, KEY)
    drift_report.write(fleet.ws, KEY)
    (run,) = runs(fleet.ws)
    registry = Registry(fleet.ws.settings.tracking_uri, fleet.ws.settings.experiment)
    assert len(registry.client.get_metric_history(run.info.run_id, "drifted")) == 1
    fleet.check({"airport": "AAA"}, counts={"airports": 1, **COUNTS, "drifted": 0}, world=NOTHING)
    drift_report.write(fleet.ws, KEY)
    (again,) = runs(fleet.ws)
    assert again.info.run_id == run.info.run_id
    assert again.data.metrics["drifted"] == 0  # smaller than before, and yet the newest
    assert len(registry.client.get_metric_history(run.info.run_id, "retrain")) == 1


def test_without_a_page_there_is_nothing_to_link(fleet: Fleet) -> None:
    fleet.check({"airport": "AAA"})
    with pytest.raises(ConfigurationError, match=f"drift check {KEY}: it has no page yet"):
        drift_report.track(fleet.ws, KEY)
    assert runs(fleet.ws) == []
