"""A process that has done its work ends with its own exit code, which scripts and Airflow go by."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

from paxcast.adapters.delta_store import DeltaStore

# Without the time that the conversion to pandas takes: Arrow's threads are still at it when the process ends.
READ = """
import sys
from paxcast.adapters import delta_store
delta_store._frame = len
assert delta_store.DeltaStore(sys.argv[1]).read("rejects", [("fleet", "=", "small")]) == 8
"""


def test_a_process_that_has_just_read_the_store_ends_in_peace(tmp_path: Path) -> None:
    row = {"fleet": "small", "receipt": "r", "file": "a.csv", "row": 1, "airport": "AAA", "reason": "no date"}
    for _ in range(8):
        DeltaStore(str(tmp_path)).append("rejects", pd.DataFrame([row]))
    for _ in range(3):
        command = [sys.executable, "-c", READ, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        assert (done.returncode, done.stderr) == (0, "")
