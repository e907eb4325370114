"""Calibration, baselines, slices, learning and staleness, each against an oracle that loops."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core import backtesting, composition, curves, intervals
from paxcast.core.combination import FoldForecasts
from paxcast.core.composition import Evaluation
from paxcast.core.curves import Traits
from paxcast.core.treatment import Raw

H = 6


def evaluated(seed: int, count: int = 4) -> Evaluation:
    rng = np.random.default_rng(seed)
    actual = 100 + rng.normal(0, 10, (count, H))
    return Evaluation(
        candidates=("seasonal_naive", "other"),
        competes=np.array([True, True]),
        folds=FoldForecasts(
            actual + rng.normal(0, 5, (2, count, H)), actual, np.full(count, 5.0), np.ones((count, H), dtype=bool)
        ),
        test=None,
        test_actual=None,
        test_counts=None,
        test_scale=None,
        forecast=100 + rng.normal(0, 5, (2, H)),
        level=95.0 if seed % 2 else 120.0,  # below what is forecast, or above
        window_levels=np.full(count, 90.0) + 20 * (np.arange(count) % 2),
        changes=np.empty((0, H)),
    )


# --- calibration


def test_at_the_two_levels_that_are_published_the_intervals_are_those_of_a_backtest() -> None:
    airports = [evaluated(seed) for seed in range(5)]
    made = [composition.compose(a, "inverse_square") for a in airports]
    halves = curves.half_widths(airports, made, (0.5, 0.8, 0.95))
    for half, band in zip(halves, backtesting.bands(airports, made), strict=True):
        assert half is not None
        assert band is not None
        assert np.allclose(band.yhat + half[1], band.hi80)
        assert np.allclose(band.yhat + half[2], band.hi95)
        assert (np.diff(half, axis=0) >= 0).all()


def test_half_a_width_is_the_ranked_ratio_times_the_airports_own_size() -> None:
    airports = [evaluated(seed) for seed in range(3)]
    made = [composition.compose(a, "best") for a in airports]
    missed = [composition.missed(a, c) for a, c in zip(airports, made, strict=True)]
    middle = float(np.median(np.concatenate([m.shares() for m in missed])))
    ratios = []
    for one in missed:
        shares = one.shares()
        for k in range(len(shares)):
            others = np.delete(shares, k)
            size = (others.sum() + middle) / (len(others) + 1) * one.levels[k]
            ratios.append(np.abs(one.errors[k]) / size)
    at_half = [intervals.rank_of(np.array(ratios)[:, h], 0.5) for h in range(H)]
    for one, airport, composed, half in zip(
        missed, airports, made, curves.half_widths(airports, made, (0.5,)), strict=True
    ):
        unit = max(airport.level, sum(composed.forecast) / H)
        own = (one.shares().sum() + middle) / (len(one.shares()) + 1) * unit
        assert half is not None
        assert np.allclose(half[0], np.array(at_half) * own)
    assert [sum(c.forecast) / H > a.level for a, c in zip(airports, made, strict=True)] == [False, True, False]


def test_an_airport_without_that_method_has_no_interval() -> None:
    airports = [evaluated(1), evaluated(2)]
    made = [composition.compose(airports[0], "best"), None]
    assert [half is None for half in curves.half_widths(airports, made)] == [False, True]
    assert curves.half_widths(airports, [None, None]) == [None, None]


def test_coverage_is_the_share_of_known_actuals_within_the_interval() -> None:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame(
        {
            "level": np.tile([0.5, 0.8], 300),
            "yhat": 100.0,
            "y": rng.normal(100, 10, 600).round(1),
            "half": np.tile([7.0, 13.0], 300),
        }
    )
    rows.loc[::7, "y"] = np.nan
    table = curves.calibration(rows)
    for row in table.itertuples():
        of_level = [r for r in rows.itertuples() if r.level == row.level and not np.isnan(r.y)]
        inside = [r.yhat - r.half <= r.y <= r.yhat + r.half for r in of_level]
        assert row.n == len(of_level)
        assert row.coverage == pytest.approx(sum(inside) / len(inside))


def test_the_lower_end_that_is_cut_at_zero_changes_no_coverage() -> None:
    rows = pd.DataFrame({"level": 0.8, "yhat": [5.0, 5.0], "y": [0.0, 30.0], "half": 20.0})
    assert curves.calibration(rows)["coverage"].tolist() == [0.5]


# --- baselines


def forecasts(seed: int = 0) -> pd.DataFrame:
    """Three airports, two origins, three methods; the third one forecasts a part only."""
    rng = np.random.default_rng(seed)
    rows = []
    for airport in ("AAA", "BBB", "CCC"):
        for origin in pd.to_datetime(["2018-01-01", "2018-02-01"]):
            ds = pd.date_range(origin, periods=5, freq="MS")[1:]
            y = 100 + rng.normal(0, 10, 4)
            for method in ("paxcast", "seasonal_naive", "file"):
                for step in range(4 if method != "file" else 2):
                    if method == "file" and airport == "CCC":
                        continue
                    yhat = y[step] + rng.normal(0, 10)
                    rows.append(
                        (airport, origin, method, ds[step], y[step], yhat, {"AAA": 5.0, "BBB": 10.0}.get(airport, 2.0))
                    )
    return pd.DataFrame(rows, columns=["airport", "origin", "method", "ds", "y", "yhat", "scale"])


@pytest.mark.parametrize("other", ["seasonal_naive", "file"])
def test_two_methods_are_compared_on_the_periods_that_both_forecast(other: str) -> None:
    rows = forecasts()
    rows.loc[(rows["airport"] == "AAA") & (rows["ds"] == "2018-02-01"), "y"] = np.nan
    mine, theirs, steps = {}, {}, 0
    keyed = {(r.airport, r.origin, r.method, r.ds): r for r in rows.itertuples()}
    for (airport, origin, method, ds), row in keyed.items():
        match = keyed.get((airport, origin, other, ds))
        if method == "paxcast" and match is not None and not np.isnan(row.y):
            mine.setdefault((airport, origin), []).append(abs(row.yhat - row.y) / row.scale)
            theirs.setdefault((airport, origin), []).append(abs(match.yhat - row.y) / row.scale)
            steps += 1
    means = [(np.mean(mine[key]), np.mean(theirs[key])) for key in mine]
    found = curves.against(rows, other)
    assert (found["n"], found["steps"]) == (len(means), steps)
    assert found["mase"] == pytest.approx(np.mean([a for a, _ in means]))
    assert found["other"] == pytest.approx(np.mean([b for _, b in means]))
    assert found["ratio"] == pytest.approx(found["mase"] / found["other"])
    assert found["better"] == pytest.approx(np.mean([a < b for a, b in means]))


def test_a_baseline_that_forecast_nothing_of_it_has_no_error() -> None:
    found = curves.against(forecasts(), "last_release")
    assert (found["n"], found["steps"]) == (0, 0)
    assert np.isnan(found["ratio"])


# --- slices


def monthly(values: Any, start: str = "2010-01-01") -> Raw:
    ds = pd.date_range(start, periods=len(values), freq="MS").to_numpy().astype("datetime64[ns]")
    return Raw("ATL", "MS", ds, np.asarray(values, dtype=np.float64))


def slow_seasonality(y: np.ndarray, season: int) -> float:
    """By hand, for an even season: trend, phases' means, variances."""
    half = season // 2
    detrended = {}
    for t in range(half, len(y) - half):
        window = [y[t + k] * (0.5 if abs(k) == half else 1.0) for k in range(-half, half + 1)]
        if not np.isnan(window).any():
            detrended[t] = y[t] - sum(window) / season
    phases: dict[int, list[float]] = {}
    for t, value in detrended.items():
        phases.setdefault(t % season, []).append(value)
    rest = [value - sum(phases[t % season]) / len(phases[t % season]) for t, value in detrended.items()]
    return max(0.0, 1 - float(np.var(rest)) / float(np.var(list(detrended.values()))))


