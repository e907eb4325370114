"""
### ingest_{fleet}

Reads the fleet's source and adds what is new to the table `observations`: new periods, and restatements with the
instant they became known. The same file twice changes nothing. Runs every night; by hand at any time.

**Trigger it with** nothing, or with `{"known_at": "2013-12-31"}` to have corrections count as known by the end of that
day: without, they are known from now on, and a run as of a past day does not see them.

**If it is red**: the log names the file, the row and the rule that was broken, and the store is as it was. Mend the
file or the mapping in the fleet's YAML, then clear the task.
"""

from airflow.sdk import dag, task

from paxcast.orchestration import fleets, params, tasks
from paxcast.settings import Settings


def ingest_dag(settings: Settings) -> None:
    @dag(
        dag_id=f"ingest_{settings.fleet}",
        schedule=fleets.ingest_schedule(),
        start_date=fleets.start(settings),
        catchup=False,
        max_active_runs=1,
        default_args=fleets.default_args(settings),
        params=params.airflow_params(params.IngestParams),
        tags=["paxcast", settings.fleet],
        doc_md=__doc__,
    )
    def ingest():
        task(tasks.ingest, outlets=[fleets.observations(settings)])(settings.fleet)

    ingest()


for fleet in fleets.fleets():
    ingest_dag(fleet)
