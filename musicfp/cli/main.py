"""The `musicfp` command group. Sub-commands are imported only when they are called, so that each starts quickly.

What belongs here: the list of commands and what all of them share (errors, exit codes). Each command is a module of
its own.
"""

import importlib
import importlib.util
from typing import Any, NoReturn

import click

from musicfp import __version__
from musicfp.errors import MusicfpError

# name: (module:function, what `musicfp --help` says)
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("musicfp.cli.up:up", "Start everything and serve until Ctrl-C."),
    "demo": ("musicfp.cli.demo:demo", "Fill the catalogue with synthetic songs and show what happens."),
    "submit": ("musicfp.cli.submit:submit", "Upload files and folders."),
    "identify": ("musicfp.cli.identify:identify", "Say which track a file is."),
    "fingerprint": ("musicfp.cli.fingerprint:fingerprint", "Compute a file's fingerprint; needs no server."),
    "compare": ("musicfp.cli.fingerprint:compare", "Compare two files; needs no server."),
    "tracks": ("musicfp.cli.catalogue:tracks", "List the catalogue's tracks."),
    "track": ("musicfp.cli.catalogue:track", "Show one track."),
    "delete": ("musicfp.cli.delete:delete", "Delete a track and everything made of it."),
    "submissions": ("musicfp.cli.catalogue:submissions", "List submissions and their verdicts."),
    "verdicts": ("musicfp.cli.verdicts:verdicts", "List verdicts, or what a changed policy would flip."),
    "similar": ("musicfp.cli.features:similar", "List the tracks that sound most like one."),
    "features": ("musicfp.cli.features:features", "Show how many tracks have each feature."),
    "backfill": ("musicfp.cli.backfill:backfill", "Compute one feature for all tracks."),
    "models": ("musicfp.cli.models:models", "List models and their licences, or install one."),
    "db": ("musicfp.cli.db:db", "Migrate the database, or check all that is in it."),
    "backup": ("musicfp.cli.backup:backup", "Copy a local catalogue with its objects into a directory."),
    "restore": ("musicfp.cli.backup:restore", "Put such a copy back."),
    "index": ("musicfp.cli.index:index", "Verify or rebuild the search index."),
    "doctor": ("musicfp.cli.doctor:doctor", "Check what musicfp needs and say how to fix it."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use; a MusicfpError ends the command with its message and status 1."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the commands in the order of `COMMANDS`."""
        return [name for name, (target, _) in COMMANDS.items() if _module_exists(target)]

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Import a command."""
        if name not in COMMANDS or not _module_exists(COMMANDS[name][0]):
            return None
        module, _, function = COMMANDS[name][0].partition(":")
        command = getattr(importlib.import_module(module), function)
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[name][0]} is not a click command.")
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(context)])

    def invoke(self, context: click.Context) -> Any:
        """Run the command; turn errors that musicfp raises on purpose into one clear message."""
        try:
            return super().invoke(context)
        except MusicfpError as error:
            _fail(error)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="musicfp")
def main() -> None:
    """Turn uploaded audio into a clean, searchable catalogue.

    Exit status: 0 ok, 1 the request failed, 2 wrong usage.
    """


def _fail(error: MusicfpError) -> NoReturn:
    raise click.ClickException(str(error)) from error


def _module_exists(target: str) -> bool:
    return importlib.util.find_spec(target.partition(":")[0]) is not None


if __name__ == "__main__":
    main(prog_name="musicfp")
