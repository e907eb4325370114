"""A fleet fitted at every month-end by the project's own line, once, and kept on disk: what a replay takes fits from.

    FOLDER/FLEET/store/...               the fleet's store: observations, and of every fit its outcome and its model
    FOLDER/FLEET/origins/2017-01-01.json who was fitted as of the end of that month, under which key, the fleet's rule

A backtest of all candidates is what a scheduled run does up to the point where it decides what is published. What that
becomes depends on the policy that is replayed: on the rule and the intervals that its last run of the whole fleet had.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, cached_property
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import airport_model, composition, intervals, past, treatment
from paxcast.core.columns import AIRPORT, DS, FLEET, Y
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.drift import feed, residuals
from paxcast.core.drift.feed import Fault
from paxcast.core.drift.residuals import Cycles, OfModel
from paxcast.core.drift.verdicts import Rules as Tests
from paxcast.core.intervals import Pool
from paxcast.core.outcome import Outcome, evaluation_of
from paxcast.core.treatment import Raw, Rules, Treated
from paxcast.jobs import backtest, ledger
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

Array = npt.NDArray[np.float64]
HORIZON = 12
RULES = Tests()  # the defaults
LOOKED_AT = RULES.reference + RULES.window + 1
CHEAP = ("seasonal_naive", "seasonal_growth", "auto_ces", "random_walk")  # a sixth of the time of the default list


def settings_of() -> dict[str, Any]:
    """Configuration that makes a fit cheap: few candidates, and no Prophet to choose how shocks are passed."""
    return {"candidates": list(CHEAP), "history": {"shock_mode": "bridge"}}


def fitted(ws: Workspace, folder: Path, origins: Sequence[pd.Timestamp], processes: int) -> None:
    """Fit the fleet as of the end of each of these months, but for those that are done."""
    (folder / "origins").mkdir(parents=True, exist_ok=True)
    still_open = [origin for origin in origins if not _place(folder, origin).exists()]
    jobs = [[origin for origin in still_open if origin.month == month] for month in range(1, 13)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as workers:
        for job in [workers.submit(_fit_years, ws.settings.origin, folder, job) for job in jobs if job]:
            job.result()


def _fit_years(settings: str, folder: Path, origins: Sequence[pd.Timestamp]) -> None:
    """Month-ends that are years apart have their folds in common, and what histories are treated to before them."""
    whole: Any = treatment.treat
    known: dict[tuple[str, int, bytes, Rules], Treated] = {}

    def remembered(raw: Raw, rules: Rules) -> Treated:
        key = raw.airport, int(raw.ds[0].astype(np.int64)), raw.y.tobytes(), rules
        if key not in known:
            known[key] = whole(raw, rules)
        return known[key]

    past.treat = remembered  # a function of what it is given: nothing changes but the time
    for origin in origins:
        sys.stdout.write(f"{_fit(open_workspace(load(Path(settings))), folder, origin)}\n")
        sys.stdout.flush()


def _fit(ws: Workspace, folder: Path, origin: pd.Timestamp) -> str:
    everything = ws.tables.read("observations", [(FLEET, "=", ws.fleet)])
    look = backtest.look_back(ws, None, everything, origin, HORIZON, "MS")
    outcomes = {airport: [result.run_key, result.checksum] for airport, result in look.results.items()}
    content = {"rule": look.rule, "outcomes": outcomes, "left_out": {**look.left_out, **look.failed}}
    _place(folder, origin).write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
    counts = f"{len(outcomes)} fitted, {len(look.left_out)} left out, {len(look.failed)} failed"
    return f"{ws.fleet}, end of {origin:%Y-%m}: {counts}"


def _place(folder: Path, origin: pd.Timestamp) -> Path:
    return folder / "origins" / f"{origin:%Y-%m-%d}.json"


@dataclass(frozen=True, slots=True)
class Shared:
    """What a run of the whole fleet fixes for all its airports, and for those that are retrained until the next."""

    rule: str
    pool: Pool


@dataclass(frozen=True)
class Fit:
    """One airport's model of one month-end, as published. `method`: the simple method it was put on alone, or ""."""

    result: Outcome
    rule: str
    method: str
    model: str

    @cached_property
    def evaluation(self) -> Evaluation:
        return evaluation_of(self.result)

    @cached_property
    def composed(self) -> Composed:
        return composition.compose(self.evaluation, self.rule)

    @cached_property
    def missed(self) -> intervals.Missed:
        return composition.missed(self.evaluation, self.composed)

    def half(self, pool: Pool) -> Array:
        """[HORIZON] half the 80 % interval."""
        unit = intervals.unit(self.evaluation.level, self.composed.forecast)
        return np.asarray(pool.quantiles[0.80] * intervals.size(self.missed, pool.middle, unit))

    def of_model(self, pool: Pool, over: Cycles) -> OfModel:
        """What its folds say, on the periods of the cycles."""
        return residuals.of_model(self.result, self.rule, self.half(pool), over)

    def forecast(self, steps: int) -> Array:
        """[steps] traffic; beyond the horizon the members' own, carried on."""
        if steps <= HORIZON:
            return self.composed.forecast[:steps]
        carried = airport_model.forecast(json.loads(self.model), self.composed.weights, steps)
        return np.concatenate([self.composed.forecast, carried[HORIZON:]])


