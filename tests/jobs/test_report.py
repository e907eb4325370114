"""The report's page: what is charted, what is withheld from the charts, and that the table has every airport."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
