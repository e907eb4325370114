"""Prophet, fitted by CmdStan, with the cheap savings: no uncertainty samples, no temporary files left behind.

The evaluator of the trials is whatever calls `Prophet.fit` below; a faster engine replaces this file alone.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.candidates import FitFailed, Refitting
from paxcast.core.columns import DS, Y
from paxcast.core.series import Series
from paxcast.core.space import INTEGERS, Parameters

ALGORITHM = "LBFGS"  # Prophet takes Newton below 100 periods: up to 6 s for 24 months, where this takes 0.05 s
YEARLY_FROM_DAYS = 730  # yearly seasonality from two whole years of periods on: 24 months, 105 weeks, 730 days


@dataclass(frozen=True, slots=True)
class FittedProphet:
    """A fitted `prophet.Prophet` and the series it was fitted on."""

    model: object
    series: Series

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
        frame = pd.DataFrame({DS: series.ds, Y: series.y})
        model: Any = None
        try:
            model = _model(series, parameters)
            model.fit(frame, algorithm=ALGORITHM, seed=seed % (2**31 - 1) + 1, timeout=max(1, int(seconds)))
        except (RuntimeError, ValueError, np.linalg.LinAlgError, TimeoutError) as err:
            raise FitFailed(f"{series.airport}: Prophet on {len(series.y)} periods: {err}") from err
        finally:
            _forget_files(model)
        model.fit_kwargs = {}  # else cross_validation on the registered model would reuse the seed and the timeout
        return FittedProphet(model, series)

    def prepare(self, series: Series, *, seed: int, seconds: float) -> Refitting:
        return Refitting(self, series, seed, seconds)


def _model(series: Series, parameters: Parameters):  # type: ignore[no-untyped-def]
    from prophet import Prophet

    days = (series.next_periods(1)[0].to_datetime64() - series.ds[0]) / np.timedelta64(1, "D")
    arguments = {k: int(v) if k in INTEGERS else v for k, v in parameters.items()}
    model = Prophet(
        yearly_seasonality=bool(days >= YEARLY_FROM_DAYS),
        weekly_seasonality=series.frequency == "D",
        daily_seasonality=False,
        uncertainty_samples=0,
        **arguments,
    )
    logging.getLogger("prophet").setLevel(logging.ERROR)
    logging.getLogger(
        "cmdstanpy"
    ).disabled = True  # two lines a fit otherwise; it resets its own level at the first fit
    return model


def _forget_files(model) -> None:  # type: ignore[no-untyped-def]
    backend = getattr(model, "stan_backend", None)
    if backend is not None and hasattr(backend, "cleanup"):
        backend.cleanup()


def shortest_history(frequency: str) -> int:
    """The fewest periods Prophet is tried on."""
    return calendar.frequency(frequency).shortest_train
