"""A past run once more: the same numbers whatever came since, or where they differ; nothing in the store is moved."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable

from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError
from paxcast.core.release import part_key
from paxcast.jobs import fleet_models, frozen, ledger, plan, prune, releases, tune
from paxcast.jobs import reproduce as again
from paxcast.jobs.ingest import ingest
from paxcast.jobs.reproduce import Reproduced, reproduce
from paxcast.jobs.retrain import retrain
from paxcast.jobs.run import Request
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

pytestmark = pytest.mark.slow

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
EARLIER, LATER = "2020-10-31", "2020-12-31"
CODES = ["AAA", "BBB", "CCC"]
Make = Callable[..., Any]


@dataclass(frozen=True)
class Story:
    """A fleet's past. The run of EARLIER released `first`; BBB was restated, and DDD, so that it is quarantined from
    then on; BBB was made anew under the same key: `second`.
    Then two months more were known, and of LATER first AAA was forecast (`part`), then all (`whole`). At last AAA was
    restated, and LATER forecast once more, under the same key (`third`) and by force.
    """

    path: Path
    earlier: str
    later: str
    first: str
    second: str
    part: str
    whole: str
    third: str
    forced: str

    def open(self) -> Workspace:
        return open_workspace(load(self.path))


def ask(ws: Workspace, as_of: str, **wanted: Any) -> dict[str, Any]:
    result = retrain(ws, Request(as_of=parse_as_of(as_of), request_id=f"{as_of}{wanted}", **wanted), NOW)
    assert result["failed"] == []
    return result


@pytest.fixture(scope="module")
def story(new_fleet: Make, made_up: Make) -> Story:
    table = made_up([*CODES, "DDD"], 72, "MS", "2020-12-01")
    short = table[table["airport"].eq("AAA")].tail(9).assign(airport="NEW")
    table = pd.concat([table, short], ignore_index=True)
    candidates = ["seasonal_naive", "window_average", "auto_theta", "anchored_prophet", "fleet_gbm"]
    search, spark = {"mode": "local", "max_evals": 3}, {"worker_memory_mb": 0}
    path = new_fleet(
        table[table["date"] <= "2020-10-01"], candidates=candidates, search=search, spark=spark,
        folds={"recent": 2, "earlier_years": 1},
    )  # fmt: skip
    ws = open_workspace(load(path))

    def restated(airport: str, date: str, rows: pd.DataFrame, known_at: str | None) -> None:
        rows.loc[rows["airport"].eq(airport) & rows["date"].eq(date), "passengers"] += 40
        rows.to_csv(path.with_suffix(".csv"), index=False)
        ingest(ws, NOW, known_at=parse_as_of(known_at) if known_at else None)

    ingest(ws, NOW)
    first = ask(ws, EARLIER)
    bad = table["airport"].eq("DDD") & table["date"].eq("2020-08-01")
    table.loc[bad, "passengers"] = -1
    restated("BBB", "2020-09-01", table[table["date"] <= "2020-10-01"].copy(), EARLIER)
    second = ask(ws, EARLIER)
    assert (second["run_key"], second["refitted"]) == (first["run_key"], ["BBB"])
    table.loc[table["airport"].eq("BBB") & table["date"].eq("2020-09-01"), "passengers"] += 40
    restated("CCC", "2019-03-01", table, LATER)
    part, whole = ask(ws, LATER, airports=("AAA",)), ask(ws, LATER)
    restated("AAA", "2020-11-01", table, LATER)
    third, forced = ask(ws, LATER), ask(ws, LATER, force=True)
    assert (third["run_key"], third["refitted"]) == (whole["run_key"], ["AAA"])
    ids = [result["release"] for result in (first, second, part, whole, third, forced)]
    assert len(set(ids)) == len(ids)
    return Story(path, first["run_key"], whole["run_key"], *ids)


@pytest.fixture
def copied(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The fleet with a store of the test's own, which it may tamper with."""
    shutil.copytree(story.open().settings.store_root, tmp_path / "store")
    monkeypatch.setenv("PAXCAST_STORE", str(tmp_path / "store"))
    return story.open()


