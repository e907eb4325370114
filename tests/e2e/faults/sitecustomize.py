"""Python loads this first in every process whose PYTHONPATH has this folder: faults that a test injects.

PAXCAST_TEST_FAULTS is a folder. An airport's file there makes its tuning fail as a lost connection would: CODE.once the
first time only, CODE.always as long as the file is there.
"""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

TARGET = "paxcast.core.tuning"


class _Faulty(importlib.abc.MetaPathFinder):
    """Lets the module load as it is, then wraps its `tune`."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            module.tune = _failing(module.tune)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _failing(tune: Any) -> Any:
    folder = Path(os.environ["PAXCAST_TEST_FAULTS"])

    def wrapped(series: Any, *rest: Any) -> Any:
        once, always = folder / f"{series.airport}.once", folder / f"{series.airport}.always"
        if always.exists():
            raise ConnectionError("an injected fault")
        if once.exists():
            once.unlink()
            raise ConnectionError("an injected fault")
        return tune(series, *rest)

    return wrapped


if os.environ.get("PAXCAST_TEST_FAULTS"):
    sys.meta_path.insert(0, _Faulty())
