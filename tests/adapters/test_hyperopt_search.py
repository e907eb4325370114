"""The real Hyperopt behind the search seam: as many trials as asked for, the same for the same seed, none lost."""

import math
from collections.abc import Callable
from functools import partial

import pytest

from paxcast.adapters.hyperopt_search import ALGORITHMS, search
from paxcast.core.candidates import FitFailed
from paxcast.core.errors import AirportTimeout
from paxcast.core.search import Loss, SearchProblem, Trial
from paxcast.core.space import Parameters, contains, parse_space

SPACE = parse_space(
    {
        "changepoint_prior_scale": {"loguniform": [0.001, 0.5]},
        "changepoint_range": {"uniform": [0.7, 0.95]},
        "holidays_prior_scale": {"choice": [0.1, 1, 10]},
        "n_changepoints": {"quniform": [5, 25, 5]},
        "seasonality_mode": {"choice": ["additive", "multiplicative"]},
    }
)
FIRST = {
    "changepoint_prior_scale": 0.05,
    "changepoint_range": 0.8,
    "holidays_prior_scale": 10,
    "n_changepoints": 15,
    "seasonality_mode": "multiplicative",
}
SECOND = FIRST | {"changepoint_range": 0.75, "seasonality_mode": "additive", "n_changepoints": 5}
EACH_ALGORITHM = pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))


def bowl(parameters: Parameters) -> float:
    """Lowest where the prior scale is 0.05, the range 0.8 and the mode multiplicative."""
    off = (
        math.log(parameters["changepoint_prior_scale"] / 0.05) ** 2 + 40 * (parameters["changepoint_range"] - 0.8) ** 2
    )
    return off + (parameters["seasonality_mode"] == "additive")


def tried(
    loss: Callable[[Parameters], float] = bowl,
    algorithm: str = "tpe",
    first: tuple[Parameters, ...] = (),
    max_evals: int = 25,
    seed: int = 1,
    space=SPACE,
) -> list[Trial]:
    def objective(parameters: Parameters, best: float) -> Loss:
        return Loss(loss(parameters))

    problem = SearchProblem(space=space, objective=objective, first=first, max_evals=max_evals, seed=seed)
    return search(problem, algorithm)


@EACH_ALGORITHM
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(algorithm):
    for first in ((), (FIRST,)):
        once = tried(algorithm=algorithm, first=first)
        assert once == tried(algorithm=algorithm, first=first)
        assert once != tried(algorithm=algorithm, first=first, seed=2)


@EACH_ALGORITHM
@pytest.mark.parametrize("max_evals", [1, 2, 3, 25])
@pytest.mark.parametrize("first", [(), (FIRST,), (FIRST, SECOND)], ids=len)
def test_there_are_as_many_trials_as_asked_for_the_first_points_among_them(algorithm, max_evals, first):
    trials = tried(algorithm=algorithm, first=first, max_evals=max_evals)
    assert [trial.number for trial in trials] == list(range(max_evals))
    assert [trial.parameters for trial in trials][: len(first)] == list(first)[:max_evals]


@EACH_ALGORITHM
def test_every_trial_is_a_point_of_the_space_with_values_and_not_indices(algorithm):
    trials = tried(algorithm=algorithm, max_evals=40, first=(FIRST,))
    assert all(contains(SPACE, trial.parameters) for trial in trials)
    assert {trial.parameters["seasonality_mode"] for trial in trials} == {"additive", "multiplicative"}
    assert {trial.parameters["holidays_prior_scale"] for trial in trials} == {0.1, 1, 10}


@EACH_ALGORITHM
def test_changepoints_are_multiples_of_the_step_and_whole_numbers(algorithm):
    counts = [trial.parameters["n_changepoints"] for trial in tried(algorithm=algorithm, max_evals=40)]
    assert {type(count) for count in counts} == {int}
    assert set(counts) == {5, 10, 15, 20, 25}


@EACH_ALGORITHM
@pytest.mark.parametrize(
    ("expression", "arguments", "step"),
    [("uniformint", [3, 9], 1), ("quniform", [4, 12, 2], 2), ("qloguniform", [4, 64, 4], 4), ("choice", [3, 7], 1)],
)
def test_every_expression_with_whole_steps_gives_values_inside_and_on_the_steps(algorithm, expression, arguments, step):
    space = parse_space({"n_changepoints": {expression: arguments}})
    counts = [t.parameters["n_changepoints"] for t in tried(lambda p: 1.0, algorithm, max_evals=30, space=space)]
    assert all(type(count) is int and count % step == 0 for count in counts)
    assert all(contains(space, {"n_changepoints": count}) for count in counts)
    assert len(set(counts)) > 1


