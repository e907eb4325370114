"""The lease of a date: who may write it, until when, and who comes next. Against real objects, with a clock to turn."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest

from paxcast.core.errors import FAIL_AT_ONCE, BatchIncomplete, InfrastructureError, LeaseHeld
from paxcast.jobs import lease
from paxcast.jobs.workspace import Workspace

DATE, OTHER_DATE = "20201231T235959Z", "20210131T235959Z"
KEY = "small-20201231T235959-c0ffee00-r0"
HOLDER = f"""
import sys, time
from pathlib import Path
from paxcast.jobs import lease
from paxcast.jobs.workspace import open_workspace
from paxcast.settings import load
with lease.held_by_this_process(open_workspace(load(Path(sys.argv[1]))), "{DATE}", "the lost run", "{KEY}"):
    print("holding", flush=True)
    time.sleep(300)
"""


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now = pd.Timestamp("2021-03-01T12:00", tz="UTC")

    def turn(self, seconds: float) -> None:
        self.now += pd.Timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The leases' clock, at noon."""
    made = Clock()
    monkeypatch.setattr(lease, "_now", lambda: made.now)
    return made


@pytest.fixture
def dying(ws: Workspace) -> Iterator["subprocess.Popen[str]"]:
    """A real process that holds the lease of DATE, and would do so for minutes."""
    command = [sys.executable, "-c", HOLDER, ws.settings.origin]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
        process.kill()


def take(ws: Workspace, owner: str, what: str = DATE) -> lease.Lease:
    return lease.take(ws, what, owner, KEY)


def until(predicate: Callable[[], bool]) -> None:
    """Wait for another thread, a minute at most."""
    give_up = time.monotonic() + 60
    while not predicate():
        assert time.monotonic() < give_up, "waited in vain"
        time.sleep(0.005)


def test_a_second_run_of_a_date_is_refused_and_told_who_writes_it_and_until_when(ws: Workspace, clock: Clock) -> None:
    take(ws, "run A")
    clock.turn(30)
    with pytest.raises(LeaseHeld) as refused:
        take(ws, "run B")
    told = str(refused.value)
    assert f"fleet small, {DATE}: run A is writing it since 2021-03-01T12:00:00 UTC" in told
    assert "until its lease is over at 2021-03-01T12:02:00 UTC" in told


def test_other_dates_and_other_fleets_are_free(ws: Workspace, clock: Clock) -> None:
    take(ws, "run A")
    other = Workspace(ws.settings.model_copy(update={"fleet": "other"}), ws.tables, ws.objects)
    assert take(ws, "run B", OTHER_DATE).owner == "run B"
    assert take(other, "run B").owner == "run B"


def test_its_owner_moves_a_lease_on_within_the_same_term(ws: Workspace, clock: Clock) -> None:
    first = take(ws, "run A")
    clock.turn(30)
    moved = take(ws, "run A")
    assert moved == replace(first, until="2021-03-01T12:02:30+00:00")
    clock.turn(119)
    with pytest.raises(LeaseHeld, match="over at 2021-03-01T12:02:30 UTC"):
        take(ws, "run B")


def test_a_term_near_its_end_is_followed_by_another_and_not_moved_on(ws: Workspace, clock: Clock) -> None:
    first = take(ws, "run A")
    clock.turn(lease.SECONDS - lease.TOO_LATE_SECONDS)
    second = take(ws, "run A")
    assert second.term == first.term + 1
    terms = [name.rsplit("/", 1)[1] for name in ws.objects.names(f"leases/small/{DATE}")]
    assert terms == ["000001.json", "000002.json"]
    clock.turn(lease.TOO_LATE_SECONDS + 1)  # the first would be over
    with pytest.raises(LeaseHeld, match="run A"):
        take(ws, "run B")


def test_a_lease_that_was_released_is_free_for_another_at_once(ws: Workspace, clock: Clock) -> None:
    take(ws, "run A")
    lease.release(ws, DATE, "run B")
    with pytest.raises(LeaseHeld):
        take(ws, "run B")
    lease.release(ws, DATE, "run A")
    assert take(ws, "run B").term == 2


def test_a_lease_whose_time_is_over_is_free_and_not_an_instant_before(ws: Workspace, clock: Clock) -> None:
    take(ws, "run A")
    clock.turn(lease.SECONDS - 0.001)
    with pytest.raises(LeaseHeld):
        take(ws, "run B")
    clock.turn(0.001)
    assert take(ws, "run B").owner == "run B"
    with pytest.raises(LeaseHeld, match="run B"):
        take(ws, "run A")


