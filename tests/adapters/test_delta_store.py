import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from deltalake import DeltaTable

from paxcast.adapters.delta_store import TABLES, DeltaStore, Vacuumed
from paxcast.core.errors import InfrastructureError, VersionGone


@pytest.fixture
def tables(tmp_path: Path) -> DeltaStore:
    return DeltaStore(str(tmp_path))


def registration(airport: str, fleet: str = "f", run_key: str = "r") -> pd.DataFrame:
    row = {"fleet": fleet, "run_key": run_key, "airport": airport, "checksum": "c", "model": "m", "version": 1}
    return pd.DataFrame([{**row, "mlflow_run": "x"}])


def test_a_table_never_written_is_empty_with_its_columns_and_leaves_no_folder(
    tables: DeltaStore, tmp_path: Path
) -> None:
    empty = tables.read("outcomes")
    assert empty.empty
    assert list(empty.columns) == TABLES["outcomes"].names
    assert tables.version("outcomes") == -1
    assert not (tmp_path / "tables").exists()


def test_every_table_takes_a_row_and_gives_it_back_with_its_types(tables: DeltaStore) -> None:
    for name, schema in TABLES.items():
        frame = schema.empty_table().to_pandas()
        frame.loc[0] = [_sample(str(field.type)) for field in schema]
        tables.append(name, frame)
        back = tables.read(name)
        assert len(back) == 1, name
        for field in schema:
            assert back[field.name].iloc[0] == _sample(str(field.type)), f"{name}.{field.name}"


def _sample(kind: str) -> object:
    if kind.startswith("timestamp"):
        return pd.Timestamp("2013-12-31", tz="UTC" if "UTC" in kind else None)
    return {"string": "x", "double": 1.5, "int64": 7, "bool": True}[kind]


def test_appending_nothing_makes_no_version(tables: DeltaStore) -> None:
    assert tables.append("registrations", registration("ATL")) == 0
    assert tables.append("registrations", registration("ATL").iloc[:0]) == 0


def test_an_older_version_can_still_be_read(tables: DeltaStore) -> None:
    tables.append("registrations", registration("ATL"))
    tables.append("registrations", registration("BOS"))
    assert list(tables.read("registrations", version=0)["airport"]) == ["ATL"]
    assert sorted(tables.read("registrations")["airport"]) == ["ATL", "BOS"]


def test_replacing_touches_only_the_rows_of_its_keys(tables: DeltaStore) -> None:
    for fleet, key in (("f", "r1"), ("f", "r2"), ("g", "r1")):
        tables.append("registrations", registration("ATL", fleet, key))
    tables.replace("registrations", registration("BOS", "f", "r1"), {"fleet": "f", "run_key": "r1"})
    rows = tables.read("registrations").sort_values(["fleet", "run_key"])
    assert rows[["fleet", "run_key", "airport"]].to_numpy().tolist() == [
        ["f", "r1", "BOS"],
        ["f", "r2", "ATL"],
        ["g", "r1", "ATL"],
    ]


def test_writers_at_the_same_moment_lose_no_row(tables: DeltaStore) -> None:
    tables.append("registrations", registration("A00"))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: tables.append("registrations", registration(f"A{n:02d}")), range(1, 13)))
    assert sorted(tables.read("registrations")["airport"]) == [f"A{n:02d}" for n in range(13)]


def test_a_frame_without_a_column_of_the_table_is_refused(tables: DeltaStore) -> None:
    with pytest.raises(KeyError, match="version"):
        tables.append("registrations", registration("ATL").drop(columns="version"))


# --- upkeep: merging, removing, vacuum

NOW = pd.Timestamp("2040-01-01", tz="UTC")  # long after anything here was written


def observation(value: float, fleet: str = "f", bucket: int = 1) -> pd.DataFrame:
    row = {"fleet": fleet, "bucket": bucket, "airport": "ATL", "ds": pd.Timestamp("2020-01-01"), "y": value}
    return pd.DataFrame([{**row, "known_at": pd.Timestamp("2020-02-01", tz="UTC"), "receipt": "r"}])


def files(folder: Path) -> set[Path]:
    return set((folder / "tables" / "observations").glob("fleet=*/**/*.parquet"))


