"""An airport's country from either of its codes, and that country's feasts."""

import warnings

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


def test_every_country_that_an_airport_lies_in_has_holidays_in_our_time_and_none_says_a_word():
    airports = pytest.importorskip("airportsdata").load("IATA").values()
    countries = {airport["country"] for airport in airports}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        without = {c for c in countries if not len(holidays_of(c, [2024]))}
        holidays_of("IN", [1990, 2050])  # the package warns of years that it knows nothing of
    assert len(countries) > 200
    assert len(without) < 10


@pytest.mark.parametrize("years", [[1600], [1850], [2150]])
def test_beyond_the_years_that_are_known_there_are_no_holidays(years):
    assert len(holidays_of("US", years)) == 0


def test_a_year_asked_for_alone_has_the_same_holidays_as_among_others():
    """An observed New Year's Day may lie in the year before."""
    for country in ("US", "GB", "JP", "SA"):
        alone = [day for year in range(2005, 2030) for day in holidays_of(country, [year])["ds"]]
        assert alone == holidays_of(country, range(2005, 2030))["ds"].tolist()
    assert pd.Timestamp("2021-12-31") in holidays_of("US", [2021])["ds"].tolist()


@pytest.mark.parametrize("country", [None, "XX", "UK"])
def test_without_a_known_country_there_are_no_holidays(country):
    found = holidays_of(country, [2020])
    assert (len(found), list(found.columns), str(found["ds"].dtype)) == (0, ["ds", "holiday"], "datetime64[ns]")
