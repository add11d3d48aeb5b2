"""Building the accelerator and using it, with the real store, on both databases; dying in between."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import delete
from sqlmodel import col

from musicfp.catalog import acceptance, fingerprints, relations, search_index
from musicfp.catalog.search_index import Build
from musicfp.catalog.tables import FingerprintTermRow, TrackRow
from musicfp.errors import IndexOutdated, StoreUnavailable
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.identity import INDEX_SEGMENT_PREFIX
from musicfp.pipeline import index_files
from musicfp.pipeline import search_index as building
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.deletion import request_deletion
from musicfp.pipeline.recognition import Recogniser
from musicfp.pipeline.search_index import BuildReport, build_search_index, index_lag, sample
from musicfp.pipeline.shared_index import IndexStatus, SharedIndex
from musicfp.store.objects import ObjectStore
from tests.support.crashes import Killed, kill
from tests.support.seeds import SeedTrack, music, seed_id, seed_track
from tests.support.waiting import eventually

FULL, BAND = FingerprintKind.FULL, FingerprintKind.BAND


def seed(stage: StageContext, *numbers: int) -> None:
    for number in numbers:
        seed_track(stage.database, number, SeedTrack(title="T", features={}))


def store_band(stage: StageContext, number: int, items: NDArray[np.uint32]) -> None:
    with stage.database.exclusive() as session:
        track = relations.tracks(session, [seed_id(number)])[seed_id(number)]
        fingerprints.store(session, track, Fingerprint.of_items(items), kind=BAND, version="1")


def objects(stage: StageContext) -> set[str]:
    return {each.key for each in stage.store.list_after(stage.settings.transcode_bucket, prefix=INDEX_SEGMENT_PREFIX)}


def files(stage: StageContext) -> set[str]:
    return {path.name for path in stage.settings.search_index_path.iterdir()}


def named(*builds: Build) -> set[str]:
    return {segment.key for build in builds for segment in build.segments}


def newest(stage: StageContext) -> Build | None:
    with stage.database.read() as session:
        return search_index.newest_build(session)


def opened(stage: StageContext) -> SharedIndex:
    index = SharedIndex(stage.database, stage.settings, store=lambda: stage.store)
    index.refresh()
    return index


def status(stage: StageContext, index: SharedIndex) -> IndexStatus:
    with stage.database.read() as session:
        return index.status(session)


def only_segments_answer(stage: StageContext) -> None:
    """Empty the index in the database: what is found now is found in files or the tail."""
    with stage.database.write() as session:
        session.exec(delete(FingerprintTermRow))


def found(stage: StageContext, index: SharedIndex, number: int) -> list[str]:
    recogniser = Recogniser(stage.database, index=index)
    return [each.match.track_id for each in recogniser.identify_fingerprint(music(number)).matches]


def all_there(stage: StageContext) -> bool:
    report = sample(stage, n_of_each_kind=30, rng=np.random.default_rng(1))
    return report is not None and report.n_fingerprints > 0 and not report.incomplete


def test_builds_are_incremental_and_searched(stage: StageContext) -> None:
    """The first has everything; the next only adds what is new; files that are alike are merged."""
    seed(stage, *range(1, 9))
    store_band(stage, 1, music(11).sub_fingerprints)
    first = build_search_index(stage)
    assert [(each.kind, each.n_fingerprints) for each in first.build.segments] == [(FULL, 8), (BAND, 1)]
    assert (first.build.watermark, first.lag_before_fingerprints) == (9, 9)
    assert objects(stage) == named(first.build) == {each.key for each in first.written}
    assert files(stage) == {f"{each.sha256}.segment" for each in first.build.segments}
    assert index_lag(stage.database).lag_fingerprints == 0
    again = build_search_index(stage)
    assert (again.build, again.written) == (first.build, ())

    seed(stage, 9)
    second = build_search_index(stage)
    assert [(each.kind, each.n_fingerprints) for each in second.build.segments] == [(FULL, 8), (FULL, 1), (BAND, 1)]
    assert second.build.segments[0] == first.build.segments[0]
    assert [each.n_fingerprints for each in second.written] == [1]

    seed(stage, 10, 11)
    third = build_search_index(stage)
    assert [each.n_fingerprints for each in third.build.of_kind(FULL)] == [11]
    assert (third.build.of_kind(FULL)[0].first_revision, third.build.of_kind(FULL)[0].last_revision) == (1, 12)
    assert third.build.of_kind(BAND) == first.build.of_kind(BAND)
    assert objects(stage) == named(second.build, third.build)
    assert files(stage) == {f"{key.rpartition('/')[2]}" for key in objects(stage)}
    assert all_there(stage)
    index = opened(stage)
    only_segments_answer(stage)
    assert [found(stage, index, number) for number in (1, 9, 11)] == [[seed_id(1)], [seed_id(9)], [seed_id(11)]]
    index.close()


def test_what_was_replaced_or_removed_leaves_the_files(stage: StageContext) -> None:
    """A file in which much has been is written anew; others are kept and their dead are passed over."""
    seed(stage, *range(1, 21))
    first = build_search_index(stage)
    with stage.database.exclusive() as session:
        track = relations.tracks(session, [seed_id(3)])[seed_id(3)]
        fingerprints.store(session, track, music(33), kind=FULL, version="2")
    second = build_search_index(stage)
    assert [each.n_fingerprints for each in second.build.segments] == [20, 1]
    assert second.build.segments[0] == first.build.segments[0]
    index = opened(stage)
    assert found(stage, index, 3) == []
    assert found(stage, index, 33) == [seed_id(3)]
    with stage.database.write() as session:
        session.exec(delete(TrackRow).where(col(TrackRow.id).in_([seed_id(4), seed_id(5)])))
    seed(stage, 21)
    third = build_search_index(stage)
    assert [each.n_fingerprints for each in third.build.segments] == [17, 2]
    assert all_there(stage)
    index.close()


def test_a_deleted_track_is_not_found_any_more_and_leaves_the_files_with_the_next_build(stage: StageContext) -> None:
    """However large a file is and however few have gone: at once for searches, then byte by byte."""
    seed(stage, *range(1, 31))
    store_band(stage, 5, music(55).sub_fingerprints)
    store_band(stage, 6, music(66).sub_fingerprints)
    first = build_search_index(stage).build
    index = opened(stage)
    seed(stage, 31)
    assert [found(stage, index, number) for number in (5, 31)] == [[seed_id(5)], [seed_id(31)]]
    for number in (5, 31):
        request_deletion(stage.database, track_id=seed_id(number))
    assert [found(stage, index, number) for number in (5, 31, 4)] == [[], [], [seed_id(4)]]
    assert status(stage, index).open_build_id == first.id
    second = build_search_index(stage)
    assert [(each.kind, each.n_fingerprints) for each in second.build.segments] == [(FULL, 29), (BAND, 1)]
    assert named(first).isdisjoint(named(second.build))
    assert all_there(stage)
    index.refresh()
    only_segments_answer(stage)
    assert [found(stage, index, number) for number in (5, 31, 4)] == [[], [], [seed_id(4)]]
    assert build_search_index(stage).written == ()
    index.close()


def _interrupt_upload(monkeypatch: pytest.MonkeyPatch) -> None:
    put = ObjectStore.put_file

    def put_and_die(*arguments: object, **options: object) -> None:
        put(*arguments, **options)  # type: ignore[arg-type]
        kill()

    monkeypatch.setattr(ObjectStore, "put_file", put_and_die)


INTERRUPTIONS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "before the upload": lambda patch: patch.setattr(ObjectStore, "put_file", kill),
    "after the upload": _interrupt_upload,
    "before the swap": lambda patch: patch.setattr(search_index, "swap_in", kill),
    "after the swap": lambda patch: patch.setattr(building, "_clear", kill),
}


@pytest.mark.parametrize("moment", INTERRUPTIONS)
def test_nothing_is_lost_whenever_a_build_is_killed(
    stage: StageContext, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The build before is in force and whole until the swap, the new one from then on; the next clears what is left."""
    builds = []
    for number in range(1, 4):
        seed(stage, number)
        builds.append(build_search_index(stage).build)
    seed(stage, 4)
    with monkeypatch.context() as patch:
        INTERRUPTIONS[moment](patch)
        with pytest.raises(Killed):
            build_search_index(stage)
    in_force = newest(stage)
    assert in_force is not None
    assert (in_force == builds[-1]) is (moment != "after the swap")
    with stage.database.read() as session:
        assert named(*search_index.kept_builds(session)) <= objects(stage)
    assert all_there(stage)
    index = opened(stage)
    assert [found(stage, index, number) for number in range(1, 5)] == [[seed_id(number)] for number in range(1, 5)]
    seed(stage, 5)
    build_search_index(stage)
    with stage.database.read() as session:
        kept = search_index.kept_builds(session)
    assert len(kept) == 2
    assert objects(stage) == named(*kept)
    assert all_there(stage)
    index.close()