def test_small_files_are_merged_and_no_row_of_any_version_changes(tables: DeltaStore) -> None:
    for value in range(4):
        tables.append("observations", observation(value))
    tables.append("observations", observation(9, "g"))
    then = [sorted(tables.read("observations", version=v)["y"]) for v in range(5)]
    assert tables.compact("observations", "f", small_files=5) == 0
    assert tables.version("observations") == 4
    assert tables.compact("observations", "f", small_files=4, dry_run=True) == 4
    assert tables.version("observations") == 4
    assert tables.compact("observations", "f", small_files=4) == 4
    assert tables.compact("observations", "f", small_files=4) == 0
    assert tables.version("observations") == 5
    assert [sorted(tables.read("observations", version=v)["y"]) for v in range(6)] == [*then, then[-1]]


def test_rows_go_with_their_runs_and_those_of_others_stay(tables: DeltaStore) -> None:
    for fleet, key in (("f", "r1"), ("f", "r2"), ("f", "r3"), ("g", "r1")):
        tables.append("registrations", registration("ATL", fleet, key))
    assert tables.remove("registrations", "f", ["r1", "r2"], dry_run=True) == 2
    assert tables.version("registrations") == 3
    assert tables.remove("registrations", "f", ["r1", "r2"]) == 2
    assert set(tables.read("registrations")[["fleet", "run_key"]].itertuples(index=False, name=None)) == {
        ("f", "r3"),
        ("g", "r1"),
    }
    assert tables.remove("registrations", "f", ["r1", "r2"]) == 0
    assert tables.remove("outcomes", "f", ["r1"]) == 0
    assert tables.version("registrations") == 4


@pytest.mark.parametrize("op", ["=", "!=", "<", "<=", ">", ">=", "in"])
def test_a_file_that_some_rows_were_removed_from_is_read_like_any_other(tables: DeltaStore, op: str) -> None:
    """delta-rs writes it anew, and its texts in another way, which pyarrow would not compare."""
    tables.append("registrations", pd.concat([registration(code, run_key=f"r{i}") for i, code in enumerate("ABCDE")]))
    tables.append("registrations", registration("F", run_key="r5"))
    tables.append("registrations", registration("A", fleet="g"))
    assert tables.remove("registrations", "f", ["r1"]) == 1
    value = ["C", "F", "B"] if op == "in" else "C"
    passes = {
        "=": "C".__eq__, "!=": "C".__ne__, "<": "C".__gt__, "<=": "C".__ge__, ">": "C".__lt__, ">=": "C".__le__,
        "in": "CFB".__contains__,
    }  # fmt: skip
    found = tables.read("registrations", [("fleet", "=", "f"), ("airport", op, value)])
    assert sorted(found["airport"]) == [code for code in "ACDEF" if passes[op](code)]
    assert found.dtypes.equals(tables.read("registrations", [("fleet", "=", "g")]).dtypes)
    assert list(tables.read("registrations", [("version", ">=", 0), ("airport", op, value)], ["model"])) == ["model"]
    assert tables.remove("registrations", "f", ["r2"]) == 1


def test_rows_can_be_removed_and_files_merged_while_others_write(tables: DeltaStore) -> None:
    for n in range(8):
        tables.append("registrations", registration(f"A{n}", run_key=f"r{n}"))
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(tables.remove, "registrations", "f", ["r1"])]
        done += [pool.submit(tables.append, "registrations", registration(f"B{n}", run_key="new")) for n in range(3)]
        done += [pool.submit(tables.compact, "registrations", "f", 2)]
        for one in done:
            one.result()
    rows = set(tables.read("registrations")["airport"])
    assert rows == {f"A{n}" for n in range(8) if n != 1} | {"B0", "B1", "B2"}


def test_vacuum_leaves_the_files_of_versions_to_keep_and_takes_the_others(tables: DeltaStore, tmp_path: Path) -> None:
    for value in range(3):  # version 0, 1, 2
        tables.replace("observations", observation(value), {"fleet": "f"})
    before, rows = files(tmp_path), tables.read("observations", version=1)
    told = tables.vacuum("observations", "f", NOW, keep=[1], dry_run=True)
    assert files(tmp_path) == before
    assert tables.vacuum("observations", "f", NOW, keep=[1]) == told
    assert (told.files, told.lost) == (1, ())
    (gone,) = before - files(tmp_path)
    assert told.size > 0
    assert not gone.exists()
    pd.testing.assert_frame_equal(tables.read("observations", version=1), rows)
    assert list(tables.read("observations")["y"]) == [2]
    with pytest.raises(VersionGone, match="version 0 is gone"):
        tables.read("observations", version=0)
    assert tables.vacuum("observations", "f", NOW, keep=[1]) == Vacuumed()
    assert tables.vacuum("observations", "f", NOW).files == 1
    assert tables.version("observations") == 2  # it commits nothing


