"""What drift checks asked for and what became of it: rows and releases by hand, week after week."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters.delta_store import TABLES
from paxcast.core import calendar
from paxcast.core import release as release_core
from paxcast.core.drift.policy import ASKS, ESCALATE, FALLBACK, NONE, QUIET, RETRAIN, WAIT, Past
from paxcast.core.errors import ConfigurationError
from paxcast.core.release import Entry
from paxcast.jobs import drift_asked, releases
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2024-06-01T12:00", tz="UTC")
NAIVE = "seasonal_naive"
Make = Callable[..., Any]


def week(number: int) -> str:
    """The ISO start of a week, a Monday."""
    return str((pd.Timestamp("2024-01-01") + pd.Timedelta(weeks=number)).date())


def end(number: int, days: int = 0) -> str:
    """The day by whose end a week is known, or some days later: an as_of."""
    return str((pd.Timestamp(week(number)) + pd.Timedelta(days=6 + days)).date())


def at(text: str) -> pd.Timestamp:
    return calendar.parse_as_of(text)


@dataclass
class Story:
    """A fleet in whose store there are only checks and releases. Every check says all of every airport it names."""

    ws: Workspace
    rows: list[dict[str, Any]] = field(default_factory=list)

    def check(self, as_of: str, airport: str = "AAA", **said: Any) -> None:
        """One airport's row of a check; of a week's end its cycle is that week. By default it is quiet."""
        said = {"cycle": str((pd.Timestamp(as_of[:10]) - pd.Timedelta(days=6)).date()), **said}
        row = {
            **{"fleet": self.ws.fleet, "check_key": f"small-{as_of}-drift", "run_key": f"small-{as_of}-drift"},
            **{"as_of": as_of, "airport": airport, "tested": True, "drifted": False, "severity": "none"},
            **{"p": None, "q": None, "ratio": None, "reasons": json.dumps([]), "fault": "", "action": NONE},
            **{"why": "", "pinned": "", "version": 1, "cusum": json.dumps([])},
        }
        self.ws.tables.append("drift", pd.DataFrame([row | said]))

    def asks(self, as_of: str, airport: str = "AAA", **said: Any) -> None:
        flagged = {"severity": "moderate", "drifted": True, "action": RETRAIN, "why": "drift: loss"}
        self.check(as_of, airport, **flagged | said)

    def quiet(self, first: int, count: int, **said: Any) -> None:
        for number in range(first, first + count):
            self.check(end(number), **said)

    def release(
        self, as_of: str, version: int, airport: str = "AAA", fitted: str = "", method: str = "combination"
    ) -> str:
        """A release with one airport's model, by default fitted for its date."""
        entry = Entry(airport, f"small.{airport}", version, f"run-{as_of}", fitted or as_of, "first", method, {})
        made = release_core.compose("small", as_of, f"run-{as_of}", releases.in_force(self.ws, at(as_of)), [entry])
        releases.keep(self.ws, made, NOW, backfill=False)
        releases.published(self.ws, made)
        return made.release_id

    def past(self, as_of: str, airport: str = "AAA") -> Past:
        return drift_asked.past(self.ws, at(as_of)).get(airport, Past())


@pytest.fixture
def story(fleet_of: Make) -> Story:
    """The story of a weekly fleet."""
    return Story(fleet_of("W"))


@pytest.fixture
def fleet_of(tmp_path: Path, isolated_home: Path) -> Make:
    """Opens the fleet `small` of some frequency, in whose store there is nothing yet."""

    def make(frequency: str, **source: Any) -> Workspace:
        path = tmp_path / "small.yaml"
        stated = {"kind": "file", "path": "small.csv", "frequency": frequency, **source}
        path.write_text(json.dumps({"source": stated, "store": "store"}), encoding="utf-8")
        return open_workspace(load(path))

    return make


# --- the past of an airport


