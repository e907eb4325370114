"""The whole treatment: causal, invariant, complete, on record; each rule seen at work on a made-up airport."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core import calendar
from paxcast.core.errors import ConfigurationError
from paxcast.core.treatment import SHOCKS, Raw, Rules, Shock, Step, Treated, on_grid, treat
from paxcast.core.treatment.rules import MODES

STEPS = {"D": "D", "W": "7D", "MS": "MS"}
STEADY = Rules(shocks=(), find_shocks=False, outliers=False)


def airport(y, code: str = "MS", start: str = "2010-01-01") -> Raw:
    ds = pd.date_range(start, periods=len(y), freq=STEPS[code])
    return Raw("ATL", code, ds.to_numpy().astype("datetime64[ns]"), np.asarray(y, dtype=np.float64))


def traffic(periods: int, code: str = "MS", noise: float = 0.05, seed: int = 1) -> np.ndarray:
    t, year = np.arange(periods), calendar.frequency(code).year
    shape = 5000 * 1.05 ** (t / year) * (1 + 0.4 * np.sin(2 * np.pi * t / year))
    return np.round(shape * np.exp(np.random.default_rng(seed).normal(0, noise, periods)))


def told(treated: Treated, what: str) -> list[tuple[str, str, int]]:
    return [(s.how, s.first, s.periods) for s in treated.steps if s.what == what]


@st.composite
def troubled(draw) -> Raw:
    """A history with all troubles at once, over 9/11, the financial crisis or Covid-19."""
    code, seed = draw(st.sampled_from(["MS", "MS", "W", "D"])), draw(st.integers(0, 10_000))
    rng, year = np.random.default_rng(seed), calendar.frequency(code).year
    y = traffic(int(rng.integers(year // 2, (9 if code == "MS" else 4) * year)), code, noise=0.2, seed=seed)
    for _ in range(rng.integers(0, 4)):
        first, length = rng.integers(0, len(y)), rng.integers(1, year)
        y[first : first + length] *= rng.choice([0.0, 0.2, 3.0])
    y[rng.random(len(y)) < 0.02] *= 100
    for _ in range(rng.integers(0, 4)):
        first = rng.integers(1, len(y))
        y[first : first + rng.integers(1, year)] = np.nan
    y[0] = 7.0
    start = str(rng.choice(["2001-01-01", "2007-01-01", "2017-01-02", "2019-06-03"]))
    return airport(y, code, start[:8] + "01" if code == "MS" else start)


RULES = st.builds(
    Rules, absent=st.sampled_from(["missing", "zero"]), shock_mode=st.sampled_from(MODES), outliers=st.booleans()
)
CHECKED = settings(max_examples=120, deadline=None)


def same(a: Treated, b: Treated) -> bool:
    return (
        a.series.y.tolist() == b.series.y.tolist()
        and a.series.ds.tolist() == b.series.ds.tolist()
        and a.observed.tolist() == b.observed.tolist()
        and replace(a, series=b.series, observed=b.observed) == b
    )


@CHECKED
@given(troubled(), RULES)
def test_a_treated_series_is_complete_not_negative_and_the_raw_one_wherever_it_says_so(raw, rules):
    before = raw.y.copy()
    treated = treat(raw, rules)
    y, was = treated.series.y, np.nan_to_num(raw.y, nan=0.0 if rules.absent == "zero" else np.nan)[treated.offset :]
    assert len(y) == len(treated.observed) == len(raw.y) - treated.offset
    assert treated.series.ds.tolist() == raw.ds[treated.offset :].tolist()
    assert np.all(np.isfinite(y))
    assert np.all(y >= 0)
    assert y[treated.observed].tolist() == was[treated.observed].tolist()
    assert np.array_equal(raw.y, before, equal_nan=True)


@CHECKED
@given(troubled(), RULES, st.data())
def test_what_comes_after_a_cutoff_never_changes_what_was_before_it(raw, rules, data):
    cutoff = data.draw(st.integers(1, len(raw.y)))
    other = raw.y.copy()
    other[cutoff:] = data.draw(st.sampled_from([0.0, 1e9, np.nan]))
    assert same(treat(raw.head(cutoff), rules), treat(Raw("ATL", raw.frequency, raw.ds, other).head(cutoff), rules))
    alone = airport(raw.y[:cutoff], raw.frequency, str(raw.ds[0])[:10])
    assert same(treat(raw.head(cutoff), rules), treat(alone, rules))


@CHECKED
@given(troubled(), RULES)
def test_a_thousand_times_the_traffic_is_treated_alike(raw, rules):
    rules = replace(rules, tiny_below=0.0)
    one, many = treat(raw, rules), treat(replace(raw, y=1000 * raw.y), rules)
    assert many.series.y == pytest.approx(1000 * one.series.y, rel=1e-9)
    assert (many.offset, many.steps) == (one.offset, one.steps)
    assert many.observed.tolist() == one.observed.tolist()


@CHECKED
@given(troubled(), RULES)
def test_28_years_later_the_same_happens_if_the_shocks_move_too(raw, rules):
    def later(day: date) -> date:
        return day.replace(year=day.year + 28)

    moved = tuple(Shock(later(s.first), later(s.last), s.name) for s in SHOCKS)
    start = pd.Timestamp(raw.ds[0]) + pd.DateOffset(years=28)
    one = treat(raw, rules)
    other = treat(airport(raw.y, raw.frequency, str(start)[:10]), replace(rules, shocks=moved))
    assert other.series.y.tolist() == one.series.y.tolist()
    assert [(s.what, s.how, s.periods) for s in other.steps] == [(s.what, s.how, s.periods) for s in one.steps]


@settings(max_examples=30, deadline=None)
@given(troubled(), RULES, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_the_name_of_the_airport_matters(raw, rules, random):
    known = np.flatnonzero(np.isfinite(raw.y))
    frame = pd.DataFrame({"ds": raw.ds[known], "y": raw.y[known]})
    order = list(range(len(frame)))
    random.shuffle(order)
    one = treat(on_grid("ATL", frame, raw.frequency), rules)
    other = treat(on_grid("LFPG", frame.iloc[order], raw.frequency), rules)
    assert other.series.airport == "LFPG"
    assert same(one, replace(other, series=replace(other.series, airport="ATL")))


def test_an_untroubled_history_is_left_as_it_is_and_nothing_is_on_record():
    raw = airport(traffic(96), start="2010-01-01")
    treated = treat(raw, Rules())
    assert treated.series.y.tolist() == raw.y.tolist()
    assert (treated.steps, treated.offset, treated.observed.all()) == ((), 0, True)


def test_a_short_gap_is_interpolated_along_the_season_and_a_declared_zero_is_an_observation():
    y = traffic(96, noise=0.0)
    holed = y.copy()
    holed[40:44] = np.nan
    filled, zero = treat(airport(holed), STEADY), treat(airport(holed), replace(STEADY, absent="zero"))
    assert filled.series.y == pytest.approx(y, rel=1e-3)
    assert told(filled, "gap") == [("interpolated", "2013-05-01", 4)]
    assert np.flatnonzero(~filled.observed).tolist() == [40, 41, 42, 43]
    assert zero.series.y[40:44].tolist() == [0.0] * 4
    assert told(zero, "gap") == [("taken as zero", "2013-05-01", 4)]
    assert zero.observed.all()


def test_after_a_long_gap_only_the_part_after_it_is_used_if_it_is_long_enough():
    y = traffic(96)
    y[40:50] = np.nan
    cut = treat(airport(y), STEADY)
    assert (cut.offset, told(cut, "long_gap")) == (50, [("the part after is used", "2010-01-01", 50)])
    assert cut.series.y.tolist() == y[50:].tolist()
    kept = treat(airport(y).head(60), STEADY)
    assert (kept.offset, told(kept, "long_gap")) == (0, [("interpolated: too little after it", "2013-05-01", 10)])
    assert treat(airport(y), replace(STEADY, max_gap=10)).offset == 0
    assert treat(airport(y), replace(STEADY, shortest=47)).offset == 0


def test_a_gap_at_a_cutoff_is_carried_forward():
    y = traffic(60)
    y[57:] = np.nan
    treated = treat(airport(y), STEADY)
    assert told(treated, "gap") == [("carried forward", "2014-10-01", 3)]
    assert treated.series.y[57:] == pytest.approx(1.05 * y[45:48], rel=0.15)


def test_what_lies_before_an_opening_is_cut_off():
    treated = treat(airport([*[0.0] * 20, 3.0, 0.0, *traffic(48)]), STEADY)
    assert (treated.offset, told(treated, "opening")) == (22, [("the part after is used", "2010-01-01", 22)])


def test_a_wild_value_is_replaced_by_its_season_and_may_be_left_alone():
    y = traffic(96)
    y[50] *= 1000
    treated = treat(airport(y), Rules())
    assert told(treated, "outlier") == [("replaced", "2014-03-01", 1)]
    assert treated.series.y[50] == pytest.approx(y[50] / 1000, rel=0.15)
    assert told(treated, "gap") == []
    assert not treated.observed[50]
    assert treat(airport(y), Rules(outliers=False)).series.y[50] == y[50]


def test_a_newest_value_that_would_be_wild_is_kept_and_on_record():
    y = traffic(96)
    y[-1] *= 100
    treated = treat(airport(y), Rules())
    assert treated.steps == (Step("unconfirmed", "not replaced", "2017-12-01", "2017-12-01", 1),)
    assert treated.series.y.tolist() == y.tolist()
    assert treated.observed.all()
    assert treat(airport(y), Rules(outliers=False)).steps == ()


def test_what_was_replaced_in_the_last_season_is_not_unconfirmed_and_what_the_2_percent_spare_is():
    y = traffic(96)  # of which one may be replaced
    y[90] *= 1000
    assert [s.what for s in treat(airport(y), Rules()).steps] == ["outlier"]
    y[86] *= 100
    steps = treat(airport(y), Rules()).steps
    assert [(s.what, s.first) for s in steps] == [("outlier", "2017-07-01"), ("unconfirmed", "2017-03-01")]


def test_of_a_history_that_was_cut_the_unconfirmed_period_is_the_one_it_was():
    y = np.concatenate([np.zeros(7), traffic(60)])
    y[-1] *= 100
    assert told(treat(airport(y), Rules()), "unconfirmed") == [("not replaced", "2015-07-01", 1)]


def shocked(periods: int = 96, factor: float = 0.2, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A history from 2016 on with Covid-19 in it, and what it would have been without."""
    y = traffic(periods, noise=noise)
    low = y.copy()
    low[50:74] *= factor  # 2020-03..2022-02
    return low, y


