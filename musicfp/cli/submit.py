"""`musicfp submit`: upload files and folders, and show what became of them."""

import getpass
import socket
from collections.abc import Sequence
from pathlib import Path

import click

from musicfp.cli.common import SubmitProgress, api_option, connect, json_option, print_json, print_table, say
from musicfp.client.files import select_files
from musicfp.client.journal import JOURNAL_NAME, Journal
from musicfp.client.submit import Upload, submit_files, wait_for_verdicts
from musicfp.identity import MAX_SUBMITTER_CHARACTERS
from musicfp.settings import Settings

# Verdicts that answer the request; FAILED and EXPIRED do not.
_ANSWERED = frozenset({"ACCEPTED", "DUPLICATE", "NEEDS_REVIEW", "REJECTED"})


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=click.Path(exists=True, path_type=Path))
@click.option("--wait", is_flag=True, help="Wait for the verdicts and print them.")
@click.option("--submitter", metavar="NAME", help="Who submits; submitters take turns.  [default: user@host]")
@api_option
@json_option
@click.pass_context
def submit(
    context: click.Context,
    *,
    paths: tuple[Path, ...],
    wait: bool,
    submitter: str | None,
    api_url: str | None,
    as_json: bool,
) -> None:
    """Upload audio files, and those in folders, through the API.

    May be repeated after an interruption: nothing is uploaded twice. Exit status 1 if a file could not be uploaded, or,
    with --wait, got no verdict; a rejected file has a verdict.
    """
    selection = select_files(paths)
    if selection.n_skipped:
        say(f"Skipped {selection.n_skipped} files not named like audio; name such a file itself to send it.")
    if selection.n_links:
        say(f"Skipped {selection.n_links} symbolic links; name what they point to.")
    if not selection.files:
        raise click.ClickException("There is no audio file in what was named, so nothing was uploaded.")
    journal_path = Settings.from_env().home / JOURNAL_NAME
    with connect(api_url) as api, Journal(journal_path) as journal, SubmitProgress() as progress:
        who = submitter or _user_at_host()
        uploads = submit_files(api, journal, selection.files, submitter=who, progress=progress)
        if wait:
            uploads = wait_for_verdicts(api, uploads, progress=progress)
    _print(uploads, as_json=as_json, waited=wait)
    n_before = sum(upload.was_uploaded_before for upload in uploads)
    if n_before:
        say(f"{n_before} of {len(uploads)} files had been uploaded before and were not sent again.")
    _exit(context, uploads, waited=wait)


def _user_at_host() -> str | None:
    """Return who runs this where, None on a machine that does not say."""
    try:
        name = f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):  # a container may run as a user without a name
        return socket.gethostname()[:MAX_SUBMITTER_CHARACTERS] or None
    return name[:MAX_SUBMITTER_CHARACTERS]


def _print(uploads: Sequence[Upload], *, as_json: bool, waited: bool) -> None:
    if as_json:
        print_json([upload_as_json(upload) for upload in uploads])
    elif waited:
        print_table(("FILE", "STATUS", "RELATION", "REASON"), [verdict_row(upload) for upload in uploads])
    else:
        rows = [(upload.path.name, upload.submission_id or "-", upload.problem or "uploaded") for upload in uploads]
        print_table(("FILE", "SUBMISSION", "STATE"), rows)


def upload_as_json(upload: Upload) -> dict[str, object]:
    """Return one upload as the command prints it with --json."""
    return {
        "path": str(upload.path),
        "submissionId": upload.submission_id,
        "uploadedBefore": upload.was_uploaded_before,
        "problem": upload.problem,
        "submission": upload.state.answer if upload.state else None,
    }


def verdict_row(upload: Upload) -> tuple[str, str, str, str]:
    """Return file, status, relation and reason."""
    if upload.state is None:
        status = "NOT UPLOADED" if upload.problem else "UNKNOWN"
        return upload.path.name, status, "", upload.problem or ""
    return upload.path.name, upload.state.status, upload.state.relation or "", upload.state.reason


def _exit(context: click.Context, uploads: Sequence[Upload], *, waited: bool) -> None:
    n_problems = sum(upload.problem is not None for upload in uploads)
    if n_problems:
        say(f"{n_problems} of {len(uploads)} files could not be uploaded.")
    undecided = [
        upload
        for upload in uploads
        if waited and not upload.problem and (upload.state is None or upload.state.status not in _ANSWERED)
    ]
    if undecided:
        say(
            f"{len(undecided)} of {len(uploads)} files got no verdict. Is Dagster running (`musicfp doctor`)? "
            "Run the same command again to go on waiting; nothing is uploaded twice."
        )
    if n_problems or undecided:
        context.exit(1)
