"""The page of a drift check: the world, the counts, every airport in a table to be filtered, charts of the worst.

A page is a function of its check, and of the data as that check read them: drawn again, it is the same page.
"""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from paxcast.adapters import svg_chart
from paxcast.adapters.delta_store import Filter
from paxcast.adapters.html_report import board
from paxcast.adapters.html_report.board import Section, Table
from paxcast.adapters.mlflow_registry import Registry
from paxcast.adapters.svg_chart import BandChart, Line
from paxcast.core import calendar, scoring
from paxcast.core.columns import AIRPORT, BUCKET, DS, FLEET, Y
from paxcast.core.drift import residuals
from paxcast.core.errors import ConfigurationError
from paxcast.core.identity import bucket
from paxcast.jobs import histories, releases, score
from paxcast.jobs.notice import NONE, WORST_FIRST, run_of
from paxcast.jobs.sentences import share
from paxcast.jobs.workspace import Workspace

Row = dict[str, Any]
MOST_CHARTS = 30
CYCLES = 26  # in a chart
MOST_LETTERS = 300  # of a cell: with every airport of a large fleet in trouble the page stays one that opens
COLUMNS = ("airport", "severity", "p", "q", "ratio", "reasons", "action", "why")
PAGE = "index.html"
BAND = ["yhat", "lo80", "hi80"]
CUSUM = "CUSUM of its residuals: above zero where more came than was forecast"


def write(ws: Workspace, check_key: str) -> str:
    """Write the page of a check and link it in MLflow; where it is.

    Raises ConfigurationError for a check that there is not, InfrastructureError where MLflow does not answer: the page
    is written by then.
    """
    place = draw(ws, check_key)
    track(ws, check_key)
    return place


def draw(ws: Workspace, check_key: str) -> str:
    """Write the page, in the place of an earlier one; where it is. Raises ConfigurationError as `write` does."""
    return ws.objects.put_text(_name(ws, check_key), _page(ws, check_key))


def track(ws: Workspace, check_key: str) -> str:
    """Make the check a run in MLflow, with its counts, its page and where that is; the run's id. Done twice, it is one.

    Raises ConfigurationError for a check that there is not, or that has no page yet.
    """
    kept = check(ws, check_key)
    page = ws.objects.get_bytes(_name(ws, check_key))
    if page is None:
        raise ConfigurationError(f"drift check {check_key}: it has no page yet; write that first")
    tags = {"fleet": ws.fleet, "as_of": kept["as_of"], "page": f"{ws.objects.root}/objects/{_name(ws, check_key)}"}
    tags["data_version"] = str(kept["data_version"])
    world = {f"world_{name}": kept["world"][name] for name in ("alert", "p", "shift", "share")}
    numbers = {name: float(value) for name, value in {**kept["counts"], **world}.items() if value is not None}
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment)
    run_id = registry.log_check(check_key, tags, numbers, {PAGE: page.decode()})
    ws.objects.put(run_of(ws, check_key), {"experiment_id": registry.experiment_id, "run_id": run_id})
    return run_id


def check(ws: Workspace, check_key: str) -> Row:
    """What a check found of the world, and its counts. Raises ConfigurationError for a check that there is not."""
    kept = ws.objects.get(f"drift/{ws.fleet}/{check_key}.json")
    if kept is None:
        raise ConfigurationError(f"fleet {ws.fleet}: there is no drift check {check_key}; run `paxcast drift` first")
    return dict(kept)


def _name(ws: Workspace, check_key: str) -> str:
    return f"drift/{ws.fleet}/{check_key}/{PAGE}"


# --- the page


