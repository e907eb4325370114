"""How far forecasts were off, in units of what was expected of them: published ones, and their models in their folds.

    residual = (y - yhat) / spread        spread = half the 80 % interval / 1.2816, at least 0.05 of the scale

The interval is learnt from the folds, so a residual says how unusual a miss is for that airport at that step. Half the
interval is its upper half: the lower one ends at zero. In a fold it is taken in proportion to the unit of its errors
there (`intervals`): so was the published one made.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar, composition, intervals, outcome
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.drift.panel import Panel
from paxcast.core.outcome import Outcome

Array = npt.NDArray[np.float64]
Z80 = 1.2815515655446004  # standard deviations from the middle to the end of a normal distribution's 80 % interval
LEAST_SPREAD = 0.05  # of the scale: of hardly any width an interval would make a residual of nothing
NAIVE = "seasonal_naive"  # every airport has it, whatever the fleet's candidates
SIMPLE = (NAIVE, "seasonal_growth", "weekday_year_ago", "window_average", "random_walk")  # nothing in them is fitted
DAYS, LEAST_DAYS = 7, 5  # of a cycle, and how many need an actual: who rests on weekends has no more


@dataclass(frozen=True, slots=True)
class Cycles:
    """T cycles of `length` periods, oldest first, without a gap. `first`: the running number of their first period
    (`calendar.period_number`); `names`: [T] the ISO start of each cycle's last period."""

    frequency: str
    first: int
    length: int
    names: tuple[str, ...]

    @property
    def periods(self) -> int:
        """P: how many periods they have."""
        return self.length * len(self.names)


@dataclass(frozen=True, slots=True)
class Missed:
    """What forecasts of one airport missed, on the periods of the cycles: [P] each. `outside`: 1 where the actual lay
    outside the 80 % interval, else 0. NaN where there is nothing to compare."""

    residual: Array
    outside: Array


@dataclass(frozen=True, slots=True)
class OfModel:
    """What an outcome says of one airport's model. `missed`: in its folds; `scale`: the unit of errors in its newest
    window, traffic, its mean traffic without any; `simple`: the simple method that did best in its folds."""

    missed: Missed
    scale: float
    simple: str


def cycles(newest: pd.Timestamp, frequency: str, since: pd.Timestamp, count: int) -> Cycles:
    """The last `count` whole cycles up to the fleet's newest period.

    Of days a cycle has seven, in step with the day `since`: so a new one is whole after seven new actuals, however
    often one looks. Of weeks and months it is one.
    """
    number, start = calendar.period_number(pd.Series([newest, since]), frequency).tolist()
    length = DAYS if frequency == "D" else 1
    last = number - (number + 1 - start) % length
    moved = [last - number - length * back for back in range(count - 1, -1, -1)]
    ends = [calendar.shift(pd.DatetimeIndex([newest]), by, frequency)[0] for by in moved]
    return Cycles(frequency, last - length * count + 1, length, tuple(str(end.date()) for end in ends))


def spread(half: Array, scale: Array) -> Array:
    """The standard deviation that half an 80 % interval stands for; traffic, above zero as the scale is."""
    return np.asarray(np.maximum(half / Z80, LEAST_SPREAD * scale))


# --- published forecasts


def one_each(forecasts: pd.DataFrame, code: str) -> pd.DataFrame:
    """Of each airport and period one forecast: the newest, which has the smallest step. Sorted by both.

    forecasts: columns airport, ds and `made` (the instant it is as of), `number` (the place of its publication),
    `in_force` (whether its release ever was), `since` (when it counts as rolled back, or NaT). One that was in force
    wins over a backfill's, one from before the period began over one from within it. One from after its end is none,
    nor is one that had been rolled back.
    """
    began = forecasts[DS].dt.tz_localize("UTC")
    there = (forecasts["made"] < calendar.period_end(forecasts[DS], code)) & ~(began >= forecasts["since"])
    rows, before = forecasts[there], (forecasts["made"] <= began)[there]
    airports = pd.factorize(rows[AIRPORT], sort=True)[0]
    order = np.lexsort(
        [rows["number"], rows["made"].array.asi8, before, rows["in_force"], rows[DS].array.asi8, airports]
    )
    found: pd.DataFrame = rows.iloc[order].drop_duplicates([AIRPORT, DS], keep="last", ignore_index=True)
    return found


def of_forecasts(rows: pd.DataFrame, over: Cycles) -> dict[str, Missed]:
    """What published forecasts missed, by airport. rows: columns airport, ds, y, yhat, half (of the 80 % interval),
    scale; one row an airport and period, all in traffic."""
    y, yhat, half, scale = (rows[name].to_numpy(dtype=np.float64) for name in (Y, "yhat", "half", "scale"))
    residual, outside = (y - yhat) / spread(half, scale), (np.abs(y - yhat) > half).astype(np.float64)
    at = calendar.period_number(rows[DS], over.frequency) - over.first
    within = (at >= 0) & (at < over.periods)
    found = {}
    for airport, every in rows.groupby(AIRPORT).indices.items():
        own, missed = every[within[every]], _nothing(over)
        missed.residual[at[own]], missed.outside[at[own]] = residual[own], outside[own]
        found[str(airport)] = missed
    return found


# --- folds


def of_model(result: Outcome, rule: str, half: Array, over: Cycles) -> OfModel:
    """What an outcome says of an airport's model; arguments as of `of_folds`."""
    windows = [*result.folds, *([result.test] if result.test else [])]
    scale = float(windows[-1]["scale"] if windows else result.level or 1.0)
    return OfModel(of_folds(result, rule, half, over), scale, simplest(result))


