"""Prune: remove what is older than the configuration's `retention` and not needed any more, and merge small files.

What points at something goes before what it points at: a release's map, so that nobody goes back to it; a run's rows in
the tables; its model versions; its objects, by which the run itself is found, last of all. Broken off and asked again,
it goes on where it was. `retention` says what is needed.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from paxcast.adapters.delta_store import TABLES, Vacuumed
from paxcast.adapters.mlflow_registry import Registry
from paxcast.adapters.mlflow_registry import retention as registered
from paxcast.adapters.object_store import Stored
from paxcast.adapters.processes import this_process
from paxcast.core.columns import AIRPORT, FLEET, RUN_KEY
from paxcast.core.errors import LeaseHeld
from paxcast.core.outcome import OK
from paxcast.core.release import part_key
from paxcast.jobs import drift_asked, lease, retention
from paxcast.jobs.retention import Aliases, Whys
from paxcast.jobs.workspace import Workspace
from paxcast.sections import RetentionSettings

log = logging.getLogger("paxcast.prune")
OF_RUNS = ("registrations", "forecasts", "decisions", "outcomes")  # tables whose rows go with their run
STRIPPED = "trials_pruned.json"
COUNTED = ("search_histories", "trial_runs", "mlflow_runs", "model_versions", "objects")
NEW = "was written to within a day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed, or would be: releases, runs and drift checks by name, the others counted; and what is kept,
    with the reason.

    `rows`, `files`, `merged`: by table; files that were merged go later, once no version needs them. `versions_kept`:
    of the table `observations`. `versions_lost`: named by a plan that is kept, but gone before. `bytes_freed`: of
    objects and files; MLflow's are freed by `mlflow gc`.
    """

    now: str
    dry_run: bool
    releases: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    search_histories: int = 0
    trial_runs: int = 0
    mlflow_runs: int = 0
    model_versions: int = 0
    objects: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    merged: dict[str, int] = field(default_factory=dict)
    bytes_freed: int = 0
    releases_kept: Whys = field(default_factory=dict)
    runs_kept: Whys = field(default_factory=dict)
    checks_kept: Whys = field(default_factory=dict)
    versions_kept: dict[int, str] = field(default_factory=dict)
    versions_lost: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Due:
    """What is to go, and what stays with the reason. `aliased`: model versions that aliases point at."""

    releases: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    releases_kept: Whys = field(default_factory=dict)
    runs_kept: Whys = field(default_factory=dict)
    aliased: Aliases = field(default_factory=dict)


def prune(ws: Workspace, now: pd.Timestamp, dry_run: bool = False) -> Pruned:
    """Apply the ages of `retention` as of `now` (UTC). dry_run: only tell what would go; of files, what is idle by now.

    Publishing and rollbacks wait while it is decided what goes and the maps of releases are removed; a run of a date
    waits while an older one of it is. Raises LeaseHeld if a publication does not end, InfrastructureError if MLflow
    does not answer: what is needed is whole at every point, and the next one goes on.
    """
    registry = Registry(ws.settings.tracking_uri, ws.settings.experiment) if retention.run_keys(ws) else None
    merged = {table: ws.tables.compact(table, ws.fleet, dry_run=dry_run) for table in TABLES}
    work = _Work(ws, registry, now, dry_run)
    work.releases()
    work.trials()
    for run_key in work.due.runs:
        work.run(run_key)
    checks, checks_kept = work.checks()
    versions, vacuumed = work.files()
    result = Pruned(
        now=now.isoformat(),
        dry_run=dry_run,
        releases=work.due.releases,
        runs=tuple(work.gone),
        checks=checks,
        **{name: work.counts[name] for name in COUNTED},
        rows=_some(work.rows),
        files=_some({table: found.files for table, found in vacuumed.items()}),
        merged=_some(merged),
        bytes_freed=work.size + sum(found.size for found in vacuumed.values()),
        releases_kept=work.due.releases_kept,
        runs_kept=work.due.runs_kept,
        checks_kept=checks_kept,
        versions_kept=versions,
        versions_lost=vacuumed["observations"].lost,
    )
    said = "would be removed" if dry_run else "removed"
    log.info("%d releases and %d runs %s", len(result.releases), len(result.runs), said)
    return result


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {table: count for table, count in counts.items() if count}


