"""What was known at an instant: the history of each airport, as a function of the observations and `as_of`."""

import pandas as pd

from paxcast.core.columns import AIRPORT, DS, KNOWN_AT, OBSERVATION, RECEIPT, Y
from paxcast.core.errors import FutureDataRead
from paxcast.core.identity import history_checksum


def known(observations: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """The rows in force at `as_of`: for each (airport, ds) those of its latest receipt with `known_at <= as_of`.

    More than one row for a period means that one receipt contradicted itself; validation quarantines that airport.
    In and out: columns airport, ds, y, known_at, receipt, sorted by airport, ds, y.
    """
    seen = observations.loc[observations[KNOWN_AT] <= as_of, OBSERVATION]
    ordered = seen.sort_values([AIRPORT, DS, KNOWN_AT, RECEIPT, Y], ignore_index=True)
    last = ordered.drop_duplicates([AIRPORT, DS], keep="last")
    if len(last) == len(ordered):  # no period was restated, nor contradicted
        return ordered
    return ordered.merge(last[[AIRPORT, DS, KNOWN_AT, RECEIPT]])


def check_known(rows: pd.DataFrame, as_of: pd.Timestamp) -> None:
    """Raises FutureDataRead if any row was not known at `as_of`. Called on every read of every run."""
    late = rows[rows[KNOWN_AT] > as_of]
    if len(late):
        first = late.sort_values([AIRPORT, DS]).iloc[0]  # the same message whatever order the store reads in
        raise FutureDataRead(
            f"{first[AIRPORT]}: the observation of {first[DS]:%Y-%m-%d} is known only from {first[KNOWN_AT]}, "
            f"after as_of {as_of}; {len(late)} such rows. The store or a query is broken: do not publish this run"
        )


def checksums(rows: pd.DataFrame) -> dict[str, str]:
    """The digest of every airport's history, by airport."""
    return {str(airport): history_checksum(group) for airport, group in rows.groupby(AIRPORT, sort=True)}
