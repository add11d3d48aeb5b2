"""The work queue, on SQLite and on PostgreSQL."""

import threading
from datetime import timedelta
from typing import Any

from sqlalchemy import event
from sqlmodel import select

from musicfp.catalog import derivations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import DerivationRow, FeatureRow, SubmissionRow
from tests.support.accepted import accept_track, accept_within, received
from tests.support.seeds import seed_id

WAIT_S = 60
A, B = "transcode_a", "feature_b"
FIRST = {A: "1", B: "1"}


def _bring(database: Database, versions: dict[str, str]) -> list[str]:
    with database.exclusive() as session:
        return derivations.bring_up_to_date(session, versions)


def _pending(database: Database, assets: list[str], *, limit: int = 10) -> list[tuple[str, frozenset[str]]]:
    with database.read() as session:
        found = derivations.pending(session, assets, limit_tracks=limit)
    return [(each.track_id, each.assets) for each in found]


def _done(database: Database, track_id: str, versions: dict[str, str]) -> None:
    with database.write() as session:
        derivations.mark_done(session, {track_id: versions})


def _fail(database: Database, track_id: str, versions: dict[str, str], *, in_s: float | None) -> None:
    due_at = None if in_s is None else utc_now() + timedelta(seconds=in_s)
    with database.write() as session:
        derivations.mark_failed(session, track_id, versions, Failure("broken", "It broke.", due_at))


def _feature(track_id: str, name: str, extractor: str) -> FeatureRow:
    return FeatureRow(
        track_id=track_id, name=name, value=0.5, status="OK", extractor=extractor, version="1", computed_at=utc_now()
    )


def _store(database: Database, *rows: FeatureRow) -> None:
    with database.write() as session:
        derivations.store_features(session, rows)


def _row(database: Database, track_id: str, asset: str) -> DerivationRow:
    with database.read() as session:
        return session.get_one(DerivationRow, (track_id, asset))


def test_known_assets_are_queued_with_the_track(database: Database) -> None:
    """Nobody has to look for new tracks: they come with their queue."""
    assert sorted(_bring(database, FIRST)) == [B, A]
    track_id = accept_track(database, 1)
    assert _pending(database, [A, B]) == [(track_id, frozenset({A, B}))]
    assert _bring(database, FIRST) == []


def test_a_new_asset_is_queued_for_the_tracks_that_are_there(database: Database) -> None:
    """A feature that is added later is made for the whole catalogue, and only it."""
    _bring(database, {A: "1"})
    tracks = [accept_track(database, number) for number in (1, 2)]
    for each in tracks:
        _done(database, each, {A: "1"})
    assert _bring(database, FIRST) == [B]
    assert _pending(database, [A, B]) == [(each, frozenset({B})) for each in tracks]


def test_a_new_version_queues_what_was_made_by_the_old_one(database: Database) -> None:
    """And tries once more what had failed for good: the new code may do better."""
    _bring(database, FIRST)
    tracks = [accept_track(database, number) for number in (1, 2)]
    _done(database, tracks[0], FIRST)
    _fail(database, tracks[1], {A: "1"}, in_s=None)
    _done(database, tracks[1], {B: "1"})
    assert _bring(database, {A: "2", B: "1"}) == [A]
    assert _pending(database, [A, B]) == [(each, frozenset({A})) for each in tracks]
    row = _row(database, tracks[1], A)
    assert (row.version, row.attempts, row.next_attempt_at) == ("2", 0, None)


def test_a_removed_asset_is_not_asked_for_any_more(database: Database) -> None:
    """What was made of it stays known, so that its return queues only what is missing."""
    _bring(database, FIRST)
    made, lacking = accept_track(database, 1), accept_track(database, 2)
    _done(database, made, FIRST)
    _bring(database, {A: "1"})
    assert _pending(database, [A, B]) == [(lacking, frozenset({A}))]
    third = accept_track(database, 3)
    assert _pending(database, [B]) == []
    assert _bring(database, FIRST) == [B]
    assert _pending(database, [B]) == [(lacking, frozenset({B})), (third, frozenset({B}))]


def test_pending_are_the_tracks_accepted_first(database: Database) -> None:
    """In order of acceptance, not of ids, and no more than asked for; other assets do not count."""
    _bring(database, FIRST)
    for number in (7, 3, 5):
        accept_track(database, number)
    _done(database, seed_id(7), {A: "1"})
    assert [track for track, _ in _pending(database, [A], limit=2)] == [seed_id(3), seed_id(5)]
    assert _pending(database, [B], limit=1) == [(seed_id(7), frozenset({B}))]
    assert _pending(database, ["unknown"]) == []
    assert _pending(database, []) == []


