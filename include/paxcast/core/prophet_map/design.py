"""Many fits on windows of one history: Prophet builds the features once, a window is prepared once, a fit is arrays.

A window is some periods in a row. Prophet would scale time and traffic anew on it, and place its changepoints; so does
this. It holds for features that depend on the date alone: seasonalities and holidays. Extra regressors are
standardised on the window, and conditional seasonalities need columns: models with these are fitted by `fit`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from prophet import Prophet

from paxcast.core.prophet_map.problem import Array, Data, Moments, Prior, fitted_values, maximum, moments, uncovered

PARAMETERS = (
    "growth",
    "seasonality_mode",
    "changepoint_prior_scale",
    "seasonality_prior_scale",
    "holidays_prior_scale",
    "changepoint_range",
    "n_changepoints",
)
Value = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Design:
    """The features of a whole history. `ds`: [N] period starts, `y`: [N] traffic, `x`: [N, K], `names`: [K].

    `holiday`: [K], whether a column takes the prior scale of holidays; `defaults`: the value of each of PARAMETERS.
    """

    ds: npt.NDArray[np.datetime64]
    y: Array
    x: Array
    names: tuple[str, ...]
    holiday: npt.NDArray[np.bool_]
    defaults: Mapping[str, Value]

    def window(self, rows: int, without: str | None = None, y: Array | None = None) -> "Window":
        """The first `rows` periods prepared for fits; the seasonality `without` left out.

        With y, [W] traffic, the last W of these periods, with these values in the place of the history's.
        """
        kept = [i for i, name in enumerate(self.names) if name.split("_delim_")[0] != without]
        y = self.y[:rows] if y is None else y
        ds, x = self.ds[rows - len(y) :], self.x[rows - len(y) :]
        x = np.ascontiguousarray(x[:, kept]) if kept else np.zeros((len(ds), 1))
        t = (ds - ds[0]) / (ds[len(y) - 1] - ds[0])
        y_scale = float(np.max(np.abs(y))) or 1.0
        prepared = moments(Data(t=t[: len(y)], x=x[: len(y)], y=y / y_scale))
        holiday = self.holiday[kept] if kept else np.zeros(1, dtype=bool)
        return Window(prepared, t, x, y_scale, holiday, self.defaults, bool(y.min() == y.max()))


@dataclass(frozen=True, slots=True)
class Window:
    """A training window: its moments, and `t`: [N] and `x`: [N, K] from its beginning to the end of the history, on
    the window's scale."""

    prepared: Moments
    t: Array
    x: Array
    y_scale: float
    holiday: npt.NDArray[np.bool_]
    defaults: Mapping[str, Value]
    constant: bool

    @property
    def rows(self) -> int:
        return len(self.prepared.data.y)

    def prior(self, parameters: Mapping[str, Value]) -> Prior:
        """The priors of a Prophet with these parameters on this window; those not stated have their defaults."""
        stated = {**self.defaults, **parameters}
        season, holiday = float(stated["seasonality_prior_scale"]), float(stated["holidays_prior_scale"])
        many, share = int(stated["n_changepoints"]), float(stated["changepoint_range"])
        features = self.x.shape[1]
        return Prior(
            changepoints=self.prepared.data.t[changepoint_rows(self.rows, many, share)],
            tau=float(stated["changepoint_prior_scale"]),
            scales=np.where(self.holiday, holiday, season),
            multiplicative=np.full(features, stated["seasonality_mode"] == "multiplicative"),
            flat=stated["growth"] == "flat",
        )

    def uncovered(self, prior: Prior) -> str:
        """Why a fit on this window is left to a real Prophet, or the empty text."""
        return "" if self.constant else uncovered(self.rows, prior)

    def forecast(self, prior: Prior, horizon: int) -> Array:
        """The `horizon` periods after the window, [H] traffic: what Prophet fitted at the mode would predict."""
        return self.fitted_and_ahead(prior, horizon)[1]

    def fitted_and_ahead(self, prior: Prior, horizon: int) -> tuple[Array, Array]:
        """The window as Prophet fitted at the mode sees it, [W] traffic, and the `horizon` periods after it, [H]."""
        end = self.rows + horizon
        if self.constant:  # Prophet's shortcut: the value it always had
            values = np.full(end, self.prepared.data.y[0] * self.y_scale)
        else:
            every = Data(t=self.t[:end], x=self.x[:end], y=self.t[:0])
            values = fitted_values(every, prior, maximum(self.prepared, prior)) * self.y_scale
        return values[: self.rows], values[self.rows :]


def changepoint_rows(rows: int, many: int, share: float) -> npt.NDArray[np.int64]:
    """The rows at which Prophet places `many` changepoints, evenly over the first `share` of a history; fewer in a
    short one. With none it places one at the beginning, where it is part of the slope."""
    first = int(np.floor(rows * share))
    many = min(many, first - 1)
    if many <= 0:
        return np.zeros(1, dtype=np.int64)
    return (np.arange(1, many + 1) * ((first - 1) / many)).round().astype(np.int64)


def design_of(model: Prophet, history: pd.DataFrame) -> Design:
    """The features of a model that is not fitted yet on a history, columns ds and y, all of it present and in order.

    Raises ValueError for a model of which a design does not hold everything.
    """
    beyond = beyond_design(model)
    if beyond:
        raise ValueError(f"to be fitted by prophet_map.fit, for a design does not hold {beyond}")
    inputs = model.preprocess(history)
    columns = model.train_component_cols
    holiday = columns["holidays"].to_numpy() > 0 if "holidays" in columns else np.zeros(inputs.K, dtype=bool)
    return Design(
        ds=history["ds"].to_numpy(),
        y=history["y"].to_numpy(dtype=np.float64),
        x=inputs.X.to_numpy(dtype=np.float64),
        names=tuple(inputs.X.columns),
        holiday=holiday,
        defaults={name: getattr(model, name) for name in PARAMETERS},
    )


def beyond_design(model: Prophet) -> str:
    """What a model has that its windows would not do as Prophet does, or the empty text."""
    holidays = model.holidays
    found = {
        "its extra regressors": model.extra_regressors,
        "its own seasonalities": model.seasonalities,
        "its own changepoints": model.specified_changepoints,
        "the mode of its holidays": model.holidays_mode != model.seasonality_mode,
        "the prior scales of its holidays": holidays is not None and "prior_scale" in holidays,
        "its scaling": model.scaling != "absmax",
        "its growth": model.growth == "logistic",
        "its samples": model.mcmc_samples,
    }
    return ", ".join(name for name, is_there in found.items() if is_there)
