"""How far a run is: from the ledger alone, so that a task, a shell and a second machine see the same."""

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import pandas as pd

from paxcast.adapters.object_store import ObjectStore
from paxcast.jobs import lease, ledger, plan
from paxcast.jobs.workspace import Workspace

LOOK_SECONDS = 2.0
STEPS = 20  # a line every 5 %


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of airports, and when the rest will be done (UTC), as far as that can be told."""

    what: str
    airports: int
    done: int
    failed: int
    expected_end: pd.Timestamp | None = None

    @property
    def settled(self) -> int:
        """Done or failed."""
        return self.done + self.failed

    @property
    def step(self) -> int:
        """How many more make it worth telling: 5 %."""
        return max(1, self.airports // STEPS)

    @property
    def left(self) -> int:
        return self.airports - self.done - self.failed

    def __str__(self) -> str:
        end = f", expected end {self.expected_end:%H:%M:%S} UTC" if self.expected_end is not None else ""
        return f"{self.what}: {self.done} of {self.airports} done, {self.failed} failed, {self.left} left{end}"


def expected_end(done_first: int, done_now: int, seconds: float, left: int, now: pd.Timestamp) -> pd.Timestamp | None:
    """When the rest is done if it goes on as it went between two looks; None before anything was seen to finish."""
    if done_now <= done_first or left == 0:
        return None
    return now + pd.Timedelta(seconds=seconds / (done_now - done_first) * left)


class Watch:
    """Looks at some airports of a run key again and again. The pace is measured from the first look that saw work done:
    workers take a while to start."""

    def __init__(
        self,
        objects: ObjectStore,
        run_key: str,
        what: str,
        wanted: Collection[tuple[str, str]],
        failed_before: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self._objects, self._run_key, self._what, self._wanted = objects, run_key, what, set(wanted)
        self._failed_before = failed_before or {}
        self._before = sum(self._settled())
        self._first: tuple[int, float] | None = None

    def look(self) -> Progress:
        """The counts now."""
        done, failed = self._settled()
        moment, settled = time.monotonic(), done + failed
        if self._first is None and settled > self._before:
            self._first = (settled, moment)
        first, at = self._first or (settled, moment)
        left = len(self._wanted) - settled
        end = expected_end(first, settled, moment - at, left, pd.Timestamp.now(tz="UTC"))
        return Progress(self._what, len(self._wanted), done, failed, end)

    def _settled(self) -> tuple[int, int]:
        done = ledger.finished(self._objects, self._run_key) & self._wanted
        now = ledger.attempts(self._objects, self._run_key)
        failed = {key for key in self._wanted - done if now.get(key, 0) > self._failed_before.get(key, 0)}
        return len(done), len(failed)


@contextmanager
def told(watch: Watch, tell: Callable[[Progress], None]) -> Iterator[None]:
    """Tell of progress, a line every 5 % and no more, while the block runs."""
    stop = Event()

    def look() -> None:
        settled = 0
        while not stop.wait(LOOK_SECONDS):
            seen = watch.look()
            if seen.settled - settled >= seen.step:
                tell(seen)
                settled = seen.settled

    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def follow(ws: Workspace) -> Iterator[list[Progress]]:
    """The progress of every run that holds a lease of this fleet, again and again, until none does."""
    watches: dict[str, Watch] = {}  # by manifest: a run that is asked for again plans anew under the same key
    while leases := lease.active(ws):
        planned = [manifest for held in leases if (manifest := plan.newest(ws, held.run_key)) is not None]
        for manifest in planned:
            if manifest.manifest_id not in watches:
                wanted = {(a.airport, a.checksum) for a in manifest.airports}
                watches[manifest.manifest_id] = Watch(ws.objects, manifest.run_key, manifest.run_key, wanted)
        yield [watches[manifest.manifest_id].look() for manifest in planned]
        time.sleep(LOOK_SECONDS)


def log_to(logger: logging.Logger) -> Callable[[Progress], None]:
    """Tells a logger."""
    return lambda seen: logger.info("%s", seen)
