"""Score: each actual against every published forecast of its period; the scores stored, and read as of a date.

A forecast that later releases carry on is scored once, under the release that published it first. Nothing stored is
edited: a late actual adds a row, and so does a restated one, beside the old.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from paxcast.adapters.delta_store import TABLES, Filter
from paxcast.core import calendar, scoring
from paxcast.core.columns import AIRPORT, BUCKET, DS, FLEET, KNOWN_AT, OBSERVATION, RUN_KEY
from paxcast.core.history import check_known
from paxcast.core.identity import bucket
from paxcast.core.release import Entry
from paxcast.jobs import histories, releases
from paxcast.jobs.releases import Publication
from paxcast.jobs.workspace import Workspace

log = logging.getLogger("paxcast.score")
FORECASTS_AT_ONCE = 20_000  # of one airport and fit each; times the horizon it is the rows held in memory
PREDICTED = [*scoring.KEY, *scoring.QUANTILES]
PUBLISHED = [*scoring.FORECAST, BUCKET, scoring.FORECAST_AS_OF, "method", "release", "backfill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What one scoring did, in forecasts of one period: forecasts = new + rescored + unchanged + unusable + waiting.

    `unusable`: what was said of the period cannot be traffic. `waiting`: its actual is not known yet. `releases`: how
    many published ones were looked at.
    """

    as_of: str
    releases: int = 0
    forecasts: int = 0
    new: int = 0
    rescored: int = 0
    unchanged: int = 0
    unusable: int = 0
    waiting: int = 0
    data_version: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What all batches share: the data as of an instant, and how the source is to be read. `newest`: the period up to
    which an absent one had no traffic; None where it is merely unknown."""

    as_of: pd.Timestamp
    data_version: int
    frequency: str
    absent: str
    delay_days: int
    newest: pd.Timestamp | None


@dataclass(frozen=True, slots=True)
class Published:
    """One forecast of an airport, and the first publication of a release that holds it."""

    record: Publication
    entry: Entry


def score(ws: Workspace, as_of: pd.Timestamp, among: Sequence[Published] | None = None) -> Scored:
    """Score what is known at `as_of` of every forecast published with an earlier or the same as_of, and store it.

    Done twice, nothing is added. A slice of the airports at a time, each stored as soon as it is scored. among: some of
    what `published` found, of whole airports; then of these alone.
    """
    version = ws.tables.version("observations")
    records = {r.release_id for r in releases.publications(ws) if r.as_of <= as_of}
    totals = Scored(as_of=calendar.as_of_text(as_of), releases=len(records), data_version=version).as_json()
    found = _table(published(ws, as_of) if among is None else among)
    if found.empty:
        return Scored(**totals)
    source = ws.settings.source
    code = histories.frequency(ws)
    reported = histories.reported(ws, as_of, code, version)
    facts = _Facts(
        as_of=as_of,
        data_version=version,
        frequency=code,
        absent=source.absent,
        delay_days=source.delay_days,
        newest=reported.newest if reported else None,
    )
    for buckets in _batches(found):
        counts = _score_batch(ws, found[found[BUCKET].isin(buckets)], buckets, facts)
        totals = {**totals, **{name: totals[name] + added for name, added in counts.items()}}
    result = Scored(**totals)
    if result.new or result.rescored:
        log.info("%d new scores, %d rescored", result.new, result.rescored)
    return result


def read(ws: Workspace, as_of: pd.Timestamp) -> pd.DataFrame:
    """The scores as of an instant: one row a forecast and period, of the newest actual known then and scored.

    Columns of the table `scores`, sorted by airport, forecast_as_of, run_key and ds. What `score` has not seen is not
    there: `score(ws, as_of)` first makes it complete.
    """
    known_then: list[Filter] = [(FLEET, "=", ws.fleet), (KNOWN_AT, "<=", as_of.to_pydatetime())]
    return scoring.newest(ws.tables.read("scores", known_then), as_of)


def published(ws: Workspace, as_of: pd.Timestamp, airport: str | None = None) -> list[Published]:
    """Every forecast in the releases published up to `as_of`, each once: under the first of these that holds it.

    airport: of this one alone.
    """
    first: dict[tuple[str, str, str], Published] = {}
    seen: set[str] = set()
    for record in releases.publications(ws):
        if record.as_of > as_of or record.release_id in seen:  # a release can be published again, after another
            continue
        seen.add(record.release_id)
        entries = releases.entries(ws, record.release_id, airport)
        if entries is None:
            log.warning("release %s was published, but its map is gone: it is not scored", record.release_id)
            continue
        for entry in entries:
            first.setdefault((entry.airport, entry.run_key, entry.checksum), Published(record, entry))
    return list(first.values())


def _table(found: Sequence[Published]) -> pd.DataFrame:
    """Columns PUBLISHED."""
    instants = {text: calendar.parse_as_of(text) for text in {p.entry.as_of for p in found}}
    rows = [
        (e.airport, e.run_key, e.checksum, bucket(e.airport), instants[e.as_of], e.candidate, r.release_id, r.backfill)
        for r, e in ((p.record, p.entry) for p in found)
    ]
    return pd.DataFrame(rows, columns=PUBLISHED)


def _batches(published: pd.DataFrame) -> Iterator[list[int]]:
    """The buckets of airports, as many together as hold FORECASTS_AT_ONCE; one at least."""
    batch: list[int] = []
    held = 0
    for number, size in published.groupby(BUCKET).size().items():
        if batch and held + size > FORECASTS_AT_ONCE:
            yield batch
            batch, held = [], 0
        batch.append(int(str(number)))
        held += size
    yield batch


def _score_batch(ws: Workspace, published: pd.DataFrame, buckets: list[int], facts: _Facts) -> dict[str, int]:
    """Score the airports of some buckets, store what is new; the counts of Scored."""
    run_keys = sorted(published[RUN_KEY].unique())
    of_batch: list[Filter] = [(FLEET, "=", ws.fleet), (BUCKET, "in", buckets), (RUN_KEY, "in", run_keys)]
    found = ws.tables.read("forecasts", of_batch, PREDICTED)
    forecasts = scoring.with_steps(found.merge(published, on=scoring.FORECAST))
    observations = _observations(ws, buckets, facts)
    observations = observations[observations[AIRPORT].isin(published[AIRPORT].unique())]  # of one airport it is few
    fresh = _fresh(forecasts, observations, facts)
    stored = ws.tables.read("scores", of_batch, [*scoring.KEY, KNOWN_AT, "y", scoring.SCALE, scoring.DATA_VERSION])
    added = scoring.additions(stored, fresh)
    placed = added.assign(fleet=ws.fleet, data_version=facts.data_version)
    ws.tables.append("scores", placed[TABLES["scores"].names])
    return _counts(forecasts, observations, fresh, added)


def _observations(ws: Workspace, buckets: list[int], facts: _Facts) -> pd.DataFrame:
    """Everything that was said of these airports up to `as_of`, restated or not."""
    known_then: list[Filter] = [
        (FLEET, "=", ws.fleet),
        (BUCKET, "in", buckets),
        (KNOWN_AT, "<=", facts.as_of.to_pydatetime()),
    ]
    rows = ws.tables.read("observations", known_then, OBSERVATION, facts.data_version)
    check_known(rows, facts.as_of)
    return rows


def _fresh(forecasts: pd.DataFrame, observations: pd.DataFrame, facts: _Facts) -> pd.DataFrame:
    """The scores as the data have them now."""
    vintages = scoring.usable(observations)
    actual = scoring.actuals(vintages, facts.as_of)
    if facts.newest is not None:
        zeros = scoring.implied_zeros(
            forecasts, observations, facts.as_of, facts.frequency, facts.delay_days, facts.newest
        )
        actual = pd.concat([actual, zeros]) if len(zeros) else actual
    due = forecasts.merge(actual[[AIRPORT, DS]], on=[AIRPORT, DS])[scoring.FORECAST].drop_duplicates()
    judged = forecasts.merge(due, on=scoring.FORECAST)
    return scoring.scored(judged, actual, scoring.scales(judged, vintages, facts.frequency, facts.absent))


def _counts(
    forecasts: pd.DataFrame, observations: pd.DataFrame, fresh: pd.DataFrame, added: pd.DataFrame
) -> dict[str, int]:
    said = pd.MultiIndex.from_frame(forecasts[[AIRPORT, DS]]).isin(
        pd.MultiIndex.from_frame(observations[[AIRPORT, DS]])
    )
    done = pd.MultiIndex.from_frame(forecasts[scoring.KEY]).isin(pd.MultiIndex.from_frame(fresh[scoring.KEY]))
    return {
        "forecasts": len(forecasts),
        "new": int((~added["rescored"]).sum()),
        "rescored": int(added["rescored"].sum()),
        "unchanged": len(fresh) - len(added),
        "unusable": int((said & ~done).sum()),
        "waiting": int((~said & ~done).sum()),
    }
