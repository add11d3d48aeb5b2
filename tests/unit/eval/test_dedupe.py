"""Deduplication evaluated: what variants are, what the product says of them, and how that is counted."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from eval import dedupe
from eval.dedupe import judge_variants, submit_all
from eval.fingerprints import fingerprint_of
from eval.music import Music, Track
from eval.variants import RECIPES, Recipe, make_variant
from musicfp.fingerprint.verdict import MatchRelation


def all_tracks(loaded: Music) -> list[Track]:
    return [*loaded.sources, *loaded.strangers]


BY_NAME = {recipe.name: recipe for recipe in RECIPES}


@pytest.mark.parametrize(
    ("name", "relation", "first_piece", "length_s"),
    [
        ("MP3 128 kbit/s", MatchRelation.SAME_RECORDING, (0.0, 0.0), 60.0),
        ("7.3 s of the start missing", MatchRelation.SAME_RECORDING, (0.0, 7.3), 52.7),
        ("5 s of silence around", MatchRelation.SAME_RECORDING, (5.0, 0.0), 70.0),
        ("chunks of 4, 3 and 2 s missing", MatchRelation.SAME_RECORDING, (0.0, 0.0), 51.0),
        ("20 s of other music inserted", MatchRelation.CONTAINS, (0.0, 0.0), 80.0),
        ("middle half", MatchRelation.EXCERPT, (0.0, 15.0), 30.0),
        ("as much other music before and after", MatchRelation.CONTAINS, (60.0, 0.0), 180.0),
        ("speed +2 %", MatchRelation.SAME_RECORDING, (0.0, 0.0), 60 / 1.02),
        ("backwards", None, (0.0, 0.0), 60.0),
    ],
)
def test_what_is_true_of_a_variant_follows_from_its_parts(
    loaded: Music, name: str, relation: MatchRelation | None, first_piece: tuple[float, float], length_s: float
) -> None:
    """Of a track of 60 s; its fingerprint is as long as it says."""
    track, other = loaded.sources[0], loaded.sources[1]
    made = make_variant(track, BY_NAME[name], others=[other])
    assert made.relation == relation
    assert (made.pieces[0].query_s, made.pieces[0].source_s) == pytest.approx(first_piece, abs=0.01)
    assert made.length_s == pytest.approx(length_s, abs=0.02)
    assert made.query.fingerprint.audio_duration_s == pytest.approx(length_s, abs=0.3)


def test_pieces_of_a_cut_track_skip_what_was_cut(loaded: Music) -> None:
    """Four, three and two seconds of it."""
    pieces = make_variant(loaded.sources[0], BY_NAME["chunks of 4, 3 and 2 s missing"], others=()).pieces
    offsets = [piece.source_s - piece.query_s for piece in pieces]
    assert [round(later - earlier, 6) for earlier, later in pairwise(offsets)] == [4.0, 3.0, 2.0]


def test_a_track_that_is_there_twice_is_found(loaded: Music) -> None:
    """Under two names, the second without its first eight seconds; nothing else is related."""
    tracks = all_tracks(loaded)
    again = replace(tracks[0], name="again")
    fingerprints = [fingerprint_of(track.samples()) for track in tracks]
    trimmed = fingerprint_of(tracks[0].samples()[8 * 11025 :])
    (found,) = submit_all([*tracks, again], [*fingerprints, trimmed])
    assert (found.upload, found.track, found.relation) == ("again", tracks[0].name, "SAME_RECORDING")
    assert found.offset_s == pytest.approx(8.0, abs=0.2)


def test_variants_are_judged_and_counted(loaded: Music, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy as it must be; played backwards nothing; and what was expected otherwise is counted as not right."""
    monkeypatch.setattr(dedupe, "_VARIANT_MIN_S", 30.0)
    tracks = all_tracks(loaded)
    fingerprints = [fingerprint_of(track.samples()) for track in tracks]
    reversed_called_copy = replace(BY_NAME["backwards"], name="no copy at all", is_same_music=True)
    recipes: list[Recipe] = [BY_NAME["12 dB quieter"], BY_NAME["middle half"], BY_NAME["backwards"]]
    judged = judge_variants(tracks, fingerprints, (), n_tracks=2, recipes=[*recipes, reversed_called_copy])
    assert len(judged) == 2 * 4
    assert [each.is_right for each in judged] == [True, True, True, False] * 2
    assert not any(each.wrong for each in judged)
    assert max(each.offset_error_s for each in judged if each.offset_error_s is not None) < 0.2
    lines = dedupe._variants_markdown(judged).splitlines()
    assert "| 12 dB quieter | 2 of 2 | 0 | 0 | 0 | 0.0" in "\n".join(lines)
    assert any(line.startswith("| no copy at all | 0 of 2 | 0 | 2 | 0 | - |") for line in lines)


def test_what_is_alike_and_was_not_mentioned_is_listed(loaded: Music) -> None:
    """So that a person looks at it."""
    tracks = all_tracks(loaded)[:2]
    fingerprint = fingerprint_of(tracks[0].samples())
    exact = dedupe.best_alignments([tracks[0], replace(tracks[1], content="x")], [fingerprint, fingerprint])
    text = dedupe._pairs_markdown(tracks, [fingerprint, fingerprint], [], exact)
    assert f"- 1.000 over {np.round(fingerprint.n_items * 0.1238):.0f} s: {tracks[0].name}, {tracks[1].name}" in text
