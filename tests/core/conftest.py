"""Builders that several tests of the core share: series, pasts, observations, a small search and tiny candidates.

All are stateless functions or values, made once a session so that hypothesis may use them too.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from paxcast.core.candidates import Candidate, History, Refitting
from paxcast.core.candidates.seasonal_naive import SeasonalNaive
from paxcast.core.choice import Promotion
from paxcast.core.errors import FitFailed
from paxcast.core.past import Past
from paxcast.core.search import Record, Search, SearchProblem, Trial
from paxcast.core.series import Series
from paxcast.core.space import Parameter, Parameters
from paxcast.core.treatment import Raw, Rules
from paxcast.core.tuning import TuningTask

STEPS = {"D": "D", "W": "7D", "MS": "MS"}
FACTOR = Parameter("factor", "uniform", (0.0, 2.0))
AS_IT_CAME = Rules(shocks=(), find_shocks=False, outliers=False)  # only zeros before the opening and long gaps are cut


def _series(
    values: Sequence[float] | npt.NDArray[np.float64], frequency: str = "MS", start: str = "2010-01-01"
) -> Series:
    ds = pd.date_range(start, periods=len(values), freq=STEPS[frequency])
    return Series("ATL", frequency, ds.to_numpy().astype("datetime64[ns]"), np.asarray(values, dtype=np.float64))


def _past(
    values: Sequence[float] | npt.NDArray[np.float64],
    frequency: str = "MS",
    start: str = "2010-01-01",
    rules: Rules = AS_IT_CAME,
    airport: str = "ATL",
) -> Past:
    """The past of an airport with these values, NaN where nothing was observed."""
    series = _series(values, frequency, start)
    return Past(Raw(airport, frequency, series.ds, series.y), rules)


def _growing(periods: int, *, growth: float = 1.2, noise: float = 0.0, season: int = 12, seed: int = 1) -> Any:
    """A season that is repeated `growth` times as high each time: a factor of `growth` forecasts it exactly."""
    shape = 100 + 20 * np.sin(2 * np.pi * np.arange(periods) / season)
    level = growth ** (np.arange(periods) // season)
    return shape * level * (1 + noise * np.random.default_rng(seed).normal(size=periods))


def _observations(*rows: tuple[str, str, float, str, str]) -> pd.DataFrame:
    """Rows airport, ds, y, known_at (an instant, UTC), receipt, as the store holds them."""
    frame = pd.DataFrame(list(rows), columns=["airport", "ds", "y", "known_at", "receipt"])
    return frame.astype(
        {"airport": str, "ds": "datetime64[ns]", "y": float, "known_at": "datetime64[ns, UTC]", "receipt": str}
    )


def _grid(*points: Parameters) -> Search:
    """A search over given points, after the points that are to be tried first."""

    def search(problem: SearchProblem) -> list[Trial]:
        record = Record(problem)
        record.try_first()
        for point in points:
            if not record.over:
                record.tried(point)
        return record.trials

    return search


@dataclass(frozen=True)
class _FittedScaled:
    series: Series
    factor: float
    season: int
    fitted_by: str = "by hand"

    def forecast(self, horizon: int) -> npt.NDArray[np.float64]:
        return self.factor * np.resize(self.series.y[-self.season :], horizon)

    def to_json(self) -> str:
        return json.dumps({"factor": self.factor, "y": self.series.y.tolist()})


@dataclass(frozen=True)
class Scaled:
    """The last season times `factor`. Its parameter is searched; a factor above 2 cannot be fitted."""

    name: str = "scaled"
    searched: tuple[str, ...] = ("factor",)
    season: int = 12
    cost: float = 0.0

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> _FittedScaled:
        factor = float(parameters.get("factor", 1.0))
        if factor > 2:
            raise FitFailed(f"{series.airport}: a factor of {factor:g} is too much")
        return _FittedScaled(series, factor, self.season)

    def prepare(self, history: History, *, seed: int, seconds: float) -> Refitting:
        return Refitting(self, history, seed, seconds)


@dataclass(frozen=True)
class Broken:
    """Never fits."""

    name: str = "broken"
    searched: tuple[str, ...] = ("factor",)
    cost: float = 0.0

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> _FittedScaled:
        raise FitFailed(f"{series.airport}: broken by design")

    def prepare(self, history: History, *, seed: int, seconds: float) -> Refitting:
        return Refitting(self, history, seed, seconds)


def _candidates(*more: Candidate) -> dict[str, Candidate]:
    return {c.name: c for c in (SeasonalNaive(), *more)}


def _task(margin: float = 0.02, shadow_cycles: int = 0, **changes: Any) -> TuningTask:
    usual = {
        "horizon": 6,
        "candidates": ("seasonal_naive", "scaled"),
        "space": (FACTOR,),
        "max_evals": 10,
        "seconds": 60.0,
        "recent_folds": 2,
        "earlier_year_folds": 1,
        "promotion": Promotion(margin, shadow_cycles),
        "seed": 7,
    }
    return TuningTask(**(usual | changes))


@pytest.fixture(scope="session")
def make_series() -> Callable[..., Series]:
    return _series


@pytest.fixture(scope="session")
def make_past() -> Callable[..., Past]:
    return _past


@pytest.fixture(scope="session")
def growing() -> Callable[..., npt.NDArray[np.float64]]:
    return _growing


@pytest.fixture(scope="session")
def observations() -> Callable[..., pd.DataFrame]:
    return _observations


@pytest.fixture(scope="session")
def tuner() -> SimpleNamespace:
    """What a tuning needs, made small: `task(...)`, `candidates(...)`, `grid(...)`, and `Scaled` and `Broken`."""
    return SimpleNamespace(task=_task, candidates=_candidates, grid=_grid, Scaled=Scaled, Broken=Broken)
