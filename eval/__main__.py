"""Evaluates recognition on real music and prints the tables that docs/ quotes.

    python -m eval                          the micro corpus; make eval
    python -m eval --set dev                micro and more, six hours; make eval-full
    python -m eval --set full               37 hours
    python -m eval --music FOLDER           any music of your own, 45 s or longer
    python -m eval --set full --strangers-only --sources 300 --conditions clean phone
                                            only how often a stranger is accepted
    python -m eval --peers                  audfprint, Olaf and the article's method too; see eval.peers
    python -m eval --split tune             one half of the clips; report on the other: --split report
    python -m eval --distractors 100000     as many more tracks in the catalogue

What belongs here: the command line. Everything is cached below build/eval-cache, so that a second run takes seconds.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from eval.clips import facts_of_clips
from eval.degrade import CONDITIONS
from eval.distractors import Items, pool_of, synthetic_catalogue
from eval.false_accepts import false_accepts_markdown
from eval.metrics import Row
from eval.music import PROJECT, Music, decoded_speech, fetched, load_music
from eval.peers import Audfprint, NotRun, Olaf
from eval.product import MusicfpByAudio, MusicfpByFingerprint
from eval.queries import Plan, Query, Split, make_queries
from eval.recognisers import ArticleMethod, Recogniser
from eval.report import markdown, write_json
from eval.run import evaluate, sample_of

RESULTS = PROJECT / "build" / "eval" / "results.json"
# Clips of each source and each stranger, by their length in seconds. The sets have 20, 44 and 226 strangers: over 500
# clips of 10 s in the larger two.
_CLIPS = {
    "micro": {10.0: (2, 2), 30.0: (1, 1)},
    "dev": {10.0: (2, 12), 30.0: (1, 3)},
    "full": {10.0: (1, 3), 30.0: (1, 3)},
}
_DISTRACTOR_ITEMS = 948
_DISTRACTOR_SEED = 7
_OURS = ("fingerprint", "audio")
# Takes a third of a second for 45 tracks, so it is asked a few clips only.
_SLOW = ("article",)


def main() -> None:
    """Evaluate what the command line asks for."""
    options = _options()
    music = load_music(options.music or fetched(options.set), max_tracks=options.tracks, max_sources=options.sources)
    began = time.monotonic()
    queries = _queries(music, options)
    print(
        f"{len(music.sources)} tracks catalogued, {len(music.strangers)} strangers, {options.distractors} distractors; "
        f"{len(queries)} queries, ready after {time.monotonic() - began:.0f} s.",
        file=sys.stderr,
    )
    facts = {
        "sources": [track.name for track in music.sources],
        "strangers": [track.name for track in music.strangers],
        "n_distractors": options.distractors,
        "split": options.split,
        "seed": options.seed,
    }
    rows: list[Row] = []
    not_run: dict[str, str] = {}
    for more, why_not in _evaluated(music, queries, options):
        rows += more
        not_run |= why_not
        # Peers take many minutes; what is there is not lost if a later one is interrupted.
        write_json(options.json, rows, not_run=not_run, facts=facts)
    if not options.strangers_only:
        print(markdown(rows, not_run=not_run), end="\n\n")
    # The article's method has no rule for when to say yes.
    print(false_accepts_markdown([row for row in rows if row.recogniser != ArticleMethod.name]))


def _recognisers() -> dict[str, Recogniser]:
    return {
        "fingerprint": MusicfpByFingerprint(),
        "audio": MusicfpByAudio(),
        "audfprint": Audfprint("audfprint default", density=20, fanout=3),
        "audfprint-dense": Audfprint("audfprint dense", density=70, fanout=8),
        "olaf": Olaf(),
        "article": ArticleMethod(),
    }


def _names(known: Iterable[str]) -> str:
    return f"of {', '.join(known)}; by default {', '.join(_OURS)}"


def _evaluated(
    music: Music, queries: list[Query], options: argparse.Namespace
) -> Iterator[tuple[list[Row], dict[str, str]]]:
    """Yield the rows of one recogniser after another, or why it was not run."""
    facts = facts_of_clips(music, queries)
    for key in options.recognisers:
        recogniser = _recognisers()[key]
        asked = sample_of(queries, options.article_clips) if key in _SLOW else queries
        began = time.monotonic()
        try:
            rows = evaluate(
                recogniser,
                music,
                asked,
                facts=facts,
                distractors=_distractors(music, options.distractors),
                n_processes=options.processes,
            )
        except NotRun as error:
            yield [], {recogniser.name: str(error)}
        else:
            yield rows, {}
        print(f"{recogniser.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)


def _distractors(music: Music, n_tracks: int) -> Iterable[Items]:
    if not n_tracks:
        return ()
    rng = np.random.default_rng(_DISTRACTOR_SEED)
    return synthetic_catalogue(pool_of(music.sources), n_tracks=n_tracks, n_items_per_track=_DISTRACTOR_ITEMS, rng=rng)


def _queries(music: Music, options: argparse.Namespace) -> list[Query]:
    queries: list[Query] = []
    speech = None if options.speech is None else decoded_speech(options.speech)
    for length_s, (n_clips, n_stranger_clips) in _CLIPS[options.set].items():
        if length_s in options.lengths:
            plan = Plan(
                conditions=tuple(options.conditions),
                lengths_s=(length_s,),
                n_clips=0 if options.strangers_only else options.clips or n_clips,
                n_stranger_clips=options.stranger_clips or n_stranger_clips,
                seed=options.seed,
                split=None if options.split is None else Split(options.split),
            )
            queries += make_queries(music, plan, speech=speech, n_processes=options.processes)
    return queries


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval", description="Evaluate recognition on real music.")
    parser.add_argument("--set", default="micro", choices=list(_CLIPS), help="of the corpus, each with those before")
    parser.add_argument("--music", type=Path, help="a folder of music instead of the corpus")
    parser.add_argument("--tracks", type=int, help="use so many tracks only")
    parser.add_argument("--sources", type=int, help="catalogue so many tracks at most; the strangers stay the same")
    parser.add_argument("--strangers-only", action="store_true", help="ask no clips of catalogued tracks")
    parser.add_argument("--conditions", default=list(CONDITIONS), choices=list(CONDITIONS), nargs="+", metavar="NAME")
    parser.add_argument("--lengths", type=float, nargs="+", default=[10.0, 30.0], help="of clips, in seconds: 10, 30")
    parser.add_argument("--clips", type=int, help="of each catalogued track and length")
    parser.add_argument("--stranger-clips", type=int, help="of each stranger and length")
    parser.add_argument("--split", choices=[str(each) for each in Split], help="use one half of the clips")
    parser.add_argument("--seed", type=int, default=1, help="of clips and degradations")
    parser.add_argument("--speech", type=Path, help="a recording of many voices, instead of synthetic babble")
    parser.add_argument("--distractors", type=int, default=0, help="synthetic tracks to add to the catalogue")
    known = list(_recognisers())
    parser.add_argument(
        "--recognisers", default=list(_OURS), choices=known, nargs="+", metavar="NAME", help=_names(known)
    )
    parser.add_argument("--peers", action="store_const", const=known, dest="recognisers", help="all of them")
    parser.add_argument("--article-clips", type=int, default=4, help="of each condition for the slow article's method")
    parser.add_argument("--processes", type=int, help="at once; as many as there are processors by default")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write all that was counted")
    return parser.parse_args()


if __name__ == "__main__":
    main()