def test_an_airport_that_no_check_asked_for_has_no_past(story: Story) -> None:
    assert drift_asked.past(story.ws, at(end(3))) == {}
    story.check(end(0), severity="watch")
    story.check(end(1), severity="fault", action="alert", fault="unit")
    story.check(end(2), severity="severe", action=WAIT)
    assert drift_asked.past(story.ws, at(end(3))) == {}
    assert drift_asked.dropped(story.ws, at(end(3))) == {}


def test_asks_that_no_newer_model_answers_are_waited_for_and_counted(story: Story) -> None:
    story.release(end(0), 1)
    for number in (2, 3, 4):
        story.asks(end(number))
    found = [story.past(end(number)) for number in (2, 3, 4, 5)]
    assert found == [Past(), *(Past(waiting=True, unheard=n) for n in (1, 2, 3))]


def test_however_often_one_looks_at_a_cycle_it_is_one_ask(story: Story) -> None:
    story.release(end(0), 1)
    for days in (0, 1, 2, 3):
        story.asks(end(2, days), cycle=week(2))
    assert story.past(end(3)) == Past(waiting=True, unheard=1)


def test_what_is_escalated_or_above_the_budget_is_no_ask_and_breaks_no_row_of_them(story: Story) -> None:
    for number, action in enumerate([RETRAIN, WAIT, RETRAIN, ESCALATE]):
        story.asks(end(number), action=action)
    assert story.past(end(4)) == Past(waiting=True, unheard=2)


def test_a_model_of_the_checks_date_or_later_answers_and_an_older_one_does_not(story: Story) -> None:
    story.asks(end(2))
    story.release(end(3), 2, fitted=end(1))
    assert story.past(end(4)) == Past(waiting=True, unheard=1)
    story.release(end(3), 3, fitted=end(2))
    assert story.past(end(4)) == Past(asked=1)


def test_one_model_answers_all_asks_before_it_and_is_one_retraining(story: Story) -> None:
    for number in (2, 3):
        story.asks(end(number))
    story.release(end(3), 2)
    assert story.past(end(4)) == Past(asked=1)
    story.asks(end(4), version=2)
    assert story.past(end(5)) == Past(asked=1, waiting=True, unheard=1)
    story.release(end(4), 3)
    assert story.past(end(5)) == Past(asked=2)


def test_a_repeated_check_finds_what_it_found_before(story: Story) -> None:
    story.asks(end(2))
    before = story.past(end(3))
    assert before == Past(waiting=True, unheard=1)
    story.asks(end(3))
    story.release(end(3), 2)
    story.asks(end(4), version=2)
    story.release(end(4), 3)
    assert story.past(end(3)) == before


def test_a_check_that_is_repeated_after_its_retraining_judged_the_new_version_and_is_answered_by_it(
    story: Story,
) -> None:
    story.asks(end(2), version=2)
    story.release(end(2), 2)
    assert story.past(end(3)) == Past(asked=1)


def test_a_version_that_was_rolled_back_is_gone_until_it_is_put_in_force_again(story: Story) -> None:
    first = story.release(end(0), 1)
    story.asks(end(2))
    second = story.release(end(2), 2)
    assert story.past(end(4)) == Past(asked=1)
    for to, instead_of, found in ((first, second, Past(waiting=True, unheard=1)), (second, first, Past(asked=1))):
        target = releases.load(story.ws, to)
        assert target is not None
        releases.published(story.ws, target, of=end(2), instead_of=instead_of)
        assert story.past(end(4)) == found


def test_what_was_rolled_back_later_was_in_force_as_of_a_check_before(story: Story) -> None:
    first = story.release(end(0), 1)
    story.asks(end(2))
    second = story.release(end(2), 2)
    before = story.past(end(4)), drift_asked.dropped(story.ws, at(end(4)))
    target = releases.load(story.ws, first)
    assert target is not None
    releases.published(story.ws, target, of=end(6), instead_of=second)
    assert (story.past(end(4)), drift_asked.dropped(story.ws, at(end(4)))) == before
    assert story.past(end(7)) == Past(waiting=True, unheard=1)


