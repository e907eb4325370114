"""A candidate on a history without its calendar effects: divided before, multiplied after, and nothing known early."""

import math
import pickle
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from paxcast.core import candidate_files
from paxcast.core.candidates.adjusted import Adjusted, adjusted, ahead, without
from paxcast.core.candidates.given import Given
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.errors import FitFailed
from paxcast.core.folds import Fold
from paxcast.core.past import Past
from paxcast.core.series import Series
from paxcast.core.treatment import Raw, Rules
from paxcast.core.treatment.calendar_effects import Effects, estimate

AS_IT_CAME = {"shocks": (), "find_shocks": False, "outliers": False}
FRENCH = Rules(calendar="holidays", country="FR", **AS_IT_CAME)
STEPS = {"MS": "MS", "W": "7D", "D": "D"}
COUNTS = {"MS": 120, "W": 170, "D": 400}
STARTS = {"MS": "2004-02-01", "W": "2004-01-05", "D": "2004-02-01"}
BUDGET = {"seed": 7, "seconds": 60.0}
PROPHETS = ("prophet", "anchored_prophet")
TAKES_PART = ("seasonal_growth", "auto_ets_log", "auto_theta", "mstl", *PROPHETS)


def values(frequency: str = "MS", seed: int = 1) -> np.ndarray:
    at, rng = np.arange(COUNTS[frequency]), np.random.default_rng(seed)
    season = {"MS": 12, "W": 52, "D": 7}[frequency]
    days = pd.date_range(STARTS[frequency], periods=len(at), freq=STEPS[frequency])
    length = np.asarray(days.days_in_month) / 30 if frequency == "MS" else 1.0
    return 1000 * (1 + 0.004 * at) * (1 + 0.2 * np.sin(2 * np.pi * at / season)) * length * rng.normal(1, 0.03, len(at))


def series_of(y, frequency: str = "MS") -> Series:
    ds = pd.date_range(STARTS[frequency], periods=len(y), freq=STEPS[frequency])
    return Series("ATL", frequency, ds.to_numpy().astype("datetime64[ns]"), np.asarray(y, dtype=np.float64))


def past_of(y, frequency: str = "MS", rules: Rules = FRENCH) -> Past:
    series = series_of(y, frequency)
    return Past(Raw("ATL", frequency, series.ds, series.y), rules)


def factors(effects: Effects, ds) -> np.ndarray:
    """One period at a time."""
    return np.array([effects.factors(pd.DatetimeIndex([day]))[0] for day in ds])


# --- who takes part


@pytest.mark.parametrize("name", ["seasonal_naive", "random_walk", "zero_rule"])
def test_what_repeats_the_last_values_stays_as_it_is(name):
    assert adjusted(CANDIDATES[name], FRENCH) is CANDIDATES[name]


@pytest.mark.parametrize("name", candidate_files.GIVEN)
def test_what_was_given_has_its_effects_already(name):
    given = Given(name, {"2005-01-01": np.array([1.0, 2.0])})
    assert adjusted(given, FRENCH) is given


@pytest.mark.parametrize("name", TAKES_PART)
def test_without_a_calendar_a_candidate_stays_as_it_is_and_else_keeps_its_name_its_search_and_its_cost(name):
    candidate = CANDIDATES[name]
    assert adjusted(candidate, Rules()) is candidate
    made = adjusted(candidate, FRENCH)
    assert isinstance(made, Adjusted)
    assert (made.name, made.searched, made.cost) == (candidate.name, candidate.searched, candidate.cost)


# --- what it forecasts


@pytest.mark.parametrize("frequency", STEPS)
@pytest.mark.parametrize("name", TAKES_PART)
def test_a_forecast_is_that_of_the_divided_history_times_the_factors_of_its_own_periods(name, frequency):
    series = series_of(values(frequency), frequency)
    effects = estimate(series, FRENCH)
    divided = series_of(series.y / factors(effects, series.dates()), frequency)
    plain = CANDIDATES[name].fit(divided, {}, **BUDGET).forecast(20)
    found = adjusted(CANDIDATES[name], FRENCH).fit(series, {}, **BUDGET)
    np.testing.assert_allclose(found.forecast(20), plain * factors(effects, series.next_periods(20)), rtol=1e-9)
    assert found.effects == effects
    if frequency == "MS":
        assert not np.allclose(found.forecast(20), plain, rtol=1e-3)


