"""What changes and what stays: a challenger replaces what is in force only where it is better by a margin.

Where challengers serve a time in the shadow first, one that has won waits: it is tried again in each run, beside the
champion, in the folds that have grown meanwhile, and comes into force once it has won after so many new periods.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paxcast.core import search
from paxcast.core.candidates import Specification
from paxcast.core.search import Trial
from paxcast.core.space import Parameters

NAIVE = Specification("seasonal_naive", {})
FIRST, KEPT, REPLACED, WAITS = "first", "kept", "replaced", "waits"


def beats(challenger: float | None, champion: float | None, margin: float) -> bool:
    """Whether an error is lower than another by more than a share `margin` of it (0.02 = 2 %). None: there is none."""
    if challenger is None:
        return False
    return champion is None or challenger < champion * (1 - margin)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A challenger in the shadow. `cycles`: after how many later ends of the history it has won again; `until`: the
    last period of the history, an ISO date, that it was counted with."""

    parameters: Parameters
    cycles: int
    until: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Waiting":
        return cls(dict(values["parameters"]), int(values["cycles"]), str(values["until"]))


@dataclass(frozen=True, slots=True)
class Promotion:
    """When a challenger comes into force: `margin`, the share of the champion's error that it must be below;
    `shadow_cycles`, how often it must win again first, each time with new periods."""

    margin: float
    shadow_cycles: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Which parameters of a candidate are fitted, with which verdict and why. `waiting`: a challenger in the shadow."""

    parameters: Parameters
    verdict: str
    reason: str = ""
    waiting: Waiting | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "waiting": asdict(self.waiting) if self.waiting else None,
        }


def choose(
    trials: Sequence[Trial], champion: Parameters | None, waiting: Waiting | None, until: str, rule: Promotion
) -> Choice | None:
    """The parameters in force from now on, of one candidate's trials on one history; None if no trial succeeded.

    champion: those in force; waiting: the challenger in the shadow, if there is one; until: the history's last period.
    """
    found = search.best(trials)
    if found is None:
        return None
    if champion is None:
        return Choice(found.parameters, FIRST)
    kept = _trial(trials, champion)
    if kept is None:
        return Choice(found.parameters, REPLACED, "the champion's parameters could not be tried: see search.space")
    before = _trial(trials, waiting.parameters) if waiting else None
    if waiting and before and beats(before.loss, kept.loss, rule.margin):
        cycles = waiting.cycles + (until > waiting.until)
        return _promoted(before, kept, Waiting(before.parameters, cycles, max(until, waiting.until)), rule)
    if not beats(found.loss, kept.loss, rule.margin):
        return Choice(kept.parameters, KEPT, f"{_errors(found, kept)}: not below by {rule.margin:.0%}")
    return _promoted(found, kept, Waiting(found.parameters, 0, until), rule)


def _promoted(challenger: Trial, champion: Trial, waiting: Waiting, rule: Promotion) -> Choice:
    """The challenger, once it has served its time in the shadow; until then the champion."""
    if waiting.cycles >= rule.shadow_cycles:
        return Choice(challenger.parameters, REPLACED, _errors(challenger, champion))
    left = f"won after {waiting.cycles} of {rule.shadow_cycles} new periods"
    return Choice(champion.parameters, WAITS, f"{_errors(challenger, champion)}; {left}", waiting)


def _trial(trials: Sequence[Trial], parameters: Parameters) -> Trial | None:
    """The first trial of these parameters that could be chosen."""
    return next((t for t in trials if search.eligible(t) and t.parameters == parameters), None)


def _errors(challenger: Trial, champion: Trial) -> str:
    return f"MASE {challenger.loss:.3f} in the folds against the champion's {champion.loss:.3f}"
