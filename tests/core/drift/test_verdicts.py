"""The tests together, on fleets whose truth is known."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from paxcast.core.drift import verdicts
from paxcast.core.drift.common import split
from paxcast.core.drift.panel import Panel
from paxcast.core.drift.verdicts import Judged, Rules, judge

CYCLES = 104


def panel(residual: np.ndarray) -> Panel:
    airports, cycles = residual.shape
    return Panel(
        tuple(f"A{i:03d}" for i in range(airports)),
        tuple(f"{t:04d}" for t in range(cycles)),
        residual,
        np.abs(residual),
        np.where(np.isfinite(residual), (np.abs(residual) > 1.2816).astype(float), np.nan),
        np.isfinite(residual),
    )


def fleet(seed: int = 1, airports: int = 300, cycles: int = CYCLES, rho: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((airports, cycles))
    values = noise.copy()
    for t in range(1, cycles):
        values[:, t] = rho * values[:, t - 1] + np.sqrt(1 - rho**2) * noise[:, t]
    return values


def drifted(judged: Judged) -> set[str]:
    return {v.airport for v in judged.airports if v.drifted}


def changed(change: Callable[[np.ndarray], None], **how: int) -> Judged:
    residual = fleet(**how)
    change(residual)
    return judge(panel(residual))


def up(residual: np.ndarray) -> None:
    residual[0, -8:] += 4.0


def test_a_level_that_moved_is_drift_with_its_reasons() -> None:
    judged = changed(up)
    found = judged.airports[0]
    assert drifted(judged) == {"A000"}
    assert found.severity == "severe"
    assert set(found.reasons) == {"loss", "coverage", "actuals above forecasts"}
    assert found.p is not None
    assert found.q is not None
    assert found.p < found.q < 0.1
    residual = fleet()
    up(residual)
    assert found.ratio == pytest.approx(residual[0, -3:].mean() / np.abs(residual[0, :-9]).mean(), rel=0.15)
    assert found.cusum[-1] > 10
    assert not judged.world.alert


def chance(known: list[float], score: float) -> float:
    """The share of these scores that are as large, and beyond the largest 30 of them an exponential tail."""
    largest = sorted(known)[-30:]
    if score <= largest[0]:
        return (1 + sum(value >= score for value in known)) / (1 + len(known))
    excess = sum(value - largest[0] for value in largest) / 30
    return min(1.0, 30 / len(known) * math.exp(-(score - largest[0]) / excess))


def test_p_is_told_from_how_far_out_the_four_tests_are_together_in_two_cycles_running() -> None:
    airports = range(6)
    quiet = panel(fleet(airports=len(airports)))
    own = split(quiet)
    scores = verdicts._scored(own.residual, own.loss, own.outside, Rules())
    known = {name: values[np.isfinite(values)].tolist() for name, values in scores.null.items()}

    def far(of: dict[str, np.ndarray], i: int, t: int) -> float:
        return math.sqrt(sum(math.log(chance(known[name], of[name][i, t])) ** 2 for name in known))

    cycles = [t for t in range(CYCLES - 9) if np.isfinite(scores.null["loss"][0, t])]
    past = [[far(scores.null, i, t) for t in cycles] for i in airports]
    twice = [min(pair) for row in past for pair in pairwise(row)]
    told = judge(quiet).airports
    for i in airports:
        now = min(far(scores.now, i, 0), far(scores.now, i, 1))
        assert told[i].p == pytest.approx(chance(twice, now))


def test_a_level_that_fell_is_told_from_one_that_rose() -> None:
    def down(residual: np.ndarray) -> None:
        residual[0, -8:] -= 4.0

    assert "actuals below forecasts" in changed(down).airports[0].reasons


def test_errors_that_grew_to_both_sides_are_drift_without_a_side() -> None:
    def wild(residual: np.ndarray) -> None:
        residual[0, -8:] *= 6.0

    found = changed(wild).airports[0]
    assert found.drifted
    assert "loss" in found.reasons


def test_who_is_flagged_always_has_a_reason() -> None:
    residual = fleet()
    for i in range(60):
        residual[i, -8:] += 1.3
    found = judge(panel(residual)).airports
    assert [bool(v.reasons) for v in found] == [v.severity != "none" for v in found]
    assert ("all tests together",) in {v.reasons for v in found}


def test_one_bad_cycle_is_watched_at_most_however_bad_it_is() -> None:
    for back in range(1, 6):
        residual = fleet()
        residual[0, -back] -= 40.0
        assert not drifted(judge(panel(residual)))


def test_a_closed_airport_is_found_within_three_cycles() -> None:
    residual = fleet()
    residual[0, -3:] -= 12.0
    assert drifted(judge(panel(residual))) == {"A000"}


def test_fleets_in_control_are_left_alone() -> None:
    found = [len(drifted(judge(panel(fleet(seed=s, rho=0.3))))) for s in range(10)]
    assert sum(found) <= 2  # of 3,000 looks


def test_what_all_share_is_nobodys_drift_and_what_an_airport_adds_to_it_is() -> None:
    residual = fleet()
    residual[:, -8:] -= 6.0
    shared = judge(panel(residual))
    residual[0, -8:] -= 6.0
    assert shared.world.alert
    assert not drifted(shared)
    assert drifted(judge(panel(residual))) == {"A000"}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_airports_that_changed_in_the_past_do_not_hide_those_that_change_now(seed: int) -> None:
    residual = fleet(seed=seed)
    residual[10:20, 40:52] += 6.0
    residual[0, -8:] += 3.0
    assert drifted(judge(panel(residual))) == {"A000"}


def test_neither_the_order_of_airports_nor_those_who_are_too_new_change_a_verdict() -> None:
    residual = fleet()
    up(residual)
    plain = judge(panel(residual)).airports
    turned = judge(panel(residual[::-1])).airports[::-1]
    assert [replace(v, airport="") for v in turned] == [replace(v, airport="") for v in plain]
    young = np.full((1, CYCLES), np.nan)
    young[0, -5:] = 9.0
    with_young = judge(panel(np.concatenate([residual, young]))).airports
    assert not with_young[-1].tested
    assert with_young[-1].p is None
    assert with_young[0].drifted


def test_gaps_are_skipped_and_an_airport_is_judged_by_its_own_last_cycles() -> None:
    residual = fleet()
    up(residual)
    residual[0, -1] = np.nan
    residual[1, 50:60] = np.nan
    judged = judge(panel(residual))
    assert judged.airports[0].cycle == f"{CYCLES - 2:04d}"
    assert judged.airports[0].drifted
    assert judged.airports[1].tested


def test_a_reference_that_is_too_short_is_not_tested() -> None:
    rules = Rules()
    short = fleet(airports=20, cycles=rules.least + rules.window)
    enough = fleet(airports=20, cycles=rules.least + rules.window + 1)
    assert not any(v.tested for v in judge(panel(short)).airports)
    assert all(v.tested for v in judge(panel(enough)).airports)


@pytest.mark.parametrize("long", range(2, 9))
def test_an_airport_that_changed_among_ones_too_short_to_tell_two_cycles_of_leaves_nothing_to_tell(long: int) -> None:
    residual = fleet(airports=4, cycles=113)
    residual[1:, :86] = np.nan
    residual[0, 50 : 50 + long] += 12.0
    assert drifted(judge(panel(residual))) == set()


def test_one_airport_alone_and_nobody_at_all_are_judged_too() -> None:
    alone = fleet(airports=1)
    alone[0, -8:] += 8.0
    assert judge(panel(alone)).airports[0].drifted
    assert judge(panel(np.empty((0, 0)))).airports == ()


def test_only_the_reference_that_the_rules_name_is_looked_back_at() -> None:
    residual = fleet(cycles=200)
    other = residual.copy()
    other[:, :50] *= 50.0
    assert drifted(judge(panel(other))) == drifted(judge(panel(residual)))


def test_a_stricter_limit_finds_no_more() -> None:
    residual = fleet()
    for i in range(10):
        residual[i, -8:] += 1.0 + 0.3 * i
    strict, lax = (drifted(judge(panel(residual), Rules(q=q))) for q in (0.001, 0.3))
    assert strict < lax
