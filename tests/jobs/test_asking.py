"""What the command line answers before anything was done: a fleet without data, a run that is only planned."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from paxcast import cli
from paxcast.core.calendar import parse_as_of
from paxcast.core.errors import ConfigurationError
from paxcast.jobs import plan, releases, retrain
from paxcast.jobs.ingest import ingest
from paxcast.jobs.run import Request, open_run
from paxcast.jobs.workspace import Workspace, open_workspace
from paxcast.settings import load

NOW = pd.Timestamp("2021-03-01T12:00", tz="UTC")
CODES = [f"A{number:02d}" for number in range(14)]
Make = Callable[..., Any]


def asked(path: Path, *args: str) -> Result:
    return CliRunner().invoke(cli.app, ["--config", str(path), *args])


# --- a fleet without data, beside one that has some


@pytest.fixture(scope="module")
def empty(new_fleet: Make, made_up: Make) -> Path:
    """A fleet whose frequency is stated and which has received nothing, in a store in which another has data."""
    table = made_up(CODES[:1], 60, "MS", "2020-12-01")
    full = new_fleet(table, source={"frequency": "MS"}, search={"mode": "local"}, candidates=["seasonal_naive"])
    ingest(open_workspace(load(full)), NOW)
    other: Path = full.with_name("empty.yaml")
    other.write_text(full.read_text(encoding="utf-8"), encoding="utf-8")
    return other


@pytest.mark.parametrize(
    "command",
    [
        "retrain --as-of 2020-12-31",
        "retrain --as-of 2020-12-31 --dry-run",
        "retrain --rerun-failed",
        "forecast",
        "forecast --as-of 2020-12-31",
        "backtest --origins 2019-12 --out OUT",
        "evaluate --as-of 2020-12-31 --out OUT",
    ],
)
def test_a_fleet_without_data_is_named_and_told_to_ingest(empty: Path, command: str) -> None:
    error = asked(empty, *command.split()).exception
    assert isinstance(error, ConfigurationError)
    assert str(error).startswith("fleet empty: nothing ")
    assert "`paxcast ingest`" in str(error)


@pytest.mark.parametrize("command", ["status", "score"])
def test_where_an_empty_answer_is_no_error_it_is_said_beside_it(empty: Path, command: str) -> None:
    for args in ((command,), (command, "--json")):
        said = asked(empty, *args)
        assert said.exit_code == 0
        assert said.stderr == "paxcast: fleet empty: nothing was ingested yet; run `paxcast ingest` first\n"
    assert json.loads(said.stdout) is not None
    assert asked(empty.with_name("small.yaml"), command).stderr == ""


def test_the_job_itself_says_so_too(empty: Path) -> None:
    with pytest.raises(ConfigurationError, match="fleet empty: nothing was ingested yet; run `paxcast ingest` first"):
        retrain.retrain(open_workspace(load(empty)), Request(as_of=parse_as_of("2020-12-31")), NOW)


def test_where_nothing_has_failed_nothing_is_rerun_and_that_is_said(empty: Path) -> None:
    error = asked(empty.with_name("small.yaml"), "retrain", "--rerun-failed").exception
    assert isinstance(error, ConfigurationError)
    assert str(error) == "--rerun-failed: no airport of fleet small has failed; nothing is to be done again"


def test_of_a_date_before_the_data_the_fleet_is_named_and_how_to_bring_older_ones(empty: Path) -> None:
    error = asked(empty.with_name("small.yaml"), "retrain", "--as-of", "2001-01-01").exception
    assert str(error) == (
        "fleet small: nothing is known as of 2001-01-01; choose a later date, or `paxcast ingest` older data"
    )


# --- a run that is only planned


@pytest.fixture(scope="module")
def planned(new_fleet: Make, made_up: Make) -> tuple[Workspace, Path]:
    """Fourteen airports, of which three are done under the run key of the end of 2020."""
    table = made_up(CODES, 40, "MS", "2020-12-01")
    path = new_fleet(table, search={"mode": "local"}, candidates=["seasonal_naive"])
    ws = open_workspace(load(path))
    ingest(ws, NOW)
    retrain.retrain(ws, Request(as_of=parse_as_of("2020-12-31"), airports=tuple(CODES[:3]), request_id="a"), NOW)
    return ws, path


def test_a_dry_run_says_who_would_be_refitted_and_who_is_done(planned: tuple[Workspace, Path]) -> None:
    args = ("retrain", "--as-of", "2020-12-31", "--dry-run")
    result = json.loads(asked(planned[1], *args, "--json").stdout)
    assert (result["planned"], result["would_refit"], result["already_done"]) == (CODES, CODES[3:], CODES[:3])
    lines = asked(planned[1], *args).stdout.splitlines()
    assert lines[0].endswith(" would forecast 14 airports.")
    assert lines[1:] == [
        f"  would be refitted: 11: {', '.join(CODES[3:13])} and 1 more",
        f"  already done: 3: {', '.join(CODES[:3])}",
        "  quarantined: 0",
    ]


def test_a_dry_run_of_a_date_on_which_nothing_is_done_says_none(planned: tuple[Workspace, Path]) -> None:
    lines = asked(planned[1], "retrain", "--as-of", "2020-11-30", "--dry-run").stdout.splitlines()
    assert lines[2] == "  already done: 0"


# --- a store that an earlier version wrote


def test_champions_of_a_release_with_flat_parameters_are_no_points_to_start_from(
    planned: tuple[Workspace, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ws, _ = planned
    release = releases.current(ws)
    assert release is not None
    shapes: list[dict[str, Any]] = [
        {"changepoint_prior_scale": 0.05, "growth": "flat"},
        {"prophet": {"growth": "linear"}, "seasonal_naive": {}},
        {},
    ]
    entries = tuple(replace(e, parameters=p) for e, p in zip(release.entries, shapes, strict=True))
    monkeypatch.setattr(releases, "newest_before", lambda *_, **__: replace(release, entries=entries))
    context = plan._context(open_run(ws, Request(as_of=parse_as_of("2021-01-31"), dry_run=True)))
    assert context["champions"] == {CODES[0]: {}, CODES[1]: shapes[1], CODES[2]: {}}
    assert context["fleet_best"] == {"prophet": {"growth": "linear"}}
