"""Where the history is cut: never into the test window, never twice, never too short."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.calendar import FREQUENCIES
from paxcast.core.folds import Fold, Folds, plan_folds

SETTINGS = settings(max_examples=200, deadline=None)
PLANS = st.fixed_dictionaries(
    {
        "periods": st.integers(0, 400),
        "horizon": st.integers(1, 60),
        "year": st.integers(1, 120),
        "shortest_train": st.integers(1, 120),
        "recent": st.integers(1, 6),
        "earlier_years": st.integers(0, 6),
    }
)


def slow_folds(
    periods: int, horizon: int, year: int, shortest_train: int, recent: int, earlier_years: int
) -> list[tuple[int, str]]:
    """Every cutoff tried in turn: is it a recent one, or whole years before the end, and does it fit?"""
    found = []
    for cutoff in range(shortest_train, periods):
        if cutoff + horizon > periods - horizon:
            continue
        if any(cutoff == periods - horizon - i * horizon for i in range(1, recent + 1)):
            found.append((cutoff, "recent"))
        elif any(cutoff == periods - j * year for j in range(1, earlier_years + 1)):
            found.append((cutoff, "same_season"))
    return found


@SETTINGS
@given(PLANS)
def test_the_folds_are_those_that_trying_every_cutoff_finds(plan):
    folds = plan_folds(**plan)
    assert [(fold.cutoff, fold.kind) for fold in folds.choose] == slow_folds(**plan)


@SETTINGS
@given(PLANS)
def test_no_fold_reaches_into_the_test_window_stands_twice_or_trains_on_too_few(plan):
    folds = plan_folds(**plan)
    cutoffs = [fold.cutoff for fold in folds.choose]
    if folds.test is None:
        assert cutoffs == []
        return
    assert (folds.test.cutoff, folds.test.kind) == (plan["periods"] - plan["horizon"], "test")
    assert all(fold.cutoff + fold.horizon <= folds.test.cutoff for fold in folds.choose)
    assert all(fold.cutoff >= plan["shortest_train"] for fold in (*folds.choose, folds.test))
    assert all(fold.horizon == plan["horizon"] for fold in (*folds.choose, folds.test))
    assert cutoffs == sorted(set(cutoffs))


@SETTINGS
@given(PLANS)
def test_one_recent_fold_and_the_test_window_take_the_shortest_training_and_two_horizons(plan):
    enough = plan["periods"] >= plan["shortest_train"] + 2 * plan["horizon"]
    folds = plan_folds(**(plan | {"earlier_years": 0}))
    assert (folds.test is not None) == bool(folds.choose) == enough


def test_monthly_folds_are_the_two_before_the_test_year_and_the_forecasts_season_a_year_ago():
    folds = plan_folds(60, horizon=6, year=12, shortest_train=24, recent=2, earlier_years=2)
    assert folds == Folds(
        choose=(Fold(36, 6, "same_season"), Fold(42, 6, "recent"), Fold(48, 6, "recent")),
        test=Fold(54, 6, "test"),
    )


@pytest.mark.parametrize(("code", "horizon"), [("D", 28), ("W", 13), ("MS", 4)])
def test_a_fold_of_an_earlier_year_forecasts_the_season_of_the_forecast_to_come(code, horizon):
    year = FREQUENCIES[code].year
    folds = plan_folds(5 * year, horizon=horizon, year=year, shortest_train=24, recent=1, earlier_years=3)
    earlier = [fold.cutoff for fold in folds.choose if fold.kind == "same_season"]
    assert earlier == [2 * year, 3 * year, 4 * year]


def test_a_horizon_of_a_whole_year_leaves_the_recent_fold_that_is_the_same_season_too_in_place_once():
    folds = plan_folds(60, horizon=12, year=12, shortest_train=24, recent=2, earlier_years=4)
    assert [(fold.cutoff, fold.kind) for fold in folds.choose] == [(24, "recent"), (36, "recent")]


@pytest.mark.parametrize("periods", [0, 1, 12, 35])
def test_a_history_too_short_has_neither_folds_nor_a_test_window(periods):
    assert plan_folds(periods, horizon=6, year=12, shortest_train=24, recent=2, earlier_years=1) == Folds((), None)
