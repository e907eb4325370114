"""The ledger: one immutable object per finished airport, and the table `outcomes` that each batch's end adds them to.

runs/RUN_KEY/begun/AIRPORT-CHECKSUM-ATTEMPT-N.json    taken up by a worker, the N-th one in this attempt
runs/RUN_KEY/outcomes/AIRPORT-CHECKSUM.json           finished: the commit point of an airport
runs/RUN_KEY/models/AIRPORT-CHECKSUM.json             its fitted model, written just before
runs/RUN_KEY/charts/AIRPORT-CHECKSUM.png              its chart, if it has one, written just before
runs/RUN_KEY/failed/AIRPORT-CHECKSUM-ATTEMPT.json     a transient failure: on record, not finished
"""

from collections.abc import Iterable

import pandas as pd

from paxcast.adapters.delta_store import TABLES
from paxcast.adapters.object_store import ObjectStore
from paxcast.core import outcome as outcomes
from paxcast.core.columns import FLEET
from paxcast.core.manifest import Manifest, PlannedAirport
from paxcast.core.outcome import Outcome
from paxcast.jobs.workspace import Workspace

Done = set[tuple[str, str]]


def record(objects: ObjectStore, result: Outcome, model: str | None = None, chart: bytes | None = None) -> None:
    """Make an outcome durable. Of two writers of a finished airport the first one counts."""
    place = f"runs/{result.run_key}"
    name = f"{result.airport}-{result.checksum}"
    if result.status == outcomes.FAILED:
        objects.put_if_absent(f"{place}/failed/{name}-{result.attempt:03d}.json", result.as_dict())
        return
    if model is not None:
        objects.put_if_absent(f"{place}/models/{name}.json", model)
    if chart is not None:
        objects.put_bytes_if_absent(f"{place}/charts/{name}.png", chart)
    objects.put_if_absent(f"{place}/outcomes/{name}.json", result.as_dict())


def begin(objects: ObjectStore, run_key: str, airport: str, checksum: str, attempt: int) -> int:
    """Put on record that a worker takes up an airport; the how-manieth it is, from 1. The ones before it were lost."""
    number = 1
    while not objects.put_if_absent(f"runs/{run_key}/begun/{airport}-{checksum}-{attempt:03d}-{number}.json", {}):
        number += 1
    return number


def finished(objects: ObjectStore, run_key: str) -> Done:
    """Every (airport, checksum) that is done under a run key."""
    return {_key(name) for name in objects.names(f"runs/{run_key}/outcomes")}


def attempts(objects: ObjectStore, run_key: str) -> dict[tuple[str, str], int]:
    """How often each (airport, checksum) has failed so far."""
    counted: dict[tuple[str, str], int] = {}
    for name in objects.names(f"runs/{run_key}/failed"):
        airport, checksum, _ = name.rsplit("/", 1)[1].removesuffix(".json").rsplit("-", 2)
        counted[airport, checksum] = counted.get((airport, checksum), 0) + 1
    return counted


def load(objects: ObjectStore, run_key: str, airport: str, checksum: str) -> Outcome | None:
    """The finished outcome of an airport, or None."""
    values = objects.get(f"runs/{run_key}/outcomes/{airport}-{checksum}.json")
    return outcomes.from_dict(values) if values else None


def load_failed(objects: ObjectStore, run_key: str, airport: str, checksum: str, attempt: int) -> Outcome | None:
    """The outcome of a failed attempt, or None."""
    values = objects.get(f"runs/{run_key}/failed/{airport}-{checksum}-{attempt:03d}.json")
    return outcomes.from_dict(values) if values else None


def load_model(objects: ObjectStore, run_key: str, airport: str, checksum: str) -> str | None:
    """The fitted model of an airport as text, or None."""
    model: str | None = objects.get(f"runs/{run_key}/models/{airport}-{checksum}.json")
    return model


def load_chart(objects: ObjectStore, run_key: str, airport: str, checksum: str) -> bytes | None:
    """The chart of an airport, a PNG, or None."""
    return objects.get_bytes(f"runs/{run_key}/charts/{airport}-{checksum}.png")


