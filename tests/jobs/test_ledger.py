"""The ledger: who was taken up how often, which outcome counts, what a batch's end leaves, and what is still open."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest

from paxcast.core.outcome import FAILED, QUARANTINED, Outcome
from paxcast.jobs import ledger
from paxcast.jobs.workspace import Workspace

Make = Callable[..., Any]
CODES = ["AAA", "BBB", "CCC"]


@pytest.fixture
def run_key(outcome_of: Make) -> str:
    """The run key of every outcome and manifest made by hand."""
    return str(outcome_of("AAA").run_key)


def table(ws: Workspace) -> list[tuple[str, str, int]]:
    rows = ws.tables.read("outcomes").sort_values(["airport", "attempt", "status"])
    return list(rows[["airport", "status", "attempt"]].itertuples(index=False, name=None))


def still_open(ws: Workspace) -> list[tuple[str, str]]:
    rows = ledger.still_open(ws)
    return sorted(rows[["run_key", "airport"]].itertuples(index=False, name=None))


def settled(ws: Workspace, *results: Outcome) -> None:
    """Outcomes in the ledger and in its table."""
    for result in results:
        ledger.record(ws.objects, result)
    ledger.compact(ws, results)


def judged(ws: Workspace, run_key: str, checksums: dict[str, str]) -> None:
    """The verdicts of a run key, in the place of earlier ones: which history of each airport counts now."""
    rows = pd.DataFrame([{"airport": a, "checksum": c} for a, c in checksums.items()])
    filled = rows.assign(
        fleet=ws.fleet,
        run_key=run_key,
        as_of=pd.Timestamp("2020-12-31", tz="UTC"),
        quarantined=False,
        reasons="",
        detail="",
        rows_known=1,
        rows_used=1,
        rows_quarantined=0,
        first_ds=pd.Timestamp("2020-01-01"),
        last_ds=pd.Timestamp("2020-12-01"),
    )
    ws.tables.replace("quality", filled, {"fleet": ws.fleet, "run_key": run_key})


def test_each_worker_that_takes_up_an_airport_is_counted_anew_in_each_attempt(ws: Workspace) -> None:
    def begin(airport: str = "A-B", checksum: str = "first", attempt: int = 1, run_key: str = "key") -> int:
        return ledger.begin(ws.objects, run_key, airport, checksum, attempt)

    assert [begin(), begin(), begin()] == [1, 2, 3]
    assert begin(attempt=2) == 1
    assert begin(airport="AAB") == 1
    assert begin(checksum="restated") == 1
    assert begin(run_key="key1") == 1


def test_workers_that_begin_at_once_get_different_numbers(ws: Workspace) -> None:
    with ThreadPoolExecutor(6) as pool:
        numbers = list(pool.map(lambda _: ledger.begin(ws.objects, "key", "AAA", "first", 1), range(12)))
    assert sorted(numbers) == list(range(1, 13))


def test_of_two_writers_of_a_finished_airport_the_first_counts(ws: Workspace, outcome_of: Make, run_key: str) -> None:
    first, second = outcome_of("AAA", seconds=1.0), outcome_of("AAA", seconds=2.0, attempt=2)
    ledger.record(ws.objects, first, "the first model")
    ledger.record(ws.objects, second, "the second model")
    assert ledger.load(ws.objects, run_key, "AAA", "first") == first
    assert ledger.load_model(ws.objects, run_key, "AAA", "first") == "the first model"


def test_a_failure_is_on_record_by_attempt_and_finishes_nothing(ws: Workspace, outcome_of: Make, run_key: str) -> None:
    first, second = outcome_of("A-B", FAILED), outcome_of("A-B", FAILED, attempt=2, reason="lost")
    for failure in (first, second, outcome_of("A-B", FAILED, attempt=2, reason="too late to count")):
        ledger.record(ws.objects, failure)
    assert ledger.finished(ws.objects, run_key) == set()
    assert ledger.load(ws.objects, run_key, "A-B", "first") is None
    assert ledger.attempts(ws.objects, run_key) == {("A-B", "first"): 2}
    assert ledger.load_failed(ws.objects, run_key, "A-B", "first", 1) == first
    assert ledger.load_failed(ws.objects, run_key, "A-B", "first", 2) == second


def test_a_batch_that_has_ended_leaves_one_row_an_airport_whatever_became_of_it(
    ws: Workspace, outcome_of: Make, manifest_of: Make, run_key: str
) -> None:
    ledger.record(ws.objects, outcome_of("AAA"))
    ledger.record(ws.objects, outcome_of("BBB", FAILED))
    results = ledger.settle(ws, manifest_of(CODES), 0)
    assert [(r.airport, r.status) for r in results] == [("AAA", "ok"), ("BBB", FAILED), ("CCC", FAILED)]
    assert [r.reason.split(";")[0] for r in results[1:]] == [
        "it was too slow",
        "its batch ended before it was finished",
    ]
    assert table(ws) == [("AAA", "ok", 1), ("BBB", FAILED, 1), ("CCC", FAILED, 1)]
    assert ledger.attempts(ws.objects, run_key) == {("BBB", "first"): 1, ("CCC", "first"): 1}


def test_settled_twice_a_batch_leaves_the_same(ws: Workspace, outcome_of: Make, manifest_of: Make) -> None:
    ledger.record(ws.objects, outcome_of("AAA"))
    ledger.record(ws.objects, outcome_of("BBB", FAILED))
    first = ledger.settle(ws, manifest_of(CODES), 0)
    before = table(ws), ws.tables.version("outcomes"), list(ws.objects.names("runs"))
    assert ledger.settle(ws, manifest_of(CODES), 0) == first
    assert (table(ws), ws.tables.version("outcomes"), list(ws.objects.names("runs"))) == before


def test_a_batch_settles_its_own_airports_only(ws: Workspace, manifest_of: Make) -> None:
    ledger.settle(ws, manifest_of(["AAA", "BBB", "CCC", "DDD"], batches=2), 1)
    assert [airport for airport, *_ in table(ws)] == ["CCC", "DDD"]


def test_a_retry_adds_the_newest_failure_and_then_the_end_of_it(
    ws: Workspace, outcome_of: Make, manifest_of: Make, run_key: str
) -> None:
    judged(ws, run_key, {"AAA": "first"})
    for attempt in (1, 2):
        ledger.record(ws.objects, outcome_of("AAA", FAILED, attempt=attempt))
        (result,) = ledger.settle(ws, manifest_of(["AAA"]), 0)
        assert (result.status, result.attempt) == (FAILED, attempt)
    ledger.record(ws.objects, outcome_of("AAA", attempt=3))
    ledger.settle(ws, manifest_of(["AAA"]), 0)
    assert table(ws) == [("AAA", FAILED, 1), ("AAA", FAILED, 2), ("AAA", "ok", 3)]
    newest = ledger.newest(ws, run_key)
    assert newest[["status", "attempt"]].to_numpy().tolist() == [["ok", 3]]


def test_compacting_counts_only_what_is_new(ws: Workspace, outcome_of: Make) -> None:
    assert ledger.compact(ws, []) == 0
    assert ledger.compact(ws, [outcome_of("AAA"), outcome_of("BBB", FAILED)]) == 2
    assert ledger.compact(ws, [outcome_of("AAA"), outcome_of("BBB", FAILED, attempt=2)]) == 1
    assert table(ws) == [("AAA", "ok", 1), ("BBB", FAILED, 1), ("BBB", FAILED, 2)]


def test_what_failed_is_open_until_it_is_finished(ws: Workspace, outcome_of: Make, run_key: str) -> None:
    settled(ws, outcome_of("AAA"), outcome_of("BBB", FAILED), outcome_of("CCC", QUARANTINED))
    settled(ws, outcome_of("BBB", FAILED, attempt=2))
    assert still_open(ws) == [(run_key, "BBB")]
    settled(ws, outcome_of("BBB", attempt=3))
    assert still_open(ws) == []


def test_what_failed_is_over_once_another_run_key_of_its_date_finished_it(ws: Workspace, outcome_of: Make) -> None:
    settled(ws, outcome_of("AAA", FAILED), outcome_of("BBB", FAILED))
    settled(ws, outcome_of("AAA", run_key="small-other-r0"))
    assert still_open(ws) == [(outcome_of("AAA").run_key, "BBB")]


def test_what_failed_is_not_over_because_another_date_or_another_fleet_finished_it(
    ws: Workspace, outcome_of: Make, run_key: str
) -> None:
    settled(ws, outcome_of("AAA", FAILED))
    settled(ws, outcome_of("AAA", run_key="small-later-r0", as_of="2021-01-31"))
    settled(ws, outcome_of("AAA", run_key="other-r0", fleet="other"))
    assert still_open(ws) == [(run_key, "AAA")]


def test_a_restated_history_that_failed_is_open_although_the_one_before_was_finished(
    ws: Workspace, outcome_of: Make, run_key: str
) -> None:
    judged(ws, run_key, {"AAA": "first"})
    settled(ws, outcome_of("AAA"))
    judged(ws, run_key, {"AAA": "second"})
    settled(ws, outcome_of("AAA", FAILED, checksum="second"))
    assert still_open(ws) == [(run_key, "AAA")]


def test_a_history_that_failed_is_over_once_it_was_restated_and_finished(
    ws: Workspace, outcome_of: Make, run_key: str
) -> None:
    judged(ws, run_key, {"AAA": "first"})
    settled(ws, outcome_of("AAA", FAILED))
    judged(ws, run_key, {"AAA": "second"})
    settled(ws, outcome_of("AAA", checksum="second"))
    assert still_open(ws) == []


def test_of_a_restated_airport_the_outcome_on_the_history_judged_last_counts(
    ws: Workspace, outcome_of: Make, run_key: str
) -> None:
    settled(ws, outcome_of("AAA"), outcome_of("AAA", FAILED, checksum="second"))
    for checksum, status in [("first", "ok"), ("second", FAILED)]:
        judged(ws, run_key, {"AAA": checksum})
        assert ledger.newest(ws, run_key)[["airport", "status"]].to_numpy().tolist() == [["AAA", status]]
