"""What fitted candidates say of their own history: one value a period, near it, and exact where a formula tells."""

import numpy as np
import pytest

from paxcast.core.candidates import TellsItsFit, fitted_values
from paxcast.core.candidates.adjusted import Adjusted
from paxcast.core.candidates.anchored_prophet import ahead, level, levels_before
from paxcast.core.candidates.prophet import predicted
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.series import Series
from paxcast.core.treatment import Rules

BUDGET = {"seed": 1, "seconds": 60.0}
TELLING = (
    "seasonal_naive", "random_walk", "auto_ets", "auto_ets_log", "auto_ces", "auto_theta", "dynamic_theta", "mstl",
    "prophet", "anchored_prophet",
)  # fmt: skip


def made(periods: int, frequency: str) -> Series:
    season, unit = {"MS": (12, "M"), "W": (52, "7D"), "D": (7, "D")}[frequency]
    at, rng = np.arange(periods), np.random.default_rng(2)
    y = 5000 * (1 + 0.004 * at) * (1 + 0.3 * np.sin(2 * np.pi * at / season)) * rng.normal(1, 0.03, periods)
    ds = np.datetime64("2012-01-02", "D") + at * 7 if unit == "7D" else np.datetime64("2012-01", unit) + at
    return Series("AAA", frequency, ds.astype("datetime64[ns]"), y)


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize(("periods", "frequency"), [(96, "MS"), (160, "W"), (400, "D")])
def test_a_fit_lies_on_its_history_period_by_period(name: str, periods: int, frequency: str) -> None:
    series = made(periods, frequency)
    fit = fitted_values(CANDIDATES[name].fit(series, {}, **BUDGET), periods)
    assert fit is not None
    assert fit.shape == (periods,)
    seen = np.isfinite(fit)
    seen[: periods // 3] = False  # what exponential smoothing begins with
    off = np.abs(fit - series.y)[seen] / series.y[seen]
    assert seen.sum() >= periods // 2
    assert np.mean(off) < (0.25 if name in ("seasonal_naive", "random_walk") else 0.07)


def test_formulas_tell_what_they_would_have_said() -> None:
    series = made(60, "MS")
    naive = fitted_values(CANDIDATES["seasonal_naive"].fit(series, {}, **BUDGET), 60)
    walk = fitted_values(CANDIDATES["random_walk"].fit(series, {}, **BUDGET), 60)
    assert naive is not None
    assert walk is not None
    assert np.isnan(naive[:12]).all()
    assert np.isnan(walk[0])
    assert [naive[t] for t in range(12, 60)] == [series.y[t - 12] for t in range(12, 60)]
    assert [walk[t] for t in range(1, 60)] == [series.y[t - 1] for t in range(1, 60)]


def test_what_cannot_tell_tells_nothing() -> None:
    series = made(60, "MS")
    for name in ("seasonal_growth", "weekday_year_ago", "window_average"):
        assert fitted_values(CANDIDATES[name].fit(series, {}, **BUDGET), 60) is None
    short = Series("AAA", "MS", series.ds[:5], series.y[:5])
    assert fitted_values(CANDIDATES["seasonal_naive"].fit(short, {}, **BUDGET), 5) is None


def test_a_prophet_of_the_last_years_says_nothing_of_those_before() -> None:
    series = made(160, "MS")
    fit = fitted_values(CANDIDATES["prophet"].fit(series, {"history_years": 10}, **BUDGET), 160)
    assert fit is not None
    assert np.isfinite(fit).tolist() == [False] * 40 + [True] * 120


def test_an_anchor_adds_to_each_period_what_was_missed_before_it() -> None:
    residuals = np.random.default_rng(1).normal(0, 5, 20)
    before = [level(residuals[:t], 0.3) for t in range(20)]
    np.testing.assert_allclose(levels_before(residuals, 0.3), before, atol=1e-12)
    series = made(60, "MS")
    parameters = {"anchor": 0.5, "anchor_damping": 0.9}
    fitted = CANDIDATES["anchored_prophet"].fit(series, parameters, **BUDGET)
    assert isinstance(fitted, TellsItsFit)
    yhat = predicted(fitted.prophet.model, series.dates())  # type: ignore[attr-defined]
    expected = [yhat[t] + ahead(level((series.y - yhat)[:t], 0.5), 0.9, 1)[0] for t in range(60)]
    np.testing.assert_allclose(fitted.fitted_values(), expected, rtol=1e-9)


def test_calendar_effects_that_were_taken_out_are_in_the_fit_again() -> None:
    series = made(96, "MS")
    fitted = Adjusted(CANDIDATES["seasonal_naive"], Rules(calendar="holidays", country="FR")).fit(series, {}, **BUDGET)
    fit, factors = fitted_values(fitted, 96), fitted.effects.factors(series.dates())
    assert fit is not None
    assert np.isnan(fit[:12]).all()
    np.testing.assert_allclose(fit[12:], (series.y / factors)[:-12] * factors[12:], rtol=1e-12)
    assert np.ptp(factors) > 0.01


def test_warnings_of_a_fit_are_counted_and_not_shown(recwarn: pytest.WarningsRecorder) -> None:
    import warnings

    from paxcast.core.candidates.refit import Method

    def noisy(series: Series):  # type: ignore[no-untyped-def]
        for _ in range(3):
            warnings.warn("it did not converge", RuntimeWarning, stacklevel=1)
        return lambda horizon: np.full(horizon, 1.0)

    fitted = Method("noisy", 0.0, noisy).fit(made(20, "MS"), {}, **BUDGET)
    assert fitted.warnings == 3
    adjusted = Adjusted(Method("noisy", 0.0, noisy), Rules(calendar="holidays")).fit(made(96, "MS"), {}, **BUDGET)
    assert adjusted.warnings == 3
    assert len(recwarn) == 0
