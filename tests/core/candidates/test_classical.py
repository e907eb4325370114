"""statsforecast's models behind the candidates: against the library called by hand on what was prepared by hand."""

import numpy as np
import pytest
from statsforecast.models import AutoCES, AutoETS, AutoTheta
from statsmodels.tsa.seasonal import STL

from paxcast.core import classical
from paxcast.core.candidates.registry import CANDIDATES
from paxcast.core.classical import Season
from paxcast.core.errors import FitFailed

HORIZON = 16


def traffic(periods, season, seed=1, least=0.0):
    """[T] growing, seasonal, noisy; `least` near zero makes quiet periods."""
    at, rng = np.arange(periods), np.random.default_rng(seed)
    shape = 1 + 0.3 * np.sin(2 * np.pi * at / season) + 0.1 * np.sin(4 * np.pi * at / season + 1)
    y = 5000 * shape * 1.1 ** (at / season / (1 if season > 7 else 52)) * np.exp(0.05 * rng.normal(size=periods))
    return np.where(at % season == 0, least * y.mean(), y) if least else y


@pytest.fixture
def forecast(make_series):
    def forecasted(name, y, frequency, horizon=HORIZON):
        return CANDIDATES[name].fit(make_series(y, frequency, "2016-01-01"), {}, seed=1, seconds=9).forecast(horizon)

    return forecasted


def on_scale(y):
    level = sum(abs(v) for v in y) / len(y)
    return level, np.array([round(v / level, 10) for v in y])


def without_season(x, period, window, width=1):
    """STL's season of x: [T], of a mean over `width` periods taken one by one."""
    half = width // 2
    smooth = [np.mean([x[min(max(i + k, 0), len(x) - 1)] for k in range(-half, half + 1)]) for i in range(len(x))]
    jump = 20 if period > 100 else 1
    stl = STL(np.array(smooth), period=period, seasonal=window, seasonal_deg=0, trend_jump=jump, low_pass_jump=jump)
    return stl.fit().seasonal


def next_of(cycle, horizon=HORIZON):
    return np.array([cycle[i % len(cycle)] for i in range(horizon)])


def ets(x, season, model, damped=None):
    return AutoETS(season_length=season, model=model, damped=damped).forecast(x, HORIZON)["mean"]


# --- exponential smoothing


@pytest.mark.parametrize(("frequency", "season", "periods"), [("MS", 12, 84), ("D", 7, 200), ("D", 7, 900)])
def test_auto_ets_is_the_librarys_on_the_scale_of_the_mean_and_no_more_than_two_years_of_days(
    forecast, frequency, season, periods
):
    y = traffic(periods, season)
    level, z = on_scale(y)
    expected = level * ets(z[-728:], season, "AZA")
    assert forecast("auto_ets", y, frequency).tolist() == pytest.approx(expected.tolist(), rel=1e-9)


@pytest.mark.parametrize(("frequency", "season", "periods"), [("MS", 12, 84), ("D", 7, 900)])
def test_auto_ets_log_is_damped_and_additive_on_the_log_of_the_value_and_a_tenth_of_the_mean(
    forecast, frequency, season, periods
):
    y = traffic(periods, season)
    level, z = on_scale(y)
    logs = np.array([np.log(v + 0.1) for v in z])[-728:]
    expected = level * (np.exp(ets(logs, season, "AAA", damped=True)) - 0.1)
    assert forecast("auto_ets_log", y, frequency).tolist() == pytest.approx(expected.tolist(), rel=1e-9)


