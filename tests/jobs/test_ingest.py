"""Taking in one delivery after another: what holds for the fleet, what is refused, and what the command prints."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from airflow.sdk.exceptions import ParamValidationError
from pydantic import ValidationError
from typer.testing import CliRunner

from paxcast import cli
from paxcast.core.calendar import parse_as_of
from paxcast.core.columns import FLEET
from paxcast.core.errors import BadFile, ConfigurationError
from paxcast.jobs import histories, validate
from paxcast.jobs.ingest import ingest, observations
from paxcast.jobs.run import Request, open_run
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.orchestration import params, tasks
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
LATER = pd.Timestamp("2021-03-02T12:00", tz="UTC")
Make = Callable[..., Any]
Row = tuple[Any, ...]


class Fleet:
    """A fleet of which one delivery after another is taken in."""

    def __init__(self, make_fleet: Make, **source: Any) -> None:
        self.path: Path = make_fleet(table(), source=source)

    @property
    def ws(self) -> Workspace:
        return open_workspace(load(self.path))

    def take(self, rows: pd.DataFrame, at: pd.Timestamp = NOW, **kwargs: Any) -> Any:
        rows.to_csv(self.path.with_suffix(".csv"), index=False)
        return ingest(self.ws, at, **kwargs)

    def verdicts(self, as_of: str) -> dict[str, Any]:
        run = open_run(self.ws, Request(as_of=parse_as_of(as_of)))
        return {v.airport: v for v in validate.judge(run, run.ws.tables.version("observations"))}


def table(*rows: Row, columns: tuple[str, ...] = ("airport", "date", "passengers")) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(columns))


def run_of(dates: pd.DatetimeIndex, airport: str = "AAA", start: int = 1000) -> pd.DataFrame:
    return table(*((airport, f"{day:%Y-%m-%d}", start + number % 7) for number, day in enumerate(dates)))


DAILY = run_of(pd.date_range("2020-10-01", "2021-02-28"))
MONDAYS = run_of(pd.date_range("2018-12-31", periods=104, freq="W-MON"))


# --- the frequency of a fleet


def test_a_correction_of_four_mondays_leaves_a_daily_fleet_daily(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(DAILY)
    report = fleet.take(run_of(pd.date_range("2021-01-04", periods=4, freq="7D"), start=5000), LATER)
    assert (report.stored, report.frequency) == (4, "D")
    assert histories.frequency(fleet.ws) == "D"


def test_a_correction_of_a_single_date_is_taken_at_the_frequency_that_is_known(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(DAILY)
    assert fleet.take(table(("AAA", "2021-01-04", 5000)), LATER).stored == 1
    assert histories.frequency(fleet.ws) == "D"


def test_a_delivery_at_another_frequency_than_the_fleets_is_refused_and_nothing_changes(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(MONDAYS)
    before = observations(fleet.ws)
    message = (
        r"^small\.csv: .* step is 1 day, and the fleet's data are W since the first .*; deliver W .* another fleet"
    )
    with pytest.raises(BadFile, match=message):
        fleet.take(DAILY, LATER)
    pd.testing.assert_frame_equal(observations(fleet.ws), before)


def test_the_frequency_that_is_stated_wins_over_that_of_the_first_receipt(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(run_of(pd.date_range("2021-01-04", periods=4, freq="7D")))
    assert histories.frequency(fleet.ws) == "W"
    text = fleet.path.read_text(encoding="utf-8")
    fleet.path.write_text(text.replace("kind: file", "kind: file\n  frequency: D"), encoding="utf-8")
    assert fleet.take(DAILY, LATER).frequency == "D"
    assert histories.frequency(fleet.ws) == "D"


def test_a_first_delivery_of_a_single_date_still_needs_its_frequency_stated(make_fleet: Make) -> None:
    with pytest.raises(ConfigurationError, match="state D, W or MS"):
        Fleet(make_fleet).take(table(("AAA", "2021-01-04", 5000)))


# --- another weekday


def test_weeks_on_another_weekday_are_stored_and_quarantine_the_airport_instead_of_vanishing(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(MONDAYS)
    sundays = run_of(pd.date_range("2020-05-03", periods=40, freq="W-SUN"))
    assert fleet.take(sundays, LATER).stored == 40
    verdict = fleet.verdicts("2021-02-15")["AAA"]
    assert verdict.reasons == ("off_grid",)
    assert "first 2020-05-03, a Sunday" in verdict.detail


# --- periods that have not ended


def months(last: str, value: int = 0) -> pd.DataFrame:
    rows = run_of(pd.date_range("2019-01-01", last, freq="MS"))
    rows.loc[rows.index[-1], "passengers"] += value
    return rows


def test_a_month_that_had_not_ended_when_it_was_received_is_rejected_and_told(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet, max_rejected_share=0.0)
    report = fleet.take(months("2020-12-01", -700), pd.Timestamp("2020-12-10T06:00Z"))
    (reject,) = report.rejected
    assert (reject["row"], reject["file"], report.received, report.stored) == (24, "small.csv", 24, 23)
    assert reject["reason"].startswith(
        "the period of 2020-12-01 had not ended when it was received: it ends 2021-01-01"
    )
    stored = fleet.ws.tables.read("rejects", [(FLEET, "=", "small")])
    assert stored[["airport", "row"]].to_numpy().tolist() == [["AAA", 24]]


def test_the_same_month_delivered_after_its_end_is_the_first_sight_of_it(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(months("2020-12-01", -700), pd.Timestamp("2020-12-10T06:00Z"))
    fleet.take(months("2020-12-01", 50), pd.Timestamp("2021-01-01T00:00Z"))
    december = observations(fleet.ws).query("ds >= '2020-12-01'")
    assert december["y"].tolist() == [1052]
    assert december["known_at"].tolist() == [pd.Timestamp("2021-01-01T00:00Z")]


def test_a_delivery_of_nothing_but_an_unended_month_is_no_broken_file(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(months("2020-11-01"), pd.Timestamp("2020-12-01T06:00Z"))
    report = fleet.take(months("2020-12-01").tail(1), pd.Timestamp("2020-12-10T06:00Z"))
    assert (report.stored, len(report.rejected)) == (0, 1)


def test_the_same_unended_month_every_night_leaves_one_receipt(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    for day in (10, 11, 12):
        fleet.take(months("2020-12-01"), pd.Timestamp(f"2020-12-{day}T06:00Z"))
    assert len(fleet.ws.tables.read("receipts", [(FLEET, "=", "small")])) == 1


# --- what the source itself says of when a row was known

VINTAGES = ("airport", "date", "passengers", "published")


def vintage(published: str, value: int) -> pd.DataFrame:
    rows = [("AAA", f"2018-0{month}-01", value + month, published) for month in (1, 2)]
    return table(*rows, columns=VINTAGES)


def in_force(fleet: Fleet, as_of: str) -> list[float]:
    version = fleet.ws.tables.version("observations")
    return histories.known_rows(fleet.ws, parse_as_of(as_of), version)["y"].tolist()


def test_an_older_vintage_that_arrives_later_takes_its_own_place_in_time(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet, known_at="published")
    fleet.take(vintage("2018-06-30", 20))
    fleet.take(vintage("2018-04-30", 10), LATER)
    assert in_force(fleet, "2018-04-29") == []
    assert in_force(fleet, "2018-04-30") == in_force(fleet, "2018-06-29") == [11, 12]
    assert in_force(fleet, "2018-06-30") == in_force(fleet, "2021-12-31") == [21, 22]


# --- a correction for a run of a past date


def test_the_way_out_that_a_verdict_names_clears_it_for_a_run_of_that_past_date(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(months("2020-12-01").assign(passengers=lambda t: t["passengers"].where(t.index != 9, -5)))
    told = fleet.verdicts("2020-12-31")["AAA"]
    assert told.reasons == ("negative",)
    assert "--known-at 2020-12-31" in told.detail
    fleet.take(months("2020-12-01"), LATER, known_at=parse_as_of("2020-12-31"))
    assert fleet.verdicts("2020-12-31")["AAA"].reasons == ()


# --- the trigger form of ingest_{fleet}


def test_the_day_on_the_trigger_form_is_the_instant_of_its_end_and_an_empty_form_says_none() -> None:
    assert params.known_at({"known_at": "2020-12-31"}, {"known_at": "2020-12-31"}) == pd.Timestamp("2021-01-01T00:00Z")
    assert params.known_at({}, {"known_at": None}) is None
    assert params.known_at(None, {"known_at": None}) is None


def test_an_unknown_key_of_an_ingestions_trigger_is_refused_naming_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="the trigger's configuration: unknown known_on; there are: known_at"):
        params.known_at({"known_on": "2020-12-31"}, {"known_on": "2020-12-31", "known_at": None})


def test_a_retraining_of_an_empty_list_of_airports_is_refused_by_the_form_and_by_its_model() -> None:
    with pytest.raises(ParamValidationError):
        params.airflow_params(params.RetrainParams)["airports"].resolve([])
    with pytest.raises(ValidationError, match="airports"):
        params.RetrainParams.model_validate({"airports": []})
    assert params.RetrainParams.model_validate({"airports": None}).airports is None


def test_a_task_hands_the_day_on_the_form_to_the_ingestion(make_fleet: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(DAILY)
    DAILY.assign(passengers=2000).to_csv(fleet.path.with_suffix(".csv"), index=False)
    monkeypatch.setenv("PAXCAST_FLEETS", str(fleet.path.parent))
    form = {"known_at": "2021-02-28"}
    context = {"dag_run": SimpleNamespace(conf=form), "params": form}
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: context)
    assert tasks.ingest("small")["stored"] == len(DAILY)
    assert in_force(fleet, "2021-02-28") == [2000] * len(DAILY)


# --- the command line


def command(fleet: Fleet, *args: str) -> Any:
    return CliRunner().invoke(cli.app, ["--config", str(fleet.path), *args], catch_exceptions=False)


def test_a_cell_that_looks_like_markup_is_printed_as_it_is(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    pd.concat([DAILY, table(("AAA", "2021-02-27", "[/x] :smile: 5"))]).to_csv(
        fleet.path.with_suffix(".csv"), index=False
    )
    done = command(fleet, "ingest")
    assert done.exit_code == 0
    assert "  rejected: small.csv row 152: value '[/x] :smile: 5' is not a number\n" in done.stdout


def test_a_line_is_printed_whole_however_long_it_is(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    bad = table(("AAA", "the 27th of February of the year two thousand", 5))
    pd.concat([DAILY, bad]).to_csv(fleet.path.with_suffix(".csv"), index=False)
    done = command(fleet, "ingest")
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.endswith("write 2013-01-31, or state source.date_format\n")


def test_a_table_is_as_wide_as_its_content_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"airport": "AAA", "method": "m" * 90, "mase": 0.5, "mase_naive": 0.75, "as_of": "2020-12-31"}
    cli.print_status([{**row, "status": "ok", "version": 12345, "reason": ""}])
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["airport", "method", "mase", "mase_naive", "status", "as_of", "version"]
    assert line.split() == ["AAA", "m" * 90, "0.500", "0.750", "ok", "2020-12-31", "12345"]


def test_a_table_drops_nothing_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "out", cli.Console(**cli.PLAIN, force_terminal=True, color_system=None, width=60))
    row = {"airport": "AAA", "method": "#" * 90, "mase": 0.5, "mase_naive": 0.75, "as_of": "2020-12-31"}
    cli.print_status([{**row, "status": "ok", "version": 12345, "reason": ""}])
    printed = capsys.readouterr().out
    assert (printed.count("#"), "12345" in printed) == (90, True)
    assert max(map(len, printed.splitlines())) <= 60


@pytest.mark.parametrize("selection", ["", ",", " , "])
def test_a_selection_of_no_airport_is_refused_and_does_not_mean_the_whole_fleet(
    make_fleet: Make, selection: str
) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(DAILY)
    with pytest.raises(ConfigurationError, match="--airports: names no airport; write it like ATL,BOS"):
        command(fleet, "retrain", "--as-of", "2021-02-01", "--airports", selection)


def test_a_search_budget_out_of_its_limits_is_refused_in_one_message(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(DAILY)
    with pytest.raises(ConfigurationError, match=r"max_evals: 0 .*1 to 1000"):
        command(fleet, "retrain", "--as-of", "2021-02-01", "--max-evals", "0")


def test_the_command_takes_the_instant_from_which_a_correction_counts(make_fleet: Make) -> None:
    fleet = Fleet(make_fleet)
    fleet.take(DAILY)
    run_of(pd.date_range("2020-10-01", "2021-02-28"), start=2000).to_csv(fleet.path.with_suffix(".csv"), index=False)
    done = command(fleet, "ingest", "--known-at", "2021-02-28", "--json")
    assert json.loads(done.stdout)["stored"] == len(DAILY)
    assert min(in_force(fleet, "2021-02-28")) == 2000
