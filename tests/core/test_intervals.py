"""Prediction intervals: the coverage that conformal prediction promises, from errors that airports lend each other."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core import intervals
from paxcast.core.intervals import (
    LEVELS,
    Band,
    Missed,
    Pool,
    band,
    confidence,
    pool,
    pool_from_json,
    rank_of,
    size,
    unit,
)

SETTINGS = settings(max_examples=60, deadline=None)
EXACT = {0.50: Fraction(1, 2), 0.80: Fraction(4, 5), 0.95: Fraction(19, 20)}
RATIOS = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)
DISTINCT = st.lists(st.integers(0, 10_000), min_size=2, max_size=60, unique=True)
EACH_LEVEL = pytest.mark.parametrize("level", LEVELS)


def rank(count: int, level: float) -> int:
    return math.ceil((count + 1) * EXACT[level])


# --- the rank


@EACH_LEVEL
@SETTINGS
@given(ratios=RATIOS)
def test_the_quantile_is_the_smallest_ratio_that_covers_its_conformal_rank(level, ratios):
    wanted = min(rank(len(ratios), level), len(ratios))
    enough = [w for w in ratios if sum(r <= w for r in ratios) >= wanted]
    assert rank_of(np.array(ratios), level) == min(enough)
    assert rank_of(np.array([*ratios, np.nan, np.nan]), level) == min(enough)


@EACH_LEVEL
@SETTINGS
@given(ratios=DISTINCT)
def test_of_exchangeable_ratios_each_left_out_in_turn_exactly_the_conformal_rank_is_covered(level, ratios):
    covered = 0
    for i, left_out in enumerate(ratios):
        covered += left_out <= rank_of(np.array(ratios[:i] + ratios[i + 1 :], dtype=float), level)
    exact = rank(len(ratios) - 1, level)
    assert covered == (exact if exact < len(ratios) else len(ratios) - 1)


@EACH_LEVEL
def test_the_rank_is_exact_for_every_number_of_ratios_up_to_a_thousand_and_for_a_large_fleets(level):
    for count in (*range(1, 1001), *range(49_995, 50_005)):
        wanted = min(rank(count, level), count)
        assert rank_of(np.arange(1.0, count + 1), level) == wanted


@EACH_LEVEL
def test_of_no_ratios_the_quantile_is_zero(level):
    assert rank_of(np.array([]), level) == 0.0
    assert rank_of(np.array([np.nan]), level) == 0.0


@EACH_LEVEL
@SETTINGS
@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(1, 5)), min_size=1, max_size=30))
def test_a_ratio_that_counts_for_several_is_as_if_it_were_there_as_often(level, weighed):
    ratios, weights = (np.array(values, dtype=float) for values in zip(*weighed, strict=True))
    often = [ratio for ratio, count in weighed for _ in range(count)]
    assert rank_of(ratios, level, weights) == sorted(often)[min(rank(len(often), level), len(often)) - 1]
    with_holes = rank_of(np.array([np.nan, *ratios]), level, np.array([50.0, *weights]))
    assert with_holes == rank_of(ratios, level, weights)


# --- shares, sizes, ratios


def fleet(airports: int = 7, horizon: int = 4, seed: int = 1, *, holes: bool = True) -> list[Missed]:
    """Airports of one to five windows that miss by sizes of their own; some periods are not compared."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(airports):
        count = int(rng.integers(1, 6))
        errors = rng.uniform(1, 30) * rng.normal(size=(count, horizon))
        if holes and count > 1:
            errors[0, 1] = np.nan
        made.append(Missed(errors, rng.uniform(50, 150, count)))
    return made


def slow_share(missed: Missed, k: int) -> float:
    known = [abs(e) for e in missed.errors[k] if not math.isnan(e)]
    return sum(known) / len(known) / missed.levels[k]


def slow_size(missed: Missed, middle: float, level: float, without: int | None = None) -> float:
    own = [slow_share(missed, k) for k in range(len(missed.levels)) if k != without]
    return (sum(own) + middle) / (len(own) + 1) * level


def test_a_share_is_the_mean_of_what_was_missed_over_the_level_and_a_size_borrows_one_window_from_the_fleet():
    for missed in fleet():
        count = len(missed.levels)
        assert missed.shares().tolist() == pytest.approx([slow_share(missed, k) for k in range(count)])
        assert size(missed, 0.2, 80.0) == pytest.approx(slow_size(missed, 0.2, 80.0))
        for k in range(count):
            assert size(missed, 0.2, 80.0, without=k) == pytest.approx(slow_size(missed, 0.2, 80.0, k))


