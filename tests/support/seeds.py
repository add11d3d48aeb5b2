"""Rows for tests of what reads the catalogue: complete tracks and submissions, straight into the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import numpy as np

from musicfp.catalog import revisions, terms
from musicfp.catalog.acceptance import FULL_FINGERPRINT
from musicfp.catalog.engine import Database, utc_now
from musicfp.catalog.tables import (
    FeatureRow,
    FingerprintRow,
    MaterializationRow,
    ProblemRow,
    RelatedTrackRow,
    SubmissionRow,
    TrackRow,
    TrackTagRow,
    TranscodeRow,
    VerdictRow,
)
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SeedTrack:
    """What differs from track to track."""

    title: str = "Title"
    artist: str = "Artist"
    album: str | None = "Album"
    duration_s: float = 60.0
    tags: Sequence[tuple[str, str]] = (("title", "Title"), ("genre", "Ambient"))
    features: Mapping[str, float | str] | None = None


def seed_id(number: int) -> str:
    """Return an id that sorts by its number."""
    return f"01{number:024d}"


def music(number: int, *, n_items: int = 480) -> Fingerprint:
    """Return a fingerprint that resembles no other's: random walks of bits with the statistics of real items."""
    rng = np.random.default_rng(number)
    changes = rng.integers(0, 1 << 32, n_items, dtype=np.uint32) & rng.integers(0, 1 << 32, n_items, dtype=np.uint32)
    return Fingerprint.of_items(np.bitwise_xor.accumulate(changes & np.roll(changes, 1) | changes))


def seed_submission(database: Database, number: int, status: str = "RECEIVED", *, filename: str = "song.flac") -> str:
    """Store a submission and return its id."""
    with database.write() as session:
        session.add(
            SubmissionRow(
                id=seed_id(number),
                status=status,
                filename=filename,
                object_key=f"submissions/{seed_id(number)}.flac",
                size_bytes=1000,
                created_at=EPOCH + timedelta(seconds=number),
                received_at=EPOCH + timedelta(seconds=number + 1),
            )
        )
    return seed_id(number)


def seed_track(database: Database, number: int, track: SeedTrack | None = None) -> str:
    """Store an accepted submission with its track and everything that hangs on it; return the id."""
    track_id = seed_submission(database, number, "ACCEPTED")
    seed = track or SeedTrack(title=f"Title {number}")
    with database.write() as session:
        row = _track_row(track_id, seed)
        session.add(row)
        session.flush()
        session.add_all(_parts(track_id, number, seed, revision=revisions.next_revision(session)))
        terms.add(session, row.ordinal or 0, music(number).sub_fingerprints, kind=FingerprintKind.FULL)
    return track_id


def relate(database: Database, track_id: str, other_id: str, relation: str = "SIMILAR") -> None:
    """Store a relation between two tracks."""
    with database.write() as session:
        session.add(
            RelatedTrackRow(
                track_id=track_id,
                other_track_id=other_id,
                relation=relation,
                score=0.5,
                bit_error_rate=0.2,
                offset_s=-1.5,
                overlap_s=20.0,
            )
        )


def seed_duplicate(database: Database, number: int, of_track: str | None, *, relation: str = "EXCERPT") -> str:
    """Store a submission that duplicates a track."""
    submission_id = seed_submission(database, number, "DUPLICATE")
    with database.write() as session:
        session.add(
            VerdictRow(
                submission_id=submission_id,
                outcome="DUPLICATE",
                reason="This is a part of a track.",
                policy_version="1",
                relation=relation,
                matched_track_id=of_track,
                score=0.93,
                bit_error_rate=0.04,
                offset_s=12.5,
                overlap_s=None if relation == "SAME_FILE" else 31.0,
                decided_at=EPOCH,
            )
        )
    return submission_id


def seed_problems(database: Database, submission_id: str, *codes: str) -> None:
    """Store problems of a submission."""
    with database.write() as session:
        session.add_all(
            ProblemRow(submission_id=submission_id, position=position, code=code, message=f"{code}!")
            for position, code in enumerate(codes)
        )


def _track_row(track_id: str, seed: SeedTrack) -> TrackRow:
    digest = sha256(track_id.encode()).hexdigest()
    return TrackRow(
        id=track_id,
        title=seed.title,
        artist=seed.artist,
        album=seed.album,
        duration_s=seed.duration_s,
        source_sha256=digest,
        source_key=f"sources/{digest[:2]}/{digest}.flac",
        source_size_bytes=123_456,
        container="flac",
        codec="flac",
        sample_rate_hz=44_100,
        n_channels=2,
        bitrate_bps=900_000,
        accepted_at=EPOCH,
    )


def _parts(
    track_id: str, number: int, seed: SeedTrack, *, revision: int
) -> list[TrackTagRow | FingerprintRow | TranscodeRow | FeatureRow | MaterializationRow]:
    fingerprint = music(number)
    features = {"rhythm.tempo": 100.0 + number, "tonal.key": "A"} if seed.features is None else seed.features
    return [
        *(
            TrackTagRow(track_id=track_id, position=position, name=name, value=value)
            for position, (name, value) in enumerate(seed.tags)
        ),
        FingerprintRow(
            track_id=track_id,
            kind=FULL_FINGERPRINT,
            version="1",
            algorithm=fingerprint.algorithm,
            item_duration_s=fingerprint.item_duration_s,
            audio_duration_s=fingerprint.audio_duration_s,
            n_items=fingerprint.n_items,
            sub_fingerprints=fingerprint.to_bytes(),
            revision=revision,
        ),
        *(_transcode(track_id, profile) for profile in ("mp3_v0", "opus_96")),
        *(_feature(track_id, name, answer) for name, answer in features.items()),
        MaterializationRow(
            asset_key="fingerprint",
            partition_key=track_id,
            run_id=f"run-{number}",
            code_version="1",
            materialized_at=utc_now(),  # Dagster forgets old runs
        ),
    ]


def _transcode(track_id: str, profile: str) -> TranscodeRow:
    return TranscodeRow(
        track_id=track_id,
        profile=profile,
        version="1",
        codec=profile.split("_", maxsplit=1)[0],
        container="ogg",
        bitrate_bps=96_000,
        size_bytes=54_321,
        duration_s=60.0,
        sha256="ab" * 32,
        object_key=f"transcodes/{track_id}/{profile}.ogg",
        bit_error_rate=0.01,
        created_at=EPOCH,
    )


def _feature(track_id: str, name: str, answer: float | str) -> FeatureRow:
    return FeatureRow(
        track_id=track_id,
        name=name,
        value=None if isinstance(answer, str) else answer,
        text=answer if isinstance(answer, str) else None,
        unit=None if isinstance(answer, str) else "bpm",
        confidence=0.9,
        status="OK",
        extractor=name.split(".", maxsplit=1)[0],
        version="1",
        computed_at=EPOCH,
    )
