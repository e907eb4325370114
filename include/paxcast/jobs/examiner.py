"""What runs on a Spark worker for each airport of an evaluation: the line, again and again, on changed histories.

evaluations/KEY/AIRPORT-CHECKSUM.json   what was found out about one airport: a plain object, kept once

The line is the one that publishes: treatment, folds, search, every candidate but those trained across airports, the
rule of the fleet, the gate.
"""

import resource
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from paxcast.adapters.limits import deadline, memory_limit
from paxcast.adapters.object_store import ObjectStore
from paxcast.adapters.spark import PackedHistory, WorkerResult
from paxcast.core import behaviour, calendar, combination, composition, evaluation, outcome, tuning
from paxcast.core.candidate_files import GIVEN
from paxcast.core.candidates import Candidate
from paxcast.core.candidates.adjusted import adjusted
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.errors import AirportTimeout, AirportTooLarge, FitFailed
from paxcast.core.evaluation import publishable
from paxcast.core.outcome import FAILED, OK, Outcome
from paxcast.core.past import Past
from paxcast.core.search import Search
from paxcast.core.space import Parameters
from paxcast.core.treatment import Raw, Rules
from paxcast.core.tuning import TuningTask
from paxcast.jobs import searches
from paxcast.jobs.worker import raw_of

Array = npt.NDArray[np.float64]
YEARS = (3, 5, 7, 10)  # of the learning curve, and all
DIGITS = outcome.DIGITS