def test_of_two_builds_at_once_the_later_gives_up(stage: StageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves nothing that another one needs without its files."""
    seed(stage, 1)
    build_search_index(stage)
    seed(stage, 2)
    other: list[BuildReport] = []
    count_items = search_index.count_items

    def count_and_be_overtaken(*arguments: object, **options: object) -> tuple[int, int]:
        monkeypatch.setattr(search_index, "count_items", count_items)
        other.append(build_search_index(stage))
        return count_items(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(search_index, "count_items", count_and_be_overtaken)
    with pytest.raises(IndexOutdated, match="the newest one now"):
        build_search_index(stage)
    assert newest(stage) == other[0].build
    assert all_there(stage)


def test_a_process_takes_the_newest_build_in_the_background(stage: StageContext) -> None:
    """A search asks for it and does not wait; files come from the store where they are not there, and go when old."""
    seed(stage, 1)
    index = SharedIndex(stage.database, stage.settings, store=lambda: stage.store)
    assert found(stage, index, 1) == [seed_id(1)]
    assert status(stage, index).build_id is None
    assert index._thread is None
    first = build_search_index(stage).build
    for name in files(stage):
        (stage.settings.search_index_path / name).unlink()
    left = stage.settings.search_index_path / "x.1.part"
    left.write_bytes(b"x")
    os.utime(left, (1, 1))
    index._look_at_s = 0.0
    assert found(stage, index, 1) == [seed_id(1)]
    eventually(lambda: status(stage, index).open_build_id == first.id)
    eventually(lambda: files(stage) == {f"{first.segments[0].sha256}.segment"})  # others go once it is open
    only_segments_answer(stage)
    assert found(stage, index, 1) == [seed_id(1)]
    seed(stage, 2)
    assert found(stage, index, 2) == [seed_id(2)]
    assert (status(stage, index).lag_fingerprints, status(stage, index).problem) == (1, None)
    second = build_search_index(stage).build
    index._look_at_s = 0.0
    found(stage, index, 1)
    eventually(lambda: status(stage, index).open_build_id == second.id)
    assert found(stage, index, 2) == [seed_id(2)]
    index.close()
    assert index._thread is not None
    index._thread.join(10)
    assert not index._thread.is_alive()


@pytest.mark.parametrize("damage", ["gone", "other bytes", "foreign"])
def test_without_its_files_searches_ask_the_database(stage: StageContext, damage: str) -> None:
    """And the status says why; a repaired store is used again, a newer build in any case."""
    seed(stage, 1, 2)
    build = build_search_index(stage).build
    (segment,) = build.segments
    path = index_files.segment_path(stage.settings, segment.sha256)
    data = path.read_bytes()
    if damage == "foreign":
        path.write_bytes(b"RIFF" + data[4:])
    else:
        path.unlink()
        stage.store.delete(stage.settings.transcode_bucket, segment.key)
        if damage == "other bytes":
            stage.store.client.put_object(
                Bucket=stage.settings.transcode_bucket, Key=segment.key, Body=data[:-1] + b"x"
            )
    index = opened(stage)
    assert found(stage, index, 1) == [seed_id(1)]
    said = status(stage, index)
    assert said.open_build_id is None
    assert said.problem is not None
    assert segment.sha256 in said.problem
    assert not list(stage.settings.search_index_path.glob("*.part"))
    path.write_bytes(data)
    index.refresh()
    assert status(stage, index).open_build_id == build.id
    assert status(stage, index).problem is None
    index.close()


@pytest.mark.parametrize("damage", ["copy and object", "copy"])
def test_a_build_goes_on_without_the_files_of_the_one_before(stage: StageContext, damage: str) -> None:
    """As after restoring an older database: what is lost is indexed anew; a damaged copy is only fetched again."""
    seed(stage, *range(1, 6))
    store_band(stage, 1, music(11).sub_fingerprints)
    first = build_search_index(stage).build
    (segment,) = first.of_kind(FULL)
    path = index_files.segment_path(stage.settings, segment.sha256)
    path.write_bytes(bytes(path.stat().st_size))
    if damage == "copy and object":
        stage.store.delete(stage.settings.transcode_bucket, segment.key)
    seed(stage, 6)
    second = build_search_index(stage)
    fresh = [6] if damage == "copy and object" else [1]
    assert [each.n_fingerprints for each in second.written] == fresh
    assert second.build.of_kind(BAND) == first.of_kind(BAND)
    assert all_there(stage)


def test_a_store_that_is_down_leaves_the_open_build(stage: StageContext, tmp_path: Path) -> None:
    """Newer fingerprints come from the database, however old the build is."""
    seed(stage, *range(1, 6))
    first = build_search_index(stage).build
    elsewhere = replace(stage.settings, home=tmp_path / "elsewhere")

    is_down = False

    def store() -> ObjectStore:
        if is_down:
            raise StoreUnavailable("The store is down.")
        return stage.store

    index = SharedIndex(stage.database, elsewhere, store=store)
    index.refresh()
    assert status(stage, index).open_build_id == first.id
    is_down = True
    seed(stage, 6)
    build_search_index(stage)
    index.refresh()
    assert (status(stage, index).open_build_id, status(stage, index).problem) == (first.id, "The store is down.")
    only_segments_answer(stage)
    assert [found(stage, index, number) for number in (1, 6)] == [[seed_id(1)], [seed_id(6)]]
    index.close()


def test_a_build_waits_until_it_pays(stage: StageContext) -> None:
    """Many tracks, and more that is new than a twentieth of what there is."""
    lag = index_lag(stage.database)
    assert (lag.n_tracks, lag.watermark, lag.lag_fingerprints) == (0, 0, 0)
    seed(stage, 1, 2)
    build_search_index(stage)
    seed(stage, 3)
    with stage.database.read() as session:
        assert acceptance.newest_ordinal(session) == 3
    lag = index_lag(stage.database)
    assert (lag.n_tracks, lag.watermark, lag.lag_fingerprints) == (3, 2, 1)
    for n_tracks, watermark, n_new, pays in (
        (19_999, 0, 19_999, False),
        (20_000, 0, 20_000, True),
        (20_000, 19_000, 1000, False),
        (20_000, 18_999, 1001, True),
        (100_000, 100_000, 5000, False),
        (100_000, 100_000, 5001, True),
    ):
        asked = replace(lag, n_tracks=n_tracks, watermark=watermark, lag_fingerprints=n_new)
        assert asked.is_worth_a_build(min_tracks=20_000) is pays
