"""Errors as clients see them, and as the log sees them.

What belongs here: the codes, the decision which error is whose fault, masking, one place that counts and logs. What
does not: expected outcomes, which are members of result unions (`types.outcomes`).

- A caller's mistake keeps its message, has a stable `code` and is one WARNING line for the request.
- A condition that passes (store away, too busy) has a `code` and a message without our internals.
- Anything else is our bug: the client gets a correlation id, the log the same id and the traceback.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

from graphql import GraphQLError, GraphQLSyntaxError
from sqlalchemy.exc import OperationalError

from graphql_api.observability import Metrics
from graphql_api.workers import Overloaded
from musicfp.errors import InvalidRequest, RetryableError, StoreUnavailable

LOGGER = logging.getLogger(__name__)

INVALID_ARGUMENT = "INVALID_ARGUMENT"
INVALID_CURSOR = "INVALID_CURSOR"
SYNTAX_ERROR = "SYNTAX_ERROR"
INVALID_OPERATION = "INVALID_OPERATION"
BODY_TOO_LARGE = "BODY_TOO_LARGE"
BAD_REQUEST = "BAD_REQUEST"
TRACK_DELETED = "TRACK_DELETED"
OVERLOADED = "OVERLOADED"
STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
DATABASE_UNAVAILABLE = "DATABASE_UNAVAILABLE"
TRY_AGAIN = "TRY_AGAIN"
INTERNAL = "INTERNAL"

_LOGGED_CHARACTERS = 200


@dataclass(frozen=True)
class PublicError:
    """What a client may know of an error. With `is_fault` it is ours, and `correlation_id` finds it in the log."""

    code: str
    message: str
    is_fault: bool = False
    correlation_id: str | None = None


def client_error(code: str, message: str, *, argument: str | None = None) -> GraphQLError:
    """Return the error to raise for a caller's mistake that no result union covers."""
    extensions = {"code": code} if argument is None else {"code": code, "argument": argument}
    return GraphQLError(message, extensions=extensions)


def publish(error: BaseException, metrics: Metrics, *, operation: str) -> PublicError:
    """Decide what a client may know of an exception; count it, and log it if it is our fault."""
    public = _passing(error) or PublicError(
        INTERNAL, "Something went wrong here, and it is logged under the correlation id.", is_fault=True
    )
    metrics.errors.labels(public.code).inc()
    if not public.is_fault:
        return public
    correlation_id = uuid4().hex
    LOGGER.error(
        "request failed: operation=%s code=%s correlation_id=%s", operation, public.code, correlation_id, exc_info=error
    )
    return PublicError(public.code, public.message, is_fault=True, correlation_id=correlation_id)


def publish_graphql(errors: Sequence[GraphQLError], metrics: Metrics, *, operation: str) -> list[GraphQLError]:
    """Return the errors of one GraphQL answer as the client gets them; count all and log them."""
    published: list[GraphQLError] = []
    refused: list[GraphQLError] = []
    for error in errors:
        own = _own_error(error)
        if own is not None:
            metrics.errors.labels((own.extensions or {})["code"]).inc()
            refused.append(own)
            published.append(own)
        else:
            public = publish(error.original_error or error, metrics, operation=operation)
            extensions = {"code": public.code}
            if public.correlation_id:
                extensions["correlationId"] = public.correlation_id
            published.append(_like(error, public.message, extensions))
    if refused:
        first = refused[0]
        LOGGER.warning(
            "request refused: operation=%s code=%s errors=%d message=%r",
            operation,
            (first.extensions or {})["code"],
            len(refused),
            first.message[:_LOGGED_CHARACTERS],
        )
    return published


def _own_error(error: GraphQLError) -> GraphQLError | None:
    """Return the error with a code if it is the caller's own mistake, None if it is not."""
    original = error.original_error
    if original is not None and not isinstance(original, GraphQLError):
        return None
    extensions = dict(error.extensions or {})
    if "code" not in extensions:
        extensions["code"] = SYNTAX_ERROR if isinstance(error, GraphQLSyntaxError) else INVALID_OPERATION
    return _like(error, error.message, extensions)


def _like(error: GraphQLError, message: str, extensions: dict[str, str]) -> GraphQLError:
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions,
    )


def _passing(error: BaseException) -> PublicError | None:
    """Return what may be said of an error that is expected to happen, None for a bug."""
    match error:
        case Overloaded():
            return PublicError(OVERLOADED, "Too many requests are waiting. Try again in a few seconds.")
        case StoreUnavailable():
            return PublicError(STORE_UNAVAILABLE, "The object store does not answer. Try again later.", is_fault=True)
        case OperationalError():
            return PublicError(DATABASE_UNAVAILABLE, "The database does not answer. Try again later.", is_fault=True)
        case InvalidRequest():
            return PublicError(error.code, error.message)
        case RetryableError():
            return PublicError(TRY_AGAIN, "This did not work just now. Try again.", is_fault=True)
    return None
