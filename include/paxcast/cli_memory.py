"""The commands of a fleet's memory: explain, rollback, reproduce, prune."""

import getpass
from datetime import date
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.console import Console

from paxcast.core import calendar
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import histories
from paxcast.terminal import PLAIN, AsOf, Json, codes, now, open_fleet, print_json

app = typer.Typer()
out = Console(**PLAIN)


@app.command()
def rollback(
    context: typer.Context,
    airport: Annotated[str | None, typer.Option("--airport", help="Only this airport's forecast goes back.")] = None,
    release: Annotated[
        str | None, typer.Option("--release", help="The release to go back to; default: the one before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put an earlier release in force again. Nothing is refitted; a later date's run goes on from there."""
    from paxcast.jobs.rollback import rollback as job

    ws = open_fleet(context)
    histories.check_ingested(ws)
    done = job(ws, now(), airport, release)
    if as_json:
        return print_json(done.as_json())
    what = "nothing changes: it was in force already" if done.before == done.after else f"instead of {done.before}"
    return out.print(f"release {done.after} is in force, {what}")


@app.command()
def approve(
    context: typer.Context,
    release: Annotated[str, typer.Argument(help="The release that waits; the log of its run names it.")],
    no: Annotated[bool, typer.Option("--no", help="Say no, and let the release in force stay.")] = False,
) -> None:
    """Answer for a release that would change many specifications, and put it in force."""
    from paxcast.jobs import approval
    from paxcast.jobs.forecast import forget_challengers, publish

    ws = open_fleet(context)
    approval.answer(ws, release, not no, getpass.getuser(), now())
    if no:
        forget_challengers(ws)
        return out.print(f"release {release} is not published; the one in force stays")
    done = publish(ws, release)
    what = "is in force" if done else "is approved, but another one stays in force: the log says why"
    return out.print(f"release {release} {what}")


@app.command()
def explain(
    context: typer.Context,
    airport: Annotated[str, typer.Argument(help="Its code.")],
    ds: Annotated[str, typer.Option("--ds", help="A day of the period in question: 2001-10-01.")],
    as_of: AsOf = None,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page with a chart to this file.")] = None,
    as_json: Json = False,
) -> None:
    """What was forecast for an airport and a period, by what, from which data, and what came."""
    from paxcast.jobs import explain as job
    from paxcast.jobs import explained

    ws = open_fleet(context)
    histories.check_ingested(ws)
    try:
        day = pd.Timestamp(date.fromisoformat(ds))
    except ValueError as err:
        raise ConfigurationError(f"--ds: '{ds}' is no day; write it like 2001-10-01") from err
    found = job.explain(ws, airport, day, calendar.parse_as_of(as_of) if as_of else None)
    if page is not None:
        page.write_text(explained.html(found), encoding="utf-8")
    if as_json:
        return print_json(found.as_json())
    return out.print(explained.text(found))


@app.command()
def reproduce(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="A run key, a release, or the last day that a run knew.")],
    airports: Annotated[
        str | None, typer.Option("--airport", "--airports", help="Only this airport, or some: ATL,BOS.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Refit a past run from the data of then, and compare. Exit 2: something differs."""
    from paxcast.jobs.reproduce import reproduce as job
    from paxcast.jobs.retrain import session_of

    ws = open_fleet(context)
    histories.check_ingested(ws)
    with session_of(ws) as session:
        found = job(ws, session, run, codes(airports))
    if as_json:
        print_json(found.as_json())
    else:
        count = len(found.airports)
        told = "equal to the last bit" if found.equal else f"{len(found.differences)} differences"
        out.print(f"{found.run_key}: {count} airport{'s' * (count != 1)} refitted: {told}")
        for one in found.differences[:20]:
            where = f"{one['airport']} {one['what']}".strip()  # other code is of no airport
            out.print(f"  {where}: then {one['then']}, now {one['now']}")
    if not found.equal:
        raise typer.Exit(2)


@app.command()
def prune(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what is older than the ages in `retention`, except what is still needed; compact the tables."""
    from paxcast.jobs.prune import prune as job

    ws = open_fleet(context)
    done = job(ws, now(), dry_run).as_json()
    if as_json:
        return print_json(done)
    for name, value in done.items():
        out.print(f"{name}: {value if not isinstance(value, list) else len(value)}")
    return None
