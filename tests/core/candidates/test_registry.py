"""Candidates are found by themselves: one file each."""

import importlib
import json
import subprocess
import sys

import pytest

from paxcast.core import candidate_files
from paxcast.core.candidates.registry import CANDIDATES, found
from paxcast.core.errors import ConfigurationError

ONE = "from types import SimpleNamespace\nCANDIDATES = (SimpleNamespace(name={!r}),)\n"
TWO = "from types import SimpleNamespace\nCANDIDATES = (SimpleNamespace(name={!r}), SimpleNamespace(name={!r}))\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of candidates, from the text of its modules."""

    def made(**modules):
        name = f"made_{tmp_path.name}"
        folder = tmp_path / name
        folder.mkdir()
        for module, text in {"__init__": "", **modules}.items():
            (folder / f"{module}.py").write_text(text)
        monkeypatch.syspath_prepend(str(tmp_path))
        importlib.invalidate_caches()
        return importlib.import_module(name)

    return made


def test_a_new_candidate_is_one_file_with_its_variants(package):
    made = package(zebra=ONE.format("zebra"), apple=TWO.format("apple", "apple_log"), registry="", refit="")
    assert list(found(made)) == ["apple", "apple_log", "zebra"]


def test_two_files_that_give_the_same_name_are_both_named(package):
    made = package(first=TWO.format("first", "second"), second=ONE.format("second"))
    message = "core/candidates/second.py: 'second' is already a candidate of core/candidates/first.py"
    with pytest.raises(ConfigurationError, match=message):
        found(made)


@pytest.mark.parametrize("text", ["", ONE.format("other")])
def test_a_file_without_a_candidate_of_its_own_name_is_refused(package, text):
    with pytest.raises(ConfigurationError, match=r"core/candidates/lost.py: its CANDIDATES hold none called 'lost'"):
        found(package(lost=text))


def test_the_files_tell_the_candidates_names():
    assert candidate_files.names() == tuple(sorted(candidate_files.names()))
    assert {"prophet", "seasonal_naive", "auto_ets"} <= set(candidate_files.names()) <= set(CANDIDATES)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("paxcast.core.candidate_files", ["numpy", "pandas"]),
        ("paxcast.core.candidates.registry", ["statsforecast", "statsmodels", "fugue"]),
    ],
)
def test_names_are_known_without_numpy_and_candidates_without_what_they_fit_with(module, heavy):
    program = (
        f"import json, sys, {module} as m; hasattr(m, 'names') and m.names(); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=600)
    loaded = json.loads(done.stdout)
    assert module in loaded
    assert set(heavy) & set(loaded) == set()


def test_every_candidate_tells_its_cost_and_a_formula_costs_next_to_nothing():
    assert all(0 <= candidate.cost < 1 for candidate in CANDIDATES.values())
    assert CANDIDATES["seasonal_growth"].cost < CANDIDATES["auto_ces"].cost < CANDIDATES["auto_ets"].cost
