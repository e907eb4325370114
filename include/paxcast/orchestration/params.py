"""What a person may ask of `retrain_{fleet}`: one model gives the trigger form, its validation, and the request."""

from datetime import date
from typing import Any

from airflow.sdk import Param
from pydantic import BaseModel, ConfigDict, Field

AIRPORT = r"^[A-Z0-9_-]{2,8}$"


class RetrainParams(BaseModel):
    """The trigger form of a retraining. Everything is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date | None = Field(
        None, description="The last day that counts as known. Empty: the end of the run's data interval, or now."
    )
    airports: list[str] | None = Field(
        None,
        description="Some airports only, one code a line. Empty: the whole fleet.",
        json_schema_extra={"items": {"type": "string", "pattern": AIRPORT}},
    )
    max_evals: int | None = Field(
        None, ge=1, le=1000, description="Evaluations of the search for each airport. Empty: as configured."
    )
    force: bool = Field(False, description="Refit even airports that are done for this date and configuration.")
    rerun_failed: bool = Field(
        False, description="Only airports that failed before; without a date, those of the newest run that has any."
    )
    dry_run: bool = Field(False, description="Say who would be forecast, and do nothing.")


def airflow_params(model: type[BaseModel]) -> dict[str, Param]:
    """The model's fields as Airflow params, with their types, limits and descriptions."""
    schema = model.model_json_schema()["properties"]
    return {name: _param(name, schema[name]) for name in model.model_fields}


def _param(name: str, entry: dict[str, Any]) -> Param:
    """One field. `anyOf [X, null]` becomes the form that Airflow draws: type [X, null] with X's own limits."""
    variants = [v for v in entry.get("anyOf", [entry]) if v.get("type") != "null"]
    limits = {k: v for k, v in {**variants[0], **entry}.items() if k not in ("anyOf", "default", "title", "type")}
    kind = variants[0]["type"]
    nullable = "anyOf" in entry
    return Param(entry.get("default"), type=[kind, "null"] if nullable else kind, title=name, **limits)
