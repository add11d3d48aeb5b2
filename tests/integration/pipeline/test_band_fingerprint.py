"""The second fingerprint of accepted tracks, made with their transcodes and alone, on both databases."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from musicfp.audio import transcode as transcode_module
from musicfp.audio.decode import decode_pcm
from musicfp.audio.sniff import require_format
from musicfp.catalog import derivations, relations, terms
from musicfp.catalog.searchable import DatabaseCatalogue
from musicfp.catalog.tables import FingerprintRow
from musicfp.fingerprint.band import BAND_FINGERPRINTER_VERSION, band_fingerprint
from musicfp.fingerprint.correlation import bit_error_rate
from musicfp.fingerprint.downmix import Downmix, mixed
from musicfp.fingerprint.model import ANALYSIS_RATE_HZ, Fingerprint
from musicfp.fingerprint.postings import FingerprintKind
from musicfp.fingerprint.probes import indexed_terms
from musicfp.pipeline import transcoding
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.transcoding import transcode_batch
from musicfp.pipeline.versions import BAND_FINGERPRINT
from tests.support.crashes import Killed, kill
from tests.support.ingesting import ingest_all
from tests.support.songs import SongFolder


def _accepted(stage: StageContext, path: Path) -> str:
    """A track without its second fingerprint, as catalogues from before it have them, and those of long recordings."""
    (outcome,) = ingest_all(stage, path)
    track_id = outcome.submission.id
    row = _band_row(stage, track_id)
    with stage.database.exclusive() as session:
        ordinal = relations.tracks(session, [track_id])[track_id].ordinal
        items = Fingerprint.from_bytes(row.sub_fingerprints).sub_fingerprints
        terms.remove(session, ordinal or 0, items, kind=FingerprintKind.BAND)
        session.delete(row)
    return track_id


def _states(stage: StageContext, track_id: str, assets: Mapping[str, str]) -> dict[str, str]:
    with stage.database.read() as session:
        rows = derivations.states(session, [track_id], list(assets))
    return {asset: row.status for (_, asset), row in rows.items()}


def _band_row(stage: StageContext, track_id: str) -> FingerprintRow:
    with stage.database.read() as session:
        return relations.fingerprints(session, [track_id], kind=FingerprintKind.BAND)[track_id]


def _band_of_file(path: Path, downmix: Downmix) -> Fingerprint:
    """The second fingerprint of a stereo file as ingest decodes it."""
    decoding = decode_pcm(
        path,
        fmt=require_format(path),
        sample_rate_hz=ANALYSIS_RATE_HZ,
        n_channels=2,
        sample_format="s16",
        max_duration_s=60.0,
    )
    with decoding as decoded:
        return band_fingerprint(np.concatenate([mixed(chunk, downmix) for chunk in decoded]))


def _hits(stage: StageContext, track_id: str, items: NDArray[np.uint32]) -> int:
    """Return how many indexed terms of these items the index of second fingerprints has for a track."""
    with stage.database.read() as session:
        found = DatabaseCatalogue(session).lookup(indexed_terms(items), kind=FingerprintKind.BAND)
        return int((found.track == relations.tracks(session, [track_id])[track_id].ordinal).sum())


def test_a_new_track_has_it_at_once_and_it_is_kept(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """From the sound that was judged; the transcode stage makes it again only when it is asked to."""
    (accepted,) = ingest_all(stage, songs.song(1))
    track_id = accepted.submission.id
    row = _band_row(stage, track_id)
    items = Fingerprint.from_bytes(row.sub_fingerprints).sub_fingerprints
    assert bit_error_rate(items, _band_of_file(songs.song(1), Downmix.SUM).sub_fingerprints) < 0.01
    assert _hits(stage, track_id, items) > 20
    wanted = {BAND_FINGERPRINT: versions[BAND_FINGERPRINT]}
    assert set(_states(stage, track_id, wanted).values()) == {"PENDING"}
    (outcome,) = transcode_batch(stage, [track_id], wanted)
    assert outcome.fingerprints is not None
    assert outcome.fingerprints.band.to_bytes() == row.sub_fingerprints
    assert _band_row(stage, track_id).revision == row.revision
    assert set(_states(stage, track_id, wanted).values()) == {"DONE"}
    list(transcode_batch(stage, [track_id], wanted, recompute=True))
    again = _band_row(stage, track_id)
    assert (again.revision or 0) > (row.revision or 0)
    assert _hits(stage, track_id, Fingerprint.from_bytes(again.sub_fingerprints).sub_fingerprints) > 20


@pytest.mark.parametrize("with_transcodes", [True, False], ids=["with transcodes", "alone"])
def test_the_second_fingerprint_is_stored_with_its_terms(
    stage: StageContext,
    songs: SongFolder,
    versions: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    with_transcodes: bool,
) -> None:
    """With everything else from one decoding; alone, over a catalogue that was there before, without encoding."""
    path = songs.song(1)
    track_id = _accepted(stage, path)
    calls = _count_processes(monkeypatch)
    wanted = versions if with_transcodes else {BAND_FINGERPRINT: versions[BAND_FINGERPRINT]}
    (outcome,) = transcode_batch(stage, [track_id], wanted)
    assert outcome.failure is None
    assert calls == ([6, len(outcome.transcodes)] if with_transcodes else [1])
    row, expected = _band_row(stage, track_id), _band_of_file(path, Downmix.SUM)
    assert (row.version, row.n_items) == (BAND_FINGERPRINTER_VERSION, expected.n_items)
    items = Fingerprint.from_bytes(row.sub_fingerprints).sub_fingerprints
    assert bit_error_rate(items, expected.sub_fingerprints) < 0.01
    assert _hits(stage, track_id, items) > 20
    assert outcome.fingerprints is not None
    assert outcome.fingerprints.band.sub_fingerprints.tolist() == items.tolist()
    with stage.database.read() as session:
        full = relations.fingerprints(session, [track_id])[track_id]
    assert outcome.fingerprints.full.to_bytes() == full.sub_fingerprints != row.sub_fingerprints
    states = _states(stage, track_id, versions)
    assert {asset for asset, status in states.items() if status == "DONE"} == set(wanted)
    assert (outcome.waveform is not None) is with_transcodes


def _count_processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets, for each ffmpeg of the stage, how many files it writes."""
    calls: list[int] = []

    def count(argv: Sequence[str], *arguments: object) -> object:
        calls.append(sum(each == "-map" for each in argv))
        return run_limited(argv, *arguments)

    run_limited: Callable[..., object] = transcode_module.run_limited
    monkeypatch.setattr(transcode_module, "run_limited", count)
    return calls


