"""What pruning removes and what it leaves: of a real fleet's releases, runs, versions, files. Years go by at once."""

import json
import logging
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from paxcast.adapters.delta_store import DeltaStore
from paxcast.adapters.mlflow_registry import Registry
from paxcast.adapters.object_store import ObjectStore
from paxcast.core.calendar import parse_as_of
from paxcast.core.columns import OBSERVATION
from paxcast.core.errors import ConfigurationError
from paxcast.core.release import Release
from paxcast.jobs import forecast, lease, ledger, plan, prune, releases, retention, retrain, rollback, score
from paxcast.jobs.ingest import ingest
from paxcast.jobs.prune import Pruned
from paxcast.jobs.run import Request
from paxcast.jobs.status import status
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

Make = Callable[..., Any]
CODES = ["AAA", "BBB"]
DATES = {"2020-08-31": "2035-01-01", "2020-09-30": "2036-01-01", "2020-10-31": "2037-01-01", "2020-11-30": "2038-01-01"}
OF_RUNS = ("outcomes", "registrations", "decisions", "forecasts")


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


LATER = at("2040-01-01")


@dataclass
class Fleet:
    """A fleet with releases made years apart: `released` by as_of."""

    ws: Workspace
    released: dict[str, Release]

    def ask(self, as_of: str, now: str, **wanted: Any) -> Release:
        request = Request(as_of=parse_as_of(as_of), request_id=f"{as_of}{wanted}", **wanted)
        done = retrain.retrain(self.ws, request, at(now))
        found = releases.load(self.ws, done["release"])
        assert found is not None
        self.released[as_of] = found
        return found

    def prune(self, now: pd.Timestamp = LATER, **wanted: Any) -> Pruned:
        return prune.prune(self.ws, now, **wanted)

    @property
    def registry(self) -> Registry:
        return Registry(self.ws.settings.tracking_uri, self.ws.settings.experiment)

    def in_mlflow(self, run_key: str) -> list[Any]:
        """The versions and runs of a run key."""
        client, query = self.registry.client, f"tags.run_key = '{run_key}'"
        return [*client.search_model_versions(query), *client.search_runs([self.registry.experiment_id], query)]

    def version(self, as_of: str, airport: str) -> int:
        return self.released[as_of].by_airport()[airport].version

    def restate(self, known_at: str, value: int) -> None:
        table = pd.read_csv(self.ws.settings.source_path)
        table.loc[table["airport"].eq("BBB") & table["date"].eq("2020-03-01"), "passengers"] = value
        table.to_csv(self.ws.settings.source_path, index=False)
        assert ingest(self.ws, at("2030-01-01"), known_at=parse_as_of(known_at)).changed == ["BBB"]

    def readable(self) -> dict[str, Any]:
        """What readers are told of the release in force and the one before it, and what was scored; none may fail."""
        current = releases.current(self.ws)
        assert current is not None
        score.score(self.ws, parse_as_of("2021-02-28"))
        registry = self.registry
        names = [*(f"small.{code}" for code in CODES), "small.release"]
        return {
            "status": status(self.ws),
            "forecasts": [forecast.forecasts(self.ws, r).to_json() for r in (current, self.released["2020-10-31"])],
            "aliases": {f"{n}@{a}": registry.alias(n, a) for n in names for a in ("champion", "previous")},
            "scores": score.read(self.ws, parse_as_of("2021-02-28")).drop(columns="data_version").to_json(),
            "observations": self.ws.tables.read("observations").sort_values(OBSERVATION).to_json(index=False),
        }

    def everything(self) -> dict[str, Any]:
        """All that is stored, but for leases."""
        objects = self.ws.objects
        stored = [one for part in ("runs", "releases", "published", "reports") for one in objects.stored(part)]
        client, experiment = self.registry.client, self.registry.experiment_id
        return {
            "objects": [(one.name, one.size, one.modified) for one in stored],
            "tables": {t: self.ws.tables.version(t) for t in ("observations", *OF_RUNS)},
            "runs": sorted(run.info.run_id for run in client.search_runs([experiment])),
            "models": sorted(model.model_id for model in client.search_logged_models([experiment])),
            "versions": sorted((v.name, v.version) for v in client.search_model_versions()),
        }


