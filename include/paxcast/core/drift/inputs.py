"""What changed in an airport's inputs: explanations of a drift, never an alarm by themselves.

Everything is told in cycles: days are taken together as weeks that end with the newest period. A window, the newest
cycles, is compared with the airport's own past. A change counts as unusual when it lies more than three robust
standard deviations from the median of the past ones (Hampel, "The influence curve and its role in robust
estimation", 1974), shares when such a count has a chance below 1 in 100 (the binomial distribution, its share by
Laplace's rule of succession), correlations by Fisher's z ("On the probable error of a coefficient of correlation",
1921), three standard errors. Periods follow each other closely, so these are limits of what is told, not tests.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS
from paxcast.core.drift.traffic import CYCLE, MAD, Array, Counts, Traffic, first_true, median, on_grid

LEVEL, VARIANCE, ZEROS, MISSING = "level", "variance", "zero share", "missing"
SEASONALITY, RESTATED, STALE = "seasonality", "restated", "stale"
YEAR = {"D": 52, "W": 52, "MS": 12}  # cycles
PARTS = {"D": 13, "W": 13, "MS": 12}  # of a year, that tell its shape
NAMES = {"D": "weeks", "W": "weeks", "MS": "months"}
YEARS = 3  # of the past that count
LEAST = 12  # windows of the past, to tell what is usual
UNUSUAL = 3.0  # robust standard deviations, or standard errors
CHANGED = float(np.log(1.1))  # a level
STRAYED = float(np.log(1.5))  # a standard deviation
FINEST = 0.01  # a standard deviation of changes below which is none
MOST_ALIKE = 0.999  # beyond, Fisher's z tells rounding
CHANCE = 0.01  # of so many zeros or gaps, or so few


@dataclass(frozen=True, slots=True)
class Finding:
    """`what`: level, variance, zero share, missing, seasonality, restated or stale; `detail`: a sentence for people."""

    airport: str
    what: str
    detail: str


def findings(
    history: pd.DataFrame,
    frequency: str,
    window: int,
    restated: Mapping[str, int],
    model_age: Mapping[str, int],
    stale_after: int | None,
    *,
    absent: str = "missing",
) -> dict[str, tuple[Finding, ...]]:
    """What is unusual in the newest `window` cycles of each airport; nothing for most of them.

    history: columns airport, ds, y, as known at an instant. restated: periods of the window that were restated.
    model_age: cycles since the model in force was fitted; it is stale from `stale_after` on, never if that is None.
    absent: `zero` where a period without a row had no traffic. Raises ConfigurationError for an unknown frequency.
    """
    found: dict[str, list[Finding]] = {str(a): [] for a in sorted({*restated, *model_age})}
    if len(history):
        found |= {airport: [] for airport in sorted(set(history[AIRPORT].astype(str)))}
        for one in _of_traffic(history, frequency, window, absent):
            found[one.airport].append(one)
    for airport, periods in restated.items():
        if periods > 0:
            some = "1 period was" if periods == 1 else f"{periods} periods were"
            detail = f"{some} restated in the last {window} {NAMES[frequency]}"
            found[airport].append(Finding(airport, RESTATED, detail))
    for airport, age in model_age.items():
        if stale_after is not None and age >= stale_after:
            detail = f"the model in force is {age} {NAMES[frequency]} old; {stale_after} are allowed"
            found[airport].append(Finding(airport, STALE, detail))
    return {airport: tuple(found[airport]) for airport in sorted(found)}


def _of_traffic(history: pd.DataFrame, frequency: str, window: int, absent: str) -> Iterator[Finding]:
    calendar.frequency(frequency)
    per, year = CYCLE[frequency], YEAR[frequency]
    most = ((YEARS + 1) * year + 2 * window) * per
    traffic = on_grid(history, frequency, pd.Timestamp(history[DS].max()), most)
    cycles = in_cycles(traffic, per, absent)
    name = NAMES[frequency]
    yield from _level(traffic.airports, cycles.mean, window, year, name)
    yield from _variance(traffic.airports, cycles.mean, window, year, name)
    yield from _share(traffic.airports, cycles.zero, cycles.given, ZEROS, window, year, name)
    yield from _share(traffic.airports, cycles.due - cycles.given, cycles.due, MISSING, window, year, name)
    yield from _seasonality(traffic.airports, cycles.mean, year, PARTS[frequency])


@dataclass(frozen=True, slots=True)
class Cycles:
    """[A, C] each: mean traffic of a cycle's periods (NaN where none is given), and how many are due (none before the
    airport's first), given, and zero."""

    mean: Array
    due: Counts
    given: Counts
    zero: Counts


