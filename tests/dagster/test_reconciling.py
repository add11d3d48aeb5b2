"""The reconcile job: deletes what nobody names, and tells how much in the metadata of its run."""

from hashlib import sha256

import dagster as dg

from musicfp.identity import source_key
from tests.dagster.conftest import Orchestra
from tests.support.ingesting import ingest_all, keys_in
from tests.support.songs import SongFolder


def _run(orchestra: Orchestra, **config: int) -> dict[str, object]:
    result = orchestra.definitions.resolve_job_def("reconcile_job").execute_in_process(
        instance=orchestra.instance,
        run_config={"ops": {"reconcile_store": {"config": config}}} if config else None,
    )
    assert result.success
    [event] = [each for each in result.all_node_events if each.event_type is dg.DagsterEventType.STEP_OUTPUT]
    return {name: each.value for name, each in event.step_output_data.metadata.items()}


def test_counts_of_a_pass_are_metadata_of_its_run(orchestra: Orchestra, songs: SongFolder) -> None:
    """A new orphan is left alone for a day; asked to look closer, the job deletes it and nothing else."""
    stage = orchestra.stage
    bucket = stage.settings.source_bucket
    ingest_all(stage, songs.song(1))
    kept = keys_in(stage, bucket)
    orphan = source_key(sha256(b"orphan").hexdigest(), "flac")
    stage.store.client.put_object(Bucket=bucket, Key=orphan, Body=b"orphan")
    first = _run(orchestra)
    assert (first["n_objects"], first["n_recent"], first["n_sources_deleted"]) == (2, 1, 0)
    second = _run(orchestra, unused_for_s=-600)
    assert (second["n_sources_deleted"], second["deleted_bytes"]) == (1, 6)
    assert keys_in(stage, bucket) == kept
