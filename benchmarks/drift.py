"""Drift on simulated fleets whose truth is known: false alarms, false discoveries and power, beside what people use.

    required    3,000 airports, 60 of which get worse by 1.8 standard deviations of their loss: what is found within 8
                weeks, and what share of it is false, at each weekly check and over the 8 weeks together. Worse by a
                shift of their errors; and, a tenth of the repetitions, by a wider spread of them
    worlds      the same in other worlds: autocorrelated errors, heavy tails, seasons and trends in the errors, shocks
                that all share, single wild weeks; and weekly checks in which nothing changes
    others      KS at 5 %, PSI above 0.25, a plain CUSUM (0.5, 5), and with --river ADWIN and Page-Hinkley as river has
                them, on the same numbers

An airport's errors are in units of what its forecasts let one expect, as in paxcast.core.drift. Each airport has 104
weeks of reference, as configured by default. Others look at the same weeks: at the last 8 against those before, or,
where they are made for streams, at all in order.

    python benchmarks/drift.py [--repetitions 200] [--others 10] [--quiet 2] [--weeks 26] [--processes 2]
                               [--river FOLDER] [--help]

--river: a folder to import river from (it is no part of the project): `pip install --target FOLDER river==0.26.1`.
The last line is one JSON object, also kept in benchmarks/results/drift.json.
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import ks_2samp

from paxcast.core.drift.panel import Panel
from paxcast.core.drift.verdicts import Rules, judge

Array = npt.NDArray[np.float64]
Found = npt.NDArray[np.bool_]

AIRPORTS, CHANGED = 3000, 60
RULES = Rules()
LOOKED_AT = RULES.reference + RULES.window + 1
WEEKS = 8  # within which a change is to be found
WORSE = 1.8  # standard deviations of the loss
WIDE = 1.2816  # half of an 80 % interval, in standard deviations
BINS = 10
EIGHTY = 80  # airports that slow methods look at
YEAR = 52
SHIFT, SPREAD = "shift", "spread"  # how an airport gets worse


@dataclass(frozen=True)
class World:
    """How errors are when nothing changes: autocorrelation, degrees of freedom of Student's t (0: normal), amplitudes
    of a season and of a trend in them, a shock that all share, the chance of a wild week."""

    name: str
    rho: float = 0.0
    tails: int = 0
    season: float = 0.0
    trend: float = 0.0
    shock: float = 0.0
    wild: float = 0.0


WORLDS = [
    World("rho 0"),
    World("rho 0.3", rho=0.3),
    World("rho 0.5", rho=0.5),
    World("rho 0.7", rho=0.7),
    World("rho 0.9", rho=0.9),
    World("heavy tails", rho=0.3, tails=4),
    World("season", rho=0.3, season=0.5),
    World("trend", rho=0.3, trend=0.5),
    World("shared shock", rho=0.3, shock=6.0),
    World("wild weeks", rho=0.3, wild=0.01),
]


def errors(world: World, weeks: int, rng: np.random.Generator) -> Array:
    """[A, weeks] residuals in control."""
    size = (AIRPORTS, weeks + 50)
    noise = rng.standard_normal(size)
    if world.tails:
        noise = rng.standard_t(world.tails, size) / np.sqrt(world.tails / (world.tails - 2))
    values = noise.copy()
    for t in range(1, size[1]):
        values[:, t] = world.rho * values[:, t - 1] + np.sqrt(1 - world.rho**2) * noise[:, t]
    values = values[:, 50:]
    since = np.arange(weeks)
    phase = rng.random((AIRPORTS, 1))
    values += world.season * np.sin(2 * np.pi * (since / YEAR + phase))
    values += world.trend * (since / weeks - 0.5) * np.sign(phase - 0.5)
    if world.shock:
        begin = weeks - YEAR // 2
        values[:, begin : begin + 4] -= world.shock * rng.lognormal(0, 0.2, (AIRPORTS, 1))
    wild: Array = values + 15.0 * np.sign(noise[:, 50:]) * (rng.random(values.shape) < world.wild)
    return wild


def changed(values: Array, rng: np.random.Generator, by: str = SHIFT) -> Array:
    """The same with the first CHANGED airports worse in the last WEEKS: moved up or down, or spread wider, until the
    mean loss is higher by WORSE of its standard deviations."""
    loss = np.abs(values)
    wanted = loss.mean() + WORSE * loss.std()
    low, high = 0.0, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        now = np.abs(values + middle) if by == SHIFT else loss * (1 + middle)
        low, high = (middle, high) if now.mean() < wanted else (low, middle)
    moved = values.copy()
    if by == SHIFT:
        moved[:CHANGED, -WEEKS:] += low * rng.choice([-1.0, 1.0], (CHANGED, 1))
    else:
        moved[:CHANGED, -WEEKS:] *= 1 + low
    return moved


def panel(values: Array) -> Panel:
    loss = np.abs(values)
    names = tuple(f"A{i:04d}" for i in range(len(values)))
    weeks = tuple(f"{t:04d}" for t in range(values.shape[1]))
    return Panel(names, weeks, values, loss, (loss > WIDE).astype(float), np.ones(values.shape, dtype=bool))


# --- who is found in the newest week: [A, N] residuals -> [A]


def paxcast(values: Array) -> Found:
    return np.array([verdict.drifted for verdict in judge(panel(values), RULES).airports])


def kolmogorov_smirnov(values: Array) -> Found:
    p = [ks_2samp(row[:-WEEKS], row[-WEEKS:]).pvalue for row in np.abs(values)]
    return np.array(p) < 0.05


def psi(values: Array) -> Found:
    """Population stability index of ten bins of equal shares of the reference, above a quarter."""
    found = []
    for row in np.abs(values):
        edges = np.quantile(row[:-WEEKS], np.linspace(0, 1, BINS + 1)[1:-1])
        old, new = (
            np.maximum(np.bincount(np.searchsorted(edges, part), minlength=BINS) / len(part), 1e-4)
            for part in (row[:-WEEKS], row[-WEEKS:])
        )
        found.append(float(np.sum((new - old) * np.log(new / old))) > 0.25)
    return np.array(found)


def plain_cusum(values: Array) -> Found:
    """Both sides, reference value 0.5 and limit 5, in standard deviations of the reference; over the last WEEKS."""
    past = values[:, :-WEEKS]
    z = (values - past.mean(axis=1, keepdims=True)) / past.std(axis=1, keepdims=True)
    high, low = np.zeros(len(z)), np.zeros(len(z))
    for t in range(z.shape[1] - WEEKS, z.shape[1]):
        high, low = np.maximum(0, high + z[:, t] - 0.5), np.maximum(0, low - z[:, t] - 0.5)
    return np.maximum(high, low) > 5


def of_river(name: str, values: Array) -> Found:
    """A detector with its defaults over the whole stream of losses: whether it alarmed in one of the last WEEKS."""
    from river import drift  # type: ignore[import-not-found]

    found = []
    for row in np.abs(values):
        detector, alarms = getattr(drift, name)(), []
        for value in row:
            detector.update(float(value))
            alarms.append(bool(detector.drift_detected))
        found.append(any(alarms[-WEEKS:]))
    return np.array(found)


# --- one repetition


def discoveries(world: World, by: str, seed: int) -> dict[str, float]:
    """Weekly checks in the WEEKS after a change."""
    rng = seeded(world, seed)
    moved = changed(errors(world, LOOKED_AT + WEEKS, rng), rng, by)
    end = moved.shape[1]
    ever, at_checks = np.zeros(AIRPORTS, dtype=bool), []
    for week in range(2, WEEKS + 1):
        last = end - WEEKS + week
        now = paxcast(moved[:, last - LOOKED_AT : last])
        at_checks.append(false_share(now))
        ever |= now
    return {
        "fdp_last_check": at_checks[-1],
        "fdp_checks": float(np.mean(at_checks)),
        "fdp_over_8_weeks": false_share(ever),
        "power": float(ever[:CHANGED].mean()),
    }


def in_control(world: World, weeks: int, seed: int) -> dict[str, float]:
    """Weekly checks in which nothing changes: the airports that are ever said to have drifted."""
    quiet = errors(world, LOOKED_AT + weeks, seeded(world, seed))
    alarmed = np.zeros(AIRPORTS, dtype=bool)
    for week in range(weeks):
        alarmed |= paxcast(quiet[:, week : week + LOOKED_AT])
    return {"in_control_percent_a_year": 100 * float(alarmed.mean()) * YEAR / weeks}


def seeded(world: World, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, len(world.name), int(world.rho * 10)])


def false_share(found: Found) -> float:
    return float(found[CHANGED:].sum() / max(int(found.sum()), 1))


def methods(river: str | None) -> dict[str, Callable[[Array], Found]]:
    """What people use, by name. river: a folder to import it from; without it there is neither of its two."""
    found: dict[str, Callable[[Array], Found]] = {
        "KS at 5 %": kolmogorov_smirnov,
        "PSI > 0.25": psi,
        "CUSUM 0.5, 5": plain_cusum,
    }
    if river:
        sys.path.append(river)
        found |= {"ADWIN": partial(of_river, "ADWIN"), "Page-Hinkley": partial(of_river, "PageHinkley")}
    return found


def beside(world: World, others: dict[str, Callable[[Array], Found]], seed: int) -> dict[str, dict[str, float]]:
    """Other methods at one look: the share of airports that they alarm of where nothing changed, and of the changed
    found in the last of WEEKS. A look is one check of an airport; there are 52 a year."""
    rng = np.random.default_rng([seed, len(world.name), 7])
    quiet = errors(world, LOOKED_AT, rng)
    moved = changed(quiet, rng)
    some = slice(CHANGED, CHANGED + EIGHTY * 4)
    rows = {}
    for name, method in others.items():
        false, true = float(method(quiet[some]).mean()), float(method(moved[:CHANGED]).mean())
        expected = false * (AIRPORTS - CHANGED)
        fdp = expected / max(expected + true * CHANGED, 1e-9)
        rows[name] = {"false_alarms_a_look": false, "power_last_week": true, "fdp": fdp}
    return rows


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(f"{np.mean([row[name] for row in rows]):.4g}") for name in rows[0]}


def repeated(job: Callable[[int], dict[str, float]], times: int, processes: int, what: str) -> dict[str, float]:
    """The mean over repetitions, with a line for every tenth of them."""
    rows = []
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for row in pool.map(job, range(times)):
            rows.append(row)
            if len(rows) % max(times // 10, 1) == 0:
                say(f"{what}: {len(rows)} of {times}: {mean(rows)}")
    return {**mean(rows), "repetitions": times}


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200, help="of the required scenario")
    parser.add_argument("--others", type=int, default=10, help="repetitions in every other world")
    parser.add_argument("--quiet", type=int, default=2, help="repetitions in which nothing changes, in every world")
    parser.add_argument("--weeks", type=int, default=YEAR // 2, help="weekly checks of each of these")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--river", help="a folder to import river from")
    asked = parser.parse_args()
    others = methods(asked.river)
    required = replace(WORLDS[0], name="required")
    result: dict[str, Any] = {
        **{
            f"required, {by}": repeated(partial(discoveries, required, by), times, asked.processes, f"required, {by}")
            for by, times in ((SHIFT, asked.repetitions), (SPREAD, max(asked.repetitions // 10, 1)))
        },
        "worlds": {},
        "others": {},
    }
    for world in WORLDS:
        moved = repeated(partial(discoveries, world, SHIFT), asked.others, asked.processes, world.name)
        quiet = repeated(partial(in_control, world, asked.weeks), asked.quiet, asked.processes, world.name)
        result["worlds"][world.name] = {**moved, **quiet, "repetitions": asked.others}
        result["others"][world.name] = beside(world, others, 0)
        say(f"{world.name}: {result['others'][world.name]}")
    measured.keep("drift", result)


if __name__ == "__main__":
    main()
