"""What is done about drift: each rule by name, and what no order of airports and no budget may change."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.drift.feed import Fault
from paxcast.core.drift.policy import (
    ALERT,
    ASKS,
    ESCALATE,
    FALLBACK,
    IN_VAIN,
    NONE,
    QUIET,
    RETRAIN,
    WAIT,
    Action,
    Past,
    act,
)

SETTINGS = settings(max_examples=100, deadline=None)
NEW = Past()


@dataclass(frozen=True)
class Verdict:
    """As much of a verdict as the policy reads."""

    airport: str
    drifted: bool = True
    severity: str = "moderate"
    p: float | None = 0.001
    reasons: tuple[str, ...] = ("loss", "bias high")


CALM = Verdict("AAA", drifted=False, severity="none", p=0.6, reasons=())
BROKEN = Fault("AAA", "unit", "2024-03-04", "values are a thousandth of the weeks before; mend the feed")


def one(verdict: Verdict | None, past: Past = NEW, *faults: Fault, simple: str = "seasonal_naive") -> Action:
    """What is done about a single airport with budget enough."""
    methods = {"AAA": simple} if simple else {}
    (action,) = act([verdict] if verdict else [], faults, {"AAA": past}, methods, 50)
    return action


def test_an_airport_that_drifts_for_the_first_time_is_retrained_with_its_tests_as_the_reason():
    assert one(Verdict("AAA")) == Action("AAA", RETRAIN, "drift: loss, bias high", "")


def test_an_airport_without_drift_is_left_alone_also_when_it_is_watched():
    assert one(CALM) == Action("AAA", NONE, "", "")
    assert one(replace(CALM, severity="watch")).action == NONE
    assert one(CALM, Past(asked=1, quiet=3)) == Action("AAA", NONE, "", "")


def test_one_that_still_drifts_after_retraining_falls_back_to_its_best_simple_method_and_a_person_is_told():
    action = one(Verdict("AAA"), Past(asked=1), simple="window_average")
    assert (action.action, action.pinned) == (FALLBACK, "window_average")
    assert action.why == "drift: loss, bias high, after retraining too: window_average alone, and a person has to look"


def test_one_of_which_no_simple_method_is_known_is_a_persons_matter():
    action = one(Verdict("AAA"), Past(asked=1), simple="")
    assert (action.action, action.pinned) == (ESCALATE, "")


def test_one_that_drifts_on_its_fallback_is_escalated_and_stays_on_it():
    action = one(Verdict("AAA"), Past(asked=2, pinned="window_average"), simple="seasonal_naive")
    assert (action.action, action.pinned) == (ESCALATE, "window_average")


def test_what_was_asked_for_and_has_not_come_is_asked_for_again_as_it_was():
    waiting = Past(waiting=True, unheard=1)
    assert one(Verdict("AAA"), waiting).action == RETRAIN
    action = one(Verdict("AAA"), replace(waiting, asked=1, pinned="window_average"), simple="seasonal_naive")
    assert (action.action, action.pinned) == (FALLBACK, "window_average")


@pytest.mark.parametrize("pinned", ["", "window_average"])
def test_after_three_asks_in_vain_a_person_is_asked_instead(pinned):
    still = [
        one(Verdict("AAA"), Past(asked=bool(pinned), waiting=True, pinned=pinned, unheard=n)).action for n in range(5)
    ]
    asked = FALLBACK if pinned else RETRAIN
    assert still == [asked, asked, asked, ESCALATE, ESCALATE]
    action = one(Verdict("AAA"), Past(waiting=True, pinned=pinned, unheard=IN_VAIN))
    assert action.pinned == pinned
    assert "asked for in 3 cycles" in action.why


def test_a_fallback_lasts_until_the_airport_was_quiet_for_eight_of_its_cycles():
    told = [one(CALM, Past(asked=2, pinned="window_average", quiet=n)) for n in (0, QUIET - 1, QUIET)]
    assert [(a.action, a.pinned) for a in told] == [(NONE, "window_average")] * 2 + [(NONE, "")]
    assert [a.why for a in told] == [
        "on window_average alone, quiet for 0 of 8 cycles",
        "on window_average alone, quiet for 7 of 8 cycles",
        "quiet for 8 cycles on window_average alone: all its candidates compete again",
    ]


def test_one_that_drifts_when_its_episode_was_over_is_retrained_as_for_the_first_time():
    for over in (Past(asked=1, quiet=QUIET), Past(asked=2, pinned="window_average", quiet=QUIET)):
        assert one(Verdict("AAA"), over) == one(Verdict("AAA"))


def test_a_fault_alerts_and_never_retrains_and_what_the_airport_is_on_stays():
    for past in (Past(), Past(waiting=True, unheard=1), Past(asked=1), Past(asked=2, pinned="window_average")):
        action = one(Verdict("AAA", severity="severe", p=0.0), past, BROKEN)
        assert (action.action, action.pinned) == (ALERT, past.pinned)
        assert action.why == "unit since 2024-03-04: values are a thousandth of the weeks before; mend the feed"


def test_an_airport_with_a_fault_and_no_verdict_alerts_once_with_every_fault_the_oldest_first():
    silent = Fault("AAA", "silent", "2024-02-26", "nothing came for two weeks; ask the airport")
    action = one(None, Past(), BROKEN, silent)
    assert action.action == ALERT
    assert action.why.startswith("silent since 2024-02-26: nothing came for two weeks; ask the airport; unit since ")


def test_above_the_budget_the_worst_come_first_and_the_others_wait():
    verdicts = [
        Verdict("EEE", severity="moderate", p=0.001),
        Verdict("DDD", severity="moderate", p=0.001),
        Verdict("CCC", severity="severe", p=0.04),
        Verdict("BBB", severity="severe", p=None),
        Verdict("AAA", severity="moderate", p=0.002),
    ]
    by_budget = {
        budget: [a.airport for a in act(verdicts, [], {}, {}, budget) if a.action == RETRAIN] for budget in range(6)
    }
    assert by_budget == {
        0: [],
        1: ["CCC"],
        2: ["BBB", "CCC"],
        3: ["BBB", "CCC", "DDD"],
        4: ["BBB", "CCC", "DDD", "EEE"],
        5: ["AAA", "BBB", "CCC", "DDD", "EEE"],
    }
    waits = next(a for a in act(verdicts, [], {}, {}, 4) if a.airport == "AAA")
    assert (waits.action, waits.pinned) == (WAIT, "")
    assert waits.why == "drift: loss, bias high; above the budget of 4 a check, so it waits for the next one"


def test_one_that_waits_for_its_budget_is_not_on_the_fallback_yet_and_one_that_was_is_still():
    past = {"AAA": Past(asked=1), "BBB": Past(asked=1, waiting=True, pinned="window_average", unheard=1)}
    waits = act([Verdict("AAA"), Verdict("BBB")], [], past, {"AAA": "seasonal_naive"}, 0)
    assert [(a.action, a.pinned) for a in waits] == [(WAIT, ""), (WAIT, "window_average")]


def test_who_is_escalated_or_has_a_fault_uses_up_no_budget():
    verdicts = [Verdict("AAA", p=0.0), Verdict("BBB", p=0.0), Verdict("CCC", p=0.05)]
    past = {"BBB": Past(asked=2, pinned="window_average")}
    assert [a.action for a in act(verdicts, [BROKEN], past, {}, 1)] == [ALERT, ESCALATE, RETRAIN]


# --- whatever is handed in

CODES = [f"A{number}" for number in range(12)]
VERDICTS = st.lists(
    st.builds(
        Verdict,
        st.sampled_from(CODES),
        st.booleans(),
        st.sampled_from(["none", "watch", "moderate", "severe"]),
        st.none() | st.sampled_from([0.0, 0.001, 0.2, 1.0]),
    ),
    unique_by=lambda verdict: verdict.airport,
)
FAULTS = st.lists(
    st.builds(
        Fault, st.sampled_from(CODES), st.sampled_from(["silent", "unit"]), st.just("2024-01-01"), st.text(max_size=2)
    ),
    max_size=4,
)
PASTS = st.dictionaries(
    st.sampled_from(CODES),
    st.builds(
        Past,
        st.integers(0, 3),
        st.booleans(),
        st.sampled_from(["", "seasonal_naive", "window_average"]),
        st.integers(0, 9),
        st.integers(0, 4),
    ),
)
SIMPLE = st.dictionaries(st.sampled_from(CODES), st.sampled_from(["seasonal_naive", "window_average"]))
BUDGETS = st.integers(0, 6)


@SETTINGS
@given(VERDICTS, FAULTS, PASTS, SIMPLE, BUDGETS)
def test_every_airport_gets_one_action_the_budget_holds_and_no_fault_is_retrained(
    verdicts, faults, past, simple, budget
):
    actions = act(verdicts, faults, past, simple, budget)
    broken = {fault.airport for fault in faults}
    assert [a.airport for a in actions] == sorted({v.airport for v in verdicts} | broken)
    asks = [a for a in actions if a.action in ASKS]
    assert len(asks) <= budget
    assert {a.airport for a in actions if a.action == ALERT} == broken
    drifted = {v.airport for v in verdicts if v.drifted}
    assert {a.airport for a in actions if a.action not in (NONE, ALERT)} == drifted - broken
    assert all(a.why for a in actions if a.action != NONE)
    assert all(a.pinned for a in actions if a.action == FALLBACK)
    assert not any(a.pinned for a in actions if a.action == RETRAIN)


@SETTINGS
@given(VERDICTS, FAULTS, PASTS, SIMPLE, BUDGETS, st.randoms(use_true_random=False))
def test_the_order_of_what_is_handed_in_changes_nothing(verdicts, faults, past, simple, budget, random):
    mixed = [random.sample(some, len(some)) for some in (verdicts, faults, list(past.items()))]
    assert act(mixed[0], mixed[1], dict(mixed[2]), simple, budget) == act(verdicts, faults, past, simple, budget)


@SETTINGS
@given(VERDICTS, PASTS, SIMPLE, BUDGETS)
def test_a_larger_budget_only_takes_airports_out_of_the_queue(verdicts, past, simple, budget):
    less, more = ({a.airport: a for a in act(verdicts, [], past, simple, b)} for b in (budget, budget + 1))
    changed = [airport for airport in less if less[airport].action != more[airport].action]
    assert len(changed) <= 1
    assert all(less[airport].action == WAIT and more[airport].action in ASKS for airport in changed)
    assert not changed or sum(a.action in ASKS for a in less.values()) == budget
