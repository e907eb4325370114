"""The table contract at the door: what is admitted, what is rejected and why, and when a whole file is refused."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from paxcast.core.door import admit
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import Delivery

SETTINGS = settings(max_examples=50, deadline=None)


def raw(*rows: tuple[str | None, ...], file: str = "traffic.csv", **columns: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["airport", "date", "value"], dtype=object)
    return frame.assign(file=file, row=range(1, len(rows) + 1), **columns)


def let_in(frame: pd.DataFrame, **kwargs: Any) -> Delivery:
    return admit(frame, **({"frequency": "D", "max_rejected_share": 1.0} | kwargs))


def reasons(delivery: Delivery) -> list[tuple[int, str]]:
    return [(case.row, case.reason) for case in delivery.rejected]


GOOD = ("JFK", "2013-01-01", "10")


def test_a_good_row_becomes_a_typed_row():
    delivery = let_in(raw((" JFK ", " 2013-01-01 ", " 10.5 ")))
    expected = pd.DataFrame(
        {
            "airport": ["JFK"],
            "ds": pd.DatetimeIndex(["2013-01-01"]).as_unit("ns"),
            "y": [10.5],
            "known_at": pd.DatetimeIndex([None], dtype="datetime64[ns, UTC]"),
        }
    )
    assert_frame_equal(delivery.rows, expected)
    assert (delivery.received, delivery.repeated, delivery.rejected) == (1, 0, [])


def test_the_frame_handed_in_is_left_as_it_was():
    frame = raw(GOOD, (" EWR", "2013", " "))
    before = frame.copy(deep=True)
    let_in(frame)
    assert_frame_equal(frame, before)


# --- airports


@pytest.mark.parametrize("airport", ["jfk", "J", "J FK", "TOOLONGCODE", "JFK!", "É1"])
def test_a_malformed_airport_code_is_rejected_with_the_rule_and_the_code(airport):
    delivery = let_in(raw(GOOD, (airport, "2013-01-01", "10")))
    assert reasons(delivery) == [(2, f"airport {airport!r} is not a code of 2 to 8 of A-Z, 0-9, _ and -")]
    assert delivery.rejected[0].airport is None


@pytest.mark.parametrize("airport", ["", "  ", None])
def test_a_blank_airport_is_rejected(airport):
    assert reasons(let_in(raw(GOOD, (airport, "2013-01-01", "10")))) == [(2, "airport is blank")]


def test_the_airport_code_na_is_a_code():
    assert let_in(raw(("NA", "2013-01-01", "10"))).rows["airport"].tolist() == ["NA"]


# --- values


@pytest.mark.parametrize("value", ["", "  ", None])
def test_a_blank_value_is_rejected_as_blank_and_attributed_to_its_airport(value):
    delivery = let_in(raw(GOOD, ("EWR", "2013-01-01", value)), max_rejected_share=0.0)
    assert reasons(delivery) == [(2, "value is blank")]
    assert (delivery.rejected[0].file, delivery.rejected[0].airport) == ("traffic.csv", "EWR")


@pytest.mark.parametrize(
    "value", ["abc", "1,5", "1,234", "1 234", "1_000", "0x10", "-", ":", "NA", "12e", "--1", "١", "ınf"]
)
def test_a_value_that_is_no_number_is_rejected_and_named(value):
    assert reasons(let_in(raw(GOOD, ("EWR", "2013-01-01", value)))) == [(2, f"value {value!r} is not a number")]


@pytest.mark.parametrize(
    "value", ["nan", "NaN", "inf", "-inf", "Infinity", "-5", "0", "1e3", "+3", ".5", "5.", "1e400"]
)
def test_every_number_is_admitted_however_implausible(value):
    delivery = let_in(raw(("JFK", "2013-01-01", value)))
    assert delivery.rejected == []
    np.testing.assert_equal(delivery.rows["y"].item(), float(value))


@SETTINGS
@given(st.floats())
def test_a_number_is_read_to_its_last_bit(number):
    np.testing.assert_equal(let_in(raw(("JFK", "2013-01-01", repr(number)))).rows["y"].item(), number + 0.0)


@SETTINGS
@given(st.text(max_size=8) | st.from_regex(r"[ +-]?[0-9._,einfa]{1,6}", fullmatch=True))
def test_a_text_is_admitted_only_if_python_reads_it_as_that_number(text):
    delivery = let_in(raw(GOOD, ("EWR", "2013-01-01", text)))
    for y in delivery.rows.loc[delivery.rows["airport"] == "EWR", "y"]:
        np.testing.assert_equal(y, float(text) + 0.0)


def test_minus_zero_is_zero():
    delivery = let_in(raw(("JFK", "2013-01-01", "-0.0"), ("JFK", "2013-01-01", "0")))
    assert delivery.repeated == 1
    assert math.copysign(1, delivery.rows["y"].item()) == 1


def test_a_decimal_comma_is_read_where_the_setting_says_so_and_then_a_point_is_not():
    delivery = let_in(raw(("JFK", "2013-01-01", "1,5"), ("EWR", "2013-01-01", "1.234")), decimal=",")
    assert delivery.rows["y"].tolist() == [1.5]
    assert reasons(delivery) == [(2, "value '1.234' is not a number")]


def test_an_unknown_decimal_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match=r"source\.decimal: '#' is neither '\.' nor ','; use one of these"):
        let_in(raw(GOOD), decimal="#")


# --- dates


@pytest.mark.parametrize(
    "date",
    [
        "2013-02-01",
        "20130201",
        "2013-02",
        "201302",
        "2013-02-01T23:30:00Z",
        "2013-02-01 23:30",
        "2013-02-01T23:30+05:00",
        "2013-02-01 00:00:00.000000000-0800",
        "2013-02-01 00:00:00,5+01",
    ],
)
def test_a_date_that_reads_one_way_only_is_read_and_keeps_its_local_day(date):
    assert let_in(raw(("JFK", date, "10"))).rows["ds"].tolist() == [pd.Timestamp("2013-02-01")]


@pytest.mark.parametrize(
    "date",
    [
        "01/02/2013",
        "2013/02/01",
        "1-2-2013",
        "01-02-13",
        "2013",
        "20131",
        "2013-13-01",
        "2013-02-30",
        "201313",
        "now",
        "today",
        "2013-02-01T25:00",
        "Feb 2013",
        "2013-0201",
        "1356998400000",
        "NaT",
    ],
)
def test_a_date_that_would_have_to_be_guessed_is_rejected_with_what_to_do(date):
    rule = "is not a date that reads one way only: write 2013-01-31, or state source.date_format"
    assert reasons(let_in(raw(GOOD, ("EWR", date, "10")))) == [(2, f"date {date!r} {rule}")]


@pytest.mark.parametrize("frequency", ["D", "MS", "W"])
@pytest.mark.parametrize("date", ["1900-01-01", "2200-12-31"])
def test_dates_of_1900_to_2200_are_read(date, frequency):
    assert len(let_in(raw(("EWR", date, "10")), frequency=frequency).rows) == 1


@pytest.mark.parametrize("date", ["0013-01-01", "1899-12-31", "220101", "2262-04-01", "2262-04-12", "9999-12-31"])
@pytest.mark.parametrize("frequency", ["D", "MS"])
def test_a_date_of_another_year_is_rejected_and_told_so(date, frequency):
    rule = "lies outside the years 1900 to 2200: correct it"
    assert reasons(let_in(raw(GOOD, ("EWR", date, "10")), frequency=frequency)) == [(2, f"date {date!r} {rule}")]


def test_a_date_of_another_year_is_told_so_whatever_the_format_it_is_written_in():
    rows = raw(("EWR", "01/02/2013", "1"), ("EWR", "31/12/9999", "2"), ("EWR", "9999-12-31", "3"))
    assert reasons(let_in(rows, date_format="%d/%m/%Y")) == [
        (2, "date '31/12/9999' lies outside the years 1900 to 2200: correct it"),
        (3, "date '9999-12-31' lies outside the years 1900 to 2200: correct it"),
    ]


@pytest.mark.parametrize("date", ["", " ", None])
def test_an_absent_date_is_rejected(date):
    assert reasons(let_in(raw(GOOD, ("EWR", date, "10")))) == [(2, "date is blank")]


def test_a_long_offending_text_is_cut_in_the_message():
    (case,) = let_in(raw(GOOD, ("EWR", "x" * 1000, "10"))).rejected
    assert len(case.reason) < 150


def test_a_stated_date_format_reads_what_would_be_ambiguous():
    delivery = let_in(raw(("JFK", "01/02/2013", "10")), date_format="%d/%m/%Y")
    assert delivery.rows["ds"].tolist() == [pd.Timestamp("2013-02-01")]


def test_beside_a_stated_format_dashed_iso_dates_are_still_read_but_compact_ones_are_not():
    rows = raw(("JFK", "01-02-19", "10"), ("JFK", "2024-12-31", "11"), ("JFK", "20241231", "12"))
    delivery = let_in(rows, date_format="%d-%m-%y")
    assert delivery.rows["ds"].tolist() == [pd.Timestamp("2019-02-01"), pd.Timestamp("2024-12-31")]
    assert reasons(delivery) == [(3, "date '20241231' is not a date as source.date_format '%d-%m-%y' writes it")]


def test_a_format_that_iso_could_contradict_is_never_mixed_with_iso():
    delivery = let_in(raw(("JFK", "2013-02-01", "10"), ("JFK", "2013-12-31", "11")), date_format="%Y-%d-%m")
    assert delivery.rows["ds"].tolist() == [pd.Timestamp("2013-01-02")]
    assert len(delivery.rejected) == 1


def test_a_date_format_with_a_zone_keeps_the_day_as_written():
    rows = raw(("JFK", "01/02/2013 23:30 -0500", "10"), ("EWR", "01/02/2013 00:30 +0200", "10"))
    delivery = let_in(rows, date_format="%d/%m/%Y %H:%M %z")
    assert delivery.rows["ds"].tolist() == [pd.Timestamp("2013-02-01")] * 2


@pytest.mark.parametrize("date_format", ["mixed", "YYYY-MM-DD", "%d/%m", "%Y-%Q", "%Y%"])
def test_a_date_format_that_cannot_work_is_a_configuration_error(date_format):
    with pytest.raises(ConfigurationError, match=r"source\.date_format.*write it like %d/%m/%Y"):
        let_in(raw(GOOD), date_format=date_format)


# --- known_at


def known(*texts: str | None) -> Delivery:
    rows = [("JFK", f"2013-01-0{day}", "10") for day in range(1, len(texts) + 1)]
    return let_in(raw(*rows, known_at=list(texts)))


def test_known_at_is_an_instant_in_utc_and_a_bare_date_the_end_of_that_day():
    stamps = known("2019-03-01T12:00+02:00", "2019-03-01", "20190301", "2019-03-01T12:00", None, " ").rows["known_at"]
    instants = ["2019-03-01T10:00Z", "2019-03-02T00:00Z", "2019-03-02T00:00Z", "2019-03-01T12:00Z"]
    assert stamps[:4].tolist() == [pd.Timestamp(text) for text in instants]
    assert stamps[4:].isna().all()


@pytest.mark.parametrize("text", ["yesterday", "03/01/2019", "2019-03", "2019-13-01"])
def test_an_unreadable_known_at_rejects_the_row(text):
    assert reasons(known(None, text)) == [(2, f"known_at {text!r} is not an ISO date or instant")]


@pytest.mark.parametrize("text", ["9999-12-31", "2262-04-11", "0001-01-01T00:00Z"])
def test_a_known_at_of_another_year_is_rejected_and_told_so(text):
    assert reasons(known(None, text)) == [(2, f"known_at {text!r} lies outside the years 1900 to 2200: correct it")]


# --- periods


@pytest.mark.parametrize("date", ["2013-01-01", "2013-01-31", "2013-01-15T10:00", "2013-01", "201301"])
def test_whatever_day_names_a_month_the_month_starts_on_its_first(date):
    assert let_in(raw(("JFK", date, "10")), frequency="MS").rows["ds"].tolist() == [pd.Timestamp("2013-01-01")]


def test_weeks_keep_the_weekday_they_come_with_and_airports_may_differ():
    rows = raw(("JFK", "2013-01-06", "1"), ("JFK", "2013-01-13", "2"), ("EWR", "2013-01-07", "3"))
    days = let_in(rows, frequency="W").rows["ds"]
    assert days.dt.day_name().tolist() == ["Monday", "Sunday", "Sunday"]


def month_ends(count: int) -> list[str]:
    return pd.date_range("2013-01-31", periods=count, freq="ME").strftime("%Y-%m-%d").tolist()


def every(days: int, count: int = 30) -> list[str]:
    return pd.date_range("2013-01-01", periods=count, freq=f"{days}D").strftime("%Y-%m-%d").tolist()


def series(dates: list[str], airport: str = "JFK") -> list[tuple[str, str, str]]:
    return [(airport, date, str(number)) for number, date in enumerate(dates)]


@pytest.mark.parametrize(("dates", "code"), [(every(1), "D"), (every(7), "W"), (month_ends(14), "MS")])
def test_the_frequency_is_inferred_over_the_whole_delivery_where_it_is_not_stated(dates, code):
    delivery = let_in(raw(*series(dates), ("EWR", dates[0], "1")), frequency=None)
    assert delivery.frequency == code
    assert len(delivery.rows) == len(dates) + 1


@pytest.mark.parametrize(
    ("stated", "dates", "step"),
    [
        ("MS", every(1), "1 day"),
        ("MS", every(7), "7 days"),
        ("W", every(1), "1 day"),
        ("W", month_ends(30), "31 days"),
        ("D", every(7), "7 days"),
        ("D", month_ends(30), "31 days"),
        ("MS", month_ends(90)[::3], "92 days"),
        ("D", [f"2013-01-0{d}T{h:02d}:00" for d in range(1, 4) for h in range(24)], "1 hour"),
    ],
)
def test_a_stated_frequency_that_the_dates_contradict_is_a_configuration_error(stated, dates, step):
    with pytest.raises(ConfigurationError, match=rf"source\.frequency is {stated} but the most common step is {step};"):
        let_in(raw(*series(dates)), frequency=stated)


def test_hourly_data_is_not_taken_for_daily_data():
    dates = [f"2013-01-0{day}T{hour:02d}:00" for day in range(1, 4) for hour in range(24)]
    with pytest.raises(ConfigurationError, match=r"source\.frequency is D \(inferred\) but .* 1 hour; .* aggregate"):
        let_in(raw(*series(dates)), frequency=None)


@pytest.mark.parametrize(
    ("stated", "dates"),
    [
        ("D", ["2013-01-01", "2013-01-08"]),
        ("MS", ["2013-01-01", "2014-01-01"]),
        ("D", [day for monday in every(7) for day in (monday, str(pd.Timestamp(monday) + pd.Timedelta(days=3)))]),
        ("D", ["2013-01-01T23:59", "2013-01-02T22:00", "2013-01-03T21:00"]),
        ("MS", ["2013-01-31", "2013-02-15", "2013-03-31"]),
    ],
)
def test_a_short_correction_and_a_sparse_airport_do_not_contradict_the_stated_frequency(stated, dates):
    assert len(let_in(raw(*series(dates)), frequency=stated).rows) == len(dates)


def test_an_unknown_frequency_is_a_configuration_error():
    with pytest.raises(ConfigurationError, match=r"source\.frequency: 'H' is not one of D, W, MS"):
        let_in(raw(GOOD), frequency="H")


def test_weeks_of_one_airport_on_several_weekdays_are_refused_naming_airport_file_and_row():
    frame = raw(*series(every(7), "EWR"), *series([*every(7), "2013-10-30"]))
    message = r"traffic\.csv, row 61: JFK has 2013-10-30, a Wednesday, among weeks that start on Tuesday.*state another"
    with pytest.raises(BadFile, match=message):
        let_in(frame, frequency="W")


@pytest.mark.parametrize(
    ("code", "last", "end"),
    [("D", "2013-01-10", "2013-01-11"), ("W", "2013-01-08", "2013-01-15"), ("MS", *["2013-01-31", "2013-02-01"])],
)
def test_a_period_that_had_not_ended_when_it_was_received_is_rejected_and_counts_towards_no_share(code, last, end):
    instant = pd.Timestamp(end, tz="UTC")
    frame = raw(("JFK", last, "5"))
    early = let_in(frame, frequency=code, received_at=instant - pd.Timedelta(seconds=1), max_rejected_share=0.0)
    start = "2013-01-01" if code == "MS" else last
    reason = (
        f"the period of {start} had not ended when it was received: it ends {end} 00:00 UTC; deliver it again after"
    )
    assert reasons(early) == [(1, f"{reason} that")]
    assert (len(early.rows), early.received, early.rejected[0].airport) == (0, 1, "JFK")
    assert list(early.rows) == ["airport", "ds", "y", "known_at"]
    assert len(let_in(frame, frequency=code, received_at=instant).rows) == 1


def test_rows_of_ended_periods_beside_one_that_runs_are_admitted():
    delivery = let_in(raw(*series(every(1, 5))), received_at=pd.Timestamp("2013-01-05T09:00Z"))
    assert [case.row for case in delivery.rejected] == [5]
    assert len(delivery.rows) == 4


# --- the frequency of what was ingested before


@pytest.mark.parametrize(("ingested", "dates"), [("D", every(7, 4)), ("D", ["2013-01-07"]), ("MS", month_ends(3))])
def test_a_short_delivery_is_read_at_the_frequency_that_was_ingested_before(ingested, dates):
    delivery = let_in(raw(*series(dates)), frequency=None, ingested_frequency=ingested)
    assert (delivery.frequency, len(delivery.rows)) == (ingested, len(dates))


@pytest.mark.parametrize(
    ("ingested", "dates", "step"), [("W", every(1), "1 day"), ("MS", every(7, 4), "7 days"), ("D", every(7), "7 days")]
)
def test_a_delivery_that_does_not_fit_the_frequency_ingested_before_is_refused(ingested, dates, step):
    message = rf"^a\.csv: the most common step is {step}, and the fleet's data are {ingested} since the first ingestion"
    with pytest.raises(BadFile, match=message):
        let_in(raw(*series(dates)), frequency=None, ingested_frequency=ingested, description="a.csv")


def test_a_stated_frequency_wins_over_the_one_ingested_before():
    assert let_in(raw(*series(every(1))), frequency="D", ingested_frequency="W").frequency == "D"


# --- repeats, conflicts and order


def test_identical_repeats_are_collapsed_and_counted_also_after_dates_are_brought_to_their_period():
    rows = raw(
        ("JFK", "2013-01-01", "5"), ("JFK", "2013-01", "5.0"), ("JFK", "2013-02", "nan"), ("JFK", "201302", "NaN")
    )
    delivery = let_in(rows, frequency="MS")
    assert (len(delivery.rows), delivery.repeated, delivery.received) == (2, 2, 4)


def test_contradictory_rows_are_admitted_for_the_airports_quality_to_judge():
    delivery = let_in(raw(("JFK", "2013-01-01", "6"), ("JFK", "2013-01-01", "5")))
    assert (delivery.rows["y"].tolist(), delivery.repeated) == ([5.0, 6.0], 0)


def files(*rows: tuple[str, str, str, str, str | None]) -> pd.DataFrame:
    """Rows file, airport, date, value, known_at."""
    frame = pd.DataFrame(rows, columns=["file", "airport", "date", "value", "known_at"], dtype=object)
    return frame.assign(row=range(1, len(rows) + 1))


def test_of_two_files_that_state_a_period_the_last_by_name_holds_and_the_other_counts_as_repeated():
    day = "2013-01-01"
    delivery = let_in(
        files(("b.csv", "JFK", day, "6", None), ("a.csv", "JFK", day, "5", None), ("a.csv", "EWR", day, "4", None))
    )
    assert delivery.rows[["airport", "y"]].to_numpy().tolist() == [["EWR", 4], ["JFK", 6]]
    assert (delivery.received, delivery.repeated, delivery.rejected) == (3, 1, [])


def test_a_contradiction_within_the_last_file_is_left_to_the_airports_quality_and_one_before_it_is_settled():
    day = "2013-01-01"
    twice = [("a.csv", "JFK", day, "5", None), ("a.csv", "JFK", day, "6", None)]
    assert let_in(files(*twice)).rows["y"].tolist() == [5, 6]
    assert let_in(files(*twice, ("b.csv", "JFK", day, "7", None))).rows["y"].tolist() == [7]


def test_two_files_with_two_vintages_of_a_period_are_two_vintages():
    rows = files(("a.csv", "JFK", "2013-01-01", "5", "2013-03-01"), ("b.csv", "JFK", "2013-01-01", "6", "2013-02-01"))
    assert let_in(rows).rows["y"].tolist() == [5, 6]


def test_two_vintages_of_one_value_are_no_repeat():
    frame = raw(GOOD, GOOD, known_at=["2019-03-01", "2019-04-01"])
    assert len(let_in(frame).rows) == 2


AIRPORTS = st.sampled_from(["JFK", "EWR", " LGA ", "jfk", "", None])
DATES = st.sampled_from(["2013-01-01", "20130102", "2013-01-03T12:00Z", "2013-01-04", "01/02/2013", "", None])
VALUES = st.sampled_from(["5", "5.0", "-3", "0", "-0", "nan", "inf", "-inf", "abc", "1,5", "", None])
KNOWN = st.sampled_from([None, "", "2019-03-01", "2019-03-02T00:00Z", "soon"])
FAULTS = st.sampled_from([None, None, None, "the row has 4 fields where the header has 3"])
ROWS = st.lists(st.tuples(AIRPORTS, DATES, VALUES, KNOWN, FAULTS), max_size=30)


def frame_of(rows: list[tuple[str | None, ...]]) -> pd.DataFrame:
    rows = [*rows, (*GOOD, None, None)]
    frame = pd.DataFrame(rows, columns=["airport", "date", "value", "known_at", "fault"], dtype=object)
    files = ["a.csv" if number % 3 else "b.csv" for number in range(len(rows))]
    return frame.assign(file=files, row=range(1, len(rows) + 1))


@SETTINGS
@given(ROWS)
def test_every_row_received_is_admitted_rejected_or_a_repeat(rows):
    frame = frame_of(rows)
    delivery = let_in(frame)
    assert delivery.received == len(frame) == len(delivery.rows) + len(delivery.rejected) + delivery.repeated
    assert {case.row for case in delivery.rejected} == set(
        frame["row"][[not readable(row) for row in frame.to_numpy()]]
    )
    assert not delivery.rows.duplicated().any()


def readable(row: Any) -> bool:
    """The slow, obvious reading of one row."""
    airport, date, value, known_at, fault, *_ = row
    return (
        fault is None
        and (airport or "").strip() in ("JFK", "EWR", "LGA")
        and (date or "").startswith("2013")
        and value not in (None, "", "abc", "1,5")
        and known_at != "soon"
    )


@SETTINGS
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(rows, random):
    frame = frame_of(rows)
    order = list(range(len(frame)))
    random.shuffle(order)
    one, other = let_in(frame), let_in(frame.iloc[order])
    assert_frame_equal(one.rows, other.rows)
    assert (one.rejected, one.repeated) == (other.rejected, other.repeated)


def test_rows_come_out_by_airport_then_date_then_value():
    frame = raw(
        ("JFK", "2013-01-02", "1"), ("JFK", "2013-01-01", "9"), ("JFK", "2013-01-01", "2"), ("EWR", "2013-01-03", "1")
    )
    assert let_in(frame).rows[["airport", "y"]].to_numpy().tolist() == [["EWR", 1], ["JFK", 2], ["JFK", 9], ["JFK", 1]]


# --- refusals


def test_a_row_that_the_reader_could_not_make_sense_of_is_rejected_with_the_readers_words():
    delivery = let_in(raw(GOOD, ("", "", ""), fault=[None, "the row has 4 fields"]))
    assert reasons(delivery) == [(2, "the row has 4 fields")]


def ten_rows(bad: int) -> pd.DataFrame:
    rows = [("JFK", f"2013-01-{day:02d}", "abc" if day <= bad else "5") for day in range(1, 11)]
    return raw(*rows)


def test_rejects_up_to_the_share_are_let_go():
    assert len(admit(ten_rows(1), frequency="D").rejected) == 1


def test_above_the_share_the_file_is_refused_naming_file_rows_rule_and_remedy():
    message = (
        r"traffic\.csv: 4 of 10 rows are rejected \(40\.0%\), and source\.max_rejected_share allows 10\.0%: "
        r"row 1: value 'abc' is not a number; row 2: .*; row 3: .*; \.\.\.; correct the file, .* and ingest again"
    )
    with pytest.raises(BadFile, match=message):
        admit(ten_rows(4), frequency="D")


def test_blank_values_do_not_count_towards_the_share():
    frame = raw(GOOD, *[("EWR", f"2013-01-{day:02d}", "") for day in range(1, 10)])
    assert len(admit(frame, frequency="D", max_rejected_share=0.0).rejected) == 9


def test_one_broken_file_among_good_ones_is_refused_by_its_name():
    good = pd.concat([raw(*series(every(1, 30)), file=f"{number}.csv") for number in range(5)])
    with pytest.raises(BadFile, match=r"^broken\.csv: 2 of 2 rows"):
        admit(pd.concat([good, raw(("JFK", "x", "1"), ("JFK", "y", "1"), file="broken.csv")]), frequency="D")


def test_no_rows_at_all_are_refused():
    with pytest.raises(BadFile, match=r"^empty\.csv has no rows; deliver it again"):
        let_in(raw(), description="empty.csv")


def test_rows_none_of_which_is_usable_are_refused_with_their_reasons():
    message = r"^blank\.csv: none of 2 rows is usable: row 1: value is blank; row 2: value is blank; correct the file"
    with pytest.raises(BadFile, match=message):
        let_in(raw(("JFK", "2013-01-01", ""), ("JFK", "2013-01-02", "")), description="blank.csv")
