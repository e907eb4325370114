"""Which country an airport lies in, and that country's public holidays. Both come from data in installed packages."""

import importlib
import re
import warnings
from collections.abc import Iterable
from datetime import date
from functools import cache, lru_cache
from typing import Any

import pandas as pd

CODE_LENGTHS = {3: "IATA", 4: "ICAO"}
COMES_ROUND = 5  # years before or after: elections, and days between two holidays, are not yearly, and known ahead
NOT_OF_THE_NAME = re.compile(r"\(.*?\)|\b(?:19|20)\d\d\b")  # (observed), (substituted from 02/05/2021), 2021


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

    Empty for None and for a country that the package `holidays` does not know. Observed days stand for themselves. What
    a country has once and never again, a state funeral or a coronation, is left out: it was decreed weeks before, and
    a fold from before the decree would know it.
    """
    found: dict[date, str] = {}
    if country:
        for year in set(years):
            found |= {day: name for day, name in _all_of(country, year).items() if not _once(country, year, name)}
    days = sorted(found)
    return pd.DataFrame({"ds": pd.DatetimeIndex(days).astype("datetime64[ns]"), "holiday": [found[d] for d in days]})


@lru_cache(maxsize=16_384)
def _all_of(country: str, year: int) -> dict[date, str]:
    """By date, the names of all that are holidays on it, as the package joins them."""
    import holidays

    if country not in holidays.list_supported_countries(include_aliases=False):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of years that it knows nothing of: there are no holidays then
        return dict(holidays.country_holidays(country, years=[year], language="en_US"))


def _once(country: str, year: int, name: str) -> bool:
    """Whether nothing that makes a day of this year a holiday does so in a year near it."""
    bare = _bare(name)
    near = range(year - COMES_ROUND, year + COMES_ROUND + 1)
    return not any(bare & _names(country, other) for other in near if other != year)


@lru_cache(maxsize=16_384)
def _names(country: str, year: int) -> frozenset[str]:
    return frozenset[str]().union(*(_bare(name) for name in _all_of(country, year).values()))


def _bare(names: str) -> frozenset[str]:
    """The holidays of one day, each without what is told of that year alone."""
    return frozenset(" ".join(NOT_OF_THE_NAME.sub(" ", name).split()) for name in names.split("; "))
