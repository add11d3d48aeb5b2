"""`musicfp tracks`, `track` and `submissions`: read the catalogue."""

from collections.abc import Iterable, Sequence

import click

from musicfp.cli.common import api_option, connect, json_option, megabytes, minutes, print_json, print_table, say
from musicfp.client.api import PAGE_ITEMS, SubmissionState, get_track, list_submissions, list_tracks, nodes
from musicfp.client.http import Json

_STATUSES = ("AWAITING_UPLOAD", "RECEIVED", "ACCEPTED", "DUPLICATE", "NEEDS_REVIEW", "REJECTED", "FAILED", "EXPIRED")
# A long vector would push everything else off the screen; --json has all of it.
_VECTOR_VALUES_SHOWN = 6

_first_option = click.option(
    "--first", type=click.IntRange(1, 100), default=PAGE_ITEMS, show_default=True, help="How many to show."
)
_after_option = click.option("--after", metavar="CURSOR", help="Go on behind this cursor of the page before.")


@click.command()
@_first_option
@_after_option
@click.option("--title", help="Only titles that contain this.")
@click.option("--artist", help="Only artists that contain this.")
@api_option
@json_option
def tracks(
    *, first: int, after: str | None, title: str | None, artist: str | None, api_url: str | None, as_json: bool
) -> None:
    """List the tracks of the catalogue."""
    where = {name: text for name, text in (("title", title), ("artist", artist)) if text is not None}
    with connect(api_url) as api:
        page = list_tracks(api, first=first, after=after, where=where)
    if as_json:
        print_json(page)
        return
    rows = [
        (node["id"], node["artist"], node["title"], node["album"] or "", minutes(node["durationSeconds"]))
        for node in nodes(page)
    ]
    print_table(("ID", "ARTIST", "TITLE", "ALBUM", "LENGTH"), rows)
    _say_where_the_rest_is(page, len(rows))


@click.command()
@click.argument("track_id", metavar="ID")
@api_option
@json_option
def track(*, track_id: str, api_url: str | None, as_json: bool) -> None:
    """Show everything about one track: tags, files, features, relatives and how they came to be."""
    with connect(api_url) as api:
        found = get_track(api, track_id)
    if as_json:
        print_json(found)
        return
    click.echo(f"{found['artist']} - {found['title']}  ({minutes(found['durationSeconds'])})")
    _section("Tags", ("NAME", "VALUE"), [(tag["name"], tag["value"]) for tag in found["tags"]])
    files = [("source", found["source"]), *((item["profile"], item) for item in found["transcodes"])]
    _section("Files", ("FILE", "CODEC", "CONTAINER", "BIT RATE", "SIZE"), [_file_row(*file) for file in files])
    features = [(item["name"], feature_text(item), item["extractor"], item["version"]) for item in found["features"]]
    _section("Features", ("NAME", "VALUE", "EXTRACTOR", "VERSION"), features)
    related = [
        (item["relation"], item["track"]["id"], f"{item['track']['artist']} - {item['track']['title']}")
        for item in found["related"]
    ]
    _section("Related", ("RELATION", "ID", "TRACK"), related)
    made = [
        (item["assetKey"], item["materializedAt"], item["codeVersion"] or "", item["runId"])
        for item in found["lineage"]
    ]
    _section("Lineage", ("ASSET", "MADE", "CODE VERSION", "RUN"), made)


@click.command()
@_first_option
@_after_option
@click.option("--status", type=click.Choice(_STATUSES, case_sensitive=False), help="Only those with this status.")
@api_option
@json_option
def submissions(*, first: int, after: str | None, status: str | None, api_url: str | None, as_json: bool) -> None:
    """List submissions and what became of them."""
    with connect(api_url) as api:
        page = list_submissions(api, first=first, after=after, status=status)
    if as_json:
        print_json(page)
        return
    states = [SubmissionState.from_json(node) for node in nodes(page)]
    rows = [
        (state.submission_id, state.answer["filename"], state.status, state.relation or "", state.reason)
        for state in states
    ]
    print_table(("ID", "FILE", "STATUS", "RELATION", "REASON"), rows)
    _say_where_the_rest_is(page, len(rows))


def feature_text(feature: Json) -> str:
    """Return a feature's value with its unit, or why it has none."""
    if feature["status"] != "OK" and feature["reason"]:
        return f"{feature['status']}: {feature['reason']}"
    if feature["text"] is not None:
        return str(feature["text"])
    if feature["value"] is not None:
        return f"{feature['value']:.6g} {feature['unit'] or ''}".rstrip()
    vector = feature["vector"] or []
    shown = ", ".join(f"{value:.3g}" for value in vector[:_VECTOR_VALUES_SHOWN])
    return f"[{shown}{', ...' if len(vector) > _VECTOR_VALUES_SHOWN else ''}] ({len(vector)} values)"


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    listed = list(rows)
    click.echo(f"\n{title}")
    if listed:
        print_table(columns, listed)
    else:
        click.echo("none")


def _file_row(name: str, file: Json) -> tuple[str, ...]:
    bitrate = f"{file['bitrateBps'] / 1000:.0f} kbit/s" if file["bitrateBps"] else ""
    return name, file["codec"], file["container"], bitrate, megabytes(file["sizeBytes"])


def _say_where_the_rest_is(page: Json, n_shown: int) -> None:
    if page["pageInfo"]["hasNextPage"]:
        say(f"{n_shown} of {page['totalCount']} shown. For the next ones: --after {page['pageInfo']['endCursor']}")
