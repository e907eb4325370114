"""AutoETS: exponential smoothing with additive errors and season; the trend (none, linear, damped) chosen by AICc.

All forms (ZZZ) cost three times as much on months and gained nothing: MASE 1.30 against 1.25 on French airports.
Hyndman et al., "A state space framework for automatic forecasting using exponential smoothing methods", 2002.
"""

from paxcast.core import calendar, classical
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Array, Forecaster
from paxcast.core.series import Series


def method(series: Series) -> Forecaster:
    """Weeks: of what STL leaves, because ETS cannot hold 52 seasons. Days: the week alone. Needs two seasons."""
    frequency, season = series.frequency, calendar.frequency(series.frequency).season
    classical.need(series, 2 * season, "auto_ets")

    def model(z: Array) -> Forecaster:
        if frequency == "W":
            return classical.deseasonalised(z, frequency, lambda rest: classical.ets(rest, 1, "AZN"), logs=False)
        return classical.ets(classical.recent(z, frequency), season, "AZA")

    return classical.scaled(series, model)


CANDIDATES: tuple[Candidate, ...] = (Method("auto_ets", 0.02, method, "statsforecast AutoETS"),)
