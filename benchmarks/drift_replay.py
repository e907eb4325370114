"""Drift on real airports, replayed month by month: what is found, when, and what retraining by it costs and gains.

    france      the French airports of ten years or more, 2017-01 to 2022-12, under policies of retraining: never, all
                every month, quarter or year, those that drifted, and of these with all where the common factor alerts
    closed      each of these airports in turn closed for good in 2018-06, as zeros and as absent rows: how soon it is
                found, under the policy `drifted, all yearly`
    jfk         New York's airports, 1987-01 to 2015-12: the change points that people marked at JFK (annotated in the
                Turing Change Point Dataset; river.drift.datasets.AirlinePassengers has them), found or not

Fits are the project's own (a backtest's: treatment, folds, the fleet's rule, gate, calibrated 80 % intervals), with
four cheap candidates and shocks always bridged; what is published of them follows the policy: an airport that is
retrained between two runs of all takes rule and intervals of the last one. Beyond its 12 months a forecast is carried
on, its interval that of the last step. Actuals are final ones, known at the month's end; shocks are known by the dates
of the default configuration, once they have begun. The error is |actual - forecast| in units of the airport's mean
seasonal naive error before 2017. A fit counts one airport once; the first run, which all share, is not counted.

    python benchmarks/drift_replay.py [--parts france,closed,jfk] [--cache FOLDER] [--processes 2] [--every 1] [--help]

--cache: where fits are kept (1 GB): what is there is not fitted again. --every 5: of the French airports every fifth.
The last line is one JSON object, also kept in benchmarks/results/drift_replay.json, with a chart in docs/pictures. Data
are read from $PAXCAST_SHARED_DATA, by default ../shared/data beside the project.
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import quality
import refitted
from refitted import LOOKED_AT, RULES, Actuals, Fits
from replayed import Policy, Replay

from paxcast.core.columns import AIRPORT, DS
from paxcast.core.drift import feed, residuals, verdicts
from paxcast.core.drift.policy import ALERT, ASKS, ESCALATE
from paxcast.jobs.workspace import Workspace

Array = npt.NDArray[np.float64]
FRENCH, FIRST, LAST, YEARS = "dgac_france_monthly.parquet", "2016-12", "2022-12", 10
COVID, CLOSED, ORLY, REOPENED = "2020-03", "2018-06", "LFPO", "2020-06"
PHASES = {"before": ("2017-01", "2020-02"), "pandemic": ("2020-03", "2021-12"), "after": ("2022-01", "2022-12")}
WITHIN = (2, 3, 4, 6)  # months
LARGE = 5_000  # passengers a month
NEW_YORK, JFK_FIRST, JFK_LAST = "panynj_monthly.parquet", "1986-12", "2015-12"
MARKED = {"2001-09": "10", "2001-12": "6", "2002-03": "8", "2004-03": "9", "2008-11": "9"}  # month: annotator
NEAR = 12  # months after a mark within which an alarm is its own
POLICIES = (
    Policy("never"),
    Policy("all monthly", every=1),
    Policy("all quarterly", every=3),
    Policy("all yearly", every=12),
    Policy("drifted", drifted=True),
    Policy("drifted, all yearly", every=12, drifted=True),
    Policy("drifted, all on alert", drifted=True, alerted=True),
    Policy("drifted, all yearly and on alert", every=12, drifted=True, alerted=True),
)
YEARLY = POLICIES[5]
PICTURE = measured.PROJECT / "docs" / "pictures" / "drift_replay.png"


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet with its fits, and what came. `first`: the month-end of the first run, a place in its months."""

    fits: Fits
    actual: Actuals
    first: int

    def replay(self, of: Policy, until: str = "") -> Replay:
        at = self.actual.months.get_loc(pd.Timestamp(until)) if until else len(self.actual.months) - 1
        return Replay(self.fits, self.actual, of, self.first).run(at)


def fleet_of(ws: Workspace, folder: Path, first: str, last: str, processes: int) -> Fleet:
    """Fit a fleet at every month-end from the first one on; its airports are those that the first run could fit."""
    origins = list(pd.date_range(first, last, freq="MS")[:-1])
    refitted.fitted(ws, folder, origins, processes)
    fits = Fits(ws, folder)
    rows = refitted.observed(ws)
    airports = fits.airports(origins[0])
    count = len(origins) + LOOKED_AT
    over = residuals.cycles(pd.Timestamp(last), "MS", pd.Timestamp(last), count)
    absent = ws.settings.source.absent
    return Fleet(fits, Actuals(airports, over, rows[rows[AIRPORT].isin(airports)], absent), LOOKED_AT - 1)


# --- France


def french(folder: Path, processes: int, every: int) -> Fleet | None:
    path = quality.SHARED / FRENCH
    if not path.exists():
        sys.stderr.write(f"{path} is absent: France is left out\n")
        return None
    table = pd.read_parquet(path, columns=["airport", "date"])
    months = table[pd.to_datetime(table["date"]) <= FIRST].groupby("airport").size()
    airports = tuple(sorted(months[months >= 12 * YEARS].index))[::every]
    folder = folder if every == 1 else folder / f"every{every}"
    ws = quality.real(folder, "dgac", airports, **refitted.settings_of())
    assert ws is not None
    return fleet_of(ws, folder / "dgac", FIRST, LAST, processes)


