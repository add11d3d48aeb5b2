"""Mapped segments with what is newer from the database: the same answers as the database alone, on both databases."""

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import delete
from sqlmodel import Session, col

from musicfp.catalog import accelerated, deletions, fingerprints, migrate, relations, revisions, search_index, terms
from musicfp.catalog.accelerated import AcceleratedCatalogue, IndexPart, OpenIndex, look_up
from musicfp.catalog.engine import Database
from musicfp.catalog.search_index import Build
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import TrackRow
from musicfp.fingerprint.index_segment import IndexSegment, open_segment
from musicfp.fingerprint.index_segment_writer import SegmentWriter, StoredItems, segment_in_memory
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind, Postings
from musicfp.fingerprint.search import search
from tests.support.seeds import SeedTrack, music, seed_id, seed_track

FULL, BAND = FingerprintKind.FULL, FingerprintKind.BAND
Items = NDArray[np.uint32]
N_TERMS = 300


def store(database: Database, number: int, items: Items, *, kind: FingerprintKind = BAND) -> None:
    """Store a fingerprint of a track that is there, in place of an earlier one."""
    with database.exclusive() as session:
        track = relations.tracks(session, [seed_id(number)])[seed_id(number)]
        fingerprints.store(session, track, Fingerprint.of_items(items), kind=kind, version="1")


def seed_tracks(database: Database, numbers: Sequence[int]) -> None:
    """Store tracks quickly, each with its own music as the full fingerprint."""
    for number in numbers:
        seed_track(database, number, SeedTrack(title="T", features={}))


