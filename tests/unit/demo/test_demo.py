"""The demo: songs that sound different, copies that sound the same, and the verdict table."""

import itertools
import json
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from musicfp.audio.sniff import require_format
from musicfp.audio.tags import read_tags
from musicfp.cli.main import main
from musicfp.client.api import SubmissionState, open_api
from musicfp.client.submit import Upload
from musicfp.demo import dataset
from musicfp.demo.dataset import DemoFile, DemoSet, make_demo_set
from musicfp.demo.instruments import RATE_HZ
from musicfp.demo.mix import render
from musicfp.demo.run import judge_upload, run_demo
from musicfp.demo.score import parse_chord, perform
from musicfp.demo.songs import CATALOGUE_SONGS, HARBOUR_WALTZ, SUNDAY_VERANDA
from musicfp.errors import SubmissionRejected
from musicfp.fingerprint.corpus import FingerprintCorpus
from musicfp.fingerprint.correlation import best_alignment
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.search import search
from musicfp.fingerprint.verdict import judge, same_file_verdict
from musicfp.pipeline.inspection import InspectionPool, InspectionRules, inspect_file
from tests.support.fake_service import FakeService, Stored, match

RULES = InspectionRules(required_tags=("title", "artist"), max_duration_s=600.0)
RULES_OF_CLIPS = replace(RULES, required_tags=())
ALL_SONGS = (*CATALOGUE_SONGS, SUNDAY_VERANDA)
VERDICTS = (
    ("paper-lanterns.flac", "ACCEPTED"),
    ("harbour-waltz.flac", "ACCEPTED"),
    ("neon-tide.flac", "ACCEPTED"),
    ("blue-kettle.flac", "ACCEPTED"),
    ("slow-glacier.flac", "ACCEPTED"),
    ("copper-canyon-run.flac", "ACCEPTED"),
    ("paper-lanterns-64k.mp3", "DUPLICATE SAME_RECORDING"),
    ("harbour-waltz-trimmed.flac", "DUPLICATE SAME_RECORDING"),
    ("neon-tide-quiet.opus", "DUPLICATE SAME_RECORDING"),
    ("copper-canyon-excerpt.ogg", "DUPLICATE EXCERPT"),
    ("slow-glacier-copy.flac", "DUPLICATE SAME_FILE"),
    ("untitled.flac", "REJECTED missing_tag"),
    ("shopping-list.mp3", "REJECTED unsupported_format"),
    ("one-second.wav", "REJECTED too_short"),
    ("silence.flac", "REJECTED silent"),
)


class Recogniser:
    """Judges uploads as the ingest does: real inspection, real search, real policy.

    Inspection is in processes of its own, as always: in a thread of the service tags cannot be read within limits.
    """

    def __init__(self, uploads: InspectionPool, clips: InspectionPool) -> None:
        self.uploads, self.clips = uploads, clips
        self.corpus = FingerprintCorpus()
        self.tracks: dict[str, dict[str, str]] = {}
        self.hashes: dict[str, str] = {}

    def decide(self, submission: dict[str, Any], stored: Stored) -> dict[str, Any]:
        """Return the fields of the submission that a verdict sets."""
        extension = submission["filename"].rpartition(".")[2]
        try:
            found = _inspected(self.uploads, stored.data, extension)
        except SubmissionRejected as rejection:
            problems = [
                {"code": each.code, "message": each.message, "field": each.field} for each in rejection.problems
            ]
            return {"status": "REJECTED", "problems": problems}
        if stored.sha256 in self.hashes:
            track_id = self.hashes[stored.sha256]
            verdict = same_file_verdict(track_id)
        else:
            verdict = judge(search(found.fingerprint, self.corpus, by_pair=True), query_items=found.fingerprint.n_items)
        if verdict.outcome == "DUPLICATE":
            offset_s = verdict.match.offset_s if verdict.match else 0.0
            duplicate_of = match(verdict.relation, track=self.tracks[verdict.track_id or ""], offsetSeconds=offset_s)
            return {"status": "DUPLICATE", "duplicateOf": duplicate_of}
        track = {"id": submission["id"], "title": found.tags.title or "", "artist": found.tags.artist or ""}
        self.corpus.add(submission["id"], found.fingerprint)
        self.tracks[submission["id"]] = track
        self.hashes[stored.sha256] = submission["id"]
        return {"status": "ACCEPTED", "track": track}

    def identify(self, data: bytes) -> list[dict[str, Any]]:
        """Return the matches of a clip."""
        found = _inspected(self.clips, data, "wav")
        return [
            match("EXCERPT", track=self.tracks[each.track_id], score=each.score, offsetSeconds=each.offset_s)
            for each in search(found.fingerprint, self.corpus).matches
        ]


def _inspected(pool: InspectionPool, data: bytes, extension: str) -> Any:
    with tempfile.NamedTemporaryFile(suffix=f".{extension}") as file:
        file.write(data)
        file.flush()
        return pool.inspect(Path(file.name), extension)


