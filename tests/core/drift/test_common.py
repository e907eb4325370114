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
    moving = [c[np.abs(c) > common.AT_REST] for c in residual.T]
    apart = [1.4826 * np.median(np.abs(c - np.median(c))) for c in moving]
    for t, column in enumerate(residual.T):
        wider = max(1.0, apart[t] / np.median(apart[:-1]))
        wanted = [r if abs(r) <= common.AT_REST else (r - np.median(moving[t])) / wider for r in column]
        assert own.residual[:, t] == pytest.approx(np.array(wanted))


def test_the_loss_of_every_cycle_is_brought_to_the_usual_level() -> None:
    residual = noise()
    own = common.split(panel(residual))
    level = [np.median(loss[np.abs(r) > common.AT_REST]) for loss, r in zip(own.loss.T, residual.T, strict=True)]
    assert np.array(level) == pytest.approx(np.full(len(level), level[0]), rel=1e-6)


def test_a_shock_that_all_share_is_one_alert_and_leaves_single_airports_as_they_were() -> None:
    residual = noise()
    shocked = residual.copy()
    shocked[:, -1] -= 8.0
    before, after = common.split(panel(residual)), common.split(panel(shocked))
    assert not before.world.alert
    assert after.world.alert
    assert after.world.since == after.world.cycle == "2020-040"
    assert after.world.shift == pytest.approx(np.median(residual[:, -1]) - 8.0, abs=0.05)
    assert after.world.share > 0.95
    assert after.world.p is not None
    assert after.world.p < 1e-6
    assert after.residual[:, -1] == pytest.approx(before.residual[:, -1], abs=0.1)
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


@pytest.mark.parametrize("reported", [1, common.FEW - 1, common.FEW, 24])
@pytest.mark.parametrize("shock", [0.0, -8.0])
def test_until_half_have_reported_a_cycle_the_world_is_that_of_the_one_before(reported: int, shock: float) -> None:
    residual = noise()
    residual[:, -3:] += shock
    few = residual.copy()
    few[reported:, -1] = np.nan
    before, own = common.split(panel(residual[:, :-1])), common.split(panel(few))
    assert own.world == before.world
    assert own.world.alert == bool(shock)
    assert np.median(np.abs(own.residual[:reported, -1])) < 2.0  # what it shares with that one is taken off
    few[:25, -1] = residual[:25, -1]
    assert common.split(panel(few)).world.cycle == "2020-040"


def test_airports_that_rest_for_a_season_have_nothing_in_common_with_the_others() -> None:
    residual = noise(airports=40, cycles=104)
    residual[:25, 10:32] = 0.0
    residual[:25, 62:84] = 0.001
    residual[30, -8:] *= 4.0
    residual[31:, -2:] -= 4.0
    own = common.split(panel(residual))
    assert own.residual[:25, 10:32] == pytest.approx(np.zeros((25, 22)))
    assert np.median(own.loss[25:, 10:32]) == pytest.approx(np.median(own.loss[25:, 40:60]), rel=0.3)
    assert own.loss[30, -8:].mean() > 2.0
    assert own.loss.max() < 30.0


def test_a_fleet_that_never_moves_has_no_world() -> None:
    own = common.split(panel(np.zeros((20, 30))))
    assert not own.world.alert
    assert own.residual == pytest.approx(np.zeros((20, 30)))
    assert own.loss == pytest.approx(np.zeros((20, 30)))


def test_airports_that_were_all_off_by_the_very_same_tell_no_usual_width() -> None:
    residual = np.tile(noise(airports=1), (20, 1))
    residual[:, -1] = noise(airports=20, cycles=1)[:, 0]
    own = common.split(panel(residual))
    assert own.residual[:, -1] == pytest.approx(residual[:, -1] - np.median(residual[:, -1]))


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
