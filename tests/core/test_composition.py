"""From candidates' forecasts to what is published: the fleet's rule, the gate, what was missed."""

from dataclasses import replace

import numpy as np
import pytest

from paxcast.core import combination, composition, intervals
from paxcast.core.combination import RULES, FoldForecasts
from paxcast.core.composition import CLEARLY, Evaluation, alone, compose, fleet_rule, missed, told_from_luck

H = 6


def airport(
    sizes: tuple[float, ...] = (3.0, 1.0, 2.0), count: int = 4, seed: int = 1, *, test: bool = True
) -> Evaluation:
    """Seasonal naive and others, each of which misses traffic of about 100 by its size."""
    rng = np.random.default_rng(seed)
    actual = 100 + rng.normal(0, 10, (count, H))
    unit = np.array(sizes)[:, None, None]
    then = 100 + rng.normal(0, 10, H)
    return Evaluation(
        candidates=("seasonal_naive", *[f"other{m}" for m in range(1, len(sizes))]),
        competes=np.array([True] * len(sizes)),
        folds=FoldForecasts(
            actual + unit * rng.normal(0, 1, (len(sizes), count, H)),
            actual,
            np.full(count, 5.0),
            np.ones((count, H), dtype=bool),
        ),
        test=then + unit[:, 0] * rng.normal(0, 1, (len(sizes), H)) if test else None,
        test_actual=then if test else None,
        test_counts=np.ones(H, dtype=bool) if test else None,
        test_scale=5.0 if test else None,
        forecast=100 + unit[:, 0] * rng.normal(0, 1, (len(sizes), H)),
        level=100.0,
        window_levels=np.full(count + test, 90.0),
        changes=np.empty((0, H)),
    )


def short() -> Evaluation:
    """An airport without folds: seasonal naive alone, with its past changes."""
    one = airport(sizes=(3.0,), test=False)
    return replace(one, folds=None, window_levels=np.empty(0), changes=np.arange(12.0).reshape(2, H))


def test_what_is_published_is_the_rules_weighted_mean() -> None:
    one = airport()
    made = compose(one, "inverse_square")
    assert one.folds is not None
    weights = combination.inverse_square(one.folds)
    assert made.weights == pytest.approx(dict(zip(one.candidates, weights, strict=True)))
    np.testing.assert_allclose(made.forecast, weights @ one.forecast)
    assert made.test is not None
    np.testing.assert_allclose(made.test, weights @ one.test)
    assert made.method == "combination"
    assert not made.gated


def test_its_error_in_the_folds_is_that_of_weights_which_had_not_seen_them() -> None:
    one = airport()
    made = compose(one, "best_three")
    unseen = combination.cross_fitted("best_three", one.folds)
    np.testing.assert_array_equal(made.folds, unseen)
    errors = [np.mean(abs(unseen[k] - one.folds.actual[k])) / one.folds.scale[k] for k in range(4)]
    assert made.cv_mase == pytest.approx(np.mean(errors))
    assert made.cv_mase_naive == pytest.approx(one.folds.errors()[0].mean())


def test_a_combination_that_did_worse_than_seasonal_naive_is_not_published_and_the_reason_says_so() -> None:
    one = airport(sizes=(0.1, 30.0, 40.0))
    one = replace(one, competes=np.array([False, True, True]))
    made = compose(one, "best")
    assert made.gated
    assert made.method == "seasonal_naive"
    np.testing.assert_array_equal(made.forecast, one.forecast[0])
    assert made.cv_mase == made.cv_mase_naive
    assert "seasonal naive is published" in made.reason


def torn(wrong: float, seed: int = 1) -> Evaluation:
    """Seasonal naive, one member that is right, and one that misses all by so much; few can be told apart."""
    one = airport(sizes=(3.0, 1.0, 1.0), seed=seed)
    one.folds.forecast[2] += wrong
    return one