def kept_rows(ws: Workspace, table: str) -> set[str]:
    return {key.removesuffix("-part") for key in ws.tables.read(table)["run_key"]}


@pytest.fixture(scope="module")
def made(new_fleet: Make, made_up: Make) -> Fleet:
    """Four releases of two airports, each made a year after the one before; a correction after each."""
    search = {"mode": "local", "max_evals": 1}
    path = new_fleet(made_up(CODES, 60, "MS", "2020-12-01"), candidates=["seasonal_naive"], search=search)
    ws = open_workspace(load(path))
    ingest(ws, at("2021-03-01"))
    fleet = Fleet(ws, {})
    for number, (as_of, now) in enumerate(DATES.items()):
        fleet.ask(as_of, now)
        fleet.restate("2020-04-15", 1000 + number)
    shutil.copytree(path.parent, path.parent.with_name("kept"))
    return fleet


@pytest.fixture
def fleet(made: Fleet) -> Fleet:
    """That fleet as it was made: files are put back, MLflow's database too, which stays open."""
    folder = Path(made.ws.settings.origin).parent
    kept = folder.with_name("kept")
    for name in ("store", "mlartifacts"):
        shutil.rmtree(folder / name)
        shutil.copytree(kept / name, folder / name)
    shutil.copy2(kept / "small.csv", folder / "small.csv")
    with closing(sqlite3.connect(kept / "mlflow.db")) as old, closing(sqlite3.connect(folder / "mlflow.db")) as now:
        old.backup(now)
    return Fleet(made.ws, dict(made.released))


def test_old_releases_and_all_of_their_runs_go_and_what_is_in_force_and_before_it_reads_as_ever(fleet: Fleet) -> None:
    first, second, third, fourth = fleet.released.values()
    before = fleet.readable()
    done = fleet.prune()
    assert done.releases == tuple(sorted((first.release_id, second.release_id)))
    assert done.runs == (first.run_key, second.run_key)
    assert done.releases_kept == {
        fourth.release_id: "is in force",
        third.release_id: "is what a rollback goes to",
    }
    assert set(done.runs_kept) == {third.run_key, fourth.run_key}
    for table in OF_RUNS:
        assert kept_rows(fleet.ws, table) == {third.run_key, fourth.run_key}, table
    for run_key in done.runs:
        assert fleet.ws.objects.stored(f"runs/{run_key}") == fleet.ws.objects.stored(f"reports/{run_key}") == []
        assert fleet.in_mlflow(run_key) == []
    assert len(fleet.ws.tables.read("quality")["run_key"].unique()) == len(releases.publications(fleet.ws)) == 4
    assert {v.name for v in fleet.registry.client.search_model_versions()} == {
        "small.AAA",
        "small.BBB",
        "small.release",
    }
    assert len(fleet.registry.client.search_logged_models([fleet.registry.experiment_id])) == done.model_versions == 6
    assert done.mlflow_runs == 6
    assert done.bytes_freed > 0
    assert fleet.readable() == before
    json.dumps(done.as_json())


def test_pruned_twice_nothing_is_left_to_do(fleet: Fleet) -> None:
    fleet.prune()
    before = fleet.everything()
    again = fleet.prune()
    assert (again.releases, again.runs, again.rows, again.files, again.merged) == ((), (), {}, {}, {})
    assert (
        again.objects == again.mlflow_runs == again.model_versions == again.search_histories == again.bytes_freed == 0
    )
    assert fleet.everything() == before


def test_a_dry_run_tells_what_would_go_and_changes_nothing(fleet: Fleet) -> None:
    before = fleet.everything()
    told = fleet.prune(dry_run=True)
    assert fleet.everything() == before
    done = fleet.prune()
    same = ("releases", "runs", "objects", "rows", "mlflow_runs", "model_versions", "releases_kept", "versions_kept")
    assert {name: told.as_json()[name] for name in same} == {name: done.as_json()[name] for name in same}
    assert told.runs_kept == done.runs_kept
    assert (told.dry_run, done.dry_run) == (True, False)