def test_what_holds_but_for_the_length_of_months_is_forecast_to_the_day():
    """1,000 passengers a day, whatever the month: last year's days and leap years are not carried on."""
    days = pd.date_range("2004-03-01", periods=96, freq="MS").days_in_month
    ds = pd.date_range("2004-03-01", periods=96, freq="MS").to_numpy().astype("datetime64[ns]")
    series = Series("ATL", "MS", ds, 1000.0 * np.asarray(days))
    made = adjusted(CANDIDATES["seasonal_growth"], Rules(calendar="weekdays")).fit(series, {}, **BUDGET).forecast(12)
    np.testing.assert_allclose(made, 1000 * np.array([31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31, 28]), rtol=1e-9)


def test_the_history_itself_is_left_alone_and_keeps_its_dates():
    series = series_of(values())
    before = series.y.copy()
    divided = without(series, estimate(series, FRENCH))
    divided.y[:] = 0.0
    adjusted(CANDIDATES["auto_theta"], FRENCH).fit(series, {}, **BUDGET)
    assert series.y.tolist() == before.tolist()
    assert (divided.airport, divided.frequency, divided.ds.tolist()) == ("ATL", "MS", series.ds.tolist())


@pytest.mark.parametrize("frequency", STEPS)
def test_divided_and_multiplied_again_a_history_is_what_it_was(frequency):
    series = series_of(values(frequency), frequency)
    effects = estimate(series, FRENCH)
    again = without(series, effects).y * effects.factors(series.dates())
    np.testing.assert_allclose(again, series.y, rtol=1e-12)
    assert ahead(effects, series.dates()[-1], 0).tolist() == []


@pytest.mark.parametrize("frequency", STEPS)
@pytest.mark.parametrize("name", ["seasonal_growth", "auto_ets_log", "anchored_prophet"])
def test_another_unit_of_traffic_is_another_unit_of_the_forecast(name, frequency):
    one, other = (
        adjusted(CANDIDATES[name], FRENCH).fit(series_of(unit * values(frequency), frequency), {}, **BUDGET)
        for unit in (1.0, 1000.0)
    )
    np.testing.assert_allclose(other.forecast(9) / 1000, one.forecast(9), rtol=1e-9)


@pytest.mark.parametrize("frequency", STEPS)
@pytest.mark.parametrize("name", ["seasonal_growth", "auto_ets_log", "auto_theta", "mstl", "window_average"])
@pytest.mark.parametrize("odd", ["zeros", "constant", "one", "opened now"])
def test_an_odd_history_gives_numbers_or_a_failed_fit(name, frequency, odd):
    count = COUNTS[frequency]
    y = {
        "zeros": np.zeros(count),
        "constant": np.full(count, 7.0),
        "one": [5.0],
        "opened now": np.arange(count) // (count - 1) * 1e5,
    }[odd]
    try:
        found = adjusted(CANDIDATES[name], FRENCH).fit(series_of(y, frequency), {}, **BUDGET).forecast(15)
    except FitFailed as err:
        assert str(err).startswith("ATL: ")  # noqa: PT017 - either way is right
        assert name not in ("seasonal_growth", "window_average")  # these never fail
        return
    assert np.isfinite(found).all()
    if odd == "zeros":
        assert found.tolist() == [0.0] * 15


def test_an_empty_history_is_a_failed_fit():
    with pytest.raises(FitFailed, match=r"^ATL: "):
        adjusted(CANDIDATES["seasonal_growth"], FRENCH).fit(series_of([]), {}, **BUDGET)


def test_its_text_is_that_of_the_candidate_on_the_divided_history():
    series = series_of(values())
    divided = without(series, estimate(series, FRENCH))
    made = adjusted(CANDIDATES["auto_theta"], FRENCH).fit(series, {}, **BUDGET)
    plain = CANDIDATES["auto_theta"].fit(divided, {}, **BUDGET)
    assert (made.to_json(), made.fitted_by) == (plain.to_json(), plain.fitted_by)


# --- folds


FOLDS = {"MS": ((60, 12), (100, 6)), "W": ((120, 13), (150, 5)), "D": ((200, 28), (380, 7))}


@pytest.mark.parametrize("frequency", STEPS)
@pytest.mark.parametrize("name", TAKES_PART)
def test_a_fold_is_forecast_as_the_history_before_it_is(name, frequency):
    past, candidate = past_of(values(frequency), frequency), adjusted(CANDIDATES[name], FRENCH)
    evaluator = candidate.prepare(past, **BUDGET)
    for cutoff, horizon in FOLDS[frequency]:
        fold = Fold(cutoff, horizon, "recent")
        slow = candidate.fit(past.head(cutoff), {}, **BUDGET).forecast(horizon)
        found = evaluator.forecast({}, fold)
        assert found.shape == (horizon,)
        if name in PROPHETS:  # two engines, one optimum
            np.testing.assert_allclose(found, slow, rtol=2e-3)
        else:
            assert found.tolist() == slow.tolist()
        assert evaluator.fitted_by({}, fold) == CANDIDATES[name].prepare(past, **BUDGET).fitted_by({}, fold)


