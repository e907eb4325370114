"""The candidates that can be named in a fleet's YAML: those of every module of this package, by themselves."""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from paxcast.core import candidates
from paxcast.core.candidate_files import GIVEN, NO_CANDIDATES
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.given import Given
from paxcast.core.errors import ConfigurationError


def found(package: ModuleType) -> dict[str, Candidate]:
    """Every candidate of a package, by name, in the order of their modules. Heavy imports are left to their fits.

    Raises ConfigurationError for a module without a candidate of its own name, or where two give the same name.
    """
    by_name: dict[str, Candidate] = {}
    files: dict[str, str] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name in NO_CANDIDATES:
            continue
        file = f"core/candidates/{module.name}.py"
        for candidate in _defined(import_module(f"{package.__name__}.{module.name}"), module.name, file):
            if candidate.name in by_name:
                raise ConfigurationError(
                    f"{file}: '{candidate.name}' is already a candidate of {files[candidate.name]}; use another name"
                )
            by_name[candidate.name], files[candidate.name] = candidate, file
    return by_name


def _defined(module: ModuleType, name: str, file: str) -> tuple[Candidate, ...]:
    defined: tuple[Candidate, ...] = getattr(module, "CANDIDATES", ())
    if name not in [candidate.name for candidate in defined]:
        raise ConfigurationError(
            f"{file}: its CANDIDATES hold none called '{name}', as its file is; settings know them by that"
        )
    return defined


# What is given stands here by its name alone: it fits nothing until somebody has its forecasts.
CANDIDATES: Mapping[str, Candidate] = {**found(candidates), **{name: Given(name) for name in GIVEN}}
