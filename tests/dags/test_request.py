"""What a DAG run asks for: its date, its airports, whether it is a backfill. The DagRun is the SDK's own model.

And whether somebody was asked before its release comes into force.
"""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from airflow.sdk.api.datamodels._generated import DagRun
from airflow.sdk.exceptions import AirflowSkipException

from paxcast.adapters.delta_store import TABLES
from paxcast.core.errors import ConfigurationError
from paxcast.core.outcome import FAILED, Outcome
from paxcast.jobs import approval, ledger, releases
from paxcast.jobs.run import open_run
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.orchestration import dag_run as asking
from paxcast.orchestration import tasks
from paxcast.orchestration.params import RetrainParams
from paxcast.settings import load

INTERVAL = {"data_interval_start": "2024-01-01T06:00:00Z", "data_interval_end": "2024-01-08T06:00:00Z"}
Ask = Callable[..., Any]


def event(**extra: Any) -> dict[str, Any]:
    return {
        "asset": {"name": "drift_small", "uri": "drift_small", "extra": {}},
        "extra": extra,
        "source_task_id": "drift",
        "source_dag_id": "drift_small",
        "source_run_id": "scheduled__2024-01-08",
        "source_map_index": -1,
        "source_aliases": [],
        "timestamp": "2024-01-08T08:00:00Z",
    }


def dag_run(**changes: Any) -> DagRun:
    values = {
        "dag_id": "retrain_small",
        "run_id": "manual__1",
        "logical_date": None,
        "data_interval_start": None,
        "data_interval_end": None,
        "run_after": "2024-01-10T09:30:15Z",
        "start_date": "2024-01-10T09:30:16Z",
        "end_date": None,
        "run_type": "manual",
        "state": "running",
        "conf": {},
        "consumed_asset_events": [],
        "partition_key": None,
    }
    return DagRun.model_validate(values | changes)


@pytest.fixture
def ws(make_fleet: Callable[..., Path], made_up: Callable[..., pd.DataFrame]) -> Workspace:
    return open_workspace(load(make_fleet(made_up(["AAA"], 2, "MS", "2020-12-01"))))


