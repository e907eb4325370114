"""One airport, from its history to its published forecast. The search is a seam: any function with that signature.

Everything is a function of the series, the task and the seed in it: no clock, no order of arrival, no global state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar, choice, evaluation, intervals, metrics, search
from paxcast.core.candidates import Candidate, Evaluator, Fitted, Specification
from paxcast.core.errors import FitFailed
from paxcast.core.evaluation import FoldScore, FoldsLoss, Window, fold_scale, mean_mase, publishable
from paxcast.core.folds import Folds, plan_folds
from paxcast.core.search import Search, SearchProblem, Trial
from paxcast.core.series import Series
from paxcast.core.space import Parameter, contains


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningTask:
    """What is to be done for one airport; frozen in the manifest. Horizon in periods, seconds of wall time."""

    horizon: int
    candidates: tuple[str, ...]
    space: tuple[Parameter, ...]
    max_evals: int
    patience: int | None = None
    prune: bool = False
    seconds: float
    recent_folds: int
    earlier_year_folds: int
    margin: float
    seed: int
    champion: Specification | None = None
    first: tuple[Specification, ...] = ()  # warm-start points, tried after the champion's


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What tuning one airport gave. `cv_*` are means over the folds, `test` is the untouched window (None without)."""

    specification: Specification
    decision: choice.Decision
    fitted: Fitted
    band: intervals.Band
    confidence: str
    trials: tuple[Trial, ...] = ()
    fold_scores: tuple[FoldScore, ...] = ()
    cv_mase: float | None = None
    cv_mase_naive: float | None = None
    test: FoldScore | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def tune(series: Series, task: TuningTask, candidates: Mapping[str, Candidate], look: Search) -> Tuned:
    """Search with `look`, choose, test, refit on the whole history, forecast.

    Seasonal naive is published, and says so, where nothing can be judged or the chosen one cannot be refitted.
    """
    frequency = calendar.frequency(series.frequency)
    folds = plan_folds(
        len(series.y),
        horizon=task.horizon,
        year=frequency.year,
        shortest_train=frequency.shortest_train,
        recent=task.recent_folds,
        earlier_years=task.earlier_year_folds,
    )
    if not folds.choose:
        return _without_folds(series, task, candidates, frequency)
    run = _Evaluation(series, task, candidates, folds)
    naive = run.scored(choice.NAIVE)
    trials, challenger = _challenger(run, task, look, naive)
    champion = run.try_scored(task.champion) if task.champion else None
    decision = choice.choose(challenger, champion, naive.mase, task.margin)
    return _published(run, decision, trials, naive.mase, frequency)


class _Evaluation:
    """Scores specifications of one airport on the same folds, each at most once."""

    def __init__(self, series: Series, task: TuningTask, candidates: Mapping[str, Candidate], folds: Folds) -> None:
        self.series, self.task, self.candidates = series, task, candidates
        self.windows = evaluation.windows(series, folds.choose)
        self.test_windows = evaluation.windows(series, [folds.test] if folds.test else [])
        self._evaluators: dict[str, Evaluator] = {}
        self._scores: dict[str, tuple[FoldScore, ...]] = {}

    def evaluator(self, name: str) -> Evaluator:
        """The candidate prepared on this history. Raises FitFailed."""
        if name not in self._evaluators:
            candidate = self.candidates[name]
            self._evaluators[name] = candidate.prepare(self.series, seed=self.task.seed, seconds=self.task.seconds)
        return self._evaluators[name]

    def fold_scores(self, specification: Specification) -> tuple[FoldScore, ...]:
        key = repr(specification.as_json())
        if key not in self._scores:
            self._scores[key] = self._score(specification, self.windows)
        return self._scores[key]

    def scored(self, specification: Specification) -> choice.Scored:
        return choice.Scored(specification, mean_mase(self.fold_scores(specification)))

    def try_scored(self, specification: Specification) -> choice.Scored | None:
        """The score of a specification, or None if it can no longer be fitted or competes no more."""
        if specification.candidate not in (choice.NAIVE.candidate, *self.task.candidates):
            return None
        try:
            return self.scored(specification)
        except FitFailed:
            return None

    def test(self, specification: Specification) -> FoldScore | None:
        """How the specification does in the untouched test window, or None if it cannot be fitted before it."""
        try:
            return next(iter(self._score(specification, self.test_windows)), None)
        except FitFailed:
            return None

    def _score(self, specification: Specification, windows: tuple[Window, ...]) -> tuple[FoldScore, ...]:
        return evaluation.score(self.evaluator(specification.candidate), specification.parameters, windows)


def _challenger(
    run: _Evaluation, task: TuningTask, look: Search, naive: choice.Scored
) -> tuple[tuple[Trial, ...], choice.Scored]:
    """The best specification of this run: of every candidate's, the one with the lowest error in the folds."""
    contenders, trials = [naive], []
    for name in task.candidates:
        if run.candidates[name].searched:
            found = _searched(run, task, look, name)
            trials += found
            best = search.best(found)
            contender = run.try_scored(Specification(name, best.parameters)) if best else None
        else:
            contender = run.try_scored(Specification(name, {}))
        contenders += [contender] if contender else []
    return tuple(trials), min(contenders, key=lambda c: c.mase)


