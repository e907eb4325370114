"""Seasonal naive with damped growth: last year's values, plus half of what the yearly mean has grown by."""

import numpy as np

from paxcast.core import calendar
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Forecaster
from paxcast.core.series import Series

DAMPING = 0.5


def method(series: Series) -> Forecaster:
    """y[T-year+i] + 0.5 (mean y[T-year:T] - mean y[T-2year:T-year]); no growth where there are no two years.

    A year is 12 months, 52 weeks or 364 days. Days of no more than a year repeat the last week; any history shorter
    than a season repeats itself.
    """
    y, frequency = series.y, calendar.frequency(series.frequency)
    year = frequency.year if len(y) > frequency.year else frequency.season
    growth = 0.0
    if len(y) >= 2 * frequency.year:
        growth = DAMPING * float(np.mean(y[-year:]) - np.mean(y[-2 * year : -year]))
    return lambda horizon: np.resize(y[-year:] + growth, horizon)


CANDIDATES: tuple[Candidate, ...] = (Method("seasonal_growth", 0.0001, method),)
