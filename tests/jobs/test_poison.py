"""Fourteen ways in which an airport's data can be wrong, among 28 healthy airports: each ends as it should, with its
reason, and no healthy airport notices."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from paxcast import cli
from paxcast.core.calendar import parse_as_of
from paxcast.core.columns import AIRPORT
from paxcast.core.identity import history_checksum
from paxcast.jobs import decide, forecast, releases
from paxcast.jobs.ingest import Ingested, ingest, observations
from paxcast.jobs.retrain import retrain
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
AS_OF = parse_as_of("2020-12-31")
HEALTHY = [f"H{i:02d}" for i in range(28)]
PERIODS = 60  # 2016-01 to 2020-12
NOT_FINITE = "No number: 1 of 60 values, first {} at 2018-07-01"
Make = Callable[..., Any]
Poison = Callable[[pd.DataFrame], pd.DataFrame]


def with_value(value: str, date: str = "2018-07-01") -> Poison:
    return lambda rows: rows.assign(passengers=rows["passengers"].mask(rows["date"].eq(date), value))


def twice(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, rows[rows["date"].eq("2018-07-01")].assign(passengers="77")])


def with_annual_totals(rows: pd.DataFrame) -> pd.DataFrame:
    year, number = rows["date"].str[:4], rows["passengers"].astype(float)
    others = number.where(~rows["date"].str.contains("-12-"), 0).groupby(year).transform("sum")
    return rows.assign(passengers=rows["passengers"].mask(rows["date"].str.contains("-12-"), others.map(str)))


# By airport: what is done to healthy rows, how it ends, a telling part of the reason.
POISONS: dict[str, tuple[Poison, str, str]] = {
    "THREE": (lambda rows: rows.tail(3), "quarantined", "Only 3 periods are observed and 12 are needed"),
    "CONSTANT": (lambda rows: rows.assign(passengers="5000"), "ok", "MASE 0.000 in the folds"),
    "ZERO": (lambda rows: rows.assign(passengers="0"), "quarantined", "All 60 values are zero"),
    "NAN": (with_value("NaN"), "quarantined", NOT_FINITE.format("nan")),
    "INFINITE": (with_value("inf"), "quarantined", NOT_FINITE.format("inf")),
    "NEGATIVE": (with_value("-500"), "quarantined", "Below zero: 1 of 60 values, first -500 at 2018-07-01"),
    "SPIKE": (with_value("1e18"), "quarantined", "Above max_value 1e+12: 1 of 60 values, first 1e+18 at 2018-07-01"),
    "TWICE": (twice, "quarantined", "More than one value for 1 dates, first 2018-07-01 with 77 and"),
    "RANDOM": (lambda rows: rows.sample(frac=1, random_state=5), "ok", ""),
    "UNDATED": (lambda rows: rows.assign(date="some day"), "quarantined", "none of 60 rows could be read"),
    "": (lambda rows: rows, "rejected", "airport is blank"),
    "GAP": (lambda rows: rows[~rows["date"].str.startswith("2019")], "quarantined", "12 periods in a row are missing"),
    "ANNUAL": (with_annual_totals, "quarantined", "Month 12 of 2016, 2017, 2018, 2019, 2020 is about the sum of"),
    "ENDED": (lambda rows: rows[rows["date"] < "2019"], "quarantined", "2018-12-01, 24 periods before the newest"),
}
STORED = [code for code in POISONS if code]
ENDS_WELL = [code for code in POISONS if POISONS[code][1] == "ok"]


@dataclass
class Fleet:
    """A fleet that was ingested and retrained once."""

    path: Path
    ws: Workspace
    table: pd.DataFrame
    report: Ingested
    result: dict[str, Any]

    def outcomes(self) -> dict[str, dict[str, Any]]:
        """The finished outcome of each airport."""
        names = self.ws.objects.names(f"runs/{self.result['run_key']}/outcomes")
        return {outcome["airport"]: outcome for outcome in map(self.ws.objects.get, names) if outcome}


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(passengers=table["passengers"].map(lambda value: f"{value:.0f}"))


def poisoned(made_up: Make, codes: list[str]) -> pd.DataFrame:
    """The healthy rows among those of these poisons, the whole file in an order without sense."""
    healthy = as_text(made_up(HEALTHY, PERIODS, "MS", "2020-12-01"))
    rows = as_text(made_up(list(POISONS), PERIODS, "MS", "2020-12-01"))
    bad = [POISONS[code][0](rows[rows["airport"] == code]) for code in codes]
    return pd.concat([healthy, *bad]).sample(frac=1, random_state=1, ignore_index=True)


def run(new_fleet: Make, table: pd.DataFrame) -> Fleet:
    space = {"changepoint_prior_scale": {"loguniform": [0.001, 0.5]}}
    path = new_fleet(table, search={"max_evals": 1, "space": space}, folds={"recent": 1, "earlier_years": 0})
    ws = open_workspace(load(path))
    report = ingest(ws, NOW)
    return Fleet(path, ws, table, report, retrain(ws, Request(as_of=AS_OF, request_id="once"), NOW))


@pytest.fixture(scope="module")
def clean(new_fleet: Make, made_up: Make) -> Fleet:
    """Without the airports that are quarantined. What ends well is there: forecasts of a fleet share their errors."""
    return run(new_fleet, poisoned(made_up, ENDS_WELL))


@pytest.fixture(scope="module")
def mixed(new_fleet: Make, made_up: Make) -> Fleet:
    return run(new_fleet, poisoned(made_up, list(POISONS)))


@pytest.fixture(scope="module")
def statuses(mixed: Fleet) -> dict[str, dict[str, Any]]:
    """What the command says, by airport."""
    said = CliRunner().invoke(cli.app, ["--config", str(mixed.path), "status", "--json"])
    return {row["airport"]: row for row in json.loads(said.stdout)}


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize("code", STORED)
def test_a_poisoned_airport_ends_as_it_should_and_says_why(
    statuses: dict[str, dict[str, Any]], mixed: Fleet, code: str
) -> None:
    _, status, reason = POISONS[code]
    assert statuses[code]["status"] == status
    assert reason in statuses[code]["reason"]
    in_result = {row["airport"]: row["reason"] for row in mixed.result["quarantined"]}
    assert (code in in_result) == (status == "quarantined")
    assert in_result.get(code, statuses[code]["reason"]) == statuses[code]["reason"]


def test_no_poison_makes_an_airport_fail_which_would_be_tried_again(mixed: Fleet) -> None:
    assert mixed.result["failed"] == []
    assert mixed.result["refitted"] == sorted([*HEALTHY, "CONSTANT", "RANDOM"])


@pytest.mark.parametrize(("column", "text", "reason"), [("airport", "", "airport is blank"), ("date", "some day", "")])
def test_a_row_that_cannot_be_attributed_is_rejected_by_its_number(
    mixed: Fleet, column: str, text: str, reason: str
) -> None:
    wrong = mixed.table.index[mixed.table[column] == text] + 1
    rejected = {row["row"]: row["reason"] for row in mixed.report.rejected}
    assert len(wrong) == PERIODS
    assert set(wrong) <= set(rejected)
    told = reason or "date 'some day' is not a date that reads one way only"
    assert all(told in rejected[row] for row in wrong)


def test_every_row_that_arrived_is_stored_unchanged_repeated_or_rejected(mixed: Fleet) -> None:
    report = mixed.report
    assert report.received == len(mixed.table)
    assert report.received == report.stored + report.unchanged + report.repeated + len(report.rejected)
    assert len(report.rejected) == 2 * PERIODS
    assert report.stored == len(observations(mixed.ws)) == len(mixed.table) - 2 * PERIODS
    quality = mixed.ws.tables.read("quality", [("run_key", "=", mixed.result["run_key"])])
    assert quality["rows_known"].sum() == report.stored
    assert (quality["rows_known"] == quality["rows_used"] + quality["rows_quarantined"]).all()


def test_every_airport_code_that_arrived_has_a_status(mixed: Fleet, statuses: dict[str, dict[str, Any]]) -> None:
    assert sorted(statuses) == sorted(set(mixed.table["airport"]) - {""})
    assert {statuses[code]["status"] for code in HEALTHY} == {"ok"}


def test_the_healthy_airports_get_the_same_forecast_to_the_last_bit(clean: Fleet, mixed: Fleet) -> None:
    assert clean.ws.settings.store_root != mixed.ws.settings.store_root
    assert clean.result["refitted"] == sorted([*HEALTHY, *ENDS_WELL])
    assert clean.result["run_key"] == mixed.result["run_key"]
    alone, among = clean.outcomes(), mixed.outcomes()
    ignored = {"batch", "seconds", "memory_mb"}
    for code in HEALTHY:
        first, second = ({k: v for k, v in o[code].items() if k not in ignored} for o in (alone, among))
        assert canonical(first) == canonical(second)
    assert len({among[code]["seed"] for code in HEALTHY}) == len(HEALTHY)


def test_what_is_published_of_the_healthy_is_the_same_too(clean: Fleet, mixed: Fleet) -> None:
    published, decided = [], []
    for fleet in (clean, mixed):
        release = releases.load(fleet.ws, fleet.result["release"])
        assert release is not None
        rows = forecast.forecasts(fleet.ws, release)
        assert np.isfinite(rows[["yhat", "lo80", "hi80", "lo95", "hi95"]]).all(axis=None)
        published.append(rows[rows["airport"].isin(HEALTHY)][["airport", "ds", "yhat", "lo80", "hi80", "lo95", "hi95"]])
        decisions = decide.read(fleet.ws, [fleet.result["run_key"]]).set_index("airport")
        decided.append(decisions.loc[HEALTHY])
    assert len(published[0]) == 12 * len(HEALTHY)
    pd.testing.assert_frame_equal(*decided, check_exact=True)
    pd.testing.assert_frame_equal(*(rows.reset_index(drop=True) for rows in published), check_exact=True)


def test_a_constant_airport_is_forecast_as_its_constant(mixed: Fleet) -> None:
    decided = decide.read(mixed.ws, [mixed.result["run_key"]]).set_index("airport")
    values = json.loads(decided.loc["CONSTANT", "forecast"])
    assert set(values["yhat"]) == {5000.0}
    assert {e["candidate"]: set(e["forecast"]) for e in mixed.outcomes()["CONSTANT"]["entrants"]} == {
        "seasonal_naive": {5000.0},
        "prophet": {5000.0},
    }


def test_rows_in_any_order_are_the_same_history(mixed: Fleet, made_up: Make) -> None:
    rows = made_up(list(POISONS), PERIODS, "MS", "2020-12-01")
    in_order = rows[rows[AIRPORT] == "RANDOM"].assign(
        ds=lambda r: pd.to_datetime(r["date"]), y=lambda r: r["passengers"]
    )
    assert mixed.outcomes()["RANDOM"]["checksum"] == history_checksum(in_order)
