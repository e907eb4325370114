"""One row an airport and run: plain values that survive JSON, and everything a later decision needs to know."""

import json
from datetime import date

import numpy as np
import pytest

from paxcast.core import candidate_files
from paxcast.core.calendar import FREQUENCIES
from paxcast.core.candidate_files import COUNTS
from paxcast.core.composition import Evaluation, compose, missed
from paxcast.core.outcome import FINISHED, OK, Outcome, evaluation_of, from_dict, tuned_values
from paxcast.core.treatment import Rules, Shock
from paxcast.core.tuning import tune

PERIODS, HORIZON = 60, 6
STRIKE = Rules(shocks=(Shock(date(2013, 9, 1), date(2013, 12, 31), "strike"),), find_shocks=False, outliers=False)


@pytest.fixture(scope="module")
def tuned_past(make_past, growing, tuner):
    """A past and what tuning made of it, for a number of periods or values and a grid of factors."""

    def tuned(periods=PERIODS, factors=(1.2, 2.5), values=None, **changes):
        y = growing(periods, noise=0.05) if values is None else values
        past = make_past(y, **changes)
        points = [{"factor": factor} for factor in factors]
        task = tuner.task(candidates=("scaled", "broken"))
        return past, tune(past, task, tuner.candidates(tuner.Scaled(), tuner.Broken()), tuner.grid(*points))

    return tuned


@pytest.fixture(scope="module")
def values(tuned_past):
    return tuned_values(*tuned_past(), ("scaled", "broken"))


def outcome(**changes) -> Outcome:
    usual = {"run_key": "demo-r0", "fleet": "demo", "airport": "ATL", "as_of": "2014-12-31", "checksum": "c1"}
    return Outcome(**(usual | {"batch": 3, "status": OK} | changes))


def read_back(past, tuned, competing=("scaled", "broken")) -> Evaluation:
    text = json.dumps(outcome(**tuned_values(past, tuned, competing)).as_dict(), allow_nan=False)
    return evaluation_of(from_dict(json.loads(text)))


def close(one, two) -> None:
    """Equal but for the digits that an outcome does not keep."""
    np.testing.assert_allclose(one, two, rtol=1e-9)


# --- plain values


def test_an_outcome_written_as_json_and_read_back_is_the_same(values):
    first = outcome(**values, seed=2**31 - 1, seconds=0.25, attempt=2)
    assert from_dict(json.loads(json.dumps(first.as_dict(), allow_nan=False))) == first


@pytest.mark.parametrize(
    "series",
    [
        [0.0] * PERIODS,
        [7.0] * PERIODS,
        [5.0],
        list(range(12)),
        [0.0] * 12,
        [*[3.0] * 58, np.nan, 4.0],
        [*[3.0] * 54, *[np.nan] * 5, 4.0],
        [1.0, *[np.nan] * 20, *range(39)],
        [1e15, 1e-9] * 30,
    ],
)
def test_every_odd_series_gives_an_outcome_that_is_valid_json_and_can_be_composed(tuned_past, series):
    past, tuned = tuned_past(values=series)
    told = read_back(past, tuned)
    for rule in ("best", "best_three", "inverse_square", "stacking"):
        made = compose(told, rule)
        assert np.isfinite(made.forecast).all()
        assert missed(told, made).errors.shape == (len(missed(told, made).levels), HORIZON)


def test_an_outcome_of_a_later_version_with_unknown_keys_is_an_error():
    with pytest.raises(TypeError, match="novelty"):
        from_dict({**outcome().as_dict(), "novelty": 1})


def test_only_what_a_retry_would_not_change_is_finished():
    assert set(FINISHED) == {"ok", "quarantined"}


# --- what it tells


def test_it_tells_of_each_candidate_what_was_found_and_of_those_left_out_why(tuned_past):
    past, tuned = tuned_past()
    told = outcome(**tuned_values(past, tuned, ("scaled", "broken")))
    assert [(e["candidate"], e["parameters"], e["competes"]) for e in told.entrants] == [
        ("seasonal_naive", {}, False),
        ("scaled", {"factor": 1.2}, True),
    ]
    assert told.left_out == {"broken": "ATL: broken: every evaluation failed; ATL: broken by design"}
    assert told.entrants[1]["fitted_by"] == {"published": "by hand"}
    for entry, entrant in zip(told.entrants, tuned.entrants, strict=True):
        close(entry["folds"], entrant.folds)
        close(entry["test"], entrant.test)
        close(entry["forecast"], entrant.forecast)


