"""How well speech is told from music, with the speech detector and without: `python -m eval.features.speech`.

    python -m eval.features.speech --music FOLDER --speech FOLDER [--seconds 20] [--per-source 1] [--fit]

Every audio file below `--music` counts as music, every one below `--speech` as speech; nobody listened to them. A
source is a folder directly below the given one, or a file's name up to its last underscore. `--fit` also fits the
heuristic's coefficients anew and says how it does on sources that it was not fitted to.

What belongs here: excerpts, scores, and the fit. What does not: the features (`musicfp.features.speech`,
`speech_heuristic`).
"""

import argparse
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from musicfp.features.inputs import SAMPLE_RATE_HZ, AudioInputs
from musicfp.features.speech import speech_share
from musicfp.features.speech_heuristic import FEATURE_NAMES, movement, speech_likelihood
from musicfp.features.values import NotMeasurable

_SUFFIXES = {".ogg", ".oga", ".mp3", ".flac", ".wav", ".opus", ".xm", ".it", ".mod", ".s3m"}
_START_S = 3.0
_MIN_DURATION_S = 12.0
_TIMEOUT_S = 120.0
_RIDGE = 1.0
_ITERATIONS = 50


@dataclass(frozen=True)
class Scored:
    """One excerpt: where it is from, whether it is speech, what both say, and the heuristic's measures of it."""

    source: str
    is_speech: bool
    by_model: float
    by_heuristic: float
    movement: NDArray[np.float64]
    model_cpu_s_per_min: float
    heuristic_cpu_s_per_min: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Score all excerpts and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--music", type=Path, required=True)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--per-source", type=int, default=1, help="pieces of music of each source, chosen by hash")
    parser.add_argument("--fit", action="store_true")
    options = parser.parse_args(arguments)
    files = [(path, source, False) for path, source in chosen(options.music, per_source=options.per_source)]
    files += [(path, source, True) for path, source in chosen(options.speech, per_source=None)]
    scored = []
    for done, (path, source, is_speech) in enumerate(files):
        one = score(path, source, is_speech=is_speech, seconds=options.seconds)
        scored += [] if one is None else [one]
        print(f"\r{done + 1} of {len(files)}", end="", file=sys.stderr)
    print(report(scored))
    if options.fit:
        print(fit_report(scored))


def chosen(folder: Path, *, per_source: int | None) -> Iterator[tuple[Path, str]]:
    """Yield the audio files below a folder with their sources; of each source the first few by hash of the name."""
    by_source: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.is_symlink():
            inside = path.relative_to(folder)
            source = inside.parts[0] if len(inside.parts) > 1 else path.stem.rpartition("_")[0] or path.stem
            by_source.setdefault(source, []).append(path)
    for source, paths in by_source.items():
        # Short files are sound effects; by size, because opening thousands of them takes longer than all the rest.
        long_ones = [path for path in paths if per_source is None or path.stat().st_size > _least_bytes(path)]
        ranked = sorted(long_ones, key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())
        yield from ((path, source) for path in ranked[:per_source])


def score(path: Path, source: str, *, is_speech: bool, seconds: float) -> Scored | None:
    """Score one excerpt; None for what is too short or silent."""
    audio = AudioInputs(_excerpt(path, seconds=seconds), sample_rate_hz=SAMPLE_RATE_HZ)
    if audio.duration_s < _MIN_DURATION_S:
        return None
    try:
        mono = audio.mono_16k
    except NotMeasurable:
        return None
    per_min = 60 / audio.duration_s
    by_model, model_cpu_s = _timed(lambda: speech_share(mono, audio.speech_probabilities))
    by_heuristic, heuristic_cpu_s = _timed(lambda: speech_likelihood(mono))
    return Scored(
        source, is_speech, by_model, by_heuristic, movement(mono), model_cpu_s * per_min, heuristic_cpu_s * per_min
    )


