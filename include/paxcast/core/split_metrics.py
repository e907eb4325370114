"""How the combination of one airport did, split by split: in the folds, in the test window, in its own history.

    mase    mean |y - f| / mean |y_t - y_{t-season}| of the past       Hyndman and Koehler, 2006
    rmsse   root mean (y - f)^2 / root mean (y_t - y_{t-season})^2      M5 competition, there with a season of one
    smape   mean 2 |y - f| / (|y| + |f|), 0..2                          M4 competition
    mae     mean |y - f|, traffic
    bias    mean f - y, traffic: above zero is too high
    pinball, coverage80, coverage95                                     `scoring.pinball`; shares inside the interval

Each is the mean over the windows of its mean over the periods that count in them. In the folds the combination is each
fold's with the weights of the others, as intervals take it, and the intervals are this airport's own: of a fold from
what was missed in the others, of the test window from what was missed in all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from paxcast.core import composition, evaluation, intervals, metrics, scoring
from paxcast.core.candidates import fitted_values
from paxcast.core.composition import Composed, Evaluation
from paxcast.core.intervals import Band, Missed
from paxcast.core.series import Series
from paxcast.core.tuning import Entrant

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
NAIVE = "seasonal_naive"


def of_splits(airport: Evaluation, composed: Composed) -> dict[str, float]:
    """`cv.*` and `test.*` of a combination, with its intervals, and `naive.cv.*`, `naive.test.*` of seasonal naive.

    What cannot be said, of an airport without folds or a test window, or of a single fold's interval, is left out.
    """
    bands = _bands(airport, composed)
    found = _prefixed("cv", _in_folds(airport, composed, bands[:-1])) | _prefixed(
        "test", _in_test(airport, composed, bands[-1])
    )
    naive = composition.alone(airport, NAIVE)
    if naive is not None:
        found |= _prefixed("naive.cv", _in_folds(airport, naive, ()))
        found |= _prefixed("naive.test", _in_test(airport, naive, None))
    return {name: value for name, value in found.items() if np.isfinite(value)}


def of_history(
    series: Series, observed: Flags, entrants: Sequence[Entrant], weights: Mapping[str, float]
) -> tuple[dict[str, float], list[str]]:
    """`train.*` of a combination on the history that its members were fitted on, and the members that could tell.

    observed: [T], what is compared. The fit is the weighted mean of those members, their weights made to add up to one,
    in the periods that all of them fit. Nothing where there is no such member or period.
    """
    told = {e.specification.candidate: fitted_values(e.fitted, len(series.y)) for e in entrants}
    fits = {name: fit for name, fit in told.items() if fit is not None and weights.get(name, 0.0) > 0}
    if not fits:
        return {}, []
    total = sum(weights[name] for name in fits)
    fit = np.asarray(sum(weights[name] / total * values for name, values in fits.items()))
    counts = observed & np.isfinite(fit)
    if not counts.any():
        return {}, []
    scales = evaluation.fold_scale(series), evaluation.fold_rms_scale(series)
    return _prefixed("train", errors(series.y[counts], fit[counts], *scales)), sorted(fits)


def errors(actual: Array, forecast: Array, scale: float, rms_scale: float) -> dict[str, float]:
    """mase, rmsse, smape, mae, bias of one window. actual, forecast: [N] traffic; the scales in traffic."""
    return {
        "mase": metrics.mase(actual, forecast, scale),
        "rmsse": float(np.sqrt(np.mean((actual - forecast) ** 2)) / rms_scale),
        "smape": metrics.smape(actual, forecast),
        "mae": metrics.mae(actual, forecast),
        "bias": metrics.bias(actual, forecast),
    }


def interval_errors(actual: Array, band: Band, counts: Flags) -> dict[str, float]:
    """pinball (traffic), coverage80, coverage95 of one window, over the periods that count. actual, counts: [H]"""
    quantiles = {name: getattr(band, name)[counts] for name in scoring.QUANTILES}
    y = actual[counts]
    return {
        "pinball": float(np.mean(scoring.pinball(y, quantiles))),
        "coverage80": float(np.mean((quantiles["lo80"] <= y) & (y <= quantiles["hi80"]))),
        "coverage95": float(np.mean((quantiles["lo95"] <= y) & (y <= quantiles["hi95"]))),
    }


def _in_folds(airport: Evaluation, composed: Composed, bands: Sequence[Band | None]) -> dict[str, float]:
    folds = airport.folds
    if folds is None:
        return {}
    rows = []
    for k, forecast in enumerate(composed.folds):
        counts, rms = folds.counts[k], float("nan") if airport.rms_scales is None else float(airport.rms_scales[k])
        row = errors(folds.actual[k][counts], forecast[counts], float(folds.scale[k]), rms)
        band = bands[k] if bands else None
        rows.append(row if band is None else row | interval_errors(folds.actual[k], band, counts))
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _in_test(airport: Evaluation, composed: Composed, band: Band | None) -> dict[str, float]:
    actual, counts, scale = airport.test_actual, airport.test_counts, airport.test_scale
    if actual is None or counts is None or scale is None or composed.test is None:
        return {}
    rms = float("nan") if airport.rms_scales is None else float(airport.rms_scales[-1])
    row = errors(actual[counts], composed.test[counts], scale, rms)
    return row if band is None else row | interval_errors(actual, band, counts)


def _bands(airport: Evaluation, composed: Composed) -> list[Band | None]:
    """The intervals of each fold and, last, of the test window; None where nothing was missed to take them from."""
    if airport.folds is None:
        return [None]
    missed, count = composition.missed(airport, composed), len(composed.folds)
    each = [_band(composed.folds[k], missed, np.arange(count) != k, k) for k in range(count)]
    test = None if composed.test is None else _band(composed.test, missed, np.ones(count, dtype=bool), count)
    return [*each, test]


def _band(yhat: Array, missed: Missed, folds: Flags, at: int) -> Band | None:
    """The intervals of the forecast of window `at`, from what was missed in some of the folds. folds: [K]"""
    if not folds.any():
        return None
    seen = replace(missed, errors=missed.errors[: len(folds)][folds], levels=missed.levels[: len(folds)][folds])
    pool = intervals.pool([seen], len(yhat))
    return intervals.band(yhat, pool, intervals.size(seen, pool.middle, float(missed.levels[at])))


def _prefixed(split: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{split}.{name}": value for name, value in values.items()}
