from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest

from paxcast.adapters.delta_store import TABLES, DeltaStore


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
