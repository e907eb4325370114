"""Calendar factors: the length of a month, leap years, working days."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from paxcast.core.treatment.trading_days import calendar_factors


def months(first: str, periods: int) -> np.ndarray:
    return pd.date_range(first, periods=periods, freq="MS").to_numpy()


def test_a_month_counts_by_its_days_and_february_by_the_year():
    factors = calendar_factors(months("2023-01-01", 14), "MS") * 30.4375
    assert factors == pytest.approx([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 29])


def test_weeks_and_days_are_all_of_one_length():
    assert calendar_factors(pd.date_range("2023-01-02", periods=5, freq="7D").to_numpy(), "W").tolist() == [1.0] * 5
    days = pd.date_range("2023-01-02", periods=5).to_numpy()
    assert calendar_factors(days, "D", "FR", rest_day=0.5).tolist() == [1.0] * 5
    assert calendar_factors(days[:0], "MS").tolist() == []


@pytest.mark.parametrize("country", [None, "FR"])
def test_a_rest_day_counts_for_less(country):
    feasts = {date(2024, 5, 1), date(2024, 5, 8), date(2024, 5, 9), date(2024, 5, 20)} if country else set()
    days = [date(2024, 5, 1) + timedelta(days=n) for n in range(31)]
    counted = sum(0.6 if day.weekday() >= 5 or day in feasts else 1.0 for day in days)
    (factor,) = calendar_factors(months("2024-05-01", 1), "MS", country, rest_day=0.6)
    assert factor == pytest.approx(counted / (30.4375 * (5 + 2 * 0.6) / 7))


@pytest.mark.parametrize("rest_day", [1.0, 0.5])
def test_over_28_years_the_factors_are_one_on_average_and_then_they_repeat(rest_day):
    factors = calendar_factors(months("1990-03-01", 2 * 336), "MS", rest_day=rest_day)
    assert factors[:336].mean() == pytest.approx(1.0)
    assert factors[336:] == pytest.approx(factors[:336])
