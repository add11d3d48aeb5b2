"""Building the search accelerator: which files there shall be, making them, and putting them in force.

What belongs here: planning and the order of effects. What does not: the content of a file
(`musicfp.fingerprint.index_segment_writer`) and using it (`shared_index`).

Files are few and each is much larger than the next: a build indexes what is new, and merges it with the files before it
that are not much larger, so that each posting is written a few times in its life. What has been replaced since is left
out whenever a file is written, and a file in which much has been, or that holds a deleted track, is written anew.

Order of effects: files are made and uploaded under new keys, then one transaction makes the build the newest one, then
what no build names any more is deleted. Killed in between, there are objects that nobody names; the next build deletes
those that it found at its beginning. A build that another one has overtaken gives up: no build names what was deleted.
"""

import itertools
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from musicfp.catalog import acceptance, deletions, revisions, search_index
from musicfp.catalog.accelerated import IndexPart, OpenIndex, look_up
from musicfp.catalog.engine import Database
from musicfp.catalog.search_index import Build, SegmentRecord
from musicfp.errors import IndexFileUnusable, NotFound, StoreUnavailable
from musicfp.fingerprint.index_segment import MAX_STRIDES, IndexSegment
from musicfp.fingerprint.index_segment_writer import SegmentWriter, StoredItems
from musicfp.fingerprint.indexing import indexed_items
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import TERM_STRIDE_ITEMS
from musicfp.identity import INDEX_SEGMENT_PREFIX, index_segment_key, new_id
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.index_files import PART_SUFFIX, keep, opened, remove_others, segment_path

LOGGER = logging.getLogger(__name__)
SEARCH_INDEX_VERSION = "1"
_MIME = "application/octet-stream"
# Written together when the earlier file is not more than so many times as large as what comes after it.
_ALIKE = 3
_MAX_SEGMENTS = 4
_MAX_DEAD_SHARE = 0.1
# 500 fingerprints of two minutes fit into the processor's cache: with 2000 the same takes twice as long.
_READ_AT_ONCE = 500
# A build is worth its run when the tail has grown by so much: searches read it from the database into each process.
_MIN_LAG_FINGERPRINTS = 1000
_LAG_SHARE = 0.05


@dataclass(frozen=True)
class IndexLag:
    """How many tracks there are, and about how many fingerprints are newer than the newest build."""

    n_tracks: int
    watermark: int
    lag_fingerprints: int

    def is_worth_a_build(self, *, min_tracks: int) -> bool:
        """Whether searches would gain more than a build costs."""
        allowed = max(_MIN_LAG_FINGERPRINTS, _LAG_SHARE * self.watermark)
        return self.n_tracks >= min_tracks and self.lag_fingerprints > allowed


@dataclass(frozen=True)
class BuildReport:
    """What a build did. `written` are the segments that were made; without any and as up to date, the build stays."""

    build: Build
    written: tuple[SegmentRecord, ...]
    lag_before_fingerprints: int
    took_s: float


@dataclass(frozen=True)
class SampleReport:
    """Of how many fingerprints postings were looked for in the files, and of which (kind, revision) one was missing."""

    n_fingerprints: int
    incomplete: tuple[tuple[str, int], ...]


@dataclass(frozen=True, eq=False)
class _Group:
    """Neighbouring segments, and maybe what is new, that go into one file."""

    parts: tuple[tuple[SegmentRecord, IndexPart], ...]
    n_new: int = 0
    n_new_strides: int = 0
    holds_deleted: bool = False

    @property
    def n_fingerprints(self) -> int:
        return self.n_new + sum(part.segment.n_fingerprints - part.n_dead for _, part in self.parts)

    @property
    def n_strides(self) -> int:
        return self.n_new_strides + sum(part.segment.n_strides for _, part in self.parts)

    @property
    def is_good_as_it_is(self) -> bool:
        if self.n_new or self.holds_deleted or len(self.parts) != 1:
            return False
        ((_, part),) = self.parts
        return part.n_dead <= _MAX_DEAD_SHARE * part.segment.n_fingerprints

    def with_next(self, after: "_Group") -> "_Group":
        return _Group(self.parts + after.parts, after.n_new, after.n_new_strides)


def index_lag(database: Database) -> IndexLag:
    """Ask what a decision about building needs; three look-ups, however large the catalogue is."""
    with database.read() as session:
        build = search_index.newest_build(session)
        watermark = build.watermark if build else 0
        return IndexLag(
            n_tracks=acceptance.newest_ordinal(session),
            watermark=watermark,
            lag_fingerprints=search_index.lag_fingerprints(session, watermark=watermark),
        )