def _page(ws: Workspace, check_key: str) -> str:
    kept = check(ws, check_key)
    found = ws.tables.read("drift", [(FLEET, "=", ws.fleet), ("check_key", "=", check_key)])
    rows = worst_first([{str(name): value for name, value in row.items()} for row in found.to_dict("records")])
    drifted, broken = ([row for row in rows if is_one(row)] for is_one in (_drifted, _broken))
    charted = [*drifted, *broken]
    shown = charted[:MOST_CHARTS]
    more = [f"Charts of the {len(shown)} worst of {len(charted)} airports."] if len(charted) > len(shown) else []
    return board.page(
        f"{ws.fleet}: drift as of {kept['as_of']}",
        [of_the_world(kept["world"]), of_the_counts(kept["counts"]), *kept.get("notes", ()), *more],
        Table(names=COLUMNS, rows=[_cells(row) for row in rows], menus=("severity", "action")),
        _sections(ws, kept, shown, max(row["cycle"] for row in rows) if rows else ""),
    )


def _drifted(row: Row) -> bool:
    return bool(row["drifted"] and not row["fault"])


def _broken(row: Row) -> bool:
    return bool(row["fault"])


def worst_first(rows: Sequence[Row]) -> list[Row]:
    """Rows of the table `drift`: by severity, then the smallest p, then code; those that are well by code alone."""

    def place(row: Row) -> tuple[int, float, str]:
        p = float("inf") if row["severity"] == NONE or pd.isna(row["p"]) else float(row["p"])
        return WORST_FIRST.index(row["severity"]), p, str(row["airport"])

    return sorted(rows, key=place)


def of_the_world(world: Row) -> str:
    """Whether the world changed, in a sentence. world: alert, p, shift, share, cycle, since."""
    if world["p"] is None:
        return "The world: there are too few airports or cycles to tell what they have in common."
    side = "above" if world["shift"] >= 0 else "below"
    found = (
        f"in the cycle of {world['cycle']} {share(world['share'])} of the airports did worse than usual, and the "
        f"median airport was {abs(world['shift']):.1f} spreads {side} its forecast"
    )
    if not world["alert"]:
        return f"The world is as it was: {found}."
    return (
        f"The world changed, since the cycle of {world['since']}: {found} (p {_number(world['p'])}). Only what an "
        "airport did beyond that counts as its own drift."
    )


def of_the_counts(counts: Row) -> str:
    """How many airports were tested and what is to be done about them, in a sentence."""
    asked = ", ".join(f"{counts[name]} {name}" for name in ("retrain", "fallback", "escalate", "wait"))
    return (
        f"{counts['tested']:,} of {counts['airports']:,} airports tested: {counts['drifted']} drifted, "
        f"{counts['watch']} to watch, {counts['fault']} with a fault in their data. To do: {asked}."
    )


def _cells(row: Row) -> list[str]:
    numbers = [_number(row["p"]), _number(row["q"]), _number(row["ratio"], ".2f")]
    return [row["airport"], row["severity"], *numbers, _short(_reasons(row)), row["action"], _short(row["why"])]


def _reasons(row: Row) -> str:
    """In words. Of a fault its kind: what it is in numbers is why people are alerted, and stands there."""
    return str(row["fault"]) or "; ".join(json.loads(row["reasons"]))


def _number(value: float | None, form: str = ".2g") -> str:
    return "" if value is None or pd.isna(value) else format(value, form)


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 2]} …"


# --- the charts


def _sections(ws: Workspace, kept: Row, rows: Sequence[Row], newest: str) -> list[Section]:
    if not rows:
        return []
    as_of, code, version = calendar.parse_as_of(kept["as_of"]), histories.frequency(ws), int(kept["data_version"])
    codes = sorted(str(row["airport"]) for row in rows)
    known = histories.known_rows(ws, as_of, version, codes)
    last = pd.Timestamp(newest) if newest else known[DS].max()
    first = _begin(last, code)
    said = _in_force(ws, as_of, codes, (first, last), code)
    came = _came(ws, as_of, known, said, code, version)
    found = []
    for row in rows:
        actual, forecast = (f[(f[AIRPORT] == row["airport"]) & f[DS].between(first, last)] for f in (came, said))
        found.append(_section(row, actual, forecast, last))
    return found


def _begin(last: pd.Timestamp, code: str) -> pd.Timestamp:
    """The first period of so many cycles, of which the newest ends with `last`. A cycle of days has seven."""
    return calendar.shift(pd.DatetimeIndex([last]), 1 - CYCLES * (7 if code == "D" else 1), code)[0]


