"""The command line: the same jobs as the DAGs, without Airflow. Exit 0 ok, 1 could not run, 2 some airports failed."""

import logging
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from paxcast import cli_memory, cli_quality, cli_watch
from paxcast.core import calendar
from paxcast.core.errors import ConfigurationError, PaxcastError
from paxcast.jobs import histories, workspace
from paxcast.terminal import PLAIN, Airports, AsOf, Json, codes, note_if_empty, now, open_fleet, print_json, print_rows

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(cli_quality.app)
app.add_typer(cli_memory.app)
app.add_typer(cli_watch.app)
MOST_NAMED = 10
out, err = Console(**PLAIN), Console(**PLAIN, stderr=True)


@app.callback()
def _main(
    context: typer.Context,
    config: Annotated[Path | None, typer.Option("--config", help="A fleet's YAML; default: the demo fleet.")] = None,
) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("paxcast").setLevel(logging.INFO)
    context.obj = config


@app.command()
def ingest(
    context: typer.Context,
    known_at: Annotated[
        str | None, typer.Option("--known-at", help="When restatements became known; default: now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the fleet's source and add what is new."""
    from paxcast.jobs.ingest import ingest as job

    instant = calendar.parse_as_of(known_at) if known_at else None
    report = job(open_fleet(context), now(), instant).as_json()
    if as_json:
        return print_json(report)
    out.print(
        f"{report['rows']} rows of {report['airports']} airports: {report['stored']} stored, {report['unchanged']} "
        f"unchanged, {report['repeated']} repeated, {len(report['rejected'])} rejected. "
        f"{len(report['changed'])} airports changed; data version {report['data_version']}."
    )
    for reject in report["rejected"][:10]:
        out.print(f"  rejected: {reject['file']} row {reject['row']}: {reject['reason']}")
    return None


@app.command()
def retrain(
    context: typer.Context,
    as_of: AsOf = None,
    airports: Airports = None,
    max_evals: Annotated[int | None, typer.Option("--max-evals", help="Another search budget for this run.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Refit even what is done.")] = False,
    rerun_failed: Annotated[bool, typer.Option("--rerun-failed", help="Only airports that failed before.")] = False,
    drifted: Annotated[
        bool, typer.Option("--drifted", help="Only airports that the newest drift check asks for.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Run the whole line, to the forecast."""
    from paxcast.jobs.drift_asked import newest_check
    from paxcast.jobs.retrain import retrain as job
    from paxcast.jobs.run import Request, newest_failed_as_of

    ws = open_fleet(context)
    histories.check_ingested(ws)
    instant = calendar.parse_as_of(as_of) if as_of else newest_failed_as_of(ws) if rerun_failed else None
    if instant is None and rerun_failed:
        raise ConfigurationError(
            f"--rerun-failed: no airport of fleet {ws.fleet} has failed; nothing is to be done again"
        )
    if instant is None and drifted:
        instant = newest_check(ws)
        if instant is None:
            raise ConfigurationError(
                f"--drifted: fleet {ws.fleet} has not been checked for drift; run `paxcast drift` first"
            )
    if instant is None:
        raise ConfigurationError("--as-of: say up to which day data counts as known, for example --as-of 2013-12-31")
    request = Request(
        as_of=instant,
        airports=codes(airports),
        max_evals=max_evals,
        force=force,
        rerun_failed=rerun_failed,
        drifted=drifted,
        dry_run=dry_run,
        request_id=f"cli-{uuid.uuid4().hex}",
    )
    result = job(ws, request, now())
    if as_json:
        print_json(result)
    else:
        _print_retrained(result)
    if result.get("failed"):
        raise typer.Exit(2)


@app.command()
def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="First follow the runs under way, to their end.")] = False,
    as_json: Json = False,
) -> None:
    """One line an airport: is it forecast, by what, how well, and if not, why."""
    from paxcast.jobs.status import status as job

    ws = open_fleet(context)
    if watch:
        _follow(ws)
    note_if_empty(ws)
    rows = job(ws)
    if as_json:
        return print_json(rows)
    return print_status(rows)


@app.command()
def forecast(context: typer.Context, as_of: AsOf = None, airports: Airports = None, as_json: Json = False) -> None:
    """The forecasts in force, or those that were in force as of a day."""
    from paxcast.jobs import releases
    from paxcast.jobs.forecast import forecasts
    from paxcast.jobs.status import records

    ws = open_fleet(context)
    histories.check_ingested(ws)
    release = releases.in_force(ws, calendar.parse_as_of(as_of)) if as_of else releases.current(ws)
    if release is None:
        first = min((record.as_of for record in releases.publications(ws)), default=None)
        if first is None:
            raise ConfigurationError(f"fleet {ws.fleet}: no release yet; run `paxcast retrain`")
        raise ConfigurationError(
            f"--as-of: fleet {ws.fleet} had no release as of {as_of}; the first is as of {calendar.as_of_text(first)}"
        )
    columns = ["airport", "as_of", "ds", "yhat", "lo80", "hi80", "lo95", "hi95", "confidence"]
    rows = records(forecasts(ws, release, codes(airports))[columns])
    if as_json:
        return print_json(rows)
    return print_rows(columns, rows, out)


@app.command()
def doctor(context: typer.Context, as_json: Json = False) -> None:
    """Is this machine fit to run Paxcast?"""
    from paxcast.jobs.doctor import doctor as job

    checks = job(open_fleet(context), now())
    if as_json:
        print_json([check.as_json() for check in checks])
    else:
        for check in checks:
            out.print(f"{'ok  ' if check.well else 'BAD '} {check.name}: {check.found}", highlight=False)
            if check.advice:
                out.print(f"      {check.advice}", highlight=False)
    if not all(check.well for check in checks):
        raise typer.Exit(1)


def _follow(ws: workspace.Workspace) -> None:
    """Runs under way, on stderr: on a terminal in place, else a line for every 5 % of one."""
    from paxcast.jobs import progress

    told: dict[str, int] = {}
    seen = False
    with Live(console=err, auto_refresh=False, transient=True) as live:
        for runs in progress.follow(ws):
            seen = True
            if err.is_terminal:
                live.update(Text("\n".join(map(str, runs))), refresh=True)
                continue
            for run in runs:
                if run.settled - told.get(run.what, -run.airports) >= run.step:
                    told[run.what] = run.settled
                    err.print(str(run))
    if not seen:
        err.print(f"fleet {ws.fleet}: no run is under way")


def print_status(rows: list[dict[str, Any]]) -> None:
    """The table of airports on the terminal."""
    columns = ["airport", "method", "mase", "mase_naive", "status", "as_of", "version"]
    print_rows(columns, rows, out)
    for row in rows:
        if row["status"] != "ok":
            out.print(f"{row['airport']} is {row['status']}: {row['reason']}", highlight=False, markup=False)


def _print_retrained(result: dict[str, Any]) -> None:
    if "nothing" in result:
        out.print(result["nothing"])
    elif result.get("dry_run"):
        out.print(f"{result['run_key']} would forecast {len(result['planned'])} airports.")
        for what, key in (("would be refitted", "would_refit"), ("already done", "already_done")):
            out.print(f"  {what}: {_counted(result[key])}")
        out.print(f"  quarantined: {len(result['quarantined'])}")
    else:
        out.print(
            f"{result['run_key']}: {len(result['refitted'])} refitted, {len(result['kept'])} kept, "
            f"{len(result['quarantined'])} quarantined, {len(result['failed'])} failed. Release {result['release']}."
        )
    if "waits" in result:
        out.print(
            f"{result['waits']}; the one in force stays until `paxcast approve {result['release']}`", markup=False
        )
    for entry in result["quarantined"] + result.get("failed", []):
        out.print(f"  {entry['airport']}: {entry['reason']}", highlight=False)


def _counted(names: list[str]) -> str:
    """How many, and the first of them: `12: AAA, BBB, ... and 2 more`."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{len(names)}{': ' * bool(names)}{', '.join(names[:MOST_NAMED])}{more}"


def main() -> None:
    """Run a command; an error of the catalogue, or of a file or folder, is one message on stderr and exit code 1."""
    try:
        app()
    except PaxcastError as error:
        err.print(f"paxcast: {error}", highlight=False, markup=False)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        err.print(f"paxcast: {error.filename}: {error.strerror}", highlight=False, markup=False)
        sys.exit(1)
