"""Series to measure on: real airports, monthly and daily, and generated ones where real ones are too short.

The monthly airports are statistics of France's DGAC, which the project does not carry: they are read from
$PAXCAST_SHARED_DATA, by default ../shared/data beside the project.
"""

import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.tseries.holiday import USFederalHolidayCalendar

from paxcast.adapters.sources.nycflights13 import NycFlights13Source
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.series import Series
from paxcast.core.treatment import on_grid

PROJECT = Path(__file__).resolve().parents[1]
DGAC = "dgac_france_monthly.parquet"
UNTIL, JUDGED_BEFORE = "2018-12-31", "2018-01-01"
MONTHS, PASSENGERS = 108, 5000

Array = npt.NDArray[np.float64]


def dgac(limit: int) -> list[Series]:
    """Monthly passengers of up to `limit` French airports, of all sizes, up to December 2018; absent months are zero.

    Those with at least 108 months and on average 5,000 passengers before 2018: of these, ordered by their traffic,
    every so manyth. Empty, with a word on stderr, where the file is absent.
    """
    path = Path(os.environ.get("PAXCAST_SHARED_DATA") or PROJECT.parent / "shared" / "data") / DGAC
    if not path.exists():
        sys.stderr.write(f"{path} is absent: no monthly airports. Set PAXCAST_SHARED_DATA to the folder that has it\n")
        return []
    rows = pd.read_parquet(path, columns=["airport", "date", "passengers"])
    rows = rows.rename(columns={"airport": AIRPORT, "date": DS, "passengers": Y})
    rows = rows[rows[DS] <= UNTIL].astype({DS: "datetime64[ns]"})
    before = rows[rows[DS] < JUDGED_BEFORE].groupby(AIRPORT)[Y].agg(["size", "mean"])
    fit = before[(before["size"] >= MONTHS) & (before["mean"] >= PASSENGERS)].sort_values("mean", ascending=False)
    return [_regular(rows, airport, "MS") for airport in _spread(list(fit.index), limit)]


def nycflights(limit: int) -> list[Series]:
    """Daily flights of 2013 from New York to up to `limit` airports with flights on all 365 days, of all sizes."""
    rows = NycFlights13Source().read().rows
    flights = rows.groupby(AIRPORT)[Y].agg(["size", "sum"])
    whole = flights[flights["size"] == 365].sort_values("sum", ascending=False, kind="stable")
    return [_regular(rows, airport, "D") for airport in _spread(list(whole.index), limit)]


def daily(count: int, years: int, seed: int) -> list[Series]:
    """Generated daily traffic of `count` airports from 2010 on; the same numbers for the same number and seed.

    traffic = level * trend * year * week * holidays * shift * noise, rounded to whole passengers:
    level       the average, 300 to 30,000 a day, evenly in the logarithm
    trend       exp of a line with a new slope about every two years, slopes spread by 5 % a year
    year, week  a summer peak of 10 to 40 % with a half-year wave; weekdays that differ by 5 to 20 %, multiplicative
    holidays    US federal holidays and the day before: 10 to 50 % less or more
    shift       from one day on, in the middle half, 10 to 40 % less or more for good
    noise       lognormal, 3 to 12 %
    """
    ds = pd.date_range("2010-01-01", periods=round(365.25 * years), freq="D")
    return [_generated(f"G{i:03d}", ds, np.random.default_rng([seed, i])) for i in range(count)]


def _generated(airport: str, ds: pd.DatetimeIndex, rng: np.random.Generator) -> Series:
    level = np.exp(rng.uniform(np.log(300), np.log(30_000)))
    waves = _trend(ds, rng) * _year(ds, rng) * _week(ds, rng) * _holidays(ds, rng) * _shift(ds, rng)
    noise = rng.lognormal(0, rng.uniform(0.03, 0.12), len(ds))
    return Series(airport, "D", ds.to_numpy().astype("datetime64[ns]"), np.round(level * waves * noise))


def _trend(ds: pd.DatetimeIndex, rng: np.random.Generator) -> Array:
    years = np.arange(len(ds)) / 365.25
    turns = np.sort(rng.uniform(0, years[-1], rng.poisson(years[-1] / 2)))
    slopes = rng.normal(0.02, 0.05, len(turns) + 1)
    line = slopes[0] * years
    for turn, change in zip(turns, np.diff(slopes), strict=True):
        line = line + change * np.maximum(years - turn, 0)
    return np.asarray(np.exp(line))


def _year(ds: pd.DatetimeIndex, rng: np.random.Generator) -> Array:
    angle = 2 * np.pi * (ds.dayofyear.to_numpy() - 205) / 365.25  # late in July
    return np.asarray(1 + rng.uniform(0.1, 0.4) * np.cos(angle) + rng.uniform(-0.1, 0.1) * np.cos(2 * angle))


def _week(ds: pd.DatetimeIndex, rng: np.random.Generator) -> Array:
    return np.asarray(1 + rng.normal(0, rng.uniform(0.05, 0.2), 7).clip(-0.5, 0.5)[ds.dayofweek.to_numpy()])


def _holidays(ds: pd.DatetimeIndex, rng: np.random.Generator) -> Array:
    days = USFederalHolidayCalendar().holidays(ds[0], ds[-1] + pd.Timedelta(days=1))
    on, before = rng.choice([-1, 1], 2) * rng.uniform(0.1, 0.5, 2)
    return np.asarray((1 + on * ds.isin(days)) * (1 + before * ds.isin(days - pd.Timedelta(days=1))))


def _shift(ds: pd.DatetimeIndex, rng: np.random.Generator) -> Array:
    begin = rng.integers(len(ds) // 4, 3 * len(ds) // 4)
    return np.asarray(1 + rng.choice([-1, 1]) * rng.uniform(0.1, 0.4) * (np.arange(len(ds)) >= begin))


def _regular(rows: pd.DataFrame, airport: str, frequency: str) -> Series:
    raw = on_grid(airport, rows.loc[rows[AIRPORT] == airport, [DS, Y]], frequency)
    return Series(airport, frequency, raw.ds, np.nan_to_num(raw.y))


def _spread(ordered: list[str], limit: int) -> list[str]:
    """Up to `limit` of a list, at even distances, the first and the last among them."""
    if limit >= len(ordered):
        return ordered
    return [ordered[at] for at in np.linspace(0, len(ordered) - 1, limit).round().astype(int)]
