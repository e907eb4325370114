"""A process that imports Paxcast once and, for each order on stdin, forks a child that does it: so that a test can end
dozens of processes in the middle of the line without waiting for the imports of each.

An order is a line of JSON: `config`, the fleet's YAML; `steps`, what to do one after another: ["ingest"],
["retrain", AS_OF], ["read"], ["look"]; `answer`, a file for what the steps gave; and `crash`, where the child is to end
at once, by os._exit: {"call": a key of CALLS, "with": its first arguments, "when": "before" or "after"}. The child's
exit code is the answer on stdout: 9 for such a crash. This process itself opens no store: delta-rs and sqlite do not
outlive a fork.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.tracking import MlflowClient
from typer.testing import CliRunner

from paxcast import cli
from paxcast.adapters.delta_store import DeltaStore
from paxcast.adapters.mlflow_registry import Registry
from paxcast.adapters.object_store import ObjectStore
from paxcast.core.calendar import parse_as_of
from paxcast.jobs import forecast, releases, searches
from paxcast.jobs.ingest import ingest
from paxcast.jobs.retrain import retrain
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

CRASHED = 9
NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CALLS = {
    "new object": (ObjectStore, "put_bytes_if_absent"),
    "pointer": (ObjectStore, "put"),
    "table": (DeltaStore, "append"),
    "version": (MlflowClient, "create_model_version"),
    "alias": (MlflowClient, "set_registered_model_alias"),
}
TABLES = ("quality", "outcomes", "registrations", "decisions", "forecasts")


def end_at(crash: dict[str, Any]) -> None:
    """Let this process end right before or after the first call of a function with these arguments."""
    owner, name = CALLS[crash["call"]]
    done: Callable[..., Any] = getattr(owner, name)

    def deadly(self: Any, *arguments: Any, **named: Any) -> Any:
        told = " ".join(argument for argument in arguments[:2] if isinstance(argument, str))
        meant = crash["with"] in told
        if meant and crash["when"] == "before":
            os._exit(CRASHED)
        result = done(self, *arguments, **named)
        if meant:
            os._exit(CRASHED)
        return result

    setattr(owner, name, deadly)


def do(ws: Workspace, what: str, *wanted: str) -> Any:
    """One step; what it gave, as JSON has it."""
    if what == "ingest":
        return ingest(ws, NOW).as_json()
    if what == "retrain":
        return retrain(ws, Request(as_of=parse_as_of(wanted[0]), request_id=wanted[0]), NOW)
    return {"read": read, "look": look}[what](ws)


def read(ws: Workspace) -> dict[str, Any]:
    """What a reader sees: `current`, the release that the pointer names, what is `shown` by the command line, and what
    is `served` by MLflow."""
    current = releases.current(ws)
    asked = ["--config", ws.settings.origin, "forecast", "--json"]
    shown = json.loads(CliRunner().invoke(cli.app, asked, catch_exceptions=False).stdout)
    logging.getLogger().handlers.clear()  # the command's, whose stream is closed by now
    return {
        "current": current.release_id if current else None,
        "entries": sorted(e.airport for e in current.entries) if current else [],
        "shown": [{**row, "ds": row["ds"][:10]} for row in shown],
        "served": served(ws),
    }


def served(ws: Workspace) -> list[dict[str, Any]]:
    """What MLflow's alias of the fleet gives for every airport and period of the release that it names."""
    name = f"{ws.fleet}.release"
    client = Registry(ws.settings.tracking_uri, ws.settings.experiment).client
    release = releases.load(ws, client.get_model_version_by_alias(name, "champion").tags["release"])
    assert release is not None
    mlflow.set_tracking_uri(ws.settings.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    rows = model.predict(forecast.forecasts(ws, release)[["airport", "ds"]])
    rows = rows.drop(columns=["model", "version"]).assign(ds=rows["ds"].dt.strftime("%Y-%m-%d"))
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def look(ws: Workspace) -> dict[str, Any]:
    """What there is, as far as it is no accident: aliases, versions, runs and their states, rows of tables by key; and
    every outcome object with the moment it was written, and how often each airport was begun."""
    client = Registry(ws.settings.tracking_uri, ws.settings.experiment).client
    models = {model.name: dict(sorted(model.aliases.items())) for model in client.search_registered_models()}
    versions = [(v.name, int(v.version), v.tags["as_of"]) for v in client.search_model_versions("version_number > 0")]
    experiment = client.get_experiment_by_name(ws.settings.experiment)
    runs = [(r.data.tags["idem_key"], r.info.status) for r in client.search_runs([experiment.experiment_id])]
    rows = {table: ws.tables.read(table) for table in TABLES}
    keys = ["run_key", "airport", "checksum", "ds"]
    counts = {t: f.groupby([k for k in keys if k in f]).size().reset_index().astype(str) for t, f in rows.items()}
    root = Path(ws.objects.root) / "objects" / "runs"
    return {
        "models": models,
        "versions": sorted(versions),
        "runs": sorted(runs),
        "tables": {table: frame.to_numpy().tolist() for table, frame in counts.items()},
        "outcomes": {p.name: [p.stat().st_mtime_ns, p.read_text()] for p in sorted(root.glob("*/outcomes/*"))},
        "begun": sorted(p.name for p in root.glob("*/begun/*")),
        "published": [r.release_id for r in releases.publications(ws)],
    }


def obey(order: dict[str, Any]) -> None:
    """Do what an order says, in a process that ends with it."""
    ws = open_workspace(load(Path(order["config"])))
    if order.get("crash"):
        end_at(order["crash"])
    gave = [do(ws, *step) for step in order["steps"]]
    found = {"gave": gave, "modules": sorted(sys.modules)}
    Path(order["answer"]).write_text(json.dumps(found), encoding="utf-8")


def child(order: dict[str, Any]) -> None:
    code = 1
    try:
        obey(order)
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the parent's loop must not go on in this process too
        traceback.print_exc()
    finally:
        os._exit(code)


def import_as(order: dict[str, Any]) -> None:
    """Import what a child that came to its end has imported on its way, so that its siblings need not."""
    for name in json.loads(Path(order["answer"]).read_text(encoding="utf-8"))["modules"]:
        with suppress(Exception):  # some are of that child alone, such as the code of a model it loaded
            import_module(name)


def main() -> int:
    searches.warm()
    learnt = False
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(order)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code == 0 and not learnt:
            import_as(order)
            learnt = True
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