def test_a_failure_comes_back_when_its_time_has_come(database: Database) -> None:
    """Not before, and never when trying again would give the same; the reason is kept until it succeeds."""
    _bring(database, {A: "1"})
    due, later, never = (accept_track(database, number) for number in (1, 2, 3))
    _fail(database, due, {A: "1"}, in_s=-1)
    _fail(database, later, {A: "1"}, in_s=60)
    _fail(database, never, {A: "1"}, in_s=None)
    assert _pending(database, [A]) == []
    with database.write() as session:
        assert derivations.requeue_due_failures(session) == 1
    with database.write() as session:
        assert derivations.requeue_due_failures(session) == 0
    assert _pending(database, [A]) == [(due, frozenset({A}))]
    assert _row(database, due, A).attempts == 1
    _fail(database, due, {A: "1"}, in_s=-1)
    assert _row(database, due, A).attempts == 2
    assert _row(database, due, A).error_message == "It broke."


def test_success_forgets_the_failures_before(database: Database) -> None:
    """No old reason stands beside something that is there."""
    _bring(database, {A: "1"})
    track_id = accept_track(database, 1)
    _fail(database, track_id, {A: "1"}, in_s=60)
    _done(database, track_id, {A: "1"})
    row = _row(database, track_id, A)
    assert (row.status, row.attempts) == ("DONE", 0)
    assert (row.error_code, row.error_message, row.next_attempt_at) == (None, None, None)


def test_counts_and_failures_tell_how_things_stand(database: Database) -> None:
    """How many tracks have an asset, lack it or failed, and which failed, oldest first."""
    _bring(database, {A: "1"})
    tracks = [accept_track(database, number) for number in (1, 2, 3, 4)]
    _done(database, tracks[0], {A: "1"})
    _fail(database, tracks[2], {A: "1"}, in_s=None)
    _fail(database, tracks[1], {A: "1"}, in_s=60)
    with database.read() as session:
        assert derivations.counts_by_status(session, A) == {"DONE": 1, "FAILED": 2, "PENDING": 1}
        assert [row.track_id for row in derivations.failures(session, limit=5)] == [tracks[2], tracks[1]]
        assert derivations.queued_versions(session) == {A: "1"}


def test_what_was_given_up_is_told_and_may_be_asked_for_again(database: Database) -> None:
    """All of one track, with all attempts before it; what was made stays."""
    _bring(database, {A: "1", B: "1"})
    given_up, other = (accept_track(database, number) for number in (1, 2))
    _fail(database, given_up, {A: "1"}, in_s=None)
    _fail(database, other, {A: "1", B: "1"}, in_s=60)
    _done(database, given_up, {B: "1"})
    with database.read() as session:
        assert derivations.failure_counts(session) == {A: (1, 1), B: (0, 1)}
        assert [row.track_id for row in derivations.failures(session, limit=5, given_up=True)] == [given_up]
    with database.write() as session:
        assert derivations.requeue_failed(session, given_up) == [A]
        assert derivations.requeue_failed(session, given_up) == []
    assert _pending(database, [A, B]) == [(given_up, frozenset({A}))]
    assert _row(database, given_up, A).attempts == 0
    with database.read() as session:
        assert derivations.failure_counts(session) == {A: (0, 1), B: (0, 1)}


def test_a_track_accepted_at_this_very_moment_misses_no_new_asset(database: Database) -> None:
    """Queueing for all tracks waits for the acceptance that is under way, which does not know the new asset yet."""
    submission_id = received(database, 1)
    inside = threading.Event()

    def add_asset() -> None:
        assert inside.wait(WAIT_S)
        _bring(database, FIRST)

    thread = threading.Thread(target=add_asset)
    thread.start()
    with database.exclusive() as session:
        accept_within(session, session.get_one(SubmissionRow, submission_id), source="x")
        session.flush()
        inside.set()
        thread.join(timeout=0.3)  # time enough to overtake, were it let
    thread.join(WAIT_S)
    assert _pending(database, [A, B]) == [(submission_id, frozenset({A, B}))]
    with database.read() as session:
        assert len(session.exec(select(DerivationRow)).all()) == 2


def test_a_version_that_is_queued_while_another_is_noted_as_made_stays_queued(database: Database) -> None:
    """Queueing waits for the note, which would otherwise overwrite what it has not seen."""
    _bring(database, {A: "1"})
    track_id = accept_track(database, 1)
    thread = threading.Thread(target=_bring, args=(database, {A: "2"}))
    with database.write() as session:
        derivations.mark_done(session, {track_id: {A: "1"}})
        session.flush()
        thread.start()
        thread.join(timeout=0.3)  # time enough to overtake, were it let
    thread.join(WAIT_S)
    row = _row(database, track_id, A)
    assert (row.version, row.status, row.made_version) == ("2", "PENDING", "1")


