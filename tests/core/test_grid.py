"""Exhaustive search: every point of a finite space once, in a fixed order, and a clear word where there is no grid."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paxcast.core import grid
from paxcast.core.errors import ConfigurationError, FitFailed
from paxcast.core.search import Loss, SearchProblem, Trial, best
from paxcast.core.space import Parameters, contains, parse_space

SPACE = parse_space(
    {
        "changepoint_range": {"quniform": [0.7, 0.9, 0.1]},
        "n_changepoints": {"uniformint": [4, 6]},
        "seasonality_mode": {"choice": ["multiplicative", "additive"]},
    }
)
EVERY = [
    {"changepoint_range": share, "n_changepoints": count, "seasonality_mode": mode}
    for share in (0.7, 0.8, 0.9)
    for count in (4, 5, 6)
    for mode in ("multiplicative", "additive")
]
FIRST = EVERY[7]


def bowl(parameters: Parameters) -> float:
    """Lowest at a range of 0.9, four changepoints, additive."""
    off = abs(parameters["changepoint_range"] - 0.9) + abs(parameters["n_changepoints"] - 4)
    return off + (parameters["seasonality_mode"] != "additive")


def tried(loss=bowl, space=SPACE, **stated) -> list[Trial]:
    usual = {"max_evals": 100, "seed": 1}
    return grid.search(SearchProblem(space=space, objective=lambda p, to_beat: Loss(loss(p)), **usual | stated))


def values(name: str, expression: str, arguments: list) -> list:
    return [point[name] for point in grid.points(parse_space({name: {expression: arguments}}))]


# --- the points


def test_the_points_are_every_combination_with_the_last_name_varying_fastest():
    assert grid.points(SPACE) == EVERY
    assert all(contains(SPACE, point) for point in EVERY)
    assert [list(point) for point in grid.points(SPACE)] == [sorted(point) for point in EVERY]


def test_a_space_without_parameters_has_one_point():
    assert grid.points(()) == [{}]


@pytest.mark.parametrize(
    ("expression", "arguments", "expected"),
    [
        ("choice", [10, 0.1, 1], [10, 0.1, 1]),
        ("quniform", [0.1, 0.3, 0.1], [0.1, 0.2, 0.3]),  # 3 * 0.1 is above 0.3
        ("quniform", [3, 10, 4], [4.0, 8.0]),  # counted from 0, not from 3
        ("quniform", [0, 1, 0.5], [0.0, 0.5, 1.0]),
        ("qloguniform", [0.00001, 0.00003, 0.00001], [0.00001, 0.00002, 0.00003]),
        ("uniformint", [2, 5], [2, 3, 4, 5]),
        ("uniformint", [1.5, 3.5], [2, 3]),
    ],
)
def test_a_parameter_has_the_values_of_its_expression_inside_its_range(expression, arguments, expected):
    found = values("holidays_prior_scale", expression, arguments)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("expression", "arguments", "expected"),
    [
        ("choice", [5.0, 7], [5, 7]),
        ("quniform", [5, 25, 5], [5, 10, 15, 20, 25]),
        ("qloguniform", [4.0, 12.0, 4.0], [4, 8, 12]),
        ("uniformint", [3, 5], [3, 4, 5]),
        ("quniform", [2.4, 4.4, 0.4], [3, 4]),  # 2.4 is nearest to 2, which lies outside
        ("quniform", [2.6, 4.8, 0.2], [3, 4]),  # 4.8 is nearest to 5, which lies outside
    ],
)
def test_what_prophet_wants_whole_is_a_whole_number_inside_the_range_and_comes_once(expression, arguments, expected):
    found = values("n_changepoints", expression, arguments)
    assert found == expected
    assert {type(value) for value in found} == {int}


@given(low=st.integers(1, 3000), width=st.integers(2, 3000), step=st.integers(1, 3000))
def test_the_values_of_a_step_are_those_that_counting_up_from_zero_meets(low, width, step):
    step = min(step, width // 2)
    arguments = [low / 1000, (low + width) / 1000, step / 1000]
    met, at = [], 0
    while at <= low + width:
        if at >= low:
            met.append(float(Decimal(at) / 1000))
        at += step
    if met:
        assert values("holidays_prior_scale", "quniform", arguments) == met
        assert all(arguments[0] <= value <= arguments[1] for value in met)


@pytest.mark.parametrize(("value", "steps"), [(3, 1), (5, 1), (7, 1), (8, 2), (13.0, 3), (25, 5), (0, 1), (99, 5)])
def test_a_value_lies_nearest_to_a_number_of_steps_inside_the_range(value, steps):
    (parameter,) = parse_space({"holidays_prior_scale": {"quniform": [3, 25, 5]}})
    assert grid.nearest(parameter, value) == steps
    assert grid.value_at(parameter, grid.nearest(parameter, value)) == 5 * steps


# --- the search


def test_the_search_tries_every_point_once_in_order_and_finds_the_best():
    trials = tried()
    assert [trial.parameters for trial in trials] == EVERY
    assert [trial.number for trial in trials] == list(range(18))
    assert [trial.loss for trial in trials] == [bowl(point) for point in EVERY]
    assert best(trials).parameters == {
        "changepoint_range": 0.9,
        "n_changepoints": 4,
        "seasonality_mode": "additive",
    }


def test_the_first_points_come_first_and_are_not_tried_a_second_time():
    elsewhere = FIRST | {"changepoint_range": 0.75}
    trials = tried(first=(FIRST, elsewhere))
    assert [t.parameters for t in trials] == [FIRST, elsewhere, *(point for point in EVERY if point != FIRST)]


@pytest.mark.parametrize("max_evals", [1, 2, 3, 17, 18])
def test_no_more_is_tried_than_asked_for(max_evals):
    assert [t.parameters for t in tried(max_evals=max_evals)] == EVERY[:max_evals]
    expected = [FIRST, *(p for p in EVERY if p != FIRST)][:max_evals]
    assert [t.parameters for t in tried(max_evals=max_evals, first=(FIRST,))] == expected


def test_patience_ends_the_search():
    assert len(tried(lambda p: 1.0, patience=4)) == 5


def test_of_a_space_far_larger_than_the_evaluations_only_what_is_tried_is_made():
    names = ("changepoint_prior_scale", "holidays_prior_scale", "seasonality_prior_scale")
    space = parse_space({name: {"uniformint": [0, 1000]} for name in names})
    assert [t.parameters["seasonality_prior_scale"] for t in tried(lambda p: 1.0, space, max_evals=3)] == [0, 1, 2]


def test_a_failed_point_is_on_record_and_the_search_goes_on():
    def loss(parameters):
        if parameters["n_changepoints"] == 5:
            raise FitFailed("ATL: not five")
        return math.nan if parameters["n_changepoints"] == 6 else bowl(parameters)

    trials = tried(loss)
    assert [t.parameters for t in trials] == EVERY
    assert [t.reason for t in trials[:6]] == ["", "", *["ATL: not five"] * 2, *["loss not finite"] * 2]


# --- where there is no grid


@pytest.mark.parametrize(("expression", "arguments"), [("uniform", [0.7, 0.9]), ("loguniform", [0.7, 0.9])])
def test_a_continuous_parameter_is_refused_by_its_name_with_what_to_write(expression, arguments):
    space = (*SPACE[1:], *parse_space({"changepoint_range": {expression: arguments}}))
    text = (
        r"^search\.space\.changepoint_range: a grid needs finite values; "
        r"write choice: \[\.\.\] or quniform: \[low, high, step\]$"
    )
    for refuse in (lambda: grid.check(space, 100), lambda: grid.points(space), lambda: tried(space=space)):
        with pytest.raises(ConfigurationError, match=text):
            refuse()


def test_more_points_than_evaluations_are_refused_with_their_number():
    grid.check(SPACE, 18)
    text = r"^search\.max_evals: the grid has 18 points, and only 17 may be tried; raise it or name fewer values"
    with pytest.raises(ConfigurationError, match=text):
        grid.check(SPACE, 17)


def test_a_grid_too_large_to_hold_is_refused_at_once():
    space = parse_space({"changepoint_prior_scale": {"quniform": [0, 1000, 0.000000001]}})
    with pytest.raises(ConfigurationError, match="the grid has 1000000000001 points"):
        grid.check(space, 1000)


def test_a_range_without_a_value_is_refused():
    space = parse_space({"n_changepoints": {"uniformint": [3.2, 3.8]}})
    with pytest.raises(ConfigurationError, match=r"search\.space\.n_changepoints: no multiple of 1 lies in the range"):
        grid.check(space, 10)