@dataclass(slots=True)
class _Work:
    """One pruning, and what it has removed so far: or, in a dry run, would have."""

    ws: Workspace
    registry: Registry | None
    now: pd.Timestamp
    dry_run: bool
    due: _Due = field(default_factory=_Due)
    gone: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    size: int = 0

    def releases(self) -> None:
        """Decide what goes, and remove the maps of releases: from then on nobody goes back to them."""
        if self.dry_run:
            self.due = self._decided()
            self._remove(self._maps())
            return
        with lease.alone(self.ws, lease.PUBLISH, "prune"):
            self.due = self._decided()
            drift_asked.remember(self.ws, self.due.releases)
            self._remove(self._maps())

    def trials(self) -> None:
        """Take the search histories of old runs that stay out of their outcomes, and old trials' own runs away."""
        if self.registry is None:
            return
        busy, limit = {held.run_key for held in lease.active(self.ws)}, self._ago(self._days.trials_days)
        there = retention.stored(self.ws)
        for run_key in sorted(set(self.due.runs_kept) - busy):
            if retention.made_at(self.ws, there, run_key) <= limit:
                self._strip(run_key, limit)
        old = [r for r, key in registered.trial_runs(self.registry, self.ws.fleet, limit).items() if key not in busy]
        self.counts["trial_runs"] += len(old)
        if not self.dry_run:
            registered.remove_runs(self.registry, old)

    def run(self, run_key: str) -> None:
        """Remove all there is of a run, unless one of its date has begun meanwhile."""
        if not self.ws.objects.stored(f"runs/{run_key}"):  # on a local disk the folder stays
            return
        if self.dry_run:
            self._run(run_key)
            return
        try:
            with lease.held_by_this_process(self.ws, retention.date_of(run_key), f"prune {this_process()}", run_key):
                self._run(run_key)
        except LeaseHeld as err:
            self.due.runs_kept[run_key] = retention.WRITTEN
            log.warning("run %s stays for now: %s", run_key, err)

    def checks(self) -> tuple[tuple[str, ...], Whys]:
        """Remove old drift checks: their rows, their runs in MLflow, their pages, and themselves. Which went, and why
        the others stay."""
        written = retention.checks(self.ws)
        kept = retention.keep_checks(self.ws, written, self._ago(self._days.runs_days))
        going = tuple(sorted(set(written) - set(kept)))
        if going:
            self.rows["drift"] += self.ws.tables.remove("drift", self.ws.fleet, going, self.dry_run)
        for key in going:
            self._registered(key)
        names = {f"drift/{self.ws.fleet}/{key}" for key in going}
        there = self.ws.objects.stored(f"drift/{self.ws.fleet}")
        self._remove([one for one in there if one.name.rsplit("/", 1)[0] in names])
        self._remove([one for one in there if one.name.removesuffix(".json") in names])
        return going, kept

    def files(self) -> tuple[dict[int, str], dict[str, Vacuumed]]:
        """The versions of `observations` that plans name, and what became of the files of each table."""
        versions = self._data_versions()
        keep = {"observations": sorted(versions)}
        before = self._ago(self._days.tables_days)
        return versions, {
            table: self.ws.tables.vacuum(table, self.ws.fleet, before, keep.get(table, ()), self.dry_run)
            for table in TABLES
        }

    @property
    def _days(self) -> RetentionSettings:
        return self.ws.settings.retention

    def _ago(self, days: int) -> pd.Timestamp:
        return self.now - pd.Timedelta(days=days)

    def _decided(self) -> _Due:
        ws, limit = self.ws, self._ago(self._days.runs_days)
        aliased = registered.aliased(self.registry, ws.fleet) if self.registry else {}
        there = retention.stored(ws)
        kept = retention.keep_releases(ws, there, self._with_aliases(aliased), limit)
        kept |= {name: NEW for name in set(there) - set(kept) if self._new(there[name].run_key)}
        runs = retention.keep_runs(ws, there, kept, aliased, limit)
        others = [run_key for run_key in retention.run_keys(ws) if run_key not in runs]
        new = {key: NEW for key in others if self._new(key)}
        going = tuple(key for key in others if key not in new)
        return _Due(tuple(sorted(set(there) - set(kept))), going, kept, runs | new, aliased)

    def _with_aliases(self, aliased: Aliases) -> Whys:
        own = {pair: names for pair, names in aliased.items() if pair[0] == f"{self.ws.fleet}.release"}
        if self.registry is None:
            return {}
        return {registered.release_of(self.registry, p): f"has the alias {', '.join(own[p])}" for p in own}

    def _new(self, run_key: str) -> bool:
        return retention.written_at(self.ws, run_key) > self._ago(1)

    def _maps(self) -> list[Stored]:
        names = {f"releases/{self.ws.fleet}/{name}.json" for name in self.due.releases}
        return [one for one in self.ws.objects.stored(f"releases/{self.ws.fleet}") if one.name in names]

    def _remove(self, found: Sequence[Stored]) -> None:
        if not self.dry_run:
            self.ws.objects.remove([one.name for one in found])
        self.counts["objects"] += len(found)
        self.size += sum(one.size for one in found)

    def _run(self, run_key: str) -> None:
        for table in OF_RUNS:
            keys = [run_key, part_key(run_key)]
            self.rows[table] += self.ws.tables.remove(table, self.ws.fleet, keys, self.dry_run)
        self._registered(run_key)
        found = [*self.ws.objects.stored(f"reports/{run_key}"), *self.ws.objects.stored(f"runs/{run_key}")]
        for some in _in_order(run_key, found):
            self._remove(some)
        self.gone.append(run_key)

    def _registered(self, run_key: str) -> None:
        if self.registry is None:
            return
        found = registered.find(self.registry, run_key, sorted(self.due.aliased))
        self.counts["mlflow_runs"] += len(found.runs)
        self.counts["model_versions"] += len(found.versions)
        if not self.dry_run:
            registered.remove(self.registry, found)

    def _strip(self, run_key: str, limit: pd.Timestamp) -> None:
        """Once for each outcome: how many were looked at is on record, so that the others tell that there are more.

        One that is not registered keeps its trials, which are registered with it.
        """
        outcomes, marker = self.ws.objects.stored(f"runs/{run_key}/outcomes"), f"runs/{run_key}/{STRIPPED}"
        if (self.ws.objects.get(marker) or {}).get("outcomes", 0) == len(outcomes):
            return
        rows = self.ws.tables.read("registrations", [(FLEET, "=", self.ws.fleet), (RUN_KEY, "=", run_key)])
        there, looked_at = set(zip(rows[AIRPORT], rows["checksum"], strict=True)), 0
        for name in [one.name for one in outcomes if one.modified <= limit]:
            value = self.ws.objects.get(name) or {}
            if value["status"] == OK and (value["airport"], value["checksum"]) not in there:
                continue
            looked_at += 1
            self.counts["search_histories"] += bool(value["trials"])
            if value["trials"] and not self.dry_run:
                self.ws.objects.put(name, {**value, "trials": {}})
        if not self.dry_run:
            self.ws.objects.put(marker, {"outcomes": looked_at})

    def _data_versions(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for run_key in [key for key in retention.run_keys(self.ws) if key not in self.gone]:
            for name in self.ws.objects.names(f"runs/{run_key}/manifests"):
                found[int((self.ws.objects.get(name) or {})["data_version"])] = f"{run_key} was planned on it"
        return dict(sorted(found.items()))


def _in_order(run_key: str, found: Sequence[Stored]) -> list[list[Stored]]:
    """What points at others first; the plan and what was frozen with it, which all else rests on, last."""
    groups: list[list[Stored]] = [[], [], []]
    for one in found:
        path = one.name.removeprefix(f"runs/{run_key}/")
        points = path.startswith("reports/") or path == "planned.json"
        rests = path.startswith("manifests/") or "/" not in path
        groups[0 if points else 2 if rests else 1].append(one)
    return groups
