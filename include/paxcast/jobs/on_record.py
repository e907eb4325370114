"""What is on record of one airport: its observations, its published forecasts, and what each of them was made from."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from paxcast.adapters.delta_store import Filter
from paxcast.core import calendar, scoring
from paxcast.core.columns import AIRPORT, BUCKET, FLEET, OBSERVATION
from paxcast.core.errors import ConfigurationError, UnknownAirports, VersionGone
from paxcast.core.identity import bucket
from paxcast.core.manifest import Manifest
from paxcast.core.outcome import Outcome
from paxcast.core.release import Entry, Release
from paxcast.jobs import decide, histories, ledger, plan, releases, score
from paxcast.jobs.score import Published
from paxcast.jobs.workspace import Workspace

EVER = pd.Timestamp("2200-01-01", tz="UTC")  # by then all that a store holds is known
SAID = [*scoring.KEY, *scoring.QUANTILES, "confidence"]
TRIALS_PRUNED = "trials_pruned.json"  # beside a run's outcomes, since `paxcast prune` took their trials out of them
Key = tuple[str, str]  # run key and checksum: what names a forecast of one airport


@dataclass(frozen=True, slots=True)
class Decided:
    """What a decision says that a release does not: by candidate weights and parameters, and why."""

    weights: dict[str, float]
    parameters: dict[str, Any]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Airport:
    """`observations`: every vintage. `published`: by its key, each forecast under the first release that held it.
    `said`: the rows of these forecasts with their `step`, sorted. `decisions`: by the same key. `current`: the release
    in force now."""

    ws: Workspace
    code: str
    frequency: str
    observations: pd.DataFrame
    published: dict[Key, Published]
    said: pd.DataFrame
    decisions: dict[Key, Decided]
    current: Release | None

    @property
    def now(self) -> Entry | None:
        """What is in force now."""
        return self.current.by_airport().get(self.code) if self.current else None

    def of(self, row: Any) -> Published:
        """Under which release a row of `said` was published."""
        return self.published[row.run_key, row.checksum]

    def decided(self, entry: Entry) -> Decided:
        """What was decided. Raises ConfigurationError where that is no longer in the store, as all of the following."""
        found = self.decisions.get((entry.run_key, entry.checksum))
        if found is None:
            raise self._gone(entry, "decision")
        return found

    def manifest(self, entry: Entry) -> Manifest:
        """The plan of the run that made a forecast."""
        found = plan.that_planned(self.ws, entry.outcome_key, self.code, entry.checksum)
        if found is None:
            raise self._gone(entry, "manifest")
        return found

    def outcome(self, entry: Entry) -> Outcome:
        """What tuning found out."""
        found = ledger.load(self.ws.objects, entry.outcome_key, self.code, entry.checksum)
        if found is None:
            raise self._gone(entry, "outcome")
        return found

    def trials_pruned(self, entry: Entry) -> bool:
        """Whether the trials of its searches are not in its outcome any more."""
        there = self.ws.objects.get(f"runs/{entry.outcome_key}/{TRIALS_PRUNED}") is not None
        return there and not self.outcome(entry).trials

    def known(self, entry: Entry, manifest: Manifest) -> pd.DataFrame:
        """The history as the run read it: `histories.known_rows` of the version of the store it was planned on."""
        try:
            instant = calendar.parse_as_of(entry.as_of)
            return histories.known_rows(self.ws, instant, manifest.data_version, [self.code])
        except VersionGone as err:
            raise self._gone(entry, f"data (version {manifest.data_version} of the table observations)") from err

    def judged(self, entry: Entry) -> tuple[bool, list[str]]:
        """The verdict of the run on the history: whether it was quarantined, and the reasons.

        The table has that on the history which the run judged last; what was forecast before was not quarantined.
        """
        columns = ["checksum", "quarantined", "reasons"]
        rows = self._of_run("quality", entry, columns)
        if rows.empty:
            return False, []
        return bool(rows["quarantined"].iloc[0]), [code for code in str(rows["reasons"].iloc[0]).split(",") if code]

    def mlflow_run(self, entry: Entry) -> str | None:
        """The id of its run in MLflow."""
        rows = self._of_run("registrations", entry, ["checksum", "version", "mlflow_run"])
        found = rows.loc[rows["version"] == entry.version, "mlflow_run"]
        return str(found.iloc[0]) if len(found) else None

    def _of_run(self, table: str, entry: Entry, columns: list[str]) -> pd.DataFrame:
        filters = [(FLEET, "=", self.ws.fleet), ("run_key", "=", entry.outcome_key), (AIRPORT, "=", self.code)]
        rows = self.ws.tables.read(table, filters, columns)
        return rows[rows["checksum"] == entry.checksum]

    def _gone(self, entry: Entry, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"airport {self.code}: the {what} of run {entry.outcome_key} is no longer in "
            f"{self.ws.settings.store_root}, so its forecast cannot be explained; name a later --as-of"
        )


def filters(ws: Workspace, code: str) -> list[Filter]:
    """One airport's rows in the tables that have buckets."""
    return [(FLEET, "=", ws.fleet), (BUCKET, "=", bucket(code)), (AIRPORT, "=", code)]


