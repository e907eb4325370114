"""Prophet's posterior mode, exactly and in process. `fit(model, history)` is the way in.

Prophet's Stan model with linear or flat growth, on Prophet's own scaled data (t in 0..1), constants dropped:

    lp   = - k^2/50 - m^2/50 - sum|delta| / tau - 2 sigma^2 - sum beta^2 / (2 s^2) - T log sigma - SSR / (2 sigma^2)
    yhat = g (1 + X_mul beta) + X_add beta,   g = (k + A delta) t + m - A (c * delta),   A = t >= c

T rows, K features X with prior scales s, S changepoints c with prior scale tau. How it is maximised:

1. Between two changepoints the trend is a straight line in t. So all that a Gauss-Newton step needs are the moments
   M[s, p] = sum over segment s of t^p w w', w = (1, x, y), p = 0, 1, 2: one pass over the data, after which the cost
   of a step does not depend on T, and which all prior scales and modes share.
2. A step has a ridge block (k, m, beta), eliminated by Cholesky, and a lasso in delta, solved exactly by active sets.
3. sigma has a closed form, given SSR: sigma^2 = 2 SSR / (T + sqrt(T^2 + 16 SSR)).
4. Steps are taken until one gains less than 1e-8 nats. Additive models are linear: their Gram matrix stays the same.

What it does not cover is left to CmdStan, and `fit_and_tell` says why: logistic growth, MCMC, and windows with no more
rows than parameters. A constant series takes Prophet's own shortcut.

    problem   what Stan is given, the log posterior, its mode        segments, kernels, lasso  the arithmetic, compiled
    backend   the mode behind Prophet's backend interface            design           many fits on one history
"""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from prophet import Prophet

from paxcast.core.fitted_by import EXACT, SHORTCUT
from paxcast.core.prophet_map import kernels, lasso, segments
from paxcast.core.prophet_map.backend import MapBackend
from paxcast.core.prophet_map.problem import Data, Prior, maximum, moments


def fit(model: Prophet, history: pd.DataFrame) -> Prophet:
    """The same model, fitted on history (columns as Prophet wants them: ds, y, regressors, conditions).

    A Prophet like any other afterwards: its own backend is back in place and `fit_kwargs` is empty. Raises what
    `Prophet.fit` raises: ValueError for a history it cannot take, Exception for a model that has been fitted.
    """
    return fit_and_tell(model, history)[0]


def fit_and_tell(model: Prophet, history: pd.DataFrame, **for_cmdstan: Any) -> tuple[Prophet, str]:
    """`fit`, and what fitted it: the exact engine, Prophet's shortcut, or CmdStan with the reason.

    for_cmdstan: what CmdStan's optimiser is given where it is needed (seed, timeout, algorithm).
    """
    own = model.stan_backend
    backend = MapBackend(own)
    model.stan_backend = backend
    try:
        model.fit(history, **for_cmdstan)
    finally:
        model.stan_backend = own
        backend.cleanup()
    model.fit_kwargs = {}  # else cross_validation on the fitted model would use them again
    constant = bool(model.history["y"].min() == model.history["y"].max())
    return model, told(backend.reason, constant=constant)


def told(uncovered: str, *, constant: bool) -> str:
    """What fits a window: `uncovered` is the reason for CmdStan, if there is one."""
    if uncovered:
        return f"CmdStan: {uncovered}"
    return SHORTCUT if constant else EXACT


@cache
def warm() -> None:
    """Load the compiled arithmetic into this process, or compile it (10 to 20 s), which set-up does once."""
    data = Data(t=np.linspace(0.0, 1.0, 9), x=np.ones((9, 1)), y=np.arange(9.0))
    prior = Prior(changepoints=np.array([0.5]), tau=0.05, scales=np.ones(1), multiplicative=np.array([True]))
    maximum(moments(data), prior)


def compiled_here() -> bool:
    """Whether this process had to compile some of the arithmetic: what set-up compiles was not there, or not for it."""
    made = [vars(module).values() for module in (segments, lasso, kernels)]
    return any(f.stats.cache_misses for functions in made for f in functions if hasattr(f, "stats"))
