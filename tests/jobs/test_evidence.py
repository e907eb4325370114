"""What a drift check is made from, on fleets by hand: which forecast of a period counts, and what was known."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core import calendar
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError
from paxcast.core.identity import bucket
from paxcast.core.outcome import Outcome
from paxcast.core.release import Entry, Release
from paxcast.jobs import evidence, ledger, releases
from paxcast.jobs.evidence import Evidence
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2022-06-01T12:00", tz="UTC")
Z = 1.2815515655446004  # half an 80 % interval in standard deviations
LEVEL, HALF, SCALE, H = 100.0, 10.0, 8.0, 6
NAN = np.nan
Make = Callable[..., Any]


def at(as_of: str) -> pd.Timestamp:
    return parse_as_of(as_of)


class ByHand:
    """A fleet of which observations, releases and outcomes are written as told. Nothing of it is fitted."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        source = {"kind": "file", "path": "small.csv", "frequency": "MS", **settings.pop("source", {})}
        content = {"source": source, "store": "store", "drift": {"reference": 24, "window": 4}, **settings}
        path = folder / "small.yaml"
        path.write_text(json.dumps(content), encoding="utf-8")
        self.path, self.code = path, source["frequency"]
        self.ws = open_workspace(load(path))
        row = {"fleet": "small", "receipt": "r1", "received_at": NOW, "description": "", "frequency": self.code}
        counts = dict.fromkeys(["rows_received", "rows_stored", "rows_unchanged", "rows_repeated", "rows_rejected"], 0)
        self.ws.tables.append("receipts", pd.DataFrame([{**row, **counts}]))

    def observe(
        self, airport: str, values: Mapping[str, float], known_at: str | None = None, receipt: str = "r1"
    ) -> None:
        frame = pd.DataFrame({"ds": pd.to_datetime(list(values)), "y": list(values.values())})
        ended = calendar.period_end(frame["ds"], self.code)
        frame = frame.assign(known_at=at(known_at) if known_at else ended, receipt=receipt, fleet="small")
        self.ws.tables.append("observations", frame.assign(airport=airport, bucket=bucket(airport)))

    def steady(self, airport: str, first: str, last: str, value: float = LEVEL) -> None:
        self.observe(airport, {str(d.date()): value for d in self.days(first, last)})

    def days(self, first: str, last: str) -> pd.DatetimeIndex:
        return calendar.full_grid(pd.Timestamp(first), pd.Timestamp(last), self.code)

    def release(
        self,
        as_of: str,
        forecasts: Mapping[str, float | Entry],
        *,
        first: str | None = None,
        version: int = 1,
        backfill: bool = False,
        horizon: int = H,
        windows: Sequence[dict[str, Any]] = (),
        instead_of: str | None = None,
        simple: Mapping[str, float] | None = None,
    ) -> str:
        """Publish a release; its id. forecasts: by airport the level of a flat forecast from the period after `as_of`,
        or from `first`; or an entry that is carried on. windows: of its folds, in which 100 was forecast."""
        key, checksum = f"run-{as_of}-{version}", f"c{version}"
        start = pd.Timestamp(first) if first else calendar.next_periods(self.newest_ended(as_of), 1, self.code)[0]
        ahead = calendar.full_grid(
            start, calendar.shift(pd.DatetimeIndex([start]), horizon - 1, self.code)[0], self.code
        )
        entries, frames = [], []
        for airport, level in forecasts.items():
            if isinstance(level, Entry):
                entries.append(level)
                continue
            entries.append(
                Entry(airport, f"small.{airport}", version, key, as_of, checksum, "seasonal_naive", {}, "best")
            )
            band = {"yhat": level, "lo80": level - HALF, "hi80": level + HALF, "lo95": 0.0, "hi95": 2 * level}
            frame = pd.DataFrame({"ds": ahead, **band, "airport": airport, "bucket": bucket(airport)})
            frames.append(frame.assign(run_key=key, as_of=as_of, checksum=checksum, fleet="small", confidence="high"))
            ledger.record(self.ws.objects, self.outcome(airport, key, as_of, checksum, ahead, windows, simple or {}))
        if frames:
            self.ws.tables.append("forecasts", pd.concat(frames))
        made = Release(
            release_id=f"release-{as_of}-{version}-{len(releases.publications(self.ws))}",
            **{"fleet": "small", "as_of": as_of, "run_key": key, "previous": None, "entries": tuple(entries)},
        )
        releases.keep(self.ws, made, NOW, backfill)
        releases.published(self.ws, made, instead_of=instead_of)
        return made.release_id

    def newest_ended(self, as_of: str) -> pd.Timestamp:
        day = at(as_of).tz_localize(None)
        return calendar.shift(pd.DatetimeIndex([day.normalize()]), -1, self.code)[0]

    def outcome(
        self,
        airport: str,
        key: str,
        as_of: str,
        checksum: str,
        ahead: pd.DatetimeIndex,
        windows: Sequence[dict[str, Any]],
        simple: Mapping[str, float],
    ) -> Outcome:
        made = {"seasonal_naive": LEVEL, **simple}
        flat = [
            {"candidate": name, "parameters": {}, "competes": name == "seasonal_naive", "fitted_by": {}}
            | {"folds": [[level] * len(ahead)] * len(windows[:-1]), "test": [level] * len(ahead) if windows else []}
            | {"forecast": [LEVEL] * len(ahead)}
            for name, level in made.items()
        ]
        days = [str(day.date()) for day in ahead]
        return Outcome(
            **{"run_key": key, "fleet": "small", "airport": airport, "as_of": as_of, "checksum": checksum, "batch": 0},
            **{"status": "ok", "entrants": flat, "ds": days, "level": LEVEL, "seasons": 4.0, "periods": 48},
            **{"folds": list(windows[:-1]), "test": windows[-1] if windows else {}},
        )

    def window(self, first: str, actual: float, horizon: int = H) -> dict[str, Any]:
        last = calendar.shift(pd.DatetimeIndex([first]), horizon - 1, self.code)[0]
        days = [str(day.date()) for day in self.days(first, str(last.date()))]
        base = {"split": first, "ds": days, "actual": [actual] * horizon, "counts": [True] * horizon}
        return {**base, "scale": SCALE, "rms_scale": SCALE, "level": LEVEL}

    def gather(self, as_of: str) -> Evidence:
        return evidence.gather(self.ws, at(as_of))

    def residuals(self, as_of: str, airport: str = "AAA") -> dict[str, float]:
        """By cycle, in traffic: half an interval is HALF everywhere."""
        panel = self.gather(as_of).panel
        row = panel.residual[panel.airports.index(airport)] * HALF / Z
        return {name: round(float(v), 6) for name, v in zip(panel.cycles, row, strict=True) if np.isfinite(v)}


