"""From an accepted track to its musical features, for a batch of tracks.

Each track's source is downloaded and decoded once for all its extractors, in spawned workers that stay for the whole
batch. A value replaces the older one in the transaction that records who computed it; until then the older is served.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from musicfp.catalog import deletions, derivations, lineage, relations
from musicfp.catalog.derivations import Failure
from musicfp.catalog.engine import utc_now
from musicfp.catalog.tables import FeatureRow, TrackRow
from musicfp.catalog.work_in_hand import Stage
from musicfp.features.analysis import TrackAnalysis
from musicfp.features.values import FeatureStatus, FeatureValue
from musicfp.features.worker import FeaturePool
from musicfp.pipeline.blame import blamed_on_the_file
from musicfp.pipeline.context import StageContext
from musicfp.pipeline.derived_tracks import (
    AskedTrack,
    download_source,
    failure_of,
    load_asked,
    longest_first,
)
from musicfp.pipeline.in_hand import Hand, in_hand, let_go
from musicfp.pipeline.parallel import map_in_groups
from musicfp.pipeline.versions import FEATURE_PREFIX

# A transaction costs more than a cheap feature; a track that ends alone waits no longer than this for others.
_STORED_WITHIN_S = 1.0
# More than ends within that time, so that no worker waits for the others' transaction.
_LOOK_AHEAD = 12


@dataclass(frozen=True)
class AnalysisOutcome:
    """What became of one track in the feature stage: values by asset, or why there are none.

    `repeated`: these values were computed by an earlier run, and this is what the catalogue keeps of them.
    """

    track: TrackRow
    versions: Mapping[str, str]
    values: Mapping[str, Sequence[FeatureValue]] = field(default_factory=dict)
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    repeated: bool = False


def analyse_batch(
    context: StageContext, track_ids: Sequence[str], versions: Mapping[str, str], *, recompute: bool = False
) -> Iterator[AnalysisOutcome]:
    """Compute the assets named in `versions` for these tracks and yield each track's outcome as soon as it is stored.

    What was computed before comes first, from the catalogue and marked `repeated`; unless all is to be made again. A
    track that is deleted meanwhile has no outcome.

    Raises StoreUnavailable when the store fails: what is not done stays pending.
    """
    settings = context.settings
    asked = load_asked(context.database, track_ids, versions, recompute=recompute)
    yield from _computed_before(context, [each for each in asked if each.done])
    let_go(context.database, Stage.FEATURES, [each.track.id for each in asked if not each.versions])
    pending = [each for each in asked if each.versions]
    if not pending:
        return
    settings.scratch_path.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=settings.scratch_path, prefix="features-") as scratch,
        in_hand(context.database, Stage.FEATURES) as hand,
        FeaturePool(workers=min(settings.workers, len(pending)), extra_modules=settings.feature_modules) as pool,
    ):
        groups = map_in_groups(
            lambda each: (each, _analyse_track(context, hand, pool, each, Path(scratch))),
            hand.taking(longest_first(pending), id_of=lambda each: each.track.id),
            threads=settings.workers + 1,  # one more downloads while the others are analysed
            look_ahead=_LOOK_AHEAD * settings.workers,
            within_s=_STORED_WITHIN_S,
        )
        for group in groups:
            outcomes = _store(context, group)
            for asked_track, _ in group:
                hand.put_down(asked_track.track.id)
            yield from outcomes


def _computed_before(context: StageContext, asked: Sequence[AskedTrack]) -> Iterator[AnalysisOutcome]:
    if not asked:
        return
    with context.database.read() as session:
        rows = relations.features(session, [each.track.id for each in asked])
    for each in asked:
        values: dict[str, list[FeatureValue]] = {asset: [] for asset in each.done}
        for row in rows.get(each.track.id, []):
            asset = f"{FEATURE_PREFIX}{row.extractor}"
            if asset in values:
                values[asset].append(_value_of(row))
        yield AnalysisOutcome(each.track, each.done, values, repeated=True)


def _analyse_track(
    context: StageContext, hand: Hand, pool: FeaturePool, pending: AskedTrack, scratch: Path
) -> TrackAnalysis | Failure:
    extractors = [asset.removeprefix(FEATURE_PREFIX) for asset in pending.versions]
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        try:
            hand.require_harmless(pending.track.id)
            source_path = download_source(context, pending.track, Path(directory))
            return pool.submit(source_path, extractors).result()
        except Exception as error:  # what nobody foresaw in one track must not cost the batch its others
            blamed = blamed_on_the_file(error, scratch)
            return failure_of(blamed, attempts=max(pending.attempts.values(), default=0))


def _store(context: StageContext, group: Sequence[tuple[AskedTrack, TrackAnalysis | Failure]]) -> list[AnalysisOutcome]:
    """Store what came of some tracks, in one transaction, and return it without that of deleted tracks."""
    rows: list[FeatureRow] = []
    made: dict[str, Mapping[str, str]] = {}
    outcomes = []
    with context.database.write() as session:
        remaining = deletions.remaining(session, [pending.track.id for pending, _ in group])
        for pending, result in group:
            track = pending.track
            if track.id not in remaining:
                continue
            if isinstance(result, Failure):
                derivations.mark_failed(session, track.id, pending.versions, result)
                outcomes.append(AnalysisOutcome(track, pending.versions, failure=result))
            else:
                rows += _rows_of(pending, result)
                made[track.id] = pending.versions
                outcomes.append(_outcome_of(pending, result))
        derivations.store_features(session, rows)
        derivations.mark_done(session, made)
        lineage.record(session, context.provenance, made)
    return outcomes


def _outcome_of(pending: AskedTrack, analysis: TrackAnalysis) -> AnalysisOutcome:
    return AnalysisOutcome(
        pending.track,
        pending.versions,
        values={f"{FEATURE_PREFIX}{name}": values for name, values in analysis.values.items()},
        cpu_s={f"{FEATURE_PREFIX}{name}": cpu_s for name, cpu_s in analysis.cpu_s.items()},
    )


def _rows_of(pending: AskedTrack, analysis: TrackAnalysis) -> list[FeatureRow]:
    return [
        _row_of(value, pending.track.id, extractor=extractor, version=pending.versions[f"{FEATURE_PREFIX}{extractor}"])
        for extractor, values in analysis.values.items()
        for value in values
    ]


def _value_of(row: FeatureRow) -> FeatureValue:
    return FeatureValue(
        name=row.name,
        value=row.value,
        text=row.text,
        vector=None if row.vector is None else tuple(row.vector),
        unit=row.unit,
        confidence=row.confidence,
        status=FeatureStatus[row.status],
        reason=row.reason,
    )


def _row_of(value: FeatureValue, track_id: str, *, extractor: str, version: str) -> FeatureRow:
    return FeatureRow(
        track_id=track_id,
        name=value.name,
        value=value.value,
        text=value.text,
        vector=None if value.vector is None else list(value.vector),
        unit=value.unit,
        confidence=value.confidence,
        status=value.status.name,
        reason=value.reason,
        extractor=extractor,
        version=version,
        computed_at=utc_now(),
    )
