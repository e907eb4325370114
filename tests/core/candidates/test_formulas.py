"""The candidates that are one formula, against loops over single periods."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.calendar import FREQUENCIES
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.candidates.weekday_year_ago import ratio
from paxcast.core.errors import FitFailed

SETTINGS = settings(max_examples=60, deadline=None)
CODES = st.sampled_from(sorted(FREQUENCIES))
WEEK = {"D": 7, "W": 52, "MS": 12}
YEAR = {"D": 364, "W": 52, "MS": 12}


@st.composite
def histories(draw):
    """(frequency, values), some of them long enough for two years of days: few numbers, stretched."""
    code = draw(CODES)
    few = draw(st.lists(st.floats(0, 1e6), min_size=1, max_size=60))
    periods = draw(st.one_of(st.integers(1, 2 * YEAR[code] + 60), st.sampled_from([YEAR[code], 2 * YEAR[code]])))
    return code, [few[i * 7 % len(few)] + i for i in range(periods)]


def forecast(name, make_series, code, values, horizon):
    fitted = CANDIDATES[name].fit(make_series(values, code), {}, seed=1, seconds=1.0)
    return fitted.forecast(horizon).tolist()


def mean(values):
    return sum(values) / len(values)


def repeated(cycle, horizon):
    return [cycle[i % len(cycle)] for i in range(horizon)]


@SETTINGS
@given(histories(), st.integers(1, 400))
def test_seasonal_growth_adds_half_the_growth_of_the_yearly_mean_to_last_year(make_series, history, horizon):
    code, y = history
    year = YEAR[code]
    if len(y) >= 2 * year:
        growth = (mean(y[-year:]) - mean(y[-2 * year : -year])) / 2
        expected = [v + growth for v in y[-year:]]
    else:
        expected = y[-year:] if len(y) > year else y[-WEEK[code] :]
    assert forecast("seasonal_growth", make_series, code, y, horizon) == pytest.approx(repeated(expected, horizon))


@pytest.mark.parametrize(("days", "first"), [(364, 357), (365, 1), (727, 363), (728, 364 + 182)])
def test_days_look_a_year_back_from_the_first_day_of_the_second_year_and_grow_from_the_third(make_series, days, first):
    assert forecast("seasonal_growth", make_series, "D", list(range(days)), 1) == [first]


@SETTINGS
@given(histories(), st.integers(1, 400))
def test_the_same_weekday_a_year_ago_is_scaled_to_the_recent_level(make_series, history, horizon):
    code, y = history
    year, recent, damping = YEAR[code], *{"D": (28, 1), "W": (4, 1), "MS": (6, 0.5)}[code]
    if len(y) < year + recent:
        with pytest.raises(FitFailed, match=f"ATL: weekday_year_ago needs {year + recent} periods"):
            forecast("weekday_year_ago", make_series, code, y, horizon)
        return
    now = [y[len(y) - 1 - i] for i in range(recent)]
    before = [y[len(y) - 1 - i - year] for i in range(recent)]
    factor = min(max(mean(now) / mean(before), 0.2), 5.0) if mean(before) else 5.0 if mean(now) else 1.0
    expected = repeated([v * factor**damping for v in y[-year:]], horizon)
    assert forecast("weekday_year_ago", make_series, code, y, horizon) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("now", "before", "expected"), [(3, 2, 1.5), (1, 9, 0.2), (0, 9, 0.2), (9, 1, 5.0), (9, 0, 5.0), (0, 0, 1.0)]
)
def test_the_ratio_of_levels_stays_within_bounds_also_where_nothing_flew(now, before, expected):
    assert ratio(now, before) == expected


@SETTINGS
@given(histories(), st.integers(1, 130))
def test_window_average_is_the_mean_of_the_same_period_of_the_last_seasons(make_series, history, horizon):
    code, y = history
    season, most = min(WEEK[code], len(y)), {"D": 4, "W": 3, "MS": 3}[code]
    expected = []
    for i in range(season):
        same = [y[j] for j in range(len(y)) if (len(y) - season + i - j) % season == 0]
        expected.append(mean(same[-most:]))
    assert forecast("window_average", make_series, code, y, horizon) == pytest.approx(repeated(expected, horizon))


@SETTINGS
@given(histories(), st.integers(1, 40))
def test_the_random_walk_stays_where_it_is_and_the_zero_rule_at_the_mean(make_series, history, horizon):
    code, y = history
    assert forecast("random_walk", make_series, code, y, horizon) == [y[-1]] * horizon
    assert forecast("zero_rule", make_series, code, y, horizon) == pytest.approx([mean(y)] * horizon)
