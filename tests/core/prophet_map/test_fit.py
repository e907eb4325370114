"""What comes back from `fit` is a real Prophet in every respect, whatever it has in it; the rest is left to CmdStan."""

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import cmdstanpy
import numpy as np
import pandas as pd
import pytest
from prophet import Prophet
from prophet.diagnostics import cross_validation
from prophet.serialize import model_from_json, model_to_json

from paxcast.core import prophet_map


@pytest.fixture(autouse=True)
def silent() -> None:
    logging.getLogger("prophet").setLevel(logging.CRITICAL)
    logging.getLogger("cmdstanpy").disabled = True


def days(count: int = 420, seed: int = 1) -> pd.DataFrame:
    """Daily traffic with a weekly season, a regressor, a condition, and a cap for logistic growth."""
    rng = np.random.default_rng(seed)
    ds = pd.date_range("2018-01-01", periods=count, freq="D")
    wind = rng.normal(5, 2, count)
    y = (500 + 0.4 * np.arange(count)) * (1 + 0.2 * (ds.dayofweek >= 5)) + 6 * wind + rng.normal(0, 15, count)
    return pd.DataFrame({"ds": ds, "y": y, "wind": wind, "summer": ds.month.isin([6, 7, 8]), "cap": 2000.0})


def plain(**arguments) -> Prophet:
    return Prophet(**({"yearly_seasonality": 4, "daily_seasonality": False, "uncertainty_samples": 0} | arguments))


def holidays() -> pd.DataFrame:
    dates = pd.to_datetime(["2018-07-04", "2019-07-04", "2018-12-25", "2019-12-25"])
    rows = {"holiday": ["fourth", "fourth", "christmas", "christmas"], "ds": dates}
    return pd.DataFrame(rows).assign(lower_window=-1, upper_window=1, prior_scale=[1.0, 1.0, 5.0, 5.0])


def conditional() -> Prophet:
    model = plain(weekly_seasonality=False)
    model.add_seasonality("summer week", 7, 3, condition_name="summer", mode="multiplicative")
    return model


COVERED: dict[str, Callable[[], Prophet]] = {
    "plain": plain,
    "multiplicative": lambda: plain(seasonality_mode="multiplicative"),
    "flat": lambda: plain(growth="flat"),
    "between the lowest and the highest": lambda: plain(scaling="minmax"),
    "no changepoints": lambda: plain(n_changepoints=0),
    "given changepoints": lambda: plain(changepoints=["2018-03-01", "2018-09-01"]),
    "country holidays": lambda: plain().add_country_holidays("US"),
    "holidays of its own": lambda: plain(holidays=holidays(), holidays_mode="multiplicative"),
    "a regressor": lambda: plain().add_regressor("wind"),
    "a multiplicative regressor as it is": lambda: plain().add_regressor(
        "wind", mode="multiplicative", standardize=False
    ),
    "another season, mixed": lambda: plain().add_seasonality("month", 30.5, 3, mode="multiplicative", prior_scale=0.1),
    "a season with a condition": conditional,
}
EACH = pytest.mark.parametrize("make", COVERED.values(), ids=COVERED)


@EACH
def test_it_forecasts_as_a_prophet_fitted_by_cmdstan_from_there_does(make):
    history, future = days()[:-30], days()[-30:]
    fitted, by = prophet_map.fit_and_tell(make(), history)
    assert by == "exact mode"
    begin = {name: v[0] if name in ("delta", "beta") else v[0, 0] for name, v in fitted.params.items()}
    if len(fitted.changepoints) == 0:  # Prophet has folded the one delta into k
        begin["delta"] = np.zeros(1)
    by_stan = make().fit(history, init=begin, algorithm="Newton")
    np.testing.assert_allclose(fitted.predict(future)["yhat"], by_stan.predict(future)["yhat"], rtol=2e-3)


@EACH
def test_it_survives_json_and_pickle_and_is_what_prophet_makes_otherwise(make):
    history, future = days()[:-30], days()[-30:]
    fitted = prophet_map.fit(make(), history)
    again = model_from_json(model_to_json(fitted))
    pd.testing.assert_frame_equal(again.predict(future), fitted.predict(future))
    assert model_to_json(again) == model_to_json(fitted)
    assert json.loads(model_to_json(fitted))["fit_kwargs"] == {}
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(fitted)).predict(future), fitted.predict(future))
    other = make().fit(history)
    assert {n: np.shape(v) for n, v in fitted.params.items()} == {
        n: np.shape(other.params[n]) for n in ("k", "m", "delta", "sigma_obs", "beta")
    }
    assert type(fitted.stan_backend) is type(other.stan_backend)
    assert fitted.fit_kwargs == other.fit_kwargs == {}
    own = set(vars(fitted)) ^ set(vars(other))
    assert own == set()


