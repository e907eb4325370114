"""How a forecast answers to a history that is changed on purpose, whatever made the forecast.

    raw ──> variants: noise, scale, order of rows, code, dates, an event ──> forecast(raw, rules) ──> compared

Perturbation: a little noise changes little. Invariance: what says nothing of the traffic changes nothing. Direction:
more traffic raises the forecast (Ribeiro et al., "Beyond accuracy: behavioral testing of NLP models", 2020).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.findings import Finding, percent, unmeasured
from paxcast.core.treatment import Raw, Rules, Shock, on_grid

Array = npt.NDArray[np.float64]
Forecast = Callable[[Raw, Rules], Array]  # [H] traffic; fits anew

NOISE = (0.01, 0.05, 0.10)  # of each period of the last year, one standard deviation
FACTOR = 1000.0
YEARS = 28  # after them, weekdays and leap years lie as before; in periods:
SHIFT = {"MS": 336, "W": 1461, "D": 10227}
LAST_YEAR = 2099  # 2100 is no leap year: beyond, the calendar does not repeat itself
RAISED = 0.30
EVENT = "a known event, made up"
SAME = 1e-9  # relative to the largest value
OTHER_CODE = "X0X0"
CHANGE, DIFFERENCE, RISE = "median change", "largest difference", "rise of the mean"


@dataclass(frozen=True, slots=True)
class Variant:
    """One changed history. `measure`: how its forecast is compared; `unit`: what that is divided by before."""

    name: str
    raw: Raw
    rules: Rules
    measure: str
    unit: float = 1.0


def variants(raw: Raw, rules: Rules, seed: int) -> tuple[Variant, ...]:
    """Every change that is tried on one airport."""
    year = calendar.frequency(raw.frequency).year
    noisy = [Variant(noise_name(s), perturbed(raw, s, seed), rules, CHANGE) for s in NOISE]
    moved = SHIFT[raw.frequency] * (1 if _years_left(raw) else -1)
    event = raised(raw, RAISED, year // 2)
    return (
        *noisy,
        Variant("scale", scaled(raw, FACTOR), rules, DIFFERENCE, FACTOR),
        Variant("order of rows", reordered(raw, seed), rules, DIFFERENCE),
        Variant("airport code", replace(raw, airport=OTHER_CODE), rules, DIFFERENCE),
        Variant("dates", shifted(raw, moved), shifted_rules(rules, YEARS if moved > 0 else -YEARS), DIFFERENCE),
        Variant("event", event, announced(rules, raw, year // 2), RISE),
    )


def noise_name(share: float) -> str:
    return f"noise of {100 * share:g} %"


# --- the changes


def perturbed(raw: Raw, share: float, seed: int) -> Raw:
    """Normal noise of that share on each period of the last year; never below zero. The same seed, the same noise."""
    year = calendar.frequency(raw.frequency).year
    noise = np.zeros(len(raw.y))
    noise[-year:] = np.random.default_rng(seed).normal(0.0, share, min(year, len(raw.y)))
    return replace(raw, y=np.maximum(raw.y * (1 + noise), 0.0))


def scaled(raw: Raw, factor: float) -> Raw:
    """The same traffic in another unit."""
    return replace(raw, y=raw.y * factor)


def reordered(raw: Raw, seed: int) -> Raw:
    """The history read from its rows in another order; absent periods have no row."""
    rows = pd.DataFrame({DS: raw.ds, Y: raw.y})[np.isfinite(raw.y)]
    return on_grid(raw.airport, rows.sample(frac=1.0, random_state=np.random.default_rng(seed)), raw.frequency)


def shifted(raw: Raw, periods: int) -> Raw:
    """The same traffic, so many periods later."""
    moved = calendar.shift(pd.DatetimeIndex(raw.ds), periods, raw.frequency)
    return replace(raw, ds=moved.to_numpy().astype("datetime64[ns]"))


def shifted_rules(rules: Rules, years: int) -> Rules:
    """The same shocks and feasts, so many years later; a multiple of 28, as weekdays and leap years come round."""
    moved = (Shock(_later(s.first, years), _later(s.last, years), s.name) for s in rules.shocks)
    return replace(rules, shocks=tuple(moved), feasts_moved=rules.feasts_moved + years)


def raised(raw: Raw, share: float, periods: int) -> Raw:
    """The last periods raised by a share."""
    y = raw.y.copy()
    y[-periods:] *= 1 + share
    return replace(raw, y=y)


def announced(rules: Rules, raw: Raw, periods: int) -> Rules:
    """The rules with an event over the last periods, to the end of the last one, as a person would name it."""
    first = pd.Timestamp(raw.ds[-min(periods, len(raw.ds))]).date()
    end = calendar.next_periods(pd.Timestamp(raw.ds[-1]), 1, raw.frequency)[0] - pd.Timedelta(days=1)
    return replace(rules, shocks=(*rules.shocks, Shock(first, end.date(), EVENT)))


def _later(day: date, years: int) -> date:
    return day.replace(year=day.year + years)


def _years_left(raw: Raw) -> bool:
    """Whether the calendar still repeats itself by then, a forecast of two years included."""
    return int(str(raw.ds[-1])[:4]) + YEARS + 2 <= LAST_YEAR


# --- the comparison


def look(raw: Raw, rules: Rules, forecast: Forecast, seed: int) -> dict[str, float]:
    """What each variant did to the forecast of one airport, by the variant's name."""
    base = forecast(raw, rules)
    return {v.name: MEASURES[v.measure](base, forecast(v.raw, v.rules) / v.unit) for v in variants(raw, rules, seed)}


