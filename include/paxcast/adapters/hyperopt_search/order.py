"""In which order Hyperopt draws the parameters of a space, found out by watching it: one generator serves them all."""

from functools import lru_cache
from typing import Any

import numpy as np
from hyperopt import Trials, pyll, rand
from hyperopt.base import Domain

from paxcast.adapters.hyperopt_search.points import expressions
from paxcast.core.space import Parameter


class _Watched:
    """The random generator of one parameter, which notes in `asked` that it is used."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self._name, self._asked, self._rng = name, asked, np.random.default_rng(0)

    def __getattr__(self, method: str) -> Any:
        self._asked.append(self._name)
        return getattr(self._rng, method)


@lru_cache(maxsize=256)
def drawing_order(space: tuple[Parameter, ...]) -> tuple[str, ...]:
    """The names, by letting Hyperopt suggest one point at random. TPE's graph grows from the same and keeps the order.

    (0.3.0 goes backwards through the alphabet, as its stack of unfinished nodes happens to do.)
    """
    domain, asked = Domain(None, expressions(space)), list[str]()
    for name, draw in domain.vh.vals_by_label().items():
        watched = pyll.Literal(_Watched(name, asked))
        draw.named_args = [(key, watched if key == "rng" else argument) for key, argument in draw.named_args]
    rand.suggest([0], domain, Trials(), 0)
    return tuple(dict.fromkeys(asked))
