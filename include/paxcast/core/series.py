"""One airport's regular series: what candidates are fitted on, once treatment has made it so (`treatment`)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar


@dataclass(frozen=True, slots=True)
class Series:
    """A regular series. `ds`: [T] period starts (datetime64[ns]), `y`: [T] traffic, both without gaps."""

    airport: str
    frequency: str
    ds: npt.NDArray[np.datetime64]
    y: npt.NDArray[np.float64]

    def head(self, periods: int) -> "Series":
        """The first `periods` observations: what a fold may train on."""
        return Series(self.airport, self.frequency, self.ds[:periods], self.y[:periods])

    def tail(self, periods: int) -> "Series":
        """The last `periods` observations."""
        return Series(self.airport, self.frequency, self.ds[-periods:], self.y[-periods:])

    def dates(self) -> pd.DatetimeIndex:
        """The period starts, as pandas has them."""
        return pd.DatetimeIndex(self.ds)

    def next_periods(self, horizon: int) -> pd.DatetimeIndex:
        """The period starts of the `horizon` steps after the last observation."""
        return calendar.next_periods(pd.Timestamp(self.ds[-1]), horizon, self.frequency)
