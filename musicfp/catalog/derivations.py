"""The work queue of what is derived from tracks, and storing what came of it.

"What is missing" is an indexed query on rows that say so, never a comparison over the whole catalogue. A new asset, or
a new version of one, is queued for all tracks once, by `bring_up_to_date`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy
from sqlalchemy import case, delete, exists, func, insert, literal, or_, update
from sqlmodel import Session, col, select

from musicfp.catalog.column_types import UtcDateTime
from musicfp.catalog.engine import utc_now
from musicfp.catalog.rows import insert_or_replace
from musicfp.catalog.tables import DerivationRow, DerivedAssetRow, FeatureRow, TrackRow

NOT_MADE = ("PENDING", "FAILED")


@dataclass(frozen=True)
class PendingTrack:
    """A track and the assets it still lacks."""

    track_id: str
    assets: frozenset[str]
    duration_s: float


@dataclass(frozen=True)
class Failure:
    """Why an asset of a track could not be made. `next_attempt_at` None: trying again would give the same."""

    code: str
    message: str
    next_attempt_at: datetime | None


def bring_up_to_date(session: Session, versions: Mapping[str, str]) -> list[str]:
    """Queue every asset whose version is new for all tracks, drop assets that are no more; return the changed ones."""
    # Held first, and in the same order as by whoever notes that something is made: neither misses the other.
    in_order = select(DerivedAssetRow).order_by(DerivedAssetRow.asset).with_for_update()
    known = {row.asset: row for row in session.exec(in_order)}
    changed = [asset for asset, version in versions.items() if asset not in known or known[asset].version != version]
    for asset in changed:
        _queue_for_all_tracks(session, asset, versions[asset])
        session.merge(DerivedAssetRow(asset=asset, version=versions[asset]))
    for asset in known.keys() - versions.keys():
        session.exec(
            delete(DerivationRow).where(col(DerivationRow.asset) == asset, col(DerivationRow.status) != "DONE")
        )
        session.delete(known[asset])
    return changed


def queued_versions(session: Session) -> dict[str, str]:
    """Return the version up to which each asset has been queued."""
    return dict(session.exec(select(DerivedAssetRow.asset, DerivedAssetRow.version)).all())


def pending(session: Session, assets: Iterable[str], *, limit_tracks: int) -> list[PendingTrack]:
    """Return the oldest tracks that lack any of these assets, with what each lacks, in order of acceptance."""
    wanted = list(assets)
    lacks = (col(DerivationRow.status) == "PENDING") & col(DerivationRow.asset).in_(wanted)
    tracks = session.exec(
        select(TrackRow.id, TrackRow.duration_s)
        .where(col(TrackRow.id).in_(select(DerivationRow.track_id).where(lacks)))
        .order_by(col(TrackRow.ordinal))
        .limit(limit_tracks)
    ).all()
    missing: dict[str, set[str]] = defaultdict(set)
    for track_id, asset in session.exec(
        select(DerivationRow.track_id, DerivationRow.asset).where(
            lacks, col(DerivationRow.track_id).in_([each for each, _ in tracks])
        )
    ):
        missing[track_id].add(asset)
    return [PendingTrack(track_id, frozenset(missing[track_id]), duration_s) for track_id, duration_s in tracks]


def states(session: Session, track_ids: Sequence[str], assets: Sequence[str]) -> dict[tuple[str, str], DerivationRow]:
    """Return the rows of these tracks and assets by (track id, asset)."""
    rows = session.exec(
        select(DerivationRow).where(col(DerivationRow.track_id).in_(track_ids), col(DerivationRow.asset).in_(assets))
    )
    return {(row.track_id, row.asset): row for row in rows}


def mark_done(session: Session, made: Mapping[str, Mapping[str, str]]) -> None:
    """Note that these assets (name to version, by track id) are made.

    What was queued for another version meanwhile stays queued: a run of older code may end after an update.
    """
    assets = sorted({asset for versions in made.values() for asset in versions})
    queued, rows = _held_versions(session), states(session, list(made), assets)
    now = utc_now()
    for track_id, versions in made.items():
        for asset, version in versions.items():
            row = rows.get((track_id, asset)) or _new_row(track_id, asset, version)
            row.made_version = version
            row.updated_at = now
            if not _waits_for_another(row, version, queued):
                row.version, row.status, row.attempts = version, "DONE", 0
                row.error_code = row.error_message = row.next_attempt_at = None
            session.add(row)


def mark_failed(session: Session, track_id: str, versions: Mapping[str, str], failure: Failure) -> None:
    """Note that these assets of a track could not be made, why, and when to try again; see `mark_done`."""
    queued, rows = _held_versions(session), states(session, [track_id], list(versions))
    for asset, version in versions.items():
        row = rows.get((track_id, asset)) or _new_row(track_id, asset, version)
        if _waits_for_another(row, version, queued):
            continue
        row.version = version
        row.status = "FAILED"
        row.attempts += 1
        row.error_code = failure.code
        row.error_message = failure.message
        row.next_attempt_at = failure.next_attempt_at
        row.updated_at = utc_now()
        session.add(row)


def store_features(session: Session, rows: Sequence[FeatureRow]) -> None:
    """Store all values that extractors give of tracks, in place of those that earlier versions of them gave."""
    extractors: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        extractors[row.track_id].add(row.extractor)
    alike: dict[frozenset[str], list[str]] = defaultdict(list)
    for track_id, names in extractors.items():
        alike[frozenset(names)].append(track_id)
    for made, track_ids in alike.items():
        session.exec(
            delete(FeatureRow).where(col(FeatureRow.track_id).in_(track_ids), col(FeatureRow.extractor).in_(made))
        )
    # In place of: a value may have belonged to another extractor before.
    insert_or_replace(session, FeatureRow, [dict(row) for row in rows])


def requeue_due_failures(session: Session) -> int:
    """Put failures whose time has come back into the queue; return how many."""
    result = session.exec(
        update(DerivationRow)
        .where(col(DerivationRow.status) == "FAILED", col(DerivationRow.next_attempt_at) <= utc_now())
        .values(status="PENDING", next_attempt_at=None, updated_at=utc_now())
    )
    return int(result.rowcount)


def counts_by_status(session: Session, asset: str) -> dict[str, int]:
    """Return how many tracks have this asset PENDING, DONE and FAILED."""
    rows = session.exec(
        select(DerivationRow.status, func.count())
        .where(col(DerivationRow.asset) == asset)
        .group_by(col(DerivationRow.status))
    )
    return dict(rows.all())


def counts_not_made(session: Session) -> dict[str, int]:
    """Return how many assets of tracks are PENDING and FAILED. Those that are made are many, and not looked at."""
    rows = session.exec(
        select(DerivationRow.status, func.count())
        .where(col(DerivationRow.status).in_(NOT_MADE))
        .group_by(col(DerivationRow.status))
    )
    return dict(rows.all())


def requeue_failed(session: Session, track_id: str) -> list[str]:
    """Put all failures of a track back into the queue, also those that were given up; return the assets."""
    rows = session.exec(
        select(DerivationRow)
        .where(DerivationRow.track_id == track_id, DerivationRow.status == "FAILED")
        .order_by(DerivationRow.asset)
    ).all()
    for row in rows:
        row.status, row.attempts, row.next_attempt_at, row.updated_at = "PENDING", 0, None, utc_now()
        session.add(row)
    return [row.asset for row in rows]


def failures(session: Session, *, limit: int, given_up: bool = False) -> list[DerivationRow]:
    """Return what is failed now, oldest first; with `given_up` only what is not tried again by itself."""
    query = select(DerivationRow).where(DerivationRow.status == "FAILED")
    if given_up:
        query = query.where(col(DerivationRow.next_attempt_at).is_(None))
    return list(session.exec(query.order_by(col(DerivationRow.updated_at)).limit(limit)).all())


def failure_counts(session: Session) -> dict[str, tuple[int, int]]:
    """Return by asset how many tracks it failed for: given up, and to be tried again."""
    given_up = func.sum(case((col(DerivationRow.next_attempt_at).is_(None), 1), else_=0))
    rows = session.exec(
        select(DerivationRow.asset, func.count(), given_up)
        .where(DerivationRow.status == "FAILED")
        .group_by(DerivationRow.asset)
        .order_by(DerivationRow.asset)
    )
    return {asset: (int(n_given_up), n - int(n_given_up)) for asset, n, n_given_up in rows}


def _held_versions(session: Session) -> dict[str, str]:
    """Return `queued_versions`; nothing is queued for another version until this transaction ends."""
    # All of them, in one order: who holds some cannot wait for others that wait for it.
    in_order = select(DerivedAssetRow.asset, DerivedAssetRow.version).order_by(DerivedAssetRow.asset)
    return dict(session.exec(in_order.with_for_update(read=True)).all())


def _new_row(track_id: str, asset: str, version: str) -> DerivationRow:
    return DerivationRow(track_id=track_id, asset=asset, version=version, status="", updated_at=utc_now())


def _waits_for_another(row: DerivationRow, version: str, queued: Mapping[str, str]) -> bool:
    return row.status == "PENDING" and row.version != version and row.version == queued.get(row.asset)


def _queue_for_all_tracks(session: Session, asset: str, version: str) -> None:
    now = utc_now()
    is_stale = or_(col(DerivationRow.version) != version, col(DerivationRow.status) == "FAILED")
    session.exec(
        update(DerivationRow)
        .where(col(DerivationRow.asset) == asset, is_stale)
        .values(version=version, status="PENDING", attempts=0, next_attempt_at=None, updated_at=now)
    )
    # By the database itself: an object for each of 100,000 tracks took seconds in which nobody else could accept one.
    is_queued = exists().where(col(DerivationRow.track_id) == col(TrackRow.id), col(DerivationRow.asset) == asset)
    values = (asset, version, "PENDING", 0)
    queued_at = literal(now, type_=UtcDateTime())
    lacking = sqlalchemy.select(col(TrackRow.id), *map(literal, values), queued_at).where(~is_queued)
    columns = ["track_id", "asset", "version", "status", "attempts", "updated_at"]
    session.exec(insert(DerivationRow).from_select(columns, lacking))
