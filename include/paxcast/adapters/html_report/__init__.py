"""The pages: a run's, with one chart an airport drawn when scrolled to, and an evaluation's, of tables and figures.

No server and no network: a page finds Plotly's script beside it, or in the folder above.
"""

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly

SCRIPT_NAME = "plotly.min.js"


@dataclass(frozen=True, slots=True)
class Chart:
    """One airport's picture: history and forecast with intervals. Dates as text; [T] and [H] values."""

    airport: str
    history_ds: Sequence[str]
    history_y: Sequence[float]
    forecast: Mapping[str, Sequence[Any]]  # ds, yhat, lo80, hi80, lo95, hi95


@dataclass(frozen=True, slots=True)
class Figure:
    """Lines, markers, bars or boxes by name, each of x and y values; `diagonal`: where both are equal."""

    title: str
    x: str
    y: str
    series: Mapping[str, tuple[Iterable[Any], Iterable[Any]]]
    kind: str = "lines"  # lines | markers | bar | box
    diagonal: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A page: the first table, the figures, then the other tables. A table: rows with the same keys, by its title."""

    title: str
    summary: Sequence[str]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    figures: Sequence[Figure]


def script() -> str:
    """Plotly's own script, to be stored as `plotly.min.js` beside the page."""
    text: str = plotly.offline.get_plotlyjs()
    return text


def page(title: str, summary: Sequence[str], rows: Sequence[Mapping[str, Any]], charts: Sequence[Chart]) -> str:
    """The whole page. rows: airport, status, method, mase, mase_naive, reason; charts: in the order to be shown."""
    drawn = {c.airport for c in charts}
    body = "".join(_row(r, r["airport"] in drawn) for r in rows)
    divs = "".join(
        f'<section id="{_e(c.airport)}"><h2>{_e(c.airport)}</h2><div class="chart"></div></section>' for c in charts
    )
    data = json.dumps({c.airport: _traces(c) for c in charts}, separators=(",", ":")).replace("</", "<\\/")
    lines = "".join(f"<p>{_e(line)}</p>" for line in summary)
    return _PAGE.format(
        style=STYLE, title=_e(title), summary=lines, rows=body, charts=divs, data=data, script=SCRIPT_NAME
    )


def sheet(content: Sheet) -> str:
    """The whole page. Plotly's script lies in the same folder."""
    first, *others = [_table(title, rows) for title, rows in content.tables.items()]
    titles = [_e(figure.title) for figure in content.figures]
    divs = "".join(f'<h2>{t}</h2><div class="chart" id="figure{i}"></div>' for i, t in enumerate(titles))
    data = json.dumps([_drawing(f) for f in content.figures], separators=(",", ":"), allow_nan=False)
    lines = "".join(f"<p>{_e(line)}</p>" for line in content.summary)
    return _SHEET.format(
        style=STYLE,
        title=_e(content.title),
        summary=lines,
        first=first,
        figures=divs,
        others="".join(others),
        data=data.replace("</", "<\\/"),
        script=SCRIPT_NAME,
    )


