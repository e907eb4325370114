"""Traffic from CSV and Parquet files: what is read, and how a file that cannot be read is refused."""

import gzip
import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal

from paxcast.adapters.sources.file import FileSource
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import Delivery

SHARED = Path(os.environ.get("PAXCAST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real traffic in {SHARED} (PAXCAST_SHARED_DATA)")

THREE_ROWS = "airport,date,passengers,note\nJFK,2013-01-01,10,a\nJFK,2013-01-02,11,b\nEWR,2013-01-01,20,c\n"


def source(path: Path, **kwargs: Any) -> FileSource:
    return FileSource(path, **({"airport": "airport", "date": "date", "value": "passengers"} | kwargs))


def read(path: Path, content: str | bytes | pa.Table, **kwargs: Any) -> Delivery:
    write(path, content)
    return source(path, **kwargs).read()


def write(path: Path, content: str | bytes | pa.Table) -> None:
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def values(delivery: Delivery) -> list[list[Any]]:
    rows = delivery.rows
    return [[a, f"{ds:%Y-%m-%d}", y] for a, ds, y in zip(rows["airport"], rows["ds"], rows["y"], strict=True)]


def reasons(delivery: Delivery) -> list[tuple[str, int, str]]:
    return [(case.file, case.row, case.reason) for case in delivery.rejected]


EXPECTED = [["EWR", "2013-01-01", 20.0], ["JFK", "2013-01-01", 10.0], ["JFK", "2013-01-02", 11.0]]


# --- CSV


def test_a_csv_is_read_and_its_unmapped_columns_are_dropped(tmp_path):
    delivery = read(tmp_path / "traffic.csv", THREE_ROWS)
    assert values(delivery) == EXPECTED
    assert list(delivery.rows) == ["airport", "ds", "y", "known_at"]
    assert (delivery.frequency, delivery.received, delivery.description) == ("D", 3, "traffic.csv")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_separator_is_found_whatever_the_line_ends(tmp_path, separator, line_end):
    text = THREE_ROWS.replace(",", separator).replace("\n", line_end)
    assert values(read(tmp_path / "traffic.csv", text)) == EXPECTED


def test_the_separator_found_is_the_one_that_shows_the_mapped_columns(tmp_path):
    text = "airport;date;passengers;a,b,c,d,e\nJFK;2013-01-01;10;x\nJFK;2013-01-02;11;x\n"
    assert len(read(tmp_path / "traffic.csv", text).rows) == 2


def test_a_stated_separator_is_used_and_must_be_one_character(tmp_path):
    assert values(read(tmp_path / "traffic.csv", THREE_ROWS.replace(",", "|"), separator="|")) == EXPECTED
    with pytest.raises(ConfigurationError, match=r"source\.separator: '::' is not one character; write it like ';'"):
        source(tmp_path / "traffic.csv", separator="::").read()


def test_a_byte_order_mark_quotes_blanks_in_the_header_and_empty_lines_are_read_over(tmp_path):
    text = '\ufeff"airport", date ,passengers\n\nJFK,2013-01-01,"10"\n\n"JFK",2013-01-02,11\n\n'
    delivery = read(tmp_path / "traffic.csv", text)
    assert (len(delivery.rows), delivery.received) == (2, 2)


@pytest.mark.parametrize("blank", [",,,", " , ,\t,", ",", '"","","",""'])
def test_a_line_of_blank_fields_only_is_a_blank_line(tmp_path, blank):
    delivery = read(tmp_path / "traffic.csv", THREE_ROWS + f"{blank}\n" * 5, max_rejected_share=0.0)
    assert (values(delivery), delivery.received, delivery.rejected) == (EXPECTED, 3, [])


@pytest.mark.parametrize("line", ["sep=;", "SEP=;", '"sep=;"'])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_first_line_that_names_the_separator_is_heeded_and_skipped(tmp_path, line, line_end):
    text = line_end.join([line, *THREE_ROWS.replace(",", ";").splitlines(), "EWR;2013-01-02;;d"])
    delivery = read(tmp_path / "traffic.csv", text)
    assert values(delivery) == EXPECTED
    assert reasons(delivery) == [("traffic.csv", 4, "value is blank")]


def test_a_line_that_names_the_separator_is_skipped_where_the_setting_states_another(tmp_path):
    assert values(read(tmp_path / "traffic.csv", "sep=;\n" + THREE_ROWS, separator=",")) == EXPECTED


def test_a_gzipped_csv_is_read(tmp_path):
    assert values(read(tmp_path / "traffic.CSV.gz", gzip.compress(THREE_ROWS.encode()))) == EXPECTED


def test_codes_keep_their_zeros_and_the_airport_na_is_no_missing_value(tmp_path):
    text = "airport,date,passengers\nNA,2013-01-01,1\n007,2013-01-01,2\n007,2013-01-02,2\n"
    assert [row[0] for row in values(read(tmp_path / "traffic.csv", text))] == ["007", "007", "NA"]


def test_rejected_rows_name_the_file_and_count_from_the_first_row_below_the_header(tmp_path):
    text = THREE_ROWS + "EWR,2013-01-02,,d\nEWR,01/02/2013,5,e\nEWR,2013-01-03,nan,f\n"
    delivery = read(tmp_path / "traffic.csv", text, max_rejected_share=0.5)
    rule = "date '01/02/2013' is not a date that reads one way only: write 2013-01-31, or state source.date_format"
    assert reasons(delivery) == [("traffic.csv", 4, "value is blank"), ("traffic.csv", 5, rule)]
    assert delivery.rows["y"].isna().sum() == 1


@pytest.mark.parametrize("row", ["EWR,2013-01-02,1,5,d", "EWR,2013-01-02,12"])
def test_a_row_with_too_many_or_too_few_fields_is_rejected_not_shifted(tmp_path, row):
    delivery = read(tmp_path / "traffic.csv", THREE_ROWS + row + "\n", max_rejected_share=0.5)
    fields = row.count(",") + 1
    assert reasons(delivery) == [("traffic.csv", 4, f"the row has {fields} fields where the header has 4")]
    assert values(delivery) == EXPECTED


def test_empty_fields_beyond_the_header_are_no_fault(tmp_path):
    text = "".join(line + ",,\n" if number else line + "\n" for number, line in enumerate(THREE_ROWS.splitlines()))
    assert values(read(tmp_path / "traffic.csv", text)) == EXPECTED


def test_a_decimal_comma_and_a_date_format_are_read_as_stated(tmp_path):
    text = "airport;date;passengers\nJFK;31.01.2013;1,5\nJFK;28.02.2013;2\nJFK;31.03.2013;2,25\n"
    delivery = read(tmp_path / "traffic.csv", text, decimal=",", date_format="%d.%m.%Y", frequency="MS")
    assert values(delivery) == [["JFK", "2013-01-01", 1.5], ["JFK", "2013-02-01", 2.0], ["JFK", "2013-03-01", 2.25]]


def test_a_mapped_known_at_is_delivered(tmp_path):
    text = "airport,date,passengers,seen\nJFK,2013-01-01,10,2013-02-01T06:00Z\nJFK,2013-01-02,11,\n"
    known_at = read(tmp_path / "traffic.csv", text, known_at="seen").rows["known_at"]
    assert known_at[0] == pd.Timestamp("2013-02-01T06:00Z")
    assert known_at.isna().tolist() == [False, True]


# --- Parquet


def table(**columns: Any) -> pa.Table:
    return pa.table({"airport": ["JFK", "JFK", "EWR"]} | columns)


DAYS = [date(2013, 1, 1), date(2013, 1, 2), date(2013, 1, 1)]
INSTANTS = [datetime(2013, 1, 1, 23, 30), datetime(2013, 1, 2, 23, 30), datetime(2013, 1, 1, 23, 30)]


@pytest.mark.parametrize(
    "dates",
    [
        pa.array(DAYS, pa.date32()),
        pa.array(DAYS, pa.date64()),
        pa.array(INSTANTS, pa.timestamp("us")),
        pa.array(pd.DatetimeIndex(INSTANTS).tz_localize("America/New_York")),
        pa.array([20130101, 20130102, 20130101]),
        pa.array(["2013-01-01", "2013-01-02", "2013-01-01"]).dictionary_encode(),
    ],
    ids=lambda dates: str(dates.type),
)
def test_every_kind_of_parquet_date_is_read_as_its_local_day(tmp_path, dates):
    assert values(read(tmp_path / "traffic.parquet", table(date=dates, passengers=[10, 11, 20]))) == EXPECTED


@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize(
    "numbers",
    [
        pa.array([10, 11, 20], pa.int32()),
        pa.array([10, 11, 20], pa.float64()),
        pa.array([Decimal("10.00"), Decimal("11.00"), Decimal("20.00")]),
        pa.array(["10", "11", "20"]),
    ],
    ids=lambda numbers: str(numbers.type),
)
def test_every_kind_of_parquet_number_is_read_whatever_the_decimal_of_texts(tmp_path, numbers, decimal):
    delivery = read(tmp_path / "traffic.parquet", table(date=DAYS, passengers=numbers), decimal=decimal)
    assert values(delivery) == EXPECTED


def test_a_parquet_number_keeps_its_last_bit(tmp_path):
    numbers = np.random.default_rng(1).lognormal(8, 8, 3)
    delivery = read(tmp_path / "traffic.parquet", table(date=DAYS, passengers=numbers), decimal=",")
    assert delivery.rows["y"].tolist() == [numbers[2], numbers[0], numbers[1]]


def test_a_parquet_null_is_blank_and_rejected_but_nan_and_infinity_are_admitted(tmp_path):
    numbers = pa.array([None, float("nan"), float("inf")])
    delivery = read(tmp_path / "traffic.parquet", table(date=DAYS, passengers=numbers), frequency="D")
    assert reasons(delivery) == [("traffic.parquet", 1, "value is blank")]
    np.testing.assert_equal(delivery.rows["y"].to_numpy(), [np.inf, np.nan])


def test_a_parquet_file_that_pandas_wrote_is_read_and_its_categories_too(tmp_path):
    frame = pd.DataFrame(
        {"airport": ["JFK"] * 3, "date": pd.date_range("2013-01-01", periods=3), "passengers": [1, 2, 3]}
    )
    frame.astype({"airport": "category"}).to_parquet(tmp_path / "traffic.parquet")
    assert source(tmp_path / "traffic.parquet").read().rows["y"].tolist() == [1, 2, 3]


def test_a_parquet_column_that_holds_no_text_date_or_number_is_refused(tmp_path):
    with pytest.raises(BadFile, match=r"traffic\.parquet: cannot be read.*list<.*deliver it again"):
        read(tmp_path / "traffic.parquet", table(date=DAYS, passengers=[[1], [2], [3]]))


# --- folders


def test_a_folder_is_read_in_the_order_of_names_and_hidden_files_are_ignored(tmp_path, caplog):
    write(tmp_path / "b.parquet", table(date=DAYS, passengers=[10, None, 20]))
    write(tmp_path / "a.csv", "passengers,date,airport\n11,2013-01-02,JFK\n,2013-01-03,JFK\n")
    (tmp_path / "deeper.csv").mkdir()
    (tmp_path / "_delta_log").mkdir()
    for ignored in (".hidden.csv", "_SUCCESS", "_delta_log/0.csv"):
        write(tmp_path / ignored, "not traffic")
    delivery = source(tmp_path).read()
    assert values(delivery) == EXPECTED
    assert reasons(delivery) == [("a.csv", 2, "value is blank"), ("b.parquet", 2, "value is blank")]
    assert (delivery.received, delivery.description) == (5, f"{tmp_path.name} (2 files)")
    assert caplog.text == ""


def test_subfolders_are_read_too_and_messages_name_the_file_by_its_path_in_the_folder(tmp_path):
    for year, text in (("2012", "JFK,2012-01-01,9\n"), ("2013", "JFK,2013-01-01,10\nJFK,2013-01-02,\n")):
        (tmp_path / year / "csv").mkdir(parents=True)
        write(tmp_path / year / "csv" / "traffic.csv", "airport,date,passengers\n" + text)
    delivery = source(tmp_path, frequency="D").read()
    assert [row[1] for row in values(delivery)] == ["2012-01-01", "2013-01-01"]
    assert reasons(delivery) == [("2013/csv/traffic.csv", 2, "value is blank")]
    write(tmp_path / "2013" / "csv" / "more.csv", "")
    with pytest.raises(BadFile, match=r"^2013/csv/more\.csv: the file is empty"):
        source(tmp_path).read()


def test_files_of_another_kind_in_a_folder_are_named_in_a_warning(tmp_path, caplog):
    write(tmp_path / "a.csv", THREE_ROWS)
    (tmp_path / "old").mkdir()
    write(tmp_path / "old" / "2012.xlsx", "x")
    write(tmp_path / "README.md", "x")
    assert values(source(tmp_path).read()) == EXPECTED
    assert f"{tmp_path}: not read, as they are no files that end in one of .csv, " in caplog.text
    assert "README.md, old/2012.xlsx; convert them, or move them away" in caplog.text


def test_a_later_file_of_a_folder_restates_what_an_earlier_one_said(tmp_path):
    write(tmp_path / "2013-01.csv", THREE_ROWS)
    write(tmp_path / "2013-02.csv", "airport,date,passengers\nJFK,2013-01-02,12\nJFK,2013-01-03,13\n")
    delivery = source(tmp_path).read()
    assert values(delivery) == [*EXPECTED[:2], ["JFK", "2013-01-02", 12.0], ["JFK", "2013-01-03", 13.0]]
    assert (delivery.received, delivery.repeated, delivery.rejected) == (5, 1, [])


def test_a_folder_may_hold_a_file_with_a_header_only(tmp_path):
    write(tmp_path / "a.csv", THREE_ROWS)
    write(tmp_path / "b.csv", THREE_ROWS.splitlines()[0])
    assert values(source(tmp_path).read()) == EXPECTED


def test_one_broken_file_refuses_the_folder_by_its_name(tmp_path):
    write(tmp_path / "a.csv", THREE_ROWS)
    write(tmp_path / "b.csv", "airport,date,passengers\nJFK,soon,1\n")
    with pytest.raises(BadFile, match=r"^b\.csv: 1 of 1 rows are rejected .*row 1: date 'soon' is not a date"):
        source(tmp_path).read()


def test_of_several_broken_files_the_first_by_name_is_reported(tmp_path):
    for name in "hgfedcba":
        write(tmp_path / f"{name}.csv", "")
    with pytest.raises(BadFile, match=r"^a\.csv: the file is empty"):
        source(tmp_path).read()


def test_an_empty_folder_is_refused(tmp_path):
    write(tmp_path / "README.md", "nothing here")
    with pytest.raises(
        BadFile, match=r"no file in this folder ends in \.csv, .*; put one there or correct source\.path"
    ):
        source(tmp_path).read()


# --- files that cannot be read


def refused(path: Path, content: str | bytes, message: str, **kwargs: Any) -> None:
    with pytest.raises(BadFile, match=message):
        read(path, content, **kwargs)


def test_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(
        BadFile, match=r"absent\.csv: there is no such file or folder; put it there or correct source\.path"
    ):
        source(tmp_path / "absent.csv").read()


def test_another_kind_of_file_is_refused(tmp_path):
    refused(tmp_path / "traffic.xlsx", "x", r"traffic\.xlsx: the name ends in none of \.csv, .*; convert the file")


@pytest.mark.parametrize("name", ["traffic.csv", "traffic.parquet", "traffic.csv.gz"])
def test_an_empty_file_is_refused(tmp_path, name):
    refused(tmp_path / name, "", rf"{name}: the file is empty \(0 bytes\); deliver it again")


def test_a_header_without_rows_is_refused(tmp_path):
    refused(tmp_path / "traffic.csv", "airport,date,passengers\n", r"traffic\.csv has no rows; deliver it again")


def test_a_missing_column_is_named_with_the_columns_there_are_and_the_nearest(tmp_path):
    message = (
        r"traffic\.csv: there is no column 'Passenger' \(source\.value\); "
        r"the columns are airport, date, passengers, note; did you mean 'passengers'\?"
    )
    refused(tmp_path / "traffic.csv", THREE_ROWS, message, value="Passenger")


def test_a_missing_column_that_resembles_none_names_the_setting(tmp_path):
    refused(tmp_path / "traffic.csv", THREE_ROWS, r"no column 'xyzzy' .*; correct source\.known_at", known_at="xyzzy")


def test_a_missing_column_of_a_parquet_file_is_named_too(tmp_path):
    write(tmp_path / "traffic.parquet", table(date=DAYS, pax=[1, 2, 3]))
    with pytest.raises(BadFile, match=r"no column 'passengers' \(source\.value\); the columns are airport, date, pax"):
        source(tmp_path / "traffic.parquet").read()


def test_a_mapped_column_that_is_there_twice_is_refused(tmp_path):
    text = "airport,date,passengers,passengers\nJFK,2013-01-01,1,2\n"
    refused(tmp_path / "traffic.csv", text, r"column 'passengers' \(source\.value\) is there twice; rename one")


def test_another_encoding_is_refused_with_byte_and_row(tmp_path):
    content = THREE_ROWS.encode() + "EWR,2013-01-02,5,Zürich\n".encode("latin-1")
    position = content.index(b"\xfc")
    message = rf"traffic\.csv, line 5 \(row 4\): byte {position} \(0xfc\) is not UTF-8; save the file as UTF-8"
    refused(tmp_path / "traffic.csv", content, message)


def test_a_quote_that_never_closes_is_refused_instead_of_swallowing_the_rest(tmp_path):
    refused(
        tmp_path / "traffic.csv", THREE_ROWS + 'JFK,"2013-01-03,1,x\nJFK,2013-01-04,1,x\n', r"traffic\.csv, line \d: "
    )


def test_a_truncated_parquet_file_is_refused(tmp_path):
    write(tmp_path / "whole.parquet", table(date=DAYS, passengers=[1, 2, 3]))
    content = (tmp_path / "whole.parquet").read_bytes()
    refused(tmp_path / "traffic.parquet", content[:-20], r"traffic\.parquet: cannot be read, truncated or damaged")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-10], lambda data: b"airport" + data, lambda data: data[:20] + b"!" * 40]
)
def test_a_damaged_gzip_file_is_refused(tmp_path, damage):
    content = damage(gzip.compress(THREE_ROWS.encode() * 3))
    refused(
        tmp_path / "traffic.csv.gz", content, r"traffic\.csv\.gz: cannot be read, truncated or damaged .*; deliver it"
    )


