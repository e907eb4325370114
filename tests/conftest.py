"""Fixtures of the tests that need the whole environment. tests/core has its own; of these it takes `regular` alone."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

LONG_FIRST = ("e2e", "dags", "jobs", "adapters")  # files run side by side: a long one begun last is waited for


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folders whose tests take minutes first; otherwise the order stays."""
    order = {name: at for at, name in enumerate(LONG_FIRST)}
    items.sort(key=lambda item: order.get(item.path.relative_to(Path(__file__).parent).parts[0], len(order)))


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
    made = [traffic(periods, frequency, 1000 * (i + 2), i, last).assign(airport=c) for i, c in enumerate(codes)]
    return pd.concat(made, ignore_index=True)[["airport", "date", "passengers"]]


MakeFleet = Callable[..., Path]


def _write_fleet(folder: Path, table: pd.DataFrame, name: str = "small", **settings: Any) -> Path:
    """A fleet's CSV and YAML in a folder; two candidates, few evaluations, two Spark tasks. The path of the YAML."""
    import yaml  # not at the top: tests/core runs without it, and this file is loaded there too

    table.to_csv(folder / f"{name}.csv", index=False)
    content = {
        "source": {"kind": "file", "path": f"{name}.csv", **settings.pop("source", {})},
        "candidates": ["seasonal_naive", "prophet"],
        "search": {"max_evals": 3, "space": {"changepoint_prior_scale": {"loguniform": [0.001, 0.5]}}},
        "batches": 2,
        "spark": {"master": "local[2,4]"},
        **settings,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture
def make_fleet(tmp_path: Path, isolated_home: Path) -> MakeFleet:
    """Writes a fleet's files for one test, which keeps everything in a home of its own."""
    return partial(_write_fleet, tmp_path)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of MLflow's with its tables and nothing in them, to copy: making them takes more than most tests do."""
    from mlflow.tracking import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def new_fleet(tmp_path_factory: pytest.TempPathFactory, empty_mlflow: Path) -> MakeFleet:
    """Writes a fleet in a folder of its own, store and MLflow in it too: for runs that several tests look at."""

    def make(table: pd.DataFrame, **settings: Any) -> Path:
        folder = tmp_path_factory.mktemp("fleet")
        shutil.copy(empty_mlflow, folder / "mlflow.db")
        places = {"store": str(folder / "store"), "mlflow": {"tracking_uri": f"sqlite:///{folder}/mlflow.db"}}
        return _write_fleet(folder, table, **places, **settings)

    return make


@pytest.fixture(scope="session")
def write_fleet() -> Callable[..., Path]:
    """Writes a fleet's files into a folder: `write_fleet(folder, table, name, **settings)`."""
    return _write_fleet


@pytest.fixture(scope="session")
def made_up() -> Callable[..., pd.DataFrame]:
    """Builds the long table of a made-up fleet: `made_up(codes, periods, frequency, last)`."""
    return fleet_table


@pytest.fixture(scope="session")
def release_of() -> Callable[..., Any]:
    """Builds a release of the fleet `small` by hand: `release_of(as_of, {airport: parameters})`."""
    from paxcast.core.release import Entry, compose

    def make(as_of: str, parameters: dict[str, dict[str, Any]]) -> Any:
        key = f"small-{as_of}"
        entries = [
            Entry(code, f"small.{code}", 1, key, as_of, "first", "prophet", by_member)
            for code, by_member in parameters.items()
        ]
        return compose("small", as_of, key, None, entries)

    return make


@pytest.fixture
def spark_session() -> Any:
    """A real Spark: two tasks at a time, lost tasks retried. The same one for the whole test run, unless stopped."""
    from paxcast.adapters.spark import open_session, session_conf

    return open_session(session_conf("local[2,4]", {}))


@pytest.fixture(scope="session")
def regular() -> Callable[..., Any]:
    """Makes a series of observations as they are, by pandas: `regular(airport, rows, frequency, absent)`."""
    from paxcast.core.series import Series
    from paxcast.core.treatment import on_grid

    def make(airport: str, rows: pd.DataFrame, frequency: str, absent: str) -> Series:
        raw = on_grid(airport, rows, frequency)
        full = pd.Series(raw.y)
        y = full.fillna(0.0) if absent == "zero" else full.interpolate("linear")
        return Series(airport, frequency, raw.ds, y.to_numpy())

    return make
