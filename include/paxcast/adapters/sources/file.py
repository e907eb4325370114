"""Traffic from CSV and Parquet files: one file, or a folder of them. Only the mapped columns pass the door.

In a folder every file counts, those of its subfolders too. Of files that state one period of one vintage the last by
name holds; names are compared as text, subfolders included, so that `2020-12.csv` comes after `2020-11.csv`.
"""

import csv
import difflib
import gzip
import io
import logging
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from paxcast.core.columns import AIRPORT, KNOWN_AT
from paxcast.core.door import admit
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.core.source import DATE, FAULT, FILE, ROW, VALUE, Delivery

log = logging.getLogger("paxcast.source")
CSV_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
SEPARATORS = (",", ";", "\t")
HEADER_CHARACTERS = 65_536  # enough for any header; csv refuses longer fields anyway
SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[\r\n]', re.IGNORECASE)  # the line above the header that Excel heeds


@dataclass(frozen=True)
class FileSource:
    """A CSV (.csv, .tsv, also .gz) or Parquet file, or a folder of them, read in the order of their names.

    `airport`, `date`, `value`, `known_at`: the names of the columns that hold these; all other columns stay unread.
    `frequency`: D, W or MS; if None, that `ingested` before; if that is None too, inferred from the dates.
    `date_format`: strptime's, for dates that are not ISO. `decimal`: "." or ",". `separator`: of CSV; if None, the one
    that a first line `sep=;` names, or the one of comma, semicolon and tab that fits the header.
    `max_rejected_share`: of a file's rows, blank values apart; above it the delivery is refused.
    """

    path: Path
    airport: str
    date: str
    value: str
    frequency: str | None = None
    ingested_frequency: str | None = None
    known_at: str | None = None
    date_format: str | None = None
    separator: str | None = None
    decimal: str = "."
    max_rejected_share: float = 0.10

    def read(self, received_at: pd.Timestamp | None = None) -> Delivery:
        """Everything in the files. Raises BadFile naming file and row, ConfigurationError naming the setting."""
        if self.separator is not None and len(self.separator) != 1:
            raise ConfigurationError(f"source.separator: {self.separator!r} is not one character; write it like ';'")
        files = self._files()
        return admit(
            pd.concat([self._raw(file) for file in files], ignore_index=True),
            frequency=self.frequency,
            ingested_frequency=self.ingested_frequency,
            received_at=received_at,
            max_rejected_share=self.max_rejected_share,
            date_format=self.date_format,
            decimal=self.decimal,
            description=self.path.name if self.path.is_file() else f"{self.path.name} ({len(files)} files)",
        )

    def _files(self) -> list[Path]:
        endings = ", ".join(CSV_ENDINGS + PARQUET_ENDINGS)
        if self.path.is_dir():
            files = self._files_of_folder()
            if not files:
                raise BadFile(
                    f"{self.path}: no file in this folder ends in {endings}; put one there or correct source.path"
                )
            return files
        if not self.path.exists():
            raise BadFile(f"{self.path}: there is no such file or folder; put it there or correct source.path")
        if not _is_traffic(self.path):
            raise BadFile(f"{self.path}: the name ends in none of {endings}; convert the file to one of these")
        return [self.path]

    def _files_of_folder(self) -> list[Path]:
        """The files of the folder and its subfolders, in the order of their names; warns of those it cannot read."""
        found = sorted((file for file in self.path.rglob("*") if not self._is_hidden(file)), key=self._name)
        entries = [file for file in found if file.is_file() or file.is_symlink()]
        unread = [self._name(file) for file in entries if not _is_traffic(file)]
        if unread:
            more = f" and {len(unread) - 10} more" if len(unread) > 10 else ""
            log.warning(
                "%s: not read, as they are no files that end in one of %s: %s%s; convert them, or move them away",
                *(self.path, ", ".join(CSV_ENDINGS + PARQUET_ENDINGS), ", ".join(unread[:10]), more),
            )
        return [file for file in entries if _is_traffic(file)]

    def _is_hidden(self, file: Path) -> bool:
        return any(part.startswith((".", "_")) for part in file.relative_to(self.path).parts)

    def _name(self, file: Path) -> str:
        """What messages call a file: its path below the folder that is read."""
        return file.name if file == self.path else file.relative_to(self.path).as_posix()

    def _raw(self, file: Path) -> pd.DataFrame:
        """The mapped columns of one file as text, with `file` and `row`."""
        name = self._name(file)
        try:
            if file.stat().st_size == 0:
                raise BadFile(f"{name}: the file is empty (0 bytes); deliver it again")
            frame = self._parquet(name, file) if _ends_in(file, PARQUET_ENDINGS) else self._csv(name, file)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as err:
            raise BadFile(f"{name}: cannot be read, truncated or damaged ({err}); deliver it again") from err
        frame[FILE], frame[ROW] = name, range(1, len(frame) + 1)
        return frame

    def _mapped(self, file: str, columns: Sequence[str]) -> dict[str, str]:
        """The mapped columns, by what they mean. Raises BadFile for one that is not there, or there twice."""
        mapped = {name: column for name, column in self._mapping().items() if column is not None}
        for name, column in mapped.items():
            if columns.count(column) != 1:
                raise BadFile(f"{file}: {_missing(name, column, columns)}")
        return mapped

    def _mapping(self) -> dict[str, str | None]:
        return {AIRPORT: self.airport, DATE: self.date, VALUE: self.value, KNOWN_AT: self.known_at}

    def _parquet(self, name: str, file: Path) -> pd.DataFrame:
        with pq.ParquetFile(file) as parquet:
            mapped = self._mapped(name, list(parquet.schema_arrow.names))
            table = parquet.read(columns=list(mapped.values()))
        return pd.DataFrame({meaning: self._text(table[column]) for meaning, column in mapped.items()})

    def _text(self, column: Any) -> list[str | None]:
        """A Parquet column as it would stand in a CSV: null is blank, NaN is 'nan', a date is ISO in its own zone."""
        text = column.cast(pa.string())
        if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            text = pc.replace_substring(text, ".", self.decimal)
        return list(text.to_pylist())

    def _csv(self, name: str, file: Path) -> pd.DataFrame:
        text = _decoded(name, file)
        stated = SEPARATOR_LINE.match(text)
        records = _records(name, text, self.separator or (stated[1] if stated else self._sniffed(text)))
        if stated:
            next(records)
        header = [column.strip() for column in next(records, [])]
        mapped = self._mapped(name, header)
        cells, faults = _picked(records, len(header), [header.index(column) for column in mapped.values()])
        return pd.DataFrame.from_records(cells, columns=list(mapped)).assign(**{FAULT: pd.Series(faults, dtype=object)})

    def _sniffed(self, text: str) -> str:
        """The separator that finds most mapped columns in the header; then the one that finds most columns."""
        wanted = set(self._mapping().values())
        start = text[:HEADER_CHARACTERS]

        def found(separator: str) -> tuple[int, int]:
            records = csv.reader(io.StringIO(start, newline=""), delimiter=separator)
            names = [name.strip() for name in next(filter(None, records), [])]
            return len(wanted & set(names)), len(names)

        return max(SEPARATORS, key=found)


