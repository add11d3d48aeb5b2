"""The whole product on real music: `musicfp up`, a dozen songs with copies and broken files, the API, a restart.

Everything goes through the doors that people use: the command line, signed uploads, GraphQL, the Dagster UI's API.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.music import Song, ffmpeg, real_songs
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

N_SONGS = int(os.environ.get("MUSICFP_E2E_SONGS", "12"))
SONG_LENGTH_S = 36.0
N_COPIES = 5
TRIMMED_HEAD_S = 6.0
# Each stage takes what has gathered while it worked; a run per song would be far more than this.
MAX_RUNS = 24


@dataclass(frozen=True)
class Catalogue:
    """A running stack that has decided everything, with what was sent to it."""

    stack: Stack
    songs: list[Song]
    answers: dict[str, dict[str, Any]]

    def query(self, text: str, **variables: object) -> dict[str, Any]:
        """Ask the GraphQL API."""
        return query(self.stack, text, **variables)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """Songs first, then copies of them and broken files, all submitted as folders by the command line."""
    root = tmp_path_factory.mktemp("e2e")
    songs = real_songs(root / "songs", n_songs=N_SONGS, length_s=SONG_LENGTH_S)
    make_copies(songs, root / "copies")
    make_broken_files(songs[0].path, root / "broken")
    with running_stack(root / "home") as stack:
        answers = submit(stack, root / "songs") | submit(stack, root / "copies") | submit(stack, root / "broken")
        wait_until_derived(stack)
        yield Catalogue(stack, songs, answers)


def make_copies(songs: list[Song], directory: Path) -> None:
    """Re-encode the first songs, and trim the next ones on both sides."""
    directory.mkdir()
    tags = ("-metadata", "title=A copy", "-metadata", "artist=Somebody")
    for number, song in enumerate(songs[:N_COPIES]):
        ffmpeg(
            "-i", str(song.path), *tags, "-c:a", "libmp3lame", "-b:a", "96k", str(directory / f"reencoded-{number}.mp3")
        )
    for number, song in enumerate(songs[N_COPIES : 2 * N_COPIES]):
        cut = ("-ss", str(TRIMMED_HEAD_S), "-t", str(SONG_LENGTH_S - 2 * TRIMMED_HEAD_S))
        ffmpeg(
            *cut,
            "-i",
            str(song.path),
            *tags,
            "-c:a",
            "libopus",
            "-b:a",
            "64k",
            str(directory / f"trimmed-{number}.opus"),
        )


def make_broken_files(song: Path, directory: Path) -> None:
    """Make one file of each kind that cannot enter the catalogue."""
    directory.mkdir()
    tags = ("-metadata", "title=T", "-metadata", "artist=A")
    (directory / "text.mp3").write_text("this is not music\n" * 50)
    ffmpeg("-f", "lavfi", "-i", "sine=440:d=1", *tags, str(directory / "short.flac"))
    ffmpeg("-f", "lavfi", "-i", "anullsrc=d=8", *tags, str(directory / "silent.flac"))
    ffmpeg("-i", str(song), "-map_metadata", "-1", "-metadata", "title=Only a title", str(directory / "untagged.flac"))
    shutil.copy(directory / "untagged.flac", directory / "wrong-extension.mp3")
    whole = directory / "truncated.flac"
    ffmpeg("-i", str(song), *tags, str(whole))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def submit(stack: Stack, directory: Path) -> dict[str, dict[str, Any]]:
    """Submit a folder by the command line, wait, and return what the API says of each submission by file name."""
    finished = subprocess.run(
        [sys.executable, "-m", "musicfp.cli.main", "submit", str(directory), "--wait", "--json"],
        env=stack.env,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    uploads = json.loads(finished.stdout)
    return {Path(each["path"]).name: submission(stack, each["submissionId"]) for each in uploads}


def submission(stack: Stack, submission_id: str) -> dict[str, Any]:
    """Return one submission with all that matters here."""
    text = """query($id: ID!) { submission(id: $id) { id status filename problems { code message field }
        track { id title } lineage { assetKey runId }
        duplicateOf { relation score offsetSeconds overlapSeconds bitErrorRate track { id title } } } }"""
    found: dict[str, Any] = query(stack, text, id=submission_id)["submission"]
    return found


def query(stack: Stack, text: str, **variables: object) -> dict[str, Any]:
    """Ask the GraphQL API and return the data."""
    answer = httpx.post(f"{stack.api_url}/graphql", json={"query": text, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def all_tracks(stack: Stack, fields: str) -> list[dict[str, Any]]:
    """Return every track, page by page."""
    text = f"query($after: String) {{ tracks(first: 25, after: $after) {{ totalCount edges {{ node {{ {fields} }} }} "
    text += "pageInfo { hasNextPage endCursor } } }"
    found: list[dict[str, Any]] = []
    after = None
    while True:
        page = query(stack, text, after=after)["tracks"]
        found += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            assert len(found) == page["totalCount"]
            return found
        after = page["pageInfo"]["endCursor"]


def wait_until_derived(stack: Stack) -> None:
    """Wait until every track has all its transcodes and features."""
    n_features = len(query(stack, "{ featureDefinitions { name } }")["featureDefinitions"])

    def is_complete() -> bool:
        tracks = all_tracks(stack, "transcodes { profile } features { name }")
        return all(len(each["transcodes"]) == 5 and len(each["features"]) == n_features for each in tracks)

    eventually(is_complete, within_s=900, every_s=2.0)


def test_every_song_is_accepted_and_every_copy_names_its_original(catalogue: Catalogue) -> None:
    """No stranger is called a duplicate; re-encoded and trimmed copies are, with the right track and offset."""
    answers = catalogue.answers
    not_accepted = {
        song.title: answers[song.path.name]
        for song in catalogue.songs
        if answers[song.path.name]["status"] != "ACCEPTED"
    }
    assert not not_accepted, not_accepted
    for number in range(N_COPIES):
        copy = answers[f"reencoded-{number}.mp3"]
        assert copy["status"] == "DUPLICATE", copy
        assert copy["duplicateOf"]["relation"] == "SAME_RECORDING", copy
        assert copy["duplicateOf"]["track"]["title"] == f"Song {number}", copy
        assert abs(copy["duplicateOf"]["offsetSeconds"]) < 0.3, copy
        trimmed = answers[f"trimmed-{number}.opus"]
        assert trimmed["status"] == "DUPLICATE", trimmed
        assert trimmed["duplicateOf"]["relation"] == "EXCERPT", trimmed
        assert trimmed["duplicateOf"]["track"]["title"] == f"Song {number + N_COPIES}", trimmed
        assert trimmed["duplicateOf"]["score"] > 0.7, trimmed


@pytest.mark.parametrize(
    ("filename", "codes"),
    [
        ("text.mp3", {"unsupported_format"}),
        ("short.flac", {"too_short"}),
        ("silent.flac", {"silent"}),
        ("untagged.flac", {"missing_tag"}),
        ("wrong-extension.mp3", {"wrong_extension", "missing_tag"}),
        ("truncated.flac", {"truncated"}),
    ],
)
def test_a_broken_file_is_rejected_with_its_reasons(catalogue: Catalogue, filename: str, codes: set[str]) -> None:
    """Each kind of broken file ends as REJECTED with all its problems, each in a sentence."""
    answer = catalogue.answers[filename]
    assert answer["status"] == "REJECTED", answer
    assert {problem["code"] for problem in answer["problems"]} == codes, answer
    assert all(len(problem["message"]) > 20 for problem in answer["problems"])


def test_transcodes_play_and_features_have_values(catalogue: Catalogue) -> None:
    """Every transcode's URL answers with audio of the right length; ordinary music has key, tempo and loudness."""
    tracks = all_tracks(
        catalogue.stack,
        "title durationSeconds transcodes { profile sizeBytes durationSeconds url } "
        "features { name value text status reason }",
    )
    for track in tracks:
        for transcode in track["transcodes"]:
            assert abs(transcode["durationSeconds"] - track["durationSeconds"]) < 0.1, (track["title"], transcode)
        statuses = {each["name"]: each["status"] for each in track["features"]}
        assert {name for name, status in statuses.items() if status == "FAILED"} == set(), track
        assert all(each["reason"] for each in track["features"] if each["status"] != "OK")
        missing = {each["reason"] for each in track["features"] if each["status"] == "UNAVAILABLE"}
        assert all(reason.startswith("model_missing:") for reason in missing), missing
    for transcode in tracks[0]["transcodes"]:
        audio = httpx.get(transcode["url"], timeout=60)
        assert len(audio.content) == transcode["sizeBytes"]
    by_name = {
        name: [each for track in tracks for each in track["features"] if each["name"] == name]
        for name in (
            "tonal.key",
            "tonal.mode",
            "rhythm.tempo",
            "loudness.integrated",
            "rhythm.danceability",
            "vocal.speechiness",
            "vocal.instrumentalness",
        )
    }
    for name, values in by_name.items():
        share_ok = sum(each["status"] == "OK" for each in values) / len(values)
        assert share_ok > 0.75, (name, share_ok)


