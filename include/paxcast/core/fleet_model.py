"""One model for a whole fleet: what airports have in common, learnt from all their histories at once.

    histories up to a cutoff ──> features (fleet_features) ──> boosted trees ──> [H] for each airport that ends there

A method of one airport sees one recovery and a handful of years. Here each airport and each past origin is an example
of how growth goes on, fades or turns, and how much of last year's oddities comes back. The trees forecast all steps
directly (the step is a feature): how far a period will lie from last year's value carried to the present level, in
units of the level there. They minimise absolute errors, weighted by the square root of that unit over the airport's
seasonal naive error so far: weighted by the whole of it, as MASE counts, a few very regular airports decide.

A function of the histories up to the cutoff alone: one thread, a fixed seed, airports in the order of their content.
"""

import importlib
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core import candidate_files, fleet_features, tuning
from paxcast.core.candidates import adjusted
from paxcast.core.errors import ConfigurationError
from paxcast.core.fleet_features import SCHEMES, Own, Rows, Shared
from paxcast.core.past import Past
from paxcast.core.treatment.calendar_effects import Effects, estimate
from paxcast.core.tuning import TuningTask

Array = npt.NDArray[np.float64]
NAME = candidate_files.FLEET_GBM
MOST_ROWS = 80_000  # examples, about; of more a share is learnt from: five times as many were no better, only dearer
FEWEST_ROWS = 300  # with fewer nothing is learnt, and the forecast is what the trees would have started from
LEAST_SCALE = 0.02  # of the level: no airport is so regular that it counts for more
TREES = 100
PARAMETERS = {
    "objective": "regression_l1",
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 200,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.5,
    "bagging_freq": 1,
    "max_bin": 63,
    "seed": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Examples:
    """What is learnt from. `features`: [N, F], `target` and `weight`: [N]."""

    features: npt.NDArray[np.float32]
    target: Array
    weight: Array


def forecasts(pasts: Mapping[str, Past], cutoff: np.datetime64, horizon: int) -> dict[str, Array]:
    """The next `horizon` periods, [H] traffic, of each airport whose history, up to the cutoff, ends there.

    pasts: of one frequency; what they hold after the cutoff, the start of the last known period, is not read. An
    airport with less than a season has none. Raises whatever LightGBM does where it cannot be trained.
    """
    seen = {airport: found for airport, past in pasts.items() if (found := _known(past, cutoff)) is not None}
    if not seen:
        return {}
    known = {airport: own for airport, (own, _) in seen.items()}
    fleet = fleet_features.shared(list(known.values()))
    ahead = {airport: _ahead(own, fleet, horizon) for airport, own in known.items() if _ends(pasts[airport], cutoff)}
    wanted = {airport: rows for airport, rows in ahead.items() if rows is not None}
    if not wanted:
        return {}
    said = _said(_examples(known.values(), fleet, horizon), [rows.features for rows in wanted.values()])
    return {
        airport: (rows.base + rows.unit * s) * adjusted.ahead(seen[airport][1], pd.Timestamp(cutoff), horizon)
        for (airport, rows), s in zip(wanted.items(), said, strict=True)
    }


def cutoffs(pasts: Mapping[str, Past], task: TuningTask) -> list[np.datetime64]:
    """The last periods before each fold, the test window and the forecast itself, in order: of all airports whose
    observations end when most airports' do (of ends as frequent, at the latest)."""
    ends, counts = np.unique([past.ds[-1] for past in pasts.values()], return_counts=True)
    end = ends[len(ends) - 1 - int(np.argmax(counts[::-1]))]
    asked = [past.ds[periods - 1] for past in pasts.values() if past.ds[-1] == end for periods in _asked(past, task)]
    return sorted({end, *asked})


def _asked(past: Past, task: TuningTask) -> tuple[int, ...]:
    """From where an airport's tuning will ask; nowhere, where its history cannot be treated."""
    try:
        return tuning.cutoffs(past, task)
    except Exception:  # noqa: BLE001 - as in _known
        return ()


def _known(past: Past, cutoff: np.datetime64) -> tuple[Own, Effects] | None:
    """What is seen of a history up to the cutoff, without its calendar effects, and these; None where that is nothing,
    or cannot be treated."""
    periods = int(np.searchsorted(past.ds, cutoff, side="right"))
    if not np.isfinite(past.raw.y[:periods]).any():
        return None
    try:
        treated = past.treated(periods)
        effects = estimate(treated.series, past.rules)
    except Exception:  # noqa: BLE001 - one airport must not end the fleet's: its own tuning says what is wrong with it
        return None
    return fleet_features.own(adjusted.without(treated.series, effects), treated.observed), effects


def _ends(past: Past, cutoff: np.datetime64) -> bool:
    return bool(np.any(past.ds == cutoff))


def _ahead(own: Own, fleet: Shared, horizon: int) -> Rows | None:
    """The periods after the history's end; None where the history is too short."""
    if len(own.y) < SCHEMES[own.code].level:
        return None
    return fleet_features.rows(own, fleet, np.array([len(own.y) - 1]), horizon)


def _examples(airports: Iterable[Own], fleet: Shared, horizon: int) -> Examples:
    """Every period that was observed, seen from every origin before it, in an order that no name decides."""
    everyone = list(airports)
    share = min(1.0, MOST_ROWS / max(1, _rows(everyone, horizon)))
    found = [made for own in everyone if (made := _of_airport(own, fleet, horizon, share)) is not None]
    found.sort(key=lambda made: (made.features.tobytes(), made.target.tobytes()))
    return Examples(
        np.concatenate([made.features for made in found]) if found else np.empty((0, 0), np.float32),
        np.concatenate([made.target for made in found]) if found else np.empty(0),
        np.concatenate([made.weight for made in found]) if found else np.empty(0),
    )


def _rows(airports: Iterable[Own], horizon: int) -> int:
    """How many examples there are, about."""
    return sum(len(own.y) // SCHEMES[own.code].stride * horizon for own in airports)


def _of_airport(own: Own, fleet: Shared, horizon: int, share: float) -> Examples | None:
    """A share of an airport's examples, drawn by what they hold: another code or unit draws the same."""
    scheme = SCHEMES[own.code]
    origins = np.arange(len(own.y) - 1, scheme.level - 2, -scheme.stride)[1:]
    if not len(origins):
        return None
    rows = fleet_features.rows(own, fleet, origins, horizon)
    actual = fleet_features.at(own.y, rows.target)
    seen = fleet_features.at(own.observed.astype(np.float64), rows.target) == 1
    level = fleet_features.at(own.level, rows.origin)
    scale = np.maximum(fleet_features.at(own.scale, rows.origin), LEAST_SCALE * level)
    weight = np.round(np.sqrt(fleet_features.per(rows.unit, scale)), 3)
    target = np.round(fleet_features.per(actual - rows.base, rows.unit), 6) + 0.0
    kept = seen & np.isfinite(target) & (weight > 0)
    kept &= np.random.default_rng(zlib.crc32(rows.features.tobytes())).random(len(kept)) < share
    return Examples(rows.features[kept], target[kept], weight[kept]) if kept.any() else None


def _said(examples: Examples, wanted: list[npt.NDArray[np.float32]]) -> list[Array]:
    """What the trees say of each airport's periods to come, [H] each; zeros where there is too little to learn from."""
    if len(examples.target) < FEWEST_ROWS:
        return [np.zeros(len(rows)) for rows in wanted]
    lightgbm = _lightgbm()
    data = lightgbm.Dataset(examples.features, examples.target, weight=examples.weight, params=PARAMETERS)
    model = lightgbm.train(PARAMETERS, data, num_boost_round=TREES)
    said = np.asarray(model.predict(np.concatenate(wanted), num_threads=1), dtype=np.float64)
    return list(np.split(said, np.cumsum([len(rows) for rows in wanted])[:-1]))


def _lightgbm() -> Any:
    """The library. Raises ConfigurationError where what it needs of the system is missing."""
    try:
        return importlib.import_module("lightgbm")
    except OSError as err:
        raise ConfigurationError(
            f"candidates: {NAME} needs LightGBM, which cannot be loaded: {err}. Install libgomp (Debian: libgomp1), or "
            f"leave {NAME} out of `candidates`"
        ) from err
