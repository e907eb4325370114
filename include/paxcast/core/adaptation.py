"""Intervals that learn from what became of them: adaptive conformal inference.

    a_{t+1} = a_t + GAMMA (a - miss_t)        a: the share that may be missed, 0.2 or 0.05; a_1 = a

miss_t is the share of the actuals that came in cycle t and lay outside the intervals that were in force for them, over
all airports and steps. Whoever missed too little by then gets narrower intervals, and the other way round (Gibbs and
Candès, "Adaptive conformal inference under distribution shift", 2021). Held within half and twice of a, so that one
shock neither widens them without end nor lets the years before it narrow them to nothing.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from paxcast.core.columns import DS, Y
from paxcast.core.intervals import LEVELS

GAMMA = 0.15
WITHIN = 2.0
Covered = Mapping[float, float]  # by nominal level, the share of a cycle's actuals inside


def cycles(rows: pd.DataFrame) -> list[Covered]:
    """What became of intervals: by period, oldest first, the share of its actuals inside, over airports and steps.

    rows: one for each forecast of a period, columns ds, y, lo80, hi80, lo95, hi95; y is NaN where nothing is known yet.
    """
    seen = rows[rows[Y].notna()]
    inside = {a: seen[Y].between(seen[f"lo{100 * a:.0f}"], seen[f"hi{100 * a:.0f}"]) for a in LEVELS}
    shares = pd.DataFrame(inside).groupby(seen[DS]).mean()
    return [dict(zip(LEVELS, row, strict=True)) for row in shares.to_numpy().tolist()]


def effective_levels(cycles: Sequence[Covered]) -> dict[float, float]:
    """By nominal level, the level to take quantiles at after these cycles, oldest first; the same without any."""
    found = {}
    for level in LEVELS:
        nominal = allowed = 1 - level
        for covered in cycles:
            if level in covered:
                allowed += GAMMA * (nominal - (1 - covered[level]))
                allowed = min(max(allowed, nominal / WITHIN), nominal * WITHIN)
        found[level] = 1 - allowed
    return found
