import numpy as np
import pytest

from paxcast.core.drift.pool import FEW, TAIL, pool, surprise


def test_inside_the_pool_p_is_the_share_of_scores_as_large() -> None:
    scores = np.random.default_rng(1).standard_normal(2000)
    found = pool(scores)
    for value in (-1.0, 0.0, 0.7, 1.5):
        assert np.exp(-surprise(found, np.array([value]))[0]) == pytest.approx((1 + np.sum(scores >= value)) / 2001)


def test_beyond_its_begin_the_tail_is_exponential() -> None:
    scores = np.random.default_rng(2).exponential(2.0, 100_000)
    found = pool(scores)
    top = np.sort(scores)[-int(100_000 * TAIL) :]
    assert found.begin == pytest.approx(top[0])
    value = found.begin + 5.0
    wanted = TAIL * np.exp(-5.0 / np.mean(top - top[0]))
    assert np.exp(-surprise(found, np.array([value]))[0]) == pytest.approx(wanted)
    assert np.exp(-surprise(found, np.array([30.0]))[0]) == pytest.approx(np.exp(-15.0), rel=0.8)  # the true chance


def test_p_of_scores_in_control_is_uniform_also_of_heavy_tails() -> None:
    rng = np.random.default_rng(3)
    found = pool(rng.standard_t(4, 50_000))
    p = np.exp(-surprise(found, rng.standard_t(4, 200_000)))
    for level in (0.5, 0.1, 0.01, 0.001):
        assert np.mean(p <= level) == pytest.approx(level, rel=0.15)


def test_surprise_never_falls_with_the_score() -> None:
    found = pool(np.random.default_rng(4).standard_normal(5000))
    assert np.all(np.diff(surprise(found, np.linspace(-4, 8, 500))) >= -1e-12)


def test_what_is_not_known_is_no_score_and_what_is_too_short_is_no_surprise() -> None:
    found = pool(np.array([[np.nan, 1.0], [2.0, -np.inf]]))
    assert len(found.scores) == 2
    assert surprise(found, np.array([-np.inf]))[0] == pytest.approx(0.0)


def test_a_small_pool_has_a_tail_of_its_largest() -> None:
    found = pool(np.arange(40.0))
    assert found.begin == 40.0 - FEW
    assert np.isfinite(surprise(found, np.array([1000.0]))[0])


def test_a_robust_tail_is_hardly_moved_by_scores_that_are_not_in_control() -> None:
    rng = np.random.default_rng(1)
    scores = rng.exponential(2.0, 30_000)
    spoilt = scores.copy()
    spoilt[:120] += 40.0
    assert pool(scores, robust=True).mean == pytest.approx(2.0, rel=0.15)
    assert pool(spoilt, robust=True).mean == pytest.approx(2.0, rel=0.5)
    assert pool(spoilt).mean > 10.0


def test_an_empty_pool_is_an_error() -> None:
    with pytest.raises(ValueError, match="in control"):
        pool(np.array([np.nan]))