@EACH_ALGORITHM
def test_a_logarithmic_range_is_searched_evenly_in_the_logarithm(algorithm):
    space = parse_space({"changepoint_prior_scale": {"loguniform": [0.0001, 1]}})
    values = [
        t.parameters["changepoint_prior_scale"] for t in tried(lambda p: 1.0, algorithm, max_evals=60, space=space)
    ]
    assert all(0.0001 <= value <= 1 for value in values)
    assert 15 <= sum(value < 0.01 for value in values) <= 45


@EACH_ALGORITHM
def test_the_loss_gets_and_the_trial_keeps_plain_values_of_python(algorithm):
    seen = []
    trials = tried(lambda p: seen.append(p) or 0.5, algorithm, first=(FIRST,))
    assert [trial.parameters for trial in trials] == seen
    assert {type(value) for parameters in seen for value in parameters.values()} == {int, float, str}
    assert {trial.loss for trial in trials} == {0.5}


# --- what fails


def fails_on_additive(parameters: Parameters, error: float | None = None) -> float:
    if parameters["seasonality_mode"] == "additive":
        if error is None:
            raise FitFailed("ATL: no additive today")
        return error
    return bowl(parameters)


@EACH_ALGORITHM
def test_a_failed_trial_is_on_record_with_its_reason_and_the_search_goes_on(algorithm):
    trials = tried(fails_on_additive, algorithm, first=(SECOND, FIRST), max_evals=30)
    failed = [trial for trial in trials if trial.parameters["seasonality_mode"] == "additive"]
    assert len(trials) == 30
    assert 0 < len(failed) < 30
    assert {(trial.loss, trial.reason) for trial in failed} == {(None, "ATL: no additive today")}
    assert all(trial.loss is not None and trial.reason == "" for trial in trials if trial not in failed)


@EACH_ALGORITHM
@pytest.mark.parametrize("error", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_a_failed_trial(algorithm, error):
    trials = tried(partial(fails_on_additive, error=error), algorithm, max_evals=30)
    failed = [trial for trial in trials if trial.loss is None]
    assert 0 < len(failed) < 30
    assert {trial.reason for trial in failed} == {"loss not finite"}


def never(parameters: Parameters) -> float:
    raise FitFailed("ATL: nothing fits")


@EACH_ALGORITHM
@pytest.mark.parametrize("first", [(), (FIRST,), (FIRST, SECOND)], ids=len)
def test_when_all_fail_every_trial_is_on_record_and_nothing_is_raised(algorithm, first):
    for max_evals in (1, 2, 25):
        trials = tried(never, algorithm, first=first, max_evals=max_evals)
        assert len(trials) == max_evals
        assert {(trial.loss, trial.reason) for trial in trials} == {(None, "ATL: nothing fits")}


@EACH_ALGORITHM
def test_what_is_no_failed_fit_ends_the_search(algorithm):
    def late(parameters: Parameters) -> float:
        raise AirportTimeout("ATL: took too long")

    for first in ((), (FIRST,)):
        with pytest.raises(AirportTimeout, match="ATL: took too long"):
            tried(late, algorithm, first=first)


# --- how it searches


def test_tpe_learns_from_its_trials_and_random_does_not():
    def late_trials(algorithm: str, seed: int) -> list[float]:
        return [trial.loss for trial in tried(algorithm=algorithm, max_evals=60, seed=seed)[25:]]

    means = {a: sum(sum(late_trials(a, seed)) / 35 for seed in range(3)) / 3 for a in ALGORITHMS}
    assert means["tpe"] < 0.6 * means["random"]
    assert tried(lambda p: -bowl(p), "random") != tried(algorithm="random")
    assert [t.parameters for t in tried(lambda p: -bowl(p), "random")] == [
        t.parameters for t in tried(algorithm="random")
    ]


def test_what_tpe_suggests_depends_on_how_the_first_points_did():
    def after(loss: Callable[[Parameters], float]) -> list[Parameters]:
        return [t.parameters for t in tried(loss, first=(FIRST, SECOND), max_evals=40)]

    assert after(bowl)[:2] == after(lambda p: -bowl(p))[:2]
    assert after(bowl)[2:] != after(lambda p: -bowl(p))[2:]
