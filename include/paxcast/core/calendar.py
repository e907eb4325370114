"""Periods and instants: when a period ends, when it is known, how a date given by a user is read.

Frequencies are pandas' names: `D` (days), `W` (weeks, which keep the weekday they come with), `MS` (calendar months).
A period is named by its start, a naive local date. An instant is a pandas Timestamp in UTC.
"""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from paxcast.core.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Frequency:
    """What a frequency implies. All counts are in periods of that frequency."""

    code: str
    season: int  # the season that the scale of MASE and seasonal naive use
    year: int  # about one year: folds at the same season of earlier years
    horizon: int  # default forecast length
    min_periods: int  # default shortest history that is forecast at all
    shortest_train: int  # no fold trains on fewer
    max_gap: int  # default longest run of missing periods
    max_stale: int  # default age of the newest observation


FREQUENCIES = {
    "D": Frequency("D", season=7, year=364, horizon=28, min_periods=14, shortest_train=56, max_gap=28, max_stale=14),
    "W": Frequency("W", season=52, year=52, horizon=13, min_periods=52, shortest_train=78, max_gap=8, max_stale=4),
    "MS": Frequency("MS", season=12, year=12, horizon=12, min_periods=12, shortest_train=24, max_gap=6, max_stale=3),
}


DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}")


def frequency(code: str) -> Frequency:
    """The frequency of that code. Raises ConfigurationError for an unknown one."""
    if code not in FREQUENCIES:
        raise ConfigurationError(f"source.frequency: '{code}' is not one of {', '.join(FREQUENCIES)}; use one of these")
    return FREQUENCIES[code]


def period_end(ds: "pd.Series[pd.Timestamp]", code: str) -> "pd.Series[pd.Timestamp]":
    """The instant (UTC) at which each period that starts at `ds` has ended."""
    naive = pd.Series(pd.DatetimeIndex(shift(ds, 1, code)), index=ds.index)
    return naive.dt.tz_localize("UTC")


def shift(ds: "pd.Series[pd.Timestamp] | pd.DatetimeIndex", periods: int, code: str) -> pd.DatetimeIndex:
    """Each period start moved by a number of periods."""
    index = pd.DatetimeIndex(ds)
    if code == "MS":
        months = index.to_numpy().astype("datetime64[M]") + np.timedelta64(periods, "M")
        return pd.DatetimeIndex(months.astype("datetime64[ns]"))
    return index + pd.Timedelta(days=periods * (7 if code == "W" else 1))


def next_periods(last: pd.Timestamp, count: int, code: str) -> pd.DatetimeIndex:
    """The starts of the `count` periods after the one that starts at `last`."""
    return full_grid(last, shift(pd.DatetimeIndex([last]), count, code)[0], code)[1:]


def full_grid(first: pd.Timestamp, last: pd.Timestamp, code: str) -> pd.DatetimeIndex:
    """Every period start from `first` to `last`, both included."""
    if code == "W":
        return pd.date_range(first, last, freq="7D")
    return pd.date_range(first, last, freq=code)


def off_grid(ds: pd.DatetimeIndex, code: str) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which of one airport's period starts are none on the grid of the others. [N]

    Days: those not at midnight; months: those not on the first; weeks: those on another weekday than most of them (of
    weekdays that are as frequent, the one that came first).
    """
    wrong = ds != ds.normalize()
    if code == "MS":
        wrong |= ds.day != 1
    if code == "W" and len(ds):
        usual = pd.Series(ds.dayofweek).value_counts(sort=False).idxmax()
        wrong |= ds.dayofweek != usual
    return np.asarray(wrong, dtype=bool)


def period_number(ds: "pd.Series[pd.Timestamp]", code: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """A running number of each period, so that neighbouring periods differ by one. [N]"""
    values = pd.DatetimeIndex(ds).to_numpy()
    if code == "MS":
        return values.astype("datetime64[M]").astype(np.int64)
    days = values.astype("datetime64[D]").astype(np.int64)
    return days // 7 if code == "W" else days


def infer_frequency(airport: "pd.Series[str]", ds: "pd.Series[pd.Timestamp]") -> str:
    """The frequency of a whole fleet, from the most common step between neighbouring dates of one airport.

    Raises ConfigurationError when the steps fit none of D, W, MS: then the fleet must state `source.frequency`.
    """
    frame = pd.DataFrame({"airport": airport, "ds": ds}).drop_duplicates().sort_values(["airport", "ds"])
    steps = frame.groupby("airport")["ds"].diff().dropna().dt.days
    if steps.empty:
        raise ConfigurationError("source.frequency: every airport has one date only; state D, W or MS")
    common = int(steps.mode().iloc[0])
    if common == 1:
        return "D"
    if common == 7:
        return "W"
    if 28 <= common <= 31:
        return "MS"
    raise ConfigurationError(
        f"source.frequency: the most common step between dates is {common} days, which is neither daily, weekly nor "
        "monthly; state D, W or MS, or aggregate the data first"
    )


def parse_as_of(text: str) -> pd.Timestamp:
    """The instant (UTC, whole seconds) up to which data counts as known. A bare date means the end of that day.

    Raises ConfigurationError when the text does not begin with a whole ISO date: pandas alone would take 01/02/2018 for
    a day in January, 2018-12 for its first day, and `today` for the clock.
    """
    written = text.strip()
    try:
        if not DATE.match(written):
            raise ValueError(written)
        stamp = pd.Timestamp(written).as_unit("ns").floor("s")
        if DATE.fullmatch(written):
            stamp += pd.Timedelta(days=1)
        return stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
    except (ValueError, OverflowError) as err:
        raise ConfigurationError(f"as_of: '{text}' is not a date; write it as 2018-12-31") from err


def as_of_text(as_of: pd.Timestamp) -> str:
    """How an instant is written: the day whose end it is, or the full instant. `parse_as_of` reads it back."""
    if as_of == as_of.normalize():
        return str((as_of - pd.Timedelta(days=1)).date())
    return as_of.strftime("%Y-%m-%dT%H:%M:%SZ")
