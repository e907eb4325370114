"""The door: the one check of the table contract. Every row of every source comes through `admit`, and no other way.

A source hands in text, exactly as it was written. The door reads it, rejects the rows that cannot be attributed to an
airport and a period, and refuses the whole input when these are too many. What is legible but implausible
(negative, not finite, contradictory) is admitted: that is the quality of one airport, judged later for it alone.
"""

import re
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from paxcast.core import calendar, steps, written
from paxcast.core.columns import AIRPORT, AIRPORT_PATTERN, DS, KNOWN_AT, Y
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import DATE, FAULT, FILE, ROW, VALUE, Delivery, Rejected

TEXT = [AIRPORT, DATE, VALUE, KNOWN_AT, FAULT]
BLANK_VALUE = f"{VALUE} is blank"

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
    ingested_frequency: str | None = None,
    received_at: pd.Timestamp | None = None,
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
    `frequency`: as stated; else `ingested_frequency`, that of the fleet's data so far; else it is inferred. A period
    that had not ended at `received_at` (UTC) is rejected. Of files that state one period of one vintage the last by
    name holds.
    Out: rows sorted by airport, ds, y, known_at, whatever the order they came in.

    Raises BadFile when no row can be read, when more than `max_rejected_share` of one file's rows are rejected, blank
    values and periods that had not ended apart, or when the rows do not fit the frequency ingested before. Raises
    ConfigurationError when a setting does not fit the data.
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
    code = steps.frequency_of(good, frequency, ingested_frequency, description)
    periods = good.assign(**{DS: _starts(good[DS], code)})
    running = _unended(periods, code, received_at)
    ended = periods.drop(index=running.index)
    rows = _sorted_rows(_last_files(ended)).drop_duplicates(ignore_index=True)
    return Delivery(
        rows=rows,
        frequency=code,
        received=len(raw),
        repeated=len(ended) - len(rows),
        rejected=_rejected(texts, pd.concat([reasons, running])),
        description=description,
    )


def _check_settings(frequency: str | None, date_format: str | None, decimal: str) -> None:
    if frequency is not None:
        calendar.frequency(frequency)
    if decimal not in (".", ","):
        raise ConfigurationError(f"source.decimal: {decimal!r} is neither '.' nor ','; use one of these")
    if date_format is not None:
        written.check_date_format(date_format)


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
    known_at = _each(texts[KNOWN_AT], written.instants)
    return pd.DataFrame(
        {
            FILE: texts[FILE],
            ROW: texts[ROW],
            FAULT: _faults(texts, known_at, date_format),
            AIRPORT: texts[AIRPORT],
            DS: _each(texts[DATE], lambda dates: written.moments(dates, date_format)),
            Y: written.numbers(texts[VALUE], decimal),
            KNOWN_AT: known_at,
        }
    )


def _faults(texts: pd.DataFrame, known_at: "pd.Series[Any]", date_format: str | None) -> "pd.Series[Any]":
    """What is wrong with a row as a whole: the reader's fault, else a date that no year can have, else its known_at."""
    fault = texts[FAULT].copy()
    bounds = "lies outside the years {} to {}: correct it".format(*written.YEARS)
    far_date = _each(texts[DATE], lambda dates: written.outside_years(dates, date_format))
    far_known_at = _each(texts[KNOWN_AT], lambda dates: written.outside_years(dates, None))
    for column, wrong, rule in (
        (DATE, far_date, bounds),
        (KNOWN_AT, far_known_at, bounds),
        (KNOWN_AT, known_at.isna() & (texts[KNOWN_AT] != ""), "is not an ISO date or instant"),
    ):
        here = fault.isna() & wrong
        fault[here] = [f"{column} {_quoted(text)} {rule}" for text in texts.loc[here, column]]
    return fault


def _each(texts: "pd.Series[str]", read: Any) -> "pd.Series[Any]":
    """`read` of every distinct text, put back in place: a million rows hold a few thousand dates."""
    codes, distinct = pd.factorize(texts)
    return pd.Series(read(pd.Series(distinct, dtype=object)).take(codes), index=texts.index)


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


def _starts(moments: "pd.Series[Any]", code: str) -> "pd.Series[Any]":
    """The start of the period that each moment lies in; weeks keep the day they come with."""
    unit = "datetime64[M]" if code == "MS" else "datetime64[D]"
    return pd.Series(moments.to_numpy().astype(unit).astype("datetime64[ns]"), index=moments.index)


def _unended(periods: pd.DataFrame, code: str, received_at: pd.Timestamp | None) -> "pd.Series[str]":
    """By row: why a period that had not ended is rejected. No reason names the receipt: it is another every night."""
    if received_at is None:
        return pd.Series(dtype=object)
    ends = calendar.period_end(periods[DS], code)
    running = ends > received_at
    named = zip(periods.loc[running, DS], ends[running], strict=True)
    reasons = [
        f"the period of {start:%Y-%m-%d} had not ended when it was received: it ends {end:%Y-%m-%d %H:%M} UTC; deliver "
        "it again after that"
        for start, end in named
    ]
    return pd.Series(reasons, index=periods.index[running], dtype=object)


def _last_files(periods: pd.DataFrame) -> pd.DataFrame:
    """The rows without those that a later file, by name, states anew: the same airport, period and known_at."""
    number = pd.Series(pd.factorize(periods[FILE], sort=True)[0], index=periods.index)
    last = number.groupby([periods[AIRPORT], periods[DS], periods[KNOWN_AT]], dropna=False).transform("max")
    return periods[number == last]


def _sorted_rows(periods: pd.DataFrame) -> pd.DataFrame:
    """Columns airport, ds (period start), y, known_at, in an order that depends on the content only."""
    y = periods[Y].to_numpy(dtype=np.float64, na_value=np.nan)
    known_at = periods[KNOWN_AT].reset_index(drop=True)
    starts, airports = periods[DS].to_numpy(), periods[AIRPORT].to_numpy()
    order = np.lexsort((known_at.dt.tz_localize(None), y, starts, pd.factorize(airports, sort=True)[0]))
    rows = pd.DataFrame({AIRPORT: airports, DS: starts, Y: y, KNOWN_AT: known_at})
    return rows.iloc[order].reset_index(drop=True)
