"""What the rows of backtests tell beyond a mean error: whether intervals hold, for whom, and for how long.

Frames in, frames out. Errors are mean absolute errors in units of the seasonal naive error of the history (MASE), as
in `backtesting`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar, composition, intervals
from paxcast.core.backtesting import Method
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.composition import Evaluation
from paxcast.core.treatment import Raw

Array = npt.NDArray[np.float64]
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
ORIGIN, METHOD, NAIVE = "origin", "method", "seasonal_naive"
WINDOW = [AIRPORT, ORIGIN]
THIRDS = ("lowest third", "middle third", "highest third")
YEARS = {"under 5 years": 5.0, "5 to 10 years": 10.0, "10 years and more": float("inf")}
RECOVERY = {"below 80 % of 2019": 0.8, "80 to 100 % of 2019": 1.0, "above 2019": float("inf")}
NO_2019 = "no 2019 in it"
NO_COUNTRY = "country not known"
BEFORE_COVID = 2019


# --- calibration: how often an interval holds, by how often it should


def half_widths(
    airports: Sequence[Evaluation], made: Sequence[Method], levels: Sequence[float] = LEVELS
) -> list[Array | None]:
    """[levels, H] half the width of each airport's intervals, as `backtesting.bands` calibrates them, at any levels."""
    pairs = [(a, c) for a, c in zip(airports, made, strict=True) if c is not None]
    if not pairs:
        return [None] * len(made)
    pool = intervals.pool([composition.missed(a, c) for a, c in pairs], pairs[0][0].forecast.shape[1], levels)

    def half(airport: Evaluation, composed: Method) -> Array | None:
        if composed is None:
            return None
        unit = intervals.unit(airport.level, composed.forecast)
        size = intervals.size(composition.missed(airport, composed), pool.middle, unit)
        return np.array([pool.quantiles[level] * size for level in levels])

    return [half(a, c) for a, c in zip(airports, made, strict=True)]


def calibration(steps: pd.DataFrame) -> pd.DataFrame:
    """Columns level, n, coverage: the share of actuals within each interval.

    steps: columns level, y, yhat, half; y is NaN where nothing is known, which does not count. The lower end of an
    interval is cut at zero, where no actual is beyond it: that changes no coverage.
    """
    known = steps[steps[Y].notna()]
    inside = known.assign(coverage=((known[Y] - known["yhat"]).abs() <= known["half"]).astype(float))
    return inside.groupby("level", as_index=False).agg(n=("coverage", "size"), coverage=("coverage", "mean"))


# --- baselines: two methods on the same periods


def against(rows: pd.DataFrame, other: str, method: str = "paxcast") -> dict[str, float]:
    """A method and another one over the periods that both forecast, each airport and origin counting the same.

    rows: columns airport, origin, method, ds, y, yhat, scale (traffic). n: how many airports at an origin, steps: how
    many periods; mase: the method's, other: the other's, ratio: the one over the other; better: the share of the n in
    which the method was closer.
    """
    known = rows[rows[Y].notna() & (rows["scale"] > 0)]
    mine, theirs = (known[known[METHOD] == name] for name in (method, other))
    both = mine.merge(theirs[[*WINDOW, DS, "yhat"]], on=[*WINDOW, DS], suffixes=("", "_other"))
    off = both.assign(
        mase=(both["yhat"] - both[Y]).abs() / both["scale"],
        other=(both["yhat_other"] - both[Y]).abs() / both["scale"],
    )
    means = off.groupby(WINDOW)[["mase", "other"]].mean()
    if means.empty:
        return {"n": 0, "steps": 0, "mase": np.nan, "other": np.nan, "ratio": np.nan, "better": np.nan}
    mase, of_other = float(means["mase"].mean()), float(means["other"].mean())
    return {
        "n": len(means),
        "steps": len(off),
        "mase": mase,
        "other": of_other,
        "ratio": _ratio(mase, of_other),
        "better": float((means["mase"] < means["other"]).mean()),
    }


# --- slices: for whom


@dataclass(frozen=True, slots=True)
class Traits:
    """What is told apart in airports. `level`: mean traffic of the last year; `seasonality`: 0 to 1, NaN if unknown;
    `years`: length of the history; `recovery`: the last year against 2019, NaN where the history has no other.
    `country`: its ISO code, or None.
    """

    level: float
    seasonality: float
    years: float
    recovery: float
    country: str | None = None


