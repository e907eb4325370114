"""One airport, from its history to what every candidate forecasts: in the folds, in the test window, and from its end.

    past ──> folds ──> each candidate: search, forecast the folds and the test window, refit on all, forecast ──> Tuned

How these become one published forecast is `composition`'s matter: that needs the fleet. Everything here is a function
of the history, the task and the seed in it: no clock, no order of arrival, no global state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar, choice, evaluation, shock_choice
from paxcast.core.candidates import Candidate, Evaluator, Fitted, Specification
from paxcast.core.candidates.adjusted import Adjusted, AdjustedHistory, adjusted
from paxcast.core.choice import Choice, Promotion, Waiting
from paxcast.core.errors import FitFailed
from paxcast.core.evaluation import FoldsLoss, Window, publishable
from paxcast.core.folds import Fold, plan_folds
from paxcast.core.past import Past
from paxcast.core.search import Search, SearchProblem, Trial
from paxcast.core.series import Series
from paxcast.core.space import Parameter, Parameters, contains
from paxcast.core.treatment import Treated

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
LOOK = 3  # how much further back folds may lie where those of a plan cannot be judged on
LEAST_REAL = 1 / 2  # of the season before a fold


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningTask:
    """What is to be done for one airport; frozen in the manifest. Horizon in periods, seconds of wall time.

    `champions`: by candidate, the specification in force; `waiting`: by candidate, the challenger in the shadow;
    `first`: warm-start points, tried after these.
    """

    horizon: int
    candidates: tuple[str, ...]
    space: tuple[Parameter, ...]
    max_evals: int
    patience: int | None = None
    prune: bool = False
    seconds: float
    recent_folds: int
    earlier_year_folds: int
    promotion: Promotion
    seed: int
    pinned: bool = False  # published whatever it did in the folds
    pinned_by: str = "overrides pin"  # where a person says so; else, after drift, who does
    champions: tuple[Specification, ...] = ()
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    first: tuple[Specification, ...] = ()


@dataclass(frozen=True, slots=True)
class Entrant:
    """One candidate with its parameters, as it did and does. `folds`: [K, H], `test`: [H], `forecast`: [H] traffic.

    `fitted_by`: by fold, test and `published`, what fitted it, where that may differ. `test` is None without a window.
    """

    specification: Specification
    folds: Array
    test: Array | None
    forecast: Array
    fitted: Fitted
    fitted_by: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What tuning one airport gave. The first entrant is seasonal naive, also where it is no candidate.

    `choices`: of each candidate that was searched, why it has these parameters.
    `left_out`: the candidates that this history does not suit, with the reason. Without folds nothing can be judged:
    then seasonal naive is the only entrant beside what a person has pinned, and `changes`, [N, H], is what seasonal
    naive would have missed in the past.
    """

    treated: Treated
    windows: tuple[Window, ...]
    test_window: Window | None
    entrants: tuple[Entrant, ...]
    trials: Mapping[str, tuple[Trial, ...]]
    choices: Mapping[str, Choice]
    left_out: Mapping[str, str]
    changes: Array


def tune(past: Past, task: TuningTask, candidates: Mapping[str, Candidate], look: Search) -> Tuned:
    """Each candidate's best specification, searched with `look`, and its forecasts. Seasonal naive always competes."""
    windows, test = _windows(past, task)
    until = len(past.ds) - task.horizon
    past, choice_made = shock_choice.settled(past, until, windows, candidates, task.seed, task.seconds)
    treated = past.treated()
    run = _Run(past, task, candidates, look, windows, test)
    others = task.candidates if windows or task.pinned else ()  # what is pinned needs no judging
    names = [choice.NAIVE.candidate, *(c for c in others if c != choice.NAIVE.candidate)]
    entrants = [entrant for name in names if (entrant := run.entrant(name)) is not None]
    return Tuned(
        treated=replace(treated, steps=(*treated.steps, *choice_made)),
        windows=windows,
        test_window=test,
        entrants=tuple(entrants),
        trials=run.trials,
        choices=run.choices,
        left_out=run.left_out,
        changes=np.empty((0, task.horizon)) if windows else _past_changes(treated.series, task.horizon),
    )


