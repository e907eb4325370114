"""The real Optuna behind the search seam: as many trials as asked for, the same for the same seed, none lost."""

import importlib
import logging
import math
import sys
import warnings
from collections.abc import Callable
from functools import partial

import optuna
import pytest

from paxcast.adapters import hyperopt_search
from paxcast.adapters.optuna_search import ALGORITHMS, search
from paxcast.core import grid
from paxcast.core.errors import AirportTimeout, ConfigurationError, FitFailed
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
    return bowl_of_numbers(parameters) + (parameters["seasonality_mode"] == "additive")


def bowl_of_numbers(parameters: Parameters) -> float:
    scale, share = parameters["changepoint_prior_scale"], parameters["changepoint_range"]
    return math.log(scale / 0.05) ** 2 + 40 * (share - 0.8) ** 2


def problem(
    loss: Callable[[Parameters], float] = bowl, max_evals: int = 25, seed: int = 1, space=SPACE, **more
) -> SearchProblem:
    def objective(parameters: Parameters, best: float) -> Loss:
        return Loss(loss(parameters))

    return SearchProblem(space=space, objective=objective, max_evals=max_evals, seed=seed, **more)


def tried(
    loss: Callable[[Parameters], float] = bowl,
    algorithm: str = "optuna_tpe",
    first: tuple[Parameters, ...] = (),
    **stated,
) -> list[Trial]:
    return search(problem(loss, first=first, **stated), algorithm)


def beginnings(algorithm: str, space) -> list[Parameters]:
    """The first trials of many searches: later ones of CMA-ES keep to the middle as long as all losses are equal."""
    found = [tried(lambda p: 1.0, algorithm, max_evals=2, space=space, seed=seed) for seed in range(40)]
    return [trial.parameters for trials in found for trial in trials]


@EACH_ALGORITHM
@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**40])
def test_the_same_seed_gives_the_same_trials_and_another_seed_others(algorithm, seed):
    for first in ((), (FIRST,)):
        once = tried(algorithm=algorithm, first=first, seed=seed)
        assert once == tried(algorithm=algorithm, first=first, seed=seed)
        assert once != tried(algorithm=algorithm, first=first, seed=seed + 1)


@EACH_ALGORITHM
@pytest.mark.parametrize("max_evals", [1, 2, 3, 25])
@pytest.mark.parametrize("first", [(), (FIRST,), (FIRST, SECOND)], ids=len)
def test_there_are_as_many_trials_as_asked_for_the_first_points_among_them(algorithm, max_evals, first):
    trials = tried(algorithm=algorithm, first=first, max_evals=max_evals)
    assert [trial.number for trial in trials] == list(range(max_evals))
    assert [trial.parameters for trial in trials][: len(first)] == list(first)[:max_evals]


@EACH_ALGORITHM
def test_patience_ends_the_search(algorithm):
    assert len(tried(lambda p: 1.0, algorithm, patience=4)) == 5
    assert len(tried(lambda p: 1.0, algorithm, patience=1, first=(FIRST, SECOND, FIRST))) == 2


@EACH_ALGORITHM
def test_every_trial_is_a_point_of_the_space_with_values_and_not_indices(algorithm):
    trials = tried(algorithm=algorithm, max_evals=40, first=(FIRST,))
    assert all(contains(SPACE, trial.parameters) for trial in trials)
    assert {trial.parameters["seasonality_mode"] for trial in trials} == {"additive", "multiplicative"}
    assert {trial.parameters["holidays_prior_scale"] for trial in trials} == {0.1, 1, 10}


@EACH_ALGORITHM
@pytest.mark.parametrize(
    ("expression", "arguments"),
    [
        ("uniformint", [3, 9]),
        ("quniform", [4, 12, 2]),
        ("quniform", [3, 25, 5]),  # from 5 on: steps are counted from 0
        ("quniform", [2.4, 4.4, 0.4]),
        ("qloguniform", [4, 24, 4]),
        ("choice", [3.0, 7]),
    ],
)
def test_changepoints_are_whole_numbers_and_all_those_of_the_grid(algorithm, expression, arguments):
    space = parse_space({"n_changepoints": {expression: arguments}})
    counts = [parameters["n_changepoints"] for parameters in beginnings(algorithm, space)]
    assert {type(count) for count in counts} == {int}
    assert set(counts) == {point["n_changepoints"] for point in grid.points(space)}
    later = [
        t.parameters["n_changepoints"] for t in tried(lambda p: float(p["n_changepoints"]), algorithm, space=space)
    ]
    assert set(later) <= set(counts)


@EACH_ALGORITHM
@pytest.mark.parametrize("expression", ["quniform", "qloguniform"])
def test_fractional_steps_are_met_exactly_and_the_ends_are_among_them(algorithm, expression):
    space = parse_space({"changepoint_range": {expression: [0.1, 0.3, 0.1]}})
    assert {parameters["changepoint_range"] for parameters in beginnings(algorithm, space)} == {0.1, 0.2, 0.3}


@EACH_ALGORITHM
@pytest.mark.parametrize("expression", ["uniform", "loguniform"])
def test_a_continuous_range_of_a_whole_number_gives_those_inside(algorithm, expression):
    space = parse_space({"n_changepoints": {expression: [2.6, 5.4]}})
    counts = [parameters["n_changepoints"] for parameters in beginnings(algorithm, space)]
    assert {type(count) for count in counts} == {int}
    assert set(counts) == {3, 4, 5}


