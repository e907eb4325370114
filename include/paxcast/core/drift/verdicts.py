"""Which airports have drifted: the tests of the fleet's single airports, held against the fleet's own past, together.

1. The common factor is taken off (`common`).
2. Each airport's own cycles are scored (`statistics`) at its last two cycles, against its reference: all before the
   last `window` + 1 of them.
3. The reference is scored in the same way, a seventh of it at a time against the rest, so that what is scored
   has no say in what is usual: these are the fleet's scores in control (`pool`).
4. The surprises of how large errors are (loss, coverage) and of where they lie (a jump, and a leak that a CUSUM finds)
   are put together as the sides of a vector, whose length is how far out the airport is: one test that is sure counts
   for more than four that are half sure. They depend on each other; so they do in the pool.
5. An airport's p-value is that of the lower of the lengths at its last two cycles: it was surprising twice running.
6. Benjamini and Hochberg over all airports that were tested (`multiplicity`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from paxcast.core.drift import common, statistics
from paxcast.core.drift.common import World
from paxcast.core.drift.multiplicity import q_values
from paxcast.core.drift.panel import Panel
from paxcast.core.drift.pool import Pool, pool, surprise

Array = npt.NDArray[np.float64]

BLOCKS = 7  # of the reference, each scored against the others
WARM = 8  # cycles before a block that its scores begin with
SHOWN = 26  # cycles of the CUSUM
TIMES_SEVERE = 3.0  # the usual loss
NAMED = 0.01  # the chance of a test's own score below which it is a reason
DIGITS = 9  # of scores: coverage has many that are alike, and rounding must not put them in an order
REPEATS = 3  # rounds in which airports that changed in the past are left out of the pool
TOGETHER = "all tests together"  # the reason where none of them is small by itself
NONE, WATCH, MODERATE, SEVERE = "none", "watch", "moderate", "severe"


@dataclass(frozen=True, slots=True)
class Rules:
    """`q`: the share of false discoveries that is put up with. In cycles: `window` that may have drifted, `reference`
    that is looked back at most, `least` that a reference must have."""

    q: float = 0.10
    window: int = 8
    reference: int = 104
    least: int = 12


@dataclass(frozen=True, slots=True)
class Verdict:
    """One airport's. `ratio`: the mean loss of its last cycles in units of the reference's. `cusum`: newest last."""

    airport: str
    cycle: str
    tested: bool = False
    drifted: bool = False
    severity: str = NONE
    p: float | None = None
    q: float | None = None
    reasons: tuple[str, ...] = ()
    ratio: float | None = None
    cusum: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict on the world, and on every airport of the panel, in its order."""

    world: World
    airports: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class _Scores:
    """By test, [A, N] scores: `null` of the reference, `now` of the last two cycles [A, 2]."""

    null: dict[str, Array]
    now: dict[str, Array]
    ratio: Array
    cusum: Array


def judge(panel: Panel, rules: Rules | None = None) -> Judged:
    """The verdicts as of the panel's newest cycle; the same panel gives the same, whatever was checked before."""
    rules = rules or Rules()
    own = common.split(panel)
    there = np.isfinite(own.residual)
    cycles = [panel.cycles[np.flatnonzero(row)[-1]] if row.any() else "" for row in there]
    verdicts = [Verdict(a, c) for a, c in zip(panel.airports, cycles, strict=True)]
    at = np.flatnonzero(there.sum(axis=1) >= rules.least + rules.window + 1)
    if len(at):
        residual, loss, outside = (_aligned(v[at], there[at]) for v in (own.residual, own.loss, own.outside))
        found = _judged([verdicts[i] for i in at], _scored(residual, loss, outside, rules), rules)
        for index, verdict in zip(at, found, strict=True):
            verdicts[index] = verdict
    return Judged(own.world, tuple(verdicts))


def _aligned(values: Array, there: npt.NDArray[np.bool_]) -> Array:
    """[A, N] each airport's own cycles in order, right-aligned, NaN on the left of the shorter ones."""
    width = int(there.sum(axis=1).max())
    order = np.argsort(there, axis=1, kind="stable")  # what is missing first, the rest in its order
    moved = np.take_along_axis(np.where(there, values, np.nan), order, axis=1)
    return moved[:, -width:]


def _scored(residual: Array, loss: Array, outside: Array, rules: Rules) -> _Scores:
    end = residual.shape[1]
    begin, split = max(0, end - rules.reference - rules.window - 1), end - rules.window - 1
    residual, loss, outside = residual[:, begin:], loss[:, begin:], outside[:, begin:]
    split, end = split - begin, end - begin
    past = slice(0, split)
    logged = statistics.logged(loss, past)
    tests: dict[str, tuple[Callable[[Array, statistics.Usual], Array], Array]] = {
        "loss": (statistics.worst_mean, logged),
        "coverage": (statistics.worst_mean, outside),
        "jump": (statistics.lopsided, residual),
        "leak": (lambda x, ref: np.abs(statistics.cusum(x, ref)), residual),
    }
    null = {name: _cross_scored(test, values[:, past], rules).round(DIGITS) for name, (test, values) in tests.items()}
    now = {
        name: test(values[:, max(0, split - WARM) :], statistics.usual(values[:, past]))[:, -2:].round(DIGITS)
        for name, (test, values) in tests.items()
    }
    before = np.nanmean(loss[:, past], axis=1)
    ratio = loss[:, -min(statistics.WINDOWS) :].mean(axis=1) / np.where(before > 0, before, 1.0)
    run = statistics.cusum(residual[:, max(0, split - SHOWN) :], statistics.usual(residual[:, past]))
    return _Scores(null, now, ratio, run[:, -SHOWN:])