@pytest.mark.parametrize("seed", range(1, 7))
def test_the_pool_is_what_loops_over_airports_windows_and_steps_find(seed):
    airports = fleet(seed=seed)
    found = pool(airports, 4, levels=(0.50, *LEVELS))
    middle = np.median([slow_share(a, k) for a in airports for k in range(len(a.levels))])
    assert found.middle == pytest.approx(middle)
    assert list(pool(airports, 4).quantiles) == list(LEVELS)
    for level in (0.50, *LEVELS):
        for h in range(4):
            ratios = []
            for missed in airports:
                for k in range(len(missed.levels)):
                    if not math.isnan(missed.errors[k, h]):
                        ratios.append(abs(missed.errors[k, h]) / slow_size(missed, middle, missed.levels[k], k))
            wanted = min(rank(len(ratios), level), len(ratios))
            assert found.quantiles[level][h] == pytest.approx(sorted(ratios)[wanted - 1])


def test_an_airport_whose_windows_count_for_two_is_as_if_it_were_there_twice():
    for seed in range(6):
        airports = fleet(seed=seed)
        doubled = [Missed(m.errors, m.levels, weight=2.0) for m in airports[:3]]
        one, two = pool([*doubled, *airports[3:]], 4), pool([*airports[:3], *airports], 4)
        assert one.middle == pytest.approx(two.middle)
        assert [q.tolist() for q in one.quantiles.values()] == [q.tolist() for q in two.quantiles.values()]


def test_a_unit_is_the_season_before_or_the_mean_of_the_forecast_where_that_is_more():
    assert unit(100.0, np.array([10.0, 20.0])) == 100.0
    assert unit(10.0, np.array([10.0, 20.0])) == 15.0
    assert unit(0.0, np.array([0.0, 0.0])) == 0.0


def test_a_level_that_has_been_adapted_is_taken_in_the_place_of_the_nominal_one():
    plain, adapted = pool(fleet(), 4, levels=(0.50, *LEVELS)), pool(fleet(), 4, effective={0.80: 0.50})
    assert adapted.quantiles[0.80].tolist() == plain.quantiles[0.50].tolist()
    assert adapted.quantiles[0.95].tolist() == plain.quantiles[0.95].tolist()
    assert list(adapted.quantiles) == list(LEVELS)


def test_a_window_is_in_no_way_in_the_size_that_its_own_ratios_are_taken_of():
    airports = fleet(holes=False)
    one = airports[0]
    wilder = Missed(one.errors.copy(), one.levels)
    wilder.errors[0] *= 100
    assert size(wilder, 0.1, 50.0, without=0) == size(one, 0.1, 50.0, without=0)
    assert size(wilder, 0.1, 50.0) > size(one, 0.1, 50.0)


@SETTINGS
@given(st.randoms(use_true_random=False), st.sampled_from([1e-3, 1000.0]))
def test_the_pool_knows_no_unit_no_sign_and_no_order_of_airports_or_windows(random, unit):
    airports = fleet()
    turned = [Missed(-unit * m.errors[::-1], unit * m.levels[::-1]) for m in random.sample(airports, len(airports))]
    one, two = pool(airports, 4), pool(turned, 4)
    assert two.middle == pytest.approx(one.middle)
    for level in LEVELS:
        np.testing.assert_allclose(two.quantiles[level], one.quantiles[level], rtol=1e-9)


def test_an_airport_that_never_missed_and_one_without_traffic_break_nothing():
    still = Missed(np.zeros((3, 4)), np.full(3, 100.0))
    empty = Missed(np.zeros((3, 4)), np.zeros(3))
    for airports in ([still], [empty], [still, empty]):
        found = pool(airports, 4)
        assert [q.tolist() for q in found.quantiles.values()] == [[0.0] * 4] * 2
        made = band(np.array([3.0, 0.0, 1.0, 2.0]), found, size(still, found.middle, 100.0))
        assert made.lo95.tolist() == made.hi95.tolist() == [3.0, 0.0, 1.0, 2.0]
    mixed = pool([*fleet(), still, empty], 4)
    assert all(np.isfinite(q).all() for q in mixed.quantiles.values())


