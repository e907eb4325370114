"""Many airports registered at a time, by a bounded number of threads, with an eye on the server."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from paxcast.adapters.mlflow_registry.airports import AirportRun
from paxcast.adapters.mlflow_registry.connection import answering, takes_one_writer

QUIET = 4.0  # seconds without an airport done, after which the server is asked whether it still answers


@dataclass(frozen=True, slots=True)
class Registered:
    """One airport's run and the number of its model version."""

    run_id: str
    version: int


@dataclass(frozen=True, slots=True)
class Make:
    """What makes an airport's run when its turn comes, and the run that an earlier try has begun."""

    run: Callable[[], AirportRun]
    begun: str | None = None


Write = Callable[[AirportRun, str | None], tuple[str, int]]


def writers(tracking_uri: str, wanted: int) -> int:
    """How many may write at a time."""
    return 1 if takes_one_writer(tracking_uri) else wanted


def register(
    tracking_uri: str, wanted: Mapping[str, Make], at_once: int, write: Write
) -> Iterator[tuple[str, Registered]]:
    """Each airport's key with its run and version as soon as it is done. Raises what the first one that fails raises,
    after those in hand are done; InfrastructureError within seconds if the server stops answering, without waiting.
    """

    def one(make: Make) -> Registered:
        return Registered(*write(make.run(), make.begun))

    threads = ThreadPoolExecutor(at_once, thread_name_prefix="register")
    keys: dict[Future[Registered], str] = {}
    wait_for_others = True
    try:
        keys = {threads.submit(one, make): key for key, make in wanted.items()}
        left = set(keys)
        while left:
            done, left = wait(left, QUIET, FIRST_COMPLETED)
            if not done:
                wait_for_others = False
                answering(tracking_uri)
                wait_for_others = True
            for future in sorted(done, key=lambda one: one.exception() is not None):  # what is done is told first
                yield keys[future], future.result()
    finally:
        threads.shutdown(wait=wait_for_others, cancel_futures=True)
