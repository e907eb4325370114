"""Which country an airport lies in, and that country's public holidays. Both come from data in installed packages."""

import importlib
import warnings
from collections.abc import Iterable
from datetime import date
from functools import cache
from typing import Any

import pandas as pd

CODE_LENGTHS = {3: "IATA", 4: "ICAO"}


def country_of(airport: str) -> str | None:
    """The two-letter ISO code of an airport's country, from its IATA or ICAO code; None if the code is unknown."""
    kind = CODE_LENGTHS.get(len(airport))
    if kind is None:
        return None
    known = _airports(kind).get(airport)
    return str(known["country"]) or None if known else None


@cache
def _airports(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = importlib.import_module("airportsdata").load(kind)  # 28,000 airports, where asked for
    return found


def holidays_of(country: str | None, years: Iterable[int]) -> pd.DataFrame:
    """A country's public holidays in those years, by date: columns ds, holiday, the form that Prophet takes.

    Empty for None and for a country that the package `holidays` does not know. Observed days stand for themselves.
    """
    import holidays

    found: dict[date, str] = {}
    if country in holidays.list_supported_countries(include_aliases=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of years that it knows nothing of: there are no holidays then
            found = dict(holidays.country_holidays(country, years=sorted(set(years)), language="en_US"))
    days = sorted(found)
    return pd.DataFrame({"ds": pd.DatetimeIndex(days).astype("datetime64[ns]"), "holiday": [found[d] for d in days]})
