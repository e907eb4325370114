"""Small immutable objects beside the tables: outcomes, manifests, releases. Local disk or any object store.

`put_if_absent` is the one atomic step that the ledger rests on: of two writers of a name exactly one succeeds, and a
reader sees the whole object or none.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pandas as pd
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

STORE_ERRORS = (OSError, BaseError)  # what a store that does not answer, or refuses, raises
AT_ONCE = 1000  # names in one request to remove them


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store lists it: its size in bytes, and when it was last written (UTC)."""

    name: str
    size: int
    modified: pd.Timestamp


class ObjectStore:
    """Objects by name under one root, a folder or an object store's address. Picklable: workers open their own."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/")
        url = f"{self.root}/objects"
        if "://" not in url:
            Path(url).mkdir(parents=True, exist_ok=True)
            url = Path(url).resolve().as_uri()
        self._store = from_url(url)

    def put_if_absent(self, name: str, value: Any) -> bool:
        """Store a JSON value under a new name; False, and nothing changes, if the name is taken."""
        return self.put_bytes_if_absent(name, _encoded(value))

    def put_bytes_if_absent(self, name: str, value: bytes) -> bool:
        """Store bytes that are no JSON under a new name; False, and nothing changes, if the name is taken."""
        try:
            obstore.put(self._store, name, value, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value, in the place of what stood there. Only pointers are ever overwritten, and
        outcomes by themselves without their trials, see jobs/prune.py."""
        obstore.put(self._store, name, _encoded(value))

    def put_text(self, name: str, text: str) -> str:
        """Store a text, in the place of what stood there; where it is, for a person to open."""
        obstore.put(self._store, name, text.encode())
        return f"{self.root}/objects/{name}"

    def get(self, name: str) -> Any | None:
        """The value under a name, or None."""
        found = self.get_bytes(name)
        return None if found is None else json.loads(found)

    def get_bytes(self, name: str) -> bytes | None:
        """The bytes under a name, or None."""
        try:
            return bytes(obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Remove an object."""
        obstore.delete(self._store, name)

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects, those that are still there."""
        for first in range(0, len(names), AT_ONCE):
            some = list(names[first : first + AT_ONCE])
            try:
                obstore.delete(self._store, some)
            except FileNotFoundError:  # a local disk tells what an object store does not: one is gone already
                for name in some:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._store, name)

    def folders(self, prefix: str) -> list[str]:
        """The last part of every name that stands just below a prefix and has others below it, sorted.

        On a local disk also of those whose objects were all removed.
        """
        found = obstore.list_with_delimiter(self._store, prefix=prefix)["common_prefixes"]
        return sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)

    def stored(self, prefix: str) -> list[Stored]:
        """Every object under a prefix (a whole path segment), sorted by name."""
        found = [
            Stored(str(meta["path"]), int(meta["size"]), pd.Timestamp(meta["last_modified"]))
            for chunk in obstore.list(self._store, prefix=prefix)
            for meta in chunk
        ]
        return sorted(found, key=lambda one: one.name)

    def names(self, prefix: str) -> Iterator[str]:
        """Every name under a prefix (a whole path segment), sorted."""
        found: list[str] = []
        for chunk in obstore.list(self._store, prefix=prefix):
            found += [str(meta["path"]) for meta in chunk]
        return iter(sorted(found))

    def __reduce__(self) -> tuple[type["ObjectStore"], tuple[str]]:
        return ObjectStore, (self.root,)


def _encoded(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
