"""What people use for drift, on the errors of real forecasts, beside Paxcast: alarms in quiet years, closures found.

The French airports of `drift_replay.py` under its policy `drifted, all yearly`, month by month. Every method sees the
same residuals of an airport: those of the last 8 months against those before, or, where it is made for streams, all in
order (the methods of `drift.py`, with --river ADWIN and Page-Hinkley too).

    quiet       2017-01 to 2020-02: the share of airports and months that alarm; some of it is real change
    closed      each airport in turn closed for good in 2018-06, zeros delivered: the share found by the third month

    python benchmarks/drift_real.py [--cache FOLDER] [--river FOLDER] [--processes 2] [--help]

--cache: the fits of `drift_replay.py`, or where to keep them. The last line is one JSON object, also kept in
benchmarks/results/drift_real.json.
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import drift as simulated
import numpy as np
import numpy.typing as npt
import pandas as pd
from drift_replay import CLOSED, COVID, YEARLY, Fleet, french, say
from refitted import RULES, Actuals, Fits
from replayed import Policy, Replay

from paxcast.core.drift import verdicts
from paxcast.core.drift.verdicts import Judged

Array = npt.NDArray[np.float64]
Method = Callable[[Array], npt.NDArray[np.bool_]]
PAXCAST, BY = "Paxcast", 3  # months


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="a folder for fits: what is there is not fitted again")
    parser.add_argument("--river", help="a folder to import river from")
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    methods = simulated.methods(asked.river)
    with tempfile.TemporaryDirectory() as scratch:
        fleet = french((asked.cache or Path(scratch)).resolve(), asked.processes, 1)
        if fleet is None:
            return 1
        found = {"quiet": quiet(fleet, methods), "closed": closed(fleet, methods)}
    measured.keep("drift_real", found)
    return 0


def quiet(fleet: Fleet, methods: Mapping[str, Method]) -> dict[str, float]:
    """By method the share of airports and months before the pandemic that alarm, of those that Paxcast tests."""
    last = int(fleet.actual.months.get_loc(pd.Timestamp(COVID))) - 1
    done = Watched(fleet.fits, fleet.actual, YEARLY, fleet.first)
    done.run(last)
    alarms, looks = dict.fromkeys((PAXCAST, *methods), 0), 0
    for check, residual in zip(done.checks, done.residuals, strict=True):
        tested = [v.tested for v in check.judged.airports]
        looks += sum(tested)
        alarms[PAXCAST] += sum(v.drifted for v in check.judged.airports)
        for row in residual[tested]:
            for name, alarmed in seen(methods, row).items():
                alarms[name] += alarmed
    shares = {name: round(count / looks, 4) for name, count in alarms.items()}
    say(f"quiet: {shares}")
    return {"looks": looks, **shares}


class Watched(Replay):
    """A replay that keeps what its checks judged: the airports' residuals, [A, T] a month."""

    def __init__(self, fits: Fits, actual: Actuals, of: Policy, first: int) -> None:
        self.residuals: list[Array] = []
        super().__init__(fits, actual, of, first)

    def _judge(self) -> Judged:
        self.residuals.append(self.panel(self.actual.y).residual)
        return super()._judge()


def closed(fleet: Fleet, methods: Mapping[str, Method]) -> dict[str, float]:
    """By method the share of closed airports that are told by the third month."""
    begin = int(fleet.actual.months.get_loc(pd.Timestamp(CLOSED)))
    done = Replay(fleet.fits, fleet.actual, YEARLY, fleet.first).run(begin - 1)
    y = fleet.actual.y
    nothing = y.copy()
    nothing[:, begin:] = 0.0
    rows = np.flatnonzero((y[:, begin - 12 : begin] > 0).sum(axis=1) >= 10)
    found = {name: np.zeros(len(y), dtype=bool) for name in (PAXCAST, *methods)}
    for _ in range(BY):
        done.idle()
        usual, shut = done.missed(y), done.missed(nothing)
        residual = done.panel_of(shut).residual
        for row in rows:
            airport = fleet.actual.airports[row]
            judged = verdicts.judge(done.panel_of({**usual, airport: shut[airport]}), RULES)
            found[PAXCAST][row] |= judged.airports[row].drifted
            for name, alarmed in seen(methods, residual[row]).items():
                found[name][row] |= alarmed
    shares = {name: round(float(told[rows].mean()), 4) for name, told in found.items()}
    say(f"closed: {shares}")
    return {"airports": len(rows), **shares}


def seen(methods: Mapping[str, Method], row: Array) -> dict[str, bool]:
    """What each method says of one airport's residuals, without the months that have none."""
    values = row[np.isfinite(row)][None, :]
    return {name: bool(method(values)[0]) for name, method in methods.items()}


if __name__ == "__main__":
    sys.exit(main())
