"""Report: totals, the worst airports, the page of charts; red only above the fleet's `max_failed_share`."""

import logging
from dataclasses import dataclass

import pandas as pd

from paxcast.adapters import html_report
from paxcast.adapters.html_report import Chart
from paxcast.adapters.mlflow_registry import Registry
from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS, Y
from paxcast.core.errors import TooManyFailed
from paxcast.core.manifest import Manifest
from paxcast.jobs import histories, ledger, plan, register
from paxcast.jobs.status import records
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.report")
MOST_CHARTS = 200
NOTE = "MASE: mean absolute error in the untouched test window, in units of seasonal naive's error in the past"


@dataclass(frozen=True, slots=True)
class Report:
    """The totals of a run and where its page is. `failed_share`: of the airports that were to be forecast."""

    ok: int
    quarantined: int
    failed: int
    failed_share: float
    page: str


def report(ws: Workspace, run_key: str, manifest_id: str) -> Report:
    """Write the page and the fleet's numbers. Raises TooManyFailed above `max_failed_share`, after writing them."""
    manifest = plan.load(ws, run_key, manifest_id)
    rows = _with_unregistered_as_failed(ws, run_key, ledger.newest(ws, run_key))
    counts = rows["status"].value_counts()
    ok, quarantined, failed = (int(counts.get(s, 0)) for s in ("ok", "quarantined", "failed"))
    share = failed / max(1, ok + failed)
    lines = [
        f"As of {manifest.as_of}: {ok} airports forecast, {quarantined} quarantined, {failed} failed.",
        _against_naive(rows),
        NOTE,
    ]
    page = _page(ws, manifest, rows, lines)
    _log_fleet(ws, manifest, rows, {"ok": ok, "quarantined": quarantined, "failed": failed, "failed_share": share})
    log.info("%s %s Page: %s", lines[0], lines[1], page)
    if share > ws.settings.max_failed_share:
        worst = rows[rows["status"] == "failed"].iloc[0]
        raise TooManyFailed(
            f"{run_key}: {failed} of {ok + failed} airports failed, {share:.1%}, above max_failed_share "
            f"{ws.settings.max_failed_share:.1%}; the first, {worst['airport']}: {worst['reason']}"
        )
    return Report(ok, quarantined, failed, share, page)


def _with_unregistered_as_failed(ws: Workspace, run_key: str, rows: pd.DataFrame) -> pd.DataFrame:
    """A fitted airport that could not be registered is not released: for the user it has failed."""
    there = register.registrations(ws, run_key)[["airport", "checksum"]].assign(registered=True)
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
    shown = worst_first[["airport", "checksum"]].head(MOST_CHARTS)
    note = [f"Charts of the {MOST_CHARTS} airports with the largest MASE."] if len(worst_first) > MOST_CHARTS else []
    text = html_report.page(
        f"{ws.fleet}: forecasts as of {manifest.as_of}", lines + note, records(rows), _charts(ws, manifest, shown)
    )
    ws.objects.put_text(f"reports/{html_report.SCRIPT_NAME}", html_report.script())
    return ws.objects.put_text(f"reports/{manifest.run_key}/index.html", text)


def _charts(ws: Workspace, manifest: Manifest, shown: pd.DataFrame) -> list[Chart]:
    as_of = calendar.parse_as_of(manifest.as_of)
    known = histories.known_rows(ws, as_of, manifest.data_version, list(shown["airport"]))
    by_airport = dict(tuple(known.groupby(AIRPORT)))
    charts = []
    for airport, checksum in shown.itertuples(index=False, name=None):
        result = ledger.load(ws.objects, manifest.run_key, airport, checksum)
        if result is not None and airport in by_airport:
            history = by_airport[airport]
            dates = [str(d.date()) for d in history[DS]]
            charts.append(Chart(airport, dates, history[Y].tolist(), result.forecast))
    return charts


def _log_fleet(ws: Workspace, manifest: Manifest, rows: pd.DataFrame, totals: dict[str, float]) -> None:
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    parent = registry.parent_run(manifest.run_key, {"fleet": ws.fleet, "as_of": manifest.as_of})
    errors = rows["mase"].dropna()
    quantiles = {f"mase_p{q}": float(errors.quantile(q / 100)) for q in (10, 50, 90)} if len(errors) else {}
    metrics = totals | quantiles
    columns = ["airport", "status", "method", "cv_mase", "mase", "mase_naive", "confidence", "seconds", "reason"]
    registry.log_fleet(parent, metrics, {"airports.csv": rows[columns].to_csv(index=False)})
