"""What the sensors do about submissions and tracks that ended the runs which worked on them."""

from musicfp.catalog import work_in_hand
from musicfp.catalog.work_in_hand import Stage
from musicfp_assets.definitions import INGEST_JOB
from tests.dagster.conftest import Orchestra
from tests.dagster.ticks import quiet_tick, range_of, tick
from tests.support.ingesting import upload
from tests.support.songs import SongFolder


def test_what_two_killed_runs_had_in_hand_is_taken_alone(orchestra: Orchestra, songs: SongFolder) -> None:
    """Uploads and tracks alike; what waits beside it comes in the batches before and after."""
    first, poison = upload(orchestra.stage, songs.song(1)), upload(orchestra.stage, songs.song(2))

    def kill_runs(stage: Stage, subject_id: str) -> None:
        with orchestra.stage.database.write() as session:
            work_in_hand.begin(session, stage, [subject_id])
            work_in_hand.begin(session, stage, [subject_id])

    asked = quiet_tick(orchestra)
    assert range_of(asked) == (first, poison)
    kill_runs(Stage.INGEST, poison)
    assert range_of(quiet_tick(orchestra, asked.cursor)) == (first, first)
    assert orchestra.run(INGEST_JOB, [first]).success
    assert range_of(quiet_tick(orchestra, asked.cursor)) == (poison, poison)
    assert orchestra.run(INGEST_JOB, [poison]).success
    assert range_of(tick(orchestra, "transcode_sensor")) == (first, poison)
    kill_runs(Stage.TRANSCODE, first)
    assert range_of(tick(orchestra, "transcode_sensor")) == (first, first)
    assert range_of(tick(orchestra, "feature_sensor")) == (first, poison)