def france(fleet: Fleet) -> dict[str, Any]:
    """What became of the fleet under every policy."""
    found = {}
    for of in POLICIES:
        done = fleet.replay(of)
        found[of.name] = summary(done, fleet.first)
        say(f"{of.name}: {found[of.name]}")
    months = fleet.actual.months[fleet.first + 1 :]
    faults = {
        f"{m:%Y-%m}": dict(sorted(Counter(f.kind for f in fleet.actual.faults(at)).items()))
        for at, m in enumerate(months, start=fleet.first + 1)
        if fleet.actual.faults(at)
    }
    result = {"airports": len(fleet.actual.airports), "months": len(months), "policies": found, "faults": faults}
    draw(found)
    return result


def summary(done: Replay, first: int) -> dict[str, Any]:
    """Errors and fits of one policy, and what its checks found."""
    actual = done.actual
    off = np.abs(actual.y - done.yhat)[:, first + 1 :] / actual.scale(first)[:, None]
    months = actual.months[first + 1 :]
    phases = {name: (months >= a) & (months <= b) for name, (a, b) in PHASES.items()}
    calm = [check for check in done.checks if actual.months[check.month] < pd.Timestamp(COVID)]
    alerts = [f"{actual.months[c.month]:%Y-%m}" for c in done.checks if c.judged.world.alert]
    tested = sum(v.tested for c in calm for v in c.judged.airports)
    asked = sum(a.action in ASKS for c in calm for a in c.actions.values())
    return {
        "error": round(float(np.nanmean(off)), 4),
        "error_of_airports_median": round(float(np.nanmedian(np.nanmean(off, axis=1))), 4),
        **{f"error_{name}": round(float(np.nanmean(off[:, at])), 4) for name, at in phases.items()},
        "fits": sum(check.fits for check in done.checks),
        "fits_before": sum(check.fits for check in calm),
        "drifted_before": round(sum(v.drifted for c in calm for v in c.judged.airports) / max(tested, 1), 5),
        "acted_on_before": round(asked / max(tested, 1), 5),
        "actions": dict(sorted(Counter(a.action for c in done.checks for a in c.actions.values()).items())),
        "alerts": alerts,
        "false_alerts": [month for month in alerts if month < COVID],
        "orly": closure_found(done, ORLY, "2020-04"),
    }


def closure_found(done: Replay, airport: str, closed: str) -> dict[str, Any]:
    """The first month since a closure in which the airport is said to have drifted; the closure's own is 1."""
    row = done.actual.airports.index(airport) if airport in done.actual.airports else -1
    begin = done.actual.months.get_loc(pd.Timestamp(closed))
    if row < 0:
        return {}
    said = [(c.month, c.judged.airports[row]) for c in done.checks if c.month >= begin]
    first = next((month for month, verdict in said if verdict.drifted), None)
    if first is None:
        return {"found": None, "months": None}
    return {"found": f"{done.actual.months[first]:%Y-%m}", "months": int(first - begin + 1)}


