"""What an evaluation found: its tables, the findings that follow from them, and the page that shows them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paxcast.adapters import html_report
from paxcast.adapters.html_report import Figure, Sheet
from paxcast.core import backtesting, behaviour, calendar, curves, expectations, findings
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.composition import Evaluation
from paxcast.core.curves import Traits
from paxcast.core.findings import Finding
from paxcast.jobs import baselines
from paxcast.jobs.backtest import BASELINES, LookBack
from paxcast.jobs.status import records

PAXCAST = "paxcast"
WITHOUT = {
    baselines.LAST_RELEASE: "no release was in force at these origins",
    baselines.FILE: "no --baseline was given",
}
OF_INTERVALS = ["pinball", "covered80", "covered95"]
Found = Mapping[str, Mapping[str, Any]]  # by airport, what the examiner kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """What an evaluation found. `tables`: by name, for the page, and for whoever wants the numbers behind a finding."""

    fleet: str
    as_of: str
    airports: tuple[str, ...]
    origins: tuple[str, ...]
    horizon: int
    rule: str
    shared: str = ""  # whose rule, intervals and fleet's model these are
    examined_without: tuple[str, ...] = ()  # candidates that compete, but not in the examined forecast
    findings: tuple[Finding, ...]
    tables: Mapping[str, pd.DataFrame]

    def as_json(self) -> dict[str, Any]:
        return {
            "fleet": self.fleet,
            "as_of": self.as_of,
            "airports": list(self.airports),
            "origins": list(self.origins),
            "horizon": self.horizon,
            "rule": self.rule,
            "shared": self.shared,
            "examined_without": list(self.examined_without),
            "findings": [finding.as_json() for finding in self.findings],
            "tables": {name: records(table) for name, table in self.tables.items()},
        }


def judged(
    tables: Mapping[str, pd.DataFrame], failed: Mapping[str, str], code: str, schedule: str, memory_mb: int
) -> tuple[Finding, ...]:
    """Every check, in the order of the page. failed: the airports that could not be examined, with the reason."""
    airports, of = tables["airports"], tables["baselines"].set_index("baseline")
    spent = airports.dropna(subset="cpu_seconds")
    return (
        expectations.all_examined(len(airports), failed),
        *(expectations.better(str(n), of.loc[n].to_dict(), *([WITHOUT[n]] if n in WITHOUT else [])) for n in of.index),
        *expectations.calibrated(tables["calibration"]),
        expectations.no_slice_left_behind(tables["slices"]),
        *behaviour.findings(tables["behaviour"]),
        expectations.more_history_helps(tables["learning"]),
        expectations.fresh_enough(tables["staleness"], schedule, code),
        expectations.cheap_enough(spent["cpu_seconds"].tolist(), code),
        expectations.small_enough(spent["memory_mb"].tolist(), memory_mb),
    )


# --- tables


def errors(rows: pd.DataFrame) -> pd.DataFrame:
    """As `backtesting.errors`; of forecasts without intervals those of the intervals are NaN."""
    found = backtesting.errors(rows)
    blank = rows[rows["lo80"].isna() | rows["lo95"].isna()][[AIRPORT, "origin", "method"]].drop_duplicates()
    without = found.merge(blank.assign(blank=True), on=[AIRPORT, "origin", "method"], how="left")["blank"].notna()
    return found.assign(**{name: found[name].mask(without.to_numpy()) for name in OF_INTERVALS})


def plain_scale(rows: pd.DataFrame) -> pd.DataFrame:
    """The scale as one number, the seasonal naive error; backtests carry a second one for squares."""
    return rows.assign(scale=[float(scale[0]) for scale in rows["scale"]])


def beside(rows: pd.DataFrame) -> pd.DataFrame:
    """The published forecast beside each baseline, on the periods that both forecast."""
    names = [*BASELINES, baselines.LAST_RELEASE, baselines.FILE]
    return pd.DataFrame([{"baseline": name, **curves.against(rows, name, PAXCAST)} for name in names])


def methods(errors: pd.DataFrame, newest: Mapping[str, Evaluation], found: Found) -> pd.DataFrame:
    """Each method's accuracy, with its loss in the folds of the newest origin and its CPU seconds an airport."""
    table = backtesting.table(errors)
    table = table[table["slice"] == "all"].drop(columns="slice")
    losses = pd.DataFrame([_losses(airport) for airport in newest.values()]).mean()
    spent = [{**values["cost"], PAXCAST: values["cost"]["all"]} for values in found.values()]
    costs = (
        pd.DataFrame(spent, dtype=float).fillna(0.0).mean()
    )  # a candidate left out at an airport costs nothing there
    published = [values["cv_mase"] for values in found.values() if values["cv_mase"] is not None]
    losses[PAXCAST] = float(np.mean(published)) if published else np.nan
    told = table.assign(fold_mase=table["method"].map(losses), cpu_seconds=table["method"].map(costs))
    return told.sort_values("mase", ignore_index=True)