def build_search_index(context: StageContext) -> BuildReport:
    """Bring the accelerator up to date with the catalogue.

    Raises IndexOutdated when another build was finished meanwhile, StoreUnavailable when files cannot be stored.
    """
    began = time.monotonic()
    context.settings.search_index_path.mkdir(parents=True, exist_ok=True)
    context.settings.scratch_path.mkdir(parents=True, exist_ok=True)
    with context.database.read() as session:
        watermark = revisions.newest_revision(session)
        kept = search_index.kept_builds(session)
    base = kept[0] if kept else None
    lag = watermark - (base.watermark if base else 0)
    leftovers = _unnamed_keys(context, kept)
    building = _Building(context, base, watermark)
    segments = [each for kind in FingerprintKind for each in building.segments(kind)]
    if base is not None and base.watermark == watermark and not building.written:
        return BuildReport(base, (), lag, time.monotonic() - began)
    build = search_index.new_build(building.id, watermark=watermark, segments=segments)
    with context.database.exclusive() as session:
        unnamed = search_index.swap_in(session, build, replaces=base.id if base else None)
    _clear(context, [*leftovers, *(each.key for each in unnamed)])
    return BuildReport(build, tuple(building.written), lag, time.monotonic() - began)


def sample(context: StageContext, *, n_of_each_kind: int, rng: np.random.Generator) -> SampleReport | None:
    """Ask the newest build for all terms of some fingerprints; None if there is no build."""
    with context.database.read() as session:
        build = search_index.newest_build(session)
    if build is None:
        return None
    segments = [opened(lambda: context.store, context.settings, each) for each in build.segments]
    index = OpenIndex.open(context.database, build, segments)
    n_fingerprints, incomplete = 0, []
    for kind in FingerprintKind:
        at = np.sort(rng.integers(1, build.watermark + 1, n_of_each_kind)).tolist() if build.watermark else []
        with context.database.read() as session:
            stored = search_index.sampled_items(session, kind, at=at, up_to=build.watermark)
        parts = index.mapped_parts(kind)
        for revision, ordinal, items in zip(stored.revisions, stored.ordinals, stored.tracks, strict=True):
            n_fingerprints += 1
            if not _has_all(parts, ordinal, items):
                incomplete.append((kind.value, revision))
    return SampleReport(n_fingerprints, tuple(incomplete))


class _Building:
    """One build in the making."""

    def __init__(self, context: StageContext, base: Build | None, watermark: int) -> None:
        self.id = new_id()
        self.written: list[SegmentRecord] = []
        self._context = context
        self._base = base
        self._watermark = watermark
        self._after = 0
        with context.database.read() as session:
            self._living = search_index.living_revisions(session, up_to=base.watermark if base else 0)
            self._deleted = deletions.removed_ordinals(session, up_to=watermark)

    def segments(self, kind: FingerprintKind) -> Iterator[SegmentRecord]:
        """Yield the segments of a kind, in the order of revisions, those that are new made and stored."""
        for group in _plan(self._groups(kind)):
            if group.is_good_as_it_is:
                yield group.parts[0][0]
            elif group.n_fingerprints:
                yield from self._written(kind, group)

    def _groups(self, kind: FingerprintKind) -> list[_Group]:
        """Return what the base has, each segment by itself, and what is new; without the base's files all is new."""
        records = self._base.of_kind(kind) if self._base else ()
        try:
            groups = [self._group(each) for each in records]
            self._after = self._base.watermark if self._base else 0
        except (NotFound, IndexFileUnusable) as error:
            LOGGER.warning("all %s fingerprints are indexed anew: %s", kind, error)
            groups, self._after = [], 0
        with self._context.database.read() as session:
            n_new, n_strides = search_index.count_items(session, kind, after=self._after, up_to=self._watermark)
        return [*groups, _Group((), n_new, n_strides)] if n_new else groups

    def _group(self, record: SegmentRecord) -> _Group:
        part = IndexPart.of(self._opened(record), self._living)
        return _Group(((record, part),), holds_deleted=bool(part.segment.find(self._deleted).size))

    def _opened(self, record: SegmentRecord) -> IndexSegment:
        try:
            return opened(lambda: self._context.store, self._context.settings, record)
        except IndexFileUnusable:  # the copy on this machine, which is gone now; the object may be good
            return opened(lambda: self._context.store, self._context.settings, record)

    def _written(self, kind: FingerprintKind, group: _Group) -> Iterator[SegmentRecord]:
        first = group.parts[0][0].first_revision if group.parts else self._after + 1
        last = group.parts[-1][0].last_revision if group.parts else self._after
        batches = self._new_items(kind) if group.n_new else iter(())
        writer = self._writer(kind)
        for _, part in group.parts:
            writer.absorb(part.segment, alive=part.alive)
        for batch in batches:
            if writer.n_strides + _n_strides(batch) > MAX_STRIDES:
                yield from self._stored(writer, kind, first, last)
                first, writer = last + 1, self._writer(kind)
            writer.add(batch)
            last = batch.revisions[-1]
        yield from self._stored(writer, kind, first, self._watermark if group.n_new else last)

    def _writer(self, kind: FingerprintKind) -> SegmentWriter:
        return SegmentWriter(kind, scratch=self._context.settings.scratch_path)

    def _new_items(self, kind: FingerprintKind) -> Iterator[StoredItems]:
        """Yield what is new in batches, each read by itself: what is stored again meanwhile is for the next build."""
        after = self._after
        while True:
            with self._context.database.read() as session:
                batch = search_index.stored_items(
                    session, kind, after=after, up_to=self._watermark, limit=_READ_AT_ONCE
                )
            if not batch.revisions:
                return
            yield batch
            after = batch.revisions[-1]

    def _stored(self, writer: SegmentWriter, kind: FingerprintKind, first: int, last: int) -> Iterator[SegmentRecord]:
        settings = self._context.settings
        part = settings.search_index_path / f"{self.id}-{len(self.written)}{PART_SUFFIX}"
        try:
            with writer:
                if not writer.n_fingerprints:  # of nothing but silence too short to fingerprint, or all gone meanwhile
                    return
                made = writer.write(part, first_revision=first, last_revision=last, build_id=self.id)
            key = index_segment_key(made.sha256)
            self._context.store.put_file(settings.transcode_bucket, key, part, mime=_MIME, sha256=made.sha256)
            keep(part, segment_path(settings, made.sha256))  # who opens it on this machine need not download it
        finally:
            part.unlink(missing_ok=True)
        record = SegmentRecord(
            key, made.sha256, made.size_bytes, kind, first, last, made.n_fingerprints, made.n_postings
        )
        self.written.append(record)
        LOGGER.info("made a segment of %d %s fingerprints, %d bytes", made.n_fingerprints, kind, made.size_bytes)
        yield record


