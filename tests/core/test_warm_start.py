"""Where a search begins: the middle of what the fleet chose, for each candidate."""

from statistics import median_low

from hypothesis import given
from hypothesis import strategies as st

from paxcast.core.warm_start import fleet_best

MODES = st.sampled_from(["additive", "multiplicative"])
CHOSEN = st.lists(st.tuples(MODES, st.floats(0.001, 0.5), st.integers(0, 25)), min_size=1, max_size=9)


def parameters(mode: str, scale: float, many: int) -> dict:
    return {"seasonality_mode": mode, "changepoint_prior_scale": scale, "n_changepoints": many}


@given(CHOSEN, st.randoms())
def test_the_fleets_best_is_the_lower_median_of_each_number_and_the_commonest_word_in_any_order(chosen, random):
    champions = [{"prophet": parameters(*c), "seasonal_naive": {}} for c in chosen]
    best = fleet_best(champions)
    words = [c[0] for c in chosen]
    assert best == {
        "prophet": {
            "changepoint_prior_scale": median_low(c[1] for c in chosen),
            "n_changepoints": median_low(c[2] for c in chosen),
            "seasonality_mode": max(sorted(set(words)), key=words.count),
        }
    }
    random.shuffle(champions)
    assert fleet_best(champions) == best


def test_only_airports_that_have_a_candidate_count_for_it_and_each_candidate_has_its_own_middle():
    one, two, three = (parameters("additive", scale, 5) for scale in (0.1, 0.2, 0.3))
    champions = [
        {"prophet": one, "anchored_prophet": three},
        {"anchored_prophet": two, "prophet": {}},
        {"seasonal_naive": {}},
        {},
    ]
    assert fleet_best(champions) == {"anchored_prophet": two, "prophet": one}
    assert list(fleet_best(champions)) == ["anchored_prophet", "prophet"]


def test_without_any_parameters_there_is_no_point():
    assert fleet_best([]) == {}
    assert fleet_best([{}, {"seasonal_naive": {}}]) == {}


def test_a_parameter_that_not_all_have_is_left_out():
    champions = [{"prophet": parameters("additive", 0.1, 5)}, {"prophet": {"seasonality_mode": "additive"}}]
    assert fleet_best(champions) == {"prophet": {"seasonality_mode": "additive"}}
