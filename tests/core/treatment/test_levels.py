"""Where traffic opened, whether it has ended, where its level moved, and how many zeros there are."""

import numpy as np
import pytest

from paxcast.core.treatment.levels import closed_since, moves, opening, zero_heavy


def season(periods: int) -> np.ndarray:
    return 1000 * (1 + 0.4 * np.sin(2 * np.pi * np.arange(periods) / 12))


@pytest.mark.parametrize("before", [[], [0.0], [0.0] * 30, [0.0, 3.0, 0.0, 15.0, np.nan, 0.0]])
def test_what_lies_before_the_first_real_traffic_is_counted(before):
    assert opening(np.array([*before, *season(60)]), 12) == len(before)


def test_a_small_beginning_is_the_opening_if_it_is_not_next_to_nothing():
    assert opening(np.array([30.0, *np.full(60, 1000.0)]), 12) == 0
    assert opening(np.array([15.0, *np.full(60, 1000.0)]), 12) == 1


def test_growth_of_later_decades_does_not_make_the_first_years_an_opening():
    assert opening(np.array([10.0] * 12 + [1000.0] * 60 + [1e6] * 60), 12) == 0


def test_without_any_traffic_there_is_no_opening():
    assert opening(np.zeros(20), 12) == 0


@pytest.mark.parametrize(
    ("y", "since"),
    [
        ([5.0] * 20 + [0.0] * 3, 20),
        ([5.0] * 20 + [0.0] * 2, None),
        ([5.0] * 20 + [0.0] * 3 + [1.0], None),
        (([0.0] * 6 + [5.0] * 6) * 3 + [0.0] * 8, None),  # a winter pause that is late
        (([0.0] * 6 + [5.0] * 6) * 3 + [0.0] * 9, 36),
        ([0.0] * 20, None),
    ],
)
def test_an_airport_is_closed_when_it_pauses_for_half_as_long_again_as_ever(y, since):
    assert closed_since(np.array(y), "MS") == since


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_move_begins_with_the_first_period_at_the_new_level(factor):
    y = season(96)
    y[50:] *= factor
    assert moves(y, "MS") == [50]


@pytest.mark.parametrize(
    "y",
    [
        season(96),
        season(96) * 1.2 ** (np.arange(96) / 12),
        season(96) * np.where(np.arange(96) >= 50, 1.3, 1.0),
        season(96) * np.where((np.arange(96) >= 50) & (np.arange(96) < 54), 3.0, 1.0),
        season(96) * np.where(np.arange(96) >= 90, 3.0, 1.0),
        season(12),
        np.zeros(60),
    ],
    ids=["steady", "growing", "a third more", "for four months", "not known to last", "short", "none"],
)
def test_what_is_no_move(y):
    assert moves(y, "MS") == []


def test_moves_at_least_a_year_apart_are_all_told():
    y = season(120)
    y[40:] *= 2
    y[80:] *= 0.4
    assert moves(y, "MS") == [40, 80]


def test_zero_heavy_is_more_than_three_in_ten_of_what_is_known():
    assert not zero_heavy(np.array([0.0] * 3 + [1.0] * 7))
    assert zero_heavy(np.array([0.0] * 3 + [1.0] * 6 + [np.nan] * 9))
    assert not zero_heavy(np.array([np.nan]))
