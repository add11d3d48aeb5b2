"""`musicfp fingerprint` and `musicfp compare`: what two files have in common, without any server."""

from pathlib import Path

import click

from musicfp.cli.common import existing_file, json_option, minutes, print_json, print_table
from musicfp.fingerprint import codec
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.correlation import Alignment, best_alignment
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.search import search
from musicfp.fingerprint.verdict import relation_of
from musicfp.fingerprint.verification import Match
from musicfp.pipeline.inspection import InspectionRules, inspect_file
from musicfp.settings import Settings

# Five seconds: below that, chance alignments of unrelated music correlate too well to be worth showing.
_MIN_OVERLAP_ITEMS = 40


@click.command()
@click.argument("file", type=existing_file)
@click.option("--raw", is_flag=True, help="Print the 32-bit items as numbers instead of Chromaprint's text.")
@json_option
def fingerprint(*, file: Path, raw: bool, as_json: bool) -> None:
    """Print the Chromaprint fingerprint of the whole FILE."""
    found = fingerprint_file(file)
    items = found.sub_fingerprints.tolist()
    encoded = codec.encode(found)
    if as_json:
        what = {"items": items} if raw else {"fingerprint": encoded}
        head = {"durationSeconds": found.audio_duration_s, "algorithm": found.algorithm, "itemCount": found.n_items}
        print_json({**head, **what})
    else:
        click.echo(",".join(map(str, items)) if raw else encoded)


@click.command()
@click.argument("file_a", metavar="A", type=existing_file)
@click.argument("file_b", metavar="B", type=existing_file)
@json_option
def compare(*, file_a: Path, file_b: Path, as_json: bool) -> None:
    """Say how alike A and B sound, and how A would relate to B if B were in the catalogue.

    The offset is where A starts inside B, negative when A starts earlier.
    """
    a, b = fingerprint_file(file_a), fingerprint_file(file_b)
    least_items = min(_MIN_OVERLAP_ITEMS, a.n_items, b.n_items)
    alignment = best_alignment(a.sub_fingerprints, b.sub_fingerprints, min_overlap_items=max(1, least_items))
    if alignment is None:
        raise click.ClickException("There is nothing to compare: one of the files is too short to have a fingerprint.")
    answer = _answer(alignment, _match(a, b), item_duration_s=a.item_duration_s)
    if as_json:
        print_json(answer)
    else:
        print_table(("CORRELATION", "BIT ERRORS", "OFFSET", "OVERLAP", "RELATION"), [_row(answer)])


def fingerprint_file(path: Path) -> Fingerprint:
    """Fingerprint a local file. Raises SubmissionRejected if it is not audio that can be compared."""
    rules = InspectionRules(required_tags=(), max_duration_s=Settings.from_env().max_duration_s)
    return inspect_file(path, None, rules).fingerprint


def _match(a: Fingerprint, b: Fingerprint) -> Match | None:
    """Search for A in a catalogue of B alone: the same verdict as an upload would get."""
    corpus = FingerprintCorpus()
    corpus.add("b", b)
    return next(iter(search(a, corpus, by_pair=True).matches), None)


def _answer(alignment: Alignment, match: Match | None, *, item_duration_s: float) -> dict[str, object]:
    relation = relation_of(match) if match else None
    if match is None:
        correlation, bit_errors = alignment.correlation, alignment.bit_error_rate
        offset_s, overlap_s = alignment.offset_items * item_duration_s, alignment.overlap_items * item_duration_s
    else:
        # What the pieces that match have in common: cuts and drifting speed are in it, which one alignment misses.
        correlation, bit_errors = match.correlation, match.bit_error_rate
        offset_s, overlap_s = match.offset_s, match.overlap_s
    return {
        "correlation": correlation,
        "bitErrorRate": bit_errors,
        "offsetSeconds": offset_s,
        "overlapSeconds": overlap_s,
        "relation": relation.value if relation else None,
    }


def _row(answer: dict[str, object]) -> tuple[str, ...]:
    return (
        f"{answer['correlation']:.3f}",
        f"{answer['bitErrorRate']:.1%}",
        minutes(float(str(answer["offsetSeconds"]))),
        minutes(float(str(answer["overlapSeconds"]))),
        str(answer["relation"] or "unrelated"),
    )
