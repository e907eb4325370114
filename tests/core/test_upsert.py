"""What a delivery adds: against a loop over periods and vintages, and nothing when it is taken twice."""

import math
from typing import Any

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from paxcast.core.history import known
from paxcast.core.upsert import additions

SETTINGS = settings(max_examples=25, deadline=None)
RECEIVED = [pd.Timestamp(f"2020-0{month}-15T06:00Z") for month in (5, 6, 7, 8)]
FAR = pd.Timestamp("2100-01-01T00:00Z")
Row = tuple[Any, ...]


def delivery(*rows: Row) -> pd.DataFrame:
    """Rows airport, ds, y and, where the source itself says so, known_at."""
    full = [(*row, None)[:4] for row in rows]
    frame = pd.DataFrame(full, columns=["airport", "ds", "y", "known_at"])
    return frame.astype({"airport": str, "ds": "datetime64[ns]", "y": float, "known_at": "datetime64[ns, UTC]"})


def take(store: pd.DataFrame, rows: pd.DataFrame, number: int, **changes: Any) -> pd.DataFrame:
    """What the delivery adds when it is the `number`-th to come."""
    usual = {"frequency": "MS", "delay_days": 0, "receipt": f"r{number}", "restated_at": RECEIVED[number]}
    return additions(store, rows, **(usual | changes))


def in_force(store: pd.DataFrame, as_of: pd.Timestamp = FAR) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    for row in known(store, as_of).itertuples():
        found.setdefault((row.airport, f"{row.ds:%Y-%m}"), []).append(row.y)
    return found


# --- one delivery after another


def test_the_first_sight_of_a_period_is_known_when_the_period_ended(observations):
    added = take(observations(), delivery(("ATL", "2020-02-01", 5), ("ATL", "2019-12-01", 4)), 0)
    assert added["known_at"].tolist() == [pd.Timestamp("2020-03-01T00:00Z"), pd.Timestamp("2020-01-01T00:00Z")]
    assert list(added.columns) == ["airport", "ds", "y", "known_at", "receipt"]
    assert added["receipt"].tolist() == ["r0", "r0"]


@pytest.mark.parametrize(
    ("frequency", "ds", "known_at"),
    [("D", "2020-02-29", "2020-03-02"), ("W", "2020-02-24", "2020-03-03"), ("MS", "2020-02-01", "2020-03-02")],
)
def test_a_delay_of_the_source_comes_on_top_of_the_periods_end(observations, frequency, ds, known_at):
    added = take(observations(), delivery(("ATL", ds, 5)), 0, frequency=frequency, delay_days=1)
    assert added["known_at"].tolist() == [pd.Timestamp(known_at, tz="UTC")]


def test_a_restatement_is_known_from_its_receipt_on(observations):
    store = take(observations(), delivery(("ATL", "2020-01-01", 5)), 0)
    added = take(store, delivery(("ATL", "2020-01-01", 6)), 1)
    assert added["known_at"].tolist() == [RECEIVED[1]]


def test_a_restatement_is_known_from_the_instant_that_the_source_itself_states(observations):
    store = take(observations(), delivery(("ATL", "2020-01-01", 5)), 0)
    added = take(store, delivery(("ATL", "2020-01-01", 6, "2020-03-15T00:00Z")), 1)
    assert added["known_at"].tolist() == [pd.Timestamp("2020-03-15T00:00Z")]


@pytest.mark.parametrize("stated", ["2020-01-15T00:00Z", None])
def test_nothing_is_ever_known_before_its_period_ended(observations, stated):
    store = take(observations(), delivery(("ATL", "2020-01-01", 5)), 0)
    early = pd.Timestamp("2020-01-20T00:00Z")
    added = take(store, delivery(("ATL", "2020-01-01", 6, stated)), 1, restated_at=early)
    assert added["known_at"].tolist() == [pd.Timestamp("2020-02-01T00:00Z")]
    assert in_force(pd.concat([store, added])) == {("ATL", "2020-01"): [6]}


def test_a_row_that_states_when_it_was_known_is_known_from_then_on_at_first_sight_too(observations):
    rows = delivery(("ATL", "2020-01-01", 5, "2020-04-01T00:00Z"), ("ORD", "2020-01-01", 6))
    added = take(observations(), rows, 0).set_index("airport")["known_at"]
    assert added.to_dict() == {"ATL": pd.Timestamp("2020-04-01T00:00Z"), "ORD": pd.Timestamp("2020-02-01T00:00Z")}


