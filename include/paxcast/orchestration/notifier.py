"""What tells people of a drift check, as a notifier of Airflow's.

The DAG drift_{fleet} calls it in a task of its own: a callback of a DAG runs once in the DAG processor, where nothing
is tried again and nobody sees that it failed. What was told is on record, so a retry, or the notifier at two places,
tells nobody twice.
"""

import logging
from typing import TYPE_CHECKING

from airflow.sdk import BaseNotifier

from paxcast.settings import load_fleet

if TYPE_CHECKING:
    from airflow.sdk import Context

log = logging.getLogger("paxcast.task")


class DriftNotifier(BaseNotifier):
    """Tells the channels that the fleet's file names of one check, as far as there is news to them.

    For any callback that takes a notifier. All three may be templates: with the DAG's own check, for example
    `check_key="{{ ti.xcom_pull(task_ids='check')['check_key'] }}"`; page: where its report is, for the link.
    """

    template_fields = ("fleet", "check_key", "page")

    def __init__(self, *, fleet: str, check_key: str, page: str = "") -> None:
        super().__init__()
        self.fleet, self.check_key, self.page = fleet, check_key, page

    def notify(self, context: "Context") -> None:
        """Raises InfrastructureError or ConfigurationError where a channel could not be told, after the others were."""
        from paxcast.jobs.notify import notify
        from paxcast.jobs.workspace import open_workspace

        told = notify(open_workspace(load_fleet(self.fleet)), self.check_key, self.page)
        log.info("told of %s: %s", self.check_key, ", ".join(told.told) or "nobody, there is no news")