def test_what_was_made_within_the_retention_stays_and_so_does_what_it_was_decided_with(fleet: Fleet) -> None:
    first, second, third, _ = fleet.released.values()
    fleet.ask("2020-12-31", "2038-02-01")
    done = fleet.prune(at("2038-02-03"))  # 398 days after the third was made
    assert done.releases_kept[third.release_id] == retention.YOUNG
    assert done.releases_kept[second.release_id] == f"is what {third.release_id} was decided with"
    assert done.releases == (first.release_id,)
    done = fleet.prune(at("2038-02-07"))  # 402
    assert third.release_id in done.releases_kept  # the release before it is young, and was decided with it
    assert done.releases == (second.release_id,)


def test_the_versions_of_the_observations_that_kept_plans_name_read_the_same_after_their_files_were_merged(
    fleet: Fleet,
) -> None:
    def rows(version: int) -> pd.DataFrame:
        read = fleet.ws.tables.read("observations", columns=OBSERVATION, version=version)
        return read.sort_values(OBSERVATION, ignore_index=True)

    def named(as_of: str) -> int:
        manifest = plan.newest(fleet.ws, fleet.released[as_of].run_key)
        assert manifest is not None
        return manifest.data_version

    versions = {as_of: named(as_of) for as_of in DATES}
    before = {as_of: rows(version) for as_of, version in versions.items()}
    assert not before["2020-10-31"].equals(before["2020-11-30"])  # a restatement known before both was received between
    newest = rows(fleet.ws.tables.version("observations"))
    assert fleet.ws.tables.compact("observations", "small", small_files=2) > 1
    done = fleet.prune()
    assert done.versions_kept == {
        versions[as_of]: f"{fleet.released[as_of].run_key} was planned on it" for as_of in ("2020-10-31", "2020-11-30")
    }
    assert done.versions_lost == ()
    for as_of in ("2020-10-31", "2020-11-30"):
        pd.testing.assert_frame_equal(rows(versions[as_of]), before[as_of])
    pd.testing.assert_frame_equal(rows(fleet.ws.tables.version("observations")), newest)


def test_files_that_no_version_needs_go_only_after_tables_days(fleet: Fleet) -> None:
    tables = fleet.ws.tables
    made = pd.Timestamp.now(tz="UTC")
    assert tables.compact("decisions", "small", small_files=2) == 4
    for now, expected in ((made + pd.Timedelta(days=29), 0), (made + pd.Timedelta(days=32), 4)):
        before = now - pd.Timedelta(days=fleet.ws.settings.retention.tables_days)
        assert tables.vacuum("decisions", "small", before).files == expected


def test_an_airport_that_was_not_refitted_keeps_its_run_and_what_its_rollback_goes_to(fleet: Fleet) -> None:
    fleet.ask("2020-12-31", "2038-03-01", airports=("AAA",))
    part = fleet.ask("2020-12-31", "2038-04-01", airports=("AAA",), force=True)
    assert {a: e.as_of for a, e in part.by_airport().items()} == {"AAA": "2020-12-31", "BBB": "2020-11-30"}
    before = fleet.readable()
    done = fleet.prune()
    assert done.runs == tuple(fleet.released[as_of].run_key for as_of in ("2020-08-31", "2020-09-30"))
    assert fleet.readable() == before
    rollback.rollback(fleet.ws, LATER, airport="BBB")
    current = releases.current(fleet.ws)
    assert current is not None
    assert current.by_airport()["BBB"].version == fleet.version("2020-10-31", "BBB")
    assert not forecast.forecasts(fleet.ws, current, ("BBB",)).empty


