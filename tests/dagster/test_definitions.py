"""What Dagster loads."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from musicfp.errors import SettingsError
from musicfp.features.registry import load_builtin
from musicfp.settings import Settings
from musicfp_assets.definitions import build_definitions
from tests.support.asset_graph import SNAPSHOT, default_definitions, describe

PROJECT = Path(__file__).parents[2]


def test_dagster_accepts_the_definitions(tmp_path: Path) -> None:
    """From the project's root with its workspace, as people who know Dagster would."""
    environment = os.environ | {"MUSICFP_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    checked = subprocess.run(
        argv, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_the_asset_graph_is_the_one_in_the_snapshot() -> None:
    """An intended change of the graph is written with `python -m tests.support.asset_graph` and reviewed."""
    assert describe(default_definitions()) == SNAPSHOT.read_text()


def test_every_asset_can_be_understood_in_the_ui() -> None:
    """Each has a description, an owner, kinds, a group and partitions, and all but the uploads have a code version."""
    for spec in default_definitions().resolve_all_asset_specs():
        name = spec.key.to_user_string()
        assert spec.description, name
        assert len(spec.description) > 20, name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.group_name in {"ingest", "derive", "search"}, name
        is_of_the_whole_catalogue = spec.group_name == "search"
        assert isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition) is not is_of_the_whole_catalogue, name
        assert (spec.code_version is None) == (name == "submission"), name


def test_profiles_and_features_are_assets_by_settings() -> None:
    """What settings and the registry name is there, and nothing else."""
    settings = Settings.from_env({"MUSICFP_TRANSCODE_PROFILES": "flac"})
    registry = load_builtin(())
    names = {spec.key.to_user_string() for spec in build_definitions(settings, registry).resolve_all_asset_specs()}
    assert {name for name in names if name.startswith("transcode_")} == {"transcode_flac"}
    assert {name for name in names if name.startswith("feature_")} == {
        f"feature_{each.name}" for each in registry.all()
    }


def test_a_profile_that_does_not_exist_is_named() -> None:
    """The message says which setting is wrong and what may stand there."""
    settings = Settings.from_env({"MUSICFP_TRANSCODE_PROFILES": "mp3_v0,mp4_ultra"})
    with pytest.raises(SettingsError, match="MUSICFP_TRANSCODE_PROFILES names mp4_ultra"):
        build_definitions(settings, load_builtin(()))
