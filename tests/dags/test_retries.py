"""Which errors Airflow tries again, how soon, and which it never does."""

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from paxcast.core import errors
from paxcast.orchestration.fleets import DEFAULT_ARGS, RETRY_POLICY

CATALOGUE = [
    e
    for e in vars(errors).values()
    if isinstance(e, type) and issubclass(e, errors.PaxcastError) and e.__subclasses__() == []
]
NEVER = {"UnknownAirports", "BadFile", "VersionGone", "FutureDataRead", "NothingToForecast", "AirportsOpen"}
NEVER |= {"TooManyFailed"}
SOON = {"BatchIncomplete"}
OF_ONE_AIRPORT = {"AirportTimeout", "AirportTooLarge", "FitFailed"}  # an outcome or a trial, never the end of a task


@pytest.mark.parametrize("error", [*CATALOGUE, errors.ConfigurationError, ConnectionError], ids=lambda e: e.__name__)
def test_each_error_of_the_catalogue_is_retried_as_it_deserves(error: type[Exception]) -> None:
    decision = RETRY_POLICY.evaluate(error("what happened"), try_number=1, max_tries=3)
    if error.__name__ in NEVER | {"ConfigurationError"}:
        assert decision.action is RetryAction.FAIL
    elif error.__name__ in SOON:
        assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=5))
    else:
        assert error.__name__ in OF_ONE_AIRPORT | {"LeaseHeld", "ConnectionError"}
        assert (decision.action, decision.retry_delay) == (RetryAction.DEFAULT, None)


def test_what_has_no_rule_backs_off() -> None:
    assert DEFAULT_ARGS["retry_exponential_backoff"] == 2.0
    assert (
        timedelta(seconds=10) <= DEFAULT_ARGS["retry_delay"] <= timedelta(minutes=1) < DEFAULT_ARGS["max_retry_delay"]
    )
