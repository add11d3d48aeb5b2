"""Feature vectors of seeded tracks, stored as the feature stage does: with a row of lineage in the same transaction."""

from collections.abc import Mapping, Sequence

from musicfp.catalog import derivations, lineage
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.lineage import Provenance
from musicfp.catalog.tables import FeatureRow
from musicfp.identity import new_id

TIMBRE = {"timbre.mfcc_mean": 13, "timbre.mfcc_std": 13}


def store_timbre(database: Database, track_id: str, numbers: Sequence[float] | None, *, version: str = "1") -> None:
    """Store the vectors of `timbre` that begin with these numbers; None stores that the track is silent."""
    values: dict[str, list[float] | None] = dict.fromkeys(TIMBRE)
    if numbers is not None:
        values = {name: [*numbers, *[0.0] * (n - len(numbers))] for name, n in TIMBRE.items()}
    store_vectors(database, track_id, values, extractor="timbre", version=version)


def store_vectors(
    database: Database, track_id: str, values: Mapping[str, list[float] | None], *, extractor: str, version: str
) -> None:
    """Store what an extractor says about a track."""
    rows = [
        FeatureRow(
            track_id=track_id,
            name=name,
            vector=vector,
            status="UNKNOWN" if vector is None else "OK",
            reason="silent" if vector is None else None,
            extractor=extractor,
            version=version,
            computed_at=utc_now(),
        )
        for name, vector in values.items()
    ]
    asset = f"feature_{extractor}"
    with database.write() as session:
        derivations.store_features(session, rows)
        derivations.mark_done(session, {track_id: {asset: version}})
        lineage.record(session, Provenance(new_id()), {track_id: {asset: version}})
