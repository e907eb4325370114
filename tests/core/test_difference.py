"""Where two values first differ, against a walk through all that they hold."""

import json
from typing import Any

import pytest

from paxcast.core.difference import ABSENT, LONGEST, first, short

OUTCOME = {
    "seed": 7,
    "entrants": [
        {"candidate": "naive", "forecast": [1.0, 2.0, 3.0]},
        {"candidate": "auto_ets", "forecast": [1.0, 2.0, 3.0, 4.0], "fitted_by": {}},
    ],
    "folds": [{"ds": ["2020-01-01"], "actual": [5.0, None]}],
    "reason": "",
}


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything in a value that holds nothing itself."""
    if isinstance(value, dict):
        return [found for key, below in value.items() for found in leaves(below, (*path, key))]
    if isinstance(value, list):
        return [found for at, below in enumerate(value) for found in leaves(below, (*path, at))]
    return [path]


def changed(path: tuple[Any, ...], to: Any) -> Any:
    value: Any = json.loads(json.dumps(OUTCOME))
    at = value
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = to
    return value


@pytest.mark.parametrize("path", leaves(OUTCOME), ids=str)
def test_every_value_that_is_changed_is_found_with_what_it_was_and_is(path: tuple[Any, ...]) -> None:
    found = first(OUTCOME, changed(path, "other"))
    assert found is not None
    value: Any = OUTCOME
    for step in path:
        value = value[step]
    assert found[1:] == (value, "other")
    assert first(OUTCOME, changed(path, value)) is None


def test_a_place_is_named_by_keys_candidates_and_numbers() -> None:
    found = first(OUTCOME, changed(("entrants", 1, "forecast", 3), 4.5))
    assert found == ("entrants.auto_ets.forecast[3]", 4.0, 4.5)
    assert first(OUTCOME, changed(("folds", 0, "actual", 1), 0.0)) == ("folds[0].actual[1]", None, 0.0)
    assert first(OUTCOME, changed(("entrants", 1, "candidate"), "mstl"), "then") == (
        "then.entrants[1].candidate",
        "auto_ets",
        "mstl",
    )


def test_of_two_differences_the_one_that_comes_first_is_told() -> None:
    other = {**changed(("entrants", 0, "forecast", 2), 0.0), "reason": "x", "seed": 7}
    assert first(OUTCOME, other) == ("entrants.naive.forecast[2]", 3.0, 0.0)


def test_what_only_one_of_them_has_is_absent_in_the_other() -> None:
    fewer = {name: value for name, value in OUTCOME.items() if name != "seed"}
    assert first(OUTCOME, fewer) == ("seed", 7, ABSENT)
    assert first(fewer, OUTCOME) == ("seed", ABSENT, 7)
    assert first([1, 2], [1, 2, 3], "x") == ("x[2]", ABSENT, 3)
    assert first([1, 2, 3], [1, 2], "x") == ("x[2]", 3, ABSENT)


def test_keys_may_be_added_where_that_is_allowed_at_any_depth_and_never_taken_away() -> None:
    more = changed(("folds", 0, "new"), 1) | {"also": 2}
    assert first(OUTCOME, more, may_add=True) is None
    assert first(more, OUTCOME, may_add=True) == ("folds[0].new", 1, ABSENT)


@pytest.mark.parametrize(("then", "now"), [(1, 1.0), (True, 1), (0.0, -0.0), (0.1 + 0.2, 0.3), (None, 0)])
def test_values_that_python_takes_for_equal_differ_where_their_json_does(then: Any, now: Any) -> None:
    assert first(then, now, "x") == ("x", then, now)


def test_values_are_told_short() -> None:
    assert short(0.125) == 0.125
    assert short(None) is None
    assert short("x" * LONGEST) == "x" * LONGEST
    assert short("x" * (LONGEST + 1)) == "x" * (LONGEST - 3) + "..."
    assert short({"b": [1, 2], "a": None}) == '{"a": null, "b": [1, 2]}'
    found = first({"x": list(range(500))}, {"x": "short"})
    assert found is not None
    assert len(found[1]) == LONGEST