def test_sound_that_cancels_out_has_a_second_fingerprint_of_one_channel(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str]
) -> None:
    """Mixed as its ordinary fingerprint was; the sum would be the noise of the codec."""
    path = songs.cancelling(1)
    track_id = _accepted(stage, path)
    list(transcode_batch(stage, [track_id], {BAND_FINGERPRINT: versions[BAND_FINGERPRINT]}))
    items = Fingerprint.from_bytes(_band_row(stage, track_id).sub_fingerprints).sub_fingerprints
    assert bit_error_rate(items, _band_of_file(path, Downmix.LEFT).sub_fingerprints) < 0.02


def test_a_new_version_of_the_second_fingerprint_replaces_the_old_one(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row and terms; nothing of the old one stays in the index."""
    track_id = _accepted(stage, songs.song(1))
    old = band_fingerprint(np.random.default_rng(0).integers(-9000, 9000, 200_000, dtype=np.int16))
    with monkeypatch.context() as patched:
        patched.setattr(transcoding, "band_fingerprint", lambda _samples: old)
        list(transcode_batch(stage, [track_id], {BAND_FINGERPRINT: versions[BAND_FINGERPRINT]}))
    assert _hits(stage, track_id, old.sub_fingerprints) > 20
    with stage.database.exclusive() as session:
        assert derivations.bring_up_to_date(session, {**versions, BAND_FINGERPRINT: "new"}) == [BAND_FINGERPRINT]
    list(transcode_batch(stage, [track_id], {BAND_FINGERPRINT: "new"}))
    row = _band_row(stage, track_id)
    assert row.version == "new"
    assert _hits(stage, track_id, old.sub_fingerprints) == 0
    assert _hits(stage, track_id, Fingerprint.from_bytes(row.sub_fingerprints).sub_fingerprints) > 20


def test_a_crash_before_the_end_leaves_neither_fingerprint_nor_terms(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They become true with the state that says so."""
    track_id = _accepted(stage, songs.song(1))
    wanted = {BAND_FINGERPRINT: versions[BAND_FINGERPRINT]}
    with monkeypatch.context() as patched:
        patched.setattr(derivations, "mark_done", kill)
        with pytest.raises(Killed):
            list(transcode_batch(stage, [track_id], wanted))
    with stage.database.read() as session:
        assert relations.fingerprints(session, [track_id], kind=FingerprintKind.BAND) == {}
    assert _hits(stage, track_id, _band_of_file(songs.song(1), Downmix.SUM).sub_fingerprints) == 0
    (outcome,) = transcode_batch(stage, [track_id], wanted)
    assert outcome.fingerprints is not None
    assert _hits(stage, track_id, outcome.fingerprints.band.sub_fingerprints) > 20


def test_transcodes_that_fail_leave_the_second_fingerprint_that_is_there(
    stage: StageContext, songs: SongFolder, versions: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked for together fails together, so it can be asked for alone; later failures take nothing away."""
    track_id = _accepted(stage, songs.song(1))
    wanted = {asset: versions[asset] for asset in (BAND_FINGERPRINT, "transcode_opus_96")}
    monkeypatch.setattr(transcoding, "MAX_BIT_ERROR_RATE", -1.0)
    (together,) = transcode_batch(stage, [track_id], wanted)
    assert together.failure is not None
    assert set(_states(stage, track_id, wanted).values()) == {"FAILED"}
    (alone,) = transcode_batch(stage, [track_id], {BAND_FINGERPRINT: versions[BAND_FINGERPRINT]})
    assert alone.failure is None
    outcomes = list(transcode_batch(stage, [track_id], wanted))
    assert [(each.repeated, each.failure is None) for each in outcomes] == [(True, True), (False, False)]
    assert outcomes[0].fingerprints == alone.fingerprints
    assert _states(stage, track_id, wanted) == {BAND_FINGERPRINT: "DONE", "transcode_opus_96": "FAILED"}
    assert _hits(stage, track_id, Fingerprint.from_bytes(_band_row(stage, track_id).sub_fingerprints).sub_fingerprints)
