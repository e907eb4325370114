"""A release of the whole fleet as one MLflow model from code: it routes each row to its airport's forecast.

Its data is one Parquet file, `forecasts`: airport, model, version, as_of, ds, yhat, lo80, hi80, lo95, hi95,
confidence. One load serves every airport; one alias moves the fleet.

At load only the file's end is read, which tells a damaged one before anything is served. The rows are read at the first
request and kept: a server's workers and Spark's that are never asked take neither the time nor the memory.
"""

from dataclasses import dataclass
from functools import cached_property

import mlflow
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from mlflow.exceptions import MlflowException

NAMED = 5  # unknown airports that an error names
ERROR, NULL = "error", "null"


@dataclass(frozen=True)
class Forecasts:
    """The rows of a release, and where each one stands."""

    rows: pd.DataFrame
    airports: pd.Index  # [A]
    periods: pd.DatetimeIndex  # [D]
    place: np.ndarray  # [A, D]: the number of the row, -1 where there is none

    def all_of(self, airport: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """airport: [n] numbers, -1 an unknown one. The numbers of all their rows, in the airports' order, each one's by
        period, and of an unknown one -1 once; and how many rows [n] each one has in that."""
        found = np.where(airport[:, None] >= 0, self.place[airport], -1)
        there = found >= 0
        there[airport < 0, :1] = True
        return found[there], there.sum(axis=1)

    def horizon(self, airport: int) -> str:
        """An airport's periods in words."""
        rows = self.rows.iloc[self.all_of(np.array([airport]))[0]]
        first, last = rows["ds"].iloc[0], rows["ds"].iloc[-1]
        return f"{len(rows)} periods from {first:%Y-%m-%d} to {last:%Y-%m-%d}, forecast as of {rows['as_of'].iloc[0]}"


def read(path: str) -> Forecasts:
    """Read a release's file. Raises MlflowException where an airport has two forecasts for a period."""
    rows = pd.read_parquet(path)
    rows = rows[["airport", "ds", *(name for name in rows if name not in ("airport", "ds"))]]
    (airport, airports), (period, periods) = (pd.factorize(rows[name], sort=True) for name in ("airport", "ds"))
    place = np.full((len(airports), len(periods)), -1, dtype=np.int32)
    place[airport, period] = np.arange(len(rows))
    if np.count_nonzero(place >= 0) < len(rows):
        raise MlflowException(f"{path}: some airports have two forecasts for one period; register the release again")
    return Forecasts(rows, airports, pd.DatetimeIndex(periods), place)


class ReleaseModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Input: columns `airport`, `ds`. Output: one row for each, with the forecast, its intervals and its version.

    Without a column `ds`: all periods of each airport asked for. Parameter `missing`: `error` refuses a request that
    asks for what the release does not hold (HTTP status 400), `null` answers null for it.
    """

    def load_context(self, context):  # type: ignore[no-untyped-def]
        self.path = context.artifacts["forecasts"]
        pq.read_metadata(self.path)

    @cached_property
    def forecasts(self) -> Forecasts:
        return read(self.path)

    def predict(self, context, model_input: pd.DataFrame, params=None):  # type: ignore[no-untyped-def]
        missing = (params or {}).get("missing", ERROR)
        if missing not in (ERROR, NULL):
            raise MlflowException.invalid_parameter_value(f"missing: '{missing}' is neither '{ERROR}' nor '{NULL}'")
        known, asked = self.forecasts, pd.Index(model_input["airport"])
        airport = known.airports.get_indexer(asked)
        if missing == ERROR:
            _refuse_unknown(known, asked[airport < 0])
        if "ds" not in model_input:
            row, times = known.all_of(airport)
            return _answer(known, row, asked[np.repeat(np.arange(len(asked)), times)], None)
        ds = pd.DatetimeIndex(model_input["ds"])
        _refuse_empty(ds)
        period = known.periods.get_indexer(ds)
        row = np.where((airport >= 0) & (period >= 0), known.place[airport, period], -1)
        if missing == ERROR:
            _refuse_other_periods(known, airport, ds, row)
        return _answer(known, row, asked, ds)


def _answer(known: Forecasts, row: np.ndarray, airport: pd.Index, ds: pd.DatetimeIndex | None) -> pd.DataFrame:
    """The rows of these numbers. Of number -1 all is None but what was asked: columns of objects then, as JSON has no
    word for NaN and whole numbers have none for nothing."""
    answer = known.rows.take(row)
    answer.index = pd.RangeIndex(len(row))
    if len(row) and row.min() < 0:
        answer = answer.astype(object)
        answer.loc[row < 0] = None
        answer["airport"] = airport
        if ds is not None:
            answer["ds"] = ds
    return answer


def _refuse_unknown(known: Forecasts, names: pd.Index) -> None:
    unknown = sorted(set(map(str, names)))
    if unknown:
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        raise MlflowException.invalid_parameter_value(
            f"airport: not in this release of {len(known.airports)} airports: {', '.join(unknown[:NAMED])}{more}. "
            "`paxcast status` says why; the parameter missing='null' answers null for them"
        )


def _refuse_empty(ds: pd.DatetimeIndex) -> None:
    empty = np.flatnonzero(ds.isna())
    if len(empty):
        raise MlflowException.invalid_parameter_value(
            f"ds: row {empty[0]} has none. Give every row one, or leave the column out for all periods"
        )


def _refuse_other_periods(known: Forecasts, airport: np.ndarray, ds: pd.DatetimeIndex, row: np.ndarray) -> None:
    other = np.flatnonzero(row < 0)
    if len(other):
        at = other[0]
        more = f"; so it is with {len(other) - 1} more rows" if len(other) > 1 else ""
        asked = str(ds[at]).removesuffix(" 00:00:00")
        raise MlflowException.invalid_parameter_value(
            f"ds: {known.airports[airport[at]]} has no forecast for {asked}; "
            f"it has {known.horizon(airport[at])}{more}. Leave `ds` out for all periods; "
            "the parameter missing='null' answers null for others"
        )


mlflow.models.set_model(ReleaseModel())
