"""Whether the dates of a delivery fit the frequency that its fleet has: their steps, and the weekdays of weeks."""

import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import FILE, ROW

_STEP_DAYS = {"D": (1, 1), "W": (7, 7), "MS": (28, 31)}  # shortest and longest step between neighbouring periods
_PLAIN_STEPS = 12  # fewer steps than this may be a short correction: no verdict on what is merely sparse
_PLAIN_SHARE = 0.9


def frequency_of(good: pd.DataFrame, stated: str | None, ingested: str | None, description: str) -> str:
    """The frequency of a delivery: as stated, else as that of the fleet's data `ingested` before, else inferred.

    good: columns airport, ds (a moment), file, row. Raises ConfigurationError when the dates contradict the frequency
    or none can be inferred, BadFile when they contradict the frequency ingested before, or one airport's weeks start on
    several weekdays.
    """
    code = stated or ingested or calendar.infer_frequency(good[AIRPORT], good[DS].dt.normalize())
    step = _contradicting_step(good, code)
    if step and ingested and not stated:
        raise BadFile(
            f"{description}: the most common step is {step}, and the fleet's data are {code} since the first ingestion"
            f"; deliver {code} data, or ingest these under another fleet name"
        )
    if step:
        raise ConfigurationError(
            f"source.frequency is {code}{'' if stated else ' (inferred)'} but the most common step is {step}; state "
            "the frequency the data has (D, W or MS), or aggregate the data first"
        )
    if code == "W":
        _check_weekdays(good)
    return code


def _contradicting_step(good: pd.DataFrame, code: str) -> str:
    """The most common step, where the dates plainly have another than the frequency's; else "".

    Shorter than a period: most steps are. Longer: nearly all are, and equal; a fleet of airports that are open now and
    then is sparse, and that is no contradiction.
    """
    steps = _steps_days(good)
    if steps.empty:
        return ""
    shortest, longest = _STEP_DAYS[code]
    common = float(steps.mode().iloc[0])
    too_short = (steps < shortest - 0.5).mean() > 0.5
    regular = ((steps - common).abs() <= 0.1 * common).mean() >= _PLAIN_SHARE
    too_long = len(steps) >= _PLAIN_STEPS and regular and common > longest + 0.5
    return _duration(common) if too_short or too_long else ""


def _steps_days(good: pd.DataFrame) -> "pd.Series[float]":
    """The steps between neighbouring distinct moments of one airport, in days, over all airports. [N]"""
    distinct = good[[AIRPORT, DS]].drop_duplicates().sort_values([AIRPORT, DS])
    steps: pd.Series[pd.Timedelta] = distinct.groupby(AIRPORT)[DS].diff().dropna()
    return steps.dt.total_seconds() / 86_400


def _duration(days: float) -> str:
    number, unit = (days, "day") if days >= 1 else (days * 24, "hour")
    return f"{number:.3g} {unit}{'' if round(number, 3) == 1 else 's'}"


def _check_weekdays(good: pd.DataFrame) -> None:
    """Raises BadFile when one airport's weeks start on several weekdays: then they overlap or leave gaps."""
    weekday = good[DS].dt.dayofweek
    usual = pd.crosstab(good[AIRPORT], weekday).idxmax(axis=1)
    odd = good[weekday != good[AIRPORT].map(usual)].sort_values([AIRPORT, FILE, ROW])
    if odd.empty:
        return
    first = odd.iloc[0]
    days = pd.Timestamp(2024, 1, 1) + pd.Timedelta(days=int(usual[first[AIRPORT]]))  # a Monday
    raise BadFile(
        f"{first[FILE]}, row {first[ROW]}: {first[AIRPORT]} has {first[DS]:%Y-%m-%d}, a {first[DS].day_name()}, among "
        f"weeks that start on {days.day_name()}; weekly data (source.frequency W) keeps one weekday an airport; "
        f"correct the {len(odd)} such dates, or state another frequency"
    )
