"""What becomes of one shock: its values kept, taken out as one event, bridged, or left out with what was before.

A one-off event has one effect, the share by which it moved the traffic of the whole window (an intervention; Box and
Tiao, "Intervention analysis", 1975). Taken out, what the window tells of season and noise remains.
"""

from dataclasses import dataclass

import numpy as np

from paxcast.core import calendar
from paxcast.core.treatment.bridging import EDGE, Stretch, filled
from paxcast.core.treatment.gaps import runs
from paxcast.core.treatment.raw import Array
from paxcast.core.treatment.rules import EVENT, KEEP, Rules
from paxcast.core.treatment.shocks import FOUND, Window

BRIDGED = "bridged"
LEFT_OUT = 0.3  # a shock in the first year that moved the traffic by this share is left out with what was before it


@dataclass(frozen=True, slots=True)
class Passage:
    """`values`: [last - first + 1] traffic of the window, without NaN."""

    values: Array
    how: str
    made_up: bool = False
    left_out: bool = False


def pass_through(y: Array, actual: Array, window: Window, frequency: str, rules: Rules) -> Passage:
    """What the rules make of a window. y: [T] traffic as treated so far, NaN in this and later windows; actual: [T] as
    observed, NaN where nothing was."""
    kept = _kept(y, actual, window, frequency)
    if rules.shock_mode == KEEP:
        return Passage(kept, "kept")
    stretch = Stretch(y, window.first, window.last, calendar.frequency(frequency).year)
    before, _ = stretch.before(window.at)
    if not np.isfinite(before).all():
        return _in_first_year(stretch, kept, rules, frequency)
    ongoing = window.last == len(y) - 1
    usual = before if ongoing else stretch.bridge(EDGE[frequency])
    if window.name != FOUND and _moved_by(kept, usual) < rules.least_effect:
        return Passage(kept, "kept: no effect to be seen")
    if ongoing:
        return _at_level_reached(kept, before, EDGE[frequency])
    if rules.shock_mode == EVENT and kept.sum() > 0:
        return Passage(kept * (float(usual.sum()) / float(kept.sum())), "one-off event", made_up=True)
    return Passage(usual, BRIDGED, made_up=True)


def _kept(y: Array, actual: Array, window: Window, frequency: str) -> Array:
    """The window as observed, gaps in it filled by all that is known around them."""
    known = np.where(np.isnan(y), actual, y)
    kept = known.copy()
    for first, last in runs(np.isnan(known)):
        kept[first : last + 1] = filled(known, first, last, frequency)
    return kept[window.first : window.last + 1]


def _in_first_year(stretch: Stretch, kept: Array, rules: Rules, frequency: str) -> Passage:
    """No season before it to bridge from: a heavy shock is left out, with what was before, if enough comes after."""
    after, _ = stretch.after(np.arange(stretch.first, stretch.last + 1))
    enough = len(stretch.y) - 1 - stretch.last >= rules.shortest_part(frequency)
    if enough and np.isfinite(after).all() and _moved_by(kept, after) >= LEFT_OUT:
        return Passage(kept, "the part after is used", left_out=True)
    return Passage(kept, "kept: no season before it")


def _at_level_reached(kept: Array, before: Array, edge: int) -> Passage:
    """A shock that goes on: the seasonal shape from before it, all at the level of its last `edge` periods.

    Nothing is known of what follows. A bridge to the old level would promise a recovery, a slope down to the present
    one a further fall; flat, the series says no more than that traffic is where it is.
    """
    over, under = float(kept[-edge:].sum()), float(before[-edge:].sum())
    if under <= 0:
        return Passage(kept, "kept: no traffic in that season before it")
    return Passage(before * (over / under), "at the level reached", made_up=True)


def _moved_by(values: Array, usual: Array) -> float:
    """By what share the traffic of a window differs from the usual; 1 if none is usual. [N]"""
    total = float(usual.sum())
    return abs(float(values.sum()) / total - 1) if total > 0 else 1.0