def traits(raw: Raw, country: str | None = None) -> Traits:
    """The traits of one history."""
    year = calendar.frequency(raw.frequency).year
    known = raw.y[np.isfinite(raw.y)]
    last = raw.y[-year:]
    return Traits(
        level=float(np.nanmean(last)) if np.isfinite(last).any() else float(np.mean(known)),
        seasonality=seasonality(raw.y, calendar.frequency(raw.frequency).season),
        years=len(raw.y) / year,
        recovery=_recovery(raw, year),
        country=country,
    )


def seasonality(y: Array, season: int) -> float:
    """How much of what is no trend is season: 1 - var(rest) / var(season + rest), at least 0. [T], NaN left out.

    Wang, Smith and Hyndman, "Characteristic-based clustering for time series data", 2006; here with the classical
    decomposition: the trend is the mean over a whole season around each period, the season each phase's mean.
    """
    detrended = y - _trend(y, season)
    known = np.isfinite(detrended)
    if np.count_nonzero(known) < season:
        return float("nan")
    phase = np.arange(len(y)) % season
    rest = detrended.copy()
    for at in np.unique(phase[known]):
        rest[phase == at] -= np.mean(detrended[known & (phase == at)])
    whole = float(np.var(detrended[known]))
    return max(0.0, 1 - float(np.var(rest[known])) / whole) if whole > 0 else 0.0


def _trend(y: Array, season: int) -> Array:
    """The centred mean over one season, its two ends with half a weight where it is even; NaN near the ends. [T]"""
    weights = np.full(season, 1 / season)
    if season % 2 == 0:
        weights = np.concatenate([[0.5], np.ones(season - 1), [0.5]]) / season
    if len(y) < len(weights):
        return np.full(len(y), np.nan)
    middle = np.convolve(y, weights, mode="valid")
    side = (len(weights) - 1) // 2
    return np.concatenate([np.full(side, np.nan), middle, np.full(len(y) - side - len(middle), np.nan)])


def _recovery(raw: Raw, year: int) -> float:
    """Mean traffic of the last year over that of 2019; NaN if the history has too little of either, or ends in it."""
    years = raw.ds.astype("datetime64[Y]").astype(int) + 1970
    before, last = raw.y[years == BEFORE_COVID], raw.y[-year:]
    if years[-1] <= BEFORE_COVID or np.isfinite(before).sum() < year / 2 or not np.isfinite(last).any():
        return float("nan")
    usual = float(np.nanmean(before))
    return float(np.nanmean(last)) / usual if usual > 0 else float("nan")


def slices(airports: Mapping[str, Traits]) -> pd.DataFrame:
    """Which slices each airport is in: columns airport, slice (what is told apart), value (which part)."""
    names = list(airports)
    sorts = {
        "size": _thirds([airports[a].level for a in names], "size"),
        "seasonality": _thirds([airports[a].seasonality for a in names], "strength"),
        "history": [_class(airports[a].years, YEARS, "") for a in names],
        "recovery": [_class(airports[a].recovery, RECOVERY, NO_2019) for a in names],
        "country": [airports[a].country or NO_COUNTRY for a in names],
    }
    frames = [pd.DataFrame({AIRPORT: names, "slice": sort, "value": values}) for sort, values in sorts.items()]
    return pd.concat(frames, ignore_index=True)


def by_slice(errors: pd.DataFrame, parts: pd.DataFrame, method: str = "paxcast") -> pd.DataFrame:
    """A method beside seasonal naive in each slice: columns slice, value, airports, n, mase, naive, ratio, better.

    errors: columns airport, origin, method, mase; parts: what `slices` gave. n: airports at an origin.
    """
    mine, naive = (errors[errors[METHOD] == name][[*WINDOW, "mase"]] for name in (method, NAIVE))
    both = mine.merge(naive.rename(columns={"mase": "naive"}), on=WINDOW).merge(parts, on=AIRPORT)
    both = both.assign(better=(both["mase"] < both["naive"]).astype(float))
    found = both.groupby(["slice", "value"], as_index=False).agg(
        airports=(AIRPORT, "nunique"),
        n=("mase", "size"),
        mase=("mase", "mean"),
        naive=("naive", "mean"),
        better=("better", "mean"),
    )
    return found.assign(ratio=_ratios(found["mase"], found["naive"]))


