"""The whole product lost and restored: backed up while it works, destroyed, put back into a fresh home."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.songs import SongFolder
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

# Seeds of songs: those that are complete before the backup, and those that arrive while it is made.
BEFORE, DURING = (1, 2), (3, 4)
PROFILES = ("mp3_128", "opus_96")


def _musicfp(stack: Stack, *arguments: str) -> Any:
    finished = subprocess.run(
        [sys.executable, "-m", "musicfp.cli.main", *arguments, "--json"],
        env=stack.env,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout[-3000:] + finished.stderr[-3000:]
    return json.loads(finished.stdout)


def _tracks(stack: Stack) -> dict[str, Any]:
    """Return every track with all that the API says of it; links differ each time."""
    found = {}
    for edge in _musicfp(stack, "tracks", "--first", "100")["edges"]:
        track_id = edge["node"]["id"]
        found[track_id] = json.loads(json.dumps(_musicfp(stack, "track", track_id)), object_hook=_without_links)
    return found


def _without_links(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "url"}


def _is_derived(stack: Stack, *, n_tracks: int) -> bool:
    """Ask by GraphQL: each command costs the start of a process, and this is asked again and again."""
    text = "{ tracks(first: 100) { edges { node { transcodes { profile } features { name } } } } }"
    answer = httpx.post(f"{stack.api_url}/graphql", json={"query": text}, timeout=60).json()
    tracks = [edge["node"] for edge in answer["data"]["tracks"]["edges"]]
    return len(tracks) == n_tracks and all(
        len(track["transcodes"]) == len(PROFILES) and track["features"] for track in tracks
    )


def _answers(stack: Stack, songs: SongFolder) -> dict[int, Any]:
    """Return what a clip of each song is recognised as."""
    found = {}
    for seed in BEFORE:
        clip = songs.trimmed(seed, start_s=6, length_s=10)
        matches = _musicfp(stack, "identify", str(clip))["matches"]
        found[seed] = json.loads(json.dumps(matches), object_hook=_without_links)
    return found


def test_a_lost_catalogue_gives_the_same_answers_after_it_was_restored(tmp_path: Path, songs: SongFolder) -> None:
    """Backed up between uploads that are on their way; the home is deleted; a fresh one has all that was decided."""
    home, backup = tmp_path / "home", tmp_path / "backup"
    few = {"MUSICFP_TRANSCODE_PROFILES": ",".join(PROFILES)}
    with running_stack(home, **few) as stack:
        _musicfp(stack, "submit", "--wait", *(str(songs.song(seed)) for seed in BEFORE))
        eventually(lambda: _is_derived(stack, n_tracks=len(BEFORE)), within_s=400, every_s=2)
        before, answers = _tracks(stack), _answers(stack, songs)
        _musicfp(stack, "submit", *(str(songs.song(seed)) for seed in DURING))
        made = _musicfp(stack, "backup", str(backup))
        assert made["missing"] == []
        _musicfp(stack, "submit", "--wait", *(str(songs.song(seed)) for seed in DURING))
        env = {name: value for name, value in stack.env.items() if name.startswith("MUSICFP_") and "PORT" in name}
    shutil.rmtree(home)
    with running_stack(home, options=("--without", "dagster", "--without", "api"), **few, **env) as store:
        restored = _musicfp(store, "restore", str(backup))
        assert restored["nObjects"] == made["nObjects"] >= len(BEFORE) * (1 + len(PROFILES))
        assert _musicfp(store, "db", "check", "--deep", "--hash", "--now")["isRight"]
    with running_stack(home, **few, **env) as stack:
        after = _tracks(stack)
        assert {track_id: after.get(track_id) for track_id in before} == before
        assert _answers(stack, songs) == answers
        # What was undecided goes on where it was, or is submitted again; nothing is there twice.
        _musicfp(stack, "submit", "--wait", *(str(songs.song(seed)) for seed in DURING))
        eventually(lambda: _is_derived(stack, n_tracks=len(BEFORE + DURING)), within_s=400, every_s=2)
        assert _musicfp(stack, "db", "check", "--deep", "--hash")["isRight"]