def in_cycles(traffic: Traffic, per: int, absent: str) -> Cycles:
    """`per` periods taken together, the last of them the newest."""
    y = np.pad(traffic.y, ((0, 0), (-traffic.y.shape[1] % per, 0)), constant_values=np.nan)
    due = np.arange(y.shape[1])[None, :] >= first_true(np.isfinite(y))[:, None]
    if absent == "zero":
        y = np.where(due, np.nan_to_num(y), np.nan)
    parts = y.reshape(len(y), -1, per)
    given = np.isfinite(parts).sum(axis=2)
    mean = np.where(given > 0, np.nansum(parts, axis=2) / np.maximum(given, 1), np.nan)
    return Cycles(mean, due.reshape(parts.shape).sum(axis=2), given, (parts == 0).sum(axis=2))


# --- against the airport's own past


def windows(values: Array, window: int, power: int = 1) -> Array:
    """[A, C] the mean of the `window` values up to each, of their `power`; NaN where fewer than half are finite."""
    seen = np.isfinite(values)
    summed = _rolled(np.where(seen, values, 0.0) ** power, window)
    count = _rolled(seen.astype(np.float64), window)
    return np.where(count >= max(window / 2, 1), summed / np.maximum(count, 1), np.nan)


def _rolled(values: Array, window: int) -> Array:
    padded = np.pad(values, ((0, 0), (window - 1, 0)))
    rolled: Array = np.lib.stride_tricks.sliding_window_view(padded, window, axis=1).sum(axis=2)
    return rolled


def unusual(measure: Array, window: int, past: int) -> tuple[Array, Array]:
    """[A] the median of what was measured before the newest window began to count, and how many robust standard
    deviations the newest lies from it. measure: [A, C]."""
    before = measure[:, :-window][:, -past:]
    middle = median(before, LEAST)
    stray = np.maximum(MAD * median(np.abs(before - middle[:, None]), LEAST), FINEST)
    return middle, (measure[:, -1] - middle) / stray


def _level(airports: tuple[str, ...], mean: Array, window: int, year: int, name: str) -> Iterator[Finding]:
    now = windows(mean, window)
    change = log_change(now, year)
    usual, off = unusual(change, window, YEARS * year)
    apart = np.abs(change[:, -1] - usual)
    for at in np.flatnonzero((np.abs(off) >= UNUSUAL) & (apart >= CHANGED)):
        detail = (
            f"the last {window} {name} have {_times(change[at, -1])} the traffic of those a year before; "
            f"{_times(usual[at])} is usual ({abs(off[at]):.1f} robust standard deviations off)"
        )
        if np.isneginf(change[at, -1]):
            before = f"{now[at, -1 - year]:,.3g} on average in those a year before"
            detail = f"no traffic in the last {window} {name}; {before}"
        yield Finding(airports[at], LEVEL, detail)


def log_change(values: Array, year: int) -> Array:
    """[A, C] the logarithm of each value over that of the year before; NaN where that had none."""
    before = np.full(values.shape, np.nan)
    before[:, year:] = values[:, : max(values.shape[1] - year, 0)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, np.log(values / before), np.nan)


def _variance(airports: tuple[str, ...], mean: Array, window: int, year: int, name: str) -> Iterator[Finding]:
    change = log_change(mean, year)
    change = np.where(np.isfinite(change), change, np.nan)
    variance = np.maximum(windows(change, window, 2) - windows(change, window) ** 2, FINEST**2)
    spread = np.log(variance) / 2
    usual, off = unusual(spread, window, YEARS * year)
    for at in np.flatnonzero((off >= UNUSUAL) & (spread[:, -1] - usual >= STRAYED)):
        now, then = (100 * float(np.expm1(np.exp(s))) for s in (spread[at, -1], usual[at]))
        detail = (
            f"changes on the year before stray by {now:.3g} % in the last {window} {name}; {then:.3g} % is usual "
            f"({off[at]:.1f} robust standard deviations off)"
        )
        yield Finding(airports[at], VARIANCE, detail)


