"""From what every candidate forecast to the one forecast that is published: the rule, the weights, the gate.

    Evaluation of each airport ──> rule of the fleet ──> weights of each airport ──> gate ──> Composed

The rule is the fleet's: the first one, unless another would have done clearly better in folds that its weights had not
seen, over all airports. An airport then never gets a combination that did worse than seasonal naive in its own folds;
where these have not seen the season to come, it gets only as much of it as they can tell from luck.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from paxcast.core import choice, combination, intervals, metrics
from paxcast.core.combination import RULES, FoldForecasts
from paxcast.core.intervals import Missed

Array = npt.NDArray[np.float64]
FIRST_RULE = "inverse_square"  # where nothing tells rules apart
CLEARLY = 0.10  # of smaller gains, seen at 9 past dates of three fleets, 8 were not real
ROUNDING = 1e-12  # of a mean of logs
STEPS = 8  # of the way from all members to those that the gate lets pass
HOPELESS = 5.0  # seasonal naive errors: an airport that nobody can forecast is not to choose for the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What tuning found out about one airport, M candidates, K folds, H steps. Traffic.

    `candidates`: [M], the first is seasonal naive; `competes`: [M], whether the fleet lets it be published as such.
    `test`: [M, H] in the untouched window, with `test_actual`, `test_counts`: [H] and `test_scale`; None without one.
    `forecast`: [M, H]. `level`: mean traffic of the last season, of daily data the last four weeks; `window_levels`: of
    those before each fold and the test window. `changes`: [N, H] what seasonal naive would have missed, where there are
    no folds. `pinned`: a person, or drift, has chosen the one method that competes. `whole_year`: whether the folds
    reach back a year or more, and so have seen the season to come.
    """

    candidates: tuple[str, ...]
    competes: npt.NDArray[np.bool_]
    folds: FoldForecasts | None
    test: Array | None
    test_actual: Array | None
    test_counts: npt.NDArray[np.bool_] | None
    test_scale: float | None
    forecast: Array
    level: float
    window_levels: Array
    changes: Array
    rms_scales: Array | None = None
    pinned: bool = False
    whole_year: bool = True

    def test_error(self, forecast: Array) -> float:
        """The MASE of a forecast of the test window, [H] traffic; NaN without a window."""
        if self.test_actual is None or self.test_counts is None or self.test_scale is None:
            return float("nan")
        return metrics.mase(self.test_actual[self.test_counts], forecast[self.test_counts], self.test_scale)

    def members(self) -> FoldForecasts | None:
        """The folds of the candidates that compete."""
        if self.folds is None:
            return None
        return self.folds.of(self.competes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """One airport's combination. `weights`: by candidate, those above zero; `folds`: [K, H] as its rule would have
    forecast each fold from the others, `test`: [H], `forecast`: [H] traffic; `cv_mase`, `cv_mase_naive`: the folds'.
    """

    weights: Mapping[str, float]
    gated: bool
    reason: str
    folds: Array
    test: Array | None
    forecast: Array
    cv_mase: float | None
    cv_mase_naive: float | None

    @property
    def method(self) -> str:
        """The candidate's name where it is alone, else `combination`."""
        return next(iter(self.weights)) if len(self.weights) == 1 else "combination"


def fleet_rule(airports: Sequence[Evaluation]) -> tuple[str, dict[str, float]]:
    """The rule for a fleet, and each rule's mean error in folds that its weights had not seen.

    Each airport counts the same, and none for more than HOPELESS seasonal naive errors. FIRST_RULE stays unless another
    is better by CLEARLY: folds share their dates over all airports, and so their luck.
    """
    errors = {rule: _mean_error(airports, rule) for rule in RULES}
    known = {rule: error for rule, error in errors.items() if np.isfinite(error)}
    if not known:
        return FIRST_RULE, {}
    winner = min(known, key=lambda rule: known[rule])
    stays = FIRST_RULE in known and not choice.beats(known[winner], known[FIRST_RULE], CLEARLY)
    return (FIRST_RULE if stays else winner), known


def compose(airport: Evaluation, rule: str) -> Composed:
    """The published combination of one airport.

    Of all that compete, where that did not worse than seasonal naive in the folds; else as much of it as passes, the
    rest of those that themselves did not worse, or of seasonal naive itself. Where the folds reach back less than a
    year, the share of it that `told_from_luck` gives, the rest seasonal naive. What a person has pinned is not asked,
    not even for folds; where else nothing can be judged, or nothing fitted, it is seasonal naive.
    """
    folds, naive = airport.folds, _naive(len(airport.candidates))
    unseen = np.empty((0, 0)) if folds is None else folds.forecast[0]
    if folds is None and not airport.pinned:
        return _composed(airport, naive, unseen, "too few periods to judge a method on", gated=False)
    if not airport.competes.any():
        reason = "the pinned method could not be fitted" if airport.pinned else "no candidate could be fitted"
        return _composed(airport, naive, unseen, reason, gated=False)
    if folds is None:
        weights = airport.competes / airport.competes.sum()
        return _composed(airport, weights, unseen, "pinned: too few periods to judge it on", gated=False)
    every = _weighed(folds, rule, airport.competes)
    if airport.pinned:
        return _composed(airport, *every, _told(folds, every[0], "pinned"), gated=False)
    if _passes(folds, every[0]):
        return _published(airport, folds, *every, rule)
    sound = _sound(folds, rule, airport.competes)
    for step in range(STEPS - 1, -1, -1):
        share = step / STEPS
        weights, unseen = (share * a + (1 - share) * b for a, b in zip(every, sound, strict=True))
        if _passes(folds, weights) and (weights != naive).any():
            return _published(airport, folds, weights, unseen, f"{rule}, {step} of {STEPS} parts of all")
    limit = _fold_error(folds, naive)
    reason = f"no candidate did better than seasonal naive in the folds, MASE {limit:.3f}"
    return _composed(airport, naive, folds.forecast[0], reason, gated=True)


def _published(airport: Evaluation, folds: FoldForecasts, weights: Array, unseen: Array, how: str) -> Composed:
    """Weights that passed, nearer to seasonal naive where the folds reach back less than a year: what they show may be
    the season's. No nearer where that would not pass."""
    naive = _naive(len(weights))
    share = 1.0 if airport.whole_year else told_from_luck(_log_ratios(folds, weights))
    nearer = share * weights + (1 - share) * naive
    if share < 1 and _passes(folds, nearer):
        weights, unseen = nearer, share * unseen + (1 - share) * folds.forecast[0]
        how += f", {share:.0%} of it, the rest seasonal naive, as the folds reach back less than a year"
    return _composed(airport, weights, unseen, _told(folds, weights, how), gated=False)


def told_from_luck(gains: Array) -> float:
    """The share of a mean gain to count on: t^2 / (1 + t^2), t its size in standard errors; of a single one half.

    gains: [K]. A mean that is m of which the square error is s^2 is, times m^2 / (m^2 + s^2), nearest to what it
    measures, in squares (Thompson, "Some shrinkage techniques for estimating the mean", 1968).
    """
    if len(gains) < 2:
        return 0.5
    mean, square = float(gains.mean()), float(gains.var(ddof=1)) / len(gains)
    return mean**2 / (mean**2 + square) if mean else 0.0


def _sound(folds: FoldForecasts, rule: str, competes: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """The rule's weights for the members that did not worse than seasonal naive, where their combination did not
    either; else seasonal naive. With each fold's forecast, its weights from the others: [M], [K, H]."""
    count = len(competes)
    members = competes & np.array([_passes(folds, np.eye(count)[m]) for m in range(count)])
    if members.any():
        found = _weighed(folds, rule, members)
        if _passes(folds, found[0]):
            return found
    return _naive(count), folds.forecast[0]


def _weighed(folds: FoldForecasts, rule: str, members: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """The rule's weights among some members, [M], and each fold's forecast with those of the other folds, [K, H]."""
    weights = np.zeros(len(members))
    weights[members] = RULES[rule](folds.of(members))
    return weights, combination.cross_fitted(rule, folds.of(members))


def _passes(folds: FoldForecasts, weights: Array) -> bool:
    """Whether a combination did not worse than seasonal naive: neither in the mean of the folds' errors nor in their
    geometric mean, in which a fold that was hard for all outvotes no other."""
    worse = _fold_error(folds, weights) > _fold_error(folds, _naive(len(weights)))
    return bool(not worse and _log_ratios(folds, weights).mean() <= ROUNDING)


def _log_ratios(folds: FoldForecasts, weights: Array) -> Array:
    """[K] the logs of a combination's errors over seasonal naive's."""
    error, limit = (_fold_errors(folds, w) for w in (weights, _naive(len(weights))))
    least = combination.SMALLEST_ERROR
    return np.asarray(np.log(np.maximum(error, least) / np.maximum(limit, least)))


def _told(folds: FoldForecasts, weights: Array, how: str) -> str:
    error, limit = _fold_error(folds, weights), _fold_error(folds, _naive(len(weights)))
    return f"{how}: MASE {error:.3f} in the folds, seasonal naive {limit:.3f}"


def _naive(members: int) -> Array:
    """All weight on seasonal naive. [M]"""
    return np.asarray(np.eye(members)[0])


def _fold_error(folds: FoldForecasts, weights: Array) -> float:
    return float(_fold_errors(folds, weights).mean())


def _fold_errors(folds: FoldForecasts, weights: Array) -> Array:
    return combination.fold_errors(combination.combined(weights, folds.forecast), folds)


def _composed(airport: Evaluation, weights: Array, unseen: Array, reason: str, *, gated: bool) -> Composed:
    folds, naive = airport.folds, _naive(len(airport.candidates))
    if (weights == naive).all():
        reason += ": seasonal naive is published"
    return Composed(
        weights={name: float(w) for name, w in zip(airport.candidates, weights, strict=True) if w > 0},
        gated=gated,
        reason=reason,
        folds=unseen,
        test=None if airport.test is None else combination.combined(weights, airport.test),
        forecast=combination.combined(weights, airport.forecast),
        cv_mase=None if folds is None else _fold_error(folds, weights),
        cv_mase_naive=None if folds is None else _fold_error(folds, naive),
    )


def alone(airport: Evaluation, name: str) -> Composed | None:
    """One candidate as if it were published, whatever it did in the folds; None where it has no forecast."""
    if name not in airport.candidates:
        return None
    weights = np.array([float(candidate == name) for candidate in airport.candidates])
    unseen = np.empty((0, 0)) if airport.folds is None else combination.combined(weights, airport.folds.forecast)
    return _composed(airport, weights, unseen, "alone", gated=False)


def missed(airport: Evaluation, composed: Composed) -> Missed:
    """What the published method missed: in each fold, with the weights of the others, and in the test window.

    Without folds the past changes, in the unit of the forecast; many of them count for no more than MOST_LENT windows.
    """
    if airport.folds is None:
        count = len(airport.changes)
        weight = min(1.0, intervals.MOST_LENT / max(1, count))
        return Missed(airport.changes, np.full(count, intervals.unit(airport.level, composed.forecast)), weight)
    forecasts = [*composed.folds]
    errors = [np.where(airport.folds.counts, airport.folds.actual - composed.folds, np.nan)]
    if airport.test_actual is not None and airport.test_counts is not None and composed.test is not None:
        errors.append(np.where(airport.test_counts, airport.test_actual - composed.test, np.nan)[None])
        forecasts.append(composed.test)
    before = zip(airport.window_levels, forecasts, strict=True)
    units = [intervals.unit(float(level), yhat) if level > 0 else 0.0 for level, yhat in before]
    return Missed(np.concatenate(errors), np.array(units))


def _mean_error(airports: Sequence[Evaluation], rule: str) -> float:
    """The rule's mean MASE over airports in folds that its weights have not seen; NaN without any."""
    found = []
    for airport in airports:
        members = airport.members()
        if members is not None and not airport.pinned and len(members.forecast) and len(members.actual) > 1:
            error = combination.fold_errors(combination.cross_fitted(rule, members), members).mean()
            found.append(min(float(error), HOPELESS))
    return float(np.mean(found)) if found else float("nan")
