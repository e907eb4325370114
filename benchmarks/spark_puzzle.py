"""SparkTrials slower than serial for a random forest, 16 times faster at parallelism 8 for LightGBM: why?

So it was reported in May 2022. Both learners are searched serially and with SparkTrials, the same points on the same
generated data; then each proposed cause is switched, one at a time, and the seconds are compared. LightGBM gets
n_jobs=0, the number of threads that OpenMP says: what n_jobs=-1, then its default, meant in 2022. OpenMP's threads wait
for each other in a loop: with a thread for every core, and something else on a core, each wait may last until the
scheduler's next turn. Spark's workers have OMP_NUM_THREADS=1, a driver has not.

    python benchmarks/spark_puzzle.py [--learners forest,lightgbm] [--evaluations 12] [--rows 3000] [--help]

Part `puzzle` of search_modes.py, which starts it with the caller's own thread limits. The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from hyperopt import SparkTrials, Trials
from processes import age, of_workers
from pyspark.sql import SparkSession
from trials_on_spark import SHORT_POLL, polls, run_in_order, say, session, table

from paxcast.adapters.hyperopt_search.spark_trials import Reading
from paxcast.adapters.spark import THREADS

LEARNERS = {"forest": -1, "lightgbm": 0}  # and how many threads each asks for, as reported
REPORTED = "as reported"
MENDED = "all mended"
MEANS = {"import": "imported", "fit": "fitted"}
BUSY = "beside busy processes"


@dataclass(frozen=True)
class Serial:
    """A way to search in one process. `jobs`: threads, None: as reported; `busy`: beside so many busy processes."""

    jobs: int | None = None
    environment: dict[str, str] = field(default_factory=dict)
    busy: int = 0


@dataclass(frozen=True)
class Parallel:
    """A way to search with SparkTrials. `conf`: on top of Spark's defaults; `queue`: fmin's max_queue_len; `poll`:
    seconds, None: as it is; `kept`: workers are used again; `capped`: parallelism as Spark has it, not as stated."""

    jobs: int | None = None
    conf: tuple[tuple[str, str], ...] = ()
    queue: int = 1
    poll: float | None = None
    kept: bool = False
    broadcast: bool = False
    capped: bool = False


def serial_ways(crowd: int, others: int) -> dict[str, Serial]:
    return {
        REPORTED: Serial(),
        "one thread": Serial(jobs=1),
        f"{crowd} threads": Serial(jobs=crowd),
        "OMP_NUM_THREADS=1": Serial(environment={"OMP_NUM_THREADS": "1"}),
        BUSY: Serial(busy=others),
        f"one thread, {BUSY}": Serial(jobs=1, busy=others),
        f"threads that sleep when they wait, {BUSY}": Serial(environment={"OMP_WAIT_POLICY": "passive"}, busy=others),
    }


def parallel_ways(cores: int) -> dict[str, Parallel]:
    """As reported first; then each cause by itself; then everything mended. Those with one `conf` share a session."""
    omp = (("spark.executorEnv.OMP_NUM_THREADS", str(cores)),)
    return {
        REPORTED: Parallel(),
        "max_queue_len": Parallel(queue=cores),
        "polls off": Parallel(poll=SHORT_POLL),
        "new workers off": Parallel(kept=True),
        "one thread a worker": Parallel(jobs=1),
        "all threads in each worker": Parallel(jobs=-1),
        "data broadcast": Parallel(broadcast=True),
        MENDED: Parallel(jobs=1, queue=cores, poll=SHORT_POLL, kept=True, broadcast=True),
        "worker.reuse=false": Parallel(conf=(("spark.python.worker.reuse", "false"),)),
        "OMP_NUM_THREADS on workers": Parallel(conf=omp),
        "one slot": Parallel(conf=(("spark.master", "local[1]"),)),
        "default.parallelism=1": Parallel(conf=(("spark.default.parallelism", "1"),), capped=True),
    }


@cache
def data(rows: int, columns: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """x: [R, C], y: [R], a few columns with waves and a product, the rest noise."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, columns))
    return x, x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + rng.normal(0, 0.3, rows)


def points(count: int) -> list[dict[str, Any]]:
    """The points of every run: the numbers of trees, and their leaves' least rows."""
    rng = np.random.default_rng(2)
    return [{"trees": int(rng.integers(60, 140)), "leaf": int(rng.integers(2, 20))} for _ in range(count)]


