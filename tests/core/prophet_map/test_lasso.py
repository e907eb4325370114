"""The exact lasso where coordinates depend on each other, and from starts that are far off."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.prophet_map import lasso

SETTINGS = settings(max_examples=80, deadline=None, derandomize=True)  # the same cases every time
SEEDS = st.integers(0, 10_000)
SIZES = st.integers(1, 12)


def hinges(rng: np.random.Generator, size: int) -> np.ndarray:
    """[T, size]: (t - c)+ with changepoints that partly coincide, lie between the same two rows, or after the last."""
    t = np.arange(30) / 29
    c = np.sort(rng.choice(np.concatenate([t[::6], t[10] + np.array([0.005, 0.01, 0.02]), [1.0]]), size))
    return np.maximum(t[:, None] - c, 0)


def copied(rng: np.random.Generator, size: int) -> np.ndarray:
    """[T, size]: few different columns, some with the other sign, one of zeros."""
    few = np.column_stack([rng.normal(size=(20, 2)), np.zeros(20)])
    return few[:, rng.integers(3, size=size)] * rng.choice([-1.0, 1.0], size)


def short(rng: np.random.Generator, size: int) -> np.ndarray:
    """[T, size]: fewer rows than columns."""
    return rng.normal(size=(max(1, size // 2), size))


EACH = pytest.mark.parametrize("columns", [hinges, copied, short])


def value(q: np.ndarray, b: np.ndarray, weight: float, x: np.ndarray) -> float:
    return 0.5 * x @ q @ x - b @ x + weight * np.sum(np.abs(x))


def descended(q: np.ndarray, b: np.ndarray, weight: float, x: np.ndarray, rounds: int = 300) -> np.ndarray:
    """Coordinate descent: slow, and hard to get wrong."""
    x = x.copy()
    for _ in range(rounds):
        before = x.copy()
        for i in np.flatnonzero(np.diag(q)):
            pull = b[i] - q[i] @ x + q[i, i] * x[i]
            x[i] = np.sign(pull) * max(abs(pull) - weight, 0) / q[i, i]
        if np.max(np.abs(x - before)) < 1e-14:
            break
    return x


@EACH
@SETTINGS
@given(SEEDS, SIZES, st.floats(-5, 0.5), st.sampled_from([0.0, 1.0, 100.0]))
def test_no_coordinate_descent_from_it_or_from_zero_goes_lower_whatever_the_start(columns, seed, size, power, far):
    rng = np.random.default_rng(seed)
    matrix = columns(rng, size)
    y = rng.normal(size=len(matrix))
    q, b = matrix.T @ matrix, matrix.T @ y
    weight = 10.0**power * max(np.abs(b).max(), 1e-3)
    start = -far * np.sign(b) * rng.random(size)  # of the wrong sign
    found = lasso.lasso(q, b, weight, start)
    for other in (descended(q, b, weight, found), descended(q, b, weight, np.zeros(size))):
        assert value(q, b, weight, found) <= value(q, b, weight, other) + 1e-8 * (y @ y)
    assert not found[np.diag(q) == 0].any()  # what nothing speaks for is zero


@pytest.mark.xfail(strict=True, reason="four hinges that hardly differ: 1,000 exchanges end 0.003 above the minimum")
def test_hinges_that_hardly_differ_are_no_obstacle():
    matrix, y = hinges(rng := np.random.default_rng(272), 8), rng.normal(size=30)
    q, b = matrix.T @ matrix, matrix.T @ y
    weight = 10.0**-2.25 * np.abs(b).max()
    found = lasso.lasso(q, b, weight, np.zeros(8))
    assert value(q, b, weight, found) <= value(q, b, weight, descended(q, b, weight, found)) + 1e-8 * (y @ y)


@EACH
@SETTINGS
@given(SEEDS, SIZES)
def test_under_a_weight_that_nothing_outweighs_all_is_zero(columns, seed, size):
    rng = np.random.default_rng(seed)
    matrix = columns(rng, size)
    b = matrix.T @ rng.normal(size=len(matrix))
    found = lasso.lasso(matrix.T @ matrix, b, 1.001 * np.abs(b).max() + 1e-9, rng.normal(size=size))
    np.testing.assert_allclose(found, 0, atol=1e-9)


@SETTINGS
@given(SEEDS, SIZES, st.floats(-3, 0))
def test_a_sweep_never_raises_the_objective_and_tells_by_how_much_it_falls(seed, size, power):
    rng = np.random.default_rng(seed)
    matrix = copied(rng, size)
    q, b, weight = matrix.T @ matrix, matrix.T @ rng.normal(size=len(matrix)), 10.0**power
    start = rng.normal(size=size)
    ended, change = lasso.swept(q, b, weight, start)
    assert change <= 0
    assert value(q, b, weight, ended) - value(q, b, weight, start) == pytest.approx(change, abs=1e-9)


@SETTINGS
@given(SEEDS, SIZES, st.floats(-3, 0))
def test_the_way_to_a_point_ends_at_its_best_turn(seed, size, power):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(20, size))
    q, b, weight = matrix.T @ matrix, matrix.T @ rng.normal(size=20), 10.0**power
    here, there = rng.normal(size=(2, size))
    best, change = lasso.towards(q, b, weight, here, there)
    turns = [0.0, 1.0, *(h / (h - t) for h, t in zip(here, there, strict=True) if h * t < 0)]
    values = [value(q, b, weight, here + share * (there - here)) for share in turns]
    assert value(q, b, weight, best) == pytest.approx(min(values), abs=1e-9)
    assert change == pytest.approx(min(values) - values[0], abs=1e-9)
