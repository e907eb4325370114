"""One airport's observations on its whole grid, as they came: what treatment starts from."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import DS, Y

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Raw:
    """`ds`: [T] period starts without a gap (datetime64[ns]), `y`: [T] traffic, NaN where nothing was observed."""

    airport: str
    frequency: str
    ds: npt.NDArray[np.datetime64]
    y: Array

    def head(self, periods: int) -> "Raw":
        """The first `periods`: all that a fold with that cutoff may know."""
        return Raw(self.airport, self.frequency, self.ds[:periods], self.y[:periods])


def on_grid(airport: str, rows: pd.DataFrame, frequency: str) -> Raw:
    """The raw grid of one validated airport, from its first period to its last.

    rows: columns ds, y, one row a period or several that are equal. What an absent period means is not decided here
    (`Rules.absent`). Raises ValueError for what validation would have quarantined: a row off the grid, two values for
    a period.
    """
    known = rows[[DS, Y]].drop_duplicates().sort_values(DS).set_index(DS)[Y].astype(float)
    _check_periods(airport, pd.DatetimeIndex(known.index), frequency)
    grid = calendar.full_grid(known.index[0], known.index[-1], frequency)
    y = np.asarray(known.reindex(grid), dtype=np.float64)
    return Raw(airport, frequency, grid.to_numpy().astype("datetime64[ns]"), y)


def _check_periods(airport: str, ds: pd.DatetimeIndex, frequency: str) -> None:
    for wrong, what in (
        (calendar.off_grid(ds, frequency), f"does not lie on the grid of its periods ({frequency})"),
        (ds.duplicated(), "has more than one value"),
    ):
        if wrong.any():
            raise ValueError(f"{airport}: {ds[wrong][0]:%Y-%m-%d} {what}; validate the history first")