@pytest.fixture
def by_hand(tmp_path: Path, isolated_home: Path) -> Callable[..., ByHand]:
    return lambda **settings: ByHand(tmp_path, **settings)


def months(first: str, *values: float) -> dict[str, float]:
    return {str(d.date()): v for d, v in zip(pd.date_range(first, periods=len(values), freq="MS"), values, strict=True)}


# --- what was published


def test_of_each_period_the_newest_forecast_from_before_it_is_compared_with_its_actual(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2020-12-01")
    fleet.release("2020-12-31", {"AAA": 100.0})
    fleet.release("2021-02-28", {"AAA": 150.0}, version=2)
    fleet.observe("AAA", months("2021-01-01", 101.0, 102.0, 133.0, 134.0))
    assert fleet.residuals("2021-04-30") == {
        "2021-01-01": 1.0, "2021-02-01": 2.0, "2021-03-01": -17.0, "2021-04-01": -16.0
    }  # fmt: skip
    panel = fleet.gather("2021-04-30").panel
    assert len(panel.cycles) == 24 + 4 + 1
    assert panel.live[0, -4:].all()
    assert not panel.live[0, :-4].any()
    assert panel.outside[0, -4:].tolist() == [0, 0, 1, 1]
    assert panel.loss[0, -4:].tolist() == pytest.approx([v * Z / HALF for v in (1, 2, 17, 16)])
    assert fleet.residuals("2021-02-28") == {"2021-01-01": 1.0, "2021-02-01": 2.0}


def test_a_forecast_that_later_releases_carry_on_counts_as_what_it_is(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2020-12-01")
    fleet.steady("BBB", "2019-01-01", "2020-12-01")
    first = fleet.release("2020-12-31", {"AAA": 100.0, "BBB": 100.0})
    carried = releases.load(fleet.ws, first).by_airport()["BBB"]
    fleet.release("2021-01-31", {"AAA": 120.0, "BBB": carried}, version=2)
    for airport in ("AAA", "BBB"):
        fleet.observe(airport, months("2021-01-01", 101.0, 102.0))
    assert fleet.residuals("2021-02-28", "BBB") == {"2021-01-01": 1.0, "2021-02-01": 2.0}
    assert fleet.residuals("2021-02-28", "AAA") == {"2021-01-01": 1.0, "2021-02-01": -18.0}
    assert fleet.gather("2021-02-28").versions == {"AAA": 2, "BBB": 1}


def test_a_backfill_counts_where_nothing_was_in_force_and_nowhere_else(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2020-12-01")
    fleet.release("2020-12-31", {"AAA": 100.0}, version=3)
    fleet.release("2020-10-31", {"AAA": 70.0}, version=4, backfill=True)
    assert fleet.residuals("2020-12-31") == {"2020-11-01": 30.0, "2020-12-01": 30.0}
    fleet.release("2021-01-31", {"AAA": 70.0}, version=5)  # in force too, before the one that is asked about
    fleet.release("2021-01-15", {"AAA": 40.0}, version=6, backfill=True)
    fleet.observe("AAA", months("2021-01-01", 101.0, 102.0))
    found = fleet.residuals("2021-02-28")
    assert found == {"2020-11-01": 30.0, "2020-12-01": 30.0, "2021-01-01": 1.0, "2021-02-01": 32.0}


def test_what_was_rolled_back_counts_up_to_then_and_what_took_its_place_from_then_on(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2020-12-01")
    first = fleet.release("2020-12-31", {"AAA": 100.0}, horizon=12)
    second = fleet.release("2021-01-31", {"AAA": 60.0}, version=2)
    entry = releases.load(fleet.ws, second).by_airport()["AAA"]
    third = fleet.release("2021-02-28", {"AAA": entry}, version=3)
    fleet.observe("AAA", months("2021-01-01", 101.0, 102.0, 103.0, 104.0))
    before = {"2021-01-01": 1.0, "2021-02-01": 42.0, "2021-03-01": 43.0, "2021-04-01": 44.0}
    assert fleet.residuals("2021-04-30") == before
    target = releases.load(fleet.ws, first)
    releases.published(fleet.ws, target, of="2021-02-28", instead_of=third)
    after = {"2021-01-01": 1.0, "2021-02-01": 42.0, "2021-03-01": 3.0, "2021-04-01": 4.0}
    assert fleet.residuals("2021-04-30") == after
    assert fleet.gather("2021-04-30").versions == {"AAA": 1}
    again = releases.load(fleet.ws, third)
    releases.published(fleet.ws, again, of="2021-02-28", instead_of=first)
    assert fleet.residuals("2021-04-30") == before


def test_a_forecast_from_within_a_period_counts_where_none_is_from_before_it_and_one_from_after_it_never(
    by_hand: Make,
) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2020-10-01")
    fleet.release("2020-12-15", {"AAA": 100.0}, first="2020-11-01")  # the source is late: November was not known
    fleet.observe("AAA", months("2020-11-01", 101.0, 102.0, 103.0))
    assert fleet.residuals("2021-01-31") == {"2020-12-01": 2.0, "2021-01-01": 3.0}
    fleet.release("2020-12-31", {"AAA": 60.0}, version=2, first="2020-11-01")
    assert fleet.residuals("2021-01-31") == {"2020-12-01": 2.0, "2021-01-01": 43.0}


# --- what was known


def test_an_actual_counts_from_when_it_was_known_and_as_it_was_known_then(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2020-12-01")
    fleet.steady("BBB", "2019-01-01", "2021-04-01")
    fleet.release("2020-12-31", {"AAA": 100.0})
    fleet.observe("AAA", months("2021-01-01", 101.0, 102.0))
    fleet.observe("AAA", months("2021-03-01", 103.0), known_at="2021-05-10")
    fleet.observe("AAA", months("2021-01-01", 131.0), known_at="2021-04-10", receipt="r2")
    fleet.observe("AAA", months("2021-02-01", -5.0), known_at="2021-04-10", receipt="r2")  # cannot be traffic
    assert fleet.residuals("2021-04-09") == {"2021-01-01": 1.0, "2021-02-01": 2.0}
    assert fleet.residuals("2021-04-30") == {"2021-01-01": 31.0, "2021-02-01": 2.0}
    assert fleet.residuals("2021-05-10") == {"2021-01-01": 31.0, "2021-02-01": 2.0, "2021-03-01": 3.0}
    assert fleet.gather("2021-04-09").restated == {}
    assert fleet.gather("2021-04-30").restated == {"AAA": 1}
    history = fleet.gather("2021-04-30").history
    assert list(history.columns) == ["airport", "ds", "y"]
    assert not history.duplicated(["airport", "ds"]).any()
    mine = history[history["airport"].eq("AAA")].set_index("ds")["y"]
    assert mine.loc["2020-12-01":].tolist() == [100.0, 131.0, 102.0]
    assert str(fleet.gather("2021-04-30").newest.date()) == "2021-04-01"


def test_only_what_was_restated_within_the_window_is_told(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2021-01-01")
    fleet.release("2020-12-31", {"AAA": 100.0})
    fleet.observe("AAA", months("2020-09-01", 7.0, 7.0, 7.0, 100.0), known_at="2021-01-31", receipt="r2")
    assert fleet.gather("2021-01-31").restated == {"AAA": 2}  # October and November; December as before


def test_where_absent_means_zero_a_period_left_out_is_compared_as_such(by_hand: Make) -> None:
    fleet = by_hand(source={"absent": "zero"})
    for airport in ("AAA", "BBB"):
        fleet.steady(airport, "2019-01-01", "2020-12-01")
    fleet.release("2020-12-31", {"AAA": 100.0, "BBB": 100.0})
    fleet.steady("BBB", "2021-01-01", "2021-02-01")
    assert fleet.residuals("2021-02-28", "AAA") == {"2021-01-01": -100.0, "2021-02-01": -100.0}


def test_where_absent_means_missing_a_period_left_out_is_not_compared(by_hand: Make) -> None:
    fleet = by_hand()
    for airport in ("AAA", "BBB"):
        fleet.steady(airport, "2019-01-01", "2020-12-01")
    fleet.release("2020-12-31", {"AAA": 100.0, "BBB": 100.0})
    fleet.steady("BBB", "2021-01-01", "2021-02-01")
    fleet.observe("AAA", months("2021-02-01", 100.0))
    assert fleet.residuals("2021-02-28", "AAA") == {"2021-02-01": 0.0}


def test_the_order_in_which_rows_came_changes_nothing(by_hand: Make, tmp_path: Path) -> None:
    found = []
    for number, order in enumerate(([0, 1, 2, 3], [3, 1, 0, 2])):
        (tmp_path / str(number)).mkdir()
        fleet = ByHand(tmp_path / str(number))
        parts: list[Callable[[ByHand], None]] = [
            lambda one: one.steady("AAA", "2019-01-01", "2020-12-01"),
            lambda one: one.observe("AAA", months("2021-01-01", 101.0, 102.0)),
            lambda one: one.observe("AAA", months("2021-01-01", 131.0), known_at="2021-02-10", receipt="r2"),
            lambda one: one.steady("BBB", "2019-01-01", "2021-02-01"),
        ]
        for part in order:
            parts[part](fleet)
        fleet.release("2020-12-31", {"BBB": 100.0, "AAA": 100.0})
        found.append(fleet.gather("2021-02-28"))
    one, other = found
    pd.testing.assert_frame_equal(one.history, other.history)
    np.testing.assert_array_equal(one.panel.residual, other.panel.residual)
    assert (one.panel.airports, one.restated, one.simple) == (other.panel.airports, other.restated, other.simple)


# --- folds


def test_before_anything_was_published_the_folds_of_the_model_in_force_count(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2018-01-01", "2020-12-01")
    windows = [fleet.window("2019-11-01", 108.0), fleet.window("2020-07-01", 95.0)]
    fleet.release("2020-12-31", {"AAA": 100.0}, windows=windows)
    fleet.observe("AAA", months("2021-01-01", 101.0))
    found = fleet.residuals("2021-01-31")
    expected = months("2019-11-01", *[8.0] * 6) | months("2020-07-01", *[-5.0] * 6) | {"2021-01-01": 1.0}
    assert found == expected
    panel = fleet.gather("2021-01-31").panel
    assert [name for name, live in zip(panel.cycles, panel.live[0], strict=True) if live] == ["2021-01-01"]


def test_where_a_model_was_made_anew_its_folds_take_the_place_of_the_old_ones_but_not_of_what_was_published(
    by_hand: Make,
) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2018-01-01", "2020-12-01")
    fleet.release("2020-12-31", {"AAA": 100.0}, windows=[fleet.window("2019-11-01", 108.0)] * 2)
    fleet.observe("AAA", months("2021-01-01", 101.0, 102.0))
    fleet.release("2021-02-28", {"AAA": 100.0}, version=2, windows=[fleet.window("2020-09-01", 90.0)] * 2)
    of_old = months("2019-11-01", *[8.0] * 6) | months("2021-01-01", 1.0, 2.0)
    assert fleet.residuals("2021-02-28") == of_old  # a model of that very day has met no actual yet
    assert fleet.gather("2021-02-28").versions == {"AAA": 1}
    assert fleet.residuals("2021-03-01") == months("2020-09-01", *[-10.0] * 4, 1.0, 2.0)
    assert fleet.gather("2021-03-01").versions == {"AAA": 2}


def test_what_lies_further_back_than_a_check_looks_is_left_out(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2014-01-01", "2020-12-01")
    windows = [fleet.window("2018-06-01", 108.0), fleet.window("2020-07-01", 95.0)]
    fleet.release("2020-12-31", {"AAA": 100.0}, windows=windows)
    found = fleet.residuals("2020-12-31")
    assert min(found) == "2018-08-01"  # 24 that are compared with, 4 that are tested, and one
    assert len(found) == 4 + 6


def test_a_model_that_is_older_than_all_that_is_looked_at_still_has_its_folds_and_its_age(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2014-01-01", "2020-12-01")
    fleet.release("2017-12-31", {"AAA": 100.0}, windows=[fleet.window("2017-01-01", 108.0)] * 2)
    assert fleet.gather("2020-12-31").model_age == {"AAA": 36}
    assert fleet.residuals("2020-12-31") == {}
    assert fleet.gather("2018-02-28").model_age == {"AAA": 2}


def test_the_best_simple_method_of_each_airport_is_told(by_hand: Make) -> None:
    fleet = by_hand()
    fleet.steady("AAA", "2018-01-01", "2020-12-01")
    windows = [fleet.window("2019-11-01", 108.0), fleet.window("2020-07-01", 95.0)]
    fleet.release("2020-12-31", {"AAA": 100.0}, windows=windows, simple={"random_walk": 107.0, "auto_ets": 108.0})
    assert fleet.gather("2020-12-31").simple == {"AAA": "random_walk"}


# --- cycles of days


def daily(by_hand: Make, **source: Any) -> ByHand:
    """AAA and BBB, forecast from Friday 2021-01-01 on."""
    fleet: ByHand = by_hand(source={"frequency": "D", **source})
    for airport in ("AAA", "BBB"):
        fleet.steady(airport, "2020-10-01", "2020-12-31")
    fleet.release("2020-12-31", {"AAA": 100.0, "BBB": 100.0}, horizon=28)
    return fleet


def test_a_cycle_of_days_is_told_when_seven_new_ones_are_there_and_not_before(by_hand: Make) -> None:
    fleet = daily(by_hand)
    fleet.observe("AAA", {f"2021-01-{day:02d}": 100.0 + day for day in range(1, 16)})
    fleet.steady("BBB", "2021-01-01", "2021-01-15")
    assert fleet.residuals("2021-01-06") == {}
    assert fleet.residuals("2021-01-07") == fleet.residuals("2021-01-13") == {"2021-01-07": 4.0}
    assert fleet.residuals("2021-01-15") == {"2021-01-07": 4.0, "2021-01-14": 11.0}


def test_an_airport_that_is_behind_has_no_newest_cycle_yet(by_hand: Make) -> None:
    fleet = daily(by_hand)
    fleet.steady("AAA", "2021-01-01", "2021-01-13")
    fleet.steady("BBB", "2021-01-01", "2021-01-15")
    assert list(fleet.residuals("2021-01-15")) == ["2021-01-07"]
    assert list(fleet.residuals("2021-01-15", "BBB")) == ["2021-01-07", "2021-01-14"]


def test_where_absent_means_zero_no_airport_is_behind(by_hand: Make) -> None:
    fleet = daily(by_hand, absent="zero")
    fleet.steady("AAA", "2021-01-01", "2021-01-12")
    fleet.steady("BBB", "2021-01-01", "2021-01-15")
    assert fleet.residuals("2021-01-15") == {"2021-01-07": 0.0, "2021-01-14": round(-200 / 7, 6)}


def test_an_airport_that_rests_on_weekends_has_cycles_all_the_same(by_hand: Make) -> None:
    fleet = daily(by_hand)
    weekdays = pd.bdate_range("2021-01-01", "2021-01-15")
    fleet.observe("AAA", {str(day.date()): 107.0 for day in weekdays})
    fleet.steady("BBB", "2021-01-01", "2021-01-15")
    assert fleet.residuals("2021-01-15") == {"2021-01-07": 7.0, "2021-01-14": 7.0}


def test_weeks_keep_the_weekday_that_they_come_with(by_hand: Make) -> None:
    fleet = by_hand(source={"frequency": "W"})
    fleet.steady("AAA", "2020-01-01", "2020-12-30")  # Wednesdays
    fleet.release("2021-01-05", {"AAA": 100.0}, first="2021-01-06")
    fleet.observe("AAA", {"2021-01-06": 101.0, "2021-01-13": 102.0})
    assert fleet.residuals("2021-01-20") == {"2021-01-06": 1.0, "2021-01-13": 2.0}


# --- what is asked, and of whom


def answered(fleet: ByHand, as_of: str, airport: str, cycle: str) -> None:
    """A check that asked to retrain an airport."""
    key = f"small-{as_of}-drift"
    row = {"fleet": "small", "check_key": key, "run_key": key, "as_of": as_of, "airport": airport, "cycle": cycle}
    row |= {"tested": True, "drifted": True, "severity": "moderate", "p": 0.01, "q": 0.02, "ratio": 2.0}
    row |= {"reasons": "[]", "fault": "", "action": "retrain", "why": "", "pinned": "", "version": 1, "cusum": "[]"}
    fleet.ws.tables.replace("drift", pd.DataFrame([row]), {"check_key": key})


def test_what_a_retraining_was_the_answer_to_is_no_evidence_any_more(by_hand: Make) -> None:
    fleet = by_hand()
    for airport in ("AAA", "BBB"):
        fleet.steady(airport, "2018-01-01", "2020-10-01")
    fleet.release("2020-10-31", {"AAA": 100.0, "BBB": 100.0}, windows=[fleet.window("2020-02-01", 101.0)] * 2)
    for airport in ("AAA", "BBB"):
        fleet.observe(airport, months("2020-11-01", 140.0, 140.0))
    answered(fleet, "2020-12-31", "AAA", "2020-12-01")
    before = fleet.residuals("2020-12-31")
    assert before == fleet.residuals("2020-12-31", "BBB")
    carried = releases.load(fleet.ws, releases.publications(fleet.ws)[0].release_id).by_airport()["BBB"]
    fresh = [fleet.window("2020-02-01", 101.0), fleet.window("2020-07-01", 102.0)]
    fleet.release("2020-12-31", {"AAA": 140.0, "BBB": carried}, version=2, windows=fresh)
    assert fleet.residuals("2020-12-31", "BBB") == before  # of that very day nothing is known to be answered
    for airport in ("AAA", "BBB"):
        fleet.observe(airport, months("2021-01-01", 141.0))
    after = fleet.residuals("2021-01-31")
    assert after == months("2020-02-01", *[1.0] * 5, 2.0, 2.0) | {"2021-01-01": 1.0}  # without September to December
    assert fleet.residuals("2021-01-31", "BBB") == before | {"2021-01-01": 41.0}


def test_an_airport_that_a_person_has_excluded_is_not_looked_at(by_hand: Make) -> None:
    fleet = by_hand(overrides={"BBB": {"exclude": True}})
    for airport in ("AAA", "BBB"):
        fleet.steady(airport, "2019-01-01", "2020-12-01")
    fleet.release("2020-12-31", {"AAA": 100.0, "BBB": 100.0})
    found = fleet.gather("2020-12-31")
    assert found.panel.airports == ("AAA",)
    assert set(found.versions) == set(found.simple) == set(found.model_age) == {"AAA"}


def test_an_airport_that_was_never_forecast_has_a_history_and_no_place_in_the_panel(by_hand: Make) -> None:
    fleet = by_hand()
    for airport in ("AAA", "NEW"):
        fleet.steady(airport, "2019-01-01", "2020-12-01")
    fleet.release("2020-12-31", {"AAA": 100.0})
    found = fleet.gather("2020-12-31")
    assert found.panel.airports == ("AAA",)
    assert sorted(found.history["airport"].unique()) == ["AAA", "NEW"]


def test_a_large_fleet_is_read_in_slices_with_the_same_result(by_hand: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, codes = by_hand(), [f"A{n:02d}" for n in range(12)]
    for number, airport in enumerate(codes):
        fleet.steady(airport, "2018-01-01", "2020-12-01")
        fleet.observe(airport, months("2021-01-01", 100.0 + number))
    windows = [fleet.window("2019-11-01", 108.0), fleet.window("2020-07-01", 95.0)]
    fleet.release("2020-12-31", dict.fromkeys(codes, 100.0), windows=windows)
    whole = fleet.gather("2021-01-31")
    for at_once in (1, 5):
        monkeypatch.setattr(evidence, "FORECASTS_AT_ONCE", at_once)
        found = fleet.gather("2021-01-31")
        pd.testing.assert_frame_equal(found.history, whole.history)
        np.testing.assert_array_equal(found.panel.residual, whole.panel.residual)
        assert found.panel.airports == whole.panel.airports
        assert (found.model_age, found.simple, found.versions) == (whole.model_age, whole.simple, whole.versions)


def test_where_there_is_nothing_to_look_at_it_is_said_what_to_do(by_hand: Make, ws: Workspace) -> None:
    with pytest.raises(ConfigurationError, match="nothing was ingested yet"):
        evidence.gather(ws, at("2020-12-31"))
    fleet = by_hand()
    fleet.steady("AAA", "2019-01-01", "2020-12-01")
    with pytest.raises(ConfigurationError, match=r"no release yet.*paxcast retrain"):
        fleet.gather("2020-12-31")
    name = fleet.release("2020-12-31", {"AAA": 100.0})
    with pytest.raises(ConfigurationError, match="no release as of 2020-12-30; the first is as of 2020-12-31"):
        fleet.gather("2020-12-30")
    fleet.ws.objects.delete(next(iter(fleet.ws.objects.names("runs/run-2020-12-31-1/outcomes"))))
    with pytest.raises(ConfigurationError, match=r"airport AAA: the outcome of run run-2020-12-31-1 .* --force"):
        fleet.gather("2020-12-31")
    fleet.ws.objects.delete(f"releases/small/{name}.json")
    with pytest.raises(ConfigurationError, match="as of 2020-12-31 was pruned"):
        fleet.gather("2020-12-31")
