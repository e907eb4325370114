"""One airport's history as it was known at each cutoff: what a fold trains on is treated from its own past alone."""

import numpy as np
import numpy.typing as npt

from paxcast.core.series import Series
from paxcast.core.treatment import Raw, Rules, Treated, treat


class Past:
    """`raw`: the observations on their grid; a cutoff is a number of its periods. Treated once for each cutoff."""

    def __init__(self, raw: Raw, rules: Rules) -> None:
        self.raw, self.rules = raw, rules
        self._treated: dict[int, Treated] = {}

    @property
    def airport(self) -> str:
        return self.raw.airport

    @property
    def frequency(self) -> str:
        return self.raw.frequency

    @property
    def ds(self) -> npt.NDArray[np.datetime64]:
        """[T] every period start, from the first observation to the last."""
        return self.raw.ds

    def treated(self, cutoff: int | None = None) -> Treated:
        """The first `cutoff` periods treated as if no more were known; all of them without one."""
        periods = len(self.raw.ds) if cutoff is None else cutoff
        if periods not in self._treated:
            self._treated[periods] = treat(self.raw.head(periods), self.rules)
        return self._treated[periods]

    def head(self, periods: int) -> Series:
        """What a fold with that cutoff trains on. It may begin later than the observations do."""
        return self.treated(periods).series
