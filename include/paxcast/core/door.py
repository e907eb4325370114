"""The door: the one check of the table contract. Every row of every source comes through `admit`, and no other way.

A source hands in text, exactly as it was written. The door reads it, rejects the rows that cannot be attributed to an
airport and a period, and refuses the whole input when these are too many. What is legible but implausible
(negative, not finite, contradictory) is admitted: that is the quality of one airport, judged later for it alone.
"""

import re
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, AIRPORT_PATTERN, DS, KNOWN_AT, Y
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import Delivery, Rejected

FILE, ROW, DATE, VALUE, FAULT = "file", "row", "date", "value", "fault"
TEXT = [AIRPORT, DATE, VALUE, KNOWN_AT, FAULT]
BLANK_VALUE = f"{VALUE} is blank"

_TIME = r"([0-9]{2}:[0-9]{2})(?::[0-9]{2}(?:[.,][0-9]+)?)? ?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
ISO = rf"^([0-9]{{4}})(-?)([0-9]{{2}})(?:\2([0-9]{{2}})(?:[T ]{_TIME})?)?$"
_DIGITS = r"(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)"
_NUMBER = rf"[+-]?(?:{_DIGITS}(?:e[+-]?[0-9]+)?|nan|inf|infinity)"

# What every admitted row satisfies. `fault` is what the reader or the door already found wrong with the row as a whole.
CONTRACT = pa.DataFrameSchema(
    {
        FAULT: pa.Column(object, pa.Check(lambda found: found.isna(), name=FAULT), nullable=True),
        AIRPORT: pa.Column(str, pa.Check.str_matches(AIRPORT_PATTERN)),
        DS: pa.Column("datetime64[ns]"),
        Y: pa.Column(pd.Float64Dtype()),
        KNOWN_AT: pa.Column("datetime64[ns, UTC]", nullable=True),
    }
)


def admit(
    raw: pd.DataFrame,
    *,
    frequency: str | None,
    max_rejected_share: float = 0.10,
    date_format: str | None = None,
    decimal: str = ".",
    description: str = "the source",
) -> Delivery:
    """What of `raw` is under the table contract, and what is not and why.

    raw: one row for each row received; text columns `file`, `airport`, `date`, `value`, optionally `known_at` and
    `fault` (why the reader could not make sense of the row, else missing); `row`, its number in its file from 1 on.
    Dates are ISO (2013-01-31, 2013-01, 201301, 20130131, or with a time, whose zone is dropped and not converted) or as
    `date_format` (strptime) says. A bare date in `known_at` means the end of that day, an instant without zone is UTC.
    Out: rows sorted by airport, ds, y, known_at, whatever the order they came in.

    Raises BadFile when no row is usable, or when more than `max_rejected_share` of one file's rows are rejected, blank
    values apart. Raises ConfigurationError when a setting does not fit the data.
    """
    _check_settings(frequency, date_format, decimal)
    if raw.empty:
        raise BadFile(f"{description} has no rows; deliver it again, with at least one row below the header")
    texts = _texts(raw)
    typed = _typed(texts, date_format, decimal)
    reasons = _reasons(_failures(typed), texts.assign(fault=typed[FAULT]), date_format)
    _refuse_files(texts, reasons, max_rejected_share)
    good = typed.drop(index=reasons.index)
    if good.empty:
        raise BadFile(f"{description}: none of {len(raw)} rows is usable: {_examples(texts, reasons)}; {_REMEDY}")
    code = frequency or calendar.infer_frequency(good[AIRPORT], good[DS].dt.normalize())
    _check_step(good, code, stated=frequency is not None)
    if code == "W":
        _check_weekdays(good)
    rows = _sorted_rows(good, code)
    unique = rows.drop_duplicates(ignore_index=True)
    return Delivery(
        rows=unique,
        frequency=code,
        received=len(raw),
        repeated=len(rows) - len(unique),
        rejected=_rejected(texts, reasons),
        description=description,
    )


def _check_settings(frequency: str | None, date_format: str | None, decimal: str) -> None:
    if frequency is not None:
        calendar.frequency(frequency)
    if decimal not in (".", ","):
        raise ConfigurationError(f"source.decimal: {decimal!r} is neither '.' nor ','; use one of these")
    if date_format is not None:
        _check_date_format(date_format)


def _check_date_format(date_format: str) -> None:
    if not re.search("%[YyG]", date_format):
        raise ConfigurationError(f"source.date_format: {date_format!r} has no year; write it like %d/%m/%Y")
    try:
        datetime.strptime("", date_format)
    except ValueError as err:
        if not str(err).startswith("time data"):  # that only says that '' is no date
            raise ConfigurationError(f"source.date_format: {err}; write it like %d/%m/%Y") from err


# --- reading the text


