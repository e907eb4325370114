"""The search space: what is accepted, and every refusal with the place and what to write instead."""

import math
import re

import pytest

from paxcast.core.errors import ConfigurationError
from paxcast.core.space import Parameter, contains, parse_space

GOOD = {
    "seasonality_mode": {"choice": ["additive", "multiplicative"]},
    "changepoint_prior_scale": {"loguniform": [0.001, 0.5]},
    "n_changepoints": {"quniform": [5, 25, 5]},
    "changepoint_range": {"uniform": [0.7, 0.95]},
    "seasonality_prior_scale": {"qloguniform": [1, 100, 1]},
    "holidays_prior_scale": {"choice": [0.1, 1, 10]},
    "growth": {"choice": ["flat"]},
    "history_years": {"choice": [0, 7, 10]},
    "anchor": {"uniform": [0, 1]},
    "anchor_damping": {"uniform": [0.8, 1]},
}
POINT = {
    "anchor": 0.4,
    "anchor_damping": 1.0,
    "changepoint_prior_scale": 0.05,
    "changepoint_range": 0.8,
    "growth": "flat",
    "history_years": 10,
    "holidays_prior_scale": 1,
    "n_changepoints": 10,
    "seasonality_mode": "additive",
    "seasonality_prior_scale": 3.0,
}


def test_a_space_is_sorted_by_name_whatever_the_order_of_the_file():
    backwards = {name: GOOD[name] for name in reversed(list(GOOD))}
    assert parse_space(GOOD) == parse_space(backwards)
    assert [parameter.name for parameter in parse_space(GOOD)] == sorted(GOOD)


def test_a_parameter_keeps_expression_and_arguments_as_written():
    assert parse_space({"n_changepoints": {"uniformint": [5, 25]}}) == (
        Parameter("n_changepoints", "uniformint", (5, 25)),
    )


