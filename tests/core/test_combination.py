"""Weights from folds: each rule against a slow and obvious way, and against folds that decide nothing."""

from dataclasses import replace

import numpy as np
import pytest

from paxcast.core import combination
from paxcast.core.combination import RULES, FoldForecasts


def folds(members: int = 4, count: int = 5, horizon: int = 6, seed: int = 1) -> FoldForecasts:
    """Members that miss by more and more, around traffic of about 100."""
    rng = np.random.default_rng(seed)
    actual = 100 + rng.normal(0, 10, (count, horizon))
    missed = rng.normal(0, 1, (members, count, horizon)) * np.arange(1, members + 1)[:, None, None]
    return FoldForecasts(actual + missed, actual, rng.uniform(5, 10, count), np.ones((count, horizon), dtype=bool))


def slow_errors(some: FoldForecasts) -> list[list[float]]:
    members, count, horizon = some.forecast.shape
    found = []
    for m in range(members):
        row = []
        for k in range(count):
            off = [abs(some.forecast[m, k, h] - some.actual[k, h]) for h in range(horizon) if some.counts[k, h]]
            row.append(sum(off) / len(off) / some.scale[k])
        found.append(row)
    return found


def test_errors_are_the_mean_over_what_counts_in_units_of_each_folds_scale() -> None:
    some = folds()
    some.counts[1, 2:4] = False
    some.counts[3, 0] = False
    some.forecast[2, 1, 3] = 1e9  # not compared
    np.testing.assert_allclose(some.errors(), slow_errors(some), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_weights_are_shares_and_a_member_without_a_forecast_gets_none(rule: str) -> None:
    some = folds()
    some.forecast[1, 2, 3] = np.nan
    weights = RULES[rule](some)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[1] == 0


@pytest.mark.parametrize("rule", RULES)
def test_weights_know_no_unit_and_no_order_of_the_folds(rule: str) -> None:
    some = folds()
    thousand = FoldForecasts(1000 * some.forecast, 1000 * some.actual, 1000 * some.scale, some.counts)
    turned = FoldForecasts(some.forecast[:, ::-1], some.actual[::-1], some.scale[::-1], some.counts[::-1])
    np.testing.assert_allclose(RULES[rule](thousand), RULES[rule](some), atol=1e-9)
    np.testing.assert_allclose(RULES[rule](turned), RULES[rule](some), atol=1e-9)


def test_the_best_gets_everything_and_of_equals_the_first() -> None:
    some = folds()
    error = [sum(row) / len(row) for row in slow_errors(some)]
    assert combination.best(some).tolist() == [float(m == error.index(min(error))) for m in range(4)]
    same = FoldForecasts(np.stack([some.forecast[2]] * 3), some.actual, some.scale, some.counts)
    assert combination.best(same).tolist() == [1.0, 0.0, 0.0]


def test_the_best_three_share_equally_and_two_are_all_there_are() -> None:
    some = folds()
    error = [sum(row) / len(row) for row in slow_errors(some)]
    worst = error.index(max(error))
    assert combination.best_three(some).tolist() == [0.0 if m == worst else 1 / 3 for m in range(4)]
    assert combination.best_three(folds(members=2)).tolist() == [0.5, 0.5]


def test_inverse_square_weighs_by_one_over_the_squared_mean_error() -> None:
    some = folds()
    inverse = [1 / (sum(row) / len(row)) ** 2 for row in slow_errors(some)]
    np.testing.assert_allclose(combination.inverse_square(some), [w / sum(inverse) for w in inverse], rtol=1e-12)


def test_a_member_that_counts_for_four_weighs_as_four_like_it_would_together() -> None:
    some = folds(members=3)
    one = replace(some, prior=np.array([1.0, 4.0, 1.0]))
    five = FoldForecasts(some.forecast[[0, 1, 1, 1, 1, 2]], some.actual, some.scale, some.counts)
    weights = combination.inverse_square(five)
    together = [weights[0], weights[1:5].sum(), weights[5]]
    np.testing.assert_allclose(combination.inverse_square(one), together, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_prior_of_ones_is_none_and_no_other_rule_asks_for_one(rule: str) -> None:
    some = folds()
    ones = replace(some, prior=np.ones(4))
    np.testing.assert_array_equal(RULES[rule](ones), RULES[rule](some))
    other = replace(some, prior=np.array([1.0, 1.0, 4.0, 2.0]))
    changed = not np.array_equal(RULES[rule](other), RULES[rule](some))
    assert changed == (rule == "inverse_square")


def test_a_prior_goes_with_its_members_and_with_every_fold() -> None:
    some = replace(folds(), prior=np.array([1.0, 2.0, 3.0, 4.0]))
    kept = some.of(np.array([False, True, False, True]))
    assert kept.prior is not None
    assert kept.prior.tolist() == [2.0, 4.0]
    fewer = some.only(np.array([True, False, True, False, False]))
    assert fewer.prior is not None
    assert fewer.prior.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert folds().of(np.array([True, False, False, False])).prior is None
    made, plain = (combination.cross_fitted("inverse_square", f) for f in (some, folds()))
    weights = RULES["inverse_square"](some.only(np.arange(5) != 2))
    np.testing.assert_allclose(made[2], np.tensordot(weights, some.forecast[:, 2], axes=1), rtol=1e-12)
    assert not np.allclose(made, plain)


def test_a_member_without_a_forecast_has_no_weight_whatever_it_counts_for() -> None:
    some = replace(folds(), prior=np.array([1.0, 4.0, 1.0, 1.0]))
    some.forecast[1, 2, 3] = np.nan
    assert combination.inverse_square(some)[1] == 0
    some.forecast[:, 2, 3] = np.nan  # of none can anything be said
    assert combination.inverse_square(some).tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_member_that_never_missed_gets_nearly_all_the_weight_and_nothing_overflows() -> None:
    some = folds()
    some.forecast[3] = some.actual
    assert combination.inverse_square(some)[3] == pytest.approx(1)


def test_stacking_finds_the_weights_that_made_the_traffic() -> None:
    some = folds(seed=3)
    truth = np.array([0.6, 0.0, 0.3, 0.1])
    made = FoldForecasts(some.forecast, np.tensordot(truth, some.forecast, axes=1), some.scale, some.counts)
    np.testing.assert_allclose(combination.stacking(made), truth, atol=1e-6)


def test_stacking_has_the_least_squared_error_of_a_grid_of_weights() -> None:
    some = folds(members=2, seed=5)
    grid = np.linspace(0, 1.5, 151)
    unit = some.scale[:, None]

    def squared(a: float, b: float) -> float:
        return float((((a * some.forecast[0] + b * some.forecast[1] - some.actual) / unit) ** 2).sum())

    best = min(((squared(a, b), a, b) for a in grid for b in grid), key=lambda found: found[0])
    expected = np.array(best[1:]) / sum(best[1:])
    np.testing.assert_allclose(combination.stacking(some), expected, atol=0.02)


def test_what_does_not_count_moves_no_weight() -> None:
    some = folds()
    some.counts[2, :3] = False
    wild = FoldForecasts(some.forecast.copy(), some.actual.copy(), some.scale, some.counts)
    wild.forecast[0, 2, :3] = 1e6
    wild.actual[2, :3] = -1e6
    for rule in RULES:
        np.testing.assert_allclose(RULES[rule](wild), RULES[rule](some), atol=1e-9)


def test_combined_is_the_weighted_mean_and_reads_no_member_without_weight() -> None:
    some = folds()
    some.forecast[1] = np.nan
    weights = np.array([0.25, 0.0, 0.5, 0.25])
    expected = 0.25 * some.forecast[0] + 0.5 * some.forecast[2] + 0.25 * some.forecast[3]
    np.testing.assert_allclose(combination.combined(weights, some.forecast), expected, rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_fold_is_forecast_with_weights_that_have_not_seen_it(rule: str) -> None:
    some = folds()
    before = combination.cross_fitted(rule, some)
    for k in range(5):
        others = np.arange(5) != k
        weights = RULES[rule](some.only(others))
        np.testing.assert_allclose(before[k], sum(w * f for w, f in zip(weights, some.forecast[:, k], strict=True)))
    changed = FoldForecasts(some.forecast, some.actual.copy(), some.scale, some.counts)
    changed.actual[2] += 50
    np.testing.assert_array_equal(combination.cross_fitted(rule, changed)[2], before[2])


def test_a_single_fold_is_forecast_with_equal_weights() -> None:
    some = folds(count=1)
    np.testing.assert_allclose(combination.cross_fitted("best", some)[0], some.forecast[:, 0].mean(axis=0))


def test_fold_errors_are_those_of_a_member() -> None:
    some = folds()
    np.testing.assert_array_equal(combination.fold_errors(some.forecast[2], some), some.errors()[2])