def of_airport(ws: Workspace, code: str, as_of: pd.Timestamp | None) -> Airport:
    """All that is on record of an airport; its scores are complete then, in a fleet that is not large all scores.

    Raises UnknownAirports for one that was never observed, ConfigurationError where nothing of it was published, or
    where that as_of is before the first release.
    """
    histories.check_ingested(ws)
    observations = ws.tables.read("observations", filters(ws, code), OBSERVATION)
    if observations.empty:
        raise UnknownAirports(
            f"airport {code}: fleet {ws.fleet} has no observation of it; check the code (`paxcast status` names all)"
        )
    mine = score.published(ws, EVER, code)
    _check_released(ws, code, mine, as_of)
    current = releases.current(ws)
    score.score(ws, EVER, None if _forecasts(ws, current) <= score.FORECASTS_AT_ONCE else mine)
    published = {(p.entry.run_key, p.entry.checksum): p for p in mine}
    return Airport(
        ws=ws,
        code=code,
        frequency=histories.frequency(ws),
        observations=observations,
        published=published,
        said=_said(ws, code, published),
        decisions=_decisions(ws, code, published),
        current=current,
    )


def _forecasts(ws: Workspace, current: Release | None) -> int:
    """About as many forecasts as the whole fleet has: as if every release had made all that is in force."""
    return len(releases.publications(ws)) * (len(current.entries) if current else 1)


def _check_released(ws: Workspace, code: str, mine: list[Published], as_of: pd.Timestamp | None) -> None:
    if not mine and not releases.publications(ws):
        raise ConfigurationError(
            f"fleet {ws.fleet}: no release yet, so there is nothing to explain; run `paxcast retrain`"
        )
    if not mine:
        raise ConfigurationError(f"airport {code}: no published release forecasts it; `paxcast status` says why")
    first = min(p.record.as_of for p in mine)
    if as_of is not None and as_of < first:
        raise ConfigurationError(
            f"as_of: {calendar.as_of_text(as_of)} is before the first release that forecasts airport {code}, which is "
            f"as of {calendar.as_of_text(first)}; name that day or a later one"
        )


def _said(ws: Workspace, code: str, published: dict[Key, Published]) -> pd.DataFrame:
    run_keys = sorted({run_key for run_key, _ in published})
    rows = ws.tables.read("forecasts", [*filters(ws, code), ("run_key", "in", run_keys)], SAID)
    there = [key in published for key in rows[["run_key", "checksum"]].itertuples(index=False, name=None)]
    return scoring.with_steps(rows[there])


def _decisions(ws: Workspace, code: str, published: dict[Key, Published]) -> dict[Key, Decided]:
    rows = decide.read(ws, sorted({run_key for run_key, _ in published}), [code])
    return {
        (row["run_key"], row["checksum"]): Decided(
            json.loads(row["weights"]), json.loads(row["parameters"]), row["reason"]
        )
        for row in rows.to_dict("records")
    }