def _losses(airport: Evaluation) -> dict[str, float]:
    if airport.folds is None:
        return {}
    return dict(zip(airport.candidates, airport.folds.errors().mean(axis=1).tolist(), strict=True))


def behaviour_rows(found: Found) -> pd.DataFrame:
    """Columns airport, variant, value: what each change of its history did to an airport's forecast."""
    rows = [(a, variant, value) for a, values in found.items() for variant, value in values["behaviour"].items()]
    return pd.DataFrame(rows, columns=[AIRPORT, "variant", "value"]).astype({"value": float})


def learnt(found: Found, published: pd.DataFrame) -> pd.DataFrame:
    """Columns airport, years, mase. published: the rows of the published forecast from the newest origin, with y."""
    rows = []
    for airport, steps in published.sort_values(DS).groupby(AIRPORT):
        y, scale = steps[Y].to_numpy(dtype=np.float64), float(steps["scale"].iloc[0])
        if np.isfinite(y).all() and scale > 0:
            for years, forecast in found.get(str(airport), {}).get("learning", {}).items():
                rows.append((airport, int(years), float(np.mean(np.abs(y - np.array(forecast)))) / scale))
    return pd.DataFrame(rows, columns=[AIRPORT, "years", "mase"]).astype({"years": int, "mase": float})


def longer(found: Found, code: str) -> pd.DataFrame:
    """Columns airport, origin, ds, yhat: what was published from each origin, carried on beyond its horizon."""
    frames = [
        pd.DataFrame(
            {
                AIRPORT: airport,
                "origin": pd.Timestamp(origin),
                DS: calendar.next_periods(pd.Timestamp(origin), len(values), code),
                "yhat": values,
            }
        )
        for airport, kept in found.items()
        for origin, values in kept["longer"].items()
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[AIRPORT, "origin", DS, "yhat"])


def by_airport(errors: pd.DataFrame, traits: Mapping[str, Traits], found: Found) -> pd.DataFrame:
    """One row an airport: what it is like, its errors over all origins, what it took."""
    means = errors.groupby(["method", AIRPORT])["mase"].mean()
    rows = []
    for airport, trait in sorted(traits.items()):
        kept = found.get(airport, {})
        rows.append(
            {
                AIRPORT: airport,
                "level": trait.level,
                "seasonality": trait.seasonality,
                "years": trait.years,
                "recovery": trait.recovery,
                "country": trait.country,
                "mase": means.get((PAXCAST, airport)),
                "mase_naive": means.get(("seasonal_naive", airport)),
                "fold_mase": kept.get("cv_mase"),
                "cpu_seconds": kept.get("cost", {}).get("all"),
                "memory_mb": kept.get("memory_mb"),
            }
        )
    return pd.DataFrame(rows).astype({name: float for name in ("mase", "mase_naive", "cpu_seconds", "memory_mb")})


def steps(looks: Sequence[LookBack], rows: pd.DataFrame) -> pd.DataFrame:
    """The published forecasts with half the width of their intervals at every level: what `calibration` takes."""
    frames = []
    for look in looks:
        halves = curves.half_widths(list(look.airports.values()), list(look.published.values()))
        for airport, half in zip(look.airports, halves, strict=True):
            assert half is not None  # every airport has a published forecast
            ds = pd.to_datetime(look.results[airport].ds)
            for level, widths in zip(curves.LEVELS, half, strict=True):
                one = pd.DataFrame({AIRPORT: airport, "origin": look.origin, DS: ds, "level": level, "half": widths})
                frames.append(one)
    published = rows[rows["method"] == PAXCAST][[AIRPORT, "origin", DS, Y, "yhat"]]
    return pd.concat(frames, ignore_index=True).merge(published, on=[AIRPORT, "origin", DS])


