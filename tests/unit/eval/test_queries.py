"""Queries: the split of music and clips, the cache, and the truth they carry."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval import music, queries
from eval.degrade import Piece
from eval.music import Music, Track, family_of, split
from eval.queries import Plan, Query, Split, make_queries, split_of


def tracks(n: int) -> list[Track]:
    return [Track(f"package/track {i}.ogg", Path(f"{i}"), f"{i:024d}", 60.0, f"track {i}") for i in range(n)]


@pytest.mark.parametrize("n", [8, 65, 147])
def test_at_least_a_quarter_of_the_music_is_never_catalogued(n: int) -> None:
    """And the rest is, each track on one side."""
    divided = split(tracks(n))
    assert len(divided.strangers) >= n / 4
    assert {track.name for track in divided.sources}.isdisjoint(track.name for track in divided.strangers)
    assert len(divided.sources) + len(divided.strangers) == n


def test_the_split_does_not_depend_on_the_order() -> None:
    """File systems list as they like."""
    assert split(tracks(40)) == split(tracks(40)[::-1])


def test_recordings_of_one_piece_stay_on_one_side() -> None:
    """A stranger that is catalogued in another encode would be found rightly and counted wrongly."""
    several = [
        Track(f"{package}/{name}", Path("x"), f"{i}{package}", 60.0, family_of(name))
        for i in range(30)
        for package, name in (("a", f"Through Space {i}.ogg"), ("b", f"through_space_{i}.mp3"))
    ]
    divided = split(several)
    assert {track.family for track in divided.sources}.isdisjoint(track.family for track in divided.strangers)


def test_short_names_are_no_family() -> None:
    """Two different pieces may be called "menu"."""
    assert family_of("a/Through Space.ogg") == family_of("b/through_space.flac")
    assert family_of("a/menu.it") != family_of("b/menu.it")


def test_versions_under_other_names_are_known() -> None:
    """They are right answers for each other; and the instruments of a song, which lie in one folder."""
    assert family_of("glob2-data/usr/zik/a1.ogg") == family_of("glob2-data/usr/zik/a2.ogg")
    assert family_of("glob2-data/usr/zik/a1.ogg") != family_of("glob2-data/usr/zik/a3.ogg")
    assert family_of("other-game/usr/zik/a1.ogg") != family_of("other-game/usr/zik/a2.ogg")
    assert family_of("songs/one/guitar.ogg") == family_of("songs/one/song.ogg") != family_of("songs/two/song.ogg")


def test_what_a_stranger_has_another_version_of_is_not_catalogued() -> None:
    """Nor does it push other tracks to the other side."""
    versions = [
        Track(f"game/usr/{i}/{name}.ogg", Path("x"), f"{i}{name}", 60.0, f"song {i}")
        for i in range(20)
        for name in ("guitar", "song")
    ]
    divided = split(versions)
    names = split([replace(track, family=track.name) for track in versions])
    assert divided.strangers != ()
    assert [track.name for track in divided.strangers] == [track.name for track in names.strangers]
    assert {track.family for track in divided.sources}.isdisjoint(track.family for track in divided.strangers)
    assert len(divided.sources) < len(names.sources)


def test_copies_and_what_does_not_decode_are_left_out(loaded: Music) -> None:
    """Of eleven files, eight are different pieces long enough."""
    assert len(loaded.sources) + len(loaded.strangers) == 8


def test_half_of_the_clips_is_for_tuning() -> None:
    """Both halves have about as many, and a clip is in the same half each time."""
    halves = [split_of(f"track {i}", clip) for i in range(200) for clip in range(2)]
    assert 160 < halves.count(Split.TUNE) < 240
    assert halves == [split_of(f"track {i}", clip) for i in range(200) for clip in range(2)]


def test_queries_are_made_once(loaded: Music, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second call reads what the first has written, and says the same of it."""
    monkeypatch.setattr(queries, "CACHE", tmp_path)
    plan = Plan(conditions=("clean", "missing_chunks"), n_clips=1, n_stranger_clips=2)
    first = make_queries(loaded, plan, n_processes=1)
    written = {query.path: query.path.stat().st_mtime_ns for query in first}
    assert make_queries(loaded, plan, n_processes=1) == first
    assert {query.path: query.path.stat().st_mtime_ns for query in first} == written
    assert len(first) == 2 * (len(loaded.sources) + 2 * len(loaded.strangers))
    assert sum(query.is_stranger for query in first) == 2 * 2 * len(loaded.strangers)


def test_a_clean_query_is_its_track_from_its_offset_on(
    loaded: Music, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Down to the sample, but for what resampling leaves."""
    monkeypatch.setattr(queries, "CACHE", tmp_path)
    plan = Plan(conditions=("clean",), n_clips=1, n_stranger_clips=1)
    for query in make_queries(loaded, plan, n_processes=1)[:3]:
        track = next(each for each in (*loaded.sources, *loaded.strangers) if each.name == query.track)
        whole = music.decode(track.path, rate_hz=11025, n_channels=1).astype(float)
        clip, first = query.samples().astype(float), round(query.offset_s * 11025)
        agreement = [
            np.corrcoef(clip, whole[first + shift : first + shift + clip.size])[0, 1] for shift in (-60, 0, 60)
        ]
        assert agreement[1] > 0.9
        assert agreement[1] > max(agreement[0], agreement[2]) + 0.5


def test_both_halves_together_are_all_queries(loaded: Music, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None is lost and none is in both."""
    monkeypatch.setattr(queries, "CACHE", tmp_path)

    def keys(half: Split | None) -> set[tuple[str, int]]:
        plan = Plan(conditions=("clean",), n_clips=2, n_stranger_clips=2, split=half)
        return {(query.track, query.clip) for query in make_queries(loaded, plan, n_processes=1)}

    assert keys(Split.TUNE) | keys(Split.REPORT) == keys(None)
    assert not keys(Split.TUNE) & keys(Split.REPORT)


@pytest.mark.parametrize(
    ("pieces", "offset_s", "error_s"),
    [
        pytest.param((Piece(0, 0),), 20.5, 0.5, id="plain"),
        pytest.param((Piece(0, 0), Piece(4, 4.3)), 20.3, 0.0, id="after a cut"),
        pytest.param((Piece(0, 0), Piece(4, 4.3)), 20.4, 0.1, id="beyond the last cut"),
        pytest.param((Piece(0, 0, 1.05),), 20.4, 0.0, id="the offset that a faster clip has in its middle"),
        pytest.param((Piece(0, 0, 0.95),), 19.4, 0.1, id="beyond what a slower clip has at its end"),
    ],
)
def test_an_offset_is_right_if_it_is_so_at_any_moment(
    pieces: tuple[Piece, ...], offset_s: float, error_s: float
) -> None:
    """A clip of 10 s from 20 s on."""
    query = Query("t", "t", False, "clean", 10.0, 0, 20.0, pieces, Path("x"))
    assert query.offset_error_s(offset_s) == pytest.approx(error_s)
