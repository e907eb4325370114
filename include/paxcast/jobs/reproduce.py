"""Reproduce: a past run once more, from what was frozen of it, and where the numbers are others than those on record.

The same histories in the same version of the store, the same tasks, seeds and searches, and for the decisions what was
fixed then. All of it goes to temporary folders: the store and MLflow stay as they are.
"""

import json
import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from paxcast.adapters.code_version import code_version
from paxcast.adapters.delta_store import Filter
from paxcast.adapters.object_store import ObjectStore
from paxcast.core import difference
from paxcast.core.columns import AIRPORT, FLEET, RUN_KEY
from paxcast.core.manifest import Manifest, PlannedAirport
from paxcast.core.outcome import Outcome
from paxcast.jobs import decide, frozen, ledger, recompute
from paxcast.jobs.frozen import Frozen
from paxcast.jobs.recompute import Difference, told
from paxcast.jobs.workspace import Workspace, open_workspace

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("paxcast.reproduce")
OF_THE_TRY = {"seconds", "memory_mb", "attempt", "batch", "warnings"}  # of an outcome: no numbers of the airport
PRUNED = "trials"  # of an outcome, that `paxcast prune` takes out of it while the outcome stays
TEXTS = ("forecast", "weights", "parameters")  # of a decision, as JSON; the forecast is told first
PUBLISHED = [*decide.STEP, "confidence"]
Key = tuple[str, str, str]  # of a decision: run key, or that of a part of the fleet; airport; checksum
Rows = Mapping[Key, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Reproduced:
    """Whether a run gives the same numbers once more. `airports`: those that were recomputed; `differences`: for each
    that has any, where what is on record (`then`) first differs from what was computed now: airport, what, then, now.
    """

    run_key: str
    as_of: str
    airports: list[str]
    equal: bool
    differences: list[Difference]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _OnRecord:
    """What a run published: its decisions, and their forecasts by date."""

    decisions: Rows
    forecasts: Rows
    run: Frozen

    def released(self, key: Key) -> bool:
        return key in self.run.released

    def of(self, airport: str, checksum: str) -> list[Key]:
        """The decisions that were made of an airport: with a part of the fleet, with the whole of it, both or none."""
        keys = [(key, airport, checksum) for key in self.run.keys]
        return [key for key in keys if key in self.decisions or self.released(key)]


def reproduce(ws: Workspace, session: "SparkSession | None", run: str, airports: tuple[str, ...] = ()) -> Reproduced:
    """Compute a past run once more, all its airports or some, and compare. Nothing is written.

    run: a run key, the id of a release, or a date (the run behind the release that was in force then). Without a
    session everything is computed in this process. Raises ConfigurationError for a run or airports that there are not,
    and where something that the run was computed from or made is gone.
    """
    found = frozen.find(ws, run, airports)
    on_record = _on_record(ws, found)
    log.info("run %s: %d airports once more", found.run_key, len(found.histories))
    unequal: dict[str, tuple[str, list[Difference]]] = {}  # with the code that was there when it was planned
    still, tried = dict(found.histories), set()
    for manifest in found.manifests:  # planned again on other data, an airport was tuned by the one or by the other
        planned = [a for a in manifest.airports if still.get(a.airport) == a.checksum]
        fresh = [a for a in planned if (a.airport, manifest.data_version) not in tried]
        tried |= {(a.airport, manifest.data_version) for a in fresh}
        for airport, differences in _compared(ws, session, manifest, fresh, on_record).items():
            if differences:
                unequal.setdefault(airport, (manifest.code_version, differences))
            else:
                unequal.pop(airport, None)
                del still[airport]
    differences = _all_of(unequal)
    return Reproduced(found.run_key, found.as_of, list(found.histories), not differences, differences)


def _all_of(unequal: Mapping[str, tuple[str, list[Difference]]]) -> list[Difference]:
    """By airport; first that the code is another one, which may be why."""
    codes = sorted({code for code, _ in unequal.values()} - {code_version()})
    others = [told("", "code_version", code, code_version()) for code in codes]
    return others + [one for airport in sorted(unequal) for one in unequal[airport][1]]


def _compared(
    ws: Workspace,
    session: "SparkSession | None",
    manifest: Manifest,
    planned: Sequence[PlannedAirport],
    on_record: _OnRecord,
) -> dict[str, list[Difference]]:
    """What differs in each of these airports of a manifest; a batch at a time, as they were tuned."""
    then = open_workspace(ws.settings.with_numbers(manifest.numbers))
    fit = cache(lambda: recompute.fit_for(then, manifest))
    found: dict[str, list[Difference]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for batch in sorted({a.batch for a in planned}):
            members = [a for a in planned if a.batch == batch]
            made, hindered = recompute.outcomes_anew(then, session, manifest, members, ObjectStore(folder), fit)
            differences = [
                *hindered,
                *_of_outcomes(then, manifest, made),
                *_of_decisions(then, manifest, made, on_record),
            ]
            found |= {a.airport: [one for one in differences if one["airport"] == a.airport] for a in members}
    return found


def _of_outcomes(ws: Workspace, manifest: Manifest, made: Mapping[str, Outcome]) -> Iterable[Difference]:
    """What differs in the outcomes. Older code may not have told yet what this one does: then that is no difference."""
    other_code = manifest.code_version != code_version()
    for airport, outcome in made.items():
        stored = ledger.load(ws.objects, outcome.run_key, airport, outcome.checksum)
        then = {} if stored is None else stored.as_dict()
        told_then = {name: value for name, value in then.items() if value or not (other_code or name == PRUNED)}
        now = outcome.as_dict()
        names = [name for name in told_then if name not in OF_THE_TRY]
        before, after = ({name: of[name] for name in names} for of in (told_then, now))
        found = difference.first(before, after, may_add=other_code)
        if found is not None:
            yield told(airport, *found)


def _of_decisions(
    ws: Workspace, manifest: Manifest, made: Mapping[str, Outcome], on_record: _OnRecord
) -> Iterable[Difference]:
    """What differs in what was published, if anything was: the decisions, and the rows of their forecasts."""
    keys = [key for airport, outcome in made.items() for key in on_record.of(airport, outcome.checksum)]
    for run_key in sorted({run_key for run_key, _, _ in keys}):
        asked = [made[airport] for key, airport, _ in keys if key == run_key]
        for row in decide.anew(ws, run_key, asked, manifest):
            key = (run_key, row[AIRPORT], row["checksum"])
            pairs = [("decision", on_record.decisions.get(key), _told_first(row))]
            if key in on_record.forecasts or on_record.released(key):
                pairs.append(("forecasts", on_record.forecasts.get(key), _by_date(row)))
            for what, then, now in pairs:
                found = difference.first(difference.ABSENT if then is None else then, now, what)
                if found is not None:
                    yield told(key[1], *found)


def _told_first(decision: Mapping[str, Any]) -> dict[str, Any]:
    """A decision with what its texts hold first, so that a difference has a place, and at last these texts themselves:
    every byte of them is promised to be the same."""
    plain = {name: None if _missing(value) else value for name, value in decision.items()}
    read = {name: _read(plain[name]) for name in TEXTS}
    return {**read, **{name: plain[name] for name in sorted(plain) if name not in TEXTS}} | {
        f"{name} as text": plain[name] for name in TEXTS
    }


def _by_date(decision: Mapping[str, Any]) -> dict[str, Any]:
    """The rows that publishing makes of a decision, by date."""
    steps = json.loads(decision["forecast"])
    rows = zip(steps["ds"], *(steps[name] for name in decide.STEP), strict=True)
    return {ds: dict(zip(PUBLISHED, [*values, decision["confidence"]], strict=True)) for ds, *values in rows}


def _on_record(ws: Workspace, found: Frozen) -> _OnRecord:
    keys, asked = list(found.keys), list(found.histories)
    decided = decide.read(ws, keys)
    decided = decided[decided[AIRPORT].isin(asked) & decided[RUN_KEY].isin(keys)]
    of_run: list[Filter] = [(FLEET, "=", ws.fleet), (RUN_KEY, "in", keys)]
    forecasts = ws.tables.read("forecasts", [*of_run, (AIRPORT, "in", asked)])
    by_date: dict[Key, dict[str, Any]] = {}
    for row in forecasts.sort_values("ds").to_dict("records"):
        key = (row[RUN_KEY], row[AIRPORT], row["checksum"])
        by_date.setdefault(key, {})[f"{row['ds']:%Y-%m-%d}"] = {name: row[name] for name in PUBLISHED}
    rows = [{str(name): value for name, value in row.items()} for row in decided.to_dict("records")]
    decisions = {(row[RUN_KEY], row[AIRPORT], row["checksum"]): _told_first(row) for row in rows}
    return _OnRecord(decisions, by_date, found)


def _read(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text


def _missing(value: Any) -> bool:
    return isinstance(value, float) and bool(pd.isna(value))
