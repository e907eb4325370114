import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from paxcast.adapters.limits import deadline, memory_limit
from paxcast.core.errors import AirportTimeout, AirportTooLarge


def test_work_that_takes_too_long_is_stopped_and_named() -> None:
    started = time.monotonic()
    with pytest.raises(AirportTimeout, match=r"ATL: not done after 0\.2 s"), deadline(0.2, "ATL"):
        time.sleep(300)
    assert time.monotonic() - started < 100


def test_waiting_for_another_process_is_stopped_too() -> None:
    with subprocess.Popen(["sleep", "30"]) as child:
        with pytest.raises(AirportTimeout), deadline(0.2, "ATL"):
            child.wait()
        child.kill()


def test_work_in_time_is_left_alone_and_no_alarm_goes_off_later() -> None:
    with deadline(0.2, "ATL"):
        value = 1 + 1
    time.sleep(0.3)
    assert value == 2


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to its address space")


@only_linux
def test_work_that_needs_too_much_memory_is_stopped_named_and_the_limit_lifted() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(AirportTooLarge, match=r"ATL: needs more than 300 MiB"), memory_limit(300, "ATL"):
        np.ones(400 * 1024 * 1024, dtype=np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    assert np.ones(400 * 1024 * 1024, dtype=np.uint8).sum() == 400 * 1024 * 1024


@only_linux
def test_what_the_process_has_already_is_not_counted_against_an_airport() -> None:
    held = np.ones(800 * 1024 * 1024, dtype=np.uint8)
    with memory_limit(600, "ATL"):
        assert np.ones(400 * 1024 * 1024, dtype=np.uint8).sum() == 400 * 1024 * 1024
    assert held[-1] == 1


def test_no_limit_is_set_when_none_is_asked_for() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_limit(0, "ATL"):
        assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_limit_that_is_over_before_the_block_begins_leaves_no_handler_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    for _ in range(200):
        with pytest.raises(AirportTimeout, match="not done after 1e-06 s"), deadline(1e-6, "tuning"):
            time.sleep(1)
        assert signal.getsignal(signal.SIGALRM) is before
