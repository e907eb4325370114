"""Where a search begins: the middle of what the fleet chose."""

from statistics import median_low

from hypothesis import given
from hypothesis import strategies as st

from paxcast.core.candidates import Specification
from paxcast.core.warm_start import fleet_best

MODES = st.sampled_from(["additive", "multiplicative"])
CHOSEN = st.lists(st.tuples(MODES, st.floats(0.001, 0.5), st.integers(0, 25)), min_size=1, max_size=9)


def specification(mode: str, scale: float, many: int, candidate: str = "prophet") -> Specification:
    parameters = {"seasonality_mode": mode, "changepoint_prior_scale": scale, "n_changepoints": many}
    return Specification(candidate, parameters)


@given(CHOSEN, st.randoms())
def test_the_fleets_best_is_the_lower_median_of_each_number_and_the_commonest_word_in_any_order(chosen, random):
    champions = [specification(*c) for c in chosen]
    best = fleet_best(champions, "prophet")
    words = [c[0] for c in chosen]
    assert best.parameters == {
        "changepoint_prior_scale": median_low(c[1] for c in chosen),
        "n_changepoints": median_low(c[2] for c in chosen),
        "seasonality_mode": max(sorted(set(words)), key=words.count),
    }
    random.shuffle(champions)
    assert fleet_best(champions, "prophet") == best


def test_only_airports_that_chose_the_candidate_count_and_without_any_there_is_no_point():
    champions = [specification("additive", 0.1, 5), Specification("seasonal_naive", {})]
    assert fleet_best(champions, "prophet") == champions[0]
    assert fleet_best(champions[1:], "prophet") is None
    assert fleet_best([], "prophet") is None


def test_a_parameter_that_not_all_have_is_left_out():
    champions = [specification("additive", 0.1, 5), Specification("prophet", {"seasonality_mode": "additive"})]
    assert fleet_best(champions, "prophet").parameters == {"seasonality_mode": "additive"}
