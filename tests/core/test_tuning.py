"""Tuning one airport: never worse than seasonal naive in its folds, nothing chosen on the test window, no state."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.candidates import Refitting, Specification
from paxcast.core.choice import NAIVE
from paxcast.core.errors import FitFailed
from paxcast.core.evaluation import fold_scale
from paxcast.core.folds import plan_folds
from paxcast.core.intervals import half_width
from paxcast.core.outcome import tuned_values
from paxcast.core.tuning import tune

SETTINGS = settings(max_examples=40, deadline=None)
PERIODS, HORIZON = 60, 6
FACTORS = st.lists(st.floats(0, 2.5).map(lambda f: round(f, 2)), max_size=6, unique=True)
VALUES = st.lists(st.floats(0, 1e5), min_size=PERIODS, max_size=PERIODS) | st.sampled_from(
    [[0.0] * PERIODS, [7.0] * PERIODS, [1.0, 2.0, 3.0] * (PERIODS // 3)]
)


def points(*factors: float) -> list[dict[str, float]]:
    return [{"factor": factor} for factor in factors]


@pytest.fixture(scope="session")
def run(make_series, tuner):
    """Tune a series of values with the candidate `scaled` over a grid of factors."""

    def tuned(values, factors=(0.5, 1.0, 1.2, 1.5), **changes):
        candidates = tuner.candidates(tuner.Scaled(), tuner.Broken())
        return tune(make_series(values), tuner.task(**changes), candidates, tuner.grid(*points(*factors)))

    return tuned


# --- what is chosen


def test_the_specification_with_the_lowest_error_in_the_folds_is_published(run, growing):
    tuned = run(growing(PERIODS))
    assert tuned.specification == Specification("scaled", {"factor": 1.2})
    assert tuned.decision.verdict == "first"
    assert tuned.cv_mase == pytest.approx(0, abs=1e-9)
    assert tuned.cv_mase_naive > 0.5
    assert tuned.band.yhat.tolist() == pytest.approx(growing(72)[60:66].tolist())


@SETTINGS
@given(VALUES, FACTORS, st.none() | st.sampled_from([0.5, 1.0, 1.3, 2.4]))
def test_what_is_published_is_never_worse_than_seasonal_naive_in_its_folds(run, values, factors, held):
    champion = None if held is None else Specification("scaled", {"factor": held})
    tuned = run(values, factors, champion=champion)
    assert tuned.cv_mase <= tuned.cv_mase_naive
    assert tuned.cv_mase == pytest.approx(np.mean([s.mase for s in tuned.fold_scores]))
    assert (tuned.band.lo95 >= 0).all()
    assert np.isfinite([tuned.band.yhat, tuned.band.hi95]).all()


@SETTINGS
@given(VALUES, FACTORS.filter(bool))
def test_the_winner_is_the_one_that_a_loop_over_all_finds(run, values, factors):
    tuned = run(values, factors)
    done = [trial for trial in tuned.trials if trial.loss is not None]
    lowest = min([tuned.cv_mase_naive, *(trial.loss for trial in done)])
    assert tuned.cv_mase == lowest
    if tuned.specification == NAIVE:
        assert lowest == tuned.cv_mase_naive
    else:
        assert tuned.specification.parameters == next(t.parameters for t in done if t.loss == lowest)


def test_a_loss_is_the_mean_mase_of_a_plain_loop_over_the_folds(run, growing):
    y = growing(PERIODS, noise=0.1)
    tuned = run(y, factors=(1.1,))
    losses = []
    for cutoff in (42, 48):  # the season a year ago begins at 48 too
        error = np.mean([abs(y[cutoff + i] - 1.1 * y[cutoff + i - 12]) for i in range(HORIZON)])
        losses.append(error / np.mean([abs(y[i] - y[i - 12]) for i in range(12, cutoff)]))
    assert [s.fold.cutoff for s in tuned.fold_scores] == [42, 48]
    assert tuned.trials[0].loss == pytest.approx(np.mean(losses))


def test_on_a_tie_seasonal_naive_is_published_as_the_simpler(run):
    tuned = run([1.0, 2.0, 3.0] * 20, factors=(1.0,))
    assert (tuned.specification, tuned.cv_mase) == (NAIVE, 0.0)


# --- the test window


@SETTINGS
@given(VALUES, FACTORS, st.lists(st.floats(0, 1e6), min_size=HORIZON, max_size=HORIZON), st.booleans())
def test_the_test_window_is_never_used_to_choose(run, values, factors, other, has_champion):
    champion = Specification("scaled", {"factor": 1.3}) if has_champion else None
    one = run(values, factors, champion=champion)
    two = run([*values[:-HORIZON], *other], factors, champion=champion)
    assert (one.decision, one.trials, one.cv_mase) == (two.decision, two.trials, two.cv_mase)
    assert [s.forecast.tolist() for s in one.fold_scores] == [s.forecast.tolist() for s in two.fold_scores]
    assert one.test.forecast.tolist() == two.test.forecast.tolist()
    assert two.test.actual.tolist() == other


def test_the_test_window_is_forecast_from_before_it_and_measured_against_seasonal_naive(run, growing):
    y = growing(PERIODS)
    tuned = run(y)
    assert tuned.test.forecast.tolist() == pytest.approx((1.2 * y[42:48]).tolist())
    naive = np.mean(np.abs(y[54:] - y[42:48]))
    scale = np.mean(np.abs(y[12:54] - y[:42]))
    assert tuned.metrics["test_mase_naive"] == pytest.approx(naive / scale)
    assert tuned.metrics["test_mase"] == pytest.approx(0, abs=1e-9)
    assert tuned.metrics["test_mae"] == pytest.approx(np.mean(np.abs(y[54:] - 1.2 * y[42:48])))


def test_what_is_published_is_refitted_on_the_whole_history(run, growing):
    y = growing(PERIODS, noise=0.1)
    tuned = run(y)
    factor = tuned.specification.parameters["factor"]
    assert tuned.band.yhat.tolist() == pytest.approx((factor * y[48:54]).tolist())


def test_the_intervals_are_those_of_all_errors_made_in_folds_and_test_window(run, growing):
    tuned = run(growing(PERIODS, noise=0.1))
    errors = np.concatenate([s.actual - s.forecast for s in (*tuned.fold_scores, tuned.test)])
    assert len(errors) == 3 * HORIZON
    assert (tuned.band.hi80 - tuned.band.yhat).tolist() == pytest.approx([half_width(errors, 0.80)] * HORIZON)


# --- the champion


@pytest.mark.parametrize(("more", "verdict"), [(-0.001, "replaced"), (0.001, "kept")])
def test_a_champion_stays_unless_beaten_by_the_margin(run, growing, more, verdict):
    champion, y = Specification("scaled", {"factor": 1.05}), growing(PERIODS, noise=0.05)
    its, best = (trial.loss for trial in run(y, factors=(1.2,), champion=champion).trials)
    tuned = run(y, factors=(1.2,), champion=champion, margin=1 - best / its + more)
    assert tuned.decision.verdict == verdict
    assert tuned.specification == (champion if verdict == "kept" else Specification("scaled", {"factor": 1.2}))
    assert tuned.cv_mase == (its if verdict == "kept" else best)


def test_the_champions_point_is_the_first_that_the_search_tries(run, growing):
    tuned = run(growing(PERIODS), champion=Specification("scaled", {"factor": 1.3}))
    assert [t.parameters["factor"] for t in tuned.trials] == [1.3, 0.5, 1.0, 1.2, 1.5]


@pytest.mark.parametrize(
    "champion", [Specification("scaled", {"factor": 2.0001}), Specification("scaled", {}), Specification("broken", {})]
)
def test_a_champion_outside_the_space_or_of_another_candidate_is_no_point_to_try(run, growing, champion):
    assert [t.parameters["factor"] for t in run(growing(PERIODS), champion=champion).trials] == [0.5, 1.0, 1.2, 1.5]


@pytest.mark.parametrize("champion", [Specification("unheard_of", {}), Specification("broken", {})])
def test_a_champion_that_competes_no_more_or_cannot_be_fitted_makes_way(run, growing, champion):
    tuned = run(growing(PERIODS), champion=champion, candidates=("seasonal_naive", "scaled", "broken"))
    assert tuned.specification == Specification("scaled", {"factor": 1.2})


def test_a_champion_whose_candidate_was_taken_out_of_the_configuration_makes_way(run, growing):
    champion = Specification("scaled", {"factor": 1.2})
    tuned = run(growing(PERIODS), champion=champion, candidates=("seasonal_naive",))
    assert tuned.specification == NAIVE


def test_seasonal_naive_as_champion_is_judged_whatever_the_configuration_names(run, growing):
    tuned = run(growing(PERIODS), factors=(0.5,), champion=NAIVE, candidates=("scaled",))
    assert (tuned.specification, tuned.decision.verdict) == (NAIVE, "kept")


# --- what goes wrong


def test_a_candidate_that_never_fits_leaves_the_others_and_each_trial_has_its_reason(run, growing):
    tuned = run(growing(PERIODS), candidates=("seasonal_naive", "broken", "scaled"))
    assert tuned.specification == Specification("scaled", {"factor": 1.2})
    failed = [t for t in tuned.trials if t.loss is None]
    assert {t.reason for t in failed} == {"ATL: broken by design"}
    assert len(failed) == 4


def test_where_nothing_but_seasonal_naive_fits_it_is_published(run, growing):
    tuned = run(growing(PERIODS), factors=(2.2, 2.4), candidates=("broken", "scaled"))
    assert (tuned.specification, tuned.cv_mase) == (NAIVE, tuned.cv_mase_naive)
    assert len(tuned.trials) == 4


@pytest.mark.parametrize("broken", [True, False])
def test_a_candidate_without_parameters_competes_without_a_search(make_series, growing, tuner, broken):
    candidate = tuner.Broken(searched=False) if broken else replace(tuner.Scaled(), searched=False)
    task = tuner.task(candidates=(candidate.name,))
    tuned = tune(make_series(growing(PERIODS)), task, tuner.candidates(candidate), tuner.grid())
    assert tuned.trials == ()
    assert tuned.cv_mase == tuned.cv_mase_naive


@dataclass
class FailsOn:
    """Fits any history but those of the lengths given."""

    lengths: tuple[int, ...]
    inner: object
    name: str = "scaled"
    searched: bool = True

    def fit(self, series, parameters, *, seed, seconds):
        if len(series.y) in self.lengths:
            raise FitFailed("not this one")
        return self.inner.fit(series, parameters, seed=seed, seconds=seconds)

    def prepare(self, series, *, seed, seconds):
        return Refitting(self, series, seed, seconds)


def test_a_winner_that_cannot_be_fitted_before_the_test_window_is_published_without_test_figures(
    make_series, growing, tuner
):
    candidates = tuner.candidates(FailsOn((PERIODS - HORIZON,), tuner.Scaled()))
    tuned = tune(make_series(growing(PERIODS)), tuner.task(), candidates, tuner.grid(*points(1.2)))
    assert tuned.specification == Specification("scaled", {"factor": 1.2})
    assert (tuned.test, [name for name in tuned.metrics if "test" in name]) == (None, [])


def test_where_the_final_fit_fails_seasonal_naive_is_published_and_the_reason_tells(make_series, growing, tuner):
    candidates = tuner.candidates(FailsOn((PERIODS,), tuner.Scaled()))
    y = growing(PERIODS)
    tuned = tune(make_series(y), tuner.task(), candidates, tuner.grid(*points(1.2)))
    assert (tuned.specification, tuned.decision.verdict) == (NAIVE, "naive")
    assert tuned.decision.reason == "scaled could not be refitted (not this one): seasonal naive is published"
    assert tuned.cv_mase == tuned.cv_mase_naive
    assert tuned.band.yhat.tolist() == y[-12:][:HORIZON].tolist()


# --- too short


@pytest.mark.parametrize("periods", [1, 2, 11, 12, 13, 35])
def test_a_history_too_short_gets_seasonal_naive_with_a_reason(run, growing, periods):
    y = growing(periods, noise=0.1)
    tuned = run(y, champion=Specification("scaled", {"factor": 1.2}))
    assert (tuned.specification, tuned.decision.verdict, tuned.trials, tuned.test) == (NAIVE, "naive", (), None)
    assert tuned.decision.reason == (
        f"{periods} periods are too few to judge a method on (that takes 36): seasonal naive is published"
    )
    assert tuned.band.yhat.tolist() == [y[-12:][i % min(12, periods)] for i in range(HORIZON)]
    unit = 12 if periods > 12 else 1
    changes = []
    for step in range(1, HORIZON + 1):  # what a forecast `step` periods ahead would have looked back over
        lag = next(k * unit for k in range(periods, -1, -1) if k * unit < periods and (k - 1) * unit < step)
        changes += [y[i] - y[i - lag] for i in range(lag, periods) if lag]
    changes = np.array(changes)
    assert tuned.confidence != "high"
    assert (tuned.band.hi95 - tuned.band.yhat).tolist() == pytest.approx([half_width(changes, 0.95)] * HORIZON)


def test_the_shortest_history_that_the_reason_names_is_judged(run, growing):
    assert run(growing(36)).test is not None


# --- determinism


@SETTINGS
@given(VALUES, FACTORS)
def test_tuned_twice_everything_is_the_same_to_the_last_bit(run, make_series, values, factors):
    one, two = run(values, factors), run(values, factors)
    assert one.fitted.to_json() == two.fitted.to_json()
    assert json.dumps(tuned_values(make_series(values), one)) == json.dumps(tuned_values(make_series(values), two))


def test_the_series_is_left_as_it_was(make_series, growing, tuner):
    series = make_series(growing(PERIODS, noise=0.1))
    before = series.y.copy(), series.ds.copy()
    tune(series, tuner.task(), tuner.candidates(tuner.Scaled()), tuner.grid(*points(1.2)))
    assert (series.y == before[0]).all()
    assert (series.ds == before[1]).all()


def test_every_fold_and_scale_is_that_of_the_plan(run, make_series, growing):
    y = growing(80, noise=0.1)
    tuned = run(y, recent_folds=2, earlier_year_folds=3)
    plan = plan_folds(80, horizon=HORIZON, year=12, shortest_train=24, recent=2, earlier_years=3)
    assert tuple(s.fold for s in tuned.fold_scores) == plan.choose
    for s in tuned.fold_scores:
        scale = fold_scale(make_series(y[: s.fold.cutoff]))
        assert s.mase == pytest.approx(np.mean(np.abs(s.actual - s.forecast)) / scale)
