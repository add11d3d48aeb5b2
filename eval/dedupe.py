"""Evaluates deduplication on whole tracks, and prints the tables that docs/ quotes.

    python -m eval.dedupe                       all pairs of the full set, and the variants of 60 of its tracks
    python -m eval.dedupe --set micro           of a smaller one
    python -m eval.dedupe --music FOLDER        of any music of your own
    python -m eval.dedupe --variants-of 10      fewer

What belongs here: the command, submitting tracks and variants, counting. What does not: making variants (`variants`),
comparing pairs without the product (`pairs`). The product is asked as an upload asks it, by `judge_recording`, on
a catalogue in memory; tracks by their fingerprints alone, variants by their audio.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from eval.degrade import offset_error_s
from eval.fingerprints import fingerprint_of
from eval.music import PROJECT, Track, fetched, load_tracks, rank_by_hash
from eval.pairs import BestAlignments, best_alignments
from eval.variants import AS_IT_IS, RECIPES, Recipe, Variant, make_variant
from musicfp.fingerprint.band import band_fingerprint
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.correlation import has_enough_information
from musicfp.fingerprint.deduplication import judge_recording
from musicfp.fingerprint.listening import Query
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.verdict import DedupeVerdict, MatchRelation, RelatedMatch

RESULTS = PROJECT / "build" / "eval" / "dedupe.json"
# Short enough for making 30 variants of 60 of them; long enough that what is cut out or inserted is a small part.
_VARIANT_MIN_S, _VARIANT_MAX_S = 90.0, 180.0
# Every pair of the full set that correlates so much is related, and nearly all below are not.
_WORTH_A_LOOK = 0.22
# Around and into variants; not catalogued while those are judged.
_N_OTHERS = 3


@dataclass(frozen=True)
class Relation:
    """What was said of an upload and one stored track."""

    upload: str
    track: str
    relation: str
    correlation: float
    bit_error_rate: float
    query_coverage: float
    track_coverage: float
    offset_s: float


@dataclass(frozen=True)
class Judged:
    """What was said of a variant: of its own track, and of tracks that it has nothing to do with."""

    variant: str
    track: str
    expected: str | None
    relation: str | None
    correlation: float | None
    offset_error_s: float | None
    wrong: tuple[Relation, ...]

    @property
    def is_right(self) -> bool:
        """Whether its own track was found to be related as it is."""
        return self.relation == self.expected


def main() -> None:
    """Evaluate what the command line asks for."""
    options = _options()
    tracks = load_tracks(options.music or fetched(options.set))
    fingerprints = [fingerprint_of(track.samples()) for track in tracks]
    began = time.monotonic()
    relations = submit_all(tracks, fingerprints)
    print(f"{len(tracks)} tracks submitted: {time.monotonic() - began:.0f} s", file=sys.stderr)
    exact = best_alignments(tracks, fingerprints) if options.exact else None
    print(_pairs_markdown(tracks, fingerprints, relations, exact))
    judged = judge_variants(tracks, fingerprints, relations, n_tracks=options.variants_of)
    print(_variants_markdown(judged))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    document = {"relations": [asdict(each) for each in relations], "variants": [asdict(each) for each in judged]}
    options.json.write_text(json.dumps(document, indent=1) + "\n")


def submit_all(tracks: Sequence[Track], fingerprints: Sequence[Fingerprint]) -> list[Relation]:
    """Submit tracks one after another, keep all of them, and return every relation to an earlier one."""
    corpus = FingerprintCorpus()
    relations = []
    for track, fingerprint in zip(tracks, fingerprints, strict=True):
        relations += [_relation(track.name, each) for each in _said(judge_recording(Query(fingerprint), corpus))]
        corpus.add(track.name, fingerprint)
    return relations


def judge_variants(
    tracks: Sequence[Track],
    fingerprints: Sequence[Fingerprint],
    relations: Sequence[Relation],
    *,
    n_tracks: int,
    recipes: Sequence[Recipe] = RECIPES,
) -> list[Judged]:
    """Submit all variants of some tracks to a catalogue of all tracks.

    Parameters
    ----------
    tracks, fingerprints
        The catalogue. Three of its tracks are left out and put around and into variants.
    relations
        Between these tracks: a variant may be related to what its track is related to.
    n_tracks
        How many have variants, chosen by hash of those with enough information and 90 to 180 s.
    recipes
        The kinds of variants.

    """
    by_hash = sorted(range(len(tracks)), key=lambda at: rank_by_hash(tracks[at].content))
    usable = [
        at
        for at in by_hash
        if _VARIANT_MIN_S <= tracks[at].duration_s <= _VARIANT_MAX_S and has_enough_information(fingerprints[at])
    ]
    others, chosen = [tracks[at] for at in usable[:_N_OTHERS]], [tracks[at] for at in usable[_N_OTHERS:]][:n_tracks]
    # As ingest makes them, which hears one channel where two cancel out; of the rest the mono mix is as good.
    stored = {track.name: make_variant(track, AS_IT_IS, others=()).query.fingerprint for track in chosen}
    corpus = FingerprintCorpus()
    for track, fingerprint in zip(tracks, fingerprints, strict=True):
        if track not in others:
            corpus.add(track.name, stored.get(track.name, fingerprint))
            corpus.add(track.name, band_fingerprint(track.samples()), kind=FingerprintKind.BAND)
    relatives = _relatives(relations)
    judged = []
    for track in chosen:
        for recipe in recipes:
            variant = make_variant(track, recipe, others=others)
            judged.append(_judged(variant, corpus, relatives.get(track.name, set())))
    return judged


def _said(verdict: DedupeVerdict) -> list[RelatedMatch]:
    """Return all that a verdict says, what decided first and once."""
    deciding = (
        [RelatedMatch(verdict.relation, verdict.match)]
        if verdict.relation is not None and verdict.match is not None
        else []
    )
    return deciding + [each for each in verdict.related if each not in deciding]


def _relation(upload: str, said: RelatedMatch) -> Relation:
    match = said.match
    return Relation(
        upload,
        match.track_id,
        str(said.relation),
        round(match.correlation, 3),
        round(match.bit_error_rate, 3),
        round(match.query_coverage, 3),
        round(match.track_coverage, 3),
        round(match.offset_s, 2),
    )


def _relatives(relations: Sequence[Relation]) -> dict[str, set[str]]:
    relatives: dict[str, set[str]] = {}
    for each in relations:
        relatives.setdefault(each.upload, set()).add(each.track)
        relatives.setdefault(each.track, set()).add(each.upload)
    return relatives


def _judged(variant: Variant, corpus: FingerprintCorpus, relatives: set[str]) -> Judged:
    said = _said(judge_recording(variant.query, corpus))
    own = next((each for each in said if each.match.track_id == variant.track), None)
    wrong = [each for each in said if each.match.track_id not in {variant.track, *relatives}]
    return Judged(
        variant=variant.recipe,
        track=variant.track,
        expected=None if variant.relation is None else str(variant.relation),
        relation=str(own.relation) if own else None,
        correlation=round(own.match.correlation, 3) if own else None,
        offset_error_s=offset_error_s(own.match.offset_s, variant.pieces, length_s=variant.length_s) if own else None,
        wrong=tuple(_relation(f"{variant.recipe}: {variant.track}", each) for each in wrong),
    )


def _pairs_markdown(
    tracks: Sequence[Track],
    fingerprints: Sequence[Fingerprint],
    relations: Sequence[Relation],
    exact: BestAlignments | None,
) -> str:
    n_pairs = len(tracks) * (len(tracks) - 1) // 2
    n_silent = sum(not has_enough_information(each) for each in fingerprints)
    lines = [
        f"### {len(tracks)} tracks, {n_pairs} pairs",
        "",
        f"{n_silent} tracks with too little information. Relations found:",
        "",
        "| relation | correlation | bit errors | of the upload | of the track | offset s | upload | track |",
        "|---|---|---|---|---|---|---|---|",
    ]
    strength = [str(each) for each in MatchRelation]
    for each in sorted(relations, key=lambda each: (strength.index(each.relation), -each.correlation)):
        numbers = (each.correlation, each.bit_error_rate, each.query_coverage, each.track_coverage)
        shown = " | ".join(f"{number:.2f}" for number in numbers)
        lines.append(f"| {each.relation} | {shown} | {each.offset_s:.1f} | {each.upload} | {each.track} |")
    if exact is not None:
        lines += ["", *_unmentioned_lines(tracks, relations, exact)]
    return "\n".join(lines)


def _unmentioned_lines(tracks: Sequence[Track], relations: Sequence[Relation], exact: BestAlignments) -> list[str]:
    """Tell how alike the pairs are of which nothing was said, over all alignments; and name the most alike."""
    mentioned = {frozenset((each.upload, each.track)) for each in relations}
    names = [track.name for track in tracks]
    is_silent = np.array(
        [
            frozenset((names[first], names[second])) not in mentioned
            for first, second in zip(exact.first.tolist(), exact.second.tolist(), strict=True)
        ],
        dtype=np.bool_,
    )
    correlation = exact.correlation[is_silent]
    quantiles = np.quantile(correlation, [0.5, 0.99, 0.9999, 1.0]) if correlation.size else np.zeros(4)
    alike = np.flatnonzero(is_silent & (exact.correlation >= _WORTH_A_LOOK))
    lines = [
        f"Of {correlation.size} pairs nothing was said. Their best of all alignments of 30 s and more correlates "
        f"{quantiles[0]:.3f} (median), {quantiles[1]:.3f} (99 %), {quantiles[2]:.3f} (99.99 %), {quantiles[3]:.3f} "
        f"(largest); {alike.size} of them {_WORTH_A_LOOK:.2f} or more:",
        "",
    ]
    return lines + [
        f"- {exact.correlation[at]:.3f} over {exact.overlap_s[at]:.0f} s: "
        f"{names[exact.first[at]]}, {names[exact.second[at]]}"
        for at in alike[np.argsort(-exact.correlation[alike])].tolist()
    ]


def _variants_markdown(judged: Sequence[Judged]) -> str:
    lines = [
        f"### Variants of {len({each.track for each in judged})} tracks",
        "",
        "| variant | as the contract says | a weaker relation | nothing | other tracks named | offset error s median / "
        "largest | correlation median / lowest |",
        "|---|---|---|---|---|---|---|",
    ]
    names = dict.fromkeys(each.variant for each in judged)
    lines += [_variant_line(name, [each for each in judged if each.variant == name]) for name in names]
    return "\n".join(lines)


def _variant_line(name: str, judged: Sequence[Judged]) -> str:
    errors = [each.offset_error_s for each in judged if each.offset_error_s is not None]
    correlations = [each.correlation for each in judged if each.correlation is not None]
    cells = [
        name,
        f"{sum(each.is_right for each in judged)} of {len(judged)}",
        str(sum(not each.is_right and each.relation is not None for each in judged)),
        str(sum(not each.is_right and each.relation is None for each in judged)),
        str(sum(bool(each.wrong) for each in judged)),
        f"{np.median(errors):.2f} / {max(errors):.2f}" if errors else "-",
        f"{np.median(correlations):.2f} / {min(correlations):.2f}" if correlations else "-",
    ]
    return f"| {' | '.join(cells)} |"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.dedupe", description="Evaluate deduplication on real music.")
    parser.add_argument("--set", default="full", choices=["micro", "dev", "full"], help="of the corpus")
    parser.add_argument("--music", type=Path, help="a folder of music instead of the corpus")
    parser.add_argument("--variants-of", type=int, default=60, help="so many tracks")
    parser.add_argument(
        "--no-exact", dest="exact", action="store_false", help="do not compare all pairs at all alignments"
    )
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write all that was said")
    return parser.parse_args()


if __name__ == "__main__":
    main()
