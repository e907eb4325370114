"""Forecasts that the line did not just make, to compare it with: those once published, and anyone's from a file.

Both become rows as `backtesting.rows` has them: airport, origin, method, ds, yhat, lo80, hi80, lo95, hi95, the
intervals NaN where there are none.
"""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS
from paxcast.core.errors import BadFile
from paxcast.jobs import releases
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.evaluate")
LAST_RELEASE, FILE = "last_release", "file"
NEEDED, INTERVALS, ORIGIN = [AIRPORT, DS, "yhat"], ["lo80", "hi80", "lo95", "hi95"], "origin"
COLUMNS = [AIRPORT, ORIGIN, "method", DS, "yhat", *INTERVALS]
PARQUET = (".parquet", ".pq")


def last_release(
    ws: Workspace, as_ofs: Sequence[tuple[pd.Timestamp, pd.Timestamp]], airports: Collection[str]
) -> pd.DataFrame:
    """What was in force at each origin, published then or before, of all periods that it still reached.

    as_ofs: each origin with the instant at which it was known. A release of a backfill counts like any other.
    """
    from paxcast.jobs.forecast import forecasts

    frames = [pd.DataFrame(columns=COLUMNS)]
    for origin, as_of in as_ofs:
        release = releases.in_force(ws, as_of)
        if release is not None:
            rows = forecasts(ws, release)
            rows = rows[rows[AIRPORT].isin(airports) & (rows[DS] > origin)]
            frames.append(rows.assign(origin=origin, method=LAST_RELEASE)[COLUMNS])
    return _joined(frames)


def from_file(path: Path, origins: Sequence[pd.Timestamp], airports: Collection[str], frequency: str) -> pd.DataFrame:
    """Anyone's own forecasts: CSV or Parquet with columns airport, ds, yhat, and, if there are, origin and intervals.

    Without a column `origin` they are taken for the newest origin's, and never for an earlier one's: nothing tells when
    they were made. Raises BadFile for what cannot be read, or is of other airports or periods alone.
    """
    rows = _read(path)
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        raise BadFile(
            f"{path}: no column {', '.join(missing)}; a baseline has the columns {', '.join(NEEDED)}, and may have "
            f"{', '.join([ORIGIN, *INTERVALS])}"
        )
    made = pd.DataFrame({AIRPORT: rows[AIRPORT].astype(str).str.strip(), DS: _dates(path, rows, DS)})
    made[ORIGIN] = _dates(path, rows, ORIGIN) if ORIGIN in rows.columns else max(origins)
    for name in ["yhat", *INTERVALS]:
        made[name] = _numbers(path, rows, name) if name in rows.columns else np.nan
    _once(path, made)
    found = made[made[AIRPORT].isin(airports) & made[ORIGIN].isin(list(origins)) & (made[DS] > made[ORIGIN])]
    if found.empty:
        raise BadFile(
            f"{path}: none of its {len(made)} rows is a forecast of an airport and period that is compared: airports "
            f"{', '.join(sorted(airports)[:5])} ..., from the origins {min(origins):%Y-%m-%d} to "
            f"{max(origins):%Y-%m-%d}, whose next period starts "
            f"{calendar.next_periods(max(origins), 1, frequency)[0]:%Y-%m-%d}"
        )
    if len(found) < len(made):
        log.info("%s: %d of %d rows are of the airports and origins compared", path, len(found), len(made))
    return found.assign(method=FILE)[COLUMNS].reset_index(drop=True)


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in PARQUET:
            return pd.read_parquet(path)
        return pd.read_csv(path, dtype={AIRPORT: str}, keep_default_na=False, na_values=[""])  # NA may be an airport
    except FileNotFoundError as err:
        raise BadFile(f"{path}: no such file; --baseline names a CSV or Parquet file") from err
    except (OSError, ValueError) as err:  # what pandas and pyarrow raise for a broken file are ValueErrors
        reason = str(err).splitlines()[0] if str(err) else type(err).__name__
        raise BadFile(
            f"{path}: cannot be read as {'Parquet' if path.suffix.lower() in PARQUET else 'CSV'}: {reason}"
        ) from err


def _dates(path: Path, rows: pd.DataFrame, name: str) -> "pd.Series[pd.Timestamp]":
    found = pd.to_datetime(rows[name], errors="coerce", format=None if rows[name].dtype.kind == "M" else "ISO8601")
    _no_row(path, rows, name, found.isna(), "is not a date; write 2018-01-01")
    return found.dt.tz_localize(None).astype("datetime64[ns]")


def _numbers(path: Path, rows: pd.DataFrame, name: str) -> "pd.Series[float]":
    """A column of numbers; only a blank interval may stay blank."""
    found = pd.to_numeric(rows[name], errors="coerce").astype(float)
    allowed = np.isfinite(found) | (rows[name].isna() & (name != "yhat"))
    _no_row(path, rows, name, ~allowed, "is not a number")
    return found


def _no_row(path: Path, rows: pd.DataFrame, name: str, wrong: Any, what: str) -> None:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        more = f", and {int(wrong.sum()) - 1} more" if wrong.sum() > 1 else ""
        raise BadFile(f"{path}: row {at + 1}: {name} '{rows[name].iloc[at]}' {what}{more}")


def _once(path: Path, made: pd.DataFrame) -> None:
    again = made.duplicated([AIRPORT, ORIGIN, DS])
    if again.any():
        first = made[again].iloc[0]
        raise BadFile(
            f"{path}: {first[AIRPORT]} has more than one forecast of {first[DS]:%Y-%m-%d} from one origin; "
            "keep one, or add a column origin"
        )


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]
