"""Report: totals, the worst airports, the page of charts; red only above the fleet's `max_failed_share`."""

import json
import logging
from dataclasses import asdict, dataclass

import pandas as pd

from paxcast.adapters import html_report
from paxcast.adapters.html_report import Chart
from paxcast.adapters.mlflow_registry import Registry
from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.errors import TooManyFailed
from paxcast.core.manifest import Manifest
from paxcast.jobs import decide, histories, ledger, plan
from paxcast.jobs.status import records
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.report")
MOST_CHARTS = 200
WORST = 20  # airports in the table of the worst
QUANTILES = (10, 50, 90)
WITHHELD = "do not publish"  # the confidence of a forecast that is not shown (core/intervals)
NOTE = "MASE: mean absolute error in the untouched test window, in units of seasonal naive's error in the past"


@dataclass(frozen=True, slots=True)
class Report:
    """The totals of a run. `failed_share`: of the airports that were to be forecast."""

    ok: int
    quarantined: int
    failed: int
    failed_share: float


def write(ws: Workspace, run_key: str, manifest_id: str) -> str:
    """Write the page and the fleet's numbers as they are now, in the place of an earlier try's; where the page is."""
    manifest = plan.load(ws, run_key, manifest_id)
    rows = _judged(ws, run_key)
    totals = _totals(rows)
    lines = [
        f"As of {manifest.as_of}: {totals.ok} airports forecast, {totals.quarantined} quarantined, "
        f"{totals.failed} failed.",
        _against_naive(rows),
    ]
    page = _page(ws, manifest, rows, [*lines, NOTE])
    _log_fleet(ws, manifest, rows, asdict(totals))
    log.info("%s %s", *lines)
    return page


def report(ws: Workspace, run_key: str, page: str) -> Report:
    """The totals of a run, and where its page is, in the log. Raises TooManyFailed above `max_failed_share`."""
    rows = _judged(ws, run_key)
    totals = _totals(rows)
    log.info("%d airports forecast, %d quarantined, %d failed. Page: %s", *list(asdict(totals).values())[:3], page)
    if totals.failed_share > ws.settings.max_failed_share:
        worst = rows[rows["status"] == "failed"].iloc[0]
        raise TooManyFailed(
            f"{run_key}: {totals.failed} of {totals.ok + totals.failed} airports failed, {totals.failed_share:.1%}, "
            f"above max_failed_share {ws.settings.max_failed_share:.1%}; the first, {worst['airport']}: "
            f"{worst['reason']}"
        )
    return totals


def _judged(ws: Workspace, run_key: str) -> pd.DataFrame:
    rows = _with_unregistered_as_failed(ws, run_key, ledger.newest(ws, run_key))
    decided = decide.read(ws, [run_key]).rename(columns={"reason": "decision"})
    columns = ["airport", "checksum", "method", "cv_mase", "cv_mase_naive", "mase", "mase_naive", "confidence"]
    columns += ["decision", "forecast"]
    merged = rows.merge(decided[columns], on=["airport", "checksum"], how="left")
    return merged.assign(reason=merged["reason"].where(merged["reason"] != "", merged["decision"]))


def _totals(rows: pd.DataFrame) -> Report:
    counts = rows["status"].value_counts()
    ok, quarantined, failed = (int(counts.get(s, 0)) for s in ("ok", "quarantined", "failed"))
    return Report(ok, quarantined, failed, failed / max(1, ok + failed))


def _with_unregistered_as_failed(ws: Workspace, run_key: str, rows: pd.DataFrame) -> pd.DataFrame:
    """A fitted airport that could not be registered is not released: for the user it has failed."""
    there = ledger.registrations(ws, run_key)[["airport", "checksum"]].assign(registered=True)
    merged = rows.merge(there, on=["airport", "checksum"], how="left")
    lost = merged["status"].eq("ok") & merged["registered"].isna()
    reason = merged["reason"].mask(lost, "fitted, but not registered in MLflow: clear the task register of its batch")
    return merged.assign(status=merged["status"].mask(lost, "failed"), reason=reason).drop(columns="registered")


def _against_naive(rows: pd.DataFrame) -> str:
    judged = rows.dropna(subset=["mase", "mase_naive"])
    if judged.empty:
        return "No history was long enough for a test window."
    better = int((judged["mase"] < judged["mase_naive"]).sum())
    return (
        f"Mean MASE {judged['mase'].mean():.3f}, seasonal naive's {judged['mase_naive'].mean():.3f}; "
        f"{better} of {len(judged)} airports better than it."
    )


