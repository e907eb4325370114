"""The line re-run as of past dates: its rows, what they are compared with, what is kept, and what is left alone."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from paxcast import cli
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import BatchIncomplete, ConfigurationError
from paxcast.core.identity import history_checksum
from paxcast.core.tuning import TuningTask
from paxcast.jobs import backtest, forecast, releases, retrain, tune
from paxcast.jobs.histories import Reported
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
GOOD = ["AAA", "BBB", "CCC"]
ORIGINS = ["2018-12-01", "2019-12", "2020-10-01"]
HORIZON = 6
CANDIDATES = ["seasonal_naive", "window_average", "auto_theta"]
COLUMNS = ["airport", "origin", "method", "ds", "y", "yhat", "lo80", "hi80", "lo95", "hi95"]
Make = Callable[..., Any]


@dataclass
class Backtested:
    """A fleet, good and bad airports, and the rows and the table of its backtest."""

    ws: Workspace
    path: Path
    table: pd.DataFrame
    rows: pd.DataFrame
    errors: pd.DataFrame
    summary: pd.DataFrame
    out: Path

    def of(self, airport: str, origin: str, method: str) -> pd.DataFrame:
        wanted = {"airport": airport, "origin": pd.Timestamp(origin), "method": method}
        return self.rows[np.logical_and.reduce([self.rows[k] == v for k, v in wanted.items()])]

    def truth(self, airport: str, until: str = "2099-01-01") -> "pd.Series[float]":
        """The traffic of an airport by its months up to one of them."""
        mine = self.table[self.table["airport"] == airport]
        values = pd.Series(mine["passengers"].to_numpy(dtype=float), pd.to_datetime(mine["date"]))
        return values[values.index <= pd.Timestamp(until)]


def bad(table: pd.DataFrame) -> pd.DataFrame:
    """The good airports, and copies of one that opened late, ended early, or have a value that cannot be."""
    one = table[table["airport"] == "AAA"]
    wrong = one["date"] == "2017-05-01"
    return pd.concat(
        [
            table,
            one[one["date"] >= "2018-12"].assign(airport="LATE"),  # one season at the second origin
            one[one["date"] >= "2020-02"].assign(airport="SHORT"),  # never
            one[one["date"] <= "2018-06"].assign(airport="ENDED"),
            one.assign(airport="BELOW", passengers=one["passengers"].mask(wrong, -5)),
            one.assign(airport="TWICE"),
            one[wrong].assign(airport="TWICE", passengers=7),
        ]
    )


def fleet_of(new_fleet: Make, table: pd.DataFrame, **settings: Any) -> tuple[Workspace, Path]:
    as_it_came = {"shocks": [], "find_shocks": False, "outliers": False}
    usual = {"candidates": CANDIDATES, "horizon": HORIZON, "search": {"mode": "local"}, "folds": {"recent": 2}}
    path = new_fleet(table, **{**usual, "history": as_it_came, **settings})
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    return ws, path


def run(ws: Workspace, out: Path, origins: list[str], **wanted: Any) -> pd.DataFrame:
    """The rows of a backtest."""
    backtest.backtest(ws, None, origins, HORIZON, out, **wanted)
    return pd.read_parquet(out / "forecasts.parquet")


@pytest.fixture(scope="module")
def tested(new_fleet: Make, made_up: Make, tmp_path_factory: pytest.TempPathFactory) -> Backtested:
    table, out = bad(made_up(GOOD, 60, "MS", "2020-12-01")), tmp_path_factory.mktemp("out") / "made"
    ws, path = fleet_of(new_fleet, table)
    summary = backtest.backtest(ws, None, ORIGINS, HORIZON, out).table
    rows, errors = (pd.read_parquet(out / f"{name}.parquet") for name in ("forecasts", "errors"))
    return Backtested(ws, path, table, rows, errors, summary, out)


# --- its rows


def test_the_rows_have_these_columns_and_a_row_for_each_step_of_each_method(tested: Backtested) -> None:
    assert list(tested.rows.columns) == COLUMNS
    assert set(tested.rows["method"]) == {"paxcast", "random_walk", "zero_rule", *CANDIDATES}
    assert sorted(tested.rows["origin"].unique()) == [pd.Timestamp(origin) for origin in ORIGINS]
    counts = tested.rows.groupby(["airport", "origin", "method"])["ds"].agg(["size", "nunique"])
    assert (counts == HORIZON).all(axis=None)


def test_what_a_run_of_that_day_would_have_quarantined_has_no_rows_and_is_named_with_the_reason(
    tested: Backtested,
) -> None:
    late, short = pd.Timestamp("2018-12-01"), [pd.Timestamp(origin) for origin in ORIGINS[1:]]
    wanted = {(airport, pd.Timestamp(origin)) for airport in GOOD for origin in ORIGINS}
    wanted |= {("LATE", origin) for origin in short}
    found = tested.rows[["airport", "origin"]].drop_duplicates()
    assert set(found.itertuples(index=False, name=None)) == wanted
    missing = pd.read_csv(tested.out / "failed.csv").set_index(["airport", "origin"])["reason"]
    told = {("LATE", str(late.date())): "too_short", ("SHORT", "2020-10-01"): "too_short"}
    for origin in ("2018-12-01", "2019-12-01", "2020-10-01"):
        told |= {("ENDED", origin): "stale", ("BELOW", origin): "negative", ("TWICE", origin): "conflicting_duplicates"}
    assert missing.to_dict() == {key: f"quarantined: {reason}" for key, reason in told.items()}


def test_the_first_step_is_the_period_after_the_origin_and_the_actual_is_what_came(tested: Backtested) -> None:
    for origin in ORIGINS:
        rows = tested.of("BBB", origin, "paxcast")
        months = pd.date_range(origin, periods=HORIZON + 1, freq="MS")[1:]
        assert rows["ds"].tolist() == months.tolist()
        expected = tested.truth("BBB").reindex(months).to_numpy()
        np.testing.assert_array_equal(rows["y"].to_numpy(), expected)
    assert tested.of("BBB", ORIGINS[-1], "paxcast")["y"].isna().sum() == 4


def test_quantiles_are_ordered_and_no_forecast_is_negative(tested: Backtested) -> None:
    ordered = tested.rows[["lo95", "lo80", "yhat", "hi80", "hi95"]].to_numpy()
    assert np.isfinite(ordered).all()
    assert (ordered[:, :-1] <= ordered[:, 1:]).all()
    assert (ordered >= 0).all()


@pytest.mark.parametrize("origin", ORIGINS)
def test_the_baselines_are_what_anybody_would_compute(tested: Backtested, origin: str) -> None:
    values = tested.truth("CCC", origin).to_numpy()
    assert tested.of("CCC", origin, "seasonal_naive")["yhat"].tolist() == values[-12:][:HORIZON].tolist()
    assert tested.of("CCC", origin, "random_walk")["yhat"].tolist() == [values[-1]] * HORIZON


def test_an_airport_of_one_season_has_nothing_to_compare_methods_on_and_seasonal_naive_is_published(
    tested: Backtested,
) -> None:
    methods = tested.rows[tested.rows["airport"] == "LATE"].groupby("origin")["method"].unique()
    assert set(methods[pd.Timestamp(ORIGINS[1])]) == {"paxcast", "seasonal_naive"}
    published, naive = (tested.of("LATE", ORIGINS[1], method) for method in ("paxcast", "seasonal_naive"))
    assert published["yhat"].tolist() == naive["yhat"].tolist() == tested.truth("LATE", ORIGINS[1])[-12:][:6].tolist()


def late_reports(made_up: Make) -> pd.DataFrame:
    """Three airports to 2019-12, of which BBB has no rows of its last two months before the origin 2018-12."""
    table = made_up(GOOD, 60, "MS", "2019-12-01")
    return table[~(table["airport"].eq("BBB") & table["date"].isin(["2018-11-01", "2018-12-01"]))]


def test_no_step_before_the_origin_is_written_or_scored(new_fleet: Make, made_up: Make, tmp_path: Path) -> None:
    ws, _ = fleet_of(new_fleet, late_reports(made_up), source={"absent": "missing"})
    rows = run(ws, tmp_path, ["2018-12-01"])
    first = rows.groupby(["airport", "method"])["ds"].agg(["min", "size"])
    assert (first["min"] == pd.Timestamp("2019-01-01")).all()
    assert (first["size"] == np.where(first.index.get_level_values("airport") == "BBB", HORIZON - 2, HORIZON)).all()
    errors = pd.read_parquet(tmp_path / "errors.parquet").set_index(["airport", "method"])
    mine = rows[rows["airport"].eq("BBB") & rows["method"].eq("paxcast")]
    assert errors.loc[("BBB", "paxcast"), "covered80"] == mine["y"].between(mine["lo80"], mine["hi80"]).mean()


def test_an_airport_of_whose_forecast_no_step_lies_after_the_origin_is_named(
    new_fleet: Make, made_up: Make, tmp_path: Path
) -> None:
    ws, _ = fleet_of(new_fleet, late_reports(made_up), source={"absent": "missing"}, horizon=2)
    backtest.backtest(ws, None, ["2018-12-01"], 2, tmp_path)
    assert sorted(pd.read_parquet(tmp_path / "forecasts.parquet")["airport"].unique()) == ["AAA", "CCC"]
    assert pd.read_csv(tmp_path / "failed.csv").to_numpy().tolist() == [
        ["BBB", "2018-12-01", "no step of its forecast lies after the origin"]
    ]


def test_where_absent_means_zero_the_last_months_without_rows_were_empty_months(
    new_fleet: Make, made_up: Make, tmp_path: Path
) -> None:
    table = late_reports(made_up)
    ws, _ = fleet_of(new_fleet, table, source={"absent": "zero"})
    rows = run(ws, tmp_path / "absent", ["2018-12-01"])
    absent = pd.DataFrame({"airport": "BBB", "date": ["2018-11-01", "2018-12-01"], "passengers": 0.0})
    explicit, _ = fleet_of(new_fleet, pd.concat([table, absent]), source={"absent": "zero"})
    pd.testing.assert_frame_equal(run(explicit, tmp_path / "zero", ["2018-12-01"]), rows)
    assert (rows.groupby(["airport", "method"])["ds"].agg("size") == HORIZON).all()


def test_where_absent_means_zero_a_run_forecasts_from_the_newest_period_of_the_fleet_on(
    new_fleet: Make, made_up: Make
) -> None:
    table = late_reports(made_up)
    ws, _ = fleet_of(new_fleet, table[table["date"] < "2019"], source={"absent": "zero"})
    retrain.retrain(ws, Request(as_of=parse_as_of("2018-12-31"), request_id="a"), NOW)
    current = releases.current(ws)
    assert current is not None
    first = forecast.forecasts(ws, current).groupby("airport")["ds"].min()
    assert first.to_dict() == dict.fromkeys(GOOD, pd.Timestamp("2019-01-01"))
    quality = ws.tables.read("quality").set_index("airport")
    own = table[table["airport"].eq("BBB") & (table["date"] < "2019")]
    own = pd.DataFrame({"ds": pd.to_datetime(own["date"]), "y": own["passengers"].astype(float)})
    assert (quality.loc["BBB", "rows_known"], quality.loc["BBB", "checksum"]) == (46, history_checksum(own))


def test_where_absent_means_zero_the_span_of_a_history_is_its_length(
    new_fleet: Make, made_up: Make, tmp_path: Path
) -> None:
    table = made_up([*GOOD, "NEW", "RARE"], 60, "MS", "2019-12-01")
    table = table[table["airport"].ne("RARE") | table["date"].str[5:7].isin(["06", "07"])]  # eight rows in four years
    table = table[table["airport"].ne("NEW") | table["date"].ge("2018-08")]  # five
    lenient = {"shocks": [], "find_shocks": False, "outliers": False, "min_periods": 2, "max_stale": 6}
    for absent, missing in (("zero", ["NEW"]), ("missing", ["NEW", "RARE"])):
        ws, _ = fleet_of(new_fleet, table, source={"absent": absent}, history={**lenient, "max_gap": 12})
        rows = run(ws, tmp_path / absent, ["2018-12-01"])
        assert set(rows["airport"]) == {*GOOD, "NEW", "RARE"} - set(missing)
        told = pd.read_csv(tmp_path / absent / "failed.csv")
        assert told["airport"].tolist() == missing
        assert told["reason"].iloc[0] == "too short: 5 periods, and a season is 12"


def test_a_history_goes_on_to_the_newest_period_on_its_own_grid() -> None:
    rows = pd.DataFrame({"airport": "AAA", "ds": pd.to_datetime(["2019-01-07", "2019-01-14"]), "y": [1.0, 2.0]})
    for code, newest, expected in (
        ("W", "2019-02-04", "2019-02-04"),
        ("W", "2019-02-06", "2019-02-04"),  # others' weeks begin on Wednesday
        ("W", "2019-02-03", "2019-01-28"),
        ("W", "2019-01-20", None),
        ("D", "2019-02-03", "2019-02-03"),
        ("D", "2019-01-14", None),
        ("D", "2019-01-01", None),
    ):
        (history,) = tune.packed(rows, Reported(pd.Timestamp(newest), code))
        days = [*rows["ds"], *([pd.Timestamp(expected)] if expected else [])]
        assert pd.DatetimeIndex(history.days.astype("datetime64[D]")).tolist() == days
        assert history.values.tolist() == [1.0, 2.0, 0.0][: len(days)]
        assert history.checksum == history_checksum(rows)
    (monthly,) = tune.packed(
        rows.iloc[:1].assign(ds=pd.Timestamp("2018-11-01")), Reported(pd.Timestamp("2019-02-01"), "MS")
    )
    assert pd.DatetimeIndex(monthly.days.astype("datetime64[D]")).tolist() == list(
        pd.to_datetime(["2018-11", "2019-02"])
    )
    assert (tune.periods(monthly, "MS", "zero"), tune.periods(monthly, "MS", "missing")) == (4, 2)


def test_a_gap_that_treatment_can_use_costs_no_airport_its_forecast(
    new_fleet: Make, made_up: Make, tmp_path: Path
) -> None:
    table = made_up(GOOD, 120, "MS", "2022-12-01")
    early = table["airport"].eq("AAA") & table["date"].between("2015-01", "2015-12-31")
    pandemic = table["airport"].eq("BBB") & table["date"].between("2020-04", "2021-02-31")
    late = table["airport"].eq("CCC") & table["date"].between("2020-04", "2021-02-31")
    events = {"CCC": {"events": [{"name": "closed", "first": "2020-04-01", "last": "2021-02-28"}]}}
    for shocks, overrides, expected in (
        ([{"name": "Covid", "first": "2020-03-01", "last": "2022-02-28"}], {}, GOOD),
        ([], events, ["AAA", "CCC"]),
    ):
        settings = {"history": {"shocks": shocks, "find_shocks": False}, "overrides": overrides}
        ws, _ = fleet_of(new_fleet, table[~early & ~pandemic & ~late], **settings)
        ingest(ws, pd.Timestamp("2023-02-01", tz="UTC"))
        result = retrain.retrain(ws, Request(as_of=parse_as_of("2022-12-31"), request_id="a"), NOW)
        assert (result["refitted"], [row["airport"] for row in result["quarantined"]]) == (
            expected,
            [code for code in GOOD if code not in expected],
        )


def test_an_error_is_the_mean_absolute_one_in_units_of_seasonal_naive_before_the_origin(tested: Backtested) -> None:
    row = tested.errors.set_index(["airport", "origin", "method"]).loc[
        "BBB", pd.Timestamp(ORIGINS[0]), "window_average"
    ]
    past, rows = tested.truth("BBB", ORIGINS[0]).to_numpy(), tested.of("BBB", ORIGINS[0], "window_average")
    scale = np.mean(np.abs(past[12:] - past[:-12]))
    assert row["mase"] == pytest.approx((rows["y"] - rows["yhat"]).abs().mean() / scale)
    assert row["covered80"] == ((rows["lo80"] <= rows["y"]) & (rows["y"] <= rows["hi80"])).mean()


def test_the_table_has_the_mean_of_each_method_over_all_and_by_slice(tested: Backtested) -> None:
    overall = tested.summary[tested.summary["slice"] == "all"].set_index("method")
    mase = tested.errors.set_index(["airport", "origin", "method"])["mase"]
    published = mase.xs("paxcast", level="method").index
    for method in overall.index:  # where one has no forecast, seasonal naive's counts
        full = [mase.get((*key, method), mase[(*key, "seasonal_naive")]) for key in published]
        assert overall.loc[method, "mase"] == pytest.approx(np.mean(full))
    assert overall["n"].to_dict() == tested.errors.groupby("method").size().to_dict()
    assert overall.loc["random_walk", "n"] < overall.loc["paxcast", "n"] == len(published)
    assert {"origin 2018-12-01", "origin 2019-12-01"} <= set(tested.summary["slice"])
    assert {"rmsse", "smape", "pinball", "covered80", "covered95"} <= set(tested.summary.columns)


def test_what_a_source_leaves_out_as_zero_is_zero_here_too(new_fleet: Make, made_up: Make, tmp_path: Path) -> None:
    table = made_up(GOOD, 60, "MS", "2020-12-01")
    table = table[~(table["airport"].eq("BBB") & table["date"].eq("2020-03-01"))]
    for absent, expected in (("zero", 0.0), ("missing", np.nan)):
        ws, _ = fleet_of(new_fleet, table, source={"absent": absent})
        rows = run(ws, tmp_path / absent, ["2019-12-01"])
        mine = rows[rows["airport"].eq("BBB") & rows["method"].eq("paxcast")].set_index("ds")["y"]
        np.testing.assert_equal(mine[pd.Timestamp("2020-03-01")], expected)
        assert mine.drop(pd.Timestamp("2020-03-01")).gt(0).all()


# --- the same line


def test_the_forecast_from_an_origin_is_what_a_run_of_that_day_publishes(
    new_fleet: Make, made_up: Make, tmp_path: Path
) -> None:
    ws, _ = fleet_of(new_fleet, made_up(GOOD, 60, "MS", "2020-12-01"))
    rows = run(ws, tmp_path, ["2019-12-01"])
    retrain.retrain(ws, Request(as_of=parse_as_of("2019-12-31"), request_id="a"), NOW)
    current = releases.current(ws)
    assert current is not None
    published = forecast.forecasts(ws, current)
    mine = rows[rows["method"] == "paxcast"].sort_values(["airport", "ds"], ignore_index=True)
    assert mine[["airport", "ds"]].equals(published[["airport", "ds"]])
    for name in forecast.STEP:
        np.testing.assert_allclose(mine[name], published[name], rtol=1e-9)


def test_what_a_person_has_pinned_is_published_here_too_beside_everything_else(
    new_fleet: Make, made_up: Make, tmp_path: Path
) -> None:
    table, pinned = made_up(GOOD, 60, "MS", "2020-12-01"), {"AAA": {"method": "zero_rule"}}
    ws, _ = fleet_of(new_fleet, table, overrides=pinned)
    rows = run(ws, tmp_path, ["2019-12-01"]).set_index(["airport", "method"])["yhat"].sort_index(kind="stable")
    assert rows["AAA", "paxcast"].tolist() == rows["AAA", "zero_rule"].tolist()
    assert rows["BBB", "paxcast"].tolist() != rows["BBB", "zero_rule"].tolist()
    assert set(rows["AAA"].index) == set(rows["BBB"].index)


def test_an_airport_that_a_person_excludes_has_no_rows_and_no_part_in_the_rule(
    new_fleet: Make, made_up: Make, tmp_path: Path
) -> None:
    table = made_up(GOOD, 60, "MS", "2020-12-01")
    excluding, _ = fleet_of(new_fleet, table, overrides={"CCC": {"exclude": True}})
    without, _ = fleet_of(new_fleet, table[table["airport"] != "CCC"])
    rows = [run(ws, tmp_path, ["2018-12-01", "2019-12-01"]) for ws in (excluding, without)]
    pd.testing.assert_frame_equal(*rows)
    assert sorted(rows[0]["airport"].unique()) == ["AAA", "BBB"]


def test_where_all_are_excluded_the_file_that_says_so_is_named(new_fleet: Make, made_up: Make, tmp_path: Path) -> None:
    overrides = {code: {"exclude": True} for code in GOOD}
    ws, _ = fleet_of(new_fleet, made_up(GOOD, 60, "MS", "2020-12-01"), overrides=overrides)
    with pytest.raises(
        ConfigurationError, match=r"overrides in .*small\.yaml exclude every airport known by 2019-12-01"
    ):
        run(ws, tmp_path, ["2019-12-01"])


def test_other_candidates_can_be_tried(tested: Backtested, tmp_path: Path) -> None:
    rows = run(tested.ws, tmp_path, ["2019-12-01"], candidates=["seasonal_growth"])
    good = rows[rows["airport"].isin(GOOD)]
    assert set(good["method"]) == {"paxcast", "seasonal_growth", "seasonal_naive", "random_walk", "zero_rule"}


# --- what is kept, and what is left alone


def tunings(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The airports that are tuned from now on, origin by origin."""
    seen: list[list[str]] = []
    spread = tune.spread

    def noted(ws: Workspace, session: None, worker: Any, packed: list[Any]) -> Any:
        seen.append([history.airport for history in packed])
        return spread(ws, session, worker, packed)

    monkeypatch.setattr(tune, "spread", noted)
    return seen


