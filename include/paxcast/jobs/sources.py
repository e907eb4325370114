"""Which adapter reads which `source.kind`."""

from paxcast.adapters.sources.file import FileSource
from paxcast.adapters.sources.nycflights13 import FaultyCopy, NycFlights13Source
from paxcast.core.source import Source
from paxcast.sections import FileSettings
from paxcast.settings import Settings


def open_source(settings: Settings, ingested_frequency: str | None = None) -> Source:
    """The source that the settings describe, ready to be read; `ingested_frequency` is that of the data so far."""
    source = settings.source
    if isinstance(source, FileSettings):
        return FileSource(
            path=settings.source_path,
            airport=source.airport,
            date=source.date,
            value=source.value,
            frequency=source.frequency,
            ingested_frequency=ingested_frequency,
            known_at=source.known_at,
            date_format=source.date_format,
            separator=source.separator,
            decimal=source.decimal,
            max_rejected_share=source.max_rejected_share,
        )
    copies = {code: FaultyCopy(of=copy.of, fault=copy.fault) for code, copy in source.faulty_copies.items()}
    return NycFlights13Source(airports=source.airports, faulty_copies=copies)
