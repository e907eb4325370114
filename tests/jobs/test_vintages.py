"""Restated data: BITRE's two vintages, of which the newer one restates months of eleven airports and has years of one
more that the older one left out. Real traffic, a real store, MLflow on sqlite; tuned without Spark.

    BEFORE ───── the restatement is known ───── AFTER ───── LATER

BEFORE and AFTER are run on the older vintage; the newer one is ingested; both are run again, as a backfill does, and
then LATER.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters.mlflow_registry import Registry
from paxcast.core.calendar import parse_as_of
from paxcast.core.release import Release
from paxcast.jobs import forecast, histories, releases
from paxcast.jobs.ingest import ingest
from paxcast.jobs.retrain import retrain
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

SHARED = Path(os.environ.get("PAXCAST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
VINTAGES = SHARED / "bitre_australia_monthly_vintages.parquet"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VINTAGES.is_file(), reason=f"no real traffic in {SHARED} (PAXCAST_SHARED_DATA)"),
]

OLDER, NEWER = "2018-06", "2026-02"
FIRST_MONTH, LAST_COMMON = "2004-01-01", "2018-05-01"
RESTATED = {"ADL", "BNE", "CBR", "CNS", "DRW", "KTA", "MEL", "NTL", "OOL", "PER", "SYD"}
COMPLETED = "HTI"  # its months from 2009 on are in the newer vintage only: first seen there, so known when they ended
CODES = sorted({*RESTATED, COMPLETED, "PPP", "ASP", "HBA", "LST", "TSV"})
BEFORE, KNOWN_AT, AFTER, LATER = "2018-06-05", "2018-06-12", "2018-06-20", "2018-07-31"
RECEIVED = {OLDER: pd.Timestamp("2018-06-04T09:00", tz="UTC"), NEWER: pd.Timestamp("2026-02-20T09:00", tz="UTC")}
Make = Callable[..., Any]
Values = dict[tuple[str, str], float]  # by airport and month


def vintage(name: str) -> pd.DataFrame:
    """One vintage as its publisher gave it: airport, date, passengers."""
    every = pd.read_parquet(VINTAGES)
    rows = every[(every["vintage"] == name) & every["airport"].isin(CODES) & (every["date"] >= FIRST_MONTH)]
    return rows[["airport", "date", "passengers"]].assign(date=rows["date"].dt.strftime("%Y-%m-%d"))


def values(rows: pd.DataFrame, last: str = LAST_COMMON) -> Values:
    """What rows of a vintage say, month by month."""
    told = rows[rows["date"] <= last]
    return dict(zip(zip(told["airport"], told["date"], strict=True), told["passengers"].astype(float), strict=True))


@dataclass
class Seen:
    """What there is of one run: its result, the outcome objects with the moments they were written, the airports that
    a worker took up, and each airport's forecast, to the last digit."""

    result: dict[str, Any]
    outcomes: dict[str, tuple[int, bytes]]
    begun: list[str]
    forecasts: dict[str, str]


@dataclass
class Australia:
    """The fleet, and what it held before and after the restatement was received."""

    ws: Workspace
    first: dict[str, Seen] = field(default_factory=dict)  # by as_of, on the older vintage
    again: dict[str, Seen] = field(default_factory=dict)  # by as_of, after the newer one was received
    once_more: dict[str, Seen] = field(default_factory=dict)  # by as_of, after that
    in_force: list[str] = field(default_factory=list)  # its as_of after each run

    def take_in(self, name: str, known_at: str | None = None) -> None:
        vintage(name).to_csv(self.ws.settings.source_path, index=False)
        ingest(self.ws, RECEIVED[name], parse_as_of(known_at) if known_at else None)

    def ask(self, as_of: str, *, backfill: bool = False) -> Seen:
        request = Request(as_of=parse_as_of(as_of), request_id=f"{as_of}{backfill}", backfill=backfill)
        result = retrain(self.ws, request, RECEIVED[NEWER])
        self.in_force.append(self.release().as_of)
        folder = Path(self.ws.objects.root) / "objects" / "runs" / result["run_key"]
        return Seen(
            result,
            {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in (folder / "outcomes").iterdir()},
            sorted(p.name for p in (folder / "begun").iterdir()),
            self.forecasts(result["release"]),
        )

    def release(self) -> Release:
        found = releases.current(self.ws)
        assert found is not None
        return found

    def forecasts(self, release_id: str) -> dict[str, str]:
        release = releases.load(self.ws, release_id)
        assert release is not None
        rows = forecast.forecasts(self.ws, release).drop(columns=["version"])
        return {str(airport): own.to_csv(index=False, float_format="%.17g") for airport, own in rows.groupby("airport")}

    def known(self, as_of: str) -> Values:
        """What a run of this date reads now."""
        version = self.ws.tables.version("observations")
        rows = histories.known_rows(self.ws, parse_as_of(as_of), version)
        return dict(zip(zip(rows["airport"], rows["ds"].dt.strftime("%Y-%m-%d"), strict=True), rows["y"], strict=True))


