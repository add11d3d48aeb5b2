"""Features: what extractors declare, and what they said about one track."""

from datetime import datetime

import strawberry

from graphql_api.types.enums import FeatureStatus
from musicfp.catalog.tables import FeatureRow
from musicfp.features.registry import FeatureDefinition as DeclaredFeature


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
    version: str = strawberry.field(description="Version of that extractor.")
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
    version: str = strawberry.field(description="Version of that extractor.")
    minimum: float | None = strawberry.field(description="Smallest possible value, if there is one.")
    maximum: float | None = strawberry.field(description="Largest possible value, if there is one.")

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
        )
