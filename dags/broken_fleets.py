"""Has no DAG: a fleet file that cannot be read shows here as an import error, and the other fleets' DAGs stay."""

from paxcast.orchestration import fleets

if errors := fleets.broken():
    raise errors[0]
