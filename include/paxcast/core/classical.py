"""What the classical candidates share: a history on its own scale, its seasons taken off, statsforecast's models.

    y ──> z = y / mean ──> seasons taken off by STL (in logs where z stays above zero) ──> a model ──> and back

On its own scale a history in passengers and one in thousands of them are the same numbers to the model, which are
found four times as fast there: the optimisers begin at 0.5 and end at a fixed tolerance.

STL: Cleveland et al., "STL: A Seasonal-Trend Decomposition Procedure Based on Loess", 1990; for two seasons in turns:
Bandara et al., "MSTL", 2021. Its seasons may change over the years. Those of statsforecast's Theta may not, which
doubled its error on airports with a long history.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from paxcast.core.errors import FitFailed
from paxcast.core.series import Series

Array = npt.NDArray[np.float64]
Forecaster = Callable[[int], Array]  # horizon -> the next [H] periods
DIGITS = 10  # of z: what is left of the unit in the last bits would steer an optimiser to another stop
LOG_ABOVE = 0.02  # of the mean: histories that come nearer to zero are decomposed as they are
TURNS = 2  # of MSTL
MOST = 3.0  # times the largest value
RECENT_DAYS = 728  # two years: the week is learnt from no more, and a model's cost grows with every day


@dataclass(frozen=True, slots=True)
class Season:
    """`window`: how many seasons STL's loess reaches over, odd. `smoothing`: its mean over so many periods, odd."""

    period: int
    window: int
    smoothing: int = 1


# A year has few repetitions, so its days and weeks are smoothed: by a week, by three weeks.
SEASONS = {
    "MS": (Season(12, 7),),
    "W": (Season(52, 7, smoothing=3),),
    "D": (Season(7, 31), Season(365, 15, smoothing=7)),
}


@dataclass(frozen=True, slots=True)
class Told:
    """A forecaster that also tells what it makes of its own past: `inside`, [N], of the last N periods it was made on,
    each as its model fits it (of exponential smoothing and Theta one step ahead)."""

    ahead: Forecaster
    inside: Array

    def __call__(self, horizon: int) -> Array:
        return self.ahead(horizon)


def inside(forecaster: Forecaster) -> Array | None:
    """What a forecaster makes of its own past, see `Told`; None from one that does not tell."""
    return forecaster.inside if isinstance(forecaster, Told) else None


def changed(forecaster: Forecaster, ahead: Forecaster, back: Callable[[Array], Array]) -> Forecaster:
    """`ahead`, a forecaster made of another one, and of its past what `back` makes of that one's, [N]."""
    past = inside(forecaster)
    return ahead if past is None else Told(ahead, back(past))


def scaled(series: Series, model: Callable[[Array], Forecaster]) -> Forecaster:
    """`model` made on z, [T] around 1, and its forecasts in traffic. A history that never changes goes on so.

    No forecast is further from zero than three times the largest value so far: a few models explode on odd histories.
    """
    level = float(np.mean(np.abs(series.y)))
    z = np.round(series.y / level, DIGITS) if level > 0 else np.zeros(len(series.y))
    if not np.isfinite(level) or not np.isfinite(z).all():
        raise FitFailed(f"{series.airport}: a mean of {level:g} is no scale; state the traffic in another unit")
    if np.all(z == z[0]):
        last = float(series.y[-1])
        return lambda horizon: np.full(horizon, last)
    forecaster, most = model(z), MOST * float(np.max(np.abs(z)))
    return changed(
        forecaster,
        lambda horizon: level * np.clip(forecaster(horizon), -most, most),
        lambda past: level * np.clip(past, -most, most),
    )


def need(series: Series, periods: int, name: str) -> None:
    """Raises FitFailed where there are fewer."""
    if len(series.y) < periods:
        raise FitFailed(f"{series.airport}: {name} needs {periods} periods, and there are {len(series.y)}")


def recent(x: Array, frequency: str) -> Array:
    """What the model of a level or a week is made of: the last two years of days, all weeks and months."""
    return x[-RECENT_DAYS:] if frequency == "D" else x


def trendless(z: Array, frequency: str) -> bool:
    """Whether a history is shorter than two years: what looks like its trend may be its season."""
    return len(z) < 2 * max(season.period for season in SEASONS[frequency])


