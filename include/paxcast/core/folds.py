"""Rolling-origin folds: where the history is cut to see how well a method would have done.

    |---------------- train ----------------|-- fold --|          |
    |------------------------ train --------------------|-- fold --|-- test --|   next: the real forecast

Three kinds, all `horizon` periods long: the *test* window, the last `horizon` periods, that nothing is chosen on;
*recent* folds just before it; and folds at the *same season of earlier years* as the forecast to come, because the
weeks just before the turn of a season mislead.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fold:
    """Train on the first `cutoff` periods, compare over the `horizon` that follow."""

    cutoff: int
    horizon: int
    kind: str  # recent | same_season | test


@dataclass(frozen=True, slots=True)
class Folds:
    """The folds that a choice is made on, oldest first, and the untouched test window (None if too short)."""

    choose: tuple[Fold, ...]
    test: Fold | None


def plan_folds(periods: int, *, horizon: int, year: int, shortest_train: int, recent: int, earlier_years: int) -> Folds:
    """The folds of a history of `periods` observations, all counts in periods.

    No fold trains on fewer than `shortest_train`; no fold that is chosen on reaches into the test window, nor does one
    stand twice. A history too short for a test window and one fold has neither.
    """
    end = periods - horizon
    cutoffs = {end - horizon * (i + 1): "recent" for i in range(recent)}
    for j in range(1, earlier_years + 1):
        cutoff = periods - year * j
        if cutoff + horizon <= end:
            cutoffs.setdefault(cutoff, "same_season")
    choose = tuple(Fold(c, horizon, kind) for c, kind in sorted(cutoffs.items()) if c >= shortest_train)
    return Folds(choose, Fold(end, horizon, "test") if choose else None)
