"""The exact mode behind Prophet's own backend interface: Prophet prepares the data and reads the parameters as ever."""

from typing import Any

import numpy as np
from prophet.models import IStanBackend

from paxcast.core.prophet_map.problem import from_stan, maximum, moments, uncovered, unusable


class MapBackend(IStanBackend):  # type: ignore[misc]
    """Fits in process what the exact engine covers, and leaves the rest to `other`, the model's own backend.

    `reason` says why the last fit was left to it; empty if it was not.
    """

    def __init__(self, other: IStanBackend | None) -> None:
        super().__init__()
        self.other = other
        self.reason = ""

    @staticmethod
    def get_type() -> str:
        """A name that Prophet knows, for the models of regressors that it fits by itself."""
        return "CMDSTANPY"

    def load_model(self) -> None:
        """Nothing to load."""

    def cleanup(self) -> None:
        if self.other is not None:
            self.other.cleanup()

    def fit(self, stan_init: dict[str, Any], stan_data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """k, m, sigma_obs [1, 1], delta [1, S], beta [1, K]: the mode, whatever the start `stan_init`."""
        data, prior = from_stan(stan_data)
        self.reason = unusable(data) or uncovered(len(data.y), prior, stan_data["trend_indicator"])
        if self.reason:
            return self._left_to_other().fit(stan_init, stan_data, **kwargs)  # type: ignore[no-any-return]
        mode = maximum(moments(data), prior)
        values = {"k": mode.k, "m": mode.m, "delta": mode.delta, "sigma_obs": mode.sigma, "beta": mode.beta}
        return {name: np.asarray(value, dtype=np.float64).reshape(1, -1) for name, value in values.items()}

    def sampling(self, stan_init: dict[str, Any], stan_data: dict[str, Any], samples: int, **kwargs: Any) -> Any:
        """Full posterior sampling is left to Stan."""
        self.reason = "mcmc_samples: posterior samples, not the mode"
        return self._left_to_other().sampling(stan_init, stan_data, samples, **kwargs)

    def _left_to_other(self) -> IStanBackend:
        if self.other is None:
            raise RuntimeError(f"the exact engine does not cover this model ({self.reason}), and CmdStan is not there")
        return self.other
