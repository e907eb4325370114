"""How far a run is: counts and the expected end from a real ledger, lines for a log, and `status --watch`."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from paxcast import cli
from paxcast.core.outcome import FAILED, QUARANTINED
from paxcast.jobs import lease, ledger, plan, progress
from paxcast.jobs.ingest import ingest
from paxcast.jobs.progress import Progress, Watch
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
DATE, OWNER = "20201231T235959Z", "run A"
CODES = ["AAA", "BBB", "CCC", "DDD"]
Make = Callable[..., Any]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other at once."""
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.005)


def wanted(codes: list[str]) -> set[tuple[str, str]]:
    return {(code, "first") for code in codes}


def counts(seen: Progress) -> tuple[int, int, int]:
    return seen.done, seen.failed, seen.left


def begin(ws: Workspace, manifest: Any) -> None:
    """What lease and plan leave in the store when a run begins."""
    lease.take(ws, DATE, OWNER, manifest.run_key)
    ws.objects.put_if_absent(plan._name(manifest.run_key, manifest.manifest_id), manifest.as_dict())
    ws.objects.put(plan._newest_name(manifest.run_key), {"manifest_id": manifest.manifest_id})


def one_by_one(done_first: int, done_now: int, seconds: float, left: int) -> float | None:
    """The oracle: how many seconds are left if each airport takes what one took between the looks."""
    finished_between = len(range(done_first, done_now))
    if finished_between == 0 or left == 0:
        return None
    total = 0.0
    for _ in range(left):
        total += seconds / finished_between
    return total


@pytest.mark.parametrize("left", [0, 1, 7, 480])
@pytest.mark.parametrize("seconds", [0.5, 3.0, 3600.0])
@pytest.mark.parametrize(("done_first", "done_now"), [(0, 0), (0, 1), (3, 3), (3, 4), (2, 97)])
def test_the_rest_takes_as_long_as_what_was_seen(done_first: int, done_now: int, seconds: float, left: int) -> None:
    expected = one_by_one(done_first, done_now, seconds, left)
    end = progress.expected_end(done_first, done_now, seconds, left, NOW)
    assert (end is None) == (expected is None)
    if end is not None:
        assert (end - NOW).total_seconds() == pytest.approx(expected, abs=2e-6)  # a microsecond is the finest there is


def test_done_failed_and_left_are_counted_and_nobody_else(ws: Workspace, outcome_of: Make) -> None:
    watch = Watch(ws.objects, outcome_of("AAA").run_key, "batch 00", wanted([*CODES, "EEE"]))
    assert counts(watch.look()) == (0, 0, 5)
    for status, code in [("ok", "AAA"), (FAILED, "BBB"), (QUARANTINED, "CCC")]:
        ledger.record(ws.objects, outcome_of(code, status))
    ledger.record(ws.objects, outcome_of("ZZZ"))
    ledger.record(ws.objects, outcome_of("DDD", checksum="restated"))
    ledger.record(ws.objects, outcome_of("EEE", run_key="another-run"))
    seen = watch.look()
    assert counts(seen) == (2, 1, 2)
    assert seen.settled == 3
    assert str(seen).startswith("batch 00: 2 of 5 done, 1 failed, 2 left")


def test_an_airport_that_failed_and_was_then_finished_is_done_and_not_both(ws: Workspace, outcome_of: Make) -> None:
    watch = Watch(ws.objects, outcome_of("AAA").run_key, "batch 00", wanted(CODES))
    ledger.record(ws.objects, outcome_of("AAA", FAILED))
    ledger.record(ws.objects, outcome_of("AAA", attempt=2))
    assert counts(watch.look()) == (1, 0, 3)


def test_what_failed_in_an_earlier_attempt_is_left_and_not_failed_in_a_retry(ws: Workspace, outcome_of: Make) -> None:
    run_key = outcome_of("AAA").run_key
    for code in ("AAA", "BBB"):
        ledger.record(ws.objects, outcome_of(code, FAILED))
    watch = Watch(ws.objects, run_key, "batch 00", wanted(["AAA", "BBB"]), ledger.attempts(ws.objects, run_key))
    assert counts(watch.look()) == (0, 0, 2)
    ledger.record(ws.objects, outcome_of("AAA", FAILED, attempt=2))
    assert counts(watch.look()) == (0, 1, 1)


def test_the_pace_is_measured_from_the_first_look_that_saw_work(
    ws: Workspace, outcome_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 0.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: moment))
    ledger.record(ws.objects, outcome_of("AAA"))  # before anyone watched
    watch = Watch(ws.objects, outcome_of("AAA").run_key, "batch 00", wanted([*CODES, "EEE", "FFF"]))
    ends = []
    for moment, code in [(60.0, None), (90.0, "BBB"), (100.0, "CCC"), (120.0, None)]:  # noqa: B007 - read by the clock
        if code:
            ledger.record(ws.objects, outcome_of(code))
        end = watch.look().expected_end
        ends.append(None if end is None else round((end - pd.Timestamp.now(tz="UTC")).total_seconds()))
    assert ends == [None, None, 30, 90]  # three left: 10 s each, then 30 s each


