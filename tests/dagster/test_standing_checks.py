"""The standing list of what is still failed, on both databases."""

import dagster as dg

from musicfp.catalog import derivations
from musicfp.catalog.derivations import Failure
from musicfp.features.registry import REGISTRY
from musicfp.pipeline.versions import SOURCE_AUDIO, feature_versions
from musicfp_assets.assets.standing_checks import ALL_TRACKS_HAVE_IT, NOTHING_LEFT_FAILED
from tests.dagster.conftest import Orchestra
from tests.support.accepted import accept_track

N_FAILED = 25


def _evaluation(
    orchestra: Orchestra, *, asset: str = SOURCE_AUDIO, name: str = NOTHING_LEFT_FAILED
) -> dg.AssetCheckEvaluation:
    job = orchestra.definitions.resolve_job_def("standing_checks_job")
    result = job.execute_in_process(instance=orchestra.instance)
    found = {each.asset_check_key: each for each in result.get_asset_check_evaluations()}
    return found[dg.AssetCheckKey(dg.AssetKey(asset), name)]


def test_what_was_given_up_is_listed_until_it_is_mended(orchestra: Orchestra) -> None:
    """With its reason and a bounded list; it passes again when everything is asked for again."""
    database = orchestra.stage.database
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, {SOURCE_AUDIO: "1"})
    tracks = [accept_track(database, number) for number in range(N_FAILED)]
    assert _evaluation(orchestra).passed
    with database.write() as session:
        for track_id in tracks:
            derivations.mark_failed(session, track_id, {SOURCE_AUDIO: "1"}, Failure("gone", "It is gone.", None))
    found = _evaluation(orchestra)
    assert not found.passed
    assert found.metadata["given_up"].value == N_FAILED
    assert found.metadata["given_up_by_asset"].value == {SOURCE_AUDIO: N_FAILED}
    records = found.metadata["oldest"].records
    assert len(records) == 20
    assert records[0].data == {"track": tracks[0], "asset": SOURCE_AUDIO, "reason": "It is gone."}
    with database.write() as session:
        for track_id in tracks:
            derivations.requeue_failed(session, track_id)
    assert _evaluation(orchestra).passed


def test_runs_of_a_stage_do_not_look_for_failures_of_others(orchestra: Orchestra) -> None:
    """The checks belong to their own job, not to every batch."""
    for name in ("transcode_job", "feature_job"):
        job = orchestra.definitions.resolve_job_def(name)
        assert not list(job.asset_layer.asset_graph.asset_check_keys)


def test_each_feature_warns_until_all_tracks_have_it(orchestra: Orchestra) -> None:
    """With the numbers, of this feature alone."""
    database = orchestra.stage.database
    versions = feature_versions(REGISTRY)
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, versions | {"feature_tempo": "0"})
    tracks = [accept_track(database, number) for number in range(4)]
    with database.write() as session:
        for track_id in tracks:
            derivations.mark_done(session, {track_id: versions | {"feature_tempo": "0"}})
    with database.exclusive() as session:
        derivations.bring_up_to_date(session, versions)
        derivations.mark_done(session, {tracks[0]: {"feature_tempo": versions["feature_tempo"]}})
    found = _evaluation(orchestra, asset="feature_tempo", name=ALL_TRACKS_HAVE_IT)
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert found.description == "3 are still to be made, 0 failed, 3 are older."
    numbers = {
        name: found.metadata[name].value for name in ("tracks", "done", "pending", "failed", "outdated", "share")
    }
    assert numbers == {"tracks": 4, "done": 1, "pending": 3, "failed": 0, "outdated": 3, "share": 0.25}
    assert found.metadata["tracks_by_version"].value == {versions["feature_tempo"]: 1, "0": 3}
    assert _evaluation(orchestra, asset="feature_key", name=ALL_TRACKS_HAVE_IT).passed
    with database.write() as session:
        for track_id in tracks:
            derivations.mark_done(session, {track_id: {"feature_tempo": versions["feature_tempo"]}})
    assert _evaluation(orchestra, asset="feature_tempo", name=ALL_TRACKS_HAVE_IT).passed
