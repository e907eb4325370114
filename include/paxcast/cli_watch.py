"""The command that watches a fleet: drift."""

from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from paxcast.core import calendar
from paxcast.core.drift.policy import ASKS
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import histories
from paxcast.terminal import PLAIN, AsOf, Json, now, open_fleet, print_json, print_rows

app = typer.Typer()
out = Console(**PLAIN)


@app.command()
def drift(
    context: typer.Context,
    as_of: AsOf = None,
    notify: Annotated[bool, typer.Option("--notify", help="Tell the people that the configuration names.")] = False,
    as_json: Json = False,
) -> None:
    """Which airports' forecasts went wrong for good, and what is to be done; without --as-of, by all known by now."""
    from paxcast.jobs import drift as job
    from paxcast.jobs import drift_report
    from paxcast.jobs.notify import notify as tell

    ws = open_fleet(context)
    histories.check_ingested(ws)
    found = job.check(ws, _instant(as_of))
    page = drift_report.draw(ws, found.check_key)
    if as_json:
        print_json([{name: row[name] for name in job.SHOWN} for row in found.rows])
    else:
        out.print(drift_report.of_the_world(found.world))
        out.print(drift_report.of_the_counts(found.counts))
        _print_rows([row for row in found.rows if row["severity"] != job.NONE])
        for note in found.notes:
            out.print(note)
        if any(row["action"] in ASKS for row in found.rows):
            day = f" --as-of {as_of}" if as_of else ""
            out.print(f"next: `paxcast retrain --drifted{day}` makes new models for those that are to get one")
        out.print(f"page: {page}")
    try:
        drift_report.track(ws, found.check_key)
    finally:  # people are told even if MLflow is down
        if notify:
            tell(ws, found.check_key, page)


def _instant(as_of: str | None) -> pd.Timestamp:
    """The end of a day that is over, or now: after a check of a later instant none before that would act any more."""
    asked = calendar.parse_as_of(as_of) if as_of else now().floor("s")
    if asked > now():
        raise ConfigurationError(f"--as-of: {as_of} is not over yet; leave it out for all that is known now")
    return asked


def _print_rows(rows: list[dict[str, Any]]) -> None:
    """Of the airports that are not well."""
    if rows:
        columns = ["airport", "severity", "p", "q", "action", "reasons"]
        print_rows(columns, [{**row, "reasons": ", ".join(row["reasons"])} for row in rows], out)
