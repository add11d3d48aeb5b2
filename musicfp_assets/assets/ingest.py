"""The ingest stage: `track_metadata`, `fingerprint` and `dedupe_verdict` of a batch of submissions, in one step.

A verdict is materialized for every submission, whatever it says. The two assets before it exist only for files that
could be read; for others they stay unmaterialized, which is no failure of the run.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from musicfp.catalog.tables import TrackRow, VerdictRow
from musicfp.fingerprint.model import Fingerprint
from musicfp.fingerprint.picture import fingerprint_png
from musicfp.fingerprint.verdict import DedupeVerdict
from musicfp.pipeline.earlier_decisions import EarlierDecision
from musicfp.pipeline.ingest import IngestOutcome, forget_decided_objects, ingest_batch
from musicfp.pipeline.inspection import Inspection
from musicfp.pipeline.versions import DEDUPE_VERDICT, FINGERPRINT, INGEST_ASSET_VERSIONS, TRACK_METADATA
from musicfp_assets.assets.specs import (
    INGEST_GROUP,
    MAX_BATCH_PARTITIONS,
    OWNERS,
    batched,
    ingest_data_version,
    materialized,
    same_key,
)
from musicfp_assets.metadata import REPEATED_NOTE, picture, seconds, share
from musicfp_assets.partitions import SUBMISSIONS, TRACKS
from musicfp_assets.resources import MusicfpResource

SUBMISSION = "submission"
INGEST_POOL = "ingest"
_MADE_OF = {TRACK_METADATA: SUBMISSION, FINGERPRINT: TRACK_METADATA, DEDUPE_VERDICT: FINGERPRINT}

submission = dg.AssetSpec(
    SUBMISSION,
    description="A file that somebody put into the submission bucket. Recorded by `submission_sensor`.",
    partitions_def=SUBMISSIONS,
    group_name=INGEST_GROUP,
    owners=OWNERS,
    kinds={"s3"},
)

_SPECS = [
    dg.AssetSpec(
        TRACK_METADATA,
        deps=[same_key(_MADE_OF[TRACK_METADATA])],
        description="What the file is and what it says about itself: container facts from ffprobe, tags from mutagen, "
        "normalised and checked for completeness.",
        kinds={"mutagen", "ffmpeg"},
        partitions_def=SUBMISSIONS,
        group_name=INGEST_GROUP,
        owners=OWNERS,
        skippable=True,
        code_version=INGEST_ASSET_VERSIONS[TRACK_METADATA],
    ),
    dg.AssetSpec(
        FINGERPRINT,
        deps=[same_key(_MADE_OF[FINGERPRINT])],
        description="The Chromaprint fingerprint of the whole recording: 32 bits for every 0.124 s.",
        kinds={"chromaprint"},
        partitions_def=SUBMISSIONS,
        group_name=INGEST_GROUP,
        owners=OWNERS,
        skippable=True,
        code_version=INGEST_ASSET_VERSIONS[FINGERPRINT],
    ),
    dg.AssetSpec(
        DEDUPE_VERDICT,
        deps=[same_key(_MADE_OF[DEDUPE_VERDICT])],
        description="What became of the submission: accepted as a track, duplicate of one (with the evidence), waiting "
        "for review, or rejected with reasons.",
        kinds={"numpy"},
        partitions_def=SUBMISSIONS,
        group_name=INGEST_GROUP,
        owners=OWNERS,
        skippable=True,
        code_version=INGEST_ASSET_VERSIONS[DEDUPE_VERDICT],
    ),
]


@dg.multi_asset(name="ingest", specs=_SPECS, backfill_policy=batched(MAX_BATCH_PARTITIONS), pool=INGEST_POOL)
def ingest(context: dg.AssetExecutionContext, musicfp: MusicfpResource) -> Iterator[dg.AssetMaterialization]:
    """Decide a batch of submissions; the uploaded objects are deleted only when everything else is recorded."""
    stage = musicfp.stage(context.run.run_id)
    n_repeated = 0
    for outcome in ingest_batch(stage, context.partition_keys):
        n_repeated += outcome.repeated is not None
        yield from _events(outcome)
        was_deleted = outcome.repeated is not None and outcome.repeated.track is None
        if outcome.submission.status == "ACCEPTED" and not was_deleted:
            context.instance.add_dynamic_partitions(TRACKS.name, [outcome.submission.id])
    n_forgotten = forget_decided_objects(stage)
    context.log.info("deleted %d uploaded objects that were decided", n_forgotten)
    if n_repeated:
        # A killed run was to make these also of files that have none. Dagster would remember them as failed for ever;
        # asked anew, it sees that the newest run that was to make them did not fail.
        context.instance.wipe_asset_cached_status([dg.AssetKey(TRACK_METADATA), dg.AssetKey(FINGERPRINT)])


def _events(outcome: IngestOutcome) -> Iterator[dg.AssetMaterialization]:
    if outcome.submission.status == "RECEIVED":
        return  # put off, or changed by somebody else meanwhile: nothing was decided, so nothing is materialized
    if outcome.repeated is not None:
        yield from _repeated_events(outcome, outcome.repeated)
        return
    if outcome.inspection is not None:
        yield _event(TRACK_METADATA, outcome, _metadata_facts(outcome.inspection))
        cpu = {"inspection_cpu_s": seconds(outcome.inspection.cpu_s)}
        yield _event(FINGERPRINT, outcome, _fingerprint_facts(outcome.inspection.fingerprint) | cpu)
    yield _event(DEDUPE_VERDICT, outcome, _verdict_facts(outcome))


def _repeated_events(outcome: IngestOutcome, decision: EarlierDecision) -> Iterator[dg.AssetMaterialization]:
    verdict, track, fingerprint = decision.verdict, decision.track, decision.fingerprint
    if verdict is not None:  # without a verdict the file could not be read, and the first two assets never existed
        yield _event(TRACK_METADATA, outcome, _track_facts(track, decision.tags) if track else {})
        yield _event(FINGERPRINT, outcome, _fingerprint_facts(fingerprint) if fingerprint else {})
    yield _event(DEDUPE_VERDICT, outcome, _verdict_facts(outcome) | (_kept_evidence(verdict) if verdict else {}))


def _event(asset: str, outcome: IngestOutcome, metadata: dict[str, Any]) -> dg.AssetMaterialization:
    row = outcome.submission
    code_version = INGEST_ASSET_VERSIONS[asset]
    if outcome.repeated is not None:
        metadata = {**metadata, **REPEATED_NOTE}
    upstream = _MADE_OF[asset]
    return materialized(
        asset,
        row.id,
        code_version=code_version,
        data_version=ingest_data_version(asset, row.source_sha256),
        made_of=(upstream, row.etag if upstream == SUBMISSION else ingest_data_version(upstream, row.source_sha256)),
        metadata=metadata,
    )


def _metadata_facts(inspection: Inspection) -> dict[str, Any]:
    facts, tags = inspection.facts, inspection.tags
    return {
        "title": tags.title or "",
        "artist": tags.artist or "",
        "album": tags.album or "",
        "format": inspection.fmt.name,
        "codec": facts.codec,
        "duration_s": seconds(inspection.duration_s),
        "sample_rate_hz": facts.sample_rate_hz,
        "channels": facts.n_channels,
        "bitrate_bps": facts.bitrate_bps or 0,
        "size_bytes": facts.size_bytes,
        "tags": dg.MetadataValue.json([list(pair) for pair in tags.values]),
    }


def _track_facts(track: TrackRow, tags: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "title": track.title,
        "artist": track.artist,
        "album": track.album or "",
        "format": track.container,
        "codec": track.codec,
        "duration_s": seconds(track.duration_s),
        "sample_rate_hz": track.sample_rate_hz,
        "channels": track.n_channels,
        "bitrate_bps": track.bitrate_bps or 0,
        "size_bytes": track.source_size_bytes,
        "tags": dg.MetadataValue.json([list(pair) for pair in tags]),
    }


def _fingerprint_facts(fingerprint: Fingerprint) -> dict[str, Any]:
    return {
        "bitmap": picture(fingerprint_png(fingerprint), "fingerprint"),
        "items": fingerprint.n_items,
        "item_duration_s": round(fingerprint.item_duration_s, 6),
        "algorithm": fingerprint.algorithm,
        "audio_duration_s": seconds(fingerprint.audio_duration_s),
    }


def _verdict_facts(outcome: IngestOutcome) -> dict[str, Any]:
    facts: dict[str, Any] = {"status": outcome.submission.status, "filename": outcome.submission.filename}
    if outcome.problems:
        facts["problems"] = dg.MetadataValue.md("\n".join(f"- {each.message}" for each in outcome.problems))
    if outcome.verdict is not None:
        facts |= _evidence(outcome.verdict)
    return facts


def _kept_evidence(verdict: VerdictRow) -> dict[str, Any]:
    facts: dict[str, Any] = {"reason": verdict.reason, "policy_version": verdict.policy_version}
    if verdict.relation is not None:
        facts["relation"] = verdict.relation
    if verdict.matched_track_id is not None:
        facts["matched_track_id"] = verdict.matched_track_id
    numbers = {
        "score": verdict.score,
        "bit_error_rate": verdict.bit_error_rate,
        "offset_s": verdict.offset_s,
        "overlap_s": verdict.overlap_s,
    }
    return facts | {name: share(value) for name, value in numbers.items() if value is not None}


def _evidence(verdict: DedupeVerdict) -> dict[str, Any]:
    facts: dict[str, Any] = {"reason": verdict.reason, "policy_version": verdict.policy_version}
    if verdict.relation is not None:
        facts["relation"] = str(verdict.relation)
    if verdict.track_id is not None:
        facts["matched_track"] = dg.MetadataValue.asset(dg.AssetKey("source_audio"))
        facts["matched_track_id"] = verdict.track_id
    if verdict.match is not None:
        match = verdict.match
        facts |= {
            "score": share(match.score),
            "correlation": share(match.correlation),
            "bit_error_rate": share(match.bit_error_rate),
            "offset_s": seconds(match.offset_s),
            "overlap_s": seconds(match.overlap_s),
        }
    return facts