def _thirds(values: Sequence[float], what: str) -> list[str]:
    """In which third of the airports each value lies; equal values in the same; NaN in none."""
    rank = pd.Series(values, dtype=float).rank(method="dense", pct=True)
    at = np.ceil(rank.to_numpy() * len(THIRDS) - 1e-9)
    return [f"{what} not known" if np.isnan(i) else THIRDS[int(i) - 1] for i in at]


def _class(value: float, classes: Mapping[str, float], unknown: str) -> str:
    """The first class whose end lies above the value."""
    return next((name for name, end in classes.items() if value < end), unknown)


# --- learning: how much history is worth


def learning(errors: pd.DataFrame) -> pd.DataFrame:
    """Columns years, airports, mase, mase_all, ratio: the error with only the last years against that with all.

    errors: columns airport, years (0: the whole history), mase. Only airports that have more than so many years are in
    a row, on both sides; in the row of 0 all are.
    """
    whole = errors[errors["years"] == 0][[AIRPORT, "mase"]].rename(columns={"mase": "mase_all"})
    both = errors.merge(whole, on=AIRPORT)
    found = both.groupby("years", as_index=False).agg(
        airports=(AIRPORT, "nunique"), mase=("mase", "mean"), mase_all=("mase_all", "mean")
    )
    return found.assign(ratio=_ratios(found["mase"], found["mase_all"]))


# --- staleness: for how long


def staleness(rows: pd.DataFrame, frequency: str, horizon: int, oldest: int) -> pd.DataFrame:
    """Columns age, pairs, stale, fresh, ratio: a model `age` periods old against a fresh one, on the same periods.

    rows: columns airport, origin (the last period that a model had seen), ds, y, yhat, scale; they reach `horizon` +
    `oldest` periods beyond their origin where that is to be judged. A pair is an airport and an origin with both a
    model made there and one made `age` periods before; both forecast the `horizon` periods after the origin, and only
    pairs of which all of these are known count. The scale is the fresh model's.
    """
    numbered = rows.assign(made=calendar.period_number(rows[ORIGIN], frequency))
    numbered = numbered.assign(step=calendar.period_number(rows[DS], frequency) - numbered["made"])
    known = numbered[numbered[Y].notna() & (numbered["scale"] > 0)]
    fresh = known[known["step"] <= horizon][[AIRPORT, "made", DS, Y, "yhat", "scale"]]
    found = [_aged(known, fresh, age, horizon) for age in range(oldest + 1)]
    table = pd.DataFrame(found, columns=["age", "pairs", "stale", "fresh"])
    return table.assign(ratio=_ratios(table["stale"], table["fresh"]))


def _aged(known: pd.DataFrame, fresh: pd.DataFrame, age: int, horizon: int) -> tuple[int, int, float, float]:
    older = known.assign(made=known["made"] + age)[[AIRPORT, "made", DS, "yhat"]]
    both = fresh.merge(older, on=[AIRPORT, "made", DS], suffixes=("", "_stale"))
    off = both.assign(
        fresh=(both["yhat"] - both[Y]).abs() / both["scale"],
        stale=(both["yhat_stale"] - both[Y]).abs() / both["scale"],
    )
    pairs = off.groupby([AIRPORT, "made"]).agg(n=(DS, "size"), stale=("stale", "mean"), fresh=("fresh", "mean"))
    whole = pairs[pairs["n"] == horizon]
    return age, len(whole), float(whole["stale"].mean()), float(whole["fresh"].mean())


def keeps(table: pd.DataFrame, tolerance: float) -> int:
    """The largest age up to which every model's error is within a tolerance of a fresh one's. table: of `staleness`."""
    good = 0
    for age, ratio in zip(table["age"], table["ratio"], strict=True):
        if not ratio <= 1 + tolerance:
            break
        good = int(age)
    return good


def _ratio(value: float, other: float) -> float:
    return value / other if other > 0 else float("nan")


def _ratios(values: "pd.Series[float]", others: "pd.Series[float]") -> "pd.Series[float]":
    return values / others.where(others > 0)
