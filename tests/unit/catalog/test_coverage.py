"""How much of the catalogue has an asset, on SQLite and on PostgreSQL."""

from musicfp.catalog import derivations
from musicfp.catalog.coverage import Coverage, coverage
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import Database
from tests.support.accepted import accept_track

A, B = "feature_a", "feature_b"


def _bring(database: Database, versions: dict[str, str]) -> None:
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, versions)


def _done(database: Database, track_id: str, versions: dict[str, str]) -> None:
    with database.write() as session:
        derivations.mark_done(session, {track_id: versions})


def _coverage(database: Database, versions: dict[str, str]) -> list[Coverage]:
    with database.snapshot() as session:
        return coverage(session, versions)


def test_every_track_is_done_pending_or_failed(database: Database) -> None:
    _bring(database, {A: "1", B: "1"})
    tracks = [accept_track(database, number) for number in range(5)]
    for each in tracks[:3]:
        _done(database, each, {A: "1"})
    with database.write() as session:
        derivations.mark_failed(session, tracks[3], {A: "1"}, Failure("broken", "It broke.", None))
    found_a, found_b = _coverage(database, {A: "1", B: "1"})
    assert (found_a.n_tracks, found_a.n_done, found_a.n_pending, found_a.n_failed) == (5, 3, 1, 1)
    assert (found_a.share, found_a.n_outdated, found_a.n_by_version) == (0.6, 0, {"1": 3})
    assert (found_b.n_done, found_b.n_pending, found_b.share, found_b.n_by_version) == (0, 5, 0.0, {})


def test_older_versions_are_counted_while_they_are_served(database: Database) -> None:
    _bring(database, {A: "1"})
    tracks = [accept_track(database, number) for number in range(4)]
    for each in tracks[:3]:
        _done(database, each, {A: "1"})
    _bring(database, {A: "2"})
    _done(database, tracks[0], {A: "2"})
    (found,) = _coverage(database, {A: "2"})
    assert (found.n_done, found.n_pending, found.n_outdated) == (1, 3, 2)
    assert list(found.n_by_version.items()) == [("2", 1), ("1", 2)]


def test_a_version_that_nobody_has_queued_yet_is_made_of_no_track(database: Database) -> None:
    """Right after an update, before the daemon has looked: all that is there is older."""
    _bring(database, {A: "1"})
    for number in range(2):
        _done(database, accept_track(database, number), {A: "1"})
    new_version, new_asset = _coverage(database, {A: "2", B: "1"})
    assert (new_version.n_done, new_version.n_pending, new_version.n_outdated) == (0, 2, 2)
    assert (new_asset.n_done, new_asset.n_pending, new_asset.n_by_version) == (0, 2, {})


def test_an_empty_catalogue_lacks_nothing(database: Database) -> None:
    (found,) = _coverage(database, {A: "1"})
    assert (found.n_tracks, found.share) == (0, 1.0)
    assert _coverage(database, {}) == []
