"""Small immutable objects beside the tables: outcomes, manifests, releases. Local disk or any object store.

`put_if_absent` is the one atomic step that the ledger rests on: of two writers of a name exactly one succeeds, and a
reader sees the whole object or none.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

STORE_ERRORS = (OSError, BaseError)  # what a store that does not answer, or refuses, raises


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
        try:
            obstore.put(self._store, name, _encoded(value), mode="create")
        except AlreadyExistsError:
            return False
        return True

    def put(self, name: str, value: Any) -> None:
        """Store a JSON value, in the place of what stood there. Only pointers are ever overwritten."""
        obstore.put(self._store, name, _encoded(value))

    def put_text(self, name: str, text: str) -> str:
        """Store a text, in the place of what stood there; where it is, for a person to open."""
        obstore.put(self._store, name, text.encode())
        return f"{self.root}/objects/{name}"

    def get(self, name: str) -> Any | None:
        """The value under a name, or None."""
        try:
            return json.loads(bytes(obstore.get(self._store, name).bytes()))
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Remove an object."""
        obstore.delete(self._store, name)

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
