"""Each compiled step against dense matrices, loops over rows, and solvers that know nothing of moments."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from paxcast.core.prophet_map import kernels, lasso
from paxcast.core.prophet_map.segments import running_moments, segment_moments

KINDS = pytest.mark.parametrize("kind", ["additive", "multiplicative", "mixed"])
SETTINGS = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 10_000)


def rows_of(data) -> np.ndarray:
    return np.column_stack([np.ones(len(data.y)), data.x, data.y])


def moments_of(data, prior, block: int = 4) -> np.ndarray:
    w = rows_of(data)
    first = np.searchsorted(data.t, prior.changepoints, side="left")
    return segment_moments(running_moments(data.t, w, block), data.t, w, block, first)


def random_phi(seed: int, data, prior) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.5, 2 + data.x.shape[1] + len(prior.changepoints))


@SETTINGS
@given(SEEDS, st.integers(1, 120), st.lists(st.integers(0, 90), min_size=0, max_size=9))
def test_moments_are_the_sums_over_each_segments_rows_whatever_the_block_and_also_of_empty_segments(
    made, seed, block, firsts
):
    data, first_rows = made.window(seed), np.sort(np.array(firsts, dtype=np.int64))
    w = rows_of(data)
    found = segment_moments(running_moments(data.t, w, block), data.t, w, block, first_rows)
    edges = [0, *first_rows, len(data.y)]
    assert found.shape == (len(firsts) + 1, 3, w.shape[1], w.shape[1])
    for s, (begin, end) in enumerate(itertools.pairwise(edges)):
        for p in range(3):
            expected = sum(
                (data.t[i] ** p * np.outer(w[i], w[i]) for i in range(begin, end)), np.zeros(found.shape[2:])
            )
            np.testing.assert_allclose(found[s, p], expected, atol=1e-11)


@KINDS
@pytest.mark.parametrize("seed", range(5))
def test_gram_gradient_and_squares_are_those_of_the_dense_jacobian_and_residuals(made, kind, seed):
    data = made.window(seed)
    prior = made.prior(seed, data, kind)
    phi = random_phi(seed, data, prior)
    rest = (prior.multiplicative, prior.changepoints)
    b, v, r, ssr, _ = kernels.contract(moments_of(data, prior), phi, *rest)
    jacobian, residuals = made.jacobian(data, prior, phi), data.y - made.fitted(data, prior, phi)
    np.testing.assert_allclose(ssr, residuals @ residuals, rtol=1e-10)
    np.testing.assert_allclose(kernels.gradient(phi, *rest, b, r), jacobian.T @ residuals, atol=1e-10)
    gram = kernels.gram(moments_of(data, prior), phi, *rest, b, v)
    np.testing.assert_allclose(gram, jacobian.T @ jacobian, atol=1e-9)
    first_rows = np.searchsorted(data.t, prior.changepoints, side="left")
    by_row = kernels.squared_residuals(data.t, rows_of(data), first_rows, phi, *rest)
    np.testing.assert_allclose(by_row, residuals @ residuals, rtol=1e-12)


def test_a_changepoint_at_a_row_begins_with_that_row_and_one_at_the_start_has_them_all(made):
    data = made.window(1)
    prior = made.prior(1, data)
    assert prior.changepoints[0] in data.t  # so the Jacobian above saw it: A = t >= c
    dummy = moments_of(
        data,
        made.prior(1, data, hinges=1).__class__(
            changepoints=np.zeros(1), tau=1.0, scales=prior.scales, multiplicative=prior.multiplicative
        ),
    )
    assert not dummy[0].any()
    assert dummy[1, 0, 0, 0] == len(data.y)


@SETTINGS
@given(SEEDS, st.integers(1, 12), st.integers(1, 4))
def test_cholesky_and_its_solves_are_those_of_numpy(seed, size, columns):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    matrix, right = root @ root.T + np.eye(size), rng.normal(size=(size, columns))
    factor, solution = matrix.copy(), right.copy()
    assert lasso.cholesky(factor, size)
    np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(matrix), atol=1e-10)
    lasso.forward(factor, size, solution)
    lasso.backward(factor, size, solution)
    np.testing.assert_allclose(solution, np.linalg.solve(matrix, right), atol=1e-9)


def test_cholesky_refuses_what_is_not_positive_definite():
    for matrix in (np.array([[1.0, 2.0], [2.0, 1.0]]), np.zeros((1, 1)), np.array([[np.nan]])):
        assert not lasso.cholesky(matrix, len(matrix))


def descended(q: np.ndarray, b: np.ndarray, weight: float, rounds: int = 20_000) -> np.ndarray:
    """The lasso by coordinate descent: slow, and hard to get wrong."""
    x = np.zeros(len(b))
    for _ in range(rounds):
        before = x.copy()
        for i in range(len(b)):
            pull = b[i] - q[i] @ x + q[i, i] * x[i]
            x[i] = np.sign(pull) * max(abs(pull) - weight, 0) / q[i, i] if q[i, i] > 0 else 0.0
        if np.max(np.abs(x - before)) < 1e-14:
            break
    return x


def value(q, b, weight, x) -> float:
    return 0.5 * x @ q @ x - b @ x + weight * np.sum(np.abs(x))


@SETTINGS
@given(SEEDS, st.integers(1, 12), st.integers(2, 14), st.floats(1e-4, 10))
def test_the_lasso_is_the_one_that_coordinate_descent_finds_from_any_start(seed, size, rank, weight):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, rank))
    if seed % 3 == 0:
        root[-1] = root[0]  # dependent columns
    q, b = root @ root.T, root @ rng.normal(size=rank)
    start = rng.normal(size=size) * (rng.random(size) < 0.5)
    found, expected = lasso.lasso(q, b, weight, start.copy()), descended(q, b, weight)
    assert value(q, b, weight, found) <= value(q, b, weight, expected) + 1e-9 * (1 + abs(value(q, b, weight, expected)))
    slope = q @ found - b
    assert np.all(np.abs(slope[found == 0]) <= weight + 1e-6 * (1 + np.abs(b).max()))
    np.testing.assert_allclose(
        slope[found != 0], -weight * np.sign(found[found != 0]), atol=1e-6 * (1 + np.abs(b).max())
    )


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_step_is_the_minimum_that_a_general_solver_finds(made, seed, flat):
    data = made.window(seed, features=3)
    prior = made.prior(seed, data, "additive", hinges=0 if flat else 4)
    jacobian = made.jacobian(data, prior, np.zeros(5 + len(prior.changepoints)))
    gram, rhs, variance = jacobian.T @ jacobian, jacobian.T @ data.y, 0.01
    precision = np.concatenate([[1 / 25, 1 / 25], prior.scales**-2.0])
    found = kernels.step(gram, rhs, variance, precision, prior.tau, flat, np.zeros(len(rhs)))

    def objective(split: np.ndarray) -> float:  # delta = plus - minus, both at least 0: smooth
        ridge, plus, minus = np.split(split, [5, 5 + len(prior.changepoints)])
        if flat:
            ridge = np.concatenate([[0.0], ridge[1:]])
        f = np.concatenate([ridge, plus - minus])
        return 0.5 * f @ gram @ f - rhs @ f + variance * (0.5 * precision @ ridge**2 + np.sum(plus + minus) / prior.tau)

    hinges = len(prior.changepoints)
    bounds = [(None, None)] * 5 + [(0, None)] * (2 * hinges)
    options = {"maxiter": 50_000, "maxfun": 500_000, "ftol": 1e-16, "gtol": 1e-12}
    best = minimize(objective, np.zeros(5 + 2 * hinges), method="L-BFGS-B", bounds=bounds, options=options)
    split = np.concatenate([found[:5], np.maximum(found[5:], 0), np.maximum(-found[5:], 0)])
    assert objective(split) <= best.fun + 1e-9
    assert found[0] == 0.0 or not flat


@SETTINGS
@given(st.floats(1e-6, 1e3), st.integers(2, 5000))
def test_sigma_is_where_its_part_of_the_posterior_is_highest(ssr, rows):
    found = kernels.best_variance(ssr, float(rows))

    def minus_lp(log_variance: float) -> float:
        variance = np.exp(log_variance)
        return 2 * variance + 0.5 * rows * log_variance + ssr / (2 * variance)

    best = minimize_scalar(minus_lp, bracket=(np.log(found) - 1, np.log(found) + 1))
    assert minus_lp(np.log(found)) <= best.fun + 1e-9 * abs(best.fun)