def test_a_stated_instant_is_not_before_the_periods_end_and_the_delay(observations):
    added = take(observations(), delivery(("ATL", "2020-01-01", 5, "2020-02-05T00:00Z")), 0, delay_days=10)
    assert added["known_at"].tolist() == [pd.Timestamp("2020-02-11T00:00Z")]


def test_an_older_vintage_that_arrives_later_does_not_win_over_a_newer_one(observations):
    store = take(observations(), delivery(("ATL", "2020-01-01", 6, "2020-04-15T00:00Z")), 0)
    store = pd.concat([store, take(store, delivery(("ATL", "2020-01-01", 5, "2020-03-15T00:00Z")), 1)])
    assert in_force(store, pd.Timestamp("2020-03-15T00:00Z")) == {("ATL", "2020-01"): [5]}
    assert in_force(store) == {("ATL", "2020-01"): [6]}


@pytest.mark.parametrize(("older", "newer"), [(5, 6), (6, 5), (5, 5)])
def test_of_vintages_stated_before_the_periods_end_the_newest_is_the_one_kept(observations, older, newer):
    rows = delivery(
        ("ATL", "2020-01-01", older, "2020-01-10T00:00Z"), ("ATL", "2020-01-01", newer, "2020-01-20T00:00Z")
    )
    store = take(observations(), rows, 0)
    assert store[["y", "known_at"]].to_numpy().tolist() == [[newer, pd.Timestamp("2020-02-01T00:00Z")]]
    assert take(store, rows, 1).empty


def test_two_vintages_of_a_period_in_one_delivery_are_a_first_sight_and_a_restatement(observations):
    rows = delivery(("ATL", "2020-01-01", 6, "2020-04-15T00:00Z"), ("ATL", "2020-01-01", 5, "2020-02-15T00:00Z"))
    store = take(observations(), rows, 0)
    assert store["y"].tolist() == [5, 6]
    assert store["known_at"].tolist() == [pd.Timestamp("2020-02-15T00:00Z"), pd.Timestamp("2020-04-15T00:00Z")]
    assert take(store, rows, 1).empty


def test_a_period_absent_from_a_later_delivery_is_kept(observations):
    store = take(observations(), delivery(("ATL", "2020-01-01", 5), ("ATL", "2020-02-01", 6)), 0)
    added = take(store, delivery(("ATL", "2020-02-01", 6), ("ATL", "2020-03-01", 7)), 1)
    expected = {("ATL", "2020-01"): [5], ("ATL", "2020-02"): [6], ("ATL", "2020-03"): [7]}
    assert len(added) == 1
    assert in_force(pd.concat([store, added])) == expected


def test_going_back_to_an_earlier_value_is_a_restatement(observations):
    store = observations()
    for number, value in enumerate([5, 6, 5]):
        store = pd.concat([store, take(store, delivery(("ATL", "2020-01-01", value)), number)])
    assert store["y"].tolist() == [5, 6, 5]
    assert in_force(store) == {("ATL", "2020-01"): [5]}


def test_a_value_that_is_no_number_is_stored_once_and_restated_by_a_number_and_back(observations):
    store = take(observations(), delivery(("ATL", "2020-01-01", math.nan)), 0)
    assert len(store) == 1
    assert take(store, delivery(("ATL", "2020-01-01", math.nan)), 1).empty
    assert take(store, delivery(("ATL", "2020-01-01", 0)), 1)["y"].tolist() == [0]


def test_contradictory_rows_of_one_delivery_are_all_kept_until_one_value_is_stated(observations):
    both = delivery(("ATL", "2020-01-01", 5), ("ATL", "2020-01-01", 6))
    store = take(observations(), both, 0)
    assert in_force(store) == {("ATL", "2020-01"): [5, 6]}
    store = pd.concat([store, take(store, delivery(("ATL", "2020-01-01", 6)), 1)])
    assert in_force(store) == {("ATL", "2020-01"): [6]}


def test_one_of_three_contradictory_values_taken_back_is_a_restatement(observations):
    store = take(observations(), delivery(*(("ATL", "2020-01-01", y) for y in (5, 6, 7))), 0)
    added = take(store, delivery(("ATL", "2020-01-01", 5), ("ATL", "2020-01-01", 7)), 1)
    assert in_force(pd.concat([store, added])) == {("ATL", "2020-01"): [5, 7]}


def test_what_a_delivery_says_of_the_past_does_not_undo_what_was_said_since(observations):
    store = take(observations(), delivery(("ATL", "2020-01-01", 5)), 0)
    store = pd.concat([store, take(store, delivery(("ATL", "2020-01-01", 6)), 2)])
    late = take(store, delivery(("ATL", "2020-01-01", 7)), 3, restated_at=RECEIVED[1])
    store = pd.concat([store, late])
    assert in_force(store, RECEIVED[1]) == {("ATL", "2020-01"): [7]}
    assert in_force(store) == {("ATL", "2020-01"): [6]}


