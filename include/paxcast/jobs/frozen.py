"""What was frozen of a past run: found by its key, by a release that it made, or by a date; or what of it is gone."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import FLEET
from paxcast.core.errors import ConfigurationError
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import OK, QUARANTINED
from paxcast.core.release import PART, Release, part_key
from paxcast.jobs import ledger, plan, releases
from paxcast.jobs.workspace import Workspace

NAME = re.compile(r"[A-Za-z0-9_-]+")  # of runs and releases: what else a person may write is no object's name
MOST_NAMED = 5
PRUNED = "it was pruned; `paxcast prune` keeps as much as the configured ages say"
Pair = tuple[str, str]  # airport, checksum of its history


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A past run. `manifests`: all its plans, those on the oldest data first. `histories`: of the airports that were
    asked for and finished, the checksum of the history that counts: the one in the release that was named, else the one
    that was planned last. `keys`: the keys of the decisions that count: those in the release that was named, else the
    run's and that of a part. `released`: the (key of the decision, airport, checksum) of what the run published.
    """

    run_key: str
    as_of: str
    manifests: tuple[Manifest, ...]
    histories: dict[str, str]
    keys: tuple[str, ...]
    released: frozenset[tuple[str, str, str]]


def find(ws: Workspace, run: str, airports: Sequence[str] = ()) -> Frozen:
    """The run of that key, or behind the release of that id, or behind the release in force at that date.

    With airports the run that made the forecasts of these in the release. Raises ConfigurationError for a run, release
    or airport that there is not, and if what was frozen, or an outcome, is gone.
    """
    wanted = run.strip()
    release = _release(ws, wanted)
    run_key = wanted.removesuffix(PART) if release is None else _run_of(release, airports)
    manifests = _manifests(ws, run_key)
    if not manifests:
        raise ConfigurationError(_unknown(ws, wanted, run_key, release))
    if manifests[0].fleet != ws.fleet:
        raise ConfigurationError(f"run {run_key} is of fleet {manifests[0].fleet}; use that fleet's --config")
    planned = {a.airport: a.checksum for manifest in manifests for a in manifest.airports}
    keys = {run_key, part_key(run_key)}
    if release is not None:
        entries = [entry for entry in release.entries if entry.outcome_key == run_key]
        planned, keys = {e.airport: e.checksum for e in entries}, {e.run_key for e in entries}
    _check_known(run_key, manifests, planned, airports)
    histories = _finished(ws, run_key, {a: c for a, c in planned.items() if not airports or a in airports}, release)
    if not histories or set(airports) - set(histories):
        raise ConfigurationError(_unfinished(ws, run_key, sorted(set(airports) - set(histories))))
    _check_planned(run_key, manifests, histories)
    return Frozen(
        run_key=run_key,
        as_of=manifests[0].as_of,
        manifests=manifests,
        histories=dict(sorted(histories.items())),
        keys=tuple(sorted(keys)),
        released=_released(ws, run_key),
    )


def _release(ws: Workspace, wanted: str) -> Release | None:
    """The release that is named, or in force at the date that is; None where it is neither."""
    if calendar.DATE.match(wanted):
        as_of = calendar.parse_as_of(wanted)
        found = releases.in_force(ws, as_of)
        if found is None:
            first = min((r.as_of for r in releases.publications(ws)), default=None)
            since = f"the first is of {calendar.as_of_text(first)}" if first is not None else "there is none yet"
            raise ConfigurationError(
                f"fleet {ws.fleet}: no release was in force as of {calendar.as_of_text(as_of)}; {since}"
            )
        return found
    named = NAME.fullmatch(wanted) and wanted.startswith(f"{ws.fleet}-")
    return releases.load(ws, wanted) if named else None


def _run_of(release: Release, airports: Sequence[str]) -> str:
    """The run that made a release; with airports the one that made their forecasts, which may be carried on in it."""
    entries = release.by_airport()
    missing = sorted(set(airports) - set(entries))
    if missing:
        raise ConfigurationError(f"airports: {', '.join(missing)}: not in release {release.release_id}")
    own = {airport: entries[airport].outcome_key for airport in airports}
    if len(set(own.values())) > 1:
        each = ", ".join(f"{airport} of {key}" for airport, key in sorted(own.items())[:MOST_NAMED])
        raise ConfigurationError(
            f"airports: in release {release.release_id} they are of more than one run: {each}; ask for one run's"
        )
    return min(own.values(), default=release.run_key)


