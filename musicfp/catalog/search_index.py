"""Builds of the search accelerator as the database knows them, and the fingerprints that they are made of.

What belongs here: rows of `search_index_build`, and reading fingerprints by revision. What does not: files
(`musicfp.fingerprint.index_segment`), the object store, and when to build (`musicfp.pipeline.search_index`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, Select, func
from sqlmodel import Session, col, select

from musicfp.catalog import bulk, deletions, revisions
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import FingerprintRow, SearchIndexBuildRow, TrackRow
from musicfp.errors import IndexOutdated
from musicfp.fingerprint.index_segment_writer import StoredItems
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS

# The newest build, and the one before it, from which processes may still be on their way to the newest.
_KEPT_BUILDS = 2
_REVISIONS_AT_ONCE = 100_000


@dataclass(frozen=True)
class SegmentRecord:
    """A file of a build: where it is in the transcode bucket, and which fingerprints it indexes."""

    key: str
    sha256: str
    size_bytes: int
    kind: FingerprintKind
    first_revision: int
    last_revision: int
    n_fingerprints: int
    n_postings: int


@dataclass(frozen=True)
class Build:
    """A version of the accelerator: its segments index all fingerprints with revisions up to the watermark."""

    id: str
    created_at: datetime
    watermark: int
    segments: tuple[SegmentRecord, ...]

    def of_kind(self, kind: FingerprintKind) -> tuple[SegmentRecord, ...]:
        """Return the segments of one kind, in the order of revisions."""
        return tuple(segment for segment in self.segments if segment.kind == kind)


@dataclass(frozen=True, eq=False)
class NewerItems:
    """What came after a revision, up to `revision`: fingerprints by kind, and ordinals of deleted tracks."""

    revision: int
    stored: dict[FingerprintKind, StoredItems]
    removed: NDArray[np.int64]


def newest_build(session: Session) -> Build | None:
    """Return the build that searches should use, None before the first."""
    rows = _rows(session, limit=1)
    return rows[0] if rows else None


def newest_build_id(session: Session) -> str | None:
    """Return the id of the newest build: the question that is asked every second."""
    return session.exec(select(func.max(SearchIndexBuildRow.id))).one()


def kept_builds(session: Session) -> list[Build]:
    """Return the newest build and the one before it: whatever they do not name may be removed."""
    return _rows(session, limit=_KEPT_BUILDS)


def swap_in(session: Session, build: Build, *, replaces: str | None) -> list[SegmentRecord]:
    """Make this build the newest one, and return the segments that no build names any more.

    In `Database.exclusive()`. Raises IndexOutdated if the newest build is not the one that this one was made from: what
    this one reuses may be gone by now.
    """
    newest = newest_build_id(session)
    if newest != replaces:
        raise IndexOutdated(
            f"Build {build.id} of the search index was made from build {replaces}, but {newest} is the newest one now. "
            "It is not used; the next build begins with the newest."
        )
    if newest is not None and build.id <= newest:
        raise IndexOutdated(f"Build {build.id} of the search index is named before {newest}; correct this clock.")
    segments = [asdict(each) | {"kind": each.kind.value} for each in build.segments]
    session.add(
        SearchIndexBuildRow(id=build.id, created_at=build.created_at, watermark=build.watermark, segments=segments)
    )
    session.flush()
    builds = _rows(session, limit=None)
    for old in builds[_KEPT_BUILDS:]:
        session.delete(session.get_one(SearchIndexBuildRow, old.id))
    named = {each.key for kept in builds[:_KEPT_BUILDS] for each in kept.segments}
    return [each for old in builds[_KEPT_BUILDS:] for each in old.segments if each.key not in named]


def new_build(build_id: str, *, watermark: int, segments: Sequence[SegmentRecord]) -> Build:
    """Return a build that is made at this moment."""
    return Build(build_id, utc_now(), watermark, tuple(segments))


def lag_fingerprints(session: Session, *, watermark: int) -> int:
    """Return about how many fingerprints are newer than this: one that was stored twice counts twice."""
    return revisions.newest_revision(session) - watermark


def stored_items(
    session: Session, kind: FingerprintKind, *, after: int, up_to: int | None = None, limit: int | None = None
) -> StoredItems:
    """Read the fingerprints of a kind with revisions above `after`, in their order."""
    of_kind = _items(after, up_to).where(col(FingerprintRow.kind) == kind)
    return _stored(session.connection().execute(of_kind.limit(limit)).all())


def count_items(session: Session, kind: FingerprintKind, *, after: int, up_to: int) -> tuple[int, int]:
    """Return the number of fingerprints of a kind with revisions above `after`, and of their indexed items at most."""
    revision = col(FingerprintRow.revision)
    n_strides = (col(FingerprintRow.n_items) + (TERM_STRIDE_ITEMS - 1)) // TERM_STRIDE_ITEMS
    query = select(func.count(), func.coalesce(func.sum(n_strides), 0)).where(
        col(FingerprintRow.kind) == kind, revision > after, revision <= up_to
    )
    n, total = session.connection().execute(query).one()
    return n, int(total)


def newer_items(session: Session, *, after: int, limit: int) -> "NewerItems":
    """Read the next fingerprints with revisions above `after`, of all kinds, and which tracks were deleted meanwhile.

    One statement reads the fingerprints, since one statement sees one moment: one that is stored again between two
    would be in neither. Of the deletions, those count that the first statement could see already.
    """
    up_to = revisions.newest_revision(session)
    found = session.connection().execute(_items(after, None).limit(limit)).all()
    if found:
        up_to = found[-1].revision if len(found) == limit else max(up_to, found[-1].revision)
    stored = {kind: _stored([row for row in found if row.kind == kind]) for kind in FingerprintKind}
    return NewerItems(up_to, stored, deletions.removed_ordinals(session, after=after, up_to=up_to))


def sampled_items(session: Session, kind: FingerprintKind, *, at: Sequence[int], up_to: int) -> StoredItems:
    """Read, for each number in `at`, the fingerprint of this kind that is the first at or after this revision."""
    found = {}
    for revision in at:
        of_kind = _items(revision - 1, up_to).where(col(FingerprintRow.kind) == kind)
        row = session.connection().execute(of_kind.limit(1)).first()
        if row is not None:
            found[row.revision] = row
    return _stored(list(found.values()))


def living_revisions(session: Session, *, up_to: int) -> NDArray[np.int64]:
    """Return the revisions that fingerprints have, of all kinds, in their order: others were replaced or removed."""
    parts = list(_living(session, up_to))
    return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *parts]))


def _living(session: Session, up_to: int) -> Iterator[NDArray[np.int64]]:
    revision = col(FingerprintRow.revision)
    for first in range(0, up_to, _REVISIONS_AT_ONCE):
        last = min(up_to, first + _REVISIONS_AT_ONCE)
        yield bulk.integers(session, select(revision).where(revision > first, revision <= last))[:, 0]


def _items(after: int, up_to: int | None) -> Select[Any]:
    columns = (FingerprintRow.revision, TrackRow.ordinal, FingerprintRow.kind, FingerprintRow.sub_fingerprints)
    query = (
        cast(Select[Any], select(*columns))
        .join(TrackRow, col(TrackRow.id) == col(FingerprintRow.track_id))
        .where(col(FingerprintRow.revision) > after)
        .order_by(col(FingerprintRow.revision))
    )
    return query if up_to is None else query.where(col(FingerprintRow.revision) <= up_to)


def _stored(rows: Sequence[Row[Any]]) -> StoredItems:
    return StoredItems(
        [row.revision for row in rows],
        [row.ordinal for row in rows],
        [np.frombuffer(row.sub_fingerprints, dtype="<u4") for row in rows],
    )


def _rows(session: Session, *, limit: int | None) -> list[Build]:
    query = select(SearchIndexBuildRow).order_by(col(SearchIndexBuildRow.id).desc()).limit(limit)
    return [
        Build(
            row.id,
            row.created_at,
            row.watermark,
            tuple(SegmentRecord(**{**each, "kind": FingerprintKind(each["kind"])}) for each in row.segments),
        )
        for row in session.exec(query)
    ]
