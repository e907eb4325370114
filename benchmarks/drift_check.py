"""How long one drift check of a large fleet takes, and how much memory: `paxcast drift`, with two years of releases.

A made-up fleet of `--airports` airports by week, noise about a level, ingested as users do it. Forty are tuned and
released by the project's own line; the others get their outcomes under their own codes, and each of the `--releases`
weeks before gets a release of the whole fleet, whose forecasts (13 weeks each, made up) are in the table `forecasts`.
60 airports are higher from eight weeks ago on. Two checks are timed, a week apart: of the second the first is the past.
The last line is one JSON object, also kept in benchmarks/results/drift_check.json.

    python benchmarks/drift_check.py [--airports 3000] [--releases 104] [--help]
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import logging
import resource
import sys
import tempfile
import time
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from paxcast.core import calendar
from paxcast.core.identity import bucket
from paxcast.core.release import Entry, Release
from paxcast.jobs import drift, ledger, releases, retrain
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

WEEKS, HORIZON, CHANGED, SINCE, TUNED = 208, 13, 60, 8, 40
MONDAYS = pd.date_range("2020-01-06", periods=WEEKS, freq="W-MON")
NOW = pd.Timestamp("2024-01-02", tz="UTC")
HOURS = pd.Timedelta(hours=6)  # after a week has ended


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--airports", type=int, default=3000)
    asked.add_argument("--releases", type=int, default=104)
    wanted = asked.parse_args()
    for name in ("mlflow", "alembic", "paxcast"):
        logging.getLogger(name).setLevel(logging.WARNING)
    codes = [f"A{i:04d}" for i in range(wanted.airports)]
    with tempfile.TemporaryDirectory() as folder:
        ws = fleet(Path(folder), codes)
        ingest(ws, NOW)
        released(ws, codes, wanted.releases)
        days = [MONDAYS[-1] + pd.Timedelta(days=7 * k) + HOURS for k in (0, 1)]
        found = [checked(ws, day.tz_localize("UTC")) for day in days]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rows = wanted.airports * wanted.releases * HORIZON
    shape = {"airports": wanted.airports, "releases": wanted.releases, "forecast_rows": rows}
    measured.keep("drift_check", {**shape, "first": found[0], "second": found[1], "peak_gb": round(memory, 2)})
    return 0


def fleet(folder: Path, codes: list[str]) -> Workspace:
    """A fleet file and its data in a folder."""
    table = pd.DataFrame(actuals(len(codes)), index=codes, columns=MONDAYS.strftime("%Y-%m-%d"))
    long = table.rename_axis("airport").reset_index().melt("airport", var_name="date", value_name="passengers")
    long.to_csv(folder / "weeks.csv", index=False)
    content = {
        "source": {"kind": "file", "path": "weeks.csv", "frequency": "W"},
        "candidates": ["seasonal_naive", "window_average"],
        "search": {"mode": "local"},
        "store": "store",
        "mlflow": {"tracking_uri": f"sqlite:///{folder}/mlflow.db"},
    }
    path = folder / "weekly.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return open_workspace(load(path))


def actuals(airports: int) -> np.ndarray:
    """[A, WEEKS] passengers; the first CHANGED airports are higher in the last SINCE weeks."""
    values = 10_000 + 500 * np.random.default_rng(1).standard_normal((airports, WEEKS))
    values[:CHANGED, -SINCE:] += 1_500
    return np.round(values)


def released(ws: Workspace, codes: list[str], count: int) -> None:
    """As many weekly releases of the whole fleet, the newest of all whose first forecast has an actual."""
    first = [(MONDAYS[-k] + HOURS).tz_localize("UTC") for k in range(count, 0, -1)]
    retrain.retrain(ws, Request(as_of=first[-1], airports=tuple(codes[-TUNED:]), request_id="some"), NOW)
    real = releases.in_force(ws, first[-1])
    if real is None or len(real.entries) != TUNED:
        raise RuntimeError("not all airports could be tuned")
    results = [ledger.load(ws.objects, e.outcome_key, e.airport, e.checksum) for e in real.entries]
    template = ws.tables.read("forecasts", [("run_key", "=", real.entries[0].run_key)])
    for as_of in first:
        key = f"{ws.fleet}-{as_of:%Y%m%dT%H%M%S}-made-up"
        own = {"run_key": key, "as_of": calendar.as_of_text(as_of)}
        entries = tuple(
            replace(like, airport=code, model=f"{ws.fleet}.{code}", **own)
            for code, like in zip(codes, cycle(real.entries), strict=False)
        )
        publish(ws, as_of, key, entries, template)
        if as_of in first[-2:]:  # one of these is in force at a check
            for entry, result in zip(entries, cycle(results), strict=False):
                ledger.record(ws.objects, replace(result, airport=entry.airport, run_key=key))


def publish(ws: Workspace, as_of: pd.Timestamp, key: str, entries: tuple[Entry, ...], template: pd.DataFrame) -> None:
    """Forecasts and release of one week, in the order in which the line writes them."""
    text = calendar.as_of_text(as_of)
    codes = [e.airport for e in entries]
    days = pd.date_range(as_of.tz_localize(None).normalize(), periods=HORIZON, freq="W-MON")
    rows = template.iloc[np.tile(np.arange(HORIZON) % len(template), len(codes))].reset_index(drop=True)
    rows = rows.assign(
        airport=np.repeat(codes, HORIZON),
        bucket=np.repeat([bucket(code) for code in codes], HORIZON),
        checksum=np.repeat([e.checksum for e in entries], HORIZON),
        run_key=key,
        as_of=text,
        ds=np.tile(days, len(codes)),
        yhat=10_000.0,
        lo80=10_000.0 - 641,
        hi80=10_000.0 + 641,
    )
    ws.tables.append("forecasts", rows)
    release = Release(
        release_id=f"{key}-0", fleet=ws.fleet, as_of=text, run_key=key, previous=None, entries=entries
    )  # fmt: skip
    releases.keep(ws, release, as_of, backfill=False)
    releases.published(ws, release)
    releases.make_current(ws, release)


def checked(ws: Workspace, as_of: pd.Timestamp) -> dict[str, float]:
    """Seconds of one check, and what it found."""
    began = time.monotonic()
    with measured.cpu() as cpu:
        found = drift.check(ws, as_of)
    seconds = time.monotonic() - began
    sys.stdout.write(f"{found.as_of}: {found.counts} in {seconds:.1f} s\n")
    return {
        "seconds": round(seconds, 1),
        "cpu": round(cpu.seconds, 1),
        "drifted": found.counts["drifted"],
        "tested": found.counts["tested"],
    }


if __name__ == "__main__":
    sys.exit(main())
