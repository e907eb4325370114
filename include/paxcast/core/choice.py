"""Which specification an airport gets: the challenger of this run, its champion, or last season's value.

Decided once per airport, on the same folds for all three, and stored with its reason.
"""

from dataclasses import dataclass

from paxcast.core.candidates import Specification

NAIVE = Specification("seasonal_naive", {})


@dataclass(frozen=True, slots=True)
class Scored:
    """A specification and its mean error over the folds, in units of the seasonal naive error (MASE)."""

    specification: Specification
    mase: float


@dataclass(frozen=True, slots=True)
class Decision:
    """The specification to publish. `verdict`: first, replaced, kept, or naive. `reason`: for a person to read."""

    specification: Specification
    verdict: str
    reason: str


def choose(challenger: Scored, champion: Scored | None, naive_mase: float, margin: float) -> Decision:
    """The specification to publish, all three scored on the same folds.

    A champion stays unless the challenger beats it by more than `margin` (a share, 0.02 = 2 %). Whatever stays must not
    be worse than seasonal naive in the folds: a champion that is gives way to a challenger that is not, and where both
    are, seasonal naive is published, and says so.
    """
    if champion is not None and champion.mase > naive_mase >= challenger.mase:
        reason = f"the champion, MASE {champion.mase:.3f}, has become worse than seasonal naive, {naive_mase:.3f}"
        return Decision(challenger.specification, "replaced", f"MASE {challenger.mase:.3f}; {reason}")
    winner, verdict, reason = _duel(challenger, champion, margin)
    if winner.mase > naive_mase:
        return Decision(
            NAIVE,
            "naive",
            f"{winner.specification.candidate} had MASE {winner.mase:.3f} in the folds, seasonal naive "
            f"{naive_mase:.3f}: seasonal naive is published",
        )
    return Decision(winner.specification, verdict, reason)


def _duel(challenger: Scored, champion: Scored | None, margin: float) -> tuple[Scored, str, str]:
    if champion is None:
        return challenger, "first", f"first specification of this airport, MASE {challenger.mase:.3f} in the folds"
    if challenger.specification == champion.specification:
        return champion, "kept", f"the champion's specification is still the best, MASE {champion.mase:.3f}"
    if challenger.mase < champion.mase * (1 - margin):
        return (
            challenger,
            "replaced",
            f"MASE {challenger.mase:.3f} beats the champion's {champion.mase:.3f} by more than {margin:.0%}",
        )
    return (
        champion,
        "kept",
        f"MASE {challenger.mase:.3f} does not beat the champion's {champion.mase:.3f} by {margin:.0%}",
    )
