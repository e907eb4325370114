"""What is published of each airport, decided for the fleet at once: on outcomes by hand, in a real store."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paxcast.core import composition, intervals
from paxcast.core.calendar import parse_as_of
from paxcast.core.outcome import Outcome, evaluation_of
from paxcast.core.release import Entry, Release, part_key
from paxcast.core.treatment import Step
from paxcast.jobs import decide, ledger, releases, retrain
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

CODES = [f"A{letter}" for letter in "ABCDEFGH"]
SLOW = {"seasonal_naive": 30.0, "one": 60.0, "two": 50.0}  # an airport that everybody forecasts badly
LATER = "small-20210131T235959-c0ffee00-r0"
Make = Callable[..., Any]


def keep(ws: Workspace, *results: Outcome) -> None:
    for result in results:
        ledger.record(ws.objects, result)


def asked(ws: Workspace, *results: Outcome, base: Release | None = None, whole: bool = True) -> pd.DataFrame:
    """The decisions on these finished airports, by airport; their outcomes are put on record first."""
    keep(ws, *results)
    finished = pd.DataFrame([(r.airport, r.checksum) for r in results], columns=["airport", "checksum"])
    return decide.decide(ws, results[0].run_key, finished, base, whole).set_index("airport").sort_index()


def release_of(run_key: str, *entries: Entry) -> Release:
    return Release(
        release_id="one", fleet="small", as_of="2020-11-30", run_key=run_key, previous=None, entries=tuple(entries)
    )


def entry(airport: str, parameters: dict[str, Any]) -> Entry:
    return Entry(airport, f"small.{airport}", 1, "earlier", "2020-11-30", "c", "combination", parameters)


def forecast_of(row: pd.Series) -> dict[str, list[float]]:
    found: dict[str, list[float]] = json.loads(row["forecast"])
    return found


def fixed(ws: Workspace, run_key: str, name: str = "fleet.json") -> dict[str, Any]:
    found: dict[str, Any] = ws.objects.get(f"runs/{run_key}/{name}")
    return found


# --- what a decision says


def test_what_is_published_is_the_mean_of_the_forecasts_by_the_weights_that_the_decision_names(
    ws: Workspace, judged_of: Make
) -> None:
    results = [judged_of(code) for code in CODES]
    rows = asked(ws, *results)
    assert rows.index.tolist() == CODES
    assert rows["rule"].nunique() == 1
    for result in results:
        row = rows.loc[result.airport]
        weights = json.loads(row["weights"])
        assert sum(weights.values()) == pytest.approx(1)
        by_name = {e["candidate"]: e for e in result.entrants}
        slow = [sum(w * by_name[name]["forecast"][h] for name, w in weights.items()) for h in range(6)]
        assert forecast_of(row)["yhat"] == pytest.approx(slow)
        assert forecast_of(row)["ds"] == result.ds
        assert json.loads(row["parameters"]) == {name: by_name[name]["parameters"] for name in weights}
        missed = [
            abs(sum(w * by_name[n]["test"][h] for n, w in weights.items()) - result.test["actual"][h]) for h in range(6)
        ]
        assert row["mase"] == pytest.approx(np.mean(missed) / 10)
        naive = np.abs(np.array(by_name["seasonal_naive"]["test"]) - result.test["actual"])
        assert row["mase_naive"] == pytest.approx(naive.mean() / 10)


def test_the_rule_is_that_of_the_lowest_error_in_unseen_folds_and_the_intervals_are_those_of_the_pool(
    ws: Workspace, judged_of: Make
) -> None:
    results = [judged_of(code) for code in CODES]
    rows = asked(ws, *results)
    airports = [evaluation_of(result) for result in results]
    rule, errors = composition.fleet_rule(airports)
    on_record = fixed(ws, results[0].run_key)
    assert (on_record["rule"], on_record["errors"], on_record["airports"]) == (rule, errors, len(CODES))
    composed = [composition.compose(airport, rule) for airport in airports]
    missed = [composition.missed(*pair) for pair in zip(airports, composed, strict=True)]
    pool = intervals.pool(missed, 6)
    for code, airport, made, own in zip(CODES, airports, composed, missed, strict=True):
        unit = max(airport.level, float(np.mean(made.forecast)))
        band = intervals.band(made.forecast, pool, intervals.size(own, pool.middle, unit))
        for name in ("yhat", "lo80", "hi80", "lo95", "hi95"):
            assert forecast_of(rows.loc[code])[name] == pytest.approx(getattr(band, name).tolist(), rel=1e-9)


def test_a_combination_that_did_worse_than_seasonal_naive_is_refused_and_the_decision_says_so(
    ws: Workspace, judged_of: Make
) -> None:
    bad = judged_of("BAD", sizes={"seasonal_naive": 3.0, "one": 60.0, "two": 50.0})
    bad.entrants[0]["competes"] = False
    rows = asked(ws, bad, *(judged_of(code) for code in CODES))
    row = rows.loc["BAD"]
    assert (row["verdict"], row["method"], json.loads(row["weights"])) == (
        "naive",
        "seasonal_naive",
        {"seasonal_naive": 1.0},
    )
    assert "seasonal naive is published" in row["reason"]
    assert row["cv_mase"] == row["cv_mase_naive"]
    assert row["mase"] == row["mase_naive"]
    assert forecast_of(row)["yhat"] == pytest.approx(bad.entrants[0]["forecast"])
    assert (rows.loc[CODES, "verdict"] == "first").all()


def test_a_pinned_method_is_published_whatever_it_did_and_has_no_say_in_the_rule(
    ws: Workspace, judged_of: Make
) -> None:
    pinned = judged_of("PIN", sizes={"seasonal_naive": 3.0, "one": 60.0}, pinned=True)
    pinned.entrants[0]["competes"] = False
    others = [judged_of(code) for code in CODES]
    rows = asked(ws, pinned, *others)
    assert (rows.loc["PIN", "method"], json.loads(rows.loc["PIN", "weights"])) == ("one", {"one": 1.0})
    assert rows.loc["PIN", "reason"].startswith("pinned: MASE ")
    assert fixed(ws, pinned.run_key)["errors"] == composition.fleet_rule([evaluation_of(r) for r in others])[1]


def test_why_a_pinned_method_could_not_be_fitted_is_the_decisions_reason(ws: Workspace, judged_of: Make) -> None:
    why = "mstl, which overrides pin, could not be fitted: too short; seasonal naive is published"
    rows = asked(ws, judged_of("AAA", reason=why, pinned=True), judged_of("BBB"))
    assert rows.loc["AAA", "reason"] == why
    assert "MASE" in rows.loc["BBB", "reason"]


def test_without_folds_seasonal_naive_is_published_with_intervals_from_the_past_and_never_high_confidence(
    ws: Workspace, judged_of: Make
) -> None:
    short = judged_of(
        "NEW", sizes={"seasonal_naive": 1.0}, folds=0, test={}, changes=[[1.0, -1.0, 0.5, None, 2.0, 1.0]]
    )
    short.entrants[0].update(folds=[], test=[])
    row = asked(ws, short, *(judged_of(code) for code in CODES)).loc["NEW"]
    assert (row["method"], row["verdict"], row["confidence"]) == ("seasonal_naive", "first", "low")
    assert "too few periods" in row["reason"]
    assert row[["cv_mase", "cv_mase_naive", "mase", "mase_naive"]].isna().all()
    made = forecast_of(row)
    assert all(low < middle < high for low, middle, high in zip(made["lo80"], made["yhat"], made["hi80"], strict=True))


@pytest.mark.parametrize(
    ("what", "confidence"), [("moved", "high"), ("outlier", "high"), ("unconfirmed", "low"), ("closed", "low")]
)
def test_an_unconfirmed_newest_value_or_a_closed_airport_leaves_a_forecast_as_it_is_but_its_confidence_low(
    ws: Workspace, judged_of: Make, what: str, confidence: str
) -> None:
    step = Step(what, "not replaced", "2020-12-01", "2020-12-01", 1).as_json()
    others = [judged_of(code) for code in CODES[1:]]
    rows = asked(ws, judged_of("AA", steps=[step]), *others)
    assert rows["confidence"].to_dict() == {**dict.fromkeys(CODES, "high"), "AA": confidence}
    plain = asked(ws, *(replace(result, run_key=LATER) for result in [judged_of("AA"), *others]))
    assert plain.loc["AA", "confidence"] == "high"
    assert plain["forecast"].tolist() == rows["forecast"].tolist()


def test_of_a_real_run_over_a_month_three_times_too_high_and_a_closed_airport_neither_is_of_high_confidence(
    new_fleet: Make, made_up: Make
) -> None:
    table = made_up(["AAA", "BBB", "CCC"], 60, "MS", "2020-12-01")
    last, closed = table["date"].eq("2020-12-01"), table["date"].ge("2020-10-01")
    table.loc[table["airport"].eq("BBB") & last, "passengers"] *= 3
    table.loc[table["airport"].eq("CCC") & closed, "passengers"] = 0
    usual = {"candidates": ["window_average"], "search": {"mode": "local"}}
    ws = open_workspace(load(new_fleet(table, **usual)))
    now = pd.Timestamp("2021-06-01T12:00", tz="UTC")
    ingest(ws, now)
    made = retrain.retrain(ws, Request(as_of=parse_as_of("2020-12-31"), request_id="one"), now)
    told = decide.read(ws, [made["run_key"]]).set_index("airport")["confidence"].to_dict()
    assert (told["AAA"], told["BBB"], told["CCC"]) == ("high", "low", "low")


@pytest.mark.parametrize(
    ("before", "verdict"),
    [
        (None, "first"),
        ({"one": {"number": 1}}, "kept"),
        ({"one": {"number": 7}}, "replaced"),
        ({"one": {"number": 1}, "two": {"number": 2}}, "replaced"),
    ],
)
def test_the_verdict_tells_whether_members_and_parameters_are_those_of_the_release_before(
    ws: Workspace, judged_of: Make, before: dict[str, Any] | None, verdict: str
) -> None:
    result = judged_of("AAA", sizes={"seasonal_naive": 9.0, "one": 1.0})
    result.entrants[0]["competes"] = False
    base = None if before is None else release_of("earlier", entry("AAA", before))
    assert asked(ws, result, base=base).loc["AAA", "verdict"] == verdict


# --- once and for good


def test_asked_twice_the_decisions_are_the_same_and_nothing_is_added(ws: Workspace, judged_of: Make) -> None:
    results = [judged_of(code) for code in CODES]
    first = asked(ws, *results)
    before = ws.tables.version("decisions"), fixed(ws, results[0].run_key)
    pd.testing.assert_frame_equal(asked(ws, *results), first)
    assert (ws.tables.version("decisions"), fixed(ws, results[0].run_key)) == before


def test_the_order_in_which_airports_were_finished_is_of_no_account(ws: Workspace, judged_of: Make) -> None:
    one = asked(ws, *(judged_of(code) for code in CODES))
    two = asked(ws, *(judged_of(code, run_key=LATER) for code in reversed(CODES)))
    pd.testing.assert_frame_equal(two.assign(run_key=one["run_key"]), one)


def test_an_airport_finished_later_changes_no_other_and_is_decided_as_they_were(ws: Workspace, judged_of: Make) -> None:
    results, late = [judged_of(code) for code in CODES], judged_of("LATE", sizes=SLOW)
    first = asked(ws, *results)
    shared = fixed(ws, late.run_key)
    then = asked(ws, *results, late)
    pd.testing.assert_frame_equal(then.loc[CODES], first)
    assert fixed(ws, late.run_key) == shared
    assert then.loc["LATE", "rule"] == shared["rule"]
    at_once = asked(ws, *(replace(r, run_key=LATER) for r in [*results, late]))
    assert fixed(ws, LATER)["pool"] != shared["pool"]  # it would have changed the others
    assert (at_once.loc[CODES, "forecast"] != first["forecast"]).all()


def test_a_restated_airport_is_decided_anew_beside_what_was_decided_before(ws: Workspace, judged_of: Make) -> None:
    first = asked(ws, *(judged_of(code) for code in CODES))
    restated = judged_of("AA", sizes=SLOW, checksum="second")
    then = asked(ws, restated, *(judged_of(code) for code in CODES[1:]))
    assert then.loc["AA", "checksum"] == "second"
    assert then.loc["AA", "forecast"] != first.loc["AA", "forecast"]
    pd.testing.assert_frame_equal(then.loc[CODES[1:]], first.loc[CODES[1:]])
    assert len(decide.read(ws, [restated.run_key])) == len(CODES) + 1


# --- the whole fleet, and a part of it


def test_a_run_over_some_airports_takes_rule_and_pool_of_the_release_before_and_hands_them_on(
    ws: Workspace, judged_of: Make
) -> None:
    whole = [judged_of(code) for code in CODES]
    asked(ws, *whole)
    shared = fixed(ws, whole[0].run_key)
    alone = judged_of("AA", sizes=SLOW, run_key=LATER)
    part = asked(ws, alone, base=release_of(whole[0].run_key), whole=False)
    assert part.loc["AA", "rule"] == shared["rule"]
    airport = evaluation_of(alone)
    composed = composition.compose(airport, shared["rule"])
    pool = intervals.pool_from_json(shared["pool"])
    unit = max(airport.level, float(np.mean(composed.forecast)))
    size = intervals.size(composition.missed(airport, composed), pool.middle, unit)
    band = intervals.band(composed.forecast, pool, size)
    assert forecast_of(part.loc["AA"])["hi80"] == pytest.approx(band.hi80.tolist())
    made = replace(release_of(LATER, replace(entry("AA", {}), run_key=part_key(LATER))), release_id="two")
    releases.keep(ws, release_of(whole[0].run_key), pd.Timestamp("2021-02-01", tz="UTC"), False)
    ws.objects.put_if_absent(f"runs/{LATER}/context.json", {"previous_release": "one"})
    after = asked(ws, judged_of("AA", sizes=SLOW, run_key="small-next-r0"), base=made, whole=False)
    assert after.loc["AA", "forecast"] == part.loc["AA", "forecast"]
    ws.objects.put_if_absent(f"runs/{LATER}/fleet.json", {**shared, "rule": "best"})  # after that part was released
    sibling = judged_of("AB", run_key="small-next-r0")
    assert asked(ws, sibling, base=made, whole=False).loc["AB", "rule"] == shared["rule"]
    assert list(ws.objects.names("runs/small-next-r0/fleet.json")) == []


def test_some_airports_of_a_run_that_was_of_the_whole_fleet_are_decided_with_what_that_fixed(
    ws: Workspace, judged_of: Make
) -> None:
    whole = [judged_of(code) for code in CODES]
    first = asked(ws, *whole)
    other = {**fixed(ws, whole[0].run_key), "rule": "best"}
    ws.objects.put_if_absent("runs/earlier/fleet.json", other)
    again = asked(ws, judged_of("ZZ"), base=release_of("earlier"), whole=False)
    assert again.loc["ZZ", "rule"] == first.loc["AA", "rule"]


def test_the_whole_fleet_after_some_of_it_is_decided_as_if_it_were_the_first_and_the_part_stays_on_record(
    ws: Workspace, judged_of: Make
) -> None:
    results = [judged_of("AA", sizes=SLOW), *(judged_of(code) for code in CODES[1:])]
    part = asked(ws, results[0], whole=False)
    assert decide.read(ws, [results[0].run_key])["run_key"].tolist() == [part_key(results[0].run_key)]
    then = asked(ws, *results)
    at_once = asked(ws, *(replace(result, run_key=LATER) for result in results))
    pd.testing.assert_frame_equal(then.assign(run_key=LATER), at_once)
    assert fixed(ws, LATER) == fixed(ws, results[0].run_key)
    assert then.loc["AA", "forecast"] != part.loc["AA", "forecast"]
    counting = decide.read(ws, [results[0].run_key]).set_index("airport").sort_index()
    pd.testing.assert_frame_equal(counting[then.columns], then)
    by_release = decide.read(ws, [part_key(results[0].run_key)]).set_index("airport")
    pd.testing.assert_frame_equal(by_release[part.columns], part)
    pd.testing.assert_frame_equal(asked(ws, results[0], whole=False), then.loc[["AA"]])
    both = decide.read(ws, [results[0].run_key, part_key(results[0].run_key)])
    assert len(both) == len(CODES) + 1


def test_where_there_is_nothing_to_take_over_each_airport_is_decided_by_itself_in_any_order(
    ws: Workspace, judged_of: Make
) -> None:
    first, second = judged_of("AA", sizes=SLOW), judged_of("AB")
    asked(ws, first, whole=False)
    rows = asked(ws, first, second, whole=False)
    for order in ([second, first], [first, second]):
        key = f"small-{order[0].airport}-r0"
        for result in order:
            asked(ws, replace(result, run_key=key), whole=False)
        found = asked(ws, *(replace(result, run_key=key) for result in order), whole=False)
        pd.testing.assert_frame_equal(found.assign(run_key=part_key(first.run_key)), rows)
    at_once = asked(ws, *(replace(result, run_key=LATER) for result in (first, second)), whole=False)
    pd.testing.assert_frame_equal(at_once.assign(run_key=part_key(first.run_key)), rows)
    for result in (first, second):
        airport = evaluation_of(result)
        composed = composition.compose(airport, composition.FIRST_RULE)
        own = composition.missed(airport, composed)
        widths = np.subtract(*(forecast_of(rows.loc[result.airport])[edge] for edge in ("hi80", "yhat")))
        ratios = np.abs(own.errors) / np.array(
            [[intervals.size(own, float(np.median(own.shares())), own.levels[k], without=k)] for k in range(5)]
        )
        rank = min(int(np.ceil(6 * 0.8)), 5)
        slow = [sorted(ratios[:, h])[rank - 1] for h in range(6)]
        assert widths / widths[0] == pytest.approx(np.array(slow) / slow[0], rel=1e-6)
        assert rows.loc[result.airport, "rule"] == composition.FIRST_RULE


def test_some_airports_of_a_forced_revision_take_what_the_revision_before_fixed(ws: Workspace, judged_of: Make) -> None:
    whole = asked(ws, *(judged_of(code) for code in CODES))
    forced = asked(ws, judged_of("AC", run_key=f"{judged_of('AC').run_key[:-1]}2"), whole=False)
    drawn = [name for name in whole.columns if name != "run_key"]
    assert forced.loc["AC", drawn].to_dict() == whole.loc["AC", drawn].to_dict()


def test_errors_of_a_release_that_reached_less_far_are_not_taken_over(ws: Workspace, judged_of: Make) -> None:
    asked(ws, *(judged_of(code) for code in CODES))
    shared = fixed(ws, judged_of("AA").run_key)
    quantiles = {level: values[:3] for level, values in shared["pool"]["quantiles"].items()}
    ws.objects.put_if_absent("runs/shorter/fleet.json", {**shared, "pool": {**shared["pool"], "quantiles": quantiles}})
    row = asked(ws, judged_of("AA", run_key=LATER), base=release_of("shorter"), whole=False).loc["AA"]
    alone = asked(ws, judged_of("AA", run_key="small-alone-r0"), whole=False).loc["AA"]
    assert len(forecast_of(row)["hi95"]) == 6
    assert row["forecast"] == alone["forecast"]


@pytest.mark.parametrize("before", ["best", "best_three", "stacking"])
def test_the_rule_of_the_release_before_has_no_say_in_that_of_a_whole_fleet(
    ws: Workspace, judged_of: Make, before: str
) -> None:
    results = [judged_of(code) for code in CODES]
    ws.objects.put_if_absent("runs/earlier/fleet.json", {"rule": before, "pool": {"quantiles": {}, "middle": 0}})
    rows = asked(ws, *results, base=release_of("earlier"))
    rule, errors = composition.fleet_rule([evaluation_of(result) for result in results])
    assert rows["rule"].unique().tolist() == [rule] == [composition.FIRST_RULE]
    assert fixed(ws, results[0].run_key)["errors"] == errors


def test_a_rule_that_is_clearly_better_than_the_first_one_is_the_fleets(ws: Workspace, judged_of: Make) -> None:
    sizes = {"seasonal_naive": 2.0, "one": 1.0, "two": 2.0, "three": 2.0, "four": 2.0, "five": 2.0, "six": 2.0}
    results = [judged_of(code, sizes=sizes) for code in CODES]
    for result in results:
        for entrant in (result.entrants[0], *result.entrants[2:]):  # all but one lag behind
            entrant["folds"] = [[value - 2.5 for value in fold] for fold in entrant["folds"]]
    rows = asked(ws, *results)
    rule, errors = composition.fleet_rule([evaluation_of(result) for result in results])
    assert rule in ("best", "stacking")
    assert errors[rule] < (1 - composition.CLEARLY) * errors[composition.FIRST_RULE]
    assert rows["rule"].unique().tolist() == [rule]


# --- after a slump


@pytest.mark.parametrize("before", [0.0, 2.0, 45.0])
def test_a_forecast_that_returns_from_a_slump_is_as_wide_as_what_it_returns_to_and_never_of_high_confidence(
    ws: Workspace, judged_of: Make, before: float
) -> None:
    usual_self = judged_of("AA")
    naive, *others = usual_self.entrants
    slump = replace(usual_self, entrants=[{**naive, "forecast": [before] * len(naive["forecast"])}, *others])
    usual = [judged_of(code) for code in CODES[1:]]
    rows = asked(ws, replace(slump, level=before), *usual)
    assert rows["confidence"].to_dict() == {**dict.fromkeys(CODES, "high"), "AA": "low"}
    made = forecast_of(rows.loc["AA"])
    there = [replace(slump, level=float(np.mean(made["yhat"])), run_key=LATER)]
    plain = asked(ws, *there, *(replace(result, run_key=LATER) for result in usual))
    assert plain.loc["AA", "confidence"] == "high"
    for edge in ("lo80", "hi80", "lo95", "hi95"):
        assert made[edge] == pytest.approx(forecast_of(plain.loc["AA"])[edge], rel=1e-9)
    assert all(low < middle < high for low, middle, high in zip(made["lo80"], made["yhat"], made["hi80"], strict=True))