def test_empty_deliveries_and_empty_stores_are_no_trouble(observations):
    for store in (observations(), take(observations(), delivery(("ATL", "2020-01-01", 5)), 0)):
        added = take(store, delivery(), 1)
        assert (len(added), list(added.columns)) == (0, ["airport", "ds", "y", "known_at", "receipt"])
        assert_frame_equal(pd.concat([store, added], ignore_index=True), store)


def test_the_frames_handed_in_are_left_as_they_were(observations):
    store, rows = take(observations(), delivery(("ATL", "2020-01-01", 5)), 0), delivery(("ATL", "2020-01-01", 6))
    before = store.copy(deep=True), rows.copy(deep=True)
    take(store, rows, 1)
    assert_frame_equal(store, before[0])
    assert_frame_equal(rows, before[1])


# --- any deliveries

ROW = st.tuples(
    st.sampled_from(["ATL", "ORD"]),
    st.sampled_from(["2020-01-01", "2020-02-01"]),
    st.sampled_from([1.0, 2.0, 3.0, math.nan]),
    st.sampled_from([None, None, "2020-01-10T00:00Z", "2020-01-20T00:00Z", "2020-03-10T00:00Z", "2020-04-10T00:00Z"]),
)
DELIVERIES = st.lists(st.lists(ROW, max_size=5, unique_by=repr).map(tuple), min_size=1, max_size=3)


def slow_additions(store: list[Row], rows: tuple[Row, ...], number: int) -> list[Row]:
    """Period by period, vintage by vintage: add what differs from the values in force at that instant.

    Of vintages that their period's end brings to one instant the newest is left.
    """
    store, added = list(store), []
    for airport, ds in sorted({row[:2] for row in rows}):
        ended = (pd.Timestamp(ds) + pd.DateOffset(months=1)).tz_localize("UTC")
        said: dict[pd.Timestamp, list[Row]] = {}
        for *_, y, stated in (row for row in rows if row[:2] == (airport, ds)):
            said.setdefault(pd.Timestamp(stated) if stated else RECEIVED[number], []).append((y, stated))
        instants = {max(ended, instant): vintage for instant, vintage in sorted(said.items())}
        for stated, vintage in sorted(instants.items()):
            values = [y for y, _ in vintage]
            seen = [row for row in store if row[:2] == (airport, ds)]
            before = [row for row in seen if row[3] <= stated]
            last = max(((row[3], row[4]) for row in before), default=None)
            current = [row[2] for row in before if (row[3], row[4]) == last]
            if sorted(map(str, current)) != sorted(map(str, values)):
                new = [(airport, ds, y, stated if seen or own else ended, f"r{number}") for y, own in vintage]
                store, added = store + new, added + new
    return added


@SETTINGS
@given(DELIVERIES)
@example([(("ATL", "2020-01-01", 1.0, None), ("ATL", "2020-01-01", 2.0, "2020-03-10T00:00Z"))])
def test_a_delivery_adds_what_a_loop_over_periods_and_vintages_adds(observations, deliveries):
    store, slow = observations(), []
    for number, rows in enumerate(deliveries):
        added = take(store, delivery(*rows), number)
        expected = slow_additions(slow, rows, number)
        assert sorted(map(str, added.itertuples(index=False, name=None))) == sorted(
            str((a, pd.Timestamp(ds), y, t, r)) for a, ds, y, t, r in expected
        )
        store, slow = pd.concat([store, added]), slow + expected


@SETTINGS
@given(DELIVERIES)
def test_a_delivery_taken_twice_adds_nothing_the_second_time(observations, deliveries):
    store = observations()
    for number, rows in enumerate(deliveries):
        store = pd.concat([store, take(store, delivery(*rows), number)])
        assert take(store, delivery(*rows), number + 1).empty


@SETTINGS
@given(DELIVERIES, st.lists(ROW, max_size=5, unique_by=repr))
def test_a_later_delivery_leaves_what_was_known_of_seen_periods_before_it_as_it_was(observations, deliveries, rows):
    store = observations()
    for number, earlier in enumerate(deliveries):
        store = pd.concat([store, take(store, delivery(*earlier), number)])
    before = in_force(store, RECEIVED[2])
    undated = delivery(*(row[:3] for row in rows))
    after = in_force(pd.concat([store, take(store, undated, 3)]), RECEIVED[2])
    assert {period: str(after[period]) for period in before} == {period: str(before[period]) for period in before}