def everything(story: Story) -> dict[str, tuple[int, int]]:
    """Every file of the fleet: objects, tables and their versions, MLflow's; size and time of its last change."""
    found = [path for path in story.path.parent.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def equal(story: Story, run: str, *airports: str) -> Reproduced:
    before = everything(story)
    found = reproduce(story.open(), None, run, airports)
    assert found.differences == []
    assert found.equal
    assert everything(story) == before
    assert json.loads(json.dumps(found.as_json())) == found.as_json()
    return found


# --- equal, whatever came since


def test_a_run_gives_the_same_numbers_after_later_data_restatements_and_runs(story: Story) -> None:
    found = equal(story, story.earlier)
    assert (found.run_key, found.as_of, found.airports) == (story.earlier, EARLIER, [*CODES, "DDD"])


def test_a_release_gives_the_numbers_that_it_had_before_an_airport_was_restated_under_its_key(story: Story) -> None:
    old, new = (releases.load(story.open(), one) for one in (story.first, story.second))
    assert old is not None
    assert new is not None
    assert old.by_airport()["BBB"].checksum != new.by_airport()["BBB"].checksum
    for release in (old, new):
        histories = frozen.find(story.open(), release.release_id).histories
        assert histories == {e.airport: e.checksum for e in release.entries}
    found = equal(story, story.first)
    assert (found.run_key, found.airports) == (story.earlier, [*CODES, "DDD"])


def test_one_airport_of_a_run_is_recomputed_alone_with_the_model_of_the_whole_fleet(story: Story) -> None:
    found = equal(story, story.later, "BBB")
    assert (found.run_key, found.airports) == (story.later, ["BBB"])


def test_a_run_of_some_airports_gives_what_was_decided_before_its_fleet_was_and_with_it(story: Story) -> None:
    ws = story.open()
    release = releases.load(ws, story.part)
    assert release is not None
    assert release.by_airport()["AAA"].run_key == part_key(story.later)
    assert ws.objects.get(f"runs/{story.later}/fleet.json") is not None  # by now, which is not what the part took
    found = equal(story, story.part)
    assert (found.run_key, found.airports) == (story.later, ["AAA"])
    equal(story, story.later)
    equal(story, story.forced)


def test_what_a_release_carries_on_is_of_the_run_that_made_it(story: Story) -> None:
    found = equal(story, story.part, "BBB", "CCC")
    assert (found.run_key, found.airports) == (story.earlier, ["BBB", "CCC"])
    with pytest.raises(ConfigurationError, match=f"more than one run: AAA of {story.later}, BBB of {story.earlier}"):
        reproduce(story.open(), None, story.part, ("AAA", "BBB"))


def test_a_date_means_the_run_behind_the_release_that_was_in_force_then(story: Story) -> None:
    assert equal(story, "2020-11-30", "CCC").run_key == story.earlier
    assert equal(story, "2021-06-30", "CCC").run_key == story.forced.rpartition("-")[0] != story.later


def test_spark_says_the_same(story: Story, spark_session: Any) -> None:
    ws = story.open()
    search = ws.settings.search.model_copy(update={"mode": "per_airport"})
    ws = open_workspace(ws.settings.model_copy(update={"search": search}))
    found = reproduce(ws, spark_session, story.later)
    assert (found.equal, found.airports) == (True, CODES)


def test_after_its_trials_were_pruned_a_run_is_equal_still_and_a_tampered_value_is_told(
    story: Story, copied: Workspace
) -> None:
    retention = copied.settings.retention.model_copy(update={"trials_days": 1, "runs_days": 36_500})
    ws = open_workspace(copied.settings.model_copy(update={"retention": retention}))
    assert prune.prune(ws, pd.Timestamp.now(tz="UTC") + pd.Timedelta(days=2)).search_histories > 0
    assert outcome_of(ws, story.later, "CCC")[1]["trials"] == {}
    assert reproduce(ws, None, story.later, ("CCC",)).differences == []
    was, became = tampered(ws, story)
    told = {"airport": "BBB", "what": "entrants.auto_theta.forecast[3]", "then": became, "now": was}
    assert reproduce(ws, None, story.later, ("BBB",)).differences == [told]


# --- what is not equal


def outcome_of(ws: Workspace, run_key: str, airport: str) -> tuple[str, dict[str, Any]]:
    manifest = plan.newest(ws, run_key)
    assert manifest is not None
    (checksum,) = [a.checksum for a in manifest.airports if a.airport == airport]
    name = f"runs/{run_key}/outcomes/{airport}-{checksum}.json"
    return name, ws.objects.get(name) or {}


def tampered(ws: Workspace, story: Story) -> tuple[float, float]:
    """One value of an outcome is another one: what it was, and what it is."""
    name, outcome = outcome_of(ws, story.later, "BBB")
    (entrant,) = [e for e in outcome["entrants"] if e["candidate"] == "auto_theta"]
    was = entrant["forecast"][3]
    entrant["forecast"][3] = was + 0.5
    ws.objects.put(name, outcome)
    return was, was + 0.5


def test_a_value_of_an_outcome_that_was_tampered_with_is_told_with_its_airport_and_place(
    story: Story, copied: Workspace
) -> None:
    was, became = tampered(copied, story)
    found = reproduce(copied, None, story.later)
    assert not found.equal
    assert found.airports == CODES
    assert found.differences == [
        {"airport": "BBB", "what": "entrants.auto_theta.forecast[3]", "then": became, "now": was}
    ]


def test_other_code_is_told_only_where_the_numbers_are_others_too(
    story: Story, copied: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = again.code_version()
    monkeypatch.setattr(again, "code_version", lambda: "0.0.1+older")
    assert reproduce(copied, None, story.later, ("BBB",)).equal
    tampered(copied, story)
    found = reproduce(copied, None, story.later, ("BBB",))
    assert found.differences[0] == {"airport": "", "what": "code_version", "then": version, "now": "0.0.1+older"}
    assert [one["airport"] for one in found.differences[1:]] == ["BBB"]


def test_what_other_code_did_not_tell_yet_and_trials_that_were_pruned_are_no_difference(
    story: Story, copied: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, outcome = outcome_of(copied, story.later, "BBB")
    copied.objects.put(name, {**outcome, "trials": {}, "seconds": 99.0, "attempt": 3, "batch": 7})
    assert reproduce(copied, None, story.later, ("BBB",)).equal
    older = {key: value for key, value in outcome.items() if key != "level"}
    copied.objects.put(name, {**older, "test": {k: v for k, v in outcome["test"].items() if k != "scale"}})
    told = reproduce(copied, None, story.later, ("BBB",)).differences
    assert [(one["what"], one["then"]) for one in told] == [("test.scale", "absent")]
    monkeypatch.setattr(again, "code_version", lambda: "0.0.2+newer")
    assert reproduce(copied, None, story.later, ("BBB",)).equal


@pytest.mark.parametrize("digit", ["yhat", "hi95"])
def test_a_decision_that_was_tampered_with_is_told_with_its_airport_and_place(
    story: Story, copied: Workspace, digit: str
) -> None:
    rows = copied.tables.read("decisions", [("run_key", "=", story.later)])
    counts = {a.airport: a.checksum for m in [plan.newest(copied, story.later)] if m for a in m.airports}
    mine = rows["airport"].eq("CCC") & rows["checksum"].eq(counts["CCC"])
    forecast = json.loads(rows.loc[mine, "forecast"].iloc[0])
    was = forecast[digit][2]
    forecast[digit][2] = was + 1
    rows.loc[mine, "forecast"] = json.dumps(forecast)
    copied.tables.replace("decisions", rows, {"run_key": story.later})
    told = {"airport": "CCC", "what": f"decision.forecast.{digit}[2]", "then": was + 1, "now": was}
    assert reproduce(copied, None, story.later).differences == [told]
    forecast[digit][2] = was
    rows.loc[mine, "forecast"] = json.dumps(forecast, indent=1)
    copied.tables.replace("decisions", rows, {"run_key": story.later})
    (other,) = reproduce(copied, None, story.later, ("CCC",)).differences
    assert other["what"] == "decision.forecast as text"
    rows.loc[mine, "forecast"] = json.dumps(forecast)
    rows.loc[mine, "reason"] = "because"
    copied.tables.replace("decisions", rows, {"run_key": story.later})
    (last,) = reproduce(copied, None, story.later, ("CCC",)).differences
    assert (last["what"], last["then"]) == ("decision.reason", "because")


def test_a_row_of_the_forecasts_that_was_tampered_with_or_lost_is_told(story: Story, copied: Workspace) -> None:
    rows = copied.tables.read("forecasts", [("run_key", "=", story.earlier)])
    release = releases.load(copied, story.second)
    assert release is not None
    mine = rows["airport"].eq("AAA") & rows["checksum"].eq(release.by_airport()["AAA"].checksum)
    at = rows[mine & rows["ds"].eq("2021-02-01")].index[0]
    was = float(rows.loc[at, "lo80"])
    rows.loc[at, "lo80"] = was - 1
    copied.tables.replace("forecasts", rows, {"run_key": story.earlier})
    told = {"airport": "AAA", "what": "forecasts.2021-02-01.lo80", "then": was - 1, "now": was}
    assert reproduce(copied, None, story.earlier, ("AAA",)).differences == [told]
    copied.tables.replace("forecasts", rows.drop(index=at), {"run_key": story.earlier})
    (lost,) = reproduce(copied, None, story.earlier, ("AAA",)).differences
    assert (lost["what"], lost["then"]) == ("forecasts.2021-02-01", "absent")
    copied.tables.replace("forecasts", rows[~mine], {"run_key": story.earlier})
    (gone,) = reproduce(copied, None, story.earlier, ("AAA",)).differences
    assert (gone["what"], gone["then"]) == ("forecasts", "absent")


def test_a_history_that_is_not_the_one_that_was_planned_is_told_and_not_tuned(story: Story, copied: Workspace) -> None:
    name, outcome = outcome_of(copied, story.later, "BBB")
    manifests = f"runs/{story.later}/manifests"
    for one in copied.objects.names(manifests):
        text = json.dumps(copied.objects.get(one)).replace(outcome["checksum"], "0123456789abcdef")
        copied.objects.put(one, json.loads(text))
    copied.objects.put(name.replace(outcome["checksum"], "0123456789abcdef"), outcome)
    found = reproduce(copied, None, story.later, ("AAA", "BBB"))
    told = {"airport": "BBB", "what": "history", "then": "0123456789abcdef", "now": outcome["checksum"]}
    assert found.differences == [told]


def test_an_airport_that_cannot_be_tuned_any_more_is_a_difference(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = story.open().settings
    search = settings.search.model_copy(update={"seconds_per_airport": 1e-6})
    found = reproduce(open_workspace(settings.model_copy(update={"search": search})), None, story.later, ("CCC",))
    (told,) = found.differences
    assert (told["airport"], told["what"], told["then"]) == ("CCC", "status", "ok")
    assert told["now"].startswith("failed: tuning")


def test_the_numbers_are_those_of_the_run_and_not_of_the_configuration_since(story: Story) -> None:
    settings = story.open().settings.with_candidates(["seasonal_naive"]).with_max_evals(1)
    assert reproduce(open_workspace(settings), None, story.earlier, ("AAA",)).equal


def test_it_is_tuned_and_the_fleets_model_is_trained_anew(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    made, spread = fleet_models._made, tune.spread
    monkeypatch.setattr(fleet_models, "_made", lambda *a: (seen.append(len(a[-1])), made(*a))[1])
    monkeypatch.setattr(tune, "spread", lambda *a: (seen.append([h.airport for h in a[-1]]), spread(*a))[1])
    equal(story, story.later, "CCC")
    assert seen == [3, ["CCC"]]


# --- what there is not, and what is gone


@pytest.mark.parametrize("run", ["small-20201031T000000-c0ffee00-r0", "nonsense", "../../etc", "small-", ""])
def test_an_unknown_run_is_refused_and_the_newest_ones_are_named(story: Story, run: str) -> None:
    with pytest.raises(ConfigurationError, match="is neither a run, nor a release, nor a date") as refused:
        reproduce(story.open(), None, run)
    assert story.later in str(refused.value)
    assert story.earlier in str(refused.value)


def test_a_date_before_the_first_release_is_refused(story: Story) -> None:
    with pytest.raises(ConfigurationError, match=f"in force as of 2015-01-01; the first is of {EARLIER}"):
        reproduce(story.open(), None, "2015-01-01")


def test_airports_that_a_run_did_not_forecast_are_refused_with_the_reason(story: Story) -> None:
    with pytest.raises(ConfigurationError, match=r"NEW \(.*\), ZZZ: not forecast in run"):
        reproduce(story.open(), None, story.earlier, ("AAA", "ZZZ", "NEW"))
    with pytest.raises(ConfigurationError, match=f"ZZZ: not in release {story.first}"):
        reproduce(story.open(), None, story.first, ("ZZZ",))


def test_a_run_of_another_fleet_in_the_same_store_is_refused(story: Story, copied: Workspace) -> None:
    for one in copied.objects.names(f"runs/{story.earlier}/manifests"):
        copied.objects.put(one, {**(copied.objects.get(one) or {}), "fleet": "other"})
    with pytest.raises(ConfigurationError, match=f"run {story.earlier} is of fleet other; use that fleet's --config"):
        reproduce(copied, None, story.earlier)


def test_pruned_manifests_are_named(story: Story, copied: Workspace) -> None:
    for one in copied.objects.names(f"runs/{story.earlier}/manifests"):
        copied.objects.delete(one)
    for run in (story.earlier, story.first):
        with pytest.raises(ConfigurationError, match=f"runs/{story.earlier}/manifests, are gone"):
            reproduce(copied, None, run)


def test_a_pruned_outcome_is_named_by_its_airport_and_hinders_no_other(story: Story, copied: Workspace) -> None:
    copied.objects.delete(outcome_of(copied, story.later, "BBB")[0])
    for run, airports in ((story.later, ()), (story.whole, ("BBB",))):
        with pytest.raises(ConfigurationError, match=f"the outcomes of BBB are gone from runs/{story.later}/outcomes"):
            reproduce(copied, None, run, airports)
    assert reproduce(copied, None, story.later, ("CCC",)).equal


def test_a_pruned_fleet_decision_or_release_is_named(story: Story, copied: Workspace) -> None:
    copied.objects.delete(f"runs/{story.later}/fleet.json")
    with pytest.raises(ConfigurationError, match=f"runs/{story.later}/fleet.json, .* is gone"):
        reproduce(copied, None, story.later, ("CCC",))
    assert reproduce(copied, None, story.part).equal  # decided before there was one
    copied.objects.delete(f"releases/small/{story.second}.json")
    with pytest.raises(ConfigurationError, match=f"release {story.second}, .* is gone"):
        reproduce(copied, None, story.part)


def test_a_vacuumed_version_of_the_data_is_named_and_so_is_one_that_never_was(story: Story, copied: Workspace) -> None:
    table = DeltaTable(copied.tables._uri("observations"))
    table.optimize.compact()
    DeltaTable(copied.tables._uri("observations")).vacuum(0, enforce_retention_duration=False, dry_run=False)
    versions = {m: plan.load(copied, story.earlier, m).data_version for m in manifest_ids(copied, story.earlier)}
    with pytest.raises(ConfigurationError, match=f"version {min(versions.values())} of the table observations.* gone"):
        reproduce(copied, None, story.earlier)
    logs = Path(copied.tables._uri("observations")) / "_delta_log"
    DeltaTable(copied.tables._uri("observations")).create_checkpoint()
    (logs / f"{0:020}.json").unlink()
    with pytest.raises(ConfigurationError, match=r"of the table observations.* gone"):
        reproduce(copied, None, story.earlier)
    for one in versions:
        name = f"runs/{story.earlier}/manifests/{one}.json"
        copied.objects.put(name, {**(copied.objects.get(name) or {}), "data_version": 99})
    with pytest.raises(ConfigurationError, match=r"version 99 of the table observations.* gone"):
        reproduce(copied, None, story.earlier)


def manifest_ids(ws: Workspace, run_key: str) -> list[str]:
    return [n.rsplit("/", 1)[1].removesuffix(".json") for n in ws.objects.names(f"runs/{run_key}/manifests")]


def test_an_airport_that_failed_is_left_out_of_its_run_and_refused_by_name(story: Story, copied: Workspace) -> None:
    name, outcome = outcome_of(copied, story.forced.rpartition("-")[0], "CCC")
    key = outcome["run_key"]
    copied.objects.delete(name)
    rows = copied.tables.read("outcomes", [("run_key", "=", key)])
    rows.loc[rows["airport"].eq("CCC"), ["status", "reason"]] = ["failed", "it was too slow"]
    copied.tables.replace("outcomes", rows, {"run_key": key})
    assert reproduce(copied, None, key).airports == ["AAA", "BBB"]
    with pytest.raises(ConfigurationError, match=r"CCC \(it was too slow\): not finished in run"):
        reproduce(copied, None, key, ("CCC",))
    for airport in ("AAA", "BBB"):
        copied.objects.delete(outcome_of(copied, key, airport)[0])
    rows["status"] = "failed"
    copied.tables.replace("outcomes", rows, {"run_key": key})
    assert {airport for airport, _ in ledger.finished(copied.objects, key)} == {"DDD", "NEW"}  # quarantined
    with pytest.raises(ConfigurationError, match="no airport of it was finished"):
        reproduce(copied, None, key)
