"""The deep check: nothing to tell of a catalogue that is right, and every kind of damage by its name."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import cast

import pytest
from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from musicfp.catalog import derivations
from musicfp.catalog.engine import Database
from musicfp.catalog.tables import (
    DerivationRow,
    FeatureRow,
    FingerprintRow,
    FingerprintTermRow,
    SubmissionRow,
    TrackRow,
    TranscodeRow,
    VerdictRow,
)
from musicfp.features.registry import load_builtin
from musicfp.identity import PROBE_KEY, source_key, transcode_key
from musicfp.pipeline.analysis import analyse_batch
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.deep_check import IN_FLIGHT_FOR, DeepCheck, Finding
from musicfp.pipeline.ingest import forget_decided_objects, ingest_batch
from musicfp.pipeline.search_index import build_search_index
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.pipeline.versions import feature_versions
from tests.support.ingesting import ingest_all, submission_of, upload_and_discover
from tests.support.seeds import seed_id
from tests.support.songs import SongFolder

ANY_AGE = timedelta(minutes=-10)
FEATURE = "feature_duration"


def _check(stage: StageContext, *, hashing: bool = False, any_age: bool = True) -> DeepCheck:
    in_flight_for = ANY_AGE if any_age else IN_FLIGHT_FOR
    return DeepCheck(stage.database, stage.store, stage.settings, hashing=hashing, in_flight_for=in_flight_for)


def _found(stage: StageContext, *, hashing: bool = False) -> list[Finding]:
    return list(_check(stage, hashing=hashing).findings())


def _kinds(stage: StageContext, *, hashing: bool = False) -> set[str]:
    return {each.kind for each in _found(stage, hashing=hashing)}


@pytest.fixture
def filled(stage: StageContext, songs: SongFolder, versions: Mapping[str, str]) -> StageContext:
    """A catalogue with an accepted, a duplicate, a rejected and an undecided upload, and everything that is derived."""
    of_features = {FEATURE: feature_versions(load_builtin(()))[FEATURE]}
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, {**versions, **of_features})
    outcomes = ingest_all(stage, songs.song(1), songs.other_codec(1), songs.short())
    assert [each.submission.status for each in outcomes] == ["ACCEPTED", "DUPLICATE", "REJECTED"]
    track_id = outcomes[0].submission.id
    list(transcode_batch(stage, [track_id], versions))
    list(analyse_batch(stage, [track_id], of_features))
    build_search_index(stage)
    upload_and_discover(stage, songs.song(2))
    stage.store.client.put_object(Bucket=stage.settings.source_bucket, Key=PROBE_KEY, Body=b"x")
    return stage


def _id_with(session: Session, status: str) -> str:
    return session.exec(select(SubmissionRow.id).where(SubmissionRow.status == status)).one()


def _transcode(session: Session) -> TranscodeRow:
    return session.exec(select(TranscodeRow).where(TranscodeRow.profile == "opus_96")).one()


def _track(session: Session) -> TrackRow:
    return session.exec(select(TrackRow)).one()


def _accept_nothing(session: Session) -> None:
    session.get_one(SubmissionRow, _id_with(session, "REJECTED")).status = "ACCEPTED"


def _undecide(session: Session) -> None:
    session.get_one(SubmissionRow, _id_with(session, "ACCEPTED")).status = "RECEIVED"


def _forget_verdict(session: Session) -> None:
    session.exec(delete(VerdictRow).where(col(VerdictRow.submission_id) == _id_with(session, "ACCEPTED")))


def _turn_verdict(session: Session) -> None:
    session.get_one(VerdictRow, _id_with(session, "DUPLICATE")).outcome = "ACCEPTED"


def _blank_verdict(session: Session) -> None:
    verdict = session.get_one(VerdictRow, _id_with(session, "DUPLICATE"))
    verdict.matched_track_id, verdict.reason = None, " "


def _forget_date(session: Session) -> None:
    session.get_one(SubmissionRow, _id_with(session, "DUPLICATE")).decided_at = None


def _forget_fingerprint(session: Session) -> None:
    session.exec(delete(FingerprintRow).where(col(FingerprintRow.kind) == "full"))


def _cut_fingerprint(session: Session, *, n_bytes: int = 32) -> None:
    row = session.get_one(FingerprintRow, (_track(session).id, "full"))
    row.sub_fingerprints = row.sub_fingerprints[:-n_bytes]


def _tear_fingerprint(session: Session) -> None:
    _cut_fingerprint(session, n_bytes=1)


def _number_fingerprint(session: Session) -> None:
    session.get_one(FingerprintRow, (_track(session).id, "full")).revision = 99


def _forget_transcode(session: Session) -> None:
    session.delete(_transcode(session))


def _age_feature(session: Session) -> None:
    session.exec(update(FeatureRow).values(version="0"))


def _forget_derivation(session: Session) -> None:
    session.exec(delete(DerivationRow).where(col(DerivationRow.asset) == FEATURE))


def _forget_posting(session: Session) -> None:
    first = session.exec(select(FingerprintTermRow).limit(1)).one()
    session.delete(first)


def _resize_source(session: Session) -> None:
    _track(session).source_size_bytes += 1


def _resize_transcode(session: Session) -> None:
    _transcode(session).size_bytes += 1


ROWS: dict[str, tuple[Callable[[Session], None], set[str]]] = {
    "accepted without track": (_accept_nothing, {"accepted_without_track", "decision_without_verdict"}),
    "track of an undecided submission": (_undecide, {"track_of_undecided_submission"}),
    "no verdict": (_forget_verdict, {"decision_without_verdict"}),
    "another verdict": (_turn_verdict, {"verdict_says_otherwise"}),
    "duplicate of nothing": (_blank_verdict, {"duplicate_of_nothing"}),
    "no date": (_forget_date, {"decided_without_date"}),
    "no fingerprint": (_forget_fingerprint, {"track_without_fingerprint", "index_differs"}),
    "fingerprint too short": (_cut_fingerprint, {"fingerprint_damaged", "index_differs"}),
    "fingerprint torn": (_tear_fingerprint, {"fingerprint_damaged", "index_not_compared"}),
    "fingerprint unnumbered": (_number_fingerprint, {"fingerprint_unnumbered"}),
    "no transcode row": (_forget_transcode, {"derivation_without_result", "orphan_transcode"}),
    "feature of another version": (_age_feature, {"derivation_without_result"}),
    "not queued": (_forget_derivation, {"derivation_missing"}),
    "posting lost": (_forget_posting, {"index_differs"}),
    "source of another size": (_resize_source, {"source_size_differs"}),
    "transcode of another size": (_resize_transcode, {"transcode_size_differs"}),
}


def test_each_kind_of_wrong_row_is_told_by_name(filled: StageContext) -> None:
    """Nothing is told of a right catalogue; each damage, done by itself and undone, is told by its own names."""
    checks = _check(filled, hashing=True)
    assert list(checks.findings()) == []
    checked = checks.checked
    assert (checked.n_tracks, checked.n_uploads, checked.n_recent) == (1, 2, 0)
    n_files = 1 + len(filled.settings.transcode_profiles) + 2  # the index has a file for each kind of fingerprint
    assert checked.n_named == checked.n_objects == checked.n_hashed == n_files
    told = {}
    for name, (damage, _) in ROWS.items():
        session = Session(filled.database._writing_engine)
        connection = session.connection()
        try:
            damage(session)
            session.flush()
            told[name] = _kinds(_within(filled, session))
        finally:
            session.rollback()
            connection.close()
    assert told == {name: kinds for name, (_, kinds) in ROWS.items()}
    assert _found(filled) == []


class _OneSession:
    """The database as one open transaction sees it, which is rolled back afterwards: damage that undoes itself."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def read(self) -> "_OneSession":
        return self

    snapshot = read

    def __enter__(self) -> Session:
        return self._session

    def __exit__(self, *_: object) -> None:
        self._session.expire_all()