def test_cross_validation_afterwards_is_what_it_is_after_a_fit_by_cmdstan():
    history = days(300)[["ds", "y"]]
    models = prophet_map.fit(plain(weekly_seasonality=True), history), plain(weekly_seasonality=True).fit(history)
    asked = {"initial": "200 days", "period": "40 days", "horizon": "30 days", "disable_tqdm": True}
    ours, theirs = (cross_validation(model, **asked) for model in models)
    pd.testing.assert_frame_equal(ours, theirs)


def test_it_draws_and_simulates():
    import matplotlib as mpl

    mpl.use("Agg")
    fitted = prophet_map.fit(plain(uncertainty_samples=50), days())
    forecast = fitted.predict(fitted.make_future_dataframe(10))
    assert (forecast["yhat_lower"] <= forecast["yhat_upper"]).all()
    assert fitted.plot(forecast) is not None
    assert fitted.plot_components(forecast) is not None


@pytest.mark.parametrize(
    ("make", "rows", "reason"),
    [
        (lambda: plain(growth="logistic"), 120, "CmdStan: logistic growth"),
        (plain, 41, "CmdStan: 41 periods for 41 parameters"),
        (plain, 42, "exact mode"),
        (lambda: plain(changepoint_prior_scale=1e-9, weekly_seasonality=False), 200, "exact mode"),
    ],
)
def test_what_it_does_not_cover_is_fitted_by_cmdstan_and_the_reason_told(make, rows, reason):
    fitted, by = prophet_map.fit_and_tell(make(), days(rows))
    assert by == reason
    assert np.isfinite(fitted.predict(days(rows))["yhat"]).all()


def test_samples_of_the_posterior_are_stans():
    model, by = prophet_map.fit_and_tell(plain(mcmc_samples=20), days(90), chains=1, show_progress=False)
    assert by == "CmdStan: mcmc_samples: posterior samples, not the mode"
    assert model.params["k"].shape[0] == 10  # half of what one chain draws is its warm-up


def test_a_constant_series_takes_prophets_shortcut():
    for value in (0.0, 7.0):
        fitted, by = prophet_map.fit_and_tell(plain(), days().assign(y=value))
        assert by == "Prophet's shortcut for a constant series"
        np.testing.assert_allclose(fitted.predict(days())["yhat"], value, atol=1e-9)


def test_its_own_backend_is_back_whatever_happens_and_a_fitted_model_is_refused_as_prophet_refuses_it():
    model = plain()
    own = model.stan_backend
    with pytest.raises(ValueError, match="less than 2 non-NaN rows"):
        prophet_map.fit(model, days(1))
    assert model.stan_backend is own
    fitted = prophet_map.fit(plain(), days())
    with pytest.raises(Exception, match="Prophet object can only be fit once"):
        prophet_map.fit(fitted, days())


def test_what_cmdstan_is_given_reaches_it_and_nothing_is_left_behind():
    def left() -> set[Path]:
        return {path for path in Path(cmdstanpy._TMPDIR).rglob("*.csv") if path.stat().st_size > 0}

    before = left()
    refused = plain()
    own = refused.stan_backend
    with pytest.raises(ValueError, match="Please specify optimizer algorithms"):
        prophet_map.fit_and_tell(refused, days(30), algorithm="no such algorithm")
    assert refused.stan_backend is own
    fitted, _ = prophet_map.fit_and_tell(plain(), days(30), algorithm="LBFGS", seed=4)
    assert fitted.fit_kwargs == {}
    assert left() == before


def test_a_regressor_that_prophet_is_to_forecast_gets_a_model_of_prophets_own():
    asked = {"yearly_seasonality": False, "uncertainty_samples": 0}
    model = plain().add_regressor("wind", regressor_predictor=asked)
    fitted, by = prophet_map.fit_and_tell(model, days()[:-30])
    assert by == "exact mode"
    predictor = fitted.extra_regressors["wind"]["predictor"]
    assert type(predictor.stan_backend) is type(fitted.stan_backend)
    future = days()[-30:][["ds"]]
    wind = future.assign(wind=predictor.predict(future)["yhat"].to_numpy())
    np.testing.assert_allclose(fitted.predict(future)["yhat"], fitted.predict(wind)["yhat"])


def test_rows_without_a_value_and_rows_in_disorder_are_as_they_are_to_prophet():
    history = days()
    holed = history.assign(y=history["y"].where(history.index % 7 != 3))
    tidy = prophet_map.fit(plain(), holed.dropna())
    mixed = prophet_map.fit(plain(), holed.sample(frac=1, random_state=1))
    np.testing.assert_allclose(tidy.predict(history)["yhat"], mixed.predict(history)["yhat"], rtol=1e-12)
