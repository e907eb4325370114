"""The human gate: where many specifications would change, the release in force stays until a person said yes."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from paxcast import cli
from paxcast.adapters.mlflow_registry import Registry
from paxcast.core import composition
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import approval, decide, forecast, ledger, plan, releases, retrain
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request, open_run
from paxcast.jobs.validate import validate
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = ["AAA", "BBB", "CCC", "DDD"]
FIRST, SECOND, THIRD = "2020-10-31", "2020-11-30", "2020-12-31"
Make = Callable[..., Any]


def space(*modes: str) -> dict[str, Any]:
    """A search of every point of a space: with another one the specification of each airport changes."""
    points: dict[str, Any] = {"seasonality_mode": {"choice": list(modes)}}
    return {"max_evals": len(modes), "algorithm": "grid", "mode": "local", "space": points}


def growing() -> pd.DataFrame:
    """Five years of months that grow by half each year, the season with them: Prophet beats seasonal naive, and with a
    multiplicative season it beats itself."""
    months = pd.date_range("2016-01-01", periods=60, freq="MS")
    t = np.arange(60)
    frames = []
    for at, code in enumerate(CODES):
        y = 1000 * (at + 1) * 1.035**t * (1 + 0.3 * np.sin(2 * np.pi * (t + at) / 12))
        frames.append(pd.DataFrame({"airport": code, "date": months.strftime("%Y-%m-%d"), "passengers": y.round()}))
    return pd.concat(frames, ignore_index=True)


ADDITIVE, OTHER, BOTH = space("additive"), space("multiplicative"), space("additive", "multiplicative")


@dataclass(frozen=True)
class Fleet:
    """A fleet whose observations are in the store; its configuration can be changed."""

    ws: Workspace

    def with_(self, **sections: Any) -> "Fleet":
        plain = {**self.ws.settings.model_dump(mode="json"), **sections}
        made = type(self.ws.settings).model_validate(plain)
        return Fleet(open_workspace(made.model_copy(update={"origin": self.ws.settings.origin})))

    def ask(self, as_of: str, **wanted: Any) -> dict[str, Any]:
        return retrain.retrain(self.ws, Request(as_of=parse_as_of(as_of), request_id=f"{as_of}{wanted}", **wanted), NOW)

    def current(self) -> str:
        found = releases.current(self.ws)
        assert found is not None
        return found.release_id

    def alias(self, name: str) -> dict[str, int | None]:
        """By airport, and of the fleet's own model."""
        registry = Registry(self.ws.settings.tracking_uri, self.ws.settings.experiment)
        return {code: registry.alias(f"{self.ws.fleet}.{code}", name) for code in [*CODES, "release"]}

    def choices(self, run_key: str) -> dict[str, Any]:
        """By airport what was chosen for anchored_prophet, from the outcomes."""
        rows = ledger.newest(self.ws, run_key)[["airport", "checksum"]].itertuples(index=False, name=None)
        found = {a: ledger.load(self.ws.objects, run_key, a, c) for a, c in rows}
        return {a: result.choices["anchored_prophet"] for a, result in found.items() if result is not None}


@pytest.fixture
def fleet(new_fleet: Make) -> Fleet:
    """Four airports and a release of October in force, each with the same one specification."""
    asked = {"candidates": ["seasonal_naive", "anchored_prophet"], "promotion": {"ask_above": 0.5}}
    rest = {"search": ADDITIVE, "spark": {"worker_memory_mb": 0}}
    ws = open_workspace(load(new_fleet(growing(), **asked, **rest)))
    ingest(ws, NOW)
    made = Fleet(ws)
    assert "waits" not in made.ask(FIRST)  # nothing was in force, so nothing changes
    return made


def test_where_more_would_change_than_the_limit_the_old_release_stays_until_somebody_says_yes(fleet: Fleet) -> None:
    before, champions = fleet.current(), fleet.alias("champion")
    changed = fleet.with_(search=OTHER)
    result = changed.ask(SECOND)
    assert result["refitted"] == CODES
    assert "would change the specification of 4 of 4 airports (AAA, BBB, CCC, DDD)" in result["waits"]
    assert (fleet.current(), fleet.alias("champion")) == (before, champions)
    assert releases.in_force(fleet.ws, parse_as_of(SECOND)).release_id == before  # type: ignore[union-attr]
    assert fleet.alias("challenger") == dict.fromkeys([*CODES, "release"], 2)

    assert "waits" in changed.ask(SECOND)  # asked again it is the same
    approval.answer(changed.ws, result["release"], True, "somebody", NOW)
    assert forecast.publish(changed.ws, result["release"])
    assert fleet.current() == result["release"]
    assert fleet.alias("champion") == dict.fromkeys([*CODES, "release"], 2)
    assert fleet.alias("previous") == champions
    assert fleet.alias("challenger") == dict.fromkeys([*CODES, "release"])
    assert "waits" not in changed.ask(SECOND)


