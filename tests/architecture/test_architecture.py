"""Rules that no type checker holds: who reads the environment, how long a module is, what the repository holds."""

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "include" / "paxcast"
CODE = sorted(path for folder in ("include", "dags", "plugins") for path in (PROJECT / folder).rglob("*.py"))
LOCK = PROJECT / "requirements.lock"
CORE_LOCK = PROJECT / "tests" / "core" / "requirements.lock"
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
MAY_TOUCH_THE_ENVIRONMENT = {
    "settings.py": "reads it for everyone",
    "adapters/spark.py": "PySpark takes its workers' Python from nowhere else",
    "adapters/mlflow_registry/__init__.py": "MLflow reads its defaults at import; its own traces are put back",
    "orchestration/demo.py": "hands its environment on to Airflow",
}
# Split, so that this file does not contain what it looks for.
REGISTRIES = ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org"]
MACHINES = ["/" + folder + "/" for folder in ("work", "root", "home")]


def name_of(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def environment_lines(tree: ast.Module) -> Iterator[int]:
    """The lines of a module that touch the environment, however `os` is imported."""
    names = {a.asname or a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names if a.name == "os"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os" and ENVIRONMENT & {a.name for a in node.names}:
            yield node.lineno
        if isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT and getattr(node.value, "id", "") in names:
            yield node.lineno


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_only_the_settings_read_the_environment(path: Path) -> None:
    lines = list(environment_lines(ast.parse(path.read_text(encoding="utf-8"))))
    allowed = path.is_relative_to(PACKAGE) and str(path.relative_to(PACKAGE)) in MAY_TOUCH_THE_ENVIRONMENT
    assert not lines or allowed, f"{name_of(path)}, lines {lines}: ask paxcast.settings instead"


def test_every_exception_to_that_rule_is_still_needed() -> None:
    for name in MAY_TOUCH_THE_ENVIRONMENT:
        assert list(environment_lines(ast.parse((PACKAGE / name).read_text(encoding="utf-8")))), name


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("import os\nx = os.environ['A']", [2]),
        ("import os as system\n\nsystem.getenv('A')", [3]),
        ("from os import environ", [1]),
        ("import os\nos.path.join('environ')", []),
        ("environ = {}\nenviron['A']", []),
    ],
)
def test_the_check_of_the_environment_sees_what_it_should(code: str, lines: list[int]) -> None:
    assert list(environment_lines(ast.parse(code))) == lines


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_no_module_is_much_longer_than_300_lines(path: Path) -> None:
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= 325


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_nothing_is_printed(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"] == []


def test_the_layers_import_one_way_and_the_core_is_pure() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([str(program)], cwd=PROJECT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def files_of_the_repository() -> list[Path]:
    """What git tracks, and what it would if asked: everything that is not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := PROJECT / name).is_file()]


def test_no_file_names_a_package_registry_or_a_folder_of_one_machine() -> None:
    files = files_of_the_repository()
    assert Path(__file__) in files
    found = [
        f"{name_of(path)}, line {number}: {line.strip()[:100]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="ignore").splitlines(), start=1)
        if any(word in line for word in REGISTRIES + MACHINES)
    ]
    assert found == []


def locked(lock: Path) -> dict[tuple[str, str], int]:
    """(package, version) -> how many hashes it has. Another Python may need another version of a package."""
    entries: dict[tuple[str, str], int] = {}
    current = ("", "")
    for line in lock.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", line):
            current = (canonicalize_name(match[1]), match[2])
            entries[current] = 0
        elif line.strip().startswith("--hash=sha256:"):
            entries[current] += 1
        else:
            assert not line.strip() or line.strip().startswith("#"), f"{lock.name}: not a package: {line}"
    return entries


def versions(lock: Path, package: str) -> list[str]:
    return [version for name, version in locked(lock) if name == canonicalize_name(package)]


@pytest.mark.parametrize("lock", [LOCK, CORE_LOCK], ids=name_of)
def test_a_lock_has_hashes_for_every_package_and_names_no_index(lock: Path) -> None:
    entries = locked(lock)
    assert len(entries) > 10
    assert [entry for entry, hashes in entries.items() if hashes == 0] == []
    text = lock.read_text(encoding="utf-8")
    assert "index-url" not in text
    assert "find-links" not in text


def test_every_requirement_is_pinned_and_locked_at_that_version() -> None:
    lines = LOCK.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert len(wanted) > 10
    for requirement in wanted:
        assert [clause.operator for clause in requirement.specifier] == ["=="], requirement
        found = versions(LOCK, requirement.name)
        assert [requirement.specifier.contains(version) for version in found] == [True], f"{requirement}: {found}"


def test_the_core_is_tested_with_the_versions_of_the_whole() -> None:
    assert set(locked(CORE_LOCK)) - set(locked(LOCK)) == set()


def test_the_lock_has_no_spark_client_which_would_overwrite_spark() -> None:
    assert versions(LOCK, "pyspark-client") == []
    installed = {canonicalize_name(d.metadata["Name"]) for d in importlib.metadata.distributions()}
    assert "pyspark-client" not in installed


def test_the_first_line_of_the_requirements_leads_to_the_lock() -> None:
    first = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("#")
    assert "--require-hashes -r requirements.lock" in first


def test_the_spark_that_is_installed_is_the_locked_one_with_its_jars() -> None:
    import pyspark

    assert [pyspark.__version__] == [importlib.metadata.version("pyspark")] == versions(LOCK, "pyspark")
    assert len(list((Path(pyspark.__file__).parent / "jars").glob("*.jar"))) > 100


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))
    return content


def test_compose_takes_every_secret_from_outside_and_has_a_default_for_none(compose: dict[str, Any]) -> None:
    text = "\n".join(line.split(" #")[0] for line in yaml.safe_dump(compose, width=10_000).splitlines())
    variables = re.findall(r"(?<!\$)\$(?!\$)(\{[^}]*\}|\w+)", text)
    assert variables
    assert [v for v in variables if not re.fullmatch(r"\{[A-Z_]+:\?[^}]+\}", v)] == []
    secrets = re.findall(r"(?i)^\s*\S*(?:password|secret|fernet)\S*: *(.*)$", text, flags=re.MULTILINE)
    assert secrets
    assert [value for value in secrets if ":?" not in value] == []


def test_compose_listens_on_this_machine_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not str(port).startswith("127.0.0.1:")] == []


def test_every_page_is_short() -> None:
    limits = {PROJECT / "README.md": 150} | {page: 60 for page in (PROJECT / "docs" / "adr").glob("*.md")}
    lengths = {page: len(page.read_text(encoding="utf-8").splitlines()) for page in limits}
    assert len(limits) > 1
    assert {name_of(page): length for page, length in lengths.items() if length > limits[page]} == {}


def test_only_what_fits_models_imports_prophet() -> None:
    """Each task of a DAG is a process of its own, and Prophet takes seconds to be imported."""
    jobs = ", ".join(f"paxcast.jobs.{job}" for job in ("validate", "plan", "register", "promote", "forecast", "report"))
    program = f"import sys, {jobs}\nassert not {{'prophet', 'numba', 'matplotlib'}} & sys.modules.keys()"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_the_benchmarks_find_what_they_import() -> None:
    names = [path.stem for path in sorted((PROJECT / "benchmarks").glob("*.py"))]
    command = [sys.executable, "-c", f"import {', '.join(names)}"]
    found = subprocess.run(command, cwd=PROJECT / "benchmarks", capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
