"""A series can be cut, and knows which periods come next."""

import pandas as pd


def test_the_head_is_the_first_periods_and_what_follows_them_comes_next(make_series):
    series = make_series(range(30), "MS", start="2018-12-01")
    head = series.head(15)
    assert head.y.tolist() == list(range(15))
    assert head.next_periods(15).tolist() == [pd.Timestamp(day) for day in series.ds[15:]]


def test_the_tail_is_the_last_periods_or_all_there_are_and_dates_are_its_own(make_series):
    series = make_series(range(30), "MS", start="2018-12-01")
    tail = series.tail(12)
    assert tail.y.tolist() == list(range(18, 30))
    assert tail.dates().tolist() == [pd.Timestamp(day) for day in series.ds[18:]]
    assert tail.next_periods(3).tolist() == series.next_periods(3).tolist()
    assert series.tail(40).y.tolist() == list(range(30))
    assert (tail.airport, tail.frequency) == ("ATL", "MS")


def test_after_the_last_day_of_february_comes_the_leap_day(make_series):
    series = make_series(range(28), "D", start="2020-02-01")
    assert [str(day.date()) for day in series.next_periods(2)] == ["2020-02-29", "2020-03-01"]