def _page(ws: Workspace, manifest: Manifest, rows: pd.DataFrame, lines: list[str]) -> str:
    worst_first = rows[rows["status"] == "ok"].sort_values("mase", ascending=False, na_position="last")
    withheld = worst_first["confidence"] == WITHHELD
    charted = worst_first.loc[~withheld, ["airport", "forecast"]]
    note = [f"Charts of the {MOST_CHARTS} airports with the largest MASE."] if len(charted) > MOST_CHARTS else []
    text = html_report.page(
        f"{ws.fleet}: forecasts as of {manifest.as_of}",
        [*lines, *_withheld(int(withheld.sum())), *note],
        records(_with_the_word(rows).drop(columns=["forecast", "decision", "cv_mase_naive"])),
        _charts(ws, manifest, charted.head(MOST_CHARTS)),
    )
    ws.objects.put_text(f"reports/{html_report.SCRIPT_NAME}", html_report.script())
    return ws.objects.put_text(f"reports/{manifest.run_key}/index.html", text)


def _withheld(forecasts: int) -> list[str]:
    if not forecasts:
        return []
    what = "1 forecast is" if forecasts == 1 else f"{forecasts} forecasts are"
    return [f"{what} withheld from the charts: the table has `{WITHHELD}` beside it."]


def _with_the_word(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as the table shows them: of a forecast that is withheld the reason begins with that."""
    why = f"{WITHHELD}: its 80 % interval is too wide for its level; " + rows["reason"]
    return rows.assign(reason=rows["reason"].mask((rows["status"] == "ok") & (rows["confidence"] == WITHHELD), why))


def _charts(ws: Workspace, manifest: Manifest, shown: pd.DataFrame) -> list[Chart]:
    if shown.empty:
        return []  # every airport failed; the store takes no empty list of airports
    as_of = calendar.parse_as_of(manifest.as_of)
    known = histories.known_rows(ws, as_of, manifest.data_version, list(shown["airport"]))
    by_airport = dict(tuple(known.groupby(AIRPORT)))
    charts = []
    for airport, forecast in shown.itertuples(index=False, name=None):
        if isinstance(forecast, str) and airport in by_airport:
            history = by_airport[airport]
            dates = [str(d.date()) for d in history[DS]]
            charts.append(Chart(airport, dates, history[Y].tolist(), json.loads(forecast)))
    return charts


def _log_fleet(ws: Workspace, manifest: Manifest, rows: pd.DataFrame, totals: dict[str, float]) -> None:
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    parent = registry.parent_run(manifest.run_key, {"fleet": ws.fleet, "as_of": manifest.as_of})
    columns = [
        *("airport", "status", "method", "cv_mase", "cv_mase_naive", "mase", "mase_naive", "confidence", "seconds"),
        "reason",
    ]
    failed = rows[rows["status"] == "failed"].sort_values("airport")
    tables = {"airports.csv": rows[columns], "worst.csv": _worst(rows)[columns], "failures.csv": failed[columns]}
    texts = {name: table.to_csv(index=False) for name, table in tables.items()}
    registry.log_fleet(parent, totals | _fleet_metrics(rows), texts)


def _fleet_metrics(rows: pd.DataFrame) -> dict[str, float]:
    """Quantiles over the airports of MASE in the folds and in the test window and of its ratio to seasonal naive's, and
    the share of airports better than it. What nobody has is left out."""
    found: dict[str, float] = {}
    for split in ("cv_mase", "mase"):
        error, limit = rows[split].astype(float), rows[f"{split}_naive"].astype(float)
        ratio = (error / limit).where(limit > 0)
        for name, values in ((split, error), (f"{split}_ratio", ratio)):
            known = values.dropna()
            found |= {f"{name}_p{q}": float(known.quantile(q / 100)) for q in QUANTILES if len(known)}
        if ratio.notna().any():
            found[f"{split}_better_than_naive"] = float((ratio.dropna() < 1).mean())
    return found


def _worst(rows: pd.DataFrame) -> pd.DataFrame:
    """The airports whose forecasts did worst in the test window, worst first; those without one are none of them."""
    judged = rows[(rows["status"] == "ok") & rows["mase"].notna()]
    return judged.sort_values(["mase", "airport"], ascending=[False, True]).head(WORST)
