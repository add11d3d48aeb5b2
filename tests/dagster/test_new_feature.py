"""Adding a feature is five lines: it becomes an asset and a definition, and all tracks that are there get its value."""

import dataclasses
import sys
from pathlib import Path

import dagster as dg
import pytest

from musicfp.catalog import derivations, relations
from musicfp.features.registry import REGISTRY, load_builtin
from musicfp.pipeline.versions import feature_versions, transcode_versions
from musicfp_assets.definitions import FEATURE_JOB, build_definitions
from musicfp_assets.partitions import TRACKS
from tests.dagster.conftest import Orchestra
from tests.support.ingesting import ingest_all
from tests.support.songs import SongFolder

FIVE_LINES = """\
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import measured
@extractor(name="extent", version="{version}", description="", values=[FeatureSpec("my.extent", None, "", (0, 9))])
def extent(audio):
    yield measured("my.extent", {factor} * abs(audio.mono_44k).max())
"""


def _grown(orchestra: Orchestra, module: str) -> Orchestra:
    """Return what Dagster sees after a restart with the module."""
    registry = load_builtin([module])
    settings = orchestra.stage.settings
    with orchestra.stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, {**transcode_versions(settings), **feature_versions(registry)})
    return dataclasses.replace(orchestra, definitions=build_definitions(settings, registry))


def _values(orchestra: Orchestra, track_ids: list[str]) -> dict[str, list[tuple[str, float | None, str]]]:
    with orchestra.stage.database.read() as session:
        found = relations.features(session, track_ids)
    return {
        key: [(row.name, row.value, row.version) for row in found[key] if row.name == "my.extent"] for key in track_ids
    }


def test_a_feature_in_five_lines_is_filled_in_for_all_tracks(
    orchestra: Orchestra, songs: SongFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So is its next version, whose values replace those of the first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    # The user's module registers itself with everybody; after the test nobody may know it.
    monkeypatch.setattr(REGISTRY, "_extractors", dict(REGISTRY._extractors))
    with orchestra.stage.database.exclusive() as session:
        versions = transcode_versions(orchestra.stage.settings)
        derivations.bring_up_to_date(session, {**versions, **feature_versions(load_builtin(()))})
    track_ids = [each.submission.id for each in ingest_all(orchestra.stage, songs.song(1), songs.song(2))]
    orchestra.instance.add_dynamic_partitions("tracks", track_ids)
    for version, factor in (("1", 1.0), ("2", 2.0)):
        module = f"extent_feature_{version}"
        (tmp_path / f"{module}.py").write_text(FIVE_LINES.format(version=version, factor=factor))
        monkeypatch.setenv("MUSICFP_FEATURE_MODULES", module)
        # A restart imports the module anew.
        REGISTRY._extractors.pop("extent", None)
        monkeypatch.delitem(sys.modules, module, raising=False)
        grown = _grown(orchestra, module)
        key = dg.AssetKey("feature_extent")
        assert grown.definitions.resolve_asset_graph().get(key).code_version == version
        assert grown.run(FEATURE_JOB, track_ids, assets=["feature_extent"]).success
        assert grown.statuses("feature_extent", TRACKS) == dict.fromkeys(track_ids, "MATERIALIZED")
        for values in _values(grown, track_ids).values():
            ((_, value, made_by),) = values
            assert made_by == version
            assert value is not None
            assert 0 < value / factor <= 1.0
