"""How a combination did in each split: every number against plain loops."""

import math
from dataclasses import replace

import numpy as np
import pytest

from paxcast.core import composition, intervals, split_metrics
from paxcast.core.candidates import Specification
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.combination import FoldForecasts
from paxcast.core.composition import Evaluation, compose
from paxcast.core.intervals import Missed
from paxcast.core.series import Series
from paxcast.core.tuning import Entrant

H, K = 6, 4
QUANTILES = {"lo95": 0.025, "lo80": 0.1, "yhat": 0.5, "hi80": 0.9, "hi95": 0.975}


def airport(folds: int = K, seed: int = 3) -> Evaluation:
    """Seasonal naive and two others, some periods of which do not count, scales that differ from window to window."""
    rng = np.random.default_rng(seed)
    actual, then = 100 + rng.normal(0, 10, (folds, H)), 100 + rng.normal(0, 10, H)
    sizes = np.array([6.0, 2.0, 3.0])[:, None]
    counts = rng.random((folds + 1, H)) < 0.8
    counts[:, 0] = True
    return Evaluation(
        candidates=("seasonal_naive", "one", "two"),
        competes=np.array([True, True, True]),
        folds=FoldForecasts(
            actual + sizes[:, None] * rng.normal(0, 1, (3, folds, H)), actual, 4 + np.arange(folds) * 1.0, counts[:-1]
        ),
        test=then + sizes * rng.normal(0, 1, (3, H)),
        test_actual=then,
        test_counts=counts[-1],
        test_scale=9.0,
        forecast=100 + sizes * rng.normal(0, 1, (3, H)),
        level=100.0,
        window_levels=90.0 + np.arange(folds + 1),
        changes=np.empty((0, H)),
        rms_scales=6 + np.arange(folds + 1) * 1.0,
    )


def slowly(actual: np.ndarray, forecast: np.ndarray, counts: np.ndarray, scale: float, rms: float) -> dict[str, float]:
    pairs = [(float(y), float(f)) for y, f, c in zip(actual, forecast, counts, strict=True) if c]
    off = [abs(y - f) for y, f in pairs]
    return {
        "mase": sum(off) / len(off) / scale,
        "rmsse": math.sqrt(sum(e * e for e in off) / len(off)) / rms,
        "smape": sum(2 * abs(y - f) / (abs(y) + abs(f)) for y, f in pairs) / len(pairs),
        "mae": sum(off) / len(off),
        "bias": sum(f - y for y, f in pairs) / len(pairs),
    }


def slowly_between(actual: np.ndarray, band: intervals.Band, counts: np.ndarray) -> dict[str, float]:
    pinball, inside = 0.0, {"80": 0, "95": 0}
    at = [h for h in range(len(actual)) if counts[h]]
    for h in at:
        for name, q in QUANTILES.items():
            off = float(actual[h] - getattr(band, name)[h])
            pinball += (q * off if off > 0 else (q - 1) * off) / len(QUANTILES)
        for level in inside:
            inside[level] += int(getattr(band, f"lo{level}")[h] <= actual[h] <= getattr(band, f"hi{level}")[h])
    return {"pinball": pinball / len(at)} | {f"coverage{a}": count / len(at) for a, count in inside.items()}


def slow_band(yhat: np.ndarray, missed: Missed, folds: list[int], at: int) -> intervals.Band:
    """Of one airport alone: its other windows' errors, each in units of what it missed in the rest of these."""
    seen = Missed(missed.errors[folds], missed.levels[folds])
    pool = intervals.pool([seen], H)
    return intervals.band(yhat, pool, intervals.size(seen, pool.middle, float(missed.levels[at])))


def test_every_error_of_the_folds_is_the_mean_over_the_folds_of_each_folds_mean() -> None:
    one = airport()
    made = compose(one, "inverse_square")
    found = split_metrics.of_splits(one, made)
    assert one.folds is not None
    assert one.rms_scales is not None
    missed = composition.missed(one, made)
    rows = []
    for k in range(K):
        row = slowly(one.folds.actual[k], made.folds[k], one.folds.counts[k], one.folds.scale[k], one.rms_scales[k])
        band = slow_band(made.folds[k], missed, [j for j in range(K) if j != k], k)
        rows.append(row | slowly_between(one.folds.actual[k], band, one.folds.counts[k]))
    for name in rows[0]:
        assert found[f"cv.{name}"] == pytest.approx(sum(row[name] for row in rows) / K), name


