"""AutoTheta: of the four Theta models the one with the lowest error, on a history without its seasons.

statsforecast's own removal of seasons is not used: it takes one season for all years, and had twice the error.
"""

from paxcast.core import calendar, classical
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Array, Forecaster
from paxcast.core.series import Series

MODEL = None


def method(series: Series) -> Forecaster:
    """In logarithms where no value comes near zero. Needs two seasons; without two years the level alone."""
    frequency = series.frequency
    classical.need(series, 2 * calendar.frequency(frequency).season, "auto_theta")

    def on_rest(rest: Array) -> Forecaster:
        if classical.trendless(rest, frequency):
            return classical.ets(classical.recent(rest, frequency), 1, "ANN")
        return classical.theta(classical.recent(rest, frequency), MODEL)

    return classical.scaled(series, lambda z: classical.deseasonalised(z, frequency, on_rest, logs=True))


CANDIDATES: tuple[Candidate, ...] = (Method("auto_theta", 0.004, method, "statsforecast AutoTheta"),)