@EACH_ALGORITHM
@pytest.mark.parametrize("sign", [1, -1])
def test_a_search_that_presses_against_an_end_stays_inside(algorithm, sign):
    space = parse_space({"seasonality_prior_scale": {"loguniform": [0.001, 10.0]}})

    def loss(parameters: Parameters) -> float:
        assert contains(space, parameters)
        return sign * math.log(parameters["seasonality_prior_scale"])

    tried(loss, algorithm, max_evals=100, space=space)


@EACH_ALGORITHM
@pytest.mark.parametrize(("drawn", "kept"), [(math.exp(math.log(10)), 10.0), (0.00099999, 0.001), (2.0, 2.0)])
def test_what_arithmetic_carries_past_an_end_is_brought_back_to_it(algorithm, drawn, kept, monkeypatch):
    monkeypatch.setattr(optuna.Trial, "suggest_float", lambda *stated, **more: drawn)
    space = parse_space({"seasonality_prior_scale": {"loguniform": [0.001, 10]}})
    trials = tried(lambda p: 1.0, algorithm, max_evals=1, space=space)
    assert [trial.parameters for trial in trials] == [{"seasonality_prior_scale": kept}]


@EACH_ALGORITHM
def test_a_logarithmic_range_is_searched_evenly_in_the_logarithm(algorithm):
    for expression, arguments in (("loguniform", [0.0001, 1]), ("qloguniform", [0.0001, 1, 0.0001])):
        space = parse_space({"changepoint_prior_scale": {expression: arguments}})
        values = [parameters["changepoint_prior_scale"] for parameters in beginnings(algorithm, space)]
        assert all(0.0001 <= value <= 1 for value in values)
        assert 25 <= sum(value < 0.01 for value in values) <= 55


@EACH_ALGORITHM
def test_the_loss_gets_and_the_trial_keeps_plain_values_of_python(algorithm):
    seen = []
    trials = tried(lambda p: seen.append(p) or 0.5, algorithm, first=(FIRST,))
    assert [trial.parameters for trial in trials] == seen
    assert {type(value) for parameters in seen for value in parameters.values()} == {int, float, str}
    assert {trial.loss for trial in trials} == {0.5}


@EACH_ALGORITHM
def test_a_first_point_between_the_steps_is_tried_as_it_is(algorithm):
    between = FIRST | {"n_changepoints": 7}
    assert tried(algorithm=algorithm, first=(between,))[0].parameters == between


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


@pytest.mark.parametrize(("algorithm", "loss"), [("optuna_tpe", bowl), ("optuna_cmaes", bowl_of_numbers)])
def test_it_learns_from_its_trials_and_is_better_than_random(algorithm, loss):
    def late_trials(look: Callable[[SearchProblem], list[Trial]]) -> float:
        return sum(t.loss for seed in range(3) for t in look(problem(loss, max_evals=60, seed=seed))[25:]) / 105

    assert late_trials(partial(search, algorithm=algorithm)) < 0.6 * late_trials(
        partial(hyperopt_search.search, algorithm="random")
    )


@EACH_ALGORITHM
def test_what_it_suggests_depends_on_how_the_first_points_did(algorithm):
    def after(loss: Callable[[Parameters], float]) -> list[Parameters]:
        return [t.parameters for t in tried(loss, algorithm, first=(FIRST, SECOND), max_evals=40)]

    assert after(bowl)[:2] == after(lambda p: -bowl(p))[:2]
    assert after(bowl)[2:] != after(lambda p: -bowl(p))[2:]


@EACH_ALGORITHM
def test_the_first_points_are_queued_where_they_lie_in_the_space(algorithm, monkeypatch):
    told = []
    monkeypatch.setattr(optuna.Study, "enqueue_trial", lambda study, parameters: told.append(parameters))
    tried(algorithm=algorithm, first=(FIRST | {"n_changepoints": 6}, SECOND | {"n_changepoints": 25}))
    assert [point["n_changepoints"] for point in told] == [1, 5]  # steps of 5
    assert {type(value) for point in told for value in point.values()} == {int, float, str}
    assert [point["holidays_prior_scale"] for point in told] == [10, 10]


def test_a_failed_trial_is_told_as_failed_and_the_others_with_their_loss(monkeypatch):
    told, tell = [], optuna.Study.tell

    def overheard(study, trial, values=None, state=None):
        told.append((values, state))
        return tell(study, trial, values, state)

    monkeypatch.setattr(optuna.Study, "tell", overheard)
    trials = tried(fails_on_additive, first=(SECOND, FIRST), max_evals=5)
    assert told == [(t.loss, optuna.trial.TrialState.FAIL if t.loss is None else None) for t in trials]
    assert told[0] == (None, optuna.trial.TrialState.FAIL)


# --- how quiet it is, and without Optuna


@EACH_ALGORITHM
def test_nothing_is_logged_warned_of_or_written(algorithm, capfd):
    seen: list[str] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: seen.append(record.getMessage())
    logging.getLogger("optuna").addHandler(handler)
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tried(fails_on_additive, algorithm, first=(FIRST | {"n_changepoints": 7}, SECOND), max_evals=30)
    finally:
        logging.getLogger("optuna").removeHandler(handler)
    assert (seen, *capfd.readouterr()) == ([], "", "")


@pytest.mark.parametrize("package", ["optuna", "cmaes"])
def test_without_the_package_the_error_names_the_setting_and_the_extra(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "paxcast.adapters.optuna_search")
    text = r"^search\.algorithm: optuna_tpe needs the package optuna.*pip install 'paxcast\[optuna\]'"
    with pytest.raises(ConfigurationError, match=text):
        importlib.import_module("paxcast.adapters.optuna_search")
