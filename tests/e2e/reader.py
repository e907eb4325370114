"""A reader who looks at the release in force and at every champion again and again, until its stdin is closed.

Called with a fleet's YAML, the number of its airports and the horizon. What it found comes as JSON on stdout: `looks`;
`releases_read`; `not_whole`, `decreased` and `failed` as lists of texts; and `as_ofs`, by model and for the pointer the
dates of what was in force as they followed one another.
"""

import json
import select
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from paxcast.adapters.mlflow_registry import Registry
from paxcast.core.calendar import parse_as_of
from paxcast.jobs import forecast, releases
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

EVERY_SECONDS = 1.0  # between two looks
POINTER = "the pointer"


@dataclass
class Found:
    """What was seen so far."""

    looks: int = 0
    releases_read: int = 0
    not_whole: list[str] = field(default_factory=list)
    decreased: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    as_ofs: dict[str, list[str]] = field(default_factory=dict)

    def note(self, model: str, as_of: str) -> None:
        """That this is in force now."""
        before = self.as_ofs.setdefault(model, [as_of])[-1]
        if parse_as_of(as_of) < parse_as_of(before):
            self.decreased.append(f"{model}: from {before} to {as_of}")
        if as_of != before:
            self.as_ofs[model].append(as_of)


@dataclass(frozen=True)
class Reader:
    """Reads as users do: by the pointer, as the command line does, and by MLflow's aliases."""

    ws: Workspace
    airports: int
    horizon: int
    found: Found = field(default_factory=Found)
    versions: dict[tuple[str, int], str] = field(default_factory=dict)  # the as_of of those that were champions

    def look(self) -> None:
        release = releases.current(self.ws)
        if release is not None:
            self.found.note(POINTER, release.as_of)
            self._weigh(release.release_id, forecast.forecasts(self.ws, release))
        client = Registry(self.ws.settings.tracking_uri, self.ws.settings.experiment).client
        for model in client.search_registered_models(f"name LIKE '{self.ws.fleet}.%'", max_results=1000):
            if "champion" in model.aliases:
                self._champion(client, model.name, int(model.aliases["champion"]))

    def _champion(self, client: mlflow.MlflowClient, model: str, number: int) -> None:
        if (model, number) not in self.versions:
            version = client.get_model_version(model, str(number))
            self.versions[model, number] = version.tags["as_of"]
            if model == f"{self.ws.fleet}.release":
                self._load(version)
        self.found.note(model, self.versions[model, number])

    def _load(self, version: Any) -> None:
        """A release as MLflow serves it, once each: every forecast of the release that it is of."""
        release = releases.load(self.ws, version.tags["release"])
        assert release is not None
        rows = forecast.forecasts(self.ws, release)
        mlflow.set_tracking_uri(self.ws.settings.tracking_uri)
        model = mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")
        served = model.predict(rows[["airport", "ds"]])
        self._weigh(f"{version.name} {version.version}", served.dropna(subset=["yhat"]))
        if served["yhat"].tolist() != rows["yhat"].tolist():
            self.found.not_whole.append(f"{version.name} {version.version}: not what {release.release_id} forecasts")

    def _weigh(self, name: str, rows: pd.DataFrame) -> None:
        """Whether a release is whole: the horizon's forecasts of every airport."""
        self.found.releases_read += 1
        each = rows.groupby("airport").size()
        if len(each) != self.airports or (each != self.horizon).any():
            self.found.not_whole.append(f"{name}: {len(rows)} forecasts of {len(each)} airports")


def main() -> int:
    reader = Reader(open_workspace(load(Path(sys.argv[1]))), int(sys.argv[2]), int(sys.argv[3]))
    while not select.select([sys.stdin], [], [], EVERY_SECONDS)[0]:
        try:
            reader.look()
        except Exception as err:  # noqa: BLE001 - a reader that fails is a finding, told with the others
            reader.found.failed.append(f"{type(err).__name__}: {err}")
        reader.found.looks += 1
    sys.stdout.write(json.dumps(asdict(reader.found)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
