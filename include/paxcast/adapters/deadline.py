"""A limit of wall time around work in this process's main thread."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from paxcast.core.errors import AirportTimeout


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """Raises AirportTimeout inside the block once it has run for `seconds`. Main thread only; not nested."""

    def expired(_signal: int, _frame: FrameType | None) -> None:
        raise AirportTimeout(
            f"{what}: not done after {seconds:g} s; raise search.seconds_per_airport, or lower search.max_evals"
        )

    before = signal.signal(signal.SIGALRM, expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