def test_the_order_in_which_rows_and_releases_were_written_is_of_no_account(fleet_of: Make, tmp_path: Path) -> None:
    def written(seed: int) -> tuple[Any, Any]:
        story = Story(fleet_of("W"))
        story.ws.tables.root = str(tmp_path / f"store{seed}")
        story.ws.objects.root = str(tmp_path / f"store{seed}")
        checks = [lambda n=n: story.asks(end(n)) for n in (2, 3)] + [lambda: story.check(end(4)) for _ in range(1)]
        random.Random(seed).shuffle(checks)
        for one in checks:
            one()
        for number in random.Random(seed).sample([1, 3], 2):
            story.release(end(number), number)
        return story.past(end(5)), drift_asked.dropped(story.ws, at(end(5)))

    expected = (Past(asked=1, quiet=1), {"AAA": ((week(-5), week(3)), (week(-4), week(3)))})
    assert [written(seed) for seed in range(4)] == [expected] * 4


# --- quiet cycles


def test_quiet_cycles_are_counted_from_the_model_in_answer_and_eight_end_the_episode(story: Story) -> None:
    story.asks(end(2))
    story.release(end(2), 2)
    story.quiet(3, QUIET)
    found = [story.past(end(number)).quiet for number in range(3, 3 + QUIET)]
    assert found == list(range(QUIET))
    assert drift_asked.past(story.ws, at(end(3 + QUIET))) == {}
    story.asks(end(3 + QUIET), version=2)
    assert story.past(end(4 + QUIET)) == Past(waiting=True, unheard=1)


def test_newer_models_of_the_schedule_do_not_begin_the_count_again(story: Story) -> None:
    story.asks(end(2))
    for number in range(2, 8):
        story.release(end(number), number)
    story.quiet(3, 5)
    assert story.past(end(8)) == Past(asked=1, quiet=5)


def test_of_models_that_were_published_in_another_order_than_their_dates_the_earliest_answers(story: Story) -> None:
    story.asks(end(2))
    story.release(end(4), 3)
    story.release(end(2), 2)  # by a backfill
    story.quiet(3, 3)
    assert story.past(end(6)) == Past(asked=1, quiet=3)


def test_a_flag_begins_the_count_again_and_what_was_not_tested_or_is_a_fault_neither_counts_nor_does(
    story: Story,
) -> None:
    story.asks(end(2))
    story.release(end(2), 2)
    said = [{}, {"tested": False}, {"severity": "fault"}, {}, {"severity": "watch"}, {}, {}]
    for number, one in enumerate(said, start=3):
        story.check(end(number), **one)
    assert [story.past(end(number)).quiet for number in range(4, 11)] == [1, 1, 1, 2, 0, 1, 2]


def test_a_cycle_counts_once_however_often_it_is_checked_and_is_flagged_if_one_check_flagged_it(story: Story) -> None:
    story.asks(end(2))
    story.release(end(2), 2)
    for day in range(3):
        story.check(end(3, day), cycle=week(3))
    assert story.past(end(4)) == Past(asked=1, quiet=1)
    story.check(end(3, 4), cycle=week(3), severity="watch")
    story.check(end(3, 5), cycle=week(3))
    assert story.past(end(4)) == Past(asked=1, quiet=0)


def test_a_cycle_that_the_model_in_answer_knew_is_no_quiet_one(story: Story) -> None:
    story.asks(end(2))
    story.release(end(3, 1), 2)
    for number, cycle in ((end(3, 2), week(3)), (end(4), week(4))):
        story.check(number, cycle=cycle)
    assert story.past(end(5)) == Past(asked=1, quiet=1)


def test_an_episode_in_which_nothing_was_made_ends_too_and_a_later_model_does_not_bring_it_back(story: Story) -> None:
    story.asks(end(2))
    story.quiet(3, QUIET)
    assert story.past(end(2 + QUIET)) == Past(waiting=True, unheard=1, quiet=QUIET - 1)
    assert story.past(end(3 + QUIET)) == Past()
    story.release(end(4 + QUIET), 2)
    assert story.past(end(6 + QUIET)) == Past()


