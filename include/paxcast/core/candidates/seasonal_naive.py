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
    """`last_season`: [S] traffic of the last season, oldest first; `last_ds` the newest period seen; `before`: [T - S]
    traffic of all but the last season."""

    last_season: npt.NDArray[np.float64]
    last_ds: str
    frequency: str
    before: npt.NDArray[np.float64]
    fitted_by: ClassVar[str] = "last season's values"

    def forecast(self, horizon: int) -> npt.NDArray[np.float64]:
        return np.resize(self.last_season, horizon)

    def fitted_values(self) -> npt.NDArray[np.float64]:
        """Of each period but the first season the value of a season before."""
        return self.before

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
        last_season, before = series.y[-season:].copy(), series.y[:-season].copy()
        return FittedSeasonalNaive(last_season, str(series.ds[-1])[:10], series.frequency, before)

    def prepare(self, history: History, *, seed: int, seconds: float) -> Refitting:
        return Refitting(self, history, seed, seconds)


CANDIDATES: tuple[Candidate, ...] = (SeasonalNaive(),)
