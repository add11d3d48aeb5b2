"""POST /graphql and the IDE page behind GET /graphql."""

import json
import re
from pathlib import Path
from typing import Any

from cross_web import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from strawberry.http import GraphQLHTTPResponse, process_result
from strawberry.types import ExecutionResult

from graphql_api.context import RequestContext
from graphql_api.errors import BAD_REQUEST, publish_graphql
from graphql_api.readiness import Readiness
from graphql_api.schema import schema
from graphql_api.services import Services
from graphql_api.waiting_line import WaitingLine

STATIC_PATH = Path(__file__).parent.parent / "static"
IDE_PAGE = STATIC_PATH / "graphiql" / "index.html"
# Everything comes from here: a page that could load or send elsewhere could carry the catalogue away.
IDE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


# Python refuses to make a number of more than 4300, in the middle of validating a query.
_MAX_DIGITS = 1000
_ENDLESS_NUMBER = re.compile(rf"[0-9]{{{_MAX_DIGITS + 1}}}")


class GraphQLRoute(GraphQL[RequestContext, None]):
    """Strawberry's ASGI application with our context, our errors and our page. No uploads, batches or websockets."""

    def __init__(self, services: Services, readiness: Readiness) -> None:
        super().__init__(schema, graphql_ide="graphiql", multipart_uploads_enabled=False, subscription_protocols=())
        self._services = services
        self._readiness = readiness
        self._waiting_line = WaitingLine(services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what GraphQL never gets to see is refused as JSON too."""
        try:
            response = await self.run(Request(scope, receive))
        except HTTPException as error:
            self._services.metrics.errors.labels(BAD_REQUEST).inc()
            problem = {"message": error.reason, "extensions": {"code": BAD_REQUEST}}
            response = JSONResponse({"errors": [problem]}, status_code=error.status_code)
        await response(scope, receive, send)

    async def get_context(self, request: Request | WebSocket, response: Response | WebSocket) -> RequestContext:  # noqa: ARG002
        """Make what belongs to this request."""
        context = RequestContext(self._services, self._readiness, self._waiting_line)
        request.state.graphql = context
        return context

    async def process_result(self, request: Request, result: ExecutionResult) -> GraphQLHTTPResponse:
        """Publish errors: every answer passes here, whichever stage it comes from."""
        if result.errors:
            operation = request.state.graphql.operation
            result.errors = publish_graphql(result.errors, self._services.metrics, operation=operation)
        return process_result(result)

    def decode_json(self, data: str | bytes) -> object:
        """Read a body. What is not UTF-8, nested without end or not an object is the caller's mistake."""
        try:
            decoded: object = json.loads(data)
        except (RecursionError, ValueError) as error:
            raise HTTPException(400, "Unable to parse request body as JSON") from error
        if not isinstance(decoded, dict | list):
            raise HTTPException(400, "The request body must be a JSON object")
        query = decoded.get("query") if isinstance(decoded, dict) else None
        if isinstance(query, str) and _ENDLESS_NUMBER.search(query):
            raise HTTPException(400, f"The query has a number of more than {_MAX_DIGITS} digits")
        return decoded

    def should_render_graphql_ide(self, request: Any) -> bool:
        """Show the page to browsers only: `curl` accepts everything and wants an answer."""
        return (
            request.method == "GET"
            and request.query_params.get("query") is None
            and "text/html" in request.headers.get("accept", "")
        )

    async def render_graphql_ide(self, request: Request) -> Response:  # noqa: ARG002
        """Answer with the vendored page."""
        return FileResponse(IDE_PAGE, headers=IDE_HEADERS)
