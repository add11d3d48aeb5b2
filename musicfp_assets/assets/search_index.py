"""The search accelerator: one asset of the whole catalogue, in versions, and the check that it answers."""

import dagster as dg
import numpy as np

from musicfp.pipeline.search_index import SEARCH_INDEX_VERSION, BuildReport, build_search_index, sample
from musicfp.pipeline.versions import BAND_FINGERPRINT, FINGERPRINT
from musicfp_assets.assets.specs import OWNERS, SEARCH_GROUP
from musicfp_assets.metadata import seconds
from musicfp_assets.resources import MusicfpResource

SEARCH_INDEX = "search_index"
SEARCH_INDEX_POOL = "search_index"
_SAMPLED_OF_EACH_KIND = 50


@dg.asset(
    name=SEARCH_INDEX,
    deps=[FINGERPRINT, BAND_FINGERPRINT],
    description="All fingerprints as files that every process of the API maps into memory: searches give the same "
    "answers as from the database, sooner. What is newer than the files comes from the database.",
    kinds={"numpy", "s3"},
    code_version=SEARCH_INDEX_VERSION,
    group_name=SEARCH_GROUP,
    owners=OWNERS,
    pool=SEARCH_INDEX_POOL,
)
def search_index(context: dg.AssetExecutionContext, musicfp: MusicfpResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Index what is new, and put the new build in force when all of it is stored."""
    return _materialized(build_search_index(musicfp.stage(context.run.run_id)))


@dg.asset_check(
    asset=SEARCH_INDEX,
    name="search_index_answers",
    description="Looks for every posting of some random fingerprints in the files, fetched if they are not here.",
)
def search_index_answers(context: dg.AssetCheckExecutionContext, musicfp: MusicfpResource) -> dg.AssetCheckResult:
    """Ask the newest build for fingerprints that it must know."""
    rng = np.random.default_rng()
    report = sample(musicfp.stage(context.run.run_id), n_of_each_kind=_SAMPLED_OF_EACH_KIND, rng=rng)
    if report is None:
        return dg.AssetCheckResult(passed=False, description="There is no build.")
    listed = ", ".join(f"{kind} revision {revision}" for kind, revision in report.incomplete)
    return dg.AssetCheckResult(
        passed=not report.incomplete,
        metadata={"fingerprints": report.n_fingerprints, "incomplete": listed},
    )


def _materialized(report: BuildReport) -> dg.MaterializeResult:  # type: ignore[type-arg]
    build = report.build
    n_fingerprints = sum(each.n_fingerprints for each in build.segments)
    n_bytes = sum(each.size_bytes for each in build.segments)
    written = {each.key for each in report.written}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(build.id),
        metadata={
            "build": build.id,
            "watermark": build.watermark,
            "fingerprints": n_fingerprints,
            "lag_before": report.lag_before_fingerprints,
            "size_bytes": n_bytes,
            "bytes_per_fingerprint": round(n_bytes / max(1, n_fingerprints), 1),
            "took_s": seconds(report.took_s),
            "segments": dg.MetadataValue.table(
                records=[
                    dg.TableRecord(
                        {
                            "kind": each.kind.value,
                            "revisions": f"{each.first_revision} to {each.last_revision}",
                            "fingerprints": each.n_fingerprints,
                            "bytes": each.size_bytes,
                            "made": "by this run" if each.key in written else "before",
                            "key": each.key,
                        }
                    )
                    for each in build.segments
                ]
            ),
        },
    )
