"""A candidate on a history without its calendar effects: what it forecasts gets those of the periods to come.

Seasonal naive stays as it is, last year's value, and so does what the fleet's model was given.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.candidate_files import GIVEN
from paxcast.core.candidates import Candidate, Evaluator, Fitted, History, TellsItsFit
from paxcast.core.folds import Fold
from paxcast.core.series import Series
from paxcast.core.space import Parameters
from paxcast.core.treatment import Rules
from paxcast.core.treatment.calendar_effects import Effects, estimate
from paxcast.core.treatment.rules import NO_CALENDAR

Array = npt.NDArray[np.float64]
AS_IT_IS = ("seasonal_naive", "random_walk", "zero_rule", *GIVEN)


def adjusted(candidate: Candidate, rules: Rules) -> Candidate:
    """The candidate, fitted on what is left without calendar effects, if these rules take them out."""
    return candidate if rules.calendar == NO_CALENDAR or candidate.name in AS_IT_IS else Adjusted(candidate, rules)


def without(series: Series, effects: Effects) -> Series:
    """The series of an average calendar. [T]"""
    y = series.y / effects.factors(series.dates())
    return Series(series.airport, series.frequency, series.ds, y)


def ahead(effects: Effects, last: pd.Timestamp, horizon: int) -> Array:
    """The factors of the periods after the last one, [H]."""
    return effects.factors(calendar.next_periods(last, horizon, effects.frequency))


@dataclass(frozen=True, slots=True)
class FittedAdjusted:
    """`fitted`: on the series without `effects`; `last`: its last period."""

    fitted: Fitted
    effects: Effects
    last: pd.Timestamp

    @property
    def fitted_by(self) -> str:
        return self.fitted.fitted_by

    def forecast(self, horizon: int) -> Array:
        return self.fitted.forecast(horizon) * ahead(self.effects, self.last, horizon)

    @property
    def warnings(self) -> int:
        """How many there were while it was fitted; of a candidate that counts none 0."""
        return getattr(self.fitted, "warnings", 0)

    def fitted_values(self) -> Array | None:
        """What the candidate's model fits, with the calendar effects that were taken out."""
        inside = self.fitted.fitted_values() if isinstance(self.fitted, TellsItsFit) else None
        if inside is None:
            return None
        ds = calendar.full_grid(self._first(len(inside)), self.last, self.effects.frequency)
        return inside * self.effects.factors(ds)

    def _first(self, periods: int) -> pd.Timestamp:
        return calendar.shift(pd.DatetimeIndex([self.last]), 1 - periods, self.effects.frequency)[0]

    def to_json(self) -> str:
        """The fitted candidate's own text; the effects are the airport's, and kept once, beside (`airport_model`)."""
        return self.fitted.to_json()


@dataclass(frozen=True, slots=True)
class Adjusted:
    """`candidate` on histories without calendar effects, estimated anew from each."""

    candidate: Candidate
    rules: Rules

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def searched(self) -> tuple[str, ...]:
        return self.candidate.searched

    @property
    def cost(self) -> float:
        return self.candidate.cost

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedAdjusted:
        effects = estimate(series, self.rules)
        fitted = self.candidate.fit(without(series, effects), parameters, seed=seed, seconds=seconds)
        return FittedAdjusted(fitted, effects, pd.Timestamp(series.ds[-1]))

    def prepare(self, history: History, *, seed: int, seconds: float) -> "AdjustedEvaluator":
        view = history if isinstance(history, AdjustedHistory) else AdjustedHistory(history, self.rules)
        return AdjustedEvaluator(self.candidate.prepare(view, seed=seed, seconds=seconds), view)


@dataclass(frozen=True, slots=True)
class AdjustedHistory:
    """A history whose every head is without the calendar effects that this head shows. Candidates may share one."""

    history: History
    rules: Rules
    _heads: dict[int, tuple[Series, Effects]] = field(default_factory=dict)
    _ahead: dict[tuple[int, int], Array] = field(default_factory=dict)

    @property
    def airport(self) -> str:
        return self.history.airport

    @property
    def frequency(self) -> str:
        return self.history.frequency

    @property
    def ds(self) -> npt.NDArray[np.datetime64]:
        return self.history.ds

    def head(self, periods: int) -> Series:
        return self._head(periods)[0]

    def ahead(self, periods: int, horizon: int) -> Array:
        """The factors of the periods after a cutoff, [H], by what was known before it."""
        key = periods, horizon
        if key not in self._ahead:
            series, effects = self._head(periods)
            self._ahead[key] = ahead(effects, pd.Timestamp(series.ds[-1]), horizon)
        return self._ahead[key]

    def _head(self, periods: int) -> tuple[Series, Effects]:
        if periods not in self._heads:
            series = self.history.head(periods)
            effects = estimate(series, self.rules)
            self._heads[periods] = without(series, effects), effects
        return self._heads[periods]


@dataclass(frozen=True, slots=True)
class AdjustedEvaluator:
    """Forecasts of folds, each times the factors of its periods."""

    evaluator: Evaluator
    history: AdjustedHistory

    def forecast(self, parameters: Parameters, fold: Fold) -> Array:
        made = self.evaluator.forecast(parameters, fold)
        return made * self.history.ahead(fold.cutoff, fold.horizon)

    def fitted_by(self, parameters: Parameters, fold: Fold) -> str:
        return self.evaluator.fitted_by(parameters, fold)
