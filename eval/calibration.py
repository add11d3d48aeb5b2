"""Fits and checks what `musicfp.fingerprint.calibration` says: what strangers reach, and how sure a score is.

    python -m eval.calibration                 asks for ten minutes, then prints; again, to ask more and print again
    python -m eval.calibration --seconds 0     prints from what was asked before

Answers are cached below build/eval-cache/calibration for each SEARCH_VERSION. Constants are fitted on one half of the
clips (eval.queries.Split.TUNE); the table of scores is of the other.

What belongs here: the command line and the tables. What does not: asking (`strangers`), fitting (`reliability`,
`musicfp.fingerprint.tails`).
"""

import argparse
import math
import time
from collections.abc import Iterable, Sequence

import numpy as np

from eval.music import fetched, load_music
from eval.queries import Split
from eval.reliability import answers_of, fit_score, reliability
from eval.strangers import Asked, World, asked_all, clips_of, world_of
from musicfp.fingerprint.calibration import (
    DEFAULT_MIN_SCORE,
    PAIR_NATS,
    bar_of,
    min_correlation,
    score_of,
)
from musicfp.fingerprint.model import items_of_duration
from musicfp.fingerprint.tails import TAIL_FROM_NATS, Tail, fit_tail

_LENGTHS_S = (5.0, 10.0, 15.0, 30.0)
_SIZES = (5_000, 100_000, 1_000_000)


def main() -> None:
    """Ask, fit, print."""
    options = _options()
    until = time.monotonic() + options.seconds
    world = world_of(load_music(fetched("micro")), load_music(fetched("dev")))
    clips = clips_of(world, n_each=options.clips, n_fresh=options.fresh)
    asked = list(asked_all(world, clips, until=until))
    strangers = [each for each in asked if each.clip.is_stranger]
    print(
        f"{len(world.corpus)} tracks catalogued, as good as {world.n_tracks:.0f} of two minutes; {len(asked)} of "
        f"{len(clips)} clips asked, {len(strangers)} of strangers.\n"
    )
    _print_tails(world, strangers)
    _print_conditions(world, strangers)
    _print_scores(world, asked)
    _print_price(asked)
    _print_constants(world, asked)


def _print_tails(world: World, strangers: Sequence[Asked]) -> None:
    print("### Strangers' evidence: fitted tail above 6 nats (calibrated: decay 1, level 13.8)\n")
    print(
        "| asked by | s | half | clips | pairs | above 6 / 8 / 10 / 12 nats | promised at most | decay | level | max |"
    )
    print("| --- " * 10 + "|")
    for by_audio in (True, False):
        for length_s in _LENGTHS_S:
            for split in (*Split, None):
                facts = {"by_audio": by_audio, "length_s": length_s} | ({} if split is None else {"split": split})
                chosen = _where(strangers, **facts)
                if chosen:
                    _print_tail(
                        world, chosen, f"{'audio' if by_audio else 'fingerprint'} | {length_s:g} | {split or 'both'}"
                    )
    print("\nStrongest wrong matches:")
    wrong = [(answer.evidence_nats, each.clip, answer) for each in strangers for answer in each.answers]
    for nats, clip, answer in sorted(wrong, key=lambda one: -one[0])[:8]:
        where = f"{clip.track} #{clip.number}, {clip.condition}, {clip.length_s:g} s"
        print(
            f"- {nats:.1f} nats, {answer.correlation:.3f} over {answer.overlap_items} items: {where} in {answer.track}"
        )
    print()


def _print_tail(world: World, chosen: Sequence[Asked], head: str) -> None:
    n_pairs = len(chosen) * world.n_tracks
    evidence = np.array([answer.evidence_nats for each in chosen for answer in each.answers])
    levels = (6, 8, 10, 12)
    seen = " / ".join(str(int((evidence > level).sum())) for level in levels)
    promised = " / ".join(f"{n_pairs * math.exp(-level):.1f}" for level in levels)
    tail = _tail(world, chosen)
    fitted = (
        "- | -"
        if tail is None
        else (f"{tail.decay:.2f} ± {tail.decay_error:.2f} | {tail.level_nats:.1f} ± {tail.level_error:.1f}")
    )
    most = f"{evidence.max():.1f}" if evidence.size else "-"
    n_clips = len({_of_clip(each) for each in chosen})
    print(f"| {head} | {len(chosen)} ({n_clips}) | {n_pairs:.0f} | {seen} | {promised} | {fitted} | {most} |")


def _print_conditions(world: World, strangers: Sequence[Asked]) -> None:
    print("### By condition, 10 s: wrong matches above 6 nats, the most, and queries accepted by default\n")
    print("| condition | clips | above 6 | promised at most | max | accepted |")
    print("| --- " * 6 + "|")
    least = bar_of(n_tracks=world.n_tracks).least_nats
    for condition in dict.fromkeys(sorted(each.clip.condition for each in strangers)):
        chosen = _where(strangers, condition=condition, length_s=10.0)
        best = np.array([max((answer.evidence_nats for answer in each.answers), default=-np.inf) for each in chosen])
        n_above = sum(answer.evidence_nats > TAIL_FROM_NATS for each in chosen for answer in each.answers)
        promised = len(chosen) * world.n_tracks * math.exp(-TAIL_FROM_NATS)
        if chosen:
            accepted = int((best >= least).sum())
            print(f"| {condition} | {len(chosen)} | {n_above} | {promised:.0f} | {best.max():.1f} | {accepted} |")
    print()


