"""The catalogue as a place to search: looking up terms and reading fingerprints, on SQLite and PostgreSQL.

What belongs here: reading for searches, fast and bounded. What does not: writing the index (`terms`) and voting
(`musicfp.fingerprint`).
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, func, literal_column
from sqlmodel import Session, col, select

from musicfp.catalog import bulk
from musicfp.catalog import terms as layout
from musicfp.catalog.tables import FingerprintRow, FingerprintTermRow, TrackRow
from musicfp.fingerprint.postings import FingerprintKind, Postings, StoredFingerprint, joined, postings_cap
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS

_SAMPLED_TRACKS = 32


class DatabaseCatalogue:
    """The fingerprints and the index of terms that a session sees. As little to be shared by threads as the session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._n_postings: dict[FingerprintKind, int] = {}

    def n_postings(self, kind: FingerprintKind) -> int:
        """Estimate how many terms are indexed, by a sample of tracks: counting takes longer than a search."""
        if kind not in self._n_postings:
            self._n_postings[kind] = self._estimate(kind)
        return self._n_postings[kind]

    def lookup(self, terms: NDArray[np.uint32], *, kind: FingerprintKind) -> Postings:
        """Find terms, NDArray[np.uint32] [shape=(n,)], no order required, repetitions allowed.

        A term with more than 512 postings that are also more than a 50,000th of all is left out; of its list no more
        is read than shows that.
        """
        keys, key_of_probe = np.unique(layout.term_keys(terms, kind=kind), return_inverse=True)
        found = self._postings_of(keys, cap=postings_cap(self.n_postings(kind)))
        posting, probe = joined(np.searchsorted(keys, found[:, 0]), key_of_probe, n_keys=keys.size)
        locs = found[posting, 1]
        return Postings(probe, layout.ordinals_of(locs), layout.positions_items_of(locs))

    def fingerprints(self, ordinals: Iterable[int], *, kind: FingerprintKind) -> Mapping[int, StoredFingerprint]:
        """Read whole fingerprints by track ordinal; a track that is gone or has none of this kind is left out."""
        wanted = bulk.listed(self._session, np.fromiter(ordinals, dtype=np.int64))
        query = (
            select(TrackRow.ordinal, TrackRow.id, FingerprintRow.sub_fingerprints)
            .select_from(wanted)
            .join(TrackRow, col(TrackRow.ordinal) == wanted.c.value)
            .join(FingerprintRow, col(FingerprintRow.track_id) == col(TrackRow.id))
            .where(FingerprintRow.kind == kind)
        )
        return {
            ordinal: StoredFingerprint(track_id, np.frombuffer(data, dtype="<u4"))
            for ordinal, track_id, data in self._session.connection().execute(query)
        }

    def all_ordinals(self, *, at_most: int) -> list[int]:
        """Return the ordinals of all tracks, or none if there are more than `at_most`."""
        ordinals = bulk.integers(self._session, select(TrackRow.ordinal).limit(at_most + 1))
        return ordinals[:, 0].tolist() if len(ordinals) <= at_most else []

    def _postings_of(self, keys: NDArray[np.int64], *, cap: int) -> NDArray[np.int64]:
        """Return (term, loc) [shape=(n, 2)] of these terms, those with more than `cap` postings left out."""
        if bulk.is_sqlite(self._session):
            return bulk.integers(self._session, self._short_lists(keys, cap=cap))
        found = bulk.integers(self._session, self._beginnings(keys, n_postings=cap + 1))
        return found[np.bincount(np.searchsorted(keys, found[:, 0]))[np.searchsorted(keys, found[:, 0])] <= cap]

    def _short_lists(self, keys: NDArray[np.int64], *, cap: int) -> Select[int, int]:
        """Select (term, loc) of the terms with at most `cap` postings."""
        wanted = bulk.listed(self._session, keys)
        listing = layout.TERM_TABLE.alias()
        one_too_many = select(listing.c.loc).where(listing.c.term == wanted.c.value).limit(1).offset(cap)
        return (
            select(FingerprintTermRow.term, FingerprintTermRow.loc)
            .select_from(wanted)
            .join(FingerprintTermRow, col(FingerprintTermRow.term) == wanted.c.value)
            .where(~one_too_many.exists())
        )

    def _beginnings(self, keys: NDArray[np.int64], *, n_postings: int) -> Select[int, int]:
        """Select the first postings (term, loc) of each term.

        LATERAL, which SQLite lacks, leaves PostgreSQL no other plan than looking up one term after another; without
        statistics, as after many inserts, it would join with a scan of the whole index.
        """
        wanted = bulk.listed(self._session, keys)
        beginning = (
            select(FingerprintTermRow.term, FingerprintTermRow.loc)
            .where(col(FingerprintTermRow.term) == wanted.c.value)
            .limit(n_postings)
            .lateral()
        )
        return select(beginning.c.term, beginning.c.loc).select_from(wanted).join(beginning, literal_column("true"))

    def _estimate(self, kind: FingerprintKind) -> int:
        ordinals = evenly_spread_ordinals(self._session, n=_SAMPLED_TRACKS)
        if not ordinals.size:
            return 0
        # A subquery for each track: not yet having statistics, PostgreSQL would begin with all fingerprints.
        of_track = (
            select(FingerprintRow.n_items)
            .where(col(FingerprintRow.track_id) == col(TrackRow.id), FingerprintRow.kind == kind)
            .scalar_subquery()
        )
        n_items = select(func.coalesce(func.sum(of_track), 0)).where(col(TrackRow.ordinal).in_(ordinals.tolist()))
        span = int(ordinals[-1] - ordinals[0] + 1)
        return int(self._session.exec(n_items).one() * span / (ordinals.size * TERM_STRIDE_ITEMS))


def evenly_spread_ordinals(session: Session, *, n: int) -> NDArray[np.int64]:
    """Return at most `n` numbers [shape=(<= n,)] from the oldest to the newest track's; tracks in between may be gone.

    Two subqueries: SQLite looks up a single minimum or maximum in the key, and scans the table for both at once.
    """
    oldest, newest = (select(f(col(TrackRow.ordinal))).scalar_subquery() for f in (func.min, func.max))
    first, last = session.connection().execute(select(oldest, newest)).one()
    if first is None:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(first, last, n).astype(np.int64))
