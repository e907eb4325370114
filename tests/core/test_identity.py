"""Names that are functions of content: the same for the same content in any order, another for any other."""

import hashlib
import json
import math
import struct

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paxcast.core.identity import bucket, digest, history_checksum, run_key, seed

SETTINGS = settings(max_examples=60, deadline=None)
AS_OF = pd.Timestamp("2019-01-01", tz="UTC")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def history(*rows: tuple[str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["ds", "y"]).astype({"ds": "datetime64[ns]", "y": float})


def slow_checksum(rows: list[tuple[str, float]]) -> str:
    """Days since 1970 as little-endian 64-bit integers, then the values as doubles, in order of date and value."""
    ordered = sorted(rows)
    days = [(pd.Timestamp(ds) - pd.Timestamp(0)).days for ds, _ in ordered]
    packed = b"".join(struct.pack("<q", day) for day in days) + b"".join(struct.pack("<d", y) for _, y in ordered)
    return hashlib.sha256(packed).hexdigest()[:16]


# --- digests


@SETTINGS
@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_the_order_of_keys_does_not_matter(value):
    backwards = {key: value[key] for key in reversed(list(value))}
    assert digest(value) == digest(backwards) == digest(json.loads(json.dumps(value)))


@SETTINGS
@given(JSON, JSON)
def test_two_values_have_one_digest_only_if_they_are_written_alike(one, other):
    alike = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) == alike


def test_the_order_of_a_list_matters_and_the_length_is_as_asked():
    assert digest([1, 2]) != digest([2, 1])
    assert len(digest({"a": 1}, 8)) == 8
    assert digest({"a": 1}).startswith(digest({"a": 1}, 8))


def test_a_digest_is_that_of_the_compact_sorted_json():
    assert digest({"b": [1, 2.5], "a": None}, 64) == hashlib.sha256(b'{"a":null,"b":[1,2.5]}').hexdigest()


# --- checksums

DATES = [f"{year}-{month:02d}-01" for year in (1969, 2020) for month in range(1, 13)]
ROWS = st.lists(st.tuples(st.sampled_from(DATES), st.floats(0, 1e9).map(abs)), min_size=1, max_size=10)


@SETTINGS
@given(ROWS, st.randoms(use_true_random=False))
def test_a_checksum_is_that_of_the_sorted_days_and_the_exact_values_whatever_the_order_of_rows(rows, random):
    shuffled = random.sample(rows, len(rows))
    assert history_checksum(history(*shuffled)) == slow_checksum(rows)


@SETTINGS
@given(ROWS, st.data())
def test_the_last_bit_of_a_value_and_a_moved_period_change_the_checksum(rows, data):
    index = data.draw(st.integers(0, len(rows) - 1))
    ds, y = rows[index]
    nudged = [*rows[:index], (ds, float(np.nextafter(y, math.inf))), *rows[index + 1 :]]
    moved = [*rows[:index], ("2050-02-28", y), *rows[index + 1 :]]
    sums = {history_checksum(history(*changed)) for changed in (rows, nudged, moved, [*rows, ("2050-01-01", 0.0)])}
    assert len(sums) == 4


def test_minus_zero_is_zero_and_not_a_number_is_itself():
    assert history_checksum(history(("2020-01-01", -0.0))) == history_checksum(history(("2020-01-01", 0.0)))
    missing = history(("2020-01-01", math.nan), ("2020-02-01", 1.0))
    assert history_checksum(missing) == history_checksum(missing[::-1])
    assert history_checksum(missing) != history_checksum(missing.fillna(0.0))


def test_how_dates_and_whole_numbers_are_stored_does_not_matter_nor_do_other_columns():
    frame = history(("2020-01-01", 1), ("2020-02-29", 2))
    stored_otherwise = frame.astype({"ds": "datetime64[s]", "y": "int32"}).assign(receipt="r1", known_at=AS_OF)
    assert history_checksum(stored_otherwise) == history_checksum(frame)


def test_an_empty_history_has_a_checksum_too():
    assert history_checksum(history()) == hashlib.sha256(b"").hexdigest()[:16]


# --- run keys, seeds, buckets


def test_a_run_key_tells_fleet_instant_configuration_and_revision():
    assert run_key("demo", AS_OF, "0a1b2c3d", 2) == "demo-20190101T000000-0a1b2c3d-r2"


def test_a_seed_is_pinned_for_ever_and_fits_every_generator():
    text = "ATL|demo|2019-01-01T00:00:00+00:00|0a1b"
    expected = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 2**31
    assert seed("ATL", "demo", AS_OF, "0a1b") == expected == 2_107_098_947


@pytest.mark.parametrize(
    "other",
    [
        ("ORD", "demo", AS_OF, "0a1b"),
        ("ATL", "live", AS_OF, "0a1b"),
        ("ATL", "demo", AS_OF + pd.Timedelta(seconds=1), "0a1b"),
        ("ATL", "demo", AS_OF, "0a1c"),
    ],
)
def test_airport_fleet_instant_and_configuration_each_change_the_seed(other):
    assert seed(*other) != seed("ATL", "demo", AS_OF, "0a1b")


@SETTINGS
@given(st.text(max_size=8), st.integers(1, 64))
def test_a_bucket_is_one_of_those_there_are(airport, buckets):
    assert 0 <= bucket(airport, buckets) < buckets


def test_airports_spread_over_the_buckets():
    codes = [a + b + c for a in "ABCDEFGHIJ" for b in "KLMNOPQRST" for c in "UVWXYZABCD"]
    sizes = pd.Series([bucket(code) for code in codes]).value_counts()
    assert len(sizes) == 16
    assert sizes.max() < 2 * 1000 / 16
