"""Files that end the process which works on them: found out, taken alone, and given up."""

from collections.abc import Sequence
from itertools import islice
from unittest.mock import patch

import pytest
from sqlmodel import select

from musicfp.catalog import derivations, work_in_hand
from musicfp.catalog.tables import WorkInHandRow
from musicfp.catalog.work_in_hand import Stage
from musicfp.features.registry import load_builtin
from musicfp.pipeline import ingest, transcoding
from musicfp.pipeline.analysis import analyse_batch
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.in_hand import in_hand
from musicfp.pipeline.ingest import ingest_batch
from musicfp.pipeline.reviews import retry_submission
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.pipeline.versions import SOURCE_AUDIO, SOURCE_AUDIO_VERSION, feature_versions
from tests.support.accepted import received
from tests.support.crashes import Killed, end_this_process, kill, killed_while_working
from tests.support.ingesting import ingest_all, problem_codes, submission_of, upload_and_discover
from tests.support.songs import SongFolder

_WANTED = {SOURCE_AUDIO: SOURCE_AUDIO_VERSION}


def _ingest_and_die(stage: StageContext, ids: Sequence[str]) -> None:
    with patch.object(ingest, "_examine", end_this_process):
        list(ingest_batch(stage, ids))


def _transcode_and_die(stage: StageContext, ids: Sequence[str]) -> None:
    with patch.object(transcoding, "_make", end_this_process):
        list(transcode_batch(stage, ids, _WANTED))


def _next(stage: StageContext, of: Stage, ids: Sequence[str]) -> list[str]:
    with stage.database.read() as session:
        return work_in_hand.without_suspects(session, of, ids)


def _all_in_hand(stage: StageContext) -> list[str]:
    with stage.database.read() as session:
        return sorted(row.subject_id for row in session.exec(select(WorkInHandRow)))


def _as_after_kills(stage: StageContext, of: Stage, ids: Sequence[str], *, n_kills: int) -> None:
    """Leave what killed runs leave; each process costs seconds to start, so only the last of them is a real one."""
    for _ in range(n_kills):
        with stage.database.write() as session:
            work_in_hand.begin(session, of, ids)


def test_what_was_in_hand_of_two_killed_runs_is_taken_alone(stage: StageContext, songs: SongFolder) -> None:
    """One killed run says little. What is decided is trusted again."""
    early, poison, late = upload_and_discover(stage, songs.song(1), songs.song(2), songs.song(3))
    for expected in ([early, poison, late], [early, poison, late], [early]):
        assert _next(stage, Stage.INGEST, [early, poison, late]) == expected
        killed_while_working(stage, _ingest_and_die, [early, poison])
    list(ingest_batch(stage, [early]))
    assert _next(stage, Stage.INGEST, [late, poison]) == [late]
    assert _next(stage, Stage.INGEST, [poison, late]) == [poison]
    assert submission_of(stage, early).status == "ACCEPTED"
    list(ingest_batch(stage, [poison]))
    assert _next(stage, Stage.INGEST, [early, poison, late]) == [early, poison, late]


def test_only_the_next_few_of_a_long_batch_are_in_hand(stage: StageContext) -> None:
    """Each of what two kills find in hand costs a run of its own; of five hundred that would be more than an hour."""
    ids = [received(stage.database, number) for number in range(20)]
    with in_hand(stage.database, Stage.FEATURES) as hand:
        assert _all_in_hand(stage) == []
        for each in islice(hand.taking(ids, id_of=str), 9):
            hand.put_down(each)
        assert _all_in_hand(stage) == ids[8:16]
    assert _all_in_hand(stage) == []


def test_what_goes_on_killing_runs_fails_with_a_reason(stage: StageContext, songs: SongFolder) -> None:
    """And may be tried again by a person, from the beginning."""
    (poison,) = upload_and_discover(stage, songs.song(1))
    _as_after_kills(stage, Stage.INGEST, [poison], n_kills=5)
    killed_while_working(stage, _ingest_and_die, [poison])
    (outcome,) = ingest_batch(stage, [poison])
    assert (outcome.submission.status, problem_codes(stage, poison)) == ("FAILED", ["ends_its_process"])
    assert "6 times" in outcome.problems[0].message
    retry_submission(stage.database, submission_id=poison)
    (outcome,) = ingest_batch(stage, [poison])
    assert outcome.submission.status == "ACCEPTED"


def test_a_track_that_goes_on_killing_runs_fails_with_a_reason(stage: StageContext, songs: SongFolder) -> None:
    """What else is made of it is not given up with that."""
    features = {"feature_duration": feature_versions(load_builtin(()))["feature_duration"]}
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, _WANTED | features)
    (poison,) = (each.submission.id for each in ingest_all(stage, songs.song(1)))
    _as_after_kills(stage, Stage.TRANSCODE, [poison], n_kills=5)
    killed_while_working(stage, _transcode_and_die, [poison])
    (outcome,) = transcode_batch(stage, [poison], _WANTED)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.next_attempt_at) == ("ends_its_process", None)
    assert [each.failure for each in analyse_batch(stage, [poison], features)] == [None]


def test_what_was_done_before_a_kill_is_let_go_of(stage: StageContext, songs: SongFolder) -> None:
    """A run that is killed after its last effect suspects nothing: the next one finds it done."""
    features = {"feature_duration": feature_versions(load_builtin(()))["feature_duration"]}
    with stage.database.exclusive() as session:
        derivations.bring_up_to_date(session, _WANTED | features)
    (done,) = (each.submission.id for each in ingest_all(stage, songs.song(1)))
    stages = ((Stage.TRANSCODE, transcode_batch, _WANTED), (Stage.FEATURES, analyse_batch, features))
    for of, make, wanted in stages:
        assert [each.repeated for each in make(stage, [done], wanted)] == [False]
        _as_after_kills(stage, of, [done], n_kills=2)
        assert _next(stage, of, ["other", done]) == ["other"]
        assert [each.repeated for each in make(stage, [done], wanted)] == [True]
        assert _next(stage, of, ["other", done]) == ["other", done]


def test_only_a_kill_leaves_anything_in_hand(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends by an error, or is told to stop, knows that it was not the file."""
    (good,) = upload_and_discover(stage, songs.song(1))
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "_examine", kill)
        for _ in range(3):
            with pytest.raises(Killed):
                list(ingest_batch(stage, [good]))
    assert _next(stage, Stage.INGEST, [good, "other"]) == [good, "other"]


def test_an_error_in_judging_one_file_costs_only_that_file(
    stage: StageContext, songs: SongFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is put off, and the others of its batch are decided at once."""
    bad, good = upload_and_discover(stage, songs.song(1), songs.song(2))
    judge = ingest._judge

    def break_one(judging: object, examined: ingest._Examined) -> object:
        if examined.submission.id == bad:
            raise ZeroDivisionError("nobody thought of this")
        return judge(judging, examined)  # type: ignore[arg-type]

    monkeypatch.setattr(ingest, "_judge", break_one)
    outcomes = list(ingest_batch(stage, [bad, good]))
    assert [each.submission.status for each in outcomes] == ["RECEIVED", "ACCEPTED"]
    assert "nobody thought of this" in (submission_of(stage, bad).put_off_because or "")
