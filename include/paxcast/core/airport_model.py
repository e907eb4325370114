"""What the registry keeps of an airport: its history, its calendar effects, each candidate's specification and what it
forecast; Prophets as they were fitted.

As far as the published forecast reaches, what it holds is added up: that needs no Paxcast. Beyond, classical candidates
are fitted anew from the history, which takes as long as reading a Prophet. Nothing is pickled.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from paxcast.core.candidate_files import GIVEN
from paxcast.core.candidates.adjusted import AS_IT_IS, FittedAdjusted, ahead, without
from paxcast.core.outcome import DIGITS
from paxcast.core.treatment.calendar_effects import Effects, effects_from
from paxcast.core.tuning import Tuned

Array = npt.NDArray[np.float64]
PROPHETS = ("prophet", "anchored_prophet")  # what is fitted in earnest, and read back as it was
OWN_TEXT = (*PROPHETS, *GIVEN)  # what cannot be fitted anew from the history


def as_text(tuned: Tuned) -> str:
    """The airport's model as sorted JSON: airport, frequency, first_ds, y, `calendar`, `ds` of the forecast; `members`
    by candidate, each with its `forecast`, [H] traffic to the digits that outcomes have."""
    series = tuned.treated.series
    horizon = len(tuned.entrants[0].forecast)
    members = {
        e.specification.candidate: {
            "parameters": dict(sorted(e.specification.parameters.items())),
            "fitted": e.fitted.to_json() if e.specification.candidate in OWN_TEXT else None,
            "forecast": [float(f"{value:.{DIGITS}g}") for value in e.forecast.tolist()],
        }
        for e in tuned.entrants
    }
    values = {
        "airport": series.airport,
        "frequency": series.frequency,
        "first_ds": str(series.ds[0])[:10],
        "y": series.y.tolist(),
        "ds": [str(d.date()) for d in series.next_periods(horizon)],
        "calendar": calendar.as_json() if (calendar := _effects(tuned)) else None,
        "members": members,
    }
    return json.dumps(values, sort_keys=True)


def forecast(values: Mapping[str, Any], weights: Mapping[str, float], horizon: int) -> Array:
    """The weighted forecast of the next `horizon` periods, [H] traffic, from what `as_text` kept.

    weights: by candidate; those it does not name are not read. Raises FitFailed as their candidates do.
    """
    from paxcast.core import evaluation
    from paxcast.core.candidates import given
    from paxcast.core.candidates.refit import series_from
    from paxcast.core.candidates.registry import CANDIDATES

    series = series_from(values["airport"], values["frequency"], values["first_ds"], values["y"])
    effects = effects_from(values["calendar"]) if values.get("calendar") else None
    most = evaluation.most(series)
    total = np.zeros(horizon)
    for name, weight in sorted(weights.items()):
        member, took_part = values["members"][name], effects is not None and name not in AS_IT_IS
        history = without(series, effects) if effects and took_part else series
        if name in GIVEN:
            made = given.read(member["fitted"]).forecast(horizon)
        elif member["fitted"] is not None:
            made = from_prophet(name, member["fitted"], history, horizon)
        else:
            made = CANDIDATES[name].fit(history, member["parameters"], seed=0, seconds=60.0).forecast(horizon)
        if effects and took_part:
            made = made * ahead(effects, pd.Timestamp(series.ds[-1]), horizon)
        total += weight * evaluation.publishable(made, most)
    return total


def _effects(tuned: Tuned) -> Effects | None:
    """Those that the candidates were fitted without: all the same, estimated from one history."""
    return next((e.fitted.effects for e in tuned.entrants if isinstance(e.fitted, FittedAdjusted)), None)


def from_prophet(name: str, text: str, series: Any, horizon: int) -> Array:
    """The forecast of a Prophet, anchored or not, read back from its text."""
    from prophet.serialize import model_from_json

    from paxcast.core.candidates.anchored_prophet import ahead
    from paxcast.core.candidates.prophet import predicted

    if name == "prophet":
        return predicted(model_from_json(text), series.next_periods(horizon))
    values = json.loads(text)
    plain = predicted(model_from_json(values["prophet"]), series.next_periods(horizon))
    return plain + ahead(values["level"], values["damping"], horizon)
