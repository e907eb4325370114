"""No new actual, no new test: then what an earlier check said of an airport holds, while its model is the same."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core.drift.verdicts import WATCH, Verdict

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the newest check before said of an airport: as of when, and of the forecasts of which model version. Its
    verdict has no p where the airport was not tested."""

    as_of: pd.Timestamp
    version: int
    verdict: Verdict


def held(
    judged: Verdict,
    there: Flags,
    live: Flags,
    earlier: Earlier | None,
    version: int,
    known_since: pd.Timestamp | None,
) -> Verdict:
    """The verdict that counts, of the one that a panel gives now and the one before.

    there, live: [T] whether the airport has a residual in each cycle, and whether that is of a published forecast.
    version: of the model in force. known_since: when the last of its actuals became known; those restated since the
    check before are new. A test is of a published forecast, and drift of two in a row: of one alone it is a watch.
    """
    own = np.flatnonzero(there)
    untested = Verdict(judged.airport, judged.cycle)
    if earlier is not None and not _news(judged, earlier, known_since):
        same = earlier.version == version and earlier.verdict.p is not None
        return replace(earlier.verdict if same else untested, cycle=earlier.verdict.cycle, tested=False)
    if not len(own) or not live[own[-1]]:
        return untested
    if judged.drifted and not live[own[-2:]].all():
        return replace(judged, drifted=False, severity=WATCH)
    return judged


def _news(judged: Verdict, earlier: Earlier, known_since: pd.Timestamp | None) -> bool:
    """Whether there is an actual that the check before could not know."""
    if judged.cycle != earlier.verdict.cycle:
        return judged.cycle > earlier.verdict.cycle
    return known_since is not None and known_since > earlier.as_of
