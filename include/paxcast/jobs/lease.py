"""The lease: one run at a time writes a (fleet, as_of), and one at a time puts a release in force.

leases/FLEET/WHAT/TERM.json          who took this term, and until when at first; WHAT is an as_of, or `publish`
leases/FLEET/WHAT/TERM-until.json    until when by now: moved on while its run lives, cleared when it ends

Taking a term is one put-if-absent of the next number, so of two runs that find the last one over exactly one gets it.
Only the holder writes the second object. The clock decides who may write, never a number.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from threading import Event, Thread
from typing import Any

import pandas as pd

from paxcast.adapters.object_store import STORE_ERRORS
from paxcast.adapters.processes import is_gone, this_process
from paxcast.core.errors import FAIL_AT_ONCE, LeaseHeld
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.lease")
SECONDS = 120.0  # outlives a pause between two tasks of a run; a run that died blocks its date no longer than this
RENEW_SECONDS = 20.0
PUBLISH = "publish"
TOO_LATE_SECONDS = 40.0  # a term so near its end is not moved on, but followed by another: someone may be taking it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One term. `process` names the process whose end ends the lease too; empty for a run of many processes."""

    fleet: str
    what: str
    owner: str
    run_key: str
    term: int
    since: str
    until: str
    process: str = ""

    def left(self, now: pd.Timestamp) -> float:
        """Seconds until it is over; zero or less when it is, or when its process has ended."""
        if self.process and is_gone(self.process):
            return 0.0
        return (pd.Timestamp(self.until) - now).total_seconds()


def of_date(as_of: pd.Timestamp) -> str:
    """What a run takes the lease of."""
    return f"{as_of:%Y%m%dT%H%M%SZ}"


def take(ws: Workspace, what: str, owner: str, run_key: str, *, process: str = "") -> Lease:
    """Take the lease, or move it on if this owner has it. Raises LeaseHeld, naming who has it and until when."""
    while True:
        now = _now()
        newest = _newest(ws, what)
        if newest is not None and newest.left(now) > 0:
            if newest.owner != owner:
                raise LeaseHeld(_held(newest))
            if newest.left(now) > TOO_LATE_SECONDS:
                return _moved_on(ws, newest, now)
        taken = Lease(
            fleet=ws.fleet,
            what=what,
            owner=owner,
            run_key=run_key,
            term=newest.term + 1 if newest else 1,
            since=now.isoformat(),
            until=(now + pd.Timedelta(seconds=SECONDS)).isoformat(),
            process=process,
        )
        if ws.objects.put_if_absent(_name(taken), asdict(taken)):
            return taken


def release(ws: Workspace, what: str, owner: str) -> None:
    """End the lease if this owner has it."""
    newest = _newest(ws, what)
    if newest is not None and newest.owner == owner:
        ws.objects.put(_until_name(newest), {"until": newest.since})


@contextmanager
def held(ws: Workspace, what: str, owner: str, run_key: str, *, process: str = "") -> Iterator[None]:
    """Hold the lease around a piece of work, moving it on all the while. It stays the owner's afterwards.

    An error that another try cannot mend ends it: nobody of that run may come back to do so.
    """
    take(ws, what, owner, run_key, process=process)
    stop = Event()

    def renew() -> None:
        while not stop.wait(RENEW_SECONDS):
            try:
                take(ws, what, owner, run_key, process=process)
            except LeaseHeld as err:
                log.warning("the lease was lost, what is done stays done: %s", err)
                return
            except STORE_ERRORS as err:  # the next try comes before the term is over
                log.warning("the lease could not be moved on, which is tried again: %s", err)

    thread = Thread(target=renew, daemon=True)
    thread.start()
    try:
        try:
            yield
        finally:
            stop.set()
            thread.join()
    except FAIL_AT_ONCE:
        release(ws, what, owner)  # after the last renewing, which would take it back
        raise


@contextmanager
def held_by_this_process(ws: Workspace, what: str, owner: str, run_key: str) -> Iterator[None]:
    """Hold the lease for as long as the block takes, or this process lives."""
    try:
        with held(ws, what, owner, run_key, process=this_process()):
            yield
    finally:
        release(ws, what, owner)


@contextmanager
def alone(ws: Workspace, what: str, owner: str) -> Iterator[None]:
    """Hold the lease for a short piece of work, after waiting a while for whoever has it. Raises LeaseHeld."""
    give_up = time.monotonic() + SECONDS
    while True:
        try:
            take(ws, what, f"{owner} {this_process()}", owner, process=this_process())
            break
        except LeaseHeld:
            if time.monotonic() > give_up:
                raise
            time.sleep(1)
    with held_by_this_process(ws, what, f"{owner} {this_process()}", owner):
        yield


def active(ws: Workspace) -> list[Lease]:
    """The leases that some run holds now: which dates of the fleet are being written."""
    now = _now()
    dates = {name.split("/")[2] for name in ws.objects.names(f"leases/{ws.fleet}")} - {PUBLISH}
    newest = (_newest(ws, date) for date in sorted(dates))
    return [lease for lease in newest if lease is not None and lease.left(now) > 0]


def _newest(ws: Workspace, what: str) -> Lease | None:
    terms = [n for n in ws.objects.names(f"leases/{ws.fleet}/{what}") if not n.endswith("-until.json")]
    if not terms:
        return None
    values: dict[str, Any] = ws.objects.get(terms[-1]) or {}
    lease = Lease(**values)
    moved = ws.objects.get(_until_name(lease))
    return replace(lease, until=moved["until"]) if moved else lease


def _moved_on(ws: Workspace, lease: Lease, now: pd.Timestamp) -> Lease:
    moved = replace(lease, until=(now + pd.Timedelta(seconds=SECONDS)).isoformat())
    ws.objects.put(_until_name(moved), {"until": moved.until})
    return moved


def _held(lease: Lease) -> str:
    return (
        f"fleet {lease.fleet}, {lease.what}: {lease.owner} is writing it since {lease.since[:19]} UTC. Wait until "
        f"it has ended, or, should it be dead, until its lease is over at {lease.until[:19]} UTC"
    )


def _name(lease: Lease) -> str:
    return f"leases/{lease.fleet}/{lease.what}/{lease.term:06d}.json"


def _until_name(lease: Lease) -> str:
    return f"leases/{lease.fleet}/{lease.what}/{lease.term:06d}-until.json"


def _now() -> pd.Timestamp:
    return pd.Timestamp.now(tz="UTC")
