"""What belongs to one GraphQL request: the services, its loaders, and what to call it in logs."""

from dataclasses import dataclass, field

import strawberry

from graphql_api.loaders import Loaders
from graphql_api.observability import INVALID_OPERATION
from graphql_api.readiness import Readiness
from graphql_api.services import Services
from graphql_api.waiting_line import WaitingLine


@dataclass
class RequestContext:
    """Made anew for each request. Holds no database session: every batch and resolver opens its own."""

    services: Services
    readiness: Readiness
    waiting_line: WaitingLine
    loaders: Loaders = field(init=False)
    operation: str = INVALID_OPERATION
    n_similar_tracks: int = 0

    def __post_init__(self) -> None:
        self.loaders = Loaders(self.services)


Info = strawberry.Info[RequestContext, None]
