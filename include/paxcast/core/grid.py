"""Exhaustive search: every combination of a space whose parameters all have finitely many values.

A step is counted from 0, as Hyperopt counts it: `quniform: [3, 10, 4]` has the values 4 and 8.
"""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

from paxcast.core.errors import ConfigurationError
from paxcast.core.search import Record, SearchProblem, Trial
from paxcast.core.space import INTEGERS, Parameter, Parameters, Value

CONTINUOUS = ("uniform", "loguniform")


def search(problem: SearchProblem) -> list[Trial]:
    """Every trial, in order: the first points, then the points of the grid that are none of them, until it is over.

    A first point that is not on the grid takes one of the `max_evals` evaluations. Raises ConfigurationError for a
    space that is not finite.
    """
    record = Record(problem)
    record.try_first()
    for point in _each(problem.space):
        if record.over:
            break
        if point not in problem.first:
            record.tried(point)
    return record.trials


def points(space: tuple[Parameter, ...]) -> list[Parameters]:
    """Every combination of the values, those of the last parameter varying fastest. All are points of the space.

    Raises ConfigurationError for a continuous parameter and for a range without a value.
    """
    return list(_each(space))


def check(space: tuple[Parameter, ...], max_evals: int) -> None:
    """Raises ConfigurationError, naming the setting, where the grid is not finite or has over `max_evals` points."""
    count = math.prod(len(p.arguments if p.expression == "choice" else steps(p)) for p in space)
    if count > max_evals:
        raise ConfigurationError(
            f"search.max_evals: the grid has {count} points, and only {max_evals} may be tried; raise it or name fewer "
            "values in search.space"
        )


def steps(parameter: Parameter) -> range:
    """Which multiples of its step lie inside a parameter's range: the first factor, and so on to the last. Never empty.

    Raises ConfigurationError for a continuous parameter and for a range without a multiple.
    """
    where = f"search.space.{parameter.name}"
    if parameter.expression in CONTINUOUS:
        raise ConfigurationError(
            f"{where}: a grid needs finite values; write choice: [..] or quniform: [low, high, step]"
        )
    low, high = (_exact(a) for a in parameter.arguments[:2])
    step = _step(parameter)
    inside = range(math.ceil(low / step), math.floor(high / step) + 1)
    if not inside:
        raise ConfigurationError(f"{where}: no multiple of {float(step):g} lies in the range; widen it")
    return inside


def value_at(parameter: Parameter, factor: int) -> Value:
    """So many steps as a value: a whole number for `uniformint` and where Prophet wants one."""
    value = factor * _step(parameter)
    if parameter.name in INTEGERS:
        return whole(parameter, float(value))
    return int(value) if parameter.expression == "uniformint" else float(value)


def nearest(parameter: Parameter, value: float) -> int:
    """How many steps come nearest to a value, among those that lie inside the parameter's range."""
    factors = steps(parameter)
    return min(max(round(_exact(value) / _step(parameter)), factors[0]), factors[-1])


def whole(parameter: Parameter, value: float) -> int:
    """The whole number nearest to a value, among those inside the parameter's range."""
    low, high = (float(a) for a in parameter.arguments[:2])
    return min(max(round(value), math.ceil(low)), math.floor(high))


def _each(space: tuple[Parameter, ...]) -> Iterator[Parameters]:
    for values in itertools.product(*(_values(parameter) for parameter in space)):
        yield {parameter.name: value for parameter, value in zip(space, values, strict=True)}


def _values(parameter: Parameter) -> tuple[Value, ...]:
    """Each value once: a step of less than 1 meets a whole number more than once."""
    if parameter.expression != "choice":
        found = [value_at(parameter, factor) for factor in steps(parameter)]
    elif parameter.name in INTEGERS:
        found = [int(value) for value in parameter.arguments]
    else:
        found = list(parameter.arguments)
    return tuple(dict.fromkeys(found))


def _step(parameter: Parameter) -> Fraction:
    return Fraction(1) if parameter.expression == "uniformint" else _exact(parameter.arguments[2])


def _exact(value: Value) -> Fraction:
    """A number as it is written: 0.3 is three times 0.1, which as binary fractions it is not."""
    return Fraction(str(value))