def doubted(y, periods: int) -> list[str]:
    treated = treat(airport(y, start="2016-01-01").head(periods), Rules())
    return [first for _, first, _ in told(treated, "unconfirmed")]


def test_the_first_month_of_a_shock_is_doubted_until_the_next_one_is_like_it():
    low, _ = shocked(noise=0.02)
    assert [doubted(low, periods) for periods in (50, 51, 52, 53, 60)] == [[], ["2020-03-01"], [], [], []]


@pytest.mark.parametrize("factor", [0.2, 1.0])  # the second is a configured shock that left no trace
def test_in_a_shock_that_goes_on_a_wild_newest_value_is_doubted_and_in_one_that_is_over_it_is_part_of_that(factor):
    y, _ = shocked(factor=factor, noise=0.02)
    assert doubted(y, 71) == []
    y[70] *= 50
    assert doubted(y, 71) == ["2021-11-01"]
    assert doubted(y, 76) == []


def test_a_closed_shock_is_bridged_to_what_it_would_have_been():
    low, y = shocked()
    treated = treat(airport(low, start="2016-01-01"), Rules())
    assert treated.series.y == pytest.approx(y, rel=1e-3)
    assert treated.steps == (Step("shock", "bridged", "2020-03-01", "2022-02-01", 24, "Covid-19"),)
    assert np.flatnonzero(~treated.observed).tolist() == list(range(50, 74))


