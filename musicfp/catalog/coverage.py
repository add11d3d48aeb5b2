"""How much of the catalogue has each asset of the tracks, and in which version.

What belongs here: counting. What does not: which assets and versions there should be (`musicfp.pipeline.versions`).

Every track has a row for every asset that is queued (`derivation_missing` in `contradictions` holds that), and what is
made has the version that is wanted. So those that are made are all tracks but those that are not, and only the latter
are looked at: from an index of their own, which is empty when all is done.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session, col, func, select

from musicfp.catalog.tables import DerivationRow, DerivedAssetRow, TrackRow


@dataclass(frozen=True)
class Coverage:
    """How many tracks have one asset.

    Parameters
    ----------
    version
        The one that the installed code makes.
    n_tracks
        In the catalogue. Each is one of `n_done`, `n_pending` and `n_failed`.
    n_done
        Tracks that have it in this version.
    n_pending, n_failed
        Tracks that wait for it, and for which it could not be made.
    n_by_version
        Tracks by the version that they have and that is served; those that have none are not among them.

    """

    asset: str
    version: str
    n_tracks: int
    n_done: int
    n_pending: int
    n_failed: int
    n_by_version: Mapping[str, int]

    @property
    def n_outdated(self) -> int:
        """Tracks for which another version is served meanwhile."""
        return sum(n for version, n in self.n_by_version.items() if version != self.version)

    @property
    def share(self) -> float:
        """Share of tracks that have it in this version, 1 in an empty catalogue."""
        return self.n_done / self.n_tracks if self.n_tracks else 1.0


def coverage(session: Session, versions: Mapping[str, str]) -> list[Coverage]:
    """Return the coverage of these assets (name to version). In a `Database.snapshot()`, so that the counts agree."""
    n_tracks = session.exec(select(func.count()).select_from(TrackRow)).one()
    queued = {row.asset: row.version for row in session.exec(select(DerivedAssetRow))}
    not_made: dict[str, dict[tuple[str, str | None], int]] = {asset: {} for asset in versions}
    for asset, status, made_version, n in session.exec(
        select(DerivationRow.asset, DerivationRow.status, DerivationRow.made_version, func.count())
        .where(text("status <> 'DONE'"), col(DerivationRow.asset).in_(versions))
        .group_by(col(DerivationRow.asset), col(DerivationRow.status), col(DerivationRow.made_version))
    ):
        not_made[asset][status, made_version] = n
    return [
        _of_asset(asset, version, n_tracks, queued.get(asset), not_made[asset]) for asset, version in versions.items()
    ]


def _of_asset(
    asset: str, version: str, n_tracks: int, queued: str | None, not_made: Mapping[tuple[str, str | None], int]
) -> Coverage:
    # Nobody has queued it yet: the code location has not looked since it was added.
    n_made = n_tracks - sum(not_made.values()) if queued is not None else 0
    n_by_version = {queued: n_made} if queued is not None and n_made else {}
    for (_, made_version), n in not_made.items():
        if made_version is not None:
            n_by_version[made_version] = n_by_version.get(made_version, 0) + n
    n_done = n_made if queued == version else 0
    n_failed = sum(n for (status, _), n in not_made.items() if status == "FAILED")
    return Coverage(
        asset=asset,
        version=version,
        n_tracks=n_tracks,
        n_done=n_done,
        n_pending=n_tracks - n_done - n_failed,
        n_failed=n_failed,
        n_by_version=dict(sorted(n_by_version.items(), key=lambda item: (item[0] != version, item[0]))),
    )
