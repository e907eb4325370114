"""What is expected of a fleet's forecasts, and whether the curves of an evaluation show it: a finding for each."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from paxcast.core import curves
from paxcast.core.findings import Finding, percent, unmeasured

COVERAGE = {0.80: (0.78, 0.82), 0.95: (0.93, 0.97)}
WORST_SLICE = 1.02  # of seasonal naive's error
FEWEST_AIRPORTS = 3  # of a slice that is judged
LEARNING = 1.05  # of the best shorter history's error
STALE = 0.05  # how much worse than a fresh one a model may become before it is retrained
CPU_SECONDS = 2.0  # an airport, monthly data, all candidates
SHOWN_AGES = (1, 3, 6, 12)
DAYS = {"daily": 1.0, "weekly": 7.0, "monthly": 30.4375}
PERIOD_DAYS = {"D": 1.0, "W": 7.0, "MS": 30.4375}


def better(name: str, found: Mapping[str, float], why_not: str = "it forecast none of these periods") -> Finding:
    """Against one baseline. found: what `curves.against` gave."""
    check, expected = f"against {name}", f"a lower MASE than {name}'s, on the same periods"
    if not found["n"]:
        return unmeasured(check, expected, why_not)
    measured = (
        f"{found['mase']:.3f} against {found['other']:.3f} ({found['ratio']:.3f} of it), closer in "
        f"{percent(found['better'], 0)} of {int(found['n'])} airport-origins"
    )
    return Finding(check, expected, measured, found["mase"] < found["other"])


def calibrated(table: pd.DataFrame) -> list[Finding]:
    """The two intervals that are published. table: of `curves.calibration`."""
    shares, counts = (table.set_index("level")[name].to_dict() for name in ("coverage", "n"))
    found = []
    for level, (low, high) in COVERAGE.items():
        check, expected = f"{100 * level:g} % interval", f"holds {percent(low, 0)} to {percent(high, 0)} of actuals"
        if level not in shares:
            found.append(unmeasured(check, expected, "no actual of a forecast is known"))
            continue
        share = float(shares[level])
        found.append(Finding(check, expected, f"{percent(share)} of {counts[level]}", low <= share <= high))
    return found


def no_slice_left_behind(table: pd.DataFrame) -> Finding:
    """Against seasonal naive, in each slice with a few airports. table: of `curves.by_slice`."""
    expected = f"no slice of {FEWEST_AIRPORTS} airports more than 2 % worse than seasonal naive"
    judged = table[(table["airports"] >= FEWEST_AIRPORTS) & table["ratio"].notna()]
    if judged.empty:
        return unmeasured("slices", expected, "no slice has so many airports")
    worst = judged.sort_values("ratio", kind="stable").iloc[-1]
    behind = judged[judged["ratio"] > WORST_SLICE]
    where = f"; beyond: {', '.join(behind['slice'] + ' ' + behind['value'])}" if len(behind) else ""
    measured = f"the worst of {len(judged)}, {worst['slice']} {worst['value']}, {worst['ratio']:.3f} of it{where}"
    return Finding("slices", expected, measured, behind.empty)


def more_history_helps(table: pd.DataFrame) -> Finding:
    """Whether all the history is used well. table: of `curves.learning`."""
    expected = "with all its history a model is at most 5 % worse than with the last years of it"
    shorter = table[(table["years"] > 0) & table["ratio"].notna()]
    if shorter.empty:
        return unmeasured("learning curve", expected, "no history is long enough to be cut")
    told = [f"{row.years:g} years {row.ratio:.3f} ({row.airports} airports)" for row in shorter.itertuples()]
    measured = f"error against that with all the history: {', '.join(told)}"
    return Finding("learning curve", expected, measured, bool((shorter["ratio"] >= 1 / LEARNING).all()))


def fresh_enough(table: pd.DataFrame, schedule: str, frequency: str) -> Finding:
    """Whether the fleet is retrained as often as its models age. table: of `curves.staleness`.

    Just before it is retrained a model is as old as its schedule is long, in periods; between two ages the error is
    taken to grow evenly.
    """
    cadence = DAYS[schedule] / PERIOD_DAYS[frequency]
    expected = (
        f"retrained {schedule}: a model {cadence:.2g} periods old is at most {percent(STALE, 0)} worse than a fresh one"
    )
    known = table[table["ratio"].notna()]
    if known.empty or known["age"].max() < cadence:
        return unmeasured("staleness", expected, "there are no two origins so far apart with known actuals")
    at = float(np.interp(cadence, known["age"], known["ratio"]))
    told = [f"{row.age} old: {row.ratio:.3f}" for row in known[known["age"].isin(SHOWN_AGES)].itertuples()]
    measured = (
        f"{cadence:.2g} old: {at:.3f} of its error; {', '.join(told)}; "
        f"within {percent(STALE, 0)} up to {curves.keeps(known, STALE)} periods old"
    )
    return Finding("staleness", expected, measured, at <= 1 + STALE)


def cheap_enough(cpu_seconds: Sequence[float], frequency: str) -> Finding:
    """CPU seconds of each airport, all candidates."""
    expected = f"at most {CPU_SECONDS:g} CPU seconds an airport" if frequency == "MS" else "recorded"
    if not len(cpu_seconds):
        return unmeasured("speed", expected, "no airport was examined")
    mean = float(np.mean(cpu_seconds))
    measured = f"{mean:.2f} on average, {max(cpu_seconds):.2f} at most"
    return Finding("speed", expected, measured, mean <= CPU_SECONDS or frequency != "MS")


def small_enough(peak_mb: Sequence[float], limit_mb: int) -> Finding:
    """The largest resident memory of any process, MiB, against the limit of a worker."""
    expected = f"below worker_memory_mb, {limit_mb}" if limit_mb else "recorded"
    if not len(peak_mb):
        return unmeasured("memory", expected, "no airport was examined")
    return Finding("memory", expected, f"{max(peak_mb):.0f} MiB", not limit_mb or max(peak_mb) < limit_mb)


def all_examined(asked: int, failed: Mapping[str, str]) -> Finding:
    """Whether every airport of the sample could be examined. failed: by airport, why not."""
    first = f"; the first, {min(failed)}: {failed[min(failed)]}" if failed else ""
    return Finding("examined", "every airport of the sample", f"{asked - len(failed)} of {asked}{first}", not failed)
