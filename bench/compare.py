"""What comparing two fingerprints costs, as a ratio to scikit-image's `match_template` on the same bitmaps.

    python -m bench.compare [--rounds 15]

Each round measures the CPU time of both sides, one after the other; the medians of the rounds are printed, and the
median of their ratios. Raw correlation is what `match_template` computes, at each place of the template inside the
image. Row-centred correlation takes all overlaps, partial ones included; beside it stands `match_template` with
`pad_input`, which takes as many places as the image has items, and on an image with zeros around it, which takes all.
The shapes of the verification are those of a search: 200 candidates at five offsets each, then the pieces of a
four-minute upload at 72 offsets.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from skimage.feature import match_template

from musicfp.fingerprint.correlation import (
    correlate_pairs,
    normalized_cross_correlation,
    row_centred_at,
    row_centred_correlation,
)
from musicfp.fingerprint.model import bit_rows

Items = NDArray[np.uint32]

_SIZES = ((80, 948), (240, 948), (948, 948), (948, 2000))
_WINDOW_ITEMS = 80
_N_CANDIDATES = 200
_SLACK_ITEMS = 2
_PIECE_ITEMS = 40
_N_OFFSETS = 72
_TRACK_ITEMS = 1900
# So long is measured at once, so that what the other side left in the caches does not decide.
_MIN_ROUND_S = 0.03


def main() -> None:
    """Print the table of docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured (default: %(default)s)")
    n_rounds = parser.parse_args().rounds
    rng = np.random.default_rng(1)
    print("| what | scikit-image, CPU ms | musicfp, CPU ms | ratio |\n|---|---|---|---|")
    for n_query, n_candidate in _SIZES:
        query, candidate = _random_items(rng, n_query), _random_items(rng, n_candidate)
        name = f"{n_query} x {n_candidate}"
        raw = partial(normalized_cross_correlation, query, candidate)
        _compare(f"{name}, raw", partial(_matched, query, candidate), raw, n_rounds=n_rounds)
        centred = partial(row_centred_correlation, query, candidate, min_overlap_items=1)
        padded = partial(_matched, query, candidate, is_padded=True)
        _compare(f"{name}, row-centred, beside pad_input", padded, centred, n_rounds=n_rounds)
        everywhere = partial(_matched, query, np.pad(candidate, n_query - 1))
        _compare(f"{name}, row-centred, beside all overlaps", everywhere, centred, n_rounds=n_rounds)
    _compare_windows(rng, n_rounds=n_rounds)
    _compare_pieces(rng, n_rounds=n_rounds)
    query, candidate = _random_items(rng, _TRACK_ITEMS), _random_items(rng, _TRACK_ITEMS)
    aligned = partial(correlate_pairs, query, candidate)
    _compare(
        f"{_TRACK_ITEMS} x {_TRACK_ITEMS}, one alignment",
        partial(_matched, query, candidate),
        aligned,
        n_rounds=n_rounds,
    )


def _compare_windows(rng: np.random.Generator, *, n_rounds: int) -> None:
    """One window of ten seconds over each candidate, as `verification` does."""
    window, corpus = _random_items(rng, _WINDOW_ITEMS), _random_items(rng, _N_CANDIDATES * _TRACK_ITEMS)
    start = np.arange(_N_CANDIDATES) * _TRACK_ITEMS
    middle = start + rng.integers(_SLACK_ITEMS, _TRACK_ITEMS - _WINDOW_ITEMS - _SLACK_ITEMS, _N_CANDIDATES)
    position = (middle[:, None] + np.arange(-_SLACK_ITEMS, _SLACK_ITEMS + 1)).ravel()
    nothing = np.zeros(position.size, dtype=np.int64)
    corpus_start = np.repeat(start, 2 * _SLACK_ITEMS + 1)
    centred = partial(
        row_centred_at,
        window,
        corpus,
        query_start=nothing,
        query_stop=nothing + _WINDOW_ITEMS,
        position=position,
        corpus_start=corpus_start,
        corpus_stop=corpus_start + _TRACK_ITEMS,
    )

    def matched() -> None:
        for at in middle.tolist():
            _matched(window, corpus[at - _SLACK_ITEMS : at + _WINDOW_ITEMS + _SLACK_ITEMS])

    _compare(
        f"{_N_CANDIDATES} candidates x 5 offsets x {_WINDOW_ITEMS}, row-centred", matched, centred, n_rounds=n_rounds
    )


def _compare_pieces(rng: np.random.Generator, *, n_rounds: int) -> None:
    """All pieces of a long query at the offsets that were found, as `segments` does."""
    query, track = _random_items(rng, _TRACK_ITEMS), _random_items(rng, _TRACK_ITEMS)
    n_pieces = _TRACK_ITEMS // _PIECE_ITEMS
    starts = np.arange(n_pieces) * _PIECE_ITEMS
    offsets = np.arange(_N_OFFSETS) - _N_OFFSETS // 2
    query_start = np.repeat(starts, _N_OFFSETS)
    nothing = np.zeros(query_start.size, dtype=np.int64)
    centred = partial(
        row_centred_at,
        query,
        track,
        query_start=query_start,
        query_stop=query_start + _PIECE_ITEMS,
        position=np.tile(offsets, n_pieces),
        corpus_start=nothing,
        corpus_stop=nothing + _TRACK_ITEMS,
    )

    def matched() -> None:
        for start in starts.tolist():
            first = max(0, start - _N_OFFSETS // 2)
            _matched(query[start : start + _PIECE_ITEMS], track[first : start + _PIECE_ITEMS + _N_OFFSETS // 2])

    _compare(
        f"{n_pieces} pieces of {_PIECE_ITEMS} x {_N_OFFSETS} offsets, row-centred", matched, centred, n_rounds=n_rounds
    )


def _matched(template: Items, image: Items, *, is_padded: bool = False) -> None:
    match_template(  # type: ignore[no-untyped-call]
        bit_rows(image).T.astype(np.float64), bit_rows(template).T.astype(np.float64), pad_input=is_padded
    )


def _compare(name: str, theirs: Callable[[], object], ours: Callable[[], object], *, n_rounds: int) -> None:
    pairs = np.array([(_time_s(theirs), _time_s(ours)) for _ in range(n_rounds)])
    theirs_ms, ours_ms = np.median(pairs, axis=0) * 1e3
    print(f"| {name} | {theirs_ms:.1f} | {ours_ms:.2f} | {np.median(pairs[:, 0] / pairs[:, 1]):.0f} |", flush=True)


def _time_s(action: Callable[[], object]) -> float:
    """Return the CPU time of one call, of as many as fit into a round after one that does not count."""
    action()
    began = time.process_time()
    n_calls = 0
    while (elapsed_s := time.process_time() - began) < _MIN_ROUND_S:
        action()
        n_calls += 1
    return elapsed_s / n_calls


def _random_items(rng: np.random.Generator, n_items: int) -> Items:
    return rng.integers(0, 2**32, n_items, dtype=np.uint32)


if __name__ == "__main__":
    main()