def _manifests(ws: Workspace, run_key: str) -> tuple[Manifest, ...]:
    if not NAME.fullmatch(run_key):
        return ()
    ids = [n.rsplit("/", 1)[1].removesuffix(".json") for n in ws.objects.names(f"runs/{run_key}/manifests")]
    found = [plan.load(ws, run_key, manifest_id) for manifest_id in ids]
    return tuple(sorted(found, key=lambda m: (m.data_version, m.manifest_id)))


def _unknown(ws: Workspace, wanted: str, run_key: str, release: Release | None) -> str:
    runs = ws.tables.read("outcomes", [(FLEET, "=", ws.fleet)], ["run_key", "as_of"]).drop_duplicates()
    if release is not None or run_key in set(runs["run_key"]):
        return f"run {run_key}: its manifests, runs/{run_key}/manifests, are gone: {PRUNED}"
    newest = runs.sort_values(["as_of", "run_key"], ascending=False)["run_key"].head(MOST_NAMED)
    there = f"the newest runs are {', '.join(newest)}" if len(newest) else "nothing was run yet"
    return f"fleet {ws.fleet}: '{wanted}' is neither a run, nor a release, nor a date; {there}"


def _check_known(run_key: str, manifests: Sequence[Manifest], planned: dict[str, str], airports: Sequence[str]) -> None:
    quarantined = {q["airport"]: q["reason"] for manifest in manifests for q in manifest.quarantined}
    others = sorted(set(airports) - set(planned))
    if others:
        why = [f"{a} ({quarantined[a]})" if a in quarantined else a for a in others]
        raise ConfigurationError(f"airports: {', '.join(why)}: not forecast in run {run_key}")


def _finished(ws: Workspace, run_key: str, planned: dict[str, str], release: Release | None) -> dict[str, str]:
    """Those of these histories that were finished. Raises ConfigurationError for outcomes that are gone."""
    there = ledger.finished(ws.objects, run_key)
    done, quarantined = (_with_status(_rows(ws, run_key), status) for status in (OK, QUARANTINED))
    gone = [a for a, c in planned.items() if (a, c) not in there and (release is not None or (a, c) in done)]
    if gone:
        raise ConfigurationError(
            f"run {run_key}: the outcomes of {_named(gone)} are gone from runs/{run_key}/outcomes: {PRUNED}"
        )
    return {a: c for a, c in planned.items() if (a, c) in there - quarantined}


def _rows(ws: Workspace, run_key: str) -> pd.DataFrame:
    columns = ["airport", "checksum", "status", "reason", "attempt"]
    return ws.tables.read("outcomes", [(FLEET, "=", ws.fleet), ("run_key", "=", run_key)], columns)


def _with_status(rows: pd.DataFrame, status: str) -> set[Pair]:
    found = rows.loc[rows["status"] == status, ["airport", "checksum"]]
    return set(found.itertuples(index=False, name=None))


def _unfinished(ws: Workspace, run_key: str, airports: Sequence[str]) -> str:
    if not airports:
        return f"run {run_key}: no airport of it was finished, so there is nothing to compare with"
    rows = _rows(ws, run_key).sort_values("attempt").drop_duplicates("airport", keep="last").set_index("airport")
    why = [f"{a} ({rows['reason'][a]})" if a in rows.index else a for a in airports]
    return f"airports: {', '.join(why)}: not finished in run {run_key}, so there is nothing to compare with"


def _check_planned(run_key: str, manifests: Sequence[Manifest], histories: dict[str, str]) -> None:
    planned = {(a.airport, a.checksum) for manifest in manifests for a in manifest.airports}
    gone = [airport for airport, checksum in histories.items() if (airport, checksum) not in planned]
    if gone:
        raise ConfigurationError(
            f"run {run_key}: the manifest of {_named(gone)} is gone from runs/{run_key}/manifests: {PRUNED}"
        )


def _released(ws: Workspace, run_key: str) -> frozenset[tuple[str, str, str]]:
    """What the run's own releases that were published hold of it."""
    ids = {record.release_id for record in releases.publications(ws) if record.release_id.startswith(f"{run_key}-")}
    found = [release for one in sorted(ids) if (release := releases.load(ws, one)) is not None]
    entries = [entry for release in found for entry in release.entries if entry.outcome_key == run_key]
    return frozenset((entry.run_key, entry.airport, entry.checksum) for entry in entries)


def _named(airports: Iterable[str]) -> str:
    ordered = sorted(airports)
    more = f" and {len(ordered) - MOST_NAMED} more" if len(ordered) > MOST_NAMED else ""
    return ", ".join(ordered[:MOST_NAMED]) + more
