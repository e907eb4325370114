"""A backfill of many airports over past weeks, two runs at a time, beside the scheduled run, with two kills.

Runs tests/e2e/test_backfill.py, which needs PostgreSQL's `initdb`, at `--airports` and `--weeks`: under a real Airflow,
with Spark's driver and then the scheduler killed, while a reader looks every second whether the release in force is
whole and whether a champion's as_of decreased; then the same backfill again, which must refit nothing. The last line is
one JSON object, also kept in benchmarks/results/backfill.json.
"""

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import measured

TEST = "tests/e2e/test_backfill.py"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--airports", type=int, default=300)
    asked.add_argument("--weeks", type=int, default=6)
    wanted = asked.parse_args()
    sizes = {"PAXCAST_BACKFILL_AIRPORTS": str(wanted.airports), "PAXCAST_BACKFILL_WEEKS": str(wanted.weeks)}
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", "faults", TEST, "-o", "junit_family=xunit1"]
        kept = [f"--junitxml={seen}", f"--basetemp={folder}/tests"]
        # With the threads that the caller's environment allows, as in production.
        environment = {**measured.ENVIRONMENT, **sizes}
        code = subprocess.run([*command, *kept], cwd=measured.PROJECT, env=environment, check=False).returncode
        suite = ET.parse(seen).getroot().find("testsuite")
    if code or suite is None or suite.get("skipped") != "0":
        sys.stderr.write(f"{TEST} failed or was skipped: there is no result\n")
        return code or 1
    measured.keep("backfill", found(suite))
    return 0


def found(suite: ET.Element) -> dict[str, Any]:
    """What the tests have recorded; `champion_as_of_decreased` as the answer to whether it ever did."""
    values = {p.attrib["name"]: float(p.attrib["value"]) for p in suite.iter("property")}
    plain = {
        name: int(value) if value.is_integer() and "minutes" not in name else value for name, value in values.items()
    }
    return {**plain, "champion_as_of_decreased": values["champion_as_of_decreased"] > 0}


if __name__ == "__main__":
    sys.exit(main())
