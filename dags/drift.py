"""
### drift_{fleet}

check → announce, and check → report → track → notify.

Compares what came with what was forecast, and says which airports really drifted and what is to be done about them: one
row an airport in the table `drift`. Where models are to be made anew, `announce` publishes an event: it starts
`retrain_{fleet}` for these airports alone, as of the check's date. Where there are none it is skipped. `report` writes
a page with charts (the link "Page"), `track` makes it a run in MLflow, `notify` tells people, if there is news. Runs
every morning, between ingestion and retraining; the same check again finds the same and tells nobody twice.

**Trigger it with** nothing, or with `{"as_of": "2013-12-31"}` to check as of the end of a past day.
**If check is red**: its log names what is missing. Until the fleet's first release a scheduled run skips everything.
**If report or track is red**, and the run with it, a page is missing or MLflow was down: people are told all the same.
Clear the task.
**If notify is red**: a channel could not be told; its log names the channel. Clear it, and only that one is told, or
leave it: what was not sent goes with the next check.
"""

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, task

from paxcast.orchestration import fleets, links, params, watch_tasks
from paxcast.settings import Settings


def drift_dag(settings: Settings) -> None:
    fleet = settings.fleet

    @dag(
        dag_id=f"drift_{fleet}",
        schedule=fleets.drift_schedule(),
        start_date=fleets.start(settings),
        catchup=False,
        max_active_runs=1,
        default_args=fleets.default_args(settings),
        params=params.airflow_params(params.DriftParams),
        tags=["paxcast", fleet],
        doc_md=__doc__,
    )
    def drift():
        checked = task(watch_tasks.check)(fleet)
        task(watch_tasks.announce, outlets=[fleets.drift(settings)])(fleet, checked)
        page = links.to_page(task(watch_tasks.report)(fleet, checked))
        tracked = task(watch_tasks.track)(fleet, checked)
        notified = task(watch_tasks.notify, trigger_rule=watch_tasks.EVEN_IF_RED)(fleet, checked, page)
        page >> tracked >> notified
        tracked >> EmptyOperator(
            task_id="finished", doc_md="Red, and the run with it, without a page or its MLflow run."
        )

    drift()


for fleet_settings in fleets.fleets():
    drift_dag(fleet_settings)
