"""One airport's history made regular: every period present, short gaps filled, each step on record."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import DS, Y


@dataclass(frozen=True, slots=True)
class Series:
    """A regular series. `ds`: [T] period starts (datetime64[ns]), `y`: [T] traffic, both without gaps."""

    airport: str
    frequency: str
    ds: npt.NDArray[np.datetime64]
    y: npt.NDArray[np.float64]
    filled: int = 0  # periods that were absent and were filled

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


def regular(airport: str, rows: pd.DataFrame, frequency: str, absent: str) -> Series:
    """The regular series of one validated airport. rows: columns ds, y, one row a period or several that are equal.

    An absent period means zero traffic if the source says so (`absent="zero"`), else it is interpolated linearly.
    Raises ValueError for what validation would have quarantined: a row off the grid, two values for a period.
    """
    known = rows[[DS, Y]].drop_duplicates().sort_values(DS).set_index(DS)[Y].astype(float)
    _check_periods(airport, pd.DatetimeIndex(known.index), frequency)
    grid = calendar.full_grid(known.index[0], known.index[-1], frequency)
    full = known.reindex(grid)
    filled = int(full.isna().sum())
    full = full.fillna(0.0) if absent == "zero" else full.interpolate("linear")
    return Series(
        airport, frequency, grid.to_numpy().astype("datetime64[ns]"), np.asarray(full, dtype=np.float64), filled
    )


def _check_periods(airport: str, ds: pd.DatetimeIndex, frequency: str) -> None:
    for wrong, what in (
        (calendar.off_grid(ds, frequency), f"does not lie on the grid of its periods ({frequency})"),
        (ds.duplicated(), "has more than one value"),
    ):
        if wrong.any():
            raise ValueError(f"{airport}: {ds[wrong][0]:%Y-%m-%d} {what}; validate the history first")
