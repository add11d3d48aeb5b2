"""Typed forms of Strawberry's field decorators, whose own declaration says nothing about what they return.

What belongs here: decorators. Every one of them demands a description.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import strawberry
from strawberry.types.field import StrawberryField

Resolver = Callable[..., Awaitable[Any]]


def resolved(description: str) -> Callable[[Resolver], StrawberryField]:
    """Make an async resolver a field. A plain function is refused by the type: it would run on the event loop."""

    def decorate(resolver: Resolver) -> StrawberryField:
        return strawberry.field(resolver, description=description)

    return decorate


def mutating(description: str) -> Callable[[Resolver], StrawberryField]:
    """Make an async resolver a field of Mutation."""

    def decorate(resolver: Resolver) -> StrawberryField:
        return strawberry.mutation(resolver, description=description)

    return decorate