def test_an_episode_that_was_over_stays_so_when_the_airport_is_watched_afterwards(story: Story) -> None:
    story.asks(end(2))
    story.release(end(2), 2)
    story.quiet(3, QUIET)
    story.check(end(3 + QUIET), severity="watch")
    story.asks(end(4 + QUIET), version=2)
    assert story.past(end(5 + QUIET)) == Past(waiting=True, unheard=1)


# --- the fallback


def on_fallback(story: Story, method: str = NAIVE) -> None:
    """Asked for in week 2, retrained, asked for again in week 4, and put on a simple method."""
    story.asks(end(2))
    story.release(end(2), 2)
    story.asks(end(4), version=2, action=FALLBACK, pinned=NAIVE)
    story.release(end(4), 3, method=method)


def test_a_fallback_is_told_with_its_method_and_ends_after_eight_quiet_cycles(story: Story) -> None:
    on_fallback(story)
    assert story.past(end(5)) == Past(asked=2, pinned=NAIVE)
    story.quiet(5, QUIET, pinned=NAIVE)
    assert story.past(end(4 + QUIET)) == Past(asked=2, pinned=NAIVE, quiet=QUIET - 1)
    assert story.past(end(5 + QUIET)) == Past(pinned=NAIVE, quiet=QUIET)
    story.check(end(5 + QUIET))  # which ended it
    assert story.past(end(6 + QUIET)) == Past()


def test_a_fallback_that_was_not_carried_out_is_waited_for(story: Story) -> None:
    on_fallback(story, method="combination")
    assert story.past(end(5)) == Past(asked=1, waiting=True, pinned=NAIVE, unheard=1)


def test_a_fallback_is_still_known_when_the_check_that_asked_for_it_was_pruned(story: Story) -> None:
    story.quiet(5, 3, pinned=NAIVE)
    assert story.past(end(8)) == Past(pinned=NAIVE, quiet=3)


def test_a_run_pins_what_the_newest_check_says_that_is_not_later_than_its_date(story: Story) -> None:
    story.check(end(1))
    story.asks(end(2), action=FALLBACK, pinned=NAIVE)
    story.asks(end(2), "BBB", action=FALLBACK, pinned="window_average")
    story.check(end(3), pinned=NAIVE)
    story.check(end(4))
    by_date = {text: drift_asked.pinned(story.ws, at(text)) for text in (end(1), end(2), end(3), end(4))}
    both = {"AAA": NAIVE, "BBB": "window_average"}
    assert by_date == {end(1): {}, end(2): both, end(3): both, end(4): {"BBB": "window_average"}}
    assert drift_asked.pinned(story.ws, at(end(2)) - pd.Timedelta(seconds=1)) == {}


def test_days_and_instants_are_in_the_order_of_time_and_not_of_their_texts(story: Story) -> None:
    story.asks("2024-03-03T05:00:00Z", action=FALLBACK, pinned=NAIVE)
    story.check("2024-03-03")  # the end of that day, though its text is the smaller one
    assert drift_asked.pinned(story.ws, at("2024-03-03")) == {}
    assert drift_asked.pinned(story.ws, at("2024-03-03T05:00:00Z")) == {"AAA": NAIVE}
    assert drift_asked.newest_check(story.ws) == at("2024-03-03")


# --- what is asked for


def test_the_newest_check_that_is_not_later_says_whom_to_retrain_and_why(story: Story) -> None:
    story.asks(end(1), "CCC")
    story.asks(end(2), "BBB", why="drift: coverage")
    story.asks(end(2), "AAA", action=FALLBACK, why="drift: loss, after retraining too", pinned=NAIVE)
    for airport, action in (("DDD", WAIT), ("EEE", ESCALATE), ("FFF", NONE), ("GGG", "alert")):
        story.asks(end(2), airport, action=action)
    story.check(end(3))
    asked = {"AAA": "drift: loss, after retraining too", "BBB": "drift: coverage"}
    assert drift_asked.asked_for(story.ws, at(end(2))) == asked
    assert list(drift_asked.asked_for(story.ws, at(end(2, 5)))) == ["AAA", "BBB"]
    assert drift_asked.asked_for(story.ws, at(end(1))) == {"CCC": "drift: loss"}
    assert drift_asked.asked_for(story.ws, at(end(4))) == {}


