"""What was known at an instant: against a loop over the rows, and never a row that was known later."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from paxcast.core.errors import FutureDataRead
from paxcast.core.history import check_known, checksums, known

SETTINGS = settings(max_examples=80, deadline=None)
COLUMNS = ["airport", "ds", "y", "known_at", "receipt"]
INSTANTS = ["2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z", "2020-02-01T00:00:01Z", "2020-03-01T00:00:00Z"]
ROW = st.tuples(
    st.sampled_from(["ATL", "ORD"]),
    st.sampled_from(["2019-12-01", "2020-01-01"]),
    st.sampled_from([1.0, 2.0, math.nan]),
    st.sampled_from(INSTANTS),
    st.sampled_from(["r1", "r2", "r3"]),
)


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text)


def slowly_known(frame: pd.DataFrame, as_of: pd.Timestamp) -> list[tuple]:
    """For each period the rows with the latest known_at up to as_of, among these those of the last receipt."""
    seen = [row for row in frame.itertuples(index=False, name=None) if row[3] <= as_of]
    found = []
    for row in seen:
        same_period = [other for other in seen if other[:2] == row[:2]]
        latest = max((other[3], other[4]) for other in same_period)
        if (row[3], row[4]) == latest:
            found.append(row)
    return sorted(found, key=lambda row: (row[0], row[1], math.isnan(row[2]), row[2]))


@SETTINGS
@given(st.lists(ROW, max_size=12), st.sampled_from(INSTANTS))
def test_the_history_is_the_latest_known_rows_of_each_period(observations, rows, as_of):
    frame = observations(*rows)
    expected = pd.DataFrame(slowly_known(frame, at(as_of)), columns=COLUMNS).astype(frame.dtypes.to_dict())
    assert_frame_equal(known(frame, at(as_of)), expected)


@SETTINGS
@given(st.lists(ROW, max_size=12), st.sampled_from(INSTANTS), st.randoms(use_true_random=False))
def test_a_history_never_holds_a_row_known_later_and_does_not_depend_on_the_order_of_the_store(
    observations, rows, as_of, random
):
    frame = observations(*rows)
    history = known(frame, at(as_of))
    assert (history["known_at"] <= at(as_of)).all()
    check_known(history, at(as_of))
    order = random.sample(range(len(frame)), len(frame))
    assert_frame_equal(known(frame.iloc[order], at(as_of)), history)


@SETTINGS
@given(st.lists(ROW, max_size=12), st.lists(ROW, max_size=5), st.sampled_from(INSTANTS))
def test_rows_known_later_change_nothing_before(observations, rows, more, as_of):
    later = [row for row in more if at(row[3]) > at(as_of)]
    assert_frame_equal(known(observations(*rows, *later), at(as_of)), known(observations(*rows), at(as_of)))


def test_a_restatement_is_invisible_before_it_was_known(observations):
    frame = observations(
        ("ATL", "2020-01-01", 10, "2020-02-01T00:00Z", "r1"), ("ATL", "2020-01-01", 12, "2020-06-01T00:00Z", "r2")
    )
    assert known(frame, at("2020-05-31T23:59:59Z"))["y"].tolist() == [10]
    assert known(frame, at("2020-06-01T00:00:00Z"))["y"].tolist() == [12]


def test_a_row_is_known_from_the_very_instant_it_became_known(observations):
    frame = observations(("ATL", "2020-02-01", 10, "2020-03-01T00:00Z", "r1"))
    assert len(known(frame, at("2020-03-01T00:00:00Z"))) == 1
    assert known(frame, at("2020-02-29T23:59:59Z")).empty


def test_a_receipt_that_contradicts_itself_keeps_both_rows_for_validation_to_judge(observations):
    frame = observations(
        ("ATL", "2020-01-01", 7, "2020-02-01T00:00Z", "r2"),
        ("ATL", "2020-01-01", 5, "2020-02-01T00:00Z", "r2"),
        ("ATL", "2020-01-01", 9, "2020-02-01T00:00Z", "r1"),
    )
    assert known(frame, at("2020-02-01T00:00Z"))["y"].tolist() == [5, 7]


def test_a_restatement_to_no_number_is_a_restatement(observations):
    frame = observations(
        ("ATL", "2020-01-01", 10, "2020-02-01T00:00Z", "r1"),
        ("ATL", "2020-01-01", math.nan, "2020-06-01T00:00Z", "r2"),
    )
    assert np.isnan(known(frame, at("2020-07-01T00:00Z"))["y"]).tolist() == [True]


def test_nothing_known_is_an_empty_history_with_all_columns(observations):
    for frame in (observations(), observations(("ATL", "2020-01-01", 1, "2020-02-01T00:00Z", "r1"))):
        history = known(frame, at("2019-01-01T00:00Z"))
        assert (len(history), list(history.columns)) == (0, COLUMNS)
        assert checksums(history) == {}
        check_known(history, at("2019-01-01T00:00Z"))


def test_the_frame_handed_in_is_left_as_it_was_and_other_columns_are_dropped(observations):
    frame = observations(("ATL", "2020-01-01", 1, "2020-02-01T00:00Z", "r1")).assign(fleet="demo")
    before = frame.copy(deep=True)
    assert list(known(frame, at("2021-01-01T00:00Z")).columns) == COLUMNS
    assert_frame_equal(frame, before)


def test_a_row_known_later_stops_the_run_naming_airport_date_and_number_of_rows(observations):
    frame = observations(
        ("ATL", "2020-01-01", 1, "2020-02-01T00:00Z", "r1"),
        ("ORD", "2020-02-01", 2, "2020-03-01T00:00Z", "r1"),
        ("ORD", "2020-03-01", 3, "2020-04-01T00:00Z", "r1"),
    )
    for order in ([0, 1, 2], [2, 1, 0]):  # the message is the same whatever order the store reads in
        with pytest.raises(FutureDataRead, match=r"ORD: the observation of 2020-02-01 .* 2 such rows"):
            check_known(frame.iloc[order], at("2020-02-15T00:00Z"))


def test_each_airport_has_a_checksum_that_only_its_own_rows_change(observations):
    rows = [("ORD", "2020-01-01", 2, INSTANTS[0], "r1"), ("ATL", "2020-01-01", 1, INSTANTS[0], "r1")]
    before = checksums(observations(*rows))
    after = checksums(observations(*rows, ("ATL", "2020-02-01", 1, INSTANTS[0], "r2")))
    assert list(before) == ["ATL", "ORD"]
    assert (after["ORD"] == before["ORD"], after["ATL"] == before["ATL"]) == (True, False)
