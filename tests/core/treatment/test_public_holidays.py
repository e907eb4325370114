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


def days(country: str, *years: int) -> set[str]:
    return {str(day.date()) for day in holidays_of(country, years)["ds"]}


@pytest.mark.parametrize(
    ("country", "day"),
    [("GB", "2022-09-19"), ("GB", "2023-05-08"), ("GB", "2011-04-29"), ("AU", "2022-09-22"), ("TH", "2016-10-14")],
)
def test_what_was_decreed_for_one_day_and_never_again_is_no_holiday(country, day):
    """A state funeral, a coronation: weeks before nobody knew of it, and folds from before would."""
    import holidays

    assert day in {str(d) for d in holidays.country_holidays(country, years=int(day[:4]))}
    assert day not in days(country, int(day[:4]))


@pytest.mark.parametrize(
    ("country", "day"),
    [
        ("GB", "2022-06-02"),  # Spring Bank Holiday, moved
        ("GB", "2022-12-27"),  # Christmas Day (observed)
        ("GB", "2023-05-01"),
        ("US", "2021-06-18"),  # Juneteenth in its first year, observed
        ("CN", "2021-10-06"),  # a name that carries dates of its own year
        ("KR", "2022-03-09"),  # a presidential election, every five years
        ("JP", "2015-09-22"),  # between two holidays
    ],
)
def test_what_moves_is_observed_on_another_day_or_is_not_yearly_stays(country, day):
    assert day in days(country, int(day[:4]))


def test_easter_monday_and_thanksgiving_stay_in_every_year():
    from dateutil.easter import easter

    for year in range(1995, 2031):
        first = pd.Timestamp(year, 11, 1)
        thursday = first + pd.Timedelta(days=(3 - first.dayofweek) % 7 + 21)
        assert str(thursday.date()) in days("US", year)
        assert str((pd.Timestamp(easter(year)) + pd.Timedelta(days=1)).date()) in days("FR", year)


def test_of_ten_countries_and_forty_years_fewer_than_one_holiday_in_a_hundred_is_left_out():
    import holidays

    countries, years = ("US", "GB", "FR", "DE", "ES", "IT", "BR", "AU", "CA", "JP"), range(1990, 2030)
    found = {(c, str(d)) for c in countries for d in holidays.country_holidays(c, years=years)}
    left = {(c, day) for c in countries for day in days(c, *years)}
    assert left < found
    assert 0 < len(found - left) < len(found) / 100


@pytest.mark.parametrize("country", [None, "XX", "UK"])
def test_without_a_known_country_there_are_no_holidays(country):
    found = holidays_of(country, [2020])
    assert (len(found), list(found.columns), str(found["ds"].dtype)) == (0, ["ds", "holiday"], "datetime64[ns]")
