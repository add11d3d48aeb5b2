"""Runs in a process of its own: essentia's all-in-one MusicExtractor on each file named on standard input.

What belongs here: the only use of MusicExtractor. What does not: judging (`scoring`). One JSON line each.
"""

import json
import sys
import time

from musicfp.features.essentia_engine import essentia_standard


def main() -> None:
    """Serve until the input ends."""
    essentia = essentia_standard()
    for line in sys.stdin:
        began = time.process_time()
        pool, _ = essentia.MusicExtractor(lowlevelStats=["mean", "stdev"], rhythmStats=["mean"], tonalStats=["mean"])(
            line.strip()
        )
        answer = {
            "tempo_bpm": float(pool["rhythm.bpm"]),
            # Of its three profiles the one that its authors recommend for music in general.
            "key": str(pool["tonal.key_temperley.key"]),
            "mode": str(pool["tonal.key_temperley.scale"]),
            "key_krumhansl": str(pool["tonal.key_krumhansl.key"]),
            "mode_krumhansl": str(pool["tonal.key_krumhansl.scale"]),
            "key_edma": str(pool["tonal.key_edma.key"]),
            "mode_edma": str(pool["tonal.key_edma.scale"]),
        }
        print(json.dumps({**answer, "cpu_s": time.process_time() - began}), flush=True)


if __name__ == "__main__":
    main()
