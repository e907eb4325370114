"""What stays and what makes way: by a margin of the error, so that noise changes nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.choice import NAIVE, Promotion, Waiting, beats, choose
from paxcast.core.search import Trial

SETTINGS = settings(max_examples=150, deadline=None)
MASE = st.floats(0, 3).map(lambda m: round(m, 3)) | st.just(float("inf"))


@pytest.mark.parametrize(
    ("challenger", "champion", "expected"),
    [
        (0.7, 0.8, True),
        (0.785, 0.8, False),
        (0.9, 0.8, False),
        (0.8, 0.8, False),
        (0.0, 0.8, True),
        (0.0, 0.0, False),
        (0.5, float("inf"), True),
        (float("inf"), 0.5, False),
        (0.5, None, True),
        (None, 0.5, False),
        (None, None, False),
    ],
)
def test_a_challenger_must_be_lower_by_more_than_the_margin(challenger, champion, expected):
    assert beats(challenger, champion, 0.02) == expected


@pytest.mark.parametrize(("mase", "expected"), [(0.5, False), (0.499, True)])
def test_a_win_by_exactly_the_margin_is_not_enough(mase, expected):
    assert beats(mase, 1.0, 0.5) == expected


def test_without_a_margin_a_tie_keeps_what_is_there():
    assert not beats(0.8, 0.8, 0.0)


@SETTINGS
@given(MASE, MASE, st.sampled_from([0.0, 0.02, 0.5]))
def test_of_two_at_most_one_beats_the_other_and_never_a_better_one(one, two, margin):
    assert not (beats(one, two, margin) and beats(two, one, margin))
    assert not beats(one, two, margin) or one < two
    assert beats(one, two, margin) <= beats(one, two, 0.0)


def test_seasonal_naive_has_no_parameters():
    assert NAIVE.as_json() == {"candidate": "seasonal_naive", "parameters": {}}


# --- which parameters of a candidate are in force


def tried(**losses):
    """Trials by the name of their one parameter's value, in order."""
    return [Trial(at, {"x": name}, loss) for at, (name, loss) in enumerate(losses.items())]


def test_without_a_champion_the_lowest_error_comes_into_force():
    made = choose(tried(a=0.8, b=0.7, c=0.7), None, None, "2020-12-01", Promotion(0.02))
    assert (made.parameters, made.verdict, made.waiting) == ({"x": "b"}, "first", None)


@pytest.mark.parametrize(
    ("challenger", "verdict", "reason"),
    [
        (0.79, "kept", "MASE 0.790 in the folds against the champion's 0.800: not below by 2%"),
        (0.7, "replaced", "MASE 0.700 in the folds against the champion's 0.800"),
    ],
)
def test_a_champion_is_kept_or_replaced_and_the_reason_has_both_errors(challenger, verdict, reason):
    made = choose(tried(old=0.8, new=challenger), {"x": "old"}, None, "2020-12-01", Promotion(0.02))
    assert (made.verdict, made.reason) == (verdict, reason)
    assert made.parameters == {"x": "new" if verdict == "replaced" else "old"}


def test_without_any_trial_that_may_be_chosen_there_is_no_choice():
    given_up = Trial(1, {"x": "b"}, 0.5, pruned=True)
    assert choose([Trial(0, {"x": "a"}, None), given_up], None, None, "2020-12-01", Promotion(0.02)) is None


def test_a_champion_that_could_not_be_tried_makes_way_at_once_even_where_others_wait():
    made = choose(tried(new=0.7), {"x": "old"}, None, "2020-12-01", Promotion(0.02, 3))
    assert (made.verdict, made.parameters) == ("replaced", {"x": "new"})
    assert "search.space" in made.reason


def served(errors, shadow_cycles, ends):
    """The choices of one run after another, each with the errors of the champion and of two others, and an end."""
    champion, waiting, made = {"x": "old"}, None, []
    for (old, new, newer), until in zip(errors, ends, strict=True):
        one = choose(tried(old=old, new=new, newer=newer), champion, waiting, until, Promotion(0.02, shadow_cycles))
        made.append((one.verdict, one.parameters["x"]))
        champion, waiting = one.parameters, one.waiting
    return made


WINS, LOSES = (0.8, 0.7, 0.9), (0.8, 0.79, 0.9)
MONTHS = ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01"]


def test_a_challenger_waits_until_it_has_won_again_after_so_many_new_periods():
    assert served([WINS] * 3, 2, MONTHS[:3]) == [("waits", "old"), ("waits", "old"), ("replaced", "new")]


def test_a_run_without_new_periods_counts_for_nothing():
    ends = ["2020-01-01", "2020-01-01", "2020-01-01", "2020-02-01"]
    assert served([WINS] * 4, 1, ends) == [("waits", "old")] * 3 + [("replaced", "new")]


def test_a_challenger_that_does_not_win_again_has_to_begin_anew():
    errors = [WINS, LOSES, WINS, WINS]
    assert served(errors, 1, MONTHS) == [("waits", "old"), ("kept", "old"), ("waits", "old"), ("replaced", "new")]


def test_a_still_better_one_does_not_push_out_the_one_that_waits():
    assert served([WINS, (0.8, 0.7, 0.6)], 1, MONTHS[:2]) == [("waits", "old"), ("replaced", "new")]


def test_one_that_could_not_be_tried_again_is_followed_by_another():
    gone = Waiting({"x": "gone"}, 1, "2020-01-01")
    made = choose(tried(old=0.8, new=0.7), {"x": "old"}, gone, "2020-02-01", Promotion(0.02, 2))
    assert made.waiting == Waiting({"x": "new"}, 0, "2020-02-01")
    assert made.as_json()["waiting"] == {"parameters": {"x": "new"}, "cycles": 0, "until": "2020-02-01"}
    assert Waiting.of(made.as_json()["waiting"]) == made.waiting


def test_why_one_waits_is_told():
    made = choose(tried(old=0.8, new=0.7), {"x": "old"}, None, "2020-02-01", Promotion(0.02, 2))
    assert made.reason == ("MASE 0.700 in the folds against the champion's 0.800; won after 0 of 2 new periods")
