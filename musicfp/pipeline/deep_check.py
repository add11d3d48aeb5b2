"""Holding every row against every object, and every row against the others; nothing is changed.

What belongs here: finding differences, each with the name of its kind. What does not: mending (docs/operations.md says
how, kind by kind), and how differences are shown (`musicfp.cli.deep_check`).

The store is listed once. Of each object 8 bytes are kept in memory, a hash of bucket, key and size; rows are then read
in pages and looked up there: two different objects share a hash with a probability of 2**-64. Work goes on meanwhile,
so whatever seems wrong is looked at a second time, row and object, before it is told.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from musicfp.catalog import contradictions, index_upkeep, object_names
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.object_names import NamedObject, ObjectKind
from musicfp.catalog.tables import SubmissionRow
from musicfp.errors import NotFound
from musicfp.pipeline.parallel import map_in_order
from musicfp.pipeline.stored_objects import StoredObject, stored_objects
from musicfp.settings import Settings
from musicfp.store.objects import ObjectStore

# A source is stored before the row that names it; no run needs so long in between.
IN_FLIGHT_FOR = timedelta(hours=1)
_TRACKS_AT_ONCE = 500
_UPLOADS_AT_ONCE = 1000
_ORPHANS_AT_ONCE = 500
_HASHING_THREADS = 4


@dataclass(frozen=True)
class Finding:
    """A difference: its kind, the submission, track or build that has it (or the bucket), and what was found."""

    kind: str
    subject: str
    what: str


@dataclass
class Checked:
    """How much has been looked at. `n_recent` objects have no name yet, and are too young to be called orphans."""

    n_tracks: int = 0
    n_named: int = 0
    n_objects: int = 0
    n_recent: int = 0
    n_uploads: int = 0
    n_hashed: int = 0
    n_postings: int = 0


@dataclass
class DeepCheck:
    """One check of the whole catalogue. `findings()` yields while it goes on; `checked` counts along.

    With `hashing`, every object is read and its SHA-256 compared. `on_progress` is called after each page.
    """

    database: Database
    store: ObjectStore
    settings: Settings
    hashing: bool = False
    in_flight_for: timedelta = IN_FLIGHT_FOR
    on_progress: Callable[[Checked], None] = lambda _: None
    checked: Checked = field(default_factory=Checked)
    _present: "_Hashes" = field(init=False)

    def findings(self) -> Iterator[Finding]:
        """Yield every difference. Raises StoreUnavailable, and whatever the database raises."""
        yield from self._contradictions()
        yield from self._index()
        yield from self._objects()
        yield from self._tracks()
        yield from self._builds()
        yield from self._uploads()

    def _contradictions(self) -> Iterator[Finding]:
        with self.database.snapshot() as session:
            for each in contradictions.contradictions(session):
                yield Finding(each.kind, each.subject, each.what)

    def _index(self) -> Iterator[Finding]:
        with self.database.snapshot() as session:
            n_undecodable = contradictions.undecodable_fingerprints(session)
            if n_undecodable:
                yield Finding("index_not_compared", "index", f"{n_undecodable} fingerprints cannot be read")
                return
            report = index_upkeep.verify(session)
        self.checked.n_postings = report.n_postings
        for each in report.differences:
            subject = each.track_id or f"ordinal {each.ordinal}"
            what = f"{each.kind}: {each.n_expected} postings due, {each.n_found} found"
            yield Finding("index_differs", subject, what)

    def _objects(self) -> Iterator[Finding]:
        """List the store: remember what is there, yield what no row names."""
        hashes = array("Q")
        orphans = self._orphans(hashes)
        while some := list(islice(orphans, _ORPHANS_AT_ONCE)):
            yield from self._still_orphans(some)
        self._present = _Hashes(np.sort(np.frombuffer(hashes, dtype=np.uint64)))

    def _orphans(self, hashes: "array[int]") -> Iterator[StoredObject]:
        before = utc_now() - self.in_flight_for
        for each in stored_objects(self.database, self.store, self.settings):
            hashes.append(_hash(each.bucket, each.info.key, each.info.size_bytes))
            self._count_object()
            if each.is_named:
                continue
            if each.used_at > before:
                self.checked.n_recent += 1
            else:
                yield each

    def _count_object(self) -> None:
        self.checked.n_objects += 1
        if self.checked.n_objects % _UPLOADS_AT_ONCE == 0:
            self.on_progress(self.checked)

    def _still_orphans(self, orphans: Sequence[StoredObject]) -> Iterator[Finding]:
        """Look a second time: one may have got a name, be deleted, or be stored again by who is about to name it."""
        keys = [each.info.key for each in orphans]
        with self.database.read() as session:
            named = object_names.named_among(session, keys)
            named |= {each.key for each in object_names.named_by_builds(session)}
        for each in orphans:
            if each.info.key in named:
                continue
            now = self.store.stat(each.bucket, each.info.key)
            if now is not None and now.last_modified <= utc_now() - self.in_flight_for:
                kind = "foreign_object" if each.kind is None else f"orphan_{each.kind.replace(' ', '_')}"
                yield Finding(kind, each.bucket, f"{each.info.key}, {each.info.size_bytes} bytes")

    def _tracks(self) -> Iterator[Finding]:
        """Look for the sources and transcodes that rows name, page by page."""
        after = 0
        while True:
            with self.database.read() as session:
                page = object_names.named_by_tracks(session, after_ordinal=after, limit_tracks=_TRACKS_AT_ONCE)
            if page is None:
                return
            named, after = page
            yield from self._held_against_store(named, self._named_by_tracks_now)
            self.checked.n_tracks += sum(each.kind is ObjectKind.SOURCE for each in named)
            self.on_progress(self.checked)

    def _named_by_tracks_now(self, wrong: Sequence[NamedObject]) -> list[NamedObject]:
        with self.database.read() as session:
            return object_names.named_of_tracks(session, list({each.owner for each in wrong}))

    def _builds(self) -> Iterator[Finding]:
        yield from self._held_against_store(self._named_by_builds_now(()), self._named_by_builds_now)

    def _named_by_builds_now(self, _: Sequence[NamedObject]) -> list[NamedObject]:
        with self.database.read() as session:
            return object_names.named_by_builds(session)

    def _held_against_store(
        self, named: Sequence[NamedObject], named_now: Callable[[Sequence[NamedObject]], list[NamedObject]]
    ) -> Iterator[Finding]:
        self.checked.n_named += len(named)
        hashes = [_hash(self._bucket(each), each.key, each.size_bytes) for each in named]
        is_there = self._present.have(hashes)
        suspects = [each for each, found in zip(named, is_there, strict=True) if not found]
        damaged = self._damaged([each for each, found in zip(named, is_there, strict=True) if found])
        if not suspects and not damaged:
            return
        still_named = set(named_now([*suspects, *damaged]))
        for each in [*suspects, *damaged]:
            if each in still_named:
                yield from self._second_look(each)

    def _damaged(self, named: Sequence[NamedObject]) -> list[NamedObject]:
        if not self.hashing:
            return []
        hashed = map_in_order(
            lambda each: (each, self._sha256(each)), named, threads=_HASHING_THREADS, look_ahead=2 * _HASHING_THREADS
        )
        return [each for each, sha256 in hashed if sha256 != each.sha256]

    def _second_look(self, named: NamedObject) -> Iterator[Finding]:
        kind = named.kind.replace(" ", "_")
        now = self.store.stat(self._bucket(named), named.key)
        if now is None:
            yield Finding(f"{kind}_missing", named.owner, named.key)
        elif now.size_bytes != named.size_bytes:
            what = f"{named.key} has {now.size_bytes} bytes instead of {named.size_bytes}"
            yield Finding(f"{kind}_size_differs", named.owner, what)
        elif self.hashing and (sha256 := self._sha256(named)) != named.sha256:
            what = f"{named.key} has SHA-256 {sha256 or 'none: it is gone'} instead of {named.sha256}"
            yield Finding(f"{kind}_hash_differs", named.owner, what)

    def _sha256(self, named: NamedObject) -> str | None:
        try:
            found = self.store.sha256_of(self._bucket(named), named.key)
        except NotFound:
            return None
        self.checked.n_hashed += 1
        return found

    def _bucket(self, named: NamedObject) -> str:
        of_source = named.kind is ObjectKind.SOURCE
        return self.settings.source_bucket if of_source else self.settings.transcode_bucket

    def _uploads(self) -> Iterator[Finding]:
        """Look for the uploads of submissions that are undecided, or whose upload is kept after the verdict."""
        bucket = self.settings.submission_bucket
        present = _Hashes(
            np.sort(np.fromiter((_hash(bucket, each.key) for each in self.store.list_after(bucket)), dtype=np.uint64))
        )
        after = ""
        while page := self._kept_uploads(after):
            after = page[-1].id
            self.checked.n_uploads += len(page)
            is_there = present.have([_hash(bucket, row.object_key) for row in page])
            suspects = [row.id for row, found in zip(page, is_there, strict=True) if not found]
            # They may have been decided since, and then their uploads are gone.
            for row in self._kept_uploads("", among=suspects) if suspects else ():
                if self.store.stat(bucket, row.object_key) is None:
                    yield Finding("upload_missing", row.id, f"{row.status}: {row.object_key}")

    def _kept_uploads(self, after: str, *, among: Sequence[str] | None = None) -> list[SubmissionRow]:
        with self.database.read() as session:
            return object_names.kept_uploads(session, after=after, limit=_UPLOADS_AT_ONCE, among=among)


@dataclass(frozen=True, eq=False)
class _Hashes:
    """Sorted hashes [shape=(n,)]."""

    known: NDArray[np.uint64]

    def have(self, hashes: Sequence[int]) -> NDArray[np.bool_]:
        wanted = np.array(hashes, dtype=np.uint64)
        at = np.searchsorted(self.known, wanted)
        found = np.zeros(wanted.size, dtype=np.bool_)
        inside = at < self.known.size
        found[inside] = self.known[at[inside]] == wanted[inside]
        return found


def _hash(*parts: object) -> int:
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest())