def test_too_many_rejected_rows_refuse_the_file(tmp_path):
    text = THREE_ROWS + "EWR,2013-01-02,abc,d\n"
    refused(
        tmp_path / "traffic.csv", text, r"traffic\.csv: 1 of 4 rows .* \(25\.0%\).*row 4: value 'abc' is not a number"
    )


def test_a_wrongly_stated_frequency_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"source\.frequency is MS but the most common step is 1 day"):
        read(tmp_path / "traffic.csv", THREE_ROWS, frequency="MS")


# --- real files


@needs_shared_data
@pytest.mark.parametrize(("name", "rows"), [("panynj", 1584), ("bitre_australia", 9933), ("dgac_france", 37_841)])
@pytest.mark.parametrize("frequency", [None, "MS"])
def test_real_monthly_fleets_are_read_whole(name, rows, frequency):
    path = SHARED / f"{name}_monthly.parquet"
    delivery = source(path, frequency=frequency).read()
    assert (delivery.frequency, delivery.received, delivery.rejected, delivery.repeated) == ("MS", rows, [], 0)
    expected = pd.read_parquet(path).sort_values(["airport", "date"], ignore_index=True)
    assert values(delivery)[::97] == [[a, f"{d:%Y-%m-%d}", p] for a, d, p in expected.iloc[::97, :3].to_numpy()]