def test_asked_again_nothing_is_tuned_and_the_rows_are_the_same(
    tested: Backtested, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tunings(monkeypatch)
    pd.testing.assert_frame_equal(run(tested.ws, tmp_path, ORIGINS), tested.rows)
    assert seen == [[], [], []]


def test_an_airport_that_failed_is_left_out_and_alone_tried_again(
    new_fleet: Make,
    made_up: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ws, _ = fleet_of(new_fleet, made_up(GOOD, 60, "MS", "2020-12-01"))
    right = backtest._task

    def hopeless(*asked: Any) -> TuningTask:
        return replace(right(*asked), **({"seconds": 1e-6} if asked[1] in failing else {}))

    monkeypatch.setattr(backtest, "_task", hopeless)
    failing = set(GOOD)
    with pytest.raises(
        BatchIncomplete, match=r"all 3 airports failed from 2019-12-01; the first, AAA: .*not done after"
    ):
        run(ws, tmp_path, ["2019-12-01"])
    failing = {"BBB"}
    assert sorted(run(ws, tmp_path, ["2019-12-01"])["airport"].unique()) == ["AAA", "CCC"]
    missing = pd.read_csv(tmp_path / "failed.csv")
    assert missing[["airport", "origin"]].to_numpy().tolist() == [["BBB", "2019-12-01"]]
    assert "not done after" in missing["reason"].iloc[0]
    assert f"1 airports failed at one origin or more, and have no rows there: see {tmp_path}/failed.csv" in caplog.text
    failing, seen = set(), tunings(monkeypatch)
    assert sorted(run(ws, tmp_path, ["2019-12-01"])["airport"].unique()) == GOOD
    assert seen == [["BBB"]]
    assert not (tmp_path / "failed.csv").exists()


def test_what_the_fleets_model_made_beside_other_airports_is_not_taken_for_these(
    new_fleet: Make, made_up: Make
) -> None:
    table, candidates = made_up(GOOD, 60, "MS", "2020-12-01"), ["seasonal_naive", "fleet_gbm"]

    def made(ws: Workspace, codes: list[str]) -> dict[str, Any]:
        everything = ws.tables.read("observations")
        everything = everything[everything["airport"].isin(codes)]
        look = backtest.look_back(ws, None, everything, pd.Timestamp("2019-12-01"), HORIZON, "MS")
        return {airport: result.entrants for airport, result in look.results.items()}

    fresh, again = (fleet_of(new_fleet, table, candidates=candidates)[0] for _ in range(2))
    made(again, ["AAA", "BBB"])
    assert made(again, ["AAA", "CCC"]) == made(fresh, ["AAA", "CCC"])


def test_where_every_airport_is_quarantined_that_is_said(new_fleet: Make, made_up: Make, tmp_path: Path) -> None:
    table = made_up(GOOD, 60, "MS", "2020-12-01")
    table.loc[table["date"].eq("2017-05-01"), "passengers"] = -5
    ws, _ = fleet_of(new_fleet, table)
    with pytest.raises(
        ConfigurationError, match=r"no airport can be forecast from 2019-12-01; the first, AAA: quarantined: negative; "
    ):
        run(ws, tmp_path, ["2019-12-01"])


def test_nothing_is_registered_and_nothing_that_anybody_reads_is_written(
    tested: Backtested, empty_mlflow: Path
) -> None:
    ws = tested.ws
    written = ("quality", "outcomes", "registrations", "decisions", "forecasts", "scores")
    assert {table: ws.tables.version(table) for table in written} == dict.fromkeys(written, -1)
    assert [name for part in ("releases", "published", "leases") for name in ws.objects.names(part)] == []
    assert all(name.startswith("runs/backtest-small-") for name in ws.objects.names("runs"))
    tracked = Path(ws.settings.tracking_uri.removeprefix("sqlite:///"))
    assert tracked.read_bytes() == empty_mlflow.read_bytes()


# --- what cannot be


@pytest.mark.parametrize(
    ("origins", "message"),
    [
        (["1990-01-01"], "no period of fleet small begins 1990-01-01; its data go from 2016-01-01 to 2020-12-01"),
        (["2019-12-15"], "no period of fleet small begins 2019-12-15"),
        (["2016-05-01"], "no airport has one season of history, 12 periods, at 2016-05-01; choose a later date"),
        (["2019-13-01"], "'2019-13-01' is not a date; write 2017-12-01,2018-12-01"),
        (["today"], "'today' is not a date; write 2017-12-01,2018-12-01"),
        ([], "names no date; write 2017-12-01,2018-12-01"),
    ],
)
def test_an_origin_from_which_nothing_can_be_forecast_is_refused(
    tested: Backtested, tmp_path: Path, origins: list[str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^--origins: {message}"):
        run(tested.ws, tmp_path, origins)
    assert list(tmp_path.iterdir()) == []


def test_before_anything_was_known_there_is_no_origin(new_fleet: Make, made_up: Make, tmp_path: Path) -> None:
    table = made_up(GOOD, 60, "MS", "2020-12-01").assign(published="2021-01-15")  # all at once
    ws, _ = fleet_of(new_fleet, table, source={"known_at": "published"})
    with pytest.raises(
        ConfigurationError, match=r"^--origins: nothing was known as of 2019-12-31; choose a later date"
    ):
        run(ws, tmp_path, ["2019-12-01"])


def test_a_candidate_that_there_is_not_is_refused(tested: Backtested, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^candidates: Input should be one of .*seasonal_growth"):
        run(tested.ws, tmp_path, ["2019-12-01"], candidates=["magic"])


def test_where_nothing_was_ingested_that_is_said(new_fleet: Make, made_up: Make, tmp_path: Path) -> None:
    path = new_fleet(made_up(GOOD, 60, "MS", "2020-12-01"), source={"frequency": "MS"})
    with pytest.raises(ConfigurationError, match="nothing was ingested yet; run `paxcast ingest` first"):
        run(open_workspace(load(path)), tmp_path, ["2019-12-01"])


# --- the command


def command(path: Path, *args: str) -> Any:
    return CliRunner().invoke(cli.app, ["--config", str(path), "backtest", *args], catch_exceptions=False)


def test_the_command_writes_the_rows_and_prints_the_table(tested: Backtested, tmp_path: Path) -> None:
    args = ("--origins", ",".join(ORIGINS), "--out", str(tmp_path / "new" / "folder"))
    found = json.loads(command(tested.path, *args, "--json").stdout)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "new" / "folder" / "forecasts.parquet"), tested.rows)
    assert [(row["slice"], row["method"]) for row in found] == list(
        tested.summary[["slice", "method"]].itertuples(index=False, name=None)
    )
    assert [row["mase"] for row in found] == pytest.approx(tested.summary["mase"].tolist())
    asked = command(tested.path, *args, "--json")
    assert asked.exit_code == 0  # some are quarantined, none failed
    printed = command(tested.path, *args, "--horizon", str(HORIZON)).stdout.splitlines()
    assert printed[0].split()[:4] == ["slice", "method", "n", "mase"]
    assert len(printed) == 1 + len(found)


@pytest.mark.parametrize("how", [("--json",), ()])
def test_the_command_ends_with_2_where_airports_failed_after_it_has_printed(
    new_fleet: Make, made_up: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    _, path = fleet_of(new_fleet, made_up(GOOD, 60, "MS", "2020-12-01"))
    right = backtest._task

    def hopeless(*asked: Any) -> TuningTask:
        return replace(right(*asked), **({"seconds": 1e-6} if asked[1] == "BBB" else {}))

    monkeypatch.setattr(backtest, "_task", hopeless)
    ended = command(path, "--origins", "2019-12-01", "--out", str(tmp_path), *how)
    assert ended.exit_code == 2
    assert "paxcast" in ended.stdout
    assert pd.read_csv(tmp_path / "failed.csv")["airport"].tolist() == ["BBB"]
