"""Inverted index of the terms of fingerprints, built for the fingerprints that are there."""

import json
from collections.abc import Iterator

import numpy as np
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Which postings a fingerprint has is repeated here as it was when this migration was made: a migration must not import
# live code. Migrations that change the rule build the index anew.
_KINDS = (("full", 0), ("band_300_3400", 1))
_BATCH_TRACKS = 2000
_INSERT = {
    "sqlite": "INSERT INTO fingerprint_term (term, loc) "
    "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:rows)",
    "postgresql": "INSERT INTO fingerprint_term (term, loc) "
    "SELECT (value ->> 0)::bigint, (value ->> 1)::bigint FROM json_array_elements(CAST(:rows AS json)) AS value",
}
_SELECT = (
    "SELECT track.ordinal, fingerprint.sub_fingerprints "
    "FROM track JOIN fingerprint ON fingerprint.track_id = track.id "
    "WHERE fingerprint.kind = :kind AND track.ordinal > :after ORDER BY track.ordinal LIMIT :limit"
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "fingerprint_term",
        sa.Column("term", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("loc", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("term", "loc", name=op.f("pk_fingerprint_term")),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    for kind, number in _KINDS:
        for batch in _batches(connection, kind):
            rows = np.concatenate([_rows_of(ordinal, items, number) for ordinal, items in batch])
            rows = rows[np.argsort(rows[:, 0], kind="stable")]
            connection.execute(sa.text(_INSERT[connection.dialect.name]), {"rows": json.dumps(rows.tolist())})


def downgrade() -> None:
    """Undo."""
    op.drop_table("fingerprint_term")


def _batches(connection: sa.Connection, kind: str) -> Iterator[list[tuple[int, np.ndarray]]]:
    after = 0
    while found := connection.execute(
        sa.text(_SELECT), {"kind": kind, "after": after, "limit": _BATCH_TRACKS}
    ).fetchall():
        yield [(ordinal, np.frombuffer(data, dtype="<u4")) for ordinal, data in found]
        after = found[-1][0]


def _rows_of(ordinal: int, items: np.ndarray, kind_number: int) -> np.ndarray:
    """Every fourth item but those in runs of 16 and more; a term at most 8 times, evenly spread over the track."""
    run_starts = np.flatnonzero(np.append(True, items[1:] != items[:-1])[: items.size])
    run_lengths = np.diff(run_starts, append=items.size)
    strides = np.flatnonzero(np.repeat(run_lengths < 16, run_lengths)[::4])
    keys = (items[::4][strides] >> 8).astype(np.int64) + (kind_number << 24) - (1 << 23)
    order = np.argsort(keys, kind="stable")
    keys, strides = keys[order], strides[order]
    starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: keys.size])
    lengths = np.diff(starts, append=keys.size)
    n_alike = np.repeat(lengths, lengths)
    rank = np.arange(keys.size) - np.repeat(starts, lengths)
    share = np.minimum(n_alike, 8)
    kept = (rank + 1) * share // n_alike > rank * share // n_alike
    loc = strides >> 12 << 44 | ordinal << 12 | strides & 4095
    return np.column_stack((keys[kept], loc[kept]))
