"""Values that are out by a power of ten or hold a year's total, told from the airport's own season and level.

    expected = the same season of earlier years, each scaled by the level just before over the level just before then
    jump     = log10(value / expected), in decades: a power of ten is a whole number
    off      = jump - the others' median jump in that period: what the whole fleet does is no fault of one airport

The periods are walked from old to new. A value that is found wrong is put right before the next one is looked at, so
that a stretch of wrong values is measured against the level before it, and right values after it are right.
"""

from dataclasses import dataclass

import numpy as np

from paxcast.core import calendar
from paxcast.core.drift.traffic import MAD, Array, Counts, Flags, first_true, median

NEAR = {"D": 14, "W": 4, "MS": 3}  # periods that tell the level just before
LATELY = 4  # times as many tell how far values stray at present
PAST = {"D": 112, "W": 104, "MS": 36}  # periods that tell how far they stray usually
LEAST = 8  # of these, to tell it at all
YEARS = 3  # earlier ones that tell the season
SURE = 6.0  # robust standard deviations of the airport's own jumps
APART = 4.0  # robust standard deviations of the fleet's jumps in that period
FLEET = 8  # airports that tell how far these lie apart
WORTH = 0.5  # decades: a smaller jump is no power of ten
WITHIN = 0.12  # decades off a whole number: a factor of 1.32
BACK = 0.5  # of the jump: what is nearer than that to an earlier year goes back to what was seen before
UNHEARD = 20.0  # times anything seen before: no traffic does that
LOOSELY = 0.3  # decades off a whole number that are granted to it
COLLAPSE = -2  # powers of ten down to which a fall may be traffic's own: one value is not enough
RESOLUTION = 20.0  # passengers: below, rounding alone moves a value by over 2.5 %
ABOUT = float(np.log10(1.15))  # decades off a year's total
ABOVE = 3.0  # times anything seen before, in a period that holds a total
GIVEN = 0.75  # of a year's periods, to know its total
TOTAL = 99  # stands beside the powers of ten


@dataclass(frozen=True, slots=True)
class Jumps:
    """Of each value: `kind` [A, P] 0 where it is right, the power of ten by which it is out, or TOTAL; `expected`
    [A, P] what it should have been (of a total, too), NaN where it is right or that is not known; `total` [A, P] the
    year's total that it is near, else NaN."""

    kind: Counts
    expected: Array
    total: Array


def wrong_values(y: Array, frequency: str, absent: str, periods: int) -> Jumps:
    """The wrong ones among the newest `periods` values. y: [A, P] traffic, NaN where nothing is known.

    absent: `missing`, or `zero` where the zeros in `y` may stand for periods without a row.
    """
    walk = _Walk.over(y, frequency)
    last = y.shape[1]
    for t in range(max(last - periods - walk.past, 1), last):
        walk.look(t)
        if t >= last - periods:
            walk.judge(t, absent)
    return Jumps(walk.kind, walk.expected, walk.total)


