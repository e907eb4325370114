"""A candidate whose forecasts were made elsewhere: it repeats them, and never makes one up."""

import json

import numpy as np
import pytest

from paxcast.core import airport_model, candidate_files, candidates
from paxcast.core.candidates import given
from paxcast.core.candidates.given import Given
from paxcast.core.candidates.registry import CANDIDATES, found
from paxcast.core.errors import FitFailed
from paxcast.core.folds import Fold
from paxcast.core.tuning import tune

MADE = {"2010-12-01": np.array([1.0, 2.0, 3.0]), "2011-12-01": np.array([4.0, 5.0, 1 / 3])}
BUDGET = {"seed": 1, "seconds": 9.0}


def test_a_series_gets_what_was_given_for_its_end(make_series):
    one, other = (Given("fleet_gbm", MADE).fit(make_series(np.ones(n)), {}, **BUDGET) for n in (12, 24))
    assert one.forecast(3).tolist() == [1.0, 2.0, 3.0]
    assert other.forecast(2).tolist() == [4.0, 5.0]


def test_a_fold_gets_what_was_given_for_its_cutoff(make_past):
    evaluator = Given("fleet_gbm", MADE).prepare(make_past(np.ones(30)), **BUDGET)
    assert evaluator.forecast({}, Fold(12, 3, "recent")).tolist() == [1.0, 2.0, 3.0]


def test_an_end_without_a_forecast_is_refused_with_those_that_have_one(make_series):
    with pytest.raises(
        FitFailed, match="ATL: fleet_gbm made no forecast from 2010-03-01; it has those from 2010-12-01, 2"
    ):
        Given("fleet_gbm", MADE).fit(make_series(np.ones(3)), {}, **BUDGET)


def test_an_airport_that_was_left_out_is_refused_before_its_folds(make_series, make_past):
    with pytest.raises(FitFailed, match="ATL: fleet_gbm made no forecast of it"):
        Given("fleet_gbm").prepare(make_past(np.ones(30)), **BUDGET)
    with pytest.raises(FitFailed, match="it has none"):
        Given("fleet_gbm").fit(make_series(np.ones(3)), {}, **BUDGET)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(make_series, value):
    with pytest.raises(FitFailed, match="forecast what is not a number from 2010-03-01"):
        Given("fleet_gbm", {"2010-03-01": np.array([1.0, value])}).fit(make_series(np.ones(3)), {}, **BUDGET)


def test_more_periods_than_were_forecast_are_refused(make_series):
    fitted = Given("fleet_gbm", MADE).fit(make_series(np.ones(12)), {}, **BUDGET)
    with pytest.raises(FitFailed, match="ATL: fleet_gbm was made for 3 periods, and 4 are asked for; raise `horizon`"):
        fitted.forecast(4)


def test_what_is_read_back_forecasts_the_same_to_the_last_bit_and_is_the_same_text(make_series):
    fitted = Given("fleet_gbm", MADE).fit(make_series(np.ones(24)), {}, **BUDGET)
    again = given.read(fitted.to_json())
    assert again.forecast(3).tolist() == [4.0, 5.0, 1 / 3]
    assert again.to_json() == fitted.to_json()
    assert again.fitted_by == fitted.fitted_by


@pytest.mark.parametrize("text", ["[]", "{}", '{"candidate": "x", "parameters": {}}'])
def test_another_text_is_refused(text):
    with pytest.raises(
        ValueError, match="not the text of a given forecast: such a one has the keys airport, candidate"
    ):
        given.read(text)


def test_what_was_given_cannot_be_changed_through_a_forecast(make_series):
    values = {"2010-12-01": np.array([1.0, 2.0])}
    fitted = Given("fleet_gbm", values).fit(make_series(np.ones(12)), {}, **BUDGET)
    fitted.forecast(2)[0] = 9.0
    values["2010-12-01"][1] = 9.0
    assert fitted.forecast(2).tolist() == [1.0, 2.0]


def test_its_names_are_known_and_its_module_is_no_candidate():
    assert set(candidate_files.GIVEN) <= set(candidate_files.names())
    assert [type(CANDIDATES[name]) for name in candidate_files.GIVEN] == [Given] * len(candidate_files.GIVEN)
    assert not {"given", *candidate_files.GIVEN} & set(found(candidates))


def test_a_tuned_airport_keeps_the_forecast_and_is_read_back_with_it(make_past, growing, tuner):
    past = make_past(growing(60, growth=1.1, noise=0.02))
    ends = [str(past.ds[n - 1])[:10] for n in (48, 42, 36, 54, 60)]
    by_cutoff = {end: 100.0 + k + np.arange(6) for k, end in enumerate(ends)}
    tuned = tune(
        past,
        tuner.task(candidates=("seasonal_naive", "fleet_gbm"), space=()),
        tuner.candidates(Given("fleet_gbm", by_cutoff)),
        tuner.grid(),
    )
    mine = tuned.entrants[1]
    assert (mine.specification.candidate, mine.forecast.tolist()) == ("fleet_gbm", by_cutoff[ends[-1]].tolist())
    assert mine.folds[-1].tolist() == by_cutoff["2013-12-01"].tolist()
    values = json.loads(airport_model.as_text(tuned))
    assert airport_model.forecast(values, {"fleet_gbm": 1.0}, 4).tolist() == by_cutoff[ends[-1]][:4].tolist()
    half = airport_model.forecast(values, {"fleet_gbm": 0.5, "seasonal_naive": 0.5}, 6)
    assert half.tolist() == pytest.approx(((mine.forecast + tuned.entrants[0].forecast) / 2).tolist())
