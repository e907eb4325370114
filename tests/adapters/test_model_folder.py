"""The folder of an airport's model: what MLflow itself loads from it, what it needs, and what two of them share."""

import json
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from paxcast.adapters.mlflow_registry import model_folder
from paxcast.adapters.mlflow_registry.model_folder import MLMODEL, MODEL_CODE, SIGNATURE, Ids, pins

DS = pd.date_range("2021-01-01", periods=4, freq="MS")
PROPHET = {"best": {"prophet": 1.0}}
RULES = {"best": {"one": 1.0}, "mean": {"one": 0.25, "two": 0.75}}
MEMBERS = {"one": [10.0, 20.0, 30.0, 40.0], "two": [1.5, 2.5, 1 / 3, 4.5]}
CREATED = "utc_time_created"


def ids(airport: str = "AAA") -> Ids:
    return Ids(f"m-{airport}", f"/nowhere/{airport}/artifacts", f"run-{airport}")


def kept(members: dict[str, list[float]], airport: str = "AAA", **others: Any) -> dict[str, Any]:
    """What the registry keeps of an airport whose candidates forecast this, [H] traffic each; nothing to fit anew."""
    made = {name: {"parameters": {}, "fitted": None, "forecast": values} for name, values in members.items()}
    known = {"airport": airport, "frequency": "MS", "first_ds": "2020-01-01", "y": [1.0] * 12, "calendar": None}
    return {**known, "ds": [str(ds.date()) for ds in DS], "members": made, **others}


def written(
    folder: Path, values: dict[str, Any], weights: dict[str, Any] = RULES, rule: str = "mean", of: str = "AAA"
) -> Path:
    folder.mkdir()
    model_folder.write(folder, ids(of), json.dumps(values), weights, rule)
    return folder


def about(folder: Path) -> dict[str, Any]:
    """MLflow's own file of a folder, without the moment that it was written."""
    values: dict[str, Any] = yaml.safe_load((folder / MLMODEL).read_text(encoding="utf-8"))
    del values[CREATED]
    return values


