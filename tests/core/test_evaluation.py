"""How specifications are scored in folds: fitted on the past alone, all in the same unit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core import evaluation
from paxcast.core.candidates import Refitting
from paxcast.core.candidates.seasonal_naive import SeasonalNaive
from paxcast.core.errors import FitFailed
from paxcast.core.evaluation import FoldScore, FoldsLoss, fold_scale, mean_mase, publishable, windows
from paxcast.core.folds import Fold

SETTINGS = settings(max_examples=40, deadline=None)
FOLDS = (Fold(24, 6, "same_season"), Fold(36, 6, "recent"), Fold(30, 6, "recent"))


class Recording:
    """Remembers what it was fitted on, and forecasts minus one."""

    name, searched = "recording", False

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def fit(self, series, parameters, *, seed, seconds):
        self.seen.append((series.y.tolist(), series.ds[-1], parameters, seed, seconds))
        return self

    def forecast(self, horizon):
        return np.full(horizon, -1.0)


def score(candidate, parameters, series, folds, *, seed, seconds) -> tuple[FoldScore, ...]:
    evaluator = Refitting(candidate, series, seed, seconds)
    return evaluation.score(evaluator, parameters, windows(series, folds))


def scored(*mases: float) -> list[FoldScore]:
    return [FoldScore(FOLDS[0], np.zeros(1), np.zeros(1), mase) for mase in mases]


def test_a_fold_is_fitted_on_what_came_before_it_and_on_nothing_else(make_series):
    candidate, series = Recording(), make_series(range(48))
    score(candidate, {"a": 1}, series, FOLDS, seed=3, seconds=9)
    expected = [(list(range(fold.cutoff)), series.ds[fold.cutoff - 1], {"a": 1}, 3, 9) for fold in FOLDS]
    assert candidate.seen == expected


def test_scores_come_in_the_order_of_the_folds_with_the_values_that_followed(make_series):
    scores = score(Recording(), {}, make_series(range(48)), FOLDS, seed=0, seconds=1)
    assert [s.fold for s in scores] == list(FOLDS)
    assert [s.actual.tolist() for s in scores] == [list(range(f.cutoff, f.cutoff + 6)) for f in FOLDS]


def test_a_negative_forecast_is_judged_as_the_zero_that_would_be_published(make_series):
    (only,) = score(Recording(), {}, make_series(range(48)), FOLDS[:1], seed=0, seconds=1)
    assert only.forecast.tolist() == [0.0] * 6
    assert publishable(np.array([-3.0, 0.0, 2.5])).tolist() == [0.0, 0.0, 2.5]


@SETTINGS
@given(st.lists(st.floats(0, 1e6), min_size=48, max_size=48))
def test_seasonal_naive_has_the_error_that_a_loop_finds_in_units_of_its_own_past_error(make_series, values):
    for fold_score in score(SeasonalNaive(), {}, make_series(values), FOLDS, seed=0, seconds=1):
        cutoff = fold_score.fold.cutoff
        errors = [abs(values[cutoff + i] - values[cutoff + i - 12]) for i in range(6)]
        past = [abs(values[i] - values[i - 12]) for i in range(12, cutoff)]
        unit = sum(past) / len(past) or sum(values[:cutoff]) / cutoff or 1.0
        assert fold_score.mase == pytest.approx(sum(errors) / 6 / unit)


def test_all_methods_are_measured_in_the_same_unit_in_a_fold(make_series):
    series = make_series(np.random.default_rng(1).uniform(10, 90, 48))
    naive = score(SeasonalNaive(), {}, series, FOLDS, seed=0, seconds=1)
    other = score(Recording(), {}, series, FOLDS, seed=0, seconds=1)
    for one, two in zip(naive, other, strict=True):
        ratio = np.abs(one.actual - one.forecast).mean() / np.abs(two.actual - two.forecast).mean()
        assert one.mase / two.mase == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([5.0] * 30, 5.0),
        ([0.0] * 30, 1.0),
        (list(range(12)) * 2, 5.5),
        (list(range(12)), 5.5),
        ([0.0] * 12, 1.0),
        ([3.0], 3.0),
        (list(range(13)), 12.0),
    ],
)
def test_where_the_past_repeats_itself_or_is_one_season_the_scale_is_its_level_and_never_zero(
    make_series, values, scale
):
    assert fold_scale(make_series(values)) == scale


def test_a_fold_that_cannot_be_fitted_is_told(make_series, tuner):
    with pytest.raises(FitFailed, match="ATL: broken by design"):
        score(tuner.Broken(), {}, make_series(range(48)), FOLDS, seed=0, seconds=1)


def test_the_mean_of_the_folds_is_their_plain_mean():
    assert mean_mase(scored(1.0, 2.0, 4.5)) == 2.5


@pytest.mark.parametrize("mases", [(), (math.nan,), (1.0, math.nan), (1.0, math.inf)])
def test_what_is_not_a_number_in_any_fold_is_infinitely_bad(mases):
    assert mean_mase(scored(*mases)) == math.inf


# --- what a search minimises


def loss(tuner, make_series, factor: float, best: float, prune: bool = True):
    series = make_series(100 + np.arange(48.0) + 30 * np.sin(np.arange(48.0)))
    evaluator = tuner.Scaled().prepare(series, seed=0, seconds=1)
    mases = [s.mase for s in evaluation.score(evaluator, {"factor": factor}, windows(series, FOLDS))]
    return FoldsLoss(evaluator, windows(series, FOLDS), prune)({"factor": factor}, best), mases


@SETTINGS
@given(st.floats(0, 2), st.floats(0, 20))
def test_an_evaluation_is_given_up_as_soon_as_perfect_folds_could_not_make_it_the_best(
    make_series, tuner, factor, best
):
    found, mases = loss(tuner, make_series, factor, best)
    done = next((i for i in (1, 2) if sum(mases[:i]) / 3 >= best), 3)
    assert found.folds_left == 3 - done
    assert found.value == pytest.approx(np.mean(mases[:done]))
    assert (found.value >= best) or found.folds_left == 0


def test_without_pruning_every_fold_is_done(make_series, tuner):
    found, mases = loss(tuner, make_series, 2.0, best=0.0, prune=False)
    assert (found.value, found.folds_left) == (pytest.approx(np.mean(mases)), 0)
