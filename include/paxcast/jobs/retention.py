"""What is needed still, and why: the releases and runs that `prune` leaves alone, whatever their age.

A release is needed if it is in force, if a rollback would go to it, if a kept one was decided with it, or for its
youth; a run if such a release has an airport of it, or it is being written, or it is what `status` tells of an airport;
a drift check if it is the newest, or what was asked for since then is not over or no evidence any more.
Ages are those of recorded facts: when a release was made, when a run took its lease; without one, when an object was
written.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from paxcast.adapters.mlflow_registry.retention import Pair
from paxcast.core import calendar
from paxcast.core import release as release_core
from paxcast.core.columns import AIRPORT, FLEET, RUN_KEY
from paxcast.core.drift.policy import ASKS
from paxcast.core.release import Release, part_key
from paxcast.jobs import drift_asked, histories, lease, releases
from paxcast.jobs.on_record import EVER
from paxcast.jobs.workspace import Workspace

IN_FORCE, YOUNG, WRITTEN = "is in force", "is younger than the retention", "is being written"
CYCLE_DAYS = {"D": 7, "W": 7, "MS": 31}  # at most
Whys = dict[str, str]  # by release or run key, why it is kept
Aliases = dict[Pair, tuple[str, ...]]  # by model and version


@dataclass(frozen=True, slots=True)
class Made:
    """A release that is in the store, without its map: `run_keys` are those of its airports' outcomes, and its own."""

    made_at: pd.Timestamp
    run_key: str
    in_part: bool  # decided before its fleet was
    run_keys: frozenset[str]


def stored(ws: Workspace) -> dict[str, Made]:
    """Every release whose map is in the store, by its id."""
    found = {}
    for name in ws.objects.names(f"releases/{ws.fleet}"):
        value = ws.objects.get(name)
        if value is not None and "release" in value:  # the pointer has none
            release = release_core.from_dict(value["release"])
            keys = {e.run_key for e in release.entries}
            found[release.release_id] = Made(
                made_at=pd.Timestamp(value["made_at"]),
                run_key=release.run_key,
                in_part=part_key(release.run_key) in keys and release.run_key not in keys,
                run_keys=frozenset({release.run_key, *(e.outcome_key for e in release.entries)}),
            )
    return found


def run_keys(ws: Workspace) -> list[str]:
    """Every run key of the fleet that anything may be stored of. Not those of backtests."""
    pattern = re.compile(rf"{ws.fleet}-[0-9]{{8}}T[0-9]{{6}}-[0-9a-f]+-r[0-9]+")
    return [name for name in ws.objects.folders("runs") if pattern.fullmatch(name)]


def date_of(run_key: str) -> str:
    """What the lease of a run is taken of, see `lease.of_date`."""
    return run_key.split("-")[1] + "Z"


def keep_releases(ws: Workspace, there: dict[str, Made], in_mlflow: Whys, limit: pd.Timestamp) -> Whys:
    """The releases to keep, and why. there: all; in_mlflow: those whose model an alias points at; limit: what was made
    since is kept."""
    why: Whys = {}
    young = dict(_young(ws, there, limit))
    for name, reason in [*_in_force(ws), *in_mlflow.items(), *young.items(), *_used(ws, there)]:
        if name in there:
            why.setdefault(name, reason)
    for name in list(why):
        if name in young or why[name] == IN_FORCE or _in_part(ws, there[name]):
            for before in _decided_with(ws, there, name):
                why.setdefault(before, f"is what {name} was decided with")
    return why


def keep_runs(ws: Workspace, there: dict[str, Made], kept: Whys, aliased: Aliases, limit: pd.Timestamp) -> Whys:
    """The runs to keep, and why. there: all releases; kept: those to keep; limit: what was made since is kept."""
    released = [(key, f"is in release {n}, which {kept[n]}") for n in kept for key in sorted(there[n].run_keys)]
    why: Whys = {}
    for key, reason in [*_written(ws), *released, *_with_aliases(ws, aliased), *_shown(ws)]:
        why.setdefault(key, reason)
    why |= {key: YOUNG for key in run_keys(ws) if key not in why and made_at(ws, there, key) > limit}
    for key in list(why):
        for earlier in _fixed_by_revision_before(ws, key):
            why.setdefault(earlier, f"is what a part of the fleet is decided with in {key}")
    return why


