"""What stays and what makes way: by a margin of the error, so that noise changes nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.choice import NAIVE, beats

SETTINGS = settings(max_examples=150, deadline=None)
MASE = st.floats(0, 3).map(lambda m: round(m, 3)) | st.just(float("inf"))


@pytest.mark.parametrize(
    ("challenger", "champion", "expected"),
    [
        (0.7, 0.8, True),
        (0.785, 0.8, False),
        (0.9, 0.8, False),
        (0.8, 0.8, False),
        (0.0, 0.8, True),
        (0.0, 0.0, False),
        (0.5, float("inf"), True),
        (float("inf"), 0.5, False),
        (0.5, None, True),
        (None, 0.5, False),
        (None, None, False),
    ],
)
def test_a_challenger_must_be_lower_by_more_than_the_margin(challenger, champion, expected):
    assert beats(challenger, champion, 0.02) == expected


@pytest.mark.parametrize(("mase", "expected"), [(0.5, False), (0.499, True)])
def test_a_win_by_exactly_the_margin_is_not_enough(mase, expected):
    assert beats(mase, 1.0, 0.5) == expected


def test_without_a_margin_a_tie_keeps_what_is_there():
    assert not beats(0.8, 0.8, 0.0)


@SETTINGS
@given(MASE, MASE, st.sampled_from([0.0, 0.02, 0.5]))
def test_of_two_at_most_one_beats_the_other_and_never_a_better_one(one, two, margin):
    assert not (beats(one, two, margin) and beats(two, one, margin))
    assert not beats(one, two, margin) or one < two
    assert beats(one, two, margin) <= beats(one, two, 0.0)


def test_seasonal_naive_has_no_parameters():
    assert NAIVE.as_json() == {"candidate": "seasonal_naive", "parameters": {}}
