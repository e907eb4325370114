"""One airport's forecast as an MLflow model from code: its candidates, weighted by a rule.

What was published is the forecast by the rule in the version's tag `rule`: `predict(frame, params={"rule": ..})`.

Its data is the model configuration: what `paxcast.core.airport_model` keeps, and `weights` by rule. As far as the
published forecast reaches it needs nothing else. Beyond, the candidates are fitted anew, and Paxcast must be installed.
"""

import mlflow
import pandas as pd

DIGITS = 10  # of the forecasts that the store keeps


class AirportModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Input: column `ds`, periods after the last one it has seen. Output: `ds`, `yhat`. Parameter: `rule`."""

    def predict(self, context, model_input: pd.DataFrame, params=None):  # type: ignore[no-untyped-def]
        values = context.model_config
        rule = (params or {}).get("rule") or values["rule"]
        if rule not in values["weights"]:
            raise ValueError(f"rule: '{rule}' is not one of {', '.join(sorted(values['weights']))}")
        weights, ds = values["weights"][rule], pd.DatetimeIndex(pd.to_datetime(model_input["ds"]))
        yhat = _kept(values, weights)
        if not ds.isin(yhat.index).all():
            yhat = _fitted_anew(values, weights, ds)
        return pd.DataFrame({"ds": ds, "yhat": yhat.reindex(ds).to_numpy()})


def _kept(values, weights) -> "pd.Series[float]":  # type: ignore[no-untyped-def]
    """The published forecast; nothing of a model that was registered before forecasts were kept."""
    total = sum(
        weight * pd.Series(values["members"][name].get("forecast", []), dtype="float64")
        for name, weight in sorted(weights.items())
    )
    rounded = [float(f"{value:.{DIGITS}g}") for value in total]
    return pd.Series(rounded, index=pd.DatetimeIndex(values.get("ds", [])), dtype="float64")


def _fitted_anew(values, weights, ds: pd.DatetimeIndex) -> "pd.Series[float]":  # type: ignore[no-untyped-def]
    try:
        from paxcast.core import airport_model, calendar
    except ImportError as err:
        until = values["ds"][-1] if values.get("ds") else "nothing"
        raise ImportError(
            f"ds: the forecast that is kept reaches to {until}; for {ds.max():%Y-%m-%d} candidates are fitted anew, "
            "and Paxcast must be installed where the model is served"
        ) from err
    last = calendar.shift(pd.DatetimeIndex([values["first_ds"]]), len(values["y"]) - 1, values["frequency"])[0]
    ahead = calendar.full_grid(last, ds.max(), values["frequency"])[1:]
    unknown = ds.difference(ahead)
    if len(unknown):
        raise ValueError(f"ds: {unknown[0]:%Y-%m-%d} is no period after {last:%Y-%m-%d}, the last this model has seen")
    return pd.Series(airport_model.forecast(values, weights, len(ahead)), index=ahead)


mlflow.models.set_model(AirportModel())