def made_at(ws: Workspace, there: dict[str, Made], run_key: str) -> pd.Timestamp:
    """When a run last made a release, or else took its lease, or else, of a plan without either, was written to."""
    made = [release.made_at for release in there.values() if release.run_key == run_key]
    if made:
        return max(made)
    terms = [ws.objects.get(name) or {} for name in ws.objects.names(f"leases/{ws.fleet}/{date_of(run_key)}")]
    since = [pd.Timestamp(term["since"]) for term in terms if term.get("run_key") == run_key]
    return max(since) if since else written_at(ws, run_key)


def written_at(ws: Workspace, run_key: str) -> pd.Timestamp:
    """When anything was last added to a run; long ago if there is nothing."""
    return max((one.modified for one in ws.objects.stored(f"runs/{run_key}")), default=pd.Timestamp(0, tz="UTC"))


def checks(ws: Workspace) -> dict[str, pd.Timestamp]:
    """Every drift check of the fleet, by its key, and when it was last written."""
    pattern = re.compile(rf"drift/{ws.fleet}/({ws.fleet}-[0-9]{{8}}T[0-9]{{6}}-drift)\.json")
    found = [(pattern.fullmatch(one.name), one.modified) for one in ws.objects.stored(f"drift/{ws.fleet}")]
    return {name[1]: modified for name, modified in found if name}


def keep_checks(ws: Workspace, written: Mapping[str, pd.Timestamp], limit: pd.Timestamp) -> Whys:
    """The drift checks to keep, and why. written: all; limit: what was written since is kept."""
    if not written:
        return {}
    instants = {key: pd.Timestamp(key.split("-")[1], tz="UTC") for key in written}
    newest = max(instants, key=lambda key: instants[key])
    asks = ws.tables.read("drift", [(FLEET, "=", ws.fleet), ("action", "in", list(ASKS))], ["check_key", AIRPORT])
    asked = {str(key): set(rows[AIRPORT]) for key, rows in asks.groupby("check_key") if key in instants}
    since = _open_since(ws, {instants[key]: airports for key, airports in asked.items()})
    own, days = ws.settings.drift, CYCLE_DAYS[histories.frequency(ws)]
    reach = instants[newest] - (own.reference + 2 * own.window) * pd.Timedelta(days=days)
    first = min((instants[key] for key in asked if instants[key] >= reach), default=EVER)
    why = {newest: "is the newest check"}
    for key, instant in instants.items():
        if written[key] > limit:
            why.setdefault(key, YOUNG)
        if instant >= since:
            why.setdefault(key, "tells of an airport that was asked for and is not quiet yet")
        if instant >= first:
            why.setdefault(key, "tells what came of models that were asked for, whose reasons are no evidence again")
    return why


def _open_since(ws: Workspace, asks: Mapping[pd.Timestamp, set[str]]) -> pd.Timestamp:
    """When the first of the drift episodes began that are not over; EVER without any. asks: who was asked for when."""
    first, still_open = EVER, set(drift_asked.past(ws, EVER))
    for instant in sorted(asks, reverse=True):
        asked = still_open & asks[instant]
        if asked:
            first = min(first, instant)
            still_open -= asked - set(drift_asked.past(ws, instant))  # who was in none before
    return first


def _in_force(ws: Workspace) -> Iterator[tuple[str, str]]:
    current = releases.current(ws)
    if current is not None:
        yield current.release_id, IN_FORCE
        yield from ((release.release_id, "is what a rollback goes to") for release in _rolled_back_to(ws, current))
        since = calendar.parse_as_of(releases.counts_from(ws) or current.as_of)
        for record in releases.publications(ws):
            if record.instead_of and record.as_of >= since:  # with its map that would be forgotten
                yield record.instead_of, "was rolled back, and shall not come back by itself"


def _rolled_back_to(ws: Workspace, current: Release) -> Iterator[Release]:
    """The releases that a rollback of the fleet, or of any airport in force, would go to, see jobs/rollback.py."""
    gone = releases.withdrawn(ws)
    ids = dict.fromkeys(record.release_id for record in reversed(releases.succession(ws)))
    waiting, whole = current.by_airport(), False
    for release in (releases.load(ws, one) for one in ids if one != current.release_id):
        if release is None:
            continue
        usable = {e.airport: e.version for e in release.entries if (e.airport, e.version) not in gone}
        first = not whole and len(usable) == len(release.entries)
        met = [a for a, e in waiting.items() if a in usable and usable[a] != e.version]
        if first or met:
            yield release
        whole = whole or first
        waiting = {a: e for a, e in waiting.items() if a not in met}
        if whole and not waiting:
            return