def test_what_is_made_while_a_version_is_queued_does_not_end_the_queue(database: Database) -> None:
    """The other way round: noting waits until the version that is being queued can be seen."""
    _bring(database, {A: "1"})
    track_id = accept_track(database, 1)
    thread = threading.Thread(target=_done, args=(database, track_id, {A: "1"}))
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, {A: "2"})
        session.flush()
        thread.start()
        thread.join(timeout=0.3)
    thread.join(WAIT_S)
    row = _row(database, track_id, A)
    assert (row.version, row.status, row.made_version) == ("2", "PENDING", "1")


def test_values_of_several_tracks_take_the_place_of_what_their_extractors_gave_before(database: Database) -> None:
    """Each track's own: what another track or another extractor gave stays, unless the value has moved here."""
    _bring(database, FIRST)
    one, two = (accept_track(database, number) for number in (1, 2))
    _store(database, _feature(one, "a.old", "a"), _feature(two, "a.old", "a"), _feature(one, "b.moved", "b"))
    _store(database, _feature(one, "a.new", "a"), _feature(one, "b.moved", "a"), _feature(two, "c.new", "c"))
    with database.read() as session:
        rows = session.exec(select(FeatureRow)).all()
    assert sorted((row.track_id, row.name, row.extractor) for row in rows) == sorted(
        [(one, "a.new", "a"), (one, "b.moved", "a"), (two, "a.old", "a"), (two, "c.new", "c")]
    )
    assert {(row.value, row.text) for row in rows} == {(0.5, None)}
    assert [row.vector for row in rows if row.name == "c.new"] == [None]


def test_queueing_an_asset_for_all_tracks_costs_the_same_for_any_number(database: Database) -> None:
    """The exclusive lock is held meanwhile, so no row passes through this process."""
    tracks = [accept_track(database, number) for number in range(7)]
    inserted: list[Any] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement.startswith("INSERT INTO derivation "):
            inserted.append((parameters, many))

    event.listen(database.engine, "before_cursor_execute", note)
    _bring(database, {A: "1"})
    event.remove(database.engine, "before_cursor_execute", note)
    assert len(inserted) == 1
    assert not inserted[0][1]
    assert [track for track, _ in _pending(database, [A])] == tracks
    row = _row(database, tracks[0], A)
    assert (row.version, row.attempts, row.made_version) == ("1", 0, None)
    assert abs((utc_now() - row.updated_at).total_seconds()) < WAIT_S


def test_the_version_that_is_served_is_known_while_another_is_made(database: Database) -> None:
    """Also after a failure."""
    _bring(database, {A: "1"})
    track_id = accept_track(database, 1)
    _done(database, track_id, {A: "1"})
    _bring(database, {A: "2"})
    assert _row(database, track_id, A).made_version == "1"
    _fail(database, track_id, {A: "2"}, in_s=None)
    row = _row(database, track_id, A)
    assert (row.status, row.version, row.made_version) == ("FAILED", "2", "1")
    _done(database, track_id, {A: "2"})
    assert _row(database, track_id, A).made_version == "2"


def test_what_a_run_of_older_code_ends_with_does_not_hide_what_is_queued(database: Database) -> None:
    """It was asked for before the update; its values are served, and the new ones are still made."""
    _bring(database, {A: "1"})
    made, broken = (accept_track(database, number) for number in (1, 2))
    _bring(database, {A: "2"})
    _done(database, made, {A: "1"})
    _fail(database, broken, {A: "1"}, in_s=None)
    assert _pending(database, [A]) == [(made, frozenset({A})), (broken, frozenset({A}))]
    row = _row(database, made, A)
    assert (row.version, row.made_version) == ("2", "1")
    _done(database, made, {A: "2"})
    assert _pending(database, [A]) == [(broken, frozenset({A}))]


def test_what_newer_code_made_before_it_was_queued_is_not_made_again(database: Database) -> None:
    """Somebody asked for it by hand right after the update."""
    _bring(database, {A: "1"})
    track_id = accept_track(database, 1)
    _done(database, track_id, {A: "1"})
    _done(database, track_id, {A: "2"})
    _bring(database, {A: "2"})
    assert _pending(database, [A]) == []


def test_what_was_queued_at_a_new_version_while_it_was_made_stays_queued(database: Database) -> None:
    """A model is installed while a run computes: what the run brings is of the version before."""
    _bring(database, FIRST)
    track_id = accept_track(database, 1)
    _bring(database, {**FIRST, B: "1-3ed9af50"})
    _done(database, track_id, {B: "1"})
    assert _pending(database, [B]) == [(track_id, frozenset({B}))]
    _done(database, track_id, {B: "1-3ed9af50"})
    assert _pending(database, [B]) == []
