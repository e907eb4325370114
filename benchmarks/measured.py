"""What every benchmark needs: one thread, CPU seconds, the machine's facts, and a result that is kept.

Import it before numpy: the libraries under numpy read how many threads they may use when they are loaded.

    import measured  # isort: skip
"""

import json
import os
import platform
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
RESULTS = PROJECT / "benchmarks" / "results"
THREADS = (
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)
ENVIRONMENT = dict(os.environ)  # as it was, for a process that shall choose its threads itself
os.environ.update(dict.fromkeys(THREADS, "1"))


@dataclass
class Cpu:
    """CPU seconds of a block, known when it has ended."""

    seconds: float = 0.0


@contextmanager
def cpu() -> Iterator[Cpu]:
    """The CPU seconds that a block takes, in `seconds` of what it gives: of this process and of children that ended."""
    found, begin = Cpu(), cpu_seconds()
    try:
        yield found
    finally:
        found.seconds = cpu_seconds() - begin


def cpu_seconds() -> float:
    """CPU seconds so far, user and system, of this process and of its children that have ended and were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def machine() -> dict[str, Any]:
    """The day and the machine that a result holds for."""
    here = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", **here}


def keep(name: str, found: Mapping[str, Any]) -> None:
    """Write a result as one line of JSON, with the machine's facts: to the output and to benchmarks/results/NAME.json.

    Raises ValueError for what JSON has no word for, such as infinity.
    """
    text = json.dumps({**machine(), **found}, sort_keys=True, allow_nan=False) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
