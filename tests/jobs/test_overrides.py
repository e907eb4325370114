"""What a person says of one airport: a pinned method, stated parameters, an event, no forecast at all."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import NothingToForecast
from paxcast.jobs import decide, doctor, forecast, releases, retrain, validate
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.status import status
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.sections import OverrideSettings
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = ["AAA", "BBB", "CCC", "DDD", "EEE"]
OVERRIDES = {
    "AAA": {"method": "window_average"},
    "BBB": {"parameters": {"changepoint_prior_scale": 0.123, "growth": "flat"}},
    "CCC": {"exclude": True},
    "DDD": {"events": [{"name": "strike", "first": "2018-03-01", "last": "2018-05-31"}]},
    "NOWHERE": {"method": "mstl"},
}
Make = Callable[..., Any]


@dataclass
class Ran:
    """A fleet after one run, with its outcomes and decisions by airport."""

    ws: Workspace
    result: dict[str, Any]
    outcomes: dict[str, dict[str, Any]]
    decided: pd.DataFrame


def ask(ws: Workspace, as_of: str = "2020-12-31") -> dict[str, Any]:
    return retrain.retrain(ws, Request(as_of=parse_as_of(as_of), request_id=as_of), NOW)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "paxcast.validate"]


@pytest.fixture(scope="module")
def ran(new_fleet: Make, made_up: Make) -> Ran:
    table = made_up(CODES, 60, "MS", "2020-12-01")
    struck = table["airport"].isin(["DDD", "EEE"]) & table["date"].between("2018-03-01", "2018-05-31")
    table["passengers"] = table["passengers"].mask(struck, table["passengers"] / 4)
    search = {"mode": "local", "max_evals": 4, "space": {"changepoint_prior_scale": {"loguniform": [0.001, 0.5]}}}
    path = new_fleet(
        table, search=search, history={"find_shocks": False, "shocks": []}, folds={"recent": 2}, overrides=OVERRIDES
    )
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    result = ask(ws)
    found = [ws.objects.get(name) for name in ws.objects.names(f"runs/{result['run_key']}/outcomes")]
    decided = decide.read(ws, [result["run_key"]]).set_index("airport")
    return Ran(ws, result, {o["airport"]: o for o in found if o}, decided)


def test_a_pinned_method_is_published_alone_although_the_fleet_has_other_candidates(ran: Ran) -> None:
    row = ran.decided.loc["AAA"]
    assert (row["method"], json.loads(row["weights"])) == ("window_average", {"window_average": 1.0})
    assert row["reason"].startswith("pinned: MASE ")
    by_name = {e["candidate"]: e for e in ran.outcomes["AAA"]["entrants"]}
    assert json.loads(row["forecast"])["yhat"] == pytest.approx(by_name["window_average"]["forecast"])
    assert "prophet" not in by_name
    others = [e["candidate"] for code in ("BBB", "DDD") for e in ran.outcomes[code]["entrants"]]
    assert "window_average" not in others


def test_of_a_history_too_short_to_be_judged_the_pinned_method_is_published_and_never_with_high_confidence(
    new_fleet: Make, made_up: Make
) -> None:
    table = made_up(["AAA", "BBB"], 60, "MS", "2020-12-01")
    table = table[(table["airport"] != "BBB") | (table["date"] >= "2018-11-01")]
    pinned = {code: {"method": "window_average"} for code in ("AAA", "BBB")}
    path = new_fleet(table, search={"mode": "local"}, candidates=["seasonal_naive"], overrides=pinned)
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    result = ask(ws)
    decided = decide.read(ws, [result["run_key"]]).set_index("airport")
    assert decided["method"].tolist() == ["window_average"] * 2
    row = decided.loc["BBB"]
    assert (row["reason"], row["confidence"]) == ("pinned: too few periods to judge it on", "low")
    steps = json.loads(row["forecast"])
    values = table.loc[table["airport"] == "BBB", "passengers"].to_numpy()
    assert np.mean(steps["yhat"]) == pytest.approx(np.mean([values[-12:], values[-24:-12]]), rel=0.05)
    assert (np.array(steps["hi80"]) > np.array(steps["lo80"])).all()


def test_stated_parameters_are_not_searched_and_every_evaluation_has_them(ran: Ran) -> None:
    stated = {"changepoint_prior_scale": 0.123, "growth": "flat"}
    assert [trial["parameters"] for trial in ran.outcomes["BBB"]["trials"]["prophet"]] == [stated] * 4
    assert {e["candidate"]: e["parameters"] for e in ran.outcomes["BBB"]["entrants"]}["prophet"] == stated
    assert all(set(t["parameters"]) == {"changepoint_prior_scale"} for t in ran.outcomes["DDD"]["trials"]["prophet"])


def test_an_event_is_treated_as_a_shock_of_its_airport_alone(ran: Ran) -> None:
    shocks = {
        code: [(step["name"], step["first"], step["last"]) for step in ran.outcomes[code]["steps"] if step["name"]]
        for code in ("BBB", "DDD", "EEE")
    }
    assert shocks == {"BBB": [], "DDD": [("strike", "2018-03-01", "2018-05-01")], "EEE": []}


def test_an_excluded_airport_has_no_forecast_and_its_status_says_why(ran: Ran) -> None:
    why = "excluded: by overrides in small.yaml"
    assert ran.result["refitted"] == ["AAA", "BBB", "DDD", "EEE"]
    assert ran.result["quarantined"] == [{"airport": "CCC", "reason": why}]
    row = next(row for row in status(ran.ws) if row["airport"] == "CCC")
    assert (row["status"], row["reason"], row["method"], row["version"]) == ("quarantined", why, None, None)
    current = releases.current(ran.ws)
    assert current is not None
    assert sorted(current.by_airport()) == ["AAA", "BBB", "DDD", "EEE"]
    quality = ran.ws.tables.read("quality").set_index("airport")
    assert (quality["rows_known"] == quality["rows_used"] + quality["rows_quarantined"]).all()
    assert quality.loc["CCC", "rows_used"] == 0


@pytest.fixture
def plain(new_fleet: Make, made_up: Make) -> Callable[[dict[str, Any]], Workspace]:
    """One fleet of two airports again and again, with these overrides, tuned in no time."""
    table = made_up(["AAA", "BBB"], 60, "MS", "2020-12-01")
    path = new_fleet(table, search={"mode": "local"}, candidates=["seasonal_naive"])
    ingest(open_workspace(load(path)), NOW)

    def with_overrides(overrides: dict[str, Any]) -> Workspace:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump({**content, "overrides": overrides}), encoding="utf-8")
        return open_workspace(load(path))

    return with_overrides


def test_an_airport_excluded_after_it_was_released_leaves_the_release_and_comes_back_when_it_no_longer_is(
    plain: Callable[[dict[str, Any]], Workspace],
) -> None:
    shown = []
    for overrides in ({}, {"BBB": {"exclude": True}}, {}):
        ws = plain(overrides)
        ask(ws)
        current = releases.current(ws)
        assert current is not None
        shown.append(sorted(forecast.forecasts(ws, current)["airport"].unique()))
    assert shown == [["AAA", "BBB"], ["AAA"], ["AAA", "BBB"]]


def test_where_every_airport_is_excluded_nothing_can_be_forecast(
    plain: Callable[[dict[str, Any]], Workspace],
) -> None:
    ws = plain({"AAA": {"exclude": True}, "BBB": {"exclude": True}})
    with pytest.raises(NothingToForecast, match=r"all 2 airports .* AAA: excluded: by overrides in small\.yaml"):
        ask(ws)


# --- airports that the fleet does not have


def test_overrides_of_airports_that_the_fleet_does_not_have_are_told_once_a_run_the_first_ten_by_name(
    plain: Callable[[dict[str, Any]], Workspace], caplog: pytest.LogCaptureFixture
) -> None:
    others = [f"X{number:02d}" for number in range(12)]
    ws = plain({**{code: {"exclude": True} for code in reversed(others)}, "AAA": {"method": "seasonal_naive"}})
    ask(ws)
    (said,) = warnings(caplog)
    assert said == (
        f"{ws.settings.origin}: overrides: {', '.join(others[:10])} and 2 more: fleet small has no such airport, so "
        f"they change nothing; {validate.UNHEARD_ADVICE}"
    )
    caplog.clear()
    retrain.retrain(ws, Request(as_of=parse_as_of("2020-12-31"), dry_run=True), NOW)
    assert warnings(caplog) == [said]


def test_an_airport_that_was_not_known_yet_or_of_which_no_row_could_be_read_is_one_of_the_fleets(
    new_fleet: Make, made_up: Make, caplog: pytest.LogCaptureFixture
) -> None:
    table = made_up(["AAA", "NEW", "MESS"], 60, "MS", "2020-12-01").astype({"passengers": str})
    table = table[(table["airport"] != "NEW") | (table["date"] >= "2020-01-01")]
    table.loc[table["airport"] == "MESS", "passengers"] = "many"
    settings = {"source": {"max_rejected_share": 0.9}, "search": {"mode": "local"}, "candidates": ["seasonal_naive"]}
    ws = open_workspace(load(new_fleet(table, **settings, overrides={"NEW": {"exclude": True}, "MESS": {}})))
    ingest(ws, NOW)
    ask(ws, "2019-12-31")
    assert warnings(caplog) == []


def test_the_doctor_says_so_too_but_not_before_there_are_any_data(
    plain: Callable[[dict[str, Any]], Workspace], ws: Workspace
) -> None:
    found = doctor._overrides(plain({"AAA": {}, "NOWHERE": {"exclude": True}}))
    assert (found.well, found.advice) == (False, validate.UNHEARD_ADVICE)
    assert "overrides: NOWHERE: fleet small has no such airport" in found.found
    assert doctor._overrides(plain({"AAA": {}})).well
    empty = replace(ws, settings=ws.settings.model_copy(update={"overrides": {"AAA": OverrideSettings()}}))
    assert doctor._overrides(empty).well
    assert "overrides" in [check.name for check in doctor.doctor(ws, NOW)]
