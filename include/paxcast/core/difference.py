"""Where two values that should be equal first differ: what a person is told instead of both of them whole."""

import json
from typing import Any

ABSENT = "absent"
LONGEST = 80  # characters of a value that is told


def first(then: Any, now: Any, place: str = "", *, may_add: bool = False) -> tuple[str, Any, Any] | None:
    """The place where two JSON-like values first differ, and the short values there; None where they are equal.

    A place reads `entrants.auto_ets.forecast[3]`: an element of a list is named by its `candidate`, if it has one, else
    by its number from 0. Equal means the same JSON, to the last digit: 1 is not 1.0. Keys are gone through in the order
    of `then`; of one that only the other has, the value is ABSENT. may_add: whether `now` may have keys of its own.
    """
    if isinstance(then, dict) and isinstance(now, dict):
        keys = then if may_add else {**then, **now}
        pairs = [(_key(place, key), then.get(key, ABSENT), now.get(key, ABSENT)) for key in keys]
    elif isinstance(then, list) and isinstance(now, list):
        count = range(max(len(then), len(now)))
        pairs = [(_step(place, at, then, now), _at(then, at), _at(now, at)) for at in count]
    else:
        same = json.dumps(then) == json.dumps(now)
        return None if same else (place, short(then), short(now))
    each = (first(a, b, where, may_add=may_add) for where, a, b in pairs)
    return next((found for found in each if found is not None), None)


def short(value: Any) -> Any:
    """A number as it is, anything else as a text of no more than LONGEST characters."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _key(place: str, key: str) -> str:
    return f"{place}.{key}" if place else str(key)


def _step(place: str, at: int, then: list[Any], now: list[Any]) -> str:
    """The place of an element: by the candidate it is of in both lists, else by its number from 0."""
    names = {value.get("candidate") if isinstance(value, dict) else None for value in (_at(then, at), _at(now, at))}
    name = names.pop() if len(names) == 1 else None
    return f"{place}[{at}]" if name is None else _key(place, name)


def _at(values: list[Any], at: int) -> Any:
    return values[at] if at < len(values) else ABSENT
