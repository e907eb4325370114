"""The pure parts of an explanation, against slow obvious ways to the same."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core import explanation
from paxcast.core.outcome import Outcome

UTC = "UTC"


def day(text: str) -> pd.Timestamp:
    return pd.Timestamp(text)


@pytest.mark.parametrize(
    ("code", "asked", "anchor", "start"),
    [
        ("MS", "2020-02-29", "2019-01-01", "2020-02-01"),
        ("MS", "2020-02-01", "2019-01-01", "2020-02-01"),
        ("D", "2020-02-29", "2019-01-01", "2020-02-29"),
        ("D", "2020-02-29T13:00", "2019-01-01", "2020-02-29"),
    ],
)
def test_the_period_that_holds_a_day_is_that_day_or_month(code: str, asked: str, anchor: str, start: str) -> None:
    assert explanation.period_start(day(asked), day(anchor), code) == day(start)


@pytest.mark.parametrize("anchor", ["2020-01-01", "2020-01-05", "2031-07-09"])
def test_a_week_begins_on_the_weekday_of_its_airport(anchor: str) -> None:
    for asked in pd.date_range("2020-02-20", periods=15):
        start = explanation.period_start(asked, day(anchor), "W")
        assert start.dayofweek == day(anchor).dayofweek
        assert 0 <= (asked - start).days <= 6


def rows(*values: tuple[str, float, str]) -> pd.DataFrame:
    frame = pd.DataFrame(list(values), columns=["ds", "y", "known_at"])
    return frame.assign(ds=pd.to_datetime(frame["ds"]), known_at=pd.to_datetime(frame["known_at"], utc=True))


def test_restated_are_the_periods_whose_value_differs_or_that_came_late() -> None:
    then = rows(("2020-01-01", 1, "2020-02-01"), ("2020-02-01", 2, "2020-03-01"), ("2020-04-01", np.nan, "2020-05-01"))
    now = rows(
        ("2020-01-01", 1, "2020-06-01"),
        ("2020-02-01", 5, "2020-06-01"),
        ("2020-03-01", 3, "2020-04-01"),
        ("2020-04-01", np.nan, "2020-06-01"),
    )
    assert explanation.restated(then, now) == [
        {"ds": "2020-02-01", "then": 2.0, "now": 5.0, "known_at": "2020-06-01T00:00:00+00:00"},
        {"ds": "2020-03-01", "then": None, "now": 3.0, "known_at": "2020-04-01T00:00:00+00:00"},
    ]


def test_a_value_that_became_none_is_restated_and_one_that_came_as_none_too() -> None:
    then = rows(("2020-01-01", 1, "2020-02-01"))
    now = rows(("2020-01-01", np.nan, "2020-06-01"), ("2020-02-01", np.nan, "2020-06-01"))
    assert [(r["ds"], r["then"], r["now"]) for r in explanation.restated(then, now)] == [
        ("2020-01-01", 1.0, None),
        ("2020-02-01", None, None),
    ]


def test_vintages_are_told_in_the_order_in_which_they_became_known() -> None:
    observed = rows(("2020-01-01", 2, "2020-06-01"), ("2020-01-01", 7, "2020-02-01"), ("2020-02-01", 9, "2020-03-01"))
    told = explanation.vintages_of(observed.assign(receipt=["b", "a", "c"]), day("2020-01-01"))
    assert told == [
        {"y": 7.0, "known_at": "2020-02-01T00:00:00+00:00", "receipt": "a"},
        {"y": 2.0, "known_at": "2020-06-01T00:00:00+00:00", "receipt": "b"},
    ]


@pytest.mark.parametrize(
    ("actual", "covered"),
    [(80.0, (False, True)), (90.0, (True, True)), (120.0, (False, True)), (121.0, (False, False))],
)
def test_an_actual_on_the_edge_of_an_interval_is_inside_it(actual: float, covered: tuple[bool, bool]) -> None:
    said = {"yhat": 100.0, "lo80": 90.0, "hi80": 110.0, "lo95": 80.0, "hi95": 120.0}
    told = explanation.errors(said, actual, 2.5)
    assert told == {
        "error": 100.0 - actual, "scaled_error": 2.5, "covered80": covered[0], "covered95": covered[1]
    }  # fmt: skip


def test_an_error_is_placed_among_those_of_its_airport_and_of_the_fleet() -> None:
    scores = pd.DataFrame(
        [("AAA", 1.0, True, True), ("AAA", 3.0, False, True), ("BBB", 2.0, True, True), ("BBB", 9.0, False, False)],
        columns=["airport", "scaled_error", "covered80", "covered95"],
    )
    assert explanation.place("AAA", 3.0, scores) == {
        "scaled_error": 3.0, "quantile": 1.0, "fleet_quantile": 0.75, "n": 2, "coverage80": 0.5, "coverage95": 1.0
    }  # fmt: skip


# --- an outcome by hand: two candidates, two folds that overlap, no test window unless asked for


def window(split: str, first: str, actual: list[float]) -> dict[str, Any]:
    ds = [str(d.date()) for d in pd.date_range(first, periods=3, freq="MS")]
    return {"split": split, "ds": ds, "actual": actual, "counts": [True, True, False], "scale": 2.0, "level": 10.0}


def outcome_of(**fields: Any) -> Outcome:
    folds = [window("year@2019-03-01", "2019-04-01", [1, 2, 3]), window("recent@2019-04-01", "2019-05-01", [2, 3, 4])]
    entrants = [
        {"candidate": "seasonal_naive", "folds": [[3, 2, 9], [2, 5, 9]], "test": [], "forecast": [10, 20, 30]},
        {"candidate": "other", "folds": [[1, 4, 9], [6, 3, 9]], "test": [], "forecast": [30, 20, 10]},
    ]
    entrants = [{**e, "parameters": {}, "competes": True, "fitted_by": {}} for e in entrants]
    ds = ["2020-01-01", "2020-02-01", "2020-03-01"]
    base = {"run_key": "k", "fleet": "f", "airport": "AAA", "as_of": "2019-12-31", "checksum": "c", "batch": 0}
    content = {**base, "status": "ok", "folds": folds, "entrants": entrants, "ds": ds, "level": 10.0, **fields}
    return Outcome(**content)


WEIGHTS = {"seasonal_naive": 0.25, "other": 0.75}


def test_candidates_are_told_with_their_errors_and_what_they_forecast() -> None:
    # naive missed by 2 and 0 of the first fold, 0 and 2 of the second; what does not count is not compared
    assert explanation.candidates(outcome_of(), WEIGHTS, "2020-03-01") == [
        {"candidate": "seasonal_naive", "cv_mase": 0.5, "test_mase": None, "weight": 0.25, "forecast": 30.0},
        {"candidate": "other", "cv_mase": 1.0 * (0 + 2 + 4 + 0) / 4 / 2, "test_mase": None, "weight": 0.75}
        | {"forecast": 10.0},
    ]


def test_beyond_the_forecast_and_without_folds_there_is_nothing_to_tell_of_candidates() -> None:
    told = explanation.candidates(outcome_of(folds=[]), {"other": 1.0}, "2021-01-01")
    assert [(row["cv_mase"], row["forecast"], row["weight"]) for row in told] == [(None, None, 0.0), (None, None, 1.0)]
    assert explanation.folds(outcome_of(folds=[]), WEIGHTS) == []


def test_the_combination_s_error_in_a_fold_is_that_of_the_weighted_mean() -> None:
    told = explanation.folds(outcome_of(), WEIGHTS)
    assert [row["split"] for row in told] == ["year@2019-03-01", "recent@2019-04-01"]
    assert [row["mase_naive"] for row in told] == [0.5, 0.5]
    first = (abs(0.25 * 3 + 0.75 * 1 - 1) + abs(0.25 * 2 + 0.75 * 4 - 2)) / 2 / 2
    second = (abs(0.25 * 2 + 0.75 * 6 - 2) + abs(0.25 * 5 + 0.75 * 3 - 3)) / 2 / 2
    assert [row["mase"] for row in told] == [pytest.approx(first), pytest.approx(second)]


def test_where_it_was_tried_counts_what_is_compared_and_no_other_period() -> None:
    # made: 1.5, 3.5 of 1, 2 in the first fold, 5, 3.5 of 2, 3 in the second; in units of 2; the third never counts
    found = explanation.tried(outcome_of(), WEIGHTS, 0.75)
    sizes = [abs(1.5 - 1) / 2, abs(3.5 - 2) / 2, abs(5 - 2) / 2, abs(3.5 - 3) / 2]
    assert sizes == [0.25, 0.75, 1.5, 0.25]
    assert found == {"n": 4, "first": "2019-04-01", "last": "2019-06-01", "largest": 1.5, "as_large": 2}
    alone = explanation.tried(outcome_of(), WEIGHTS, None)
    assert alone is not None
    assert alone["as_large"] is None


def test_the_test_window_is_a_place_where_it_was_tried_and_without_any_there_is_none() -> None:
    entrants = [{**e, "test": [8, 8, 8]} for e in outcome_of().entrants]
    test = window("test@2019-07-01", "2019-08-01", [0, 8, 8])
    found = explanation.tried(outcome_of(entrants=entrants, test=test), WEIGHTS, 9.0)
    assert found == {"n": 6, "first": "2019-04-01", "last": "2019-09-01", "largest": 4.0, "as_large": 0}
    assert explanation.tried(outcome_of(folds=[]), WEIGHTS, 1.0) is None


@pytest.mark.parametrize(
    ("step", "expected"),
    [(1, ("recent@2019-04-01", 1, 5.0)), (2, ("year@2019-03-01", 2, 3.5)), (7, ("year@2019-03-01", 2, 3.5))],
)
def test_of_windows_that_overlap_that_with_the_nearest_step_is_looked_into(
    step: int, expected: tuple[str, int, float]
) -> None:
    found = explanation.in_windows(outcome_of(), WEIGHTS, "2019-05-01", step)
    assert found is not None
    assert (found.split, found.step, found.yhat) == expected


def test_of_windows_that_are_as_near_the_later_one_is_looked_into() -> None:
    twice = [window("a@2018-03-01", "2019-04-01", [1, 2, 3]), window("b@2018-05-01", "2019-06-01", [1, 2, 3])]
    for folds in (twice, twice[::-1]):
        found = explanation.in_windows(outcome_of(folds=folds), WEIGHTS, "2019-06-01", 2)
        assert found is not None
        assert found.split == "b@2018-05-01"


def test_a_period_in_the_test_window_is_found_and_one_in_none_is_not() -> None:
    entrants = [{**e, "test": [7.0, 8.0, 9.0]} for e in outcome_of().entrants]
    result = outcome_of(test=window("test@2019-09-01", "2019-10-01", [1, 2, 3]), entrants=entrants)
    found = explanation.in_windows(result, WEIGHTS, "2019-11-01", 1)
    assert found is not None
    assert (found.split, found.step, found.yhat) == ("test@2019-09-01", 2, 8.0)
    assert explanation.folds(result, WEIGHTS)[-1] == {"split": "test@2019-09-01", "mase": 3.0, "mase_naive": 3.0}
    assert explanation.in_windows(result, WEIGHTS, "2019-09-01", 1) is None
    assert explanation.span_of_windows(result) == ("2019-04-01", "2019-12-01")
    assert explanation.span_of_windows(outcome_of(folds=[])) is None


def test_of_a_search_the_best_is_of_what_was_evaluated_in_every_fold() -> None:
    made = [(None, False), (0.9, False), (0.1, True), (0.8, False)]
    trials = [{"number": n, "parameters": {}, "loss": x, "reason": "", "pruned": p} for n, (x, p) in enumerate(made)]
    told = explanation.searches(outcome_of(trials={"prophet": trials, "none": [], "failed": trials[:1]}))
    assert told == [
        {"candidate": "failed", "evaluations": 1, "best_loss": None, "first_loss": None},
        {"candidate": "prophet", "evaluations": 4, "best_loss": 0.8, "first_loss": None},
    ]


def test_a_period_is_over_when_its_end_and_the_delay_have_passed() -> None:
    ds = pd.Series(pd.to_datetime(["2020-01-01", "2020-02-01"]))
    as_of = pd.Timestamp("2020-03-01", tz=UTC)
    assert explanation.over_by(ds, as_of, "MS", 0).tolist() == [True, True]
    assert explanation.over_by(ds, as_of, "MS", 1).tolist() == [True, False]
