"""What drift checks asked for, and what became of it: told from the table `drift` and from the releases since.

An ask is answered by the first release with a model of the airport that has learnt from all that the check knew: of its
as_of or a later one; a fallback by one that forecasts with its method alone. A version that was rolled back is gone: it
answers nothing. Of all this a check sees only what strictly earlier checks asked for and what was released for strictly
earlier dates: so a check that is repeated, after the run that it asked for, finds what it found before.

answers/FLEET/RELEASE.json   of a release whose map was pruned: the models of airports that a check asked for
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from paxcast.adapters.delta_store import Filter
from paxcast.core import calendar
from paxcast.core.columns import AIRPORT, FLEET
from paxcast.core.drift.policy import ASKS, FALLBACK, QUIET, Past
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import histories, releases
from paxcast.jobs.releases import Publication
from paxcast.jobs.workspace import Workspace

TABLE = "drift"
COLUMNS = [AIRPORT, "as_of", "cycle", "tested", "severity", "action", "pinned", "version"]
FLAGGED, UNFLAGGED = ("watch", "moderate", "severe"), "none"
CYCLE = {"D": 7, "W": 1, "MS": 1}  # periods
Stretch = tuple[str, str]  # the first and the last cycle, both included, as the panel names them


def past(ws: Workspace, as_of: pd.Timestamp) -> dict[str, Past]:
    """What became of each airport that earlier checks asked a model for, as a check at `as_of` may know it; an airport
    that is in no episode is absent.

    An episode is over once the airport had QUIET own cycles in a row without a flag since the model that was asked for
    last, or since the ask itself where none came. Its fallback is told once more then, for the check to end it.
    """
    found = {story.airport: story.past(as_of) for story in _stories(ws, as_of)}
    return {airport: one for airport, one in found.items() if one != Past()}


def dropped(ws: Workspace, as_of: pd.Timestamp) -> dict[str, tuple[Stretch, ...]]:
    """By airport the cycles that are no evidence any more, as another model was made because of them: from the first of
    the window that an answered ask had tested to the newest that the model in answer may have learnt from.

    As a check at `as_of` may know it, in the order of the asks; stretches may overlap.
    """
    found = {story.airport: tuple(story.stretches(as_of)) for story in _stories(ws, as_of)}
    return {airport: stretches for airport, stretches in found.items() if stretches}


def pinned(ws: Workspace, as_of: pd.Timestamp) -> dict[str, str]:
    """By airport the simple method that a run of that as_of publishes of it alone: as the newest check of the airport
    says that is not later. One of the very date counts: it is what the run that it asked for is there for."""
    found = {}
    for airport, rows in _rows(ws, _airports(ws, [("pinned", "!=", "")])).items():
        newest = next((row for row in reversed(rows) if row.as_of <= as_of), None)
        if newest is not None and newest.pinned:
            found[airport] = newest.pinned
    return found


def newest_check(ws: Workspace, as_of: pd.Timestamp | None = None) -> pd.Timestamp | None:
    """The as_of of the newest check, or of the newest that is not later than `as_of`; None if there is none."""
    every = [calendar.parse_as_of(text) for text in _read(ws, [], ["as_of"])["as_of"].unique()]
    return max((one for one in every if as_of is None or one <= as_of), default=None)


def asked_for(ws: Workspace, as_of: pd.Timestamp) -> dict[str, str]:
    """By airport why another model of it is asked for, by the newest check that is not later than `as_of`; empty if
    that asked for nobody. Raises ConfigurationError if there is no such check."""
    newest, text = newest_check(ws, as_of), calendar.as_of_text(as_of)
    if newest is None:
        raise ConfigurationError(
            f"drifted: fleet {ws.fleet} has not been checked for drift, as of {text} or before; run "
            f"`paxcast drift --as-of {text}` first"
        )
    asks: list[Filter] = [("as_of", "=", calendar.as_of_text(newest)), ("action", "in", list(ASKS))]
    rows = _read(ws, asks, [AIRPORT, "why"])
    return {str(airport): str(why) for airport, why in sorted(rows.itertuples(index=False, name=None))}


# --- what checks said


@dataclass(frozen=True, slots=True)
class _Row:
    """What a check said of an airport: COLUMNS but the first."""

    as_of: pd.Timestamp
    cycle: str
    tested: bool
    severity: str
    action: str
    pinned: str
    version: int


def _rows(ws: Workspace, airports: Sequence[str]) -> dict[str, list[_Row]]:
    """What all checks said of some airports, the oldest first."""
    rows = _read(ws, [(AIRPORT, "in", list(airports))], COLUMNS) if airports else pd.DataFrame(columns=COLUMNS)
    instants = {text: calendar.parse_as_of(text) for text in rows["as_of"].unique()}
    found: dict[str, list[_Row]] = {airport: [] for airport in airports}
    in_order = rows.assign(as_of=rows["as_of"].map(instants)).sort_values("as_of")[COLUMNS]
    for airport, *said in in_order.itertuples(index=False, name=None):
        found[airport].append(_Row(*said))
    return found


def _airports(ws: Workspace, filters: Sequence[Filter]) -> list[str]:
    return sorted(_read(ws, filters, [AIRPORT])[AIRPORT].unique())


def _read(ws: Workspace, filters: Sequence[Filter], columns: list[str]) -> pd.DataFrame:
    return ws.tables.read(TABLE, [(FLEET, "=", ws.fleet), *filters], columns)


# --- what became of it


@dataclass(frozen=True, slots=True)
class _Model:
    """A model that was released. `method`: what its forecast is of."""

    as_of: pd.Timestamp
    version: int
    method: str

    def answers(self, ask: _Row) -> bool:
        """Whether it is what was asked for. A version before the one that was judged is one that a rollback went to."""
        as_asked = self.method == ask.pinned or ask.action != FALLBACK
        return as_asked and (self.as_of, self.version) >= (ask.as_of, ask.version)


@dataclass(slots=True)
class _Released:
    """The models of some airports by release, read when they are asked for: most asks are answered by the next one."""

    ws: Workspace
    airports: frozenset[str]
    publications: list[Publication]
    gone: set[tuple[str, int]]
    models: dict[str, dict[str, _Model]] = field(default_factory=dict)

    def answer(self, airport: str, ask: _Row, until: pd.Timestamp) -> _Model | None:
        """The first model that answers an ask, of those that were released for a date before `until`."""
        for record in self.publications:
            if ask.as_of <= record.as_of < until:
                model = self._of(record.release_id).get(airport)
                if model is not None and model.answers(ask):
                    return model
        return None

    def _of(self, release_id: str) -> dict[str, _Model]:
        if release_id not in self.models:
            kept = _entries(self.ws, release_id)
            self.models[release_id] = {
                airport: _Model(calendar.parse_as_of(as_of), version, candidate)
                for airport, as_of, version, candidate in kept
                if airport in self.airports and (airport, version) not in self.gone
            }
        return self.models[release_id]


def remember(ws: Workspace, release_ids: Sequence[str]) -> None:
    """Keep of releases that are to be removed what they answered: the models of airports that a check asked for."""
    asked = set(_airports(ws, [("action", "in", list(ASKS))])) if release_ids else set()
    for release_id in release_ids:
        models = [one for one in _entries(ws, release_id) if one[0] in asked]
        if models:
            ws.objects.put(_memory(ws, release_id), {"models": models})


def _entries(ws: Workspace, release_id: str) -> list[list[Any]]:
    """Airport, as_of, version and candidate of each model in a release; of one that is gone, as `remember` kept it."""
    release = releases.load(ws, release_id)
    if release is not None:
        return [[e.airport, e.as_of, e.version, e.candidate] for e in release.entries]
    return list((ws.objects.get(_memory(ws, release_id)) or {"models": []})["models"])


def _memory(ws: Workspace, release_id: str) -> str:
    return f"answers/{ws.fleet}/{release_id}.json"


@dataclass(frozen=True, slots=True)
class _Story:
    """What checks before an instant said of an airport, the oldest first, and what was released since."""

    airport: str
    rows: list[_Row]
    released: _Released
    frequency: str

    def past(self, until: pd.Timestamp) -> Past:
        asks, pinned = self._episode(until), self.rows[-1].pinned
        quiet, longest = self._quiet(asks, self.rows, until)
        over = longest >= QUIET
        if over or not asks:
            return Past(pinned=pinned, quiet=longest if over else quiet) if pinned else Past()
        answers = [self._answer(ask, until) for ask in asks]
        made = {answer.version for answer in answers if answer is not None}
        heard = max((k for k, answer in enumerate(answers) if answer is not None), default=-1)
        unheard = {ask.cycle for ask in asks[heard + 1 :]}  # however often one looked at a cycle
        return Past(len(made), answers[-1] is None, pinned, quiet, len(unheard))

    def stretches(self, until: pd.Timestamp) -> Iterator[Stretch]:
        back = CYCLE[self.frequency] * (self.released.ws.settings.drift.window - 1)
        for ask in self.rows:
            answer = self._answer(ask, until) if ask.action in ASKS and ask.cycle else None
            if answer is not None:
                first = calendar.shift(pd.DatetimeIndex([ask.cycle]), -back, self.frequency)[0]
                yield str(first.date()), self._newest_known(answer.as_of)

    def _episode(self, until: pd.Timestamp) -> list[_Row]:
        """The asks of the present episode: those since the last one that was over when it was asked for again."""
        asks: list[_Row] = []
        for at, row in enumerate(self.rows):
            if row.action in ASKS:
                over = self._quiet(asks, self.rows[:at], row.as_of)[1] >= QUIET
                asks = [row] if over else [*asks, row]
        return asks

    def _quiet(self, asks: Sequence[_Row], rows: Sequence[_Row], until: pd.Timestamp) -> tuple[int, int]:
        """Own cycles in a row without a flag: the last ones since the newest ask was answered, or made if it was not;
        and the most there were since it was made. An answer begins the count again. Without asks, which may have been
        pruned, all rows count."""
        if not asks:
            return self._in_a_row(rows, None)
        answer = self._answer(asks[-1], until)
        if answer is None:
            return self._in_a_row(rows, asks[-1].as_of)
        before = self._in_a_row([row for row in rows if row.as_of <= answer.as_of], asks[-1].as_of)
        after = self._in_a_row(rows, answer.as_of)
        return after[0], max(before[1], after[1])

    def _in_a_row(self, rows: Sequence[_Row], since: pd.Timestamp | None) -> tuple[int, int]:
        """The last run and the longest run of cycles without a flag, of those that were not known yet at `since`.

        A cycle counts once, however many checks looked at it, and is flagged if one of them did so. What was neither
        tested nor flagged, as with a fault, counts for nothing.
        """
        known, flagged = "" if since is None else self._newest_known(since), dict[str, bool]()
        for row in rows:
            counts = row.severity in FLAGGED or (row.tested and row.severity == UNFLAGGED)
            if counts and row.cycle > known and (since is None or row.as_of > since):
                flagged[row.cycle] = flagged.get(row.cycle, False) or row.severity in FLAGGED
        run = longest = 0
        for any_flag in flagged.values():  # in the order of the checks, which is that of the cycles
            run = 0 if any_flag else run + 1
            longest = max(longest, run)
        return run, longest

    def _answer(self, ask: _Row, until: pd.Timestamp) -> _Model | None:
        return self.released.answer(self.airport, ask, until)

    def _newest_known(self, as_of: pd.Timestamp) -> str:
        """The ISO start of the newest period that may have been known at an instant, whatever the weekday of weeks."""
        known = as_of.tz_localize(None) - pd.Timedelta(days=self.released.ws.settings.source.delay_days)
        return str(calendar.shift(pd.DatetimeIndex([known.normalize()]), -1, self.frequency)[0].date())


def _stories(ws: Workspace, as_of: pd.Timestamp) -> Iterator[_Story]:
    """Of each airport that was asked for before, or is on a fallback: of that the ask may have been pruned."""
    airports = sorted({*_airports(ws, [("action", "in", list(ASKS))]), *_airports(ws, [("pinned", "!=", "")])})
    if not airports:
        return
    earlier = {a: [row for row in rows if row.as_of < as_of] for a, rows in _rows(ws, airports).items()}
    records = sorted(releases.publications(ws), key=lambda record: (record.as_of, record.number))
    released = _Released(ws, frozenset(airports), records, set(releases.withdrawn(ws, as_of)))
    frequency = histories.frequency(ws)
    yield from (_Story(airport, rows, released, frequency) for airport, rows in sorted(earlier.items()) if rows)
