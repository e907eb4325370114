"""The sentences of an explanation that has no fleet behind it: each case by hand."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from paxcast.core.explanation import Explanation, Picture
from paxcast.jobs.sentences import sentences

NOTHING = pd.DataFrame()
SAID = {
    "as_of": "2001-08-31", "backfill": False, "version": 3, "model": "f.JFK", "step": 1, "yhat": 1030.0, "lo80": 900.0,
    "hi80": 1100.0, "confidence": "high", "error": 330.0, "scaled_error": 6.6, "covered80": False, "covered95": False,
}  # fmt: skip
DATA: dict[str, Any] = {
    "periods": 296, "first": "1977-01-01", "last": "2001-08-01", "data_version": 0, "checksum": "c", "verdict": "ok",
    "reasons": [], "restated_since": [], "steps": [],
}  # fmt: skip
MODEL = {"weights": {"ets": 1.0}, "method": "ets", "reason": "why", "mlflow_run": None, "trials_pruned": False}
PLACE = {"n": 5, "quantile": 1.0, "fleet_quantile": 0.87, "coverage80": 0.6, "coverage95": 0.8}
TRIED = {"n": 60, "first": "1996-09-01", "last": "2001-08-01", "largest": 1.7, "as_large": 0}
SHOCK = {"name": "after 9/11", "first": "2001-09-01", "last": "2001-11-30", "inside": True, "begun": False}
NOW = {"yhat": 1000.0, "as_of": "2002-06-30", "method": "ets", "reason": "its forecast, step 1", "treated": []}
FOUND = Explanation(
    airport="JFK", ds=pd.Timestamp("2001-10-01"), frequency="MS", actual=700.0, actual_history=[], forecasts=[SAID],
    explained=0, data=DATA, model=MODEL, calibration={**PLACE, "tried": TRIED}, shocks=[],
    year_before={"ds": "2000-10-01", "y": 1000.0}, drift=None, now=NOW, picture=Picture(NOTHING, NOTHING, NOTHING),
)  # fmt: skip


def told(**changed: Any) -> str:
    return "\n".join(sentences(replace(FOUND, **changed)))


def test_what_happened_comes_first_then_where_the_error_lies_then_the_year_before() -> None:
    first, second, third, *_ = sentences(FOUND)
    assert first == (
        "JFK, October 2001: 700 came; 1,030 were forecast as of 2001-08-31, 1 month ahead (80 %: 900 to 1,100): 330 "
        "too high, 6.6 times the mean error of seasonal naive."
    )
    assert second == (
        "That is outside the 95 % interval. Of the 5 forecasts of JFK 1 month ahead that are scored yet, 60 % held "
        "inside the 80 % interval and 80 % inside that of 95 %; this error is the largest of theirs, and no smaller "
        "than 87 % of the fleet's. Where the model had been tried beforehand, 60 months from 1996-09-01 to 2001-08-01, "
        "no error was as large: the largest was 1.7."
    )
    assert third == "1,000 had come in October 2000: 3 % more were forecast, 30 % fewer came."


def test_an_error_like_others_before_says_how_many_there_were() -> None:
    found = told(calibration={**PLACE, "quantile": 0.4, "tried": {**TRIED, "as_large": 3, "largest": 9.1}})
    assert "this error is no smaller than 40 % of theirs" in found
    assert "3 errors were as large: the largest was 9.1." in found
    assert "1 error was as large:" in told(calibration={**PLACE, "tried": {**TRIED, "as_large": 1}})


def test_the_only_score_is_not_called_the_largest() -> None:
    found = told(calibration={**PLACE, "n": 1, "tried": None})
    assert "It is the only forecast of JFK 1 month ahead that is scored yet.\n" in found
    assert "largest" not in found


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "It lies in the shock 'after 9/11' (2001-09-01 to 2001-11-30), which began after 2001-08-31: nobody"),
        ({"inside": False}, "Before it came the shock 'after 9/11' (2001-09-01 to 2001-11-30), which began after"),
        ({"begun": True}, "It lies in the shock 'after 9/11' (2001-09-01 to 2001-11-30), which had begun by then."),
        ({"name": "found"}, "It lies in a shock found since (2001-09-01 to 2001-11-30), which began after"),
    ],
)
def test_a_shock_is_told_with_whether_anybody_could_know_of_it(changed: dict[str, Any], expected: str) -> None:
    assert expected in told(shocks=[{**SHOCK, **changed}])


@pytest.mark.parametrize(
    ("came", "expected"),
    [
        (0.0, "none came."),
        (4.0, "hardly any came."),
        (1001.0, "as many came."),
        (2500.0, "150 % more came."),
        (3e6, "3,000 times as many came."),
    ],
)
def test_a_change_reads_as_a_share_or_as_a_multiple(came: float, expected: str) -> None:
    assert f"3 % more were forecast, {expected}" in told(actual=came)


def test_of_a_period_to_come_nothing_is_said_to_have_come() -> None:
    said = {**SAID, "error": None, "scaled_error": None, "covered80": None, "covered95": None}
    found = told(actual=None, forecasts=[said], calibration=None)
    assert "what came is not known yet." in found
    assert "1,000 had come in October 2000: 3 % more were forecast.\n" in found


def test_of_many_members_the_heaviest_are_told_and_the_others_counted() -> None:
    weights = {f"m{n}": n / 21 for n in range(1, 7)}
    assert "ets (29 % m6, 24 % m5, 19 % m4, 14 % m3 and 2 more); why;" in told(model={**MODEL, "weights": weights})


def test_what_today_s_model_said_in_a_window_and_did_to_the_period_is_told() -> None:
    step = {"what": "shock", "name": "after 9/11", "first": "2001-09-01", "last": "2001-11-01", "how": "bridged"}
    found = told(now={**NOW, "reason": "in its window test@2001-06-01, step 4", "treated": [step]})
    assert found.endswith(
        "says 1,000: in its window test@2001-06-01, step 4, from what lay before that. Its own history has that period "
        "treated: shock 'after 9/11' 2001-09-01 to 2001-11-01: bridged."
    )
    assert told().endswith("Today's model, as of 2002-06-30 (ets), says 1,000: its forecast, step 1.")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"severity": "none", "q": 0.876, "action": "none"}, "Drift as of 2001-08-31: none, q 0.88."),
        ({"severity": "fault", "action": "alert", "reasons": ["unit since x: y"]}, "fault, a person has to look: unit"),
        ({"severity": "watch", "q": 0.2, "reasons": ["loss"]}, "watch, q 0.2: loss."),
        ({"severity": "moderate", "q": 0.01, "action": "wait"}, "moderate, q 0.01, waits to be retrained."),
        ({"severity": "none", "why": "on ets alone"}, "none: on ets alone."),
    ],
)
def test_a_drift_verdict_is_told_with_what_is_done_about_it_and_why(said: dict[str, Any], expected: str) -> None:
    base = {"as_of": "2001-08-31", "severity": "none", "q": None, "reasons": [], "action": "none", "why": ""}
    assert expected in told(drift={**base, **said})
    assert "Drift" not in told()
