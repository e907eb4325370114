"""What is expected of the curves: each finding passes just inside its bound and fails just outside."""

import json

import numpy as np
import pandas as pd
import pytest

from paxcast.core import expectations, findings
from paxcast.core.findings import Finding

NAN = float("nan")


def test_a_baseline_is_beaten_by_any_lower_error() -> None:
    found = {"n": 40, "steps": 480, "mase": 0.6, "other": 0.8, "ratio": 0.75, "better": 0.7}
    assert expectations.better("file", found).passed is True
    assert "0.600 against 0.800" in expectations.better("file", found).measured
    assert "70 % of 40" in expectations.better("file", found).measured
    assert expectations.better("file", {**found, "other": 0.6, "ratio": 1.0}).passed is False
    assert (
        expectations.better("file", {**found, "other": 0.0, "ratio": NAN}).passed is False
    )  # a baseline may be perfect
    missing = expectations.better("file", {**found, "n": 0, "ratio": NAN}, "no --baseline was given")
    assert (missing.passed, missing.measured) == (None, "not measured: no --baseline was given")


@pytest.mark.parametrize(
    ("coverage", "passed"),
    [((0.78, 0.97), (True, True)), ((0.775, 0.93), (False, True)), ((0.83, 0.975), (False, False))],
)
def test_both_intervals_are_judged(coverage: tuple[float, float], passed: tuple[bool, bool]) -> None:
    table = pd.DataFrame({"level": [0.5, 0.8, 0.95], "n": 100, "coverage": [0.1, *coverage]})
    assert tuple(f.passed for f in expectations.calibrated(table)) == passed
    assert [f.passed for f in expectations.calibrated(table[:0])] == [None, None]


def slices(*rows: tuple[str, int, float]) -> pd.DataFrame:
    return pd.DataFrame([("size", v, n, r) for v, n, r in rows], columns=["slice", "value", "airports", "ratio"])


def test_the_worst_slice_with_enough_airports_decides() -> None:
    table = slices(("small", 5, 1.02), ("large", 5, 0.7), ("tiny", 2, 3.0), ("odd", 5, NAN))
    found = expectations.no_slice_left_behind(table)
    assert found.passed is True
    assert "worst of 2, size small, 1.020" in found.measured
    behind = expectations.no_slice_left_behind(slices(("small", 5, 1.03), ("middle", 3, 1.021), ("large", 5, 0.7)))
    assert behind.passed is False
    assert "beyond: size small, size middle" in behind.measured
    assert expectations.no_slice_left_behind(slices(("tiny", 2, 3.0))).passed is None


def test_more_history_must_not_make_it_worse() -> None:
    table = pd.DataFrame(
        {"years": [0, 3, 10], "airports": [9, 9, 4], "mase": 1.0, "mase_all": 1.0, "ratio": [1, 1.2, 0.96]}
    )
    assert expectations.more_history_helps(table).passed is True
    assert expectations.more_history_helps(table.assign(ratio=[1, 1.2, 0.95])).passed is False
    assert expectations.more_history_helps(table[:1]).passed is None


@pytest.mark.parametrize(
    ("schedule", "frequency", "cadence"),
    [("weekly", "MS", 7 / 30.4375), ("monthly", "MS", 1.0), ("weekly", "D", 7.0), ("monthly", "W", 30.4375 / 7)],
)
def test_the_schedule_says_how_old_a_model_may_become(schedule: str, frequency: str, cadence: float) -> None:
    table = pd.DataFrame({"age": range(13), "pairs": 5, "ratio": 1.0})
    growing = 0.05 * table["age"] / cadence  # so that the bound is met at that very age
    assert expectations.fresh_enough(table.assign(ratio=1 + 0.99 * growing), schedule, frequency).passed is True
    found = expectations.fresh_enough(table.assign(ratio=1 + 1.01 * growing), schedule, frequency)
    assert found.passed is False
    keeps = int(np.floor(cadence / 1.01))
    assert f"up to {keeps} periods old" in found.measured
    assert f"12 old: {1 + 1.01 * 0.05 * 12 / cadence:.3f}" in found.measured
    assert expectations.fresh_enough(table[:1], schedule, frequency).passed is None


def test_daily_data_retrained_monthly_is_older_than_what_is_looked_at() -> None:
    table = pd.DataFrame({"age": range(13), "pairs": 5, "ratio": 1.0})
    assert expectations.fresh_enough(table, "monthly", "D").passed is None


def test_speed_and_memory_are_judged_where_there_is_a_bound_and_recorded_elsewhere() -> None:
    assert expectations.cheap_enough([1.0, 2.9], "MS").passed is True
    assert expectations.cheap_enough([1.0, 3.1], "MS").passed is False
    assert expectations.cheap_enough([30.0], "D").passed is True
    assert expectations.cheap_enough([], "MS").passed is None
    assert expectations.small_enough([300.0, 500.0], 501).passed is True
    assert expectations.small_enough([300.0, 500.0], 500).passed is False
    assert expectations.small_enough([300.0], 0).passed is True
    assert expectations.small_enough([], 500).passed is None


def test_airports_that_could_not_be_examined_are_told() -> None:
    assert expectations.all_examined(3, {}).passed is True
    found = expectations.all_examined(3, {"BBB": "too slow", "AAA": "lost"})
    assert found.passed is False
    assert "1 of 3; the first, AAA: lost" in found.measured


def test_findings_are_plain_and_are_counted() -> None:
    some = [Finding("a", "b", "c", True), Finding("d", "e", "f", False), findings.unmeasured("g", "h", "i")]
    assert json.loads(json.dumps([f.as_json() for f in some]))[0] == {
        "check": "a",
        "expected": "b",
        "measured": "c",
        "passed": True,
    }
    assert findings.tally(some) == "1 of 3 checks passed, 1 failed, 1 not measured."
    assert (findings.percent(0.1234), findings.percent(NAN)) == ("12.3 %", "not measured")
