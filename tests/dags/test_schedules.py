"""When the DAGs run: real data intervals, retraining after that night's ingestion, drift as a second trigger."""

from datetime import datetime, timedelta
from typing import Any

import pytest

FLEETS = ("daily", "weekly", "monthly")
Run = tuple[datetime, datetime, datetime]  # the data interval's start and end, and when the run is due


def runs(three_fleets: dict[str, Any], dag_id: str) -> list[Run]:
    """The runs of the first quarter of 2024, as the scheduler would make them."""
    rows = three_fleets["dags"][dag_id]["schedule"]["runs"]
    return [(datetime.fromisoformat(a), datetime.fromisoformat(b), datetime.fromisoformat(c)) for a, b, c in rows]


@pytest.mark.parametrize(
    ("dag_id", "start", "end"),
    [
        ("retrain_daily", "2024-01-07T06:00Z", "2024-01-08T06:00Z"),
        ("retrain_weekly", "2024-01-01T06:00Z", "2024-01-08T06:00Z"),
        ("retrain_monthly", "2024-02-01T06:00Z", "2024-03-01T06:00Z"),
        ("ingest_daily", "2024-01-07T03:00Z", "2024-01-08T03:00Z"),
        ("ingest_weekly", "2024-01-07T03:00Z", "2024-01-08T03:00Z"),
        ("ingest_monthly", "2024-02-29T03:00Z", "2024-03-01T03:00Z"),
        ("drift_daily", "2024-01-07T05:00Z", "2024-01-08T05:00Z"),
        ("drift_monthly", "2024-02-29T05:00Z", "2024-03-01T05:00Z"),
    ],
)
def test_a_run_covers_the_interval_that_ends_when_it_is_due(
    three_fleets: dict[str, Any], dag_id: str, start: str, end: str
) -> None:
    wanted = datetime.fromisoformat(start), datetime.fromisoformat(end)
    assert [(a, b) for a, b, _ in runs(three_fleets, dag_id) if b == wanted[1]] == [wanted]
    assert all(a < b == due for a, b, due in runs(three_fleets, dag_id))


@pytest.mark.parametrize(("fleet", "count"), [("daily", 91), ("weekly", 13), ("monthly", 3)])
def test_a_fleet_is_retrained_as_often_as_its_schedule_says(
    three_fleets: dict[str, Any], fleet: str, count: int
) -> None:
    assert len(runs(three_fleets, f"retrain_{fleet}")) == pytest.approx(count, abs=1)


@pytest.mark.parametrize("fleet", FLEETS)
def test_retraining_comes_after_that_nights_ingestion_and_before_the_next(
    three_fleets: dict[str, Any], fleet: str
) -> None:
    ingested = [due for _, _, due in runs(three_fleets, f"ingest_{fleet}")]
    for _, _, due in runs(three_fleets, f"retrain_{fleet}"):
        waits = [due - night for night in ingested if night <= due]
        assert not waits or timedelta(hours=1) <= min(waits) < timedelta(hours=12), due


@pytest.mark.parametrize("fleet", FLEETS)
def test_drift_is_looked_for_every_day_after_ingestion_and_before_a_retraining_that_is_due(
    three_fleets: dict[str, Any], fleet: str
) -> None:
    checked = [due for _, _, due in runs(three_fleets, f"drift_{fleet}")]
    ingested = [due for _, _, due in runs(three_fleets, f"ingest_{fleet}")]
    assert [due.date() for due in checked] == [due.date() for due in ingested]
    assert all(night < due for night, due in zip(ingested, checked, strict=True))
    of_day = {due.date(): due for due in checked}
    retrained = [due for _, _, due in runs(three_fleets, f"retrain_{fleet}") if due.date() in of_day]
    assert retrained
    assert all(of_day[due.date()] < due for due in retrained)


@pytest.mark.parametrize("fleet", FLEETS)
def test_retraining_also_follows_drift_of_its_own_fleet_and_can_be_backfilled(
    three_fleets: dict[str, Any], fleet: str
) -> None:
    schedule = three_fleets["dags"][f"retrain_{fleet}"]["schedule"]
    assert schedule["kind"] == "AssetOrTimeSchedule"
    assert schedule["assets"] == [f"drift_{fleet}"]
    assert schedule["periodic"] is True