@pytest.mark.parametrize("months_after", [1, 3, 8])
def test_a_shock_is_bridged_as_soon_as_it_is_over(months_after):
    low, y = shocked()
    treated = treat(airport(low, start="2016-01-01").head(74 + months_after), Rules())
    assert treated.series.y == pytest.approx(y[: 74 + months_after], rel=1e-3)


def test_a_shock_that_goes_on_has_the_old_season_at_the_level_reached_last():
    low, y = shocked()
    low[60:62] *= 2  # a recovery that has begun
    treated = treat(airport(low, start="2016-01-01").head(62), Rules(find_shocks=False))
    assert told(treated, "shock") == [("at the level reached", "2020-03-01", 12)]
    level = low[59:62].sum() / y[47:50].sum()
    assert treated.series.y[50:62] == pytest.approx(level * y[38:50])
    assert treated.series.y[:50].tolist() == y[:50].tolist()


def test_a_shock_that_has_only_begun_is_as_it_was_observed():
    low, _ = shocked()
    raw = airport(low, start="2016-01-01").head(51)
    assert treat(raw, Rules()).series.y == pytest.approx(raw.y)


def test_a_shock_may_be_kept():
    low, _ = shocked()
    kept = treat(airport(low, start="2016-01-01"), Rules(shock_mode="keep"))
    assert kept.series.y.tolist() == low.tolist()
    assert kept.observed.all()
    assert told(kept, "shock") == [("kept", "2020-03-01", 24)]


