"""No new actual, no new test: which verdict counts, the one of now or the one before."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from paxcast.core.drift.holding import Earlier, held
from paxcast.core.drift.verdicts import MODERATE, SEVERE, WATCH, Verdict

MONDAY, TUESDAY = (pd.Timestamp(day, tz="UTC") for day in ("2021-03-01", "2021-03-02"))
NOW = Verdict("AAA", "2021-02-22", True, True, MODERATE, 0.01, 0.02, ("loss",), 2.0, (1.0, 2.0))
THEN = Verdict("AAA", "2021-02-22", True, True, SEVERE, 0.001, 0.002, ("coverage",), 4.0, (3.0,))
UNTESTED = Verdict("AAA", "2021-02-22")
LIVE = np.array([False, False, True, True])
YES = np.ones(4, dtype=bool)


def test_the_first_time_the_verdict_of_now_counts() -> None:
    assert held(NOW, YES, LIVE, None, 1, MONDAY) == NOW


def test_without_a_new_actual_the_verdict_before_holds_and_is_no_test() -> None:
    for known_since in (MONDAY, None):
        assert held(NOW, YES, LIVE, Earlier(MONDAY, 1, THEN), 1, known_since) == replace(THEN, tested=False)


def test_a_verdict_that_holds_holds_again() -> None:
    again = held(NOW, YES, LIVE, Earlier(TUESDAY, 1, replace(THEN, tested=False)), 1, MONDAY)
    assert again == replace(THEN, tested=False)


def test_with_the_actual_of_a_new_cycle_it_is_tested_again() -> None:
    earlier = Earlier(MONDAY, 1, replace(THEN, cycle="2021-02-15"))
    assert held(NOW, YES, LIVE, earlier, 1, MONDAY) == NOW
    assert held(NOW, YES, LIVE, earlier, 2, MONDAY) == NOW


def test_an_actual_that_was_restated_since_is_a_new_one() -> None:
    assert held(NOW, YES, LIVE, Earlier(MONDAY, 1, THEN), 1, TUESDAY) == NOW


def test_a_new_model_has_no_verdict_before_it_has_an_actual_of_its_own() -> None:
    assert held(NOW, YES, LIVE, Earlier(MONDAY, 1, THEN), 2, MONDAY) == UNTESTED


def test_what_was_dropped_since_does_not_have_older_cycles_tested_again() -> None:
    """After a retraining the newest cycles that are left are older than those which it was asked for by."""
    left = replace(NOW, cycle="2021-01-04")
    first = held(left, YES, YES, Earlier(MONDAY, 1, THEN), 2, TUESDAY)
    assert first == UNTESTED
    assert held(left, YES, YES, Earlier(TUESDAY, 2, first), 2, TUESDAY) == UNTESTED


@pytest.mark.parametrize("there", [np.zeros(4, dtype=bool), np.array([True, True, False, False])])
def test_what_only_folds_say_is_no_test(there: np.ndarray) -> None:
    assert held(NOW, there, LIVE & there, None, 1, MONDAY) == UNTESTED


def test_drift_takes_two_cycles_of_published_forecasts_and_one_is_a_watch() -> None:
    one = np.array([False, False, False, True])
    expected = replace(NOW, drifted=False, severity=WATCH)
    assert held(NOW, YES, one, None, 1, MONDAY) == expected
    gap = np.array([True, True, False, True])  # the two are neighbours among those that are there
    assert held(NOW, gap, np.array([False, True, False, True]), None, 1, MONDAY) == NOW
    quiet = replace(NOW, drifted=False, severity="none")
    assert held(quiet, YES, one, None, 1, MONDAY) == quiet