def objective_of(learner: str, jobs: int, tried: list[dict[str, Any]], held: Any) -> Callable[[dict[str, int]], Any]:
    """An objective as people write them, that also says what it took. `held`: the data, or a broadcast of them.

    All of it is inside one function: that goes to Spark's workers as it stands, with nothing else to import there.
    """

    def objective(point: dict[str, int]) -> dict[str, Any]:
        called, begin = age(), time.monotonic()
        from lightgbm import LGBMRegressor
        from sklearn.ensemble import RandomForestRegressor

        imported, chosen = time.monotonic(), tried[int(point["at"])]
        trees, leaf = chosen["trees"], chosen["leaf"]
        if learner == "forest":
            model = RandomForestRegressor(trees, min_samples_leaf=leaf, max_features=0.5, n_jobs=jobs, random_state=1)
        else:
            model = LGBMRegressor(
                n_estimators=2 * trees, min_child_samples=leaf, n_jobs=jobs, random_state=1, verbose=-1
            )
        x, y = held.value if hasattr(held, "value") else held
        half = len(y) // 2
        loss = float(np.mean((model.fit(x[:half], y[:half]).predict(x[half:]) - y[half:]) ** 2))
        took = {"imported": imported - begin, "fitted": time.monotonic() - imported, "age": called, "pid": os.getpid()}
        return {"status": "ok", "loss": loss, "omp": os.environ.get("OMP_NUM_THREADS", ""), **took}

    return objective


def row_of(wall: float, documents: list[dict[str, Any]], asked: argparse.Namespace) -> dict[str, Any]:
    """What a run took: `seconds` for all evaluations, at the pace of those that ended within the limit; its workers,
    and the mean seconds of an import and of a fit."""
    results = [one for one in documents if "fitted" in one]
    if not results:
        return {"evaluations": 0, "seconds": None, "fit": None}
    means = {name: sum(one[key] for one in results) / len(results) for name, key in MEANS.items()}
    seconds = wall * asked.evaluations / len(results)
    row = {"evaluations": len(results), "seconds": round(seconds, 2), **of_workers(results)}
    return {**row, **{name: round(mean, 3) for name, mean in means.items()}, "omp": results[0]["omp"]}