@pytest.mark.parametrize("frequency", STEPS)
@pytest.mark.parametrize("name", ["seasonal_growth", "auto_ets_log", "anchored_prophet"])
def test_nothing_after_a_folds_cutoff_moves_its_forecast(name, frequency):
    y, later = values(frequency), values(frequency)
    cutoff, horizon = FOLDS[frequency][0]
    later[cutoff:] = np.random.default_rng(5).uniform(0, 1e5, len(y) - cutoff)
    fold, candidate = Fold(cutoff, horizon, "recent"), adjusted(CANDIDATES[name], FRENCH)
    evaluators = [candidate.prepare(past_of(some, frequency), **BUDGET) for some in (y, later)]
    evaluators[1].forecast({}, Fold(*FOLDS[frequency][1], "recent"))  # what was asked for before is of no account
    one, other = (evaluator.forecast({}, fold) for evaluator in evaluators)
    assert one.tolist() == other.tolist()


def test_each_fold_has_the_effects_that_its_own_past_shows():
    past = past_of(values())
    view = adjusted(CANDIDATES["seasonal_growth"], FRENCH).prepare(past, **BUDGET).history
    coefficients = []
    for cutoff, horizon in FOLDS["MS"]:
        effects = estimate(past.head(cutoff), FRENCH)
        slow = factors(effects, past.head(cutoff).next_periods(horizon))
        np.testing.assert_allclose(view.ahead(cutoff, horizon), slow, rtol=1e-12)
        np.testing.assert_array_equal(view.head(cutoff).y, without(past.head(cutoff), effects).y)
        coefficients.append(effects.coefficients["rest"])
    assert coefficients[0] != coefficients[1]
    assert (view.airport, view.frequency, view.ds.tolist()) == ("ATL", "MS", past.ds.tolist())


def test_a_history_that_begins_later_before_some_cutoffs_has_the_factors_of_its_own_periods():
    y = np.concatenate([np.zeros(30), values()[30:]])
    y[60:70] = np.nan  # too long a gap: from some cutoff on only the part after it is used
    past = past_of(y, rules=Rules(calendar="holidays", country="FR", shortest=12, **AS_IT_CAME))
    candidate = adjusted(CANDIDATES["seasonal_growth"], past.rules)
    evaluator = candidate.prepare(past, **BUDGET)
    begun = set()
    for cutoff in (58, 84, 110):
        begun.add(str(past.head(cutoff).ds[0]))
        slow = candidate.fit(past.head(cutoff), {}, **BUDGET).forecast(6)
        assert evaluator.forecast({}, Fold(cutoff, 6, "recent")).tolist() == slow.tolist()
    assert len(begun) == 2


@pytest.mark.parametrize("name", ["auto_theta", "anchored_prophet"])
def test_it_survives_the_way_to_a_worker(name):
    fold = Fold(100, 12, "recent")
    candidate = pickle.loads(pickle.dumps(adjusted(CANDIDATES[name], FRENCH)))
    evaluator = candidate.prepare(past_of(values()), **BUDGET)
    fresh = pickle.loads(pickle.dumps(evaluator))
    made = evaluator.forecast({}, fold)
    assert fresh.forecast({}, fold).tolist() == made.tolist()
    assert pickle.loads(pickle.dumps(evaluator)).forecast({}, fold).tolist() == made.tolist()


@dataclass(frozen=True)
class Spy:
    """Forecasts ones, and tells what it was fitted on."""

    seen: list[Series]
    name: str = "spy"
    searched: tuple[str, ...] = ("factor",)
    cost: float = 0.5
    fitted_by: str = "by hand"

    def fit(self, series, parameters, *, seed, seconds):
        self.seen.append(series)
        assert (seed, seconds, parameters) == (7, 60.0, {"factor": 2})
        return self

    def forecast(self, horizon):
        return np.ones(horizon)

    def to_json(self):
        return "{}"


def test_parameters_seed_and_seconds_are_handed_on_and_the_unit_is_the_factors():
    spy, series = Spy([]), series_of(values())
    found = adjusted(spy, FRENCH).fit(series, {"factor": 2}, **BUDGET).forecast(24)
    (seen,) = spy.seen
    np.testing.assert_allclose(series.y / seen.y, factors(estimate(series, FRENCH), series.dates()), rtol=1e-12)
    february = [day.month for day in series.next_periods(24)].index(2)
    assert math.log(found[february]) == pytest.approx(math.log(28 / 30.4375), abs=0.03)