@pytest.mark.parametrize("noise", [0.0, 5.0, 50.0])
def test_the_strength_of_a_season_is_that_of_the_classical_decomposition(noise: float) -> None:
    at = np.arange(72)
    y = 100 + at + 20 * np.sin(2 * np.pi * at / 12) + noise * np.random.default_rng(1).normal(size=72)
    y[10] = np.nan
    assert curves.seasonality(y, 12) == pytest.approx(slow_seasonality(y, 12))
    assert (curves.seasonality(y, 12) > 0.9) == (noise < 10)


def test_an_odd_season_is_a_plain_mean_of_its_periods() -> None:
    y = np.random.default_rng(2).normal(100, 10, 40) + np.tile([0, 1, 5, 7, 0, -3, -9], 6)[:40]
    detrended = [y[t] - np.mean(y[t - 3 : t + 4]) for t in range(3, 37)]
    phases = [[v for t, v in zip(range(3, 37), detrended, strict=True) if t % 7 == p] for p in range(7)]
    rest = [v - np.mean(phases[t % 7]) for t, v in zip(range(3, 37), detrended, strict=True)]
    assert curves.seasonality(y, 7) == pytest.approx(1 - np.var(rest) / np.var(detrended))


def test_a_history_without_change_has_no_season_and_a_short_one_an_unknown_one() -> None:
    assert curves.seasonality(np.full(48, 7.0), 12) == 0
    assert np.isnan(curves.seasonality(np.arange(15.0), 12))
    assert np.isnan(curves.seasonality(np.arange(5.0), 12))


