"""The report page of a run: one table, one chart an airport, drawn in the browser with Plotly when scrolled to.

No server and no network: the page finds Plotly's script beside it.
"""

import html
import json
from collections.abc import Mapping, Sequence
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
    return _PAGE.format(title=_e(title), summary=lines, rows=body, charts=divs, data=data, script=SCRIPT_NAME)


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


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #0f172a; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #e2e8f0; vertical-align: top; }}
td:nth-child(4), td:nth-child(5) {{ text-align: right; font-variant-numeric: tabular-nums; }}
tr.quarantined td:nth-child(2) {{ color: #b45309; font-weight: 600; }}
tr.failed td:nth-child(2) {{ color: #b91c1c; font-weight: 600; }}
.reason {{ color: #475569; font-size: .87em; }}
.chart {{ height: 300px; }}
h2 {{ margin: 1.6rem 0 0; font-size: 1.05rem; }}
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
