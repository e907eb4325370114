"""Rows and errors of a backtest against slow loops."""

import math

import numpy as np
import pandas as pd
import pytest

from paxcast.core import backtesting, composition, intervals
from paxcast.core.backtesting import COLUMNS, ERRORS
from paxcast.core.combination import FoldForecasts
from paxcast.core.composition import Evaluation

H = 3
LEVELS = (("lo95", 0.025), ("lo80", 0.1), ("yhat", 0.5), ("hi80", 0.9), ("hi95", 0.975))
AIRPORTS = {f"A{i}": 10.0 ** (i / 2) for i in range(1, 7)}  # by level
METHODS = ("paxcast", "seasonal_naive", "other")
ORIGINS = ("2018-12-01", "2019-12-01")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Six airports, two origins, three methods, three steps; what followed is known but for one step of A3."""
    rng, frames = np.random.default_rng(1), []
    for airport, level in AIRPORTS.items():
        for origin in map(pd.Timestamp, ORIGINS):
            y = level * rng.uniform(0.5, 1.5, H)
            for method in METHODS:
                ends = np.sort(level * rng.uniform(0.3, 1.7, (5, H)), axis=0)
                band = intervals.Band(yhat=ends[2], lo80=ends[1], hi80=ends[3], lo95=ends[0], hi95=ends[4])
                ds = [str((origin + pd.DateOffset(months=h)).date()) for h in range(1, H + 1)]
                made = backtesting.rows(airport, origin, method, ds, band).assign(y=y)
                frames.append(made.assign(scale=[(0.2 * level, 0.3 * level)] * H, level=level))
    found = pd.concat(frames, ignore_index=True)
    found.loc[(found["airport"] == "A3") & (found["ds"] == "2019-02-01"), "y"] = np.nan
    return found


@pytest.fixture(scope="module")
def errors(rows) -> pd.DataFrame:
    return backtesting.errors(rows)


# --- the scale


def slow_scale(values: dict[int, float], season: int) -> tuple[float, float]:
    """By period number: gaps filled on a straight line, then the changes from season to season."""
    full = []
    for i in range(min(values), max(values) + 1):
        left, right = max(j for j in values if j <= i), min(j for j in values if j >= i)
        share = (i - left) / (right - left) if right > left else 0.0
        full.append(values[left] + share * (values[right] - values[left]))
    changes = [b - a for a, b in zip(full, full[season:], strict=False)]
    if not changes:
        return 0.0, 0.0
    return sum(map(abs, changes)) / len(changes), math.sqrt(sum(c * c for c in changes) / len(changes))


@pytest.mark.parametrize(("code", "season", "step"), [("MS", 12, "MS"), ("W", 52, "7D"), ("D", 7, "D")])
def test_the_scale_is_the_seasonal_naive_error_of_the_history_gaps_filled_straight(code, season, step):
    rng = np.random.default_rng(1)
    grid = pd.date_range("2015-01-01", periods=3 * season, freq=step)
    kept = sorted({0, *rng.choice(3 * season, 2 * season, replace=False).tolist(), 3 * season - 1})
    y = rng.uniform(10, 90, len(kept))
    turned = rng.permutation(len(kept))
    found = backtesting.scale_of(y[turned], pd.Series(grid[kept][turned]), code)
    assert found == pytest.approx(slow_scale(dict(zip(kept, y, strict=True)), season))


@pytest.mark.parametrize("periods", [1, 12])
def test_a_history_of_no_more_than_a_season_has_no_scale(periods):
    ds = pd.Series(pd.date_range("2015-01-01", periods=periods, freq="MS"))
    assert backtesting.scale_of(np.arange(periods), ds, "MS") == (0.0, 0.0)


# --- errors


def test_every_error_is_what_a_loop_over_the_steps_finds(rows, errors):
    for row in errors.to_dict("records"):
        keys = ("airport", "origin", "method")
        steps = [s for s in rows.to_dict("records") if all(s[k] == row[k] for k in keys)]
        mean_scale, root_scale = steps[0]["scale"]
        off = [abs(s["y"] - s["yhat"]) for s in steps]
        pinball = [
            sum((a * (s["y"] - s[q]) if s["y"] >= s[q] else (1 - a) * (s[q] - s["y"])) for q, a in LEVELS) / 5
            for s in steps
        ]
        slow = {
            "mase": sum(off) / H / mean_scale,
            "rmsse": math.sqrt(sum(e * e for e in off) / H) / root_scale,
            "smape": sum(2 * e / (s["y"] + s["yhat"]) for e, s in zip(off, steps, strict=True)) / H,
            "pinball": sum(pinball) / H / mean_scale,
            "covered80": sum(s["lo80"] <= s["y"] <= s["hi80"] for s in steps) / H,
            "covered95": sum(s["lo95"] <= s["y"] <= s["hi95"] for s in steps) / H,
        }
        assert {name: row[name] for name in ERRORS} == pytest.approx(slow)
        assert row["level"] == AIRPORTS[row["airport"]]


def test_a_forecast_of_which_one_step_is_not_known_has_no_error_and_its_other_origin_has(rows, errors):
    assert len(errors) == len(AIRPORTS) * len(ORIGINS) * len(METHODS) - len(METHODS)
    of_a3 = errors[errors["airport"] == "A3"]
    assert {str(origin.date()) for origin in of_a3["origin"]} == {"2019-12-01"}


def test_an_airport_without_a_scale_has_no_error(rows):
    flat = rows["airport"] == "A1"
    without = rows.assign(scale=[(0.0, 0.0) if f else s for f, s in zip(flat, rows["scale"], strict=True)])
    assert "A1" not in set(backtesting.errors(without)["airport"])


def test_where_forecast_and_traffic_are_both_zero_there_is_no_error():
    band = intervals.Band(*[np.zeros(1)] * 5)
    made = backtesting.rows("A", pd.Timestamp("2018-12-01"), "paxcast", ["2019-01-01"], band)
    (row,) = backtesting.errors(made.assign(y=0.0, scale=[(1.0, 1.0)], level=0.0)).to_dict("records")
    assert [row[name] for name in ERRORS] == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]


def test_rows_have_the_promised_columns(rows):
    assert set(COLUMNS) <= set(rows.columns)
    first = rows.iloc[0]
    assert (first["airport"], first["method"], str(first["ds"].date())) == ("A1", "paxcast", "2019-01-01")


# --- the table


def cell(table: pd.DataFrame, where: str, method: str, column: str) -> float:
    (value,) = table.loc[(table["slice"] == where) & (table["method"] == method), column]
    return float(value)


def test_the_table_holds_the_mean_of_each_method_overall_by_origin_and_by_slice(errors):
    halves = {"A1": "small", "A2": "small", "A3": "small", "A4": "large", "A5": "large", "A6": "large"}
    parts = pd.DataFrame([(a, "size", v) for a, v in halves.items()], columns=["airport", "slice", "value"])
    table = backtesting.table(errors, parts)
    slices = {"all": lambda e: True}
    slices |= {f"origin {o}": lambda e, o=o: str(e["origin"].date()) == o for o in ORIGINS}
    slices |= {f"size: {v}": lambda e, v=v: halves[e["airport"]] == v for v in ("small", "large")}
    assert set(table["slice"]) == set(slices)
    for where, belongs in slices.items():
        for method in METHODS:
            part = [e for e in errors.to_dict("records") if e["method"] == method and belongs(e)]
            assert cell(table, where, method, "n") == len(part)
            for name in ERRORS:
                assert cell(table, where, method, name) == pytest.approx(sum(e[name] for e in part) / len(part))


def test_better_is_the_share_of_airport_origins_with_a_lower_mase_than_seasonal_naive(errors):
    table = backtesting.table(errors)
    mase = {(e["airport"], e["origin"], e["method"]): e["mase"] for e in errors.to_dict("records")}
    for method in METHODS:
        own = [(mase[key], mase[(*key[:2], "seasonal_naive")]) for key in mase if key[2] == method]
        assert cell(table, "all", method, "better") == pytest.approx(sum(a < b for a, b in own) / len(own))
    assert cell(table, "all", "seasonal_naive", "better") == 0.0


def test_where_a_method_left_out_what_is_published_seasonal_naive_counts_in_its_place(errors):
    left_out = (errors["method"] == "other") & errors["airport"].isin(["A1", "A4", "A6"])
    unpublished = (errors["method"] == "paxcast") & (errors["airport"] == "A6")
    never = [name for name in ERRORS if name.startswith("covered")]
    given = errors[~left_out & ~unpublished].copy()
    given.loc[given["method"] == "other", never] = np.nan  # a method without intervals
    table = backtesting.table(given, pd.DataFrame([("A4", "size", "x")], columns=["airport", "slice", "value"]))
    rows = {(e["airport"], e["origin"], e["method"]): e for e in given.to_dict("records")}
    published = {key[:2] for key in rows if key[2] == "paxcast"}
    own = {key[:2] for key in rows if key[2] == "other"}
    part = [rows.get((*key, "other"), rows[*key, "seasonal_naive"]) for key in published | own]
    assert len(part) == len(own) + 4 == 9
    assert cell(table, "all", "other", "n") == len(own)
    for name in set(ERRORS) - set(never):
        assert cell(table, "all", "other", name) == pytest.approx(sum(e[name] for e in part) / len(part))
    assert all(math.isnan(cell(table, "all", "other", name)) for name in never)
    better = [e for e in part if e["mase"] < rows[e["airport"], e["origin"], "seasonal_naive"]["mase"]]
    assert cell(table, "all", "other", "better") == pytest.approx(len(better) / len(part))
    assert cell(table, "size: x", "other", "n") == 0
    assert cell(table, "size: x", "other", "mase") == cell(table, "size: x", "seasonal_naive", "mase")
    assert cell(table, "all", "paxcast", "n") == len(published)  # nothing stands for what is not published


# --- intervals of a method


def airport(seed: int, candidates: tuple[str, ...]) -> Evaluation:
    rng, count = np.random.default_rng(seed), 4
    actual = 100 + rng.normal(0, 10, (count, H))
    made = actual + rng.normal(0, 5, (len(candidates), count, H))
    return Evaluation(
        candidates=candidates,
        competes=np.ones(len(candidates), dtype=bool),
        folds=FoldForecasts(made, actual, np.full(count, 5.0), np.ones((count, H), dtype=bool)),
        test=None,
        test_actual=None,
        test_counts=None,
        test_scale=None,
        forecast=100 + rng.normal(0, 5, (len(candidates), H)),
        level=90.0 if seed == 1 else 120.0,  # below what is forecast, or above
        window_levels=np.full(count, 90.0),
        changes=np.empty((0, H)),
    )


def test_a_method_is_calibrated_over_the_airports_that_have_it_and_the_others_have_no_band():
    fleet = [
        airport(1, ("seasonal_naive", "other")),
        airport(2, ("seasonal_naive",)),
        airport(3, ("seasonal_naive", "other")),
    ]
    made = [composition.alone(one, "other") for one in fleet]
    found = backtesting.bands(fleet, made)
    assert found[1] is None
    two = [fleet[0], fleet[2]]
    pool = intervals.pool([composition.missed(a, composition.alone(a, "other")) for a in two], H)
    for one, band in zip(two, (found[0], found[2]), strict=True):
        composed = composition.alone(one, "other")
        unit = max(one.level, float(np.mean(one.forecast[1])))
        size = intervals.size(composition.missed(one, composed), pool.middle, unit)
        np.testing.assert_array_equal(band.yhat, one.forecast[1])
        np.testing.assert_allclose(band.hi80, one.forecast[1] + pool.quantiles[0.80] * size)
    assert backtesting.bands(fleet, [None] * 3) == [None] * 3
