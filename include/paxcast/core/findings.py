"""What an evaluation found: one row for each question asked of a fleet's forecasts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True)
class Finding:
    """`passed` is None where nothing could be measured: `measured` then says why. A failed one is no error."""

    check: str
    expected: str
    measured: str
    passed: bool | None

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def unmeasured(check: str, expected: str, why: str) -> Finding:
    """A question that this fleet cannot answer."""
    return Finding(check, expected, f"{UNKNOWN}: {why}", None)


def percent(share: float, digits: int = 1) -> str:
    """A share as text; `not measured` for NaN."""
    return f"{100 * share:.{digits}f} %" if np.isfinite(share) else UNKNOWN


def tally(findings: Sequence[Finding]) -> str:
    """How many passed, failed and were not measured, in a sentence."""
    passed = sum(f.passed is True for f in findings)
    failed = sum(f.passed is False for f in findings)
    return (
        f"{passed} of {len(findings)} checks passed, {failed} failed, {len(findings) - passed - failed} not measured."
    )
