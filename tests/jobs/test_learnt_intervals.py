"""What is decided takes its intervals by what became of earlier releases, of what was known at its as_of alone."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core import calendar, composition, intervals
from paxcast.core.calendar import parse_as_of
from paxcast.core.identity import bucket
from paxcast.core.outcome import Outcome, evaluation_of
from paxcast.core.release import Entry, Release
from paxcast.jobs import decide, ledger, releases, score
from paxcast.jobs.workspace import Workspace

CODES = [f"A{letter}" for letter in "ABCDEFGH"]
TODAY, NOW = "2020-12-31", pd.Timestamp("2021-06-01T12:00", tz="UTC")
KEY, OTHER = "small-20201231T235959-c0ffee00-r0", "small-20201231T235959-0ddba110-r0"
NOMINAL = {"0.8": 0.8, "0.95": 0.95}
Make = Callable[..., Any]


@pytest.fixture
def fleet(ws: Workspace) -> Workspace:
    """The fleet `small`, monthly, with three years of history of its airports up to September 2020."""
    source = ws.settings.source.model_copy(update={"frequency": "MS"})
    ws = replace(ws, settings=ws.settings.model_copy(update={"source": source}))
    months = pd.date_range("2017-10-01", "2020-09-01", freq="MS")
    observe(ws, *((code, f"{d:%Y-%m-%d}", 100.0 + i % 7) for code in CODES for i, d in enumerate(months)))
    return ws


def observe(ws: Workspace, *rows: tuple[str, str, float], known_at: str | None = None, receipt: str = "r1") -> None:
    frame = pd.DataFrame(list(rows), columns=["airport", "ds", "y"])
    frame["ds"] = pd.to_datetime(frame["ds"])
    known = parse_as_of(known_at) if known_at else calendar.period_end(frame["ds"], "MS")
    placed = frame.assign(known_at=known, receipt=receipt, fleet="small", bucket=frame["airport"].map(bucket))
    ws.tables.append("observations", placed)


def published(ws: Workspace, as_of: str, *months: str, half: float = 10.0, backfill: bool = False) -> None:
    """A release of all airports: 100 in each of these months, with intervals of 100 +- half, and +- twice that."""
    name = f"of-{as_of}" + "-backfilled" * backfill
    entries = tuple(Entry(code, f"small.{code}", 1, name, as_of, "c", "ets", {}) for code in CODES)
    release = Release(release_id=name, fleet="small", as_of=as_of, run_key=name, previous=None, entries=entries)
    frame = pd.DataFrame([(code, month) for code in CODES for month in months], columns=["airport", "ds"])
    frame = frame.assign(ds=pd.to_datetime(frame["ds"]), bucket=frame["airport"].map(bucket), yhat=100.0)
    edges = {"lo80": 100 - half, "hi80": 100 + half, "lo95": 100 - 2 * half, "hi95": 100 + 2 * half}
    keys = {"fleet": "small", "run_key": name, "as_of": as_of, "checksum": "c", "confidence": "high"}
    ws.tables.append("forecasts", frame.assign(**edges, **keys))
    releases.keep(ws, release, NOW, backfill)
    releases.published(ws, release)


def decided(ws: Workspace, results: Sequence[Outcome], run_key: str = KEY) -> pd.DataFrame:
    mine = [replace(result, run_key=run_key) for result in results]
    for result in mine:
        ledger.record(ws.objects, result)
    finished = pd.DataFrame([(r.airport, r.checksum) for r in mine], columns=["airport", "checksum"])
    return decide.decide(ws, run_key, finished, None, True).set_index("airport").sort_index()


def fixed(ws: Workspace, run_key: str = KEY) -> dict[str, Any]:
    found: dict[str, Any] = ws.objects.get(f"runs/{run_key}/fleet.json")
    return found


def written(ws: Workspace, run_key: str = KEY) -> bytes:
    return (Path(ws.objects.root) / "objects" / "runs" / run_key / "fleet.json").read_bytes()


def halves(rows: pd.DataFrame, edge: str) -> np.ndarray[Any, Any]:
    """The width of each airport's upper half at each step. [airports, H]"""
    made = [json.loads(text) for text in rows["forecast"]]
    return np.array([np.subtract(one[edge], one["yhat"]) for one in made])


