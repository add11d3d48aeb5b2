"""What to look for among tracks: inputs, checked and turned into the catalogue's conditions."""

import strawberry

from graphql_api.errors import INVALID_ARGUMENT, client_error
from graphql_api.limits import MAX_LIST_ITEMS, MAX_TEXT_CHARACTERS
from musicfp.catalog.pages import EVERY_TRACK, FeatureCondition, TagCondition, TrackConditions


@strawberry.input(description="A tag that a track must carry.")
class TagFilter:
    """Name and part of the value."""

    name: str = strawberry.field(description="Name of the tag, whatever the case.")
    value: str | None = strawberry.field(default=None, description="Text that it must contain, whatever the case.")


@strawberry.input(description="A feature of which a track must have a value.")
class FeatureFilter:
    """Name and bounds or text."""

    name: str = strawberry.field(description="Dotted name of the feature.")
    min_value: float | None = strawberry.field(default=None, description="Smallest value, inclusive.")
    max_value: float | None = strawberry.field(default=None, description="Largest value, inclusive.")
    text: str | None = strawberry.field(default=None, description="Exact text, for a feature that is one.")


@strawberry.input(description="What tracks must fulfil, all of it. Texts are found anywhere, whatever the case.")
class TrackFilter:
    """Conditions on tracks."""

    title: str | None = strawberry.field(default=None, description="Text in the title.")
    artist: str | None = strawberry.field(default=None, description="Text in the artist.")
    album: str | None = strawberry.field(default=None, description="Text in the album.")
    text: str | None = strawberry.field(default=None, description="Text in the title, artist, album or any tag.")
    min_duration_seconds: float | None = strawberry.field(default=None, description="Shortest length in seconds.")
    max_duration_seconds: float | None = strawberry.field(default=None, description="Greatest length in seconds.")
    tags: list[TagFilter] | None = strawberry.field(default=None, description="Tags to carry, at most 10.")
    features: list[FeatureFilter] | None = strawberry.field(default=None, description="Features to have, at most 10.")


def conditions_of(where: TrackFilter | None) -> TrackConditions:
    """Return the conditions that a filter means. Raises a client error for texts and lists out of bounds."""
    if where is None:
        return EVERY_TRACK
    tags, features = where.tags or [], where.features or []
    if max(len(tags), len(features)) > MAX_LIST_ITEMS:
        raise client_error(
            INVALID_ARGUMENT, f"A filter takes at most {MAX_LIST_ITEMS} tags and features.", argument="filter"
        )
    return TrackConditions(
        title=_checked(where.title),
        artist=_checked(where.artist),
        album=_checked(where.album),
        text=_checked(where.text),
        min_duration_s=where.min_duration_seconds,
        max_duration_s=where.max_duration_seconds,
        tags=[TagCondition(_checked(each.name) or "", _checked(each.value)) for each in tags],
        features=[
            FeatureCondition(_checked(each.name) or "", each.min_value, each.max_value, _checked(each.text))
            for each in features
        ],
    )


def _checked(text: str | None) -> str | None:
    """Return a text that any database takes as a parameter; blank means not given."""
    if text is None or not text.strip():
        return None
    if len(text) > MAX_TEXT_CHARACTERS:
        raise client_error(
            INVALID_ARGUMENT, f"A text to look for has at most {MAX_TEXT_CHARACTERS} characters.", argument="filter"
        )
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise client_error(
            INVALID_ARGUMENT, "A text to look for may not hold NUL or half characters.", argument="filter"
        )
    return text