@needs_shared_data
def test_two_vintages_in_one_file_are_conflicts_only_where_the_figure_was_restated():
    delivery = source(SHARED / "bitre_australia_monthly_vintages.parquet").read()
    assert (delivery.received, delivery.repeated) == (12_080, 2147 - 148)
    assert delivery.rows.duplicated(["airport", "ds"]).sum() == 148


@needs_shared_data
def test_the_publishers_own_french_files_are_read_through_the_settings(tmp_path):
    for year in (2019, 2020, 2024):
        (tmp_path / f"{year}.csv").write_bytes((SHARED / "raw" / f"dgac_ASP_APT_{year}.csv").read_bytes())
    mapping = {"airport": "APT", "date": "ANMOIS", "decimal": ","}
    passengers = source(tmp_path, value="APT_PAX_dep", **mapping).read()
    freight = source(tmp_path, value="APT_FRP_dep", **mapping).read()
    assert (passengers.frequency, passengers.rejected, freight.rejected) == ("MS", [], [])
    known = pd.read_parquet(SHARED / "dgac_france_monthly.parquet")
    known = known[known["date"].dt.year.isin([2019, 2020, 2024])].sort_values(["airport", "date"], ignore_index=True)
    expected = known.rename(columns={"date": "ds", "pax_dep": "y"})[["airport", "ds", "y"]]
    assert_frame_equal(passengers.rows[["airport", "ds", "y"]], expected, check_dtype=False)
    assert freight.rows.loc[freight.rows["ds"] < "2020", "y"].sum() == pytest.approx(1_354_271.2)


@needs_shared_data
def test_freight_with_a_decimal_comma_is_refused_where_the_setting_is_forgotten():
    path = SHARED / "raw" / "dgac_ASP_APT_2019.csv"
    with pytest.raises(BadFile, match=r"of 1053 rows are rejected .*row 1: value '24,8' is not a number"):
        source(path, airport="APT", date="ANMOIS", value="APT_FRP_dep").read()


@needs_shared_data
def test_a_publisher_that_changes_its_date_style_between_years_needs_one_setting():
    raw = SHARED / "raw"
    sample = {
        "airport": "APT_ICAO",
        "date": "FLT_DATE",
        "value": "FLT_TOT_1",
        "frequency": "D",
        "date_format": "%d-%m-%y",
    }
    old = source(raw / "eurocontrol_airport_traffic_2019_sample.csv", **sample).read()
    new = source(raw / "eurocontrol_airport_traffic_2024_sample.csv", **sample).read()
    assert set(old.rows["ds"]) == {pd.Timestamp("2019-01-01")}
    assert set(new.rows["ds"]) == {pd.Timestamp("2024-12-31")}
    assert old.rejected == new.rejected == []
