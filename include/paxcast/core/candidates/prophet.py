"""Prophet, fitted at its exact posterior mode: a search needs its design matrix once, and no Prophet in the loop."""

import json
import logging
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import prophet_map
from paxcast.core.candidates import Refitting
from paxcast.core.columns import DS, Y
from paxcast.core.errors import FitFailed
from paxcast.core.folds import Fold
from paxcast.core.prophet_map.design import Design, Window, design_of
from paxcast.core.series import Series
from paxcast.core.space import INTEGERS, Parameters

YEARLY_FROM_DAYS = 730  # yearly seasonality from two whole years of periods on: 24 months, 105 weeks, 730 days
STAN_ALGORITHM = "LBFGS"  # Prophet takes Newton below 100 periods: up to 6 s for 24 months, where this takes 0.05 s
REFUSALS = (RuntimeError, ValueError, np.linalg.LinAlgError, TimeoutError)


@dataclass(frozen=True, slots=True)
class FittedProphet:
    """A fitted `prophet.Prophet`, the series it was fitted on, and what fitted it."""

    model: object
    series: Series
    fitted_by: str = prophet_map.EXACT

    def forecast(self, horizon: int) -> npt.NDArray[np.float64]:
        future = pd.DataFrame({DS: self.series.next_periods(horizon)})
        predicted = self.model.predict(future)["yhat"]  # type: ignore[attr-defined]
        return predicted.to_numpy(dtype=np.float64)  # type: ignore[no-any-return]

    def to_json(self) -> str:
        from prophet.serialize import model_to_dict

        # Sorted, and without the fit's wall times, so that the same fit is the same text.
        return json.dumps(model_to_dict(self.model), sort_keys=True)


class ProphetCandidate:
    """Prophet with searched parameters: prior scales, growth, seasonality mode, changepoints."""

    name = "prophet"
    searched = True

    def fit(self, series: Series, parameters: Parameters, *, seed: int, seconds: float) -> FittedProphet:
        """As the protocol says. CmdStan, where it is needed, gets a seed and a time limit of its own."""
        stan = {"algorithm": STAN_ALGORITHM, "seed": seed % (2**31 - 1) + 1, "timeout": max(1, int(seconds))}
        try:
            model = new_model(series, parameters)
            model, fitted_by = prophet_map.fit_and_tell(model, _frame(series), **stan)
        except REFUSALS as err:
            raise FitFailed(f"{series.airport}: Prophet on {len(series.y)} periods: {err}") from err
        return FittedProphet(model, series, fitted_by)

    def prepare(self, series: Series, *, seed: int, seconds: float) -> "ProphetEvaluator":
        try:
            design = design_of(new_model(series, {}), _frame(series))
        except REFUSALS as err:
            raise FitFailed(f"{series.airport}: Prophet on {len(series.y)} periods: {err}") from err
        return ProphetEvaluator(series, design, Refitting(self, series, seed, seconds))


@dataclass(frozen=True, slots=True)
class ProphetEvaluator:
    """Forecasts of folds as plain arrays. A fold that the exact engine does not cover is fitted by a real Prophet."""

    series: Series
    design: Design
    plain: Refitting
    _windows: dict[int, Window] = field(default_factory=dict)

    def forecast(self, parameters: Parameters, fold: Fold) -> npt.NDArray[np.float64]:
        window = self._window(fold.cutoff)
        prior = window.prior(parameters)
        if window.uncovered(prior):
            return self.plain.forecast(parameters, fold)
        return window.forecast(prior, fold.horizon)

    def fitted_by(self, parameters: Parameters, fold: Fold) -> str:
        window = self._window(fold.cutoff)
        return prophet_map.told(window.uncovered(window.prior(parameters)), constant=window.constant)

    def _window(self, rows: int) -> Window:
        """Each cutoff's, made at the first fit on it."""
        if rows not in self._windows:
            yearly = _yearly(self.series.head(rows))
            self._windows[rows] = self.design.window(rows, without=None if yearly else "yearly")
        return self._windows[rows]


def _frame(series: Series) -> pd.DataFrame:
    return pd.DataFrame({DS: series.ds, Y: series.y})


def _yearly(series: Series) -> bool:
    days = (series.next_periods(1)[0].to_datetime64() - series.ds[0]) / np.timedelta64(1, "D")
    return bool(days >= YEARLY_FROM_DAYS)


def new_model(series: Series, parameters: Parameters):  # type: ignore[no-untyped-def]
    """A Prophet with these parameters and the seasonalities that a series of that length has; not fitted yet."""
    from prophet import Prophet

    arguments = {k: int(v) if k in INTEGERS else v for k, v in parameters.items()}
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