def _texts(raw: pd.DataFrame) -> pd.DataFrame:
    """The raw columns with blanks stripped and absent text as ''; `fault` stays missing where there is none."""
    columns: dict[str, Any] = {FILE: raw[FILE].to_numpy(), ROW: raw[ROW].to_numpy()}
    for name in TEXT:
        text = raw[name] if name in raw else pd.Series(None, index=raw.index, dtype=object)
        columns[name] = text.astype(object).where(text.notna(), "").str.strip().to_numpy()
    frame = pd.DataFrame(columns)
    frame.loc[frame[FAULT] == "", FAULT] = None
    return frame


def _typed(texts: pd.DataFrame, date_format: str | None, decimal: str) -> pd.DataFrame:
    """The contract's columns, read from the text. What could not be read is missing. `ds` still has its time of day."""
    known_at = _each(texts[KNOWN_AT], _instants)
    fault = texts[FAULT].copy()
    illegible = fault.isna() & known_at.isna() & (texts[KNOWN_AT] != "")
    fault[illegible] = [f"known_at {_quoted(t)} is not an ISO date or instant" for t in texts.loc[illegible, KNOWN_AT]]
    return pd.DataFrame(
        {
            FILE: texts[FILE],
            ROW: texts[ROW],
            FAULT: fault,
            AIRPORT: texts[AIRPORT],
            DS: _each(texts[DATE], lambda dates: _moments(dates, date_format)),
            Y: _numbers(texts[VALUE], decimal),
            KNOWN_AT: known_at,
        }
    )


def _each(texts: "pd.Series[str]", read: Any) -> "pd.Series[Any]":
    """`read` of every distinct text, put back in place: a million rows hold a few thousand dates."""
    codes, distinct = pd.factorize(texts)
    return pd.Series(read(pd.Series(distinct, dtype=object)).take(codes), index=texts.index)


def _moments(dates: "pd.Series[str]", date_format: str | None) -> pd.DatetimeIndex:
    """The local date and time of each text as written; NaT for what no rule reads without guessing."""
    if date_format is None:
        return _iso(dates)
    read = pd.Series([_strptime(date, date_format) for date in dates], dtype=object)
    moments = pd.DatetimeIndex(pd.to_datetime(read, errors="coerce")).as_unit("ns")
    if re.search("%Y.*%d.*%m", date_format):
        return moments  # 2013-02-01 would be either, by the day it happens to name
    # Publishers change style between years: an ISO date with dashes is no guess beside any other format.
    dashed = dates.where(dates.str.slice(4, 5) == "-", "")
    return moments.where(moments.notna(), _iso(dashed))


def _iso(dates: "pd.Series[str]") -> pd.DatetimeIndex:
    parts = dates.str.extract(ISO).astype(object)
    day = parts[0] + "-" + parts[2] + "-" + parts[3].fillna("01")
    texts = day + " " + parts[4].fillna("00:00")
    return pd.DatetimeIndex(pd.to_datetime(texts, format="%Y-%m-%d %H:%M", errors="coerce")).as_unit("ns")


def _strptime(date: str, date_format: str) -> datetime | None:
    try:
        return datetime.strptime(date, date_format).replace(tzinfo=None)
    except ValueError:
        return None


def _instants(texts: "pd.Series[str]") -> pd.DatetimeIndex:
    """The UTC instant of each text. A bare date is known when that day has ended, as in `--as-of`."""
    legible = texts.where(texts.str.fullmatch(ISO) & (texts.str.len() >= len("20130131")), "")
    instants = pd.DatetimeIndex(pd.to_datetime(legible, format="ISO8601", utc=True, errors="coerce")).as_unit("ns")
    return instants.where(texts.str.len() > len("2013-01-31"), instants + pd.Timedelta(days=1))


def _numbers(texts: "pd.Series[str]", decimal: str) -> "pd.Series[Any]":
    """The number in each text [N]. Missing is: no number. NaN is a number that says nan: quality judges that."""
    pattern = _NUMBER.replace("{point}", re.escape(decimal))
    legible = texts.str.fullmatch(pattern, flags=re.IGNORECASE | re.ASCII).to_numpy(dtype=bool)
    values = texts.where(legible, "nan").str.replace(decimal, ".", regex=False).to_numpy().astype(np.float64)
    return pd.Series(pd.arrays.FloatingArray(values + 0.0, ~legible), index=texts.index)


# --- rejecting rows, refusing files

_REMEDY = "correct the file, or the columns and formats under `source`, and ingest again"


def _failures(typed: pd.DataFrame) -> "pd.Series[Any]":
    """By row: the column of the first rule it breaks, in the order of the contract, `value` last."""
    try:
        CONTRACT.validate(typed, lazy=True)
    except SchemaErrors as err:
        cases = err.failure_cases[["column", "index"]]
        order = cases["column"].map({name: rank for rank, name in enumerate([FAULT, AIRPORT, DS, KNOWN_AT, Y])})
        first = cases.assign(order=order).sort_values(["index", "order"]).drop_duplicates("index")
        return pd.Series(first["column"].to_numpy(), index=first["index"].astype(int))
    return pd.Series(dtype=object, index=pd.Index([], dtype=int))


