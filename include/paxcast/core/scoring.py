"""Scoring of published forecasts: each actual against every forecast of its period, in units of seasonal naive's error.

Frames in, frames out. A *forecast* is what one fit said: it is named by (airport, run_key, checksum) and has one row a
period. A *vintage* is what one receipt said of a period. Scores are never edited: what changes is scored anew, and
readers take the newest row (`newest`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS, KNOWN_AT, OBSERVATION, RECEIPT, RUN_KEY, Y
from paxcast.core.evaluation import fold_scale
from paxcast.core.series import Series

Array = npt.NDArray[np.float64]

CHECKSUM, FORECAST_AS_OF, STEP, SCALE, DATA_VERSION = "checksum", "forecast_as_of", "step", "scale", "data_version"
FORECAST = [AIRPORT, RUN_KEY, CHECKSUM]
KEY = [*FORECAST, DS]
VINTAGE = [AIRPORT, DS, KNOWN_AT, RECEIPT]
QUANTILES = {"lo95": 0.025, "lo80": 0.1, "yhat": 0.5, "hi80": 0.9, "hi95": 0.975}
SAME_SCALE = 1e-9  # relative: less is rounding, and no reason to score anew
MEANS = ["scaled_error", "bias", "pinball", "coverage80", "coverage95"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over scores, in units of the scale; coverage as a share. Columns n, scaled_error, bias, pinball, coverage80
    and coverage95; `overall` has the same by name, NaN where there is no score."""

    overall: dict[str, float]
    by_airport: pd.DataFrame
    by_step: pd.DataFrame


# --- what is compared


