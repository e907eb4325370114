"""The real Hyperopt behind the search seam: as many trials as asked for, the same for the same seed, none lost."""

import logging
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hyperopt import STATUS_FAIL, STATUS_OK, Trials, anneal, fmin, hp, rand, tpe
from hyperopt.exceptions import AllTrialsFailed
from hyperopt.fmin import generate_trials_to_calculate

from paxcast.adapters.hyperopt_search import ALGORITHMS, mixtures, sampling, search, warm
from paxcast.core.errors import AirportTimeout, FitFailed
from paxcast.core.search import Loss, SearchProblem, Trial
from paxcast.core.space import Parameter, Parameters, contains, parse_space

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


@EACH_ALGORITHM
def test_patience_ends_a_search_without_gain_and_changes_no_trial_before(algorithm):
    def objective(parameters: Parameters, best: float) -> Loss:
        return Loss(1.0)

    for first in ((), (FIRST,), (FIRST, SECOND)):
        problem = SearchProblem(space=SPACE, objective=objective, first=first, max_evals=60, seed=1, patience=30)
        trials = search(problem, algorithm)
        assert len(trials) == 31
        assert trials == tried(lambda p: 1.0, algorithm, first=first, max_evals=60)[:31]
        assert len(search(replace(problem, patience=1), algorithm)) == 2


