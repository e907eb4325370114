"""Prophet, fitted at its exact posterior mode: a search needs its design matrix once, and no Prophet in the loop."""

import json
import logging
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar, prophet_map
from paxcast.core.candidates import Candidate, History, Refitting
from paxcast.core.columns import DS, Y
from paxcast.core.errors import FitFailed
from paxcast.core.fitted_by import EXACT
from paxcast.core.folds import Fold
from paxcast.core.prophet_map.design import PARAMETERS, Design, Window, design_of
from paxcast.core.prophet_map.problem import Prior
from paxcast.core.series import Series
from paxcast.core.space import INTEGERS, Parameters

YEARLY_FROM_DAYS = 730  # yearly seasonality from two whole years of periods on: 24 months, 105 weeks, 730 days
STAN_ALGORITHM = "LBFGS"  # Prophet takes Newton below 100 periods: up to 6 s for 24 months, where this takes 0.05 s
REFUSALS = (RuntimeError, ValueError, np.linalg.LinAlgError, TimeoutError)
WINDOW = "history_years"  # 0: all years; else Prophet is fitted on the last so many


@dataclass(frozen=True, slots=True)
class FittedProphet:
    """A fitted `prophet.Prophet`, the series it was fitted on, and what fitted it."""

    model: object
    series: Series
    fitted_by: str = EXACT

    def forecast(self, horizon: int) -> npt.NDArray[np.float64]:
        return predicted(self.model, self.series.next_periods(horizon))

    def fitted_values(self) -> npt.NDArray[np.float64]:
        """Of the periods it was fitted on, which `history_years` may have cut short."""
        return predicted(self.model, self.series.dates())

    def to_json(self) -> str:
        from prophet.serialize import model_to_dict

        # Sorted, and without the fit's wall times, so that the same fit is the same text.
        return json.dumps(model_to_dict(self.model), sort_keys=True)


class ProphetCandidate:
    """Prophet with searched parameters: years of history, prior scales, growth, seasonality mode, changepoints."""

    name = "prophet"
    searched = (*PARAMETERS, WINDOW)
    cost = 0.02

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedProphet:
        """As the protocol says. CmdStan, where it is needed, gets a seed and a time limit of its own."""
        stan = {"algorithm": STAN_ALGORITHM, "seed": seed % (2**31 - 1) + 1, "timeout": max(1, int(seconds))}
        series = series.tail(periods_used(series, parameters))
        try:
            model = new_model(series, parameters)
            model, fitted_by = prophet_map.fit_and_tell(model, _frame(series), **stan)
        except REFUSALS as err:
            raise FitFailed(f"{series.airport}: Prophet on {len(series.y)} periods: {err}") from err
        return FittedProphet(model, series, fitted_by)

    def prepare(self, history: History, *, seed: int, seconds: float) -> "ProphetEvaluator":
        return ProphetEvaluator(history, features(history), Refitting(self, history, seed, seconds))


@dataclass(frozen=True, slots=True)
class ProphetEvaluator:
    """Forecasts of folds as plain arrays. A fold that the exact engine does not cover is fitted by a real Prophet."""

    history: History
    design: Design
    plain: Refitting
    _windows: dict[tuple[int, int], Window] = field(default_factory=dict)

    def forecast(self, parameters: Parameters, fold: Fold) -> npt.NDArray[np.float64]:
        window, prior = self.at(parameters, fold)
        if window.uncovered(prior):
            return self.plain.forecast(parameters, fold)
        return window.forecast(prior, fold.horizon)

    def fitted_by(self, parameters: Parameters, fold: Fold) -> str:
        window, prior = self.at(parameters, fold)
        return prophet_map.told(window.uncovered(prior), constant=window.constant)

    def at(self, parameters: Parameters, fold: Fold) -> tuple[Window, Prior]:
        """The window that these parameters are fitted on before a fold, and their priors. Made at its first fit."""
        past = self.history.head(fold.cutoff)
        key = fold.cutoff, periods_used(past, parameters)
        if key not in self._windows:
            past = past.tail(key[1])
            without = None if _yearly(past) else "yearly"
            self._windows[key] = self.design.window(fold.cutoff, without, past.y)
        window = self._windows[key]
        return window, window.prior({k: v for k, v in parameters.items() if k in PARAMETERS})


def features(history: History) -> Design:
    """Prophet's features of every period of a history; its traffic is not read. Raises FitFailed."""
    ramp = np.arange(len(history.ds), dtype=np.float64)
    series = Series(history.airport, history.frequency, history.ds, ramp)
    try:
        return design_of(new_model(series, {}), _frame(series))
    except REFUSALS as err:
        raise FitFailed(f"{series.airport}: Prophet on {len(series.y)} periods: {err}") from err


def periods_used(series: Series, parameters: Parameters) -> int:
    """How many of a series' last periods are fitted on, by the parameter `history_years`."""
    years = int(parameters.get(WINDOW, 0))
    return min(len(series.y), years * calendar.frequency(series.frequency).year) if years else len(series.y)


def predicted(model: object, ds: pd.DatetimeIndex) -> npt.NDArray[np.float64]:
    """What a fitted Prophet predicts. ds: [H] period starts; [H] traffic."""
    found = model.predict(pd.DataFrame({DS: ds}))["yhat"]  # type: ignore[attr-defined]
    return found.to_numpy(dtype=np.float64)  # type: ignore[no-any-return]


def _frame(series: Series) -> pd.DataFrame:
    return pd.DataFrame({DS: series.ds, Y: series.y})


def _yearly(series: Series) -> bool:
    days = (series.next_periods(1)[0].to_datetime64() - series.ds[0]) / np.timedelta64(1, "D")
    return bool(days >= YEARLY_FROM_DAYS)


def new_model(series: Series, parameters: Parameters):  # type: ignore[no-untyped-def]
    """A Prophet with these parameters and the seasonalities that a series of that length has; not fitted yet."""
    from prophet import Prophet

    own = {k: v for k, v in parameters.items() if k in PARAMETERS}
    arguments = {k: int(v) if k in INTEGERS else v for k, v in own.items()}
    model = Prophet(
        yearly_seasonality=_yearly(series),
        weekly_seasonality=series.frequency == "D",
        daily_seasonality=False,
        uncertainty_samples=0,
        **arguments,
    )
    logging.getLogger("prophet").setLevel(logging.ERROR)
    # Two lines a fit otherwise; it resets its own level at the first fit.
    logging.getLogger("cmdstanpy").disabled = True
    return model


CANDIDATES: tuple[Candidate, ...] = (ProphetCandidate(),)
