"""The order of treatment: zeros, opening, long gaps, shocks found, outliers, gaps filled, shocks bridged, record."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from paxcast.core import calendar
from paxcast.core.series import Series
from paxcast.core.treatment import gaps, levels, outliers, shocks
from paxcast.core.treatment.bridging import filled
from paxcast.core.treatment.passage import pass_through
from paxcast.core.treatment.raw import Array, Flags, Raw
from paxcast.core.treatment.rules import BRIDGE, CHOOSE, Rules
from paxcast.core.treatment.shocks import Window
from paxcast.core.treatment.treated import Notes, Treated


def treat(raw: Raw, rules: Rules) -> Treated:
    """The history to fit on, from these raw periods alone. Raises ValueError if none of them was observed."""
    if not np.isfinite(raw.y).any():
        raise ValueError(f"{raw.airport}: none of {len(raw.y)} periods was observed; validate the history first")
    work = _Work(raw, rules)
    work.declare_zeros()
    work.cut_opening()
    work.cut_long_gap()
    windows = work.windows()
    work.drop_outliers(windows)
    work.fill_gaps(windows)
    work.pass_shocks(windows)
    return work.done()


class _Work:
    """One history under treatment. `y`, `observed`: [T] from period `offset` on; `y` is NaN until it is made up."""

    def __init__(self, raw: Raw, rules: Rules) -> None:
        self.raw, self.rules, self.code = raw, rules, raw.frequency
        self.y: Array = raw.y.astype(np.float64)
        self.observed: Flags = np.isfinite(raw.y)
        self.offset = 0
        self.notes = Notes(raw.ds)
        self.zero_heavy, self.wild = False, ~self.observed

    @property
    def ds(self) -> npt.NDArray[np.datetime64]:
        return self.raw.ds[self.offset :]

    def note(self, what: str, how: str, flags: Flags, name: str = "") -> None:
        self.notes.add(what, how, np.flatnonzero(flags) + self.offset, name)

    def cut(self, periods: int, what: str, how: str, name: str = "") -> None:
        """Leaves the first `periods` out."""
        self.note(what, how, np.arange(len(self.y)) < periods, name)
        self.y, self.observed, self.offset = self.y[periods:], self.observed[periods:], self.offset + periods

    def declare_zeros(self) -> None:
        if self.rules.absent == "zero":
            absent = np.isnan(self.y)
            self.note("gap", "taken as zero", absent)
            self.y[absent], self.observed = 0.0, np.ones(len(absent), dtype=np.bool_)

    def cut_opening(self) -> None:
        self.cut(levels.opening(self.y, calendar.frequency(self.code).year), "opening", "the part after is used")

    def cut_long_gap(self) -> None:
        """A gap inside a configured shock that is bridged anyway is none."""
        missing = np.isnan(self.y)
        if self.rules.shock_mode in (BRIDGE, CHOOSE):
            missing &= ~_inside(self._configured(), len(missing))
        start = gaps.after_long_gap(missing, self.rules.longest_gap(self.code), self.rules.shortest_part(self.code))
        if np.isfinite(self.y[start:]).any():
            self.cut(start, "long_gap", "the part after is used")

    def drop_outliers(self, windows: Sequence[Window]) -> None:
        """Those outside the shocks."""
        self.wild = np.zeros(len(self.y), dtype=np.bool_)
        if self.rules.outliers and not self.zero_heavy:
            usual = np.where(_inside(windows, len(self.y)), np.nan, self.y)
            self.wild = outliers.wild(usual, self.code)
            self._note_each("outlier", "replaced", self.wild)
            self._doubt(windows)
            self.y[self.wild], self.observed[self.wild] = np.nan, False

    def _doubt(self, windows: Sequence[Window]) -> None:
        """Notes newest values that are as wild, in a shock that goes on too: the level reached may be a slip."""
        over = [window for window in windows if window.last < len(self.y) - 1]
        usual = np.where(_inside(over, len(self.y)), np.nan, self.y)
        self._note_each("unconfirmed", "not replaced", outliers.unconfirmed(usual, self.code, self.wild))

    def _note_each(self, what: str, how: str, flags: Flags) -> None:
        for at in np.flatnonzero(flags):
            self.note(what, how, np.arange(len(flags)) == at)

    def windows(self) -> tuple[Window, ...]:
        """The shocks, configured and found; one that nothing was observed after goes on to the end."""
        self.zero_heavy = levels.zero_heavy(self.y)
        windows = list(self._configured())
        if self.rules.find_shocks and not self.zero_heavy:
            windows += shocks.found(self.y, self.code, windows)
        last = int(np.flatnonzero(np.isfinite(self.y))[-1])
        to_the_end = [Window(w.name, w.first, len(self.y) - 1) if w.last >= last else w for w in windows]
        return shocks.joined(to_the_end, len(self.y))

    def _configured(self) -> tuple[Window, ...]:
        return shocks.configured(self.ds, self.code, self.rules.shocks)

    def fill_gaps(self, windows: Sequence[Window]) -> None:
        """Those outside the shocks, by what lies outside the shocks."""
        shocked = _inside(windows, len(self.y))
        missing = np.isnan(self.y) & ~shocked
        known = np.where(shocked, np.nan, self.y)
        known = known if np.isfinite(known).any() else self.y
        for first, last in gaps.runs(missing):
            self.y[first : last + 1] = filled(known, first, last, self.code)
        self._note_gaps(missing & ~self.wild)

    def _note_gaps(self, missing: Flags) -> None:
        """One line for all short gaps, one for each that is long, one for a gap at the end."""
        short, at = missing.copy(), np.arange(len(missing))
        for first, last in gaps.runs(missing):
            run = (at >= first) & (at <= last)
            long = last - first + 1 > self.rules.longest_gap(self.code)
            end = last == len(missing) - 1
            if long or end:
                short &= ~run
                how = "carried forward" if end else "interpolated: too little after it"
                self.note("long_gap" if long else "gap", how, run)
        self.note("gap", "interpolated", short)

    def pass_shocks(self, windows: Sequence[Window]) -> None:
        """Each shock in order of time, those after it unknown to it."""
        actual, left_out = self.y.copy(), Window("", 0, -1)
        self.y[_inside(windows, len(self.y))] = np.nan
        for window in windows:
            passage = pass_through(self.y, actual, window, self.code, self.rules)
            inside = _inside([window], len(actual))
            self.y[inside] = passage.values
            self.observed &= ~inside | ((self.y == actual) & np.full(len(actual), not passage.made_up))
            left_out = window if passage.left_out else left_out
            if not passage.left_out:
                self.note("shock", passage.how, inside, window.name)
        self.cut(left_out.last + 1, "shock", "the part after is used", left_out.name)

    def done(self) -> Treated:
        closed = levels.closed_since(self.y, self.code)
        tiny = float(np.mean(self.y)) < self.rules.tiny_below
        at = np.arange(len(self.y))
        self.note("closed", "kept", at >= (len(at) if closed is None else closed))
        for begin in levels.moves(self.y, self.code) if not self.zero_heavy else ():
            self.note("moved", "kept", (at == begin) & self.observed)  # a step where a shock was bridged is none
        self.note("zero_heavy", "kept", np.full(len(at), self.zero_heavy))
        self.note("tiny", "kept", np.full(len(at), tiny))
        return Treated(
            series=Series(self.raw.airport, self.code, self.ds, self.y),
            offset=self.offset,
            observed=self.observed,
            steps=tuple(self.notes.steps),
            zero_heavy=self.zero_heavy,
            tiny=tiny,
            closed=closed is not None,
        )


def _inside(windows: Sequence[Window], periods: int) -> Flags:
    inside = np.zeros(periods, dtype=np.bool_)
    for window in windows:
        inside[window.first : window.last + 1] = True
    return inside
