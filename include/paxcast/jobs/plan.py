"""Plan: freeze who is forecast, in which batch, and what the numbers may depend on. Asked again, the same plan."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from paxcast.adapters.code_version import code_version
from paxcast.core import calendar, outcome
from paxcast.core import manifest as manifests
from paxcast.core.errors import ConfigurationError, NothingToForecast, UnknownAirports
from paxcast.core.manifest import Manifest
from paxcast.core.release import Entry
from paxcast.core.warm_start import fleet_best
from paxcast.jobs import drift_asked, histories, ledger, releases, validate
from paxcast.jobs.run import Run
from paxcast.jobs.validate import Validated
from paxcast.jobs.workspace import Workspace

READERS = 8  # of outcomes at a time


@dataclass(frozen=True, slots=True)
class Planned:
    """A frozen manifest and, for each batch, how it is called."""

    manifest: Manifest
    labels: list[str]
    already_done: int


def plan(run: Run, validated: Validated) -> Planned:
    """Choose the airports, freeze the manifest, put the quarantined on record. A dry run freezes nothing.

    Raises UnknownAirports for codes the fleet does not have, NothingToForecast when no airport can be forecast,
    ConfigurationError for the drifted of a fleet that was not checked yet.
    """
    verdicts, reasons = _verdicts(run, validated), drifted(run)
    chosen = verdicts[verdicts["airport"].isin(_selection(run, verdicts, reasons))]
    good, bad = chosen[~chosen["quarantined"]], chosen[chosen["quarantined"]]
    if good.empty and not run.request.rerun_failed:
        raise NothingToForecast(_nothing(run, bad))
    manifest = _manifest(run, validated, good, bad, reasons)
    if not run.request.dry_run:
        run.ws.objects.put_if_absent(_name(manifest.run_key, manifest.manifest_id), manifest.as_dict())
        manifest = load(run.ws, manifest.run_key, manifest.manifest_id)
        run.ws.objects.put(_newest_name(run.run_key), {"manifest_id": manifest.manifest_id})
        _record_quarantined(run, bad)
    done = ledger.finished(run.ws.objects, run.run_key)
    already = sum((a.airport, a.checksum) in done for a in manifest.airports)
    return Planned(manifest, [manifests.label(i, b) for i, b in enumerate(manifest.batches())], already)


def load(ws: Workspace, run_key: str, manifest_id: str) -> Manifest:
    """A frozen manifest. Raises KeyError if it was never frozen, which only a broken store can cause."""
    value = ws.objects.get(_name(run_key, manifest_id))
    if value is None:
        raise KeyError(f"{run_key}: no manifest {manifest_id} in {ws.objects.root}")
    return manifests.from_dict(value)


def newest(ws: Workspace, run_key: str) -> Manifest | None:
    """The manifest that was planned last under a run key, or None before the first: for people who watch."""
    pointer = ws.objects.get(_newest_name(run_key))
    return load(ws, run_key, pointer["manifest_id"]) if pointer else None


def that_planned(ws: Workspace, run_key: str, airport: str, checksum: str) -> Manifest | None:
    """The manifest under a run key that first planned an airport on a history, or None: of its data the outcome is."""
    names = ws.objects.names(f"runs/{run_key}/manifests")
    every = [load(ws, run_key, name.rsplit("/", 1)[1].removesuffix(".json")) for name in names]
    found = [m for m in every if any((a.airport, a.checksum) == (airport, checksum) for a in m.airports)]
    return min(found, key=lambda m: (m.data_version, m.manifest_id), default=None)


def _verdicts(run: Run, validated: Validated) -> pd.DataFrame:
    if not run.request.dry_run:
        return validate.read(run)
    judged = validate.judge(run, validated.data_version)
    columns = ["airport", "quarantined", "reasons", "detail", "checksum"]
    return pd.DataFrame(
        [[v.airport, v.quarantined, ",".join(v.reasons), v.detail, v.checksum] for v in judged], columns=columns
    )


def drifted(run: Run) -> dict[str, str]:
    """Of a run of the drifted, by airport why the newest check asked for it; only of those that the run names, if it
    names any. Empty for any other run. Raises ConfigurationError if the fleet was not checked by then."""
    if not run.request.drifted:
        return {}
    asked = set(run.request.airports)
    return {a: why for a, why in drift_asked.asked_for(run.ws, run.as_of).items() if not asked or a in asked}


def nobody_drifted(run: Run) -> str:
    """What is told of a run of the drifted that has no airport."""
    newest = drift_asked.newest_check(run.ws, run.as_of)
    checked = "" if newest is None else f", as of {calendar.as_of_text(newest)},"
    whom = "none of these airports" if run.request.airports else "no airport"
    return f"fleet {run.ws.fleet}: the newest drift check{checked} asks to retrain {whom}; nothing is to be done"


def _selection(run: Run, verdicts: pd.DataFrame, drifted: Collection[str]) -> set[str]:
    everyone = set(verdicts["airport"])
    asked = set(run.request.airports)
    unknown = sorted(asked - everyone)
    if unknown:
        raise UnknownAirports(
            f"airports: {', '.join(unknown)}: nothing of them was known as of {calendar.as_of_text(run.as_of)} in "
            f"fleet {run.ws.fleet} ({len(everyone)} airports); check the codes, or ingest their data first"
        )
    selected = everyone.intersection(drifted) if run.request.drifted else asked or everyone
    return selected & _open(run) if run.request.rerun_failed else selected


def _open(run: Run) -> set[str]:
    """The airports that failed under this run key. Raises ConfigurationError if they did so under another one only."""
    rows = ledger.still_open(run.ws)
    here = set(rows.loc[rows["run_key"] == run.run_key, "airport"])
    elsewhere = rows[rows["as_of"] == calendar.as_of_text(run.as_of)]
    if not here and len(elsewhere):
        raise ConfigurationError(
            f"rerun_failed: {len(elsewhere)} airports of {elsewhere['as_of'].iloc[0]} failed, but in "
            f"{elsewhere['run_key'].iloc[0]}, under other settings; run that date without rerun_failed instead"
        )
    return here


def _why(run: Run) -> str:
    if run.request.rerun_failed:
        return "failed before"
    return "asked for by name" if run.request.airports else manifests.WHOLE_FLEET


def _manifest(
    run: Run, validated: Validated, good: pd.DataFrame, bad: pd.DataFrame, drifted: Mapping[str, str]
) -> Manifest:
    ws = run.ws
    code = histories.frequency(ws)
    why = _why(run)
    chosen = zip(good["airport"], good["checksum"], strict=True)
    airports = manifests.split([(str(a), str(c), drifted.get(a, why)) for a, c in chosen], ws.settings.batches)
    quarantined = tuple(
        {"airport": str(a), "reason": str(d)} for a, d in zip(bad["airport"], bad["detail"], strict=True)
    )
    content: dict[str, Any] = {
        "run_key": run.run_key,
        "numbers": ws.settings.numbers(),
        "airports": [[a.airport, a.checksum, a.batch, a.why] for a in airports],
        "quarantined": quarantined,
    }
    return Manifest(
        manifest_id=manifests.manifest_id(content),
        run_key=run.run_key,
        fleet=ws.fleet,
        as_of=calendar.as_of_text(run.as_of),
        config_hash=run.config_hash,
        numbers=ws.settings.numbers(),
        frequency=code,
        horizon=histories.horizon(ws, code),
        data_version=validated.data_version,
        code_version=code_version(),
        airports=airports,
        quarantined=quarantined,
        context=_context(run),
    )


def _context(run: Run) -> dict[str, Any]:
    """What numbers may depend on besides the data: frozen by the first plan of a run key, read by later ones."""
    name = f"runs/{run.run_key}/context.json"
    previous = releases.newest_before(run.ws, run.as_of, for_backfill=run.request.backfill)
    entries = previous.entries if previous else ()
    champions = {e.airport: _by_candidate(e.parameters) for e in entries}
    shadow = _shadow(run.ws, entries) if run.ws.settings.promotion.shadow_cycles else {}
    fallbacks = drift_asked.pinned(run.ws, run.as_of)
    for airport, (in_force, _) in shadow.items():
        champions[airport] = in_force | champions[airport]
    fresh = {
        "previous_release": previous.release_id if previous else None,
        "champions": champions,
        "fleet_best": fleet_best(list(champions.values())),
        **({"waiting": {a: w for a, (_, w) in shadow.items() if w}} if shadow else {}),
        **({"pinned": fallbacks} if fallbacks else {}),
    }
    if not run.request.dry_run:
        run.ws.objects.put_if_absent(name, fresh)
    return run.ws.objects.get(name) or fresh


def _shadow(ws: Workspace, entries: Sequence[Entry]) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """By airport and candidate, from the outcomes that a release was made of: the parameters in force of each that was
    searched, also of those that got no weight, and the challengers that were left in the shadow."""
    with ThreadPoolExecutor(READERS) as readers:
        results = readers.map(lambda e: ledger.load(ws.objects, e.outcome_key, e.airport, e.checksum), entries)
        return {
            r.airport: (
                {e["candidate"]: e["parameters"] for e in r.entrants if e["candidate"] in r.choices},
                {name: made["waiting"] for name, made in r.choices.items() if made["waiting"]},
            )
            for r in results
            if r is not None
        }


def _by_candidate(parameters: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """An entry's parameters by candidate; releases made before there were combinations have {name: value} there."""
    return {name: own for name, own in parameters.items() if isinstance(own, dict)}


