"""What changes and what stays: a challenger replaces what is in force only where it is better by a margin."""

from paxcast.core.candidates import Specification

NAIVE = Specification("seasonal_naive", {})


def beats(challenger: float | None, champion: float | None, margin: float) -> bool:
    """Whether an error is lower than another by more than a share `margin` of it (0.02 = 2 %). None: there is none."""
    if challenger is None:
        return False
    return champion is None or challenger < champion * (1 - margin)
