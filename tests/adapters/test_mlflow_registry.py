"""Against a real MLflow on sqlite; what it holds after a whole line is asked in tests/jobs/test_line.py."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

OPEN = """
import sys, time
from paxcast.adapters.mlflow_registry import Registry
time.sleep(max(0, float(sys.argv[2]) - time.time()))
registry = Registry(sys.argv[1], "paxcast-small")
print(registry.experiment_id, registry.parent_run("small-key", {"fleet": "small"}))
"""


def test_processes_that_touch_a_new_database_at_once_find_the_same_experiment_and_parent(tmp_path: Path) -> None:
    together = str(time.time() + 15)  # by then all have imported MLflow
    command = [sys.executable, "-c", OPEN, f"sqlite:///{tmp_path}/mlflow.db", together]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [process.communicate(timeout=180) for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0], ended
    experiments = {out.split()[0] for out, _ in ended}
    assert experiments == {"1"}


def test_a_parent_run_that_was_made_twice_is_the_same_one_for_everybody_afterwards(tmp_path: Path) -> None:
    from paxcast.adapters.mlflow_registry import Registry

    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "paxcast-small")
    first = registry.parent_run("small-key", {"fleet": "small"})
    tags = {"kind": "fleet", "run_key": "small-key", "idem_key": "small-key"}
    registry.client.create_run(registry.experiment_id, tags=tags)  # another batch, at the same moment
    assert registry.parent_run("small-key", {}) == first


def test_the_fleets_numbers_of_each_rerun_are_a_step_and_a_later_release_can_still_be_logged(tmp_path: Path) -> None:
    from paxcast.adapters.mlflow_registry import Registry

    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", "paxcast-small")
    parent = registry.parent_run("small-key", {"fleet": "small"})
    forecasts = tmp_path / "forecasts.parquet"
    forecasts.write_bytes(b"")
    made = []
    for number, failed in enumerate((2.0, 1.0, 0.0)):
        made.append(registry.register_release("small.release", forecasts, parent, f"release-{number}", {}))
        registry.log_fleet(parent, {"failed": failed}, {})
    assert made == [1, 2, 3]
    history = registry.client.get_metric_history(parent, "failed")
    assert [(metric.step, metric.value) for metric in history] == [(0, 2.0), (1, 1.0), (2, 0.0)]
