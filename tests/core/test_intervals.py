"""Prediction intervals: exactly the coverage that conformal prediction promises on exchangeable errors."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.intervals import Band, band, confidence, half_width

SETTINGS = settings(max_examples=60, deadline=None)
LEVELS = {0.80: Fraction(4, 5), 0.95: Fraction(19, 20)}
ERRORS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
DISTINCT = st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=60, unique_by=abs)
EACH_LEVEL = pytest.mark.parametrize("level", sorted(LEVELS))


def rank(count: int, level: float) -> int:
    return math.ceil((count + 1) * LEVELS[level])


@EACH_LEVEL
@SETTINGS
@given(errors=ERRORS)
def test_the_half_width_is_the_smallest_error_that_covers_its_conformal_rank(level, errors):
    wanted = min(rank(len(errors), level), len(errors))
    enough = [w for w in map(abs, errors) if sum(abs(e) <= w for e in errors) >= wanted]
    assert half_width(np.array(errors), level) == min(enough)


@EACH_LEVEL
@SETTINGS
@given(errors=DISTINCT)
def test_of_exchangeable_errors_each_left_out_in_turn_exactly_the_conformal_rank_is_covered(level, errors):
    covered = 0
    for i, left_out in enumerate(errors):
        others = np.array(errors[:i] + errors[i + 1 :], dtype=float)
        covered += abs(left_out) <= half_width(others, level)
    exact = rank(len(errors) - 1, level)
    assert covered == (exact if exact < len(errors) else len(errors) - 1)


@EACH_LEVEL
def test_the_rank_is_exact_for_every_number_of_errors_up_to_a_thousand(level):
    for count in range(1, 1001):
        wanted = min(rank(count, level), count)
        assert half_width(np.arange(1.0, count + 1), level) == wanted


@EACH_LEVEL
def test_new_errors_are_covered_at_least_as_often_as_promised(level):
    rng = np.random.default_rng(1)
    draws = rng.standard_t(3, size=(4000, 41))
    covered = np.mean([abs(row[0]) <= half_width(row[1:], level) for row in draws])
    assert level - 0.02 < covered < level + 0.05


@SETTINGS
@given(ERRORS, st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_intervals_are_nested_around_the_forecast_never_negative_and_do_not_depend_on_order_or_sign(
    errors, yhat, random
):
    forecast = np.array(yhat)
    made = band(forecast, np.array(errors))
    edges = np.array([np.zeros(len(yhat)), made.lo95, made.lo80, made.yhat, made.hi80, made.hi95])
    assert (np.diff(edges, axis=0) >= 0).all()
    assert made.yhat.tolist() == yhat
    mirrored = band(forecast, np.array([-e for e in random.sample(errors, len(errors))]))
    assert [getattr(made, edge).tolist() for edge in Band.__slots__] == [
        getattr(mirrored, edge).tolist() for edge in Band.__slots__
    ]


def test_the_lower_edge_stops_at_no_traffic():
    made = band(np.array([10.0, 100.0]), np.full(50, 30.0))
    assert made.lo80.tolist() == [0, 70]
    assert made.hi80.tolist() == [40, 130]


def test_no_errors_and_errors_of_zero_give_a_band_without_width():
    for errors in (np.array([]), np.zeros(12)):
        made = band(np.array([3.0, 0.0]), errors)
        assert made.lo95.tolist() == made.hi95.tolist() == [3.0, 0.0]


def wide(level: float, half: float) -> Band:
    return band(np.full(4, level), np.full(100, half))


@pytest.mark.parametrize(
    ("level", "half", "seasons", "expected"),
    [
        (100, 25, 2, "high"),
        (100, 25, 1.99, "low"),
        (100, 25.5, 5, "low"),
        (100, 75, 5, "low"),
        (100, 75.5, 5, "do not publish"),
        (100, 0, 2, "high"),
        (10, 20, 5, "do not publish"),
        (0, 0, 5, "low"),
        (0, 1, 5, "do not publish"),
    ],
)
def test_confidence_is_the_width_of_the_80_percent_interval_against_the_level(level, half, seasons, expected):
    assert confidence(wide(level, half), seasons) == expected


def test_the_edges_of_confidence_are_where_the_docstring_puts_them():
    yhat = np.full(4, 100.0)
    for width, expected in ((50, "high"), (50.1, "low"), (150, "low"), (150.1, "do not publish")):
        made = Band(yhat, yhat, yhat + width, yhat, yhat + width)
        assert confidence(made, 3) == expected
