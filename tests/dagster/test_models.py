"""A model that is installed while everything runs: just what depends on it is computed, once."""

import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from musicfp.catalog import relations
from musicfp.catalog.tables import FeatureRow
from musicfp.features.models.catalogue import MODELS
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.registry import REGISTRY, load_builtin
from musicfp_assets.definitions import FEATURE_JOB, build_definitions
from musicfp_assets.resources import MusicfpResource
from tests.dagster.conftest import Orchestra
from tests.support.ingesting import ingest_all
from tests.support.songs import SongFolder

WEIGHTS = b"weights"
# A model of one's own is known by being in MODELS; a worker loads this module too.
MY_MODEL = """
import dataclasses
import hashlib
from musicfp.features.models.catalogue import MODELS
from musicfp.features.registry import FeatureSpec, extractor
from musicfp.features.values import measured
MODELS["mine"] = dataclasses.replace(
    MODELS["discogs-effnet"], name="mine", file="mine.pb", sha256=hashlib.sha256(b"weights").hexdigest())
@extractor(name="mine", version="3", description="Bytes of the model.", models=("mine",),
           values=(FeatureSpec("test.mine", unit="bytes", description="Bytes of the model."),))
def mine(audio):
    entry, path = audio.models.require("mine")
    yield measured("test.mine", float(path.stat().st_size))
"""
ASSET = "feature_mine"


@pytest.fixture
def my_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user's module with a model and an extractor that needs it; the folder of models is empty."""
    (tmp_path / "my_model.py").write_text(MY_MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MUSICFP_FEATURE_MODULES", "my_model")
    monkeypatch.setenv("MUSICFP_MODELS_DIR", str(tmp_path / "models"))
    yield
    REGISTRY._extractors.pop("mine", None)
    MODELS.pop("mine", None)
    sys.modules.pop("my_model", None)


def _queue(orchestra: Orchestra) -> set[str]:
    """Evaluate the sensor of features, and return the assets that it asks a run for."""
    sensor = next(each for each in orchestra.definitions.sensors or () if each.name == "feature_sensor")
    with dg.build_sensor_context(instance=orchestra.instance, resources={"musicfp": MusicfpResource()}) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or ():
        assert isinstance(request, dg.AddDynamicPartitionsRequest)
        orchestra.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return {key.to_user_string() for each in result.run_requests or () for key in each.asset_selection or ()}


def _values(orchestra: Orchestra, keys: list[str]) -> list[FeatureRow]:
    with orchestra.stage.database.read() as session:
        found = relations.features(session, keys)
    return [row for key in keys for row in found[key] if row.name == "test.mine"]


@pytest.mark.usefixtures("my_model")
def test_installing_a_model_computes_just_what_depends_on_it(orchestra: Orchestra, songs: SongFolder) -> None:
    """The definitions are those of before: a server that runs for weeks notices too."""
    stage = MusicfpResource().stage("test")
    extended = Orchestra(build_definitions(stage.settings, load_builtin()), orchestra.instance, stage)
    _queue(extended)
    keys = [each.submission.id for each in ingest_all(orchestra.stage, songs.song(1), songs.song(2))]
    everything = _queue(extended)
    assert ASSET in everything
    assert extended.run(FEATURE_JOB, keys, assets=sorted(everything)).success
    assert {(row.status, row.reason, row.version) for row in _values(extended, keys)} == {
        ("UNAVAILABLE", "model_missing:mine", "3-none")
    }
    assert _queue(extended) == set()

    ModelShelf.of_settings().put(MODELS["mine"], [WEIGHTS])
    version = f"3-{MODELS['mine'].sha256[:8]}"
    assert _queue(extended) == {ASSET}
    assert extended.run(FEATURE_JOB, keys, assets=[ASSET]).success
    assert {(row.status, row.value, row.version) for row in _values(extended, keys)} == {("OK", 7.0, version)}
    events = extended.events(ASSET)
    assert {events[key].tags["dagster/code_version"] for key in keys} == {version}
    assert _queue(extended) == set()
    stage.store.client.close()
