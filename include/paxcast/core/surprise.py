"""How much of an error nobody could have known: the shocks that began after a forecast, and the year before it."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import DS, Y
from paxcast.core.treatment import Shock

Row = dict[str, Any]


def shocks_met(ds: pd.Timestamp, code: str, as_of: pd.Timestamp, shocks: Sequence[Shock]) -> list[Row]:
    """The shocks that a forecast of a period met: those that the period lies in, and those that began between the
    forecast and the period's end. By their begin: name, first, last (days); `inside`: whether the period lies in it;
    `begun`: whether it had begun by `as_of`, so that it could be known."""
    end = _end(ds, code)
    rows = []
    for shock in sorted(shocks, key=lambda one: (one.first, one.last, one.name)):
        first, after = _midnight(shock.first), _midnight(shock.last) + pd.Timedelta(days=1)
        inside = first < end and after > ds.tz_localize("UTC")
        begun = first < as_of
        if inside or (not begun and first < end):
            days = {"first": str(shock.first), "last": str(shock.last)}
            rows.append({"name": shock.name, **days, "inside": inside, "begun": begun})
    return rows


def found_by(steps: Sequence[Mapping[str, Any]], code: str, configured: Sequence[Shock]) -> list[Shock]:
    """The shocks that treating a later history found beside the configured ones. steps: of its outcome."""
    names = {shock.name for shock in configured}
    return [
        Shock(date.fromisoformat(step["first"]), _last_day(step["last"], code), step["name"])
        for step in steps
        if step["what"] == "shock" and step["name"] not in names
    ]


def year_before(known: pd.DataFrame, ds: pd.Timestamp, code: str) -> Row | None:
    """The same period of the year before, as it was known: ds, y. None where it was not, or without traffic.

    known: columns ds, y. Of days and weeks it is the one 364 days before, on the same weekday.
    """
    before = calendar.shift(pd.DatetimeIndex([ds]), -calendar.frequency(code).year, code)[0]
    values = known.loc[known[DS] == before, Y]
    if values.empty or not values.iloc[-1] > 0:
        return None
    return {"ds": str(before.date()), "y": float(values.iloc[-1])}


def _end(ds: pd.Timestamp, code: str) -> pd.Timestamp:
    return calendar.period_end(pd.Series([ds]), code)[0]


def _last_day(start: str, code: str) -> date:
    return (_end(pd.Timestamp(start), code) - pd.Timedelta(days=1)).date()


def _midnight(day: date) -> pd.Timestamp:
    return pd.Timestamp(day, tz="UTC")
