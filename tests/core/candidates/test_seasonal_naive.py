"""Seasonal naive: each period as a season before, against a loop."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.calendar import FREQUENCIES
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.candidates.seasonal_naive import SeasonalNaive

SETTINGS = settings(max_examples=60, deadline=None)


def fit(series):
    return SeasonalNaive().fit(series, {}, seed=1, seconds=1.0)


@SETTINGS
@given(st.sampled_from(sorted(FREQUENCIES)), st.lists(st.floats(0, 1e6), min_size=1, max_size=120), st.integers(1, 130))
def test_each_step_is_the_same_period_of_the_last_season_or_of_what_there_is(make_series, code, values, horizon):
    extended, season = list(values), min(FREQUENCIES[code].season, len(values))
    for _ in range(horizon):
        extended.append(extended[-season])
    assert fit(make_series(values, code)).forecast(horizon).tolist() == extended[len(values) :]


@pytest.mark.parametrize("values", [[5.0] * 24, [0.0] * 24, list(range(12))])
def test_constant_zero_and_one_season_series_repeat_themselves(make_series, values):
    assert fit(make_series(values)).forecast(12).tolist() == values[-12:]


def test_as_text_it_holds_the_last_season_and_where_it_ends_to_the_last_bit(make_series):
    told = json.loads(fit(make_series([0.1 + 0.2] * 14, "D", start="2020-02-16")).to_json())
    assert told == {"frequency": "D", "last_ds": "2020-02-29", "last_season": [0.1 + 0.2] * 7}


def test_what_was_fitted_does_not_change_with_the_series(make_series):
    series = make_series(range(24))
    fitted = fit(series)
    series.y[:] = 0
    assert fitted.forecast(1).tolist() == [12]


def test_candidates_are_known_by_their_own_names_and_only_those_of_prophet_are_searched():
    assert {name: candidate.name for name, candidate in CANDIDATES.items()} == {name: name for name in CANDIDATES}
    assert {name for name, candidate in CANDIDATES.items() if candidate.searched} == {"prophet", "anchored_prophet"}
