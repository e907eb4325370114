import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from paxcast.adapters.object_store import ObjectStore


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path))


def test_the_first_writer_of_a_name_wins_and_the_second_changes_nothing(objects: ObjectStore) -> None:
    assert objects.put_if_absent("runs/r/a.json", {"n": 1})
    assert not objects.put_if_absent("runs/r/a.json", {"n": 2})
    assert objects.get("runs/r/a.json") == {"n": 1}


def test_of_many_writers_at_once_exactly_one_succeeds(objects: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: objects.put_if_absent("one.json", {"n": n, "pad": "x" * 50_000}), range(40)))
    assert sum(won) == 1
    assert objects.get("one.json")["n"] == won.index(True)


def test_what_was_never_put_is_none_and_lists_nothing(objects: ObjectStore) -> None:
    assert objects.get("nothing.json") is None
    assert list(objects.names("runs/none")) == []


def test_names_are_listed_in_order_below_a_whole_path_segment(objects: ObjectStore) -> None:
    for name in ("runs/k1/b.json", "runs/k1/a.json", "runs/k10/c.json"):
        objects.put_if_absent(name, {})
    assert list(objects.names("runs/k1")) == ["runs/k1/a.json", "runs/k1/b.json"]


def test_a_pointer_can_be_moved(objects: ObjectStore) -> None:
    objects.put("current.json", {"to": "a"})
    objects.put("current.json", {"to": "b"})
    assert objects.get("current.json") == {"to": "b"}


def test_a_store_travels_to_a_worker(objects: ObjectStore) -> None:
    objects.put_if_absent("a.json", {"n": 1})
    assert pickle.loads(pickle.dumps(objects)).get("a.json") == {"n": 1}


def test_a_value_that_json_cannot_hold_is_refused_rather_than_stored_as_nan(objects: ObjectStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        objects.put_if_absent("nan.json", {"loss": float("nan")})
    assert objects.get("nan.json") is None


def test_removing_takes_what_is_there_and_leaves_the_rest(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paxcast.adapters.object_store.AT_ONCE", 2)
    names = [f"runs/k/{n}.json" for n in range(5)]
    for name in names:
        objects.put(name, {})
    objects.remove([*names[:2], "runs/k/gone.json", *names[2:4]])
    assert list(objects.names("runs")) == names[4:]
    objects.remove(names)
    objects.remove([])
    assert list(objects.names("runs")) == []


def test_folders_are_the_next_parts_of_names_and_not_the_objects_beside_them(objects: ObjectStore) -> None:
    for name in ("runs/k2/a.json", "runs/k1/deep/er/b.json", "runs/c.json", "other/d.json"):
        objects.put(name, {})
    assert objects.folders("runs") == ["k1", "k2"]
    assert objects.folders("nothing") == []


def test_what_is_stored_is_told_with_its_size_and_when_it_was_written(objects: ObjectStore) -> None:
    before = pd.Timestamp.now(tz="UTC") - pd.Timedelta(seconds=2)
    objects.put_text("runs/b.txt", "four")
    objects.put("runs/a.json", {})
    first, second = objects.stored("runs")
    assert (first.name, second.name, first.size, second.size) == ("runs/a.json", "runs/b.txt", 2, 4)
    assert before < first.modified < pd.Timestamp.now(tz="UTC") + pd.Timedelta(seconds=2)
