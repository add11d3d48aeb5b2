"""Searching the catalogue as it is: what is accepted is found, what is deleted is not."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import delete

from musicfp.catalog.engine import Database
from musicfp.catalog.tables import TrackRow
from musicfp.errors import InvalidFingerprint, SubmissionRejected
from musicfp.fingerprint import codec
from musicfp.fingerprint.verdict import MatchRelation
from musicfp.pipeline.recognition import Recogniser
from tests.support.audio_samples import music_samples, write_wav
from tests.support.seeds import music, seed_id, seed_track


def delete_track(database: Database, track_id: str) -> None:
    with database.write() as session:
        session.execute(delete(TrackRow).where(TrackRow.id == track_id))  # type: ignore[arg-type]


def found(recogniser: Recogniser, number: int) -> list[str]:
    """Return the tracks found for a seeded track's own fingerprint."""
    return [each.match.track_id for each in recogniser.identify_fingerprint(music(number)).matches]


def test_tracks_are_found_as_they_come_and_go(database: Database) -> None:
    recogniser = Recogniser(database)
    assert found(recogniser, 1) == []
    for number in (2, 1):
        seed_track(database, number)
    assert found(recogniser, 1) == [seed_id(1)]
    delete_track(database, seed_id(1))
    seed_track(database, 3)
    assert found(recogniser, 1) == []
    assert found(recogniser, 3) == [seed_id(3)]


def test_many_threads_may_search_while_tracks_come(database: Database) -> None:
    recogniser = Recogniser(database)
    for number in range(4):
        seed_track(database, number)
    with ThreadPoolExecutor(4) as threads:
        searches = [threads.submit(found, recogniser, number % 4) for number in range(16)]
        seed_track(database, 4)
        assert [search.result() for search in searches] == [[seed_id(number % 4)] for number in range(16)]
    assert found(recogniser, 4) == [seed_id(4)]


def test_the_relation_is_named(database: Database) -> None:
    seed_track(database, 1)
    (same,) = Recogniser(database).identify_fingerprint(codec.encode(music(1))).matches
    assert same.relation is MatchRelation.SAME_RECORDING
    assert same.match.offset_items == 0


def test_a_query_longer_than_the_longest_recording_is_refused(database: Database) -> None:
    recogniser = Recogniser(database, max_duration_s=30.0)
    with pytest.raises(InvalidFingerprint, match="items"):
        recogniser.identify_fingerprint(codec.encode(music(1, n_items=1000)))


def test_audio_is_decoded_within_the_same_bounds(database: Database, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", music_samples(8.0))
    with pytest.raises(SubmissionRejected, match="longer than 5 seconds"):
        Recogniser(database, max_duration_s=5.0).identify_audio(path)
    assert Recogniser(database).identify_audio(path).matches == ()
