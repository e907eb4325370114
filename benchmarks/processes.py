"""What the processes of a run cost: CPU seconds of a whole tree, and what an objective took where it ran.

Python's own counters know the children that ended and were waited for. Spark's JVM does not end, and its Python workers
are waited for by nobody: what one has used is gone with it. So /proc is read again and again while a run lasts.

Spark's workers import this file: it imports nothing that takes time.
"""

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

TICKS = os.sysconf("SC_CLK_TCK")
EVERY_SECONDS = 0.1  # of a process that ends, what it used after the last look is lost

Identity = tuple[int, int]  # a process's number, which is given anew, and when it was born


def tree() -> dict[Identity, float]:
    """CPU seconds so far, user and system, of this process and of every one under it that is alive."""
    children, used = defaultdict(list), {}
    for pid, parent, born, seconds in _running():
        children[parent].append(pid)
        used[pid] = ((pid, born), seconds)
    found, todo = {}, [os.getpid()]
    while todo:
        pid = todo.pop()
        found.update([used[pid]] if pid in used else [])
        todo += children[pid]
    return found


def _running() -> list[tuple[int, int, int, float]]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                found.append(_process(folder.name))
            except OSError:  # it ended between the two looks
                continue
    return found


def _process(name: str) -> tuple[int, int, int, float]:
    """Number, parent, birth in ticks since boot, CPU seconds. A program's name may hold blanks and brackets."""
    text = Path("/proc", name, "stat").read_text(encoding="utf-8", errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    return int(text.split(maxsplit=1)[0]), int(fields[1]), int(fields[19]), (int(fields[11]) + int(fields[12])) / TICKS


class Watch:
    """Wall and CPU seconds of a block, in this process and all under it, and how many processes it started."""

    def __enter__(self) -> Self:
        self._before, self._over = tree(), threading.Event()
        self._last, self._looking = dict(self._before), 0.0
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.wall = time.monotonic() - self._began
        self._over.set()
        self._thread.join()
        self._last.update(tree())
        self.cpu = sum(self._last.values()) - sum(self._before.values()) - self._looking
        self.started = len(self._last.keys() - self._before.keys())

    def _look(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._last.update(tree())
            self._looking = time.thread_time()

    def as_row(self) -> dict[str, Any]:
        return {"wall": round(self.wall, 3), "cpu": round(self.cpu, 3), "processes_started": self.started}


def age() -> float:
    """Seconds since this process was forked."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _process("self")[2] / TICKS


@dataclass(frozen=True)
class Told:
    """An objective that adds a line to a file for each evaluation: the process's number and its age when called, the
    seconds that `load` took and those of the evaluation. Picklable if the objective is."""

    objective: Callable[..., Any]
    file: str
    load: Callable[[], None]

    def __call__(self, *arguments: Any) -> Any:
        called, begin = age(), time.monotonic()
        self.load()
        loaded = time.monotonic()
        try:
            return self.objective(*arguments)
        finally:
            seconds = {"age": called, "load": loaded - begin, "seconds": time.monotonic() - loaded}
            with Path(self.file).open("a", encoding="utf-8") as lines:
                lines.write(json.dumps({"pid": os.getpid(), **seconds}) + "\n")


def of_workers(evaluations: list[dict[str, Any]]) -> dict[str, Any]:
    """How many processes evaluated, and the mean seconds from a process's birth to its first evaluation."""
    first: dict[int, dict[str, Any]] = {}
    for one in evaluations:
        first.setdefault(one["pid"], one)
    return {"workers": len(first), "worker_start": round(sum(one["age"] for one in first.values()) / len(first), 3)}