def serially(learner: str, way: Serial, asked: argparse.Namespace) -> dict[str, Any]:
    """In a fresh process, as OpenMP reads its environment when it is loaded."""
    jobs = LEARNERS[learner] if way.jobs is None else way.jobs
    sizes = ["--rows", str(asked.rows), "--evaluations", str(asked.evaluations), "--limit", str(asked.limit)]
    command = [sys.executable, __file__, "--serial", learner, "--jobs", str(jobs), *sizes]
    with busy(way.busy):
        done = subprocess.run(command, env={**os.environ, **way.environment}, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes beside that do nothing but take a core each."""
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in beside:
            process.kill()
            process.wait()


def run_serial(learner: str, jobs: int, asked: argparse.Namespace) -> dict[str, Any]:
    """What `serially` starts: fmin in this process."""
    trials = Trials()
    objective = objective_of(learner, jobs, points(asked.evaluations), data(asked.rows))
    wall = run_in_order(objective, asked.evaluations, trials, limit=asked.limit)
    row = row_of(wall, trials.results, asked)
    return {name: value for name, value in row.items() if name not in ("workers", "worker_start")}


def in_parallel(live: SparkSession, learner: str, way: Parallel, asked: argparse.Namespace) -> dict[str, Any]:
    jobs = LEARNERS[learner] if way.jobs is None else way.jobs
    held = live.sparkContext.broadcast(data(asked.rows)) if way.broadcast else data(asked.rows)
    objective = objective_of(learner, jobs, points(asked.evaluations), held)
    slots = None if way.capped else asked.cores
    trials = SparkTrials(parallelism=slots, spark_session=Reading(live) if way.kept else live)
    with polls(way.poll):
        wall = run_in_order(objective, asked.evaluations, trials, way.queue, asked.limit)
    return row_of(wall, trials.results, asked)


def all_parallel(learner: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Every way with SparkTrials; those that share settings in one session. Kept workers are not there before."""
    found: dict[str, Any] = {}
    own = tuple(f"spark.executorEnv.{name}" for name in THREADS)  # as Spark has them by itself
    sessions: dict[tuple[Any, str], dict[str, Parallel]] = {}
    for name, way in parallel_ways(asked.cores).items():
        if way.jobs != LEARNERS[learner]:  # else it is as reported
            sessions.setdefault((way.conf, name if way.kept else ""), {})[name] = way
    for (conf, _), ways in sessions.items():
        with session(f"local[{asked.cores}]", dict(conf), without=own) as live:
            run_in_order(lambda _point: {"status": "ok", "loss": 0.0}, 2, SparkTrials(2, spark_session=live))
            found |= {name: in_parallel(live, learner, way, asked) for name, way in ways.items()}
    return found


def judged(serial: dict[str, Any], parallel: dict[str, Any], cores: int) -> dict[str, Any]:
    """A learner's seconds, how many times as fast as serial SparkTrials is, and the seconds that each switch gains.

    By fits only: the mean seconds of a fit, with as many at a time as there are slots; no start, import or poll.
    """
    alone, spread, crowded = serial[REPORTED], parallel[REPORTED], serial[BUSY]
    return {
        "seconds_serial": alone["seconds"],
        "seconds_parallel": spread["seconds"],
        "times_as_fast": _times(alone, spread),
        "times_as_fast_as_beside_busy_processes": _times(crowded, spread),
        "times_as_fast_one_thread_each_and_mended": _times(serial["one thread"], parallel[MENDED]),
        "times_as_fast_fits_only": _times(alone, spread, "fit", cores),
        "times_as_fast_as_beside_busy_processes_fits_only": _times(crowded, spread, "fit", cores),
        "import_seconds": round(spread.get("import", 0.0) * spread["evaluations"] / cores, 2),
        "gained_serial": {name: _gained(alone, row) for name, row in serial.items() if row is not alone},
        "gained_parallel": {name: _gained(spread, row) for name, row in parallel.items() if row is not spread},
        "serial": serial,
        "parallel": parallel,
    }


def _times(one: dict[str, Any], other: dict[str, Any], of: str = "seconds", factor: int = 1) -> float | None:
    return round(factor * one[of] / other[of], 3) if one[of] and other[of] else None


def _gained(reported: dict[str, Any], row: dict[str, Any]) -> float | None:
    return round(reported["seconds"] - row["seconds"], 2) if reported["seconds"] and row["seconds"] else None


def tell(learner: str, found: dict[str, Any], cores: int) -> None:
    """A table of all runs, how SparkTrials compares, whether it is odd, and the switches that change most."""
    say(
        f"{learner}\n" + table({f"{m}, {n}": row for m in ("serial", "parallel") for n, row in found[m].items()}),
        *(
            f"{name.replace('_', ' ')}: {value}{_odd(value, cores)}"
            for name, value in found.items()
            if name.startswith("times")
        ),
        *(f"{mode}: seconds gained by {_largest(found[f'gained_{mode}'])}" for mode in ("serial", "parallel")),
    )


def _odd(times: float | None, cores: int) -> str:
    if times is None:
        return " (no evaluation ended within the limit)"
    return ", slower in parallel" if times < 1 else f", more than the {cores} slots" if times > cores else ""


def _largest(gained: dict[str, float | None], count: int = 4) -> str:
    known = sorted(((s, name) for name, s in gained.items() if s is not None), key=lambda of: -abs(of[0]))
    return ", ".join(f"{name} {seconds:+.1f}" for seconds, name in known[:count])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--learners", type=lambda text: text.split(","), default=list(LEARNERS))
    parser.add_argument("--cores", type=int, default=2, help="Spark's slots, and SparkTrials' parallelism")
    parser.add_argument("--crowd", type=int, default=8, help="threads of a serial search that has more than cores")
    parser.add_argument("--rows", type=int, default=6000, help="half of them to fit on")
    parser.add_argument("--evaluations", type=int, default=12)
    parser.add_argument("--busy", type=int, help="busy processes beside a serial search; by default as many as cores")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds for one run, which is then cut short")
    parser.add_argument("--serial", help="only this learner in this process, and nothing else")
    parser.add_argument("--jobs", type=int, default=1, help="with --serial: its threads")
    asked = parser.parse_args()
    if asked.serial:
        found: dict[str, Any] = run_serial(asked.serial, asked.jobs, asked)
    else:
        found = {}
        for learner in asked.learners:
            ways = serial_ways(asked.crowd, asked.busy or asked.cores)
            serial = {name: serially(learner, way, asked) for name, way in ways.items()}
            found[learner] = judged(serial, all_parallel(learner, asked), asked.cores)
            tell(learner, found[learner], asked.cores)
    sys.stdout.write(json.dumps(found, sort_keys=True, allow_nan=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
