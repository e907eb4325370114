"""A process that ends at once right before and right after every commit point of a run: what readers see then, and what
the rerun makes of it. Real processes, a real store, MLflow on sqlite.

The commit points, in order: an airport's outcome, the compaction of a batch, a model version, the release object, the
forecasts, the release's own version, the record of its publication, the aliases, the pointer.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CODES = ["AAA", "BBB", "CCC", "DDD"]
EARLIER, LATER = "2020-11-30", "2020-12-31"
FIRST_BATCH, ALL = CODES[:2], CODES
OLD, NEW = "old", "new"
PROGRAM = Path(__file__).with_name("crashed_line.py")
CRASHED = 9
Make = Callable[..., Any]


@dataclass(frozen=True)
class Point:
    """A place in the line where a process ends: right before or after a call. What is then finished of the later run,
    and which release readers see by the pointer and by MLflow's alias of the fleet."""

    name: str
    call: str
    first_arguments: str
    when: str
    finished: list[str]
    shown: str = OLD
    served: str = OLD

    def as_crash(self) -> dict[str, str]:
        return {"call": self.call, "with": self.first_arguments, "when": self.when}

    def __str__(self) -> str:
        return f"{self.when} {self.name}"


def points() -> Iterator[Point]:
    """Every commit point twice."""
    for name, call, arguments, before, after in (
        ("the second outcome", "new object", "/outcomes/BBB-", ["AAA"], FIRST_BATCH),
        ("the first batch's compaction", "table", "outcomes", FIRST_BATCH, FIRST_BATCH),
        ("the second airport's version", "version", "small.BBB", ALL, ALL),
        ("the release object", "new object", "releases/small/", ALL, ALL),
        ("the forecasts", "table", "forecasts", ALL, ALL),
        ("the release's version", "version", "small.release", ALL, ALL),
        ("the record of publication", "new object", "published/small/", ALL, ALL),
        ("the second airport's old alias", "alias", "small.BBB previous", ALL, ALL),
        ("the second airport's alias", "alias", "small.BBB champion", ALL, ALL),
        ("the last airport's alias", "alias", "small.DDD champion", ALL, ALL),
    ):
        yield Point(name, call, arguments, "before", before)
        yield Point(name, call, arguments, "after", after)
    yield Point("the fleet's alias", "alias", "small.release champion", "before", ALL)
    yield Point("the fleet's alias", "alias", "small.release champion", "after", ALL, served=NEW)
    yield Point("the pointer", "pointer", "releases/small/current.json", "before", ALL, served=NEW)
    yield Point("the pointer", "pointer", "releases/small/current.json", "after", ALL, shown=NEW, served=NEW)


@dataclass
class Line:
    """A fleet with a release of the earlier date in force, to which it can be brought back, and what a run of the later
    one makes that nothing disturbs."""

    folder: Path
    config: Path
    program: "subprocess.Popen[str]"
    seen: dict[str, dict[str, Any]]  # by OLD and NEW, what readers see
    undisturbed: dict[str, Any]

    def run(self, *steps: list[str], crash: dict[str, str] | None = None) -> list[Any]:
        """Do some steps in a process of their own; what they gave, nothing if it crashed as it was told to."""
        answer = self.folder / "answer.json"
        order = {"config": str(self.config), "steps": steps, "crash": crash, "answer": str(answer)}
        stdin, stdout = self.program.stdin, self.program.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()
        code = stdout.readline().strip()
        assert code == str(CRASHED if crash else 0)
        return [] if crash else list(json.loads(answer.read_text(encoding="utf-8"))["gave"])

    def keep(self) -> None:
        shutil.copytree(self.folder / "home", self.folder / "before")

    def go_back(self) -> None:
        """The store and MLflow as they were when the earlier release was in force. No process has them open."""
        shutil.rmtree(self.folder / "home")
        shutil.copytree(self.folder / "before", self.folder / "home")


@pytest.fixture(scope="module")
def program() -> Iterator["subprocess.Popen[str]"]:
    environment = {name: v for name, v in os.environ.items() if not name.startswith(("PAXCAST_", "MLFLOW_"))}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # before a fork there is one thread only
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment | threads,
    ) as process:  # fmt: skip
        yield process


@pytest.fixture(scope="module")
def line(
    program: "subprocess.Popen[str]", tmp_path_factory: pytest.TempPathFactory, write_fleet: Make, made_up: Make
) -> Line:
    """Four airports in two batches, three cheap candidates, tuned without Spark."""
    folder = tmp_path_factory.mktemp("crashes")
    home = folder / "home"
    config = write_fleet(
        folder, made_up(CODES, 60, "MS", "2020-12-01"), store=str(home / "store"), horizon=6,
        mlflow={"tracking_uri": f"sqlite:///{home}/mlflow.db", "charts": "none"}, search={"mode": "local"},
        candidates=["seasonal_naive", "random_walk", "window_average"], spark={"worker_memory_mb": 0},
    )  # fmt: skip
    made = Line(folder, config, program, {}, {})
    *_, made.seen[OLD] = made.run(["ingest"], ["retrain", EARLIER], ["read"])
    made.keep()
    _, made.seen[NEW], made.undisturbed = made.run(["retrain", LATER], ["read"], ["look"])
    return made


def test_the_two_releases_are_whole_and_differ(line: Line) -> None:
    old, new = line.seen[OLD], line.seen[NEW]
    for seen, first in ((old, "2020-12-01"), (new, "2021-01-01")):
        assert sorted({row["airport"] for row in seen["shown"]}) == seen["entries"] == CODES
        assert len(seen["shown"]) == len(CODES) * 6
        assert {row["ds"] for row in seen["shown"]} >= {first}
        assert seen["served"] == seen["shown"]
    assert old["current"] != new["current"]


@pytest.mark.parametrize("point", points(), ids=str)
def test_after_a_crash_readers_see_one_whole_release_and_the_rerun_completes_the_other(
    line: Line, point: Point
) -> None:
    line.go_back()
    line.run(["retrain", LATER], crash=point.as_crash())
    seen, left, again, seen_at_last, found = line.run(["read"], ["look"], ["retrain", LATER], ["read"], ["look"])

    by_pointer, by_alias = line.seen[point.shown], line.seen[point.served]
    assert seen == {**by_pointer, "served": by_alias["served"]}

    assert again["kept"] == point.finished
    assert again["refitted"] == [code for code in CODES if code not in point.finished]
    assert left["outcomes"].items() <= found["outcomes"].items()
    assert begun(left, point.finished) == begun(found, point.finished)

    assert seen_at_last == line.seen[NEW]
    for what in ("models", "versions", "runs", "tables", "published"):
        assert found[what] == line.undisturbed[what], what


def begun(found: dict[str, Any], codes: list[str]) -> list[str]:
    """How often a worker took up each of these airports: a name each time."""
    return [name for name in found["begun"] if name[:3] in codes]


def test_each_airport_has_one_version_of_each_date_and_no_run_is_left_open(line: Line) -> None:
    found = line.undisturbed
    models = [*(f"small.{code}" for code in CODES), "small.release"]
    assert found["versions"] == [[m, number, as_of] for m in models for number, as_of in ((1, EARLIER), (2, LATER))]
    assert {state for _, state in found["runs"]} == {"FINISHED"}
    assert len(found["runs"]) == len({key for key, _ in found["runs"]}) == 2 * (len(CODES) + 1)
    assert {row[-1] for rows in found["tables"].values() for row in rows} == {"1"}
