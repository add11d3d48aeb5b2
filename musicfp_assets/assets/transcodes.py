"""The transcode stage, for a batch of tracks, in one step: what is made while a source is decoded once.

That is `source_audio`, `fingerprint_300_3400` and one `transcode_<profile>` per profile.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import dagster as dg

from musicfp.audio.transcode_profiles import TranscodeProfile, profiles_named
from musicfp.catalog.tables import TrackRow, TranscodeRow
from musicfp.fingerprint.fidelity import typical_bit_error_rate
from musicfp.fingerprint.picture import fingerprint_png
from musicfp.pipeline.transcoding import FingerprintPair, TranscodeOutcome, transcode_batch
from musicfp.pipeline.versions import (
    BAND_FINGERPRINT,
    DEDUPE_VERDICT,
    SOURCE_AUDIO,
    transcode_asset,
    transcode_versions,
)
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
from musicfp_assets.run_ranges import ONLY_MISSING_TAG

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
        _band_fingerprint_spec(code_version=versions[BAND_FINGERPRINT]),
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
        recompute = ONLY_MISSING_TAG not in context.run.tags
        yield from materialize(
            transcode_batch(stage, context.partition_keys, selected, recompute=recompute),
            partial(_events, settings=settings),
        )

    return transcode


def _band_fingerprint_spec(*, code_version: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        BAND_FINGERPRINT,
        deps=[same_key(SOURCE_AUDIO)],
        description="The second fingerprint: Chromaprint's classifiers on 300 to 3400 Hz alone, what a telephone or a "
        "small speaker lets through. Searches look in both; with its terms in the index such clips are found.",
        kinds={"chromaprint", "numpy"},
        code_version=code_version,
        partitions_def=TRACKS,
        group_name=DERIVE_GROUP,
        owners=OWNERS,
        skippable=True,
    )


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
    of_source = (SOURCE_AUDIO, track.source_sha256)
    for asset, version in outcome.versions.items():
        made_of: tuple[str, str | None] = of_source
        row = outcome.transcodes.get(asset)
        if row is not None:
            metadata, data_version = _transcode_facts(row, track, settings), row.sha256
        elif asset == BAND_FINGERPRINT:
            metadata, data_version = _fingerprint_facts(outcome.fingerprints), f"{version}-{track.source_sha256}"
        else:
            metadata, data_version = _source_facts(outcome, settings), track.source_sha256
            made_of = (DEDUPE_VERDICT, ingest_data_version(DEDUPE_VERDICT, track.source_sha256))
        if outcome.repeated:
            metadata |= REPEATED_NOTE
        yield materialized(
            asset, track.id, code_version=version, data_version=data_version, made_of=made_of, metadata=metadata
        )


def _transcode_facts(row: TranscodeRow, track: TrackRow, settings: Settings) -> dict[str, Any]:
    return {
        "codec": row.codec,
        "bitrate_bps": row.bitrate_bps,
        "size_bytes": row.size_bytes,
        "duration_s": seconds(row.duration_s),
        "source_duration_s": seconds(track.duration_s),
        "bit_error_rate": share(row.bit_error_rate),
        "sha256": row.sha256,
        "object": f"s3://{settings.transcode_bucket}/{row.object_key}",
    }


def _fingerprint_facts(pair: FingerprintPair | None) -> dict[str, Any]:
    if pair is None:  # somebody deleted it from the catalogue after it was made
        return {}
    band, full = pair.band, pair.full
    return {
        "bitmap": picture(fingerprint_png(band), "fingerprint of 300 to 3400 Hz"),
        "items": band.n_items,
        "audio_duration_s": seconds(band.audio_duration_s),
        "bits_unlike_full": share(typical_bit_error_rate(full.sub_fingerprints, band.sub_fingerprints)),
    }


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
