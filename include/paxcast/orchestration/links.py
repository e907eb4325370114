"""Buttons on a task in Airflow's UI."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, XComArg


class Page(BaseOperatorLink):
    """Where the page is that a task has written and returned. A browser opens what a web address leads to; the address
    of a file or a bucket can be copied.

    Asked for once, as the task ends; Airflow keeps the answer.
    """

    name = "Page"

    def get_link(self, operator: "BaseOperator", *, ti_key: Any) -> str:
        """The address; nothing if the task has returned none. ti_key: at the end of a task, the task instance."""
        place = ti_key.xcom_pull(task_ids=ti_key.task_id)
        if not place:
            return ""
        return str(place) if "://" in place else Path(place).resolve().as_uri()


def to_page(task: "XComArg") -> "XComArg":
    """The same task, with the button."""
    task.operator.operator_extra_links = (Page(),)  # type: ignore[attr-defined]
    return task
