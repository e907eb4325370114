"""Where a search begins: at points that earlier runs found good, frozen in the manifest."""

from collections import Counter
from collections.abc import Mapping, Sequence

from paxcast.core.space import Parameters, Value


def fleet_best(champions: Sequence[Mapping[str, Parameters]]) -> dict[str, Parameters]:
    """By candidate, the middle of what the fleet's airports chose: of each parameter the lower median, of words the
    most common one (of equals the first in the alphabet). champions: each airport's parameters by candidate.

    Every value is one that an airport has, so that it lies on the steps of its range. The order is of no account.
    """
    candidates = sorted({name for own in champions for name, parameters in own.items() if parameters})
    return {name: _middles([own[name] for own in champions if own.get(name)]) for name in candidates}


def _middles(chosen: Sequence[Parameters]) -> Parameters:
    names = sorted(set.intersection(*(set(p) for p in chosen)))
    return {name: _middle([p[name] for p in chosen]) for name in names}


def _middle(values: Sequence[Value]) -> Value:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return sorted(values)[(len(values) - 1) // 2]
    counts = Counter(values)
    return min(counts, key=lambda v: (-counts[v], str(v)))