def test_a_shock_may_be_one_event_whose_one_effect_is_taken_out_and_what_it_tells_of_the_season_stays():
    low, _ = shocked()
    low[55] *= 1.5
    raw = airport(low, start="2016-01-01")
    event, bridged = treat(raw, Rules(shock_mode="event")), treat(raw, Rules())
    inside = slice(50, 74)
    effect = low[inside].sum() / bridged.series.y[inside].sum()
    assert event.series.y[inside] == pytest.approx(low[inside] / effect)
    assert event.series.y[:50].tolist() == low[:50].tolist()
    assert event.series.y[74:].tolist() == low[74:].tolist()
    assert np.flatnonzero(~event.observed).tolist() == list(range(50, 74))
    assert told(event, "shock") == [("one-off event", "2020-03-01", 24)]


@pytest.mark.parametrize("periods", [50, 53, 62])
def test_of_an_event_that_goes_on_no_effect_is_known_and_it_is_passed_as_if_bridged(periods):
    low, _ = shocked()
    raw = airport(low, start="2016-01-01").head(periods)
    event, bridged = treat(raw, Rules(shock_mode="event")), treat(raw, Rules())
    assert (event.series.y.tolist(), event.steps) == (bridged.series.y.tolist(), bridged.steps)


def test_until_a_way_is_chosen_shocks_are_bridged():
    low, _ = shocked()
    chosen, bridged = (treat(airport(low, start="2016-01-01"), Rules(shock_mode=m)) for m in ("choose", "bridge"))
    assert chosen.series.y.tolist() == bridged.series.y.tolist()
    assert chosen.steps == bridged.steps


@pytest.mark.parametrize("mode", ["bridge", "event"])
def test_a_configured_shock_that_left_no_trace_is_kept(mode):
    low, _ = shocked(factor=0.95)
    treated = treat(airport(low, start="2016-01-01"), Rules(shock_mode=mode))
    assert treated.series.y.tolist() == low.tolist()
    assert told(treated, "shock") == [("kept: no effect to be seen", "2020-03-01", 24)]
    assert told(treat(airport(low, start="2016-01-01"), Rules(least_effect=0.04)), "shock")[0][0] == "bridged"


def test_a_heavy_shock_in_the_first_year_is_left_out_with_what_was_before_it():
    low, y = shocked()
    late = airport(low[44:], start="2019-09-01")
    short = treat(late, Rules())
    assert (short.offset, told(short, "shock")) == (0, [("kept: no season before it", "2020-03-01", 24)])
    longer = treat(late, Rules(shortest=20))
    assert (longer.offset, told(longer, "shock")) == (30, [("the part after is used", "2019-09-01", 30)])
    assert longer.series.y.tolist() == y[74:].tolist()


def test_a_strike_that_nobody_configured_is_found_and_bridged():
    y = traffic(96, noise=0.02)
    struck = y.copy()
    struck[43:49] *= 0.2
    treated = treat(airport(struck), Rules())
    assert told(treated, "shock") == [("bridged", "2013-08-01", 6)]
    assert treated.series.y == pytest.approx(y, rel=0.15)
    assert treat(airport(struck), Rules(find_shocks=False)).series.y.tolist() == struck.tolist()


