"""The frozen manifest: batches of neighbours, and the same plan however often it is read."""

import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.candidates import Specification
from paxcast.core.manifest import WHOLE_FLEET, Manifest, PlannedAirport, from_dict, label, manifest_id, split

SETTINGS = settings(max_examples=80, deadline=None)
CODES = st.lists(st.from_regex(r"[A-Z]{3}", fullmatch=True), unique=True, max_size=60)


def manifest(*airports: PlannedAirport, **context: object) -> Manifest:
    return Manifest(
        manifest_id="m1",
        run_key="demo-20190101T000000-0a1b-r0",
        fleet="demo",
        as_of="2018-12-31",
        config_hash="0a1b",
        numbers={"horizon": None, "search": {"max_evals": 4}},
        frequency="MS",
        horizon=12,
        data_version=3,
        code_version="1",
        airports=airports,
        quarantined=({"airport": "XGAP", "reason": "a gap of 9 months"},),
        context=dict(context),
    )


@SETTINGS
@given(CODES, st.integers(1, 20), st.randoms(use_true_random=False))
def test_batches_are_runs_of_sorted_neighbours_whose_sizes_differ_by_at_most_one(codes, batches, random):
    airports = [(code, f"sum of {code}", "whole fleet") for code in codes]
    planned = split(random.sample(airports, len(airports)), batches)
    assert [(a.airport, a.checksum, a.why) for a in planned] == sorted(airports)
    numbers = [a.batch for a in planned]
    assert numbers == sorted(numbers)
    sizes = [numbers.count(i) for i in range(min(batches, len(codes)))]
    assert sum(sizes) == len(codes)
    assert not sizes or (min(sizes) >= 1 and max(sizes) - min(sizes) <= 1)


def test_more_batches_than_airports_give_one_airport_each_and_no_airports_give_no_batch():
    assert [a.batch for a in split([("ORD", "c", "w"), ("ATL", "c", "w")], 16)] == [0, 1]
    assert split([], 4) == ()
    assert manifest().batches() == []


@SETTINGS
@given(CODES, st.integers(1, 20))
def test_every_planned_airport_is_in_exactly_the_batch_it_names(codes, batches):
    planned = split([(code, "c", "w") for code in codes], batches)
    grouped = manifest(*planned).batches()
    assert tuple(a for batch in grouped for a in batch) == planned
    assert all(a.batch == i for i, batch in enumerate(grouped) for a in batch)


def test_a_manifest_written_as_json_and_read_back_is_the_same():
    first = manifest(
        *split([("ATL", "c1", "whole fleet"), ("ORD", "c2", "whole fleet")], 2),
        champions={"ATL": {"prophet": {"growth": "flat"}}},
        previous_release=None,
    )
    assert from_dict(json.loads(json.dumps(first.as_dict()))) == first


def test_a_manifest_of_a_later_version_with_unknown_keys_is_an_error():
    with pytest.raises(TypeError, match="novelty"):
        from_dict({**manifest().as_dict(), "novelty": 1})


def test_a_manifest_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        manifest().horizon = 3  # type: ignore[misc]


def test_the_champions_are_those_frozen_in_the_context_one_a_candidate_and_none_for_an_airport_without():
    planned = manifest(champions={"ATL": {"prophet": {"growth": "flat"}, "auto_ets": {}}})
    assert planned.champions("ATL") == (Specification("auto_ets", {}), Specification("prophet", {"growth": "flat"}))
    assert planned.champions("ORD") == ()
    assert manifest().champions("ATL") == ()


def test_the_warm_starts_are_the_fleets_best_of_each_candidate_in_the_order_of_their_names():
    planned = manifest(fleet_best={"prophet": {"growth": "flat"}, "anchored_prophet": {"anchor": 0.4}})
    assert planned.warm_starts() == (
        Specification("anchored_prophet", {"anchor": 0.4}),
        Specification("prophet", {"growth": "flat"}),
    )
    assert manifest().warm_starts() == ()


def test_on_a_fallback_is_who_was_when_the_context_was_frozen_and_before_there_were_any_nobody():
    planned = manifest(pinned={"ATL": "window_average"})
    assert [planned.pinned(airport) for airport in ("ATL", "ORD")] == ["window_average", None]
    assert manifest().pinned("ATL") is None
    assert from_dict(json.loads(json.dumps(planned.as_dict()))).pinned("ATL") == "window_average"


def test_it_is_of_the_whole_fleet_unless_an_airport_is_here_for_another_reason():
    fleet = split([("ATL", "c", WHOLE_FLEET), ("ORD", "c", WHOLE_FLEET)], 2)
    assert manifest(*fleet).whole
    for why in ("asked for", "drift: loss, bias high"):
        assert not manifest(*fleet, *split([("BOS", "c", why)], 1)).whole


def test_a_batch_is_labelled_with_its_size_and_its_ends():
    planned = split([("ATL", "c", "w"), ("BOS", "c", "w"), ("ORD", "c", "w")], 1)
    assert label(7, planned) == "batch 07: 3 airports, ATL to ORD"
    assert label(0, planned[:1]) == "batch 00: 1 airport, ATL to ATL"


def test_a_manifest_is_named_by_all_it_says_and_not_by_the_order_of_its_keys():
    content = {"run_key": "r", "airports": [["ATL", "c1", 0, "w"]], "numbers": {"horizon": 6}}
    assert manifest_id(dict(reversed(list(content.items())))) == manifest_id(content)
    for change in ({"run_key": "s"}, {"airports": [["ATL", "c2", 0, "w"]]}, {"numbers": {"horizon": 7}}):
        assert manifest_id(content | change) != manifest_id(content)
