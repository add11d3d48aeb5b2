"""A whole small evaluation: music in, rows and tables out; what is missing is said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from eval import music, peers
from eval.clips import facts_of_clips
from eval.fingerprints import fingerprint_of
from eval.music import Music, fetched
from eval.peers import Audfprint, NotRun, Olaf
from eval.product import MusicfpByAudio, MusicfpByFingerprint
from eval.queries import Plan, Query, make_queries
from eval.recognisers import ArticleMethod, Recogniser
from eval.report import markdown, write_json
from eval.run import evaluate, sample_of


@pytest.fixture(scope="module")
def asked(loaded: Music) -> list[Query]:
    """Clean and muted clips of everything."""
    return make_queries(loaded, Plan(conditions=("clean", "muted_15"), n_clips=1, n_stranger_clips=1), n_processes=1)


@pytest.mark.parametrize(
    "recogniser", [MusicfpByFingerprint(), MusicfpByAudio(), ArticleMethod()], ids=lambda it: it.name
)
def test_clean_clips_are_found_where_they_were_taken(loaded: Music, asked: list[Query], recogniser: Recogniser) -> None:
    """Through each of the recognisers that need nothing else, and no stranger is taken for a track."""
    rows = evaluate(recogniser, loaded, asked, facts=facts_of_clips(loaded, asked), n_processes=1)
    assert [(row.condition, row.n) for row in rows] == [(name, len(loaded.sources)) for name in ("clean", "muted_15")]
    clean = rows[0]
    assert (clean.ceiling, clean.rank_1, clean.n_false_accepts) == (1.0, 1.0, 0)
    assert clean.offset_error_p95_s is not None
    assert clean.offset_error_p95_s < 0.2


def test_processes_reply_as_one_does(loaded: Music, asked: list[Query]) -> None:
    """In the same order, whoever was asked."""
    facts = facts_of_clips(loaded, asked)
    alone, together = (
        [
            replace(row, took_p50_ms=None, took_p95_ms=None)
            for row in evaluate(MusicfpByFingerprint(), loaded, asked, facts=facts, n_processes=n_processes)
        ]
        for n_processes in (1, 2)
    )
    assert alone == together


def test_distractors_are_in_the_catalogue(loaded: Music, asked: list[Query]) -> None:
    """One that is a query itself is found in place of the track that the query is of."""
    recogniser = MusicfpByFingerprint()
    query = next(query for query in asked if not query.is_stranger)
    decoy = fingerprint_of(np.load(query.path)).sub_fingerprints
    recogniser.index(loaded.sources, [np.concatenate([decoy, decoy ^ np.uint32(0xFFFF)])])
    assert "distractor 0" in {answer.track for answer in recogniser.query(query.path).answers}


def melody(seed: int) -> NDArray[np.int16]:
    """Return eight seconds of random chords, four a second."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(11025 // 4) / 11025
    chords = [np.sin(2 * np.pi * 110 * 2 ** (rng.integers(0, 36, (3, 1)) / 12) * time_s).sum(axis=0) for _ in range(32)]
    return (np.concatenate(chords) * 5000).astype(np.int16)


def test_a_track_that_plays_the_same_again_says_so(loaded: Music) -> None:
    """Eight seconds of melody, three times with others between, are the same at two other places."""
    theme, *others = (melody(seed) for seed in range(5))
    audio = np.concatenate([others[0], theme, others[1], theme, others[2], theme, others[3]])
    track = loaded.sources[0]
    np.save(music._decoded_path("repeating"), audio)
    repeating = Music((replace(track, content="repeating"),), ())
    query = replace(
        make_queries(loaded, Plan(conditions=("clean",), n_clips=1, n_stranger_clips=1), n_processes=1)[0],
        track=track.name,
        length_s=8.0,
        offset_s=8.0,
    )
    (facts,) = facts_of_clips(repeating, [query]).values()
    assert [round(each) for each in facts.repeats_s] == [0, 16, 32]
    assert facts.is_informative


def test_a_part_of_the_queries_is_balanced(asked: list[Query]) -> None:
    """As many of each condition, of sources and of strangers, and the same clips under all conditions."""
    part = sample_of(asked, 2)
    assert len(part) == 2 * 2 * 2
    clips = [{(q.track, q.clip) for q in part if q.condition == name} for name in ("clean", "muted_15")]
    assert clips[0] == clips[1]


@pytest.mark.parametrize("peer", [Audfprint("audfprint", density=20, fanout=3), Olaf()], ids=lambda it: it.name)
def test_a_peer_that_is_not_installed_says_how_to(
    peer: Recogniser, loaded: Music, asked: list[Query], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out of the tables with this reason, and nothing else fails."""
    monkeypatch.setattr(peers, "AUDFPRINT_PYTHON", tmp_path / "no" / "python")
    monkeypatch.setattr(peers, "OLAF", tmp_path / "no" / "olaf")
    with pytest.raises(NotRun, match=r"python -m eval\.peers"):
        evaluate(peer, loaded, asked, facts={}, n_processes=1)


def test_missing_music_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone without the corpus scripts beside it."""
    monkeypatch.setattr(music, "PROJECT", tmp_path)
    monkeypatch.setattr(music, "CORPUS_SCRIPTS", tmp_path / "shared" / "corpus")
    with pytest.raises(SystemExit, match="--music FOLDER"):
        fetched("micro")


def test_tables_have_a_line_for_each_row(loaded: Music, asked: list[Query], tmp_path: Path) -> None:
    """And one more table compares the recognisers; the file says the same and what was not run."""
    facts = facts_of_clips(loaded, asked)
    rows = [
        row
        for recogniser in (MusicfpByFingerprint(), MusicfpByAudio())
        for row in evaluate(recogniser, loaded, asked, facts=facts, n_processes=1)
    ]
    text = markdown(rows, not_run={"Olaf": "it is not built"})
    assert text.count("| clean | 10 |") == 3
    assert "Olaf: not run: it is not built" in text
    write_json(tmp_path / "deep" / "results.json", rows, not_run={"Olaf": "it is not built"}, facts={"seed": 1})
    written = json.loads((tmp_path / "deep" / "results.json").read_text())
    assert [row["rank_1"] for row in written["rows"]] == [row.rank_1 for row in rows]
    assert written["seed"] == 1
