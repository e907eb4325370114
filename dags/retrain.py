"""
### retrain_{fleet}

validate → plan → [tune on Spark → register in MLflow] for each batch → promote → forecast → report.

A scheduled run, a run by hand, one that drift triggers and a backfill are this same line with another `as_of` or
another list of airports. A retry, a cleared task and a second run refit only airports that are not done.

**Trigger it with** nothing, or for example `{"as_of": "2013-12-31", "airports": ["ATL", "BOS"]}`.

**If a batch is red**: some of its airports failed; its log names them, the others are released. Once the cause is gone,
clear that `tune` task with its downstream tasks, or trigger the DAG with `{"rerun_failed": true}`.
**If report is red**: more than `max_failed_share` of the airports failed.
"""

from airflow.sdk import dag, task, task_group

from paxcast.adapters.spark import session_conf
from paxcast.orchestration import fleets, params, tasks
from paxcast.settings import Settings

LABEL = "{{ label }}"


def retrain_dag(settings: Settings) -> None:
    fleet, spark = settings.fleet, settings.spark
    conf = session_conf(None if spark.conn_id else spark.master, spark.conf)

    @dag(
        dag_id=f"retrain_{fleet}",
        schedule=fleets.retrain_schedule(settings),
        start_date=fleets.start(settings),
        catchup=False,
        max_active_runs=1,
        default_args=fleets.DEFAULT_ARGS,
        params=params.airflow_params(params.RetrainParams),
        tags=["paxcast", fleet],
        doc_md=__doc__,
    )
    def retrain():
        @task_group
        def batch(of):
            tune = task.pyspark(tasks.tune, conn_id=spark.conn_id, config_kwargs=conf, map_index_template=LABEL)
            register = task(tasks.register, trigger_rule="all_done", map_index_template=LABEL)
            tune(fleet, of) >> register(fleet, of)

        planned = task(tasks.plan)(fleet, task(tasks.validate)(fleet))
        tuned = batch.expand(of=task(tasks.batches)(planned))
        promoted = task(tasks.promote, trigger_rule="all_done_min_one_success")(fleet, planned)
        tuned >> promoted
        task(tasks.forecast)(fleet, promoted) >> task(tasks.report)(fleet, planned)

    retrain()


for fleet_settings in fleets.fleets():
    retrain_dag(fleet_settings)
