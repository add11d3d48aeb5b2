"""What every stage of the pipeline works with."""

from dataclasses import dataclass

from musicfp.catalog.engine import Database
from musicfp.catalog.lineage import Provenance
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore


@dataclass(frozen=True)
class StageContext:
    """Settings, database, store, and the run that the work belongs to."""

    settings: Settings
    database: Database
    store: ObjectStore
    provenance: Provenance