def test_progress_is_told_every_5_percent_and_not_more(ws: Workspace, outcome_of: Make, quick: None) -> None:
    codes = [f"A{i:02d}" for i in range(60)]
    watch, lines, looks = Watch(ws.objects, outcome_of("AAA").run_key, "batch 00", wanted(codes)), [], [0]
    look = watch.look

    def counted() -> Progress:
        seen = look()
        looks[0] += 1
        return seen

    watch.look = counted  # type: ignore[method-assign]
    with progress.told(watch, lambda seen: lines.append(counts(seen))):
        for number, code in enumerate(codes):
            ledger.record(ws.objects, outcome_of(code, FAILED if number % 4 == 0 else "ok"))
            before, give_up = looks[0], time.monotonic() + 100
            while looks[0] < before + 2:  # a whole look after it was recorded
                assert time.monotonic() < give_up
                time.sleep(0.001)
    assert [done + failed for done, failed, _ in lines] == list(range(3, 61, 3))
    assert lines[-1] == (45, 15, 0)


def test_of_a_few_airports_each_one_is_told(ws: Workspace, outcome_of: Make) -> None:
    seen = Watch(ws.objects, outcome_of("AAA").run_key, "batch 00", wanted(CODES)).look()
    assert (seen.airports, seen.step) == (4, 1)


def test_where_nothing_happens_nothing_is_told(ws: Workspace, outcome_of: Make, quick: None) -> None:
    lines: list[Progress] = []
    ledger.record(ws.objects, outcome_of("ZZZ"))
    with progress.told(Watch(ws.objects, outcome_of("AAA").run_key, "batch 00", wanted(CODES)), lines.append):
        time.sleep(0.1)
    assert lines == []


def test_following_goes_on_until_no_lease_is_active(
    ws: Workspace, outcome_of: Make, manifest_of: Make, quick: None
) -> None:
    assert list(progress.follow(ws)) == []
    begin(ws, manifest_of(CODES))
    followed = progress.follow(ws)
    assert [counts(seen) for seen in next(followed)] == [(0, 0, 4)]
    ledger.record(ws.objects, outcome_of("AAA"))
    assert [counts(seen) for seen in next(followed)] == [(1, 0, 3)]
    lease.release(ws, DATE, OWNER)
    assert list(followed) == []


def test_a_run_that_has_not_planned_yet_is_followed_from_its_plan_on(
    ws: Workspace, manifest_of: Make, quick: None
) -> None:
    manifest = manifest_of(CODES)
    lease.take(ws, DATE, OWNER, manifest.run_key)
    followed = progress.follow(ws)
    assert next(followed) == []
    begin(ws, manifest)
    assert [counts(seen) for seen in next(followed)] == [(0, 0, 4)]


def test_a_run_that_plans_anew_is_followed_by_its_new_plan(
    ws: Workspace, outcome_of: Make, manifest_of: Make, quick: None
) -> None:
    begin(ws, manifest_of(["AAA"]))
    ledger.record(ws.objects, outcome_of("AAA"))
    followed = progress.follow(ws)
    assert [counts(seen) for seen in next(followed)] == [(1, 0, 0)]
    begin(ws, manifest_of(["BBB", "CCC"]))
    assert [counts(seen) for seen in next(followed)] == [(0, 0, 2)]


@pytest.fixture
def config(make_fleet: Make, made_up: Make) -> Path:
    """The configuration of a fleet whose observations are in the store."""
    path: Path = make_fleet(made_up(CODES, 40, "MS", "2020-12-01"), store="store")
    ingest(open_workspace(load(path)), NOW)
    return path


def test_watching_tells_on_stderr_and_leaves_stdout_to_the_json(
    config: Path, outcome_of: Make, manifest_of: Make, quick: None
) -> None:
    ws = open_workspace(load(config))
    begin(ws, manifest_of(CODES))

    def work() -> None:
        for code in CODES:
            ledger.record(ws.objects, outcome_of(code))
            time.sleep(0.2)
        lease.release(ws, DATE, OWNER)

    worker = threading.Thread(target=work)
    worker.start()
    result = CliRunner().invoke(cli.app, ["--config", str(config), "status", "--watch", "--json"])
    worker.join()
    assert result.exit_code == 0
    assert [row["airport"] for row in json.loads(result.stdout)] == CODES
    lines = result.stderr.splitlines()
    assert f"{outcome_of('AAA').run_key}: 4 of 4 done, 0 failed, 0 left" in lines
    assert len(lines) <= 5  # as it was found, and after each airport
    assert len(lines) == len(set(lines))


def test_watching_where_no_run_is_under_way_says_so_and_goes_on(config: Path, quick: None) -> None:
    result = CliRunner().invoke(cli.app, ["--config", str(config), "status", "--watch", "--json"])
    assert result.exit_code == 0
    assert result.stderr == "fleet small: no run is under way\n"
    assert {row["status"] for row in json.loads(result.stdout)} == {"never"}