def _print_scores(world: World, asked: Sequence[Asked]) -> None:
    answers = answers_of(_where(asked, split=Split.REPORT), n_tracks=world.n_tracks)
    size = max(world.n_tracks, _SIZES[0])
    scores = np.array([score_of(each + math.log(size), n_tracks=size) for each in answers.surprise.tolist()])
    print(f"### Scores as shipped, half {Split.REPORT}; default minScore {DEFAULT_MIN_SCORE:.3f}\n")
    print("| score | right | wrong | mean score | share right |")
    print("| --- " * 5 + "|")
    for each in reliability(answers, scores):
        print(
            f"| {each.low:g} to {each.high:g} | {each.n_right} | {each.n_wrong} "
            f"| {each.mean_score:.3f} | {each.share_right:.3f} |"
        )
    print()


def _print_price(asked: Sequence[Asked]) -> None:
    print(
        "### What the catalogue's size costs: share of clips whose track passes the default bar; all conditions alike\n"
    )
    print(f"| s | clips | {' | '.join(f'{size:,} tracks' for size in _SIZES)} |")
    print("| --- " * (2 + len(_SIZES)) + "|")
    for length_s in _LENGTHS_S:
        ours = _where(asked, is_stranger=False, length_s=length_s)
        right = np.array([max((a.evidence_nats for a in each.answers if a.is_right), default=-np.inf) for each in ours])
        if ours:
            shares = (float((right >= bar_of(n_tracks=size).least_nats).mean()) for size in _SIZES)
            print(f"| {length_s:g} | {len(ours)} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    print()


def _print_constants(world: World, asked: Sequence[Asked]) -> None:
    tuned = _where(asked, split=Split.TUNE)
    print(f"### False accepts by the tail fitted on half {Split.TUNE}, of a query\n")
    print(f"| s | {' | '.join(f'{size:,} tracks' for size in _SIZES)} | seen up to |")
    print("| --- " * (2 + len(_SIZES)) + "|")
    for length_s in _LENGTHS_S:
        tail = _tail(world, _where(tuned, is_stranger=True, length_s=length_s))
        if tail is not None:
            rates = (_false_accepts(tail, size) for size in _SIZES)
            print(f"| {length_s:g} | {' | '.join(f'{r:.2e}' for r in rates)} | {tail.reaches_to_n_tracks:.0f} tracks |")
    print(f"\n### Constants fitted on half {Split.TUNE}\n")
    for length_s in _LENGTHS_S:
        n_items = items_of_duration(length_s)
        tail = _tail(world, _where(tuned, is_stranger=True, length_s=length_s))
        if tail is not None:
            per_nat = min_correlation(n_items, selection_nats=1.0) - min_correlation(n_items)
            fitted = min_correlation(n_items) + per_nat * (tail.level_nats - PAIR_NATS)
            print(
                f"{n_items} items: once in 10^6 at {fitted:.3f} ± {per_nat * tail.level_error:.3f} "
                f"(shipped {min_correlation(n_items):.3f}), {per_nat / tail.decay:.4f} a nat (shipped {per_nat:.4f})"
            )
    answers = answers_of(tuned, n_tracks=world.n_tracks)
    n_ours = len(_where(tuned, is_stranger=False))
    a, b = fit_score(answers.surprise[answers.is_right], n_queries=n_ours)
    print(f"_SCORE_AT_ONE_EXPECTED = {a:.2f}\n_SCORE_PER_NAT = {b:.2f}")


def _tail(world: World, chosen: Sequence[Asked]) -> Tail | None:
    # All that was made of one clip counts as one: a clip that resembles something does so under every condition.
    numbers = {clip: number for number, clip in enumerate(dict.fromkeys(map(_of_clip, chosen)))}
    rows = [(answer.evidence_nats, numbers[_of_clip(each)]) for each in chosen for answer in each.answers]
    return fit_tail(
        np.array([nats for nats, _ in rows]),
        np.array([number for _, number in rows], dtype=np.int64),
        n_queries=len(numbers),
        n_pairs=len(chosen) * world.n_tracks,
    )


def _false_accepts(tail: Tail, n_tracks: float) -> float:
    least = bar_of(n_tracks=n_tracks).least_nats
    per_pair = tail.n_above / tail.n_pairs * math.exp(-tail.decay * (least - tail.from_nats))
    return n_tracks * per_pair


def _of_clip(asked: Asked) -> tuple[str, int, float]:
    return asked.clip.track, asked.clip.number, asked.clip.length_s


def _where(asked: Iterable[Asked], **facts: object) -> list[Asked]:
    """Return those whose clip is so."""
    return [each for each in asked if all(getattr(each.clip, name) == value for name, value in facts.items())]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m eval.calibration", description="Fit and check scores.")
    parser.add_argument("--seconds", type=float, default=600, help="ask no more after so much time; 0: print only")
    parser.add_argument("--clips", type=int, default=8, help="of each condition and length, of sources and strangers")
    parser.add_argument("--fresh", type=int, default=12, help="of each further stranger and length")
    return parser.parse_args()


if __name__ == "__main__":
    main()
