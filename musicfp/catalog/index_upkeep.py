"""Holding the index of terms against the fingerprints, and mending it.

What belongs here: finding every difference, and making it good without taking anything away that is right, so that
searches go on meanwhile. What does not: what the rows of the index mean (`terms`).

The index is read once, in the order of its key, and never held as a whole: of each track only the number of its
postings and the sum of their hashes are kept, which two different sets share with a probability of 2**-64.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, tuple_
from sqlmodel import Session, col, select

from musicfp.catalog import bulk, revisions, terms
from musicfp.catalog.engine import Database
from musicfp.catalog.searchable import evenly_spread_ordinals
from musicfp.catalog.tables import FingerprintRow, FingerprintTermRow, TrackRow
from musicfp.fingerprint.postings import FingerprintKind

_SCANNED_ROWS = 200_000
_READ_TRACKS = 1000
# One transaction: others wait for it no longer than for a moment.
_MENDED_ROWS = 50_000
# Of so many fingerprints at a time the postings are held in memory: 240 of 16 bytes each, several times over.
_COLLECTED_TRACKS = 50_000
_SPOT_TRACKS = 32
_ORDINAL_BITS = 32

Int64s = NDArray[np.int64]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Difference:
    """A fingerprint whose postings are not those that it must have.

    `track_id` is None where postings are left of a track or fingerprint that is gone. `n_expected` and `n_found` count
    postings; they may be equal, when others are there than must be.
    """

    ordinal: int
    kind_number: int
    track_id: str | None
    n_expected: int
    n_found: int

    @property
    def kind(self) -> str:
        """Name of the kind of fingerprint."""
        names = {number: kind.value for kind, number in terms.KIND_NUMBERS.items()}
        return names.get(self.kind_number, f"unknown kind {self.kind_number}")


@dataclass(frozen=True)
class IndexReport:
    """How many fingerprints and postings there are, and which do not fit each other."""

    n_fingerprints: int
    n_postings: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class SpotCheck:
    """Of how many fingerprints postings were looked for, and of how many one was missing."""

    n_fingerprints: int
    n_incomplete: int


@dataclass
class _Sums:
    """Number and sum of hashes of the postings of each fingerprint, by slot: kind number << 32 | ordinal, sorted."""

    slots: Int64s
    counts: Int64s
    hashes: NDArray[np.uint64]


def verify(session: Session) -> IndexReport:
    """Compare the whole index with all fingerprints. Use a `Database.snapshot()`: others may write meanwhile."""
    expected, track_ids = _expected(session)
    found = _Sums(expected.slots, np.zeros_like(expected.counts), np.zeros_like(expected.hashes))
    strangers: defaultdict[int, int] = defaultdict(int)
    for rows in _scan(session):
        _count(rows, found, strangers)
    wrong = np.flatnonzero((expected.counts != found.counts) | (expected.hashes != found.hashes))
    differences = [
        Difference(
            *_ordinal_and_number(int(expected.slots[i])), track_ids[i], int(expected.counts[i]), int(found.counts[i])
        )
        for i in wrong
    ]
    differences += [Difference(*_ordinal_and_number(slot), None, 0, n) for slot, n in sorted(strangers.items())]
    n_postings = int(found.counts.sum()) + sum(strangers.values())
    return IndexReport(int(expected.slots.size), n_postings, tuple(differences))


def rebuild(database: Database, *, progress: Callable[[int, int], None]) -> IndexReport:
    """Give every fingerprint exactly the postings that it must have; return what was found before.

    What is right already is not touched, and each part is committed: an interrupted rebuild is continued by another.
    `progress` is told how many of how many differing fingerprints are mended.
    """
    with database.snapshot() as session:
        report = verify(session)
    n_all, n_done = len(report.differences), 0
    for group in _batches(report.differences, _COLLECTED_TRACKS):
        for share in _mend(database, group):
            progress(n_done + int(share * len(group)), n_all)
        n_done += len(group)
        progress(n_done, n_all)
    return report


def spot_check(session: Session) -> SpotCheck:
    """Look for all postings of some tracks, from the oldest to the newest: quick however large the catalogue is."""
    found = _fingerprints(session, evenly_spread_ordinals(session, n=_SPOT_TRACKS).tolist())
    complete = [_n_stored(session, rows) == len(rows) for _, _, _, rows in found]
    return SpotCheck(len(complete), complete.count(False))


def _expected(session: Session) -> tuple[_Sums, list[str]]:
    ordinals = session.exec(select(TrackRow.ordinal).order_by(col(TrackRow.ordinal))).all()
    slots, counts, hashes, track_ids = [], [], [], []
    for batch in _batches([each or 0 for each in ordinals], _READ_TRACKS):
        for ordinal, kind, track_id, rows in _fingerprints(session, batch):
            slots.append(terms.KIND_NUMBERS[kind] << _ORDINAL_BITS | ordinal)
            counts.append(len(rows))
            hashes.append(_hashes(rows).sum(dtype=np.uint64))
            track_ids.append(track_id)
    order = np.argsort(np.array(slots, dtype=np.int64))
    sums = _Sums(
        np.array(slots, dtype=np.int64)[order],
        np.array(counts, dtype=np.int64)[order],
        np.array(hashes, dtype=np.uint64)[order],
    )
    return sums, [track_ids[i] for i in order]


def _fingerprints(session: Session, ordinals: Sequence[int]) -> Iterator[tuple[int, FingerprintKind, str, Int64s]]:
    """Yield ordinal, kind, track id and due postings of the indexed fingerprints of these tracks."""
    wanted = bulk.listed(session, np.array(ordinals, dtype=np.int64))
    query = (
        select(TrackRow.ordinal, FingerprintRow.kind, TrackRow.id, FingerprintRow.sub_fingerprints)
        .select_from(wanted)
        .join(TrackRow, col(TrackRow.ordinal) == wanted.c.value)
        .join(FingerprintRow, col(FingerprintRow.track_id) == col(TrackRow.id))
        .where(col(FingerprintRow.kind).in_([kind.value for kind in FingerprintKind]))
    )
    for ordinal, name, track_id, data in session.connection().execute(query):
        kind = FingerprintKind(name)
        yield ordinal, kind, track_id, terms.rows_of(ordinal, np.frombuffer(data, dtype="<u4"), kind=kind)


def _scan(session: Session) -> Iterator[Int64s]:
    """Yield all rows of the index [shape=(n, 2)] in the order of its key."""
    key = (col(FingerprintTermRow.term), col(FingerprintTermRow.loc))
    query = select(*key).order_by(*key).limit(_SCANNED_ROWS)
    rows = bulk.integers(session, query)
    while len(rows):
        yield rows
        last = rows[np.lexsort((rows[:, 1], rows[:, 0]))[-1]].tolist()
        rows = bulk.integers(session, query.where(tuple_(*key) > tuple_(*last)))


def _count(rows: Int64s, found: _Sums, strangers: defaultdict[int, int]) -> None:
    slots = _slots(rows)
    at = np.searchsorted(found.slots, slots)
    known = at < found.slots.size
    known[known] = found.slots[at[known]] == slots[known]
    found.counts += np.bincount(at[known], minlength=found.slots.size)
    np.add.at(found.hashes, at[known], _hashes(rows[known]))
    for slot, n in zip(*np.unique(slots[~known], return_counts=True), strict=True):
        strangers[int(slot)] += int(n)


def _stored_rows(session: Session, slots: set[int]) -> Int64s:
    """Return all rows of the index [shape=(n, 2)] that belong to these slots."""
    if not slots:
        return np.zeros((0, 2), dtype=np.int64)
    wanted = np.array(sorted(slots), dtype=np.int64)
    return np.concatenate([rows[np.isin(_slots(rows), wanted)] for rows in _scan(session)])


def _mend(database: Database, group: Sequence[Difference]) -> Iterator[float]:
    """Take away what these fingerprints have too much and add what they lack, in the order of the key.

    Yields after each transaction which share of it is done.

    In that order a transaction writes few pages of the index, and each of them once; track by track, every transaction
    would write nearly all of them.
    """
    slots = {_slot(each) for each in group}
    with database.snapshot() as session:
        newest, before = revisions.newest_revision(session), _revisions(session, group)
        stored = _stored_rows(session, {_slot(each) for each in group if each.n_found})
        due = _due_rows(session, group)
    due = due[np.isin(_slots(due), sorted(slots))]
    too_much, missing = _without(stored, due), _without(due, stored)
    n_done = 0
    for change, rows in ((terms.discard, too_much), (terms.insert, missing)):
        for first in range(0, len(rows), _MENDED_ROWS):
            part = rows[first : first + _MENDED_ROWS]
            with database.exclusive() as session:
                if revisions.newest_revision(session) != newest:
                    # Whoever has stored or deleted a fingerprint meanwhile has seen to its postings.
                    now = _revisions(session, group)
                    part = part[np.isin(_slots(part), [slot for slot in slots if now.get(slot) == before.get(slot)])]
                change(session, part)
            n_done += len(rows[first : first + _MENDED_ROWS])
            yield n_done / (len(too_much) + len(missing))


def _revisions(session: Session, group: Sequence[Difference]) -> dict[int, int]:
    """Return the revision of each fingerprint of these tracks, by slot."""
    wanted = bulk.listed(session, np.array(sorted({each.ordinal for each in group}), dtype=np.int64))
    query = (
        select(TrackRow.ordinal, FingerprintRow.kind, FingerprintRow.revision)
        .select_from(wanted)
        .join(TrackRow, col(TrackRow.ordinal) == wanted.c.value)
        .join(FingerprintRow, col(FingerprintRow.track_id) == col(TrackRow.id))
        .where(col(FingerprintRow.kind).in_([kind.value for kind in FingerprintKind]))
    )
    return {
        terms.KIND_NUMBERS[FingerprintKind(kind)] << _ORDINAL_BITS | ordinal: revision
        for ordinal, kind, revision in session.connection().execute(query)
    }


def _due_rows(session: Session, group: Sequence[Difference]) -> Int64s:
    """Return the postings that all fingerprints of these tracks must have [shape=(n, 2)]."""
    due = [np.zeros((0, 2), dtype=np.int64)]
    for ordinals in _batches(sorted({each.ordinal for each in group}), _READ_TRACKS):
        due += [rows for _, _, _, rows in _fingerprints(session, ordinals)]
    return np.concatenate(due)


def _without(rows: Int64s, others: Int64s) -> Int64s:
    """Return those rows [shape=(n, 2)] that are not among the others, in the order of the key."""
    both = np.concatenate((rows, others))
    is_other = np.repeat([False, True], [len(rows), len(others)])
    order = np.lexsort((~is_other, both[:, 1], both[:, 0]))
    both, is_other = both[order], is_other[order]
    follows_same = np.zeros(len(both), dtype=np.bool_)
    follows_same[1:] = (both[1:] == both[:-1]).all(axis=1)
    return both[~is_other & ~follows_same]


def _n_stored(session: Session, rows: Int64s) -> int:
    wanted = bulk.listed_rows(session, rows, ["term", "loc"])
    query = (
        select(func.count())
        .select_from(wanted)
        .join(
            FingerprintTermRow,
            (col(FingerprintTermRow.term) == wanted.c.term) & (col(FingerprintTermRow.loc) == wanted.c.loc),
        )
    )
    return session.exec(query).one()


def _hashes(rows: Int64s) -> NDArray[np.uint64]:
    """Mix each row to 64 bits of which every one depends on all of the row (the finalizer of SplitMix64)."""
    mixed = rows[:, 0].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ rows[:, 1].astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ mixed >> np.uint64(shift)) * np.uint64(factor)
    return mixed ^ mixed >> np.uint64(31)


def _slots(rows: Int64s) -> Int64s:
    return terms.kind_numbers_of(rows[:, 0]) << _ORDINAL_BITS | terms.ordinals_of(rows[:, 1])


def _slot(difference: Difference) -> int:
    return difference.kind_number << _ORDINAL_BITS | difference.ordinal


def _ordinal_and_number(slot: int) -> tuple[int, int]:
    return slot & ((1 << _ORDINAL_BITS) - 1), slot >> _ORDINAL_BITS


def _batches(values: Sequence[Value], size: int) -> Iterator[Sequence[Value]]:
    return (values[first : first + size] for first in range(0, len(values), size))
