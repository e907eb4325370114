"""How far forecasts were off, in what was expected: cycles, which forecast counts, folds, and the panel of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core import calendar
from paxcast.core.drift import residuals
from paxcast.core.drift.panel import Panel
from paxcast.core.drift.residuals import Cycles, Missed
from paxcast.core.outcome import Outcome

NAN = np.nan
Z = 1.2815515655446004
DAY = pd.Timestamp


# --- cycles


@pytest.mark.parametrize(
    ("newest", "frequency", "names"),
    [
        ("2021-03-01", "MS", ["2021-01-01", "2021-02-01", "2021-03-01"]),
        ("2021-03-03", "W", ["2021-02-17", "2021-02-24", "2021-03-03"]),  # a Wednesday, as its weeks begin
        ("2021-03-13", "D", ["2021-02-27", "2021-03-06", "2021-03-13"]),
        ("2021-03-19", "D", ["2021-02-27", "2021-03-06", "2021-03-13"]),  # six days of the next one
        ("2021-03-20", "D", ["2021-03-06", "2021-03-13", "2021-03-20"]),
    ],
)
def test_cycles_end_with_the_newest_whole_one_and_those_of_days_stay_in_step(
    newest: str, frequency: str, names: list[str]
) -> None:
    found = residuals.cycles(DAY(newest), frequency, DAY("2021-01-03"), 3)
    assert list(found.names) == names
    length = 7 if frequency == "D" else 1
    assert (found.length, found.periods) == (length, 3 * length)
    last = calendar.period_number(pd.Series([DAY(names[-1])]), frequency)[0]
    assert found.first == last - 3 * length + 1


@pytest.mark.parametrize("first", ["2021-01-03", "2020-12-27", "2021-06-06"])
def test_days_are_in_step_with_the_first_release_whenever_that_was(first: str) -> None:
    assert residuals.cycles(DAY("2021-03-19"), "D", DAY(first), 1).names == ("2021-03-13",)


# --- which forecast counts


def said(*rows: tuple[str, str, int, bool, str | None]) -> pd.DataFrame:
    """Forecasts of AAA: period, as of, number of its publication, in force, when it was rolled back."""
    frame = pd.DataFrame(list(rows), columns=["ds", "made", "number", "in_force", "since"])
    instants = {name: pd.to_datetime(frame[name], utc=True) for name in ("made", "since")}
    return frame.assign(airport="AAA", ds=pd.to_datetime(frame["ds"]), **instants)


def chosen(*rows: tuple[str, str, int, bool, str | None]) -> list[int]:
    mixed = said(*rows).sample(frac=1, random_state=7)  # their order tells nothing
    return list(residuals.one_each(mixed, "MS")["number"])


MAY, JUNE = "2021-05-01", "2021-06-01"


def test_of_each_period_the_newest_forecast_from_before_it_counts() -> None:
    rows = [(ds, made, n, True, None) for ds in (MAY, JUNE) for n, made in enumerate(["2021-03-01", "2021-05-01"])]
    assert chosen(*rows) == [1, 1]
    assert chosen((MAY, "2021-04-01", 1, True, None), (MAY, "2021-05-02", 2, True, None)) == [1]


def test_one_from_within_the_period_counts_where_there_is_no_earlier_one_and_one_from_after_it_never() -> None:
    assert chosen((MAY, "2021-05-31T23:59", 2, True, None)) == [2]
    assert chosen((MAY, "2021-06-01", 2, True, None)) == []


def test_of_two_of_one_instant_the_one_published_last_counts() -> None:
    assert chosen((MAY, "2021-04-01", 5, True, None), (MAY, "2021-04-01", 4, True, None)) == [5]


def test_what_was_in_force_wins_over_a_backfill_however_new_that_is() -> None:
    assert chosen((MAY, "2021-01-01", 1, True, None), (MAY, "2021-05-01", 2, False, None)) == [1]
    assert chosen((MAY, "2021-05-20", 1, True, None), (MAY, "2021-05-01", 2, False, None)) == [1]
    assert chosen((MAY, "2021-04-01", 2, False, None)) == [2]


def test_what_was_rolled_back_counts_for_the_periods_that_began_before() -> None:
    rows = [(ds, "2021-04-15", 2, True, "2021-05-31") for ds in (MAY, JUNE)]
    rows += [(ds, "2021-03-15", 1, True, None) for ds in (MAY, JUNE)]
    assert chosen(*rows) == [2, 1]
    assert chosen((JUNE, "2021-04-15", 2, True, "2021-06-01")) == []


def test_no_forecast_of_any_period_is_none() -> None:
    assert chosen() == []


# --- residuals


def months(count: int, last: str = "2021-12-01") -> Cycles:
    return residuals.cycles(DAY(last), "MS", DAY("2021-01-01"), count)


def test_a_residual_is_the_miss_in_units_of_the_standard_deviation_that_the_interval_stands_for() -> None:
    of_a = [("AAA", "2021-11-01", 130.0, 100.0, 20.0, 40.0), ("AAA", "2021-12-01", 81.0, 100.0, 20.0, 40.0)]
    of_b = [("BBB", "2021-12-01", 103.0, 100.0, 1.0, 200.0), ("BBB", "2021-08-01", 1.0, 100.0, 1.0, 200.0)]
    rows = pd.DataFrame(
        [*of_a, *of_b],
        columns=["airport", "ds", "y", "yhat", "half", "scale"],
    )
    found = residuals.of_forecasts(rows.assign(ds=pd.to_datetime(rows["ds"])), months(3))
    assert found["AAA"].residual.tolist() == pytest.approx([NAN, 30 / (20 / Z), -19 / (20 / Z)], nan_ok=True)
    assert found["AAA"].outside.tolist() == pytest.approx([NAN, 1, 0], nan_ok=True)
    assert found["BBB"].residual.tolist() == pytest.approx([NAN, NAN, 3 / (0.05 * 200)], nan_ok=True)
    assert found["BBB"].outside.tolist() == pytest.approx([NAN, NAN, 1], nan_ok=True)  # as the interval was published


def outcome(windows: list[dict[str, Any]], folds: dict[str, Any], **fields: Any) -> Outcome:
    """folds: by candidate what it forecast of each window; the last window is that of the test."""
    entrants = [
        {"candidate": name, "parameters": {}, "competes": True, "fitted_by": {}, "forecast": [100.0, 100.0]}
        | {"folds": made[:-1], "test": made[-1]}
        for name, made in folds.items()
    ]
    key = {"run_key": "r", "fleet": "f", "airport": "AAA", "as_of": "2021-12-31", "checksum": "c", "batch": 0}
    base = {"status": "ok", "entrants": entrants, "folds": windows[:-1], "test": windows[-1], "level": 100.0}
    return Outcome(**{**key, **base, "ds": ["2022-01-01", "2022-02-01"], **fields})


def window(first: str, actual: list[float], counts: tuple[bool, bool] = (True, True), **fields: Any) -> dict[str, Any]:
    ds = [str(day.date()) for day in pd.date_range(first, periods=2, freq="MS")]
    base = {"split": first, "ds": ds, "actual": actual, "counts": list(counts), "scale": 10.0, "level": 100.0}
    return {**base, **fields}


HALF = np.array([10.0, 20.0])


def test_what_folds_and_the_test_window_missed_is_in_units_of_the_interval_at_that_step() -> None:
    windows = [window("2021-08-01", [110.0, 110.0]), window("2021-10-01", [70.0, 100.0], (True, False))]
    windows.append(window("2021-11-01", [90.0, 131.0]))
    found = residuals.of_folds(outcome(windows, {"seasonal_naive": [[100.0, 100.0]] * 3}), "best", HALF, months(5))
    expected = [10 / (10 / Z), 10 / (20 / Z), -30 / (10 / Z), -10 / (10 / Z), 31 / (20 / Z)]
    assert found.residual.tolist() == pytest.approx(expected)
    assert found.outside.tolist() == [0, 0, 1, 0, 1]


def test_of_a_period_in_two_windows_that_of_the_smaller_step_counts_and_where_that_does_not_count_the_other() -> None:
    windows = [window("2021-10-01", [110.0, 110.0]), window("2021-11-01", [120.0, 120.0])]
    made = {"seasonal_naive": [[100.0, 100.0]] * 2}
    found = residuals.of_folds(outcome(windows, made), "best", HALF, months(3))
    assert found.residual.tolist() == pytest.approx([10 / (10 / Z), 20 / (10 / Z), 20 / (20 / Z)])
    windows[1]["counts"] = [False, True]
    found = residuals.of_folds(outcome(windows, made), "best", HALF, months(3))
    assert found.residual.tolist() == pytest.approx([10 / (10 / Z), 10 / (20 / Z), 20 / (20 / Z)])


def test_in_a_fold_of_half_the_traffic_the_interval_is_half_as_wide_but_no_narrower_than_its_scale_allows() -> None:
    windows = [window("2021-08-01", [60.0, 60.0], level=50.0), window("2021-11-01", [200.0, 200.0], scale=1000.0)]
    made = {"seasonal_naive": [[50.0, 50.0], [100.0, 100.0]]}
    found = residuals.of_folds(outcome(windows, made), "best", HALF, months(5))
    expected = [10 / (5 / Z), 10 / (10 / Z), NAN, 100 / 50, 100 / 50]
    assert found.residual.tolist() == pytest.approx(expected, nan_ok=True)
    windows[0]["level"] = 0.0
    found = residuals.of_folds(outcome(windows, made), "best", HALF, months(5))
    assert found.residual.tolist() == pytest.approx([NAN, NAN, NAN, 2, 2], nan_ok=True)


def test_a_fold_is_forecast_with_the_weights_of_the_others() -> None:
    windows = [window(first, [100.0, 100.0]) for first in ("2020-12-01", "2021-08-01", "2021-11-01")]
    wrong, slightly, right = [160.0, 160.0], [107.0, 107.0], [100.0, 100.0]
    made = {"seasonal_naive": [slightly, slightly, right], "one": [right, wrong, right]}
    found = residuals.of_folds(outcome(windows, made), "best", HALF, months(13))
    # the best of the second fold alone is seasonal naive, of the first alone it is the other one; and the unit of an
    # interval is what was forecast, where that is more than what was before
    assert found.residual[:2].tolist() == pytest.approx([-7 / (10.7 / Z), -7 / (21.4 / Z)])
    assert found.residual[8:10].tolist() == pytest.approx([-60 / (16 / Z), -60 / (32 / Z)])


def test_what_lies_outside_of_the_cycles_or_has_no_folds_or_no_traffic_is_left_out() -> None:
    windows = [window("2021-08-01", [110.0, 110.0]), window("2021-12-01", [120.0, 120.0])]
    made = {"seasonal_naive": [[100.0, 100.0]] * 2}
    found = residuals.of_folds(outcome(windows, made), "best", HALF, months(4))
    assert found.residual.tolist() == pytest.approx([10 / (20 / Z), NAN, NAN, 20 / (10 / Z)], nan_ok=True)
    nothing = Outcome(**{**outcome(windows, made).as_dict(), "folds": [], "test": {}})
    nothing.entrants[0].update(folds=[], test=[])
    assert np.isnan(residuals.of_folds(nothing, "best", HALF, months(4)).residual).all()
    empty = outcome(windows, made, level=0.0)
    empty.entrants[0].update(forecast=[0.0, 0.0])
    assert np.isnan(residuals.of_folds(empty, "best", HALF, months(4)).residual).all()


def test_the_simple_method_that_did_best_in_the_folds_is_told_with_the_scale_of_the_newest_window() -> None:
    windows = [window("2021-08-01", [110.0, 110.0]), window("2021-11-01", [120.0, 120.0], scale=7.0)]
    made = {"seasonal_naive": [[100.0, 100.0]] * 2, "auto_ets": [[110.0, 110.0]] * 2}
    assert residuals.simplest(outcome(windows, made)) == "seasonal_naive"
    made |= {"weekday_year_ago": [[105.0, 105.0]] * 2, "random_walk": [[106.0, 107.0], [0.0, 0.0]]}
    assert residuals.simplest(outcome(windows, made)) == "random_walk"  # the test window is not chosen on
    found = residuals.of_model(outcome(windows, made), "best", HALF, months(4))
    assert (found.simple, found.scale) == ("random_walk", 7.0)
    bare = Outcome(**{**outcome(windows, {"seasonal_naive": [[], []]}).as_dict(), "folds": [], "test": {}})
    found = residuals.of_model(bare, "best", HALF, months(4))
    assert (found.simple, found.scale) == ("seasonal_naive", 100.0)


# --- the panel


def missed(residual: list[float]) -> Missed:
    values = np.array(residual)
    return Missed(values, np.where(np.isnan(values), NAN, (np.abs(values) > 1.5).astype(float)))


def test_what_was_published_wins_over_folds_period_by_period_and_is_live() -> None:
    folds = {"BBB": missed([1.0, 1.0, NAN, 1.0]), "AAA": missed([NAN] * 4)}
    found = residuals.panel(months(4), {"BBB": missed([NAN, -2.0, 3.0, NAN]), "XXX": missed([9.0] * 4)}, folds, {})
    assert found.airports == ("AAA", "BBB")
    assert found.cycles == ("2021-09-01", "2021-10-01", "2021-11-01", "2021-12-01")
    assert found.residual[1].tolist() == [1.0, -2.0, 3.0, 1.0]
    assert found.loss[1].tolist() == [1.0, 2.0, 3.0, 1.0]
    assert found.outside[1].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert found.live.tolist() == [[False] * 4, [False, True, True, False]]
    assert np.isnan(found.residual[0]).all()


def weeks_of_days() -> Cycles:
    return residuals.cycles(DAY("2021-03-14"), "D", DAY("2021-03-01"), 2)


def test_a_cycle_of_days_has_their_means_if_five_or_more_of_them_have_an_actual() -> None:
    days = [1.0, -2.0, 3.0, NAN, NAN, 0.0, 1.0, 1.0, 1.0, NAN, NAN, NAN, 1.0, 1.0]
    found = residuals.panel(weeks_of_days(), {"AAA": missed(days)}, {"AAA": missed([NAN] * 14)}, {})
    assert found.residual[0].tolist() == pytest.approx([3 / 5, NAN], nan_ok=True)
    assert found.loss[0].tolist() == pytest.approx([7 / 5, NAN], nan_ok=True)
    assert found.outside[0].tolist() == pytest.approx([2 / 5, NAN], nan_ok=True)
    assert found.live.tolist() == [[True, False]]


def test_a_cycle_is_live_if_most_of_its_days_are() -> None:
    folds = {"AAA": missed([1.0] * 14)}
    for live, expected in ((3, False), (4, True)):
        published = {"AAA": missed([2.0] * live + [NAN] * (14 - live))}
        found = residuals.panel(weeks_of_days(), published, folds, {})
        assert found.live.tolist() == [[expected, False]]
        assert found.residual[0].tolist() == pytest.approx([1 + live / 7, 1.0])


def test_a_cycle_that_an_airport_has_not_reported_to_the_end_is_none_yet() -> None:
    over = weeks_of_days()
    published = {"AAA": missed([1.0] * 13 + [NAN])}
    reported = {"AAA": over.first + 12}  # the day before the last
    found = residuals.panel(over, published, {"AAA": missed([NAN] * 14)}, reported)
    assert found.residual[0].tolist() == pytest.approx([1.0, NAN], nan_ok=True)
    found = residuals.panel(over, published, {"AAA": missed([NAN] * 14)}, {"AAA": over.first + 14})
    assert found.residual[0].tolist() == [1.0, 1.0]


def test_a_stretch_that_is_no_evidence_any_more_leaves_nothing() -> None:
    names = ("2021-01-01", "2021-02-01", "2021-03-01", "2021-04-01")
    ones = np.ones((2, 4))
    panel = Panel(("AAA", "BBB"), names, ones, 2 * ones, 3 * ones, ones.astype(bool))
    found = residuals.without(panel, {"BBB": (("2020-06-01", "2021-01-31"), ("2021-03-01", "2021-03-01"))})
    gone = np.array([[False] * 4, [True, False, True, False]])
    for values in (found.residual, found.loss, found.outside):
        assert np.isnan(values).tolist() == gone.tolist()
    assert found.live.tolist() == (~gone).tolist()
    assert np.isfinite(panel.residual).all()
