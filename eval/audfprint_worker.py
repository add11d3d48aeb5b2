"""Runs inside audfprint2's own environment: indexes decoded tracks, then answers clips, one JSON line each.

    PYTHON audfprint_worker.py DENSITY FANOUT

What belongs here: the only use of audfprint2. What does not: anything of this project, which that environment lacks.
In: {"index": [[name, path], ...]} once, then {"query": path}. Paths are .npy files of 16-bit mono at 11025 Hz.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any

import numpy as np

_RATE_HZ = 11025


def main() -> None:
    """Serve until the input ends."""
    peer, audio = import_module("audfprint2"), import_module("audfprint2.utils.audio")
    audio.audio_read = _read  # type: ignore[attr-defined] # it knows WAV and ffmpeg only
    density, fanout = float(sys.argv[1]), int(sys.argv[2])
    # Values that its command line sets; a query is analysed at four shifts of a frame, a reference at one.
    reference, asked = (_analyzer(peer.Analyzer(), density, fanout, shifts=shifts) for shifts in (1, 4))
    matcher, table = peer.Matcher(), peer.HashTable(hashbits=20, depth=100, maxtime=16384)
    matcher.window, matcher.max_returns = 2, 10
    hop_s = reference.n_hop / reference.target_sr
    for line in sys.stdin:
        message = json.loads(line)
        if "index" in message:
            for name, path in message["index"]:
                table.store(name, [(int(at), int(key)) for at, key in reference.wavfile2hashes(path)])
            answer: dict[str, Any] = {"indexed": len(message["index"])}
        else:
            began = time.perf_counter()
            hits, _, _ = matcher.match_file(asked, table, message["query"])
            took_ms = (time.perf_counter() - began) * 1000
            answer = {
                "took_ms": took_ms,
                "answers": [[str(table.names[hit[0]]), int(hit[1]), float(hit[2]) * hop_s] for hit in hits],
            }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _analyzer(analyzer: Any, density: float, fanout: int, *, shifts: int) -> Any:
    analyzer.density, analyzer.maxpksperframe, analyzer.maxpairsperpeak = density, 5, fanout
    analyzer.f_sd, analyzer.shifts, analyzer.target_sr = 30.0, shifts, _RATE_HZ
    analyzer.n_fft, analyzer.n_hop = 512, 256
    return analyzer


def _read(filename: str, **_options: object) -> tuple[Any, int]:
    return np.load(filename).astype(np.float32) / 32768, _RATE_HZ


if __name__ == "__main__":
    main()