def files(folder: Path) -> dict[str, bytes]:
    """Every other file, to the byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MLMODEL}


def asked(folder: Path, ds: Any = DS, **params: str) -> list[float]:
    """What plain MLflow forecasts from a folder."""
    model = mlflow.pyfunc.load_model(str(folder))
    answer: list[float] = model.predict(pd.DataFrame({"ds": ds}), params=params or None)["yhat"].tolist()
    return answer


@pytest.fixture(scope="module")
def prophet() -> Any:
    """A Prophet of three years of months."""
    from prophet import Prophet

    months = pd.date_range("2018-01-01", periods=36, freq="MS")
    history = pd.DataFrame({"ds": months, "y": 100 + np.arange(36.0)})
    plain = {f"{season}_seasonality": False for season in ("yearly", "weekly", "daily")}
    return Prophet(n_changepoints=2, **plain).fit(history)


@pytest.fixture(scope="module")
def of_prophet(prophet: Any) -> dict[str, Any]:
    """What the registry keeps of an airport that had no candidate but Prophet."""
    from prophet.serialize import model_to_json

    values = kept({"prophet": MEMBERS["one"]})
    values["members"]["prophet"]["fitted"] = model_to_json(prophet)
    return values


# --- what plain MLflow makes of it


def test_plain_mlflow_loads_it_and_weighs_what_the_candidates_forecast(tmp_path: Path) -> None:
    folder = written(tmp_path / "model", kept(MEMBERS))
    mean = [0.25 * one + 0.75 * two for one, two in zip(MEMBERS["one"], MEMBERS["two"], strict=True)]
    assert asked(folder) == [float(f"{value:.10g}") for value in mean]
    assert asked(folder, DS[[2, 0]], rule="best") == [30.0, 10.0]


def test_no_module_of_paxcast_is_needed_as_far_as_the_forecast_reaches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "model", kept(MEMBERS))
    for name in [name for name in sys.modules if name.partition(".")[0] == "paxcast"]:
        monkeypatch.setitem(sys.modules, name, None)  # importing it fails from here on
    assert asked(folder, rule="best") == MEMBERS["one"]
    with pytest.raises(ImportError, match=r"kept reaches to 2021-04-01; for 2021-05-01 .* Paxcast must be installed"):
        asked(folder, pd.date_range("2021-01-01", periods=5, freq="MS"))


def test_it_is_what_mlflow_would_have_saved_but_for_ids_conda_and_the_size(tmp_path: Path) -> None:
    values = kept(MEMBERS)
    ours = written(tmp_path / "ours", values)
    with model_folder.quiet():
        mlflow.pyfunc.save_model(
            tmp_path / "theirs",
            python_model=str(MODEL_CODE / "airport.py"),
            model_config={**values, "weights": RULES, "rule": "mean"},
            signature=SIGNATURE,
            pip_requirements=pins("mlflow", "pandas"),
        )
    saved, expected = files(tmp_path / "theirs"), about(tmp_path / "theirs")
    del saved["conda.yaml"], expected["flavors"]["python_function"]["env"]["conda"]
    assert files(ours) == saved
    own = {"model_id": "m-AAA", "model_uuid": "m-AAA", "run_id": "run-AAA", "artifact_path": ids().location}
    size = {"model_size_bytes": about(ours)["model_size_bytes"]}
    assert about(ours) == {**expected, **own, **size}


@pytest.mark.parametrize(
    ("weights", "calendar", "flavours"),
    [
        (PROPHET, None, {"prophet", "python_function"}),
        ({**PROPHET, "mean": {"prophet": 1.0}}, None, {"prophet", "python_function"}),
        ({**PROPHET, "mean": {"prophet": 0.5, "one": 0.5}}, None, {"python_function"}),
        ({"best": {"one": 1.0}}, None, {"python_function"}),
        (PROPHET, {"days": {}}, {"python_function"}),  # alone it would forecast without the calendar
    ],
)
def test_only_prophet_alone_and_of_an_untouched_history_is_mlflows_own_flavour(
    tmp_path: Path, of_prophet: dict[str, Any], weights: Any, calendar: Any, flavours: set[str]
) -> None:
    folder = written(tmp_path / "model", {**of_prophet, "calendar": calendar}, weights, "best")
    assert set(about(folder)["flavors"]) == flavours


def test_prophet_alone_is_loaded_as_a_prophet_and_as_any_model_and_forecasts_what_it_did(
    tmp_path: Path, of_prophet: dict[str, Any], prophet: Any
) -> None:
    folder = written(tmp_path / "model", of_prophet, PROPHET, "best")
    expected = prophet.predict(pd.DataFrame({"ds": DS}))["yhat"].tolist()
    assert asked(folder) == expected
    loaded = mlflow.prophet.load_model(str(folder))
    assert type(loaded) is type(prophet)
    assert loaded.predict(pd.DataFrame({"ds": DS}))["yhat"].tolist() == expected


def test_either_kind_says_whose_it_is_and_takes_periods_and_a_rule(tmp_path: Path, of_prophet: dict[str, Any]) -> None:
    for name, values, weights in (("combined", kept(MEMBERS), RULES), ("prophet", of_prophet, PROPHET)):
        folder = written(tmp_path / name, values, weights, next(iter(weights)), of="BBB")
        says = mlflow.pyfunc.load_model(str(folder)).metadata
        assert (says.model_id, says.model_uuid, says.run_id) == ("m-BBB", "m-BBB", "run-BBB")
        assert says.artifact_path == "/nowhere/BBB/artifacts"
        assert (says.get_input_schema().input_names(), says.get_output_schema().input_names()) == (["ds"], ["yhat"])
        assert [param.name for param in says.get_params_schema()] == ["rule"]


# --- what it needs


def test_it_names_what_it_needs_at_the_versions_that_are_installed(tmp_path: Path, of_prophet: dict[str, Any]) -> None:
    from prophet import __version__ as prophet_version

    combined = written(tmp_path / "combined", kept(MEMBERS))
    alone = written(tmp_path / "alone", of_prophet, PROPHET, "best")
    needed = [(folder / "requirements.txt").read_text(encoding="utf-8").split() for folder in (combined, alone)]
    ours, pandas = f"mlflow=={mlflow.__version__}", f"pandas=={pd.__version__}"
    assert needed == [[ours, pandas], [ours, f"prophet=={prophet_version}", pandas]]
    for folder in (combined, alone):
        assert mlflow.pyfunc.get_model_dependencies(str(folder)) == str(folder / "requirements.txt")
        python = yaml.safe_load((folder / "python_env.yaml").read_text(encoding="utf-8"))["python"]
        assert python == ".".join(map(str, sys.version_info[:3]))


# --- the same again, of others, and at once


def test_the_same_airport_again_is_the_same_to_the_byte_but_for_the_moment_that_mlflow_notes(
    tmp_path: Path, of_prophet: dict[str, Any]
) -> None:
    for name, values, weights in (("combined", kept(MEMBERS), RULES), ("prophet", of_prophet, PROPHET)):
        rule = next(iter(weights))
        first, again = (written(tmp_path / f"{name}-{at}", values, weights, rule) for at in (1, 2))
        assert files(first) == files(again)
        both = [(folder / MLMODEL).read_text(encoding="utf-8").splitlines() for folder in (first, again)]
        assert {line.partition(":")[0] for a, b in zip(*both, strict=True) if a != b for line in (a, b)} <= {CREATED}


def test_of_another_airport_its_data_and_its_ids_differ_and_nothing_else(tmp_path: Path) -> None:
    before = json.dumps(model_folder.template()[0])
    one = written(tmp_path / "one", kept(MEMBERS))
    other = written(tmp_path / "other", kept({"one": [7.0] * 4}, "BBB"), {"best": {"one": 1.0}}, "best", of="BBB")
    assert files(one) == files(other)
    mine, its = about(one), about(other)
    assert mine["flavors"]["python_function"].pop("config") != its["flavors"]["python_function"].pop("config")
    assert {name for name in mine if mine[name] != its[name]} == {"model_id", "model_uuid", "run_id", "artifact_path"}
    assert asked(other) == [7.0] * 4
    assert json.dumps(model_folder.template()[0]) == before  # what is put in its place is not left there


def test_mlflow_saves_the_model_from_code_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_folder.template()
    monkeypatch.delattr(mlflow.pyfunc, "save_model")
    written(tmp_path / "one", kept(MEMBERS))
    written(tmp_path / "two", kept(MEMBERS, "BBB"), of="BBB")


def test_several_threads_write_what_one_writes_and_leave_warnings_and_mlflows_runs_alone(
    tmp_path: Path, of_prophet: dict[str, Any]
) -> None:
    codes = [f"A{number:02d}" for number in range(12)]

    def write(place: str, number: int) -> Path:
        folder, code = tmp_path / f"{place}-{codes[number]}", codes[number]
        if number % 4 == 0:
            return written(folder, of_prophet, PROPHET, "best", of=code)
        return written(folder, kept({"one": [float(number)] * 4, "two": [0.0] * 4}, code), RULES, "best", of=code)

    filters, active = list(warnings.filters), mlflow.active_run()
    alone = [write("alone", number) for number in range(12)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(write, ["together"] * 12, range(12)))
    for one, other in zip(alone, together, strict=True):
        assert (about(one), files(one)) == (about(other), files(other))
    assert [about(folder)["run_id"] for folder in together] == [f"run-{code}" for code in codes]
    assert warnings.filters == filters
    assert mlflow.active_run() is active is None


def test_warnings_are_muted_only_inside(recwarn: pytest.WarningsRecorder) -> None:
    with model_folder.quiet():
        warnings.warn("advice", stacklevel=1)
    assert [str(one.message) for one in recwarn] == []
    warnings.warn("a fault", stacklevel=1)
    assert [str(one.message) for one in recwarn] == ["a fault"]
