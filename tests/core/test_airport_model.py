"""The airport's model as text: read back, it forecasts what its members did, weighted, and nothing in it is pickled."""

import json

import numpy as np
import pytest

from paxcast.core import airport_model, tuning
from paxcast.core.candidates.adjusted import AS_IT_IS, FittedAdjusted
from paxcast.core.candidates.given import Given
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.errors import FitFailed
from paxcast.core.space import parse_space
from paxcast.core.treatment import Rules
from paxcast.core.treatment.calendar_effects import effects_from, estimate
from paxcast.core.tuning import tune

HORIZON = 6
NAMES = (
    *("seasonal_naive", "random_walk", "seasonal_growth", "auto_ets_log", "auto_theta"),
    *("prophet", "anchored_prophet", "fleet_gbm"),
)
SPACE = parse_space({"anchor": {"uniform": [0, 1]}, "history_years": {"choice": [0, 4]}})
POINTS = ({"anchor": 0.3, "history_years": 4}, {"history_years": 4})


FRENCH = Rules(calendar="holidays", country="FR")
CASES = {
    "as it is": ("MS", 72, Rules(), "2012-11-01"),
    "months": ("MS", 72, FRENCH, "2012-11-01"),
    "weeks": ("W", 170, FRENCH, "2012-12-10"),
    "days": ("D", 380, FRENCH, "2012-11-01"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Frequency, periods, rules and the first period, which is before the opening."""
    return CASES[request.param]


@pytest.fixture(scope="module")
def tuned(case, make_past, growing, tuner):
    """An airport that opened late, with a slip and a gap, and grew."""
    frequency, periods, rules, start = case
    y = growing(periods, growth=1.1 if frequency == "MS" else 1.0, noise=0.05)
    y[[30, 40]] = [1e5, np.nan]
    past = make_past([0.0, 0.0, *y], frequency, start, rules)
    task = tuner.task(candidates=NAMES, space=SPACE, horizon=HORIZON)
    by_cutoff = {str(past.ds[n - 1])[:10]: np.arange(1.0, HORIZON + 1) + n for n in tuning.cutoffs(past, task)}
    candidates = {**CANDIDATES, "fleet_gbm": Given("fleet_gbm", by_cutoff)}
    return tune(past, task, candidates, tuner.grid(*POINTS))


@pytest.fixture(scope="module")
def kept(tuned):
    return json.loads(airport_model.as_text(tuned))


def forecasts(tuned) -> dict[str, np.ndarray]:
    return {e.specification.candidate: e.forecast for e in tuned.entrants}


@pytest.mark.parametrize("name", NAMES)
def test_each_member_read_back_forecasts_what_it_did(tuned, kept, name):
    found = airport_model.forecast(kept, {name: 1.0}, HORIZON)
    np.testing.assert_allclose(found, forecasts(tuned)[name], rtol=1e-9)


def test_the_forecast_is_the_members_weighted_one_in_whatever_order_the_weights_come(tuned, kept):
    weights = dict(zip(NAMES, (0.3, 0.05, 0.1, 0.15, 0.1, 0.1, 0.05, 0.15), strict=True))
    slow = sum(weight * forecasts(tuned)[name] for name, weight in weights.items())
    found = airport_model.forecast(kept, weights, HORIZON)
    np.testing.assert_allclose(found, slow, rtol=1e-9)
    turned = dict(reversed(list(weights.items())))
    assert airport_model.forecast(kept, turned, HORIZON).tolist() == found.tolist()


def test_a_shorter_and_a_longer_forecast_begin_alike(kept):
    weights = {"seasonal_naive": 0.5, "anchored_prophet": 0.5}
    shorter, longer = (airport_model.forecast(kept, weights, horizon) for horizon in (3, 20))
    np.testing.assert_allclose(longer[:3], shorter, rtol=1e-12)
    assert len(longer) == 20


def test_it_keeps_the_treated_history_and_of_each_member_its_parameters_and_only_prophets_as_fitted(case, tuned, kept):
    series = tuned.treated.series
    assert sorted(kept) == ["airport", "calendar", "ds", "first_ds", "frequency", "members", "y"]
    assert (kept["airport"], kept["frequency"], kept["first_ds"]) == ("ATL", case[0], str(series.ds[0])[:10])
    assert kept["ds"] == [str(d.date()) for d in series.next_periods(HORIZON)]
    assert tuned.treated.offset == 2
    assert kept["y"] == series.y.tolist()
    assert {name: m["parameters"] for name, m in kept["members"].items()} == {
        e.specification.candidate: e.specification.parameters for e in tuned.entrants
    }
    assert {name for name, m in kept["members"].items() if m["fitted"] is not None} == {
        *("prophet", "anchored_prophet", "fleet_gbm")
    }


def test_it_keeps_what_each_member_forecast_to_ten_digits(tuned, kept):
    for name, made in forecasts(tuned).items():
        assert kept["members"][name]["forecast"] == [float(f"{value:.10g}") for value in made]


def test_the_calendar_effects_are_kept_once_those_of_the_treated_history_or_none(case, tuned, kept):
    took_part = {e.specification.candidate: e.fitted for e in tuned.entrants if isinstance(e.fitted, FittedAdjusted)}
    if case[2].calendar == "none":
        assert (kept["calendar"], took_part) == (None, {})
        return
    effects = estimate(tuned.treated.series, case[2])
    assert effects_from(kept["calendar"]) == effects
    assert effects.coefficients
    assert set(took_part) == {name for name in NAMES if name not in AS_IT_IS}
    assert all(fitted.effects == effects for fitted in took_part.values())


def test_what_was_kept_before_there_were_calendar_effects_is_read_as_it_was_written(case, tuned, kept):
    before = {name: value for name, value in kept.items() if name != "calendar"}
    found = airport_model.forecast(before, {"auto_theta": 1.0}, HORIZON)
    asked = airport_model.forecast({**kept, "calendar": None}, {"auto_theta": 1.0}, HORIZON)
    assert found.tolist() == asked.tolist()
    if case[2].calendar == "none":
        np.testing.assert_allclose(found, forecasts(tuned)["auto_theta"], rtol=1e-9)


def test_every_member_is_bounded_by_zero_and_three_times_the_highest(tuned, kept):
    top = 3 * max(kept["y"])
    prophet = json.loads(kept["members"]["anchored_prophet"]["fitted"])
    for level, bound in ((1e9, top), (-1e9, 0.0)):
        text = json.dumps({**prophet, "level": level})
        member = {**kept["members"]["anchored_prophet"], "fitted": text}
        wild = {**kept, "members": {**kept["members"], "anchored_prophet": member}}
        assert airport_model.forecast(wild, {"anchored_prophet": 1.0}, HORIZON).tolist() == [bound] * HORIZON


def test_the_same_tuning_is_the_same_text_and_holds_nothing_but_json(tuned, kept):
    assert airport_model.as_text(tuned) == json.dumps(kept, sort_keys=True)


def test_a_member_that_cannot_be_fitted_any_more_is_told(kept):
    broken = {**kept, "y": kept["y"][:3]}
    with pytest.raises(FitFailed, match=r"^ATL: "):
        airport_model.forecast(broken, {"auto_ets_log": 1.0}, HORIZON)
