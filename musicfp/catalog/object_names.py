"""Which objects of the store the rows name, asked from both sides: for keys that are there, and row after row.

What belongs here: queries. What does not: the object store itself, and what to do about a difference
(`musicfp.pipeline.deep_check`, `musicfp.pipeline.reconcile`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func
from sqlmodel import Session, col, select

from musicfp.catalog import search_index, submissions
from musicfp.catalog.tables import SubmissionRow, TrackRow, TranscodeRow
from musicfp.identity import source_sha256_of_key, track_id_of_transcode_key


class ObjectKind(StrEnum):
    """What an object is, by the form of its key."""

    SOURCE = "source"
    TRANSCODE = "transcode"
    INDEX_FILE = "index file"


@dataclass(frozen=True)
class NamedObject:
    """What a row says about an object. `owner` is the id of the track, or of the build of the search index."""

    kind: ObjectKind
    owner: str
    key: str
    size_bytes: int
    sha256: str


def named_among(session: Session, keys: Sequence[str]) -> set[str]:
    """Return those of the keys of sources and transcodes that a row names: two queries, however many keys."""
    sha256s = list(filter(None, map(source_sha256_of_key, keys)))
    track_ids = _track_ids(keys)
    sources = select(TrackRow.source_key).where(col(TrackRow.source_sha256).in_(sha256s))
    transcodes = select(TranscodeRow.object_key).where(col(TranscodeRow.track_id).in_(track_ids))
    named = set(session.exec(sources)) if sha256s else set()
    return named.union(session.exec(transcodes) if track_ids else ()).intersection(keys)


def replaced_at(session: Session, keys: Sequence[str]) -> dict[str, datetime]:
    """Return, for keys of transcodes, when their track got its newest one: until then they may have been in use."""
    newest = dict(
        session.exec(
            select(TranscodeRow.track_id, func.max(TranscodeRow.created_at))
            .where(col(TranscodeRow.track_id).in_(_track_ids(keys)))
            .group_by(col(TranscodeRow.track_id))
        ).all()
    )
    owners = {key: track_id_of_transcode_key(key) for key in keys}
    return {key: newest[owner] for key, owner in owners.items() if owner in newest}


def named_by_tracks(session: Session, *, after_ordinal: int, limit_tracks: int) -> tuple[list[NamedObject], int] | None:
    """Return what the next tracks name, sources and transcodes, and the last of their ordinals; None at the end."""
    ordinal = col(TrackRow.ordinal)
    tracks = session.exec(select(TrackRow).where(ordinal > after_ordinal).order_by(ordinal).limit(limit_tracks)).all()
    if not tracks:
        return None
    last = tracks[-1].ordinal or 0
    transcodes = session.exec(
        select(TranscodeRow)
        .join(TrackRow, col(TrackRow.id) == col(TranscodeRow.track_id))
        .where(ordinal > after_ordinal, ordinal <= last)
    )
    return [*map(_of_track, tracks), *map(_of_transcode, transcodes)], last


def named_of_tracks(session: Session, track_ids: Sequence[str]) -> list[NamedObject]:
    """Return what these tracks name, sources and transcodes."""
    tracks = session.exec(select(TrackRow).where(col(TrackRow.id).in_(track_ids))).all()
    transcodes = session.exec(select(TranscodeRow).where(col(TranscodeRow.track_id).in_(track_ids))).all()
    return [*map(_of_track, tracks), *map(_of_transcode, transcodes)]


def named_by_builds(session: Session) -> list[NamedObject]:
    """Return the files of the builds of the search index that are kept."""
    found = {
        each.key: NamedObject(ObjectKind.INDEX_FILE, build.id, each.key, each.size_bytes, each.sha256)
        for build in search_index.kept_builds(session)
        for each in build.segments
    }
    return list(found.values())


def kept_uploads(
    session: Session, *, after: str, limit: int, among: Sequence[str] | None = None
) -> list[SubmissionRow]:
    """Return the next submissions whose upload must be in the submission bucket: undecided, or kept after a verdict.

    With `among`, only those with these ids.
    """
    row = col(SubmissionRow.id)
    statuses = ("RECEIVED", *submissions.OBJECT_KEPT)
    query = select(SubmissionRow).where(
        row > after, col(SubmissionRow.status).in_(statuses), col(SubmissionRow.object_gone_at).is_(None)
    )
    if among is not None:
        query = query.where(row.in_(among))
    return list(session.exec(query.order_by(row).limit(limit)).all())


def _track_ids(keys: Iterable[str]) -> list[str]:
    return list(set(filter(None, map(track_id_of_transcode_key, keys))))


def _of_track(row: TrackRow) -> NamedObject:
    return NamedObject(ObjectKind.SOURCE, row.id, row.source_key, row.source_size_bytes, row.source_sha256)


def _of_transcode(row: TranscodeRow) -> NamedObject:
    return NamedObject(ObjectKind.TRANSCODE, row.track_id, row.object_key, row.size_bytes, row.sha256)