def slow_halves(results: Sequence[Outcome], rule: str, level: float) -> np.ndarray[Any, Any]:
    """The same by loops over airports, windows and steps, of the ratio of a rank: that of the level."""
    airports = [evaluation_of(result) for result in results]
    missed = [composition.missed(airport, composition.compose(airport, rule)) for airport in airports]
    middle = float(np.median([share for one in missed for share in one.shares()]))
    widths = []
    for airport, own in zip(airports, missed, strict=True):
        unit = intervals.unit(airport.level, composition.compose(airport, rule).forecast)
        widths.append([])
        for h in range(len(own.errors[0])):
            ratios = sorted(
                abs(one.errors[k][h]) / intervals.size(one, middle, one.levels[k], without=k)
                for one in missed
                for k in range(len(one.levels))
            )
            quantile = ratios[min(math.ceil((len(ratios) + 1) * level), len(ratios)) - 1]
            widths[-1].append(quantile * intervals.size(own, middle, unit))
    return np.array(widths)


@pytest.fixture
def results(judged_of: Make) -> list[Outcome]:
    return [judged_of(code) for code in CODES]


def half_outside(month: str, by: float = 15.0) -> list[tuple[str, str, float]]:
    """Every second airport has as much as forecast, the others that much more."""
    return [(code, month, 100.0 + by * (i % 2)) for i, code in enumerate(CODES)]


# --- what is learnt


def test_the_first_run_takes_its_intervals_at_the_nominal_levels(fleet: Workspace, results: list[Outcome]) -> None:
    rows = decided(fleet, results)
    assert (fixed(fleet)["cycles"], fixed(fleet)["levels"]) == (0, NOMINAL)
    for level, edge in ((0.80, "hi80"), (0.95, "hi95")):
        slow = slow_halves(results, fixed(fleet)["rule"], level)
        np.testing.assert_allclose(halves(rows, edge), slow, rtol=1e-7)


def test_after_a_month_with_too_many_outside_the_intervals_are_wider_by_the_quantile_of_their_new_level(
    fleet: Workspace, results: list[Outcome]
) -> None:
    before = decided(fleet, results, OTHER)
    published(fleet, "2020-09-30", "2020-10-01")
    observe(fleet, *half_outside("2020-10-01"))  # outside of 80 %, inside of 95 %
    rows = decided(fleet, results)
    levels = {0.80: 1 - (0.20 + 0.15 * (0.20 - 0.5)), 0.95: 1 - (0.05 + 0.15 * (0.05 - 0.0))}
    assert (fixed(fleet)["cycles"], fixed(fleet)["levels"]) == (
        1,
        pytest.approx({str(a): b for a, b in levels.items()}),
    )
    for nominal, edge in ((0.80, "hi80"), (0.95, "hi95")):
        slow = slow_halves(results, fixed(fleet)["rule"], levels[nominal])
        np.testing.assert_allclose(halves(rows, edge), slow, rtol=1e-7)
    assert (halves(rows, "hi80") > halves(before, "hi80")).all()
    assert (halves(rows, "hi95") <= halves(before, "hi95")).all()


def test_months_are_learnt_from_one_after_the_other_over_all_releases_and_airports(
    fleet: Workspace, results: list[Outcome]
) -> None:
    published(fleet, "2020-09-30", "2020-10-01", "2020-11-01")
    observe(fleet, *half_outside("2020-10-01"))
    published(fleet, "2020-10-31", "2020-11-01", half=5.0)
    observe(fleet, *half_outside("2020-11-01", by=7.0))  # inside of the first, outside of the second at 80 %
    decided(fleet, results)
    allowed = 0.2 + 0.15 * (0.2 - 8 / 16 * 1.0)
    allowed += 0.15 * (0.2 - 4 / 16)
    assert (fixed(fleet)["cycles"], fixed(fleet)["levels"]["0.8"]) == (2, pytest.approx(1 - allowed))