def with_steps(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Forecasts, each row once, sorted, with `step`: 1 for the first period of a forecast. Columns KEY and others."""
    rows = forecasts.drop_duplicates(KEY).sort_values(KEY, ignore_index=True)
    return rows.assign(step=rows.groupby(FORECAST).cumcount() + 1)


def usable(observations: pd.DataFrame) -> pd.DataFrame:
    """The vintages that can be traffic: one finite value that is not below zero. Columns of OBSERVATION, sorted.

    A vintage that is none is as if it had never come: what was known before it stands.
    """
    rows = observations[OBSERVATION].drop_duplicates()
    alone = ~rows.duplicated(VINTAGE, keep=False)
    traffic: pd.DataFrame = rows[alone & np.isfinite(rows[Y]) & (rows[Y] >= 0)]
    return traffic.sort_values(VINTAGE, ignore_index=True)


def actuals(vintages: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """What is known at `as_of`, of `usable` vintages: columns airport, ds, y, known_at; one row a period, sorted.

    The rule of `history.known`, which is asked once a run; this is asked once a release, and takes a hundredth.
    """
    seen = vintages.loc[vintages[KNOWN_AT] <= as_of, [AIRPORT, DS, Y, KNOWN_AT]]
    return seen.drop_duplicates([AIRPORT, DS], keep="last", ignore_index=True)


def implied_zeros(
    periods: pd.DataFrame,
    observations: pd.DataFrame,
    as_of: pd.Timestamp,
    frequency: str,
    delay_days: int,
    newest: pd.Timestamp,
) -> pd.DataFrame:
    """Of these periods the ones without traffic, where a source's absent period means zero: columns as of `actuals`.

    periods: columns airport, ds. observations: all that is known of their airports at `as_of`; newest: the newest
    period that any airport of the fleet has a row for then. Absent means that nothing was said of it, and it is not
    later than that, as in histories. Like a first sight it counts as known since its end plus the delay, so that a
    value which is delivered late takes its place.
    """
    there = pd.MultiIndex.from_frame(observations[[AIRPORT, DS]])
    asked = periods[[AIRPORT, DS]].drop_duplicates()
    absent = ~pd.MultiIndex.from_frame(asked).isin(there) & (asked[DS] <= newest)
    zeros = asked[absent]
    since = calendar.period_end(zeros[DS], frequency) + pd.Timedelta(days=delay_days)
    return zeros.assign(y=0.0, known_at=since)[since <= as_of]


def scales(forecasts: pd.DataFrame, vintages: pd.DataFrame, frequency: str, absent: str) -> pd.DataFrame:
    """The unit of each forecast's errors: `evaluation.fold_scale` of its airport's history. Columns FORECAST and scale.

    forecasts: columns KEY and forecast_as_of. vintages: as of `usable`. The history is what was known at the forecast's
    as_of of the periods before its first step, gaps filled straight, or with zeros where absent means zero: never what
    it is compared with, however late that arrived. A forecast without any such history is left out.
    """
    firsts = forecasts.groupby([*FORECAST, FORECAST_AS_OF], as_index=False)[DS].min()
    firsts = firsts.assign(first=calendar.period_number(firsts[DS], frequency), scale=np.nan)
    for as_of in firsts[FORECAST_AS_OF].unique():
        alike = firsts[FORECAST_AS_OF] == as_of
        firsts.loc[alike, SCALE] = _scales_at(actuals(vintages, as_of), firsts[alike], frequency, absent)
    found: pd.DataFrame = firsts.loc[firsts[SCALE].notna(), [*FORECAST, SCALE]]
    return found.reset_index(drop=True)


def _scales_at(history: pd.DataFrame, forecasts: pd.DataFrame, frequency: str, absent: str) -> list[float]:
    """One scale a forecast, all of one as_of; NaN without history. history: airport, ds, y, sorted by those."""
    numbers, values = calendar.period_number(history[DS], frequency), history[Y].to_numpy(dtype=np.float64)
    dates, rows_of = history[DS].to_numpy(), history.groupby(AIRPORT).indices
    found = []
    for airport, first in zip(forecasts[AIRPORT], forecasts["first"], strict=True):
        at = rows_of.get(airport, np.array([], dtype=np.intp))
        at = at[numbers[at] < first]
        series = _series(airport, frequency, dates[at], numbers[at], values[at], absent) if len(at) else None
        found.append(fold_scale(series) if series else float("nan"))
    return found


def _series(
    airport: str,
    frequency: str,
    dates: npt.NDArray[np.datetime64],
    numbers: npt.NDArray[np.int64],
    values: Array,
    absent: str,
) -> Series:
    """One history on its grid, [T], gaps filled as `scales` says; of rows in one period the first counts."""
    numbers, at = np.unique(numbers, return_index=True)
    since = numbers - numbers[0]
    grid = np.arange(since[-1] + 1)
    if absent == "zero":
        y = np.zeros(len(grid))
        y[since] = values[at]
    else:
        y = np.interp(grid, since, values[at])
    unit, days = ("M", 1) if frequency == "MS" else ("D", 7 if frequency == "W" else 1)
    ds = dates[0].astype(f"datetime64[{unit}]") + days * grid
    return Series(airport, frequency, ds.astype("datetime64[ns]"), y)


# --- the comparison


def scored(forecasts: pd.DataFrame, actual: pd.DataFrame, scale: pd.DataFrame) -> pd.DataFrame:
    """One row for each forecast of a period that has an actual and a scale: all their columns, and how it did.

    `error`: forecast minus actual, traffic (above zero is too high). `scaled_error`: its size in units of the scale.
    `pinball`: see there, in units of the scale. `covered80`, `covered95`: the actual is not outside the interval.
    """
    rows = forecasts.merge(actual, on=[AIRPORT, DS]).merge(scale, on=FORECAST)
    y, unit = rows[Y].to_numpy(dtype=np.float64), rows[SCALE].to_numpy(dtype=np.float64)
    quantiles = {name: rows[name].to_numpy(dtype=np.float64) for name in QUANTILES}
    error = quantiles["yhat"] - y
    return rows.assign(
        error=error,
        scaled_error=np.abs(error) / unit,
        pinball=pinball(y, quantiles) / unit,
        covered80=(quantiles["lo80"] <= y) & (y <= quantiles["hi80"]),
        covered95=(quantiles["lo95"] <= y) & (y <= quantiles["hi95"]),
    ).sort_values(KEY, ignore_index=True)


def pinball(actual: Array, quantiles: dict[str, Array]) -> Array:
    """The mean pinball loss over QUANTILES: the ends of both intervals, and the forecast as the median. [N] traffic.

    Below the actual by d a quantile q costs q * d, above it (1 - q) * d (Koenker and Bassett, "Regression quantiles",
    1978). actual and each of `quantiles`: [N].
    """
    losses = [
        np.maximum(q * (actual - quantiles[name]), (q - 1) * (actual - quantiles[name]))
        for name, q in QUANTILES.items()
    ]
    return np.asarray(np.mean(losses, axis=0))


# --- what is stored, and what is read


def additions(stored: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame:
    """The fresh scores that are not stored yet, with `rescored`: whether that forecast of that period has a score.

    Stored means: of the same known_at, with the same actual and scale. A restatement has another known_at; one that is
    said to be known since the same instant has another actual; one from before the forecast may change its scale.
    """
    vintage = [*KEY, KNOWN_AT]
    said = _last(stored, vintage)[[*vintage, Y, SCALE]]
    both = fresh[[*vintage, Y, SCALE]].merge(said, on=vintage, how="left", suffixes=("", "_said"))
    same = both[Y].eq(both[f"{Y}_said"]) & np.isclose(both[SCALE], both[f"{SCALE}_said"], rtol=SAME_SCALE, atol=0)
    again = pd.MultiIndex.from_frame(fresh[KEY]).isin(pd.MultiIndex.from_frame(stored[KEY]))
    return fresh.assign(rescored=again)[~same.to_numpy()].reset_index(drop=True)


def newest(scores: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """The scores in force at `as_of`: for each forecast of a period that of the newest actual known then.

    Of scores with one known_at that of the newest data version counts. Sorted by airport, forecast_as_of, run_key, ds.
    """
    seen = scores[(scores[KNOWN_AT] <= as_of) & (scores[FORECAST_AS_OF] <= as_of)]
    order = [AIRPORT, FORECAST_AS_OF, RUN_KEY, CHECKSUM, DS]
    return _last(seen, KEY).sort_values(order, ignore_index=True)


def _last(scores: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    return scores.sort_values([KNOWN_AT, DATA_VERSION], kind="stable").drop_duplicates(key, keep="last")


def summary(scores: pd.DataFrame) -> Summary:
    """How the forecasts did: over all, by airport and by step. scores: what `newest` returns, or some of it."""
    rows = scores.assign(
        bias=scores["error"] / scores[SCALE],
        coverage80=scores["covered80"].astype(float),
        coverage95=scores["covered95"].astype(float),
    )
    overall = {"n": len(rows), **{name: float(rows[name].mean()) for name in MEANS}}
    return Summary(overall, _means(rows, AIRPORT), _means(rows, STEP))


def _means(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    groups = rows.groupby(by)
    found = groups[MEANS].mean()
    found.insert(0, "n", groups.size())
    return found.reset_index()
