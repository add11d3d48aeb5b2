"""`musicfp models`: which models there are, under which licences, and installing those that are not bundled."""

from collections.abc import Iterator
from pathlib import Path

import click

from musicfp.cli.common import Bar, existing_file, json_option, megabytes, print_json, print_table, say
from musicfp.errors import InvalidRequest
from musicfp.features.models.download import download
from musicfp.features.models.entry import ModelEntry
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.registry import load_builtin

_CHUNK_BYTES = 1 << 20


@click.group()
def models() -> None:
    """List the models that features are computed with, or install one."""


@models.command("list")
@json_option
def list_models(*, as_json: bool) -> None:
    """Show each model with its licence, whether it is installed, and the features that depend on it."""
    shelf = ModelShelf.of_settings()
    used_by = _used_by()
    if as_json:
        print_json([_as_json(each, shelf, used_by.get(each.name, [])) for each in shelf.models.values()])
        return
    print_table(
        ("model", "version", "kind", "licence", "commercial use", "installed", "features"),
        [
            (
                each.name,
                each.version,
                each.kind.value,
                each.licence.name,
                "yes" if each.licence.commercial_use else "NO",
                _state(each, shelf),
                ", ".join(used_by.get(each.name, [])),
            )
            for each in shelf.models.values()
        ],
    )


@models.command()
@click.argument("name")
@click.option("--accept-licence", is_flag=True, help="You have read the licence and accept it.")
@click.option("--file", "local_file", type=existing_file, help="Take this file instead of downloading it.")
@json_option
def install(*, name: str, accept_licence: bool, local_file: Path | None, as_json: bool) -> None:
    """Show the licence of a model and, if it is accepted, download the model into MUSICFP_MODELS_DIR.

    The file is kept only if its checksum is that of the model. What depends on it is then computed for all tracks
    while `musicfp up` runs; every machine that analyses tracks needs the model.
    """
    shelf = ModelShelf.of_settings()
    entry = _known(shelf, name)
    features = _used_by().get(name, [])
    if not shelf.has(name):
        _show_licence(entry)
        if not accept_licence:
            raise InvalidRequest(
                "licence_not_accepted",
                f"{name} was not installed. Read its licence, {entry.licence.url}, and if you accept it run "
                f"`musicfp models install {name} --accept-licence`.",
            )
        _install(shelf, entry, local_file)
        say(f"Installed {shelf.path_of(entry)}. Stale now, and computed again by `musicfp up`: {', '.join(features)}.")
    else:
        shelf.check(name)
        say(f"{name} is installed already, and intact.")
    if as_json:
        print_json(_as_json(entry, shelf, features))


def _install(shelf: ModelShelf, entry: ModelEntry, local_file: Path | None) -> None:
    if local_file is not None:
        shelf.put(entry, _read(local_file))
        return
    with Bar(f"Downloading {entry.name}") as bar:
        shelf.put(entry, _watched(download(entry), entry, bar))


def _watched(chunks: Iterator[bytes], entry: ModelEntry, bar: Bar) -> Iterator[bytes]:
    n_bytes = 0
    for chunk in chunks:
        n_bytes += len(chunk)
        bar.show(done=n_bytes, total=entry.size_bytes or n_bytes, amount=megabytes(n_bytes))
        yield chunk


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _known(shelf: ModelShelf, name: str) -> ModelEntry:
    if name not in shelf.models:
        raise InvalidRequest("unknown_model", f"There is no model {name}. Known are: {', '.join(shelf.models)}.")
    return shelf.models[name]


def _show_licence(entry: ModelEntry) -> None:
    say(f"{entry.name} {entry.version}, {entry.file}")
    say(f"From: {entry.origin}.")
    say(f"Licence: {entry.licence.name}, {entry.licence.url}")
    say(entry.licence.summary)


def _used_by() -> dict[str, list[str]]:
    """Return the extractors that depend on each model, by its name."""
    found: dict[str, list[str]] = {}
    for extractor in load_builtin().all():
        for model in extractor.models:
            found.setdefault(model, []).append(extractor.name)
    return found


def _state(entry: ModelEntry, shelf: ModelShelf) -> str:
    if not shelf.has(entry.name):
        return "MISSING" if entry.bundled else "no"
    return "comes with musicfp" if entry.bundled else "yes"


def _as_json(entry: ModelEntry, shelf: ModelShelf, features: list[str]) -> dict[str, object]:
    return {
        "name": entry.name,
        "version": entry.version,
        "kind": entry.kind.value,
        "licence": entry.licence.name,
        "licenceUrl": entry.licence.url,
        "commercialUse": entry.licence.commercial_use,
        "origin": entry.origin,
        "url": entry.url,
        "sha256": entry.sha256,
        "sizeBytes": entry.size_bytes,
        "bundled": entry.bundled,
        "installed": shelf.has(entry.name),
        "path": str(shelf.path_of(entry)),
        "features": features,
    }
