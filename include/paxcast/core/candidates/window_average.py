"""Window average: the mean of the same period of the last seasons."""

import numpy as np

from paxcast.core import calendar
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Forecaster
from paxcast.core.series import Series

SEASONS = {"D": 4, "W": 3, "MS": 3}  # the last four weeks, or three years


def method(series: Series) -> Forecaster:
    """The mean of y[T-season+i], y[T-2season+i], ...: as many as there are. Less than a season repeats itself."""
    y, season = series.y, min(calendar.frequency(series.frequency).season, len(series.y))
    last = [np.mean(y[len(y) - season + i :: -season][: SEASONS[series.frequency]]) for i in range(season)]
    return lambda horizon: np.resize(np.array(last), horizon)


CANDIDATES: tuple[Candidate, ...] = (Method("window_average", 0.0001, method),)
