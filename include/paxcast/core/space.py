"""The search space: which parameters of Prophet are searched, over which values. Plain values, checked when loaded.

A parameter names a Hyperopt expression and its arguments, in natural units (`loguniform: [0.001, 0.5]` searches from
0.001 to 0.5 evenly in the logarithm). The adapter turns it into Hyperopt's own objects.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from paxcast.core.errors import ConfigurationError

MAX_NUMERIC_CHOICES = 12
BOUNDS = {"uniform": 2, "loguniform": 2, "uniformint": 2, "quniform": 3, "qloguniform": 3}
EXPRESSIONS = ("choice", *BOUNDS)
SEARCHABLE = {
    "growth": ("linear", "flat"),
    "seasonality_mode": ("additive", "multiplicative"),
    "changepoint_prior_scale": None,
    "seasonality_prior_scale": None,
    "holidays_prior_scale": None,
    "changepoint_range": None,
    "n_changepoints": None,
    "history_years": None,
    "anchor": None,
    "anchor_damping": None,
}
INTEGERS = ("n_changepoints", "history_years")
SHARES = ("changepoint_range", "anchor", "anchor_damping")  # within 0 and 1; every other number is at least 0

Value = str | float | int | bool
Parameters = dict[str, Value]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One searched parameter: `name` of Prophet's argument, `expression` of Hyperopt, its `arguments`."""

    name: str
    expression: str
    arguments: tuple[Value, ...]


def parse_space(raw: Mapping[str, Mapping[str, list[Value]]]) -> tuple[Parameter, ...]:
    """The space that the YAML describes, sorted by name. Raises ConfigurationError with the reason for a bad entry."""
    return tuple(_parse(name, raw[name]) for name in sorted(raw))


def contains(space: tuple[Parameter, ...], parameters: Mapping[str, Value]) -> bool:
    """Whether the parameters are a point of the space: a value for each name, inside its range or among its choices."""
    return set(parameters) == {p.name for p in space} and all(_holds(p, parameters[p.name]) for p in space)


def _holds(parameter: Parameter, value: Value) -> bool:
    if parameter.expression == "choice":
        return value in parameter.arguments
    low, high = parameter.arguments[:2]
    return isinstance(value, int | float) and float(low) <= value <= float(high)


def _parse(name: str, entry: Mapping[str, list[Value]]) -> Parameter:
    where = f"search.space.{name}"
    if name not in SEARCHABLE:
        raise ConfigurationError(f"{where}: not a parameter that can be searched; these are: {_listed(SEARCHABLE)}")
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ConfigurationError(f"{where}: write one expression, for example {name}: {{uniform: [0.8, 0.95]}}")
    expression, arguments = next(iter(entry.items()))
    if expression not in EXPRESSIONS:
        raise ConfigurationError(f"{where}: unknown expression '{expression}'; use one of {', '.join(EXPRESSIONS)}")
    if not isinstance(arguments, list | tuple) or not arguments:
        raise ConfigurationError(f"{where}: {expression} needs a list of values, for example [0.8, 0.95]")
    if expression == "choice":
        _check_choice(where, name, tuple(arguments))
    else:
        _check_range(where, name, expression, tuple(arguments))
    return Parameter(name, expression, tuple(arguments))


def _check_choice(where: str, name: str, values: tuple[Value, ...]) -> None:
    allowed = SEARCHABLE[name]
    wrong = [v for v in values if allowed is not None and v not in allowed]
    if wrong:
        raise ConfigurationError(f"{where}: {wrong[0]!r} is not one of {', '.join(allowed or ())}")
    if len(set(values)) != len(values):
        raise ConfigurationError(f"{where}: choice names a value twice; name each once")
    if allowed is not None:
        return
    numbers = _numbers(where, "choice", values)
    _check_limits(where, name, numbers)
    if len(numbers) > MAX_NUMERIC_CHOICES:
        raise ConfigurationError(
            f"{where}: choice over {len(values)} numbers forgets that they are ordered, and TPE then learns slowly; "
            f"use quniform: [{min(numbers):g}, {max(numbers):g}, STEP] or uniform"
        )


def _check_range(where: str, name: str, expression: str, values: tuple[Value, ...]) -> None:
    words = SEARCHABLE[name]
    if words:
        raise ConfigurationError(f"{where}: {name} is a word, not a number; write choice: [{', '.join(words)}]")
    numbers = _numbers(where, expression, values)
    if len(numbers) != BOUNDS[expression]:
        shape = "[low, high, step]" if BOUNDS[expression] == 3 else "[low, high]"
        raise ConfigurationError(f"{where}: {expression} takes {shape}, and {len(numbers)} numbers were given")
    low, high = numbers[:2]
    if low >= high:
        raise ConfigurationError(f"{where}: the range from {low:g} to {high:g} is empty; low must be below high")
    if "log" in expression and low <= 0:
        raise ConfigurationError(f"{where}: {expression} starts at {low:g}; a logarithmic range starts above 0")
    if BOUNDS[expression] == 3 and not 0 < numbers[2] <= high - low:
        raise ConfigurationError(f"{where}: a step of {numbers[2]:g} does not fit between {low:g} and {high:g}")
    _check_limits(where, name, [low, high])


def _numbers(where: str, expression: str, values: tuple[Value, ...]) -> list[float]:
    if any(isinstance(v, str | bool) or not math.isfinite(v) for v in values):
        raise ConfigurationError(f"{where}: {expression} takes finite numbers, not {list(values)}")
    return [float(v) for v in values]


def _check_limits(where: str, name: str, numbers: list[float]) -> None:
    """What Prophet itself refuses, told once and not by every trial of every airport."""
    limits = "between 0 and 1" if name in SHARES else "at least 0"
    wrong = [n for n in numbers if n < 0 or (name in SHARES and n > 1)]
    if wrong:
        raise ConfigurationError(f"{where}: {name} is {limits}, and {wrong[0]:g} is not")


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names)
