"""A release of the whole fleet as one MLflow model from code: it routes each row to its airport's forecast.

Its data is one Parquet file, `forecasts`: airport, model, version, as_of, ds, yhat, lo80, hi80, lo95, hi95. One load
serves every airport; one alias moves the fleet.
"""

import mlflow
import pandas as pd


class ReleaseModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Input: columns `airport`, `ds`. Output: one row for each, with the forecast, its intervals and its version."""

    def load_context(self, context):  # type: ignore[no-untyped-def]
        self.forecasts = pd.read_parquet(context.artifacts["forecasts"])

    def predict(self, context, model_input: pd.DataFrame, params=None):  # type: ignore[no-untyped-def]
        asked = pd.DataFrame({"airport": model_input["airport"], "ds": pd.to_datetime(model_input["ds"])})
        unknown = sorted(set(asked["airport"]) - set(self.forecasts["airport"]))
        if unknown:
            raise ValueError(f"airports that are not in this release: {', '.join(unknown)}")
        return asked.merge(self.forecasts, on=["airport", "ds"], how="left")


mlflow.models.set_model(ReleaseModel())
