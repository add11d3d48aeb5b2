"""Asking recognisers all queries.

What belongs here: the order of work and the processes. What does not: what replies are worth (`metrics`).
"""

import hashlib
import multiprocessing
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

from eval.clips import ClipFacts, ClipKey, clip_of
from eval.distractors import Items
from eval.metrics import Asked, Row, row_of
from eval.music import Music
from eval.queries import Query
from eval.recognisers import Recogniser, Reply

_CHUNK = 16
# Set before worker processes are forked, which then share the catalogue without copying it.
_asked: Recogniser | None = None


def evaluate(
    recogniser: Recogniser,
    music: Music,
    queries: Sequence[Query],
    *,
    facts: dict[ClipKey, ClipFacts],
    distractors: Iterable[Items] = (),
    n_processes: int | None = None,
) -> list[Row]:
    """Let a recogniser take in the sources, ask it every query, and return a row per condition and length."""
    try:
        recogniser.index(music.sources, distractors)
        replies = _replies(recogniser, queries, n_processes=n_processes or os.cpu_count() or 1)
    finally:
        recogniser.close()
    families = {track.name: track.family for track in music.sources}
    groups: dict[tuple[str, float], list[Asked]] = {}
    for query, reply in zip(queries, replies, strict=True):
        asked = Asked(query, facts[clip_of(query)], reply)
        groups.setdefault((query.condition, query.length_s), []).append(asked)
    return [row_of(recogniser.name, asked, families=families) for asked in groups.values()]


def sample_of(queries: Sequence[Query], n_each: int) -> list[Query]:
    """Return up to `n_each` queries of sources and as many of strangers for each condition and length, by hash."""
    by_hash = sorted(queries, key=lambda query: hashlib.sha256(f"{query.track}|{query.clip}".encode()).digest())
    taken: dict[tuple[str, float, bool], list[Query]] = {}
    for query in by_hash:
        kept = taken.setdefault((query.condition, query.length_s, query.is_stranger), [])
        if len(kept) < n_each:
            kept.append(query)
    return [query for kept in taken.values() for query in kept]


def _replies(recogniser: Recogniser, queries: Sequence[Query], *, n_processes: int) -> list[Reply]:
    global _asked  # noqa: PLW0603 - the only way to hand a catalogue to forked processes without pickling it
    if not recogniser.is_shared or n_processes == 1:
        return [recogniser.query(query.path) for query in queries]
    _asked = recogniser
    try:
        with ProcessPoolExecutor(n_processes, mp_context=multiprocessing.get_context("fork")) as pool:
            return list(pool.map(_reply, queries, chunksize=_CHUNK))
    finally:
        _asked = None


def _reply(query: Query) -> Reply:
    if _asked is None:
        raise RuntimeError("a worker process was started without a recogniser")
    return _asked.query(query.path)
