"""`musicfp index`: hold the index that searches use against the fingerprints, mend it, tell of its accelerator."""

import click

from musicfp.catalog import index_upkeep, search_index
from musicfp.catalog.engine import Database
from musicfp.catalog.index_upkeep import Difference, IndexReport
from musicfp.catalog.search_index import Build
from musicfp.cli.common import Bar, json_option, print_json, print_table
from musicfp.cli.database import catalogue_database

_SHOWN = 20


@click.group()
def index() -> None:
    """Verify or rebuild the search index in the database of MUSICFP_DATABASE_URL, or tell of its accelerator."""


@index.command()
@json_option
@click.pass_context
def verify(context: click.Context, *, as_json: bool) -> None:
    """Compare the whole index with all fingerprints; exit status 1 when they differ."""
    with catalogue_database() as database:
        report = _verify(database)
    if as_json:
        print_json(_as_json(report))
    elif report.differences:
        _show(report)
        click.echo("Run `musicfp index rebuild`.")
    else:
        click.echo(f"The index is right: {_size(report)}.")
    if report.differences:
        context.exit(1)


@index.command()
@json_option
def rebuild(*, as_json: bool) -> None:
    """Mend what differs; searches go on meanwhile. An interrupted rebuild is continued by the next."""
    with catalogue_database() as database:
        before, after = _rebuild(database)
    if as_json:
        print_json({"nMended": len(before.differences), **_as_json(after)})
    elif before.differences:
        click.echo(f"Mended the postings of {len(before.differences)} fingerprints. Now {_size(after)}.")
    else:
        click.echo(f"Nothing to mend: {_size(before)}.")


@index.command()
@json_option
def status(*, as_json: bool) -> None:
    """Tell which build of the accelerator is the newest, what it is made of, and how much is newer."""
    with catalogue_database() as database:
        build, lag = _newest_build(database)
    if as_json:
        print_json(_status_as_json(build, lag))
    elif build is None:
        click.echo(f"There is no build. All {lag} fingerprints are searched in the database.")
    else:
        click.echo(f"Build {build.id} of {build.created_at:%Y-%m-%d %H:%M} UTC, up to revision {build.watermark}.")
        click.echo(f"Newer, and searched in the database: {lag} fingerprints.")
        print_table(
            ("fingerprint", "revisions", "fingerprints", "bytes", "object"),
            [
                (
                    each.kind.value,
                    f"{each.first_revision} to {each.last_revision}",
                    str(each.n_fingerprints),
                    str(each.size_bytes),
                    each.key,
                )
                for each in build.segments
            ],
        )


def _newest_build(database: Database) -> tuple[Build | None, int]:
    with database.read() as session:
        build = search_index.newest_build(session)
        return build, search_index.lag_fingerprints(session, watermark=build.watermark if build else 0)


def _status_as_json(build: Build | None, lag_fingerprints: int) -> dict[str, object]:
    if build is None:
        return {"build": None, "watermark": 0, "lagFingerprints": lag_fingerprints, "segments": []}
    return {
        "build": build.id,
        "createdAt": build.created_at.isoformat(),
        "watermark": build.watermark,
        "lagFingerprints": lag_fingerprints,
        "segments": [
            {
                "kind": each.kind.value,
                "firstRevision": each.first_revision,
                "lastRevision": each.last_revision,
                "nFingerprints": each.n_fingerprints,
                "nPostings": each.n_postings,
                "sizeBytes": each.size_bytes,
                "objectKey": each.key,
                "sha256": each.sha256,
            }
            for each in build.segments
        ],
    }


def _verify(database: Database) -> IndexReport:
    with database.snapshot() as session:
        return index_upkeep.verify(session)


def _rebuild(database: Database) -> tuple[IndexReport, IndexReport]:
    with Bar("Mending") as bar:

        def show(n_done: int, n_all: int) -> None:
            bar.show(done=n_done, total=n_all, amount=f"{n_done} of {n_all} fingerprints")

        before = index_upkeep.rebuild(database, progress=show)
    return before, _verify(database) if before.differences else before


def _show(report: IndexReport) -> None:
    click.echo(f"{len(report.differences)} fingerprints differ from the index, which has {_size(report)}.")
    print_table(
        ("track", "number", "fingerprint", "postings due", "postings found"),
        [
            (each.track_id or "(gone)", str(each.ordinal), each.kind, str(each.n_expected), str(each.n_found))
            for each in report.differences[:_SHOWN]
        ],
    )
    if len(report.differences) > _SHOWN:
        click.echo(f"... and {len(report.differences) - _SHOWN} more; --json lists all.")


def _size(report: IndexReport) -> str:
    return f"{report.n_postings} postings of {report.n_fingerprints} fingerprints"


def _as_json(report: IndexReport) -> dict[str, object]:
    return {
        "isRight": not report.differences,
        "nFingerprints": report.n_fingerprints,
        "nPostings": report.n_postings,
        "differences": [_difference_as_json(each) for each in report.differences],
    }


def _difference_as_json(difference: Difference) -> dict[str, object]:
    return {
        "trackId": difference.track_id,
        "ordinal": difference.ordinal,
        "kind": difference.kind,
        "nExpected": difference.n_expected,
        "nFound": difference.n_found,
    }
