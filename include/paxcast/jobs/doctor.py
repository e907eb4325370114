"""Doctor: is this machine fit to run Paxcast? Each check says what it found, and what to do if it is not well."""

import importlib
import importlib.metadata
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from paxcast.adapters.mlflow_registry import Registry
from paxcast.adapters.notification import SMTP_URL, WEBHOOK_URL
from paxcast.core import prophet_map
from paxcast.core.columns import FLEET
from paxcast.core.errors import InfrastructureError
from paxcast.jobs import histories, searches, validate
from paxcast.jobs.workspace import Workspace
from paxcast.settings import secret

LEAST_JAVA = 17
LEAST_FREE_GB = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `advice` is empty when it is well."""

    name: str
    well: bool
    found: str
    advice: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def doctor(ws: Workspace, now: pd.Timestamp) -> list[Check]:
    """Every check, in order. None of them changes anything that stays."""
    checks: list[Callable[[], Check]] = [
        _java,
        _pyspark,
        _engine,
        _lightgbm,
        lambda: _store(ws),
        lambda: _mlflow(ws),
        lambda: _disk(ws),
        lambda: _clock(ws, now),
        lambda: _overrides(ws),
        lambda: _notify(ws),
    ]
    return [check() for check in checks]


def _java() -> Check:
    advice = f"install Java {LEAST_JAVA} or newer, or run `make java`"
    try:
        output = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError) as err:
        return Check("java", False, f"java does not run: {err}", advice)
    quoted = output.split('"')[1] if '"' in output else "0"
    major = int(quoted.split(".")[0])
    return Check("java", major >= LEAST_JAVA, f"version {quoted}", "" if major >= LEAST_JAVA else advice)


def _pyspark() -> Check:
    """pyspark-client, which the Airflow provider asks for, overwrites pyspark's files and leaves no jars to run."""
    import pyspark

    wanted = importlib.metadata.version("pyspark")
    jars = len(list((Path(pyspark.__file__).parent / "jars").glob("*.jar")))
    clash = any(d.metadata["Name"] == "pyspark-client" for d in importlib.metadata.distributions())
    well = pyspark.__version__ == wanted and jars > 100 and not clash
    found = f"pyspark {pyspark.__version__}, {jars} jars{', and pyspark-client over it' if clash else ''}"
    return Check(
        "pyspark",
        well,
        found,
        "" if well else f"pip uninstall pyspark-client; pip install --force-reinstall --no-deps pyspark=={wanted}",
    )


def _engine() -> Check:
    began = time.monotonic()
    searches.warm()
    seconds = time.monotonic() - began
    if not prophet_map.compiled_here():
        return Check("engine", True, f"loaded in {seconds:.1f} s")
    advice = "it is compiled now; `make setup` does it beforehand, on every machine that has its own kind of processor"
    return Check("engine", False, f"was not compiled: that took {seconds:.1f} s", advice)


def _lightgbm() -> Check:
    try:
        return Check("lightgbm", True, f"version {importlib.import_module('lightgbm').__version__}")
    except OSError as err:
        advice = "install libgomp (Debian: libgomp1), or leave fleet_gbm out of `candidates`"
        return Check("lightgbm", False, f"cannot be loaded: {err}", advice)


def _store(ws: Workspace) -> Check:
    name = f"doctor/{uuid.uuid4().hex}.json"
    try:
        first, second = ws.objects.put_if_absent(name, {}), ws.objects.put_if_absent(name, {})
        ws.objects.delete(name)
    except OSError as err:
        return Check("store", False, f"{ws.objects.root}: {err}", "make it writable, or set PAXCAST_STORE")
    well = first and not second
    return Check("store", well, ws.objects.root, "" if well else "this store cannot put-if-absent; choose another")


def _mlflow(ws: Workspace) -> Check:
    uri = ws.settings.tracking_uri
    try:
        Registry(uri, ws.settings.experiment)
    except InfrastructureError as err:
        return Check("mlflow", False, str(err), "start it, or set MLFLOW_TRACKING_URI")
    return Check("mlflow", True, uri)


def _disk(ws: Workspace) -> Check:
    root = Path(ws.objects.root) if "://" not in ws.objects.root else Path.cwd()
    free = shutil.disk_usage(root).free / 1e9
    return Check(
        "disk",
        free >= LEAST_FREE_GB,
        f"{free:.1f} GB free at {root}",
        "" if free >= LEAST_FREE_GB else "free some space",
    )


def _clock(ws: Workspace, now: pd.Timestamp) -> Check:
    """A clock that runs behind the newest receipt would date a restatement before the row it restates."""
    receipts = ws.tables.read("receipts", [(FLEET, "=", ws.fleet)], ["received_at"])["received_at"]
    newest = receipts.max() if len(receipts) else None
    well = newest is None or newest <= now
    return Check(
        "clock",
        well,
        f"{now:%Y-%m-%d %H:%M:%S} UTC",
        "" if well else f"the newest receipt is of {newest}: set the clock",
    )


def _overrides(ws: Workspace) -> Check:
    """Whether the fleet has every airport that `overrides` name; before any data it has none."""
    unheard = validate.unheard_overrides(ws) if histories.ingested(ws) else ""
    if unheard:
        return Check("overrides", False, unheard, validate.UNHEARD_ADVICE)
    return Check("overrides", True, f"of {len(ws.settings.overrides)} airports")


def _notify(ws: Workspace) -> Check:
    """Whether the addresses are there that the channels need; nothing is sent."""
    wanted, missing = ws.settings.notify, []
    if wanted.email_to and not secret(SMTP_URL):
        missing.append(SMTP_URL)
    if wanted.webhook and not secret(WEBHOOK_URL):
        missing.append(WEBHOOK_URL)
    channels = {"log": wanted.log, "email": bool(wanted.email_to), "webhook": wanted.webhook}
    found = f"of drift: {', '.join(name for name, is_on in channels.items() if is_on) or 'nobody'}"
    if not missing:
        return Check("notify", True, found)
    return Check("notify", False, f"{found}, without {' and '.join(missing)}", "set it, see docs/configuration.md")
