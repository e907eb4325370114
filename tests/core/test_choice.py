"""Which specification an airport gets: challenger, champion or last season's value, and why."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.candidates import Specification
from paxcast.core.choice import NAIVE, Scored, choose

SETTINGS = settings(max_examples=150, deadline=None)
NEW, OLD = Specification("prophet", {"growth": "flat"}), Specification("prophet", {"growth": "linear"})
MASE = st.floats(0, 3).map(lambda m: round(m, 3)) | st.just(float("inf"))


@pytest.mark.parametrize(
    ("challenger", "champion", "naive", "published", "verdict"),
    [
        (0.8, None, 1.0, NEW, "first"),
        (1.0, None, 1.0, NEW, "first"),
        (1.01, None, 1.0, NAIVE, "naive"),
        (0.7, 0.8, 1.0, NEW, "replaced"),
        (0.79, 0.8, 1.0, OLD, "kept"),
        (0.9, 0.8, 1.0, OLD, "kept"),
        (1.2, 1.1, 1.0, NAIVE, "naive"),
        (1.05, 1.2, 1.0, NAIVE, "naive"),
        (0.5, float("inf"), 1.0, NEW, "replaced"),
        (0.985, 1.001, 1.0, NEW, "replaced"),
        (1.0, 1.001, 1.0, NEW, "replaced"),
        (float("inf"), None, 1.0, NAIVE, "naive"),
    ],
)
def test_the_challenger_must_beat_the_champion_by_the_margin_and_both_seasonal_naive(
    challenger, champion, naive, published, verdict
):
    held = None if champion is None else Scored(OLD, champion)
    decision = choose(Scored(NEW, challenger), held, naive, margin=0.02)
    assert (decision.specification, decision.verdict) == (published, verdict)


@pytest.mark.parametrize(("mase", "verdict"), [(0.5, "kept"), (0.499, "replaced")])
def test_a_win_by_exactly_the_margin_is_not_enough(mase, verdict):
    assert choose(Scored(NEW, mase), Scored(OLD, 1.0), 2.0, margin=0.5).verdict == verdict


def test_without_a_margin_a_tie_keeps_the_champion():
    assert choose(Scored(NEW, 0.8), Scored(OLD, 0.8), 1.0, margin=0.0).verdict == "kept"


def test_the_same_specification_found_again_is_kept_and_not_replaced():
    again = Specification("prophet", {"growth": "linear"})
    decision = choose(Scored(again, 0.8), Scored(OLD, 0.8), 1.0, margin=0.02)
    assert (decision.specification, decision.verdict) == (OLD, "kept")
    assert decision.reason == "the champion's specification is still the best, MASE 0.800"


@pytest.mark.parametrize(
    ("challenger", "champion", "reason"),
    [
        (0.7, None, "first specification of this airport, MASE 0.700 in the folds"),
        (0.7, 0.8, "MASE 0.700 beats the champion's 0.800 by more than 2%"),
        (0.799, 0.8, "MASE 0.799 does not beat the champion's 0.800 by 2%"),
        (1.5, None, "prophet had MASE 1.500 in the folds, seasonal naive 1.000: seasonal naive is published"),
    ],
)
def test_the_reason_holds_the_figures_it_rests_on(challenger, champion, reason):
    held = None if champion is None else Scored(OLD, champion)
    assert choose(Scored(NEW, challenger), held, 1.0, margin=0.02).reason == reason


@SETTINGS
@given(MASE, MASE | st.none(), st.floats(0, 3), st.sampled_from([0.0, 0.02, 0.5]))
def test_what_is_published_is_never_worse_than_seasonal_naive_and_a_champion_gives_way_only_to_a_better(
    challenger, champion, naive, margin
):
    held = None if champion is None else Scored(OLD, champion)
    decision = choose(Scored(NEW, challenger), held, naive, margin)
    mase = {str(NEW): challenger, str(OLD): champion, str(NAIVE): naive}[str(decision.specification)]
    assert mase <= naive
    if decision.verdict == "replaced":
        assert challenger < champion * (1 - margin) or challenger <= naive < champion
    if decision.verdict == "kept":
        assert challenger >= champion * (1 - margin)