def common_items(rng: np.random.Generator, n: int) -> Items:
    """Return items with few different terms, some very common, so that lists are long; sometimes silence."""
    items = (rng.zipf(1.4, n) % N_TERMS).astype(np.uint32) << np.uint32(8) | rng.integers(0, 256, n, dtype=np.uint32)
    if rng.random() < 0.3:
        items[: n // 3] = 7
    return items


def opened(database: Database, folder: Path, *, cuts: Sequence[int] = ()) -> OpenIndex:
    """Build segments of all fingerprints, divided after these revisions, and open them."""
    with database.read() as session:
        watermark = revisions.newest_revision(session)
        edges = [0, *(cut for cut in cuts if cut < watermark), watermark]
        segments = list(_segments(session, folder, edges))
    return OpenIndex.open(
        database, search_index.new_build(f"{watermark:026d}", watermark=watermark, segments=()), segments
    )


def _segments(session: Session, folder: Path, edges: Sequence[int]) -> Iterator[IndexSegment]:
    for kind in FingerprintKind:
        for first, last in itertools.pairwise(edges):
            with SegmentWriter(kind, scratch=folder) as writer:
                writer.add(search_index.stored_items(session, kind, after=first, up_to=last))
                path = folder / f"{kind}-{first}-{last}"
                writer.write(path, first_revision=first + 1, last_revision=last, build_id="b")
            yield open_segment(path)


def triples(found: Postings) -> list[tuple[int, int, int]]:
    return sorted(zip(found.probe.tolist(), found.track.tolist(), found.position_items.tolist(), strict=True))


def assert_same(database: Database, index: OpenIndex, *, accelerated_too: bool = True) -> dict[FingerprintKind, int]:
    """Compare both for all terms that there may be; return how many postings of each kind were found."""
    rng = np.random.default_rng(1)
    wanted = np.concatenate([rng.integers(0, N_TERMS + 5, 400), rng.integers(0, 1 << 24, 50)]).astype(np.uint32)
    n_found = {}
    with database.read() as session:
        stored = music(1).sub_fingerprints[::4] >> np.uint32(8)
        quick, slow = AcceleratedCatalogue(session, index), DatabaseCatalogue(session)
        assert quick.is_accelerated is accelerated_too
        for kind in FingerprintKind:
            assert quick.n_postings(kind) == slow.n_postings(kind)
            for terms_asked in (wanted, stored, wanted[:0]):
                found = triples(quick.lookup(terms_asked, kind=kind))
                assert found == triples(slow.lookup(terms_asked, kind=kind))
                n_found[kind] = n_found.get(kind, 0) + len(found)
        assert quick.all_ordinals(at_most=5) == slow.all_ordinals(at_most=5)
        ordinals = slow.all_ordinals(at_most=1000)[:3]
        assert quick.fingerprints(ordinals, kind=FULL).keys() == slow.fingerprints(ordinals, kind=FULL).keys()
    return n_found


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_those_of_the_database(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Random catalogues in several segments; tracks and second fingerprints added later; others stored again.

    Long lists have about as many postings as are allowed, so that each one that counts wrongly tips the scales.
    """
    rng = np.random.default_rng(seed)
    cap = int(rng.integers(20, 60))
    monkeypatch.setattr("musicfp.catalog.searchable.postings_cap", lambda _n: cap)
    monkeypatch.setattr(accelerated, "postings_cap", lambda _n: cap)
    seed_tracks(database, range(1, 9))
    for number in range(1, 7):
        store(database, number, common_items(rng, int(rng.integers(0, 300))))
    index = opened(database, tmp_path, cuts=sorted(rng.integers(1, 14, 2).tolist()))
    assert assert_same(database, index)[BAND] > 100
    # Some of them several times, some of the new ones too.
    for number in [*rng.integers(1, 9, 5).tolist(), 9, 10, *rng.integers(1, 11, 5).tolist()]:
        if number > 8 and not _is_there(database, number):
            seed_tracks(database, [number])
        else:
            kind = FULL if rng.random() < 0.3 else BAND
            store(database, number, common_items(rng, int(rng.integers(0, 300))), kind=kind)
        if rng.random() < 0.5:
            assert_same(database, index)
    assert assert_same(database, index)[BAND] > 100
    # Another process opens the same files now, and finds some of their fingerprints replaced.
    later = OpenIndex.open(
        database, index.build, [part.segment for kind in FingerprintKind for part in index.mapped_parts(kind)]
    )
    assert_same(database, later)
    assert any(part.n_dead for part in later.mapped_parts(BAND))


@pytest.mark.parametrize("seed", range(3))
def test_answers_are_those_of_the_database_after_deletions(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Tracks of the files and of the tail, at once in an open view, among others that come; long lists at the bound."""
    rng = np.random.default_rng(seed)
    cap = int(rng.integers(20, 60))
    monkeypatch.setattr("musicfp.catalog.searchable.postings_cap", lambda _n: cap)
    monkeypatch.setattr(accelerated, "postings_cap", lambda _n: cap)
    seed_tracks(database, range(1, 9))
    for number in range(1, 9):
        store(database, number, common_items(rng, int(rng.integers(50, 300))))
    index = opened(database, tmp_path, cuts=[5, 11])
    seed_tracks(database, [9, 10])
    assert_same(database, index)
    living = list(range(1, 11))
    for step, number in enumerate(rng.permutation(living)[:6].tolist()):
        delete_track(database, number)
        living.remove(number)
        if step % 2:
            store(database, int(rng.choice(living)), common_items(rng, 200))
        if step != 2:
            assert_same(database, index)
    assert assert_same(database, index)[BAND] > 0
    with database.read() as session:
        view = index.view_for(session)
        assert view is not None
        found = {each for part in view.parts(FULL) for each in living_ordinals(part)}
    assert len(found) == 4
    segments = [part.segment for kind in FingerprintKind for part in index.mapped_parts(kind)]
    assert_same(database, OpenIndex.open(database, index.build, segments))


def delete_track(database: Database, number: int) -> None:
    with database.exclusive() as session:
        deletions.delete_track(session, relations.tracks(session, [seed_id(number)])[seed_id(number)], reason=None)


def living_ordinals(part: IndexPart) -> list[int]:
    ordinals = part.segment.ordinals if part.alive is None else part.segment.ordinals[part.alive]
    return [int(each) for each in ordinals]


@pytest.mark.parametrize("n_over", [0, 1])
def test_the_bound_is_on_segments_and_tail_together(n_over: int) -> None:
    """512 living postings are found and 513 are not, wherever they are; replaced ones do not count."""
    # Each track has 8 postings of term 5.
    fives = np.tile(np.array([5 << 8, 6 << 8, 7 << 8, 8 << 8], dtype=np.uint32), 8)
    mapped = _tracks_of(fives, 1, 50)
    replaced = _tracks_of(fives, 51, 10)
    tail = _tracks_of(fives, 51, 14 + n_over)
    parts = [
        IndexPart(segment_in_memory(FULL, mapped), None),
        IndexPart(segment_in_memory(FULL, replaced), None).without(np.arange(51, 61)),
        IndexPart(segment_in_memory(FULL, tail), None),
    ]
    wanted = np.array([5, 9], dtype=np.uint32)
    found = look_up(parts, wanted, cap=512)
    assert found.probe.size == (0 if n_over else 512)
    assert look_up(parts, wanted, cap=520).probe.size == 512 + 8 * n_over


def _is_there(database: Database, number: int) -> bool:
    with database.read() as session:
        return bool(relations.tracks(session, [seed_id(number)]))


def _tracks_of(items: Items, first: int, n: int) -> StoredItems:
    return StoredItems(range(first, first + n), range(first, first + n), [items] * n)


def test_a_session_is_answered_as_of_its_own_moment(tmp_path: Path) -> None:
    """SQLite's sessions see one revision: one that began before another's tail grew asks the database."""
    database = Database(f"sqlite:///{tmp_path / 'c.sqlite'}")
    migrate.upgrade(database)
    seed_tracks(database, range(1, 4))
    index = opened(database, tmp_path)
    with database.read() as early:
        before = revisions.newest_revision(early)
        store(database, 1, music(5).sub_fingerprints, kind=FULL)
        assert_same(database, index)
        assert revisions.newest_revision(early) == before
        catalogue = AcceleratedCatalogue(early, index)
        assert not catalogue.is_accelerated
        stored = music(1).sub_fingerprints[::4] >> np.uint32(8)
        assert catalogue.lookup(stored, kind=FULL).probe.size > 100
    database.close()


def test_too_much_that_is_new_is_left_to_the_database(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query reads a little itself; what is more is read aside, up to the bound of the tail."""
    monkeypatch.setattr(accelerated, "_READ_BY_A_QUERY", 2)
    monkeypatch.setattr(accelerated, "_READ_AT_ONCE", 3)
    monkeypatch.setattr(accelerated, "MAX_TAIL_FINGERPRINTS", 10)
    seed_tracks(database, range(1, 4))
    index = opened(database, tmp_path)
    seed_tracks(database, range(4, 6))
    assert_same(database, index)
    seed_tracks(database, range(6, 13))
    assert_same(database, index, accelerated_too=False)
    with database.read() as session:
        index.catch_up(session)
    assert_same(database, index)
    seed_tracks(database, range(13, 16))
    assert_same(database, index, accelerated_too=False)
    with database.read() as session:
        index.catch_up(session)
    assert_same(database, index, accelerated_too=False)
    assert_same(database, OpenIndex.open(database, index.build, []), accelerated_too=False)


def test_a_removed_track_is_gone_when_a_build_is_opened(database: Database, tmp_path: Path) -> None:
    """Until then its postings lead nowhere."""
    seed_tracks(database, range(1, 4))
    index = opened(database, tmp_path)
    with database.write() as session:
        ordinal = relations.tracks(session, [seed_id(2)])[seed_id(2)].ordinal or 0
        terms.remove(session, ordinal, music(2).sub_fingerprints, kind=FULL)
        session.exec(delete(TrackRow).where(col(TrackRow.id) == seed_id(2)))
    with database.read() as session:
        catalogue = AcceleratedCatalogue(session, index)
        assert search(music(2), catalogue).matches == ()
        assert search(music(3), catalogue).matches[0].track_id == seed_id(3)
    again = OpenIndex.open(database, index.build, [part.segment for part in index.mapped_parts(FULL)])
    assert_same(database, again)


def test_threads_search_one_index_while_tracks_come(database: Database, tmp_path: Path) -> None:
    """What was committed before a search is found by it."""
    seed_tracks(database, range(1, 4))
    index = opened(database, tmp_path)

    def found(number: int) -> list[str]:
        with database.read() as session:
            return [each.track_id for each in search(music(number), AcceleratedCatalogue(session, index)).matches]

    with ThreadPoolExecutor(4) as threads:
        for number in range(4, 8):
            seed_tracks(database, [number])
            searches = [threads.submit(found, each) for each in range(1, number + 1)]
            assert [each.result() for each in searches] == [[seed_id(each)] for each in range(1, number + 1)]
    assert_same(database, index)


def test_the_tail_stays_in_few_parts(database: Database, tmp_path: Path) -> None:
    """However many fingerprints came one by one."""
    seed_tracks(database, [1])
    index = opened(database, tmp_path)
    for number in range(2, 18):
        seed_tracks(database, [number])
        assert_same(database, index)
    with database.read() as session:
        view = index.view_for(session)
    assert view is not None
    assert sum(part.segment.n_fingerprints for part in view.tail[FULL]) == 16
    assert len(view.tail[FULL]) <= 4


def test_a_build_that_another_overtook_is_not_used(database: Database) -> None:
    """Nor one that an unset clock put before it."""
    one, two, three = (search_index.new_build(f"{n:026d}", watermark=n, segments=()) for n in (1, 2, 3))

    def swap(build: Build, replaces: str | None) -> None:
        with database.exclusive() as session:
            search_index.swap_in(session, build, replaces=replaces)

    swap(two, None)
    with pytest.raises(search_index.IndexOutdated, match="made from build None"):
        swap(three, None)
    with pytest.raises(search_index.IndexOutdated, match="clock"):
        swap(one, two.id)
    swap(three, two.id)
    with database.read() as session:
        assert [each.id for each in search_index.kept_builds(session)] == [three.id, two.id]
        assert search_index.newest_build(session) == three
