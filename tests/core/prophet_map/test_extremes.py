"""Data and priors that nobody would choose: still the highest point, told as it is, and never below CmdStan's."""

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

from paxcast.core import prophet_map
from paxcast.core.prophet_map.problem import (
    Data,
    Mode,
    Prior,
    from_stan,
    log_posterior,
    maximum,
    moments,
)

MODES = pytest.mark.parametrize("mode", ["additive", "multiplicative"])


@pytest.fixture(autouse=True)
def silent() -> None:
    logging.getLogger("prophet").setLevel(logging.CRITICAL)
    logging.getLogger("cmdstanpy").disabled = True


def months(kind: str, count: int = 72) -> pd.DataFrame:
    """A monthly series, and what may happen to one."""
    rng, at = np.random.default_rng(1), np.arange(count)
    y = 1000 * (1 + 0.5 * at / count) * (1 + 0.3 * np.sin(2 * np.pi * at / 12)) * rng.normal(1, 0.05, count)
    changed = {
        "an error of a million times": np.where(at == count // 3, 1e6 * y, y),
        "years of nothing": np.where((at > count // 4) & (at < count // 2), 0, y),
        "nothing until the end": np.where(at < count - 4, 0, y),
        "nothing but once": np.where(at == count // 2, 7.0, 0),
        "fifty times as high from one month on": np.where(at < count // 2, y, 50 * y),
        "below zero": 500 - y,
        "tenfold every few years": 10 ** (at / 20.0),
        "counts of few": rng.poisson(0.3, count).astype(float),
    }
    return pd.DataFrame({"ds": pd.date_range("2008-01-01", periods=count, freq="MS"), "y": changed.get(kind, y)})


def model(**arguments) -> Prophet:
    usual = {"yearly_seasonality": 4, "weekly_seasonality": False, "daily_seasonality": False, "n_changepoints": 12}
    return Prophet(**(usual | {"uncertainty_samples": 0} | arguments))


def stated(one: Prophet, history: pd.DataFrame) -> tuple[Data, Prior]:
    return from_stan(dataclasses.asdict(one.preprocess(history)))


def of(fitted: Prophet) -> Mode:
    values = {name: np.asarray(v).ravel() for name, v in fitted.params.items()}
    return Mode(values["k"][0], values["m"][0], values["delta"], values["beta"], values["sigma_obs"][0], 0.0, 0)


def check_highest(data: Data, prior: Prior, mode: Mode) -> None:
    """The mode is finite, its log posterior is the dense one, and neither a point near it nor more steps go higher."""
    assert all(np.isfinite(v).all() for v in dataclasses.astuple(mode))
    dense = log_posterior(data, prior, mode)
    assert mode.log_posterior == pytest.approx(dense, abs=1e-4)
    assert maximum(moments(data), prior, mode).log_posterior <= mode.log_posterior + 1e-6
    rng = np.random.default_rng(1)
    sizes = {name: np.abs(getattr(mode, name)) + 1e-3 for name in ("k", "m", "delta", "beta", "sigma")}
    for power in (-1, -2, -3, -4, -6):
        for _ in range(100):
            some = {name: rng.random(np.shape(size)) < 0.2 for name, size in sizes.items()}
            moved = {
                name: getattr(mode, name) + some[name] * 10.0**power * size * rng.normal(size=np.shape(size))
                for name, size in sizes.items()
            }
            moved["sigma"] = abs(moved["sigma"])
            assert log_posterior(data, prior, dataclasses.replace(mode, **moved)) <= dense + 1e-4


KINDS = [
    "nothing unusual",
    "an error of a million times",
    "years of nothing",
    "fifty times as high from one month on",
    "below zero",
    "tenfold every few years",
    "counts of few",
]


@MODES
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_happens_to_a_series_cmdstan_finds_nothing_higher(kind, mode):
    history = months(kind)
    data, prior = stated(model(seasonality_mode=mode), history)
    best = maximum(moments(data), prior)
    if best.sigma > 1e-4:  # else it is rounding that decides where the next step leads
        check_highest(data, prior, best)
    for algorithm in ("LBFGS", "Newton"):
        by_stan = model(seasonality_mode=mode).fit(history, algorithm=algorithm, timeout=60)
        assert log_posterior(data, prior, of(by_stan)) <= best.log_posterior + 1e-3


@pytest.mark.parametrize("kind", ["nothing until the end", "nothing but once"])
def test_where_the_posterior_has_no_top_it_stops_at_a_point_that_is_told_as_it_is(kind):
    """Multiplicative terms reproduce a series that is mostly zero, and sigma falls to nothing."""
    data, prior = stated(model(seasonality_mode="multiplicative", yearly_seasonality=10), months(kind, 60))
    best = maximum(moments(data), prior)
    assert best.log_posterior == pytest.approx(log_posterior(data, prior, best), abs=1e-3)
    assert best.sigma < 1e-2


@pytest.mark.parametrize("tau", [1e-6, 1e3])
@pytest.mark.parametrize("scale", [1e-6, 1e3])
@MODES
def test_prior_scales_may_be_tiny_or_huge(mode, tau, scale):
    arguments = {"seasonality_mode": mode, "changepoint_prior_scale": tau, "seasonality_prior_scale": scale}
    data, prior = stated(model(**arguments), months("nothing unusual"))
    mode_found = maximum(moments(data), prior)
    check_highest(data, prior, mode_found)
    assert tau == 1e3 or not mode_found.delta.any()
    assert scale == 1e3 or np.abs(mode_found.beta).max() < 1e-6


@pytest.mark.parametrize("noise", [1e-3, 1e-6, 1e-8])
@pytest.mark.parametrize("kind", ["additive", "multiplicative"])
def test_noise_is_found_however_small(made, kind, noise):
    """The moments hold squares of y: below a ten-millionth of it their difference is nothing but rounding."""
    data = made.window(3)
    prior = dataclasses.replace(made.prior(3, data, kind), tau=0.5, scales=np.full(6, 10.0))
    rng = np.random.default_rng(3)
    truth = Mode(0.4, 0.3, rng.normal(0, 0.3, 8), rng.normal(0, 0.2, 6), noise, 0.0, 0)
    phi = np.concatenate([[truth.k, truth.m], truth.beta, truth.delta])
    drawn = dataclasses.replace(data, y=made.fitted(data, prior, phi) + noise * rng.normal(size=len(data.y)))
    mode = maximum(moments(drawn), prior)
    assert 0.7 * noise < mode.sigma < 1.05 * noise
    assert mode.log_posterior >= log_posterior(drawn, prior, truth)
    check_highest(drawn, prior, mode)


@MODES
def test_dependent_columns_under_weak_priors_hinder_nothing_even_without_noise(made, mode):
    """Their Gram matrix is singular to the last digit, and next to no variance does not help."""
    data = made.window(5, noise=0.0, rows=150)
    x = np.column_stack([data.x, data.x[:, ::-1], data.x @ np.arange(6.0), 0 * data.t])
    twice = dataclasses.replace(data, x=x)
    prior = Prior(
        changepoints=np.array([0.2, 0.6, 0.6, 0.601, 1.0]),
        tau=10.0,
        scales=np.full(14, 1e3),
        multiplicative=np.full(14, mode == "multiplicative"),
    )
    best = maximum(moments(twice), prior)
    assert best.log_posterior == pytest.approx(log_posterior(twice, prior, best), abs=0.1)  # of some thousands
    plain = dataclasses.replace(prior, scales=prior.scales[:6], multiplicative=prior.multiplicative[:6])
    assert best.log_posterior >= maximum(moments(data), plain).log_posterior - 0.1  # more columns: not worse


@MODES
def test_changepoints_may_coincide_lie_between_two_rows_or_at_the_ends(made, mode):
    data = made.window(7)
    between = np.linspace(data.t[40], data.t[41], 9)
    prior = made.prior(7, data, mode)
    prior = dataclasses.replace(
        prior, changepoints=np.sort(np.concatenate([[0, 0, 0.5, 0.5, 0.5, data.t[-2], 1, 1], between])), tau=1.0
    )
    best = maximum(moments(data), prior)
    check_highest(data, prior, best)
    assert not best.delta[prior.changepoints == 1.0].any()  # no row comes after it: nothing but the prior speaks


def test_where_a_multiplicative_constant_and_the_trend_can_stand_in_for_each_other_cmdstan_gets_no_further():
    """A long bent valley, where steps are short: it takes all it may, and CmdStan stops earlier."""
    history = months("nothing unusual", 240).assign(one=1.0, at=np.arange(240.0))

    def make() -> Prophet:
        one = model(seasonality_mode="multiplicative").add_regressor("one", standardize=False, prior_scale=100.0)
        return one.add_regressor("at", standardize=False, prior_scale=100.0)

    data, prior = stated(make(), history)
    best = maximum(moments(data), prior)
    assert best.log_posterior == pytest.approx(log_posterior(data, prior, best), abs=1e-6)
    for algorithm in ("LBFGS", "Newton"):
        by_stan = make().fit(history, algorithm=algorithm, timeout=60)
        assert log_posterior(data, prior, of(by_stan)) <= best.log_posterior + 1e-3
    assert best.steps > 100  # a step that gains next to nothing by accident, across the valley, is not the last


@MODES
@pytest.mark.parametrize("size", [1e-6, 1e6])
def test_the_unit_of_a_regressor_does_not_matter(made, mode, size):
    data = made.window(8)
    prior = made.prior(8, data, mode)
    scaled = dataclasses.replace(data, x=data.x * size)
    there = maximum(moments(scaled), dataclasses.replace(prior, scales=prior.scales / size))
    here = maximum(moments(data), prior)
    assert there.log_posterior == pytest.approx(here.log_posterior, abs=1e-6)
    np.testing.assert_allclose(there.beta * size, here.beta, atol=1e-5)


def test_several_values_a_date_are_several_rows():
    history = months("nothing unusual")
    twice = pd.concat([history, history.assign(y=history["y"] * 1.1)], ignore_index=True)
    data, prior = stated(model(), twice)
    check_highest(data, prior, maximum(moments(data), prior))


def test_all_values_on_one_date_are_refused_as_cmdstan_refuses_them_and_the_backend_is_back():
    history = months("nothing unusual").assign(ds=pd.Timestamp("2020-01-01"))
    one, other = model(), model()
    own = one.stan_backend
    with pytest.raises(RuntimeError) as by_stan:
        other.fit(history)
    with pytest.raises(RuntimeError) as by_us:
        prophet_map.fit(one, history)
    assert str(by_us.value)[:40] == str(by_stan.value)[:40]
    assert one.stan_backend is own


@pytest.mark.parametrize("features", [1, 60, 250])
def test_the_running_sums_of_many_features_take_no_more_memory_than_those_of_few(made, features):
    data = made.window(1, rows=2000)
    wide = dataclasses.replace(data, x=np.tile(data.x, (1, features // 6 + 1))[:, :features])
    prepared = moments(wide)
    one_block = prepared.running[0].nbytes
    assert prepared.running.nbytes <= 8e6 + 2 * one_block
    prior = made.prior(1, wide)
    first = prepared.first_rows(prior.changepoints)
    total = prepared.of_segments(prior.changepoints).sum(axis=0)
    np.testing.assert_allclose(total[0], prepared.w.T @ prepared.w, atol=1e-8)
    assert np.all(np.diff(first) >= 0)