def test_the_test_window_has_the_intervals_of_all_folds_and_none_of_its_own_misses() -> None:
    one = airport()
    made = compose(one, "inverse_square")
    found = split_metrics.of_splits(one, made)
    assert made.test is not None
    assert one.test_actual is not None
    assert one.test_counts is not None
    band = slow_band(made.test, composition.missed(one, made), list(range(K)), K)
    expected = slowly(one.test_actual, made.test, one.test_counts, 9.0, 10.0)
    expected |= slowly_between(one.test_actual, band, one.test_counts)
    assert {name: found[f"test.{name}"] for name in expected} == pytest.approx(expected)
    other = replace(one, test_actual=one.test_actual + 1000.0)
    width = split_metrics._bands(other, compose(other, "inverse_square"))[-1]
    assert width is not None
    np.testing.assert_allclose(width.hi80, band.hi80)


def test_seasonal_naive_stands_beside_it_in_the_same_windows() -> None:
    one = airport()
    found = split_metrics.of_splits(one, compose(one, "inverse_square"))
    assert one.folds is not None
    assert found["naive.cv.mase"] == pytest.approx(one.folds.errors()[0].mean())
    assert one.test is not None
    assert found["naive.test.mase"] == pytest.approx(one.test_error(one.test[0]))
    assert found["cv.mase"] < found["naive.cv.mase"]


def test_what_cannot_be_said_is_left_out() -> None:
    single = airport(folds=1)
    names = set(split_metrics.of_splits(single, compose(single, "inverse_square")))
    assert "cv.mase" in names
    assert "cv.pinball" not in names  # there is no other fold
    assert "test.pinball" in names
    short = replace(airport(), folds=None, test=None, test_actual=None, test_counts=None, test_scale=None)
    assert split_metrics.of_splits(short, compose(short, "inverse_square")) == {}
    old = replace(airport(), rms_scales=None)  # of an outcome that was stored before there was one
    names = set(split_metrics.of_splits(old, compose(old, "inverse_square")))
    assert "cv.rmsse" not in names
    assert "cv.mae" in names


# --- the history itself

MONTHS = 60


def history() -> Series:
    at, rng = np.arange(MONTHS), np.random.default_rng(5)
    ds = np.datetime64("2015-01", "M") + at
    y = (1000 + 5 * at) * (1 + 0.3 * np.sin(2 * np.pi * at / 12)) * rng.normal(1, 0.04, MONTHS)
    return Series("AAA", "MS", ds.astype("datetime64[ns]"), y)


def entrant(name: str) -> Entrant:
    fitted = CANDIDATES[name].fit(history(), {}, seed=1, seconds=60.0)
    nothing = np.empty(0)
    return Entrant(Specification(name, {}), nothing, None, nothing, fitted, {})


def test_the_histories_errors_are_of_the_members_that_can_tell_their_weights_made_one() -> None:
    series, observed = history(), np.ones(MONTHS, dtype=bool)
    observed[40:43] = False
    entrants = [entrant(name) for name in ("seasonal_naive", "random_walk", "seasonal_growth", "window_average")]
    weights = {"seasonal_naive": 0.2, "random_walk": 0.3, "seasonal_growth": 0.5}
    found, members = split_metrics.of_history(series, observed, entrants, weights)
    assert members == ["random_walk", "seasonal_naive"]
    y = series.y
    at = [t for t in range(12, MONTHS) if observed[t]]
    fit = np.array([0.4 * y[t - 12] + 0.6 * y[t - 1] for t in at])
    changes = [float(y[t] - y[t - 12]) for t in range(12, MONTHS)]
    scale = sum(map(abs, changes)) / len(changes)
    rms = math.sqrt(sum(c * c for c in changes) / len(changes))
    expected = slowly(y[at], fit, np.ones(len(at), dtype=bool), scale, rms)
    assert found == pytest.approx({f"train.{name}": value for name, value in expected.items()})


def test_a_combination_of_which_no_member_can_tell_has_no_errors_of_the_history() -> None:
    observed = np.ones(MONTHS, dtype=bool)
    only = [entrant("seasonal_growth")]
    assert split_metrics.of_history(history(), observed, only, {"seasonal_growth": 1.0}) == ({}, [])
    naive = [entrant("seasonal_naive")]
    assert split_metrics.of_history(history(), ~observed, naive, {"seasonal_naive": 1.0}) == ({}, [])
