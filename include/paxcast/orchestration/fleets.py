"""Fleets as Airflow sees them: settings, schedules, assets. Light: Airflow parses this with every DAG file."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    CronDataIntervalTimetable,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    task,
)

from paxcast.adapters.spark import session_conf
from paxcast.core import errors
from paxcast.core.errors import ConfigurationError
from paxcast.settings import Settings, read_fleets

INGEST_CRON = "0 3 * * *"
DRIFT_CRON = "0 5 * * *"
RETRAIN_CRON = {"daily": "0 6 * * *", "weekly": "0 6 * * 1", "monthly": "0 6 1 * *"}

RETRY_POLICY = ExceptionRetryPolicy(
    [
        RetryRule(exception=list(errors.FAIL_AT_ONCE), action=RetryAction.FAIL, reason="trying again changes nothing"),
        RetryRule(
            exception=errors.BatchIncomplete,
            action=RetryAction.RETRY,
            retry_delay=timedelta(seconds=5),
            reason="only the failed airports are refitted",
        ),
    ]
)
DEFAULT_ARGS = {
    "owner": "paxcast",
    "retry_delay": timedelta(seconds=20),  # also after a process was lost; 20, 40, 80 s and up to twice as long
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=10),  # a task that is cleared often counts its tries on
    "retry_policy": RETRY_POLICY,
}


def fleets() -> list[Settings]:
    """Every fleet whose file can be read; the others are the DAG file broken_fleets' to report."""
    return list(read_fleets()[0].values())


def broken() -> ConfigurationError | None:
    """What is wrong with the fleet files that cannot be read, if there are any."""
    wrong = read_fleets()[1]
    return ConfigurationError("\n".join(wrong)) if wrong else None


def observations(settings: Settings) -> Asset:
    """New observations of a fleet have come in."""
    return Asset(f"observations_{settings.fleet}")


def drift(settings: Settings) -> Asset:
    """Airports of a fleet have drifted; the event carries `as_of`."""
    return Asset(f"drift_{settings.fleet}")


def ingest_schedule() -> CronDataIntervalTimetable:
    """Every night, before any retraining."""
    return CronDataIntervalTimetable(INGEST_CRON, timezone="UTC")


def drift_schedule() -> CronDataIntervalTimetable:
    """Every morning, with that night's observations, and before a retraining that is due the same day."""
    return CronDataIntervalTimetable(DRIFT_CRON, timezone="UTC")


def retrain_schedule(settings: Settings) -> AssetOrTimeSchedule:
    """Daily, weekly (Monday) or monthly (the first), and whenever drift is found. It can be backfilled."""
    timetable = CronDataIntervalTimetable(RETRAIN_CRON[settings.schedule], timezone="UTC")
    return AssetOrTimeSchedule(timetable=timetable, assets=[drift(settings)])


def default_args(settings: Settings) -> dict[str, Any]:
    """What every task of a fleet's DAGs has, whatever it does."""
    return {**DEFAULT_ARGS, "retries": settings.retries}


def tuning(settings: Settings) -> Callable[..., Any]:
    """What makes the task that tunes a batch: on which Spark, with which conf, how many at a time. The mode `local`
    needs no Spark, and none is started for it."""
    wanted = settings.spark
    at_once = {"max_active_tis_per_dagrun": wanted.batches_at_once}
    if settings.search.mode == "local":
        return partial(task, **at_once)
    conf = session_conf(None if wanted.conn_id else wanted.master, wanted.conf)
    return partial(task.pyspark, conn_id=wanted.conn_id, config_kwargs=conf, **at_once)


def start(settings: Settings) -> datetime:
    """The first instant a schedule or a backfill may reach back to."""
    return datetime.combine(settings.start_date, datetime.min.time(), tzinfo=UTC)
