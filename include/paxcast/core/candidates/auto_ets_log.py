"""ETS with damped trend and additive season, on log(y + a tenth of the mean): growth and season as factors.

The tenth keeps quiet months of small airports from ruling the logarithm; it was the best of 0.01 to 0.2 of the mean.
"""

import numpy as np

from paxcast.core import calendar, classical
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Array, Forecaster
from paxcast.core.series import Series

OFFSET = 0.1  # of the mean


def method(series: Series) -> Forecaster:
    """Weeks: of what STL leaves, because ETS cannot hold 52 seasons. Days: the week alone. Needs two seasons."""
    frequency, season = series.frequency, calendar.frequency(series.frequency).season
    classical.need(series, 2 * season, "auto_ets_log")

    def on_logs(x: Array) -> Forecaster:
        if frequency == "W":
            trend_only = "AAN"
            return classical.deseasonalised(
                x, frequency, lambda rest: classical.ets(rest, 1, trend_only, damped=True), logs=False
            )
        return classical.ets(classical.recent(x, frequency), season, "AAA", damped=True)

    def back(logs: Array) -> Array:
        return np.asarray(np.maximum(np.exp(logs) - OFFSET, 0.0))

    def model(z: Array) -> Forecaster:
        forecaster = on_logs(np.log(z + OFFSET))
        return classical.changed(forecaster, lambda horizon: back(forecaster(horizon)), back)

    return classical.scaled(series, model)


CANDIDATES: tuple[Candidate, ...] = (Method("auto_ets_log", 0.01, method, "statsforecast AutoETS"),)
