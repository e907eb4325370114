"""The rows and errors of a backtest: a row for each airport, origin, method and step; an error for the first three.

Errors are scaled by the seasonal naive error of the history known at the origin, gaps filled straight.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import adaptation, calendar, composition, intervals
from paxcast.core.adaptation import Covered
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.intervals import Band

Array = npt.NDArray[np.float64]
COLUMNS = [AIRPORT, "origin", "method", DS, Y, "yhat", "lo80", "hi80", "lo95", "hi95"]
ERRORS = ["mase", "rmsse", "smape", "pinball", "covered80", "covered95"]
QUANTILES = {"lo95": 0.025, "lo80": 0.10, "yhat": 0.50, "hi80": 0.90, "hi95": 0.975}
PUBLISHED, NAIVE = "paxcast", "seasonal_naive"
Method = Composed | None


def scale_of(y: Array, ds: "pd.Series[pd.Timestamp]", code: str) -> tuple[float, float]:
    """The seasonal naive error of a history, mean absolute and root mean squared; zero where it has none.

    y: [N] traffic, ds: its period starts in order; a period in between that is absent is filled straight.
    """
    at = calendar.period_number(ds, code)
    order = np.argsort(at, kind="stable")
    grid = np.arange(at.min(), at.max() + 1)
    full = np.interp(grid, at[order], np.asarray(y, dtype=np.float64)[order])
    season = calendar.frequency(code).season
    if len(full) <= season:
        return 0.0, 0.0
    change = full[season:] - full[:-season]
    return float(np.mean(np.abs(change))), float(np.sqrt(np.mean(change**2)))


def bands(
    airports: Sequence[Evaluation], made: Sequence[Method], effective: Mapping[float, float] | None = None
) -> list[Band | None]:
    """Each airport's forecast of one method with its intervals, calibrated over the airports that have it."""
    pairs = [(a, c) for a, c in zip(airports, made, strict=True) if c is not None]
    if not pairs:
        return [None] * len(made)
    pool = intervals.pool(
        [composition.missed(a, c) for a, c in pairs], pairs[0][0].forecast.shape[1], effective=effective
    )

    def band(airport: Evaluation, composed: Method) -> Band | None:
        if composed is None:
            return None
        unit = intervals.unit(airport.level, composed.forecast)
        size = intervals.size(composition.missed(airport, composed), pool.middle, unit)
        return intervals.band(composed.forecast, pool, size)

    return [band(a, c) for a, c in zip(airports, made, strict=True)]


def rows(airport: str, origin: pd.Timestamp, method: str, ds: Sequence[str], band: Band) -> pd.DataFrame:
    """The rows of one airport, origin and method, without what followed."""
    return pd.DataFrame(
        {
            AIRPORT: airport,
            "origin": origin,
            "method": method,
            DS: pd.to_datetime(list(ds)),
            **{name: getattr(band, name) for name in ("yhat", "lo80", "hi80", "lo95", "hi95")},
        }
    )


def cycles(earlier: Sequence[pd.DataFrame], method: str, origin: pd.Timestamp) -> list[Covered]:
    """What was known at an origin of a method's earlier intervals: by period, oldest first, the shares inside.

    earlier: the rows of earlier origins. Periods after the origin are not looked at.
    """
    own = [rows[(rows["method"] == method) & (rows[DS] <= origin)] for rows in earlier]
    return adaptation.cycles(pd.concat(own)) if own else []


def errors(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each airport, origin and method of which every step is known. Columns COLUMNS, scale and level."""
    seen = rows.assign(scale=[s[0] for s in rows["scale"]], root=[s[1] for s in rows["scale"]])
    whole = seen.groupby([AIRPORT, "origin", "method"])[Y].transform(lambda y: y.notna().all())
    seen = seen[whole & (seen["scale"] > 0)]
    off = (seen[Y] - seen["yhat"]).abs()
    pinball = sum((a - (seen[Y] < seen[q])) * (seen[Y] - seen[q]) for q, a in QUANTILES.items()) / len(QUANTILES)
    steps = seen.assign(
        mase=off / seen["scale"],
        squared=(off / seen["root"]) ** 2,
        smape=(2 * off / (seen[Y].abs() + seen["yhat"].abs())).fillna(0.0),
        pinball=pinball / seen["scale"],
        covered80=seen[Y].between(seen["lo80"], seen["hi80"]),
        covered95=seen[Y].between(seen["lo95"], seen["hi95"]),
    )
    keys = [AIRPORT, "origin", "method", "level"]
    found = steps.groupby(keys, as_index=False)[
        ["mase", "squared", "smape", "pinball", "covered80", "covered95"]
    ].mean()
    return found.assign(rmsse=np.sqrt(found["squared"]))[[*keys, *ERRORS]]


def table(errors: pd.DataFrame, parts: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean errors by method: overall, by origin, by slice, all over the airport-origins that PUBLISHED has at least.

    Where a method has no row that PUBLISHED has, seasonal naive's error counts there: leaving hard airports out is no
    merit. `n`: the rows that a method really has. `better`: the share of airport-origins that it forecast better than
    seasonal naive. parts: columns airport, slice, value, as of `curves.slices`; none without it.
    """
    naive = errors[errors["method"] == NAIVE][[AIRPORT, "origin", "mase"]]
    joined = _with_naive(errors).merge(naive.rename(columns={"mase": "naive"}), on=[AIRPORT, "origin"], how="left")
    joined = joined.assign(better=(joined["mase"] < joined["naive"]).astype(float))
    named = [("all", joined)]
    named += [(f"origin {origin:%Y-%m-%d}", part) for origin, part in joined.groupby("origin")]
    if parts is not None:
        named += [(f"{s}: {v}", part) for (s, v), part in joined.merge(parts, on=AIRPORT).groupby(["slice", "value"])]
    means = [
        part.groupby("method")[[*ERRORS, "better"]].mean().assign(slice=name, n=part.groupby("method")["own"].sum())
        for name, part in named
    ]
    ordered = pd.concat(means).reset_index()
    return ordered[["slice", "method", "n", *ERRORS, "better"]]


def _with_naive(errors: pd.DataFrame) -> pd.DataFrame:
    """The errors (`own`), and seasonal naive's in the name of each method that left out what PUBLISHED forecast.

    What a method never has, as the errors of intervals, stays NaN.
    """
    keys = [AIRPORT, "origin"]
    asked = errors.loc[errors["method"] == PUBLISHED, keys]
    naive = errors[errors["method"] == NAIVE].merge(asked, on=keys)
    frames = [errors.assign(own=True)]
    for method, rows in errors.groupby("method"):
        there = pd.MultiIndex.from_frame(rows[keys])
        instead = naive[~pd.MultiIndex.from_frame(naive[keys]).isin(there)]
        never = dict.fromkeys([name for name in ERRORS if rows[name].isna().all()], np.nan)
        frames.append(instead.assign(method=method, own=False, **never))
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
