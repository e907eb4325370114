"""What is left of errors: against plain loops, a table, and noise of which the truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import gammaincc

from paxcast.core import residuals
from paxcast.core.combination import FoldForecasts
from paxcast.core.composition import Composed, Evaluation


def slow_p(left: list[float], lags: int) -> float:
    n, mean = len(left), sum(left) / len(left)
    total = sum((x - mean) ** 2 for x in left)
    q = 0.0
    for k in range(1, lags + 1):
        r = sum((left[t] - mean) * (left[t - k] - mean) for t in range(k, n)) / total
        q += r * r / (n - k)
    return float(gammaincc(lags / 2, n * (n + 2) * q / 2))


@pytest.mark.parametrize(("count", "lags"), [(8, 4), (24, 10), (60, 12)])
def test_ljung_box_is_what_its_definition_says(count: int, lags: int) -> None:
    left = np.random.default_rng(count).normal(3, 2, count)
    assert residuals.ljung_box(left, lags) == pytest.approx(slow_p(left.tolist(), lags))


def test_of_white_noise_a_twentieth_is_below_a_twentieth_and_what_goes_on_is_found() -> None:
    rng = np.random.default_rng(1)
    p = [residuals.ljung_box(rng.normal(0, 1, 400), 10) for _ in range(800)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.025)
    assert residuals.ljung_box(np.cumsum(rng.normal(0, 1, 84)), 10) < 0.001


def test_what_never_changes_has_no_p_value() -> None:
    assert math.isnan(residuals.ljung_box(np.full(30, 2.0), 10))
    assert math.isnan(residuals.ljung_box(np.array([1.0]), residuals.lags(1, 12)))


@pytest.mark.parametrize(
    ("periods", "season", "expected"), [(84, 12, 12), (23, 12, 10), (12, 12, 6), (196, 7, 7), (78, 52, 10), (1, 7, 0)]
)
def test_it_looks_over_a_season_where_there_are_two_else_over_ten_lags(
    periods: int, season: int, expected: int
) -> None:
    assert residuals.lags(periods, season) == expected


def airport() -> Evaluation:
    """Two folds of three periods, the second of one of which does not count, and a test window."""
    folds = FoldForecasts(
        np.zeros((1, 2, 3)),
        np.array([[10.0, 11.0, 12.0], [13.0, 14.0, 15.0]]),
        np.ones(2),
        np.array([[True, True, True], [True, False, True]]),
    )
    return Evaluation(
        candidates=("seasonal_naive",), competes=np.array([True]), folds=folds, test=np.zeros((1, 3)),
        test_actual=np.array([16.0, 17.0, 18.0]), test_counts=np.array([False, True, True]), test_scale=1.0,
        forecast=np.zeros((1, 3)), level=1.0, window_levels=np.ones(3), changes=np.empty((0, 3)),
    )  # fmt: skip


def composed(folds: np.ndarray, test: np.ndarray | None) -> Composed:
    return Composed(
        weights={"seasonal_naive": 1.0}, gated=False, reason="", folds=folds, test=test, forecast=np.zeros(3),
        cv_mase=None, cv_mase_naive=None,
    )  # fmt: skip


def test_the_residuals_are_what_counts_in_each_fold_and_last_in_the_test_window_actual_minus_forecast() -> None:
    made = composed(np.array([[9.0, 9.0, 9.0], [16.0, 0.0, 16.0]]), np.array([0.0, 20.0, 10.0]))
    left = [1.0, 2.0, 3.0, -3.0, -1.0, -3.0, 8.0]
    assert residuals.in_order(airport(), made).tolist() == left
    found = residuals.of_combination(airport(), made, 12)
    assert found["residual.mean"] == pytest.approx(1.0)
    assert found["residual.share_positive"] == pytest.approx(4 / 7)
    assert found["residual.ljung_box_p"] == pytest.approx(slow_p(left, 3))


def test_without_a_window_there_is_nothing_to_say() -> None:
    nothing = replace(airport(), folds=None, test=None, test_actual=None, test_counts=None)
    assert residuals.of_combination(nothing, composed(np.empty((0, 0)), None), 12) == {}
