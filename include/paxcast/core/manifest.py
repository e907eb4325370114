"""What one run will do, frozen before it starts: who, why, in which batch, and what the numbers may depend on.

A batch is a position in a sorted list, so the list is made once and never again: a retry reads the same manifest.
The *context* (previous release, champions, warm starts, fallbacks after drift) is frozen once for a run key and shared
by all its manifests, so that an airport refitted later under the same key sees what its siblings saw.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from paxcast.core.candidates import Specification
from paxcast.core.choice import Waiting
from paxcast.core.identity import digest

WHOLE_FLEET = "whole fleet"


@dataclass(frozen=True, slots=True)
class PlannedAirport:
    """One airport to forecast: the checksum of its history, the batch it is in, and why it is here: with the whole
    fleet, or for a reason of its own, as `drift: loss, bias high`."""

    airport: str
    checksum: str
    batch: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Plain values only: it is stored as JSON, by its id, and never changed."""

    manifest_id: str
    run_key: str
    fleet: str
    as_of: str
    config_hash: str
    numbers: dict[str, Any]  # the part of the configuration that changes numbers
    frequency: str
    horizon: int
    data_version: int
    code_version: str
    airports: tuple[PlannedAirport, ...]
    quarantined: tuple[dict[str, str], ...]  # airport, reason
    context: dict[str, Any] = field(default_factory=dict)

    def batches(self) -> list[list[PlannedAirport]]:
        """The airports of each batch, in order."""
        count = max((a.batch for a in self.airports), default=-1) + 1
        return [self.of_batch(i) for i in range(count)]

    def of_batch(self, batch: int) -> list[PlannedAirport]:
        """The airports of one batch, in order."""
        return [a for a in self.airports if a.batch == batch]

    @property
    def whole(self) -> bool:
        """Whether it is of the whole fleet, and not of airports that were asked for by name, had failed or drifted."""
        return all(a.why == WHOLE_FLEET for a in self.airports)

    def champions(self, airport: str) -> tuple[Specification, ...]:
        """The specifications in force for the airport when the context was frozen, one a candidate."""
        return _specifications(self.context.get("champions", {}).get(airport, {}))

    def waiting(self, airport: str) -> dict[str, Waiting]:
        """By candidate, the airport's challengers that were in the shadow when the context was frozen."""
        found = self.context.get("waiting", {}).get(airport, {})
        return {name: Waiting.of(values) for name, values in sorted(found.items())}

    def pinned(self, airport: str) -> str | None:
        """The simple method that is published of the airport alone, as a drift check asked for; None if it competes.

        Frozen since there are drift checks: what was planned before them pins nothing.
        """
        found: str | None = self.context.get("pinned", {}).get(airport)
        return found

    def warm_starts(self) -> tuple[Specification, ...]:
        """The points that every airport's search tries first, after its champion's."""
        return _specifications(self.context.get("fleet_best", {}))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_dict(values: Mapping[str, Any]) -> Manifest:
    """The manifest that `as_dict` described."""
    airports = tuple(PlannedAirport(**a) for a in values["airports"])
    return Manifest(**{**values, "airports": airports, "quarantined": tuple(values["quarantined"])})


def _specifications(by_candidate: Mapping[str, Any]) -> tuple[Specification, ...]:
    return tuple(Specification(name, parameters) for name, parameters in sorted(by_candidate.items()))


def split(airports: Sequence[tuple[str, str, str]], batches: int) -> tuple[PlannedAirport, ...]:
    """Sorted (airport, checksum, why) in `batches` runs of neighbours whose sizes differ by at most one."""
    ordered = sorted(airports)
    count = min(batches, len(ordered))
    return tuple(
        PlannedAirport(airport, checksum, index * count // len(ordered), why)
        for index, (airport, checksum, why) in enumerate(ordered)
    )


def label(index: int, airports: Sequence[PlannedAirport]) -> str:
    """How a batch is called in a UI: `batch 07: 94 airports, ATL to BOS`."""
    noun = "airport" if len(airports) == 1 else "airports"
    return f"batch {index:02d}: {len(airports)} {noun}, {airports[0].airport} to {airports[-1].airport}"


def manifest_id(content: Mapping[str, Any]) -> str:
    """The name of a manifest: a digest of all it says."""
    return digest(content)
