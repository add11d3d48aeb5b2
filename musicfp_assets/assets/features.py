"""The feature stage: one `feature_<name>` per registered extractor, for a batch of tracks, in one step.

Nothing here names a feature: an extractor added to the registry is an asset at once.
"""

from collections.abc import Iterator

import dagster as dg

from musicfp.features.registry import Extractor, Registry
from musicfp.features.values import FeatureValue
from musicfp.pipeline.analysis import AnalysisOutcome, analyse_batch
from musicfp.pipeline.versions import DEDUPE_VERDICT, feature_asset, feature_versions
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
from musicfp_assets.metadata import REPEATED_NOTE, seconds
from musicfp_assets.partitions import TRACKS
from musicfp_assets.resources import MusicfpResource
from musicfp_assets.run_ranges import ONLY_MISSING_TAG

FEATURE_POOL = "features"


def build_features(registry: Registry) -> dg.AssetsDefinition:
    """Return the step with one asset per extractor."""
    at_load = feature_versions(registry)

    @dg.multi_asset(
        name="features",
        specs=[_spec(each, at_load[feature_asset(each)]) for each in registry.all()],
        can_subset=True,
        # A backfill by hand is one feature as a rule: few runs, since each has to start. The sensor asks for less.
        backfill_policy=batched(MAX_BATCH_PARTITIONS),
        pool=FEATURE_POOL,
    )
    def features(context: dg.AssetExecutionContext, musicfp: MusicfpResource) -> Iterator[dg.AssetMaterialization]:
        """Compute the selected features of a batch of tracks, each decoded once; fail at the end if some failed."""
        stage = musicfp.stage(context.run.run_id)
        versions = feature_versions(registry)
        selected = {key.to_user_string(): versions[key.to_user_string()] for key in context.selected_asset_keys}
        recompute = ONLY_MISSING_TAG not in context.run.tags
        yield from materialize(analyse_batch(stage, context.partition_keys, selected, recompute=recompute), _events)

    return features


def _spec(extractor: Extractor, version: str) -> dg.AssetSpec:
    values = "\n".join(
        f"- `{each.name}`{f' [{each.unit}]' if each.unit else ''}: {each.description}" for each in extractor.values
    )
    return dg.AssetSpec(
        feature_asset(extractor),
        deps=[same_key(DEDUPE_VERDICT)],
        description=f"{extractor.description}\n\n{values}",
        kinds={"essentia"},
        code_version=version,
        partitions_def=TRACKS,
        group_name=DERIVE_GROUP,
        owners=OWNERS,
        skippable=True,
    )


def _events(outcome: AnalysisOutcome) -> Iterator[dg.AssetMaterialization]:
    track = outcome.track
    for asset, version in outcome.versions.items():
        metadata: dict[str, dg.MetadataValue] = {
            "values": dg.MetadataValue.table(
                records=[_record(each) for each in outcome.values[asset]],
            ),
            "title": dg.MetadataValue.text(track.title),
        }
        metadata |= REPEATED_NOTE if outcome.repeated else {"cpu_s": seconds(outcome.cpu_s[asset])}
        metadata |= {
            each.name: dg.MetadataValue.float(each.value) for each in outcome.values[asset] if each.value is not None
        }
        data_version = f"{version}-{track.source_sha256}"
        made_of = (DEDUPE_VERDICT, ingest_data_version(DEDUPE_VERDICT, track.source_sha256))
        yield materialized(
            asset, track.id, code_version=version, data_version=data_version, made_of=made_of, metadata=metadata
        )


def _record(value: FeatureValue) -> dg.TableRecord:
    shown = value.text if value.text is not None else ("" if value.value is None else f"{value.value:.6g}")
    if value.vector is not None:
        shown = f"{len(value.vector)} numbers"
    return dg.TableRecord(
        {
            "name": value.name,
            "value": shown,
            "unit": value.unit or "",
            "confidence": "" if value.confidence is None else f"{value.confidence:.2f}",
            "status": value.status.name,
            "reason": value.reason or "",
        }
    )