def test_without_a_check_by_then_it_is_an_error_that_says_what_to_run(story: Story) -> None:
    story.asks(end(2))
    with pytest.raises(ConfigurationError, match=f"fleet small .* run `paxcast drift --as-of {end(1)}` first"):
        drift_asked.asked_for(story.ws, at(end(1)))
    assert drift_asked.newest_check(story.ws, at(end(1))) is None


def test_another_fleets_checks_are_no_concern_of_this_one(story: Story) -> None:
    story.asks(end(2), fleet="other", action=FALLBACK, pinned=NAIVE)
    assert drift_asked.past(story.ws, at(end(3))) == drift_asked.pinned(story.ws, at(end(3))) == {}
    assert drift_asked.newest_check(story.ws) is None


# --- cycles that are no evidence any more


def test_the_cycles_that_a_retraining_answered_are_dropped_up_to_what_the_new_model_learnt_from(story: Story) -> None:
    story.check(end(10))
    story.asks(end(11), action=WAIT)
    story.asks(end(20))
    assert drift_asked.dropped(story.ws, at(end(22))) == {}
    story.release(end(21, 3), 2)
    assert drift_asked.dropped(story.ws, at(end(21, 3))) == {}
    expected = {"AAA": ((week(13), week(21)),)}
    for known in (end(22), end(60)):  # of an episode that is long over too
        found = drift_asked.dropped(story.ws, at(known))
        assert {a: tuple(tuple(monday(day) for day in one) for one in some) for a, some in found.items()} == expected


def monday(day: str) -> str:
    """The Monday at or before a day: what a stretch says of weeks that begin on Mondays."""
    stamp = pd.Timestamp(day)
    return str((stamp - pd.Timedelta(days=stamp.dayofweek)).date())


@pytest.mark.parametrize(
    ("frequency", "source", "cycle", "answer", "expected"),
    [
        ("MS", {}, "2024-03-01", "2024-03-31", ("2023-08-01", "2024-03-01")),
        ("MS", {}, "2024-03-01", "2024-04-15", ("2023-08-01", "2024-03-01")),
        ("MS", {"delay_days": 20}, "2024-02-01", "2024-04-15", ("2023-07-01", "2024-02-01")),
        ("D", {}, "2024-03-10", "2024-03-12", ("2024-01-21", "2024-03-12")),
        ("D", {}, "2024-03-10", "2024-03-12T05:00:00Z", ("2024-01-21", "2024-03-11")),
        ("W", {}, "2024-03-04", "2024-03-10", ("2024-01-15", "2024-03-04")),
    ],
)
def test_a_stretch_is_of_cycles_as_the_panel_names_them(
    fleet_of: Make, frequency: str, source: dict[str, Any], cycle: str, answer: str, expected: tuple[str, str]
) -> None:
    story = Story(fleet_of(frequency, **source))
    story.asks("2024-03-10", cycle=cycle)
    story.release(answer, 2)
    assert drift_asked.dropped(story.ws, at("2024-05-31")) == {"AAA": (expected,)}


# --- whole stories, against a slow and obvious account of them

WEEKS, AIRPORTS = 32, [f"A{number}" for number in range(10)]


