"""Reading histories: what was known at `as_of`, checked on every read."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, BUCKET, DS, FLEET, KNOWN_AT, OBSERVATION
from paxcast.core.errors import ConfigurationError
from paxcast.core.history import check_known, known
from paxcast.core.identity import bucket
from paxcast.jobs.workspace import Workspace


def known_rows(
    ws: Workspace, as_of: pd.Timestamp, version: int, airports: Collection[str] | None = None
) -> pd.DataFrame:
    """The rows in force at `as_of` in one version of the store; all airports, or some. Nothing later is ever read."""
    filters = [(FLEET, "=", ws.fleet), (KNOWN_AT, "<=", as_of.to_pydatetime())]
    if airports is not None:
        filters += [(BUCKET, "in", sorted({bucket(a) for a in airports})), (AIRPORT, "in", sorted(airports))]
    rows = known(ws.tables.read("observations", filters, OBSERVATION, version), as_of)
    check_known(rows, as_of)
    return rows


@dataclass(frozen=True, slots=True)
class Reported:
    """How far a source has reported, where a period that it leaves out had no traffic: `newest` is the newest period
    that any airport of the fleet has a row for. In it the histories of all airports end, see `tune.packed`."""

    newest: pd.Timestamp
    code: str

    def after(self, last: pd.Timestamp) -> pd.DatetimeIndex:
        """The last reported period on the grid of an airport whose newest row is of `last`; none if it is that row."""
        if self.code == "MS":
            periods = (self.newest.year - last.year) * 12 + self.newest.month - last.month
        else:  # whole weeks only: airports may have them on different weekdays
            periods = (self.newest - last) // pd.Timedelta(days=7 if self.code == "W" else 1)
        return calendar.shift(pd.DatetimeIndex([last] if periods > 0 else []), periods, self.code)


def reported(ws: Workspace, as_of: pd.Timestamp, code: str, version: int | None = None) -> Reported | None:
    """How far the source had reported at `as_of`; None where an absent period is merely unknown."""
    if ws.settings.source.absent != "zero":
        return None
    filters = [(FLEET, "=", ws.fleet), (KNOWN_AT, "<=", as_of.to_pydatetime())]
    newest = ws.tables.read("observations", filters, [DS], version)[DS].max()
    return None if pd.isna(newest) else Reported(newest, code)


def frequency(ws: Workspace) -> str:
    """The fleet's frequency: as stated, else that of its first receipt. Raises ConfigurationError if there is none."""
    code = ws.settings.source.frequency or ingested_frequency(ws)
    if code is None:
        raise ConfigurationError(nothing_ingested(ws))
    return code


def ingested(ws: Workspace) -> bool:
    """Whether the fleet ever received anything."""
    return not ws.tables.read("receipts", [(FLEET, "=", ws.fleet)], ["receipt"]).empty


def check_ingested(ws: Workspace) -> None:
    """Raises ConfigurationError where the fleet received nothing yet."""
    if not ingested(ws):
        raise ConfigurationError(nothing_ingested(ws))


def nothing_ingested(ws: Workspace) -> str:
    """What to tell a person who asks something of a fleet that received nothing yet."""
    return f"fleet {ws.fleet}: nothing was ingested yet; run `paxcast ingest` first"


def ingested_frequency(ws: Workspace) -> str | None:
    """The frequency of the fleet's first receipt, which every later one had to fit; None before the first."""
    receipts = ws.tables.read("receipts", [(FLEET, "=", ws.fleet)], ["receipt", "frequency"])
    return None if receipts.empty else str(receipts.sort_values("receipt")["frequency"].iloc[0])


def horizon(ws: Workspace, code: str) -> int:
    """Periods to forecast: as configured, else the frequency's default."""
    return ws.settings.horizon or calendar.frequency(code).horizon
