"""Where a search begins: at points that earlier runs found good, frozen in the manifest."""

from collections import Counter
from collections.abc import Sequence

from paxcast.core.candidates import Specification
from paxcast.core.space import Parameters, Value


def fleet_best(champions: Sequence[Specification], candidate: str) -> Specification | None:
    """The middle of what the fleet's airports chose of a candidate: of each parameter the lower median, of words the
    most common one (of equals the first in the alphabet). None where no airport has chosen the candidate.

    Every value is one that an airport has, so that it lies on the steps of its range. The order is of no account.
    """
    chosen = [c.parameters for c in champions if c.candidate == candidate]
    if not chosen:
        return None
    names = sorted(set.intersection(*(set(p) for p in chosen)))
    parameters: Parameters = {name: _middle([p[name] for p in chosen]) for name in names}
    return Specification(candidate, parameters)


def _middle(values: Sequence[Value]) -> Value:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return sorted(values)[(len(values) - 1) // 2]
    counts = Counter(values)
    return min(counts, key=lambda v: (-counts[v], str(v)))