def test_months_missing_within_a_bridged_shock_are_no_gap():
    low, y = shocked()
    low[51:60] = np.nan
    treated = treat(airport(low, start="2016-01-01"), Rules())
    assert treated.series.y == pytest.approx(y, rel=1e-3)
    assert [s.what for s in treated.steps] == ["shock"]
    assert treat(airport(low, start="2016-01-01"), Rules(shock_mode="keep")).offset == 60  # there they are a long one


def test_a_gap_beside_a_shock_is_not_filled_by_what_the_shock_left():
    low, y = shocked(108)
    low[80:83] = np.nan
    assert treat(airport(low, start="2016-01-01"), Rules(shock_mode="keep")).series.y[80:83] == pytest.approx(
        y[80:83], rel=1e-3
    )
    treated = treat(airport(low, start="2016-01-01").head(83), Rules(shock_mode="keep"))
    assert treated.series.y[80:83] == pytest.approx(y[80:83], rel=1e-3)


def test_a_shock_after_which_nothing_is_known_yet_goes_on():
    low, _ = shocked()
    low[74:] = np.nan
    treated = treat(airport(low, start="2016-01-01").head(76), Rules())
    assert [(s.what, s.how, s.periods) for s in treated.steps] == [("shock", "at the level reached", 26)]


def test_among_many_zeros_neither_shocks_nor_wild_values_are_looked_for():
    y = np.tile([0.0] * 4 + [900.0, 1000.0, 1100.0, 1000.0, 900.0, 800.0, 900.0, 1000.0], 9)[4:]
    y[54:60] *= 0.1
    y[29] *= 1000
    treated = treat(airport(y), Rules(shocks=()))
    assert treated.series.y.tolist() == y.tolist()
    assert {s.what for s in treated.steps} <= {"zero_heavy", "moved"}


def test_a_closure_a_move_zeros_and_tiny_traffic_are_recorded_and_kept():
    closed = np.concatenate([traffic(60), np.zeros(30)])
    treated = treat(airport(closed), STEADY)
    assert treated.closed
    assert told(treated, "closed") == [("kept", "2015-01-01", 30)]
    moved = np.concatenate([traffic(60), 0.4 * traffic(96)[60:]])
    assert told(treat(airport(moved), STEADY), "moved") == [("kept", "2015-01-01", 1)]
    seasonal = np.tile([0.0] * 5 + [9.0] * 7, 6)
    treated = treat(airport(seasonal), Rules())
    assert (treated.zero_heavy, treated.tiny, treated.closed) == (True, True, False)
    assert treated.series.y.tolist() == seasonal[5:].tolist()
    assert [s.what for s in treated.steps] == ["opening", "zero_heavy", "tiny"]


def test_the_record_is_plain_json():
    low, _ = shocked()
    (step,) = treat(airport(low, start="2016-01-01"), Rules()).steps
    assert json.loads(json.dumps(step.as_json())) == {
        "what": "shock",
        "how": "bridged",
        "first": "2020-03-01",
        "last": "2022-02-01",
        "periods": 24,
        "name": "Covid-19",
    }


@pytest.mark.parametrize("wrong", [{"absent": "none"}, {"shock_mode": "mask"}])
def test_a_rule_that_is_none_is_refused_by_name(wrong):
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=rf"^{name}: '.*' is not one of .*; use one of these"):
        Rules(**wrong)


def test_a_history_without_any_observation_is_refused():
    with pytest.raises(ValueError, match=r"^ATL: none of 3 periods was observed; validate the history first"):
        treat(airport([np.nan] * 3), Rules())


@pytest.mark.parametrize("y", [[5.0], [0.0], [0.0, 0.0, 0.0], [3.0, np.nan], [0.0] * 40])
@pytest.mark.parametrize("mode", MODES)
def test_the_smallest_histories_are_treated_too(y, mode):
    for start in ("2015-01-01", "2020-06-01"):
        treated = treat(airport(y, start=start), Rules(shock_mode=mode))
        assert len(treated.series.y) == len(y)
        assert np.all(np.isfinite(treated.series.y))