def test_a_clip_is_identified_with_its_place(catalogue: Catalogue, tmp_path: Path) -> None:
    """Ten seconds from the middle name the track; where in it is right unless the music repeats itself."""
    song = catalogue.songs[1]
    clip = tmp_path / "clip.wav"
    ffmpeg("-ss", "15", "-t", "10", "-i", str(song.path), str(clip))
    answer = httpx.post(f"{catalogue.stack.api_url}/identify", content=clip.read_bytes(), timeout=60).json()
    assert answer["matches"][0]["track"]["title"] == song.title, answer
    assert answer["matches"][0]["score"] > 0.6, answer
    reversed_clip = tmp_path / "reversed.wav"
    ffmpeg("-i", str(clip), "-af", "areverse", str(reversed_clip))
    nothing = httpx.post(f"{catalogue.stack.api_url}/identify", content=reversed_clip.read_bytes(), timeout=60).json()
    assert nothing["matches"] == [], nothing


def test_runs_cover_batches_and_lineage_is_complete(catalogue: Catalogue) -> None:
    """Dagster needed a few runs for everything, and each track names the run of each of its assets."""
    runs = httpx.post(
        f"{catalogue.stack.dagster_url}/graphql",
        json={"query": "{ runsOrError(limit: 500) { ... on Runs { results { jobName status } } } }"},
        timeout=60,
    ).json()["data"]["runsOrError"]["results"]
    assert len(runs) <= MAX_RUNS, [run["jobName"] for run in runs]
    assert {run["status"] for run in runs} == {"SUCCESS"}, runs
    for track in all_tracks(catalogue.stack, "title lineage { assetKey runId codeVersion url }"):
        made = {each["assetKey"] for each in track["lineage"]}
        assert {"track_metadata", "fingerprint", "dedupe_verdict", "source_audio", "transcode_mp3_v0"} <= made, track
        assert sum(key.startswith("feature_") for key in made) >= 5, track


def test_everything_survives_a_restart(catalogue: Catalogue) -> None:
    """After a stop and a start with the same home all is there, and a known file is a SAME_FILE duplicate."""
    stack = catalogue.stack
    before = all_tracks(stack, "id title transcodes { profile sizeBytes } features { name value text }")
    assert stack.stop() == 0
    ports = {name: value for name, value in stack.env.items() if name.endswith("_PORT")}
    with running_stack(stack.settings.home, **ports) as restarted:
        assert all_tracks(restarted, "id title transcodes { profile sizeBytes } features { name value text }") == before
        again = stack.settings.home.parent / "again"
        again.mkdir()
        shutil.copy(catalogue.songs[0].path, again / "once-more.mp3")
        answer = submit(restarted, again)["once-more.mp3"]
        assert answer["status"] == "DUPLICATE"
        assert answer["duplicateOf"]["relation"] == "SAME_FILE"
        assert answer["duplicateOf"]["track"]["title"] == catalogue.songs[0].title
