"""Seasonal naive: each period is forecast by the same period of the last season. What every method must beat."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar
from paxcast.core.candidates import Candidate, History, Refitting
from paxcast.core.series import Series
from paxcast.core.space import Parameters


@dataclass(frozen=True, slots=True)
class FittedSeasonalNaive:
    """`last_season`: [S] traffic of the last season, oldest first; `last_ds` the newest period seen."""

    last_season: npt.NDArray[np.float64]
    last_ds: str
    frequency: str
    fitted_by: ClassVar[str] = "last season's values"

    def forecast(self, horizon: int) -> npt.NDArray[np.float64]:
        return np.resize(self.last_season, horizon)

    def to_json(self) -> str:
        values = {"frequency": self.frequency, "last_ds": self.last_ds, "last_season": self.last_season.tolist()}
        return json.dumps(values, sort_keys=True)


class SeasonalNaive:
    """Needs no parameters and no search. A history shorter than a season repeats what there is."""

    name = "seasonal_naive"
    searched = ()
    cost = 0.0

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedSeasonalNaive:
        season = calendar.frequency(series.frequency).season
        return FittedSeasonalNaive(series.y[-season:].copy(), str(series.ds[-1])[:10], series.frequency)

    def prepare(self, history: History, *, seed: int, seconds: float) -> Refitting:
        return Refitting(self, history, seed, seconds)


CANDIDATES: tuple[Candidate, ...] = (SeasonalNaive(),)
