"""Searching with an index in mapped files, and with what is newer than they are: the database's answers, sooner.

What belongs here: which postings count at a given moment. What does not: the layout of a file
(`musicfp.fingerprint.index_segment`), fetching files (`musicfp.pipeline.shared_index`) and making them
(`musicfp.pipeline.search_index`).

An `IndexView` answers for exactly one revision of the catalogue: the segments of a build, the *tail* of fingerprints
that were stored since, and marks on those that were stored again. It never changes; a newer one shares what is alike.
A session gets the view of the revision that it sees, or else, as when very much is newer than the build, the index in
the database. The deletion of a track is a revision as well, from which on its fingerprints are marked like replaced
ones. A fingerprint that is removed by hand stays in the view until a build is opened, and leads to no track.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from musicfp.catalog import revisions, search_index
from musicfp.catalog.engine import Database
from musicfp.catalog.search_index import Build, NewerItems
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.fingerprint.index_segment import IndexSegment
from musicfp.fingerprint.index_segment_writer import merged_in_memory, segment_in_memory
from musicfp.fingerprint.indexing import MAX_POSTINGS_OF_A_TERM
from musicfp.fingerprint.postings import (
    FingerprintKind,
    Postings,
    StoredFingerprint,
    joined,
    postings_cap,
    spans,
)
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS

# In memory 1 to 2 KB each, in each process. A catalogue that grows by more between two builds is asked in the database.
MAX_TAIL_FINGERPRINTS = 20_000
# A query reads so many new fingerprints itself, in some milliseconds; more are read by whoever has time.
_READ_BY_A_QUERY = 200
_READ_AT_ONCE = 1000
# PostgreSQL shows each statement what was stored meanwhile, so the view may get ahead of what was asked for.
_TRIES = 2

Int64s = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class IndexPart:
    """A segment, and which of its fingerprints are still the catalogue's [shape=(n_fingerprints,)]; None: all."""

    segment: IndexSegment
    alive: NDArray[np.bool_] | None

    @classmethod
    def of(cls, segment: IndexSegment, living: Int64s) -> "IndexPart":
        """Return a segment with those marked dead whose revision is not among the living."""
        alive = np.isin(segment.revisions, living, assume_unique=True)
        return cls(segment, None if alive.all() else alive)

    @property
    def n_dead(self) -> int:
        """Number of fingerprints that were replaced or removed."""
        return 0 if self.alive is None else int(self.alive.size - np.count_nonzero(self.alive))

    def without(self, ordinals: Int64s) -> "IndexPart":
        """Return the part with the fingerprints of these tracks marked as replaced or removed."""
        replaced = self.segment.find(ordinals)
        if not replaced.size:
            return self
        alive = np.ones(self.segment.n_fingerprints, dtype=np.bool_) if self.alive is None else self.alive.copy()
        alive[replaced] = False
        return IndexPart(self.segment, alive)


@dataclass(frozen=True, eq=False)
class IndexView:
    """What is indexed at one revision: for each kind the parts of the build, and those of the tail.

    `n_postings` is what the database said at this revision, once somebody has asked it.
    """

    revision: int
    mapped: Mapping[FingerprintKind, tuple[IndexPart, ...]]
    tail: Mapping[FingerprintKind, tuple[IndexPart, ...]]
    n_postings: dict[FingerprintKind, int] = field(default_factory=dict)

    def parts(self, kind: FingerprintKind) -> tuple[IndexPart, ...]:
        """Return all parts of a kind."""
        return self.mapped[kind] + self.tail[kind]

    def extended(self, newer: NewerItems) -> "IndexView":
        """Return the view of a later revision, at which fingerprints have been stored and removed as well."""
        mapped, tail = dict(self.mapped), dict(self.tail)
        for kind, stored in newer.stored.items():
            # What was both stored and removed since is not among what is stored now.
            ordinals = np.union1d(np.array(stored.ordinals, dtype=np.int64), newer.removed)
            mapped[kind] = tuple(part.without(ordinals) for part in mapped[kind])
            tail[kind] = _appended([part.without(ordinals) for part in tail[kind]], segment_in_memory(kind, stored))
        return IndexView(newer.revision, mapped, tail)


class OpenIndex:
    """A build whose segments are mapped, brought up to the revision that each query sees. Threads may share it."""

    def __init__(self, build: Build, view: IndexView) -> None:
        self.build = build
        self._lock = Lock()
        self._view = view

    @classmethod
    def open(cls, database: Database, build: Build, segments: Sequence[IndexSegment]) -> "OpenIndex":
        """Compare the segments of a build with the catalogue, and read what is newer unless that is too much."""
        with database.snapshot() as session:
            # First of all: what is stored while this reads is not in the snapshot, and so must be above the revision.
            revision = revisions.newest_revision(session)
            living = search_index.living_revisions(session, up_to=build.watermark)
            parts = [IndexPart.of(segment, living) for segment in segments]
            view = IndexView(
                build.watermark,
                {kind: tuple(part for part in parts if part.segment.kind is kind) for kind in FingerprintKind},
                dict.fromkeys(FingerprintKind, ()),
            )
            if revision - build.watermark <= MAX_TAIL_FINGERPRINTS:
                while view.revision < revision:
                    view = view.extended(search_index.newer_items(session, after=view.revision, limit=_READ_AT_ONCE))
        for part in parts:
            part.segment.find(np.zeros(0, dtype=np.int64))  # sorts the ordinals now, not in somebody's query
        return cls(build, replace(view, revision=revision))

    def view_for(self, session: Session) -> IndexView | None:
        """Return the view of the revision that this session sees, None if there is none or too much is new."""
        for _ in range(_TRIES):
            revision = revisions.newest_revision(session)
            if revision - self.build.watermark > MAX_TAIL_FINGERPRINTS:
                return None
            if self._view.revision < revision <= self._view.revision + _READ_BY_A_QUERY:
                self._extend(session, revision)
            view = self._view
            if view.revision == revision:
                return view
        return None

    def mapped_parts(self, kind: FingerprintKind) -> tuple[IndexPart, ...]:
        """Return the segments of the build, as they were brought up to date last."""
        return self._view.mapped[kind]

    def catch_up(self, session: Session) -> None:
        """Read what is new, however much, as long as the tail may hold it."""
        revision = revisions.newest_revision(session)
        while self._view.revision < revision <= self.build.watermark + MAX_TAIL_FINGERPRINTS:
            self._extend(session, revision)

    def _extend(self, session: Session, revision: int) -> None:
        with self._lock:
            view = self._view
            if view.revision < revision:
                newer = search_index.newer_items(session, after=view.revision, limit=_READ_AT_ONCE)
                self._view = view.extended(newer)


