"""What a delivery adds to what is already known: new periods, and restatements with the instant they became known.

Nothing is ever overwritten. A row that says what is already in force adds nothing, so a delivery taken twice changes
nothing. A period absent from a later delivery is kept.
"""

import pandas as pd

from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, DS, KNOWN_AT, OBSERVATION, RECEIPT, Y

KEY = [AIRPORT, DS]


def additions(
    existing: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    frequency: str,
    delay_days: int,
    receipt: str,
    restated_at: pd.Timestamp,
) -> pd.DataFrame:
    """The observations to append.

    existing: columns airport, ds, y, known_at, receipt. rows: columns airport, ds, y, known_at (missing, or the instant
    at which the source published that row). A row that states its `known_at` is known from then on. One that states
    none is known, at the first sight of its period, when the period ended, plus the delay, so that a history loaded
    today can be replayed; as a restatement, from `restated_at`. Nothing is known before its period ended, plus the
    delay: of the vintages that are older than that the newest is kept. All instants UTC.
    """
    incoming = _vintages(rows, calendar.period_end(rows[DS], frequency) + pd.Timedelta(days=delay_days), restated_at)
    vintage = incoming.groupby(KEY)["stated"].rank(method="dense").astype(int)
    added = []
    for number in range(1, int(vintage.max() if len(vintage) else 0) + 1):
        new = _round(existing, incoming[vintage == number], receipt)
        existing = pd.concat([existing, new]) if len(existing) else new
        added.append(new)
    return pd.concat(added, ignore_index=True) if added else existing.loc[[], OBSERVATION]


def _vintages(rows: pd.DataFrame, ended: "pd.Series[pd.Timestamp]", restated_at: pd.Timestamp) -> pd.DataFrame:
    """The rows with `ended`, and `stated`: the instant they are of, not before `ended`. One vintage an instant."""
    said = rows[KNOWN_AT].fillna(restated_at)
    vintages = rows.assign(ended=ended, said=said, stated=said.where(said > ended, ended))
    newest = vintages.groupby([*KEY, "stated"])["said"].transform("max")
    return vintages[vintages["said"] == newest]


def _round(existing: pd.DataFrame, incoming: pd.DataFrame, receipt: str) -> pd.DataFrame:
    """The additions of one vintage of each period."""
    asked = incoming[[*KEY, "stated"]].drop_duplicates()
    seen = existing.merge(asked, on=KEY)
    ever = pd.MultiIndex.from_frame(seen[KEY])
    in_force = _in_force(seen[seen[KNOWN_AT] <= seen["stated"]])
    same = _signature(incoming).eq(_signature(in_force).reindex(_signature(incoming).index)).all(axis=1)
    keys = pd.MultiIndex.from_frame(incoming[KEY])
    new = incoming[~same.reindex(keys).to_numpy()]
    undated_first = new[KNOWN_AT].isna() & ~pd.MultiIndex.from_frame(new[KEY]).isin(ever)
    known_at = new["stated"].where(~undated_first, new["ended"])
    return new.assign(known_at=known_at, receipt=receipt)[OBSERVATION]


def _in_force(seen: pd.DataFrame) -> pd.DataFrame:
    newest = seen[seen[KNOWN_AT] == seen.groupby(KEY)[KNOWN_AT].transform("max")]
    return newest[newest[RECEIPT] == newest.groupby(KEY)[RECEIPT].transform("max")]


def _signature(rows: pd.DataFrame) -> pd.DataFrame:
    """What is said of each period: how many values, the extremes, how many are not numbers. Equal means unchanged."""
    counted = rows.assign(absent=rows[Y].isna()).groupby(KEY)
    frame = counted.agg(count=(Y, "size"), low=(Y, "min"), high=(Y, "max"), absent=("absent", "sum"))
    return frame.fillna(0.0)
