"""The arithmetic of the posterior mode, compiled: Gauss-Newton steps on moments, sigma in closed form.

Notation as in the package's docstring; phi = (k, m, beta [K], delta [S]), n = 2 + K + S, d = K + 2.
"""

import numpy as np
from numba import njit

from paxcast.core.prophet_map.lasso import add_times, backward, cholesky, forward, lasso, times

# The digest of lasso.py. numba renews what it has cached of a file when that file changes, not when one does whose
# functions it calls; so a change there has to be a change here. tests/core/prophet_map/test_compiled.py holds it.
LASSO = "27bee7ab94b17f90"
MOST_STEPS = 500  # it takes 3 to 40; hundreds where multiplicative terms and the trend can stand in for each other
MOST_HALVINGS = 30
CANCELLED = 1e-6  # an ssr that is a smaller share of what it is the difference of is summed row by row instead
SMALLEST_SSR = 1e-20  # of the sum of y^2: a fit as good as this is not made better
SHIFTS = (0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-6)  # what the diagonal of dependent columns needs in spite of rounding


@njit(cache=True)
def trend_lines(phi, features, changepoints):
    """level, slope: [S + 1]. In segment s the trend is level[s] + slope[s] t."""
    hinges = changepoints.shape[0]
    level, slope = np.empty(hinges + 1), np.empty(hinges + 1)
    level[0], slope[0] = phi[1], phi[0]
    for s in range(hinges):
        delta = phi[2 + features + s]
        slope[s + 1] = slope[s] + delta
        level[s + 1] = level[s] - delta * changepoints[s]
    return level, slope


@njit(cache=True)
def sides(phi, multiplicative):
    """a, b: [d], with w'a = y - X_add beta and w'b = 1 + X_mul beta."""
    features = multiplicative.shape[0]
    a, b = np.zeros(features + 2), np.zeros(features + 2)
    a[features + 1], b[0] = 1.0, 1.0
    for j in range(features):
        if multiplicative[j]:
            b[j + 1] = phi[2 + j]
        else:
            a[j + 1] = -phi[2 + j]
    return a, b


@njit(cache=True)
def contract(moments, phi, multiplicative, changepoints):
    """What a Gauss-Newton step needs of the data, from the moments alone.

    With u = w'b = 1 + X_mul beta and the residual r = w'a - trend u, where a = (0, -beta of additive columns, 1):
    v [S + 1, 3, d] = sum t^p u w, r [S + 1, 2, d] = sum t^p r w, ssr = sum r^2, and the size of what cancels in it.
    """
    segments, d = moments.shape[0], moments.shape[2]
    a, b = sides(phi, multiplicative)
    level, slope = trend_lines(phi, d - 2, changepoints)
    v, r, ssr = np.zeros((segments, 3, d)), np.zeros((segments, 2, d)), 0.0
    size = 0.0
    for s in range(segments):
        for p in range(3):
            add_times(v[s, p], moments[s, p], b)
        size += level[s] ** 2 * np.sum(b * v[s, 0]) + slope[s] ** 2 * np.sum(b * v[s, 2])
        for p in range(2):
            add_times(r[s, p], moments[s, p], a)
            if p == 0:
                size += np.sum(a * r[s, 0])
            for j in range(d):
                r[s, p, j] -= level[s] * v[s, p, j] + slope[s] * v[s, p + 1, j]
        for j in range(d):
            ssr += (a[j] - level[s] * b[j]) * r[s, 0, j] - slope[s] * b[j] * r[s, 1, j]
    return b, v, r, max(ssr, 0.0), size


@njit(cache=True)
def exact(ssr, size, t, w, first_rows, phi, multiplicative, changepoints):
    """ssr; row by row where the moments cancel, for a pass over the data."""
    if ssr < CANCELLED * size:
        return squared_residuals(t, w, first_rows, phi, multiplicative, changepoints)
    return ssr


@njit(cache=True)
def squared_residuals(t, w, first_rows, phi, multiplicative, changepoints):
    """ssr row by row."""
    a, b = sides(phi, multiplicative)
    level, slope = trend_lines(phi, w.shape[1] - 2, changepoints)
    total, s = 0.0, 0
    for i in range(w.shape[0]):
        while s < first_rows.shape[0] and i >= first_rows[s]:
            s += 1
        total += (np.sum(w[i] * a) - (level[s] + slope[s] * t[i]) * np.sum(w[i] * b)) ** 2
    return total


@njit(cache=True)
def gram(moments, phi, multiplicative, changepoints, b, v):
    """H [n, n] = J'J, where J [T, n] holds the derivatives of yhat by phi:

    u t for k, u for m, h x for beta with h = trend for a multiplicative column, else 1, and u (t - c)+ for delta.
    """
    segments, features = moments.shape[0], moments.shape[2] - 2
    level, slope = trend_lines(phi, features, changepoints)
    h = np.zeros((phi.shape[0], phi.shape[0]))
    tail_u = np.zeros(3)  # sums over the segments from s on: t^p u^2
    tail_x = np.zeros((2, features))  # t^p u h x
    for s in range(segments - 1, -1, -1):
        for p in range(3):
            tail_u[p] += np.sum(b * v[s, p])
        for p in range(2):
            add_features(tail_x[p], v[s, p], v[s, p + 1], multiplicative, level[s], slope[s])
        if s > 0:
            add_hinge(h, s - 1, changepoints, tail_u, tail_x)
        add_products(h, moments[s], multiplicative, level[s], slope[s])
    h[0, 0], h[0, 1], h[1, 1] = tail_u[2], tail_u[1], tail_u[0]
    for j in range(features):
        h[0, 2 + j], h[1, 2 + j] = tail_x[1, j], tail_x[0, j]
    for i in range(h.shape[0]):
        for j in range(i):
            h[i, j] = h[j, i]
    return h


