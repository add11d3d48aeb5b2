"""`musicfp delete`: take a track out of the catalogue for good, and tell what was removed."""

import time
from collections.abc import Callable

import click

from musicfp.cli.common import api_option, connect, json_option, megabytes, print_json, print_table, say, visible
from musicfp.client.api import delete_track, find_deletion, get_track
from musicfp.client.http import Json, Service
from musicfp.errors import NotFound

POLL_S = 1.0
# Batches that were running when it was asked for come first; it goes on without anybody waiting.
_PATIENCE_S = 3600.0


@click.command()
@click.argument("track_id", metavar="ID")
@click.option("--reason", help="Why, for others to understand later.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="Wait until its files are removed as well.")
@api_option
@json_option
@click.pass_context
def delete(
    context: click.Context,
    *,
    track_id: str,
    reason: str | None,
    yes: bool,
    wait: bool,
    api_url: str | None,
    as_json: bool,
) -> None:
    """Delete a track: its files, fingerprints, features, and every trace of it in searches and in Dagster.

    It is gone from all answers at once. Its files are removed when no run works on them any more. This cannot be
    undone; the same recording may be submitted again. Exit status 1 if there is no such track, or, with --wait, if
    something of it is still left after an hour.
    """
    with connect(api_url) as api:
        if not yes and find_deletion(api, track_id) is None:
            found = get_track(api, track_id)
            question = f"Delete {found['artist']} - {found['title']} and everything made of it, for good?"
            click.confirm(visible(question), abort=True, err=True)
        deletion = delete_track(api, track_id, reason=reason)
        if wait:
            deletion = wait_until_finished(api, deletion)
    if as_json:
        print_json(deletion)
    else:
        print_table(("REMOVED", "COUNT", "SIZE"), [_row(each) for each in deletion["removed"]])
    if deletion["finishedAt"] is None:
        say(f"Track {deletion['trackId']} is deleted. Its files are being removed.")
        if wait:
            context.exit(1)


def wait_until_finished(
    api: Service,
    deletion: Json,
    *,
    pause: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Json:
    """Ask until nothing of the track is left, or patience ends; return the deletion as it stands then."""
    until_s = now() + _PATIENCE_S
    while deletion["finishedAt"] is None and now() < until_s:
        pause(POLL_S)
        found = find_deletion(api, deletion["trackId"])
        if found is None:
            raise NotFound(f"The catalogue knows of no deletion of track {deletion['trackId']} any more.")
        deletion = found
    return deletion


def _row(removed: Json) -> tuple[str, ...]:
    size = "" if removed["sizeBytes"] is None else megabytes(int(removed["sizeBytes"]))
    return removed["kind"].replace("_", " "), str(removed["count"]), size
