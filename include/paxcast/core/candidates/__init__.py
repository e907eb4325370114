"""Forecasters that compete for an airport. A new one is one file here, called as it is, that ends with `CANDIDATES`."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from paxcast.core.folds import Fold
from paxcast.core.series import Series
from paxcast.core.space import Parameters


@dataclass(frozen=True, slots=True)
class Specification:
    """Which candidate, with which parameters. Fitted on a history it becomes a `Fitted`."""

    candidate: str
    parameters: Parameters

    def as_json(self) -> dict[str, object]:
        return {"candidate": self.candidate, "parameters": dict(sorted(self.parameters.items()))}


class Fitted(Protocol):
    """A candidate fitted on one history. `fitted_by` says what fitted it, and why not the usual engine."""

    @property
    def fitted_by(self) -> str: ...

    def forecast(self, horizon: int) -> npt.NDArray[np.float64]:
        """The next `horizon` periods, [H] traffic, as the method gives them (possibly negative)."""

    def to_json(self) -> str:
        """Everything needed to forecast again, as text: what the registry keeps. Nothing pickled."""


@runtime_checkable
class TellsItsFit(Protocol):
    """A fitted candidate that can also say how it fits its own history."""

    def fitted_values(self) -> npt.NDArray[np.float64] | None:
        """Traffic of the last [N] periods of what it was fitted on, as its model fits them; None where it cannot."""


def fitted_values(fitted: Fitted, periods: int) -> npt.NDArray[np.float64] | None:
    """[periods] a candidate's fit of the history it was fitted on, NaN where it says nothing; None if it cannot."""
    told = fitted.fitted_values() if isinstance(fitted, TellsItsFit) else None
    if told is None or not len(told):
        return None
    whole = np.full(periods, np.nan)
    whole[-min(periods, len(told)) :] = told[-periods:]
    return whole


class History(Protocol):
    """A history that can be cut: a `Series`, or a `Past`, which is treated anew at each cutoff."""

    @property
    def airport(self) -> str: ...

    @property
    def frequency(self) -> str: ...

    @property
    def ds(self) -> npt.NDArray[np.datetime64]:
        """[T] period starts; a cutoff is a number of these."""

    def head(self, periods: int) -> Series:
        """What may be trained on before that cutoff; it ends there, and may begin later than the history."""


class Evaluator(Protocol):
    """A candidate prepared on one history, to forecast its folds with many parameters. Picklable."""

    def forecast(self, parameters: Parameters, fold: Fold) -> npt.NDArray[np.float64]:
        """The fold's periods, [H] traffic, from the periods before its cutoff. Raises FitFailed."""

    def fitted_by(self, parameters: Parameters, fold: Fold) -> str:
        """What fits that fold, and why not the usual engine; empty where there is only one."""


class Candidate(Protocol):
    """A kind of forecaster. `searched`: the names of its parameters that may be searched, none if it has none.

    `cost`: CPU seconds of one fit on ten years of months, about (benchmarks/quality.py).
    """

    @property
    def name(self) -> str: ...

    @property
    def searched(self) -> tuple[str, ...]: ...

    @property
    def cost(self) -> float: ...

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> Fitted:
        """Fit on a history, within about `seconds`. Raises FitFailed when this history cannot be fitted."""

    def prepare(self, history: History, *, seed: int, seconds: float) -> Evaluator:
        """Whatever does not depend on the parameters, done once for a history. Raises FitFailed."""


@dataclass(frozen=True, slots=True)
class Refitting:
    """The plain evaluator: fits the candidate anew on each fold's past."""

    candidate: Candidate
    history: History
    seed: int
    seconds: float

    def forecast(self, parameters: Parameters, fold: Fold) -> npt.NDArray[np.float64]:
        past = self.history.head(fold.cutoff)
        return self.candidate.fit(past, parameters, seed=self.seed, seconds=self.seconds).forecast(fold.horizon)

    def fitted_by(self, parameters: Parameters, fold: Fold) -> str:
        return ""
