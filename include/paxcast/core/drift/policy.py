"""What is done about drift: retrain once, then the best simple method, then a person. A fault is never retrained.

    drifted ──> retrain ──still──> fallback: one simple method ──still──> escalate
                   ╰─ asked for in three cycles and not done ─────────────────^

An *episode* is all of that at one airport, up to the eighth quiet cycle after the newest model that was asked for. What
an airport did in its present one is told from the records of earlier checks, see jobs/drift_asked.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from paxcast.core.drift.feed import Fault

RETRAIN, FALLBACK, ESCALATE, WAIT, ALERT, NONE = "retrain", "fallback", "escalate", "wait", "alert", "none"
ASKS = (RETRAIN, FALLBACK)  # the actions that ask for another model, and that the budget limits
QUIET = 8  # own cycles without a flag, after which an episode is over
IN_VAIN = 3  # own cycles in a row in which it was asked for and nothing came of it, after which a person is asked
SEVERITY = {"severe": 0, "moderate": 1}  # the worst first
SINCE = "nothing is asked for, as the fleet was released or checked for a later date since"
REASON = "drift"  # what the reason of a retraining begins with


class Drifting(Protocol):
    """What is asked of an airport's verdict (`verdicts.Verdict`)."""

    @property
    def airport(self) -> str: ...
    @property
    def drifted(self) -> bool: ...
    @property
    def severity(self) -> str: ...
    @property
    def p(self) -> float | None: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Past:
    """What became of an airport in its present episode, as known before this check; by default it is in none.

    `asked`: how often another model was asked for and made; `waiting`: one was asked for, and is not in force yet;
    `pinned`: the simple method it was put on, "" if none; `quiet`: own cycles in a row without a flag since the model
    that was asked for last; `unheard`: own cycles in a row in which one was asked for, and nothing came of it.
    """

    asked: int = 0
    waiting: bool = False
    pinned: str = ""
    quiet: int = 0
    unheard: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """What is done about one airport, and why, in words for people. `pinned`: the simple method that is published of
    it from now on, alone; "" if it competes as ever."""

    airport: str
    action: str
    why: str
    pinned: str


def act(
    verdicts: Sequence[Drifting],
    faults: Sequence[Fault],
    past: Mapping[str, Past],
    simple: Mapping[str, str],
    budget: int,
) -> tuple[Action, ...]:
    """What is done about each airport that has a verdict or a fault, one action each, sorted by airport.

    simple: by airport the simple method that did best in its folds; budget: how many may ask for another model in this
    check, the worst first: severe before moderate, then the smaller p, then the code. Pure: the order of what is
    handed in changes nothing.
    """
    by_airport = {verdict.airport: verdict for verdict in verdicts}
    broken: dict[str, list[Fault]] = {}
    for fault in sorted(faults, key=lambda f: (f.since, f.kind, f.detail)):
        broken.setdefault(fault.airport, []).append(fault)
    found = {airport: _alert(airport, own, _past(past, airport)) for airport, own in broken.items()}
    left = budget
    for verdict in sorted(by_airport.values(), key=_worst_first):
        airport = verdict.airport
        if airport in found:
            continue
        wanted = _wanted(verdict, _past(past, airport), simple.get(airport, ""))
        if wanted.action in ASKS:
            left -= 1
            wanted = wanted if left >= 0 else _waits(wanted, _past(past, airport), budget)
        found[airport] = wanted
    return tuple(found[airport] for airport in sorted(found))


def undone(actions: Sequence[Action]) -> tuple[Action, ...]:
    """The same where nobody is to act any more, as a later release or check is there: nothing is asked for."""
    still = (NONE, ALERT)
    return tuple(a if a.action in still else replace(a, action=NONE, why=f"{a.why}; {SINCE}") for a in actions)


def _past(past: Mapping[str, Past], airport: str) -> Past:
    return past.get(airport, Past())


def _worst_first(verdict: Drifting) -> tuple[int, float, str]:
    p = 1.0 if verdict.p is None else verdict.p
    return SEVERITY.get(verdict.severity, len(SEVERITY)), p, verdict.airport


def _alert(airport: str, faults: Sequence[Fault], past: Past) -> Action:
    """A fault of the feed is a person's matter: a model that learnt from it would be worse than the one in force."""
    why = "; ".join(f"{fault.kind} since {fault.since}: {fault.detail}" for fault in faults)
    return Action(airport, ALERT, why, _still(past))


def _wanted(verdict: Drifting, past: Past, simple: str) -> Action:
    """What would be done about an airport without a fault if there were no budget."""
    airport, pinned, why = verdict.airport, _still(past), reason(verdict.reasons)
    if not verdict.drifted:
        return Action(airport, NONE, _ended(past), pinned)
    if past.unheard >= IN_VAIN:
        return Action(airport, ESCALATE, f"{why}; asked for in {past.unheard} cycles, and no newer model came", pinned)
    if pinned and not past.waiting:
        return Action(airport, ESCALATE, f"{why}, of {pinned} alone too: a person has to look", pinned)
    if pinned:
        return Action(airport, FALLBACK, f"{why}; {pinned} alone was asked for and is not in force yet", pinned)
    if past.quiet >= QUIET or past.asked == 0:
        return Action(airport, RETRAIN, why, "")
    if not simple:
        return Action(airport, ESCALATE, f"{why}, after retraining too, and no simple method was tried on it", "")
    return Action(airport, FALLBACK, f"{why}, after retraining too: {simple} alone, and a person has to look", simple)


def reason(tests: Sequence[str]) -> str:
    """Why an airport is retrained: `drift: loss, actuals above forecasts`."""
    return f"{REASON}: {', '.join(tests)}"


def _waits(wanted: Action, past: Past, budget: int) -> Action:
    why = f"{wanted.why}; above the budget of {budget} a check, so it waits for the next one"
    return Action(wanted.airport, WAIT, why, _still(past))


def _still(past: Past) -> str:
    """The simple method that an airport stays on: its fallback lasts until it was quiet for long enough."""
    return "" if past.quiet >= QUIET else past.pinned


def _ended(past: Past) -> str:
    """Of an airport that did not drift, what there is to say: where it stands with its fallback."""
    if not past.pinned:
        return ""
    if past.quiet >= QUIET:
        return f"quiet for {QUIET} cycles on {past.pinned} alone: all its candidates compete again"
    return f"on {past.pinned} alone, quiet for {past.quiet} of {QUIET} cycles"
