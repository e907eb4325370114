"""The evaluations of one airport in parallel on a real Spark: as many as the book says, each on record."""

import os
import sys
from types import SimpleNamespace

import pytest
from pyspark import cloudpickle

from paxcast.adapters.hyperopt_search.spark_trials import evaluations, no_gain, search, searching
from paxcast.core.errors import ConfigurationError, FitFailed
from paxcast.core.search import Loss, SearchProblem, Trial
from paxcast.core.space import Parameters, contains, parse_space

pytestmark = pytest.mark.slow
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test module

SPACE = parse_space(
    {
        "changepoint_range": {"uniform": [0.7, 0.95]},
        "n_changepoints": {"uniformint": [3, 9]},
        "seasonality_mode": {"choice": ["additive", "multiplicative"]},
    }
)
FIRST = {"changepoint_range": 0.9, "n_changepoints": 5, "seasonality_mode": "additive"}


def bowl(parameters: Parameters, best: float) -> Loss:
    if parameters["seasonality_mode"] == "multiplicative":
        raise FitFailed("ATL: nothing multiplicative")
    return Loss(abs(parameters["changepoint_range"] - 0.8) + (best != float("inf")))


def process(parameters: Parameters, best: float) -> Loss:
    """The process that evaluates, as a loss."""
    return Loss(float(os.getpid()))


def problem(max_evals: int, **more) -> SearchProblem:
    return SearchProblem(space=SPACE, objective=bowl, max_evals=max_evals, seed=3, **more)


def test_evaluations_are_those_of_one_core_and_parallelism_through_a_fifth_more():
    assert [evaluations(32, p) for p in (1, 2, 8)] == [37, 42, 72]


def test_every_evaluation_is_on_record_with_plain_values_its_loss_or_its_reason(spark_session):
    trials = search(problem(1, first=(FIRST,)), session=spark_session, algorithm="tpe", parallelism=1)
    assert [t.number for t in trials] == list(range(6))
    assert trials[0] == Trial(0, FIRST, pytest.approx(0.1))
    assert all(contains(SPACE, t.parameters) for t in trials)
    assert {type(v) for t in trials for v in t.parameters.values()} == {float, int, str}
    for trial in trials[1:]:
        failed = trial.parameters["seasonality_mode"] == "multiplicative"
        assert trial.reason == ("ATL: nothing multiplicative" if failed else "")
        assert trial.loss == (None if failed else pytest.approx(abs(trial.parameters["changepoint_range"] - 0.8)))
    assert 0 < sum(t.loss is None for t in trials) < 5


def test_evaluations_share_a_python_worker_where_hyperopts_own_would_each_start_one(spark_session):
    asked = SearchProblem(space=SPACE, objective=process, max_evals=1, seed=3)
    trials = search(asked, session=spark_session, algorithm="random", parallelism=1)
    assert len(trials) == 6
    assert len({trial.loss for trial in trials}) == 1


@pytest.mark.parametrize(
    ("losses", "patience", "over"),
    [([3.0, 1.0, 2.0], 1, True), ([3.0, 1.0, 2.0], 2, False), ([3.0, None, None], 2, True), ([], 1, False)],
)
def test_patience_is_counted_over_what_has_ended_and_failed_trials_count(losses, patience, over):
    ended = [{"result": {"status": "fail" if x is None else "ok", "loss": x}} for x in losses]
    trials = SimpleNamespace(trials=[*ended, {"result": {"status": "new"}}])
    assert no_gain(trials, patience=patience) == (over, [])
    assert no_gain(trials, patience=None) == (False, [])


def test_a_session_of_spark_connect_is_refused_with_what_to_do():
    for session in (None, SimpleNamespace(client=object())):
        with pytest.raises(ConfigurationError, match=r"spark_trials needs a classic Spark session.* use per_airport"):
            searching(session, "tpe", 4)
