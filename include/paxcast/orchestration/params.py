"""What a person may ask of a DAG: one model each gives the trigger form, its validation, and the request."""

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import Param
from pydantic import BaseModel, ConfigDict, Field

from paxcast.core.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

AnyParams = TypeVar("AnyParams", bound=BaseModel)
AIRPORT = r"^[A-Z0-9_-]{2,8}$"


class RetrainParams(BaseModel):
    """The trigger form of a retraining. Everything is optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date | None = Field(
        None, description="The last day that counts as known. Empty: the end of the run's data interval, or now."
    )
    airports: list[str] | None = Field(
        None,
        min_length=1,
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
    drifted: bool = Field(
        False,
        description="Only airports that the newest drift check asks for. A run that drift triggers does so by itself.",
    )
    dry_run: bool = Field(False, description="Say who would be forecast, and do nothing.")
    rollback: str | None = Field(
        None,
        min_length=1,
        description="Retrain nothing, but go back: `previous`, or a release's id; with airports, of these alone.",
    )


class IngestParams(BaseModel):
    """The trigger form of an ingestion."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    known_at: date | None = Field(
        None,
        description="The day by whose end corrections in the data count as known: runs as of that day and later see "
        "them. Empty: now.",
    )


class DriftParams(BaseModel):
    """The trigger form of a drift check."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date | None = Field(
        None, description="The last day that counts as known. Empty: the end of the run's data interval, or now."
    )


def known_at(conf: Mapping[str, Any] | None, params: Mapping[str, Any]) -> "pd.Timestamp | None":
    """The instant from which an ingestion's corrections count as known; None: from their receipt on."""
    from paxcast.core.calendar import parse_as_of  # imports pandas: a DAG file must parse in a fraction of a second

    day = asked(IngestParams, conf, params).known_at
    return parse_as_of(day.isoformat()) if day else None


def asked(model: type[AnyParams], conf: Mapping[str, Any] | None, params: Mapping[str, Any]) -> AnyParams:
    """What a DAG run was asked for, by its trigger's `conf` and its merged `params`.

    Raises ConfigurationError for keys of `conf` that the model does not know: Airflow itself accepts them.
    """
    unknown = sorted(set(conf or {}) - set(model.model_fields))
    if unknown:
        known = ", ".join(model.model_fields)
        raise ConfigurationError(f"the trigger's configuration: unknown {', '.join(unknown)}; there are: {known}")
    return model.model_validate({name: params[name] for name in model.model_fields})


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