def article(title: str, summary: Sequence[str], drawing: str, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A page without any script. drawing: SVG, taken as it is; tables: as in `Sheet`, those without rows left out."""
    lines = "".join(f"<p>{_e(line)}</p>" for line in summary)
    body = "".join(_table(name, rows) for name, rows in tables.items() if rows)
    return _ARTICLE.format(style=STYLE, title=_e(title), summary=lines, drawing=drawing, tables=body)


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return f"<h2>{_e(title)}</h2><p>nothing to show</p>"
    head = "".join(f"<th>{_e(name)}</th>" for name in rows[0])
    body = "".join("<tr>" + "".join(_cell(value) for value in row.values()) + "</tr>" for row in rows)
    return f"<h2>{_e(title)}</h2><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f'<td class="number">{value:,.3f}</td>'
    return f'<td class="{_e(value) if value in ("passed", "failed") else ""}">{"" if value is None else _e(value)}</td>'


def _drawing(figure: Figure) -> dict[str, Any]:
    """What Plotly is told: the traces and the layout of one figure; what is no number is left out of a line."""
    traces = [_trace(figure, name, list(x), [_finite(v) for v in y]) for name, (x, y) in figure.series.items()]
    if figure.diagonal:
        line = {"dash": "dot", "color": "#94a3b8"}
        traces.append({"x": [0, 1], "y": [0, 1], "name": "as it should", "mode": "lines", "line": line})
    layout = {"xaxis": {"title": {"text": figure.x}}, "yaxis": {"title": {"text": figure.y}}}
    return {"traces": traces, "layout": layout}


def _trace(figure: Figure, name: str, x: Sequence[Any], y: Sequence[Any]) -> dict[str, Any]:
    if figure.kind in ("bar", "box"):
        return {"x": x, "y": y, "name": name, "type": figure.kind}
    mode = "markers" if figure.kind == "markers" else "lines+markers"
    return {"x": x, "y": y, "name": name, "mode": mode}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _row(row: Mapping[str, Any], has_chart: bool) -> str:
    airport = _e(row["airport"])
    name = f'<a href="#{airport}">{airport}</a>' if has_chart else airport
    cells = [name, _e(row["status"]), _e(row["method"] or ""), _number(row["mase"]), _number(row["mase_naive"])]
    tds = "".join(f"<td>{c}</td>" for c in cells)
    return f'<tr class="{_e(row["status"])}">{tds}<td class="reason">{_e(row["reason"] or "")}</td></tr>'


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _e(text: Any) -> str:
    return html.escape(str(text))


def _traces(chart: Chart) -> list[dict[str, Any]]:
    f = chart.forecast
    there_and_back = [*f["ds"], *reversed(f["ds"])]
    return [
        {
            "x": list(chart.history_ds),
            "y": list(chart.history_y),
            "name": "actual",
            "line": {"color": "#334155", "width": 1.2},
        },
        _area(there_and_back, [*f["hi95"], *reversed(f["lo95"])], "95 %", "rgba(14,116,144,0.15)"),
        _area(there_and_back, [*f["hi80"], *reversed(f["lo80"])], "80 %", "rgba(14,116,144,0.28)"),
        {"x": list(f["ds"]), "y": list(f["yhat"]), "name": "forecast", "line": {"color": "#0e7490", "width": 2}},
    ]


def _area(x: list[str], y: list[float], name: str, color: str) -> dict[str, Any]:
    return {
        "x": x,
        "y": y,
        "name": name,
        "fill": "toself",
        "fillcolor": color,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #0f172a; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #e2e8f0; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.passed { color: #15803d; } td.failed { color: #b91c1c; font-weight: 600; }
.reason { color: #475569; font-size: .87em; }
.chart { height: 300px; }
h2 { margin: 1.6rem 0 0; font-size: 1.05rem; }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}
td:nth-child(4), td:nth-child(5) {{ text-align: right; font-variant-numeric: tabular-nums; }}
tr.quarantined td:nth-child(2) {{ color: #b45309; font-weight: 600; }}
tr.failed td:nth-child(2) {{ color: #b91c1c; font-weight: 600; }}
</style><script src="../{script}"></script></head><body>
<h1>{title}</h1>{summary}
<table><thead><tr><th>airport</th><th>status</th><th>method</th><th>MASE</th><th>naive's</th><th>why</th></tr></thead>
<tbody>{rows}</tbody></table>
{charts}
<script>
const data = {data};
const draw = new IntersectionObserver(entries => entries.forEach(e => {{
  if (!e.isIntersecting) return;
  draw.unobserve(e.target);
  Plotly.newPlot(e.target, data[e.target.parentElement.id],
    {{margin: {{t: 10, r: 10, b: 40, l: 60}}, legend: {{orientation: "h"}}, yaxis: {{rangemode: "tozero"}}}},
    {{displaylogo: false, responsive: true}});
}}), {{rootMargin: "300px"}});
document.querySelectorAll(".chart").forEach(el => draw.observe(el));
</script></body></html>
"""

_SHEET = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style><script src="{script}"></script></head><body>
<h1>{title}</h1>{summary}
{first}
{figures}
{others}
<script>
const data = {data};
data.forEach((figure, i) => Plotly.newPlot("figure" + i, figure.traces,
  {{margin: {{t: 10, r: 10, b: 60, l: 70}}, legend: {{orientation: "h", y: -0.3}}, ...figure.layout}},
  {{displaylogo: false, responsive: true}}));
</script></body></html>
"""

_ARTICLE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}
td {{ font-variant-numeric: tabular-nums; }}
</style></head><body>
<h1>{title}</h1>{summary}
{drawing}
{tables}
</body></html>
"""
