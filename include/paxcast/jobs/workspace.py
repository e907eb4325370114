"""What every job is handed: the settings, and the tables and objects they point at."""

from dataclasses import dataclass

from paxcast.adapters.delta_store import DeltaStore
from paxcast.adapters.object_store import ObjectStore
from paxcast.settings import Settings


@dataclass(frozen=True, slots=True)
class Workspace:
    """One fleet's settings with its open store."""

    settings: Settings
    tables: DeltaStore
    objects: ObjectStore

    @property
    def fleet(self) -> str:
        return self.settings.fleet


def open_workspace(settings: Settings) -> Workspace:
    """Open the store that the settings name; a local folder is made if it is missing."""
    return Workspace(settings, DeltaStore(settings.store_root), ObjectStore(settings.store_root))
