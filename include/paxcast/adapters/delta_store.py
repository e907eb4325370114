"""Delta tables through delta-rs: ACID commits and time travel on a local disk or an object store, no JVM.

Tables are append-only unless a method says otherwise, so that writers never conflict; readers take the newest row of a
key. Every table is partitioned by fleet, so a read of one fleet never opens another's files.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, eq, ge, gt, le, lt, ne
from pathlib import Path
from typing import Any, TypeVar

import obstore
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable, PostCommitHookProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from obstore.store import from_url
from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

from paxcast.core.columns import FLEET
from paxcast.core.errors import InfrastructureError, VersionGone

TEXT, REAL, WHOLE, DAY, INSTANT = (
    pa.string(),
    pa.float64(),
    pa.int64(),
    pa.timestamp("us"),
    pa.timestamp("us", tz="UTC"),
)
COMMIT_TRIES = 5
SMALL_FILES = 16  # of one partition: as many are merged. At fewer each merge would rewrite all for little
GRACE = pd.Timedelta(days=1)  # between the writing of a file and the commit that names it

TABLES: dict[str, pa.Schema] = {
    name: pa.schema(list({FLEET: TEXT, **columns}.items()))
    for name, columns in {
        "observations": {
            "bucket": WHOLE, "airport": TEXT, "ds": DAY, "y": REAL, "known_at": INSTANT, "receipt": TEXT,
        },
        "receipts": {
            "receipt": TEXT, "received_at": INSTANT, "description": TEXT, "frequency": TEXT, "rows_received": WHOLE,
            "rows_stored": WHOLE, "rows_unchanged": WHOLE, "rows_repeated": WHOLE, "rows_rejected": WHOLE,
        },
        "rejects": {"receipt": TEXT, "file": TEXT, "row": WHOLE, "airport": TEXT, "reason": TEXT},
        "quality": {
            "run_key": TEXT, "as_of": INSTANT, "airport": TEXT, "quarantined": pa.bool_(), "reasons": TEXT,
            "detail": TEXT, "rows_known": WHOLE, "rows_used": WHOLE, "rows_quarantined": WHOLE, "first_ds": DAY,
            "last_ds": DAY, "checksum": TEXT,
        },
        "outcomes": {
            "run_key": TEXT, "airport": TEXT, "as_of": TEXT, "checksum": TEXT, "batch": WHOLE, "status": TEXT,
            "reason": TEXT, "seed": WHOLE, "periods": WHOLE, "filled": WHOLE, "seconds": REAL, "attempt": WHOLE,
        },
        "registrations": {
            "run_key": TEXT, "airport": TEXT, "checksum": TEXT, "model": TEXT, "version": WHOLE, "mlflow_run": TEXT,
        },
        "decisions": {
            "run_key": TEXT, "airport": TEXT, "checksum": TEXT, "as_of": TEXT, "verdict": TEXT, "reason": TEXT,
            "method": TEXT, "rule": TEXT, "weights": TEXT, "parameters": TEXT, "cv_mase": REAL, "cv_mase_naive": REAL,
            "mase": REAL, "mase_naive": REAL, "confidence": TEXT, "forecast": TEXT,
        },
        "forecasts": {
            "bucket": WHOLE, "run_key": TEXT, "airport": TEXT, "as_of": TEXT, "checksum": TEXT, "ds": DAY, "yhat": REAL,
            "lo80": REAL, "hi80": REAL, "lo95": REAL, "hi95": REAL, "confidence": TEXT,
        },
        "scores": {
            "bucket": WHOLE, "airport": TEXT, "release": TEXT, "backfill": pa.bool_(), "run_key": TEXT,
            "checksum": TEXT, "forecast_as_of": INSTANT, "ds": DAY, "step": WHOLE, "method": TEXT, "y": REAL,
            "yhat": REAL, "lo80": REAL, "hi80": REAL, "lo95": REAL, "hi95": REAL, "scale": REAL, "scaled_error": REAL,
            "error": REAL, "pinball": REAL, "covered80": pa.bool_(), "covered95": pa.bool_(), "known_at": INSTANT,
            "data_version": WHOLE,
        },
        "drift": {
            "check_key": TEXT, "run_key": TEXT, "as_of": TEXT, "airport": TEXT, "cycle": TEXT, "tested": pa.bool_(),
            "drifted": pa.bool_(), "severity": TEXT, "p": REAL, "q": REAL, "ratio": REAL, "reasons": TEXT,
            "fault": TEXT, "action": TEXT, "why": TEXT, "pinned": TEXT, "version": WHOLE, "cusum": TEXT,
        },
    }.items()
}  # fmt: skip
PARTITIONS = {"observations": [FLEET, "bucket"], "forecasts": [FLEET, "bucket"], "scores": [FLEET, "bucket"]}

TRAVELLED = {"observations"}  # old versions are read; delta-rs would drop their log at every 100th commit, 30 days on

Filter = tuple[str, str, Any]
COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    **{"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge},
    "in": lambda field, values: field.isin(values),
    "not in": lambda field, values: ~field.isin(values),
}
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Vacuumed:
    """Files that were, or would be, removed, and their bytes; `lost`: versions to keep that cannot be read any more."""

    files: int = 0
    size: int = 0
    lost: tuple[int, ...] = ()


class DeltaStore:
    """The tables under one root, a folder or an object store's address."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")

    def append(self, table: str, frame: pd.DataFrame) -> int:
        """Add rows; the table's version afterwards. An empty frame adds nothing and commits nothing."""
        if len(frame) == 0:
            return self.version(table)
        return self._write(table, frame, predicate=None)

    def replace(self, table: str, frame: pd.DataFrame, keys: dict[str, str]) -> int:
        """Put rows in the place of those with these key values, in one commit; the version afterwards."""
        predicate = " AND ".join(f"{column} = '{value}'" for column, value in keys.items())
        return self._write(table, frame, predicate)

    def read(
        self, table: str, filters: Sequence[Filter] = (), columns: list[str] | None = None, version: int | None = None
    ) -> pd.DataFrame:
        """The rows that pass all filters, at a version or the newest; no rows if the table was never written.

        Raises VersionGone for a version whose files, or whose log, were removed.
        """
        try:
            found = DeltaTable(self._uri(table), version=version)
            return _frame(_rows(found, self._filesystem(table), filters, columns))
        except (DeltaError, FileNotFoundError) as err:
            newest = self.version(table)  # raises if the store is what does not answer
            if newest < 0:
                empty = TABLES[table].empty_table()
                return _frame(empty.select(columns) if columns else empty)
            if version is None:
                raise
            raise VersionGone(f"{self._uri(table)}: version {version} is gone; the newest is {newest}") from err

    def version(self, table: str) -> int:
        """The newest version of a table, -1 if it was never written."""
        found = self._open(table)
        return -1 if found is None else int(found.version())

    def compact(self, table: str, fleet: str, small_files: int = SMALL_FILES, dry_run: bool = False) -> int:
        """Merge a fleet's files where a partition has that many; how many files were, or would be. No row changes."""
        found = self._open(table)
        many = {part: n for part, n in self._partitions(found, fleet).items() if n >= small_files}
        if dry_run or not many:
            return sum(many.values())

        def merged() -> int:
            optimizer, only = DeltaTable(self._uri(table)).optimize, [(FLEET, "=", fleet)]
            return int(optimizer.compact(only, post_commithook_properties=_hook(table))["numFilesRemoved"])

        return self._committed(table, merged)

    def remove(self, table: str, fleet: str, run_keys: Collection[str], dry_run: bool = False) -> int:
        """Remove the rows of some of a fleet's runs; how many were, or would be."""
        there = self.read(table, [(FLEET, "=", fleet), ("run_key", "in", sorted(run_keys))], ["run_key"])
        if dry_run or there.empty:
            return len(there)
        listed = ", ".join(f"'{run_key}'" for run_key in sorted(run_keys))
        predicate = f"{FLEET} = '{fleet}' AND run_key IN ({listed})"

        def removed() -> int:
            deleted = DeltaTable(self._uri(table)).delete(predicate, post_commithook_properties=_hook(table))
            return int(deleted["num_deleted_rows"])

        return self._committed(table, removed)

    def vacuum(
        self, table: str, fleet: str, before: pd.Timestamp, keep: Collection[int] = (), dry_run: bool = False
    ) -> Vacuumed:
        """Remove a fleet's files that no version needs: neither one to keep, nor any that was the newest since then.

        delta-rs's own goes by the age of a file's removal alone. Files that a broken-off write has left go too. Raises
        InfrastructureError, and removes nothing, if the store does not list a file of the newest version.
        """
        newest = self._open(table)
        if newest is None:
            return Vacuumed()
        opened, lost = self._opened(newest, table, {*keep, _in_force(newest, before)})
        needed = {path for found in (newest, *opened) for path in _paths(found, fleet)}
        store = from_url(self._url(table))
        listed = {str(m["path"]): m for chunk in obstore.list(store, prefix=f"{FLEET}={fleet}") for m in chunk}
        if missing := sorted(set(_paths(newest, fleet)) - set(listed)):
            raise InfrastructureError(f"{self._uri(table)}: the store does not list {missing[0]}; nothing was removed")
        idle = [
            p for p in sorted(listed) if p not in needed and pd.Timestamp(listed[p]["last_modified"]) < before - GRACE
        ]
        if idle and not dry_run:
            obstore.delete(store, idle)
        return Vacuumed(len(idle), sum(int(listed[path]["size"]) for path in idle), lost)

    def _opened(self, newest: DeltaTable, table: str, versions: set[int]) -> tuple[list[DeltaTable], tuple[int, ...]]:
        """Versions of a table, and those that are gone for good: not on record any more, or of a table before it."""
        found, lost = [], []
        on_record = {int(commit["version"]) for commit in newest.history()}
        for version in sorted(versions):
            opened = self._open(table, version) if version <= newest.version() else None
            if opened is not None:
                found.append(opened)
            elif version in on_record:
                raise InfrastructureError(f"{self._uri(table)}: version {version} cannot be read; nothing was removed")
            else:
                lost.append(version)
        return found, tuple(lost)

    def _partitions(self, found: DeltaTable | None, fleet: str) -> Counter[str]:
        """The number of files in each of a fleet's partitions."""
        return Counter(path.rsplit("/", 1)[0] for path in _paths(found, fleet)) if found else Counter()

    def _open(self, table: str, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(self._uri(table), version=version)
        except TableNotFoundError:
            return None

    def _write(self, table: str, frame: pd.DataFrame, predicate: str | None) -> int:
        schema = TABLES[table]
        data = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
        exists = self._open(table) is not None
        if "://" not in self.root:
            Path(self._uri(table)).mkdir(parents=True, exist_ok=True)
        how: dict[str, Any] = {"mode": "append", "partition_by": PARTITIONS.get(table, [FLEET])}
        if predicate is not None and exists:
            how = {"mode": "overwrite", "predicate": predicate}

        def written() -> int:
            write_deltalake(self._uri(table), data, post_commithook_properties=_hook(table), **how)
            return self.version(table)

        return self._committed(table, written)

    def _committed(self, table: str, commit: Callable[[], Made]) -> Made:
        for _ in range(COMMIT_TRIES):
            try:
                return commit()
            except CommitFailedError as err:  # another writer came first: delta-rs has undone ours, so write it again
                conflict = err
        raise InfrastructureError(f"{self._uri(table)}: {COMMIT_TRIES} commits in a row met another writer: {conflict}")

    def _filesystem(self, table: str) -> FileSystem | None:
        """Arrow's own for a local disk. With delta-rs's, which is in Python, Arrow's threads may hold Python objects as
        the process ends, and abort it with exit code 134 after all is done (delta-io/delta-rs#2184)."""
        if "://" in self.root:
            return None
        return SubTreeFileSystem(str(Path(self._uri(table)).resolve()), LocalFileSystem())

    def _uri(self, table: str) -> str:
        return f"{self.root}/tables/{table}"

    def _url(self, table: str) -> str:
        uri = self._uri(table)
        return uri if "://" in uri else Path(uri).resolve().as_uri()


def _rows(
    found: DeltaTable, files: FileSystem | None, filters: Sequence[Filter], columns: list[str] | None
) -> pa.Table:
    """The rows that pass all filters, of an open table. `read` says the rest."""
    try:
        return found.to_pyarrow_table(columns=columns, filters=list(filters) or None, filesystem=files)
    except pa.ArrowNotImplementedError:
        if not filters:
            raise
        # What delta-rs wrote anew, in a removal for one, holds texts as views, which pyarrow compares with nothing.
        dataset = found.to_pyarrow_dataset(filesystem=files)
        partitions = found.metadata().partition_columns
        texts = {f.name for f in dataset.schema if f.type == TEXT and f.name not in partitions}
        passes = [
            COMPARED[op](ds.field(name).cast(TEXT) if name in texts else ds.field(name), value)
            for name, op, value in filters
        ]
        return dataset.to_table(columns=columns, filter=reduce(and_, passes))


def _frame(arrow: pa.Table) -> pd.DataFrame:
    """Rows as pandas; times in nanoseconds, the one unit used everywhere else."""
    frame: pd.DataFrame = arrow.to_pandas(coerce_temporal_nanoseconds=True)
    return frame


def _hook(table: str) -> PostCommitHookProperties:
    return PostCommitHookProperties(cleanup_expired_logs=False if table in TRAVELLED else None)


def _paths(found: DeltaTable, fleet: str) -> list[str]:
    """The files of a fleet in one version, relative to the table."""
    paths = pa.table(found.get_add_actions(flatten=True)).column("path").to_pylist()
    return [path for path in paths if path.startswith(f"{FLEET}={fleet}/")]


def _in_force(newest: DeltaTable, instant: pd.Timestamp) -> int:
    """The version that was the newest at an instant, by the times of the commits; else the first one on record."""
    made = {
        int(commit["version"]): pd.Timestamp(commit["timestamp"], unit="ms", tz="UTC") for commit in newest.history()
    }
    return max((version for version, at in made.items() if at <= instant), default=min(made))
