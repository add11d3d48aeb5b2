"""What features there are."""

from graphql_api.context import Info
from graphql_api.fields import resolved
from graphql_api.types.features import FeatureDefinition


@resolved("Every feature that the installed extractors can compute.")
async def feature_definitions(info: Info) -> list[FeatureDefinition]:
    """Read the declarations; the first time, that imports the extractor modules."""
    services = info.context.services
    declared = await services.workers.database.run(lambda: services.feature_definitions)
    return [FeatureDefinition.of_declaration(each) for each in declared]