def test_after_pruning_a_rollback_goes_to_the_release_before_and_one_that_is_gone_is_refused(fleet: Fleet) -> None:
    fleet.prune()
    with pytest.raises(ConfigurationError, match="was never in force"):
        rollback.rollback(fleet.ws, LATER, release_id=fleet.released["2020-08-31"].release_id)
    assert rollback.rollback(fleet.ws, LATER).after == fleet.released["2020-10-31"].release_id
    rolled_back = fleet.released["2020-11-30"].release_id
    assert fleet.prune().releases_kept[rolled_back] == "was rolled back, and shall not come back by itself"
    assert fleet.ask("2020-11-30", "2040-02-01").release_id == fleet.released["2020-10-31"].release_id


def test_a_run_that_was_pruned_can_be_asked_for_again_and_is_refitted_and_registered_anew(fleet: Fleet) -> None:
    before = fleet.released["2020-08-31"]
    fleet.prune()
    again = fleet.ask("2020-08-31", "2040-02-01")
    assert again.run_key == before.run_key
    assert again.by_airport()["AAA"].version > fleet.version("2020-11-30", "AAA")
    assert again.entries != before.entries
    assert not forecast.forecasts(fleet.ws, again).empty


def test_a_run_that_holds_a_lease_stays_with_the_releases_it_builds_on(fleet: Fleet) -> None:
    second = fleet.released["2020-09-30"]
    lease.take(fleet.ws, lease.of_date(parse_as_of("2020-09-30")), "a backfill", second.run_key)
    done = fleet.prune()
    assert done.runs == ()
    assert done.runs_kept[second.run_key] == retention.WRITTEN
    assert done.releases_kept[fleet.released["2020-08-31"].release_id].startswith(f"is needed by {second.run_key}")


