"""Every way Paxcast can refuse or fail, in one catalogue.

A message names the airport, the file or the setting, says what is wrong, and what to do.
`ConfigurationError` and its kin fail at once; `InfrastructureError` is worth a retry; `BatchIncomplete` is retried
by refitting only the airports that are open.
"""


class PaxcastError(Exception):
    """The base of all errors raised on purpose."""


class ConfigurationError(PaxcastError):
    """A setting is wrong: nothing will change until someone edits it, so it is never retried."""


class UnknownAirports(ConfigurationError):
    """Airports were asked for that the fleet has never observed."""


class BadFile(PaxcastError):
    """An input file breaks its contract; the store is left as it was. Never retried."""


class FutureDataRead(PaxcastError):
    """A row that was not known at `as_of` reached a computation. A defect or a broken store: never retried."""


class NothingToForecast(PaxcastError):
    """No airport of the fleet can be forecast as of the date asked for. Never retried."""


class InfrastructureError(PaxcastError):
    """Store, Spark, MLflow or network did not answer as they should. Retried with backoff."""


class BatchIncomplete(PaxcastError):
    """Some airports of a batch ended `failed`. A retry refits only those."""


class TooManyFailed(PaxcastError):
    """The failed share of a run is above the fleet's `max_failed_share`."""


class AirportTimeout(PaxcastError):
    """Tuning one airport took longer than `search.seconds_per_airport`."""


FAIL_AT_ONCE = (ConfigurationError, BadFile, FutureDataRead, NothingToForecast, TooManyFailed)
