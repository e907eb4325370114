"""A Prophet that was fitted in process is logged to MLflow and loaded from it as any other is."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prophet import Prophet

pytestmark = pytest.mark.slow


def days(count: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    ds = pd.date_range("2019-01-01", periods=count, freq="D")
    wind = rng.normal(5, 2, count)
    y = (400 + np.arange(count)) * (1 + 0.2 * (ds.dayofweek >= 5)) + 5 * wind + rng.normal(0, 10, count)
    return pd.DataFrame({"ds": ds, "y": y, "wind": wind})


def plain() -> Prophet:
    return Prophet(yearly_seasonality=False, daily_seasonality=False, uncertainty_samples=0)


@pytest.fixture
def mlflow_here(tmp_path: Path) -> Iterator[object]:
    """MLflow with its database and its artifacts in a folder of this test; afterwards as it was."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = mlflow.create_experiment("fitted in process", artifact_location=(tmp_path / "artifacts").as_uri())
    try:
        with mlflow.start_run(experiment_id=experiment):
            yield mlflow
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.parametrize(
    "make",
    [plain, lambda: plain().add_country_holidays("US"), lambda: plain().add_regressor("wind", mode="multiplicative")],
    ids=["plain", "country holidays", "a regressor"],
)
def test_what_is_loaded_is_the_model_that_was_logged_and_forecasts_the_same(
    make: Callable[[], Prophet], mlflow_here: object
) -> None:
    from mlflow.models import infer_signature
    from prophet.serialize import model_to_json

    from paxcast.core import prophet_map
    from paxcast.core.fitted_by import EXACT

    history, future = days()[:-30], days()[-30:].drop(columns="y")
    fitted, by = prophet_map.fit_and_tell(make(), history)
    assert by == EXACT
    expected = fitted.predict(future)
    logged = mlflow_here.prophet.log_model(  # type: ignore[attr-defined]
        fitted, name="model", signature=infer_signature(future, expected), pip_requirements=["prophet"]
    )
    own = mlflow_here.prophet.load_model(logged.model_uri)  # type: ignore[attr-defined]
    assert isinstance(own, Prophet)
    pd.testing.assert_frame_equal(own.predict(future), expected)
    assert json.loads(model_to_json(own))["params"] == json.loads(model_to_json(fitted))["params"]
    anybodys = mlflow_here.pyfunc.load_model(logged.model_uri)  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(anybodys.predict(future), expected)
