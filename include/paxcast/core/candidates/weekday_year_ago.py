"""The same weekday a year ago, scaled to the recent level; for months, the same month and half of that change."""

import numpy as np

from paxcast.core import calendar
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Forecaster
from paxcast.core.errors import FitFailed
from paxcast.core.series import Series

RECENT = {"D": 28, "W": 4, "MS": 6}  # periods that the level is taken from
DAMPING = {"D": 1.0, "W": 1.0, "MS": 0.5}  # a power of the ratio: twelve months ahead not all of a change lasts
LOWEST, HIGHEST = 0.2, 5.0


def method(series: Series) -> Forecaster:
    """y[T-year+i] times (mean(recent) / mean(the same periods a year before)) ** d, that ratio within 0.2 and 5.

    A year is 364 days, 52 weeks or 12 months. Raises FitFailed where the recent periods have no year before them.
    """
    y, year, recent = series.y, calendar.frequency(series.frequency).year, RECENT[series.frequency]
    if len(y) < year + recent:
        raise FitFailed(f"{series.airport}: weekday_year_ago needs {year + recent} periods, and there are {len(y)}")
    factor = ratio(float(np.mean(y[-recent:])), float(np.mean(y[-year - recent : -year])))
    factor **= DAMPING[series.frequency]
    return lambda horizon: np.resize(y[-year:] * factor, horizon)


def ratio(now: float, before: float) -> float:
    """How many times as high the level is now, within bounds. What stood still both times has not changed."""
    if before <= 0:
        return HIGHEST if now > 0 else 1.0
    return min(max(now / before, LOWEST), HIGHEST)


CANDIDATES: tuple[Candidate, ...] = (Method("weekday_year_ago", 0.0001, method),)
