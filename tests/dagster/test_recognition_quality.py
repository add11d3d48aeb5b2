"""The nightly measurement, on small catalogues of real audio in the real store."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pytest

from musicfp.pipeline.quality_clips import STRANGER
from tests.dagster.conftest import Orchestra
from tests.support.ingesting import ingest_all
from tests.support.songs import SongFolder

N_SONGS = 9


def _measure(orchestra: Orchestra) -> tuple[dg.AssetMaterialization, dg.AssetCheckEvaluation]:
    result = orchestra.definitions.resolve_job_def("recognition_quality_job").execute_in_process(
        instance=orchestra.instance
    )
    assert result.success
    [made] = result.asset_materializations_for_node("recognition_quality")
    [check] = result.get_asset_check_evaluations()
    assert check.severity is dg.AssetCheckSeverity.WARN
    return made, check


def _songs(songs: SongFolder, n: int) -> Sequence[Path]:
    return [songs.song(seed) for seed in range(1, n + 1)]


def test_it_measures_the_catalogue_with_its_own_music(orchestra: Orchestra, songs: SongFolder) -> None:
    """Undamaged clips are found where they were taken, strangers are not, and all of it is shown."""
    ingest_all(orchestra.stage, *_songs(songs, N_SONGS))
    made, check = _measure(orchestra)
    metadata = made.metadata
    assert metadata["tracks_drawn"].value == N_SONGS
    assert metadata["accepted_and_right_clean"].value == 1.0
    assert metadata["false_accepts"].value == 0
    assert metadata["strangers"].value > 0
    assert 0 < metadata["catalogue_tracks_of_2_min"].value < N_SONGS
    assert metadata["ms_p50_exact"].value > 0
    clips = {record.data["condition"]: record.data for record in metadata["clips"].records}
    assert set(clips) == {"clean", "pink_5", "pink_0"}
    assert clips["clean"]["n_right"] == clips["clean"]["n_clips"] == N_SONGS
    assert clips["clean"]["offset_error_p95_s"] < 0.2
    best = max(metadata["scores"].records, key=lambda record: record.data["high"])
    assert best.data["share_right"] == 1.0
    assert best.data["mean_score"] > 0.99
    assert "tail_level_nats" not in metadata, "nine tracks cannot show what one pair in a million does"
    assert check.passed
    assert "Too few strangers" in check.metadata["findings"].value


@pytest.mark.parametrize("n_songs", [0, 2])
def test_a_small_catalogue_gives_no_numbers_but_the_reason(
    orchestra: Orchestra, songs: SongFolder, n_songs: int
) -> None:
    ingest_all(orchestra.stage, *_songs(songs, n_songs))
    made, check = _measure(orchestra)
    assert made.metadata["tracks_drawn"].value == n_songs
    assert ("clips" in made.metadata) == bool(n_songs)
    assert check.passed
    assert "Too little to measure" in check.metadata["findings"].value


def test_a_missing_source_is_counted_and_costs_nothing_else(orchestra: Orchestra, songs: SongFolder) -> None:
    ingest_all(orchestra.stage, *_songs(songs, 2))
    bucket = orchestra.stage.settings.source_bucket
    [first, _] = [each.key for each in orchestra.stage.store.list_after(bucket)]
    orchestra.stage.store.client.delete_object(Bucket=bucket, Key=first)
    made, _ = _measure(orchestra)
    assert made.metadata["tracks_unreadable"].value == 1
    assert made.metadata["accepted_and_right_clean"].value == 1.0
    assert STRANGER not in {record.data["condition"] for record in made.metadata["clips"].records}
