"""Which drift checks pruning removes and which it leaves: years go by at once, and nothing that is needed is missed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast.adapters.mlflow_registry import Registry
from paxcast.core import calendar
from paxcast.core.release import Entry, Release
from paxcast.jobs import drift_asked, drift_kept, prune, releases, retention
from paxcast.jobs.on_record import EVER
from paxcast.jobs.prune import Pruned
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

LATER = pd.Timestamp("2040-01-01", tz="UTC")
MONTHS = [pd.Timestamp(month, tz="UTC") for month in pd.date_range("2018-02-01", periods=40, freq="MS")]
CODES = ["AAA", "BBB"]
RUN_KEY = "small-20180101T000000-c0ffee00-r0"
Make = Callable[..., Any]


class Checked:
    """A monthly fleet that was checked on the first of each of MONTHS; what is not told otherwise was quiet."""

    def __init__(self, folder: Path) -> None:
        content = {"source": {"kind": "file", "path": "small.csv", "frequency": "MS"}, "store": "store"}
        path = folder / "small.yaml"
        path.write_text(json.dumps({**content, "drift": {"reference": 24, "window": 4}}), encoding="utf-8")
        self.ws: Workspace = open_workspace(load(path))

    def all(self, **said: dict[int, str]) -> None:
        """Every month's check, written at once: `all(AAA={3: "moderate retrain"})`: severity, action, what it is on."""
        frames = []
        for number, month in enumerate(MONTHS):
            key, as_of = drift_kept.check_key("small", month), calendar.as_of_text(month)
            names = {"check_key": key, "as_of": as_of}
            self.ws.objects.put(f"drift/small/{key}.json", {**names, "world": {"alert": False}, "counts": {}})
            rows = [self._row(airport, number, said.get(airport, {}).get(number, "none")) for airport in CODES]
            frames.append(pd.DataFrame(rows).assign(fleet="small", run_key=key, **names))
        self.ws.tables.append("drift", pd.concat(frames))

    def _row(self, airport: str, number: int, said: str) -> dict[str, Any]:
        severity, action, pinned = [*said.split(), "none", ""][:3] if " " in said else (said, "none", "")
        cycle = str((MONTHS[number] - pd.DateOffset(months=1)).date())
        base = {"airport": airport, "cycle": cycle, "tested": True, "drifted": severity == "moderate"}
        base |= {"severity": severity, "p": 0.5, "q": 0.5, "ratio": 1.0, "reasons": "[]", "cusum": "[]", "fault": ""}
        return {**base, "why": "", "action": action, "pinned": "" if pinned == "none" else pinned, "version": 1}

    def release(self, number: int, version: int) -> None:
        """A model of AAA as of a month."""
        text = str((MONTHS[number] - pd.Timedelta(days=1)).date())
        entry = Entry("AAA", "small.AAA", version, f"run-{text}", text, "c", "combination", {})
        made = Release(
            release_id=f"release-{text}", fleet="small", as_of=text, run_key=RUN_KEY, previous=None, entries=(entry,)
        )
        releases.keep(self.ws, made, MONTHS[number], False)
        releases.published(self.ws, made)

    def prune(self, now: pd.Timestamp = LATER, **wanted: Any) -> Pruned:
        return prune.prune(self.ws, now, **wanted)

    def there(self) -> list[int]:
        """The checks in the store; the same in the table as beside it."""
        keys = sorted(retention.checks(self.ws))
        assert sorted(self.ws.tables.read("drift")["check_key"].unique()) == keys
        return [[drift_kept.check_key("small", month) for month in MONTHS].index(key) for key in keys]

    def told(self) -> list[Any]:
        """What later checks and runs are told of the past."""
        asks = [drift_asked.asked_for(self.ws, EVER), drift_asked.pinned(self.ws, EVER)]
        newest = drift_kept.before(self.ws, EVER)
        return [*asks, drift_asked.past(self.ws, EVER), drift_asked.dropped(self.ws, EVER), newest]


@pytest.fixture
def checked(tmp_path: Path, isolated_home: Path) -> Checked:
    return Checked(tmp_path)


LAST = len(MONTHS) - 1


