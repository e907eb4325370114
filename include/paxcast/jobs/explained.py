"""An explanation as a person reads it: a page for a terminal, and one for a browser. Plain sentences first."""

from collections.abc import Sequence
from dataclasses import dataclass

from paxcast.adapters import html_report, svg_chart
from paxcast.adapters.svg_chart import BandChart, Line
from paxcast.core.columns import DS, Y
from paxcast.core.explanation import Explanation, Row
from paxcast.jobs.sentences import exact, moment, period, ratio, sentences, share

Rows = tuple[int | None, int | None]  # from, to, as in a slice
NONE: Rows = (0, 0)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of plain text. `shown`: which of them a terminal gets."""

    title: str
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    shown: Rows = NONE


def text(found: Explanation) -> str:
    """At most some sixty lines; all rows are in the JSON and in the page."""
    tables = [table for table in _tables(found) if table.rows[slice(*table.shown)]]
    return "\n".join([*sentences(found), *(line for table in tables for line in _printed(table))])


def html(found: Explanation) -> str:
    """One self-contained page: the same sentences, a chart, all rows."""
    tables = {t.title: [dict(zip(t.names, row, strict=True)) for row in t.rows] for t in _tables(found)}
    title = f"{found.airport}, {period(found.ds, found.frequency)}"
    return html_report.article(title, sentences(found), svg_chart.svg(_chart(found)), tables)


# --- the tables


def _tables(found: Explanation) -> list[Table]:
    data, model = found.data, found.model
    observed = ["y", "known_at", "receipt"]
    return [
        _forecasts(found),
        _candidates(model),
        _plain("Errors in the past, MASE", ["split", "mase", "mase_naive"], model["folds"], (-6, None)),
        _plain("Restated since, or come late", ["ds", "then", "now", "known_at"], data["restated_since"], (0, 4)),
        _plain("Known then, the last rows", ["ds", *observed], data["rows"], (-6, None)),
        _plain("The actual, as it became known", observed, found.actual_history),
        _plain("Done to the history", ["what", "how", "first", "last", "periods", "name"], data["steps"]),
        Table("Parameters", ["candidate", "parameters"], [[n, str(p)] for n, p in model["parameters"].items()]),
    ]


def _forecasts(found: Explanation) -> Table:
    names = ["as of", "release", "version", "method", "step", "forecast", "80 %", "95 %", "error", "scaled", "drift"]
    rows = [
        [
            f"{row['as_of']}{' *' * (at == found.explained)}",
            f"{row['release']}{' (backfill)' * row['backfill']}",
            *(str(row[name]) for name in ("version", "method", "step")),
            exact(row["yhat"]),
            *(f"{exact(row[low])} to {exact(row[high])}" for low, high in (("lo80", "hi80"), ("lo95", "hi95"))),
            exact(row["error"]),
            ratio(row["scaled_error"]),
            _drift(row["drift"]),
        ]
        for at, row in enumerate(found.forecasts)
    ]
    first = max(0, min(found.explained, len(rows) - 8))
    title = f"Forecasts of {period(found.ds, found.frequency)}; * the one explained"
    return Table(title, names, rows, (first, first + 8))


def _drift(said: Row | None) -> str:
    """What was said of drift when a release was made: `severe, retrain`."""
    return "-" if said is None else ", ".join(dict.fromkeys([said["severity"], said["action"]]))


def _candidates(model: Row) -> Table:
    names = ["candidate", "weight", "forecast", "MASE in folds", "in test", "evaluations", "first loss", "best loss"]
    searched = {row["candidate"]: row for row in model["search"]}
    rows = []
    for row in sorted(model["candidates"], key=lambda row: -float(row["weight"])):
        spent = searched.get(row["candidate"], {})
        rows.append(
            [
                row["candidate"],
                share(row["weight"]),
                exact(row["forecast"]),
                *(ratio(row[name]) for name in ("cv_mase", "test_mase")),
                str(spent.get("evaluations", "-")),
                *(ratio(spent.get(name)) for name in ("first_loss", "best_loss")),
            ]
        )
    return Table("Candidates", names, rows, (0, 10))


def _plain(title: str, names: list[str], rows: Sequence[Row], shown: Rows = NONE) -> Table:
    """Some values of plain rows: traffic as such, errors as ratios, the rest as it is."""
    form = {"y": exact, "then": exact, "now": exact, "mase": ratio, "mase_naive": ratio, "known_at": moment}
    return Table(title, names, [[form.get(name, str)(row[name]) for name in names] for row in rows], shown)


def _printed(table: Table) -> list[str]:
    """An empty line, the title, the names, the rows; columns as wide as their content."""
    rows = [table.names, *table.rows[slice(*table.shown)]]
    few = len(rows) - 1
    wide = [max(len(row[at]) for row in rows) for at in range(len(table.names))]
    title = table.title + (f" ({few} of {len(table.rows)})" if few < len(table.rows) else "")
    return ["", title, *("  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows)]


# --- the chart


def _chart(found: Explanation) -> BandChart:
    picture = found.picture
    said = picture.forecast
    lines = {name: Line(list(said[DS]), said[name].tolist()) for name in ("yhat", "lo80", "hi80", "lo95", "hi95")}
    return BandChart(
        known=Line(list(picture.known[DS]), picture.known[Y].tolist()),
        since=Line(list(picture.since[DS]), picture.since[Y].tolist()),
        forecast=lines["yhat"],
        bands={"95 %": (lines["lo95"], lines["hi95"]), "80 %": (lines["lo80"], lines["hi80"])},
        asked=found.ds,
    )