def draw(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Error against fits, a point a policy."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=100, layout="tight")
    axes = figure.add_subplot()
    for name, one in found.items():
        axes.plot(one["fits"], one["error"], "o", color="#0e7490" if "drifted" in name else "#334155")
        beside = (6, -12) if name == "drifted, all yearly" else (6, 4)  # where there is another just above
        axes.annotate(name, (one["fits"], one["error"]), textcoords="offset points", xytext=beside, fontsize=8)
    axes.set_xscale("symlog", linthresh=100)
    axes.set_xlim(left=-5, right=20_000)
    axes.set_xlabel("fits of one airport each, in six years")
    axes.set_ylabel("mean error, in seasonal naive errors")
    axes.grid(color="#e2e8f0")
    FigureCanvasAgg(figure).print_png(str(PICTURE))


# --- closed


def closed(fleet: Fleet) -> dict[str, Any]:
    """In how many months it is found that an airport alone has closed."""
    begin = int(fleet.actual.months.get_loc(pd.Timestamp(CLOSED)))
    done = Replay(fleet.fits, fleet.actual, YEARLY, fleet.first).run(begin - 1)
    y = fleet.actual.y
    nothing = y.copy()
    nothing[:, begin:] = 0.0
    open_before = (y[:, begin - 12 : begin] > 0).sum(axis=1) >= 10
    large = open_before & (y[:, begin - 12 : begin].mean(axis=1) >= LARGE)
    drifted, silent = (np.full(len(y), np.inf) for _ in range(2))
    for months in range(1, max(WITHIN) + 1):
        done.idle()
        usual, shut = done.missed(y), done.missed(nothing)
        for row in np.flatnonzero(open_before & np.isinf(drifted)):
            airport = fleet.actual.airports[row]
            judged = verdicts.judge(done.panel_of({**usual, airport: shut[airport]}), RULES)
            drifted[row] = months if judged.airports[row].drifted else np.inf
        for row in np.flatnonzero(open_before & np.isinf(silent)):
            silent[row] = months if _silent(fleet.actual, done.month, begin, int(row)) else np.inf
        say(f"closed: {months} months, found {np.isfinite(drifted).sum()}, silent {np.isfinite(silent).sum()}")

    def within(found: Array, of: npt.NDArray[np.bool_]) -> dict[str, float]:
        return {str(n): round(float(np.mean(found[of] <= n)), 4) for n in WITHIN}

    return {
        "airports": int(open_before.sum()),
        "drifted_within": within(drifted, open_before),
        "large": int(large.sum()),
        "large_drifted_within": within(drifted, large),
        "silent_within": within(silent, open_before),
    }


def _silent(actual: Actuals, month: int, begin: int, row: int) -> bool:
    """Whether an airport is told of as a fault of the feed, if it has no rows since it closed."""
    rows, airport = actual.rows, actual.airports[row]
    gone = (rows[AIRPORT] == airport) & (rows[DS] >= actual.months[begin])
    known = rows[~gone & (rows[DS] <= actual.months[month])]
    told = feed.faults(known, "MS", actual.absent, actual.months[month], window=RULES.window)
    return any(fault.airport == airport and fault.kind == feed.SILENT for fault in told)


# --- JFK


def new_york(folder: Path, processes: int) -> Fleet | None:
    path = quality.SHARED / NEW_YORK
    if not path.exists():
        sys.stderr.write(f"{path} is absent: New York is left out\n")
        return None
    columns = {"airport": "airport", "date": "date", "value": "passengers", "frequency": "MS", "absent": "missing"}
    folder = folder / "panynj"
    ws = quality.workspace(folder, "panynj", {"path": str(path), **columns}, **refitted.settings_of())
    return fleet_of(ws, folder, JFK_FIRST, JFK_LAST, processes)


def jfk(fleet: Fleet) -> dict[str, Any]:
    """Of each mark, under some policies, after how many months an alarm began: one alarm is one mark's, the last before
    it. Beside that how many marks so many alarms would meet by chance."""
    found: dict[str, Any] = {"airports": list(fleet.actual.airports)}
    row = fleet.actual.airports.index("JFK")
    for of in (POLICIES[3], POLICIES[4], YEARLY):
        done = fleet.replay(of)
        said = [f"{fleet.actual.months[c.month]:%Y-%m}" for c in done.checks if c.judged.airports[row].drifted]
        others = [sum(c.judged.airports[at].drifted for c in done.checks) for at in range(len(fleet.actual.airports))]
        begun = onsets(said)
        found[of.name] = {
            "delays": {mark: delay(mark, begun) for mark in MARKED},
            "begun": len(begun),
            "expected_by_chance": round(sum(1 - (1 - len(begun) / len(done.checks)) ** reach(m) for m in MARKED), 2),
            "drifted": said,
            "months": len(done.checks),
            "drifted_by_airport": dict(zip(fleet.actual.airports, others, strict=True)),
            "retrained": sum(a.action in ASKS for c in done.checks for a in c.actions.values()),
            "escalated": sum(a.action == ESCALATE for c in done.checks for a in c.actions.values()),
            "alerted": sum(a.action == ALERT for c in done.checks for a in c.actions.values()),
        }
        say(f"jfk, {of.name}: {found[of.name]}")
    return found


def onsets(said: Sequence[str]) -> list[str]:
    """The months in which drift was said, and not in the month before."""
    return [month for month in said if str(pd.Period(month, "M") - 1) not in said]


def reach(mark: str) -> int:
    """Months in which an alarm that begins is this mark's: a year, or up to the next mark."""
    gaps = [(pd.Period(other, "M") - pd.Period(mark, "M")).n for other in MARKED]
    return min([NEAR, *(gap for gap in gaps if gap > 0)])


def delay(mark: str, begun: Sequence[str]) -> int | None:
    """Months from a mark to the first alarm that begins within its reach, its own month is 0; None without any."""
    gaps = [(pd.Period(month, "M") - pd.Period(mark, "M")).n for month in begun]
    return min((gap for gap in gaps if 0 <= gap < reach(mark)), default=None)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["france", "closed", "jfk"])
    parser.add_argument("--cache", type=Path, help="a folder for fits: what is there is not fitted again")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--every", type=int, default=1, help="of the French airports every so manyth")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = (asked.cache or Path(scratch)).resolve()
        of_france = {"france": france, "closed": closed}
        if set(asked.parts) & set(of_france):
            fleet = french(folder, asked.processes, asked.every)
            found |= {part: of_france[part](fleet) for part in asked.parts if fleet and part in of_france}
        if "jfk" in asked.parts:
            fleet = new_york(folder, asked.processes)
            found |= {"jfk": jfk(fleet)} if fleet else {}
    measured.keep("drift_replay", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
