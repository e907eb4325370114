"""Calendar adjustment: how much of a month's traffic is due to its having 28 or 31 days, or few working days.

A history is divided by these factors before fitting, and the forecast multiplied by those of its own periods.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.treatment.public_holidays import holidays_of
from paxcast.core.treatment.raw import Array

DAYS_IN_MONTH = 30.4375  # 365.25 / 12
WEEKDAYS_SHARE = 5 / 7


def calendar_factors(
    ds: npt.NDArray[np.datetime64], frequency: str, country: str | None = None, *, rest_day: float = 1.0
) -> Array:
    """Each period's length against the average one, in days: for months days / 30.4375, for weeks and days 1. ds: [T]

    With `rest_day`, what a Saturday, a Sunday or (given a country) a public holiday counts of a working day, the days
    of months and weeks are weighted. Single days stay 1: their week is a season, not a length.
    """
    starts = pd.DatetimeIndex(ds)
    if frequency == "D" or not len(starts):
        return np.ones(len(starts))
    ends = calendar.shift(starts, 1, frequency)
    days = np.asarray((ends - starts).days, dtype=np.float64)
    rest = _rest_days(starts, ends, country) if rest_day != 1.0 else np.zeros(len(days))
    usual = (DAYS_IN_MONTH if frequency == "MS" else 7.0) * (WEEKDAYS_SHARE + (1 - WEEKDAYS_SHARE) * rest_day)
    return np.asarray((days - (1 - rest_day) * rest) / usual, dtype=np.float64)


def _rest_days(starts: pd.DatetimeIndex, ends: pd.DatetimeIndex, country: str | None) -> Array:
    """How many days of each period are a Saturday, a Sunday or a public holiday. [T]"""
    days = pd.date_range(starts[0], ends[-1], inclusive="left")
    rest = np.asarray(days.dayofweek >= 5)
    if country is not None:
        rest = rest | np.asarray(days.isin(holidays_of(country, range(days[0].year, days[-1].year + 1))["ds"]))
    before = np.concatenate([[0], np.cumsum(rest)])
    first, last = (np.asarray((at - starts[0]).days) for at in (starts, ends))
    return np.asarray(before[last] - before[first], dtype=np.float64)
