"""Which search a fleet's configuration asks for, and what is compiled for it."""

import gc
import importlib
from functools import cache, partial

from paxcast.core import grid, prophet_map
from paxcast.core.search import Search

HYPEROPT, OPTUNA = ("tpe", "anneal", "random"), ("optuna_tpe", "optuna_cmaes")


def by_name(algorithm: str) -> Search:
    """The search of that name; picklable. Raises ConfigurationError if it needs a package that is not there."""
    if algorithm in OPTUNA:
        from paxcast.adapters import optuna_search

        return partial(optuna_search.search, algorithm=algorithm)
    if algorithm in HYPEROPT:
        from paxcast.adapters import hyperopt_search

        return partial(hyperopt_search.search, algorithm=algorithm)
    return grid.search


@cache
def warm() -> None:
    """Load all that is slow to load into this process, and compile what is not compiled yet (about 20 s), which set-up
    does once: else an airport would pay for it out of its own time.

    What is loaded by then stays, and is kept from the collector of garbage: Spark's workers let it look through
    everything after each task, which takes longer than to tune an airport.
    """
    from paxcast.adapters import hyperopt_search

    prophet_map.warm()
    hyperopt_search.warm()
    importlib.import_module("statsforecast.models")  # of half the candidates; it takes 3.5 s
    gc.freeze()