def passes(one: Evaluation, weights: np.ndarray) -> bool:
    """Fold by fold: neither the mean nor the product of the errors is above seasonal naive's."""
    errors, limits = [], []
    for k in range(len(one.folds.scale)):
        made = sum(w * f for w, f in zip(weights, one.folds.forecast[:, k], strict=True))
        errors.append(np.mean(abs(made - one.folds.actual[k])) / one.folds.scale[k])
        limits.append(np.mean(abs(one.folds.forecast[0, k] - one.folds.actual[k])) / one.folds.scale[k])
    return sum(errors) <= sum(limits) and np.prod(errors) <= np.prod(limits) * (1 + 1e-9)


@pytest.mark.parametrize("wrong", [0.0, 6.0, 7.0, 8.0, 10.0, 20.0, 100.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_a_combination_that_does_not_pass_as_many_eighths_are_published_as_do(wrong: float, seed: int) -> None:
    one = torn(wrong, seed)
    every = combination.best_three(one.folds)
    sound = [m for m in range(3) if passes(one, np.eye(3)[m])]
    rest = np.zeros(3)
    rest[sound] = 1 / len(sound)
    rest = rest if passes(one, rest) else np.eye(3)[0]
    step = next((k for k in range(8, -1, -1) if passes(one, k / 8 * every + (1 - k / 8) * rest)), 0)
    expected = step / 8 * every + (1 - step / 8) * rest
    made = compose(one, "best_three")
    assert made.weights == pytest.approx({c: w for c, w in zip(one.candidates, expected, strict=True) if w > 0})
    np.testing.assert_allclose(made.forecast, expected @ one.forecast)
    others = one.folds.forecast[0]
    if rest[0] < 1:
        others = combination.cross_fitted("best_three", one.folds.of(np.isin(range(3), sound)))
    unseen = step / 8 * combination.cross_fitted("best_three", one.folds) + (1 - step / 8) * others
    np.testing.assert_allclose(made.folds, unseen)


def test_that_goes_from_all_over_parts_to_none() -> None:
    told = [compose(torn(wrong), "best_three").reason.split(":")[0] for wrong in (0.0, 6.0, 7.0, 8.0, 10.0, 20.0)]
    assert told[0] == "best_three"
    assert len({text for text in told if "of 8 parts of all" in text}) >= 2


def test_a_method_that_is_better_in_one_hard_fold_and_worse_in_all_others_is_not_published() -> None:
    one = airport(sizes=(1.0, 1.0), seed=4)
    one.folds.forecast[0, 0] = one.folds.actual[0] + 60.0
    one.folds.forecast[1] = one.folds.actual + 3.0
    one.folds.forecast[0, 1:] = one.folds.actual[1:] + 1.0
    one.folds.forecast[1, 0] = one.folds.actual[0] + 50.0
    error, limit = (one.folds.errors()[m] for m in (1, 0))
    assert error.mean() < limit.mean()
    assert np.log(error).mean() > np.log(limit).mean()
    assert compose(replace(one, competes=np.array([False, True])), "best").weights.get("other1", 0.0) < 1


def test_nor_is_one_that_is_better_in_all_but_one_fold_and_there_far_worse() -> None:
    one = airport(sizes=(1.0, 1.0), seed=4)
    one.folds.forecast[0] = one.folds.actual + 3.0
    one.folds.forecast[1] = one.folds.actual + 1.0
    one.folds.forecast[1, 0] = one.folds.actual[0] + 50.0
    error, limit = (one.folds.errors()[m] for m in (1, 0))
    assert error.mean() > limit.mean()
    assert np.log(error).mean() < np.log(limit).mean()
    assert compose(replace(one, competes=np.array([False, True])), "best").weights.get("other1", 0.0) < 1


@pytest.mark.parametrize("gains", [[-0.1, -0.3, -0.2, -0.25], [-0.4, 0.1, 0.05, 0.2], [-0.2, -0.2]])
def test_a_gain_is_told_from_luck_by_its_square_over_that_and_its_square_error(gains: list[float]) -> None:
    mean = sum(gains) / len(gains)
    square_error = sum((g - mean) ** 2 for g in gains) / (len(gains) - 1) / len(gains)
    assert told_from_luck(np.array(gains)) == pytest.approx(mean**2 / (mean**2 + square_error))


def test_of_one_fold_half_is_told_from_luck_and_of_no_gain_nothing() -> None:
    assert told_from_luck(np.array([-3.0])) == 0.5
    assert told_from_luck(np.zeros(4)) == 0.0
    assert told_from_luck(np.array([-1.0, 1.0])) == 0.0


@pytest.mark.parametrize("wrong", [0.0, 2.0, 3.0, 4.0])
def test_folds_of_less_than_a_year_keep_the_share_of_their_gain_that_is_told_from_luck(wrong: float) -> None:
    whole = compose(torn(wrong), "best_three")
    one = replace(torn(wrong), whole_year=False)
    made = compose(one, "best_three")
    weights = np.array([whole.weights.get(candidate, 0.0) for candidate in one.candidates])
    logs = []
    for k in range(4):
        mixed = sum(w * f for w, f in zip(weights, one.folds.forecast[:, k], strict=True))
        errors = [np.mean(abs(forecast - one.folds.actual[k])) for forecast in (mixed, one.folds.forecast[0, k])]
        logs.append(np.log(errors[0] / errors[1]))
    share = told_from_luck(np.array(logs))
    assert 0.1 < share < 0.99
    np.testing.assert_allclose(made.forecast, share * whole.forecast + (1 - share) * one.forecast[0])
    np.testing.assert_allclose(made.folds, share * whole.folds + (1 - share) * one.folds.forecast[0])
    assert f"{share:.0%} of it, the rest seasonal naive" in made.reason
    assert passes(one, np.array([made.weights.get(candidate, 0.0) for candidate in one.candidates]))


def test_what_passes_keeps_its_whole_weight_where_a_part_of_it_would_not_pass() -> None:
    one = replace(airport(sizes=(1.0, 1.0)), competes=np.array([False, True]), whole_year=False)
    for member, missed_by in enumerate(([100.0, 1.0, 1.0, 1.0], [1.0, 4.0, 4.0, 4.0])):
        one.folds.forecast[member] = one.folds.actual + np.array(missed_by)[:, None]
    assert passes(one, np.array([0.0, 1.0]))
    assert not passes(one, np.array([0.99, 0.01]))
    made = compose(one, "best")
    assert made.weights == {"other1": 1.0}
    assert "seasonal naive, as" not in made.reason


def test_what_a_person_has_pinned_is_published_whatever_it_did() -> None:
    one = replace(torn(100.0), competes=np.array([False, False, True]), pinned=True, whole_year=False)
    made = compose(one, "best")
    assert (made.weights, made.gated) == ({"other2": 1.0}, False)
    assert made.reason.startswith("pinned: MASE ")


def test_seasonal_naive_has_no_weight_where_it_is_no_candidate() -> None:
    one = replace(airport(), competes=np.array([False, True, True]))
    assert set(compose(one, "inverse_square").weights) == {"other1", "other2"}


def test_a_history_too_short_for_folds_gets_seasonal_naive_which_is_no_refusal() -> None:
    made = compose(short(), "inverse_square")
    assert (made.method, made.gated, made.cv_mase) == ("seasonal_naive", False, None)
    assert "too few periods" in made.reason
    np.testing.assert_array_equal(missed(short(), made).errors, short().changes)


def test_without_folds_what_a_person_has_pinned_is_published_with_the_changes_that_seasonal_naive_missed() -> None:
    two = airport(sizes=(3.0, 1.0, 2.0), test=False)
    competes = np.array([False, False, True])
    one = replace(two, folds=None, window_levels=np.empty(0), changes=short().changes, pinned=True, competes=competes)
    made = compose(one, "inverse_square")
    assert (made.weights, made.gated, made.cv_mase, made.test) == ({"other2": 1.0}, False, None, None)
    assert made.reason == "pinned: too few periods to judge it on"
    np.testing.assert_array_equal(made.forecast, one.forecast[2])
    np.testing.assert_array_equal(missed(one, made).errors, short().changes)
    assert fleet_rule([one]) == (composition.FIRST_RULE, {})


def test_without_folds_a_pinned_method_that_could_not_be_fitted_is_replaced_by_seasonal_naive() -> None:
    made = compose(replace(short(), pinned=True, competes=np.array([False])), "best")
    assert made.method == "seasonal_naive"
    assert made.reason == "the pinned method could not be fitted: seasonal naive is published"


def test_where_no_candidate_could_be_fitted_seasonal_naive_is_published_and_the_reason_says_so() -> None:
    one = replace(airport(sizes=(3.0,)), competes=np.array([False]))
    for pinned, said in ((False, "no candidate could"), (True, "the pinned method could not")):
        made = compose(replace(one, pinned=pinned), "best")
        assert made.reason == f"{said} be fitted: seasonal naive is published"
        assert (made.method, made.gated, made.cv_mase) == ("seasonal_naive", False, made.cv_mase_naive)
        np.testing.assert_array_equal(made.folds, one.folds.forecast[0])


def test_one_candidate_alone_is_called_by_its_name() -> None:
    one = airport()
    made = alone(one, "other2")
    assert made is not None
    assert made.method == "other2"
    np.testing.assert_allclose(made.folds, one.folds.forecast[2])
    assert alone(one, "nobody") is None


def test_what_was_missed_is_actual_minus_forecast_where_it_counts_the_test_window_last() -> None:
    one = airport()
    one.folds.counts[1, 2] = False
    made = compose(one, "best")
    found = missed(one, made)
    assert np.isnan(found.errors[1, 2])
    assert found.errors[0, 0] == pytest.approx(one.folds.actual[0, 0] - made.folds[0, 0])
    np.testing.assert_allclose(found.errors[-1], one.test_actual - made.test)
    assert len(found.errors) == len(found.levels) == 5


def test_each_window_is_in_the_unit_of_its_own_forecast_and_one_without_traffic_before_it_in_none() -> None:
    one = replace(airport(), window_levels=np.array([20.0, 500.0, 0.0, 1.0, 60.0]))
    made = compose(one, "inverse_square")
    assert made.test is not None
    means = [sum(made.folds[0]) / H, 500.0, 0.0, sum(made.folds[3]) / H, sum(made.test) / H]
    assert missed(one, made).levels.tolist() == pytest.approx(means)
    assert missed(one, made).weight == 1.0
    untested = replace(airport(test=False), window_levels=np.full(4, 20.0))
    again = compose(untested, "inverse_square")
    assert missed(untested, again).levels.tolist() == pytest.approx([sum(fold) / H for fold in again.folds])


@pytest.mark.parametrize(("count", "counts_for"), [(0, 0.0), (1, 1.0), (7, 7.0), (8, 7.0), (93, 7.0)])
def test_without_folds_past_changes_are_in_the_unit_of_the_forecast_and_count_for_seven_windows_at_most(
    count: int, counts_for: float
) -> None:
    one = replace(short(), changes=np.ones((count, H)))
    made = compose(one, "best")
    mean = sum(made.forecast) / H
    for level, unit in ((1.1 * mean, 1.1 * mean), (0.0, mean)):
        found = missed(replace(one, level=level), made)
        assert found.levels.tolist() == pytest.approx([unit] * count)
        assert found.weight * count == pytest.approx(counts_for)
        np.testing.assert_array_equal(found.errors, one.changes)  # all of them for the airport's own size
        assert intervals.size(found, 0.3, unit) == pytest.approx((count / unit + 0.3) / (count + 1) * unit)


def test_the_fleets_rule_has_the_lowest_mean_error_in_unseen_folds() -> None:
    fleet = [airport(seed=seed) for seed in range(8)] + [short()]
    rule, errors = fleet_rule(fleet)
    slow = {
        name: np.mean(
            [np.mean(combination.fold_errors(combination.cross_fitted(name, a.folds), a.folds)) for a in fleet[:8]]
        )
        for name in RULES
    }
    assert errors == pytest.approx(slow)
    best = min(slow, key=slow.get)
    assert rule == (best if slow[best] < (1 - CLEARLY) * slow["inverse_square"] else "inverse_square")


def lagging(by: float) -> list[Evaluation]:
    """A regime in which one candidate is right, and all others lag behind."""
    fleet = [airport(sizes=(2.0, 1.0, *[2.0] * 6), seed=seed) for seed in range(6)]
    for one in fleet:
        one.folds.forecast[[0, *range(2, 8)]] -= by
    return fleet


def test_a_regime_in_which_one_candidate_is_right_and_all_others_are_wrong_turns_the_rule_to_selection() -> None:
    rule, errors = fleet_rule(lagging(3.0))
    assert rule in ("best", "stacking")
    assert errors[rule] < 0.8 * errors["inverse_square"]


@pytest.mark.parametrize("by", np.linspace(0, 4, 17))
def test_the_first_rule_stays_unless_another_is_clearly_better(by: float) -> None:
    rule, errors = fleet_rule(lagging(by))
    lowest = min(errors, key=errors.get)
    gain = 1 - errors[lowest] / errors["inverse_square"]
    assert rule == (lowest if gain > CLEARLY else "inverse_square")


def test_that_regime_goes_through_gains_that_are_none_small_and_clear() -> None:
    gains = []
    for by in np.linspace(0, 4, 17):
        _, errors = fleet_rule(lagging(by))
        gains.append(1 - min(errors.values()) / errors["inverse_square"])
    assert any(gain <= 0 for gain in gains)
    assert any(0 < gain < CLEARLY for gain in gains)
    assert any(gain > CLEARLY for gain in gains)


@pytest.mark.parametrize("size", [0.0, 3.0])
def test_where_every_rule_errs_alike_or_not_at_all_the_first_one_stays(size: float) -> None:
    rule, errors = fleet_rule([airport(sizes=(size,))])
    assert (rule, set(errors)) == ("inverse_square", set(RULES))
    assert len(set(errors.values())) == 1


def test_a_member_that_counts_for_more_does_so_in_what_is_published_and_in_the_choice_of_the_rule() -> None:
    one = airport()
    prior = np.array([1.0, 1.0, 4.0])
    more = replace(one, folds=replace(one.folds, prior=prior))
    weights = combination.inverse_square(one.folds) * prior
    found = compose(more, "inverse_square")
    assert found.weights == pytest.approx(dict(zip(one.candidates, weights / weights.sum(), strict=True)))
    np.testing.assert_allclose(found.forecast, weights @ one.forecast / weights.sum())
    (_, plain), (_, counted) = fleet_rule([one]), fleet_rule([more])
    assert {rule for rule in RULES if plain[rule] != counted[rule]} == {"inverse_square"}
    part = replace(more, competes=np.array([False, True, True]))
    part_weights = (combination.inverse_square(one.folds) * prior)[1:]
    assert list(compose(part, "inverse_square").weights.values()) == pytest.approx(
        list(part_weights / part_weights.sum())
    )


def test_an_airport_that_nobody_can_forecast_does_not_choose_for_the_others() -> None:
    fleet = [airport(seed=seed) for seed in range(8)]
    hopeless = airport(sizes=(1e6, 1e5, 1e6), seed=99)
    assert fleet_rule([*fleet, hopeless])[0] == fleet_rule(fleet)[0]


def test_without_any_folds_the_rule_is_the_first() -> None:
    assert fleet_rule([short()]) == fleet_rule([]) == (composition.FIRST_RULE, {})
