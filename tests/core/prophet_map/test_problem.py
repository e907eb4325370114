"""The objective is Stan's, and what is found is its highest point: nothing else finds a higher one from there."""

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from paxcast.core.prophet_map.problem import (
    FLAT,
    LOGISTIC,
    Mode,
    fitted_values,
    from_stan,
    log_posterior,
    maximum,
    moments,
    uncovered,
    unusable,
)

KINDS = pytest.mark.parametrize("kind", ["additive", "multiplicative", "mixed"])


@pytest.fixture(autouse=True)
def silent() -> None:
    logging.getLogger("cmdstanpy").disabled = True


def months(count: int = 120, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ds = pd.date_range("2008-01-01", periods=count, freq="MS")
    level = 1000 + 5 * np.arange(count) - 9 * np.maximum(np.arange(count) - 70, 0)
    return pd.DataFrame({"ds": ds, "y": level * (1 + 0.3 * np.sin(ds.month / 2)) * rng.normal(1, 0.04, count)})


def model(**arguments) -> Prophet:
    usual = {"yearly_seasonality": 3, "weekly_seasonality": False, "daily_seasonality": False, "n_changepoints": 8}
    return Prophet(**(usual | {"uncertainty_samples": 0} | arguments))


def stated(**arguments):
    return from_stan(dataclasses.asdict(model(**arguments).preprocess(months())))


def of(fitted: Prophet) -> Mode:
    values = {name: np.asarray(v).ravel() for name, v in fitted.params.items()}
    return Mode(values["k"][0], values["m"][0], values["delta"], values["beta"], values["sigma_obs"][0], 0.0, 0)


@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_the_log_posterior_is_stans_and_the_fitted_values_are_prophets(mode):
    by_stan = model(seasonality_mode=mode).fit(months(), algorithm="Newton")
    data, prior = stated(seasonality_mode=mode)
    assert log_posterior(data, prior, of(by_stan)) == pytest.approx(by_stan.params["lp__"][0, 0], abs=2e-3)  # printed
    values = fitted_values(data, prior, of(by_stan)) * by_stan.y_scale
    np.testing.assert_allclose(values, by_stan.predict(months())["yhat"], rtol=1e-10)


@KINDS
@pytest.mark.parametrize("seed", range(6))
def test_no_point_around_the_mode_is_higher(made, kind, seed):
    data = made.window(seed)
    prior = made.prior(seed, data, kind)
    mode = maximum(moments(data), prior)
    assert mode.log_posterior == pytest.approx(log_posterior(data, prior, mode), abs=1e-8)
    rng = np.random.default_rng(seed)
    for size in (1e-1, 1e-2, 1e-3, 1e-4):
        for _ in range(150):
            moved = dataclasses.replace(
                mode,
                k=mode.k + size * rng.normal() * (rng.random() < 0.3),
                m=mode.m + size * rng.normal() * (rng.random() < 0.3),
                delta=mode.delta + size * rng.normal(size=len(mode.delta)) * (rng.random(len(mode.delta)) < 0.3),
                beta=mode.beta + size * rng.normal(size=len(mode.beta)) * (rng.random(len(mode.beta)) < 0.3),
                sigma=mode.sigma * np.exp(size * rng.normal() * (rng.random() < 0.3)),
            )
            assert log_posterior(data, prior, moved) <= mode.log_posterior + 1e-7


@KINDS
@pytest.mark.parametrize("seed", range(6))
def test_at_the_mode_the_conditions_of_a_maximum_hold(made, kind, seed):
    data = made.window(seed)
    prior = made.prior(seed, data, kind)
    mode = maximum(moments(data), prior)
    phi = np.concatenate([[mode.k, mode.m], mode.beta, mode.delta])
    pull = made.jacobian(data, prior, phi).T @ (data.y - made.fitted(data, prior, phi)) / mode.sigma**2
    ridge = 2 + len(mode.beta)
    precision = np.concatenate([[1 / 25, 1 / 25], prior.scales**-2.0])
    scale = np.abs(made.jacobian(data, prior, phi)).sum(axis=0) / mode.sigma
    np.testing.assert_array_less(np.abs(pull[:ridge] - precision * phi[:ridge]) / scale[:ridge], 2e-3)
    zero = mode.delta == 0
    assert np.all(np.abs(pull[ridge:][zero]) <= 1 / prior.tau + 2e-3 * scale[ridge:][zero])
    off = np.abs(pull[ridge:][~zero] - np.sign(mode.delta[~zero]) / prior.tau)
    assert np.all(off <= 2e-3 * scale[ridge:][~zero])


@pytest.mark.parametrize("growth", ["linear", "flat"])
@pytest.mark.parametrize("mode", ["additive", "multiplicative"])
def test_cmdstan_started_at_the_mode_finds_nothing_higher_and_by_itself_neither(mode, growth):
    data, prior = stated(seasonality_mode=mode, growth=growth)
    best = maximum(moments(data), prior)
    begin = {"k": best.k, "m": best.m, "delta": best.delta, "beta": best.beta, "sigma_obs": best.sigma}
    for arguments in ({"init": begin}, {}):
        by_stan = model(seasonality_mode=mode, growth=growth).fit(months(), algorithm="Newton", **arguments)
        reached = log_posterior(data, prior, of(by_stan))
        assert reached <= best.log_posterior + 1e-6
        assert reached >= best.log_posterior - 5  # the same model
    assert (best.k, best.delta.any()) == (0.0, False) or growth == "linear"


def test_from_its_own_mode_it_goes_nowhere_and_from_elsewhere_it_comes_back(made):
    data = made.window(2)
    prior = made.prior(2, data, "additive")
    mode = maximum(moments(data), prior)
    assert maximum(moments(data), prior, mode).log_posterior == pytest.approx(mode.log_posterior, abs=1e-8)
    far = dataclasses.replace(mode, k=mode.k + 1, beta=mode.beta + 0.3, sigma=0.3)
    assert maximum(moments(data), prior, far).log_posterior == pytest.approx(mode.log_posterior, abs=1e-6)


def test_a_series_without_noise_is_fitted_as_well_as_numbers_allow(made):
    data = made.window(4, noise=0.0)
    mode = maximum(moments(data), made.prior(4, data, "additive"))
    assert 0 < mode.sigma < 1e-2
    assert np.isfinite(mode.log_posterior)


def test_dependent_and_empty_features_share_what_there_is_and_hinder_nothing(made):
    data = made.window(5)
    twice = dataclasses.replace(data, x=np.column_stack([data.x, data.x[:, 0], np.zeros(len(data.y))]))
    prior = made.prior(5, twice, "multiplicative")
    mode = maximum(moments(twice), prior)
    assert mode.beta[-1] == 0.0
    shares = mode.beta[[0, -2]] / prior.scales[[0, -2]] ** 2  # of one effect, by their precision
    assert shares[0] == pytest.approx(shares[1], rel=1e-3)


def test_what_is_left_to_cmdstan_and_why(made):
    data = made.window(1)
    prior = made.prior(1, data)  # 6 features, 8 changepoints, 2 more: 16 parameters
    assert uncovered(17, prior) == ""
    assert uncovered(16, prior) == "16 periods for 16 parameters"
    assert uncovered(17, prior, LOGISTIC) == "logistic growth"
    assert uncovered(9, dataclasses.replace(prior, flat=True), FLAT) == ""
    assert uncovered(99, dataclasses.replace(prior, tau=0.0)) == "a prior scale of zero"
    assert uncovered(99, dataclasses.replace(prior, scales=0 * prior.scales)) == "a prior scale of zero"
    assert uncovered(99, dataclasses.replace(prior, tau=np.inf)) == "a prior scale that is no number"
    assert unusable(data) == ""
    assert unusable(dataclasses.replace(data, t=data.t * np.nan)) == "values that are no numbers"
