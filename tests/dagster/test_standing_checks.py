"""The standing list of what is still failed, on both databases."""

import dagster as dg

from musicfp.catalog import derivations
from musicfp.catalog.derivations import Failure
from musicfp.pipeline.versions import SOURCE_AUDIO
from tests.dagster.conftest import Orchestra
from tests.support.accepted import accept_track

N_FAILED = 25


def _evaluation(orchestra: Orchestra) -> dg.AssetCheckEvaluation:
    job = orchestra.definitions.resolve_job_def("standing_checks_job")
    result = job.execute_in_process(instance=orchestra.instance)
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


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
    """The check belongs to its own job, not to every batch."""
    job = orchestra.definitions.resolve_job_def("transcode_job")
    assert not list(job.asset_layer.asset_graph.asset_check_keys)
