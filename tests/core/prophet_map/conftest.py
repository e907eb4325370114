"""Made-up training windows and priors, and the slow, dense arithmetic that the engine is held against."""

from types import SimpleNamespace

import numpy as np
import pytest

from paxcast.core.prophet_map.problem import Data, Prior


def _window(seed: int, rows: int = 90, features: int = 6, noise: float = 0.05) -> Data:
    """A trend with a break, a season, noise, on Prophet's scale; rows unevenly spaced."""
    rng = np.random.default_rng(seed)
    t = np.sort(rng.uniform(0, 1, rows))
    t[0], t[-1] = 0.0, 1.0
    angle = 2 * np.pi * 4 * t
    waves = [f((i // 2 + 1) * angle) for i, f in enumerate([np.sin, np.cos] * features)][:features]
    x = np.column_stack(waves)
    y = 0.4 + 0.3 * t - 0.5 * np.maximum(t - 0.6, 0) + 0.1 * x[:, 0] + noise * rng.normal(size=rows)
    return Data(t=t, x=x, y=y / np.max(np.abs(y)))


def _prior(seed: int, data: Data, kind: str = "mixed", hinges: int = 8, flat: bool = False) -> Prior:
    """Random prior scales; `kind` says which features multiply the trend."""
    rng = np.random.default_rng(seed)
    features = data.x.shape[1]
    chosen = {"additive": np.zeros(features, bool), "multiplicative": np.ones(features, bool)}
    return Prior(
        changepoints=data.t[np.linspace(0, int(0.8 * len(data.t)), hinges + 1).astype(int)[1:]],
        tau=float(np.exp(rng.uniform(np.log(0.005), np.log(0.5)))),
        scales=np.exp(rng.uniform(np.log(0.05), np.log(10), features)),
        multiplicative=chosen.get(kind, rng.random(features) < 0.5),
        flat=flat,
    )


def _fitted(data: Data, prior: Prior, phi: np.ndarray) -> np.ndarray:
    """yhat [T], written out row by row."""
    k, m = phi[:2]
    beta, delta = np.split(phi[2:], [data.x.shape[1]])
    values = []
    for t, x in zip(data.t, data.x, strict=True):
        trend = k * t + m
        for c, d in zip(prior.changepoints, delta, strict=True):
            trend += d * (t - c) if t >= c else 0.0
        scaling = sum(b * v for b, v, many in zip(beta, x, prior.multiplicative, strict=True) if many)
        added = sum(b * v for b, v, many in zip(beta, x, prior.multiplicative, strict=True) if not many)
        values.append(trend * (1 + scaling) + added)
    return np.array(values)


def _jacobian(data: Data, prior: Prior, phi: np.ndarray) -> np.ndarray:
    """[T, n] by differences: yhat is linear along each axis, so that they are exact."""
    columns = []
    for i in range(len(phi)):
        ahead, behind = phi.copy(), phi.copy()
        ahead[i] += 0.5
        behind[i] -= 0.5
        columns.append(_fitted(data, prior, ahead) - _fitted(data, prior, behind))
    return np.column_stack(columns)


@pytest.fixture(scope="session")
def made() -> SimpleNamespace:
    """`window(seed)`, `prior(seed, data, kind)`, and the dense `fitted(...)` and `jacobian(...)`."""
    return SimpleNamespace(window=_window, prior=_prior, fitted=_fitted, jacobian=_jacobian)
