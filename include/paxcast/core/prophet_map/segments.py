"""The moments of a training window, compiled: one pass, then any grid of changepoints takes its own."""

import numpy as np
from numba import njit


@njit(cache=True)
def running_moments(t, w, block):
    """[T // block + 1, 3, d, d]: for p = 0, 1, 2 the sum of t^p w w' over the first 0, block, 2 block ... rows.

    t: [T] ascending, w: [T, d] rows (1, x, y).
    """
    rows, d = w.shape
    running, total = np.zeros((rows // block + 1, 3, d, d)), np.zeros((3, d, d))
    for i in range(rows):
        add_row(total, t[i], w[i])
        if (i + 1) % block == 0:
            running[(i + 1) // block] = total
    return running


@njit(cache=True)
def add_row(total, t, w):
    """Adds t^p w w' to total [3, d, d]."""
    for a in range(w.shape[0]):
        w0 = w[a]
        w1 = w0 * t
        w2 = w1 * t
        for b in range(w.shape[0]):
            total[0, a, b] += w0 * w[b]
            total[1, a, b] += w1 * w[b]
            total[2, a, b] += w2 * w[b]


@njit(cache=True)
def segment_moments(running, t, w, block, first_rows):
    """M [S + 1, 3, d, d]: for each segment and p = 0, 1, 2 the sum over its rows of t^p w w'.

    first_rows: [S] the first row of every segment but the first; t, w, block as in `running_moments`.
    """
    rows, d = w.shape
    segments = first_rows.shape[0] + 1
    moments = np.zeros((segments, 3, d, d))
    begin = 0
    for s in range(segments):
        end = rows if s == segments - 1 else first_rows[s]
        first, last = -(-begin // block), end // block  # the whole blocks inside it
        if first < last:
            moments[s] = running[last] - running[first]
            for i in range(begin, first * block):
                add_row(moments[s], t[i], w[i])
            begin = last * block
        for i in range(begin, end):
            add_row(moments[s], t[i], w[i])
        begin = end
    return moments
