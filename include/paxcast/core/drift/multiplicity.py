"""Control of false discoveries over many airports."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def q_values(p: Array) -> Array:
    """[M] adjusted p-values: at the limit q, of all with a q-value up to it a share of q is false on average.

    q_(i) = min over j >= i of p_(j) M / j (Benjamini and Hochberg, 1995); it holds for independent and for positively
    dependent p-values. p: [M], each within 0 and 1.
    """
    count = len(p)
    order = np.argsort(p, kind="stable")
    steps = p[order] * count / np.arange(1, count + 1)
    found = np.empty(count)
    found[order] = np.minimum(1.0, np.minimum.accumulate(steps[::-1])[::-1])
    return found
