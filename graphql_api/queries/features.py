"""What features there are."""

import strawberry

from graphql_api.context import Info
from graphql_api.types.features import FeatureDefinition


@strawberry.field(description="Every feature that the installed extractors can compute.")
async def feature_definitions(info: Info) -> list[FeatureDefinition]:
    """Read the declarations; the first time, that imports the extractor modules."""
    services = info.context.services
    declared = await services.workers.database.run(lambda: services.feature_definitions)
    return [FeatureDefinition.of_declaration(each) for each in declared]