def deseasonalised(z: Array, frequency: str, model: Callable[[Array], Forecaster], *, logs: bool) -> Forecaster:
    """`model` made on z without its seasons, which each go on as the last one was.

    logs: in logarithms where z allows it, the seasons as factors. Days have the yearly season from two years on.
    """
    logs = logs and float(z.min()) > LOG_ABOVE
    seasons = [s for s in SEASONS[frequency] if len(z) >= 2 * s.period]
    rest = np.log(z) if logs else z
    cycles, taken = [], np.zeros(len(z))
    for season, values in zip(seasons, decomposed(rest, seasons), strict=True):
        rest, taken = rest - values, taken + values
        cycles.append(values[-season.period :])
    forecaster = model(rest)

    def forecast(horizon: int) -> Array:
        values = forecaster(horizon) + sum(np.resize(cycle, horizon) for cycle in cycles)
        return np.exp(values) if logs else values

    def back(past: Array) -> Array:
        values = past + taken[len(taken) - len(past) :]
        return np.exp(values) if logs else values

    return changed(forecaster, forecast, back)


def decomposed(x: Array, seasons: list[Season]) -> list[Array]:
    """Each season's part of x, [T] each: STL on what the others leave, in turns; one turn where it is alone."""
    from statsmodels.tsa.seasonal import STL  # type: ignore[import-untyped]

    parts = [np.zeros(len(x)) for _ in seasons]
    for _ in range(TURNS if len(seasons) > 1 else 1):
        for at, season in enumerate(seasons):
            others = sum((part for i, part in enumerate(parts) if i != at), start=np.zeros(len(x)))
            # Loess at every 20th day of a yearly season's trend, straight between: as good, and ten times as fast.
            jump = 1 if season.period < 100 else 20
            fit = STL(
                smooth(x - others, season.smoothing),
                period=season.period,
                seasonal=season.window,
                seasonal_deg=0,
                trend_jump=jump,
                low_pass_jump=jump,
            ).fit()
            parts[at] = np.asarray(fit.seasonal, dtype=np.float64)
    return parts


def smooth(x: Array, width: int) -> Array:
    """The centred mean over `width` periods, an odd number; the ends see their outermost value repeated. [T]"""
    padded = np.pad(x, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def ets(z: Array, season: int, model: str, *, damped: bool | None = None) -> Forecaster:
    """AutoETS. model: error, trend and season, each A (additive), M, N (none) or Z (chosen by AICc)."""
    from statsforecast.models import AutoETS

    return _told(AutoETS(season_length=season, model=model, damped=damped).fit(z))


def theta(rest: Array, model: str | None) -> Forecaster:
    """A Theta model of a history without season: STM, OTM, DSTM, DOTM, or the best of them (None).

    Fiorucci et al., "Models for optimising the theta method", 2016.
    """
    from statsforecast.models import AutoTheta

    # Its search begins at half the first value and looks in proportion to it: a rest around zero (logs) is no start.
    raised = 1.0 - float(np.floor(rest.min()))
    fitted = _told(AutoTheta(season_length=1, model=model).fit(rest + raised))
    return changed(fitted, lambda horizon: fitted(horizon) - raised, lambda past: past - raised)


def ces(z: Array, season: int, models: str) -> Forecaster:
    """Complex exponential smoothing, of the kinds in `models` (N: no season, F: full season) the one of lowest AICc.

    Svetunkov et al., "Complex exponential smoothing", 2022.
    """
    from statsforecast.models import AutoCES

    fits = [AutoCES(season_length=season, model=kind).fit(z) for kind in models]
    # A history that is constant where the model looks has no AICc.
    best = min(fits, key=lambda fit: float(np.nan_to_num(fit.model_.get("aicc", np.inf), nan=np.inf)))
    return _told(best)


def _told(fitted: Any) -> Forecaster:
    """A fitted model of statsforecast. On a few odd histories it keeps nothing of its fit."""
    past = fitted.model_.get("fitted")

    def forecast(horizon: int) -> Array:
        return np.asarray(fitted.predict(horizon)["mean"], dtype=np.float64)

    return forecast if past is None else Told(forecast, np.asarray(past, dtype=np.float64))