def change(base: Array, other: Array) -> float:
    """The median over the steps of the change of the forecast, as a share of it; NaN where all of it is zero. [H]"""
    known = base > 0
    return float(np.median(np.abs(other[known] / base[known] - 1))) if known.any() else float("nan")


def difference(base: Array, other: Array) -> float:
    """The largest difference, as a share of the largest value; 0 where both are zero throughout. [H]"""
    largest = float(max(np.max(np.abs(base)), np.max(np.abs(other))))
    return float(np.max(np.abs(base - other))) / largest if largest > 0 else 0.0


def rise(base: Array, other: Array) -> float:
    """By what share the mean is higher; NaN where it was zero. [H]"""
    mean = float(np.mean(base))
    return float(np.mean(other)) / mean - 1 if mean > 0 else float("nan")


MEASURES: Mapping[str, Callable[[Array, Array], float]] = {CHANGE: change, DIFFERENCE: difference, RISE: rise}


# --- what follows


def findings(rows: pd.DataFrame) -> list[Finding]:
    """One for each variant. rows: columns airport, variant, value: what `look` found."""
    by_name = {str(name): group.set_index(AIRPORT)["value"].dropna() for name, group in rows.groupby("variant")}
    asked: list[tuple[str, str, Callable[[pd.Series[float], str, str], Finding]]] = [
        *((noise_name(s), f"the median forecast changes by less than {100 * s:g} %", _steady(s)) for s in NOISE),
        ("scale", "traffic times 1,000: the same forecast times 1,000, to 1e-9", _equal),
        ("order of rows", "rows in another order: the same forecast, to 1e-9", _equal),
        ("airport code", "another code, the same seed: the same forecast, to 1e-9", _equal),
        ("dates", "dates, shocks and feasts 28 years away: the same forecast, to 1e-9", _equal),
        ("event", f"the last half year {100 * RAISED:g} % up, a known event: every forecast rises", _rising),
    ]
    return [
        judge(by_name[name], name, expected)
        if len(by_name.get(name, ()))
        else unmeasured(name, expected, "no airport of the sample was examined")
        for name, expected, judge in asked
    ]


def _steady(share: float) -> "Callable[[pd.Series[float], str, str], Finding]":
    def judge(values: "pd.Series[float]", name: str, expected: str) -> Finding:
        middle, worst = float(values.median()), float(values.quantile(0.9))
        measured = f"{percent(middle, 2)}; of nine airports in ten below {percent(worst, 2)}"
        return Finding(name, expected, measured, middle < share)

    return judge


def _equal(values: "pd.Series[float]", name: str, expected: str) -> Finding:
    worst = float(values.max())
    beyond = int((values > SAME).sum())
    where = f", {beyond} of {len(values)} airports beyond 1e-9, most {values.idxmax()}" if beyond else ""
    return Finding(name, expected, f"largest difference {worst:.1e}{where}", beyond == 0)


def _rising(values: "pd.Series[float]", name: str, expected: str) -> Finding:
    rose = int((values > 0).sum())
    least = f"the median one by {percent(float(values.median()))}, the least {percent(float(values.min()))}"
    return Finding(name, expected, f"{rose} of {len(values)} rise; {least} ({values.idxmin()})", rose == len(values))