def _within(stage: StageContext, session: Session) -> StageContext:
    return replace(stage, database=cast(Database, _OneSession(session)))


def _put(stage: StageContext, key: str, content: bytes) -> None:
    stage.store.client.put_object(Bucket=stage.settings.source_bucket, Key=key, Body=content)


def test_each_kind_of_wrong_object_is_told_by_name(filled: StageContext) -> None:
    """Missing, of another size, of other bytes, without a row, not ours; an undecided upload and an index file lost."""
    bucket = filled.settings.source_bucket
    with filled.database.read() as session:
        source, transcode, track_id = _track(session).source_key, _transcode(session).object_key, _track(session).id
        undecided = _id_with(session, "RECEIVED")
    size_bytes = filled.store.stat(bucket, transcode).size_bytes  # type: ignore[union-attr]
    [index_file, other_file] = [each.key for each in filled.store.list_after(bucket, prefix="search-index/")]
    filled.store.delete(bucket, source)
    _put(filled, transcode, b"\0" * size_bytes)
    filled.store.delete(filled.settings.submission_bucket, submission_of(filled, undecided).object_key)
    filled.store.delete(bucket, index_file)
    _put(filled, other_file, b"short")
    orphan = source_key(sha256(b"orphan").hexdigest(), "flac")
    strange = transcode_key(seed_id(9), "opus_96", "0" * 64, "opus")
    for key in (orphan, strange, "search-index/0.segment", "somebody/elses"):
        _put(filled, key, b"four")
    found = {(each.kind, each.subject): each.what for each in _found(filled, hashing=True)}
    assert {kind for kind, _ in found} == {
        "source_missing",
        "transcode_hash_differs",
        "upload_missing",
        "index_file_missing",
        "index_file_size_differs",
        "orphan_source",
        "orphan_transcode",
        "orphan_index_file",
        "foreign_object",
    }
    assert found["source_missing", track_id] == source
    assert found["transcode_hash_differs", track_id].startswith(f"{transcode} has SHA-256 ")
    assert found["orphan_source", bucket] == f"{orphan}, 4 bytes"
    assert "transcode_hash_differs" not in _kinds(filled)


def test_new_objects_are_not_orphans_yet(stage: StageContext) -> None:
    """They may belong to a run that has not come to its transaction."""
    _put(stage, source_key(sha256(b"new").hexdigest(), "flac"), b"new")
    checks = _check(stage, any_age=False)
    assert list(checks.findings()) == []
    assert checks.checked.n_recent == 1


def test_uploads_decided_meanwhile_are_not_reported(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """Checks one after the other while a batch is ingested, transcoded and forgotten: nothing is ever wrong."""
    submission_ids = upload_and_discover(stage, songs.song(1), songs.other_codec(1), songs.song(2))
    told: list[Finding] = []
    over, n_checks = threading.Event(), 0

    def check_again_and_again() -> None:
        nonlocal n_checks
        while not over.is_set():
            told.extend(_check(stage, any_age=False).findings())
            n_checks += 1

    checker = threading.Thread(target=check_again_and_again)
    checker.start()
    try:
        outcomes = list(ingest_batch(stage, submission_ids))
        forget_decided_objects(stage)
        accepted = [each.submission.id for each in outcomes if each.submission.status == "ACCEPTED"]
        list(transcode_batch(stage, accepted, versions))
        list(transcode_batch(stage, accepted, versions, recompute=True))
    finally:
        over.set()
        checker.join()
    assert told == []
    assert n_checks > 1
