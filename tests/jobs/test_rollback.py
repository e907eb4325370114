"""Rollback: an earlier release in force again, what it withdraws, and what runs make of it afterwards."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters.mlflow_registry import Registry
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError
from paxcast.core.release import Release
from paxcast.jobs import forecast, lease, releases, retrain
from paxcast.jobs import rollback as rolling
from paxcast.jobs.ingest import ingest
from paxcast.jobs.rollback import rollback
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = ["AAA", "BBB", "CCC"]
FIRST, SECOND, THIRD = "2020-10-31", "2020-11-30", "2020-12-31"
Make = Callable[..., Any]


@dataclass(frozen=True)
class Fleet:
    """A fleet with a run of each of some dates, and what its readers see."""

    ws: Workspace

    def ask(self, as_of: str, **wanted: Any) -> str:
        request = Request(as_of=parse_as_of(as_of), request_id=f"{as_of}{wanted}", **wanted)
        return str(retrain.retrain(self.ws, request, NOW)["release"])

    def back(self, **wanted: Any) -> dict[str, str]:
        return rollback(self.ws, NOW, **wanted).as_json()

    def current(self) -> Release:
        found = releases.current(self.ws)
        assert found is not None
        return found

    def seen(self) -> str:
        """The forecasts in force, to the last byte."""
        return forecast.forecasts(self.ws, self.current()).to_csv(float_format="%.17g")

    def aliases(self, alias: str = "champion") -> dict[str, int | None]:
        registry = Registry(self.ws.settings.tracking_uri, self.ws.settings.experiment)
        names = [*(f"{self.ws.fleet}.{code}" for code in CODES), f"{self.ws.fleet}.release"]
        return {name: registry.alias(name, alias) for name in names}


def in_a_store(path: Path) -> Fleet:
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    return Fleet(ws)


@pytest.fixture
def fleet(new_fleet: Make, made_up: Make, without_spark: None) -> Fleet:
    """Three airports of five years, for which only seasonal naive competes: tuned in no time."""
    table = made_up(CODES, 60, "MS", "2020-12-01")
    return in_a_store(new_fleet(table, candidates=["seasonal_naive"], spark={"worker_memory_mb": 0}))


@pytest.fixture(scope="module")
def two(new_fleet: Make, made_up: Make) -> Fleet:
    """The same with runs of two dates, for tests that only go to and fro between them."""
    table = made_up(CODES, 60, "MS", "2020-12-01")
    alike = {"candidates": ["seasonal_naive"], "spark": {"worker_memory_mb": 0}, "search": {"mode": "local"}}
    made = in_a_store(new_fleet(table, **alike))
    for as_of in (FIRST, SECOND):
        made.ask(as_of)
    return made


@pytest.fixture
def first_of_two(two: Fleet) -> str:
    """The first release of these; the second is in force."""
    first, second = (record.release_id for record in releases.publications(two.ws)[:2])
    two.back(release_id=second)
    return first


def test_a_fleet_goes_back_to_the_release_before_and_its_readers_see_what_they_saw_then(fleet: Fleet) -> None:
    first = fleet.ask(FIRST)
    seen, aliases = fleet.seen(), fleet.aliases()
    second = fleet.ask(SECOND)
    assert fleet.seen() != seen
    assert fleet.back() == {"from": second, "to": first}
    assert (fleet.seen(), fleet.aliases()) == (seen, aliases)
    assert releases.in_force(fleet.ws, parse_as_of(SECOND)).release_id == first  # type: ignore[union-attr]
    assert releases.in_force(fleet.ws, parse_as_of(FIRST)).release_id == first  # type: ignore[union-attr]


def test_it_goes_to_any_release_that_was_in_force_and_forward_again(fleet: Fleet) -> None:
    ids, seen = {}, {}
    for as_of in (FIRST, SECOND, THIRD):
        ids[as_of] = fleet.ask(as_of)
        seen[as_of] = (fleet.seen(), fleet.aliases())
    for as_of in (FIRST, THIRD, SECOND, SECOND):
        before = fleet.current().release_id
        assert fleet.back(release_id=ids[as_of]) == {"from": before, "to": ids[as_of]}
        assert (fleet.seen(), fleet.aliases()) == seen[as_of]


def test_without_a_name_it_goes_back_one_further_each_time_and_never_forward(fleet: Fleet) -> None:
    first, second, third = (fleet.ask(as_of) for as_of in (FIRST, SECOND, THIRD))
    assert fleet.back() == {"from": third, "to": second}
    assert fleet.back() == {"from": second, "to": first}
    with pytest.raises(ConfigurationError, match="no release before"):
        fleet.back()
    assert fleet.current().release_id == first


def test_one_airport_goes_back_and_the_others_stay(fleet: Fleet) -> None:
    fleet.ask(FIRST)
    before = fleet.current().by_airport()["BBB"]
    fleet.ask(SECOND)
    others = {code: entry for code, entry in fleet.current().by_airport().items() if code != "BBB"}
    told = fleet.back(airport="BBB")
    now = fleet.current()
    assert told["to"] == now.release_id
    assert now.by_airport() == {**others, "BBB": before}
    assert fleet.aliases()["small.BBB"] == before.version
    assert fleet.aliases()["small.AAA"] == others["AAA"].version
    rows = forecast.forecasts(fleet.ws, now, ("BBB",))
    assert set(rows["as_of"]) == {FIRST}
    with pytest.raises(ConfigurationError, match="BBB was never forecast by another version"):
        fleet.back(airport="BBB")


def test_an_airport_goes_back_to_what_a_named_release_has_of_it(fleet: Fleet) -> None:
    first = fleet.ask(FIRST)
    before = fleet.current().by_airport()["AAA"]
    for as_of in (SECOND, THIRD):
        fleet.ask(as_of)
    fleet.back(airport="AAA", release_id=first)
    assert fleet.current().by_airport()["AAA"] == before
    same = fleet.back(airport="AAA", release_id=first)
    assert same["from"] == same["to"]


def test_a_run_of_the_same_date_brings_nothing_back_unless_it_is_forced(fleet: Fleet) -> None:
    first = fleet.ask(FIRST)
    bad = fleet.ask(SECOND)
    fleet.back()
    assert fleet.ask(SECOND) == first
    assert not forecast.publish(fleet.ws, bad)
    assert fleet.current().release_id == first
    forced = fleet.ask(SECOND, force=True)
    assert fleet.current().release_id == forced not in (first, bad)


def test_of_one_airport_that_went_back_a_rerun_brings_only_the_others(fleet: Fleet) -> None:
    fleet.ask(FIRST)
    fleet.ask(SECOND)
    fleet.back(airport="BBB")
    entries = fleet.current().entries
    fleet.ask(SECOND)
    assert fleet.current().entries == entries


def test_a_run_of_a_later_date_is_not_hindered_and_one_between_moves_nothing(fleet: Fleet) -> None:
    first = fleet.ask(FIRST)
    fleet.ask(THIRD)
    fleet.back()
    fleet.ask(SECOND)  # later than what is in force, but not than what that stands for
    assert fleet.current().release_id == first
    later = fleet.ask("2021-01-31")
    assert fleet.current().release_id == later


STEPS = {"write": forecast, "registered": forecast, "crown": Registry, "make_current": releases}


@pytest.mark.parametrize("broken", STEPS)
def test_broken_off_anywhere_readers_see_one_release_whole_and_again_it_is_done(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    first, seen = fleet.ask(FIRST), fleet.seen()
    second, seen_after = fleet.ask(SECOND), fleet.seen()

    def lost(*_args: Any, **_kwargs: Any) -> None:
        raise OSError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(STEPS[broken], broken, lost)
        with pytest.raises(OSError, match="lost"):
            fleet.back()
        assert fleet.current().release_id == second
        assert fleet.seen() == seen_after
    assert fleet.back()["to"] == first
    assert fleet.seen() == seen
    assert lease.active(fleet.ws) == []


def test_where_there_is_nothing_to_go_back_to_the_message_says_what_there_is(fleet: Fleet) -> None:
    with pytest.raises(ConfigurationError, match="nothing is in force yet"):
        fleet.back()
    first = fleet.ask(FIRST)
    with pytest.raises(ConfigurationError, match="no release before"):
        fleet.back()
    with pytest.raises(ConfigurationError, match=r"small-nothing was never in force in fleet small; .* none"):
        fleet.back(release_id="small-nothing")
    fleet.ask(SECOND)
    with pytest.raises(ConfigurationError, match=f"were: {first}"):
        fleet.back(release_id="small-nothing")
    with pytest.raises(ConfigurationError, match="QQQ is not in the release in force"):
        fleet.back(airport="QQQ")


# --- what it leaves behind


def test_previous_stays_as_it_was_as_what_was_rolled_back_is_nothing_to_go_back_to(
    two: Fleet, first_of_two: str
) -> None:
    assert set(two.aliases().values()) == {2}
    previous = two.aliases("previous")
    assert set(previous.values()) == {1}
    two.back(airport="BBB", release_id=first_of_two)
    assert (two.aliases()["small.BBB"], two.aliases("previous")) == (1, previous)
    two.back(release_id=first_of_two)
    assert set(two.aliases().values()) == {1}
    assert two.aliases("previous") == previous


def test_the_log_names_the_releases_and_the_versions_and_only_of_what_moved(
    two: Fleet, first_of_two: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "paxcast.rollback")
    second = two.current().release_id
    mixed = two.back(airport="BBB", release_id=first_of_two)["to"]
    two.back(release_id=first_of_two)
    two.back(release_id=first_of_two)  # in force already
    assert [one.getMessage() for one in caplog.records if one.name == "paxcast.rollback"] == [
        f"release {mixed} is in force, instead of {second}: BBB from version 2 to 1",
        f"release {first_of_two} is in force, instead of {mixed}: AAA from version 2 to 1, CCC from version 2 to 1",
    ]


def test_of_many_airports_the_log_names_five_and_counts_the_others(release_of: Make) -> None:
    codes = [f"A{number}" for number in range(7)]
    before, target = (release_of(as_of, {code: {} for code in codes}) for as_of in (FIRST, SECOND))
    moved = replace(target, entries=tuple(replace(entry, version=3) for entry in target.entries))
    named = ", ".join(f"{code} from version 1 to 3" for code in codes[:5])
    assert rolling._back(before, moved) == f"{named} ... and 2 more airports"
    assert rolling._back(before, replace(moved, entries=moved.entries[:5])) == named
    assert rolling._back(before, target) == "no airport in both has another version"


@pytest.mark.parametrize("word", ["current", "previous"])
def test_a_word_is_no_release_to_go_back_to_and_the_message_says_what_to_write_instead(
    two: Fleet, first_of_two: str, word: str
) -> None:
    state = two.current(), two.aliases(), releases.publications(two.ws)
    for airport in (None, "AAA"):
        with pytest.raises(ConfigurationError) as told:
            two.back(airport=airport, release_id=word)
        assert f"--release: {word} was never in force in fleet small" in str(told.value)
        assert first_of_two in str(told.value)
        assert str(told.value).endswith("; name one of these, or leave --release out for the one before")
    assert (two.current(), two.aliases(), releases.publications(two.ws)) == state
    assert lease.active(two.ws) == []
