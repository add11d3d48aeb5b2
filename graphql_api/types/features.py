"""Features: what extractors declare, and what they said about one track."""

from datetime import datetime

import strawberry

from graphql_api.types.enums import FeatureStatus
from musicfp.catalog.coverage import Coverage
from musicfp.catalog.tables import FeatureRow
from musicfp.features.registry import FeatureDefinition as DeclaredFeature
from musicfp.pipeline.versions import FEATURE_PREFIX


@strawberry.type(description="What one feature says about one track, or why it says nothing.")
class FeatureValue:
    """GraphQL view of a feature row."""

    name: str = strawberry.field(description="Dotted name, such as `rhythm.tempo`.")
    value: float | None = strawberry.field(description="The number, for a feature that is one.")
    text: str | None = strawberry.field(description="The text, for a feature that is one, such as a key.")
    vector: list[float] | None = strawberry.field(description="The numbers, for a feature that is several.")
    unit: str | None = strawberry.field(description="Unit of `value` or `vector`; null for text and pure numbers.")
    confidence: float | None = strawberry.field(description="0 (a guess) to 1 (certain); null if unknown.")
    status: FeatureStatus = strawberry.field(description="Whether there is a value.")
    reason: str | None = strawberry.field(description="Why there is no value; beside a value, what it rests on.")
    extractor: str = strawberry.field(description="Name of the extractor that computed it.")
    version: str = strawberry.field(description="Version of that extractor, with the models it used.")
    computed_at: datetime = strawberry.field(description="When it was computed.")

    @classmethod
    def of_row(cls, row: FeatureRow) -> "FeatureValue":
        """Build from a feature."""
        return cls(
            name=row.name,
            value=row.value,
            text=row.text,
            vector=row.vector,
            unit=row.unit,
            confidence=row.confidence,
            status=FeatureStatus(row.status),
            reason=row.reason,
            extractor=row.extractor,
            version=row.version,
            computed_at=row.computed_at,
        )


@strawberry.type(description="A feature that the installed extractors can compute.")
class FeatureDefinition:
    """GraphQL view of a declaration."""

    name: str = strawberry.field(description="Dotted name, such as `rhythm.tempo`.")
    unit: str | None = strawberry.field(description="Unit of its numbers; null for text and pure numbers.")
    description: str = strawberry.field(description="What it means.")
    extractor: str = strawberry.field(description="Extractor that computes it, in the asset `feature_<extractor>`.")
    version: str = strawberry.field(description="Version of that extractor, with the models installed now.")
    minimum: float | None = strawberry.field(description="Smallest possible value, if there is one.")
    maximum: float | None = strawberry.field(description="Largest possible value, if there is one.")
    inputs: list[str] = strawberry.field(
        description="What its extractor reads of the track; what several extractors read is made once for all of them."
    )
    cost_seconds_per_minute: float | None = strawberry.field(
        description="CPU seconds that its extractor takes per minute of audio, as measured, without what is shared; "
        "null if that was never measured."
    )
    models: list[str] = strawberry.field(description="Models that its extractor asks.")
    labels: list[str] = strawberry.field(description="Names of the numbers of `vector`, in order, if they have names.")

    @classmethod
    def of_declaration(cls, declared: DeclaredFeature) -> "FeatureDefinition":
        """Build from what the extractor declares."""
        low, high = declared.range or (None, None)
        return cls(
            name=declared.name,
            unit=declared.unit,
            description=declared.description,
            extractor=declared.extractor,
            version=declared.version,
            minimum=low,
            maximum=high,
            inputs=list(declared.inputs),
            cost_seconds_per_minute=declared.cost_s_per_min,
            models=list(declared.models),
            labels=list(declared.labels),
        )


@strawberry.type(description="How many tracks have the values of an extractor in one version.")
class FeatureVersionCount:
    """One version and its tracks."""

    version: str = strawberry.field(description="Version of the extractor.")
    track_count: int = strawberry.field(description="Tracks whose values of this version are served now.")


@strawberry.type(
    description="How much of the catalogue has the values of an extractor. Every track is done, pending or failed."
)
class FeatureCoverage:
    """GraphQL view of a coverage."""

    extractor: str = strawberry.field(description="Name of the extractor.")
    version: str = strawberry.field(description="The version that is installed, and made for all tracks by itself.")
    track_count: int = strawberry.field(description="All tracks of the catalogue.")
    done_count: int = strawberry.field(description="Tracks that have it in this version.")
    pending_count: int = strawberry.field(description="Tracks for which it is still to be made.")
    failed_count: int = strawberry.field(
        description="Tracks for which it could not be made; an extractor that has no answer did not fail."
    )
    outdated_count: int = strawberry.field(
        description="Of the pending and failed ones, those whose values of another version are served meanwhile."
    )
    share: float = strawberry.field(description="Share of tracks that are done, 0 to 1; 1 without any track.")
    versions: list[FeatureVersionCount] = strawberry.field(
        description="What is served now, by version: the installed one first, if any track has it."
    )

    @classmethod
    def of_coverage(cls, coverage: Coverage) -> "FeatureCoverage":
        """Build from what was counted."""
        return cls(
            extractor=coverage.asset.removeprefix(FEATURE_PREFIX),
            version=coverage.version,
            track_count=coverage.n_tracks,
            done_count=coverage.n_done,
            pending_count=coverage.n_pending,
            failed_count=coverage.n_failed,
            outdated_count=coverage.n_outdated,
            share=coverage.share,
            versions=[FeatureVersionCount(version=each, track_count=n) for each, n in coverage.n_by_version.items()],
        )