@pytest.fixture(scope="module")
def demo_set(tmp_path_factory: pytest.TempPathFactory) -> DemoSet:
    return make_demo_set(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def inspecting() -> Iterator[tuple[InspectionPool, InspectionPool]]:
    """Processes that inspect uploads, and others that inspect clips, which need no tags."""
    with InspectionPool(RULES, workers=1) as uploads, InspectionPool(RULES_OF_CLIPS, workers=1) as clips:
        yield uploads, clips


@pytest.fixture
def judging(
    service: FakeService,
    demo_set: DemoSet,
    inspecting: tuple[InspectionPool, InspectionPool],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[FakeService]:
    """Put a real recogniser behind the fake service; the files are made once for all tests."""
    monkeypatch.setattr("musicfp.demo.run.make_demo_set", lambda _folder: demo_set)
    recogniser = Recogniser(*inspecting)
    service.keep_bytes, service.decide, service.identify = True, recogniser.decide, recogniser.identify
    return service


def title_of(file: DemoFile) -> str:
    assert file.song is not None
    return file.song.title


def fingerprint_of(path: Path) -> Fingerprint:
    return inspect_file(path, None, RULES_OF_CLIPS).fingerprint


def test_different_songs_do_not_sound_alike(demo_set: DemoSet) -> None:
    songs = [
        file
        for file in (*demo_set.originals, *demo_set.variants)
        if file.what in {"original", "a new song without tags"}
    ]
    assert len(songs) == 7
    prints = [fingerprint_of(file.path).sub_fingerprints for file in songs]
    for a, b in itertools.combinations(prints, 2):
        alignment = best_alignment(a, b, min_overlap_items=60)
        assert alignment is not None
        assert alignment.correlation < 0.25


def test_copies_sound_like_their_songs(demo_set: DemoSet) -> None:
    originals = {title_of(file): fingerprint_of(file.path) for file in demo_set.originals}
    copies = [file for file in demo_set.variants if file.expected.status == "DUPLICATE"]
    assert len(copies) == 5
    for copy in copies:
        found = fingerprint_of(copy.path).sub_fingerprints
        alignment = best_alignment(found, originals[title_of(copy)].sub_fingerprints, min_overlap_items=found.size)
        assert alignment is not None
        assert alignment.correlation > 0.85


@pytest.mark.parametrize("song", ALL_SONGS, ids=lambda song: song.title)
def test_a_song_has_one_place_for_each_of_its_clips(song: Any, demo_set: DemoSet) -> None:
    """No other alignment of a song with itself comes near the right one, as it would in a loop."""
    path = next(file.path for file in (*demo_set.originals, *demo_set.variants) if file.song is song)
    items = fingerprint_of(path).sub_fingerprints
    assert 180 < items.size < 350
    for start in range(0, items.size - 80, 40):
        clip = items[start : start + 80]
        elsewhere = np.concatenate([items[: max(0, start - 8)], items[start + 88 :]])
        alignment = best_alignment(clip, elsewhere, min_overlap_items=60)
        assert alignment is None or alignment.correlation < 0.6


def test_the_same_song_is_the_same_samples_and_the_same_file_every_time(tmp_path: Path) -> None:
    first, second = render(HARBOUR_WALTZ), render(HARBOUR_WALTZ)
    assert np.array_equal(first, second)
    codecs = {"a.flac": dataset._FLAC, "a.mp3": ("-c:a", "libmp3lame"), "a.opus": ("-c:a", "libopus"),
              "a.ogg": ("-c:a", "libvorbis")}  # fmt: skip
    hashes = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        for name, options in codecs.items():
            dataset._encode(folder, dataset._Job(folder / name, first[: 2 * RATE_HZ], options, HARBOUR_WALTZ.tags))
        assert {path.name for path in folder.iterdir()} == set(codecs)
        hashes.append([sha256((folder / name).read_bytes()).hexdigest() for name in codecs])
    assert hashes[0] == hashes[1]


def test_songs_are_tagged_stereo_music_of_usual_loudness(demo_set: DemoSet) -> None:
    for file in demo_set.originals:
        assert file.song is not None
        tags = read_tags(file.path, fmt=require_format(file.path), fallback={})
        assert (tags.title, tags.artist, tags.album) == (file.song.title, file.song.artist, file.song.album)
    with wave.open(str(demo_set.query.path)) as query:
        assert query.getnframes() == 10 * RATE_HZ
    pcm = render(HARBOUR_WALTZ).astype(float) / 32768
    assert 0.85 < np.abs(pcm).max() < 0.95
    assert -25 < 20 * np.log10(np.sqrt(np.mean(pcm**2))) < -8
    assert np.corrcoef(pcm[:, 0], pcm[:, 1])[0, 1] < 0.98


@pytest.mark.parametrize("song", ALL_SONGS, ids=lambda song: song.title)
def test_every_song_has_melody_harmony_bass_and_stays_in_range(song: Any) -> None:
    events = perform(song)
    sounds = {event.sound for event in events}
    assert {"lead", "chords", "bass"} < sounds
    assert len(sounds) > 3, "no drum is played"
    for event in events:
        assert event.start_s >= 0
        assert event.pitch is None or 26 <= event.pitch <= 100
    chords = {event.start_s for event in events if event.sound == "chords"}
    assert len(chords) > 8


@pytest.mark.parametrize(
    ("name", "classes"),
    [("C", (0, 4, 7)), ("F#m", (6, 9, 1)), ("Bb7", (10, 2, 5, 8)), ("Am7b5", (9, 0, 3, 7)), ("Dsus", (2, 7, 9))],
)
def test_chord_names_are_understood(name: str, classes: tuple[int, ...]) -> None:
    assert parse_chord(name) == classes


def test_the_whole_demo_gives_the_expected_verdicts_and_may_be_repeated(
    judging: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First by the command, which prints a table and what the query is; then once more."""
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    monkeypatch.setenv("MUSICFP_API_URL", judging.url)
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    rows = [line for line in lines if line.startswith("ok ")]
    assert [line.split()[1] for line in rows] == [file for file, _ in VERDICTS]
    assert all(verdict in line for line, (_, verdict) in zip(rows, VERDICTS, strict=True)), rows
    assert "query.wav, a noisy clip from 0:17.3 of Blue Kettle?" in result.stdout
    assert "0:17.3" in lines[-1]
    with open_api(judging.url) as api:
        second = run_demo(api)
    assert second.ok
    there_already = [(file, "DUPLICATE SAME_FILE") for file, verdict in VERDICTS if verdict == "ACCEPTED"]
    assert [(row.file, row.verdict) for row in second.rows] == [*there_already, *VERDICTS[len(there_already) :]]
    assert {row.expected for row in second.rows[: len(there_already)]} == {"already in the catalogue"}


def test_a_wrong_verdict_ends_the_command_with_status_1(
    judging: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSICFP_HOME", str(tmp_path))
    monkeypatch.setenv("MUSICFP_API_URL", judging.url)
    judging.decide = lambda _submission, _stored: {"status": "FAILED"}
    result = CliRunner().invoke(main, ["demo"])
    assert result.exit_code == 1
    assert "WRONG" in result.stdout
    assert "16 of 16 answers differ" in result.stderr
    answer = json.loads(CliRunner().invoke(main, ["demo", "--json"]).stdout)
    assert answer["ok"] is False
    assert answer["files"][0]["verdict"] == "FAILED"


@pytest.mark.parametrize(
    ("index", "state", "ok"),
    [
        (0, {"status": "ACCEPTED"}, True),
        (0, {"status": "ACCEPTED", "title": "Other Song"}, False),
        (0, {"status": "DUPLICATE", "relation": "SAME_FILE"}, True),
        (0, {"status": "DUPLICATE", "relation": "SAME_FILE", "title": "Other Song"}, False),
        (0, {"status": "DUPLICATE", "relation": "EXCERPT"}, False),
        (0, {"status": "REJECTED", "problem": "silent"}, False),
        (6, {"status": "DUPLICATE", "relation": "SAME_RECORDING"}, True),
        (6, {"status": "DUPLICATE", "relation": "EXCERPT"}, False),
        (6, {"status": "DUPLICATE", "relation": "SAME_RECORDING", "title": "Other Song"}, False),
        (6, {"status": "ACCEPTED"}, False),
        (11, {"status": "REJECTED", "problem": "missing_tag"}, True),
        (11, {"status": "REJECTED", "problem": "silent"}, False),
        (11, None, False),
    ],
)
def test_verdicts_are_compared_with_what_should_be(
    index: int, state: dict[str, str] | None, ok: bool, demo_set: DemoSet
) -> None:
    file = (*demo_set.originals, *demo_set.variants)[index]
    upload = Upload(file.path, problem="refused")
    if state is not None:
        song = file.song or SUNDAY_VERANDA
        track = {"id": "t", "title": state.get("title", song.title), "artist": song.artist}
        problems = [{"code": state["problem"], "message": "Because.", "field": None}] if "problem" in state else []
        duplicate_of = match(state["relation"], track=track) if "relation" in state else None
        answer = {"problems": problems, "track": track, "duplicateOf": duplicate_of}
        upload = Upload(file.path, "s", state=SubmissionState("s", state["status"], answer))
    assert judge_upload(file, upload).ok is ok


def test_a_kept_demo_stays_in_its_folder(
    judging: FakeService, demo_set: DemoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def make(folder: Path) -> DemoSet:
        made.append(folder)
        return demo_set

    monkeypatch.setattr("musicfp.demo.run.make_demo_set", make)
    judging.decide = lambda _submission, _stored: {"status": "FAILED"}
    with open_api(judging.url) as api:
        run_demo(api, keep=tmp_path / "songs")
        run_demo(api)
    assert made[0] == tmp_path / "songs"
    assert not made[1].exists()
