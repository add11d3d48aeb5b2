"""Other recognisers on the same clips: audfprint and Olaf, each a program of its own that may be absent.

What belongs here: finding, installing and driving them. What does not: judging their answers (`metrics`).

    python -m eval.peers [OLAF_CHECKOUT]     install audfprint2 into build/peers; compile Olaf's core from a checkout

Both decide by the number of matching hashes; what each calls a match by its own default counts as accepted. Olaf works
at 16 kHz and gets the clips at that rate, without what is above 5.5 kHz: neither side of the comparison has it.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal

from eval.degrade import QUERY_RATE_HZ
from eval.distractors import Items
from eval.music import CACHE, PROJECT, Track
from eval.recognisers import Answer, Reply

PEERS = PROJECT / "build" / "peers"
AUDFPRINT_PYTHON = PEERS / "audfprint" / "bin" / "python"
OLAF = PEERS / "olaf" / "bin" / "olaf_core"
_OLAF_RATE_HZ = 16000
_OLAF_COLUMNS = 7
_TIMEOUT_S = 600


class NotRun(Exception):
    """A recogniser cannot take part; the message says why."""


@dataclass
class Audfprint:
    """D. Ellis's landmarks, as PyPI's audfprint2. `density` is in landmarks a second."""

    name: str
    density: int
    fanout: int
    is_shared: bool = False
    _worker: subprocess.Popen[str] | None = None

    def index(self, tracks: Sequence[Track], distractors: Iterable[Items]) -> None:
        """Start the worker and let it analyse the tracks."""
        if not AUDFPRINT_PYTHON.exists():
            raise NotRun("audfprint2 is not installed: python -m eval.peers")
        _refuse(distractors)
        script = str(Path(__file__).with_name("audfprint_worker.py"))
        self._worker = subprocess.Popen(
            [str(AUDFPRINT_PYTHON), script, str(self.density), str(self.fanout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._ask({"index": [[track.name, str(CACHE / "tracks" / f"{track.content}.npy")] for track in tracks]})

    def query(self, clip: Path) -> Reply:
        """Ask the worker; reading the clip is part of what it took, a fraction of a millisecond."""
        reply = self._ask({"query": str(clip)})
        return Reply(
            tuple(Answer(name, score, offset_s, is_accepted=True) for name, score, offset_s in reply["answers"]),
            reply["took_ms"],
        )

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.communicate(timeout=_TIMEOUT_S)
            self._worker = None

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None or self._worker.stdin is None or self._worker.stdout is None:
            raise NotRun(f"{self.name} has no catalogue yet")
        self._worker.stdin.write(json.dumps(message) + "\n")
        self._worker.stdin.flush()
        line = self._worker.stdout.readline()
        if not line:
            raise NotRun(f"{self.name}'s worker ended; its message is above")
        reply: dict[str, Any] = json.loads(line)
        return reply


@dataclass
class Olaf:
    """J. Six's Olaf, its C core with LMDB; one process a query, whose start is part of what it took."""

    name: str = "Olaf"
    is_shared: bool = True
    _home: tempfile.TemporaryDirectory[str] | None = None
    _names: dict[str, str] = field(default_factory=dict)

    def index(self, tracks: Sequence[Track], distractors: Iterable[Items]) -> None:
        """Store the tracks in a database that lasts as long as this object."""
        if not OLAF.exists():
            raise NotRun("Olaf is not built: python -m eval.peers OLAF_CHECKOUT")
        _refuse(distractors)
        self._home = tempfile.TemporaryDirectory(prefix="eval-olaf-")
        (Path(self._home.name) / ".olaf" / "db").mkdir(parents=True)
        for number, track in enumerate(tracks):
            # Its answers are lines with commas between the values, so it is given names without any.
            self._names[f"track{number}"] = track.name
            self._run("store", np.asarray(track.samples()), f"track{number}")

    def query(self, clip: Path) -> Reply:
        """Run one query; its lines are: count, query start and stop, name, id, reference start and stop."""
        samples = np.load(clip)
        printed, took_ms = self._run("query", samples, "query")
        rows = [row for row in csv.reader(printed.splitlines(), skipinitialspace=True) if len(row) == _OLAF_COLUMNS]
        answers = [
            Answer(self._names[row[3]], float(row[0]), float(row[5]) - float(row[1]), is_accepted=True)
            for row in rows
            if int(row[0]) > 0
        ]
        return Reply(tuple(sorted(answers, key=lambda answer: -answer.score)), took_ms)

    def close(self) -> None:
        """Delete the database."""
        if self._home is not None:
            self._home.cleanup()

    def _run(self, command: str, samples: np.ndarray[Any, np.dtype[np.int16]], name: str) -> tuple[str, float]:
        if self._home is None:
            raise NotRun("Olaf has no catalogue yet")
        raised = signal.resample_poly(samples.astype(np.float32) / 32768, _OLAF_RATE_HZ // 25, QUERY_RATE_HZ // 25)
        with tempfile.NamedTemporaryFile(dir=self._home.name, suffix=".raw") as raw:
            raw.write(raised.astype("<f4").tobytes())
            raw.flush()
            began = time.perf_counter()
            finished = subprocess.run(
                [str(OLAF), command, raw.name, name],
                env={**os.environ, "HOME": self._home.name},
                capture_output=True,
                text=True,
                check=True,
                timeout=_TIMEOUT_S,
            )
            return finished.stdout, (time.perf_counter() - began) * 1000


def _refuse(distractors: Iterable[Items]) -> None:
    if next(iter(distractors), None) is not None:
        raise NotRun("distractors are fingerprints without audio")


def install(olaf_checkout: Path | None) -> None:
    """Install audfprint2 into an environment of its own, and compile Olaf's core if its source is given."""
    if not AUDFPRINT_PYTHON.exists():
        venv.create(AUDFPRINT_PYTHON.parents[1], with_pip=True)
    subprocess.run([str(AUDFPRINT_PYTHON), "-m", "pip", "install", "--quiet", "audfprint2"], check=True)
    if olaf_checkout is not None:
        build = OLAF.parents[1]
        subprocess.run(["cp", "-r", str(olaf_checkout), str(build)], check=True)
        subprocess.run(["make", "-C", str(build), "compile_core"], check=True)


if __name__ == "__main__":
    install(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
