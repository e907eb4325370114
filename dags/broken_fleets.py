"""Has no DAG: Airflow shows a fleet file that cannot be read as an import error here, and the other fleets' DAGs stay.

Airflow's safe mode skips a file in which it does not find the words "airflow" and "dag".
"""

from paxcast.orchestration import fleets

if error := fleets.broken():
    raise error
