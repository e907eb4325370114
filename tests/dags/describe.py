"""A script: parse the project's DAGs in a real DagBag, and write what is in it as one line of JSON, the last of stdout.

The argument is a JSON list of trigger configurations; `answers` holds what each DAG says to each, empty if it takes it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pendulum
from airflow.dag_processing.dagbag import DagBag
from airflow.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

FOLDER = Path(__file__).resolve().parents[2] / "dags"
FIRST, LAST = pendulum.datetime(2024, 1, 1), pendulum.datetime(2024, 4, 1)


def main() -> None:
    confs = json.loads(sys.argv[1])
    bag = DagBag(str(FOLDER))
    found = {
        "errors": {Path(name).name: text for name, text in bag.import_errors.items()},
        "dags": {dag_id: described(dag, confs) for dag_id, dag in bag.dags.items()},
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def described(dag: Any, confs: list[dict[str, Any]]) -> dict[str, Any]:
    """One DAG: as it was written, and its timetable and params as the scheduler reads them back."""
    stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return {
        "tags": sorted(dag.tags),
        "doc": dag.doc_md,
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "start_date": dag.start_date.isoformat(),
        "tasks": {
            task.task_id: {**task_described(task), "links": list(stored.get_task(task.task_id).extra_links)}
            for task in dag.tasks
        },
        "params": {name: {"default": p.value, **p.schema} for name, p in stored.params.items()},
        "descriptions": {name: p.description for name, p in stored.params.items()},
        "answers": [answer(stored, conf) for conf in confs],
        "schedule": schedule_described(stored),
    }


def task_described(task: Any) -> dict[str, Any]:
    return {
        "owner": task.owner,
        "retries": task.retries,
        "policy": task.retry_policy is not None,
        "doc": task.doc_md,
        "rule": str(task.trigger_rule.value),
        "kinds": [f"{kind.__module__}.{kind.__name__}" for kind in type(task).__mro__],
        "downstream": sorted(task.downstream_task_ids),
        "outlets": [asset.name for asset in task.outlets],
    }


def schedule_described(stored: Any) -> dict[str, Any]:
    table = stored.timetable
    instants = [
        [i.data_interval.start.isoformat(), i.data_interval.end.isoformat(), i.run_after.isoformat()]
        for i in stored.iter_dagrun_infos_between(FIRST, LAST)
    ]
    return {
        "kind": type(table).__name__,
        "assets": [asset.name for _, asset in table.asset_condition.iter_assets()],
        "periodic": table.periodic,
        "runs": instants,
    }


def answer(stored: Any, conf: dict[str, Any]) -> str:
    """What a trigger with this configuration is told; this is what the API does with it."""
    try:
        stored.params.deep_merge(conf).validate()
    except ParamValidationError as err:
        return str(err)
    return ""


if __name__ == "__main__":
    main()
