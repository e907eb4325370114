"""A drift check's page: one table that its reader filters, and below it sections with drawings.

It loads nothing, and without scripts it shows the whole table.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from paxcast.adapters.html_report import STYLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells of plain text, as many in every row as there are names; the first names an airport. menus: the names of the
    columns of which one value can be picked."""

    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    menus: Sequence[str]


@dataclass(frozen=True, slots=True)
class Section:
    """One airport's part of the page: lines of text, and drawings, SVG that is taken as it is."""

    airport: str
    lines: Sequence[str]
    drawings: Sequence[str]


def page(title: str, summary: Sequence[str], table: Table, sections: Sequence[Section]) -> str:
    """The whole page. An airport of the table that has a section is a link to it."""
    charted = {section.airport for section in sections}
    return _PAGE.format(
        style=STYLE,
        title=_e(title),
        summary=_paragraphs(summary),
        menus="".join(_menu(table, name) for name in table.menus),
        head="".join(f"<th>{_e(name)}</th>" for name in table.names),
        body="".join(_row(row, charted) for row in table.rows),
        sections="".join(_section(section) for section in sections),
    )


def _row(row: Sequence[str], charted: set[str]) -> str:
    airport, *others = row
    name = f'<a href="#{_e(airport)}">{_e(airport)}</a>' if airport in charted else _e(airport)
    return f"<tr><td>{name}</td>{''.join(f'<td>{_e(value)}</td>' for value in others)}</tr>"


def _menu(table: Table, name: str) -> str:
    column = list(table.names).index(name)
    values = sorted({row[column] for row in table.rows} - {""})
    options = "".join(f"<option>{_e(value)}</option>" for value in values)
    return f'<select data-column="{column}"><option value="">any {_e(name)}</option>{options}</select>'


def _section(section: Section) -> str:
    airport = _e(section.airport)
    drawings = "".join(section.drawings)
    return f'<section id="{airport}"><h2>{airport}</h2>{_paragraphs(section.lines)}{drawings}</section>'


def _paragraphs(lines: Sequence[str]) -> str:
    return "".join(f"<p>{_e(line)}</p>" for line in lines)


def _e(text: str) -> str:
    return html.escape(text)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}
td {{ font-variant-numeric: tabular-nums; }}
td:nth-child(-n+5) {{ white-space: nowrap; }}
#fleet {{ max-height: 70vh; overflow: auto; }}
th {{ position: sticky; top: 0; background: #fff; }}
#filter > * {{ font: inherit; margin: .8rem .8rem .8rem 0; }}
</style></head><body>
<h1>{title}</h1>{summary}
<div id="filter"><input type="search" placeholder="airport or word">{menus}<output></output></div>
<div id="fleet"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>
{sections}
<script>
const word = document.querySelector("input"), menus = [...document.querySelectorAll("select")];
const rows = [...document.querySelectorAll("tbody tr")];
const fits = row => [...row.cells].map(cell => cell.textContent).join(" ").toLowerCase()
  .includes(word.value.trim().toLowerCase())
  && menus.every(menu => !menu.value || row.cells[menu.dataset.column].textContent === menu.value);
const show = () => {{
  rows.forEach(row => row.hidden = !fits(row));
  document.querySelector("output").textContent = rows.filter(row => !row.hidden).length + " of " + rows.length;
}};
word.addEventListener("input", show);
menus.forEach(menu => menu.addEventListener("change", show));
show();
</script></body></html>
"""