def test_it_tells_length_level_and_every_step_of_the_treatment(tuned_past, growing):
    y = growing(PERIODS, growth=1.0)
    y[[20, 30, 31]] = np.nan
    past, tuned = tuned_past(values=[0.0, 0.0, *y])
    told = outcome(**tuned_values(past, tuned, ("scaled",)))
    assert (told.periods, told.filled, told.seasons) == (PERIODS, 3, 5.0)
    assert told.level == pytest.approx(np.mean(y[-12:]))
    assert [(step["what"], step["periods"]) for step in told.steps] == [("opening", 2), ("gap", 3)]
    assert told.steps == [step.as_json() for step in tuned.treated.steps]


def test_a_newest_value_that_nothing_confirms_yet_is_told_of_with_its_period(tuned_past, growing):
    y = growing(PERIODS, noise=0.02)
    y[-1] *= 100
    told = outcome(**tuned_values(*tuned_past(values=y, rules=Rules(shocks=())), ("scaled",)))
    assert [(step["what"], step["how"], step["first"], step["last"]) for step in told.steps] == [
        ("unconfirmed", "not replaced", "2014-12-01", "2014-12-01")
    ]
    assert told.filled == 0


def test_the_forecast_follows_the_last_observation(values):
    assert values["ds"] == [f"2015-{month:02d}-01" for month in range(1, 7)]
    assert [len(e["forecast"]) for e in values["entrants"]] == [6, 6]


def test_every_window_has_its_split_its_dates_what_followed_and_its_scale(tuned_past, growing):
    y = growing(PERIODS, growth=1.0, noise=0.02)
    y[44:48] *= 0.1
    y[57] = np.nan
    past, tuned = tuned_past(values=y, rules=STRIKE)
    told = tuned_values(past, tuned, ("scaled",))
    assert [f["split"] for f in told["folds"]] == ["recent@2013-06-01", "recent@2013-12-01"]
    assert told["test"]["split"] == "test@2014-06-01"
    for window, kept in zip((*tuned.windows, tuned.test_window), (*told["folds"], told["test"]), strict=True):
        at = range(window.fold.cutoff, window.fold.cutoff + HORIZON)
        assert kept["ds"] == [str(past.ds[i])[:10] for i in at]
        assert kept["counts"] == [not (44 <= i < 48 or i == 57) for i in at]
        close(
            [v for v, counts in zip(kept["actual"], kept["counts"], strict=True) if counts],
            [y[i] for i, counts in zip(at, kept["counts"], strict=True) if counts],
        )
        assert (kept["scale"], kept["level"]) == (window.scale, window.level)


def test_every_trial_is_told_the_failed_with_its_reason(values):
    told = values["trials"]
    assert sorted(told) == ["broken", "scaled"]
    assert [trial["number"] for trial in told["scaled"]] == [0, 1]
    assert (told["scaled"][0]["parameters"], told["scaled"][0]["reason"]) == ({"factor": 1.2}, "")
    assert told["scaled"][0]["loss"] > 0
    assert (told["scaled"][1]["loss"], told["scaled"][1]["reason"]) == (None, "ATL: a factor of 2.5 is too much")


def test_ten_digits_of_a_forecast_are_kept_so_that_a_unit_of_measurement_leaves_no_trace(tuned_past):
    past, tuned = tuned_past()
    for entry, entrant in zip(tuned_values(past, tuned, ())["entrants"], tuned.entrants, strict=True):
        kept = [*entry["forecast"], *entry["test"]]
        found = [*entrant.forecast, *entrant.test]
        assert kept == [float(f"{value:.10g}") for value in found]
        assert kept != found


# --- read back as arrays


def test_the_evaluation_read_back_is_what_tuning_found(tuned_past):
    past, tuned = tuned_past()
    told = read_back(past, tuned)
    assert told.candidates == ("seasonal_naive", "scaled")
    assert told.competes.tolist() == [False, True]
    close(told.folds.forecast, [e.folds for e in tuned.entrants])
    close(told.folds.actual, [w.actual for w in tuned.windows])
    assert told.folds.scale.tolist() == [w.scale for w in tuned.windows]
    assert told.folds.counts.dtype == bool
    close(told.test, [e.test for e in tuned.entrants])
    close(told.forecast, [e.forecast for e in tuned.entrants])
    close(told.window_levels, [w.level for w in (*tuned.windows, tuned.test_window)])
    assert told.changes.shape == (0, HORIZON)
    assert not told.pinned


def test_what_was_pinned_on_a_history_too_short_for_folds_is_read_back_beside_seasonal_naive(make_past, growing, tuner):
    past = make_past(growing(20, noise=0.05))
    tuned = tune(past, tuner.task(candidates=("scaled",), pinned=True), tuner.candidates(tuner.Scaled()), tuner.grid())
    told = read_back(past, tuned, ("scaled",))
    assert (told.candidates, told.competes.tolist()) == (("seasonal_naive", "scaled"), [False, True])
    assert (told.folds, told.test) == (None, None)
    close(told.forecast, [e.forecast for e in tuned.entrants])
    close(told.changes, tuned.changes)


