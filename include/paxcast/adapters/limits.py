"""Limits of wall time and memory around the work on one airport, so that it cannot hurt its neighbours."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from paxcast.core.errors import AirportTimeout, AirportTooLarge

MIB = 1024 * 1024


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raises AirportTimeout inside the block once it has run for `seconds`. Main thread only; not nested."""

    def expired(_signal: int, _frame: FrameType | None) -> None:
        raise AirportTimeout(f"{what}: not done after {seconds:g} s; raise search.seconds_per_airport")

    before = signal.signal(signal.SIGALRM, expired)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def memory_limit(mebibytes: int, what: str) -> Iterator[None]:
    """Raises AirportTooLarge in the place of a MemoryError inside the block; 0: no limit.

    The limit is on the process's address space (RLIMIT_AS), which is larger than what it really uses: a process with
    the forecasting libraries loaded has about 1,000 MiB of it. Processes started inside the block have it too.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if mebibytes:
        wanted = mebibytes * MIB
        resource.setrlimit(resource.RLIMIT_AS, (wanted if soft == resource.RLIM_INFINITY else min(wanted, soft), hard))
    try:
        yield
    except MemoryError as err:
        raise AirportTooLarge(
            f"{what}: needs more than {mebibytes} MiB of memory; raise spark.worker_memory_mb"
        ) from err
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