def _searched(run: _Evaluation, task: TuningTask, look: Search, name: str) -> list[Trial]:
    try:
        objective = FoldsLoss(run.evaluator(name), run.windows, task.prune)
    except FitFailed as err:
        return [Trial(0, {}, None, str(err))]
    before = [task.champion, *task.first] if task.champion else task.first
    points = [s.parameters for s in before if s.candidate == name and contains(task.space, s.parameters)]
    first = tuple(p for at, p in enumerate(points) if p not in points[:at])
    problem = SearchProblem(
        space=task.space,
        objective=objective,
        max_evals=task.max_evals,
        seed=task.seed,
        first=first,
        patience=task.patience,
    )
    return look(problem) if task.space else [search.evaluated(problem, 0, {})]


def _published(
    run: _Evaluation,
    decision: choice.Decision,
    trials: tuple[Trial, ...],
    naive_mase: float,
    frequency: calendar.Frequency,
) -> Tuned:
    series, task = run.series, run.task
    decision, fitted = _refitted(run, decision)
    fold_scores = run.fold_scores(decision.specification)
    test, test_naive = run.test(decision.specification), run.test(choice.NAIVE)
    judged = [*fold_scores, *([test] if test else [])]
    errors = np.concatenate([s.actual - s.forecast for s in judged])
    band = intervals.band(publishable(fitted.forecast(task.horizon)), errors)
    return Tuned(
        specification=decision.specification,
        decision=decision,
        fitted=fitted,
        band=band,
        confidence=intervals.confidence(band, len(series.y) / frequency.season),
        trials=trials,
        fold_scores=fold_scores,
        cv_mase=mean_mase(fold_scores),
        cv_mase_naive=naive_mase,
        test=test,
        metrics=_metrics(series, frequency, fold_scores, test, test_naive),
    )


def _refitted(run: _Evaluation, decision: choice.Decision) -> tuple[choice.Decision, Fitted]:
    """The specification fitted on the whole history; seasonal naive if that fails, which another try would not mend."""
    try:
        return decision, _fit(run.series, decision.specification, run.candidates, run.task)
    except FitFailed as err:
        reason = f"{decision.specification.candidate} could not be refitted ({err}): seasonal naive is published"
        return choice.Decision(choice.NAIVE, "naive", reason), _fit(run.series, choice.NAIVE, run.candidates, run.task)


def _metrics(
    series: Series,
    frequency: calendar.Frequency,
    fold_scores: tuple[FoldScore, ...],
    test: FoldScore | None,
    test_naive: FoldScore | None,
) -> dict[str, float]:
    values = {f"cv_{i}_mase": s.mase for i, s in enumerate(fold_scores)}
    if test is not None and test_naive is not None:
        train = series.y[: test.fold.cutoff]
        values |= {
            "test_mase": test.mase,
            "test_mase_naive": test_naive.mase,
            "test_rmsse": metrics.rmsse(test.actual, test.forecast, train, frequency.season),
            "test_smape": metrics.smape(test.actual, test.forecast),
            "test_mae": metrics.mae(test.actual, test.forecast),
            "test_bias": metrics.bias(test.actual, test.forecast),
        }
    return {name: value for name, value in values.items() if np.isfinite(value)}


def _without_folds(
    series: Series, task: TuningTask, candidates: Mapping[str, Candidate], frequency: calendar.Frequency
) -> Tuned:
    """A history too short to judge any method on: last season's value, with its own past changes as errors."""
    shortest = frequency.shortest_train + 2 * task.horizon
    reason = (
        f"{len(series.y)} periods are too few to judge a method on (that takes {shortest}): seasonal naive is published"
    )
    fitted = _fit(series, choice.NAIVE, candidates, task)
    changes = _past_changes(series.y, frequency.season, task.horizon)
    band = intervals.band(publishable(fitted.forecast(task.horizon)), changes)
    return Tuned(
        specification=choice.NAIVE,
        decision=choice.Decision(choice.NAIVE, "naive", reason),
        fitted=fitted,
        band=band,
        confidence=intervals.confidence(band, seasons_of_history=0),  # never high: no method was judged
        metrics={"naive_scale": fold_scale(series)},
    )


def _past_changes(y: npt.NDArray[np.float64], season: int, horizon: int) -> npt.NDArray[np.float64]:
    """The errors that seasonal naive would have made, y: [N] traffic: for each of the `horizon` steps the changes over
    as many whole seasons as that step lies ahead, or as the history has; over one period where it has no season."""
    unit = season if len(y) > season else 1
    most = (len(y) - 1) // unit
    lags = [unit * min(-(-step // unit), most) for step in range(1, horizon + 1)]
    return np.concatenate([y[lag:] - y[:-lag] for lag in lags])


def _fit(series: Series, specification: Specification, candidates: Mapping[str, Candidate], task: TuningTask) -> Fitted:
    candidate = candidates[specification.candidate]
    return candidate.fit(series, specification.parameters, seed=task.seed, seconds=task.seconds)