@pytest.fixture(scope="module")
def australia(new_fleet: Make) -> Australia:
    path = new_fleet(
        vintage(OLDER), candidates=["seasonal_naive", "auto_theta"], search={"mode": "local"},
        folds={"recent": 2, "earlier_years": 1}, spark={"worker_memory_mb": 0},
    )  # fmt: skip
    made = Australia(open_workspace(load(path)))
    made.take_in(OLDER)
    made.first = {as_of: made.ask(as_of) for as_of in (BEFORE, AFTER)}
    made.take_in(NEWER, known_at=KNOWN_AT)
    made.again = {as_of: made.ask(as_of, backfill=True) for as_of in (BEFORE, AFTER)}
    made.again[LATER] = made.ask(LATER)
    made.once_more = {as_of: made.ask(as_of, backfill=True) for as_of in (BEFORE, AFTER)}
    return made


def test_the_vintages_are_what_this_test_takes_them_for() -> None:
    older, newer = values(vintage(OLDER)), values(vintage(NEWER))
    assert {a for a, month in older.keys() & newer.keys() if older[a, month] != newer[a, month]} == RESTATED
    assert {airport for airport, _ in newer.keys() - older.keys()} == {COMPLETED}


def test_a_run_as_of_a_date_before_the_restatement_sees_the_old_values_and_one_after_it_the_new(
    australia: Australia,
) -> None:
    older, newer = values(vintage(OLDER)), values(vintage(NEWER))
    completed = {key: value for key, value in newer.items() if key not in older}
    assert australia.known(BEFORE) == {**older, **completed}
    assert australia.known(AFTER) == {**older, **newer}
    assert australia.known(LATER) == {**older, **values(vintage(NEWER), "2018-07-01")}


def test_on_a_date_before_the_restatement_only_the_airport_whose_months_came_late_is_fitted(
    australia: Australia,
) -> None:
    assert [q["airport"] for q in australia.first[BEFORE].result["quarantined"]] == [COMPLETED]
    assert australia.again[BEFORE].result["quarantined"] == []
    only_these_changed(australia.first[BEFORE], australia.again[BEFORE], {COMPLETED})


def test_on_a_date_after_it_exactly_the_airports_whose_history_changed_are_refitted(australia: Australia) -> None:
    only_these_changed(australia.first[AFTER], australia.again[AFTER], {*RESTATED, COMPLETED})


def test_a_later_date_is_fitted_for_all_on_the_restated_values(australia: Australia) -> None:
    assert australia.again[LATER].result["refitted"] == CODES
    assert australia.again[LATER].result["failed"] == []


def test_a_second_backfill_refits_nothing_and_changes_no_forecast(australia: Australia) -> None:
    for as_of in (BEFORE, AFTER):
        assert australia.once_more[as_of].result["refitted"] == []
        assert {**vars(australia.once_more[as_of]), "result": None} == {**vars(australia.again[as_of]), "result": None}


def test_each_history_has_one_version_and_no_release_moved_back_in_time(australia: Australia) -> None:
    assert australia.in_force == [BEFORE, AFTER, AFTER, AFTER, LATER, LATER, LATER]
    registry = Registry(australia.ws.settings.tracking_uri, australia.ws.settings.experiment)
    for code in CODES:
        versions = registry.client.search_model_versions(f"name = '{australia.ws.fleet}.{code}'")
        as_ofs = sorted(version.tags["as_of"] for version in versions)
        assert as_ofs == [BEFORE, AFTER, *([AFTER] if code in RESTATED else []), LATER], code
        champion = registry.alias(f"{australia.ws.fleet}.{code}", "champion")
        assert {int(version.version): version.tags["as_of"] for version in versions}[champion or 0] == LATER


def only_these_changed(first: Seen, again: Seen, changed: set[str]) -> None:
    """These airports were refitted. All that was there is there still, and the others' forecasts are the same."""
    assert set(again.result["refitted"]) == changed
    assert set(again.result["kept"]) == set(CODES) - changed
    assert first.outcomes.items() <= again.outcomes.items()
    assert airports_of(again.outcomes.keys() - first.outcomes.keys()) == changed
    assert airports_of(set(again.begun) - set(first.begun)) == changed
    assert {a for a in again.forecasts if first.forecasts.get(a) != again.forecasts[a]} == changed
    assert sorted(again.forecasts) == CODES


def airports_of(names: set[str]) -> set[str]:
    """The airports that objects of the ledger are named after."""
    return {name.split("-")[0] for name in names}
