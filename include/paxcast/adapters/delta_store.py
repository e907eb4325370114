"""Delta tables through delta-rs: ACID commits and time travel on a local disk or an object store, no JVM.

Tables are append-only unless a method says otherwise, so that writers never conflict; readers take the newest row of a
key. Every table is partitioned by fleet, so a read of one fleet never opens another's files.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from pyarrow.fs import FileSystem, LocalFileSystem, SubTreeFileSystem

from paxcast.core.columns import FLEET
from paxcast.core.errors import InfrastructureError

TEXT, REAL, WHOLE, DAY, INSTANT = (
    pa.string(),
    pa.float64(),
    pa.int64(),
    pa.timestamp("us"),
    pa.timestamp("us", tz="UTC"),
)
COMMIT_TRIES = 5

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
    }.items()
}  # fmt: skip
PARTITIONS = {"observations": [FLEET, "bucket"], "forecasts": [FLEET, "bucket"], "scores": [FLEET, "bucket"]}

Filter = tuple[str, str, Any]


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
        """The rows that pass all filters, at a version or the newest; no rows if the table was never written."""
        found = self._open(table, version)
        if found is None:
            schema = TABLES[table]
            empty = schema.empty_table()
            return _frame(empty.select(columns) if columns else empty)
        files = self._filesystem(table)
        return _frame(found.to_pyarrow_table(columns=columns, filters=list(filters) or None, filesystem=files))

    def version(self, table: str) -> int:
        """The newest version of a table, -1 if it was never written."""
        found = self._open(table)
        return -1 if found is None else int(found.version())

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
        for _ in range(COMMIT_TRIES):
            try:
                if predicate is not None and exists:
                    write_deltalake(self._uri(table), data, mode="overwrite", predicate=predicate)
                else:
                    write_deltalake(self._uri(table), data, mode="append", partition_by=PARTITIONS.get(table, [FLEET]))
                return self.version(table)
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


def _frame(arrow: pa.Table) -> pd.DataFrame:
    """Rows as pandas; times in nanoseconds, the one unit used everywhere else."""
    frame: pd.DataFrame = arrow.to_pandas(coerce_temporal_nanoseconds=True)
    return frame
