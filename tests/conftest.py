"""Fixtures of the tests that need the whole environment. tests/core has its own and imports nothing from here."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml


@pytest.fixture
def isolated_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that Paxcast would keep under .paxcast goes to a folder of this test."""
    monkeypatch.setenv("PAXCAST_HOME", str(tmp_path / "home"))
    for name in ("PAXCAST_STORE", "PAXCAST_FLEETS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def traffic(periods: int, frequency: str, level: float, seed: int, last: str) -> pd.DataFrame:
    """A made-up airport: level, slow growth, a season, noise. Columns date, passengers; `last` is the newest period."""
    rng = np.random.default_rng(seed)
    dates = pd.date_range(end=last, periods=periods, freq={"W": "W-MON"}.get(frequency, frequency))
    season = {"D": 7, "W": 52, "MS": 12}[frequency]
    steps = np.arange(periods)
    values = level * (1 + steps / periods * 0.2) * (1 + 0.3 * np.sin(2 * np.pi * steps / season))
    noisy = values * rng.normal(1, 0.05, periods)
    return pd.DataFrame({"date": dates.strftime("%Y-%m-%d"), "passengers": noisy.round().clip(1)})


def fleet_table(codes: list[str], periods: int, frequency: str, last: str) -> pd.DataFrame:
    """Several made-up airports in one long table: airport, date, passengers."""
    made = [
        traffic(periods, frequency, 1000 * (i + 2), seed=i, last=last).assign(airport=c) for i, c in enumerate(codes)
    ]
    return pd.concat(made, ignore_index=True)[["airport", "date", "passengers"]]


MakeFleet = Callable[..., Path]


@pytest.fixture
def make_fleet(tmp_path: Path, isolated_home: Path) -> MakeFleet:
    """Writes a fleet's CSV and YAML and gives the YAML's path. Few evaluations, two Spark tasks."""

    def make(table: pd.DataFrame, name: str = "small", **settings: Any) -> Path:
        table.to_csv(tmp_path / f"{name}.csv", index=False)
        source = {"kind": "file", "path": f"{name}.csv", **settings.pop("source", {})}
        content = {
            "source": source,
            "search": {"max_evals": 3, "space": {"changepoint_prior_scale": {"loguniform": [0.001, 0.5]}}},
            "batches": 2,
            "spark": {"master": "local[2,4]"},
            **settings,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    return make


@pytest.fixture(scope="session")
def spark_session() -> Iterator[Any]:
    """One real Spark for the whole test run: two tasks at a time, lost tasks retried."""
    from paxcast.adapters.spark import open_session, session_conf

    session = open_session(session_conf("local[2,4]", {}))
    yield session
    session.stop()
