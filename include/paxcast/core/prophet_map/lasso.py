"""Small dense linear algebra and an exact lasso, compiled: what one step of the mode search needs.

Loops add multiples of rows to rows: compilers turn these into vector instructions without changing the order of any
sum, so that numbers do not depend on the machine's linear algebra library, nor on its threads.

After a change here, renew LASSO in kernels.py: tests/core/prophet_map/test_compiled.py says why.
"""

import numpy as np
from numba import njit

MOST_EXCHANGES = 1000  # changes of the lasso's active set
SHIFTS = (1e-13, 1e-8, 1e-3)  # of the diagonal: hinges with (almost) no data between them are dependent


@njit(cache=True)
def add_times(out, matrix, x):
    """Adds matrix x, of a symmetric matrix [n, n], to out [n]; zeros in x cost nothing."""
    for j in range(x.shape[0]):
        if x[j] != 0.0:
            for i in range(x.shape[0]):
                out[i] += x[j] * matrix[j, i]


@njit(cache=True)
def times(matrix, x):
    """matrix x of a symmetric matrix [n, n]."""
    out = np.zeros(x.shape[0])
    add_times(out, matrix, x)
    return out


@njit(cache=True)
def cholesky(a, n):
    """Replaces the lower triangle of a [n, n] by L with L L' = a; False if a is not positive definite."""
    for j in range(n):
        pivot = a[j, j]
        for i in range(j):
            pivot -= a[j, i] * a[j, i]
        if not pivot > 0.0:
            return False
        a[j, j] = np.sqrt(pivot)
        for r in range(j + 1, n):
            v = a[r, j]
            for i in range(j):
                v -= a[r, i] * a[j, i]
            a[r, j] = v / a[j, j]
    return True


@njit(cache=True)
def forward(chol, n, b):
    """Replaces b [n, q] by the solution of L z = b."""
    for i in range(n):
        for j in range(i):
            factor = chol[i, j]
            for c in range(b.shape[1]):
                b[i, c] -= factor * b[j, c]
        for c in range(b.shape[1]):
            b[i, c] /= chol[i, i]


@njit(cache=True)
def backward(chol, n, b):
    """Replaces b [n, q] by the solution of L' z = b."""
    for i in range(n - 1, -1, -1):
        for c in range(b.shape[1]):
            b[i, c] /= chol[i, i]
        for j in range(i):
            factor = chol[i, j]
            for c in range(b.shape[1]):
                b[j, c] -= factor * b[i, c]


@njit(cache=True)
def unconstrained(q, b, weight, x, sign, active):
    """The minimum of the lasso's objective over the active coordinates with their signs held fixed. [n], else 0"""
    at = np.nonzero(active)[0]
    n = at.shape[0]
    part, rhs = np.empty((n, n)), np.empty((n, 1))
    for shift in SHIFTS:  # dependent coordinates: close to x
        for i in range(n):
            rhs[i, 0] = b[at[i]] - weight * sign[at[i]] + shift * q[at[i], at[i]] * x[at[i]]
            for j in range(n):
                part[i, j] = q[at[i], at[j]]
            part[i, i] *= 1.0 + shift
        if cholesky(part, n):
            forward(part, n, rhs)
            backward(part, n, rhs)
            z = np.zeros(b.shape[0])
            for i in range(n):
                z[at[i]] = rhs[i, 0]
            return z
    return x


@njit(cache=True)
def towards(q, b, weight, x, z):
    """The best point on the way from x to z, and by how much the objective changes: z, or a point where a coordinate
    changes its sign, which is zero there, or x if none is better."""
    step = z - x
    slope = np.sum((times(q, x) - b) * step)
    curve = 0.5 * np.sum(step * times(q, step))
    here = weight * np.sum(np.abs(x))
    best, change = x, 0.0
    if slope + curve + weight * np.sum(np.abs(z)) < here:
        best, change = z, slope + curve + weight * np.sum(np.abs(z)) - here
    for i in range(x.shape[0]):
        if x[i] * z[i] < 0.0:
            share = -x[i] / step[i]
            point = x + share * step
            point[i] = 0.0
            value = share * slope + share * share * curve + weight * np.sum(np.abs(point)) - here
            if value < change:
                best, change = point, value
    return best, change


@njit(cache=True)
def swept(q, b, weight, x):
    """One round of coordinate descent from x, which no dependent coordinates stop, and how the objective changes."""
    x, gradient, change = x.copy(), times(q, x) - b, 0.0
    for i in range(x.shape[0]):
        new = 0.0
        if q[i, i] > 0.0:
            aim = x[i] - gradient[i] / q[i, i]
            new = np.sign(aim) * max(abs(aim) - weight / q[i, i], 0.0)
        move = new - x[i]
        if move != 0.0:
            change += move * (gradient[i] + 0.5 * q[i, i] * move) + weight * (abs(new) - abs(x[i]))
            x[i] = new
            gradient += move * q[i]
    return x, change


@njit(cache=True)
def lasso(q, b, weight, x):
    """argmin 1/2 x'q x - b'x + weight |x|_1, exact, from the warm start x. q: [n, n], b, x: [n].

    Feature-sign search: Lee, Battle, Raina and Ng, "Efficient sparse coding algorithms", 2006.
    """
    active, sign = x != 0.0, np.sign(x)
    for _ in range(MOST_EXCHANGES):
        x, change = towards(q, b, weight, x, unconstrained(q, b, weight, x, sign, active))
        settled = consistent(x, active, sign)
        if change == 0.0:
            x, change = swept(q, b, weight, x)
            settled = True
        active, sign = x != 0.0, np.sign(x)
        if settled:
            gradient = times(q, x) - b
            worst, excess = -1, weight * (1 + 1e-10) + 1e-14
            for i in range(x.shape[0]):
                if not active[i] and abs(gradient[i]) > excess:
                    worst, excess = i, abs(gradient[i])
            if worst >= 0:
                active[worst], sign[worst] = True, -np.sign(gradient[worst])
            elif change >= -1e-14 * np.sum(np.abs(b * x)):  # dependent coordinates take several goes
                break
    return x


@njit(cache=True)
def consistent(x, active, sign):
    """Whether each active coordinate has its sign."""
    wrong = 0
    for i in range(x.shape[0]):
        wrong += active[i] and not x[i] * sign[i] > 0.0
    return wrong == 0
