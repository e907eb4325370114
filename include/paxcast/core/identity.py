"""Names that are functions of content: run keys, checksums, seeds. Nothing here depends on a clock or on order."""

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd

from paxcast.core.columns import DS, Y


def digest(value: Any, length: int = 12) -> str:
    """A short hex digest of a JSON-like value, the same for equal values whatever the order of their keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def history_checksum(history: pd.DataFrame) -> str:
    """The digest of one airport's whole history: every `ds` (as whole days) and the exact bits of every `y`."""
    ordered = history.sort_values([DS, Y], kind="stable")
    days = ordered[DS].to_numpy().astype("datetime64[D]").astype("<i8")
    values = ordered[Y].to_numpy(dtype="<f8") + np.float64(0.0)  # -0.0 becomes 0.0
    return hashlib.sha256(days.tobytes() + values.tobytes()).hexdigest()[:16]


def run_key(fleet: str, as_of: pd.Timestamp, config_hash: str, revision: int) -> str:
    """The name of a run: what was forecast, up to when, under which configuration, and which forced revision."""
    return f"{fleet}-{as_of:%Y%m%dT%H%M%S}-{config_hash}-r{revision}"


def seed(airport: str, fleet: str, as_of: pd.Timestamp, config_hash: str) -> int:
    """The seed of everything random for one airport in one run, in 0..2**31 - 1."""
    text = f"{airport}|{fleet}|{as_of.isoformat()}|{config_hash}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF


def bucket(airport: str, buckets: int = 16) -> int:
    """The hash bucket of an airport: which slice of a large table holds it."""
    return hashlib.sha256(airport.encode()).digest()[0] % buckets
