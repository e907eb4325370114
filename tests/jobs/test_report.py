"""The report's page: what is charted, what is withheld from the charts, and that the table has every airport."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from paxcast.core.calendar import parse_as_of
from paxcast.jobs import decide, report, retrain
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = ["AAA", "BBB", "WILD"]
Make = Callable[..., Any]


@dataclass
class Ran:
    """A fleet after one run, and its page."""

    ws: Workspace
    run_key: str
    page: str


def ran(path: Path) -> Ran:
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    result = retrain.retrain(ws, Request(as_of=parse_as_of("2020-12-31"), request_id="one"), NOW)
    page = Path(ws.settings.store_root) / "objects" / "reports" / result["run_key"] / "index.html"
    return Ran(ws, result["run_key"], page.read_text(encoding="utf-8"))


def charted(page: str) -> list[str]:
    return [code for code in CODES if f'<section id="{code}">' in page]


@pytest.fixture(scope="module")
def one_wild(new_fleet: Make, made_up: Make) -> Ran:
    """Three airports; of one the traffic is anything."""
    table = made_up(CODES, 60, "MS", "2020-12-01")
    wild = table["airport"] == "WILD"
    table.loc[wild, "passengers"] = np.random.default_rng(1).lognormal(5, 2.5, wild.sum()).round()
    history = {"find_shocks": False, "shocks": [], "outliers": False}
    return ran(new_fleet(table, search={"mode": "local"}, candidates=["seasonal_naive"], history=history))


def test_a_forecast_that_is_not_to_be_published_is_not_charted_and_the_page_says_how_many_are_withheld(
    one_wild: Ran,
) -> None:
    confidence = decide.read(one_wild.ws, [one_wild.run_key]).set_index("airport")["confidence"]
    assert (confidence == report.WITHHELD).to_dict() == {"AAA": False, "BBB": False, "WILD": True}
    assert charted(one_wild.page) == ["AAA", "BBB"]
    data = one_wild.page.split("const data = ")[1].split(";\n")[0]
    assert "WILD" not in data
    assert "<p>1 forecast is withheld from the charts: the table has `do not publish` beside it.</p>" in one_wild.page


def test_its_row_stays_in_the_table_with_the_word_and_the_reason(one_wild: Ran) -> None:
    decided = decide.read(one_wild.ws, [one_wild.run_key]).set_index("airport")
    rows = {code: one_wild.page.split(f"{code}</")[1].split("</tr>")[0] for code in CODES}
    said = f"do not publish: its 80 % interval is too wide for its level; {decided.loc['WILD', 'reason']}"
    assert f'<td class="reason">{said}</td>' in rows["WILD"]
    assert f'<td class="reason">{decided.loc["AAA", "reason"]}</td>' in rows["AAA"]
    assert "do not publish" not in rows["AAA"] + rows["BBB"]


def test_where_every_forecast_is_confident_all_are_charted_and_none_is_said_to_be_withheld(
    new_fleet: Make, made_up: Make
) -> None:
    table = made_up(CODES, 60, "MS", "2020-12-01")
    one = ran(new_fleet(table, search={"mode": "local"}, candidates=["seasonal_naive"]))
    assert charted(one.page) == CODES
    assert "withheld" not in one.page


def test_the_line_counts_what_is_withheld() -> None:
    assert report._withheld(0) == []
    assert report._withheld(12)[0].startswith("12 forecasts are withheld")


# --- the fleet's numbers in MLflow


def judged(mase: list[float | None], naive: list[float | None]) -> pd.DataFrame:
    codes = [f"A{i:02d}" for i in range(len(mase))]
    rows = pd.DataFrame({"airport": codes, "status": "ok", "mase": mase, "mase_naive": naive})
    return rows.assign(cv_mase=rows["mase"] * 2, cv_mase_naive=rows["mase_naive"] * 4)


def test_the_fleets_quantiles_are_of_the_airports_that_have_a_test_window_and_of_their_ratios() -> None:
    rows = judged([0.1 * i for i in range(1, 12)] + [None], [1.0] * 10 + [0.0, None])
    found = report._fleet_metrics(rows)
    assert found["mase_p10"] == pytest.approx(0.2)
    assert found["mase_p50"] == pytest.approx(0.6)
    assert found["mase_p90"] == pytest.approx(1.0)
    assert found["cv_mase_p50"] == pytest.approx(1.2)
    assert found["cv_mase_ratio_p50"] == pytest.approx(0.275)  # of the ten that naive misses at all
    assert found["mase_better_than_naive"] == pytest.approx(0.9)


def test_a_fleet_without_test_windows_has_no_quantiles() -> None:
    assert report._fleet_metrics(judged([None, None], [None, None])) == {}


def test_the_worst_are_the_twenty_with_the_largest_errors_largest_first() -> None:
    rows = judged([float(i) for i in range(30)], [1.0] * 30)
    rows.loc[29, "status"] = "failed"
    assert list(report._worst(rows)["airport"]) == [f"A{i:02d}" for i in range(28, 8, -1)]


def test_the_parent_run_has_the_numbers_the_worst_and_the_failures(one_wild: Ran) -> None:
    uri = one_wild.ws.settings.tracking_uri
    client = mlflow.MlflowClient(uri, uri)
    experiment = client.get_experiment_by_name(one_wild.ws.settings.experiment)
    assert experiment is not None
    (parent,) = client.search_runs([experiment.experiment_id], "tags.kind = 'fleet'")
    decided = decide.read(one_wild.ws, [one_wild.run_key])
    assert parent.data.metrics["ok"] == 3
    assert parent.data.metrics["mase_p50"] == pytest.approx(decided["mase"].median())
    assert parent.data.metrics["mase_ratio_p90"] == 1.0  # seasonal naive is the only candidate
    folder = f"runs:/{parent.info.run_id}"
    worst = pd.read_csv(mlflow.artifacts.download_artifacts(f"{folder}/worst.csv", tracking_uri=uri))
    assert list(worst["airport"]) == list(decided.sort_values("mase", ascending=False)["airport"])
    failures = pd.read_csv(mlflow.artifacts.download_artifacts(f"{folder}/failures.csv", tracking_uri=uri))
    assert failures.empty