def test_a_window_before_which_there_was_no_traffic_has_no_share_and_no_part_in_any_size():
    some = fleet(holes=False)
    opened = Missed(np.vstack([np.full((1, 4), 500.0), some[1].errors]), np.array([0.0, *some[1].levels]))
    assert np.isnan(opened.shares()).tolist() == [True] + [False] * len(some[1].levels)
    assert size(opened, 0.1, 80.0) == size(some[1], 0.1, 80.0)
    one, two = pool([some[0], opened, *some[2:]], 4), pool(some, 4)
    assert one.middle == two.middle
    assert [q.tolist() for q in one.quantiles.values()] == [q.tolist() for q in two.quantiles.values()]


def test_of_no_airports_and_of_airports_without_windows_the_quantiles_are_zero():
    for airports in ([], [Missed(np.empty((0, 4)), np.empty(0))]):
        found = pool(airports, 4)
        assert found.middle == 0.0
        assert [q.tolist() for q in found.quantiles.values()] == [[0.0] * 4] * 2


def test_a_pool_written_as_json_and_read_back_is_the_same():
    first = pool(fleet(), 4)
    again = pool_from_json(json.loads(json.dumps(first.as_json())))
    assert again.middle == first.middle
    assert {a: q.tolist() for a, q in again.quantiles.items()} == {a: q.tolist() for a, q in first.quantiles.items()}


# --- coverage


@EACH_LEVEL
@pytest.mark.parametrize("windows", [3, 5])
def test_on_exchangeable_fleets_new_errors_are_covered_as_often_as_promised_at_every_step(level, windows):
    rng = np.random.default_rng(windows)
    horizon, covered = 6, []
    for _ in range(20):
        airports, fresh = [], []
        for _ in range(150):
            level_of_traffic = np.exp(rng.normal(8, 2))
            own = level_of_traffic * np.exp(rng.normal(-2, 0.7)) * np.sqrt(np.arange(1, horizon + 1))
            errors = own * rng.normal(size=(windows + 1, horizon))  # further ahead it misses by more
            airports.append(Missed(errors[1:], np.full(windows, level_of_traffic)))
            fresh.append((errors[0], level_of_traffic))
        found = pool(airports, horizon)
        for missed, (error, traffic) in zip(airports, fresh, strict=True):
            covered.append(np.abs(error) <= found.quantiles[level] * size(missed, found.middle, traffic))
    assert np.mean(covered) == pytest.approx(level, abs=0.015)
    assert np.mean(covered, axis=0) == pytest.approx(np.full(horizon, level), abs=0.025)


def test_an_airport_that_misses_by_twice_as_much_has_an_interval_nearly_twice_as_wide():
    rng = np.random.default_rng(3)
    unit = [Missed(rng.normal(size=(6, 4)), np.full(6, 100.0)) for _ in range(40)]
    wild = Missed(2 * unit[0].errors, unit[0].levels)
    middle = pool(unit, 4).middle
    ratio = size(wild, middle, 100.0) / size(unit[0], middle, 100.0)
    assert 1.7 < ratio < 2