@EACH_ALGORITHM
def test_a_search_prints_nothing_and_logs_nothing_below_a_warning(algorithm, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        tried(fails_on_additive, algorithm, first=(SECOND,), max_evals=25)
    assert [r for r in caplog.records if r.levelno < logging.WARNING and not r.name.startswith("numba")] == []
    assert capfd.readouterr() == ("", "")


# --- the numbers are Hyperopt's own, to the last bit

SPACES = {
    "the usual": SPACE,
    "one number": parse_space({"changepoint_prior_scale": {"loguniform": [0.001, 0.5]}}),
    "one word": parse_space({"growth": {"choice": ["linear", "flat"]}}),
    "each expression": parse_space(
        {
            "changepoint_prior_scale": {"loguniform": [0.001, 0.5]},
            "changepoint_range": {"uniform": [0.7, 0.95]},
            "growth": {"choice": ["linear", "flat"]},
            "holidays_prior_scale": {"qloguniform": [0.3, 20, 0.5]},
            "n_changepoints": {"uniformint": [3, 30]},
            "seasonality_prior_scale": {"quniform": [0.1, 9.6, 0.1]},
        }
    ),
    "steps that leave the range": parse_space(
        {
            "changepoint_prior_scale": {"qloguniform": [0.2, 5, 1]},
            "changepoint_range": {"quniform": [0.7, 0.96, 0.1]},
            "n_changepoints": {"quniform": [7, 13, 5]},
        }
    ),
    "ranges narrower than a rounding error": parse_space(
        {
            "changepoint_prior_scale": {"loguniform": [1, 1 + 1e-13]},
            "changepoint_range": {"uniform": [0.7, 0.7 + 1e-13]},
            "seasonality_prior_scale": {"quniform": [5, 5 + 1e-13, 1e-14]},
        }
    ),
    "choices of numbers, and not in order": parse_space(
        {"n_changepoints": {"choice": [30, 3, 12]}, "holidays_prior_scale": {"choice": [10, 0.1, 1, 5]}}
    )[::-1],
}


def by_hyperopt(
    space: tuple[Parameter, ...],
    loss: Callable[[Parameters], float],
    algorithm: str,
    first: tuple[Parameters, ...],
    max_evals: int,
    seed: int,
) -> list[Parameters]:
    """What `fmin` itself tries, in order."""
    told: list[Parameters] = []

    def objective(sampled: dict[str, Any]) -> dict[str, Any]:
        told.append(sampled)
        try:
            return {"status": STATUS_OK, "loss": loss(sampled)}
        except FitFailed:
            return {"status": STATUS_FAIL}

    trials = generate_trials_to_calculate([as_stored(space, p) for p in first]) if first else Trials()
    trials.refresh()
    with suppress(AllTrialsFailed):
        fmin(
            objective,
            {parameter.name: as_expression(parameter) for parameter in space},
            algo={"tpe": tpe.suggest, "anneal": anneal.suggest, "random": rand.suggest}[algorithm],
            max_evals=max_evals,
            trials=trials,
            rstate=np.random.default_rng(seed),
            show_progressbar=False,
            verbose=False,
        )
    return told


def as_expression(parameter: Parameter) -> Any:
    name, arguments = parameter.name, parameter.arguments
    logarithms = [float(np.log(a)) for a in arguments[:2]] if "log" in parameter.expression else []
    return {
        "choice": lambda: hp.choice(name, list(arguments)),
        "uniform": lambda: hp.uniform(name, *arguments),
        "uniformint": lambda: hp.uniformint(name, *arguments),
        "quniform": lambda: hp.quniform(name, *arguments),
        "loguniform": lambda: hp.loguniform(name, *logarithms),
        "qloguniform": lambda: hp.qloguniform(name, *logarithms, arguments[2]),
    }[parameter.expression]()


def as_stored(space: tuple[Parameter, ...], parameters: Parameters) -> dict[str, Any]:
    return {
        p.name: p.arguments.index(parameters[p.name]) if p.expression == "choice" else parameters[p.name] for p in space
    }


def rugged(parameters: Parameters) -> float:
    """Any space has hills and valleys here."""
    values = [len(v) if isinstance(v, str) else v for _, v in sorted(parameters.items())]
    return sum(math.sin(3 * v) + abs(v - 1) ** 0.5 for v in values)


def with_ties(parameters: Parameters) -> float:
    return float(round(rugged(parameters)))


def with_failures(parameters: Parameters) -> float:
    if int(1000 * rugged(parameters)) % 4 == 0:
        raise FitFailed("not here")
    return rugged(parameters)


LOSSES = (rugged, with_ties, with_failures)


def some_points(space: tuple[Parameter, ...], count: int) -> tuple[Parameters, ...]:
    """Points to try first: at both ends of the ranges, then inside; whole numbers and others, on the steps and off."""
    rng = np.random.default_rng(count)

    def value(p: Parameter, at: int) -> Any:
        if p.expression == "choice":
            return p.arguments[int(rng.integers(len(p.arguments)))]
        inside = float(rng.uniform(*p.arguments[:2]))
        return p.arguments[at] if at < 2 else round(inside) if p.name == "n_changepoints" else inside

    return tuple({p.name: value(p, at) for p in space} for at in range(count))


def assert_as_hyperopt(space, loss, algorithm, first, max_evals, seed):
    expected = by_hyperopt(space, loss, algorithm, first, max_evals, seed)
    ours = [t.parameters for t in tried(loss, algorithm, first=first, max_evals=max_evals, seed=seed, space=space)]
    assert ours == expected


@pytest.mark.parametrize("name", SPACES)
def test_tpe_tries_what_fmin_tries_whatever_the_seed_the_losses_and_the_first_points(name):
    for seed in range(15):  # each loss with each number of first points
        first = some_points(SPACES[name], (0, 1, 4)[seed // 3 % 3])
        assert_as_hyperopt(SPACES[name], LOSSES[seed % 3], "tpe", first, max_evals=32, seed=seed)


@pytest.mark.parametrize(
    ("name", "loss", "first"),
    [("the usual", rugged, 2), ("each expression", with_failures, 0), ("steps that leave the range", with_ties, 35)],
)
def test_tpe_tries_what_fmin_tries_when_there_are_so_many_trials_that_old_ones_are_forgotten(name, loss, first):
    assert_as_hyperopt(SPACES[name], loss, "tpe", some_points(SPACES[name], first), max_evals=130, seed=7)


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")  # Hyperopt's, of a step at 0
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("algorithm", ["anneal", "random"])
def test_annealing_and_random_try_what_fmin_tries(algorithm, name):
    for seed in range(6):
        first = some_points(SPACES[name], (0, 4)[seed // 3])
        assert_as_hyperopt(SPACES[name], LOSSES[seed % 3], algorithm, first, max_evals=40, seed=seed)


def test_tpe_counts_a_pruned_trial_with_its_loss():
    def objective(parameters: Parameters, best: float) -> Loss:
        loss = rugged(parameters)
        return Loss(loss, folds_left=int(loss > best))

    trials = search(SearchProblem(space=SPACE, objective=objective, max_evals=60, seed=1))
    assert 0 < sum(trial.pruned for trial in trials) < 60
    assert [t.parameters for t in trials] == by_hyperopt(SPACE, rugged, "tpe", (), 60, 1)


def edges(x: np.ndarray, step: float, limits: np.ndarray) -> np.ndarray:
    """[2, S + 1] from where to where numbers become x: [S]; the last are the limits."""
    return np.column_stack([[np.maximum(x - step / 2, limits[0]), np.minimum(x + step / 2, limits[1])], limits])


@pytest.mark.parametrize("trials", [2, 3, 25, 26, 200])
@pytest.mark.parametrize("width", [1.0, 1e-13])
def test_densities_are_those_of_hyperopt(trials, width):
    rng = np.random.default_rng(trials)
    limits = np.array([0.7, 0.7 + width])
    observed = rng.choice([limits.mean(), *rng.uniform(*limits, 20)], trials)  # some equal, to the prior's mean too
    mixture = mixtures.parzen(observed, limits.mean(), width)
    x, step = rng.uniform(*limits, 24), width / 7
    logs = np.exp(x)
    ours = [
        *mixture,
        mixtures.log_density(x, mixture, limits),
        mixtures.log_density_of_logs(logs, mixture),
        mixtures.log_probability(edges(x, step, limits), mixture),
        mixtures.log_probability(np.log(edges(logs, step, np.exp(limits))), mixture),
    ]
    theirs = [
        *tpe.adaptive_parzen_normal(observed, 1.0, limits.mean(), width),
        tpe.GMM1_lpdf(x, *mixture, *limits),
        tpe.LGMM1_lpdf(logs, *mixture, *limits),
        tpe.GMM1_lpdf(x, *mixture, *limits, step),
        tpe.LGMM1_lpdf(logs, *mixture, *np.log(np.exp(limits)), step),
    ]
    assert [part.tolist() for part in ours] == [part.tolist() for part in theirs]


def test_compiled_draws_are_those_of_numpy_and_leave_its_generator_where_it_would_be():
    warm()
    assert sampling.fast_draws() is not sampling.plain_draws
    made = np.random.default_rng(0)
    for seed in range(500):
        components = int(made.integers(2, 27))
        weights = made.random(components) ** made.integers(0, 9) + 1e-12
        mixture = (weights / weights.sum(), made.normal(size=components), made.random(components) + 0.01)
        ours, numpys = np.random.default_rng(seed), np.random.default_rng(seed)
        drawn = sampling.fast_draws()(*mixture, -1.0, 1.5, 24, ours)
        assert drawn.tolist() == sampling.plain_draws(*mixture, -1.0, 1.5, 24, numpys).tolist()
        assert ours.bit_generator.state == numpys.bit_generator.state


@pytest.mark.parametrize(
    "other",
    [lambda drawn, rng: np.nextafter(drawn, 1), lambda drawn, rng: (rng.random(), drawn)[1]],
    ids=["another bit", "another state of the generator"],
)
def test_where_compiling_would_change_anything_the_plain_loop_draws(monkeypatch, other):
    def compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: other(loop(*arguments), arguments[-1])

    monkeypatch.setattr(sampling, "compiled", compiled)
    assert sampling.fast_draws.__wrapped__() is sampling.plain_draws