class Fits:
    """The fits of a fleet, read from disk when they are asked for."""

    def __init__(self, ws: Workspace, folder: Path) -> None:
        self.ws, self.folder = ws, folder
        self.fit = cache(self._fit)

    @cache  # noqa: B019 - one object a fleet, as long as the process
    def origin(self, month: pd.Timestamp) -> Mapping[str, Any]:
        """What is known of a month-end: its rule, who was fitted, who was left out and why."""
        found: Mapping[str, Any] = json.loads(_place(self.folder, month).read_text(encoding="utf-8"))
        return found

    def airports(self, month: pd.Timestamp) -> tuple[str, ...]:
        return tuple(sorted(self.origin(month)["outcomes"]))

    def _fit(self, airport: str, month: pd.Timestamp, rule: str, method: str = "") -> Fit | None:
        """The model of an airport as of the end of a month; None where it was left out of that run."""
        key = self.origin(month)["outcomes"].get(airport)
        if key is None:
            return None
        result = ledger.load(self.ws.objects, key[0], airport, key[1])
        assert result is not None, f"{airport}: the outcome of {key[0]} is gone; remove {_place(self.folder, month)}"
        if method:
            entrants = [{**e, "competes": e["candidate"] == method} for e in result.entrants]
            result = replace(result, pinned=True, entrants=entrants)
        return Fit(result, rule, method, ledger.load_model(self.ws.objects, key[0], airport, key[1]) or "{}")

    def shared(self, month: pd.Timestamp, methods: Mapping[str, str], levels: Mapping[float, float]) -> Shared:
        """What a run of the whole fleet as of a month-end fixes. methods: the airports on one simple method; levels:
        those that its intervals are taken at, by nominal level."""
        rule = str(self.origin(month)["rule"])
        fits = [self.fit(airport, month, rule, methods.get(airport, "")) for airport in self.airports(month)]
        missed = [fit.missed for fit in fits if fit is not None]
        return Shared(rule, intervals.pool(missed, HORIZON, effective=levels))


@dataclass(frozen=True, eq=False)
class Actuals:
    """What came. `over`: P months, the first LOOKED_AT of them before the first check; `y`: [A, P] traffic, zero where
    `absent` says so; `rows`: airport, ds, y as delivered. Months are places in `over`."""

    airports: tuple[str, ...]
    over: Cycles
    rows: pd.DataFrame
    absent: str

    @cached_property
    def months(self) -> pd.DatetimeIndex:
        return pd.DatetimeIndex(self.over.names)

    @cached_property
    def whole(self) -> pd.DataFrame:
        """All traffic there is, a row an airport and a column a month."""
        wide = self.rows.pivot(index=AIRPORT, columns=DS, values=Y).reindex(self.airports)
        begun = np.arange(wide.shape[1])[None, :] >= wide.notna().to_numpy().argmax(axis=1)[:, None]
        return wide.mask(wide.isna() & begun, 0.0) if self.absent == "zero" else wide

    @cached_property
    def y(self) -> Array:
        return self.whole.reindex(columns=self.months).to_numpy(dtype=np.float64)

    def scale(self, until: int) -> Array:
        """[A] the mean seasonal naive error up to a month; NaN where there is none."""
        known = self.whole.loc[:, : self.months[until]].to_numpy(dtype=np.float64)
        found = np.nanmean(np.abs(known[:, 12:] - known[:, :-12]), axis=1)
        return np.where(found > 0, found, np.nan)

    def until(self, month: int) -> Cycles:
        """The cycles that a check at the end of a month looks at."""
        first = month + 1 - LOOKED_AT
        return Cycles(self.over.frequency, self.over.first + first, 1, self.over.names[first : month + 1])

    @cache  # noqa: B019 - one object a fleet, as long as the process
    def faults(self, month: int) -> tuple[Fault, ...]:
        known = self.rows[self.rows[DS] <= self.months[month]]
        return feed.faults(known, "MS", self.absent, self.months[month], window=RULES.window)

    def reported(self, month: int) -> dict[str, int]:
        """By airport the running number of its newest period, where a later one is merely unknown."""
        if self.absent == "zero":
            return {}
        there = np.isfinite(self.y[:, : month + 1])
        last = month - there[:, ::-1].argmax(axis=1)
        return {a: self.over.first + int(n) for a, n in zip(self.airports, last, strict=True)}


def observed(ws: Workspace) -> pd.DataFrame:
    """All that the fleet's store holds: airport, ds, y, sorted."""
    rows = ws.tables.read("observations", [(FLEET, "=", ws.fleet)], [AIRPORT, DS, Y])
    return rows.sort_values([AIRPORT, DS], ignore_index=True)
