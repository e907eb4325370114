"""What the tests of single jobs share: an empty store, outcomes and manifests by hand, tuning in process."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paxcast.adapters.spark import PackedHistory, Worker, WorkerResult
from paxcast.core import manifest as manifests
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import FAILED, OK, Outcome
from paxcast.jobs import retrain, tune
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

RUN_KEY = "small-20201231T235959-c0ffee00-r0"
HORIZON = 6  # of outcomes by hand


@pytest.fixture
def ws(tmp_path: Path, isolated_home: Path, empty_mlflow: Path) -> Workspace:
    """The workspace of the fleet `small`, in whose store there is nothing yet."""
    isolated_home.mkdir()
    shutil.copy(empty_mlflow, isolated_home / "mlflow.db")
    path = tmp_path / "small.yaml"
    path.write_text("source: {kind: file, path: small.csv}\nstore: store\n", encoding="utf-8")
    return open_workspace(load(path))


@pytest.fixture
def outcome_of() -> Callable[..., Outcome]:
    """Builds an outcome: `outcome_of("AAA", status, **other fields)`; the checksum of its history is `first`."""

    def make(airport: str, status: str = OK, **fields: Any) -> Outcome:
        reason = "it was too slow" if status == FAILED else ""
        base = {"run_key": RUN_KEY, "fleet": "small", "as_of": "2020-12-31", "checksum": "first", "batch": 0}
        return Outcome(**{**base, "airport": airport, "status": status, "reason": reason, **fields})

    return make


@pytest.fixture
def judged_of(outcome_of: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Builds an outcome that can be decided on: `judged_of("AAA", **other fields)`, made up from its code.

    Each candidate misses traffic of about 100 by its size: `sizes={"seasonal_naive": 8, "one": 4, "two": 5}`.
    """

    def make(airport: str, sizes: dict[str, float] | None = None, folds: int = 4, **fields: Any) -> Outcome:
        rng = np.random.default_rng(sum(map(ord, airport)))
        misses = sizes or {"seasonal_naive": 8.0, "one": 4.0, "two": 5.0}
        actual = 100 + rng.normal(0, 10, (folds + 1, HORIZON))  # the last row is that of the test window
        windows = [
            {
                "split": f"recent@{k}",
                "ds": [f"{2019 - folds + k}-01-01"],
                "actual": row.tolist(),
                "counts": [True] * HORIZON,
                "scale": 10.0,
            }
            | {"level": 90.0 + k}
            for k, row in enumerate(actual)
        ]
        entrants = []
        for number, (name, size) in enumerate(misses.items()):
            made = actual + rng.normal(0, size, actual.shape)
            entrants.append(
                {"candidate": name, "parameters": {"number": number}, "competes": True, "fitted_by": {}}
                | {"folds": made[:-1].tolist(), "test": made[-1].tolist()}
                | {"forecast": (120 + rng.normal(0, size, HORIZON)).tolist()}
            )
        base = {"folds": windows[:-1], "test": windows[-1], "entrants": entrants, "level": 100.0, "seasons": 5.0}
        ds = [f"2021-{month:02d}-01" for month in range(1, HORIZON + 1)]
        return outcome_of(airport, **{**base, "ds": ds, "periods": 60, **fields})

    return make


@pytest.fixture
def manifest_of() -> Callable[..., Manifest]:
    """Builds the manifest of a run over some airports: `manifest_of(codes, batches=1, **other fields)`."""

    def make(codes: Sequence[str], batches: int = 1, **fields: Any) -> Manifest:
        planned = manifests.split([(code, "first", "whole fleet") for code in codes], batches)
        content = {"codes": list(codes), "batches": batches}
        base: dict[str, Any] = {"run_key": RUN_KEY, "fleet": "small", "as_of": "2020-12-31", "config_hash": "c0ffee00"}
        data = {"numbers": {}, "frequency": "MS", "horizon": 12, "data_version": 0, "code_version": ""}
        known = {"manifest_id": manifests.manifest_id(content), "airports": planned, "quarantined": ()}
        return Manifest(**{**base, **data, **known, **fields})

    return make


@pytest.fixture
def without_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Airports are tuned one after another in this process, by the real worker: for runs whose questions come after
    the tuning. What Spark adds is asked of a real one elsewhere."""

    def in_turn(
        _session: None, packed: Sequence[PackedHistory], worker: Worker, _partitions: int, _seconds: float
    ) -> list[WorkerResult]:
        return [worker(history) for history in packed]

    monkeypatch.setattr(retrain.spark, "open_session", lambda _conf: nullcontext())
    monkeypatch.setattr(tune.spark, "fan_out", in_turn)
