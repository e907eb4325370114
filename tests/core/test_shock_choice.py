"""How shocks are passed at one airport, chosen by folds that can tell."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pytest

from paxcast.core import evaluation, shock_choice
from paxcast.core.candidates import Refitting
from paxcast.core.errors import FitFailed
from paxcast.core.folds import Fold
from paxcast.core.past import Past
from paxcast.core.treatment import Rules, Shock
from paxcast.core.tuning import tune

PERIODS, HORIZON = 120, 6
DIP = Shock(date(2014, 1, 1), date(2015, 6, 30), "a dip")
RULES = Rules(shocks=(DIP,), find_shocks=False, outliers=False, shock_mode="choose")
INSIDE = slice(48, 66)


@dataclass(frozen=True)
class _FittedMean:
    mean: np.ndarray
    fitted_by: str = "by hand"

    def forecast(self, horizon: int) -> np.ndarray:
        return np.resize(self.mean, horizon)

    def to_json(self) -> str:
        return "{}"


@dataclass(frozen=True)
class Mean:
    """Each month's mean over all years: what a shock was passed with stays in it for ever."""

    name: str = "seasonal_growth"
    searched: tuple[str, ...] = ()
    cost: float = 0.0

    def fit(self, series, parameters, *, seed, seconds) -> _FittedMean:
        if series.y.max() > 1e6:
            raise FitFailed(f"{series.airport}: too much for it")
        months = len(series.y) % 12
        return _FittedMean(np.array([series.y[(months + m) % 12 :: 12].mean() for m in range(12)]))

    def prepare(self, history, *, seed, seconds) -> Refitting:
        return Refitting(self, history, seed, seconds)


def season(periods: int = PERIODS) -> np.ndarray:
    return 1000 + 300 * np.sin(2 * np.pi * np.arange(periods) / 12)


@pytest.fixture
def dipped(make_past):
    y = season()
    y[INSIDE] *= 0.3
    return make_past(y, rules=RULES)


def stepped(make_past, inside: float) -> Past:
    """Traffic that was half as high before a "shock", and what looked like one was the new level, about."""
    y = season()
    y[:48] *= 0.5
    y[INSIDE] *= inside
    return make_past(y, rules=RULES)


def folds(past: Past, *cutoffs: int):
    counts = np.ones(len(past.ds), dtype=np.bool_)
    return evaluation.windows(past, [Fold(c, HORIZON, "recent") for c in cutoffs], past.raw.y, counts)


def settled(past: Past, *cutoffs: int, judges=(Mean(),)):
    until = len(past.ds) - HORIZON
    return shock_choice.settled(past, until, folds(past, *cutoffs), {j.name: j for j in judges}, 1, 60.0)


def error_by_hand(past: Past, mode: str, cutoffs) -> float:
    """The judge's mean scaled error under one mode, fold by fold."""
    found = []
    for window in folds(past, *cutoffs):
        series = Past(past.raw, replace(past.rules, shock_mode=mode)).head(window.fold.cutoff)
        made = Mean().fit(series, {}, seed=1, seconds=1).forecast(HORIZON)
        found.append(np.mean(np.abs(made - window.actual)) / window.scale)
    return float(np.mean(found))


def test_a_dip_is_bridged_where_kept_it_pulls_forecasts_down(dipped):
    past, (told,) = settled(dipped, 84, 96, 108)
    assert past.rules.shock_mode == "bridge"
    errors = {mode: error_by_hand(dipped, mode, (84, 96, 108)) for mode in ("bridge", "event", "keep")}
    assert errors["keep"] > 2 * errors["bridge"]
    said = ", ".join(f"{mode} {error:.3f}" for mode, error in errors.items())
    assert (told.what, told.how, told.name) == ("shock_mode", f"bridge; MASE in 3 folds: {said}", "a dip")


def test_what_forecasts_clearly_better_kept_is_kept(make_past):
    past = stepped(make_past, inside=1.05)
    bridge, keep = (error_by_hand(past, mode, (90, 102, 114)) for mode in ("bridge", "keep"))
    assert keep < 0.9 * bridge
    assert settled(past, 90, 102, 114)[0].rules.shock_mode == "keep"