def _reasons(failures: "pd.Series[str]", texts: pd.DataFrame, date_format: str | None) -> "pd.Series[str]":
    """By rejected row: the rule and the offending text."""
    reasons: pd.Series[str] = texts.loc[failures.index, FAULT].astype(object)
    for column, source in ((AIRPORT, AIRPORT), (DS, DATE), (Y, VALUE)):
        here = failures.index[failures == column]
        rule = _rule(column, date_format)
        found = texts.loc[here, source]
        said = [f"{source} {_quoted(text)} {rule}" if text else f"{source} is blank" for text in found]
        reasons[here] = pd.Series(said, index=here, dtype=object)
    return reasons


def _rule(column: str, date_format: str | None) -> str:
    if column == AIRPORT:
        return "is not a code of 2 to 8 of A-Z, 0-9, _ and -"
    if column == Y:
        return "is not a number"
    if date_format is None:
        return "is not a date that reads one way only: write 2013-01-31, or state source.date_format"
    return f"is not a date as source.date_format {date_format!r} writes it"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _refuse_files(texts: pd.DataFrame, reasons: "pd.Series[str]", max_rejected_share: float) -> None:
    """Raises BadFile for the first file with too many rejects. Blank values do not count: publishers leave them."""
    counted = reasons[reasons != BLANK_VALUE]
    received = texts[FILE].value_counts(sort=False).sort_index()
    for file, count in texts.loc[counted.index, FILE].value_counts(sort=False).sort_index().items():
        if count > max_rejected_share * received[file]:
            here = counted[texts.loc[counted.index, FILE] == file]
            raise BadFile(
                f"{file}: {count} of {received[file]} rows are rejected ({count / received[file]:.1%}), and "
                f"source.max_rejected_share allows {max_rejected_share:.1%}: {_examples(texts, here)}; {_REMEDY}"
            )


def _examples(texts: pd.DataFrame, reasons: "pd.Series[str]") -> str:
    first = _rejected(texts, reasons.head(3))
    more = "; ..." if len(reasons) > len(first) else ""
    return "; ".join(f"row {case.row}: {case.reason}" for case in first) + more


def _rejected(texts: pd.DataFrame, reasons: "pd.Series[str]") -> list[Rejected]:
    """By file and row. The airport is named where its code is one."""
    rows = texts.loc[reasons.index].assign(reason=reasons).sort_values([FILE, ROW], kind="stable")
    codes = [code if re.match(AIRPORT_PATTERN, code) else None for code in rows[AIRPORT]]
    columns = zip(rows[FILE], rows[ROW], rows["reason"], codes, strict=True)
    return [Rejected(str(file), int(row), reason, code) for file, row, reason, code in columns]


# --- periods

_STEP_DAYS = {"D": (1, 1), "W": (7, 7), "MS": (28, 31)}  # shortest and longest step between neighbouring periods
_PLAIN_STEPS = 12  # fewer steps than this may be a short correction: no verdict on what is merely sparse
_PLAIN_SHARE = 0.9


def _check_step(good: pd.DataFrame, code: str, stated: bool) -> None:
    """Raises ConfigurationError when the dates plainly have another step than the frequency's.

    Shorter than a period: most steps are. Longer: nearly all are, and equal; a fleet of airports that are open now and
    then is sparse, and that is no contradiction.
    """
    steps = _steps_days(good)
    if steps.empty:
        return
    shortest, longest = _STEP_DAYS[code]
    common = float(steps.mode().iloc[0])
    too_short = (steps < shortest - 0.5).mean() > 0.5
    regular = ((steps - common).abs() <= 0.1 * common).mean() >= _PLAIN_SHARE
    too_long = len(steps) >= _PLAIN_STEPS and regular and common > longest + 0.5
    if too_short or too_long:
        raise ConfigurationError(
            f"source.frequency is {code}{'' if stated else ' (inferred)'} but the most common step is "
            f"{_duration(common)}; state the frequency the data has (D, W or MS), or aggregate the data first"
        )


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


def _sorted_rows(good: pd.DataFrame, code: str) -> pd.DataFrame:
    """Columns airport, ds (period start), y, known_at, in an order that depends on the content only."""
    unit = "datetime64[M]" if code == "MS" else "datetime64[D]"
    starts = good[DS].to_numpy().astype(unit).astype("datetime64[ns]")
    y = good[Y].to_numpy(dtype=np.float64, na_value=np.nan)
    known_at = good[KNOWN_AT].reset_index(drop=True)
    airports = good[AIRPORT].to_numpy()
    order = np.lexsort((known_at.dt.tz_localize(None), y, starts, pd.factorize(airports, sort=True)[0]))
    rows = pd.DataFrame({AIRPORT: airports, DS: starts, Y: y, KNOWN_AT: known_at})
    return rows.iloc[order].reset_index(drop=True)
