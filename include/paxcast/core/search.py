"""The search of one candidate's parameters for one airport: a seam. Any function from a problem to its trials fits.

problem ──> search ──> trials          `search` asks `Record` for one evaluation after another until it is over
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from paxcast.core.errors import FitFailed
from paxcast.core.space import Parameter, Parameters

WORST = float("inf")


@dataclass(frozen=True, slots=True)
class Loss:
    """The mean MASE over the folds that were done. `folds_left` > 0: given up, as it could no longer be the best."""

    value: float
    folds_left: int = 0


Objective = Callable[[Parameters, float], Loss]  # (parameters, the loss to beat); raises FitFailed


@dataclass(frozen=True, slots=True)
class Trial:
    """One evaluation. A failed one has no loss, but a reason. A pruned one has a loss, but it can never be chosen."""

    number: int
    parameters: Parameters
    loss: float | None
    reason: str = ""
    pruned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProblem:
    """What a search gets: where to look, what to minimise, what to try first, and when to stop.

    `patience`: stop after so many evaluations without a new best one; None: only at `max_evals`.
    """

    space: tuple[Parameter, ...]
    objective: Objective
    max_evals: int
    seed: int
    first: tuple[Parameters, ...] = ()
    patience: int | None = None


Search = Callable[[SearchProblem], list[Trial]]


@dataclass(slots=True)
class Record:
    """The trials of one search so far. `tried` adds one; `over` says that there shall be no more."""

    problem: SearchProblem
    trials: list[Trial] = field(default_factory=list)
    _best: Trial | None = None

    def tried(self, parameters: Parameters) -> Trial:
        """Evaluate a point and put it on record. A candidate that cannot be fitted is a failed trial, not an error."""
        found = evaluated(self.problem, len(self.trials), parameters, self.best_loss)
        self.add(found)
        return found

    def try_first(self) -> None:
        """The points that are to be tried before anything a search suggests."""
        for parameters in self.problem.first:
            if not self.over:
                self.tried(parameters)

    def add(self, trial: Trial) -> None:
        """Put a trial on record that was evaluated elsewhere."""
        self.trials.append(trial)
        if eligible(trial) and (self._best is None or _order(trial) < _order(self._best)):
            self._best = trial

    @property
    def best_loss(self) -> float:
        """The lowest loss of a whole evaluation, infinity before there is one."""
        return WORST if self._best is None or self._best.loss is None else self._best.loss

    @property
    def over(self) -> bool:
        """Whether the evaluations are used up, or the last `patience` of them brought no gain."""
        if len(self.trials) >= self.problem.max_evals:
            return True
        patience = self.problem.patience
        last_gain = self._best.number if self._best is not None else -1
        return patience is not None and len(self.trials) - 1 - last_gain >= patience


def evaluated(problem: SearchProblem, number: int, parameters: Parameters, best: float = WORST) -> Trial:
    """One evaluation as a trial; `best` is the loss that it has to beat to be of use."""
    try:
        loss = problem.objective(parameters, best)
    except FitFailed as err:
        return Trial(number, parameters, None, str(err))
    if not math.isfinite(loss.value):
        return Trial(number, parameters, None, "loss not finite")
    if loss.folds_left:
        return Trial(number, parameters, loss.value, f"given up with {loss.folds_left} folds left", pruned=True)
    return Trial(number, parameters, loss.value)


def eligible(trial: Trial) -> bool:
    """Whether a trial may be chosen: evaluated in every fold, with a loss."""
    return trial.loss is not None and not trial.pruned


def best(trials: Sequence[Trial]) -> Trial | None:
    """The trial to choose: the lowest loss, the earliest of equals. None if none was evaluated in every fold."""
    return min(filter(eligible, trials), key=_order, default=None)


def _order(trial: Trial) -> tuple[float, int]:
    return (WORST if trial.loss is None else trial.loss, trial.number)