@dataclass(frozen=True, slots=True)
class Made:
    """What was published of an airport from one origin: on which history, with which seed and which members.

    `shock_mode`: the way of passing shocks that was chosen there; None where there was no choice.
    """

    origin: str
    history: PackedHistory
    seed: int
    weights: Mapping[str, float]
    parameters: Mapping[str, Parameters]
    shock_mode: str | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that is asked about one airport. `learner`: the history up to the origin of the learning curve, or None."""

    rules: Rules
    task: TuningTask
    learner: PackedHistory | None
    made: tuple[Made, ...]

    @property
    def fits(self) -> int:
        """How often the line runs, about: each variant and what it is compared with, each length of history."""
        return 9 + (len(YEARS) + 1 if self.learner else 0) + len(self.made)


class Clock(Mapping[str, Candidate]):
    """The candidates; beside them the CPU seconds that passed from when each was asked for until the next one was.

    Tuning asks for each candidate once, when its turn comes. What comes before the first is nobody's.
    """

    def __init__(self, candidates: Mapping[str, Candidate]) -> None:
        self.candidates = candidates
        self.seconds: dict[str, float] = {}
        self._running: tuple[str, float] | None = None

    def __getitem__(self, name: str) -> Candidate:
        self.stop()
        self._running = name, time.process_time()
        return self.candidates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def stop(self) -> None:
        """The last candidate is done."""
        if self._running is not None:
            name, since = self._running
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - since
        self._running = None


class Line:
    """The published forecast of any history of one airport, and what it took. `rule`: the fleet's."""

    def __init__(self, task: TuningTask, rule: str, search: Search) -> None:
        self.task, self.rule, self.search = task, rule, search
        self.clock = Clock(CANDIDATES)
        self.cpu: list[float] = []
        self.cv_mase: list[float | None] = []

    def forecast(self, raw: Raw, rules: Rules) -> Array:
        """[H] traffic, as published: rounded as outcomes are."""
        began = time.process_time()
        past = Past(raw, rules)
        tuned = tuning.tune(past, self.task, self.clock, self.search)
        self.clock.stop()
        values = outcome.tuned_values(past, tuned, self.task.candidates) | {"pinned": self.task.pinned}
        made = Outcome(run_key="", fleet="", airport=raw.airport, as_of="", checksum="", batch=0, **values)
        composed = composition.compose(outcome.evaluation_of(made), self.rule)
        self.cpu.append(time.process_time() - began)
        self.cv_mase.append(composed.cv_mase)
        return composed.forecast

    def cost(self) -> dict[str, float]:
        """Mean CPU seconds of one run, by candidate; `all` is the whole, treatment, folds and combination too."""
        by_candidate = {name: seconds / len(self.cpu) for name, seconds in self.clock.seconds.items()}
        return {**by_candidate, "all": float(np.mean(self.cpu))}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """One evaluation's work, by airport. Picklable: Spark ships it to every worker."""

    store_root: str
    key: str
    frequency: str
    rule: str
    search: Search
    memory_mb: int
    oldest: int  # periods that a stale model is old at most
    assignments: Mapping[str, Assignment]

    def __call__(self, history: PackedHistory) -> WorkerResult:
        objects, began = ObjectStore(self.store_root), time.monotonic()
        name = name_of(self.key, history)
        if objects.get(name) is not None:
            return WorkerResult(history.airport, OK, "", 0.0)
        searches.warm()
        assignment = self.assignments[history.airport]
        try:
            with (
                deadline(assignment.task.seconds * assignment.fits, "evaluating"),
                memory_limit(self.memory_mb, "evaluating"),
            ):
                found = self._examined(history, assignment)
        except (AirportTimeout, AirportTooLarge) as err:
            return WorkerResult(history.airport, FAILED, str(err), time.monotonic() - began)
        except Exception as err:  # noqa: BLE001 - one airport must not end the evaluation: it becomes a counted row
            return WorkerResult(history.airport, FAILED, f"{type(err).__name__}: {err}", time.monotonic() - began)
        objects.put_if_absent(name, found)
        return WorkerResult(history.airport, OK, "", time.monotonic() - began)

    def _examined(self, history: PackedHistory, assignment: Assignment) -> dict[str, Any]:
        line = Line(assignment.task, self.rule, self.search)
        raw = raw_of(history, self.frequency)
        changed = behaviour.look(raw, assignment.rules, line.forecast, assignment.task.seed)
        cost, cv_mase = line.cost(), line.cv_mase[0]
        return {
            "behaviour": {name: value if np.isfinite(value) else None for name, value in changed.items()},
            "learning": self._learnt(line, assignment),
            "longer": {m.origin: _plain(self._longer(m, assignment)) for m in assignment.made},
            "cost": cost,
            "cv_mase": cv_mase,
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }

    def _learnt(self, line: Line, assignment: Assignment) -> dict[str, list[float]]:
        """By how many years of history were used, 0 for all of them, what would have been published at the origin."""
        if assignment.learner is None:
            return {}
        raw = raw_of(assignment.learner, self.frequency)
        year = calendar.frequency(self.frequency).year
        lengths = {0: raw} | {n: last(raw, n * year) for n in YEARS if len(raw.y) > n * year}
        return {str(years): _plain(line.forecast(part, assignment.rules)) for years, part in lengths.items()}

    def _longer(self, made: Made, assignment: Assignment) -> Array:
        """The forecast made at an origin, carried on as far as a model is used that has not been retrained. [N] traffic

        The fleet's model forecasts its horizon and no further: the other members share its weight; [0] without any.
        """
        rules = replace(assignment.rules, shock_mode=made.shock_mode or assignment.rules.shock_mode)
        series = Past(raw_of(made.history, self.frequency), rules).treated().series
        steps, seconds = assignment.task.horizon + self.oldest, assignment.task.seconds
        weights = {name: weight for name, weight in made.weights.items() if name not in GIVEN}
        members = [
            adjusted(CANDIDATES[name], assignment.rules)
            .fit(series, made.parameters[name], seed=made.seed, seconds=seconds)
            .forecast(steps)
            for name in weights
        ]
        if not members:
            return np.empty(0)
        shares = np.array(list(weights.values()))
        forecasts = np.array([publishable(member, evaluation.most(series)) for member in members])
        if not np.isfinite(forecasts).all():
            raise FitFailed(f"{series.airport}: carried on from {made.origin}, a forecast is not a number")
        return combination.combined(shares / shares.sum(), forecasts)


def name_of(key: str, history: PackedHistory) -> str:
    """Where what was found out about an airport is kept."""
    return f"evaluations/{key}/{history.airport}-{history.checksum}.json"


def last(raw: Raw, periods: int) -> Raw:
    """The last periods of a history alone, from the first of them that was observed on."""
    start = len(raw.y) - periods
    start += int(np.flatnonzero(np.isfinite(raw.y[start:]))[0]) if np.isfinite(raw.y[start:]).any() else 0
    return replace(raw, ds=raw.ds[start:], y=raw.y[start:])


def _plain(values: Array) -> list[float]:
    return [float(f"{value:.{DIGITS}g}") for value in values.tolist()]
