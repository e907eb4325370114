"""Which process this is, and whether another one on this machine still lives."""

import os
import socket
from pathlib import Path


def this_process() -> str:
    """`host:pid:start`: a name that no later process on this machine gets again, as the start time tells them apart."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start(os.getpid())}"


def is_gone(process: str) -> bool:
    """Whether a process of this machine has ended. Of other machines' processes nothing is known: False."""
    host, pid, started = process.rsplit(":", 2)
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # somebody else's, so it lives
    return _start(int(pid)) != started


def _start(pid: int) -> str:
    """When a process was started, in ticks since the machine was.

    Empty where the system does not say, and for one that has ended without its parent having noticed yet.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *rest = stat.rsplit(")", 1)[1].split()
    return "" if state == "Z" else rest[18]
