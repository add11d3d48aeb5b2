"""`musicfp features` and `musicfp similar`: what was computed of the catalogue's sound, and what it is good for."""

import click

from musicfp.cli.common import api_option, connect, json_option, print_json, print_table, say
from musicfp.client.api import feature_coverage, similar_tracks
from musicfp.client.http import Json
from musicfp.similarity.embeddings import DEFAULT_EMBEDDING


@click.command()
@api_option
@json_option
def features(*, api_url: str | None, as_json: bool) -> None:
    """Show how many tracks have the values of each extractor, and in which version.

    OLDER are those of the pending and failed tracks whose values of another version are served meanwhile.
    """
    with connect(api_url) as api:
        found = feature_coverage(api)
    if as_json:
        print_json(found)
        return
    columns = ("EXTRACTOR", "VERSION", "DONE", "PENDING", "FAILED", "OLDER", "COVERAGE")
    print_table(columns, [_row(each) for each in found])


@click.command()
@click.argument("track_id", metavar="ID")
@click.option("--first", type=click.IntRange(1, 100), default=10, show_default=True, help="How many to show.")
@click.option("--by", default=DEFAULT_EMBEDDING, show_default=True, metavar="EMBEDDING", help="What to compare by.")
@api_option
@json_option
def similar(*, track_id: str, first: int, by: str, api_url: str | None, as_json: bool) -> None:
    """List the tracks that sound most like one."""
    with connect(api_url) as api:
        found = similar_tracks(api, track_id, first=first, by=by)
    if as_json:
        print_json(found)
        return
    rows = [
        (f"{each['distance']:.3f}", each["track"]["id"], each["track"]["artist"], each["track"]["title"])
        for each in found
    ]
    print_table(("DISTANCE", "ID", "ARTIST", "TITLE"), rows)
    if not found:
        say("None: it is alone, or has not got these features. `musicfp track ID` shows its features.")


def _row(coverage: Json) -> tuple[str, ...]:
    # 99.96 % is not all.
    percent = int(coverage["share"] * 1000) / 10
    counts = (coverage[f"{name}Count"] for name in ("done", "pending", "failed", "outdated"))
    return coverage["extractor"], coverage["version"], *map(str, counts), f"{percent:.1f} %"
