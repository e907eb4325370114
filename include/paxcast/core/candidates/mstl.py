"""MSTL: every season taken off by STL, and exponential smoothing of what is left.

Days: the week and, from two years on, the year. Weeks: the year. Months: the year, as an addend and not as a factor:
equally good there, and less like Theta, so that a combination gains more.
"""

from paxcast.core import calendar, classical
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Array, Forecaster
from paxcast.core.series import Series


def method(series: Series) -> Forecaster:
    """In logarithms, but for months, where no value comes near zero. Needs two seasons; without two years no trend."""
    frequency = series.frequency
    classical.need(series, 2 * calendar.frequency(frequency).season, "mstl")

    def on_rest(rest: Array) -> Forecaster:
        trend = "N" if classical.trendless(rest, frequency) else "Z"
        return classical.ets(classical.recent(rest, frequency), 1, f"A{trend}N")

    return classical.scaled(series, lambda z: classical.deseasonalised(z, frequency, on_rest, logs=frequency != "MS"))


CANDIDATES: tuple[Candidate, ...] = (Method("mstl", 0.004, method, "statsforecast AutoETS"),)
