"""Ingest: read the source, append what is new to `observations`, keep the receipt. The only writer of observations."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from paxcast.core import upsert
from paxcast.core.columns import AIRPORT, BUCKET, FLEET, OBSERVATION
from paxcast.core.identity import bucket, digest, history_checksum
from paxcast.core.source import Delivery
from paxcast.jobs.histories import ingested_frequency
from paxcast.jobs.sources import open_source
from paxcast.jobs.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """What one ingestion did, in rows: received = stored + unchanged + repeated + rejected."""

    received: int
    stored: int
    unchanged: int
    repeated: int
    rejected: list[dict[str, Any]]
    airports: int
    changed: list[str]
    data_version: int
    frequency: str

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.received,
            "airports": self.airports,
            "changed": self.changed,
            "rejected": self.rejected,
            "data_version": self.data_version,
            "stored": self.stored,
            "unchanged": self.unchanged,
            "repeated": self.repeated,
            "frequency": self.frequency,
        }


def ingest(ws: Workspace, received_at: pd.Timestamp, known_at: pd.Timestamp | None = None) -> Ingested:
    """Take in everything the source has. `known_at` overrides when restatements became known (default: `received_at`).

    Rows of a period that had not ended at `received_at` are rejected. Raises BadFile, with the store unchanged, when
    the input breaks its contract or does not fit the frequency of what is stored. Taken twice, nothing changes.
    """
    delivery = open_source(ws.settings, ingested_frequency(ws)).read(received_at)
    content = _content_digest(delivery)
    receipt = f"{received_at:%Y%m%dT%H%M%S}-{content}"
    new = upsert.additions(
        observations(ws),
        delivery.rows,
        frequency=delivery.frequency,
        delay_days=ws.settings.source.delay_days,
        receipt=receipt,
        restated_at=known_at or received_at,
    )
    data_version = ws.tables.append("observations", _placed(ws.fleet, new))
    report = Ingested(
        received=delivery.received,
        stored=len(new),
        unchanged=len(delivery.rows) - len(new),
        repeated=delivery.repeated,
        rejected=[{"row": r.row, "reason": r.reason, "file": r.file} for r in delivery.rejected],
        airports=int(delivery.rows[AIRPORT].nunique()),
        changed=sorted(new[AIRPORT].unique().tolist()),
        data_version=data_version,
        frequency=delivery.frequency,
    )
    _keep_receipt(ws, delivery, report, receipt, content, received_at)
    return report


def observations(ws: Workspace, version: int | None = None) -> pd.DataFrame:
    """Every observation of the fleet, at a table version or the newest."""
    return ws.tables.read("observations", [(FLEET, "=", ws.fleet)], OBSERVATION, version)


def _placed(fleet: str, rows: pd.DataFrame) -> pd.DataFrame:
    slots = {airport: bucket(airport) for airport in rows[AIRPORT].unique()}
    placed = rows.assign(fleet=fleet, bucket=rows[AIRPORT].map(slots))
    return placed.sort_values([BUCKET, AIRPORT, "ds"])


def _content_digest(delivery: Delivery) -> str:
    rejected = [[r.file, r.row, r.reason] for r in delivery.rejected]
    sums = {a: history_checksum(g) for a, g in delivery.rows.groupby(AIRPORT)}
    return digest([sums, rejected, delivery.received, delivery.frequency], 8)


def _keep_receipt(
    ws: Workspace, delivery: Delivery, report: Ingested, receipt: str, content: str, received_at: pd.Timestamp
) -> None:
    """One row a delivery and one a rejected row; a delivery that repeats an earlier one leaves none."""
    seen = ws.tables.read("receipts", [(FLEET, "=", ws.fleet)], ["receipt"])
    if report.stored == 0 and seen["receipt"].str.endswith(content).any():
        return
    rejects = [
        {FLEET: ws.fleet, "receipt": receipt, "file": r.file, "row": r.row, "airport": r.airport, "reason": r.reason}
        for r in delivery.rejected
    ]
    ws.tables.append("rejects", pd.DataFrame(rejects))
    row = {
        FLEET: ws.fleet,
        "receipt": receipt,
        "received_at": received_at,
        "description": delivery.description,
        "frequency": delivery.frequency,
        "rows_received": report.received,
        "rows_stored": report.stored,
        "rows_unchanged": report.unchanged,
        "rows_repeated": report.repeated,
        "rows_rejected": len(report.rejected),
    }
    ws.tables.append("receipts", pd.DataFrame([row]))
