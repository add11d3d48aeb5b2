"""What features there are, and how many tracks have them."""

from graphql_api.context import Info
from graphql_api.fields import resolved
from graphql_api.services import Services
from graphql_api.types.features import FeatureCoverage, FeatureDefinition
from musicfp.catalog.coverage import Coverage, coverage


@resolved("Every feature that the installed extractors can compute.")
async def feature_definitions(info: Info) -> list[FeatureDefinition]:
    """Read the declarations; the first time, that imports the extractor modules."""
    services = info.context.services
    declared = await services.workers.database.run(lambda: services.feature_definitions)
    return [FeatureDefinition.of_declaration(each) for each in declared]


@resolved("How much of the catalogue has the values of each installed extractor, and in which version.")
async def feature_coverage(info: Info) -> list[FeatureCoverage]:
    """Count what is missing."""
    services = info.context.services
    counted = await services.workers.database.run(_coverage, services)
    return [FeatureCoverage.of_coverage(each) for each in counted]


def _coverage(services: Services) -> list[Coverage]:
    versions = services.feature_versions
    with services.database.snapshot() as session:
        return coverage(session, versions)
