"""A deletion through the whole product: `musicfp up`, the command line, sensor, run, and the same file once more."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from musicfp.store.objects import open_store
from tests.support.songs import SongFolder
from tests.support.stack import Stack, running_stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A product of this module's own, with one profile."""
    home = tmp_path_factory.mktemp("deletion") / "home"
    with running_stack(home, MUSICFP_TRANSCODE_PROFILES="opus_96") as running:
        yield running


def musicfp(stack: Stack, *arguments: str) -> Any:
    """Run a command and return its JSON."""
    command = [sys.executable, "-m", "musicfp.cli.main", *arguments, "--json"]
    finished = subprocess.run(command, env=stack.env, capture_output=True, text=True, timeout=600, check=False)
    assert finished.returncode == 0, finished.stderr[-3000:]
    return json.loads(finished.stdout)


def graphql(url: str, text: str, variables: Mapping[str, object]) -> dict[str, Any]:
    answer = httpx.post(f"{url}/graphql", json={"query": text, "variables": dict(variables)}, timeout=60).json()
    assert "errors" not in answer, answer
    data: dict[str, Any] = answer["data"]
    return data


def keys(stack: Stack) -> set[str]:
    """Return the keys of all sources, transcodes and uploads."""
    settings = stack.settings
    store = open_store(settings)
    buckets = {settings.submission_bucket, settings.source_bucket, settings.transcode_bucket}
    found = {each.key for bucket in buckets for each in store.list_after(bucket)}
    store.client.close()
    return {key for key in found if key.startswith(("sources/", "transcodes/", "submissions/"))}


def in_dagster(stack: Stack, track_id: str) -> tuple[bool, int]:
    """Return whether Dagster has the partition, and how many materializations of its source and its verdict."""
    text = """query($assets: [AssetKeyInput!]!, $keys: [String!]) { assetNodes(assetKeys: $assets) {
        partitionKeys assetMaterializations(partitions: $keys) { runId } } }"""
    assets = [{"path": [name]} for name in ("source_audio", "dedupe_verdict", "submission", "feature_tempo")]
    nodes = graphql(stack.dagster_url, text, {"assets": assets, "keys": [track_id]})["assetNodes"]
    assert len(nodes) == len(assets)
    has_key = any(track_id in node["partitionKeys"] for node in nodes)
    return has_key, sum(len(node["assetMaterializations"]) for node in nodes)


def is_derived(stack: Stack, track_id: str) -> bool:
    text = "query($id: ID!) { track(id: $id) { transcodes { profile } features { name } } }"
    track = graphql(stack.api_url, text, {"id": track_id})["track"]
    return len(track["transcodes"]) == 1 and bool(track["features"])


def test_a_track_is_deleted_and_the_same_file_comes_again(stack: Stack, songs: SongFolder) -> None:
    """Files, partitions and events go by themselves; what stays says so; the next copy is a track like any other."""
    paths: list[Path] = [songs.song(1), songs.song(2)]
    uploads = musicfp(stack, "submit", *map(str, paths), "--wait")
    gone, kept = (each["submissionId"] for each in uploads)
    for track_id in (gone, kept):
        eventually(lambda track_id=track_id: is_derived(stack, track_id), within_s=240, every_s=0.5)
    eventually(lambda: in_dagster(stack, gone) == (True, 4), within_s=60, every_s=0.5)
    before = keys(stack)
    deletion = musicfp(stack, "delete", gone, "--yes", "--wait", "--reason", "a test")
    assert deletion["finishedAt"] is not None
    removed = {each["kind"]: (each["count"], each["sizeBytes"]) for each in deletion["removed"]}
    assert removed["source_object"] == (1, paths[0].stat().st_size)
    assert removed["transcode_objects"][0] == 1
    assert removed["dagster_partitions"] == (2, None)
    assert removed["dagster_events"][0] >= 4
    after = keys(stack)
    assert len(before - after) == 2
    assert after < before
    assert in_dagster(stack, gone) == (False, 0)
    assert in_dagster(stack, kept) == (True, 4)
    (again,) = musicfp(stack, "submit", str(paths[0]), "--wait")
    assert not again["uploadedBefore"]
    assert again["submission"]["status"] == "ACCEPTED"
    assert again["submissionId"] != gone
    eventually(lambda: is_derived(stack, again["submissionId"]), within_s=240, every_s=0.5)
    assert len(keys(stack)) == len(before)