@dataclass(frozen=True, slots=True)
class _Walk:
    """What is known when a period is looked at, [A, P] each: values and levels put right up to then, jumps so far.

    `at`: [N] the airports, by position, that a question is asked of.
    """

    y: Array
    level: Array
    jump: Array
    kind: Counts
    expected: Array
    total: Array
    first: Counts  # [A] column of the first traffic
    year: int  # periods
    near: int
    past: int

    @classmethod
    def over(cls, y: Array, frequency: str) -> "_Walk":
        unknown = np.full(y.shape, np.nan)
        level = np.log10(y, where=y > 0, out=unknown.copy())
        arrays = (y.copy(), level, unknown.copy(), np.zeros(y.shape, dtype=np.int64), unknown.copy(), unknown)
        year = calendar.frequency(frequency).year
        return cls(*arrays, first_true(y > 0), year, NEAR[frequency], PAST[frequency])

    def look(self, t: int) -> None:
        self.jump[:, t] = self.level[:, t] - self.expected_level(t, t)

    def expected_level(self, t: int, end: int) -> Array:
        """The level of period t that the periods before `end` lead one to expect. [A] decades

        The median over the earlier years; of an airport that is too young for one, the level just before.
        """
        least, start = (self.near + 1) // 2, end - self.near
        before = self.level[:, max(start, 0) : end]
        ago = [j * self.year for j in range(1, YEARS + 1) if start >= j * self.year]
        if not ago:
            return median(before, least)
        change = [median(before - self.level[:, start - a : end - a], least) for a in ago]
        years = [self.level[:, t - a] + c for a, c in zip(ago, change, strict=True)]
        young = self.first > start - self.year
        return np.where(young, median(before, least), median(np.stack(years, axis=1)))

    def judge(self, t: int, absent: str) -> None:
        """Says which values of a period are wrong, and puts them right."""
        jump = self.jump[:, t]
        off = jump - others_median(jump)
        large = (np.abs(off) >= WORTH) | (np.abs(jump) >= WORTH)
        at = np.flatnonzero(large | (np.isnan(jump) & (self.y[:, t] > 0)))
        if not len(at):
            return
        sure = self.exceptional(at, t, off)
        power, unit = self.unit(at, t, off, sure)
        blind = np.isnan(jump[at]) & (absent == "missing")
        total, off_total = self.off_total(at, t, blind | sure)
        annual = np.isfinite(off_total) & ~(unit & (np.abs(off[at] - power) < off_total))
        self.put_right(at, t, np.where(annual, TOTAL, np.where(unit, power, 0)), total)

    def put_right(self, at: Counts, t: int, kind: Array, total: Array) -> None:
        wrong = kind != 0
        rows, kind, annual = at[wrong], kind[wrong], kind[wrong] == TOTAL
        expected = self.level[rows, t] - self.jump[rows, t]
        self.kind[rows, t], self.expected[rows, t] = kind, 10**expected
        self.total[rows[annual], t] = total[wrong][annual]
        self.level[rows, t] = np.where(annual, expected, self.level[rows, t] - kind)
        self.y[rows, t], self.jump[rows, t] = 10 ** self.level[rows, t], np.nan

    def unit(self, at: Counts, t: int, off: Array, sure: Flags) -> tuple[Array, Flags]:
        """[N] the power of ten that is nearest, and whether the value is out by it."""
        power, own = np.rint(off[at]), np.rint(self.jump[at, t])
        near = (power != 0) & (own == power) & (np.abs(off[at] - power) <= WITHIN)
        usual = near & sure & ~self.goes_back(at, t, power)
        usual &= (power > 0) | self.fallen(at, t, power)
        unheard = (own > 0) & (np.abs(self.jump[at, t] - own) <= LOOSELY) & self.unheard(at, t)
        power, found = np.where(unheard, own, power), usual | unheard
        for measured in (self.jump[at, t], off[at]):
            goes_on = self.goes_on(at, t, measured)
            power, found = np.where(goes_on, np.rint(measured), power), found | goes_on
        return power, found

    def exceptional(self, at: Counts, t: int, off: Array) -> Flags:
        """[N] whether the jump is, of the airport's own and among the fleet's, before and after the fleet's is off."""
        jumps = np.abs(self.jump[at, :t])
        usually, lately = median(jumps[:, -self.past :], LEAST), median(jumps[:, -LATELY * self.near :])
        own = SURE * MAD * np.where(np.isfinite(usually), np.fmax(usually, lately), np.nan)
        apart = APART * MAD * float(median(np.abs(off))) if np.isfinite(off).sum() >= FLEET else 0.0
        sure: Flags = (np.abs(self.jump[at, t]) >= own) & (np.abs(off[at]) >= np.maximum(own, apart))
        return sure

    def goes_back(self, at: Counts, t: int, power: Array) -> Flags:
        """[N] whether the value is about that of an earlier year: traffic that recovers, or falls as it fell before."""
        back = np.zeros(len(at), dtype=np.bool_)
        for ago in (j * self.year for j in range(1, YEARS + 1) if t >= j * self.year):
            change = (self.level[at, t] - self.level[at, t - ago]) * np.sign(power)
            back |= change < BACK * np.abs(power)
        return back

    def fallen(self, at: Counts, t: int, power: Array) -> Flags:
        """[N] whether a fall is a unit's: by 10 or 100 in this period and the next; and not to a few passengers."""
        y, agree = self.y[at, t], np.zeros(len(at), dtype=np.bool_)
        if (power < 0).any() and t + 1 < self.y.shape[1]:
            after = self.level[:, t + 1] - self.expected_level(t + 1, t)
            agree = np.abs((after - others_median(after))[at] - power) <= WITHIN
        readable = (y >= RESOLUTION) | (np.abs(y - np.rint(y)) > 1e-6)
        fallen: Flags = readable & (agree | (power < COLLAPSE))
        return fallen

    def goes_on(self, at: Counts, t: int, measured: Array) -> Flags:
        """[N] whether values just before were out by the same power: a noisy airport's stretch is not to break off."""
        power = np.rint(measured)
        loosely = (np.abs(power) > 1) | (np.abs(measured - power) <= LOOSELY)
        before = self.kind[at, max(t - self.near, 0) : t] == power[:, None]
        goes_on: Flags = (power != 0) & loosely & before.any(axis=1)
        return goes_on

    def unheard(self, at: Counts, t: int) -> Flags:
        """[N] whether the value is many times anything seen before, where enough was seen to say so."""
        before = self.y[at, :t]
        enough = (before > 0).sum(axis=1) >= LATELY * self.near
        unheard: Flags = enough & (self.y[at, t] >= UNHEARD * np.nan_to_num(before).max(axis=1, initial=0.0))
        return unheard

    def off_total(self, at: Counts, t: int, unlike: Flags) -> tuple[Array, Array]:
        """[N] the total of the last year's periods, scaled to a whole year, and how many decades the value is off it.

        Infinite where it is no such total. unlike: [N] whether the value is unlike what is expected, or nothing is.
        """
        y, before = self.y[at, t], self.y[at, max(t - 2 * self.year, 0) : t]
        given = np.isfinite(before)
        given &= np.cumsum(given[:, ::-1], axis=1)[:, ::-1] <= self.year
        count = given.sum(axis=1)
        total = np.where(given, before, 0.0).sum(axis=1) / np.maximum(count, 1) * self.year
        known = (count >= GIVEN * self.year) & (total > 0) & (y > 0)
        ratio = np.divide(y, total, where=known, out=np.full(len(at), np.inf))
        seen = np.nan_to_num(self.y[at, max(t - YEARS * self.year, 0) : t]).max(axis=1, initial=0.0)
        off = np.abs(np.log10(ratio))
        return total, np.where((off <= ABOUT) & unlike & (y >= ABOVE * seen), off, np.inf)


def others_median(values: Array) -> Array:
    """The median of all the others, where they and itself are finite; 0 for the only one. [A] -> [A]"""
    known = np.flatnonzero(np.isfinite(values))
    found, count = np.where(np.isfinite(values), 0.0, np.nan), len(known)
    if count < 2:
        return found
    order = known[np.argsort(values[known], kind="stable")]
    rank = np.arange(count)
    low, high = (count - 2) // 2, (count - 1) // 2
    ordered = values[order]
    found[order] = (ordered[low + (low >= rank)] + ordered[high + (high >= rank)]) / 2
    return found