def test_recovery_is_the_last_year_over_2019() -> None:
    raw = monthly([100.0] * 24 + [50.0] * 12 + [80.0] * 12, "2018-01-01")  # 2018, 2019, 2020, 2021
    assert curves.traits(raw).recovery == pytest.approx(0.8)
    assert curves.traits(raw).level == 80
    assert curves.traits(raw).years == 4
    assert np.isnan(curves.traits(raw.head(24)).recovery)  # ends in 2019: there is nothing to recover from
    assert np.isnan(curves.traits(monthly([100.0] * 12, "2021-01-01")).recovery)
    assert np.isnan(curves.traits(monthly([100.0] * 29, "2019-08-01")).recovery)  # five months of 2019 are no year


def test_airports_are_put_into_thirds_classes_and_countries() -> None:
    nan = float("nan")
    airports = {
        "AAA": Traits(10, 0.1, 3, nan, "FR"),
        "BBB": Traits(20, 0.5, 5, 0.79, "FR"),
        "CCC": Traits(30, 0.9, 12, 0.8, None),
        "DDD": Traits(30, nan, 10, 1.0, "AU"),
    }
    table = curves.slices(airports).pivot(index="airport", columns="slice", values="value")
    assert table["size"].tolist() == ["lowest third", "middle third", "highest third", "highest third"]
    assert table["seasonality"].tolist() == ["lowest third", "middle third", "highest third", "strength not known"]
    assert table["history"].tolist() == [
        "under 5 years",
        "5 to 10 years",
        "10 years and more",
        "10 years and more",
    ]
    assert table["recovery"].tolist() == [
        curves.NO_2019,
        "below 80 % of 2019",
        "80 to 100 % of 2019",
        "above 2019",
    ]
    assert table["country"].tolist() == ["FR", "FR", curves.NO_COUNTRY, "AU"]


def test_airports_of_one_size_are_in_one_third() -> None:
    levels = {"AAA": 5.0, "BBB": 5.0, "CCC": 5.0, "DDD": 6.0, "EEE": 7.0}
    table = curves.slices({airport: Traits(level, 0.5, 3, 1.0) for airport, level in levels.items()})
    sizes = table[table["slice"] == "size"]["value"].tolist()
    assert sizes == ["lowest third"] * 3 + ["middle third", "highest third"]


def test_a_slice_is_the_mean_over_its_airports_and_origins_beside_seasonal_naive() -> None:
    rng = np.random.default_rng(4)
    keys = [(a, o, m) for a in "ABCDE" for o in (1, 2) for m in ("paxcast", "seasonal_naive", "other")]
    errors = pd.DataFrame(keys, columns=["airport", "origin", "method"]).assign(mase=rng.uniform(0.5, 1.5, len(keys)))
    errors = errors[
        ~((errors["airport"] == "E") & (errors["method"] == "seasonal_naive"))
    ]  # E is compared with nothing
    parts = pd.DataFrame({"airport": list("ABCDE"), "slice": "size", "value": ["x", "x", "x", "y", "y"]})
    table = curves.by_slice(errors, parts).set_index("value")
    by = errors.set_index(["airport", "origin", "method"])["mase"].to_dict()
    for value, members in (("x", "ABC"), ("y", "D")):
        pairs = [(by[a, o, "paxcast"], by[a, o, "seasonal_naive"]) for a in members for o in (1, 2)]
        row = table.loc[value]
        assert (row["airports"], row["n"]) == (len(members), len(pairs))
        assert row["mase"] == pytest.approx(np.mean([p for p, _ in pairs]))
        assert row["naive"] == pytest.approx(np.mean([n for _, n in pairs]))
        assert row["ratio"] == pytest.approx(row["mase"] / row["naive"])
        assert row["better"] == pytest.approx(np.mean([p < n for p, n in pairs]))


# --- learning


