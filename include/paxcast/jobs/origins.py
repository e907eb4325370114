"""The origins of a backtest as a person writes them: starts of periods that the fleet has observed."""

import re
from collections.abc import Sequence

import pandas as pd

from paxcast.core.columns import DS
from paxcast.core.errors import ConfigurationError
from paxcast.jobs.workspace import Workspace


def periods(ws: Workspace, everything: pd.DataFrame, origins: Sequence[str]) -> list[pd.Timestamp]:
    """The origins, each once. Raises ConfigurationError unless each is the start of a period that was observed."""
    dates = list(dict.fromkeys(map(_date, origins)))
    if not dates:
        raise ConfigurationError("--origins: names no date; write 2017-12-01,2018-12-01")
    observed = everything[DS]
    for date in dates:
        if not observed.eq(date).any():
            raise ConfigurationError(
                f"--origins: no period of fleet {ws.fleet} begins {date:%Y-%m-%d}; its data go from "
                f"{observed.min():%Y-%m-%d} to {observed.max():%Y-%m-%d}, and an origin is the start of a period"
            )
    return dates


def _date(text: str) -> pd.Timestamp:
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?", text):  # pandas alone would take `today` for the clock
            raise ValueError(text)
        return pd.Timestamp(text).as_unit("ns")
    except ValueError as err:
        raise ConfigurationError(f"--origins: '{text}' is not a date; write 2017-12-01,2018-12-01") from err
