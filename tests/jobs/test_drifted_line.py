"""The line for the drifted: who is refitted and why, the fallback and how long it lasts, and what a repetition does."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from paxcast import cli
from paxcast.adapters.mlflow_registry import Registry
from paxcast.core.calendar import as_of_text, parse_as_of
from paxcast.core.drift.policy import ESCALATE, FALLBACK, NONE, RETRAIN, Past
from paxcast.core.errors import ConfigurationError, NothingToForecast
from paxcast.core.manifest import Manifest
from paxcast.core.release import Entry
from paxcast.jobs import decide, drift_asked, plan, releases, retrain, tune
from paxcast.jobs.ingest import ingest
from paxcast.jobs.reproduce import reproduce
from paxcast.jobs.run import Request, open_run
from paxcast.jobs.validate import validate
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = ["AAA", "BBB", "CCC"]
FIRST, SECOND, THIRD, FOURTH = "2020-09-30", "2020-10-31", "2020-11-30", "2020-12-31"
SIMPLE = "window_average"
Make = Callable[..., Any]


@dataclass(frozen=True)
class Fleet:
    """A monthly fleet of three airports, and how to ask it for runs and to say what a check found."""

    ws: Workspace
    path: Path

    def ask(self, as_of: str, **wanted: Any) -> dict[str, Any]:
        request = Request(as_of=parse_as_of(as_of), **{"request_id": f"{as_of}{wanted}", **wanted})
        return retrain.retrain(self.ws, request, NOW)

    def checked(self, as_of: str, **said: str) -> None:
        """A check of all airports: `AAA="retrain"`, `BBB="fallback window_average"`, `CCC="none window_average"`."""
        rows = []
        for airport in CODES:
            action, _, pinned = said.get(airport, NONE).partition(" ")
            drifted = action in (RETRAIN, FALLBACK, ESCALATE)
            rows.append(
                {"fleet": self.ws.fleet, "check_key": f"small-{as_of}-drift", "run_key": f"small-{as_of}-drift"}
                | {"as_of": as_of_text(parse_as_of(as_of)), "airport": airport, "cycle": f"{as_of[:7]}-01"}
                | {"tested": True, "drifted": drifted, "severity": "moderate" if drifted else "none"}
                | {"p": 0.01, "q": 0.02, "ratio": 2.0, "reasons": json.dumps(["loss"]), "fault": "", "action": action}
                | {"why": "drift: loss" if drifted else "", "pinned": pinned, "version": 1, "cusum": json.dumps([])}
            )
        self.ws.tables.replace("drift", pd.DataFrame(rows), {"check_key": f"small-{as_of}-drift"})

    def current(self) -> dict[str, Entry]:
        found = releases.current(self.ws)
        assert found is not None
        return found.by_airport()

    def outcomes(self, result: dict[str, Any]) -> dict[str, dict[str, Any]]:
        names = self.ws.objects.names(f"runs/{result['run_key']}/outcomes")
        return {one["airport"]: one for name in names if (one := self.ws.objects.get(name))}

    def decided(self, result: dict[str, Any]) -> pd.DataFrame:
        return decide.read(self.ws, [result["run_key"]]).set_index("airport")

    def reasons(self, run_key: str) -> dict[str, str]:
        """The tag drift_reason of each airport's MLflow run."""
        registry = Registry(self.ws.settings.tracking_uri, self.ws.settings.experiment)
        (experiment,) = registry.client.search_experiments(filter_string=f"name = '{self.ws.settings.experiment}'")
        found = registry.client.search_runs([experiment.experiment_id], f"tags.run_key = '{run_key}'")
        tags = [one.data.tags for one in found if "airport" in one.data.tags]
        return {one["airport"]: one["drift_reason"] for one in tags}

    def cli(self, *args: str) -> Result:
        return CliRunner().invoke(cli.app, ["--config", str(self.path), *args])

    def frozen(self, run_key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ws.objects.get(f"runs/{run_key}/context.json")
        return found


def new(new_fleet: Make, made_up: Make, **settings: Any) -> Fleet:
    """Two methods in which nothing is fitted; tuned in this process, in no time. Nothing has run yet."""
    plain = {"candidates": ["seasonal_naive", "seasonal_growth"], "search": {"mode": "local"}, "folds": {"recent": 2}}
    shocks = {"find_shocks": False, "shocks": []}
    path = new_fleet(made_up(CODES, 60, "MS", "2020-12-01"), **plain, history=shocks, **settings)
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    return Fleet(ws, path)


@pytest.fixture
def fleet(new_fleet: Make, made_up: Make) -> Fleet:
    return new(new_fleet, made_up)


# --- runs to the forecast


@dataclass(frozen=True)
class Story:
    """What four runs made: the whole fleet; of the same date two that drifted, one of them for the second time; at the
    next date another one, by the command; and, one later, the whole fleet by its schedule."""

    fleet: Fleet
    whole: dict[str, Any]
    same_date: dict[str, Any]
    dry: dict[str, Any]
    one: dict[str, Any]
    scheduled: dict[str, Any]
    in_force: dict[str, dict[str, Entry]]  # after each of these


@pytest.fixture(scope="module")
def story(new_fleet: Make, made_up: Make) -> Story:
    fleet = new(new_fleet, made_up)
    ran, in_force = {}, {}
    ran["whole"] = fleet.ask(FIRST)
    in_force["whole"] = fleet.current()
    fleet.checked(FIRST, AAA=RETRAIN, BBB=f"{FALLBACK} {SIMPLE}", CCC=ESCALATE)
    ran["dry"] = fleet.ask(FIRST, drifted=True, dry_run=True)
    assert list(fleet.ws.objects.names("revisions")) == []
    ran["same_date"] = fleet.ask(FIRST, drifted=True)
    in_force["same_date"] = fleet.current()
    fleet.checked(SECOND, BBB=f"{NONE} {SIMPLE}", CCC=RETRAIN)
    ran["one"] = json.loads(fleet.cli("retrain", "--drifted", "--json").stdout)
    in_force["one"] = fleet.current()
    ran["scheduled"] = fleet.ask(THIRD)
    in_force["scheduled"] = fleet.current()
    return Story(fleet, **ran, in_force=in_force)


def test_a_run_of_the_drifted_refits_exactly_these_and_the_others_stay_as_they_are(story: Story) -> None:
    assert (story.one["refitted"], story.one["kept"], story.one["failed"]) == (["CCC"], [], [])
    before, after = story.in_force["same_date"], story.in_force["one"]
    assert {a: after[a] for a in ("AAA", "BBB")} == {a: before[a] for a in ("AAA", "BBB")}
    assert (after["CCC"].as_of, after["CCC"].version) == (SECOND, before["CCC"].version + 1)
    manifest = plan.newest(story.fleet.ws, story.one["run_key"])
    assert manifest is not None
    assert [(a.airport, a.why) for a in manifest.airports] == [("CCC", "drift: loss")]
    assert not manifest.whole


def test_without_a_date_the_command_takes_the_newest_checks(story: Story) -> None:
    assert story.one["as_of"] == SECOND


def test_the_reason_is_a_tag_of_the_airports_run_and_those_of_the_schedule_have_none(story: Story) -> None:
    assert story.fleet.reasons(story.one["run_key"]) == {"CCC": "drift: loss"}
    assert story.fleet.reasons(story.same_date["run_key"]) == {"AAA": "drift: loss", "BBB": "drift: loss"}
    assert story.fleet.reasons(story.scheduled["run_key"]) == dict.fromkeys(CODES, "")


def test_its_search_starts_from_the_champions(story: Story) -> None:
    context = story.fleet.frozen(story.one["run_key"])
    assert context["previous_release"] == story.same_date["release"]
    assert sorted(context["champions"]) == CODES


def test_a_fallback_takes_effect_on_a_date_that_has_run_and_publishes_the_simple_method_alone(story: Story) -> None:
    assert story.same_date["run_key"] == story.whole["run_key"].removesuffix("0") + "1"
    assert story.same_date["refitted"] == ["AAA", "BBB"]
    assert (story.dry["run_key"], story.dry["would_refit"]) == (story.same_date["run_key"], ["AAA", "BBB"])
    row = story.fleet.decided(story.same_date).loc["BBB"]
    assert (row["method"], json.loads(row["weights"])) == (SIMPLE, {SIMPLE: 1.0})
    assert row["reason"].startswith("pinned: MASE ")
    stored = story.fleet.outcomes(story.same_date)
    assert {airport: one["pinned"] for airport, one in stored.items()} == {"AAA": False, "BBB": True}
    made = {e["candidate"]: e["forecast"] for e in stored["BBB"]["entrants"]}
    assert json.loads(row["forecast"])["yhat"] == pytest.approx(made[SIMPLE])
    assert story.in_force["same_date"]["BBB"].candidate == SIMPLE


def test_the_same_data_give_the_same_model_to_who_is_refitted_beside_a_new_fallback(story: Story) -> None:
    forecasts = [story.fleet.decided(ran).loc["AAA", "forecast"] for ran in (story.whole, story.same_date)]
    assert forecasts[0] == forecasts[1]


def test_a_scheduled_run_of_the_whole_fleet_keeps_the_fallback(story: Story) -> None:
    assert story.scheduled["refitted"] == CODES
    methods = story.fleet.decided(story.scheduled)["method"]
    assert methods["BBB"] == story.in_force["scheduled"]["BBB"].candidate == SIMPLE
    assert SIMPLE not in set(methods[["AAA", "CCC"]])
    assert story.fleet.frozen(story.scheduled["run_key"])["pinned"] == {"BBB": SIMPLE}


def test_asked_again_the_same_airports_are_kept(story: Story) -> None:
    again = story.fleet.ask(SECOND, drifted=True, request_id="another")
    assert (again["run_key"], again["refitted"], again["kept"]) == (story.one["run_key"], [], ["CCC"])


def test_later_checks_know_that_what_was_asked_for_was_done(story: Story) -> None:
    known = drift_asked.past(story.fleet.ws, parse_as_of(FOURTH))
    assert known == {
        "AAA": Past(asked=1, quiet=1),
        "BBB": Past(asked=1, pinned=SIMPLE, quiet=1),
        "CCC": Past(asked=1),
    }


@pytest.mark.parametrize("which", ["same_date", "scheduled"])
def test_a_run_with_a_fallback_is_reproduced_to_the_last_byte_without_the_check(story: Story, which: str) -> None:
    ran = getattr(story, which)
    rows = story.fleet.ws.tables.read("drift")
    story.fleet.ws.tables.remove("drift", story.fleet.ws.fleet, sorted(rows["run_key"].unique()))
    try:
        found = reproduce(story.fleet.ws, None, ran["run_key"])
    finally:
        story.fleet.ws.tables.append("drift", rows)
    assert (found.airports, found.differences) == (ran["refitted"], [])


# --- plans


def planned(fleet: Fleet, as_of: str, **wanted: Any) -> Manifest:
    """The frozen manifest of a run that goes no further."""
    opened = open_run(fleet.ws, Request(as_of=parse_as_of(as_of), request_id=str(wanted), **wanted))
    return plan.plan(opened, validate(opened)).manifest


def test_a_fallback_ends_with_the_next_date_and_a_run_that_is_planned_already_stays_as_it_is(fleet: Fleet) -> None:
    fleet.checked(SECOND, BBB=f"{FALLBACK} {SIMPLE}")
    first = planned(fleet, SECOND)
    assert first.pinned("BBB") == SIMPLE
    fleet.checked(SECOND)
    assert planned(fleet, SECOND) == first
    fleet.ws.tables.remove("drift", fleet.ws.fleet, [f"small-{SECOND}-drift"])
    assert planned(fleet, SECOND) == first
    assert "pinned" not in planned(fleet, THIRD).context


def test_only_a_fallback_that_a_run_was_planned_without_raises_its_revision_and_that_once(fleet: Fleet) -> None:
    keys = [planned(fleet, SECOND).run_key]
    for said in ({}, {"AAA": RETRAIN}, {"BBB": f"{FALLBACK} {SIMPLE}"}, {}, {"BBB": f"{FALLBACK} random_walk"}):
        fleet.checked(SECOND, **said)
        keys += [planned(fleet, SECOND).run_key, planned(fleet, SECOND, airports=("AAA",)).run_key]
    assert [int(key[-1]) for key in keys] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert len({key[:-1] for key in keys}) == 1
    assert planned(fleet, SECOND).pinned("BBB") == "random_walk"
    assert planned(fleet, SECOND, force=True).run_key.endswith("-r3")
    assert planned(fleet, SECOND).run_key.endswith("-r3")


def test_a_backfill_of_an_earlier_date_knows_nothing_of_a_later_fallback(fleet: Fleet) -> None:
    fleet.checked(SECOND, BBB=f"{FALLBACK} {SIMPLE}")
    assert "pinned" not in planned(fleet, FIRST, backfill=True).context
    assert planned(fleet, SECOND, backfill=True).pinned("BBB") == SIMPLE


def test_of_airports_that_are_named_only_the_drifted_are_taken(fleet: Fleet) -> None:
    fleet.checked(SECOND, AAA=RETRAIN, BBB=RETRAIN)
    assert [a.airport for a in planned(fleet, SECOND, drifted=True, airports=("BBB", "CCC")).airports] == ["BBB"]
    nobody = fleet.ask(SECOND, drifted=True, airports=("CCC",))
    assert nobody["nothing"].endswith(f"as of {SECOND}, asks to retrain none of these airports; nothing is to be done")
    with pytest.raises(NothingToForecast, match="asks to retrain none of these airports"):
        planned(fleet, SECOND, drifted=True, airports=("CCC",))


def test_on_a_fallback_one_method_competes_and_on_the_others_the_fleets(fleet: Fleet) -> None:
    fleet.checked(SECOND, BBB=f"{FALLBACK} {SIMPLE}")
    manifest = planned(fleet, SECOND)
    task = tune.task(fleet.ws, manifest, "BBB")
    assert (task.candidates, task.pinned, task.pinned_by) == ((SIMPLE,), True, "a drift check pins")
    other = tune.task(fleet.ws, manifest, "AAA")
    assert (other.candidates, other.pinned) == (("seasonal_naive", "seasonal_growth"), False)


def test_what_a_person_has_pinned_stays(new_fleet: Make, made_up: Make) -> None:
    fleet = new(new_fleet, made_up, overrides={"BBB": {"method": "random_walk"}})
    fleet.checked(SECOND, BBB=f"{FALLBACK} {SIMPLE}")
    task = tune.task(fleet.ws, planned(fleet, SECOND), "BBB")
    assert (task.candidates, task.pinned, task.pinned_by) == (("random_walk",), True, "overrides pin")


# --- where nothing is to be done, and where nobody looked


def test_where_the_newest_check_asks_for_nobody_nothing_is_done_and_that_is_said_without_an_error(
    fleet: Fleet,
) -> None:
    fleet.checked(FIRST, AAA=RETRAIN)
    fleet.checked(SECOND, CCC=ESCALATE)
    expected = f"fleet small: the newest drift check, as of {SECOND}, asks to retrain no airport; nothing is to be done"
    for args in ((), ("--dry-run",)):
        said = fleet.cli("retrain", "--drifted", "--as-of", THIRD, *args)
        assert (said.exit_code, said.stdout) == (0, f"{expected}\n")
    result = json.loads(fleet.cli("retrain", "--drifted", "--as-of", THIRD, "--json").stdout)
    assert result["nothing"] == expected
    assert [result[what] for what in ("refitted", "kept", "quarantined", "failed", "release")] == [[], [], [], [], None]
    assert list(fleet.ws.objects.names("runs")) == []


def test_a_fleet_that_was_never_checked_is_told_to_be(fleet: Fleet) -> None:
    for args in ((), ("--as-of", SECOND)):
        error = fleet.cli("retrain", "--drifted", *args).exception
        assert isinstance(error, ConfigurationError)
        assert "has not been checked for drift" in str(error)
        assert "`paxcast drift" in str(error)


def test_the_drifted_and_the_failed_are_not_asked_for_at_once(fleet: Fleet) -> None:
    with pytest.raises(ConfigurationError, match=r"drifted, rerun_failed: .* ask for one of the two"):
        planned(fleet, SECOND, drifted=True, rerun_failed=True)