@dataclass
class Account:
    """One airport's episode, week after week."""

    asks: list[dict[str, Any]] = field(default_factory=list)
    run: int = 0
    longest: int = 0
    pinned: str = ""

    def past(self) -> Past:
        if self.longest >= QUIET:
            return Past(pinned=self.pinned, quiet=self.longest) if self.pinned else Past()
        if not self.asks:
            return Past()
        unheard = 0
        while unheard < len(self.asks) and self.asks[-1 - unheard]["model"] is None:
            unheard += 1
        made = {ask["model"] for ask in self.asks} - {None}
        return Past(len(made), unheard > 0, self.pinned, self.run, unheard)

    def checked(self, row: dict[str, Any]) -> None:
        if row["severity"] == "none" and row["tested"]:
            self.run += 1
        if row["severity"] in ("watch", "moderate"):
            self.run = 0
        over = self.longest >= QUIET
        self.longest = max(self.longest, self.run) if self.asks else 0
        if row["action"] in ASKS:
            self.asks = [] if over else self.asks
            self.asks.append({"pinned": row["pinned"] if row["action"] == FALLBACK else "", "model": None})
            self.run = self.longest = 0
        self.pinned = row["pinned"]

    def released(self, version: int, method: str) -> None:
        newest_waits = bool(self.asks) and self.asks[-1]["model"] is None
        for ask in self.asks:
            if ask["model"] is None and ask["pinned"] in ("", method):
                ask["model"] = version
        if newest_waits and self.asks[-1]["model"] is not None:
            self.run = 0


def made_up_weeks(seed: int) -> Iterator[tuple[dict[str, Any], str]]:
    """What checks say of an airport, and by what method the next release forecasts it; "" if it is not refitted."""
    rng = random.Random(seed)
    pinned, wild = "", rng.random()
    for _ in range(WEEKS):
        row = {"tested": rng.random() < 0.9, "severity": "none", "action": NONE, "pinned": pinned}
        if rng.random() < 0.5 * wild:
            row |= {"severity": rng.choice(["watch", "fault", "moderate", "moderate"])}
        if row["severity"] == "moderate":
            row |= {"action": rng.choice([RETRAIN, RETRAIN, FALLBACK, FALLBACK, WAIT, ESCALATE])}
        if row["action"] == FALLBACK:
            row |= {"pinned": NAIVE}
        if row["action"] == RETRAIN or rng.random() < 0.05:
            row |= {"pinned": ""}
            row |= {"action": NONE} if row["action"] == FALLBACK else {}
        pinned = str(row["pinned"])
        yield row, rng.choice(["", "", "", "", "", "combination", NAIVE])


@pytest.mark.parametrize("seed", [2, 4])
def test_the_past_is_that_of_an_account_kept_week_after_week(story: Story, seed: int) -> None:
    expected: dict[str, dict[str, Past]] = {end(number): {} for number in range(WEEKS)}
    rows: list[dict[str, Any]] = []
    fits: dict[str, list[Entry]] = {end(number): [] for number in range(WEEKS)}
    for airport in AIRPORTS:
        account = Account()
        for number, (row, method) in enumerate(made_up_weeks(100 * seed + int(airport[1:]))):
            expected[end(number)] |= {airport: account.past()} if account.past() != Past() else {}
            rows.append({"as_of": end(number), "airport": airport, "cycle": week(number), "version": 1, **row})
            account.checked(row)
            if method:
                entry = ("small.x", number + 2, f"run-{end(number)}", end(number), "first", method, {})
                fits[end(number)].append(Entry(airport, *entry))
                account.released(number + 2, method)
    blank = {name: "" for name in TABLES["drift"].names} | {"fleet": "small", "drifted": False}
    story.ws.tables.append("drift", pd.DataFrame([blank | {"p": None, "q": None, "ratio": None} | row for row in rows]))
    for as_of, entries in fits.items():
        if entries:
            before = releases.in_force(story.ws, at(as_of))
            made = release_core.compose("small", as_of, f"run-{as_of}", before, entries)
            releases.keep(story.ws, made, NOW, backfill=False)
            releases.published(story.ws, made)
    found = {as_of: drift_asked.past(story.ws, at(as_of)) for as_of in expected}
    assert found == expected
    seen = [one for some in expected.values() for one in some.values()]
    assert {one.pinned for one in seen} == {"", NAIVE}
    assert max(one.asked for one in seen) > 1
    assert max(one.unheard for one in seen) > 1
    assert any(one.quiet >= QUIET for one in seen)