def _young(ws: Workspace, there: dict[str, Made], limit: pd.Timestamp) -> Iterator[tuple[str, str]]:
    """What was made since, or published: no earlier than any release that was published before it was made."""
    yield from ((name, YOUNG) for name, made in there.items() if made.made_at > limit)
    reached = pd.Timestamp(0, tz="UTC")
    for record in releases.publications(ws):
        if record.release_id in there:
            reached = max(reached, there[record.release_id].made_at)
            if reached > limit:
                yield record.release_id, YOUNG


def _used(ws: Workspace, there: dict[str, Made]) -> Iterator[tuple[str, str]]:
    """The releases that a run going on has made, has frozen or may freeze, and the one it will build its own on."""
    for held in lease.active(ws):
        as_of = pd.Timestamp(held.what)
        befores = [releases.newest_before(ws, as_of, for_backfill=backfill) for backfill in (False, True)]
        found = [release.release_id for release in [releases.in_force(ws, as_of), *befores] if release is not None]
        own = [name for name, made in there.items() if made.run_key == held.run_key]
        for name in [*own, *found, *_frozen(ws, held.run_key)]:
            yield name, f"is needed by {held.run_key}, which {WRITTEN}"


def _written(ws: Workspace) -> Iterator[tuple[str, str]]:
    return ((held.run_key, WRITTEN) for held in lease.active(ws))


def _decided_with(ws: Workspace, there: dict[str, Made], name: str) -> Iterator[str]:
    """The release that was frozen as the previous one; if that was of a part of the fleet, also those that it took
    rule and intervals from, as `decide` goes back."""
    seen = {name}
    while before := next((one for one in _frozen(ws, there[name].run_key) if one in there and one not in seen), None):
        yield before
        if not _in_part(ws, there[before]):
            return
        seen.add(before)
        name = before


def _in_part(ws: Workspace, made: Made) -> bool:
    """Whether it took rule and intervals from a release before it."""
    return made.in_part or not _fixed(ws, made.run_key)


def _frozen(ws: Workspace, run_key: str) -> list[str]:
    found = (ws.objects.get(f"runs/{run_key}/context.json") or {}).get("previous_release")
    return [found] if found else []


def _fixed(ws: Workspace, run_key: str) -> bool:
    return ws.objects.get(f"runs/{run_key}/fleet.json") is not None


def _fixed_by_revision_before(ws: Workspace, run_key: str) -> Iterator[str]:
    """The last revision before this one under which the whole fleet was decided, where under this one it was not."""
    base, _, number = run_key.rpartition("-r")
    if not number.isdigit() or int(number) == 0 or _fixed(ws, run_key):
        return
    earlier = (f"{base}-r{revision}" for revision in reversed(range(int(number))))
    yield from [key for key in earlier if _fixed(ws, key)][:1]


def _with_aliases(ws: Workspace, aliased: Aliases) -> Iterator[tuple[str, str]]:
    """The runs whose models aliases point at: by what was registered."""
    rows = ws.tables.read("registrations", [(FLEET, "=", ws.fleet)], [RUN_KEY, "model", "version"])
    for key, model, version in rows.itertuples(index=False, name=None):
        if names := aliased.get((str(model), int(version))):
            yield str(key), f"made {model}, version {version}, which has the alias {', '.join(names)}"


def _shown(ws: Workspace) -> list[tuple[str, str]]:
    """The runs of the newest date on which each airport was judged and ended in any way: what `status` tells."""
    of_fleet, key = [(FLEET, "=", ws.fleet)], [RUN_KEY, AIRPORT, "checksum"]
    judged = ws.tables.read("quality", of_fleet, key)
    rows = ws.tables.read("outcomes", of_fleet, [*key, "as_of"]).merge(judged, on=key)
    instants = {text: calendar.parse_as_of(text) for text in rows["as_of"].unique()}
    rows = rows.assign(instant=pd.to_datetime(rows["as_of"].map(instants), utc=True))
    newest = rows["instant"].eq(rows.groupby(AIRPORT)["instant"].transform("max"))
    return [(key, "is the newest run of an airport") for key in sorted(rows.loc[newest, RUN_KEY].unique())]