# --- the page


def write(result: Evaluated, out: Path) -> Path:
    """The page with its script, and evaluation.json, in a folder; where the page is."""
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.as_json(), indent=1, allow_nan=False, default=str)
    (out / "evaluation.json").write_text(text + "\n", encoding="utf-8")
    (out / html_report.SCRIPT_NAME).write_text(html_report.script(), encoding="utf-8")
    page = out / "index.html"
    page.write_text(html_report.sheet(_sheet(result)), encoding="utf-8")
    return page


def _sheet(result: Evaluated) -> Sheet:
    verdict = {True: "passed", False: "failed", None: findings.UNKNOWN}
    checks = [{**f.as_json(), "passed": verdict[f.passed]} for f in result.findings]
    return Sheet(
        title=f"{result.fleet}: evaluation as of {result.as_of}",
        summary=(
            f"{len(result.airports)} airports, {result.horizon} periods ahead from {len(result.origins)} origins, "
            f"{result.origins[0]} to {result.origins[-1]}; rule {result.rule}.",
            *([result.shared] if result.shared else []),
            findings.tally(result.findings),
            *_without(result.examined_without),
        ),
        tables={"checks": checks, **{name: records(t) for name, t in result.tables.items() if name != "behaviour"}},
        figures=_figures(result.tables),
    )


def shared_by(airports: int, whole: bool) -> str:
    """Whose rule, intervals and fleet's model an evaluation is of: what publishes has those of all airports."""
    if whole:
        return f"Rule, intervals and the fleet's model are those of the whole fleet, {airports} airports."
    return (
        f"Rule, intervals and the fleet's model are those of these {airports} airports: the whole fleet, which is too "
        "large to run for an evaluation, may have others."
    )


def _without(candidates: Sequence[str]) -> list[str]:
    """What the checks on changed histories did not see."""
    if not candidates:
        return []
    return [
        f"Examined without {', '.join(candidates)}: behaviour, learning, staleness and cost are of what the other "
        "candidates forecast together. A model of the whole fleet is not trained anew for each changed history."
    ]


def _figures(tables: Mapping[str, pd.DataFrame]) -> Sequence[Figure]:
    held, aged, cut, made = (tables[name] for name in ("calibration", "staleness", "learning", "methods"))
    whole = [f"{years:g}" if years else "all" for years in cut.sort_values("years", key=_all_last)["years"]]
    in_order = cut.sort_values("years", key=_all_last)
    sizes = tables["slices"]
    changed = tables["behaviour"]
    noise = changed[changed["variant"].str.startswith("noise")]
    return (
        Figure("Calibration", "should hold", "holds", {"measured": (held["level"], held["coverage"])}, diagonal=True),
        Figure("Staleness", "age, periods", "error against a fresh model's", {"ratio": (aged["age"], aged["ratio"])}),
        Figure("Learning", "years of history", "MASE", {
            "only so many": (whole, in_order["mase"]), "all, same airports": (whole, in_order["mase_all"]),
        }),
        Figure("Slices", "slice", "error against seasonal naive's", {
            "ratio": (sizes["slice"] + ": " + sizes["value"], sizes["ratio"]),
        }, kind="bar"),
        Figure("Noise", "noise in the last year", "median change of the forecast", {
            "airports": (noise["variant"], noise["value"]),
        }, kind="box"),
        Figure("Cost and error", "CPU seconds an airport", "MASE", {
            str(row.method): ([row.cpu_seconds], [row.mase]) for row in made.dropna(subset="cpu_seconds").itertuples()
        }, kind="markers"),
    )  # fmt: skip


def _all_last(years: "pd.Series[float]") -> "pd.Series[float]":
    return years.astype(float).where(years > 0, np.inf)
