"""One airport's forecast as an MLflow model from code: its candidates, weighted by a rule.

What was published is the forecast by the rule in the version's tag `rule`: `predict(frame, params={"rule": ..})`.

Its data is the model configuration: what `paxcast.core.airport_model` keeps, and `weights` by rule. Classical
candidates are fitted anew from the history, so Paxcast must be installed where it predicts.
"""

import mlflow
import pandas as pd


class AirportModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Input: column `ds`, periods after the last one it has seen. Output: `ds`, `yhat`. Parameter: `rule`."""

    def predict(self, context, model_input: pd.DataFrame, params=None):  # type: ignore[no-untyped-def]
        try:
            from paxcast.core import airport_model, calendar
        except ImportError as err:
            raise ImportError(
                "this model refits its candidates with Paxcast: install it where the model is served"
            ) from err
        values = context.model_config
        rule = (params or {}).get("rule") or values["rule"]
        if rule not in values["weights"]:
            raise ValueError(f"rule: '{rule}' is not one of {', '.join(sorted(values['weights']))}")
        ds = pd.DatetimeIndex(pd.to_datetime(model_input["ds"]))
        last = calendar.shift(pd.DatetimeIndex([values["first_ds"]]), len(values["y"]) - 1, values["frequency"])[0]
        ahead = calendar.full_grid(last, ds.max(), values["frequency"])[1:]
        unknown = ds.difference(ahead)
        if len(unknown):
            raise ValueError(
                f"ds: {unknown[0]:%Y-%m-%d} is no period after {last:%Y-%m-%d}, the last this model has seen"
            )
        yhat = pd.Series(airport_model.forecast(values, values["weights"][rule], len(ahead)), index=ahead)
        return pd.DataFrame({"ds": ds, "yhat": yhat.reindex(ds).to_numpy()})


mlflow.models.set_model(AirportModel())