@pytest.mark.parametrize(("frequency", "season"), [("MS", 12), ("W", 52), ("D", 7)])
def test_a_candidate_counts_for_as_many_as_its_name_and_the_frequency_tell(
    make_past, growing, tuner, frequency, season
):
    past = make_past(growing(240, noise=0.05, season=season), frequency)
    both = [tuner.Scaled(name=name, season=season) for name in ("fleet_gbm", "scaled")]
    names = tuple(candidate.name for candidate in both)
    tuned = tune(past, tuner.task(candidates=names), tuner.candidates(*both), tuner.grid({"factor": 1.1}))
    told = read_back(past, tuned, names)
    assert told.candidates == ("seasonal_naive", "fleet_gbm", "scaled")
    assert told.folds.prior.tolist() == [1.0, COUNTS.get(("fleet_gbm", frequency), 1.0), 1.0]
    assert told.members().prior.tolist() == told.folds.prior.tolist()[1:]  # seasonal naive does not compete here
    assert (told.folds.prior[1] > 1) == (frequency == "MS")


def test_what_counts_for_more_is_a_candidate_and_a_frequency_that_there_are():
    assert all(name in candidate_files.names() and frequency in FREQUENCIES for name, frequency in COUNTS)


def test_a_candidate_counts_for_what_was_written_of_it_and_for_one_in_an_outcome_from_before(values):
    entrants = [{**entry, "counts": 3.0 + at} for at, entry in enumerate(values["entrants"])]
    assert evaluation_of(outcome(**{**values, "entrants": entrants})).folds.prior.tolist() == [3.0, 4.0]
    before = [{name: value for name, value in entry.items() if name != "counts"} for entry in values["entrants"]]
    assert evaluation_of(outcome(**{**values, "entrants": before})).folds.prior.tolist() == [1.0, 1.0]


def test_errors_of_the_evaluation_read_back_are_those_of_the_windows(tuned_past, growing):
    y = growing(PERIODS, growth=1.0, noise=0.05)
    y[44:48] *= 0.1
    past, tuned = tuned_past(values=y, rules=STRIKE)
    told = read_back(past, tuned)
    slow = [[w.mase(f) for w, f in zip(tuned.windows, e.folds, strict=True)] for e in tuned.entrants]
    np.testing.assert_allclose(told.folds.errors(), slow, rtol=1e-7)
    assert told.test_error(told.test[1]) == pytest.approx(tuned.test_window.mase(tuned.entrants[1].test))


@pytest.mark.parametrize(("first", "reached"), [("2014-01-03", False), ("2014-01-02", True), ("2009-06-01", True)])
def test_the_folds_have_seen_a_year_where_the_first_begins_364_days_before_the_forecast(values, first, reached):
    folds = [{**values["folds"][0], "ds": [first]}, *values["folds"][1:]]
    assert evaluation_of(outcome(**{**values, "folds": folds, "ds": ["2015-01-01"]})).whole_year == reached


def test_a_history_without_folds_has_a_forecast_and_what_it_would_have_missed(tuned_past):
    past, tuned = tuned_past(periods=20)
    told = outcome(**tuned_values(past, tuned, ("scaled",)))
    assert (told.folds, told.test, told.trials, len(told.entrants)) == ([], {}, {}, 1)
    again = read_back(past, tuned)
    assert (again.folds, again.test, again.test_actual, again.test_scale) == (None, None, None, None)
    assert np.isnan(again.test_error(again.forecast[0]))
    close(again.changes, tuned.changes)
    made = compose(again, "best")
    assert (made.method, made.cv_mase) == ("seasonal_naive", None)


def test_steps_that_a_short_history_cannot_tell_of_are_none_and_read_back_as_no_number(tuned_past):
    past, tuned = tuned_past(periods=8)
    told = tuned_values(past, tuned, ())
    assert np.isnan(tuned.changes[-1]).any()
    assert told["changes"][-1].count(None) == np.isnan(tuned.changes[-1]).sum()
    np.testing.assert_array_equal(np.isnan(read_back(past, tuned).changes), np.isnan(tuned.changes))


def test_without_a_test_window_there_are_only_the_folds(tuned_past, growing):
    y = growing(PERIODS)
    y[54:59] = np.nan
    told = read_back(*tuned_past(values=y))
    assert (told.test, told.test_actual, len(told.window_levels)) == (None, None, 2)
    assert missed(told, compose(told, "best")).errors.shape == (2, HORIZON)


def test_what_a_person_pinned_stays_pinned(values):
    assert evaluation_of(outcome(**values, pinned=True)).pinned
