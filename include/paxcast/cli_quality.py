"""The commands that say how good forecasts are: backtest, score, evaluate."""

from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.console import Console

from paxcast.core import calendar
from paxcast.core.errors import ConfigurationError
from paxcast.terminal import (
    PLAIN,
    Airports,
    AsOf,
    Json,
    Out,
    cell,
    codes,
    note_if_empty,
    now,
    open_fleet,
    print_json,
    print_rows,
    print_table,
)

app = typer.Typer()
out = Console(**PLAIN)
PASSED = {True: "ok  ", False: "BAD ", None: "-   "}


@app.command()
def score(context: typer.Context, as_of: AsOf = None, as_json: Json = False) -> None:
    """Compare published forecasts with what became known since; without --as-of, with all that is known by now."""
    from paxcast.core.scoring import summary
    from paxcast.jobs import score as job
    from paxcast.jobs.status import records

    ws = open_fleet(context)
    note_if_empty(ws)
    instant = calendar.parse_as_of(as_of) if as_of else now().floor("s")
    done = job.score(ws, instant)
    found = summary(job.read(ws, instant))
    (overall,) = records(pd.DataFrame([found.overall]))
    tables = {"by_step": records(found.by_step), "by_airport": records(found.by_airport)}
    if as_json:
        return print_json({**done.as_json(), "overall": overall, **tables})
    return _print_scored(done.as_json(), overall, **tables)


@app.command()
def backtest(
    context: typer.Context,
    origins: Annotated[str, typer.Option("--origins", help="Starts of the last known period: 2017-12-01,2018-12-01.")],
    folder: Out,
    horizon: Annotated[int | None, typer.Option("--horizon", min=1, help="Periods; default: the fleet's.")] = None,
    candidates: Annotated[
        str | None, typer.Option("--candidates", help="Others than the fleet's: prophet,mstl.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Re-run the line as of past dates, beside every candidate alone and the baselines. Exit 2: airports failed."""
    from paxcast.jobs import histories
    from paxcast.jobs.backtest import backtest as job
    from paxcast.jobs.retrain import session_of
    from paxcast.jobs.status import records

    ws = open_fleet(context)
    names = tuple(name.strip() for name in (candidates or "").split(",") if name.strip())
    steps = horizon or histories.horizon(ws, histories.frequency(ws))
    dates = [text.strip() for text in origins.split(",") if text.strip()]
    with session_of(ws) as session:
        found = job(ws, session, dates, steps, folder, names)
    if as_json:
        print_json(records(found.table))
    else:
        print_rows([str(name) for name in found.table.columns], records(found.table), out)
    if found.failed:
        raise typer.Exit(2)


@app.command()
def evaluate(
    context: typer.Context,
    folder: Out,
    as_of: AsOf = None,
    airports: Airports = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many airports, of all sizes.")] = 20,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Anyone's forecasts: CSV or Parquet with airport, ds, yhat.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask everything of a sample of airports: baselines, behaviour, calibration, slices, staleness, cost; a page."""
    from paxcast.jobs import evaluated
    from paxcast.jobs.evaluate import evaluate as job
    from paxcast.jobs.retrain import session_of

    if as_of is None:
        raise ConfigurationError("--as-of: say up to which day data counts as known, for example --as-of 2018-12-31")
    ws, instant, wanted = open_fleet(context), calendar.parse_as_of(as_of), codes(airports)
    with session_of(ws) as session:
        result = job(ws, session, instant, airports=wanted, sample=sample, baseline=baseline)
    page = evaluated.write(result, folder)
    if as_json:
        return print_json({**result.as_json(), "page": str(page)})
    for found in result.findings:
        out.print(f"{PASSED[found.passed]} {found.check}: {found.expected}")
        out.print(f"      {found.measured}")
    return out.print(f"The page: {page}")


def _print_scored(
    done: dict[str, Any], overall: dict[str, Any], by_step: list[dict[str, Any]], by_airport: list[dict[str, Any]]
) -> None:
    out.print(
        f"As of {done['as_of']}: {done['forecasts']} forecasts in {done['releases']} releases: {done['new']} newly "
        f"scored, {done['rescored']} rescored, {done['unchanged']} unchanged, {done['unusable']} with an unusable "
        f"actual, {done['waiting']} still to come."
    )
    rows = [{"": "all", **overall}]
    rows += [{"": f"step {row['step']}", **row} for row in by_step]
    rows += [{"": row["airport"], **row} for row in by_airport]
    columns = ["", *overall]
    print_table(columns, [[cell(row[c]) for c in columns] for row in rows], out)
