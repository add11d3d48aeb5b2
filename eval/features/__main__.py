"""`python -m eval.features`: renders music with known answers, asks for its features, and prints how right they are.

By default the pieces of the reporting seeds; `--tune` shows the tuning seeds instead, on which numbers are better than
they deserve. Needs the corpus scripts beside the project.
"""

import argparse
import sys
from collections.abc import Sequence

from eval.features import ours, tables
from eval.features import peers as others
from eval.features.answers import Piece
from eval.features.ebu import readings
from eval.features.material import REPORTING_SEEDS, TUNING_SEEDS, metal, reporting, tuning
from eval.features.scoring import Asked


def main() -> None:
    """Make what is missing, ask, print."""
    options = _options()
    print("### EBU Tech 3341 and 3342\n", tables.loudness_table(readings()), "", sep="\n")
    if options.loudness_only:
        return
    pieces = (tuning() if options.tune else reporting())[:: options.every]
    seeds = f"{_listed(TUNING_SEEDS)} (tuning)" if options.tune else _listed(REPORTING_SEEDS)
    recordings = metal()
    asked = _asked(pieces)
    print(tables.heading(f"Rendered, seeds {seeds}", pieces), "", tables.by_style(asked), "", sep="\n")
    print(tables.confusion_table(asked), "", tables.confidence_table(asked), "", sep="\n")
    asked_metal = _asked(recordings)
    print(tables.heading("Real recordings", recordings), "", tables.metal_table(asked_metal), "", sep="\n")
    if options.mistakes:
        print(tables.mistakes(asked), "", sep="\n")
    print("### Cost of all that needs no model\n", tables.cost_table(_cost(pieces)), "", sep="\n")
    if options.peers:
        both = [*asked, *asked_metal]
        print(_compared(both, every=options.peers_every))


def _asked(pieces: Sequence[Piece]) -> list[Asked]:
    asked: list[Asked] = []
    for each in ours.answers(pieces):
        asked.append(each)
        print(f"\r{len(asked)} of {len(pieces)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return asked


def _cost(pieces: Sequence[Piece]) -> dict[str, float]:
    return ours.model_free_cost(pieces[:: max(1, len(pieces) // 10)])


def _compared(asked: Sequence[Asked], *, every: int) -> str:
    # The few real recordings all take part.
    chosen = [each for number, each in enumerate(asked) if number % every == 0 or each[0].style == "metal"]
    pieces = [piece for piece, _ in chosen]
    answers: dict[str, list[Asked]] = {ours.NAME: list(chosen)}
    for peer in others.PEERS:
        for name, each in others.answers(peer, pieces):
            answers.setdefault(name, []).append(each)
    return f"{tables.heading('The same files', pieces)}\n\n{tables.comparison(answers)}"


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.features", description=__doc__)
    parser.add_argument("--tune", action="store_true", help="show the seeds that constants were chosen on")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="ask about every Nth piece only")
    parser.add_argument("--mistakes", action="store_true", help="list every wrong answer")
    parser.add_argument("--peers", action="store_true", help="ask librosa and MusicExtractor about the same files")
    parser.add_argument("--peers-every", type=int, default=4, metavar="N", help="about every Nth file; 4 by default")
    parser.add_argument("--loudness-only", action="store_true", help="test signals only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