def slumping(rng: np.random.Generator, windows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecasts that return from slumps and miss by a share of what they forecast: means, levels before, errors."""
    usual = np.exp(rng.normal(8, 2))
    before = usual * np.where(rng.random(windows) < 0.2, rng.uniform(0.02, 0.3, windows), 1.0)
    return np.full(windows, usual), before, usual * rng.uniform(0.05, 0.3) * rng.normal(size=(windows, 4))


@EACH_LEVEL
def test_after_a_slump_errors_are_covered_as_often_as_promised_and_in_the_unit_of_the_slump_they_are_not(level):
    rng, covered = np.random.default_rng(5), {"unit": [], "slump": []}
    for _ in range(8):
        made = [slumping(rng, 7) for _ in range(150)]
        of = {
            "unit": [[unit(b, np.full(4, m)) for m, b in zip(mean, before, strict=True)] for mean, before, _ in made],
            "slump": [before.tolist() for _, before, _ in made],
        }
        for name, units in of.items():
            airports = [Missed(e[1:], np.array(u[1:])) for (_, _, e), u in zip(made, units, strict=True)]
            found = pool(airports, 4)
            for (mean, before, errors), own, one in zip(made, units, airports, strict=True):
                if before[0] < mean[0]:
                    covered[name].append(np.abs(errors[0]) <= found.quantiles[level] * size(one, found.middle, own[0]))
    assert np.mean(covered["unit"]) == pytest.approx(level, abs=0.025)
    assert np.mean(covered["slump"]) < level - 0.1


@EACH_LEVEL
def test_a_long_newcomer_that_counts_for_a_plan_of_folds_hardly_moves_the_others_and_in_full_it_does(level):
    rng = np.random.default_rng(2)
    old = [Missed(rng.normal(size=(6, 30)), np.full(6, 100.0)) for _ in range(12)]
    even = [rng.uniform(0.9, 1.1, size=(93, 30)) for _ in range(2)]  # near its own mean: ratios about 1
    plain = pool(old, 30).quantiles[level]
    full, lent = (
        pool([*old, *(Missed(e, np.full(93, 100.0), weight) for e in even)], 30).quantiles[level]
        for weight in (1.0, intervals.MOST_LENT / 93)
    )
    assert np.mean(full) < 0.8 * np.mean(plain)
    assert 0.9 * np.mean(plain) < np.mean(lent) < np.mean(plain)


# --- the band


@SETTINGS
@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    st.floats(0, 1e4),
    st.floats(0, 10),
    st.floats(0, 10),
)
def test_intervals_are_nested_around_the_forecast_and_never_negative(yhat, error_size, narrow, more):
    fleet_pool = Pool({0.80: np.full(len(yhat), narrow), 0.95: np.full(len(yhat), narrow + more)}, 0.1)
    made = band(np.array(yhat), fleet_pool, error_size)
    edges = np.array([np.zeros(len(yhat)), made.lo95, made.lo80, made.yhat, made.hi80, made.hi95])
    assert (np.diff(edges, axis=0) >= 0).all()
    assert made.yhat.tolist() == yhat


def test_the_half_width_is_the_quantile_of_its_step_times_the_size_and_the_lower_edge_stops_at_no_traffic():
    made = band(np.array([10.0, 100.0]), Pool({0.80: np.array([3.0, 1.0]), 0.95: np.array([4.0, 2.0])}, 0.1), 10.0)
    assert (made.lo80.tolist(), made.hi80.tolist()) == ([0, 90], [40, 110])
    assert (made.lo95.tolist(), made.hi95.tolist()) == ([0, 80], [50, 120])


def test_the_levels_are_those_that_a_band_has():
    assert intervals.LEVELS == (0.80, 0.95)
    assert tuple(Band.__slots__) == ("yhat", "lo80", "hi80", "lo95", "hi95")


# --- confidence


def wide(level: float, half: float) -> Band:
    yhat = np.full(4, float(level))
    low = np.maximum(yhat - half, 0.0)
    return Band(yhat, low, yhat + half, low, yhat + half)


@pytest.mark.parametrize(
    ("level", "half", "seasons", "expected"),
    [
        (100, 25, 2, "high"),
        (100, 25, 1.99, "low"),
        (100, 25.5, 5, "low"),
        (100, 75, 5, "low"),
        (100, 75.5, 5, "do not publish"),
        (100, 0, 2, "low"),
        (100, 1e-12, 5, "low"),
        (100, 1e-3, 2, "high"),
        (10, 20, 5, "do not publish"),
        (0, 0, 5, "low"),
        (0, 1, 5, "do not publish"),
    ],
)
def test_confidence_is_the_width_of_the_80_percent_interval_against_the_level(level, half, seasons, expected):
    assert confidence(wide(level, half), seasons, [level]) == expected


def test_what_is_doubted_is_never_of_high_confidence_and_else_as_it_was():
    for level, half in ((100, 25), (100, 0), (100, 60), (100, 76), (0, 0), (0, 1)):
        plain = confidence(wide(level, half), 5, [level])
        assert confidence(wide(level, half), 5, [level], doubted=True) == {"high": "low"}.get(plain, plain)


@pytest.mark.parametrize("half", [0, 25, 60, 76])
@pytest.mark.parametrize(
    ("before", "far"), [(0, True), (49.9, True), (50.1, False), (100, False), (199.9, False), (200.1, True)]
)
def test_a_forecast_twice_or_half_of_all_that_was_before_it_is_never_of_high_confidence_and_else_as_it_was(
    half, before, far
):
    near = confidence(wide(100, half), 5, [100])
    for known in ([before], [before, 1000], [20, before]):
        assert confidence(wide(100, half), 5, known) == ("low" if far and near == "high" else near)


def test_the_edges_of_confidence_are_where_the_docstring_puts_them():
    yhat = np.full(4, 100.0)
    for width, expected in ((50, "high"), (50.1, "low"), (150, "low"), (150.1, "do not publish")):
        made = Band(yhat, yhat, yhat + width, yhat, yhat + width)
        assert confidence(made, 3, [100.0]) == expected
