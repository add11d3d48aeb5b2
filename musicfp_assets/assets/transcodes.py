"""The transcode stage: `source_audio` and one `transcode_<profile>` per profile, for a batch of tracks, in one step."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from musicfp.audio.transcode_profiles import TranscodeProfile, profiles_named
from musicfp.pipeline.transcoding import TranscodeOutcome, transcode_batch
from musicfp.pipeline.versions import DEDUPE_VERDICT, SOURCE_AUDIO, transcode_asset, transcode_versions
from musicfp.settings import Settings
from musicfp_assets.assets.specs import (
    DERIVE_GROUP,
    MAX_BATCH_PARTITIONS,
    OWNERS,
    batched,
    ingest_data_version,
    materialized,
    same_key,
)
from musicfp_assets.failures import materialize
from musicfp_assets.metadata import REPEATED_NOTE, picture, seconds, share
from musicfp_assets.partitions import TRACKS
from musicfp_assets.resources import MusicfpResource

TRANSCODE_POOL = "transcode"


def build_transcodes(settings: Settings) -> dg.AssetsDefinition:
    """Return the step with the assets of the profiles that settings name."""
    versions = transcode_versions(settings)
    specs = [
        dg.AssetSpec(
            SOURCE_AUDIO,
            deps=[same_key(DEDUPE_VERDICT)],
            description="The accepted file, stored under the hash of its content and verified, with its waveform.",
            kinds={"s3", "ffmpeg"},
            code_version=versions[SOURCE_AUDIO],
            partitions_def=TRACKS,
            group_name=DERIVE_GROUP,
            owners=OWNERS,
            skippable=True,
        ),
        *(
            _profile_spec(profile, code_version=versions[transcode_asset(profile)])
            for profile in profiles_named(settings.transcode_profiles)
        ),
    ]

    @dg.multi_asset(
        name="transcode",
        specs=specs,
        can_subset=True,
        backfill_policy=batched(min(MAX_BATCH_PARTITIONS, settings.derive_batch_tracks)),
        pool=TRANSCODE_POOL,
    )
    def transcode(context: dg.AssetExecutionContext, musicfp: MusicfpResource) -> Iterator[dg.AssetMaterialization]:
        """Make the selected assets of a batch of tracks, each decoded once; fail at the end if some failed."""
        stage = musicfp.stage(context.run.run_id)
        selected = {key.to_user_string(): versions[key.to_user_string()] for key in context.selected_asset_keys}
        yield from materialize(
            transcode_batch(stage, context.partition_keys, selected), partial(_events, settings=settings)
        )

    return transcode


def _profile_spec(profile: TranscodeProfile, *, code_version: str) -> dg.AssetSpec:
    rate = f"{profile.nominal_bitrate_bps // 1000} kbit/s" if profile.nominal_bitrate_bps else "variable bit rate"
    return dg.AssetSpec(
        transcode_asset(profile),
        deps=[same_key(SOURCE_AUDIO)],
        description=f"{profile.codec.upper()} in {profile.container}, {rate}; decoded again and compared.",
        kinds={"ffmpeg", profile.codec},
        code_version=code_version,
        partitions_def=TRACKS,
        group_name=DERIVE_GROUP,
        owners=OWNERS,
        skippable=True,
    )


def _events(outcome: TranscodeOutcome, settings: Settings) -> Iterator[dg.AssetMaterialization]:
    track = outcome.track
    for asset, version in outcome.versions.items():
        row = outcome.transcodes.get(asset)
        if row is not None:
            metadata: dict[str, Any] = {
                "codec": row.codec,
                "bitrate_bps": row.bitrate_bps,
                "size_bytes": row.size_bytes,
                "duration_s": seconds(row.duration_s),
                "source_duration_s": seconds(track.duration_s),
                "bit_error_rate": share(row.bit_error_rate),
                "sha256": row.sha256,
                "object": f"s3://{settings.transcode_bucket}/{row.object_key}",
            }
            data_version = row.sha256
            made_of: tuple[str, str | None] = (SOURCE_AUDIO, track.source_sha256)
        else:
            metadata = _source_facts(outcome, settings)
            data_version = track.source_sha256
            made_of = (DEDUPE_VERDICT, ingest_data_version(DEDUPE_VERDICT, track.source_sha256))
        if outcome.repeated:
            metadata |= REPEATED_NOTE
        yield materialized(
            asset, track.id, code_version=version, data_version=data_version, made_of=made_of, metadata=metadata
        )


def _source_facts(outcome: TranscodeOutcome, settings: Settings) -> dict[str, Any]:
    track = outcome.track
    facts: dict[str, Any] = {
        "title": track.title,
        "artist": track.artist,
        "duration_s": seconds(track.duration_s),
        "size_bytes": track.source_size_bytes,
        "sha256": track.source_sha256,
        "object": f"s3://{settings.source_bucket}/{track.source_key}",
    }
    if outcome.waveform is not None:
        facts["waveform"] = picture(outcome.waveform, "waveform")
    return facts
