"""What comes into force, and what does not: failed runs, runs of one date after another, older runs, empty reruns."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters.mlflow_registry import Registry
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError, NothingToForecast
from paxcast.core.manifest import Manifest
from paxcast.core.release import Release
from paxcast.core.tuning import TuningTask
from paxcast.jobs import forecast, lease, plan, promote, register, releases, retrain, tune
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request, newest_failed_as_of, open_run
from paxcast.jobs.status import status
from paxcast.jobs.validate import validate
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = ["AAA", "BBB"]
EARLIER, LATER = "2020-11-30", "2020-12-31"
Make = Callable[..., Any]


@dataclass(frozen=True)
class Fleet:
    """A fleet whose observations are in the store, and how to ask it for runs."""

    ws: Workspace

    def ask(self, as_of: str, **wanted: Any) -> dict[str, Any]:
        request = Request(as_of=parse_as_of(as_of), request_id=f"{as_of}{wanted}", **wanted)
        return retrain.retrain(self.ws, request, NOW)

    def promoted(self, as_of: str) -> Release:
        """A run as far as promote, and no further: its process was lost then."""
        run = open_run(self.ws, Request(as_of=parse_as_of(as_of), request_id=as_of))
        manifest = plan.plan(run, validate(run)).manifest
        for batch in range(len(manifest.batches())):
            tune.tune_batch(None, self.ws, run.run_key, manifest.manifest_id, batch)  # type: ignore[arg-type]
            register.register_batch(self.ws, run.run_key, manifest.manifest_id, batch)
        return promote.promote(self.ws, run.run_key, manifest.manifest_id, NOW)

    def current(self) -> str:
        found = releases.current(self.ws)
        assert found is not None
        return found.release_id

    def in_force(self, as_of: str) -> str:
        found = releases.in_force(self.ws, parse_as_of(as_of))
        assert found is not None
        return found.release_id

    def builds_on(self, as_of: str) -> str | None:
        """The release that a run of this date takes its champions from."""
        run = open_run(self.ws, Request(as_of=parse_as_of(as_of), dry_run=True))
        found: str | None = plan.plan(run, validate(run)).manifest.context["previous_release"]
        return found

    def aliases(self) -> dict[str, int | None]:
        registry = Registry(self.ws.settings.tracking_uri, self.ws.settings.experiment)
        names = [*(f"{self.ws.fleet}.{code}" for code in CODES), f"{self.ws.fleet}.release"]
        return {f"{n}@{alias}": registry.alias(n, alias) for n in names for alias in ("champion", "previous")}

    def state(self) -> dict[str, Any]:
        """Everything that a reader may see: outcomes, releases, aliases, tables. Not leases and plans."""
        seen = ("runs", "releases", "published", "reports")
        names = [name for part in seen for name in self.ws.objects.names(part)]
        objects = {n: self.ws.objects.get(n) for n in names if n.endswith(".json") and "/planned" not in n}
        tables = ("quality", "outcomes", "registrations", "decisions", "forecasts")
        versions = {table: self.ws.tables.version(table) for table in tables}
        values = {name: value for name, value in objects.items() if "/manifests/" not in name}
        return {"objects": values, "tables": versions, "aliases": self.aliases(), "status": status(self.ws)}


@pytest.fixture
def fleet(new_fleet: Make, made_up: Make) -> Fleet:
    """Two airports of five years, for which only seasonal naive competes: tuned in no time."""
    table = made_up(CODES, 60, "MS", "2020-12-01")
    spark = {"master": "local[2,4]", "worker_memory_mb": 0}
    ws = open_workspace(load(new_fleet(table, candidates=["seasonal_naive"], spark=spark)))
    ingest(ws, NOW)
    return Fleet(ws)


@pytest.fixture
def hopeless(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """`hopeless(True)`: no airport has time enough to be tuned, until `hopeless(False)`."""
    right = tune.task

    def too_short(ws: Workspace, manifest: Manifest, airport: str) -> TuningTask:
        return replace(right(ws, manifest, airport), seconds=1e-6)

    return lambda on: monkeypatch.setattr(tune, "task", too_short if on else right)


def test_a_run_in_which_every_airport_fails_leaves_the_earlier_release_in_force(
    fleet: Fleet, hopeless: Callable[[bool], None]
) -> None:
    first = fleet.ask(EARLIER)
    before = fleet.aliases()
    hopeless(True)
    failed = fleet.ask(LATER)
    assert [f["airport"] for f in failed["failed"]] == CODES
    assert failed["refitted"] == failed["kept"] == []
    assert failed["release"] == first["release"] == fleet.current() == fleet.in_force(LATER)
    assert fleet.aliases() == before
    assert {row["status"] for row in status(fleet.ws)} == {"failed"}
    assert {row["as_of"] for row in status(fleet.ws)} == {EARLIER}
    assert lease.active(fleet.ws) == []


def test_a_first_run_in_which_every_airport_fails_says_so_and_can_be_rerun(
    fleet: Fleet, hopeless: Callable[[bool], None], without_spark: None
) -> None:
    hopeless(True)
    with pytest.raises(NothingToForecast, match="no airport was finished and registered"):
        fleet.ask(LATER)
    assert releases.current(fleet.ws) is None
    assert newest_failed_as_of(fleet.ws) == parse_as_of(LATER)
    hopeless(False)
    again = fleet.ask(LATER, rerun_failed=True)
    assert again["refitted"] == CODES
    assert fleet.current() == again["release"]
    assert newest_failed_as_of(fleet.ws) is None


def test_a_release_that_was_never_published_is_no_base_for_a_later_run(fleet: Fleet, without_spark: None) -> None:
    published = fleet.ask("2020-10-31")
    lost = fleet.promoted(EARLIER)
    assert releases.load(fleet.ws, lost.release_id) == lost
    assert fleet.in_force(LATER) == fleet.current() == published["release"]
    later = fleet.ask(LATER, airports=("AAA",))
    context = fleet.ws.objects.get(f"runs/{later['run_key']}/context.json")
    assert context["previous_release"] == published["release"]
    made = releases.current(fleet.ws)
    assert made is not None
    assert made.previous == published["release"]
    assert {a: e.as_of for a, e in made.by_airport().items()} == {"AAA": LATER, "BBB": "2020-10-31"}


def test_a_run_that_was_lost_before_it_published_is_published_when_it_is_asked_for_again(
    fleet: Fleet, without_spark: None
) -> None:
    lost = fleet.promoted(EARLIER)
    again = fleet.ask(EARLIER)
    assert again["kept"] == CODES
    assert again["release"] == lost.release_id == fleet.current() == fleet.builds_on(LATER)


def test_of_runs_of_one_date_the_last_one_is_in_force_and_what_the_next_builds_on(
    fleet: Fleet, without_spark: None
) -> None:
    first = fleet.ask(EARLIER)
    other = fleet.ask(EARLIER, max_evals=2)
    assert other["run_key"] != first["run_key"]
    assert other["release"] == fleet.current() == fleet.in_force(EARLIER) == fleet.builds_on(LATER)
    again = fleet.ask(EARLIER)
    assert again["refitted"] == []
    assert again["release"] == first["release"]
    assert again["release"] == fleet.current() == fleet.in_force(EARLIER) == fleet.builds_on(LATER)
    versions = {f"small.{a}": e.version for a, e in releases.current(fleet.ws).by_airport().items()}  # type: ignore[union-attr]
    assert {name: fleet.aliases()[f"{name}@champion"] for name in versions} == versions
    assert fleet.aliases()["small.release@champion"] == 1


def test_an_older_release_that_comes_second_moves_neither_the_pointer_nor_an_alias(
    fleet: Fleet, without_spark: None
) -> None:
    older, newer = fleet.promoted(EARLIER), fleet.promoted(LATER)
    ready = []
    for release in (older, newer):
        forecast.write(fleet.ws, release.entries)
        registry = Registry(fleet.ws.settings.tracking_uri, fleet.ws.settings.experiment)
        ready.append((registry, release, forecast.registered(fleet.ws, registry, release)))
    assert forecast._put_in_force(fleet.ws, *ready[1])
    before = fleet.aliases()
    assert not forecast._put_in_force(fleet.ws, *ready[0])
    assert fleet.current() == newer.release_id
    assert fleet.aliases() == before
    assert not forecast.publish(fleet.ws, older.release_id)
    assert fleet.current() == newer.release_id
    assert fleet.in_force(EARLIER) == older.release_id


def test_a_release_is_put_in_force_by_nobody_while_another_publishes(
    fleet: Fleet, without_spark: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fleet.promoted(EARLIER)
    lease.take(fleet.ws, lease.PUBLISH, "another release", "key")
    monkeypatch.setattr(lease, "SECONDS", 0.1)
    with pytest.raises(lease.LeaseHeld, match="another release"):
        forecast.publish(fleet.ws, made.release_id)
    assert releases.current(fleet.ws) is None
    assert releases.in_force(fleet.ws, parse_as_of(LATER)) is None


def test_rerunning_the_failed_where_nothing_is_open_changes_nothing(fleet: Fleet, without_spark: None) -> None:
    first = fleet.ask(LATER)
    before = fleet.state()
    again = fleet.ask(LATER, rerun_failed=True)
    assert (again["run_key"], again["release"]) == (first["run_key"], first["release"])
    assert again["refitted"] == again["kept"] == again["failed"] == again["quarantined"] == []
    assert fleet.state() == before


def test_rerunning_the_failed_under_other_settings_is_refused_and_names_the_run(
    fleet: Fleet, hopeless: Callable[[bool], None], without_spark: None
) -> None:
    fleet.ask(EARLIER)
    hopeless(True)
    failed = fleet.ask(LATER)
    hopeless(False)
    before = fleet.current()
    with pytest.raises(ConfigurationError, match=f"2 airports of {LATER} failed, but in {failed['run_key']}, under"):
        fleet.ask(LATER, rerun_failed=True, max_evals=2)
    assert fleet.current() == before
    assert lease.active(fleet.ws) == []
    assert fleet.ask(LATER, rerun_failed=True)["refitted"] == CODES


def test_a_failed_airport_that_was_restated_is_rerun_on_its_new_history_and_then_closed(
    fleet: Fleet, hopeless: Callable[[bool], None], without_spark: None, made_up: Make
) -> None:
    fleet.ask(EARLIER)
    hopeless(True)
    fleet.ask(LATER)
    hopeless(False)
    table = made_up(CODES, 60, "MS", "2020-12-01")
    table.loc[table["airport"].eq("BBB") & table["date"].eq("2020-06-01"), "passengers"] += 7
    table.to_csv(fleet.ws.settings.source_path, index=False)
    assert ingest(fleet.ws, NOW, known_at=parse_as_of("2020-12-15")).changed == ["BBB"]
    assert fleet.ask(LATER, rerun_failed=True)["refitted"] == CODES
    assert newest_failed_as_of(fleet.ws) is None
