"""The human gate of a retraining: who is asked, when, and what becomes of the answer.

promote ──> ask ──> approval (a person, in Airflow's UI) ──> approved ──> decided ──> forecast

Nothing to ask: `approval` is skipped. No, or nobody in time: `approved` is skipped, and the old release stays.
`decided` runs after either, so that the run goes on.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import task, task_group

from paxcast.orchestration import tasks
from paxcast.settings import Settings

EVEN_IF_RED = "all_done_min_one_success"  # plan is the one success; after a dry run's, all is skipped
QUESTION = "{{{{ ti.xcom_pull(task_ids='{asking}', key='" + tasks.QUESTION + "') }}}}"


def between(settings: Settings, planned: Any, promoted: Any, forecast: Any) -> None:
    """Put the gate between two tasks, if the configuration asks for one."""
    if settings.promotion.ask_above is None:
        return
    from airflow.providers.standard.operators.hitl import ApprovalOperator  # only where it is used: it is slow to load

    fleet = settings.fleet

    @task_group(group_id=tasks.GATE)
    def gate() -> None:
        ask = task.short_circuit(ignore_downstream_trigger_rules=False, trigger_rule="all_done_min_one_success")(
            tasks.ask
        )
        approval = ApprovalOperator(
            task_id=tasks.APPROVAL,
            subject=f"{fleet}: publish the new release?",
            body=QUESTION.format(asking=f"{tasks.GATE}.ask"),
            defaults=ApprovalOperator.REJECT,
            response_timeout=timedelta(hours=settings.promotion.ask_hours),
        )
        approved = task(tasks.approved)(fleet, planned)
        ask(fleet, planned) >> approval >> approved >> task(trigger_rule="none_failed")(tasks.decided)(fleet)

    promoted >> gate() >> forecast
