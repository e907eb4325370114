"""The common factor: what moves all airports at once is one alert, and is taken off before single airports are judged.

An airport's residual is common + own: the common part of a cycle is the median over the airports that have one, so that
no airport, and no few of them, can move it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core.drift.panel import Panel
from paxcast.core.drift.traffic import MAD

Array = npt.NDArray[np.float64]

FEW = 8  # airports: of fewer the median is mostly one of them, and there is no common factor
LEAST = 8  # earlier cycles that tell how the median usually moves
CHANCE = 1e-3  # that an alert is none, a cycle
SPREADS = 0.5  # that half of the airports must be off by: less is nobody's alert, however sure it is
TIMES = 1.5  # that the median loss must be of the usual, else
AT_REST = 0.02  # spreads: who is off by less is mostly closed for a season, and has nothing in common with the others
MOST = 10.0  # times: more width or loss than usual is not taken off


@dataclass(frozen=True, slots=True)
class World:
    """Whether the world changed. `cycle`: the newest that most have reported; `shift`: the fleet's median residual of
    it, in spreads; `share`: of the airports that did worse than their own usual; `since`: the first cycle of the alert,
    "" without one."""

    alert: bool
    p: float | None
    shift: float
    share: float
    cycle: str
    since: str


@dataclass(frozen=True, slots=True)
class Own:
    """What is the airports' own: residual, loss and share outside of the interval, [A, T], NaN as in the panel."""

    residual: Array
    loss: Array
    outside: Array
    world: World


def split(panel: Panel) -> Own:
    """The panel without its common factor, and the verdict on that of the newest cycle.

    Where the airports differ more than they usually do, as in a shock that met all in their own measure, the residuals
    are brought back to the usual width: one cannot be told from another by a shock they share.
    """
    width = panel.residual.shape[1]
    if len(panel.airports) < FEW or not width:
        newest = panel.cycles[-1] if panel.cycles else ""
        return Own(panel.residual, panel.loss, panel.outside, World(False, None, 0.0, 0.0, newest, ""))
    moves = np.isfinite(panel.residual) & (panel.loss > AT_REST)
    counts = moves.sum(axis=0)
    last = _newest_whole(np.isfinite(panel.residual).sum(axis=0))
    enough = (counts >= FEW) & (np.arange(width) <= last)
    among = np.where(moves, panel.residual, np.nan)
    shift = _carried(np.where(enough, _median(among), 0.0), last)
    level = _carried(np.where(enough, np.log(_median(np.where(moves, panel.loss, np.nan))), np.nan), last)
    apart = _carried(np.where(enough, MAD * _median(np.abs(among - shift)), np.nan), last)
    before = apart[:last][np.isfinite(apart[:last])]
    usually = float(np.median(before)) if len(before) else 0.0  # zero where most were off by the very same
    wider = np.clip(np.nan_to_num(apart / usually, nan=1.0), 1.0, MOST) if usually > 0 else np.ones(width)
    residual = np.where(moves, (panel.residual - shift) / wider, panel.residual)
    usual = np.nanmedian(level) if np.isfinite(level).any() else 0.0
    times = np.clip(np.exp(np.nan_to_num(level - usual, nan=0.0)), 1 / MOST, MOST)
    loss = np.where(moves, panel.loss / times, panel.loss)
    missed = _carried(np.where(enough, _mean(panel.outside), np.nan), last)
    outside = panel.outside - np.nan_to_num(missed - (np.nanmean(missed) if enough.any() else 0.0), nan=0.0)
    whole = slice(0, last + 1)
    return Own(residual, loss, outside, _verdict(panel, shift[whole], level[whole], enough[whole], counts))


def _newest_whole(reported: npt.NDArray[np.int64]) -> int:
    """The newest cycle that half of the usual number of airports have reported. reported: [T] how many have. What the
    first few say of a newer one is not what all have in common: until then that cycle is taken to be like this one."""
    usual = float(np.median(reported[-LEAST:]))
    whole = np.flatnonzero(reported >= max(FEW, usual / 2))
    return int(whole[-1]) if len(whole) else len(reported) - 1


def _carried(values: Array, last: int) -> Array:
    """[T] the values up to a cycle, and that cycle's own for all after it."""
    found = values.copy()
    found[last + 1 :] = values[last]
    return found


def _verdict(
    panel: Panel, shift: Array, level: Array, enough: npt.NDArray[np.bool_], counts: npt.NDArray[np.int64]
) -> World:
    """Of the newest of these cycles, [T] each. counts: the airports of which the medians are, by cycle."""

    def said(t: int) -> tuple[bool, float | None]:
        return _alert(shift[: t + 1], level[: t + 1], enough[: t + 1], counts[t])

    first = newest = len(shift) - 1
    alert, p = said(newest)
    while alert and first > 0 and said(first - 1)[0]:
        first -= 1
    usual = np.nanmedian(panel.loss[:, :newest], axis=1) if newest else np.full(len(panel.airports), np.nan)
    now = panel.loss[:, newest]
    known = np.isfinite(now) & np.isfinite(usual)
    share = float(np.mean(now[known] > usual[known])) if known.any() else 0.0
    since = panel.cycles[first] if alert else ""
    return World(alert, p, float(shift[-1]), share, panel.cycles[newest], since)


def _alert(shift: Array, level: Array, enough: npt.NDArray[np.bool_], airports: int) -> tuple[bool, float | None]:
    """Whether the newest of these medians is out of the ordinary, and with what chance it would be by luck."""
    before = enough[:-1]
    if not enough[-1] or before.sum() < LEAST:
        return False, None
    p_shift = _p(shift[-1] - np.median(shift[:-1][before]), shift[:-1][before], airports, both=True)
    p_level = _p(level[-1] - np.median(level[:-1][before]), level[:-1][before], airports, both=False)
    off = abs(shift[-1]) >= SPREADS and p_shift < CHANCE / 2
    worse = level[-1] - np.median(level[:-1][before]) >= np.log(TIMES) and p_level < CHANCE / 2
    return bool(off or worse), float(min(1.0, 2 * min(p_shift, p_level)))


def _p(gap: float, before: Array, airports: int, both: bool) -> float:
    """The chance of such a gap: Student's t, its scale the median absolute deviation of the medians before, and never
    less than a median of so many airports has by itself, sqrt(pi / 2 / airports) of their spread, which is one."""
    from scipy.stats import t as student  # type: ignore[import-untyped]

    by_itself = np.sqrt(np.pi / 2 / airports)
    scale = np.hypot(MAD * np.median(np.abs(before - np.median(before))), by_itself)
    tail = float(student.sf(abs(gap) if both else gap, max(len(before) // 2, 3), scale=scale))
    return min(1.0, 2 * tail) if both else tail


def _mean(values: Array) -> Array:
    """[T] over the airports, zero of a cycle without any."""
    there = np.isfinite(values)
    mean: Array = np.where(there, values, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    return mean


def _median(values: Array) -> Array:
    """[T] over the airports, NaN of a cycle without any."""
    found = np.full(values.shape[1], np.nan)
    there = np.isfinite(values).any(axis=0)
    found[there] = np.nanmedian(values[:, there], axis=0)
    return found