def test_vacuum_goes_by_when_a_file_was_last_of_the_newest_version_and_not_by_when_it_was_written(
    tables: DeltaStore, tmp_path: Path
) -> None:
    tables.replace("observations", observation(0), {"fleet": "f"})
    for path in files(tmp_path):
        os.utime(path, (0, 0))
    long_after_it_was_written = pd.Timestamp.now(tz="UTC")
    tables.replace("observations", observation(1), {"fleet": "f"})
    assert tables.vacuum("observations", "f", long_after_it_was_written).files == 0
    assert tables.vacuum("observations", "f", pd.Timestamp.now(tz="UTC")).files == 1


def test_vacuum_takes_what_a_broken_off_write_left_but_nothing_that_may_still_be_written(
    tables: DeltaStore, tmp_path: Path
) -> None:
    tables.append("observations", observation(0))
    (there,) = files(tmp_path)
    left = there.with_name("part-left.parquet")
    left.write_bytes(b"half")
    assert tables.vacuum("observations", "f", pd.Timestamp.now(tz="UTC")).files == 0
    assert tables.vacuum("observations", "f", NOW) == Vacuumed(1, 4)
    assert files(tmp_path) == {there}


def test_vacuum_is_of_one_fleet(tables: DeltaStore, tmp_path: Path) -> None:
    for value in range(2):
        tables.replace("observations", observation(value), {"fleet": "f"})
        tables.replace("observations", observation(value, "g"), {"fleet": "g"})
    before = files(tmp_path)
    assert tables.vacuum("observations", "f", NOW).files == 1
    assert {path.parts[-3] for path in before - files(tmp_path)} == {"fleet=f"}
    assert tables.vacuum("observations", "never", NOW) == tables.vacuum("scores", "f", NOW) == Vacuumed()


def test_vacuum_removes_nothing_where_the_store_does_not_list_what_the_newest_version_holds(
    tables: DeltaStore, tmp_path: Path
) -> None:
    for value in range(2):
        tables.replace("observations", observation(value), {"fleet": "f"})
    before = files(tmp_path)
    newest = max(before, key=lambda path: path.stat().st_mtime_ns)
    newest.rename(newest.with_suffix(".moved"))
    with pytest.raises(InfrastructureError, match="nothing was removed"):
        tables.vacuum("observations", "f", NOW)
    assert files(tmp_path) == before - {newest}


def test_every_version_of_the_observations_can_be_read_however_many_commits_and_days_have_passed(
    tables: DeltaStore, tmp_path: Path
) -> None:
    for value in range(205):  # at every 100th commit delta-rs drops what of the log is 30 days old and not needed
        tables.append("observations", observation(value))
        if value == 150:
            for path in (tmp_path / "tables" / "observations" / "_delta_log").iterdir():
                os.utime(path, (0, 0))
    assert list(tables.read("observations", version=0)["y"]) == [0]
    assert len(tables.read("observations", version=120)) == 121


def test_a_version_without_its_files_one_between_two_logs_and_one_that_never_was_are_gone(
    tables: DeltaStore, tmp_path: Path
) -> None:
    for value in range(4):
        tables.append("observations", observation(value))
    folder = tmp_path / "tables" / "observations"
    with pytest.raises(VersionGone, match="version 9 is gone; the newest is 3"):
        tables.read("observations", version=9)
    assert tables.read("scores", version=9).empty  # never written
    DeltaTable(str(folder)).create_checkpoint()
    (folder / "_delta_log" / f"{1:020d}.json").unlink()
    with pytest.raises(VersionGone, match="version 2 is gone"):
        tables.read("observations", version=2)
    next(folder.rglob("*.parquet")).unlink()
    with pytest.raises(VersionGone, match="version 3 is gone"):
        tables.read("observations", version=3)
    with pytest.raises(FileNotFoundError):
        tables.read("observations")


def test_a_version_whose_log_is_gone_is_no_empty_table(tables: DeltaStore, tmp_path: Path) -> None:
    for value in range(3):
        tables.append("observations", observation(value))
    DeltaTable(str(tmp_path / "tables" / "observations")).create_checkpoint()
    for version in range(2):
        (tmp_path / "tables" / "observations" / "_delta_log" / f"{version:020d}.json").unlink()
    with pytest.raises(VersionGone, match="version 1 is gone; the newest is 2"):
        tables.read("observations", version=1)
    done = tables.vacuum("observations", "f", NOW, keep=[1, 2, 7])
    assert done == Vacuumed(0, 0, lost=(1, 7))
    assert len(tables.read("observations")) == 3
