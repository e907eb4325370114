"""Every way Paxcast can refuse or fail, in one catalogue.

A message names the airport, the file or the setting, says what is wrong, and what to do.
`FAIL_AT_ONCE` names those that another try cannot mend; `InfrastructureError` is worth one; a `BatchIncomplete` is
retried by refitting only the airports that are open.
"""


class PaxcastError(Exception):
    """The base of all errors raised on purpose."""


class ConfigurationError(PaxcastError):
    """A setting is wrong: nothing will change until someone edits it, so it is never retried."""


class UnknownAirports(ConfigurationError):
    """Airports were asked for that the fleet has never observed."""


class BadFile(PaxcastError):
    """An input file breaks its contract; the store is left as it was. Never retried."""


class VersionGone(PaxcastError):
    """A past version of a table is asked for that was removed. Never retried."""


class FutureDataRead(PaxcastError):
    """A row that was not known at `as_of` reached a computation. A defect or a broken store: never retried."""


class NothingToForecast(PaxcastError):
    """No airport of the fleet can be forecast as of the date asked for. Never retried."""


class InfrastructureError(PaxcastError):
    """Store, Spark, MLflow or network did not answer as they should. Retried with backoff."""


class LeaseHeld(InfrastructureError):
    """Another run is writing the same fleet and as_of. Retried: the other ends, or its lease expires."""


class BatchIncomplete(PaxcastError):
    """Some airports of a batch ended `failed`. A retry refits only those."""


class AirportsOpen(PaxcastError):
    """The work was done and released without some airports that failed: red, so that "Clear failed" finds the task.

    Never retried by itself: only the batches' tune tasks can mend it.
    """


class TooManyFailed(PaxcastError):
    """The failed share of a run is above the fleet's `max_failed_share`."""


class FitFailed(PaxcastError):
    """A candidate could not be fitted on a history: a failed trial, not a failed airport. The search goes on."""


class AirportTimeout(PaxcastError):
    """Tuning one airport took longer than `search.seconds_per_airport`."""


class AirportTooLarge(PaxcastError):
    """Tuning one airport took more memory than `spark.worker_memory_mb`."""


FAIL_AT_ONCE = (
    ConfigurationError, BadFile, VersionGone, FutureDataRead, NothingToForecast, AirportsOpen, TooManyFailed
)  # fmt: skip