@njit(cache=True)
def add_features(total, times_1, times_t, multiplicative, level, slope):
    """Adds one segment's sums of h x to total [K], given its sums of x and of t x: [d], with 1 and y at the ends."""
    for j in range(total.shape[0]):
        if multiplicative[j]:
            total[j] += level * times_1[j + 1] + slope * times_t[j + 1]
        else:
            total[j] += times_1[j + 1]


@njit(cache=True)
def add_hinge(h, hinge, changepoints, tail_u, tail_x):
    """Fills the column of a hinge in the upper triangle of h, from the sums over the rows from its changepoint on."""
    features, c = tail_x.shape[1], changepoints[hinge]
    column = 2 + features + hinge
    h[0, column] = tail_u[2] - c * tail_u[1]
    h[1, column] = tail_u[1] - c * tail_u[0]
    for j in range(features):
        h[2 + j, column] = tail_x[1, j] - c * tail_x[0, j]
    for e in range(hinge + 1):  # (t - c_e)+ (t - c)+ = (t - c_e) (t - c) from c on, for every c_e <= c
        early = changepoints[e]
        h[2 + features + e, column] = tail_u[2] - (early + c) * tail_u[1] + early * c * tail_u[0]


@njit(cache=True)
def add_products(h, moment, multiplicative, level, slope):
    """Adds to h one segment's sums of h_i h_j x_i x_j, in the upper triangle. moment: [3, d, d]"""
    features = moment.shape[1] - 2
    for i in range(features):
        # h_i h_j = (level + slope t)^q with q the number of multiplicative ones of the two, so the weights of t^p are:
        with_added = (level, slope, 0.0) if multiplicative[i] else (1.0, 0.0, 0.0)
        with_scaled = (level, slope, 0.0)
        if multiplicative[i]:
            with_scaled = (level * level, 2 * level * slope, slope * slope)
        for j in range(i, features):
            w0, w1, w2 = with_scaled if multiplicative[j] else with_added
            h[2 + i, 2 + j] += (
                w0 * moment[0, i + 1, j + 1] + w1 * moment[1, i + 1, j + 1] + w2 * moment[2, i + 1, j + 1]
            )


@njit(cache=True)
def gradient(phi, multiplicative, changepoints, b, r):
    """J'r [n], r the residuals."""
    segments, features = r.shape[0], r.shape[2] - 2
    level, slope = trend_lines(phi, features, changepoints)
    g = np.zeros(phi.shape[0])
    for s in range(segments - 1, -1, -1):
        g[1] += np.sum(b * r[s, 0])
        g[0] += np.sum(b * r[s, 1])
        if s > 0:
            g[1 + features + s] = g[0] - changepoints[s - 1] * g[1]
        add_features(g[2 : 2 + features], r[s, 0], r[s, 1], multiplicative, level[s], slope[s])
    return g


@njit(cache=True)
def step(h, rhs, variance, precision, tau, flat, phi):
    """argmin 1/2 f'(h + variance P) f - rhs'f + variance |delta|_1 / tau: the ridge block (k, m, beta) is eliminated
    by Cholesky, and what is left is a lasso in delta, warm-started from phi's. h: [n, n], rhs: [n]"""
    ridge, hinges = precision.shape[0], phi.shape[0] - precision.shape[0]
    chol, y = np.empty((ridge, ridge)), np.empty((ridge, hinges + 1))
    for shift in SHIFTS:  # keeps phi the closer, the larger it is
        for i in range(ridge):
            chol[i] = h[i, :ridge]
            chol[i, i] += variance * precision[i] + shift * h[i, i]
            y[i, :hinges] = h[i, ridge:]
            y[i, hinges] = rhs[i] + shift * h[i, i] * phi[i]
        if flat:  # no slope: k is fixed at 0
            chol[0, :], chol[:, 0], y[0, :] = 0.0, 0.0, 0.0
            chol[0, 0] = 1.0
        if cholesky(chol, ridge):
            break
    forward(chol, ridge, y)
    new, z = phi.copy(), np.empty((ridge, 1))
    new[ridge:] = hinges_given(y, h[ridge:, ridge:].copy(), rhs[ridge:].copy(), variance / tau, phi[ridge:].copy())
    for i in range(ridge):
        z[i, 0] = y[i, hinges] - np.sum(y[i, :hinges] * new[ridge:])
    backward(chol, ridge, z)
    new[:ridge] = z[:, 0]
    return new