def cutoffs(past: Past, task: TuningTask) -> tuple[int, ...]:
    """From where `tune` asks for forecasts: each fold, the test window, the end. Numbers of periods, in order."""
    windows, test = _windows(past, task)
    return (*(w.fold.cutoff for w in windows), *([test.fold.cutoff] if test else []), len(past.ds))


def _windows(past: Past, task: TuningTask) -> tuple[tuple[Window, ...], Window | None]:
    """The folds that a choice is made on, oldest first, and the untouched test window, which the folds know nothing of:
    where they lie, what is compared in them, and with what, is told by the treatment of all that came before it."""
    until = len(past.ds) - task.horizon
    if until < 1:
        return (), None
    before = past.treated(until)
    actual, counts = (_on_grid(past, before, values) for values in (before.series.y, before.observed))
    recent = _usable(past, before, task, actual, counts > 0, recent=task.recent_folds, earlier_years=0)
    earlier = _usable(past, before, task, actual, counts > 0, recent=0, earlier_years=task.earlier_year_folds)
    windows = {w.fold.cutoff: w for w in (*earlier, *recent)}
    if not windows:
        return (), None
    seen = past.raw.y if past.rules.absent == "missing" else np.nan_to_num(past.raw.y)  # in a shock too: it was real
    last = Fold(until, task.horizon, "test")
    test = evaluation.windows(past, [last], np.nan_to_num(seen), np.isfinite(seen))
    return tuple(windows[cutoff] for cutoff in sorted(windows)), test[0] if test else None


def _usable(
    past: Past, before: Treated, task: TuningTask, actual: Array, counts: Flags, *, recent: int, earlier_years: int
) -> tuple[Window, ...]:
    """The newest folds of one kind, as many as asked for, that can be judged on; the plan looks LOOK times as far back.

    A fold of which too little was observed cannot, nor one whose last season before the cutoff was made up: what trains
    on a bridge only tells how the bridge goes on.
    """
    frequency = calendar.frequency(before.series.frequency)
    planned = plan_folds(
        len(before.series.y) + task.horizon,
        horizon=task.horizon,
        year=frequency.year,
        shortest_train=frequency.shortest_train,
        recent=LOOK * recent,
        earlier_years=LOOK * earlier_years,
    )
    folds = [replace(fold, cutoff=fold.cutoff + before.offset) for fold in planned.choose]
    real = [f for f in folds if np.mean(counts[max(0, f.cutoff - frequency.season) : f.cutoff]) >= LEAST_REAL]
    windows = evaluation.windows(past, real, actual, counts)
    return windows[len(windows) - min(len(windows), recent + earlier_years) :]


def _on_grid(past: Past, treated: Treated, values: npt.NDArray[np.generic]) -> Array:
    """Values of the treated series, by the position of their period in the raw grid. [T], zero before it begins."""
    whole = np.zeros(len(past.ds))
    whole[treated.offset : treated.offset + len(values)] = values
    return whole