def simplest(result: Outcome) -> str:
    """The simple method with the lowest mean error in the folds; seasonal naive without folds."""
    folds = outcome.evaluation_of(result).folds
    if folds is None:
        return NAIVE
    errors = dict(zip([e["candidate"] for e in result.entrants], folds.errors().mean(axis=1).tolist(), strict=True))
    return min((name for name in SIMPLE if name in errors), key=lambda name: errors[name])


def of_folds(result: Outcome, rule: str, half: Array, over: Cycles) -> Missed:
    """What a rule's combination missed where it was tried beforehand: in each fold with the weights of the others, and
    in the test window.

    half: [H] half the 80 % interval of the published forecast, traffic. Only periods that count; of one that lies in
    several windows that of the smallest step. Of a window before which there was no traffic nothing.
    """
    airport = outcome.evaluation_of(result)
    composed = composition.compose(airport, rule)
    unit = intervals.unit(airport.level, composed.forecast)
    if airport.folds is None or unit <= 0:
        return _nothing(over)
    windows = [*result.folds, *([result.test] if result.test else [])]
    missed = composition.missed(airport, composed)
    level = np.where(missed.levels > 0, missed.levels, np.nan)
    own = half * level[:, None] / unit  # [K, H]
    scale = np.array([[window["scale"]] for window in windows])
    residual = np.where(np.isnan(own), np.nan, missed.errors / spread(own, scale))
    outside = np.where(np.isnan(residual), np.nan, np.abs(missed.errors) > own)
    return _nearest(residual, outside, _places([window["ds"] for window in windows], over), over)


def _places(days: Sequence[Sequence[str]], over: Cycles) -> npt.NDArray[np.int64]:
    """[K, H] where periods stand among those of the cycles; outside of them below zero or from P on."""
    flat = pd.Series(np.array(days, dtype="datetime64[ns]").ravel())
    return (calendar.period_number(flat, over.frequency) - over.first).reshape(len(days), -1)


def _nearest(residual: Array, outside: Array, places: npt.NDArray[np.int64], over: Cycles) -> Missed:
    """Windows on one line of periods. All [K, H]; the last step first, so that smaller ones take its place."""
    found = _nothing(over)
    for step in range(residual.shape[1] - 1, -1, -1):
        at = places[:, step]
        usable = (at >= 0) & (at < over.periods) & np.isfinite(residual[:, step])
        found.residual[at[usable]] = residual[usable, step]
        found.outside[at[usable]] = outside[usable, step]
    return found


def _nothing(over: Cycles) -> Missed:
    return Missed(np.full(over.periods, np.nan), np.full(over.periods, np.nan))


# --- the panel


def panel(
    over: Cycles, published: Mapping[str, Missed], folds: Mapping[str, Missed], reported: Mapping[str, int]
) -> Panel:
    """The panel of the airports that `folds` names. What was published wins over folds, period by period.

    reported: by airport the running number of its newest period, where a later one is merely unknown; a cycle that
    ends after it is none yet. A cycle is live if most of its periods are.
    """
    airports, nothing = tuple(sorted(folds)), _nothing(over)
    live = [published.get(airport, nothing) for airport in airports]
    tried = [folds[airport] for airport in airports]
    shape = (len(airports), len(over.names), over.length)
    said = np.array([one.residual for one in live]).reshape(shape)
    residual = np.where(np.isnan(said), np.array([one.residual for one in tried]).reshape(shape), said)
    outside, outside_tried = (np.array([one.outside for one in some]).reshape(shape) for some in (live, tried))
    outside = np.where(np.isnan(said), outside_tried, outside)
    known = np.isfinite(residual)
    count = known.sum(axis=2)
    ends = over.first + over.length * np.arange(1, len(over.names) + 1) - 1
    there = ends <= np.array([reported.get(airport, over.first + over.periods) for airport in airports])[:, None]
    whole = there & (count >= min(over.length, LEAST_DAYS))

    def mean(values: Array) -> Array:
        total = np.where(known, values, 0.0).sum(axis=2)
        return np.where(whole, total / np.maximum(1, count), np.nan)

    is_live = whole & (2 * np.isfinite(said).sum(axis=2) > count)
    return Panel(airports, over.names, mean(residual), mean(np.abs(residual)), mean(outside), is_live)


def without(found: Panel, stretches: Mapping[str, Sequence[tuple[str, str]]]) -> Panel:
    """The panel without some airports' stretches of cycles, both ends by name and included."""
    names, gone = np.array(found.cycles), np.zeros(found.residual.shape, dtype=bool)
    for row, airport in enumerate(found.airports):
        for first, last in stretches.get(airport, ()):
            gone[row] |= (first <= names) & (names <= last)
    residual, loss, outside = (np.where(gone, np.nan, values) for values in (found.residual, found.loss, found.outside))
    return Panel(found.airports, found.cycles, residual, loss, outside, found.live & ~gone)


def of_some(found: Panel, airports: Collection[str]) -> Panel:
    """The panel of some of its airports."""
    at = [row for row, airport in enumerate(found.airports) if airport in airports]
    residual, loss, outside = found.residual[at], found.loss[at], found.outside[at]
    return Panel(tuple(found.airports[row] for row in at), found.cycles, residual, loss, outside, found.live[at])
