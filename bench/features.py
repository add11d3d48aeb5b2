"""What features cost: CPU seconds per minute of music of every extractor and every input that they share.

    OPENBLAS_NUM_THREADS=1 python -m bench.features FOLDER [--tracks N]

One process, as a worker of the pool. Each shared input is computed before the extractors, so that an extractor's number
is its own. Files that the product does not accept, as tracker modules, are rendered to FLAC first; decoding is that of
FLAC then. Start-up is counted once and spread over the batches of 1, 10 and 100 tracks.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from musicfp.features.analysis import decode
from musicfp.features.essentia_engine import essentia_standard
from musicfp.features.inputs import SAMPLE_RATE_HZ, AudioInputs
from musicfp.features.registry import Registry, load_builtin
from musicfp.features.values import ModelMissing, NotMeasurable

_MIN_BYTES = 50_000
_MIN_S, _MAX_S = 45.0, 120.0
_NO_MUSIC = {".tsv", ".txt", ".md", ".json", ".done", ".packs", ""}
# What every extractor needs before it may run; the rest of what AudioInputs has is found in the declarations.
_GATES = ("stereo_44k", "is_finite", "loudness_ebu128", "mono_44k")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tracks", type=int, default=15)
    options = parser.parse_args()
    registry = load_builtin()
    costs: defaultdict[str, float] = defaultdict(float)
    with counted(costs, "start"):
        import scipy.signal  # noqa: F401, PLC0415 (what the first track of a worker waits for)

        essentia_standard()
    total_s = 0.0
    answers: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        rendered = (render(path, Path(directory)) for path in candidates(options.folder))
        n_tracks = 0
        for flac in rendered:
            if flac is None:
                continue
            total_s += measure(flac, registry, costs, answers)
            flac.unlink()
            n_tracks += 1
            print(f"{n_tracks} of {options.tracks}", file=sys.stderr, flush=True)
            if n_tracks == options.tracks:
                break
    report(registry, costs, answers, n_tracks=n_tracks, minutes=total_s / 60)


def candidates(folder: Path) -> list[Path]:
    """Return files that may be music, spread over the folder so that a few come from everywhere."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in _NO_MUSIC and path.stat().st_size > _MIN_BYTES
    )
    # A step that is prime to the number of files visits each of them once.
    step = 37 if len(files) % 37 else 41
    return [files[index * step % len(files)] for index in range(len(files))]


def render(path: Path, directory: Path) -> Path | None:
    """Return a FLAC of at most two minutes of the file, or None if it is no music of a useful length."""
    flac = directory / "track.flac"
    command = [
        "ffmpeg",
        "-nostdin",
        "-v",
        "quiet",
        "-y",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-t",
        str(_MAX_S),
        str(flac),
    ]
    if subprocess.run(command, check=False).returncode != 0 or not flac.exists():
        return None
    claimed = subprocess.run(
        ["ffprobe", "-v", "quiet", "-show_entries", "format=duration", "-of", "csv=p=0", str(flac)],
        check=False,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return flac if claimed and float(claimed) >= _MIN_S else None


def measure(path: Path, registry: Registry, costs: defaultdict[str, float], answers: Counter[str]) -> float:
    """Add what one track costs to `costs` and how many of its values are there to `answers`; return its seconds."""
    samples, decode_cpu_s = decode(path, max_duration_s=_MAX_S)
    costs["decode"] += decode_cpu_s
    audio = AudioInputs(samples, sample_rate_hz=SAMPLE_RATE_HZ)
    for name in inputs_of(registry):
        with counted(costs, f"input {name}"):
            touch(lambda name=name: getattr(audio, name))
    for each in registry.all():
        with counted(costs, f"extractor {each.name}"):
            values = each.run(audio)
        answers.update({f"{each.name} {value.status}": 1 for value in values[:1]})
    return audio.duration_s


def inputs_of(registry: Registry) -> list[str]:
    """Return the inputs of all extractors, those first that others are made from."""
    declared = [name for each in registry.all() for name in each.inputs]
    return list(dict.fromkeys([*_GATES, *declared]))


def touch(read: Callable[[], object]) -> None:
    """Compute an input; that this track has none is an answer too."""
    try:
        read()
    except (NotMeasurable, ModelMissing):
        return


@contextmanager
def counted(costs: defaultdict[str, float], what: str) -> Iterator[None]:
    """Add the CPU seconds of the block to `costs`."""
    start = time.process_time()
    yield
    costs[what] += time.process_time() - start


def report(
    registry: Registry, costs: defaultdict[str, float], answers: Counter[str], *, n_tracks: int, minutes: float
) -> None:
    """Print the table."""
    print(f"{n_tracks} tracks, {minutes:.1f} minutes; CPU s per track-minute")
    for what in costs:
        if what == "start":
            continue
        name = what.removeprefix("extractor ")
        known = f"  answered {answers[f'{name} ok']} of {n_tracks}" if what.startswith("extractor ") else ""
        print(f"  {what:28}{costs[what] / minutes:8.3f}{known}")
    with_models = [each for each in registry.all() if each.models]
    without = {name for each in registry.all() if not each.models for name in each.inputs} | set(_GATES)
    inputs = {name for each in with_models for name in each.inputs} - without
    of_models = sum(costs[f"extractor {each.name}"] for each in with_models)
    of_models += sum(costs[f"input {name}"] for name in inputs)
    of_features = sum(cost for what, cost in costs.items() if what not in {"start", "decode"})
    print(f"  {'all without models':28}{(of_features - of_models) / minutes:8.3f}")
    print(f"  {'all':28}{of_features / minutes:8.3f}")
    for batch in (1, 10, 100):
        spread = costs["start"] / (minutes / n_tracks * batch)
        print(f"  start-up over {batch:3} tracks      {spread:8.3f}")
    print(f"start-up {costs['start']:.2f} CPU s once per process")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