def _section(row: Row, actual: pd.DataFrame, said: pd.DataFrame, last: pd.Timestamp) -> Section:
    numbers = [(name, _number(row[name], form)) for name, form in (("p", ".2g"), ("q", ".2g"), ("ratio", ".2f"))]
    told = ", ".join(f"{name} {text}" for name, text in numbers if text)
    lines = [f"{row['severity']}{f' ({told})' if told else ''}: {_reasons(row)}", f"{row['action']}: {row['why']}"]
    cusum = [float(value) for value in json.loads(row["cusum"]) if value is not None]
    drawn = [svg_chart.lines_svg(cusum, CUSUM, row["cycle"])] if cusum else []
    return Section(row["airport"], lines, [svg_chart.svg(_chart(row, actual, said, last)), *drawn])


def _chart(row: Row, actual: pd.DataFrame, said: pd.DataFrame, last: pd.Timestamp) -> BandChart:
    lines = {name: Line(list(said[DS]), said[name].tolist()) for name in BAND}
    return BandChart(
        known=Line(list(actual[DS]), actual[Y].tolist()),
        known_as="came",
        forecast=lines["yhat"],
        bands={"80 %": (lines["lo80"], lines["hi80"])},
        asked=pd.Timestamp(row["cycle"]) if row["cycle"] else last,
    )


def _came(
    ws: Workspace, as_of: pd.Timestamp, known: pd.DataFrame, said: pd.DataFrame, code: str, version: int
) -> pd.DataFrame:
    """What came: columns airport, ds, y, sorted. Also of periods that were forecast and that a source leaves out, where
    that means zero. What cannot be traffic is left out."""
    usable = known.loc[np.isfinite(known[Y]) & (known[Y] >= 0), [AIRPORT, DS, Y]]
    reported = histories.reported(ws, as_of, code, version)
    if reported is None:
        return usable
    zeros = scoring.implied_zeros(said, known, as_of, code, ws.settings.source.delay_days, reported.newest)
    return pd.concat([usable, zeros[[AIRPORT, DS, Y]]]).sort_values([AIRPORT, DS], ignore_index=True)


def _in_force(
    ws: Workspace, as_of: pd.Timestamp, codes: Sequence[str], span: tuple[pd.Timestamp, pd.Timestamp], code: str
) -> pd.DataFrame:
    """Of each period the forecast that drift is told from, whether or not it has an actual: airport, ds and BAND."""
    spoken = _spoken(ws, as_of, codes)
    filters: list[Filter] = [
        *((FLEET, "=", ws.fleet), (BUCKET, "in", sorted({bucket(airport) for airport in codes}))),
        *((AIRPORT, "in", list(codes)), (DS, ">=", span[0].to_pydatetime()), (DS, "<=", span[1].to_pydatetime())),
    ]
    said = ws.tables.read("forecasts", filters, [*scoring.KEY, *BAND]).merge(spoken, on=scoring.FORECAST)
    return residuals.one_each(said.drop_duplicates(scoring.KEY), code)


def _spoken(ws: Workspace, as_of: pd.Timestamp, codes: Sequence[str]) -> pd.DataFrame:
    """The published forecasts of some airports that were not rolled back, as `residuals.one_each` asks for them."""
    gone, own = releases.withdrawn(ws, as_of), set(codes)
    succession = {record.release_id for record in releases.succession(ws) if record.as_of <= as_of}
    rows = [
        (e.airport, e.run_key, e.checksum, e.as_of, record.number, record.release_id in succession)
        for record, e in ((p.record, p.entry) for p in score.published(ws, as_of))
        if e.airport in own and (e.airport, e.version) not in gone
    ]
    found = pd.DataFrame(rows, columns=[*scoring.FORECAST, "made", "number", "in_force"])
    instants = {text: calendar.parse_as_of(text) for text in found["made"].unique()}
    made = pd.to_datetime(found["made"].map(instants), utc=True)
    return found.assign(made=made, since=pd.Series(pd.NaT, index=found.index, dtype="datetime64[ns, UTC]"))
