"""A candidate whose forecasts were made elsewhere: by a model of the whole fleet, before its airports were tuned.

It is no candidate of its own: the registry knows the names that are given (`candidate_files.GIVEN`), each without a
forecast; who has them competes in its place with `Given(name, by_cutoff)`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paxcast.core.candidates import History, Refitting
from paxcast.core.errors import FitFailed
from paxcast.core.series import Series
from paxcast.core.space import Parameters

Array = npt.NDArray[np.float64]
KEYS = {"airport", "candidate", "forecast", "fitted_by"}


@dataclass(frozen=True, slots=True)
class FittedGiven:
    """`values`: [H] the forecast of the periods after the cutoff, all there is."""

    candidate: str
    airport: str
    values: Array
    fitted_by: str

    def forecast(self, horizon: int) -> Array:
        """As the protocol says. Raises FitFailed for more periods than were forecast."""
        if horizon > len(self.values):
            raise FitFailed(
                f"{self.airport}: {self.candidate} was made for {len(self.values)} periods, and {horizon} are asked "
                "for; raise `horizon` and retrain"
            )
        return self.values[:horizon].copy()

    def to_json(self) -> str:
        """The forecast itself: the model that made it is the fleet's, and is not kept."""
        values = {
            "airport": self.airport,
            "candidate": self.candidate,
            "forecast": self.values.tolist(),
            "fitted_by": self.fitted_by,
        }
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Given:
    """`by_cutoff`: [H] traffic, by the start of the last period before it (2018-12-01). Of one airport. Picklable."""

    name: str
    by_cutoff: Mapping[str, Array] = field(default_factory=dict)
    cost: float = 0.0  # of a fit: what was given cost was spent elsewhere
    fitted_by: str = "the fleet's model"
    searched: ClassVar[tuple[str, ...]] = ()

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedGiven:
        """What was given for a series that ends where this one does. Raises FitFailed where nothing was."""
        if not len(series.ds):
            raise FitFailed(f"{series.airport}: {self.name} needs a history; this one is empty")
        end = str(series.ds[-1])[:10]
        if end not in self.by_cutoff:
            raise FitFailed(f"{series.airport}: {self.name} made no forecast from {end}; it has {self._there()}")
        values = np.array(self.by_cutoff[end], dtype=np.float64)
        if not np.isfinite(values).all():
            raise FitFailed(f"{series.airport}: {self.name} forecast what is not a number from {end}")
        return FittedGiven(self.name, series.airport, values, self.fitted_by)

    def prepare(self, history: History, *, seed: int, seconds: float) -> Refitting:
        """Nothing is prepared. Raises FitFailed where nothing was given at all."""
        if not self.by_cutoff:
            raise FitFailed(f"{history.airport}: {self.name} made no forecast of it: the fleet's model left it out")
        return Refitting(self, history, seed, seconds)

    def _there(self) -> str:
        return f"those from {', '.join(sorted(self.by_cutoff))}" if self.by_cutoff else "none"


def read(text: str) -> FittedGiven:
    """What `FittedGiven.to_json` kept: the same forecast to the last bit. Raises ValueError for any other text."""
    values = json.loads(text)
    if not isinstance(values, dict) or set(values) != KEYS:
        raise ValueError(f"not the text of a given forecast: such a one has the keys {', '.join(sorted(KEYS))}")
    forecast = np.array(values["forecast"], dtype=np.float64)
    return FittedGiven(values["candidate"], values["airport"], forecast, values["fitted_by"])
