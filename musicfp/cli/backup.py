"""`musicfp backup` and `musicfp restore`: a local catalogue with its objects, into a directory and back."""

from pathlib import Path

import click

from musicfp.cli.common import Bar, json_option, megabytes, print_json, say
from musicfp.cli.database import catalogue_database
from musicfp.errors import StackFailed
from musicfp.pipeline.backup import BackupProgress, back_up
from musicfp.pipeline.backup_files import Manifest
from musicfp.pipeline.restore import Restored
from musicfp.pipeline.restore import restore as restore_backup
from musicfp.settings import Settings
from musicfp.store.objects import open_store
from musicfp.supervisor.ports import is_free

directory_argument = click.argument("directory", type=click.Path(file_okay=False, path_type=Path))


@click.command()
@directory_argument
@json_option
@click.pass_context
def backup(context: click.Context, *, directory: Path, as_json: bool) -> None:
    """Copy the SQLite catalogue and every object that it names into DIRECTORY, while everything goes on.

    Again into the same DIRECTORY copies only what is new. Exit status 1 when an object was missing.
    """
    settings = Settings.from_env()
    with Bar("Copying") as bar, catalogue_database() as database:

        def show(progress: BackupProgress) -> None:
            amount = f"{progress.n_objects} objects, {megabytes(progress.copied_bytes)} copied"
            bar.show(done=progress.n_objects, total=progress.n_objects + 1, amount=amount)

        manifest, progress = back_up(database, open_store(settings), settings, directory, on_progress=show)
    if as_json:
        print_json(_backup_as_json(manifest, progress))
    else:
        click.echo(
            f"{directory} has the catalogue of {manifest.created_at} with {manifest.n_objects} objects, "
            f"{megabytes(manifest.objects_bytes)}; {megabytes(progress.copied_bytes)} of them are new."
        )
    for key in manifest.missing:
        say(f"Missing in the store, or damaged: {key}")
    if manifest.missing:
        say("The backup is as good as the store was. See `musicfp db check --deep`.")
        context.exit(1)


@click.command()
@directory_argument
@click.option("--overwrite", is_flag=True, help="Replace a catalogue that is not empty.")
@json_option
def restore(*, directory: Path, overwrite: bool, as_json: bool) -> None:
    """Put the backup in DIRECTORY into the store and into an empty catalogue.

    Only the object store may run meanwhile: `musicfp up --without dagster --without api`.
    """
    settings = Settings.from_env()
    for port, part in ((settings.api_port, "The API"), (settings.dagster_port, "Dagster")):
        if not is_free(port):
            raise StackFailed(
                f"{part} runs, or something else has its port {port}. While a backup is restored only the store may "
                "run: `musicfp up --without dagster --without api`."
            )
    with Bar("Restoring") as bar, catalogue_database() as database:

        def show(n_done: int, n_all: int) -> None:
            bar.show(done=n_done, total=n_all, amount=f"{n_done} of {n_all} objects")

        restored = restore_backup(
            database, open_store(settings), settings, directory, overwrite=overwrite, on_progress=show
        )
    if as_json:
        print_json(_restored_as_json(restored))
    else:
        click.echo(f"Restored the catalogue of {restored.manifest.created_at} with {restored.n_objects} objects.")
        if restored.n_lost_uploads:
            click.echo(f"{restored.n_lost_uploads} undecided uploads are not in the backup; they are FAILED now.")


def _backup_as_json(manifest: Manifest, progress: BackupProgress) -> dict[str, object]:
    return {
        "createdAt": manifest.created_at,
        "nObjects": manifest.n_objects,
        "objectsBytes": manifest.objects_bytes,
        "nCopied": progress.n_copied,
        "copiedBytes": progress.copied_bytes,
        "missing": manifest.missing,
    }


def _restored_as_json(restored: Restored) -> dict[str, object]:
    return {
        "createdAt": restored.manifest.created_at,
        "nObjects": restored.n_objects,
        "nLostUploads": restored.n_lost_uploads,
        "missing": restored.manifest.missing,
    }
