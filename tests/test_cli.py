"""The command line's last resort: what is wrong with a file or a folder is one line, not a traceback."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from paxcast import cli
from paxcast.jobs import releases
from paxcast.jobs.workspace import open_workspace
from paxcast.settings import load


def test_a_folder_that_cannot_be_made_is_named_in_one_line_and_the_exit_code_is_1(
    make_fleet: Callable[..., Path], made_up: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = make_fleet(made_up(["AAA"], 24, "MS", "2020-12-01"), store="taken/store")
    (path.parent / "taken").write_text("a file", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["paxcast", "--config", str(path), "ingest"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert "Traceback" not in told
    assert any(
        line.startswith("paxcast: ") and "taken" in line and "Not a directory" in line for line in told.splitlines()
    )


@pytest.mark.parametrize("option", ["--airport", "--airports"])
def test_one_airport_can_be_reproduced_by_either_name_of_the_option(
    make_fleet: Callable[..., Path], made_up: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: Any,
    option: str,
) -> None:  # fmt: skip
    path = make_fleet(made_up(["AAA"], 24, "MS", "2020-12-01"))
    monkeypatch.setattr(sys, "argv", ["paxcast", "--config", str(path), "reproduce", "2020-12-31", option, "AAA"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "nothing was ingested yet" in capsys.readouterr().err  # it was understood


def test_forecasts_as_of_a_day_before_the_first_release_are_refused_in_one_line_that_names_the_first(
    make_fleet: Callable[..., Path], made_up: Callable[..., Any], release_of: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch, capsys: Any,
) -> None:  # fmt: skip
    path = make_fleet(made_up(["AAA"], 24, "MS", "2020-12-01"))

    def told(*command: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["paxcast", "--config", str(path), *command])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(str(ended.value.code)), capsys.readouterr().err

    assert told("ingest")[0] == 0
    none = "paxcast: fleet small: no release yet; run `paxcast retrain`\n"
    assert told("forecast") == told("forecast", "--as-of", "2020-09-30") == (1, none)
    ws = open_workspace(load(path))
    for as_of in ("2020-11-30", "2020-10-31", "2020-12-31"):  # a backfill's is published later
        release = release_of(as_of, {"AAA": {}})
        releases.keep(ws, release, pd.Timestamp("2021-03-01", tz="UTC"), backfill=as_of == "2020-10-31")
        releases.published(ws, release)
    early = "paxcast: --as-of: fleet small had no release as of 2020-10-30; the first is as of 2020-10-31\n"
    assert told("forecast", "--as-of", "2020-10-30") == (1, early)
