"""What of an error nobody could have known: by hand."""

from datetime import date

import pandas as pd
import pytest

from paxcast.core import surprise
from paxcast.core.calendar import parse_as_of
from paxcast.core.treatment import Shock

ATTACKS = Shock(date(2001, 9, 11), date(2001, 11, 30), "after 9/11")


def met(ds: str, as_of: str, code: str = "MS", *shocks: Shock) -> list[tuple[str, bool, bool]]:
    found = surprise.shocks_met(pd.Timestamp(ds), code, parse_as_of(as_of), shocks or (ATTACKS,))
    return [(row["name"], row["inside"], row["begun"]) for row in found]


@pytest.mark.parametrize(
    ("ds", "as_of", "expected"),
    [
        ("2001-08-01", "2001-07-31", []),  # over before it began
        ("2001-09-01", "2001-08-31", [("after 9/11", True, False)]),
        ("2001-09-01", "2001-09-10", [("after 9/11", True, False)]),
        ("2001-10-01", "2001-09-11", [("after 9/11", True, True)]),  # its first day was known
        ("2001-11-01", "2001-08-31", [("after 9/11", True, False)]),
        ("2001-12-01", "2001-08-31", [("after 9/11", False, False)]),  # it began in between
        ("2001-12-01", "2001-11-30", []),  # over, and known
    ],
)
def test_a_forecast_meets_the_shock_its_period_lies_in_and_any_that_began_since_it_was_made(
    ds: str, as_of: str, expected: list[tuple[str, bool, bool]]
) -> None:
    assert met(ds, as_of) == expected


def test_the_day_a_shock_begins_is_in_it_and_so_is_its_last_and_no_other() -> None:
    days = [str(d.date()) for d in pd.date_range("2001-09-09", "2001-12-03")]
    inside = [day for day in days if any(where for _, where, _ in met(day, "2001-09-08", "D"))]
    assert (inside[0], inside[-1], len(inside)) == ("2001-09-11", "2001-11-30", 81)
    weeks = [day for day in ("2001-09-03", "2001-09-10", "2001-11-26", "2001-12-03") if met(day, "2001-09-30", "W")]
    assert weeks == ["2001-09-10", "2001-11-26"]


def test_shocks_are_told_in_the_order_in_which_they_began() -> None:
    later = Shock(date(2001, 10, 5), date(2001, 10, 6), "a strike")
    assert [name for name, *_ in met("2001-10-01", "2001-08-31", "MS", later, ATTACKS)] == ["after 9/11", "a strike"]


def test_what_treating_found_beside_the_configured_shocks_is_a_shock_from_its_first_to_its_last_day() -> None:
    base = {"how": "bridged", "first": "2010-04-01", "last": "2010-05-01", "periods": 2}
    steps = [{**base, "what": "shock", "name": name} for name in ("after 9/11", "found")]
    steps.append({**base, "what": "gap", "name": ""})
    assert surprise.found_by(steps, "MS", [ATTACKS]) == [Shock(date(2010, 4, 1), date(2010, 5, 31), "found")]


@pytest.mark.parametrize(
    ("code", "ds", "before"),
    [("MS", "2004-02-01", "2003-02-01"), ("D", "2004-03-01", "2003-03-03"), ("W", "2004-03-01", "2003-03-03")],
)
def test_the_year_before_is_the_same_month_or_the_same_weekday(code: str, ds: str, before: str) -> None:
    known = pd.DataFrame({"ds": pd.to_datetime([before, ds]), "y": [7.0, 8.0]})
    assert surprise.year_before(known, pd.Timestamp(ds), code) == {"ds": before, "y": 7.0}
    assert pd.Timestamp(before).dayofweek == pd.Timestamp(ds).dayofweek or code == "MS"


@pytest.mark.parametrize("y", [0.0, float("nan"), None])
def test_without_traffic_or_a_value_there_is_no_year_before(y: float | None) -> None:
    known = pd.DataFrame({"ds": pd.to_datetime(["2003-02-01"]), "y": [5.0 if y is None else y]})
    asked = "2004-02-01" if y is not None else "2005-02-01"
    assert surprise.year_before(known, pd.Timestamp(asked), "MS") is None
