"""Errors of forecasts against plain arithmetic, and NaN where a scale is zero or nothing can be compared."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core import metrics

SETTINGS = settings(max_examples=80, deadline=None)
TRAFFIC = st.floats(0, 1e7).map(lambda y: round(y, 3))
PAIRS = st.lists(st.tuples(TRAFFIC, TRAFFIC), min_size=1, max_size=30)
TRAIN = st.lists(TRAFFIC, max_size=40)
SEASONS = st.integers(1, 15)


def split(pairs: list[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    actual, forecast = zip(*pairs, strict=True)
    return np.array(actual), np.array(forecast)


def slow_changes(train: list[float], season: int) -> list[float]:
    return [train[i] - train[i - season] for i in range(season, len(train))]


@SETTINGS
@given(TRAIN, SEASONS)
def test_the_naive_scale_is_the_mean_absolute_change_over_a_season(train, season):
    changes = slow_changes(train, season)
    expected = sum(abs(change) for change in changes) / len(changes) if changes else math.nan
    assert metrics.naive_scale(np.array(train), season) == pytest.approx(expected, nan_ok=True)


@SETTINGS
@given(PAIRS, st.floats(0.01, 1e6))
def test_mae_mase_and_bias_are_means_of_differences(pairs, scale):
    actual, forecast = split(pairs)
    absolute = sum(abs(a - f) for a, f in pairs) / len(pairs)
    assert metrics.mae(actual, forecast) == pytest.approx(absolute)
    assert metrics.mase(actual, forecast, scale) == pytest.approx(absolute / scale)
    assert metrics.bias(actual, forecast) == pytest.approx(sum(f - a for a, f in pairs) / len(pairs), abs=1e-6)


@SETTINGS
@given(PAIRS)
def test_smape_is_the_mean_of_twice_the_error_over_the_sum_and_within_0_and_2(pairs):
    actual, forecast = split(pairs)
    terms = [2 * abs(a - f) / (a + f) if a + f > 0 else 0.0 for a, f in pairs]
    assert metrics.smape(actual, forecast) == pytest.approx(sum(terms) / len(terms))
    assert 0 <= metrics.smape(actual, forecast) <= 2


@SETTINGS
@given(PAIRS, TRAIN, SEASONS)
def test_rmsse_is_the_root_of_the_mean_squared_error_over_that_of_seasonal_naive(pairs, train, season):
    actual, forecast = split(pairs)
    changes = slow_changes(train, season)
    scale = sum(change**2 for change in changes) / len(changes) if changes else 0.0
    squared = sum((a - f) ** 2 for a, f in pairs) / len(pairs)
    expected = math.sqrt(squared / scale) if scale > 0 else math.nan
    assert metrics.rmsse(actual, forecast, np.array(train), season) == pytest.approx(expected, nan_ok=True)


@SETTINGS
@given(PAIRS, st.lists(st.floats(1, 1e6), min_size=3, max_size=20), st.floats(0.01, 100))
def test_scaled_errors_do_not_depend_on_the_unit_of_traffic(pairs, train, unit):
    actual, forecast = split(pairs)
    past = np.array(train)
    one = metrics.rmsse(actual, forecast, past, 1)
    assert metrics.rmsse(actual * unit, forecast * unit, past * unit, 1) == pytest.approx(one, nan_ok=True)
    assert metrics.smape(actual * unit, forecast * unit) == pytest.approx(metrics.smape(actual, forecast))


def test_a_perfect_forecast_has_no_error_of_any_kind():
    y, train = np.array([1.0, 0.0, 5.0]), np.array([1.0, 2.0, 4.0])
    assert metrics.mae(y, y) == metrics.smape(y, y) == metrics.bias(y, y) == 0
    assert metrics.mase(y, y, 2.0) == metrics.rmsse(y, y, train, 1) == 0


def test_a_forecast_too_high_has_a_bias_above_zero():
    assert metrics.bias(np.array([10.0, 10.0]), np.array([13.0, 11.0])) == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("train", [np.full(24, 5.0), np.zeros(24), np.arange(12.0), np.array([])])
def test_without_a_change_over_a_season_scaled_errors_are_not_a_number(train):
    y = np.array([1.0, 2.0])
    scale = metrics.naive_scale(train, 12)
    assert not scale > 0
    assert math.isnan(metrics.mase(y, y, scale))
    assert math.isnan(metrics.rmsse(y, y, train, 12))


def test_one_season_and_one_period_is_the_shortest_series_that_has_a_scale():
    assert math.isnan(metrics.naive_scale(np.arange(12.0), 12))
    assert metrics.naive_scale(np.arange(13.0), 12) == 12


def test_a_missing_value_is_not_hidden():
    y, hole = np.array([1.0, 2.0]), np.array([1.0, math.nan])
    for error in (metrics.mae, metrics.bias):
        assert math.isnan(error(hole, y))
        assert math.isnan(error(y, hole))
    assert math.isnan(metrics.mase(hole, y, 1.0))
    assert math.isnan(metrics.rmsse(hole, y, np.arange(3.0), 1))


def test_zero_traffic_forecast_as_zero_is_no_percentage_error_and_anything_else_is_the_largest():
    assert metrics.smape(np.zeros(4), np.zeros(4)) == 0
    assert metrics.smape(np.zeros(4), np.ones(4)) == 2
