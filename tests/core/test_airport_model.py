"""The airport's model as text: read back, it forecasts what its members did, weighted, and nothing in it is pickled."""

import json

import numpy as np
import pytest

from paxcast.core import airport_model
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.errors import FitFailed
from paxcast.core.space import parse_space
from paxcast.core.treatment import Rules
from paxcast.core.tuning import tune

HORIZON = 6
NAMES = ("seasonal_naive", "seasonal_growth", "auto_ets_log", "auto_theta", "prophet", "anchored_prophet")
SPACE = parse_space({"anchor": {"uniform": [0, 1]}, "history_years": {"choice": [0, 4]}})
POINTS = ({"anchor": 0.3, "history_years": 4}, {"history_years": 4})


@pytest.fixture(scope="module")
def tuned(make_past, growing, tuner):
    """An airport that opened late, with a slip and a gap, and grew."""
    y = growing(72, growth=1.1, noise=0.05)
    y[[30, 40]] = [1e5, np.nan]
    past = make_past([0.0, 0.0, *y], rules=Rules(), start="2012-11-01")
    task = tuner.task(candidates=NAMES, space=SPACE, horizon=HORIZON)
    return tune(past, task, CANDIDATES, tuner.grid(*POINTS))


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
    weights = dict(zip(NAMES, (0.3, 0.05, 0.1, 0.25, 0.1, 0.2), strict=True))
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


def test_it_keeps_the_treated_history_and_of_each_member_its_parameters_and_only_prophets_as_fitted(tuned, kept):
    series = tuned.treated.series
    assert sorted(kept) == ["airport", "first_ds", "frequency", "members", "y"]
    assert (kept["airport"], kept["frequency"], kept["first_ds"]) == ("ATL", "MS", "2013-01-01")
    assert kept["y"] == series.y.tolist()
    assert {name: m["parameters"] for name, m in kept["members"].items()} == {
        e.specification.candidate: e.specification.parameters for e in tuned.entrants
    }
    assert {name for name, m in kept["members"].items() if m["fitted"] is not None} == {"prophet", "anchored_prophet"}


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