def _cross_scored(test: Callable[[Array, statistics.Usual], Array], past: Array, rules: Rules) -> Array:
    """[A, N] the reference's scores, each block's against the other blocks; NaN where they are too short to tell."""
    edges = np.linspace(0, past.shape[1], BLOCKS + 1).astype(int)
    found = np.full(past.shape, np.nan)
    for first, last in pairwise(edges):
        others = np.concatenate([past[:, :first], past[:, last:]], axis=1)
        ref = statistics.usual(others)
        warm = max(0, first - WARM)
        scores = test(past[:, warm:last], ref)[:, first - warm :]
        told = (ref.count >= max(rules.least - rules.window // 2, 4))[:, None] & np.isfinite(past[:, first:last])
        found[:, first:last] = np.where(told, scores, np.nan)
    found[:, : min(WARM, past.shape[1])] = np.nan  # nothing to begin with
    return np.where(np.isfinite(found), found, np.nan)


def _judged(untested: list[Verdict], scores: _Scores, rules: Rules) -> list[Verdict]:
    """The verdicts of airports, in order; as they were where the fleet has nothing in control to hold them against."""
    if not all(np.isfinite(values).any() for values in scores.null.values()):
        return untested
    pools, usual, stay = _in_control(scores.null, rules)
    if not np.isfinite(_twice(usual)[stay]).any():
        return untested
    now = _length(pools, scores.now)
    p = np.minimum(np.exp(-surprise(pool(_twice(usual)[stay]), now.min(axis=1))), 1.0)
    once = q_values(np.minimum(np.exp(-surprise(pool(usual[stay]), now[:, 1])), 1.0))
    named = {name: np.exp(-surprise(pools[name], values).min(axis=1)) < NAMED for name, values in scores.now.items()}
    q = q_values(p)
    found = []
    for i, verdict in enumerate(untested):
        drifted, ratio, cusum = bool(q[i] <= rules.q), float(scores.ratio[i]), scores.cusum[i]
        severity = (SEVERE if ratio >= TIMES_SEVERE else MODERATE) if drifted else WATCH if once[i] <= rules.q else NONE
        tests = {name for name, small in named.items() if small[i]}
        found.append(
            replace(
                verdict,
                tested=True,
                drifted=drifted,
                severity=severity,
                p=float(p[i]),
                q=float(q[i]),
                reasons=_reasons(tests, float(cusum[-1])) if severity != NONE else (),
                ratio=ratio,
                cusum=tuple(round(float(value), 3) for value in cusum),
            )
        )
    return found


def _reasons(tests: set[str], cusum: float) -> tuple[str, ...]:
    """In words: how large errors are, whether intervals hold, and to which side forecasts are wrong; TOGETHER else."""
    found: list[str] = [name for name in ("loss", "coverage") if name in tests]
    if tests & {"jump", "leak"}:
        found.append("actuals above forecasts" if cusum > 0 else "actuals below forecasts")
    return tuple(found) or (TOGETHER,)


def _length(pools: dict[str, Pool], scores: dict[str, Array]) -> Array:
    """The root of the sum of the tests' squared surprises; NaN where one of them is unknown."""
    told = [np.where(np.isfinite(values), surprise(pools[name], values), np.nan) for name, values in scores.items()]
    length: Array = np.sqrt(np.sum(np.square(told), axis=0))
    return length


def _in_control(null: dict[str, Array], rules: Rules) -> tuple[dict[str, Pool], Array, npt.NDArray[np.bool_]]:
    """By test the pool, the lengths of the reference's surprises [A, N], and whose were in control: others changed
    within their reference, and what they scored then says nothing of those that do not change."""
    stay = np.ones(len(null["loss"]), dtype=bool)
    for _ in range(REPEATS):
        told = {name: pool(values[stay], robust=True) for name, values in null.items()}
        twice = _twice(_length(told, null))
        if not np.isfinite(twice[stay]).any():
            break
        left = stay & ~_changed(twice, stay, rules)
        if (left == stay).all() or not np.isfinite(twice[left]).any():
            break
        stay = left
    pools = {name: pool(values[stay]) for name, values in null.items()}
    return pools, _length(pools, null), stay


def _twice(usual: Array) -> Array:
    """[A, N - 1] the lower of two in a row, NaN where one is unknown."""
    lower: Array = np.minimum(usual[:, 1:], usual[:, :-1])
    return lower


def _changed(twice: Array, stay: npt.NDArray[np.bool_], rules: Rules) -> npt.NDArray[np.bool_]:
    """[A] whose worst two cycles in a row the others' do not explain."""
    worst = np.nanmax(np.where(np.isfinite(twice), twice, -np.inf), axis=1)
    cycles = np.maximum(np.isfinite(twice).sum(axis=1), 1)
    p = np.minimum(1.0, np.exp(-surprise(pool(twice[stay], robust=True), worst)) * cycles)
    found: npt.NDArray[np.bool_] = q_values(p) <= rules.q
    return found