def _is_traffic(file: Path) -> bool:
    return file.is_file() and _ends_in(file, CSV_ENDINGS + PARQUET_ENDINGS)


def _ends_in(file: Path, endings: tuple[str, ...]) -> bool:
    return file.name.lower().endswith(endings)


def _missing(name: str, column: str, columns: Sequence[str]) -> str:
    if column in columns:
        return f"column {column!r} (source.{name}) is there twice; rename one of them"
    by_fold = {known.casefold(): known for known in columns}
    near = difflib.get_close_matches(column.casefold(), by_fold, n=1)
    guess = f"did you mean {by_fold[near[0]]!r}?" if near else f"correct source.{name}"
    return f"there is no column {column!r} (source.{name}); the columns are {', '.join(columns)}; {guess}"


def _decoded(name: str, file: Path) -> str:
    """The text of a file, with or without a byte order mark. Raises BadFile at the first byte that is not UTF-8."""
    content = file.read_bytes()
    if _ends_in(file, (".gz",)):
        content = gzip.decompress(content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise BadFile(
            f"{name}, line {line} (row {line - 1}): byte {err.start} (0x{content[err.start]:02x}) is not UTF-8; "
            "save the file as UTF-8"
        ) from err


def _records(file: str, text: str, separator: str) -> Iterator[list[str]]:
    """The records of a CSV, header first; lines that are empty, or hold blank fields only, are none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        yield from (fields for fields in reader if any(field.strip() for field in fields))
    except csv.Error as err:
        raise BadFile(f"{file}, line {reader.line_num}: {err}; correct the quotes, or deliver it again") from err


def _picked(
    records: Iterator[list[str]], width: int, indices: list[int]
) -> tuple[list[tuple[str, ...]], list[str | None]]:
    """The wanted fields of each record, and what is wrong with it: one field too many may have cut a number in two."""
    pick = itemgetter(*indices)
    cells: list[tuple[str, ...]] = []
    faults: list[str | None] = []
    for fields in records:
        fits = len(fields) == width or (len(fields) > width and not any(fields[width:]))
        cells.append(pick(fields) if fits else ("",) * len(indices))
        faults.append(None if fits else f"the row has {len(fields)} fields where the header has {width}")
    return cells, faults