def test_of_many_that_find_a_lease_over_at_once_exactly_one_gets_it(
    ws: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(ws, "run A")
    clock.turn(lease.SECONDS)
    takers, newest = 6, lease._newest
    together, looked = threading.Barrier(takers), threading.local()

    def all_have_looked(ws: Workspace, what: str) -> lease.Lease | None:
        found = newest(ws, what)
        if not hasattr(looked, "once"):
            looked.once = True
            together.wait(timeout=60)
        return found

    monkeypatch.setattr(lease, "_newest", all_have_looked)

    def attempt(number: int) -> str:
        try:
            return take(ws, f"taker {number}").owner
        except LeaseHeld as err:
            return f"refused: {err}"

    with ThreadPoolExecutor(takers) as pool:
        answers = list(pool.map(attempt, range(takers)))
    (winner,) = (answer for answer in answers if answer.startswith("taker"))
    assert all(f"{winner} is writing it" in answer for answer in answers if answer != winner)


def test_a_process_that_was_killed_holds_nothing_any_more(ws: Workspace, dying: "subprocess.Popen[str]") -> None:
    with pytest.raises(LeaseHeld, match="the lost run is writing it"):
        take(ws, "run B")
    assert [held.owner for held in lease.active(ws)] == ["the lost run"]
    os.kill(dying.pid, signal.SIGKILL)
    dying.wait()
    assert lease.active(ws) == []
    assert take(ws, "run B").owner == "run B"


def test_of_a_process_on_another_machine_only_the_clock_tells(ws: Workspace, clock: Clock) -> None:
    lease.take(ws, DATE, "run A", KEY, process="elsewhere:1:1")
    with pytest.raises(LeaseHeld):
        take(ws, "run B")
    clock.turn(lease.SECONDS)
    assert take(ws, "run B").owner == "run B"


def test_a_run_in_one_process_gives_its_lease_back_when_it_ends_however_it_ends(ws: Workspace, clock: Clock) -> None:
    with lease.held_by_this_process(ws, DATE, "run A", KEY), pytest.raises(LeaseHeld):
        take(ws, "run B")
    assert lease.active(ws) == []
    with pytest.raises(InfrastructureError, match="lost"), lease.held_by_this_process(ws, DATE, "run A", KEY):
        raise InfrastructureError("lost")
    assert take(ws, "run B").owner == "run B"


@pytest.mark.parametrize("error", FAIL_AT_ONCE)
def test_an_error_that_another_try_cannot_mend_ends_the_lease(
    ws: Workspace, clock: Clock, error: type[Exception]
) -> None:
    with pytest.raises(error), lease.held(ws, DATE, "run A", KEY):
        raise error("edit it first")
    assert take(ws, "run B").owner == "run B"


@pytest.mark.parametrize("error", [InfrastructureError, BatchIncomplete, KeyError])
def test_an_error_that_another_try_may_mend_keeps_it(ws: Workspace, clock: Clock, error: type[Exception]) -> None:
    with pytest.raises(error), lease.held(ws, DATE, "run A", KEY):
        raise error("try again")
    with pytest.raises(LeaseHeld, match="run A"):
        take(ws, "run B")


def test_a_lease_stays_with_a_run_of_many_processes_between_its_tasks(ws: Workspace, clock: Clock) -> None:
    with lease.held(ws, DATE, "run A", KEY):
        pass
    with pytest.raises(LeaseHeld, match="run A"):
        take(ws, "run B")


def test_work_that_takes_longer_than_a_term_keeps_its_lease(
    ws: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    with lease.held(ws, DATE, "run A", KEY):
        for _ in range(4):
            clock.turn(60)
            end = (clock.now + pd.Timedelta(seconds=lease.SECONDS)).isoformat()
            until(lambda end=end: [held.until for held in lease.active(ws)] == [end])


def test_a_store_that_once_does_not_answer_does_not_end_the_renewing(
    ws: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    put, faults = type(ws.objects).put, [OSError("the store did not answer")]

    def unsteady(self: object, name: str, value: object) -> None:
        if faults:
            raise faults.pop()
        put(self, name, value)  # type: ignore[arg-type]

    monkeypatch.setattr(type(ws.objects), "put", unsteady)
    with lease.held(ws, DATE, "run A", KEY):
        until(lambda: not faults)
        clock.turn(60)
        until(lambda: lease.active(ws)[0].until == "2021-03-01T12:03:00+00:00")


def test_what_ends_a_lease_is_not_undone_by_its_renewing(
    ws: Workspace, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.01)
    release = lease.release

    def and_then_a_pause(ws: Workspace, what: str, owner: str) -> None:
        release(ws, what, owner)
        time.sleep(0.1)

    monkeypatch.setattr(lease, "release", and_then_a_pause)
    with pytest.raises(FAIL_AT_ONCE[0]), lease.held(ws, DATE, "run A", KEY):
        raise FAIL_AT_ONCE[0]("edit it first")
    assert lease.active(ws) == []


def test_who_must_be_alone_waits_for_the_one_before_and_then_goes_on(ws: Workspace) -> None:
    take(ws, "the one before", lease.PUBLISH)
    threading.Timer(0.5, lease.release, (ws, lease.PUBLISH, "the one before")).start()
    started = time.monotonic()
    with lease.alone(ws, lease.PUBLISH, "release R"):
        assert time.monotonic() - started >= 0.5
        with pytest.raises(LeaseHeld, match="release R"):
            take(ws, "the next", lease.PUBLISH)
    assert take(ws, "the next", lease.PUBLISH).owner == "the next"


def test_who_must_be_alone_does_not_wait_for_ever(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    take(ws, "the one before", lease.PUBLISH)
    monkeypatch.setattr(lease, "SECONDS", 0.1)
    with pytest.raises(LeaseHeld, match="the one before"), lease.alone(ws, lease.PUBLISH, "release R"):
        pytest.fail("two at once")


def test_only_dates_that_are_being_written_are_active(ws: Workspace, clock: Clock) -> None:
    take(ws, "run over", "20191231T235959Z")
    clock.turn(lease.SECONDS)
    take(ws, "run A", OTHER_DATE)
    take(ws, "run B", DATE)
    take(ws, "run C", "20200131T235959Z")
    lease.release(ws, "20200131T235959Z", "run C")
    lease.take(ws, "20180131T235959Z", "run D", KEY, process=f"{lease.this_process().rsplit(':', 1)[0]}:0")
    take(ws, "release R", lease.PUBLISH)
    other = Workspace(ws.settings.model_copy(update={"fleet": "small2"}), ws.tables, ws.objects)
    take(other, "run E")
    assert [(held.what, held.owner) for held in lease.active(ws)] == [(DATE, "run B"), (OTHER_DATE, "run A")]