def test_after_a_no_it_stays_as_it_was_and_the_next_run_asks_again(fleet: Fleet) -> None:
    before = fleet.current()
    changed = fleet.with_(search=OTHER)
    result = changed.ask(SECOND)
    approval.answer(changed.ws, result["release"], False, "somebody", NOW)
    assert not forecast.publish(changed.ws, result["release"])
    assert fleet.current() == before
    later = changed.ask(THIRD)
    assert later["release"] in later["waits"]
    assert fleet.current() == before
    assert fleet.alias("challenger") == dict.fromkeys([*CODES, "release"], 3)


def test_the_command_line_answers_too(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    before = fleet.current()
    release = fleet.with_(search=OTHER).ask(SECOND)["release"]
    for option, in_force, told in ((["--no"], before, "is not published"), ([], release, "is in force")):
        monkeypatch.setattr(sys, "argv", ["paxcast", "--config", fleet.ws.settings.origin, "approve", release, *option])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        assert told in capsys.readouterr().out.replace("\n", " ")
        assert fleet.current() == in_force


def test_a_yes_to_what_is_out_of_date_undoes_nothing_that_was_published_since(fleet: Fleet) -> None:
    waiting = fleet.with_(search=OTHER).ask(SECOND, airports=("AAA", "BBB", "CCC"))
    other = fleet.with_(search=OTHER).ask(SECOND, airports=("DDD",), force=True)
    assert "waits" in waiting
    assert fleet.current() == other["release"]
    approval.answer(fleet.ws, waiting["release"], True, "somebody", NOW)
    assert not forecast.publish(fleet.ws, waiting["release"])
    assert fleet.current() == other["release"]
    assert fleet.alias("champion")["DDD"] == 2


def test_what_was_asked_for_and_not_approved_is_not_published_when_a_later_date_is_in_force(fleet: Fleet) -> None:
    october = fleet.current()
    changed = fleet.with_(search=OTHER)
    refused = changed.ask(SECOND)
    fleet.with_(promotion={}).ask(THIRD)
    again = changed.ask(SECOND)
    assert again["release"] == refused["release"]
    assert releases.in_force(fleet.ws, parse_as_of(SECOND)).release_id == october  # type: ignore[union-attr]
    assert releases.newest_before(fleet.ws, parse_as_of(THIRD), for_backfill=False).release_id == october  # type: ignore[union-attr]


def test_after_a_no_on_the_command_line_nothing_is_a_challenger_any_more(fleet: Fleet) -> None:
    champions, before = fleet.alias("champion"), fleet.current()
    release = fleet.with_(search=OTHER).ask(SECOND)["release"]
    assert fleet.alias("challenger") == dict.fromkeys([*CODES, "release"], 2)
    asked = ["--config", str(fleet.ws.settings.origin), "approve", release, "--no"]
    result = CliRunner().invoke(cli.app, asked, catch_exceptions=False)
    assert result.exit_code == 0
    assert fleet.alias("challenger") == dict.fromkeys([*CODES, "release"])
    assert (fleet.alias("champion"), fleet.current()) == (champions, before)


def test_where_fewer_would_change_nobody_is_asked(fleet: Fleet) -> None:
    changed = fleet.with_(search=OTHER)
    result = changed.ask(SECOND, airports=("AAA", "BBB"))
    assert "waits" not in result
    assert fleet.current() == result["release"]


def test_a_release_of_an_earlier_date_comes_not_into_force_so_nobody_is_asked(fleet: Fleet) -> None:
    changed = fleet.with_(search=OTHER)
    assert "waits" not in changed.ask("2020-09-30")


@pytest.mark.parametrize("name", ["nonsense", "current"])  # the pointer has the latter for its name, and is none
def test_an_answer_for_a_release_that_is_not_there_is_refused(ws: Workspace, release_of: Make, name: str) -> None:
    made = release_of(FIRST, {"AAA": {}})
    releases.keep(ws, made, NOW, backfill=False)
    releases.make_current(ws, made)
    with pytest.raises(ConfigurationError, match=f"there is no release {name}; the log of its run names it"):
        approval.answer(ws, name, True, "somebody", NOW)
    assert list(ws.objects.names("approvals")) == []


@pytest.mark.parametrize(
    ("limit", "changed", "of"),
    [
        *(("0.5", 2, 4), ("0.5", 3, 4), ("0", 0, 3), ("0", 1, 3), ("0.2", 1, 5), ("0.2", 2, 5)),
        *(("0.29", 29, 100), ("0.29", 30, 100), ("0.07", 7, 100), ("0.57", 57, 100), ("0.57", 58, 100)),
    ],
)
def test_exactly_at_the_limit_nobody_is_asked_and_with_one_airport_more_somebody_is(
    ws: Workspace, release_of: Make, limit: str, changed: int, of: int
) -> None:
    codes = [f"A{number:02d}" for number in range(of)]
    before = release_of(FIRST, {code: {"prophet": {"number": 1}} for code in codes})
    coming = release_of(SECOND, {c: {"prophet": {"number": 2 if at < changed else 1}} for at, c in enumerate(codes)})
    releases.keep(ws, before, NOW, backfill=False)
    releases.make_current(ws, before)
    asked = approval.question(Fleet(ws).with_(promotion={"ask_above": float(limit)}).ws, coming)
    assert (asked is not None) == (Fraction(changed, of) > Fraction(limit))  # 0.29 * 100 is a little less than 29
    assert asked is None or (len(asked.changed), asked.of) == (changed, of)


def test_why_parameters_changed_stands_in_the_decision(fleet: Fleet) -> None:
    changed = fleet.with_(search=OTHER, promotion={})
    result = changed.ask(SECOND)
    rows = decide.read(changed.ws, [result["run_key"]])
    of_both = rows[[("anchored_prophet" in json.loads(w)) for w in rows["weights"]]]
    assert not of_both.empty
    assert set(of_both["verdict"]) <= {"replaced", "naive"}
    told = of_both.loc[of_both["verdict"] == "replaced", "reason"]
    assert told.str.contains("; anchored_prophet replaced: the champion's parameters could not be tried").all()


# --- the shadow


def test_a_challenger_serves_its_time_in_the_shadow_across_runs_and_only_new_periods_count(fleet: Fleet) -> None:
    shadowed = fleet.with_(search=BOTH, promotion={"shadow_cycles": 1})
    first = shadowed.choices(shadowed.ask(SECOND)["run_key"])
    waiting = sorted(a for a, made in first.items() if made["verdict"] == "waits")
    assert waiting, "no airport preferred the other point: the test says nothing"
    assert all(first[a]["waiting"]["cycles"] == 0 for a in waiting)

    again = shadowed.ask("2020-12-15")  # November is still the last month
    second = shadowed.choices(again["run_key"])
    still = [a for a in waiting if second[a]["verdict"] == "waits"]
    assert [second[a]["waiting"]["cycles"] for a in still] == [0] * len(still)
    assert set(still) == set(waiting)

    third = shadowed.choices(shadowed.ask(THIRD)["run_key"])
    assert {third[a]["verdict"] for a in waiting} <= {"replaced", "kept"}
    released = releases.current(shadowed.ws)
    assert released is not None
    for airport in waiting:
        ours = released.by_airport()[airport].parameters["anchored_prophet"]
        assert ours == {"seasonality_mode": "multiplicative" if third[airport]["verdict"] == "replaced" else "additive"}


def test_a_candidate_that_got_no_weight_in_a_release_keeps_its_champion_in_the_shadow(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadowed = fleet.with_(search=BOTH, promotion={"shadow_cycles": 2})
    with monkeypatch.context() as patch:
        patch.setattr(composition, "_passes", lambda *_: False)  # seasonal naive is published of all
        shadowed.ask(SECOND)
    released = releases.current(shadowed.ws)
    assert released is not None
    assert {tuple(e.parameters) for e in released.entries} == {("seasonal_naive",)}
    made = shadowed.choices(shadowed.ask(THIRD)["run_key"])
    assert {one["verdict"] for one in made.values()} <= {"waits", "kept"}
    assert {one["waiting"]["cycles"] for one in made.values() if one["waiting"]} == {1}


def test_the_challengers_of_the_release_before_are_frozen_with_the_plan(fleet: Fleet) -> None:
    shadowed = fleet.with_(search=BOTH, promotion={"shadow_cycles": 1})
    waits = {a: made["waiting"] for a, made in shadowed.choices(shadowed.ask(SECOND)["run_key"]).items()}
    run = open_run(shadowed.ws, Request(as_of=parse_as_of(THIRD), request_id="plan"))
    frozen = plan.plan(run, validate(run)).manifest.context["waiting"]
    assert frozen == {a: {"anchored_prophet": w} for a, w in waits.items() if w}
    plain = open_run(fleet.with_(promotion={}).ws, Request(as_of=parse_as_of(THIRD), request_id="plain"))
    assert "waiting" not in plan.plan(plain, validate(plain)).manifest.context