def settle(ws: Workspace, manifest: Manifest, batch: int) -> list[Outcome]:
    """What became of each airport of a batch that has ended, added to the table; an airport without any outcome, whose
    worker, driver or scheduler was lost and not replaced, is `failed` from here on."""
    failures = attempts(ws.objects, manifest.run_key)
    results = []
    for a in manifest.of_batch(batch):
        found = load(ws.objects, manifest.run_key, a.airport, a.checksum)
        if found is None and (a.airport, a.checksum) in failures:
            count = failures[a.airport, a.checksum]
            found = load_failed(ws.objects, manifest.run_key, a.airport, a.checksum, count)
        if found is None:
            found = _cut_off(manifest, a)
            record(ws.objects, found)
        results.append(found)
    compact(ws, results)
    return results


def compact(ws: Workspace, results: Iterable[Outcome]) -> int:
    """Add outcomes to the table, each once; how many were new."""
    keys = ["run_key", "airport", "checksum", "status", "attempt"]
    frame = pd.DataFrame([_row(result) for result in results])
    if frame.empty:
        return 0
    run_keys = sorted(frame["run_key"].unique())
    there = ws.tables.read("outcomes", [(FLEET, "=", ws.fleet), ("run_key", "in", run_keys)], keys)
    known = set(there.itertuples(index=False, name=None))
    fresh = frame[[key not in known for key in frame[keys].itertuples(index=False, name=None)]]
    ws.tables.append("outcomes", fresh)
    return len(fresh)


def newest(ws: Workspace, run_key: str) -> pd.DataFrame:
    """One row an airport: its outcome on the history that the run last judged, finished before failed.

    A restatement leaves two outcomes of an airport under one run key; the checksum in `quality` tells which one counts.
    """
    of_run = [(FLEET, "=", ws.fleet), ("run_key", "=", run_key)]
    judged = ws.tables.read("quality", of_run, ["airport", "checksum"])
    rows = ws.tables.read("outcomes", of_run).merge(judged, on=["airport", "checksum"])
    rows = rows.assign(open=rows["status"].eq(outcomes.FAILED))
    ordered = rows.sort_values(["airport", "open", "attempt"], ascending=[True, True, False])
    return ordered.drop_duplicates("airport").drop(columns="open").reset_index(drop=True)


def still_open(ws: Workspace) -> pd.DataFrame:
    """run_key, as_of, airport of everything that failed on a history on which no run of that date finished it.

    Restated since, and finished by its own run on the history that this run judged last, it is over too.
    """
    of_fleet, history, airport = [(FLEET, "=", ws.fleet)], ["as_of", "airport", "checksum"], ["run_key", "airport"]
    rows = ws.tables.read("outcomes", of_fleet, ["run_key", *history, "status"])
    done = rows[rows["status"].isin(outcomes.FINISHED)]
    judged = ws.tables.read("quality", of_fleet, [*airport, "checksum"])
    anew = done.merge(judged, on=[*airport, "checksum"])[airport].drop_duplicates().assign(anew=True)
    over = done[history].drop_duplicates().assign(over=True)
    merged = rows.merge(over, on=history, how="left").merge(anew, on=airport, how="left")
    return merged.loc[merged["over"].isna() & merged["anew"].isna(), ["run_key", "as_of", "airport"]].drop_duplicates()


def registrations(ws: Workspace, run_key: str) -> pd.DataFrame:
    """Model version by airport and checksum, for everything registered under a run key."""
    rows = ws.tables.read("registrations", [(FLEET, "=", ws.fleet), ("run_key", "=", run_key)])
    return rows.sort_values("version").drop_duplicates(["airport", "checksum"])


def not_registered(ws: Workspace, manifest: Manifest, batch: int | None = None) -> list[str]:
    """The airports of a manifest, or of one of its batches, that have no model version from this very run."""
    rows = registrations(ws, manifest.run_key)
    there = set(zip(rows["airport"], rows["checksum"], strict=True))
    wanted = manifest.airports if batch is None else manifest.of_batch(batch)
    return [a.airport for a in wanted if (a.airport, a.checksum) not in there]


def _cut_off(manifest: Manifest, planned: PlannedAirport) -> Outcome:
    return Outcome(
        run_key=manifest.run_key,
        fleet=manifest.fleet,
        airport=planned.airport,
        as_of=manifest.as_of,
        checksum=planned.checksum,
        batch=planned.batch,
        status=outcomes.FAILED,
        reason="its batch ended before it was finished; the log of the batch's task tune says why",
    )


def _row(result: Outcome) -> dict[str, object]:
    return {name: getattr(result, name) for name in TABLES["outcomes"].names}


def _key(name: str) -> tuple[str, str]:
    airport, checksum = name.rsplit("/", 1)[1].removesuffix(".json").rsplit("-", 1)
    return airport, checksum
