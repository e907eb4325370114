"""Policies of retraining, replayed month by month on fits that are on disk (refitted.py).

At each month-end: what the forecasts in force missed is judged (core.drift), faults are told, it is decided what is
done; then all airports are retrained or those that were asked for, as of that very month-end. A drift check sees the
models that forecast the month, and what was asked for and made at earlier month-ends, as jobs/drift_asked.py tells it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from refitted import HORIZON, RULES, Actuals, Fit, Fits, Shared

from paxcast.core import adaptation
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.drift import holding, policy, residuals, verdicts
from paxcast.core.drift.panel import Panel
from paxcast.core.drift.policy import ASKS, FALLBACK, QUIET, Action, Past
from paxcast.core.drift.residuals import Missed, OfModel
from paxcast.core.drift.verdicts import Judged, Verdict

Array = npt.NDArray[np.float64]
BUDGET = 50  # the default
FLAGGED, FAULT = ("watch", "moderate", "severe"), "fault"


@dataclass(frozen=True, slots=True)
class Policy:
    """Who is retrained: all every so many months (0: never), who drifted, all when the common factor alerts."""

    name: str
    every: int = 0
    drifted: bool = False
    alerted: bool = False


@dataclass(frozen=True, slots=True)
class _Row:
    """What a check said of an airport."""

    month: int
    tested: bool
    severity: str
    action: str
    pinned: str


@dataclass(slots=True)
class Story:
    """What checks said of an airport, and when another model of it was made, with its method where that was pinned.

    The rules of `jobs/drift_asked.py`, where a cycle is a month and every month has an actual.
    """

    rows: list[_Row] = field(default_factory=list)
    made: list[tuple[int, str]] = field(default_factory=list)

    def past(self, until: int) -> Past:
        asks, pinned = self._episode(until), self.rows[-1].pinned if self.rows else ""
        quiet, longest = self._quiet(asks, self.rows, until)
        over = longest >= QUIET
        if over or not asks:
            return Past(pinned=pinned, quiet=longest if over else quiet) if pinned else Past()
        answers = [self._answer(ask, until) for ask in asks]
        unheard = next((k for k, answer in enumerate(reversed(answers)) if answer is not None), len(answers))
        return Past(len({*answers} - {None}), answers[-1] is None, pinned, quiet, unheard)

    def stretches(self, until: int) -> Iterator[tuple[int, int]]:
        for ask in self.rows:
            answer = self._answer(ask, until) if ask.action in ASKS else None
            if answer is not None:
                yield ask.month - RULES.window + 1, answer

    def _episode(self, until: int) -> list[_Row]:
        asks: list[_Row] = []
        for at, row in enumerate(self.rows):
            if row.action in ASKS:
                over = self._quiet(asks, self.rows[:at], row.month)[1] >= QUIET
                asks = [row] if over else [*asks, row]
        return asks

    def _quiet(self, asks: Sequence[_Row], rows: Sequence[_Row], until: int) -> tuple[int, int]:
        if not asks:
            return self._in_a_row(rows, -1)
        answer, asked = self._answer(asks[-1], until), asks[-1].month
        if answer is None:
            return self._in_a_row(rows, asked)
        before = self._in_a_row([row for row in rows if row.month <= answer], asked)
        after = self._in_a_row(rows, answer)
        return after[0], max(before[1], after[1])

    def _in_a_row(self, rows: Sequence[_Row], since: int) -> tuple[int, int]:
        run = longest = 0
        for row in rows:
            if row.month > since and (row.severity in FLAGGED or (row.tested and row.severity == verdicts.NONE)):
                run = 0 if row.severity in FLAGGED else run + 1
                longest = max(longest, run)
        return run, longest

    def _answer(self, ask: _Row, until: int) -> int | None:
        as_asked = (m for m, method in self.made if method == ask.pinned or ask.action != FALLBACK)
        return next((month for month in as_asked if ask.month <= month < until), None)


@dataclass(frozen=True, slots=True)
class Checked:
    """One check: verdicts, and what was done. `fits`: how many airports were retrained after it."""

    month: int
    judged: Judged
    actions: Mapping[str, Action]
    fits: int


@dataclass(slots=True)
class _InForce:
    fit: Fit
    month: int
    half: Array  # [HORIZON]
    model: OfModel


class Replay:
    """One policy on one fleet. `yhat`, `half`: [A, P] what was in force for each month; `checks`: one a month."""

    def __init__(self, fits: Fits, actual: Actuals, of: Policy, first: int) -> None:
        self.fits, self.actual, self.policy, self.month = fits, actual, of, first
        shape = actual.y.shape
        self.yhat, self.half = np.full(shape, np.nan), np.full(shape, np.nan)
        self.inside, self.counted = np.zeros(shape[1]), np.zeros(shape[1])
        self.stories = {airport: Story() for airport in actual.airports}
        self.in_force: dict[str, _InForce] = {}
        self.checks: list[Checked] = []
        self.shared = self._shared({})
        self._install(actual.airports, {})

    def run(self, until: int) -> "Replay":
        """Check every month up to one, the last included; after that nobody is retrained."""
        while self.month < until:
            self.month += 1
            self._publish()
            judged = self._judge()
            actions = self._act(judged) if self.policy.drifted else {}
            fits = self._retrain(judged, actions) if self.month < until else 0
            self.checks.append(Checked(self.month, judged, actions, fits))
        return self

    def idle(self) -> None:
        """One month more, in which nothing is asked and nobody is retrained."""
        self.month += 1
        self._publish()

    # --- what is judged

    def _judge(self) -> Judged:
        """As jobs/drift.py does it: without airports whose data are wrong, and of published forecasts alone."""
        whole, broken = self.panel(self.actual.y), {fault.airport for fault in self.actual.faults(self.month)}
        panel = residuals.of_some(whole, {*whole.airports} - broken)
        judged = verdicts.judge(panel, RULES)
        there = np.isfinite(panel.residual)
        held = {
            v.airport: holding.held(v, there[at], panel.live[at], None, 0, None) for at, v in enumerate(judged.airports)
        }
        return replace(judged, airports=tuple(held.get(airport, Verdict(airport, "")) for airport in whole.airports))

    def missed(self, y: Array) -> dict[str, Missed]:
        """What the forecasts that were published for months up to now missed, if traffic had been y, [A, P]."""
        rows, at = np.nonzero(np.isfinite(self.yhat + y) & (np.arange(y.shape[1]) <= self.month))
        names = np.array(self.actual.airports)
        scale = np.array([self.in_force[a].model.scale for a in names])
        frame = pd.DataFrame(
            {
                AIRPORT: names[rows],
                DS: self.actual.months[at],
                Y: y[rows, at],
                "yhat": self.yhat[rows, at],
                "half": self.half[rows, at],
                "scale": scale[rows],
            }
        )
        return residuals.of_forecasts(frame, self.actual.until(self.month))

    def panel(self, y: Array) -> Panel:
        return self.panel_of(self.missed(y))

    def panel_of(self, missed: Mapping[str, Missed]) -> Panel:
        over = self.actual.until(self.month)
        at = slice(over.first - self.actual.over.first, over.first - self.actual.over.first + over.periods)
        whole = {airport: one.model.missed for airport, one in self.in_force.items()}
        folds = {airport: Missed(m.residual[at], m.outside[at]) for airport, m in whole.items()}
        found = residuals.panel(over, missed, folds, self.actual.reported(self.month))
        names = self.actual.over.names
        gone = {
            airport: [(names[max(a, 0)], names[b]) for a, b in story.stretches(self.month)]
            for airport, story in self.stories.items()
        }
        return residuals.without(found, gone)

    # --- what is done

    def _act(self, judged: Judged) -> dict[str, Action]:
        past = {airport: story.past(self.month) for airport, story in self.stories.items()}
        faults = [fault for fault in self.actual.faults(self.month) if fault.airport in self.in_force]
        simple = {airport: one.model.simple for airport, one in self.in_force.items()}
        actions = {a.airport: a for a in policy.act(judged.airports, faults, past, simple, BUDGET)}
        broken = {fault.airport for fault in faults}
        for verdict in judged.airports:
            done = actions[verdict.airport]
            severity = FAULT if verdict.airport in broken else verdict.severity
            row = _Row(self.month, verdict.tested, severity, done.action, done.pinned)
            self.stories[verdict.airport].rows.append(row)
        return actions

    def _retrain(self, judged: Judged, actions: Mapping[str, Action]) -> int:
        methods = {airport: action.pinned for airport, action in actions.items() if action.pinned}
        due = self.policy.every and self.actual.months[self.month].month % self.policy.every == 0
        if due or (self.policy.alerted and judged.world.alert):
            self.shared = self._shared(methods)
            return self._install(self.actual.airports, methods)
        return self._install([a for a, action in actions.items() if action.action in ASKS], methods)

    def _shared(self, methods: Mapping[str, str]) -> Shared:
        known = (self.counted > 0) & (np.arange(len(self.counted)) <= self.month)
        cycles = [{0.80: share} for share in (self.inside[known] / self.counted[known]).tolist()]
        return self.fits.shared(self.actual.months[self.month], methods, adaptation.effective_levels(cycles))

    def _install(self, airports: Sequence[str], methods: Mapping[str, str]) -> int:
        """Put the fits of this month-end in force, of airports that its run did not leave out; how many these are."""
        count = 0
        for airport in airports:
            method = methods.get(airport, "")
            fit = self.fits.fit(airport, self.actual.months[self.month], self.shared.rule, method)
            if fit is None:
                continue
            half = fit.half(self.shared.pool)
            model = fit.of_model(self.shared.pool, self.actual.over)
            self.in_force[airport] = _InForce(fit, self.month, half, model)
            self.stories[airport].made.append((self.month, method))
            self._score(airport, fit.forecast(HORIZON), half)
            count += 1
        return count

    def _score(self, airport: str, yhat: Array, half: Array) -> None:
        """Count what lies inside the intervals: the next whole run's learn from it, as soon as it is known."""
        at = slice(self.month + 1, self.month + 1 + HORIZON)
        y = self.actual.y[self.actual.airports.index(airport), at]
        off = np.abs(y - yhat[: len(y)])
        self.counted[at] += np.isfinite(off)
        self.inside[at] += off <= half[: len(y)]

    def _publish(self) -> None:
        """What the models in force say of this month; beyond their horizon it is carried on, see drift_replay.py."""
        for row, airport in enumerate(self.actual.airports):
            one = self.in_force[airport]
            step = self.month - one.month
            if np.isnan(self.yhat[row, self.month]) or step == 1:
                ahead = HORIZON if step <= HORIZON else len(self.actual.months) - 1 - one.month
                made = one.fit.forecast(ahead)[step - 1 : len(self.actual.months) - 1 - one.month]
                self.yhat[row, self.month :] = np.nan
                self.yhat[row, self.month : self.month + len(made)] = made
            self.half[row, self.month] = one.half[min(step, HORIZON) - 1]