def test_only_airports_with_more_history_than_that_are_on_either_side_of_a_row() -> None:
    errors = pd.DataFrame(
        [("A", 0, 0.8), ("A", 3, 1.0), ("A", 5, 0.9), ("B", 0, 0.6), ("B", 3, 0.6), ("C", 0, 2.0), ("D", 3, 9.0)],
        columns=["airport", "years", "mase"],
    )
    table = curves.learning(errors).set_index("years")
    assert table["airports"].to_dict() == {0: 3, 3: 2, 5: 1}  # D has nothing to compare with
    assert table["mase"].to_dict() == pytest.approx({0: 3.4 / 3, 3: 0.8, 5: 0.9})
    assert table["mase_all"].to_dict() == pytest.approx({0: 3.4 / 3, 3: 0.7, 5: 0.8})
    assert table["ratio"].to_dict() == pytest.approx({0: 1.0, 3: 0.8 / 0.7, 5: 0.9 / 0.8})


# --- staleness


def long_forecasts(frequency: str = "MS", origins: int = 8, reach: int = 8, seed: int = 0) -> pd.DataFrame:
    """Two airports, one of which has no model at the third origin; actuals end before the last origins' reach does."""
    rng = np.random.default_rng(seed)
    step = {"MS": "MS", "W": "7D", "D": "D"}[frequency]
    grid = pd.date_range("2015-01-05" if frequency == "W" else "2015-01-01", periods=60, freq=step)
    y = {a: 100 + rng.normal(0, 10, 60) for a in ("AAA", "BBB")}
    rows = []
    for airport in y:
        for at in range(20, 20 + origins):
            if airport == "BBB" and at == 22:
                continue
            for ahead in range(1, reach + 1):
                actual = y[airport][at + ahead] if at + ahead < 30 else np.nan
                yhat = y[airport][at + ahead] + rng.normal(0, 3 * ahead)
                rows.append((airport, grid[at], grid[at + ahead], actual, yhat, 5.0 + at / 10))
    return pd.DataFrame(rows, columns=["airport", "origin", "ds", "y", "yhat", "scale"])


@pytest.mark.parametrize("frequency", ["MS", "W", "D"])
def test_a_model_of_some_age_is_compared_with_a_fresh_one_on_the_same_periods(frequency: str) -> None:
    rows, horizon, oldest = long_forecasts(frequency), 4, 4
    table = curves.staleness(rows, frequency, horizon, oldest).set_index("age")
    periods = sorted({*rows["origin"], *rows["ds"]})
    made = {(r.airport, periods.index(r.origin), periods.index(r.ds)): r for r in rows.itertuples()}
    airports, origins = ("AAA", "BBB"), sorted({key[1] for key in made})
    for age in range(oldest + 1):
        stale, fresh = [], []
        for airport in airports:
            for at in origins:
                keys = [((airport, at, t), (airport, at - age, t)) for t in range(at + 1, at + horizon + 1)]
                both = [(made[a], made[b]) for a, b in keys if a in made and b in made and not np.isnan(made[a].y)]
                if len(both) == horizon:
                    fresh.append(np.mean([abs(a.yhat - a.y) / a.scale for a, _ in both]))
                    stale.append(np.mean([abs(b.yhat - a.y) / a.scale for a, b in both]))
        assert table.loc[age, "pairs"] == len(fresh) > 0
        assert table.loc[age, "fresh"] == pytest.approx(np.mean(fresh))
        assert table.loc[age, "stale"] == pytest.approx(np.mean(stale))
        assert table.loc[age, "ratio"] == pytest.approx(np.mean(stale) / np.mean(fresh))
    assert table.loc[0, "ratio"] == 1
    assert table["pairs"].is_monotonic_decreasing


def test_ages_that_nothing_can_be_compared_at_are_empty_and_not_left_out() -> None:
    table = curves.staleness(long_forecasts(origins=2), "MS", 4, 3)
    assert table["pairs"].tolist() == [4, 2, 0, 0]
    assert table["ratio"].isna().tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("ratios", "age"),
    [([1.0, 1.01, 1.04, 1.2, 1.03], 2), ([1.0, 1.3], 0), ([1.0, 0.9, 0.8], 2), ([1.0, float("nan"), 1.0], 0)],
)
def test_a_model_keeps_until_the_first_age_beyond_the_tolerance(ratios: list[float], age: int) -> None:
    assert curves.keeps(pd.DataFrame({"age": range(len(ratios)), "ratio": ratios}), 0.05) == age
