"""The way to an MLflow server, or to its sqlite file: one process at a time makes it, and faults are told."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

from mlflow.exceptions import MlflowException

from paxcast.core.errors import InfrastructureError


def artifact_root(tracking_uri: str) -> str | None:
    """Beside a sqlite file; a server decides for itself."""
    path = _sqlite_path(tracking_uri)
    return None if path is None else (path.parent / "mlartifacts").as_uri()


def _sqlite_path(tracking_uri: str) -> Path | None:
    if not urlparse(tracking_uri).scheme.startswith("sqlite"):
        return None
    return Path(tracking_uri.split(":///", 1)[1]).resolve()


@contextmanager
def one_at_a_time(tracking_uri: str) -> Iterator[None]:
    """MLflow makes and migrates a sqlite database at its first touch, and fails where two processes do so at once."""
    path = _sqlite_path(tracking_uri)
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # let go when the file is closed, or the process ends
        yield


@contextmanager
def reaching(tracking_uri: str) -> Iterator[None]:
    """Faults of the server or the way to it become InfrastructureError, worth a retry."""
    try:
        yield
    except (MlflowException, OSError) as err:
        raise InfrastructureError(
            f"MLflow at {tracking_uri}: {err}. Check that it runs and that MLFLOW_TRACKING_URI is right; nothing is "
            "refitted by trying again"
        ) from err
