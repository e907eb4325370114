"""A treated history: the series to fit on, what of it was observed, and the record of what was done."""

from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from paxcast.core.series import Series
from paxcast.core.treatment.raw import Flags


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the record: what was met, what was done about it, the first and last period, and how many.

    `what`: opening, gap, long_gap, outlier, unconfirmed, shock, moved, closed, zero_heavy, tiny.
    """

    what: str
    how: str
    first: str
    last: str
    periods: int
    name: str = ""  # of a shock

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Treated:
    """`series` has no NaN and may begin `offset` raw periods later.

    `observed`: [len(series.y)], True where the value is an observation as it was: not filled, bridged or replaced. An
    absent period that the source declares to be zero counts as observed.
    `zero_heavy`: no logarithms, nothing multiplicative. `closed`: no traffic any more, longer than ever before.
    """

    series: Series
    offset: int
    observed: Flags
    steps: tuple[Step, ...]
    zero_heavy: bool = False
    tiny: bool = False
    closed: bool = False


@dataclass(slots=True)
class Notes:
    """The record while it is written. `ds`: [T] all period starts of the raw grid."""

    ds: npt.NDArray[np.datetime64]
    steps: list[Step] = field(default_factory=list)

    def add(self, what: str, how: str, periods: npt.NDArray[np.intp], name: str = "") -> None:
        """One line about these periods, by their position in `ds`; none if there are none."""
        if len(periods):
            first, last = self.day(int(periods[0])), self.day(int(periods[-1]))
            self.steps.append(Step(what, how, first, last, len(periods), name))

    def day(self, position: int) -> str:
        return str(self.ds[position])[:10]