@pytest.mark.parametrize("grown", [True, False])
@pytest.mark.parametrize("name", ["auto_ets", "auto_ets_log", "mstl", "auto_ces"])
def test_weeks_are_smoothed_after_stl_has_taken_the_year_off(forecast, name, grown):
    y = traffic(160, 52)
    y = y if grown else y / 1.1 ** (np.arange(160) / 52)
    level, z = on_scale(y)
    x = np.log(z + 0.1) if name == "auto_ets_log" else np.log(z) if name == "mstl" else z
    season = without_season(x, 52, 7, width=3)
    rest = x - season
    if name == "auto_ces":
        ahead = AutoCES(season_length=1, model="N").forecast(rest, HORIZON)["mean"]
    elif name == "auto_ets_log":
        ahead = ets(rest, 1, "AAN", damped=True)
    else:
        ahead = ets(rest, 1, "AZN")
    ahead = ahead + next_of(season[-52:])
    back = {"auto_ets_log": lambda v: np.exp(v) - 0.1, "mstl": np.exp}.get(name, lambda v: v)
    assert forecast(name, y, "W").tolist() == pytest.approx((level * back(ahead)).tolist(), rel=1e-9)


def test_auto_ces_is_of_the_form_without_or_with_a_season_that_has_the_lower_aicc(forecast):
    rngs = [np.random.default_rng(seed) for seed in range(10)]
    noise = [100 + steps for rng in rngs for steps in (rng.normal(size=84), rng.normal(size=84).cumsum())]
    chosen = set()
    for y in (traffic(84, 12), *noise):
        level, z = on_scale(y)
        fits = [AutoCES(season_length=12, model=kind).fit(z) for kind in "NF"]
        at = 0 if fits[0].model_["aicc"] < fits[1].model_["aicc"] else 1
        expected = level * fits[at].predict(HORIZON)["mean"]
        assert forecast("auto_ces", y, "MS").tolist() == pytest.approx(expected.tolist(), rel=1e-9)
        chosen.add(at)
    assert chosen == {0, 1}


# --- seasons taken off


@pytest.mark.parametrize(("name", "model"), [("auto_theta", None), ("dynamic_theta", "DOTM")])
@pytest.mark.parametrize("least", [0.0, 0.025, 0.015])
def test_theta_is_made_of_what_stl_leaves_in_logs_where_nothing_comes_near_zero(forecast, name, model, least):
    y = traffic(84, 12, least=least)
    level, z = on_scale(y)
    logs = z.min() > 0.02
    assert logs == (least != 0.015)
    x = np.log(z) if logs else z
    season = without_season(x, 12, 7)
    rest = x - season
    raised = 1 - np.floor(rest.min())
    ahead = AutoTheta(season_length=1, model=model).forecast(rest + raised, HORIZON)["mean"] - raised
    expected = ahead + next_of(season[-12:])
    expected = level * (np.exp(expected) if logs else expected)
    assert forecast(name, y, "MS").tolist() == pytest.approx(expected.tolist(), rel=1e-9)


def test_mstl_of_months_adds_its_season(forecast):
    y = traffic(84, 12)
    level, z = on_scale(y)
    season = without_season(z, 12, 7)
    expected = level * (ets(z - season, 1, "AZN") + next_of(season[-12:]))
    assert forecast("mstl", y, "MS").tolist() == pytest.approx(expected.tolist(), rel=1e-9)


@pytest.mark.parametrize("days", [729, 730, 800])
def test_mstl_of_days_takes_the_week_off_and_from_two_years_on_the_year_too_in_two_turns(forecast, days):
    at = np.arange(days)
    y = traffic(days, 7) * (1 + 0.2 * np.sin(2 * np.pi * at / 365))
    level, z = on_scale(y)
    x = np.log(z)
    week, year = np.zeros(days), np.zeros(days)
    if days < 730:
        week = without_season(x, 7, 31)
    else:
        for _ in range(2):
            week = without_season(x - year, 7, 31)
            year = without_season(x - week, 365, 15, width=7)
    rest = (x - week - year)[-728:]
    model = "ANN" if days < 730 else "AZN"
    expected = level * np.exp(ets(rest, 1, model) + next_of(week[-7:]) + next_of(year[-365:]))
    assert forecast("mstl", y, "D").tolist() == pytest.approx(expected.tolist(), rel=1e-9)