@pytest.fixture
def ask(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """What a run asks for: `ask(params, **dag_run)`."""

    def asked(params: dict[str, Any] | None = None, **changes: Any) -> Any:
        merged = RetrainParams().model_dump() | (params or {})
        context = {"dag_run": dag_run(**changes), "params": merged}
        monkeypatch.setattr(asking, "get_current_context", lambda: context)
        return asking.request(ws)

    return asked


def utc(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_a_scheduled_run_knows_what_was_known_at_its_intervals_end(ask: Ask) -> None:
    assert ask(run_type="scheduled", **INTERVAL).as_of == utc("2024-01-08T06:00")


def test_a_run_without_an_interval_knows_what_was_known_when_it_was_due(ask: Ask) -> None:
    assert ask().as_of == utc("2024-01-10T09:30:15")


def test_the_date_of_the_event_that_triggered_a_run_beats_the_intervals_end(ask: Ask) -> None:
    asked = ask(run_type="asset_triggered", consumed_asset_events=[event(as_of="2024-01-06")], **INTERVAL)
    assert asked.as_of == utc("2024-01-07")


def test_the_date_on_the_form_beats_the_event_and_the_interval(ask: Ask) -> None:
    asked = ask({"as_of": "2013-12-31"}, consumed_asset_events=[event(as_of="2024-01-06")], **INTERVAL)
    assert asked.as_of == utc("2014-01-01")


def test_of_several_events_the_latest_instant_counts_however_it_is_written(ask: Ask) -> None:
    events = [event(as_of="2024-01-05"), event(as_of="2024-01-06"), event(as_of="2024-01-06T06:00:00Z")]
    assert ask(consumed_asset_events=events).as_of == utc("2024-01-07")


def test_an_event_without_a_date_says_nothing(ask: Ask) -> None:
    assert ask(consumed_asset_events=[event()], **INTERVAL).as_of == utc("2024-01-08T06:00")


def test_a_run_that_a_drift_checks_event_triggered_is_of_the_drifted_alone(ask: Ask) -> None:
    asked = ask(run_type="asset_triggered", consumed_asset_events=[event(as_of="2024-01-06", table_version=7)])
    assert (asked.drifted, asked.as_of, asked.airports) == (True, utc("2024-01-07"), ())


def test_a_run_of_the_schedule_or_a_backfill_is_of_the_whole_fleet_whatever_it_consumed(ask: Ask) -> None:
    kinds = ("scheduled", "backfill", "manual")
    consumed = [event(as_of="2024-01-06")]
    assert not any(ask(run_type=kind, consumed_asset_events=consumed, **INTERVAL).drifted for kind in kinds)


def test_an_event_without_a_date_that_somebody_published_by_hand_retrains_the_drifted_too(ask: Ask) -> None:
    assert ask(run_type="asset_triggered", consumed_asset_events=[event()], **INTERVAL).drifted


def test_by_hand_the_form_asks_for_the_drifted(ask: Ask) -> None:
    asked = ask({"drifted": True, "as_of": "2013-12-31"})
    assert (asked.drifted, asked.as_of) == (True, utc("2014-01-01"))
    assert not ask().drifted


def test_a_backfills_run_is_known_as_one_and_no_other_is(ask: Ask) -> None:
    assert ask(run_type="backfill", **INTERVAL).backfill is True
    others = ("manual", "scheduled", "asset_triggered", "operator_triggered")
    assert not any(ask(run_type=kind, **INTERVAL).backfill for kind in others)


def test_the_form_is_handed_on_whole(ask: Ask) -> None:
    asked = ask({"airports": ["AAA", "BBB"], "max_evals": 7, "force": True, "dry_run": True})
    assert (asked.airports, asked.max_evals, asked.force, asked.dry_run) == (("AAA", "BBB"), 7, True, True)


def test_an_empty_form_asks_for_the_whole_fleet_as_configured(ask: Ask) -> None:
    asked = ask()
    assert (asked.airports, asked.max_evals) == ((), None)
    assert (asked.force, asked.rerun_failed, asked.dry_run) == (False, False, False)


def test_the_dag_run_names_the_asking_so_that_its_retries_force_nothing_twice(ask: Ask) -> None:
    assert ask({"force": True}, run_id="manual__2024-01-10").request_id == "manual__2024-01-10"


def test_an_unknown_key_of_the_trigger_is_refused_naming_it_and_those_that_are(ask: Ask) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown as_off, horizn; there are: as_of, airports, max_evals"):
        ask(conf={"horizn": 3, "as_off": "2013-12-31", "force": True})


def test_a_run_of_the_drifted_is_skipped_where_the_newest_check_asks_for_nobody(ask: Ask, ws: Workspace) -> None:
    for day, action in (("2024-01-05", "retrain"), ("2024-01-06", "escalate")):
        ws.tables.append("drift", pd.DataFrame([said(day, action)]))
    run = open_run(ws, ask({"drifted": True, "as_of": "2024-01-05"}))
    tasks._skip_if_nobody_drifted(run)
    nobody = open_run(ws, ask({"drifted": True}, **INTERVAL))
    with pytest.raises(AirflowSkipException, match="as of 2024-01-06, asks to retrain no airport"):
        tasks._skip_if_nobody_drifted(nobody)
    tasks._skip_if_nobody_drifted(open_run(ws, ask(**INTERVAL)))


def said(as_of: str, action: str) -> dict[str, Any]:
    """What a check says of AAA."""
    texts = dict.fromkeys(TABLES["drift"].names, "")
    numbers = {"tested": True, "drifted": True, "p": 0.01, "q": 0.02, "ratio": 2.0, "version": 1}
    return {**texts, **numbers, "fleet": "small", "as_of": as_of, "airport": "AAA", "action": action}


def failure(as_of: str) -> Outcome:
    return Outcome(
        run_key=f"small-{as_of}",
        fleet="small",
        airport="AAA",
        as_of=as_of,
        checksum="0" * 16,
        batch=0,
        status=FAILED,
        reason="timeout",
    )


def test_rerunning_what_failed_takes_the_date_of_the_newest_run_that_has_failures(ask: Ask, ws: Workspace) -> None:
    ledger.compact(ws, [failure("2023-11-30"), failure("2023-12-31"), failure("2023-10-31")])
    assert ask({"rerun_failed": True}, **INTERVAL).as_of == utc("2024-01-01")
    assert ask({"rerun_failed": True, "as_of": "2023-11-30"}).as_of == utc("2023-12-01")


def test_rerunning_what_failed_when_nothing_did_keeps_the_runs_own_date(ask: Ask) -> None:
    assert ask({"rerun_failed": True}, **INTERVAL).as_of == utc("2024-01-08T06:00")


# --- whether somebody was asked

NOW = utc("2024-01-10T12:00")


@pytest.fixture
def gated(make_fleet: Callable[..., Path], made_up: Callable[..., pd.DataFrame]) -> Workspace:
    """A fleet that asks whenever a specification would change."""
    path = make_fleet(made_up(["AAA"], 2, "MS", "2020-12-01"), promotion={"ask_above": 0.0})
    return open_workspace(load(path))


@pytest.fixture
def waiting(gated: Workspace, release_of: Callable[..., Any]) -> str:
    """A release that waits for a person's yes: it would change what is in force."""
    before = release_of("2023-11-30", {"AAA": {"prophet": {"number": 1}}})
    coming = release_of("2023-12-31", {"AAA": {"prophet": {"number": 2}}})
    for release in (before, coming):
        releases.keep(gated, release, NOW, backfill=False)
    releases.make_current(gated, before)
    return str(coming.release_id)


@pytest.fixture
def asked_about(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], None]:
    """`asked_about(release_id)`: what the run's gate has handed on; None: it was skipped or never ran."""

    def handed_on(release_id: str | None) -> None:
        there = {("gate.ask", "asked"): release_id}
        told = SimpleNamespace(xcom_pull=lambda task_ids, key: there.get((task_ids, key)))
        monkeypatch.setattr(asking, "get_current_context", lambda: {"ti": told})

    return handed_on


def test_a_task_is_not_red_while_the_very_release_waits_that_was_asked_about(
    gated: Workspace, waiting: str, asked_about: Callable[[str | None], None]
) -> None:
    asked_about(waiting)
    tasks._red_if_not_asked(gated, waiting)


@pytest.mark.parametrize("asked", ["small-2023-12-31-another", None])
def test_a_task_is_red_where_another_release_was_asked_about_or_none_and_says_what_to_clear(
    gated: Workspace, waiting: str, asked_about: Callable[[str | None], None], asked: str | None
) -> None:
    asked_about(asked)
    with pytest.raises(ConfigurationError) as told:
        tasks._red_if_not_asked(gated, waiting)
    said = str(told.value)
    assert f"release {waiting} would change the specification of 1 of 1 airports (AAA)" in said
    assert "nobody was asked yet: clear gate.ask with what follows, or approve it" in said


def test_where_nothing_is_left_to_ask_no_task_is_red_whatever_was_asked_about(
    gated: Workspace, waiting: str, asked_about: Callable[[str | None], None]
) -> None:
    asked_about("small-2023-12-31-another")
    tasks._red_if_not_asked(gated, "a release that is gone")
    approval.answer(gated, waiting, True, "somebody", NOW)
    tasks._red_if_not_asked(gated, waiting)
