"""One row an airport and run: plain values that survive JSON, and every figure that tuning found."""

import json

import pytest

from paxcast.core.outcome import FINISHED, OK, Outcome, from_dict, tuned_values
from paxcast.core.tuning import tune

PERIODS = 60


@pytest.fixture(scope="module")
def tuned_series(make_series, growing, tuner):
    """A series and what tuning made of it, for a number of periods and a grid of factors."""

    def tuned(periods=PERIODS, factors=(1.2, 2.5)):
        series = make_series(growing(periods, noise=0.05))
        points = [{"factor": factor} for factor in factors]
        return series, tune(series, tuner.task(), tuner.candidates(tuner.Scaled()), tuner.grid(*points))

    return tuned


@pytest.fixture(scope="module")
def values(tuned_series):
    return tuned_values(*tuned_series())


def outcome(**changes) -> Outcome:
    usual = {"run_key": "demo-r0", "fleet": "demo", "airport": "ATL", "as_of": "2014-12-31", "checksum": "c1"}
    return Outcome(**(usual | {"batch": 3, "status": OK} | changes))


def test_an_outcome_written_as_json_and_read_back_is_the_same(values):
    first = outcome(**values, seed=2**31 - 1, seconds=0.25, attempt=2)
    assert from_dict(json.loads(json.dumps(first.as_dict(), allow_nan=False))) == first


@pytest.mark.parametrize("series", [[0.0] * PERIODS, [7.0] * PERIODS, [5.0], list(range(12)), [0.0] * 12])
def test_every_odd_series_gives_an_outcome_that_is_valid_json(make_series, tuner, series):
    made = make_series(series)
    tuned = tune(made, tuner.task(), tuner.candidates(tuner.Scaled()), tuner.grid({"factor": 1.2}, {"factor": 2.5}))
    text = json.dumps(outcome(**tuned_values(made, tuned)).as_dict(), allow_nan=False)
    assert from_dict(json.loads(text)).status == OK


def test_the_outcome_tells_method_verdict_and_figures(tuned_series):
    series, tuned = tuned_series()
    told = outcome(**tuned_values(series, tuned))
    assert (told.status, told.method, told.parameters, told.verdict) == (OK, "scaled", {"factor": 1.2}, "first")
    assert (told.periods, told.filled, told.reason) == (PERIODS, 0, tuned.decision.reason)
    assert (told.cv_mase, told.cv_mase_naive) == (tuned.cv_mase, tuned.cv_mase_naive)
    assert (told.mase, told.mase_naive) == (tuned.test.mase, told.metrics["test_mase_naive"])
    assert told.confidence == tuned.confidence


def test_the_forecast_follows_the_last_observation_with_all_edges_of_its_intervals(tuned_series):
    series, tuned = tuned_series()
    forecast = tuned_values(series, tuned)["forecast"]
    assert forecast["ds"] == [f"2015-{month:02d}-01" for month in range(1, 7)]
    assert sorted(forecast) == ["ds", "hi80", "hi95", "lo80", "lo95", "yhat"]
    assert forecast["yhat"] == tuned.band.yhat.tolist()
    assert forecast["lo80"] == tuned.band.lo80.tolist()
    assert forecast["hi95"] == tuned.band.hi95.tolist()


def test_every_past_forecast_is_a_point_with_its_split_date_and_actual_value(tuned_series):
    series, tuned = tuned_series()
    told = tuned_values(series, tuned)["points"]
    expected = []
    for scored in (*tuned.fold_scores, tuned.test):
        last_known = str(series.ds[scored.fold.cutoff - 1])[:10]
        for step in range(scored.fold.horizon):
            position = scored.fold.cutoff + step
            expected.append(
                {
                    "split": f"{scored.fold.kind}@{last_known}",
                    "ds": str(series.ds[position])[:10],
                    "yhat": scored.forecast[step],
                    "y": series.y[position],
                }
            )
    assert told == expected
    assert {point["split"].split("@")[0] for point in told} == {"recent", "test"}


def test_every_trial_is_told_the_failed_with_its_reason(values):
    assert [trial["number"] for trial in values["trials"]] == [0, 1]
    assert (values["trials"][0]["loss"], values["trials"][0]["reason"]) == (values["cv_mase"], "")
    assert (values["trials"][1]["loss"], values["trials"][1]["reason"]) == (None, "ATL: a factor of 2.5 is too much")


def test_a_history_without_folds_has_a_forecast_but_no_scores(tuned_series):
    told = outcome(**tuned_values(*tuned_series(periods=20)))
    assert (told.method, told.verdict, told.points, told.trials) == ("seasonal_naive", "naive", [], [])
    assert (told.cv_mase, told.cv_mase_naive, told.mase, told.mase_naive) == (None, None, None, None)
    assert len(told.forecast["yhat"]) == 6


def test_an_outcome_of_a_later_version_with_unknown_keys_is_an_error():
    with pytest.raises(TypeError, match="novelty"):
        from_dict({**outcome().as_dict(), "novelty": 1})


def test_only_what_a_retry_would_not_change_is_finished():
    assert set(FINISHED) == {"ok", "quarantined"}
