"""Runs without a value, and what a history is cut to after one that is too long."""

import numpy as np
import pytest

from paxcast.core.treatment.gaps import after_long_gap, last_long_gap, runs


def flags(text: str) -> np.ndarray:
    return np.array([c == "-" for c in text])


@pytest.mark.parametrize(
    ("text", "expected"), [("", []), ("xx", []), ("--", [(0, 1)]), ("-x--x-", [(0, 0), (2, 3), (5, 5)])]
)
def test_runs_are_told_by_their_first_and_last_position(text, expected):
    assert runs(flags(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("xx--xx", None), ("x---x", (1, 3)), ("x---x----xx--x", (5, 8)), ("x---xx---", (1, 3)), ("---", None)],
)
def test_the_last_long_gap_is_the_last_that_has_anything_after_it(text, expected):
    assert last_long_gap(flags(text), longest=2) == expected


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("xxxx--xxxxx", 0),  # two are not too long
        ("xxxx---xxxx", 7),
        ("xxxx---xxx", 0),  # three after it are too few
        ("xx---xxxx---xxxxx", 12),  # the last one counts
        ("xx---xxxx---xx", 5),  # or the last with enough after it
        ("xxxxxxx---", 0),
    ],
)
def test_the_part_after_the_last_long_gap_that_has_enough_after_it_is_used(text, start):
    assert after_long_gap(flags(text), longest=2, shortest=4) == start
