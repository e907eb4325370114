"""Tuning one airport: what every candidate forecasts, nothing chosen on the test window, no state."""

import json
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.candidates import Refitting, Specification
from paxcast.core.choice import NAIVE, Waiting
from paxcast.core.errors import FitFailed
from paxcast.core.evaluation import fold_scale
from paxcast.core.folds import plan_folds
from paxcast.core.outcome import tuned_values
from paxcast.core.search import Record, Trial
from paxcast.core.space import Parameter
from paxcast.core.treatment import Rules, Shock
from paxcast.core.tuning import split, tune

SETTINGS = settings(max_examples=40, deadline=None)
PERIODS, HORIZON = 60, 6
FACTORS = st.lists(st.floats(0, 2.5).map(lambda f: round(f, 2)), max_size=6, unique=True)
VALUES = st.lists(st.floats(0, 1e5).map(lambda y: round(y, 2)), min_size=PERIODS, max_size=PERIODS) | st.sampled_from(
    [[0.0] * PERIODS, [7.0] * PERIODS, [1.0, 2.0, 3.0] * (PERIODS // 3)]
)
CHAMPION = Specification("scaled", {"factor": 1.3})


def points(*factors: float) -> list[dict[str, float]]:
    return [{"factor": factor} for factor in factors]


@pytest.fixture(scope="session")
def run(make_past, tuner):
    """Tune a past, or values as they came, with the candidate `scaled` over a grid of factors."""

    def tuned(values, factors=(0.5, 1.0, 1.2, 1.5), *more, rules=None, **changes):
        candidates = tuner.candidates(tuner.Scaled(), tuner.Broken(), *more)
        past = make_past(values) if rules is None else make_past(values, rules=rules)
        return tune(past, tuner.task(**changes), candidates, tuner.grid(*points(*factors)))

    return tuned


def entrant(tuned, name: str = "scaled"):
    (found,) = [e for e in tuned.entrants if e.specification.candidate == name]
    return found


def names(tuned) -> list[str]:
    return [e.specification.candidate for e in tuned.entrants]


def losses(tuned) -> list[float | None]:
    return [trial.loss for trial in tuned.trials["scaled"]]


# --- what is found


def test_of_a_searched_candidate_the_specification_with_the_lowest_error_in_the_folds_is_entered(run, growing):
    tuned = run(growing(PERIODS))
    found = entrant(tuned)
    assert found.specification == Specification("scaled", {"factor": 1.2})
    np.testing.assert_allclose(found.folds, [w.actual for w in tuned.windows])
    assert found.forecast.tolist() == pytest.approx(growing(72)[60:66].tolist())


@SETTINGS
@given(VALUES, FACTORS.filter(bool))
def test_it_is_the_one_that_a_loop_over_all_finds_and_without_any_the_candidate_is_left_out(run, values, factors):
    tuned = run(values, factors)
    if not tuned.windows:
        assert names(tuned) == ["seasonal_naive"]
        return
    done = [trial for trial in tuned.trials["scaled"] if trial.loss is not None]
    if done:
        lowest = min(trial.loss for trial in done)
        best = next(t.parameters for t in done if t.loss == lowest)
        assert entrant(tuned).specification.parameters == best
        mases = [w.mase(f) for w, f in zip(tuned.windows, entrant(tuned).folds, strict=True)]
        assert np.mean(mases) == pytest.approx(lowest)
    else:
        assert names(tuned) == ["seasonal_naive"]
        assert "scaled: every evaluation failed; ATL: a factor of" in tuned.left_out["scaled"]


def test_a_loss_is_the_mean_mase_of_a_plain_loop_over_the_folds(run, growing):
    y = growing(PERIODS, noise=0.1)
    tuned = run(y, (1.1,))
    slow = []
    for cutoff in (42, 48):  # the season a year ago begins at 48 too
        error = np.mean([abs(y[cutoff + i] - 1.1 * y[cutoff + i - 12]) for i in range(HORIZON)])
        slow.append(error / np.mean([abs(y[i] - y[i - 12]) for i in range(12, cutoff)]))
    assert [w.fold.cutoff for w in tuned.windows] == [42, 48]
    assert losses(tuned) == [pytest.approx(np.mean(slow))]


@pytest.mark.parametrize(
    "candidates", [(), ("scaled",), ("seasonal_naive", "scaled"), ("scaled", "seasonal_naive", "broken")]
)
def test_seasonal_naive_is_the_first_entrant_and_only_once_whatever_the_configuration_names(run, growing, candidates):
    y = growing(PERIODS, noise=0.1)
    tuned = run(y, candidates=candidates)
    assert names(tuned) == ["seasonal_naive", *(["scaled"] if "scaled" in candidates else [])]
    assert tuned.entrants[0].folds.tolist() == [y[30:36].tolist(), y[36:42].tolist()]
    assert tuned.entrants[0].forecast.tolist() == y[48:54].tolist()


def test_a_candidate_is_searched_for_its_own_parameters_only(make_past, growing, tuner):
    asked = {}

    def look(problem):
        asked[len(asked)] = [p.name for p in problem.space]
        return [Trial(0, {p.name: 1.0 for p in problem.space}, 1.0)]

    other = replace(tuner.Scaled(), name="other", searched=("unheard", "anchor"))
    space = (Parameter("anchor", "uniform", (0.0, 1.0)), *tuner.task().space)
    task = tuner.task(candidates=("other", "scaled"), space=space)
    tuned = tune(make_past(growing(PERIODS)), task, tuner.candidates(other, tuner.Scaled()), look)
    assert asked == {0: ["anchor"], 1: ["factor"]}
    assert entrant(tuned, "other").specification.parameters == {"anchor": 1.0}


@pytest.mark.parametrize("searched", [(), ("unheard",)])
def test_a_candidate_without_parameters_or_without_any_in_the_space_competes_without_a_search(
    make_past, growing, tuner, searched
):
    candidate = replace(tuner.Scaled(), searched=searched)
    tuned = tune(make_past(growing(PERIODS)), tuner.task(), tuner.candidates(candidate), tuner.grid(*points(0.5)))
    assert tuned.trials == {}
    assert entrant(tuned).specification == Specification("scaled", {})
    np.testing.assert_array_equal(entrant(tuned).folds, tuned.entrants[0].folds)


# --- the test window


@SETTINGS
@given(VALUES, FACTORS, st.lists(st.floats(0, 1e6), min_size=HORIZON, max_size=HORIZON), st.booleans())
def test_the_test_window_is_never_used_to_choose(run, values, factors, other, has_champion):
    champions = (CHAMPION,) if has_champion else ()
    one = run(values, factors, champions=champions)
    two = run([*values[:-HORIZON], *other], factors, champions=champions)
    same_but_for_the_test_windows_actual(one, two)
    if two.test_window is not None:
        assert two.test_window.actual.tolist() == other


@SETTINGS
@given(
    st.floats(0, 0.3),
    st.sampled_from([0.0, 1.0, 100.0, 1e4, np.nan]),
    st.lists(st.floats(0, 1000).map(round) | st.just(0.0) | st.just(np.nan), min_size=HORIZON, max_size=HORIZON),
    st.integers(1, PERIODS - 2),
)
def test_nor_does_it_reach_the_choice_by_way_of_the_treatment(run, growing, noise, slip, other, at):
    values = growing(PERIODS, growth=1.05, noise=noise)
    values[at] = slip
    other[-1] = np.nan_to_num(other[-1])
    one = run(values, rules=Rules(shocks=()))
    two = run([*values[:-HORIZON], *other], rules=Rules(shocks=()))
    same_but_for_the_test_windows_actual(one, two)


def same_but_for_the_test_windows_actual(one, two):
    assert one.trials == two.trials
    assert [w.fold for w in one.windows] == [w.fold for w in two.windows]
    for a, b in zip(one.windows, two.windows, strict=True):
        assert (a.actual.tolist(), a.counts.tolist(), a.scale) == (b.actual.tolist(), b.counts.tolist(), b.scale)
    assert [e.specification for e in one.entrants] == [e.specification for e in two.entrants]
    for a, b in zip(one.entrants, two.entrants, strict=True):
        assert a.folds.tolist() == b.folds.tolist()
        if one.test_window is not None and two.test_window is not None:
            assert a.test.tolist() == b.test.tolist()


def test_the_test_window_is_forecast_from_before_it_and_measured_in_units_of_its_past(run, growing):
    y = growing(PERIODS)
    tuned = run(y)
    assert (tuned.test_window.fold.cutoff, tuned.test_window.fold.kind) == (54, "test")
    assert entrant(tuned).test.tolist() == pytest.approx((1.2 * y[42:48]).tolist())
    naive = np.mean(np.abs(y[54:] - y[42:48]))
    scale = np.mean(np.abs(y[12:54] - y[:42]))
    assert tuned.test_window.mase(tuned.entrants[0].test) == pytest.approx(naive / scale)


def test_the_test_window_is_judged_on_what_really_happened_also_in_a_shock(run, growing):
    y = growing(PERIODS, growth=1.0)
    y[54:] = [3.0, 1.0, np.nan, 2.0, 2.0, 2.0]
    rules = Rules(shocks=(Shock(date(2014, 7, 1), date(2014, 12, 31), "strike"),))
    tuned = run(y, rules=rules)
    assert not tuned.treated.observed[54:].any()
    assert tuned.test_window.counts.tolist() == [True, True, False, True, True, True]
    assert tuned.test_window.actual[tuned.test_window.counts].tolist() == [3.0, 1.0, 2.0, 2.0, 2.0]


def test_where_an_absent_period_means_no_traffic_it_is_judged_as_zero(run, growing):
    y = growing(PERIODS, growth=1.0)
    y[[50, 55]] = np.nan
    tuned = run(y, rules=Rules(absent="zero", shocks=(), find_shocks=False, outliers=False))
    assert (tuned.test_window.actual[1], tuned.test_window.counts.all()) == (0.0, True)
    assert (tuned.windows[-1].actual[2], tuned.windows[-1].counts.all()) == (0.0, True)


def test_a_test_window_in_which_next_to_nothing_was_observed_is_none_and_the_entrants_stay(run, growing):
    y = growing(PERIODS)
    y[54:59] = np.nan
    tuned = run(y)
    assert tuned.test_window is None
    assert [e.test for e in tuned.entrants] == [None, None]
    assert len(tuned.windows) == 2


def test_what_is_published_is_refitted_on_the_whole_history(run, growing):
    y = growing(PERIODS, noise=0.1)
    found = entrant(run(y))
    factor = found.specification.parameters["factor"]
    assert found.forecast.tolist() == pytest.approx((factor * y[48:54]).tolist())
    assert found.fitted.forecast(HORIZON).tolist() == found.forecast.tolist()


# --- the champion


@pytest.mark.parametrize(("more", "stays"), [(-0.001, False), (0.001, True)])
def test_a_champions_parameters_stay_unless_beaten_by_the_margin(run, growing, more, stays):
    champion, y = Specification("scaled", {"factor": 1.05}), growing(PERIODS, noise=0.05)
    its, best = losses(run(y, (1.2,), champions=(champion,)))
    tuned = run(y, (1.2,), champions=(champion,), margin=1 - best / its + more)
    assert entrant(tuned).specification == (champion if stays else Specification("scaled", {"factor": 1.2}))


def test_the_champions_point_is_the_first_that_the_search_tries_and_the_warm_starts_follow_each_once(run, growing):
    first = (Specification("scaled", {"factor": 0.7}), CHAMPION, Specification("other", {"factor": 0.1}))
    tuned = run(growing(PERIODS), champions=(NAIVE, CHAMPION), first=first)
    assert [t.parameters["factor"] for t in tuned.trials["scaled"]] == [1.3, 0.7, 0.5, 1.0, 1.2, 1.5]


def test_each_candidate_has_a_champion_of_its_own(run, growing, tuner):
    other = replace(tuner.Scaled(), name="other")
    champions = (Specification("other", {"factor": 1.19}), Specification("scaled", {"factor": 1.21}))
    tuned = run(growing(PERIODS), (1.2,), other, candidates=("other", "scaled"), champions=champions, margin=0.9999)
    assert [entrant(tuned, name).specification.parameters["factor"] for name in ("other", "scaled")] == [1.2, 1.2]
    kept = run(growing(PERIODS, noise=0.1), (1.2,), other, candidates=("other", "scaled"), champions=champions)
    assert [entrant(kept, name).specification for name in ("other", "scaled")] == list(champions)


@pytest.mark.parametrize(
    "champion", [Specification("scaled", {"factor": 2.0001}), Specification("scaled", {}), Specification("broken", {})]
)
def test_a_champion_outside_the_space_or_of_another_candidate_is_no_point_to_try(run, growing, champion):
    tuned = run(growing(PERIODS), champions=(champion,))
    assert [t.parameters["factor"] for t in tuned.trials["scaled"]] == [0.5, 1.0, 1.2, 1.5]
    assert entrant(tuned).specification.parameters == {"factor": 1.2}


def test_a_challenger_in_the_shadow_is_tried_after_the_champion_and_comes_into_force_once_it_has_served(run, growing):
    waiting = {"scaled": Waiting({"factor": 1.15}, 0, "2014-11-01")}
    asked = {"champions": (CHAMPION,), "waiting": waiting, "first": (Specification("scaled", {"factor": 0.7}),)}
    tuned = run(growing(PERIODS), (1.2,), **asked, shadow_cycles=2)
    assert [t.parameters["factor"] for t in tuned.trials["scaled"]] == [1.3, 1.15, 0.7, 1.2]
    assert entrant(tuned).specification == CHAMPION
    made = tuned.choices["scaled"]
    last = str(tuned.treated.series.ds[-1])[:10]
    assert (made.verdict, made.waiting) == ("waits", Waiting({"factor": 1.15}, 1, last))
    served = run(growing(PERIODS), (1.2,), **asked, shadow_cycles=1)
    assert entrant(served).specification.parameters == {"factor": 1.15}
    assert served.choices["scaled"].verdict == "replaced"


@pytest.mark.parametrize("loss", [None, 0.5])
def test_a_champion_that_could_not_be_fitted_or_was_given_up_makes_way(make_past, growing, tuner, loss):
    def look(problem):
        record = Record(problem)
        record.add(Trial(0, CHAMPION.parameters, loss, "given up or failed", pruned=loss is not None))
        record.tried({"factor": 1.15})
        return record.trials

    task = tuner.task(champions=(CHAMPION,), margin=0.9)
    tuned = tune(make_past(growing(PERIODS)), task, tuner.candidates(tuner.Scaled()), look)
    assert entrant(tuned).specification.parameters == {"factor": 1.15}


# --- what goes wrong


@dataclass(frozen=True)
class Hundreds:
    """Forecasts one hundred, and something else for the last period."""

    last: float
    fitted_by: str = "by hand"

    def forecast(self, horizon):
        return np.array([100.0] * (horizon - 1) + [self.last])

    def to_json(self):
        return "{}"


@dataclass
class FailsOn:
    """Fits any history but those of the lengths given; `silent` it is fitted all the same, and forecasts that there."""

    lengths: tuple[int, ...]
    inner: object
    silent: float | None = None
    name: str = "scaled"
    searched: tuple[str, ...] = ("factor",)
    cost: float = 0.0

    def fit(self, series, parameters, *, seed, seconds):
        fitted = self.inner.fit(series, parameters, seed=seed, seconds=seconds)
        if len(series.y) not in self.lengths:
            return fitted
        if self.silent is None:
            raise FitFailed("not this one")
        return Hundreds(self.silent)

    def prepare(self, history, *, seed, seconds):
        return Refitting(self, history, seed, seconds)


def test_a_candidate_that_never_fits_is_left_out_with_its_reason_and_hurts_nobody(run, growing):
    y = growing(PERIODS, noise=0.1)
    with_it, without = run(y, candidates=("seasonal_naive", "broken", "scaled")), run(y)
    assert with_it.left_out == {"broken": "ATL: broken: every evaluation failed; ATL: broken by design"}
    assert {(t.loss, t.reason) for t in with_it.trials["broken"]} == {(None, "ATL: broken by design")}
    for one, two in zip(with_it.entrants, without.entrants, strict=True):
        assert one.specification == two.specification
        assert (one.folds.tolist(), one.test.tolist()) == (two.folds.tolist(), two.test.tolist())
        assert one.forecast.tolist() == two.forecast.tolist()
    assert with_it.trials["scaled"] == without.trials["scaled"]


def test_one_that_is_not_searched_is_left_out_as_well(make_past, growing, tuner):
    candidates = tuner.candidates(replace(tuner.Broken(), searched=()))
    tuned = tune(make_past(growing(PERIODS)), tuner.task(candidates=("broken",)), candidates, tuner.grid())
    assert (names(tuned), tuned.left_out) == (["seasonal_naive"], {"broken": "ATL: broken by design"})


@pytest.mark.parametrize("length", [42, 54, 60])
@pytest.mark.parametrize("silent", [None, np.nan, np.inf, -np.inf])
def test_a_candidate_that_fails_in_any_fold_before_the_test_window_or_at_the_end_is_left_out(
    make_past, growing, tuner, length, silent
):
    candidates = tuner.candidates(FailsOn((length,), tuner.Scaled(), silent))
    tuned = tune(make_past(growing(PERIODS)), tuner.task(), candidates, tuner.grid(*points(1.2)))
    assert names(tuned) == ["seasonal_naive"]
    expected = "loss not finite" if length == 42 else "scaled forecast what is not a number"
    assert ("not this one" if silent is None else expected) in tuned.left_out["scaled"]


def test_so_is_one_that_is_infinite_only_where_nothing_is_compared(make_past, growing, tuner):
    y = growing(PERIODS)
    y[47] = np.nan  # the last period of the fold after 42
    candidates = tuner.candidates(FailsOn((42,), tuner.Scaled(), np.inf))
    tuned = tune(make_past(y), tuner.task(), candidates, tuner.grid(*points(1.2)))
    assert tuned.windows[0].counts.tolist() == [True] * 5 + [False]
    assert names(tuned) == ["seasonal_naive"]


def test_where_seasonal_naive_itself_fails_the_airport_fails(make_past, growing, tuner):
    candidates = {**tuner.candidates(), "seasonal_naive": FailsOn((60,), tuner.Scaled(), name="seasonal_naive")}
    with pytest.raises(FitFailed, match="not this one"):
        tune(make_past(growing(PERIODS)), tuner.task(), candidates, tuner.grid(*points(1.2)))


@dataclass(frozen=True)
class Exploding:
    """Forecasts the number of periods it has seen, a billion times."""

    sign: float = 1.0
    name: str = "exploding"
    searched: tuple[str, ...] = ()
    cost: float = 0.0
    fitted_by: str = ""
    periods: int = 0

    def fit(self, series, parameters, *, seed, seconds):
        return replace(self, periods=len(series.y))

    def forecast(self, horizon):
        return np.full(horizon, self.sign * 1e9 * self.periods)

    def to_json(self):
        return "{}"

    def prepare(self, history, *, seed, seconds):
        return Refitting(self, history, seed, seconds)


def test_no_forecast_is_above_three_times_the_highest_traffic_so_far_nor_below_none(run, growing):
    y = growing(PERIODS, noise=0.1)
    up, down = Exploding(), Exploding(-1.0, "sinking")
    tuned = run(y, (1.2,), up, down, candidates=("exploding", "sinking"))
    assert entrant(tuned, "exploding").forecast.tolist() == [3 * y.max()] * HORIZON
    assert entrant(tuned, "exploding").test.tolist() == [3 * y[:54].max()] * HORIZON
    assert entrant(tuned, "exploding").folds.tolist() == [[3 * y[:c].max()] * HORIZON for c in (42, 48)]
    assert entrant(tuned, "sinking").forecast.tolist() == [0.0] * HORIZON
    assert entrant(tuned, "sinking").folds.tolist() == [[0.0] * HORIZON] * 2


# --- too short, or all in a shock


@pytest.mark.parametrize("periods", [1, 2, 11, 12, 13, 30, 35])
@pytest.mark.parametrize("horizon", [6, 15])
def test_a_history_too_short_gets_seasonal_naive_alone_and_what_it_would_have_missed(run, growing, periods, horizon):
    y = growing(periods, noise=0.1)
    tuned = run(y, champions=(CHAMPION,), horizon=horizon)
    assert (names(tuned), tuned.trials, tuned.left_out) == (["seasonal_naive"], {}, {})
    assert (tuned.windows, tuned.test_window, tuned.entrants[0].test) == ((), None, None)
    assert tuned.entrants[0].folds.shape == (0, horizon)
    assert tuned.entrants[0].forecast.tolist() == [y[-12:][i % min(12, periods)] for i in range(horizon)]
    unit = 12 if periods > 12 else 1
    assert tuned.changes.shape == (periods - unit, horizon)
    for step in range(1, horizon + 1):  # what a forecast `step` periods ahead would have looked back over
        lag = next(k * unit for k in range(periods, -1, -1) if k * unit < periods and (k - 1) * unit < step)
        slow = [y[i] - y[i - lag] for i in range(lag, periods) if lag]
        column = tuned.changes[:, step - 1]
        assert column[np.isfinite(column)].tolist() == slow


@pytest.mark.parametrize("periods", [1, 11, 13, 30, 35])
def test_what_a_person_has_pinned_needs_no_judging_and_enters_a_history_too_short_for_folds(run, growing, periods):
    y = growing(periods, noise=0.1)
    tuned = run(y, candidates=("scaled",), pinned=True, champions=(CHAMPION,))
    assert (names(tuned), tuned.trials, tuned.left_out) == (["seasonal_naive", "scaled"], {}, {})
    found = entrant(tuned)
    assert (found.specification.parameters, found.folds.shape, found.test) == ({}, (0, HORIZON), None)
    assert found.forecast.tolist() == np.resize(y[-12:], HORIZON).tolist()
    assert len(tuned.changes) == periods - (12 if periods > 12 else 1)


def test_nor_need_the_parameters_that_a_person_has_stated(run, growing):
    stated = (Parameter("factor", "choice", (1.5,)),)
    tuned = run(growing(20), candidates=("scaled",), pinned=True, space=stated)
    assert entrant(tuned).specification == Specification("scaled", {"factor": 1.5})
    assert entrant(tuned).forecast.tolist() == (1.5 * np.resize(growing(20)[-12:], HORIZON)).tolist()


def test_of_a_pinned_method_that_a_short_history_does_not_suit_the_reason_is_its_own(run, growing):
    tuned = run(growing(20), candidates=("broken",), pinned=True)
    assert names(tuned) == ["seasonal_naive"]
    assert tuned.left_out == {"broken": "ATL: broken by design"}


def test_the_shortest_history_that_is_judged_has_one_fold_and_the_test_window(run, growing):
    tuned = run(growing(36))
    assert [w.fold.cutoff for w in tuned.windows] == [24]
    assert tuned.test_window.fold.cutoff == 30
    assert tuned.changes.shape == (0, HORIZON)
    assert names(tuned) == ["seasonal_naive", "scaled"]


def strike(first: date, last: date) -> Rules:
    return Rules(shocks=(Shock(first, last, "strike"),), find_shocks=False, outliers=False)


def struck(growing, first: int, last: int) -> np.ndarray:
    y = growing(PERIODS, growth=1.0, noise=0.02)
    y[first : last + 1] *= 0.1
    return y


def cutoffs(tuned) -> list[int]:
    return [w.fold.cutoff for w in tuned.windows]


def test_a_fold_that_lies_mostly_in_a_shock_is_not_judged_on_and_the_next_one_back_takes_its_place(run, growing):
    rules = strike(date(2013, 8, 1), date(2013, 12, 31))
    tuned = run(struck(growing, 43, 47), rules=rules)
    assert cutoffs(tuned) == [36, 48]
    assert [e.folds.shape for e in tuned.entrants] == [(2, HORIZON)] * 2
    assert cutoffs(run(growing(PERIODS, growth=1.0, noise=0.02))) == [42, 48]


def test_so_does_the_fold_of_the_year_before(run, growing):
    rules = strike(date(2014, 1, 1), date(2014, 6, 30))
    tuned = run(struck(growing, 48, 53), rules=rules, recent_folds=0, earlier_year_folds=2)
    assert [(w.fold.cutoff, w.fold.kind) for w in tuned.windows] == [(24, "same_season"), (36, "same_season")]


@pytest.mark.parametrize(("first", "expected"), [(42, [36, 48]), (41, [30, 36])])
def test_a_fold_before_which_more_than_half_of_the_season_was_made_up_is_not_judged_on(run, growing, first, expected):
    rules = strike(date(2013, first - 35, 1), date(2013, 12, 31))
    tuned = run(struck(growing, first, 47), rules=rules)
    assert np.sum(~tuned.treated.observed) == 48 - first
    assert cutoffs(tuned) == expected


@pytest.mark.parametrize(("first", "expected"), [(183, [176]), (177, [])])
def test_folds_are_looked_for_three_times_as_far_back_as_planned_and_no_further(run, growing, first, expected):
    y = growing(200, growth=1.0, noise=0.02)
    y[first:194] *= 0.1
    months = [date(2010 + at // 12, at % 12 + 1, 1) for at in (first, 193)]
    tuned = run(y, rules=strike(*months), recent_folds=1, earlier_year_folds=0)
    assert cutoffs(tuned) == expected


def test_of_a_fold_that_lies_partly_in_a_shock_the_rest_is_compared(run, growing):
    y = struck(growing, 44, 47)
    tuned = run(y, (1.1,), rules=strike(date(2013, 9, 1), date(2013, 12, 31)))
    assert [w.fold.cutoff for w in tuned.windows] == [42, 48]
    assert tuned.windows[0].counts.tolist() == [True] * 2 + [False] * 4
    error = np.mean([abs(y[i] - 1.1 * y[i - 12]) for i in (42, 43)])
    first = error / np.mean([abs(y[i] - y[i - 12]) for i in range(12, 42)])
    assert tuned.windows[0].mase(entrant(tuned).folds[0]) == pytest.approx(first)


def test_where_every_fold_lies_in_a_shock_it_is_as_with_a_history_too_short(run, growing):
    tuned = run(struck(growing, 20, 53), rules=strike(date(2011, 9, 1), date(2014, 6, 30)))
    assert (names(tuned), tuned.windows, tuned.test_window) == (["seasonal_naive"], (), None)
    assert len(tuned.changes) == PERIODS - 12


# --- determinism and the plan


@SETTINGS
@given(VALUES, FACTORS)
def test_tuned_twice_everything_is_the_same_to_the_last_bit(run, make_past, values, factors):
    one, two = run(values, factors), run(values, factors)
    assert [e.fitted.to_json() for e in one.entrants] == [e.fitted.to_json() for e in two.entrants]
    told = [json.dumps(tuned_values(make_past(values), tuned, ("scaled",))) for tuned in (one, two)]
    assert told[0] == told[1]


def test_the_observations_are_left_as_they_were(make_past, growing, tuner):
    past = make_past(growing(PERIODS, noise=0.1), rules=Rules())
    before = past.raw.y.copy(), past.raw.ds.copy()
    tune(past, tuner.task(), tuner.candidates(tuner.Scaled()), tuner.grid(*points(1.2)))
    assert (past.raw.y == before[0]).all()
    assert (past.raw.ds == before[1]).all()


@pytest.mark.parametrize("closed", [0, 5])
def test_every_fold_and_scale_is_that_of_the_plan_also_where_the_airport_opened_later(
    run, make_series, growing, closed
):
    y = growing(80, noise=0.1)
    tuned = run([*[0.0] * closed, *y], recent_folds=2, earlier_year_folds=3)
    plan = plan_folds(80, horizon=HORIZON, year=12, shortest_train=24, recent=2, earlier_years=3)
    assert [w.fold.cutoff - closed for w in tuned.windows] == [fold.cutoff for fold in plan.choose]
    assert [w.fold.kind for w in tuned.windows] == [fold.kind for fold in plan.choose]
    assert tuned.test_window.fold.cutoff - closed == plan.test.cutoff
    for w in (*tuned.windows, tuned.test_window):
        cutoff = w.fold.cutoff - closed
        assert w.scale == fold_scale(make_series(y[:cutoff]))
        assert w.actual.tolist() == y[cutoff : cutoff + HORIZON].tolist()
        assert w.level == pytest.approx(np.mean(y[cutoff - 12 : cutoff]))


def test_a_window_is_called_by_its_kind_and_the_last_period_before_it(run, make_past, growing):
    tuned, past = run(growing(PERIODS)), make_past(growing(PERIODS))
    called = [split(past, w) for w in (*tuned.windows, tuned.test_window)]
    assert called == ["recent@2013-06-01", "recent@2013-12-01", "test@2014-06-01"]


def test_what_fitted_each_window_is_told_where_it_may_differ(run, growing):
    tuned = run(growing(PERIODS))
    assert entrant(tuned).fitted_by == {"published": "by hand"}
