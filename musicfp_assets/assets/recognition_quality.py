"""The nightly measurement of recognition on the catalogue's own music: numbers over time, a warning if they drift.

What belongs here: the asset, its check and its schedule. What does not: measuring and the limits (`musicfp.pipeline`).
"""

from dataclasses import asdict

import dagster as dg

from musicfp.catalog.engine import utc_now
from musicfp.pipeline.recognition_drift import drift_of
from musicfp.pipeline.recognition_quality import (
    ConditionQuality,
    RecognitionQuality,
    ScoreQuality,
    TierQuality,
    measure,
)
from musicfp_assets.assets.specs import OWNERS, SEARCH_GROUP
from musicfp_assets.metadata import share
from musicfp_assets.resources import MusicfpResource

RECOGNITION_QUALITY = "recognition_quality"
_KEEPS_PROMISES = "keeps_promises"
_CODE_VERSION = "1"


@dg.asset(
    name=RECOGNITION_QUALITY,
    deps=[dg.AssetDep("source_audio", partition_mapping=dg.AllPartitionMapping())],
    check_specs=[
        dg.AssetCheckSpec(
            _KEEPS_PROMISES,
            asset=RECOGNITION_QUALITY,
            description="Undamaged clips are recognised, strangers are not, and chance reaches as far as calibrated.",
        )
    ],
    group_name=SEARCH_GROUP,
    owners=OWNERS,
    kinds={"chromaprint", "numpy"},
    code_version=_CODE_VERSION,
    description="How well the catalogue recognises clips of its own music today: about 40 tracks drawn by the date, "
    "undamaged, in noise, and as strangers that no track holds.",
)
def recognition_quality(context: dg.AssetExecutionContext, musicfp: MusicfpResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Measure on tracks of today's draw."""
    quality = measure(musicfp.stage(context.run.run_id), seed=utc_now().date().toordinal())
    drift = drift_of(quality)
    for reason in drift.reasons:
        context.log.warning(reason)
    findings = [*drift.reasons, *drift.remarks] or ["Everything is as promised."]
    check = dg.AssetCheckResult(
        check_name=_KEEPS_PROMISES,
        passed=not drift.reasons,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"findings": dg.MetadataValue.md("\n".join(f"- {each}" for each in findings))},
    )
    return dg.MaterializeResult(metadata=_metadata(quality), check_results=[check])


recognition_quality_job = dg.define_asset_job(
    "recognition_quality_job",
    selection=dg.AssetSelection.assets(RECOGNITION_QUALITY),
    description="Measure recognition on the catalogue itself.",
    executor_def=dg.in_process_executor,
)
recognition_quality_schedule = dg.ScheduleDefinition(
    name="recognition_quality_schedule",
    job=recognition_quality_job,
    cron_schedule="41 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Nightly measurement of recognition.",
)


def _metadata(quality: RecognitionQuality) -> dict[str, dg.MetadataValue]:
    """Return single numbers, which Dagster draws over time, and tables. What was not measured is left out."""
    metadata: dict[str, dg.MetadataValue] = {
        "catalogue_tracks_of_2_min": dg.MetadataValue.int(round(quality.n_tracks)),
        "tracks_drawn": dg.MetadataValue.int(quality.n_drawn),
        "tracks_unreadable": dg.MetadataValue.int(quality.n_unreadable),
        "strangers": dg.MetadataValue.int(quality.n_strangers),
        "false_accepts": dg.MetadataValue.int(quality.n_false_accepts),
        "cpu_s": share(quality.cpu_s),
    }
    for each in quality.conditions:
        if each.n_clips:
            metadata[f"accepted_and_right_{each.condition}"] = share(each.n_right / each.n_clips)
    if quality.tail is not None:
        metadata |= {
            "tail_decay": share(quality.tail.decay),
            "tail_decay_error": share(quality.tail.decay_error),
            "tail_level_nats": share(quality.tail.level_nats),
            "tail_level_error": share(quality.tail.level_error),
        }
    for tier in quality.tiers:
        metadata[f"ms_p50_{tier.tier}"] = share(tier.p50_ms)
        metadata[f"ms_p95_{tier.tier}"] = share(tier.p95_ms)
    return metadata | _tables(quality)


def _tables(quality: RecognitionQuality) -> dict[str, dg.MetadataValue]:
    tables = {
        "clips": [_record(each) for each in quality.conditions if each.n_clips],
        "scores": [_record(each) for each in quality.scores],
        "tiers": [_record(each) for each in quality.tiers],
    }
    return {name: dg.MetadataValue.table(records=records) for name, records in tables.items() if records}


def _record(row: ConditionQuality | ScoreQuality | TierQuality) -> dg.TableRecord:
    """Return a line of a table: numbers to four places, and a dash for what was not measured."""
    values = {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(row).items()}
    return dg.TableRecord({name: "-" if value is None else value for name, value in values.items()})
