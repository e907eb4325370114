"""Limits of wall time and memory around the work on one airport, so that it cannot hurt its neighbours."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from paxcast.core.errors import AirportTimeout, AirportTooLarge

MIB = 1024 * 1024
STATM = Path("/proc/self/statm")  # the kernel's count of this process's pages, the first that of all


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

    The limit is on the address space (RLIMIT_AS) that the block may take beyond what the process has when it begins:
    what ran before in the process, and how much was loaded for that, decides over no airport. Processes started inside
    the block have the limit too. Where the kernel does not tell the size of a process (not Linux) it counts as 0.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if mebibytes:
        wanted = _address_space() + mebibytes * MIB
        allowed = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *allowed]), hard))
    try:
        yield
    except MemoryError as err:
        raise AirportTooLarge(
            f"{what}: needs more than {mebibytes} MiB of memory; raise spark.worker_memory_mb"
        ) from err
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    """What this process has of it now, in bytes."""
    try:
        return int(STATM.read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except FileNotFoundError:
        return 0