def test_of_checks_in_which_nobody_was_asked_for_the_newest_is_kept(checked: Checked) -> None:
    checked.all(AAA={5: "watch", LAST: "watch"})
    for number in (3, LAST):
        checked.ws.objects.put_text(f"drift/small/{drift_kept.check_key('small', MONTHS[number])}/index.html", "page")
    before, names = checked.told(), list(checked.ws.objects.names("drift"))
    dry = checked.prune(dry_run=True)
    assert list(checked.ws.objects.names("drift")) == names
    assert len(checked.there()) == len(MONTHS)
    done = checked.prune()
    assert checked.there() == [LAST]
    assert checked.told() == before
    key = drift_kept.check_key("small", MONTHS[LAST])
    assert list(checked.ws.objects.names("drift")) == [f"drift/small/{key}.json", f"drift/small/{key}/index.html"]
    assert done.checks_kept == {key: "is the newest check"}
    assert (len(done.checks), done.rows["drift"], done.objects) == (LAST, 2 * LAST, LAST + 1)
    assert (dry.checks, dry.rows, dry.objects) == (done.checks, done.rows, done.objects)
    again = checked.prune()
    assert (again.checks, again.rows) == ((), {})


def test_what_was_written_within_the_retention_stays(checked: Checked) -> None:
    checked.all()
    done = checked.prune(pd.Timestamp.now(tz="UTC") + pd.Timedelta(days=399))
    assert done.checks == ()
    assert set(done.checks_kept.values()) == {"is the newest check", "is younger than the retention"}


def test_the_checks_of_an_airport_that_is_not_quiet_yet_stay_since_it_was_first_asked_for(checked: Checked) -> None:
    """Asked for, made, and drifted again: nothing has come of the second ask."""
    checked.all(
        AAA={30: "moderate retrain", 33: "moderate fallback random_walk", **dict.fromkeys(range(34, 40), "watch")}
    )
    checked.release(30, 2)
    before = checked.told()
    assert before[2]["AAA"].asked == 1
    checked.prune()
    assert checked.there() == list(range(30, 40))
    assert checked.told() == before


def test_an_episode_that_is_over_leaves_what_tells_that_it_is_over_and_what_shall_be_no_evidence_again(
    checked: Checked,
) -> None:
    checked.all(AAA={1: "moderate retrain", 20: "moderate retrain"})
    checked.release(1, 2)
    checked.release(20, 3)
    before = checked.told()
    assert before[2] == {}
    assert [stretch[1] for stretch in before[3]["AAA"]] == ["2018-02-01", "2019-09-01"]
    checked.prune()
    assert checked.there() == list(range(20, 40))  # the first ask lies further back than a check looks
    assert checked.told()[:3] == before[:3]
    assert checked.told()[3] == {"AAA": before[3]["AAA"][1:]}


def test_an_episode_that_was_over_does_not_keep_the_checks_before_the_next(checked: Checked) -> None:
    checked.all(AAA={4: "moderate retrain", 36: "moderate retrain"})
    checked.release(4, 2)
    before = checked.told()
    checked.prune()
    assert checked.there() == list(range(36, 40))
    assert checked.told()[:3] == before[:3]


def test_the_method_that_an_airport_is_on_outlasts_the_check_that_asked_for_it(checked: Checked) -> None:
    checked.all(AAA=dict.fromkeys(range(2, 40), "none none random_walk"))
    before = checked.told()
    assert before[1] == {"AAA": "random_walk"}
    checked.prune()
    assert checked.told()[:2] == before[:2]


def test_the_run_of_a_check_in_mlflow_goes_with_it(checked: Checked, empty_mlflow: Path, isolated_home: Path) -> None:
    isolated_home.mkdir(exist_ok=True)
    shutil.copy(empty_mlflow, isolated_home / "mlflow.db")
    checked.all()
    checked.ws.objects.put(f"runs/{RUN_KEY}/planned.json", {})  # without any run MLflow is not asked
    registry = Registry(checked.ws.settings.tracking_uri, checked.ws.settings.experiment)
    keys = [drift_kept.check_key("small", MONTHS[number]) for number in (7, LAST)]
    for key in keys:
        registry.log_check(key, {"fleet": "small"}, {"drifted": 0.0}, {"index.html": "page"})
    assert checked.prune().mlflow_runs == 1
    found = registry.client.search_runs([registry.experiment_id], "tags.kind = 'drift'")
    assert [run.data.tags["run_key"] for run in found] == keys[1:]