def _past_changes(series: Series, horizon: int) -> Array:
    """[N, H] the errors that seasonal naive would have made, NaN where none is left: at each step the changes over as
    many whole seasons as that step lies ahead, or as the history has; over one period where it has no season."""
    y, season = series.y, calendar.frequency(series.frequency).season
    unit = season if len(y) > season else 1
    most = (len(y) - 1) // unit
    found = np.full((max(0, len(y) - unit), horizon), np.nan)
    for step in range(horizon if most else 0):
        lag = unit * min(step // unit + 1, most)
        changes = y[lag:] - y[:-lag]
        found[: len(changes), step] = changes
    return found


class _Run:
    """One airport's candidates, one after another."""

    def __init__(
        self,
        past: Past,
        task: TuningTask,
        candidates: Mapping[str, Candidate],
        look: Search,
        windows: tuple[Window, ...],
        test: Window | None,
    ) -> None:
        self.past, self.task, self.candidates, self.look = past, task, candidates, look
        self.without_calendar = AdjustedHistory(past, past.rules)  # one for all: effects are estimated once a cutoff
        self.windows, self.test = windows, test
        self.trials: dict[str, tuple[Trial, ...]] = {}
        self.choices: dict[str, Choice] = {}
        self.left_out: dict[str, str] = {}

    def entrant(self, name: str) -> Entrant | None:
        """The candidate's best specification with its forecasts, or None where this history does not suit it."""
        try:
            candidate = adjusted(self.candidates[name], self.past.rules)
            history = self.without_calendar if isinstance(candidate, Adjusted) else self.past
            evaluator = candidate.prepare(history, seed=self.task.seed, seconds=self.task.seconds)
            specification = self._specification(candidate, evaluator)
            return self._entrant(candidate, evaluator, specification)
        except FitFailed as err:
            if name == choice.NAIVE.candidate:
                raise
            self.left_out[name] = str(err)
            return None

    def _entrant(self, candidate: Candidate, evaluator: Evaluator, specification: Specification) -> Entrant:
        series, task = self.past.treated().series, self.task
        parameters = specification.parameters
        folds = evaluation.forecasts(evaluator, parameters, self.windows).reshape(-1, task.horizon)
        test = evaluation.forecasts(evaluator, parameters, [self.test])[0] if self.test else None
        fitted = candidate.fit(series, parameters, seed=task.seed, seconds=task.seconds)
        forecast = publishable(fitted.forecast(task.horizon), evaluation.most(series))
        if not all(np.isfinite(values).all() for values in (folds, forecast, forecast if test is None else test)):
            raise FitFailed(f"{series.airport}: {candidate.name} forecast what is not a number")
        return Entrant(specification, folds, test, forecast, fitted, self._fitted_by(evaluator, specification, fitted))

    def _fitted_by(self, evaluator: Evaluator, specification: Specification, fitted: Fitted) -> dict[str, str]:
        every = [*self.windows, *([self.test] if self.test else [])]
        by = {split(self.past, w): evaluator.fitted_by(specification.parameters, w.fold) for w in every}
        return {**{where: what for where, what in by.items() if what}, "published": fitted.fitted_by}

    def _specification(self, candidate: Candidate, evaluator: Evaluator) -> Specification:
        """What is best in the folds: of a searched candidate the champion's parameters stay unless beaten by margin.

        Raises FitFailed if no evaluation succeeded.
        """
        space = tuple(p for p in self.task.space if p.name in candidate.searched)
        if not space or not self.windows:
            return Specification(candidate.name, _stated(space))
        trials = self._searched(candidate, space, FoldsLoss(evaluator, self.windows, self.task.prune))
        self.trials[candidate.name] = tuple(trials)
        champion = next((s.parameters for s in self.task.champions if s.candidate == candidate.name), None)
        until = str(self.past.treated().series.ds[-1])[:10]
        made = choice.choose(trials, champion, self.task.waiting.get(candidate.name), until, self.task.promotion)
        if made is None:
            raise FitFailed(f"{self.past.airport}: {candidate.name}: every evaluation failed; {_first_reason(trials)}")
        self.choices[candidate.name] = made
        return Specification(candidate.name, made.parameters)

    def _searched(self, candidate: Candidate, space: tuple[Parameter, ...], objective: FoldsLoss) -> list[Trial]:
        task = self.task
        champions, fleets = (
            [s.parameters for s in some if s.candidate == candidate.name] for some in (task.champions, task.first)
        )
        waiting = [w.parameters for name, w in task.waiting.items() if name == candidate.name]
        points = [p for p in (*champions, *waiting, *fleets) if contains(space, p)]
        problem = SearchProblem(
            space=space,
            objective=objective,
            max_evals=task.max_evals,
            seed=task.seed,
            first=tuple(p for at, p in enumerate(points) if p not in points[:at]),
            patience=task.patience,
        )
        return self.look(problem)


def _stated(space: Sequence[Parameter]) -> Parameters:
    """Of a space that is not searched what a person has fixed: a choice of one value."""
    return {p.name: p.arguments[0] for p in space if p.expression == "choice" and len(p.arguments) == 1}


def _first_reason(trials: Sequence[Trial]) -> str:
    return trials[0].reason if trials else "none was tried"


def split(past: Past, window: Window) -> str:
    """How a window is called in outcomes: its kind, and the last period before it."""
    return f"{window.fold.kind}@{str(past.ds[window.fold.cutoff - 1])[:10]}"