def report(scored: Sequence[Scored]) -> str:
    """Return the table of both ways: area under the curve, shares right at one half, and cost."""
    truth = np.array([each.is_speech for each in scored])
    lines = [
        f"{int(truth.sum())} excerpts of speech, {int((~truth).sum())} of music",
        "",
        "| way | AUC | speech found at > .5 | music rejected | CPU s/min |",
        "|---|---|---|---|---|",
    ]
    for name, scores, costs in (
        ("silero", [each.by_model for each in scored], [each.model_cpu_s_per_min for each in scored]),
        ("heuristic", [each.by_heuristic for each in scored], [each.heuristic_cpu_s_per_min for each in scored]),
    ):
        values = np.array(scores)
        lines.append(
            f"| {name} | {area_under_curve(values, truth):.4f} | {np.mean(values[truth] > 0.5):.3f} "
            f"| {np.mean(values[~truth] <= 0.5):.3f} | {np.median(costs):.2f} |"
        )
    return "\n".join(lines)


def fit_report(scored: Sequence[Scored]) -> str:
    """Return coefficients fitted to all excerpts, and the AUC of excerpts whose source was left out of the fit."""
    truth = np.array([each.is_speech for each in scored])
    measures = np.array([each.movement for each in scored])
    sources = np.array([each.source for each in scored])
    held_out = np.zeros(len(scored))
    for source in set(sources.tolist()):
        inside = sources == source
        coefficients, centre, scale = fit(measures[~inside], truth[~inside])
        held_out[inside] = _linear(measures[inside], coefficients, centre, scale)
    coefficients, centre, scale = fit(measures, truth)
    weights = coefficients[1:] / scale
    intercept = coefficients[0] - float(centre @ weights)
    named = ", ".join(f"{name} {weight:.3f}" for name, weight in zip(FEATURE_NAMES, weights, strict=True))
    singles = ", ".join(
        f"{name} {area_under_curve(measures[:, index], truth):.3f}" for index, name in enumerate(FEATURE_NAMES)
    )
    return (
        f"\nFitted: {named}, intercept {intercept:.3f}\n"
        f"AUC with each source left out of the fit: {area_under_curve(held_out, truth):.4f}; "
        f"accuracy {np.mean((held_out > 0) == truth):.3f}\nAUC of single measures: {singles}"
    )


def fit(
    measures: NDArray[np.float64], truth: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return ridge logistic regression's coefficients (intercept first) on standardised measures, centre and scale.

    Both classes weigh the same, however many excerpts there are. Newton's method.
    """
    centre, scale = measures.mean(axis=0), measures.std(axis=0)
    design = np.column_stack([np.ones(len(measures)), (measures - centre) / scale])
    weights = np.where(truth, 0.5 / truth.mean(), 0.5 / (~truth).mean())
    penalty = _RIDGE * np.diag([0.0, *np.ones(measures.shape[1])])
    coefficients = np.zeros(design.shape[1])
    for _ in range(_ITERATIONS):
        chances = 1 / (1 + np.exp(-design @ coefficients))
        gradient = design.T @ (weights * (truth - chances)) - penalty @ coefficients
        curvature = (design * (weights * chances * (1 - chances))[:, None]).T @ design + penalty
        coefficients = coefficients + np.linalg.solve(curvature, gradient)
    return coefficients, centre, scale


def area_under_curve(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Return how often a true one scores higher than a false one; ties count half."""
    higher = scores[truth][:, None] - scores[~truth][None, :]
    return float(np.mean((higher > 0) + 0.5 * (higher == 0)))


def _linear(
    measures: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> NDArray[np.float64]:
    return np.asarray(coefficients[0] + (measures - centre) / scale @ coefficients[1:])


def _excerpt(path: Path, *, seconds: float) -> NDArray[np.float32]:
    argv = ["ffmpeg", "-nostdin", "-v", "error", "-ss", f"{_START_S:g}", "-t", f"{seconds:g}", "-i", str(path)]
    argv += ["-f", "f32le", "-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-"]
    decoded = subprocess.run(argv, check=False, capture_output=True, timeout=_TIMEOUT_S).stdout
    return np.frombuffer(decoded, dtype="<f4")


def _least_bytes(path: Path) -> int:
    return 60_000 if path.suffix.lower() in {".xm", ".it", ".mod", ".s3m"} else 400_000


def _timed(compute: Callable[[], float]) -> tuple[float, float]:
    start = time.process_time()
    return compute(), time.process_time() - start


if __name__ == "__main__":
    main()
