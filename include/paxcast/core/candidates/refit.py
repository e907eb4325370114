"""Candidates whose whole state is the history they were fitted on: kept as that history, fitted anew when read back."""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar, classical
from paxcast.core.candidates import Fitted, History, Refitting
from paxcast.core.classical import Forecaster
from paxcast.core.errors import FitFailed, PaxcastError
from paxcast.core.series import Series
from paxcast.core.space import Parameters

Array = npt.NDArray[np.float64]
KEYS = {"candidate", "parameters", "frequency", "airport", "first_ds", "y"}


@dataclass(frozen=True, slots=True)
class FittedOnHistory:
    """`forecaster`: what the candidate's method made of `series`; `warnings`: how many it was warned of meanwhile."""

    candidate: str
    series: Series
    forecaster: Forecaster
    fitted_by: str
    warnings: int = 0

    def fitted_values(self) -> Array | None:
        return classical.inside(self.forecaster)

    def forecast(self, horizon: int) -> Array:
        """As the protocol says. Raises FitFailed where a step is not a finite number."""
        with quiet():
            values = np.asarray(self.forecaster(horizon), dtype=np.float64)
        if not np.isfinite(values).all():
            raise FitFailed(f"{self.series.airport}: {self.candidate} forecast what is not a number")
        return values

    def to_json(self) -> str:
        values = {
            "candidate": self.candidate,
            "parameters": {},
            "frequency": self.series.frequency,
            "airport": self.series.airport,
            "first_ds": str(self.series.ds[0])[:10],
            "y": self.series.y.tolist(),
        }
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Method:
    """A candidate without parameters: `method` makes a forecaster of a series, [T] traffic, T > 0 and all finite.

    `cost`: CPU seconds of one fit on ten years of months, about. `fitted_by`: what does it.
    """

    name: str
    cost: float
    method: Callable[[Series], Forecaster]
    fitted_by: str = "formula"
    searched: ClassVar[tuple[str, ...]] = ()

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedOnHistory:
        """As the protocol says. Takes no parameters and no seed; a fit takes less than a second."""
        if not len(series.y) or not np.isfinite(series.y).all():
            raise FitFailed(f"{series.airport}: {self.name} needs a history of finite numbers; validate it first")
        own = Series(series.airport, series.frequency, series.ds.copy(), series.y.copy())
        try:
            with quiet() as told:
                made = self.method(own)
            fitted = FittedOnHistory(self.name, own, made, self.fitted_by, len(told))
            fitted.forecast(1)
        except (PaxcastError, MemoryError):  # among them the airport's limits of time and memory, which are not caught
            raise
        except Exception as err:  # statsforecast raises plain Exception where no model fits
            raise FitFailed(f"{series.airport}: {self.name} on {len(series.y)} periods: {err}") from err
        return fitted

    def prepare(self, history: History, *, seed: int, seconds: float) -> Refitting:
        return Refitting(self, history, seed, seconds)


@contextmanager
def quiet() -> Iterator[list[warnings.WarningMessage]]:
    """No warnings of numpy and statsforecast on the screen: what they warn of is seen in the forecast. The warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield told


def refit(text: str) -> Fitted:
    """What `FittedOnHistory.to_json` kept, fitted again: the same forecast, to the last bit.

    Raises ValueError for any other text, FitFailed where the history can no longer be fitted.
    """
    from paxcast.core.candidates.registry import CANDIDATES  # it imports every candidate, and they import this module

    values = json.loads(text)
    if not isinstance(values, dict) or set(values) != KEYS:
        raise ValueError(f"not a text that can be fitted anew: such a one has the keys {', '.join(sorted(KEYS))}")
    name, series = (
        values["candidate"],
        series_from(values["airport"], values["frequency"], values["first_ds"], values["y"]),
    )
    if name not in CANDIDATES:
        raise ValueError(f"{series.airport}: no candidate is called '{name}'; there are {', '.join(CANDIDATES)}")
    return CANDIDATES[name].fit(series, values["parameters"], seed=0, seconds=float("inf"))


def series_from(airport: str, frequency: str, first_ds: str, y: list[float]) -> Series:
    before = calendar.shift(pd.DatetimeIndex([first_ds]), -1, frequency)[0]
    ds = calendar.next_periods(before, len(y), frequency).to_numpy().astype("datetime64[ns]")
    return Series(airport, frequency, ds, np.array(y, dtype=np.float64))
