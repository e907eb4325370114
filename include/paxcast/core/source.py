"""What a source of traffic must offer. A new source is one file in adapters/sources that implements `Source`."""

from dataclasses import dataclass, field
from typing import Protocol

import pandas as pd

FILE, ROW, DATE, VALUE, FAULT = "file", "row", "date", "value", "fault"  # beside airport and known_at: see door.admit


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that could not be attributed to an airport and a period, and why. Rows count from 1, headers apart."""

    file: str
    row: int
    reason: str
    airport: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a source delivered, already under the table contract.

    `rows`: columns airport (text), ds (datetime64[ns], a period start), y (float64, may be non-finite), known_at
    (UTC or missing: when the source itself says so). `frequency`: D, W or MS. `received` counts every row that was
    in the input: `received == len(rows) + len(rejected) + repeated`, where `repeated` rows said the same thing twice,
    or what a later file of the same folder says anew.
    """

    rows: pd.DataFrame
    frequency: str
    received: int
    repeated: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    description: str = ""


class Source(Protocol):
    """Something that can be asked for all its traffic.

    `received_at` (UTC): the periods that had not ended by then are rejected; None: all had. Raises BadFile when the
    input breaks its contract.
    """

    def read(self, received_at: pd.Timestamp | None = None) -> Delivery: ...
