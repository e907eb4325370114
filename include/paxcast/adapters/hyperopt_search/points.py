"""A search space and its points as Hyperopt has them: expressions, and a choice by its index."""

from typing import Any

import numpy as np
from hyperopt import hp

from paxcast.core.space import INTEGERS, Parameter, Parameters, Value

Point = dict[str, Any]  # as Hyperopt stores it: numbers, a choice as its index


def expressions(space: tuple[Parameter, ...]) -> dict[str, Any]:
    """The space as Hyperopt's expressions, by name."""
    return {parameter.name: _expression(parameter) for parameter in space}


def bounds(parameter: Parameter) -> tuple[float, float]:
    """Lowest and highest value, of a logarithmic parameter their logarithms."""
    low, high = (float(a) for a in parameter.arguments[:2])
    return (float(np.log(low)), float(np.log(high))) if "log" in parameter.expression else (low, high)


def stored(space: tuple[Parameter, ...], parameters: Parameters) -> Point:
    """Parameters as Hyperopt stores them."""
    return {
        p.name: p.arguments.index(parameters[p.name]) if p.expression == "choice" else parameters[p.name] for p in space
    }


def plain(space: tuple[Parameter, ...], point: Point) -> Parameters:
    """A stored point as values of Python sorted by name, whole numbers where Prophet wants them."""
    values = {p.name: _plain(p, point[p.name]) for p in space}
    return {name: values[name] for name in sorted(values)}


def _plain(parameter: Parameter, item: Any) -> Value:
    value: Value = parameter.arguments[int(item)] if parameter.expression == "choice" else float(item)
    return int(value) if parameter.name in INTEGERS or parameter.expression == "uniformint" else value


def _expression(parameter: Parameter) -> Any:
    if parameter.expression == "choice":
        return hp.choice(parameter.name, list(parameter.arguments))
    step = (float(a) for a in parameter.arguments[2:])
    return getattr(hp, parameter.expression)(parameter.name, *bounds(parameter), *step)
