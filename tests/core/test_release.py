"""Releases: the previous map with the fresh airports replaced, named by its content."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.release import Entry, Release, compose, entry_in, from_dict, part_key

SETTINGS = settings(max_examples=80, deadline=None)
CODES = st.sampled_from(["ATL", "BOS", "JFK", "ORD"])
MAPS = st.dictionaries(CODES, st.integers(1, 9))


def entry(airport: str, version: int) -> Entry:
    return Entry(
        airport, f"demo.{airport}", version, f"run {version}", "2018-12-31", "c1", "prophet", {"growth": "flat"}
    )


def entries(versions: dict[str, int]) -> list[Entry]:
    return [entry(airport, version) for airport, version in versions.items()]


def release(versions: dict[str, int], run_key: str = "run 1") -> Release:
    return compose("demo", "2018-12-31", run_key, None, entries(versions))


@SETTINGS
@given(MAPS, MAPS)
def test_a_release_holds_the_previous_airports_with_the_fresh_ones_in_their_place(before, fresh):
    made = compose("demo", "2019-01-31", "run 2", release(before), entries(fresh))
    expected = {}
    for airport in [*before, *fresh]:
        expected[airport] = entry(airport, fresh.get(airport, before.get(airport)))
    assert made.by_airport() == expected
    assert [e.airport for e in made.entries] == sorted(expected)
    assert made.previous == release(before).release_id


@SETTINGS
@given(MAPS, st.randoms(use_true_random=False))
def test_the_same_entries_in_any_order_are_the_same_release(versions, random):
    shuffled = random.sample(entries(versions), len(versions))
    assert compose("demo", "2018-12-31", "run 1", None, shuffled) == release(versions)


def test_a_release_composed_again_on_top_of_itself_has_the_same_entries_and_name():
    made = release({"ATL": 1, "ORD": 1})
    again = compose("demo", "2018-12-31", "run 1", made, entries({"ATL": 1}))
    assert (again.release_id, again.entries) == (made.release_id, made.entries)


def test_a_release_stored_before_its_entries_named_a_rule_reads_as_the_usual_one_and_each_keeps_its_own():
    made = compose("demo", "2018-12-31", "run 1", None, [replace(entry("ATL", 1), rule="best"), entry("ORD", 1)])
    assert {e.airport: e.rule for e in from_dict(json.loads(json.dumps(made.as_dict()))).entries} == {
        "ATL": "best", "ORD": "inverse_square",
    }  # fmt: skip
    values = made.as_dict()
    before = {**values, "entries": [{k: v for k, v in e.items() if k != "rule"} for e in values["entries"]]}
    assert {e.rule for e in from_dict(before).entries} == {"inverse_square"}


def test_an_entry_decided_in_a_part_of_the_fleet_names_that_decision_and_still_the_outcome():
    whole, part = entry("ATL", 1), replace(entry("ATL", 1), run_key=part_key("run 1"))
    assert whole.run_key != part.run_key
    assert whole.outcome_key == part.outcome_key == "run 1"


def test_another_version_airport_date_or_run_is_another_release():
    made = release({"ATL": 1})
    others = [
        release({"ATL": 2}),
        release({"ORD": 1}),
        release({"ATL": 1}, run_key="run 2"),
        compose("demo", "2019-01-31", "run 1", None, entries({"ATL": 1})),
        compose("demo", "2018-12-31", "run 1", None, [replace(entry("ATL", 1), parameters={"growth": "linear"})]),
        compose("demo", "2018-12-31", "run 1", None, [replace(entry("ATL", 1), rule="best")]),
    ]
    assert len({made.release_id, *(other.release_id for other in others)}) == 7


def test_the_first_release_has_no_previous_one_and_names_its_run():
    made = release({"ATL": 1})
    assert made.previous is None
    assert made.release_id.startswith("run 1-")


def test_a_release_of_nothing_is_empty():
    assert release({}).by_airport() == {}


def test_the_previous_release_is_left_as_it_was():
    before = release({"ATL": 1})
    kept = from_dict(before.as_dict())
    compose("demo", "2019-01-31", "run 2", before, entries({"ATL": 2}))
    assert before == kept


def test_a_release_written_as_json_and_read_back_is_the_same():
    made = compose("demo", "2019-01-31", "run 2", release({"ATL": 1}), entries({"ORD": 2}))
    assert from_dict(json.loads(json.dumps(made.as_dict()))) == made


def test_one_entry_is_found_in_a_stored_release_as_all_of_it_would_be_read() -> None:
    odd = {"prophet": {"note": 'no {"airport":"AAB" of it', "list": [{"airport ": 1}], "é": [1.5, None]}}
    entries = [
        Entry(code, f"f.{code}", number, "k", "2020-12-31", "c", "prophet", odd if code == "AA" else {})
        for number, code in enumerate(("AA", "AAC", "A-B", "ZZZ"))
    ]
    made = compose("f", "2020-12-31", "k", None, entries)
    value = {"made_at": "2021-01-01", "backfill": False, "release": made.as_dict()}
    stored = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    read = from_dict(json.loads(stored)["release"]).by_airport()
    for code in ("AA", "AAB", "AAC", "A", "A-B", "ZZZ", "ZZ", "f"):
        assert entry_in(stored, code) == read.get(code)