def test_what_is_better_but_not_clearly_is_not_chosen(make_past):
    past = stepped(make_past, inside=0.8)
    bridge, keep = (error_by_hand(past, mode, (90, 102, 114)) for mode in ("bridge", "keep"))
    assert 0.9 * bridge < keep < bridge
    assert settled(past, 90, 102, 114)[0].rules.shock_mode == "bridge"


def test_folds_that_do_not_train_on_the_shock_tell_nothing_and_it_is_bridged(dipped):
    past, told = settled(dipped, 36, 42, 84)
    assert (past.rules.shock_mode, told) == ("bridge", ())
    past, told = settled(dipped, 36, 42, 84, 96)
    assert len(told) == 1
    assert "in 2 folds" in told[0].how


def test_without_a_shock_or_a_judge_there_is_no_choice(dipped, make_past):
    assert settled(make_past(season(), rules=RULES), 84, 96)[1] == ()
    assert settled(dipped, 84, 96, judges=())[1] == ()
    assert settled(dipped, 84, 96, judges=(replace(Mean(), name="another"),))[1] == ()


def test_a_judge_that_cannot_be_fitted_is_not_asked(make_past):
    y = season() * 1e4
    y[INSIDE] *= 0.3
    past, told = settled(make_past(y, rules=RULES), 84, 96)
    assert (past.rules.shock_mode, told) == ("bridge", ())


@pytest.mark.parametrize("mode", ["bridge", "event", "keep"])
def test_a_mode_that_was_stated_is_not_chosen(dipped, mode):
    past = Past(dipped.raw, replace(RULES, shock_mode=mode))
    assert settled(past, 84, 96) == (past, ())


def test_a_shock_within_the_test_window_chooses_nothing(make_past, tuner):
    """Seen from the end it is the newest shock, and no fold trains on it."""
    strike = Shock(date(2019, 8, 1), date(2019, 10, 31), "a strike")
    y = season()
    y[:48] *= 0.5
    y[INSIDE] *= 1.05
    struck = np.where((np.arange(PERIODS) >= 115) & (np.arange(PERIODS) < 118), 0.1 * y, y)
    task = tuner.task(candidates=("seasonal_growth",), recent_folds=4, earlier_year_folds=0)
    made = []
    for values in (y, struck):
        past = make_past(values, rules=replace(RULES, shocks=(DIP, strike)))
        made.append(tune(past, task, tuner.candidates(Mean()), tuner.grid()))
    one, two = ([step for step in tuned.treated.steps if step.what == "shock_mode"] for tuned in made)
    assert one == two
    assert one[0].how.startswith("keep; MASE in ")
    for a, b in zip(made[0].entrants, made[1].entrants, strict=True):
        np.testing.assert_array_equal(a.folds, b.folds)
        np.testing.assert_array_equal(a.test, b.test)


def test_what_was_chosen_is_read_back_from_the_steps_of_an_outcome(make_past):
    told = settled(stepped(make_past, inside=1.05), 90, 102, 114)[1]
    before = {"what": "shock", "how": "bridged"}
    assert shock_choice.recorded([before, *(step.as_json() for step in told)]) == "keep"
    assert shock_choice.recorded([before]) is None


def test_tuning_trains_on_the_way_that_was_chosen_and_has_it_on_record(dipped, tuner):
    candidates = tuner.candidates(Mean())
    task = tuner.task(candidates=("seasonal_naive", "seasonal_growth"), recent_folds=3, earlier_year_folds=0)
    tuned = tune(dipped, task, candidates, tuner.grid())
    (told,) = [step for step in tuned.treated.steps if step.what == "shock_mode"]
    assert told.how.startswith("bridge; MASE in 3 folds")
    stated = Past(dipped.raw, replace(RULES, shock_mode="bridge"))
    expected = tune(stated, task, candidates, tuner.grid())
    for one, other in zip(tuned.entrants, expected.entrants, strict=True):
        np.testing.assert_array_equal(one.folds, other.folds)
        np.testing.assert_array_equal(one.forecast, other.forecast)
