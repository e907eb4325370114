"""Evidence: what a drift check is made from, as it was known: how far forecasts were off, the histories, the models.

Of each period one forecast counts, the newest from before it; where nothing was published, what the models in force
forecast of it in their folds. Read anew each time, a slice of the airports after another: nothing is kept.
"""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.adapters.delta_store import Filter
from paxcast.core import calendar, scoring
from paxcast.core.columns import AIRPORT, BUCKET, DS, FLEET, HISTORY, KNOWN_AT, OBSERVATION, RUN_KEY, Y
from paxcast.core.drift import residuals
from paxcast.core.drift.panel import Panel
from paxcast.core.drift.residuals import Cycles, Missed, OfModel
from paxcast.core.errors import ConfigurationError
from paxcast.core.history import check_known
from paxcast.core.release import Entry, Release
from paxcast.jobs import drift_asked, histories, ledger, releases
from paxcast.jobs.releases import Publication
from paxcast.jobs.workspace import Workspace

READERS = 8  # of outcomes at a time
Array = npt.NDArray[np.float64]
SECOND = pd.Timedelta(seconds=1)  # instants have no parts of one
BUCKETS = 16  # of `identity.bucket`
FORECASTS_AT_ONCE = 80_000  # of one airport and fit each; times the horizon it is the rows held in memory
SPOKEN = [*scoring.FORECAST, "made", "number", "in_force", "since", "present"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was known at an instant. `panel`: of the airports in force. `history`: columns airport, ds, y, of all
    airports, one usable value a period, sorted; in version `data_version` of the table observations. `newest`: the
    fleet's newest period. By airport, of the window that may have drifted: `restated`, how many periods have another
    value than at first, where any has; `known_since`, when the last of its actuals became known that a published
    forecast was made of. `reported`: by airport its newest period.

    By airport in force: `versions` of its model; `model_age`, how many cycles it has forecast since; `last`, the last
    period of its forecast; `simple`, the simple method that did best in its folds.
    """

    panel: Panel
    history: pd.DataFrame
    frequency: str
    newest: pd.Timestamp
    data_version: int
    restated: Mapping[str, int]
    known_since: Mapping[str, pd.Timestamp]
    reported: Mapping[str, pd.Timestamp]
    versions: Mapping[str, int]
    model_age: Mapping[str, int]
    last: Mapping[str, pd.Timestamp]
    simple: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What all slices of the airports share. `spoken`: every forecast that may count, see `_spoken`."""

    as_of: pd.Timestamp
    data_version: int
    entries: Mapping[str, Entry]
    over: Cycles
    newest: pd.Timestamp
    spoken: pd.DataFrame


@dataclass(slots=True)
class _Seen:
    """What was read so far. `known`: histories, of one slice each; `restated`, `known_since` as of Evidence. By airport
    in force: what published forecasts `missed`, what `models` missed in their folds, the `first` and the `last` period
    forecast."""

    known: list[pd.DataFrame] = field(default_factory=list)
    restated: dict[str, int] = field(default_factory=dict)
    known_since: dict[str, pd.Timestamp] = field(default_factory=dict)
    missed: dict[str, Missed] = field(default_factory=dict)
    models: dict[str, OfModel] = field(default_factory=dict)
    first: dict[str, pd.Timestamp] = field(default_factory=dict)
    last: dict[str, pd.Timestamp] = field(default_factory=dict)


def gather(ws: Workspace, as_of: pd.Timestamp) -> Evidence:
    """The evidence as of an instant.

    Raises ConfigurationError where nothing was ingested yet, nothing was released by then, or what was is pruned.
    """
    histories.check_ingested(ws)
    release = _release(ws, as_of)
    entries = {e.airport: e for e in release.entries if not ws.settings.excluded(e.airport)}
    version, code = ws.tables.version("observations"), histories.frequency(ws)
    newest = _newest(ws, as_of, version)
    over = _cycles(ws, newest, code)
    asked = _Asked(as_of, version, entries, over, newest, _spoken(ws, as_of, release, over))
    seen = _Seen()
    slices = max(1, math.ceil(len(asked.spoken) / FORECASTS_AT_ONCE))
    for first in range(min(slices, BUCKETS)):
        _look_at(ws, list(range(first, BUCKETS, slices)), asked, seen)
    history = pd.concat(seen.known).sort_values([AIRPORT, DS], ignore_index=True)
    reported = history.groupby(AIRPORT)[DS].max()
    until = _numbers(reported, code) if ws.settings.source.absent == "missing" else {}
    panel = residuals.panel(over, seen.missed, {a: model.missed for a, model in seen.models.items()}, until)
    return Evidence(
        panel=residuals.without(panel, drift_asked.dropped(ws, as_of)),
        history=history,
        frequency=code,
        newest=newest,
        data_version=version,
        restated=seen.restated,
        known_since=seen.known_since,
        reported={str(airport): newest for airport, newest in reported.items()},
        versions={airport: entry.version for airport, entry in entries.items()},
        model_age=_ages(seen.first, newest, over),
        last=seen.last,
        simple={airport: model.simple for airport, model in seen.models.items()},
    )


def _release(ws: Workspace, as_of: pd.Timestamp) -> Release:
    """What was in force when that instant came: a release of that very date has met no actual yet, and is often the
    answer to a check of it, which repeated is to find what it found before. Only before the first there is no other."""
    found = releases.in_force(ws, as_of - SECOND) or releases.in_force(ws, as_of)
    if found is not None:
        return found
    text = calendar.as_of_text(as_of)
    days = [record.as_of for record in releases.publications(ws)]
    if not days:
        raise ConfigurationError(f"fleet {ws.fleet}: no release yet, so nothing can drift; run `paxcast retrain` first")
    if min(days) > as_of:
        raise ConfigurationError(
            f"as_of: fleet {ws.fleet} had no release as of {text}; the first is as of "
            f"{calendar.as_of_text(min(days))}: name that day or a later one"
        )
    raise ConfigurationError(f"as_of: the release of fleet {ws.fleet} as of {text} was pruned; name a later day")


def _newest(ws: Workspace, as_of: pd.Timestamp, version: int) -> pd.Timestamp:
    """The newest period that any airport has, but one that is excluded, or in a row of a day that is still to come."""
    known_then: list[Filter] = [(FLEET, "=", ws.fleet), (KNOWN_AT, "<=", as_of.to_pydatetime())]
    known_then.append((DS, "<=", as_of.tz_localize(None).to_pydatetime()))
    left_out = sorted(airport for airport in ws.settings.overrides if ws.settings.excluded(airport))
    if left_out:
        known_then.append((AIRPORT, "not in", left_out))
    newest = ws.tables.read("observations", known_then, [DS], version)[DS].max()
    if pd.isna(newest):
        raise ConfigurationError(
            f"fleet {ws.fleet}: no airport that is not excluded has an actual as of {calendar.as_of_text(as_of)}, so "
            "nothing can drift; see overrides, or name a later day"
        )
    return pd.Timestamp(newest)


def _cycles(ws: Workspace, newest: pd.Timestamp, code: str) -> Cycles:
    """As many as are tested, and compared with at most, and the one before. In step with the day on which the fleet's
    first release begins to forecast."""
    rules, first = ws.settings.drift, releases.publications(ws)[0].as_of.tz_localize(None).ceil("D")
    return residuals.cycles(newest, code, first, rules.reference + rules.window + 1)


# --- what was published


def _spoken(ws: Workspace, as_of: pd.Timestamp, release: Release, over: Cycles) -> pd.DataFrame:
    """Every forecast that releases published up to `as_of` hold, of which any period may lie in the cycles: columns
    airport, run_key, checksum; made, number, in_force, since as `residuals.one_each` asks for them; present, whether
    the release in force holds it."""
    in_force, gone = {record.number for record in releases.succession(ws)}, releases.withdrawn(ws, as_of)
    found: dict[tuple[str, str, str], list[Any]] = {}
    for record in _publications(ws, as_of, release, over):
        for e in releases.entries(ws, record.release_id) or ():
            key = (e.airport, e.run_key, e.checksum)
            if key not in found:
                found[key] = [e.as_of, record.number, False, gone.get((e.airport, e.version)), False]
            found[key][2] |= record.number in in_force
    for e in release.entries:
        found[e.airport, e.run_key, e.checksum][4] = True
    rows = pd.DataFrame([[*key, *values] for key, values in found.items()], columns=SPOKEN)
    instants = {text: calendar.parse_as_of(text) for text in rows["made"].unique()}
    since = pd.to_datetime(rows["since"], utc=True)
    return rows.assign(made=pd.to_datetime(rows["made"].map(instants), utc=True), since=since)


def _publications(ws: Workspace, as_of: pd.Timestamp, release: Release, over: Cycles) -> list[Publication]:
    """Those that published anything for the cycles, in order: what was in force when they began, and all since."""
    began = pd.Timestamp(over.names[0], tz="UTC") - pd.Timedelta(days=over.length)
    before = [record.number for record in releases.succession(ws) if record.as_of < began][-1:]
    return [
        record
        for record in releases.publications(ws)
        if record.as_of <= as_of
        and (record.as_of >= began or record.number in before or record.release_id == release.release_id)
    ]


# --- some airports after others


def _look_at(ws: Workspace, buckets: list[int], asked: _Asked, seen: _Seen) -> None:
    """Add what there is of the airports of some buckets."""
    some: list[Filter] = [(FLEET, "=", ws.fleet), (BUCKET, "in", buckets)]
    filters: list[Filter] = [*some, (KNOWN_AT, "<=", asked.as_of.to_pydatetime())]
    observed = ws.tables.read("observations", filters, OBSERVATION, asked.data_version)
    check_known(observed, asked.as_of)
    usable = scoring.usable(observed)
    known = scoring.actuals(usable, asked.as_of)
    seen.restated |= _restated(usable, known[_tested(known[DS], asked.over, ws.settings.drift.window)])
    seen.known.append(known[HISTORY])
    filters = [*some, (RUN_KEY, "in", sorted(asked.spoken[RUN_KEY].unique()))]
    rows = ws.tables.read("forecasts", filters, [*scoring.KEY, "yhat", "hi80"])
    said = rows[rows[AIRPORT].isin(asked.entries)].merge(asked.spoken, on=scoring.FORECAST)
    said = said.assign(half=said["hi80"] - said["yhat"]).drop(columns=[RUN_KEY, scoring.CHECKSUM, "hi80"])
    present = said[said["present"]].drop_duplicates([AIRPORT, DS]).sort_values([AIRPORT, DS])
    ahead = {str(airport): rows for airport, rows in present.groupby(AIRPORT)}
    seen.first |= {airport: rows[DS].iloc[0] for airport, rows in ahead.items()}
    seen.last |= {airport: rows[DS].iloc[-1] for airport, rows in ahead.items()}
    models = _models(ws, asked, {airport: rows["half"].to_numpy() for airport, rows in ahead.items()})
    seen.models |= models
    compared = _compared(ws, asked, said, observed, known)
    tested = compared[_tested(compared[DS], asked.over, ws.settings.drift.window)].dropna(subset=[KNOWN_AT])
    seen.known_since |= {str(a): since for a, since in tested.groupby(AIRPORT)[KNOWN_AT].max().items()}
    scale = compared[AIRPORT].map({airport: model.scale for airport, model in models.items()})
    seen.missed |= residuals.of_forecasts(compared.assign(scale=scale), asked.over)


def _tested(ds: "pd.Series[pd.Timestamp]", over: Cycles, window: int) -> "pd.Series[bool]":
    """Which periods lie in the newest `window` cycles."""
    at = calendar.period_number(ds, over.frequency) - over.first
    return pd.Series((at >= over.periods - window * over.length) & (at < over.periods), ds.index)


def _restated(usable: pd.DataFrame, known: pd.DataFrame) -> dict[str, int]:
    """How many of these known values are others than were known at first, by airport, where any is."""
    both = usable.drop_duplicates([AIRPORT, DS]).merge(known, on=[AIRPORT, DS], suffixes=("_first", ""))
    counts = both.loc[both[f"{Y}_first"] != both[Y], AIRPORT].value_counts()
    return {str(airport): int(count) for airport, count in counts.items()}


def _compared(
    ws: Workspace, asked: _Asked, said: pd.DataFrame, observed: pd.DataFrame, known: pd.DataFrame
) -> pd.DataFrame:
    """One forecast of each airport and period, with its actual and since when that is known: NaT of an implied zero."""
    source, code = ws.settings.source, asked.over.frequency
    rows = residuals.one_each(said[said[DS] <= asked.newest], code)
    if source.absent == "zero":
        zeros = scoring.implied_zeros(rows, observed, asked.as_of, code, source.delay_days, asked.newest)
        known = pd.concat([known, zeros[HISTORY]]) if len(zeros) else known
    return rows.merge(known[[*HISTORY, KNOWN_AT]], on=[AIRPORT, DS])


def _models(ws: Workspace, asked: _Asked, half: Mapping[str, Array]) -> dict[str, OfModel]:
    """What the outcomes in force say. Of an outcome a thousandth is kept: all of them at once would fill the memory.

    half: by airport half the 80 % interval of the forecast in force, [H] traffic.
    """

    def of(airport: str) -> OfModel:
        entry = asked.entries[airport]
        result = ledger.load(ws.objects, entry.outcome_key, airport, entry.checksum)
        if result is None:
            raise ConfigurationError(
                f"airport {airport}: the outcome of run {entry.outcome_key} is no longer in {ws.settings.store_root}, "
                "so drift cannot be told; name a later --as-of, or retrain it with --force"
            )
        return residuals.of_model(result, entry.rule, half[airport], asked.over)

    with ThreadPoolExecutor(READERS) as readers:
        return dict(zip(half, readers.map(of, half), strict=True))


def _ages(first: Mapping[str, pd.Timestamp], newest: pd.Timestamp, over: Cycles) -> dict[str, int]:
    """By airport how many cycles lie between its first forecast and the fleet's newest period, that included."""
    last = _numbers(pd.Series([newest], ["newest"]), over.frequency)["newest"]
    numbers = _numbers(pd.Series(first), over.frequency)
    return {airport: max(0, last - number + 1) // over.length for airport, number in numbers.items()}


def _numbers(ds: "pd.Series[pd.Timestamp]", code: str) -> dict[str, int]:
    """The running number of each period, by the index."""
    return {str(a): int(n) for a, n in zip(ds.index, calendar.period_number(ds, code), strict=True)}
