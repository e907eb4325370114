"""What the commands of the command line share: options, the fleet's workspace, and how results are printed."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console
from rich.table import Column, Table

from paxcast.core.errors import ConfigurationError
from paxcast.jobs import histories, workspace
from paxcast.settings import load

# What is printed is data: a file's cell such as [/x] is no markup, and a line is as long as it is.
PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
WIDE = 100_000  # characters: wider than any table

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="The last day that counts as known: 2013-12-31.")]
Airports = Annotated[str | None, typer.Option("--airports", help="Some airports only: ATL,BOS.")]
Out = Annotated[Path, typer.Option("--out", help="The folder that results are written to.")]


def open_fleet(context: typer.Context) -> workspace.Workspace:
    """The fleet that --config names."""
    return workspace.open_workspace(load(context.obj))


def note_if_empty(ws: workspace.Workspace) -> None:
    """Of a fleet that received nothing yet, on stderr what to do: an empty answer alone would say nothing."""
    if not histories.ingested(ws):
        Console(**PLAIN, stderr=True).print(f"paxcast: {histories.nothing_ingested(ws)}")


def codes(text: str | None) -> tuple[str, ...]:
    """Airports as a user lists them, each once; none for all of them."""
    if text is None:
        return ()
    found = tuple(sorted({code.strip() for code in text.split(",") if code.strip()}))
    if not found:
        raise ConfigurationError("--airports: names no airport; write it like ATL,BOS, or leave it out for all of them")
    return found


def now() -> pd.Timestamp:
    """The only look at the clock on the command line: when data was received and a release published."""
    return pd.Timestamp.now(tz="UTC")


def print_json(value: Any) -> None:
    """JSON, and nothing else, on stdout."""
    sys.stdout.write(json.dumps(value, indent=1, default=str, allow_nan=False) + "\n")


def print_table(columns: list[str], rows: list[list[str]], console: Console) -> None:
    """On a terminal long cells are folded to its width; elsewhere the table is as wide as its content."""
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    wide = console if console.is_terminal else Console(**PLAIN, width=WIDE)
    wide.print(table, soft_wrap=False)


def print_rows(columns: list[str], rows: list[dict[str, Any]], console: Console) -> None:
    """A table of some columns of plain rows."""
    print_table(columns, [[cell(row[c]) for c in columns] for row in rows], console)


def cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