@njit(cache=True)
def hinges_given(y, q, b, weight, delta):
    """delta [S] of the step: the lasso with q - Y'Y and b - Y'z, where y [2 + K, S + 1] = (Y, z) = L^-1 (H12, rhs)."""
    hinges = delta.shape[0]
    if hinges == 0:
        return delta
    for r in range(y.shape[0]):
        for i in range(hinges):
            b[i] -= y[r, i] * y[r, hinges]
            for j in range(hinges):
                q[i, j] -= y[r, i] * y[r, j]
    largest = np.max(np.diag(q))
    for i in range(hinges):
        q[i, i] = max(q[i, i], 1e-12 * largest)  # a hinge with (almost) no data behind it
    return lasso(q, b, weight, delta)


@njit(cache=True)
def penalty(phi, precision, tau):
    """Minus the logarithm of the priors of k, m, beta (normal) and delta (Laplace), constants dropped."""
    ridge = precision.shape[0]
    return 0.5 * np.sum(precision * phi[:ridge] ** 2) + np.sum(np.abs(phi[ridge:])) / tau


@njit(cache=True)
def best_variance(ssr, rows):
    """sigma^2 that maximises -2 sigma^2 - T log sigma - ssr / (2 sigma^2): the root of 4 v^2 + T v - ssr."""
    return 2.0 * ssr / (rows + np.sqrt(rows * rows + 16.0 * ssr))


@njit(cache=True)
def maximise(moments, t, w, first_rows, changepoints, precision, tau, multiplicative, flat, phi, variance, gain):
    """The mode from the start (phi, variance): phi [n], sigma^2, its log posterior, and the steps it took.

    Steps in phi given sigma^2, then sigma^2 in closed form, until a step gains less than `gain`. The two settle
    together slowly, at a steady rate; so sigma^2 is extrapolated, and the step taken back should that have gained less.
    """
    linear, rows = not multiplicative.any(), float(t.shape[0])
    b, v, r, ssr, size = contract(moments, phi, multiplicative, changepoints)
    ssr = exact(ssr, size, t, w, first_rows, phi, multiplicative, changepoints)
    h = gram(moments, phi, multiplicative, changepoints, b, v)
    rhs = gradient(phi, multiplicative, changepoints, b, r) + times(h, phi)
    squares = np.sum(moments[:, 0, -1, -1])  # of y
    minus_lp, weight, moved, rate, taken = np.inf, variance, 0.0, 0.0, 0
    for taken in range(1, MOST_STEPS + 1):
        aim = step(h, rhs, weight, precision, tau, flat, phi)
        if linear:
            fitted = np.sum(aim * times(h, aim))
            new, new_ssr = aim, squares - 2 * np.sum(rhs * aim) + fitted
            new_ssr = exact(new_ssr, squares + fitted, t, w, first_rows, new, multiplicative, changepoints)
        else:
            new, b, v, r, new_ssr = halved(
                moments, t, w, first_rows, phi, aim, ssr, weight, precision, tau, multiplicative, changepoints, gain
            )
        settled = best_variance(max(new_ssr, SMALLEST_SSR * squares), rows)
        value = penalty(new, precision, tau) + new_ssr / (2 * settled) + 0.5 * rows * np.log(settled) + 2 * settled
        if minus_lp - value < gain and weight != variance:
            weight, rate = variance, 0.0
            continue
        before, moved = moved, np.log(settled / variance)
        rate = moved / before if weight == variance and before != 0.0 else 0.0
        phi, ssr, variance = new, new_ssr, settled
        if minus_lp - value < gain:
            return phi, variance, -min(value, minus_lp), taken
        minus_lp, weight = value, variance
        if 0.0 < rate < 0.95:
            weight = variance * np.exp(moved * rate / (1.0 - rate))
        if not linear:
            h = gram(moments, phi, multiplicative, changepoints, b, v)
            rhs = gradient(phi, multiplicative, changepoints, b, r) + times(h, phi)
    return phi, variance, -minus_lp, taken


@njit(cache=True)
def halved(moments, t, w, first_rows, phi, aim, ssr, variance, precision, tau, multiplicative, changepoints, gain):
    """The point on the way from phi to a step's aim, halving it as long as the objective has not fallen by `gain`, and
    what `contract` gives there. phi itself if it never does; where the whole step leads to the same height, which may
    be the other side of a valley, that takes one look at the middle."""
    before = penalty(phi, precision, tau) + ssr / (2 * variance)
    share, level = 1.0, False
    for _ in range(MOST_HALVINGS):
        new = aim if share == 1.0 else phi + share * (aim - phi)
        b, v, r, new_ssr, size = contract(moments, new, multiplicative, changepoints)
        new_ssr = exact(new_ssr, size, t, w, first_rows, new, multiplicative, changepoints)
        objective = penalty(new, precision, tau) + new_ssr / (2 * variance)
        if objective <= before - gain:
            return new, b, v, r, new_ssr
        if level:
            break
        level = share == 1.0 and objective <= before + 1e-12 * abs(before)
        share *= 0.5
    b, v, r, _, _ = contract(moments, phi, multiplicative, changepoints)
    return phi, b, v, r, ssr
