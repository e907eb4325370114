"""The release as one model: registered in a real MLflow on sqlite, asked in process, over HTTP's app and by Spark."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

pytestmark = pytest.mark.slow

WEEKS = pd.date_range("2026-11-23", periods=4, freq="W-MON")
NUMBERS = ["yhat", "lo80", "hi80", "lo95", "hi95"]


def rows_of(airport: str, version: int, as_of: str, ds: pd.DatetimeIndex, seed: int) -> pd.DataFrame:
    yhat = np.random.default_rng(seed).gamma(2, 5000, len(ds))
    about = {"airport": airport, "model": f"small.{airport}", "version": version, "as_of": as_of, "ds": ds}
    numbers = {name: yhat * factor for name, factor in zip(NUMBERS, (1, 0.9, 1.1, 0.8, 1.2), strict=True)}
    return pd.DataFrame({**about, **numbers, "confidence": "high"})


def fleet() -> pd.DataFrame:
    """Three airports, one of them carried on from the release of a week before; in no order."""
    made = [
        rows_of("BBB", 7, "2026-11-22", WEEKS, 1),
        rows_of("NAN", 2, "2026-11-15", WEEKS.shift(-1), 2),
        rows_of("AAA", 3, "2026-11-22", WEEKS, 3),
    ]
    return pd.concat(made, ignore_index=True).sample(frac=1, random_state=5, ignore_index=True)


@dataclass(frozen=True)
class Release:
    """What was registered, where its files are, and the model as MLflow loads it."""

    rows: pd.DataFrame
    folder: Path
    model: Any

    def ask(self, *pairs: tuple[str, str], **params: str) -> pd.DataFrame:
        asked = pd.DataFrame(list(pairs), columns=["airport", "ds"]).assign(ds=lambda f: pd.to_datetime(f["ds"]))
        return self.model.predict(asked, params=params or None)

    def stored(self, airport: str, ds: Any) -> dict[str, Any]:
        """The stored row, found by looking at every one."""
        (found,) = [r for r in self.rows.to_dict("records") if (r["airport"], r["ds"]) == (airport, pd.Timestamp(ds))]
        return found


def registered(folder: Path, rows: pd.DataFrame) -> Path:
    """Register a release; the folder that MLflow keeps of it."""
    from paxcast.adapters.mlflow_registry import Registry

    registry = Registry(f"sqlite:///{folder}/mlflow.db", "paxcast-small")
    rows.to_parquet(folder / "forecasts.parquet", index=False)
    parent = registry.parent_run("key", {})
    version = registry.register_release("small.release", folder / "forecasts.parquet", parent, "one", {})
    assert registry.register_release("small.release", folder / "none", parent, "one", {}) == version
    mlflow.set_tracking_uri(registry.tracking_uri)
    mlflow.set_registry_uri(registry.tracking_uri)
    return Path(mlflow.artifacts.download_artifacts(f"models:/small.release/{version}"))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    rows = fleet()
    folder = registered(tmp_path_factory.mktemp("release"), rows)
    return Release(rows, folder, mlflow.pyfunc.load_model(str(folder)))


def refused(ask: Callable[[], object]) -> str:
    """What a request is told that the scoring server answers with status 400."""
    with pytest.raises(MlflowException) as told:
        ask()
    assert (told.value.error_code, told.value.get_http_status_code()) == ("INVALID_PARAMETER_VALUE", 400)
    return str(told.value.message)


# --- answers


def test_rows_are_answered_in_the_order_asked_with_the_numbers_that_were_stored(release: Release) -> None:
    rng = np.random.default_rng(7)
    for count in (1, 2, 50):
        chosen = release.rows.iloc[rng.integers(0, len(release.rows), count)]
        asked = chosen[["airport", "ds"]]
        answer = release.model.predict(asked)
        assert answer.to_dict("records") == [release.stored(*pair) for pair in asked.itertuples(index=False)]
        assert answer.index.tolist() == list(range(count))


def test_the_answer_has_the_columns_and_types_that_the_signature_names(release: Release) -> None:
    schema = release.model.metadata.get_output_schema()
    answer = release.ask(("AAA", "2026-11-23"))
    assert answer.columns.tolist() == schema.input_names()
    assert [str(kind) for kind in answer.dtypes] == [
        str(np.dtype(kind)).replace("[us]", "[ns]") for kind in schema.pandas_types()
    ]


def test_without_a_column_ds_each_airport_is_answered_for_all_its_periods(release: Release) -> None:
    answer = release.model.predict(pd.DataFrame({"airport": ["NAN", "AAA", "NAN"]}))
    assert answer["airport"].tolist() == ["NAN"] * 4 + ["AAA"] * 4 + ["NAN"] * 4
    assert answer["ds"].tolist() == [*WEEKS.shift(-1), *WEEKS, *WEEKS.shift(-1)]
    for row in answer.to_dict("records"):
        assert row == release.stored(row["airport"], row["ds"])


def test_nothing_asked_is_nothing_answered(release: Release) -> None:
    empty = pd.DataFrame({"airport": pd.Series([], dtype=object), "ds": pd.DatetimeIndex([])})
    assert len(release.model.predict(empty)) == len(release.model.predict(empty[["airport"]])) == 0


def test_periods_may_be_text(release: Release) -> None:
    answer = release.model.predict(pd.DataFrame({"airport": ["AAA"], "ds": ["2026-11-30"]}))
    assert answer.to_dict("records") == [release.stored("AAA", "2026-11-30")]


def test_asked_for_nulls_what_the_release_does_not_hold_is_null_and_all_else_as_stored(release: Release) -> None:
    pairs = ("AAA", "2026-11-23"), ("XXX", "2026-11-23"), ("NAN", "2026-12-14"), ("BBB", "2026-12-14")
    answer = release.ask(*pairs, missing="null").to_dict("records")
    assert [answer[0], answer[3]] == [release.stored("AAA", "2026-11-23"), release.stored("BBB", "2026-12-14")]
    for row, (airport, ds) in zip(answer[1:3], pairs[1:3], strict=True):
        assert (row.pop("airport"), row.pop("ds")) == (airport, pd.Timestamp(ds))
        assert set(row.values()) == {None}
    whole = release.model.predict(pd.DataFrame({"airport": ["XXX", "AAA"]}), params={"missing": "null"})
    assert whole["airport"].tolist() == ["XXX", *["AAA"] * 4]
    assert whole.to_dict("records")[1:] == [release.stored("AAA", ds) for ds in WEEKS]
    assert whole.loc[0].drop("airport").isna().all()


# --- refusals


def test_unknown_airports_are_named_up_to_five(release: Release) -> None:
    one = refused(lambda: release.ask(("AAA", "2026-11-23"), ("XXX", "2026-11-23")))
    assert "not in this release of 3 airports: XXX. `paxcast status`" in one
    codes = pd.DataFrame({"airport": ["Z9", *(f"X{i}" for i in range(8)), "Z9", "AAA"]})
    assert "airports: X0, X1, X2, X3, X4 and 4 more." in refused(lambda: release.model.predict(codes))


def test_a_period_that_an_airport_has_no_forecast_for_is_told_with_those_that_it_has(release: Release) -> None:
    said = refused(lambda: release.ask(("AAA", "2026-12-14"), ("NAN", "2026-12-14"), ("BBB", "2031-01-06")))
    assert "NAN has no forecast for 2026-12-14; it has 4 periods from 2026-11-16 to 2026-12-07" in said
    assert "forecast as of 2026-11-15; so it is with 1 more rows." in said
    assert "AAA has no forecast for 2026-11-23 06:00:00;" in refused(lambda: release.ask(("AAA", "2026-11-23 06:00")))


def test_a_row_without_a_period_among_others_is_told_by_its_number(release: Release) -> None:
    asked = pd.DataFrame({"airport": ["AAA", "BBB"], "ds": [WEEKS[0], pd.NaT]})
    for params in (None, {"missing": "null"}):
        assert "ds: row 1 has none" in refused(lambda p=params: release.model.predict(asked, params=p))


def test_another_word_for_missing_is_refused(release: Release) -> None:
    assert "missing: 'drop' is neither 'error' nor 'null'" in refused(lambda: release.ask(missing="drop"))


def test_two_forecasts_for_one_period_are_refused_when_they_are_read(tmp_path: Path) -> None:
    rows = fleet()
    model = mlflow.pyfunc.load_model(str(registered(tmp_path, pd.concat([rows, rows.tail(1)]))))
    with pytest.raises(MlflowException, match="two forecasts for one period"):
        model.predict(rows[["airport", "ds"]])


# --- loading


def test_a_damaged_file_is_told_at_load_and_the_rows_are_read_at_the_first_request(tmp_path: Path) -> None:
    folder = registered(tmp_path, fleet())
    model = mlflow.pyfunc.load_model(str(folder))
    kept = folder / "artifacts" / "forecasts.parquet"
    elsewhere = fleet().assign(yhat=1.0)
    elsewhere.to_parquet(kept, index=False)
    asked = elsewhere[["airport", "ds"]]
    assert set(model.predict(asked)["yhat"]) == {1.0}
    fleet().to_parquet(kept, index=False)
    assert set(model.predict(asked)["yhat"]) == {1.0}
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(Exception, match="Parquet"):
        mlflow.pyfunc.load_model(str(folder))


def test_it_names_what_it_needs_and_holds_one_file_of_data(release: Release) -> None:
    needed = (release.folder / "requirements.txt").read_text().split()
    assert [line.split("==")[0] for line in needed] == ["mlflow", "pandas", "pyarrow"]
    assert all("==" in line for line in needed)
    assert [path.name for path in (release.folder / "artifacts").iterdir()] == ["forecasts.parquet"]
    inputs = release.model.metadata.get_input_schema()
    assert (inputs.required_input_names(), inputs.optional_input_names()) == (["airport"], ["ds"])


ALONE = """
import json, sys
sys.modules["paxcast"] = None  # importing it fails from here on
import mlflow, pandas as pd
answer = mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.DataFrame({"airport": ["BBB"]}))
print(json.dumps(answer["yhat"].tolist()))
"""


def test_it_answers_where_paxcast_cannot_be_imported(release: Release) -> None:
    found = subprocess.run([sys.executable, "-c", ALONE, str(release.folder)], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout.splitlines()[-1]) == [release.stored("BBB", ds)["yhat"] for ds in WEEKS]


# --- the scoring server's own application, and Spark


def post(release: Release, content: Any) -> tuple[int, Any]:
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    with TestClient(scoring_server.init(release.model)) as client:
        answer = client.post("/invocations", json=content)
        return answer.status_code, answer.json()


def test_over_http_numbers_come_back_to_the_last_digit(release: Release) -> None:
    records = [{"airport": "BBB", "ds": "2026-12-14"}, {"airport": "AAA", "ds": "2026-11-23"}]
    status, told = post(release, {"dataframe_records": records})
    assert status == 200
    for row, asked in zip(told["predictions"], records, strict=True):
        expected = release.stored(**asked)
        assert {**row, "ds": pd.Timestamp(row["ds"])} == expected
    status, told = post(release, {"dataframe_split": {"columns": ["airport"], "data": [["NAN"]]}})
    assert [row["ds"] for row in told["predictions"]] == [f"{ds:%Y-%m-%dT00:00:00}" for ds in WEEKS.shift(-1)]


def test_over_http_what_cannot_be_answered_has_status_400_and_says_why(release: Release) -> None:
    asked = [
        ({"airport": "XXX", "ds": "2026-11-23"}, "not in this release of 3 airports: XXX"),
        ({"airport": "AAA", "ds": "2031-01-06"}, "AAA has no forecast for 2031-01-06"),
        ({"airport": "AAA", "ds": "2026-13-01"}, "2026-13-01"),
        ({"airport": "AAA", "ds": "2026-11-23T00:00:00Z"}, "timezone-naive"),
        ({"ds": "2026-11-23"}, "missing inputs ['airport']"),
    ]
    for record, why in asked:
        status, told = post(release, {"dataframe_records": [record]})
        assert status == 400, record
        assert why in told["message"]


def test_over_http_nulls_are_json(release: Release) -> None:
    records = [{"airport": "XXX", "ds": "2026-11-23"}, {"airport": "AAA", "ds": "2026-11-23"}]
    status, told = post(release, {"dataframe_records": records, "params": {"missing": "null"}})
    assert status == 200
    assert told["predictions"][0]["yhat"] is None
    assert told["predictions"][1]["version"] == 3


def test_spark_answers_beside_each_row_what_the_result_type_names(release: Release, spark_session: Any) -> None:
    told = "airport string, model string, version long, yhat double, hi95 double"  # MLflow takes no times there
    udf = mlflow.pyfunc.spark_udf(spark_session, str(release.folder), told, env_manager="local")
    frame = spark_session.createDataFrame(release.rows[["airport", "ds"]])
    found = [
        row.asDict() for row in frame.select("ds", udf("airport", "ds").alias("told")).select("ds", "told.*").collect()
    ]
    assert len(found) == len(release.rows)
    for row in found:
        stored = release.stored(row["airport"], row["ds"])
        assert row == {name: stored[name] for name in row}
