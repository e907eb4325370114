"""How long Paxcast takes to recover when a process is killed in the middle of a batch of 60 airports.

Runs tests/e2e/test_kills.py, which kills a Python worker, an executor, Spark's driver and Airflow's scheduler under a
real `airflow standalone`, and collects the seconds from the blow until the airports in flight are finished. The last
line is one JSON object, also kept in benchmarks/results/recovery.json.
"""

import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import measured


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", "faults", "tests/e2e/test_kills.py"]
        kept = ["-o", "junit_family=xunit1", f"--junitxml={seen}", f"--basetemp={folder}/tests"]
        # With the threads that the caller's environment allows, as in production.
        code = subprocess.run([*command, *kept], cwd=measured.PROJECT, env=measured.ENVIRONMENT, check=False).returncode
        if code:
            return code
        found = {p.attrib["name"]: float(p.attrib["value"]) for p in ET.parse(seen).getroot().iter("property")}
    measured.keep("recovery", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