def _plan(groups: Sequence[_Group]) -> list[_Group]:
    """Join neighbours until each group is much larger than the next and there are few of them."""
    planned: list[_Group] = []
    for group in groups:
        planned.append(group)
        while len(planned) > 1 and planned[-2].n_fingerprints <= _ALIKE * planned[-1].n_fingerprints:
            if not _fit(planned[-2], planned[-1]):
                break
            planned[-2:] = [planned[-2].with_next(planned[-1])]
    while len(planned) > _MAX_SEGMENTS:
        costs = [
            a.n_fingerprints + b.n_fingerprints if _fit(a, b) else math.inf for a, b in itertools.pairwise(planned)
        ]
        cheapest = costs.index(min(costs))
        if costs[cheapest] == math.inf:
            break
        planned[cheapest : cheapest + 2] = [planned[cheapest].with_next(planned[cheapest + 1])]
    return planned


def _fit(one: _Group, two: _Group) -> bool:
    return one.n_strides + two.n_strides <= MAX_STRIDES


def _n_strides(stored: StoredItems) -> int:
    return sum(-(-items.size // TERM_STRIDE_ITEMS) for items in stored.tracks)


def _unnamed_keys(context: StageContext, kept: Sequence[Build]) -> list[str]:
    named = {segment.key for build in kept for segment in build.segments}
    listed = context.store.list_after(context.settings.transcode_bucket, prefix=INDEX_SEGMENT_PREFIX)
    return [each.key for each in listed if each.key not in named]


def _clear(context: StageContext, keys: Sequence[str]) -> None:
    """Delete objects and local files that no build names. The build is in force; what stays is cleared by the next."""
    with context.database.read() as session:
        kept = search_index.kept_builds(session)
    remove_others(context.settings, [segment for build in kept for segment in build.segments])
    try:
        for key in keys:
            context.store.delete(context.settings.transcode_bucket, key)
    except StoreUnavailable as error:
        LOGGER.warning("old files of the search index stay until the next build: %s", error)


def _has_all(parts: Sequence[IndexPart], ordinal: int, items: NDArray[np.uint32]) -> bool:
    due = indexed_items([items])
    found = look_up(parts, due.term, cap=np.iinfo(np.int64).max)
    here = found.track == ordinal
    answered = set(zip(found.probe[here].tolist(), found.position_items[here].tolist(), strict=True))
    return all((probe, stride * TERM_STRIDE_ITEMS) in answered for probe, stride in enumerate(due.stride.tolist()))
