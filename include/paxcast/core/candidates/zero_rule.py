"""Zero rule: the mean of the whole history for ever. A baseline of evaluations, for no default list."""

import numpy as np

from paxcast.core.candidates import Candidate
from paxcast.core.candidates.refit import Method
from paxcast.core.classical import Forecaster
from paxcast.core.series import Series


def method(series: Series) -> Forecaster:
    mean = float(np.mean(series.y))
    return lambda horizon: np.full(horizon, mean)


CANDIDATES: tuple[Candidate, ...] = (Method("zero_rule", 0.0001, method),)