class AcceleratedCatalogue:
    """The catalogue that a session sees, its terms looked up in mapped files. As little to be shared as the session."""

    def __init__(self, session: Session, index: OpenIndex) -> None:
        self._database = DatabaseCatalogue(session)
        self._view = index.view_for(session)

    @property
    def is_accelerated(self) -> bool:
        """Whether the files answer; the database does when too much is newer than they are."""
        return self._view is not None

    def n_postings(self, kind: FingerprintKind) -> int:
        """See `DatabaseCatalogue`. Its estimate is kept with the view: making it takes longer than looking terms up."""
        if self._view is None:
            return self._database.n_postings(kind)
        if kind not in self._view.n_postings:
            self._view.n_postings[kind] = self._database.n_postings(kind)
        return self._view.n_postings[kind]

    def lookup(self, terms: NDArray[np.uint32], *, kind: FingerprintKind) -> Postings:
        """See `DatabaseCatalogue`: the same postings, by the same rule for terms that very many tracks share."""
        if self._view is None:
            return self._database.lookup(terms, kind=kind)
        return look_up(self._view.parts(kind), terms, cap=postings_cap(self.n_postings(kind)))

    def fingerprints(self, ordinals: Iterable[int], *, kind: FingerprintKind) -> Mapping[int, StoredFingerprint]:
        """See `DatabaseCatalogue`."""
        return self._database.fingerprints(ordinals, kind=kind)

    def all_ordinals(self, *, at_most: int) -> list[int]:
        """See `DatabaseCatalogue`."""
        return self._database.all_ordinals(at_most=at_most)


def look_up(parts: Sequence[IndexPart], terms: NDArray[np.uint32], *, cap: int) -> Postings:
    """Find terms in all parts, leaving out those with more than `cap` living postings in all parts together."""
    wanted, wanted_of_probe = np.unique(terms.astype(np.int64), return_inverse=True)
    lists = [part.segment.directory.lists(wanted) for part in parts]
    short = np.flatnonzero(_n_living(parts, lists, cap=cap) <= cap)
    empty = np.zeros(0, dtype=np.int64)
    found = [_read(part, first[short], counts[short]) for part, (first, counts) in zip(parts, lists, strict=True)]
    at, ordinal, stride = (np.concatenate([empty, *column]) for column in zip((empty,) * 3, *found, strict=True))
    posting, probe = joined(short[at], wanted_of_probe, n_keys=wanted.size)
    return Postings(probe, ordinal[posting], stride[posting] * TERM_STRIDE_ITEMS)


def _n_living(parts: Sequence[IndexPart], lists: Sequence[tuple[Int64s, Int64s]], *, cap: int) -> Int64s:
    """Count the living postings of each term, exactly where it matters: the dead ones are told by reading the list."""
    total = sum((counts for _, counts in lists), np.zeros(1, dtype=np.int64))
    n_dead = sum(part.n_dead for part in parts)
    unclear = np.flatnonzero((total > cap) & (total <= cap + n_dead * MAX_POSTINGS_OF_A_TERM))
    if not unclear.size:
        return total
    total = total.copy()
    for part, (first, counts) in zip(parts, lists, strict=True):
        if part.n_dead:
            at, _, _ = _read(part, first[unclear], counts[unclear])
            total[unclear] += np.bincount(at, minlength=unclear.size) - counts[unclear]
    return total


def _read(part: IndexPart, first: Int64s, counts: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Return of the living postings of some lists: the number of the list, the track's ordinal, the stride in it."""
    number = np.repeat(np.arange(first.size), counts)
    fingerprint, stride = part.segment.resolve(part.segment.postings[spans(first, counts)])
    if part.alive is not None:
        living = part.alive[fingerprint]
        number, fingerprint, stride = number[living], fingerprint[living], stride[living]
    return number, part.segment.ordinals[fingerprint].astype(np.int64), stride


def _appended(tail: list[IndexPart], newest: IndexSegment) -> tuple[IndexPart, ...]:
    """Append a part; parts grown alike are merged, so that they stay few and each posting is moved seldom."""
    if not newest.n_fingerprints:
        return tuple(tail)
    merged = IndexPart(newest, None)
    while tail and tail[-1].segment.n_fingerprints <= 2 * merged.segment.n_fingerprints:
        before = tail.pop()
        merged = IndexPart(merged_in_memory([(before.segment, before.alive), (merged.segment, None)]), None)
    return (*tail, merged)
