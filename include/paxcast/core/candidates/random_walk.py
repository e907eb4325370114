"""Random walk: the last value for ever. A baseline of evaluations, for no default list."""

import numpy as np

from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Forecaster, Told
from paxcast.core.series import Series


def method(series: Series) -> Forecaster:
    last = float(series.y[-1])
    return Told(lambda horizon: np.full(horizon, last), series.y[:-1])


CANDIDATES: tuple[Candidate, ...] = (Method("random_walk", 0.0001, method),)