def _record_quarantined(run: Run, bad: pd.DataFrame) -> None:
    results = [
        outcome.Outcome(
            run_key=run.run_key,
            fleet=run.ws.fleet,
            airport=str(row.airport),
            as_of=calendar.as_of_text(run.as_of),
            checksum=str(row.checksum),
            batch=-1,
            status=outcome.QUARANTINED,
            reason=str(row.detail),
        )
        for row in bad.itertuples()
    ]
    for result in results:
        ledger.record(run.ws.objects, result)
    ledger.compact(run.ws, results)


def _nothing(run: Run, bad: pd.DataFrame) -> str:
    as_of = calendar.as_of_text(run.as_of)
    if bad.empty and run.request.drifted:
        return nobody_drifted(run)
    if bad.empty:
        return (
            f"fleet {run.ws.fleet}: nothing is known as of {as_of}; choose a later date, or `paxcast ingest` older data"
        )
    first = bad.iloc[0]
    return (
        f"fleet {run.ws.fleet}: all {len(bad)} airports are quarantined as of {as_of}; "
        f"the first, {first['airport']}: {first['detail']}"
    )


def _name(run_key: str, manifest_id: str) -> str:
    return f"runs/{run_key}/manifests/{manifest_id}.json"


def _newest_name(run_key: str) -> str:
    return f"runs/{run_key}/planned.json"
