"""Which candidates there are, told by the files of `core/candidates` without importing one: they need numpy and pandas.

The registry holds each file to a candidate of its own name.
"""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec

PACKAGE = "paxcast.core.candidates"
NO_CANDIDATES = ("adjusted", "given", "refit", "registry")  # modules that hold none
FLEET_GBM = "fleet_gbm"
# As how many others it weighs, of their error, by frequency. The airport's own methods err alike, and months are few:
# together they weigh about as much as what was learnt from all airports.
COUNTS: Mapping[tuple[str, str], float] = {(FLEET_GBM, "MS"): 8.0}
GIVEN = (FLEET_GBM,)  # candidates without a file: trained across airports, and given to each (candidates/given.py)


@cache
def names() -> tuple[str, ...]:
    """The files' names and those that are given, sorted."""
    spec = find_spec(PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    files = [module.name for module in pkgutil.iter_modules(folders) if module.name not in NO_CANDIDATES]
    return tuple(sorted([*files, *GIVEN]))
