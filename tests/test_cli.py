"""The command line's last resort: what is wrong with a file or a folder is one line, not a traceback."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paxcast import cli


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
