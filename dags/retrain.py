"""
### retrain_{fleet}

validate → plan → [tune on Spark → register in MLflow] for each batch → promote → forecast → report.

A scheduled run, one by hand, one that drift triggers and a backfill differ in `as_of` or in the list of airports alone.
A retry, a cleared task and a second run refit only airports that are not done. The group `gate`, between promote and
forecast, is there with `promotion.ask_above`: it asks a person where more specifications would change.

**Trigger it with** nothing, or for example `{"as_of": "2013-12-31", "airports": ["ATL", "BOS"]}`.
**If tasks are red**: airports of a batch failed; its log names them, the others are released. `tune` and `register` of
the batch, `promote` and `forecast` have done their work and are red to be found: once the cause is gone, clear the
run's failed tasks, and only the open airports are refitted. `{"rerun_failed": true}` does the same in a new run.
**If report is red**, and the run with it: more than `max_failed_share` of the airports failed.
**To go back** to the release before: `{"rollback": "previous"}`, or a release's id; with `airports`, of these alone.
"""

from airflow.sdk import dag, task, task_group

from paxcast.orchestration import fleets, gate, params, tasks
from paxcast.settings import Settings

LABEL = "{{ label }}"


def retrain_dag(settings: Settings) -> None:
    fleet = settings.fleet

    @dag(
        dag_id=f"retrain_{fleet}",
        schedule=fleets.retrain_schedule(settings),
        start_date=fleets.start(settings),
        catchup=False,
        max_active_runs=1,
        default_args=fleets.default_args(settings),
        params=params.airflow_params(params.RetrainParams),
        tags=["paxcast", fleet],
        doc_md=__doc__,
    )
    def retrain():
        @task_group
        def batch(of):
            tune = fleets.tuning(settings)(tasks.tune, map_index_template=LABEL)
            register = task(tasks.register, trigger_rule="all_done", map_index_template=LABEL)
            tune(fleet, of) >> register(fleet, of)

        planned = task(tasks.plan)(fleet, task(tasks.validate)(fleet))
        promoted, forecast, reported = (
            task(step, trigger_rule=gate.EVEN_IF_RED)(fleet, planned)
            for step in (tasks.promote, tasks.forecast, tasks.report)
        )
        batch.expand(of=task(tasks.batches)(planned)) >> promoted >> forecast >> reported
        gate.between(settings, planned, promoted, forecast)

    retrain()


for fleet_settings in fleets.fleets():
    retrain_dag(fleet_settings)
