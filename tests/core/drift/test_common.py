import numpy as np
import pytest

from paxcast.core.drift import common
from paxcast.core.drift.panel import Panel


def panel(residual: np.ndarray) -> Panel:
    airports, cycles = residual.shape
    return Panel(
        tuple(f"A{i:03d}" for i in range(airports)),
        tuple(f"2020-{t + 1:03d}" for t in range(cycles)),
        residual,
        np.abs(residual),
        (np.abs(residual) > 1.2816).astype(float),
        np.isfinite(residual),
    )


def noise(airports: int = 50, cycles: int = 40, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((airports, cycles))


def test_the_common_part_of_a_cycle_is_the_median_of_its_residuals() -> None:
    residual = noise()
    own = common.split(panel(residual))
    apart = [1.4826 * np.median(np.abs(c - np.median(c))) for c in residual.T]
    for t, column in enumerate(residual.T):
        wider = max(1.0, apart[t] / np.median(apart[:-1]))
        assert own.residual[:, t] == pytest.approx((column - np.median(column)) / wider)


def test_the_loss_of_every_cycle_is_brought_to_the_usual_level() -> None:
    own = common.split(panel(noise()))
    level = np.median(own.loss, axis=0)
    assert level == pytest.approx(np.full(len(level), level[0]), rel=1e-6)


def test_a_shock_that_all_share_is_one_alert_and_leaves_single_airports_as_they_were() -> None:
    residual = noise()
    shocked = residual.copy()
    shocked[:, -1] -= 8.0
    before, after = common.split(panel(residual)), common.split(panel(shocked))
    assert not before.world.alert
    assert after.world.alert
    assert after.world.since == after.world.cycle == "2020-040"
    assert after.world.shift == pytest.approx(np.median(residual[:, -1]) - 8.0)
    assert after.world.share > 0.95
    assert after.world.p is not None
    assert after.world.p < 1e-6
    assert after.residual[:, -1] == pytest.approx(before.residual[:, -1])
    assert np.mean(after.outside[:, -1]) == pytest.approx(np.mean(before.outside[:, -1]), abs=0.05)


def test_an_alert_that_goes_on_says_since_when() -> None:
    residual = noise()
    residual[:, -3:] -= 5.0
    assert common.split(panel(residual)).world.since == "2020-038"


def test_errors_that_grow_everywhere_to_both_sides_are_an_alert_too() -> None:
    residual = noise()
    residual[:, -1] *= 5.0
    found = common.split(panel(residual))
    assert found.world.alert
    wider = 1.4826 * np.median(np.abs(found.residual[:, -1] - np.median(found.residual[:, -1])))
    assert wider == pytest.approx(1.0, rel=0.3)  # brought back to the usual width


def test_a_fleet_in_control_hardly_ever_alerts() -> None:
    alerts = [common.split(panel(noise(seed=s))).world.alert for s in range(100)]
    assert sum(alerts) <= 1  # one in a thousand


def test_a_few_airports_do_not_make_a_world() -> None:
    residual = noise(airports=common.FEW - 1)
    residual[:, -1] -= 8.0
    own = common.split(panel(residual))
    assert not own.world.alert
    assert own.residual == pytest.approx(residual)


def test_a_cycle_that_few_have_reported_yet_is_no_world() -> None:
    residual = noise()
    residual[:, -1] -= 8.0
    residual[common.FEW - 1 :, -1] = np.nan
    own = common.split(panel(residual))
    assert not own.world.alert
    assert own.residual[:5, -1] == pytest.approx(residual[:5, -1])


def test_some_airports_alone_hardly_move_the_common_part() -> None:
    residual = noise()
    moved = residual.copy()
    moved[:5, -4:] += 30.0
    assert abs(common.split(panel(moved)).world.shift - common.split(panel(residual)).world.shift) < 0.35
    assert not common.split(panel(moved)).world.alert


def test_without_a_cycle_there_is_nothing_to_say() -> None:
    own = common.split(panel(np.empty((3, 0))))
    assert own.world.cycle == ""
    assert not own.world.alert
