"""Hostile files through the real inspection: a clear answer, and nobody looks where they point."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from eval.hostile.canary import Canary
from eval.hostile.claims import claims
from eval.hostile.model import HostileFile, Workbench
from eval.hostile.pieces import id3, text_frame
from eval.hostile.run import RULES, observe
from eval.hostile.traps import traps
from musicfp.errors import SubmissionRejected, WorkerLost
from musicfp.pipeline import inspection
from musicfp.pipeline.inspection import InspectionPool
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the canary file is watched with inotify")

TRAPS = {f"{each.group}: {each.name}": each for each in traps()}
# What decodes hours belongs to `python -m eval.hostile`.
CLAIMS = {each.name: each for each in claims() if " h of " not in each.name}


@dataclass(frozen=True)
class Place:
    """Where a file is inspected and who would notice."""

    pool: InspectionPool
    bench: Workbench
    canary: Canary


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("hostile")
    with Canary(folder) as canary, InspectionPool(RULES, workers=1) as pool:
        yield Place(pool, Workbench(folder, canary_url=canary.url, canary_path=canary.path), canary)


@pytest.mark.parametrize("file", TRAPS.values(), ids=list(TRAPS))
def test_nobody_looks_where_a_file_points(file: HostileFile, place: Place) -> None:
    observed = observe(file, place.pool, place.bench, place.canary)
    assert (observed.server_hits, observed.file_hits) == (0, 0)
    assert observed.is_right, observed


@pytest.mark.parametrize("file", CLAIMS.values(), ids=list(CLAIMS))
def test_headers_that_lie_get_a_clear_answer(file: HostileFile, place: Place) -> None:
    observed = observe(file, place.pool, place.bench, place.canary)
    assert observed.is_right, observed
    assert all(message.endswith(".") for message in observed.messages)


def test_the_canary_sees_who_looks(tmp_path: Path) -> None:
    """An ffmpeg without our options does follow such files: the tests above can fail."""
    with Canary(tmp_path) as canary:
        bench = Workbench(tmp_path, canary_url=canary.url, canary_path=canary.path)
        playlists = (
            TRAPS["points elsewhere: ffconcat"].build(bench),
            f"ffconcat version 1.0\nfile {canary.url}\n".encode(),
        )
        for number, playlist in enumerate(playlists):
            path = tmp_path / f"{number}.mp3"
            path.write_bytes(playlist)
            argv = ["ffprobe", "-v", "quiet", "-protocol_whitelist", "file,http,tcp,crypto,data,concat"]
            subprocess.run([*argv, "-f", "concat", "-safe", "0", str(path)], check=False, timeout=60)
        assert canary.file_hits
        eventually(lambda: canary.server_hits > 0)


def test_tags_that_take_too_long_are_a_reason_to_reject(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is really reached: here, by tags that an ordinary file could have."""
    monkeypatch.setattr(inspection, "_TAG_CPU_S", 0.01)
    path = place.bench.folder / "many.mp3"
    frames = [text_frame("TIT2", f"Kettle {n}") for n in range(20_000)]
    path.write_bytes(id3(frames) + place.bench.encoded("mp3_no_id3"))
    with pytest.raises(SubmissionRejected, match="tags are too large") as caught:
        inspection.inspect_file(path, "mp3", RULES)
    assert [(each.code, each.field) for each in caught.value.problems] == [("over_limits", "tags")]


def test_a_worker_that_is_ended_takes_its_decoder_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that hangs without printing anything would go on until its own limits."""
    duration = f"600.{os.getpid()}"  # by which it is found: within its limits it may write no file
    fake = tmp_path / "ffprobe"
    fake.write_text(f"#!/bin/sh\nexec sleep {duration}\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    path = tmp_path / "song.flac"
    path.write_bytes(Workbench(tmp_path, canary_url="", canary_path=tmp_path).encoded("flac"))
    failures: list[WorkerLost] = []
    with InspectionPool(RULES, workers=1, timeout_s=10) as pool:

        def inspect() -> None:
            try:
                pool.inspect(path, "flac")
            except WorkerLost as error:
                failures.append(error)

        thread = threading.Thread(target=inspect)
        thread.start()
        eventually(lambda: running(duration), within_s=60)
        thread.join()
    assert "longer than 10 s" in str(failures[0])
    eventually(lambda: not running(duration))


def running(argument: str) -> bool:
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # no process, or it has ended since
            if argument.encode() in (process / "cmdline").read_bytes():
                return True
    return False
