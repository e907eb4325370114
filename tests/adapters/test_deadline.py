import subprocess
import time

import pytest

from paxcast.adapters.deadline import deadline
from paxcast.core.errors import AirportTimeout


def test_work_that_takes_too_long_is_stopped_and_named() -> None:
    started = time.monotonic()
    with pytest.raises(AirportTimeout, match=r"ATL: not done after 0\.2 s"), deadline(0.2, "ATL"):
        time.sleep(30)
    assert time.monotonic() - started < 5


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
