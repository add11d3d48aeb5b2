"""What is true of a clip before anything is done to it: whether it carries information, and where its track repeats it.

What belongs here: facts found in the undegraded audio. What does not: facts of how a query was made (`queries`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.degrade import QUERY_RATE_HZ
from eval.fingerprints import fingerprint_of
from eval.music import Music
from eval.queries import Query
from musicfp.fingerprint.correlation import has_enough_information
from musicfp.fingerprint.model import ITEM_BITS, ITEM_DURATION_S

# Codecs alone change up to 8.5 % of the bits, a cut between two items as many again; of unrelated music half differ.
# Music made of samples and patterns repeats itself below this, and then no offset is more right than another.
_REPEAT_MAX_BIT_ERROR_RATE = 0.2
# The best alignment within a second stands for those around it, and the true one for itself.
_REPEAT_APART_ITEMS = 8

ClipKey = tuple[str, float, int]


@dataclass(frozen=True)
class ClipFacts:
    """`repeats_s` is how much later, or earlier if negative, the track plays the same again; 0 is among them."""

    is_informative: bool
    repeats_s: tuple[float, ...] = (0.0,)


def clip_of(query: Query) -> ClipKey:
    """Return what is the same of a clip under all conditions."""
    return query.track, query.length_s, query.clip


def facts_of_clips(music: Music, queries: Iterable[Query]) -> dict[ClipKey, ClipFacts]:
    """Look at the clean audio of each clip that is asked."""
    samples = {track.name: track.samples() for track in (*music.sources, *music.strangers)}
    fingerprints: dict[str, NDArray[np.uint32]] = {}
    found: dict[ClipKey, ClipFacts] = {}
    for query in queries:
        if clip_of(query) in found:
            continue
        first = round(query.offset_s * QUERY_RATE_HZ)
        clip = fingerprint_of(samples[query.track][first : first + round(query.length_s * QUERY_RATE_HZ)])
        if query.track not in fingerprints:
            fingerprints[query.track] = fingerprint_of(samples[query.track]).sub_fingerprints
        repeats = _repeats_s(clip.sub_fingerprints, fingerprints[query.track], query.offset_s)
        found[clip_of(query)] = ClipFacts(has_enough_information(clip), repeats)
    return found


def _repeats_s(clip: NDArray[np.uint32], track: NDArray[np.uint32], offset_s: float) -> tuple[float, ...]:
    if not 0 < clip.size <= track.size:
        return (0.0,)
    windows = np.lib.stride_tricks.sliding_window_view(track, clip.size)
    error_rate = np.bitwise_count(windows ^ clip).sum(axis=1) / (clip.size * ITEM_BITS)
    padded = np.pad(error_rate, _REPEAT_APART_ITEMS, constant_values=1.0)
    lowest_around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _REPEAT_APART_ITEMS + 1).min(axis=1)
    at_s = np.flatnonzero((error_rate <= _REPEAT_MAX_BIT_ERROR_RATE) & (error_rate == lowest_around)) * ITEM_DURATION_S
    later_s = at_s - offset_s
    return (0.0, *later_s[np.abs(later_s) > _REPEAT_APART_ITEMS * ITEM_DURATION_S].tolist())
