"""How specifications are scored in folds: fitted on the past alone, all in the same unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core import evaluation
from paxcast.core.candidates import Refitting
from paxcast.core.candidates.seasonal_naive import SeasonalNaive
from paxcast.core.errors import FitFailed
from paxcast.core.evaluation import FoldsLoss, Window, fold_scale, level, most, publishable
from paxcast.core.folds import Fold

SETTINGS = settings(max_examples=40, deadline=None)
FOLDS = (Fold(24, 6, "same_season"), Fold(36, 6, "recent"), Fold(30, 6, "recent"))


class Recording:
    """Remembers what it was fitted on, and forecasts minus one."""

    name, searched, cost, fitted_by = "recording", (), 0.0, ""

    def __init__(self) -> None:
        self.seen: list[tuple] = []

    def fit(self, series, parameters, *, seed, seconds):
        self.seen.append((series.y.tolist(), series.ds[-1], parameters, seed, seconds))
        return self

    def forecast(self, horizon):
        return np.full(horizon, -1.0)

    def prepare(self, history, *, seed, seconds):
        return Refitting(self, history, seed, seconds)


def windows(series, folds=FOLDS, counts=None) -> tuple[Window, ...]:
    return evaluation.windows(series, folds, series.y, np.ones(len(series.y), bool) if counts is None else counts)


def forecasts(candidate, series, found, parameters=None):
    return evaluation.forecasts(candidate.prepare(series, seed=3, seconds=9), parameters or {}, found)


def test_a_fold_is_fitted_on_what_came_before_it_and_on_nothing_else(make_series):
    candidate, series = Recording(), make_series(range(48))
    forecasts(candidate, series, windows(series), {"a": 1})
    expected = [(list(range(fold.cutoff)), series.ds[fold.cutoff - 1], {"a": 1}, 3, 9) for fold in FOLDS]
    assert candidate.seen == expected


def test_windows_come_in_the_order_of_the_folds_with_the_values_that_followed(make_series):
    found = windows(make_series(range(48)))
    assert [w.fold for w in found] == list(FOLDS)
    assert [w.actual.tolist() for w in found] == [list(range(f.cutoff, f.cutoff + 6)) for f in FOLDS]


def test_a_window_knows_the_level_and_the_most_of_its_own_past(make_series):
    y = np.random.default_rng(1).uniform(10, 90, 48)
    for window in windows(make_series(y)):
        before = y[: window.fold.cutoff]
        assert window.most == 3 * max(before)
        assert window.level == pytest.approx(sum(before[-12:]) / 12)


def test_most_and_level_of_a_history_shorter_than_a_season_are_those_of_all_of_it(make_series):
    series = make_series([1.0, 5.0, 3.0])
    assert (most(series), level(series)) == (15.0, 3.0)


@pytest.mark.parametrize(("code", "over"), [("D", 28), ("W", 52), ("MS", 12)])
@pytest.mark.parametrize("periods", [5, 27, 28, 200])
def test_the_level_is_the_mean_of_a_whole_year_of_months_or_weeks_and_of_four_weeks_of_days(
    make_series, code, over, periods
):
    y = np.random.default_rng(1).uniform(10, 90, periods)
    newest = [y[-i] for i in range(1, periods + 1) if i <= over]
    assert level(make_series(y, code)) == pytest.approx(sum(newest) / len(newest))


def test_of_a_daily_airport_a_closed_week_leaves_a_level_before_and_in_its_windows(make_series):
    y = np.full(100, 100.0)
    y[93:] = y[53:60] = 0.0
    series = make_series(y, "D")
    assert level(series) == 75.0
    assert [w.level for w in windows(series, (Fold(60, 6, "recent"), Fold(53, 6, "recent")))] == [75.0, 100.0]


def test_a_forecast_is_judged_as_it_would_be_published_within_zero_and_the_most(make_series):
    series = make_series(range(48))
    assert forecasts(Recording(), series, windows(series)[:1]).tolist() == [[0.0] * 6]
    assert publishable(np.array([-3.0, 0.0, 2.5, 9.0]), 4.0).tolist() == [0.0, 0.0, 2.5, 4.0]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_forecast_with_a_value_that_is_no_finite_number_is_none_at_all(wrong):
    assert np.isnan(publishable(np.array([1.0, wrong, 2.0]), 4.0)).tolist() == [True] * 3


@SETTINGS
@given(st.lists(st.floats(0, 1e6), min_size=48, max_size=48))
def test_seasonal_naive_has_the_error_that_a_loop_finds_in_units_of_its_own_past_error(make_series, values):
    series = make_series(values)
    found = windows(series)
    for window, forecast in zip(found, forecasts(SeasonalNaive(), series, found), strict=True):
        cutoff = window.fold.cutoff
        errors = [abs(values[cutoff + i] - values[cutoff + i - 12]) for i in range(6)]
        past = [abs(values[i] - values[i - 12]) for i in range(12, cutoff)]
        unit = sum(past) / len(past) or sum(values[:cutoff]) / cutoff or 1.0
        assert window.mase(forecast) == pytest.approx(sum(errors) / 6 / unit)


def test_all_methods_are_measured_in_the_same_unit_in_a_fold(make_series):
    series = make_series(np.random.default_rng(1).uniform(10, 90, 48))
    found = windows(series)
    naive, other = forecasts(SeasonalNaive(), series, found), forecasts(Recording(), series, found)
    for window, one, two in zip(found, naive, other, strict=True):
        ratio = np.abs(window.actual - one).mean() / np.abs(window.actual - two).mean()
        assert window.mase(one) / window.mase(two) == pytest.approx(ratio)


@SETTINGS
@given(st.lists(st.booleans(), min_size=48, max_size=48))
def test_only_what_counts_is_compared_and_a_fold_of_which_less_than_a_third_does_is_left_out(make_series, flags):
    series, counts = make_series(np.random.default_rng(1).uniform(10, 90, 48)), np.array(flags)
    found = windows(series, counts=counts)
    assert [w.fold for w in found] == [f for f in FOLDS if sum(flags[f.cutoff : f.cutoff + 6]) >= 2]
    for window in found:
        at = [i for i in range(6) if flags[window.fold.cutoff + i]]
        error = sum(abs(series.y[window.fold.cutoff + i] - 50.0) for i in at) / len(at)
        assert window.mase(np.full(6, 50.0)) == pytest.approx(error / window.scale)


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
    series = make_series(range(48))
    with pytest.raises(FitFailed, match="ATL: broken by design"):
        forecasts(tuner.Broken(), series, windows(series))


# --- what a search minimises


def loss(tuner, make_series, factor: float, best: float, prune: bool = True):
    series = make_series(100 + np.arange(48.0) + 30 * np.sin(np.arange(48.0)))
    evaluator = tuner.Scaled().prepare(series, seed=0, seconds=1)
    found = windows(series)
    made = evaluation.forecasts(evaluator, {"factor": factor}, found)
    mases = [w.mase(f) for w, f in zip(found, made, strict=True)]
    return FoldsLoss(evaluator, found, prune)({"factor": factor}, best), mases


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


@pytest.mark.parametrize(("share", "left"), [(1 - 1e-9, 2), (1 + 1e-9, 1)])
def test_the_edge_is_where_perfect_folds_would_make_it_as_good(make_series, tuner, share, left):
    _, mases = loss(tuner, make_series, 0.5, best=np.inf)
    assert mases[1] > 1e-6
    assert loss(tuner, make_series, 0.5, best=share * mases[0] / 3)[0].folds_left == left


def test_without_pruning_every_fold_is_done(make_series, tuner):
    found, mases = loss(tuner, make_series, 2.0, best=0.0, prune=False)
    assert (found.value, found.folds_left) == (pytest.approx(np.mean(mases)), 0)
