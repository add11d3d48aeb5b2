"""Relay connections over keyset pages: forward only, opaque cursors, and a count that is made only when asked for."""

import base64
import binascii
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import strawberry

from graphql_api.context import Info
from graphql_api.errors import INVALID_ARGUMENT, INVALID_CURSOR, client_error
from graphql_api.fields import resolved
from graphql_api.limits import MAX_PAGE_ITEMS

Node = TypeVar("Node")
_MAX_CURSOR_CHARACTERS = 64


@strawberry.type(description="Where a page stands among all.")
class PageInfo:
    """Relay's page information, for forward paging."""

    has_next_page: bool = strawberry.field(description="Whether more follow.")
    has_previous_page: bool = strawberry.field(description="Whether this page was asked for with `after`.")
    start_cursor: str | None = strawberry.field(description="Cursor of the first edge; null on an empty page.")
    end_cursor: str | None = strawberry.field(description="Cursor of the last edge, for the next page's `after`.")


@strawberry.type(description="One item of a page and its cursor.")
class Edge(Generic[Node]):
    """Relay's edge."""

    node: Node = strawberry.field(description="The item.")
    cursor: str = strawberry.field(description="Opaque position of the item; pass it as `after`.")


@strawberry.type(description="One page.")
class Connection(Generic[Node]):
    """Relay's connection. `count` asks the database, in a thread, when `totalCount` is selected."""

    count: strawberry.Private[Callable[[Any], int]]
    edges: list[Edge[Node]] = strawberry.field(description="Items of this page, in order.")
    page_info: PageInfo = strawberry.field(description="Where this page stands among all.")

    @resolved("How many items all pages hold together.")
    async def total_count(self, info: Info) -> int:
        """Count in a transaction of its own."""
        services = info.context.services

        def count() -> int:
            with services.database.read() as session:
                return self.count(session)

        return await services.workers.database.run(count)


def connection_of(
    nodes: list[Node], cursors: list[str], *, has_next: bool, after: str | None, count: Callable[[Any], int]
) -> Connection[Node]:
    """Put nodes and their cursors together."""
    return Connection(
        count=count,
        edges=[Edge(node=node, cursor=cursor) for node, cursor in zip(nodes, cursors, strict=True)],
        page_info=PageInfo(
            has_next_page=has_next,
            has_previous_page=after is not None,
            start_cursor=cursors[0] if cursors else None,
            end_cursor=cursors[-1] if cursors else None,
        ),
    )


def page_size(first: int) -> int:
    """Return how many items to load: at most MAX_PAGE_ITEMS. Raises a client error below 1."""
    if first < 1:
        raise client_error(
            INVALID_ARGUMENT, f"`first` is {first}; ask for 1 to {MAX_PAGE_ITEMS} items.", argument="first"
        )
    return min(first, MAX_PAGE_ITEMS)


def encode_cursor(kind: str, key: str) -> str:
    """Return the opaque form of a key."""
    return base64.urlsafe_b64encode(f"{kind}:{key}".encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str | None) -> str | None:
    """Return the key in a cursor that `encode_cursor` made for the same kind. Raises a client error for any other."""
    if cursor is None:
        return None
    try:
        padded = cursor[:_MAX_CURSOR_CHARACTERS] + "=" * (-len(cursor) % 4)
        found_kind, _, key = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    if found_kind != kind or encode_cursor(kind, key) != cursor:
        raise bad_cursor()
    return key


def bad_cursor() -> Exception:
    """Return the client error for a cursor that is none of ours."""
    return client_error(
        INVALID_CURSOR, "`after` is not a cursor of this list. Pass an `endCursor` as it was given.", argument="after"
    )