# --- a function of what was known


def test_what_became_known_or_was_forecast_later_does_not_count_even_if_it_has_been_scored(
    fleet: Workspace, results: list[Outcome]
) -> None:
    published(fleet, "2020-09-30", "2020-10-01", "2020-11-01", "2021-01-01")
    observe(fleet, *half_outside("2020-10-01"))
    decided(fleet, results, OTHER)
    observe(fleet, *half_outside("2020-11-01"), known_at="2021-01-10", receipt="late")
    observe(fleet, *half_outside("2020-10-01", by=99.0), known_at="2021-01-10", receipt="restated")
    observe(fleet, *half_outside("2021-01-01"))
    published(fleet, TODAY, "2020-10-01", half=50.0)  # of the very same as_of
    published(fleet, "2021-01-31", "2020-10-01", half=50.0)
    score.score(fleet, parse_as_of("2021-03-31"))
    decided(fleet, results)
    assert fixed(fleet)["cycles"] == 1
    assert written(fleet) == written(fleet, OTHER)


def test_releases_of_a_backfill_do_not_count(fleet: Workspace, results: list[Outcome]) -> None:
    published(fleet, "2020-09-30", "2020-10-01", half=1.0, backfill=True)
    observe(fleet, *half_outside("2020-10-01"))
    decided(fleet, results, OTHER)
    assert (fixed(fleet, OTHER)["cycles"], fixed(fleet, OTHER)["levels"]) == (0, NOMINAL)
    published(fleet, "2020-08-31", "2020-10-01")
    decided(fleet, results)
    assert fixed(fleet)["levels"]["0.8"] == pytest.approx(0.845)
    assert set(fleet.tables.read("scores")["backfill"]) == {True, False}


def test_decided_again_it_is_the_same_to_the_byte_and_nothing_is_scored_twice(
    fleet: Workspace, results: list[Outcome]
) -> None:
    published(fleet, "2020-09-30", "2020-10-01")
    observe(fleet, *half_outside("2020-10-01"))
    first = decided(fleet, results)
    before = written(fleet), fleet.tables.version("scores")
    pd.testing.assert_frame_equal(decided(fleet, results), first)
    other = decided(fleet, results, OTHER)
    pd.testing.assert_frame_equal(other.assign(run_key=KEY), first)
    assert (written(fleet), fleet.tables.version("scores")) == before
    assert written(fleet, OTHER) == before[0]


def test_an_airport_finished_later_has_the_levels_of_the_others_whatever_was_restated_since(
    fleet: Workspace, results: list[Outcome], judged_of: Make
) -> None:
    published(fleet, "2020-09-30", "2020-10-01")
    observe(fleet, *half_outside("2020-10-01"))
    first, before = decided(fleet, results), written(fleet)
    observe(fleet, *half_outside("2020-10-01", by=0.0), known_at="2020-12-15", receipt="restated")
    then = decided(fleet, [*results, judged_of("LATE")])
    pd.testing.assert_frame_equal(then.loc[CODES], first)
    assert written(fleet) == before
    airport = evaluation_of(judged_of("LATE"))
    composed = composition.compose(airport, fixed(fleet)["rule"])
    own, unit = composition.missed(airport, composed), intervals.unit(airport.level, composed.forecast)
    pool = intervals.pool_from_json(fixed(fleet)["pool"])
    width = pool.quantiles[0.80] * intervals.size(own, pool.middle, unit)
    np.testing.assert_allclose(halves(then.loc[["LATE"]], "hi80")[0], width, rtol=1e-7)
    decided(fleet, results, OTHER)
    assert fixed(fleet, OTHER)["levels"] != fixed(fleet)["levels"]  # a run of its own would have seen it