def test_a_run_of_whose_date_another_has_the_lease_by_then_stays(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fleet.released["2020-08-31"].run_key
    trials = prune._Work.trials

    def begun(work: prune._Work) -> None:
        lease.take(fleet.ws, retention.date_of(first), "a backfill", "small-20200831T235959-other-r0")
        trials(work)

    monkeypatch.setattr(prune._Work, "trials", begun)
    done = fleet.prune()
    assert done.runs == (fleet.released["2020-09-30"].run_key,)
    assert done.runs_kept[first] == retention.WRITTEN


def test_what_was_written_within_a_day_stays_whatever_its_age_on_record(fleet: Fleet) -> None:
    last = max(one.modified for one in fleet.ws.objects.stored("runs"))
    for name in fleet.ws.objects.names("releases/small"):  # made long ago, as a store says that was copied today
        value = fleet.ws.objects.get(name)
        if value and "made_at" in value:
            fleet.ws.objects.put(name, {**value, "made_at": "2001-01-01T00:00:00+00:00"})
    done = fleet.prune(last + pd.Timedelta(hours=23))
    assert (done.releases, done.runs) == ((), ())
    assert len(fleet.prune(last + pd.Timedelta(hours=25)).runs) == 2


def test_a_version_that_any_alias_points_at_keeps_its_run(fleet: Fleet) -> None:
    first = fleet.released["2020-08-31"]
    fleet.registry.set_alias("small.AAA", "audited", fleet.version("2020-08-31", "AAA"))
    done = fleet.prune()
    assert done.runs == (fleet.released["2020-09-30"].run_key,)
    assert done.runs_kept[first.run_key].endswith("which has the alias audited")
    assert fleet.registry.alias("small.AAA", "audited") == fleet.version("2020-08-31", "AAA")


def test_search_histories_leave_registered_outcomes_after_trials_days_and_nothing_else_of_them(fleet: Fleet) -> None:
    objects, last = fleet.ws.objects, fleet.released["2020-11-30"].run_key
    names = list(objects.names(f"runs/{last}/outcomes"))
    trials = {"one": [{"number": 0, "parameters": {}, "loss": 1.0, "reason": "", "pruned": False}]}
    for name in names:
        objects.put(name, {**objects.get(name), "trials": trials})  # type: ignore[dict-item]
    waiting = {**objects.get(names[0]), "checksum": "unregistered", "trials": trials}  # type: ignore[dict-item]
    objects.put_if_absent(f"runs/{last}/outcomes/AAA-unregistered.json", waiting)
    before = {name: objects.get(name) for name in names}
    assert fleet.prune(at("2038-03-31")).search_histories == 0  # 89 days
    assert fleet.prune(at("2038-04-03"), dry_run=True).search_histories == 2
    assert {name: objects.get(name) for name in names} == before
    assert fleet.prune(at("2038-04-03")).search_histories == 2
    for name in names:
        assert objects.get(name) == {**before[name], "trials": {}}  # type: ignore[dict-item]
        assert ledger.load(objects, last, *name.rsplit("/", 1)[1].removesuffix(".json").rsplit("-", 1)) is not None
    assert objects.get(f"runs/{last}/outcomes/AAA-unregistered.json") == waiting
    assert fleet.prune(at("2038-04-03")).search_histories == 0


REMOVALS: list[tuple[Any, str]] = [
    (ObjectStore, "remove"),
    (ObjectStore, "put"),
    (DeltaStore, "remove"),
    (MlflowClient, "delete_model_version"),
    (MlflowClient, "delete_logged_model"),
    (MlflowClient, "delete_run"),
]


class Killed(BaseException):
    """As if the process had ended there: nothing in between may catch it."""


def mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pruning die as soon as it has removed or changed one thing."""
    for owner, name in REMOVALS:
        right = getattr(owner, name)

        def last(*given: Any, _right: Any = right, **named: Any) -> Any:
            answer = _right(*given, **named)
            nothing = given[1] == [] or answer == 0 or str(given[1]).startswith("leases/")
            if not nothing:
                raise Killed
            return answer

        monkeypatch.setattr(owner, name, last)


def test_killed_after_each_removal_readers_see_no_difference_and_the_next_one_goes_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = f"runs/{fleet.released['2020-11-30'].run_key}/outcomes"
    for name in fleet.ws.objects.names(outcome):
        fleet.ws.objects.put(name, {**fleet.ws.objects.get(name), "trials": {"one": [{}]}})  # type: ignore[dict-item]
    before, told = fleet.readable(), fleet.prune(dry_run=True)
    died, alive = 0, True
    while alive:
        with monkeypatch.context() as patched:
            mortal(patched)
            try:
                fleet.prune()
                alive = False
            except Killed:
                died += 1
        assert fleet.readable() == before, f"killed after {died} removals"
    assert died == 37  # maps 1, outcomes 2, that they were looked at 2; of each run 4 tables, 9 in MLflow, 3 x objects
    left = fleet.prune()
    assert (left.releases, left.runs, left.rows, left.objects, left.mlflow_runs) == ((), (), {}, 0, 0)
    assert left.releases_kept == told.releases_kept
    assert left.versions_kept == told.versions_kept
    for run_key in told.runs:
        assert fleet.ws.objects.stored(f"runs/{run_key}") == []
        assert fleet.in_mlflow(run_key) == []
    for table in OF_RUNS:
        assert kept_rows(fleet.ws, table) == set(left.runs_kept), table


def test_publishing_waits_for_it_and_it_for_publishing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    lease.take(fleet.ws, lease.PUBLISH, "another release", "key")
    monkeypatch.setattr(lease, "SECONDS", 0.1)
    with pytest.raises(lease.LeaseHeld, match="another release"):
        fleet.prune()
    assert len(retention.stored(fleet.ws)) == 4


def test_scoring_after_pruning_says_which_releases_it_no_longer_has(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.prune()
    with caplog.at_level(logging.WARNING, "paxcast.score"):
        done = score.score(fleet.ws, parse_as_of("2021-02-28"))
    assert fleet.released["2020-08-31"].release_id in caplog.text
    assert done.forecasts > 0


def test_a_fleet_that_never_ran_has_nothing_to_prune(ws: Workspace) -> None:
    done = prune.prune(ws, LATER)
    assert done == Pruned(now=LATER.isoformat(), dry_run=False)


def test_a_server_that_is_down_is_told_before_anything_is_removed(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = fleet.everything()

    def down(*_: Any, **__: Any) -> None:
        raise MlflowException("down")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "search_registered_models", down)
        with pytest.raises(Exception, match="down"):
            fleet.prune()
    assert fleet.everything() == before
