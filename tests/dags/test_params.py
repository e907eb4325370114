"""The trigger form of a retraining: one model, its JSON schema, and what a trigger is told."""

from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError
from pydantic import ValidationError

from paxcast.orchestration.params import RetrainParams, airflow_params

FORM = {
    "as_of": {"default": None, "type": ["string", "null"], "format": "date"},
    "airports": {
        "default": None,
        "type": ["array", "null"],
        "items": {"type": "string", "pattern": "^[A-Z0-9_-]{2,8}$"},
        "minItems": 1,
    },
    "max_evals": {"default": None, "type": ["integer", "null"], "minimum": 1, "maximum": 1000},
    "force": {"default": False, "type": "boolean"},
    "rerun_failed": {"default": False, "type": "boolean"},
    "drifted": {"default": False, "type": "boolean"},
    "dry_run": {"default": False, "type": "boolean"},
    "rollback": {"default": None, "type": ["string", "null"], "minLength": 1},
}
GOOD: list[dict[str, Any]] = [
    {},
    {"as_of": "2013-12-31", "airports": ["ATL", "EGLL", "X-1", "A_B"]},
    {"as_of": None, "airports": None, "max_evals": None},
    {"max_evals": 1, "force": True, "rerun_failed": True, "dry_run": True},
    {"max_evals": 1000},
    {"drifted": True, "as_of": "2013-12-31"},
    {"rollback": "previous", "airports": ["ATL"]},
]
BAD: list[tuple[str, Any]] = [
    ("as_of", "yesterday"),
    ("as_of", "2013-02-30"),
    ("as_of", "31/12/2013"),
    ("as_of", 20131231),
    ("airports", []),
    ("airports", ["atl"]),
    ("airports", ["ATL", "A"]),
    ("airports", ["ATLANTICX"]),
    ("airports", ["ATL;DROP"]),
    ("airports", "ATL"),
    ("max_evals", 0),
    ("max_evals", 1001),
    ("max_evals", 2.5),
    ("max_evals", "many"),
    ("force", "yes"),
    ("rerun_failed", 1),
    ("drifted", "AAA"),
    ("dry_run", None),
    ("rollback", ""),
    ("rollback", True),
]


@pytest.fixture(scope="module")
def answered(new_airflow: Any) -> dict[str, Any]:
    """The demo's retraining, and what it says to every good and every bad configuration."""
    confs = [*GOOD, *({name: value} for name, value in BAD)]
    dag: dict[str, Any] = new_airflow().dags(*confs)["dags"]["retrain_demo"]
    return dag


def test_the_form_has_exactly_these_fields_types_and_limits(answered: dict[str, Any]) -> None:
    assert answered["params"] == {name: {"title": name, **field} for name, field in FORM.items()}


def test_the_form_and_the_model_have_the_same_names() -> None:
    assert list(airflow_params(RetrainParams)) == list(RetrainParams.model_fields) == list(FORM)


def test_every_field_of_the_form_is_described(answered: dict[str, Any]) -> None:
    assert [name for name, text in answered["descriptions"].items() if not text] == []


def test_the_defaults_are_valid() -> None:
    defaults = {name: param.resolve() for name, param in airflow_params(RetrainParams).items()}
    assert RetrainParams.model_validate(defaults) == RetrainParams()


def test_a_trigger_with_good_values_is_taken(answered: dict[str, Any]) -> None:
    assert answered["answers"][: len(GOOD)] == [""] * len(GOOD)


@pytest.mark.parametrize("conf", GOOD, ids=str)
def test_what_the_form_takes_the_model_takes(conf: dict[str, Any]) -> None:
    assert RetrainParams.model_validate(conf)


def test_a_trigger_with_a_bad_value_is_refused_naming_the_field(answered: dict[str, Any]) -> None:
    answers = dict(zip([str(bad) for bad in BAD], answered["answers"][len(GOOD) :], strict=True))
    for (name, _), (bad, told) in zip(BAD, answers.items(), strict=True):
        assert name in told, f"{bad}: {told!r}"


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
def test_a_bad_value_does_not_resolve(name: str, value: Any) -> None:
    with pytest.raises(ParamValidationError):
        airflow_params(RetrainParams)[name].resolve(value)


def test_a_name_that_is_not_on_the_form_is_refused_by_the_model() -> None:
    with pytest.raises(ValidationError, match="as_off"):
        RetrainParams.model_validate({"as_off": "2013-12-31"})
