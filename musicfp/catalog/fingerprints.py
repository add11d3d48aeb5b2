"""Storing further fingerprints of tracks that are there, each with its part of the index of terms.

What belongs here: replacing one kind of fingerprint of one track. What does not: the first fingerprint of a new track
(`acceptance`) and reading (`relations`, `searchable`).
"""

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session, select

from musicfp.catalog import revisions, terms
from musicfp.catalog.tables import FingerprintRow, TrackRow
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind


def store(
    session: Session, track: TrackRow, fingerprint: Fingerprint, *, kind: FingerprintKind, version: str
) -> FingerprintRow:
    """Store a fingerprint of a track and its terms, in place of those of an earlier one; return the row.

    In `Database.exclusive()`: whoever mends the index must not do so from the fingerprint that is being replaced.
    """
    if track.ordinal is None:
        raise ValueError(f"track {track.id} was never stored, so it cannot get a fingerprint of kind {kind}")
    earlier = session.get(FingerprintRow, (track.id, kind.value))
    if earlier is not None:
        terms.remove(session, track.ordinal, _items(earlier), kind=kind)
    row = session.merge(
        FingerprintRow(
            track_id=track.id,
            kind=kind.value,
            version=version,
            algorithm=fingerprint.algorithm,
            item_duration_s=fingerprint.item_duration_s,
            audio_duration_s=fingerprint.audio_duration_s,
            n_items=fingerprint.n_items,
            sub_fingerprints=fingerprint.to_bytes(),
            revision=revisions.next_revision(session),
        )
    )
    terms.add(session, track.ordinal, fingerprint.sub_fingerprints, kind=kind)
    return row


def is_stored(session: Session, track_id: str, *, kind: FingerprintKind, version: str) -> bool:
    """Whether a track has this kind of fingerprint, made by this version of the code."""
    query = select(FingerprintRow.version).where(FingerprintRow.track_id == track_id, FingerprintRow.kind == kind.value)
    return session.exec(query).first() == version


def _items(row: FingerprintRow) -> NDArray[np.uint32]:
    return Fingerprint.from_bytes(row.sub_fingerprints).sub_fingerprints
