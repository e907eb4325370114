"""An airport's country from either of its codes, and that country's feasts."""

import pandas as pd
import pytest

from paxcast.core.treatment.public_holidays import country_of, holidays_of


@pytest.mark.parametrize(
    ("code", "country"),
    [("JFK", "US"), ("SYD", "AU"), ("LFPG", "FR"), ("TFFR", "GP"), ("XUNIT", None), ("QQQQ", None), ("A-1", None)],
)
def test_the_country_is_known_by_iata_and_icao_code_and_unknown_ones_have_none(code, country):
    pytest.importorskip("airportsdata")
    assert country_of(code) == country


def test_holidays_are_told_by_date_as_prophet_takes_them():
    found = holidays_of("FR", [2020, 2021])
    assert list(found.columns) == ["ds", "holiday"]
    assert (len(found), found["ds"].is_monotonic_increasing) == (22, True)
    assert found.loc[found["ds"] == pd.Timestamp("2020-07-14"), "holiday"].tolist() == ["National Day"]


@pytest.mark.parametrize("country", [None, "XX"])
def test_without_a_known_country_there_are_no_holidays(country):
    found = holidays_of(country, [2020])
    assert (len(found), list(found.columns), str(found["ds"].dtype)) == (0, ["ds", "holiday"], "datetime64[ns]")
