"""The record of a search: what is put on it, which trial may be chosen, and when it is over."""

import math

import pytest

from paxcast.core.errors import FitFailed
from paxcast.core.search import Loss, Record, SearchProblem, Trial, best, eligible, evaluated


def problem(losses: list[float], max_evals: int = 9, patience: int | None = None, first=()) -> SearchProblem:
    """Point i has the i-th loss; -1 cannot be fitted; a loss of 100 or more is given up if it has to beat less."""

    def objective(parameters, to_beat):
        loss = losses[parameters["at"]]
        if loss == -1:
            raise FitFailed("ATL: no fit")
        return Loss(loss, 2 if loss >= 100 > to_beat else 0)

    return SearchProblem(
        space=(), objective=objective, max_evals=max_evals, seed=1, patience=patience, first=tuple(first)
    )


def run(losses: list[float], **stated) -> Record:
    record = Record(problem(losses, **stated))
    for at in range(len(losses)):
        if not record.over:
            record.tried({"at": at})
    return record


def test_every_evaluation_is_on_record_in_order_with_its_loss_or_its_reason():
    assert run([2.0, -1, math.nan, 100.0]).trials == [
        Trial(0, {"at": 0}, 2.0),
        Trial(1, {"at": 1}, None, "ATL: no fit"),
        Trial(2, {"at": 2}, None, "loss not finite"),
        Trial(3, {"at": 3}, 100.0, "given up with 2 folds left", pruned=True),
    ]


def test_an_evaluation_is_told_the_best_loss_so_far_and_infinity_before_there_is_one():
    assert not run([100.0]).trials[0].pruned
    assert run([50.0, 100.0]).trials[1].pruned
    assert not evaluated(problem([100.0]), 0, {"at": 0}).pruned


@pytest.mark.parametrize(
    ("losses", "chosen"), [([3.0, 1.0, 1.0, 2.0], 1), ([-1, 5.0], 1), ([-1, -1], None), ([], None), ([1.0, 100.0], 0)]
)
def test_the_lowest_loss_is_chosen_the_earliest_of_equals_and_never_a_failed_or_pruned_one(losses, chosen):
    found = best(run(losses).trials)
    assert (found.number if found else None) == chosen
    assert not eligible(Trial(0, {}, 0.1, pruned=True))


@pytest.mark.parametrize(
    ("losses", "patience", "evaluations"),
    [
        ([5.0, 4, 3, 2, 1], 2, 5),
        ([1.0, 2, 2, 2, 2], 2, 3),
        ([3.0, 4, 2, 2, 2, 1], 2, 5),  # an equal loss is no gain
        ([-1, -1, -1, 1.0], 2, 2),
        ([1.0, 2, 2, 2, 2], None, 5),
    ],
)
def test_a_search_is_over_after_as_many_evaluations_without_a_gain_as_patience_allows(losses, patience, evaluations):
    assert len(run(losses, patience=patience).trials) == evaluations


def test_the_first_points_are_tried_first_as_far_as_evaluations_last():
    record = Record(problem([1.0, 2.0, 3.0], max_evals=2, first=[{"at": 2}, {"at": 0}, {"at": 1}]))
    record.try_first()
    assert [t.parameters["at"] for t in record.trials] == [2, 0]
    assert record.over