# --- shares, against the same season of earlier years


def _share(
    airports: tuple[str, ...], count: Counts, of: Counts, what: str, window: int, year: int, name: str
) -> Iterator[Finding]:
    now, past = (_in_windows(values, window, year) for values in (count, of))
    chance, many, few = _tails(now[0], past[0], now[1], past[1])
    told = "had no traffic" if what == ZEROS else "have no row"
    for at in np.flatnonzero((chance <= CHANCE) & (past[1] > 0)):
        odd = "more" if many[at] < few[at] else "fewer"
        detail = (
            f"{now[0][at]} of {past[0][at]} periods of the last {window} {name} {told}; in the same season of earlier "
            f"years {now[1][at]} of {past[1][at]}: {odd} than is likely (p {chance[at]:.1g})"
        )
        yield Finding(airports[at], what, detail)


def _in_windows(values: Counts, window: int, year: int) -> tuple[Counts, Counts]:
    """[A] the sum over the newest window, and over the same windows of the earlier years."""
    cycles = values.shape[1]
    ends = [cycles - j * year for j in range(YEARS + 1) if cycles - j * year > 0]
    sums = [values[:, max(end - window, 0) : end].sum(axis=1) for end in ends]
    return sums[0], np.sum([np.zeros_like(sums[0]), *sums[1:]], axis=0)


def _tails(count: Counts, of: Counts, before: Counts, of_before: Counts) -> tuple[Array, Array, Array]:
    """[A] the chance of a count as odd as this, twice the smaller of: so many or more, and so few or fewer.

    Binomial, the share from the earlier count by the rule of succession, (before + 1) / (of_before + 2).
    """
    from scipy.stats import binom  # type: ignore[import-untyped]

    share = (before + 1) / (of_before + 2)
    many, few = binom.sf(count - 1, of, share), binom.cdf(count, of, share)
    return np.minimum(2 * np.minimum(many, few), 1.0), many, few


# --- the shape of a year


def _seasonality(airports: tuple[str, ...], mean: Array, year: int, parts: int) -> Iterator[Finding]:
    shapes = year_shapes(mean, year, parts)  # [years, A, parts], the newest first
    if len(shapes) < 3:
        return
    now, past = alike(shapes[0], shapes[1:]), alike(shapes[1], shapes[2:])
    off = (np.arctanh(past) - np.arctanh(now)) / np.sqrt(2 / (parts - 3))
    for at in np.flatnonzero(off >= UNUSUAL):
        detail = (
            f"the shape of the last year correlates with that of the years before at {now[at]:.2f}, which correlate "
            f"with each other at {past[at]:.2f}"
        )
        yield Finding(airports[at], SEASONALITY, detail)


def year_shapes(mean: Array, year: int, parts: int) -> Array:
    """[years, A, parts] the logarithm of each year's parts, less its mean, the newest year first; at most four.

    A year that is not fully known, or has a part without traffic, is NaN.
    """
    years = min(mean.shape[1] // year, YEARS + 1)
    cut = mean[:, mean.shape[1] - years * year :].reshape(len(mean), years, parts, year // parts)
    traffic = cut.mean(axis=3)
    logs = np.log(traffic, where=traffic > 0, out=np.full(traffic.shape, np.nan))
    shapes: Array = (logs - logs.mean(axis=2, keepdims=True))[:, ::-1].transpose(1, 0, 2)
    return shapes


def alike(shape: Array, others: Array) -> Array:
    """[A] the correlation of one year's shape [A, parts] with the mean of the other years that are known."""
    known = np.isfinite(others).all(axis=2, keepdims=True)
    usual = np.where(known, others, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    usual = np.where(known.any(axis=0), usual, np.nan)
    shape, usual = (values - values.mean(axis=1, keepdims=True) for values in (shape, usual))
    size = np.sqrt((shape**2).sum(axis=1) * (usual**2).sum(axis=1))
    together = np.divide((shape * usual).sum(axis=1), size, where=size > 0, out=np.full(len(shape), np.nan))
    clipped: Array = np.clip(together, -MOST_ALIKE, MOST_ALIKE)
    return clipped


def _times(change: float) -> str:
    return f"{float(np.exp(change)):.3g} times"
