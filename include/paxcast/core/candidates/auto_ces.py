"""Complex exponential smoothing, without season or with a full one, whichever AICc prefers.

The form with a partial season, which statsforecast tries too, had an error a quarter higher on French airports.
"""

from paxcast.core import calendar, classical
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Array, Forecaster
from paxcast.core.series import Series


def method(series: Series) -> Forecaster:
    """Weeks: of what STL leaves. Days: the week alone. Needs two seasons."""
    frequency, season = series.frequency, calendar.frequency(series.frequency).season
    classical.need(series, 2 * season, "auto_ces")

    def model(z: Array) -> Forecaster:
        if frequency == "W":
            return classical.deseasonalised(z, frequency, lambda rest: classical.ces(rest, 1, "N"), logs=False)
        return classical.ces(classical.recent(z, frequency), season, "NF")

    return classical.scaled(series, model)


CANDIDATES: tuple[Candidate, ...] = (Method("auto_ces", 0.002, method, "statsforecast AutoCES"),)
