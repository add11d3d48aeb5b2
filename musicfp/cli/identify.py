"""`musicfp identify`: ask the API which track a file is."""

from pathlib import Path

import click

from musicfp.cli.common import api_option, connect, existing_file, json_option, minutes, print_json, print_table, say
from musicfp.client.api import identify_file
from musicfp.client.http import Json


@click.command()
@click.argument("file", type=existing_file)
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True, help="Most matches to show.")
@api_option
@json_option
def identify(*, file: Path, limit: int, api_url: str | None, as_json: bool) -> None:
    """Say which track FILE is, where in it FILE starts, and how sure that is.

    That nothing matches is an answer: exit status 0.
    """
    with connect(api_url) as api:
        answer = identify_file(api, file, limit=limit)
    if as_json:
        print_json(answer)
    elif answer["matches"]:
        print_matches(answer["matches"])
    else:
        say(f"No match: nothing in the catalogue sounds like {file.name}.")


def print_matches(matches: list[Json]) -> None:
    """Print matches as a table; the offset is where the query starts inside the track."""
    columns = ("TRACK", "ARTIST", "TITLE", "SCORE", "OFFSET", "OVERLAP", "RELATION")
    print_table(columns, [_row(match) for match in matches])


def _row(match: Json) -> tuple[str, ...]:
    track = match["track"]
    return (
        track["id"],
        track["artist"],
        track["title"],
        f"{match['score']:.2f}",
        minutes(match["offsetSeconds"]),
        minutes(match["overlapSeconds"]),
        match["relation"],
    )
