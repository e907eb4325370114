"""What a text says: dates, instants, numbers and addresses, read as people write them and never guessed at."""

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from paxcast.core.errors import ConfigurationError

YEARS = (1900, 2200)  # the first and the last year of any date; what lies outside is a typing error

_TIME = r"([0-9]{2}:[0-9]{2})(?::[0-9]{2}(?:[.,][0-9]+)?)? ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
ISO = rf"^([0-9]{{4}})(-?)([0-9]{{2}})(?:\2([0-9]{{2}})(?:[T ]{_TIME})?)?$"
_DIGITS = r"(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)"
_NUMBER = rf"[+-]?(?:{_DIGITS}(?:e[+-]?[0-9]+)?|nan|inf|infinity)"


def without_user(address: str) -> str:
    """An address as it may be shown, and as `urlopen` takes it: without the user and password that may be in it."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else address


def check_date_format(date_format: str) -> None:
    """Raises ConfigurationError for what is no strptime format of a whole date."""
    if not re.search("%[YyG]", date_format):
        raise ConfigurationError(f"source.date_format: {date_format!r} has no year; write it like %d/%m/%Y")
    try:
        datetime.strptime("", date_format)
    except ValueError as err:
        if not str(err).startswith("time data"):  # that only says that '' is no date
            raise ConfigurationError(f"source.date_format: {err}; write it like %d/%m/%Y") from err


def moments(dates: "pd.Series[str]", date_format: str | None) -> pd.DatetimeIndex:
    """The local date and time of each text as written; NaT for what no rule reads without guessing."""
    if date_format is None:
        return _iso(dates)
    read = pd.Series([_strptime(date, date_format) for date in dates], dtype=object)
    own = pd.DatetimeIndex(pd.to_datetime(read, errors="coerce")).as_unit("ns")
    if re.search("%Y.*%d.*%m", date_format):
        return own  # 2013-02-01 would be either, by the day it happens to name
    # Publishers change style between years: an ISO date with dashes is no guess beside any other format.
    return own.where(own.notna(), _iso(_dashed(dates)))


def outside_years(dates: "pd.Series[str]", date_format: str | None) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which texts name a year that is not one of YEARS. [N]"""
    years = _iso_years(dates if date_format is None else _dashed(dates))
    if date_format is not None:
        read = [_strptime(date, date_format) for date in dates]
        years = np.array(
            [year if day is None else day.year for day, year in zip(read, years, strict=True)], dtype=float
        )
    return (years < YEARS[0]) | (years > YEARS[1])


def _iso_years(dates: "pd.Series[str]") -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return pd.to_numeric(dates.str.extract(ISO)[0]).to_numpy(dtype=np.float64)


def _dashed(dates: "pd.Series[str]") -> "pd.Series[str]":
    return dates.where(dates.str.slice(4, 5) == "-", "")


def _iso(dates: "pd.Series[str]") -> pd.DatetimeIndex:
    parts = dates.str.extract(ISO).astype(object)
    day = parts[0] + "-" + parts[2] + "-" + parts[3].fillna("01")
    texts = day + " " + parts[4].fillna("00:00")
    return pd.DatetimeIndex(pd.to_datetime(texts, format="%Y-%m-%d %H:%M", errors="coerce")).as_unit("ns")


def _strptime(date: str, date_format: str) -> datetime | None:
    try:
        return datetime.strptime(date, date_format).replace(tzinfo=None)
    except ValueError:
        return None


def instants(texts: "pd.Series[str]") -> pd.DatetimeIndex:
    """The UTC instant of each text. A bare date is known when that day has ended, as in `--as-of`."""
    whole = texts.str.fullmatch(ISO) & (texts.str.len() >= len("20130131"))
    legible = texts.where(whole & ~outside_years(texts, None), "")
    read = pd.DatetimeIndex(pd.to_datetime(legible, format="ISO8601", utc=True, errors="coerce")).as_unit("ns")
    return read.where(texts.str.len() > len("2013-01-31"), read + pd.Timedelta(days=1))


def numbers(texts: "pd.Series[str]", decimal: str) -> "pd.Series[Any]":
    """The number in each text [N]. Missing is: no number. NaN is a number that says nan: quality judges that."""
    pattern = _NUMBER.replace("{point}", re.escape(decimal))
    legible = texts.str.fullmatch(pattern, flags=re.IGNORECASE | re.ASCII).to_numpy(dtype=bool)
    values = texts.where(legible, "nan").str.replace(decimal, ".", regex=False).to_numpy().astype(np.float64)
    return pd.Series(pd.arrays.FloatingArray(values + 0.0, ~legible), index=texts.index)
