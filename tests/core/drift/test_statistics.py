import numpy as np
import pytest

from paxcast.core.drift import statistics
from paxcast.core.drift.statistics import CLIP, OFFSET, WINDOWS, K, Usual


def ar1(rng: np.random.Generator, airports: int, cycles: int, rho: float) -> np.ndarray:
    """[A, N] of variance one, and autocorrelation rho at lag one."""
    noise = rng.standard_normal((airports, cycles))
    values = noise.copy()
    for t in range(1, cycles):
        values[:, t] = rho * values[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    return values


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("width", [1, 3, 8])
def test_inflation_is_the_sum_over_all_pairs_of_cycles(rho: float, width: int) -> None:
    pairs = [rho ** abs(i - j) for i in range(width) for j in range(width)]
    assert statistics.inflation(np.array([rho]), width)[0] == pytest.approx(sum(pairs) / width**2)


def test_inflation_of_unequal_references_is_that_of_each() -> None:
    both = statistics.inflation(np.array([0.5, 0.2]), np.array([4.0, 9.0]))
    assert both == pytest.approx([statistics.inflation(np.array([r]), w)[0] for r, w in ((0.5, 4), (0.2, 9))])


def test_the_usual_of_alike_airports_is_mean_and_variance_drawn_to_the_median_of_the_fleet() -> None:
    values = np.random.default_rng(1).standard_normal((5, 30)) * np.array([[1.0], [1.0], [2.0], [1.0], [1.0]])
    found = statistics.usual(values)
    variances = [float(np.var(row, ddof=1)) for row in values]
    for i, row in enumerate(values):
        assert found.mean[i] == pytest.approx(float(np.mean(row)))
        wanted = (30 * variances[i] + statistics.PRIOR * np.median(variances)) / (30 + statistics.PRIOR)
        assert found.sd[i] == pytest.approx(np.sqrt(wanted))


@pytest.mark.parametrize("rho", [0.0, 0.4, 0.7])
def test_the_usual_autocorrelation_is_near_the_one_that_made_the_values(rho: float) -> None:
    found = statistics.usual(ar1(np.random.default_rng(2), 400, 90, rho))
    assert float(np.median(found.rho)) == pytest.approx(rho, abs=0.05)
    assert float(np.std(found.rho)) < 0.05  # airports alike: what differs is chance, and is drawn together


@pytest.mark.parametrize("wild", [20.0, 1e6])
def test_a_wild_cycle_in_the_reference_is_hardly_seen_in_what_is_usual(wild: float) -> None:
    values = np.random.default_rng(3).standard_normal((20, 100))
    hit = values.copy()
    hit[:, 40] = wild
    hit[0] = 1.0  # that never changes
    before, after = statistics.usual(values), statistics.usual(hit)
    middle = np.median(hit, axis=1)
    far = middle + 5 * 1.4826 * np.median(np.abs(hit - middle[:, None]), axis=1)
    tamed = np.where(hit > far[:, None], far[:, None], hit)
    assert after.mean[1:] == pytest.approx(np.mean(tamed, axis=1)[1:])
    assert after.mean[0] == pytest.approx(1.0)
    assert after.sd[1:] == pytest.approx(before.sd[1:], rel=0.25)


def test_the_usual_autocorrelation_stays_apart_where_airports_differ() -> None:
    rng = np.random.default_rng(3)
    found = statistics.usual(np.concatenate([ar1(rng, 200, 200, 0.0), ar1(rng, 200, 200, 0.8)]))
    assert float(np.median(found.rho[:200])) < 0.15
    assert float(np.median(found.rho[200:])) > 0.65


def test_missing_cycles_on_the_left_change_nothing_of_the_usual() -> None:
    values = np.random.default_rng(4).standard_normal((6, 40))
    padded = np.concatenate([np.full((6, 7), np.nan), values], axis=1)
    plain, wider = statistics.usual(values), statistics.usual(padded)
    for name in ("mean", "sd", "rho", "count"):
        assert getattr(wider, name) == pytest.approx(getattr(plain, name))


def test_the_worst_mean_is_the_largest_standardised_mean_of_the_last_cycles_without_their_largest() -> None:
    values = np.random.default_rng(5).standard_normal((3, 20))
    ref = Usual(np.array([0.1, 0.0, -0.2]), np.array([1.0, 2.0, 0.5]), np.array([0.0, 0.3, 0.6]), np.full(3, 50.0))
    found = statistics.worst_mean(values, ref)
    for i in range(3):
        for t in range(20):
            scores = [-np.inf]
            for width in WINDOWS:
                if t + 1 >= width:
                    last = sorted(values[i, t + 1 - width : t + 1])[:-1]
                    lags = [ref.rho[i] ** abs(a - b) for a in range(width) for b in range(width)]
                    own = [ref.rho[i] ** abs(a - b) for a in range(50) for b in range(50)]
                    scale = ref.sd[i] * np.sqrt(sum(lags) / width**2 + sum(own) / 50**2)
                    scores.append((float(np.mean(last)) - ref.mean[i]) / scale)
            assert found[i, t] == pytest.approx(max(scores))


def test_one_wild_cycle_does_not_raise_the_worst_mean() -> None:
    quiet = np.zeros((1, 12))
    wild = quiet.copy()
    wild[0, 8] = 50.0
    ref = Usual(np.zeros(1), np.ones(1), np.zeros(1), np.full(1, 50.0))
    assert statistics.worst_mean(wild, ref) == pytest.approx(statistics.worst_mean(quiet, ref))
    wild[0, 9] = 50.0
    assert statistics.worst_mean(wild, ref)[0, 9] > 20


def test_lopsided_is_the_same_for_both_sides() -> None:
    values = np.random.default_rng(6).standard_normal((4, 15))
    ref = Usual(np.array([0.0, 0.5, -0.5, 1.0]), np.ones(4), np.zeros(4), np.full(4, 40.0))
    mirrored = Usual(-ref.mean, ref.sd, ref.rho, ref.count)
    assert statistics.lopsided(values, ref) == pytest.approx(statistics.lopsided(-values, mirrored))
    assert np.all(statistics.lopsided(values, ref) >= statistics.worst_mean(values, ref))


def test_the_cusum_adds_up_whitened_residuals_as_page_says() -> None:
    values = ar1(np.random.default_rng(7), 2, 25, 0.5) + 0.7
    ref = Usual(np.array([0.0, 0.3]), np.array([1.0, 1.5]), np.array([0.5, 0.2]), np.full(2, 50.0))
    found = statistics.cusum(values, ref)
    for i in range(2):
        high = low = 0.0
        before = None
        for t in range(25):
            e = (values[i, t] - ref.mean[i]) / ref.sd[i]
            z = e if before is None else (e - ref.rho[i] * before) / np.sqrt(1 - ref.rho[i] ** 2)
            z, before = min(max(z, -CLIP), CLIP), e
            high, low = max(0.0, high + z - K), max(0.0, low - z - K)
            assert found[i, t] == pytest.approx(high if high >= low else -low)


def test_the_logged_loss_is_in_units_of_the_airports_own_median() -> None:
    loss = np.array([[1.0, 2.0, 3.0, 8.0], [10.0, 20.0, 30.0, 80.0]])
    found = statistics.logged(loss, slice(0, 3))
    assert found[0] == pytest.approx(np.log(OFFSET + np.array([0.5, 1.0, 1.5, 4.0])))
    assert found[1] == pytest.approx(found[0])


def test_airports_without_any_loss_have_one_all_the_same() -> None:
    assert np.all(np.isfinite(statistics.logged(np.zeros((2, 5)), slice(0, 3))))