def test_what_stl_takes_off_and_what_it_leaves_is_the_whole():
    x = traffic(800, 7)
    seasons = [Season(7, 31), Season(365, 15, smoothing=7)]
    parts = classical.decomposed(x, seasons)
    assert [part.shape for part in parts] == [(800,), (800,)]
    left = []
    whole = classical.deseasonalised(x, "D", lambda rest: left.append(rest) or (lambda h: rest[-h:]), logs=False)
    assert (left[0] + parts[0] + parts[1]).tolist() == pytest.approx(x.tolist())
    assert whole(1)[0] == pytest.approx(left[0][-1] + parts[0][-7] + parts[1][-365])


@pytest.mark.parametrize("width", [1, 3, 7])
def test_smoothing_is_the_mean_of_neighbours_with_the_ends_repeated(width):
    x = np.random.default_rng(3).normal(size=12)
    half = width // 2
    expected = [np.mean([x[min(max(i + k, 0), 11)] for k in range(-half, half + 1)]) for i in range(12)]
    assert classical.smooth(x, width).tolist() == pytest.approx(expected)


# --- limits


@pytest.mark.parametrize("name", ["auto_ets", "auto_ets_log", "auto_ces", "auto_theta", "dynamic_theta", "mstl"])
@pytest.mark.parametrize(("frequency", "season"), [("MS", 12), ("W", 52), ("D", 7)])
def test_two_seasons_are_needed(forecast, name, frequency, season):
    with pytest.raises(FitFailed, match=f"ATL: {name} needs {2 * season} periods, and there are {2 * season - 1}"):
        forecast(name, traffic(2 * season - 1, season), frequency)
    assert np.isfinite(forecast(name, traffic(2 * season + 6, season), frequency)).all()


@pytest.mark.parametrize("sign", [1, -1])
def test_no_forecast_goes_beyond_three_times_the_largest_value(make_series, sign):
    y = [1.0, 2.0, 3.0]
    explode = classical.scaled(make_series(y), lambda z: lambda horizon: sign * 10.0 ** np.arange(horizon))
    assert explode(4).tolist() == pytest.approx([sign * v for v in (2, 9, 9, 9)])


def test_a_scale_that_is_no_number_is_a_failed_fit(make_series):
    with pytest.raises(FitFailed, match="ATL: a mean of inf is no scale"), np.errstate(over="ignore"):
        classical.scaled(make_series([1e308, 1.5e308]), lambda z: None)


def test_the_model_sees_the_same_numbers_in_any_unit(make_series):
    seen = []
    y = traffic(60, 12)
    for factor in (1.0, 1000.0, 0.3):
        classical.scaled(make_series(y * factor), lambda z: seen.append(z.tolist()) or (lambda h: np.zeros(h)))
    assert seen[0] == seen[1] == seen[2]


def test_no_model_is_made_of_a_history_that_never_changes(make_series):
    forecaster = classical.scaled(make_series([0.1] * 30), lambda z: pytest.fail("there is nothing to fit"))
    assert forecaster(3).tolist() == [0.1] * 3


@pytest.mark.parametrize("name", ["auto_ets", "auto_ets_log", "auto_ces"])
def test_days_that_were_constant_for_two_years_go_on_so(forecast, name):
    y = np.where(np.arange(800) == 0, 9.0, 7.0)
    assert forecast(name, y, "D").tolist() == pytest.approx([7.0] * HORIZON)


@pytest.mark.parametrize("name", ["mstl", "auto_theta", "dynamic_theta"])
@pytest.mark.parametrize("periods", [300, 729])
def test_without_two_years_of_days_a_trend_is_not_told_from_the_season_and_the_level_goes_on(forecast, name, periods):
    y = traffic(periods, 7)
    level, z = on_scale(y)
    logs = np.log(z)
    week = without_season(logs, 7, 31)
    expected = level * np.exp(ets((logs - week)[-728:], 1, "ANN") + next_of(week[-7:]))
    assert forecast(name, y, "D").tolist() == pytest.approx(expected.tolist(), rel=1e-9)


@pytest.mark.parametrize(("frequency", "two_years"), [("MS", 24), ("W", 104), ("D", 730)])
def test_two_years_are_enough_to_tell(frequency, two_years):
    assert classical.trendless(np.ones(two_years - 1), frequency)
    assert not classical.trendless(np.ones(two_years), frequency)
