"""How shocks are passed at one airport: bridged, taken out as one-off events, or kept, by what forecasts better.

Three quick candidates judge, in the folds that train on the newest shock and on a whole season after it. Without such
folds shocks are bridged, and where neither of the others is clearly better: after Covid the folds of most airports knew
nothing of it, and a choice by them made forecasts from 2022 and 2023 half as bad again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from paxcast.core.candidates import Candidate
from paxcast.core.candidates.adjusted import adjusted
from paxcast.core.errors import FitFailed
from paxcast.core.evaluation import Window
from paxcast.core.past import Past
from paxcast.core.treatment import Step
from paxcast.core.treatment.passage import BRIDGED
from paxcast.core.treatment.rules import BRIDGE, CHOOSE, EVENT, KEEP

JUDGES = ("seasonal_growth", "auto_theta", "anchored_prophet")  # with their default parameters
OTHERS = (EVENT, KEEP)
CLEARLY = 0.10  # the share by which another way's error must be lower
FEWEST = 2  # folds that tell
CHOICE = "shock_mode"  # what the choice is called among the steps of a treatment


def settled(
    past: Past, until: int, windows: Sequence[Window], candidates: Mapping[str, Candidate], seed: int, seconds: float
) -> tuple[Past, tuple[Step, ...]]:
    """The history with one way of passing its shocks, and a line for the record where there was a choice.

    windows: the folds to judge on; until: the periods before the untouched test window, all that is looked at: a shock
    within that window chooses nothing. Raises what candidates raise beside FitFailed: an airport's limits.
    """
    if past.rules.shock_mode != CHOOSE:
        return past, ()
    ways = {mode: Past(past.raw, replace(past.rules, shock_mode=mode)) for mode in (BRIDGE, *OTHERS)}
    shock = _newest(past, until) if len(windows) >= FEWEST else None
    telling = [w for w in windows if shock and shock.last < str(past.ds[w.fold.cutoff - 1])[:10]]
    if shock is None or len(telling) < FEWEST:
        return ways[BRIDGE], ()
    errors = _errors(ways, telling, [candidates[name] for name in JUDGES if name in candidates], seed, seconds)
    if not errors:
        return ways[BRIDGE], ()
    best = min(errors, key=lambda mode: errors[mode])
    chosen = best if errors[best] < errors[BRIDGE] * (1 - CLEARLY) else BRIDGE
    told = ", ".join(f"{mode} {error:.3f}" for mode, error in errors.items())
    how = f"{chosen}; MASE in {len(telling)} folds: {told}"
    return ways[chosen], (replace(shock, what=CHOICE, how=how),)


def recorded(steps: Sequence[Mapping[str, Any]]) -> str | None:
    """The way that was chosen, from the steps of an outcome; None where there was no choice."""
    return next((str(step["how"]).split(";")[0] for step in steps if step["what"] == CHOICE), None)


def _newest(past: Past, until: int) -> Step | None:
    """The last shock that is bridged, as far as the first `until` periods tell."""
    bridged = [step for step in past.treated(until).steps if step.what == "shock" and step.how == BRIDGED]
    return max(bridged, key=lambda step: step.last, default=None)


def _errors(
    ways: Mapping[str, Past], windows: Sequence[Window], judges: Sequence[Candidate], seed: int, seconds: float
) -> dict[str, float]:
    """The mean MASE of each way, over the windows and the judges that can be fitted in all of them."""
    found: dict[str, list[float]] = {mode: [] for mode in ways}
    for judge in judges:
        try:
            made = {mode: _error(judge, way, windows, seed, seconds) for mode, way in ways.items()}
        except FitFailed:
            continue
        for mode, error in made.items():
            found[mode].append(error)
    return {mode: float(np.mean(errors)) for mode, errors in found.items() if errors}


def _error(judge: Candidate, past: Past, windows: Sequence[Window], seed: int, seconds: float) -> float:
    evaluator = adjusted(judge, past.rules).prepare(past, seed=seed, seconds=seconds)
    made = [window.mase(window.forecast(evaluator, {})) for window in windows]
    if not np.isfinite(made).all():
        raise FitFailed(f"{past.airport}: {judge.name} forecast what is not a number")
    return float(np.mean(made))
