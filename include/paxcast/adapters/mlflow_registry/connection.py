"""The way to an MLflow server, or to its sqlite file: one process at a time makes it, and faults are told."""

import fcntl
import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import urlopen

from mlflow.exceptions import MlflowException

from paxcast.core.errors import InfrastructureError
from paxcast.core.written import without_user

ANSWERS = 5.0  # seconds in which a server says that it is there, however busy it is with other requests


def artifact_root(tracking_uri: str) -> str | None:
    """Beside a sqlite file; a server decides for itself."""
    path = _sqlite_path(tracking_uri)
    return None if path is None else (path.parent / "mlartifacts").as_uri()


def takes_one_writer(tracking_uri: str) -> bool:
    """A sqlite file does; a server sees to it by itself."""
    return _sqlite_path(tracking_uri) is not None


def answering(tracking_uri: str) -> None:
    """Raises InfrastructureError within ANSWERS if a server is not there, or takes a request and never answers it.

    MLflow's client would try again for minutes. Any answer will do: a server behind a gate may refuse this one.
    """
    if urlparse(tracking_uri).scheme not in ("http", "https"):
        return
    try:
        with urlopen(f"{without_user(tracking_uri).rstrip('/')}/health", timeout=ANSWERS):
            return
    except HTTPError:
        return
    except (OSError, http.client.HTTPException) as err:  # the first of which URLError and timeouts are
        raise InfrastructureError(_advice(tracking_uri, f"no answer within {ANSWERS:g} s: {err}")) from err


def _advice(tracking_uri: str, what: object) -> str:
    return (
        f"MLflow at {without_user(tracking_uri)}: {what}. Check that it runs and that MLFLOW_TRACKING_URI is "
        "right; nothing is refitted by trying again"
    )


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
        raise InfrastructureError(_advice(tracking_uri, err)) from err