def test_an_empty_space_is_a_space_in_which_nothing_is_searched():
    assert parse_space({}) == ()


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("change_point", {"uniform": [0, 1]}, "not a parameter that can be searched; these are: growth,"),
        ("growth", {}, "write one expression, for example growth: {uniform: [0.8, 0.95]}"),
        ("growth", {"choice": ["flat"], "uniform": [0, 1]}, "write one expression"),
        ("growth", ["flat"], "write one expression"),
        ("growth", {"chose": ["flat"]}, "unknown expression 'chose'; use one of choice, uniform, loguniform"),
        ("growth", {"choice": []}, "choice needs a list of values"),
        ("growth", {"choice": "flat"}, "choice needs a list of values"),
        ("growth", {"choice": ["flat", "logistic"]}, "'logistic' is not one of linear, flat"),
        ("seasonality_mode", {"choice": [True]}, "True is not one of additive, multiplicative"),
        ("growth", {"choice": ["flat", "flat"]}, "choice names a value twice; name each once"),
        ("growth", {"uniform": [0, 1]}, "growth is a word, not a number; write choice: [linear, flat]"),
        ("changepoint_prior_scale", {"choice": ["small"]}, "choice takes finite numbers, not ['small']"),
        ("changepoint_prior_scale", {"choice": [0.1, True]}, "choice takes finite numbers, not [0.1, True]"),
        ("n_changepoints", {"choice": list(range(13))}, "use quniform: [0, 12, STEP] or uniform"),
        (
            "changepoint_prior_scale",
            {"loguniform": ["1e-3", 0.5]},
            "loguniform takes finite numbers, not ['1e-3', 0.5]",
        ),
        ("changepoint_prior_scale", {"uniform": [True, 2]}, "uniform takes finite numbers, not [True, 2]"),
        ("changepoint_prior_scale", {"uniform": [0, math.inf]}, "uniform takes finite numbers, not [0, inf]"),
        ("changepoint_prior_scale", {"uniform": [math.nan, 1]}, "uniform takes finite numbers, not [nan, 1]"),
        ("changepoint_range", {"uniform": [0.8]}, "uniform takes [low, high], and 1 numbers were given"),
        ("changepoint_range", {"uniform": [0.7, 0.8, 0.9]}, "uniform takes [low, high], and 3 numbers were given"),
        ("n_changepoints", {"quniform": [5, 25]}, "quniform takes [low, high, step], and 2 numbers were given"),
        ("changepoint_range", {"uniform": [0.9, 0.8]}, "the range from 0.9 to 0.8 is empty; low must be below high"),
        ("changepoint_range", {"uniform": [0.8, 0.8]}, "the range from 0.8 to 0.8 is empty; low must be below high"),
        (
            "changepoint_prior_scale",
            {"loguniform": [0, 0.5]},
            "loguniform starts at 0; a logarithmic range starts above",
        ),
        (
            "seasonality_prior_scale",
            {"qloguniform": [-1, 10, 1]},
            "qloguniform starts at -1; a logarithmic range starts",
        ),
        ("n_changepoints", {"quniform": [5, 25, 0]}, "a step of 0 does not fit between 5 and 25"),
        ("n_changepoints", {"quniform": [5, 25, 21]}, "a step of 21 does not fit between 5 and 25"),
        ("changepoint_range", {"uniform": [0.5, 1.5]}, "changepoint_range is between 0 and 1, and 1.5 is not"),
        ("changepoint_range", {"choice": [-0.5, 0.5]}, "changepoint_range is between 0 and 1, and -0.5 is not"),
        ("n_changepoints", {"uniformint": [-5, 5]}, "n_changepoints is at least 0, and -5 is not"),
        ("anchor", {"uniform": [0, 1.1]}, "anchor is between 0 and 1, and 1.1 is not"),
        ("anchor_damping", {"choice": [-0.5, 0.5]}, "anchor_damping is between 0 and 1, and -0.5 is not"),
        ("anchor", {"choice": ["strong"]}, "choice takes finite numbers, not ['strong']"),
        ("history_years", {"choice": [-1, 0]}, "history_years is at least 0, and -1 is not"),
        ("holidays_prior_scale", {"choice": [-1, 1]}, "holidays_prior_scale is at least 0, and -1 is not"),
    ],
)
def test_a_bad_entry_is_refused_with_its_place_and_what_is_wrong(name, entry, message):
    with pytest.raises(ConfigurationError, match=re.escape(f"search.space.{name}: ") + ".*" + re.escape(message)):
        parse_space({**GOOD, name: entry})


def test_as_many_numeric_choices_as_are_allowed_are_allowed():
    assert len(parse_space({"n_changepoints": {"choice": list(range(12))}})[0].arguments) == 12


def test_a_point_with_a_value_inside_for_every_parameter_is_in_the_space():
    assert contains(parse_space(GOOD), POINT)
    assert contains((), {})


@pytest.mark.parametrize(
    "change",
    [
        {"changepoint_prior_scale": 0.0009},
        {"changepoint_prior_scale": 0.51},
        {"anchor": 1.01},
        {"anchor_damping": 0.79},
        {"history_years": 8},
        {"changepoint_range": "0.8"},
        {"changepoint_range": math.nan},
        {"growth": "linear"},
        {"holidays_prior_scale": 2},
        {"n_changepoints": 26},
        {"unheard_of": 1},
    ],
)
def test_a_point_with_a_value_outside_or_a_parameter_more_is_not(change):
    assert not contains(parse_space(GOOD), POINT | change)


@pytest.mark.parametrize("name", sorted(POINT))
def test_a_point_that_lacks_a_parameter_is_not_in_the_space(name):
    assert not contains(parse_space(GOOD), {key: value for key, value in POINT.items() if key != name})


@pytest.mark.parametrize(("value", "inside"), [(0.7, True), (0.95, True), (0.6999, False), (0.9501, False)])
def test_both_ends_of_a_range_belong_to_it(value, inside):
    assert (
        contains(parse_space({"changepoint_range": GOOD["changepoint_range"]}), {"changepoint_range": value}) == inside
    )
