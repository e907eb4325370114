"""The panel that drift is told from: of each airport and cycle how far forecasts were off, in what was expected."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """A airports, T cycles. A residual is (y - yhat) / spread, spread the standard deviation that the forecast's 80 %
    interval stands for; NaN where there is nothing to compare."""

    airports: tuple[str, ...]  # [A], sorted
    cycles: tuple[str, ...]  # [T], the ISO start of each cycle's last period, oldest first
    residual: Array  # [A, T] mean of the cycle's actuals
    loss: Array  # [A, T] mean size of the residuals
    outside: Array  # [A, T] share of the cycle's actuals outside the 80 % interval
    live: npt.NDArray[np.bool_]  # [A, T] of a published forecast; else of a fold of its model
