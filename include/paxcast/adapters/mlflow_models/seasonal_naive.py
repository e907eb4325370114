"""Seasonal naive as an MLflow model from code: every date is forecast by the same place in the last season.

Its data is the model configuration: `last_season` (oldest first), `last_ds`, `frequency` (D, W or MS).
"""

import mlflow
import pandas as pd


class SeasonalNaiveModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Input: column `ds`, period starts after `last_ds`. Output: `ds`, `yhat`."""

    def predict(self, context, model_input: pd.DataFrame, params=None):  # type: ignore[no-untyped-def]
        config = context.model_config
        ds = pd.to_datetime(model_input["ds"])
        steps = _steps(ds, pd.Timestamp(config["last_ds"]), config["frequency"])  # type: ignore[no-untyped-call]
        if (steps < 1).any():
            raise ValueError(f"ds must be after {config['last_ds']}, the last period this model has seen")
        season = config["last_season"]
        return pd.DataFrame({"ds": ds, "yhat": [season[(step - 1) % len(season)] for step in steps]})


def _steps(ds, last, frequency):  # type: ignore[no-untyped-def]
    """How many periods each date is after the last one."""
    if frequency == "MS":
        return (ds.dt.year - last.year) * 12 + ds.dt.month - last.month
    return (ds - last).dt.days // (7 if frequency == "W" else 1)


mlflow.models.set_model(SeasonalNaiveModel())
