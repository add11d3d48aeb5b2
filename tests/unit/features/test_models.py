"""The registry of models: what is known, what is there, and that nothing but the model is ever kept or used."""

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from musicfp.errors import ModelDamaged, RequestFailed, ServiceUnreachable
from musicfp.features.models.catalogue import DISCOGS_EFFNET, MODELS, MUSICNN_MTT
from musicfp.features.models.download import download
from musicfp.features.models.entry import ModelEntry
from musicfp.features.models.shelf import ModelShelf
from musicfp.features.registry import load_builtin
from musicfp.features.values import ModelMissing
from musicfp.settings import Settings

CONTENT = b"the weights of a model " * 1000
ROOT = Path(__file__).parents[3]


def entry_at(url: str, *, content: bytes = CONTENT, size_bytes: int | None = len(CONTENT)) -> ModelEntry:
    return dataclasses.replace(
        MODELS[DISCOGS_EFFNET],
        name="test-model",
        file="test.pb",
        url=url,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=size_bytes,
    )


def shelf_of(folder: Path, entry: ModelEntry) -> ModelShelf:
    return ModelShelf(folder, models={entry.name: entry})


@pytest.fixture
def publisher() -> Iterator[str]:
    """URL of a server on this machine: /model.pb is the model, /short breaks off, all else is not found."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path in {"/model.pb", "/short"} else 404)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:100] if self.path == "/short" else CONTENT)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_is_downloaded_checked_and_put_in_its_place(publisher: str, tmp_path: Path) -> None:
    entry = entry_at(f"{publisher}/model.pb")
    shelf = shelf_of(tmp_path / "models", entry)
    assert not shelf.has("test-model")
    assert shelf.token("test-model") == "none"
    with pytest.raises(ModelMissing, match="test-model"):
        shelf.require("test-model")
    path = shelf.put(entry, download(entry))
    assert path.read_bytes() == CONTENT
    assert shelf.require("test-model") == (entry, path)
    assert shelf.token("test-model") == entry.sha256[:8]


@pytest.mark.parametrize("size_bytes", [len(CONTENT), None])
def test_a_file_with_another_checksum_is_not_kept(publisher: str, tmp_path: Path, size_bytes: int | None) -> None:
    entry = entry_at(f"{publisher}/model.pb", content=b"what was published", size_bytes=size_bytes)
    with pytest.raises(ModelDamaged, match=f"Checksum mismatch.*{hashlib.sha256(CONTENT).hexdigest()}.*{entry.sha256}"):
        shelf_of(tmp_path, entry).put(entry, download(entry))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "size_bytes", "error", "words"),
    [
        ("/gone.pb", None, RequestFailed, "status 404"),
        ("/model.pb", 1000, RequestFailed, "more than the 1000 bytes"),
        ("/short", None, ServiceUnreachable, "could not be downloaded"),
    ],
)
def test_a_download_that_fails_leaves_nothing(
    publisher: str, tmp_path: Path, path: str, size_bytes: int | None, error: type[Exception], words: str
) -> None:
    entry = entry_at(f"{publisher}{path}", size_bytes=size_bytes)
    with pytest.raises(error, match=words):
        shelf_of(tmp_path, entry).put(entry, download(entry))
    assert list(tmp_path.iterdir()) == []


def test_nobody_answering_is_told_apart_from_a_refusal(tmp_path: Path) -> None:
    entry = entry_at("http://127.0.0.1:9/model.pb")
    with pytest.raises(ServiceUnreachable, match="--file"):
        shelf_of(tmp_path, entry).put(entry, download(entry))


def test_an_installed_file_that_was_changed_is_not_used(tmp_path: Path) -> None:
    entry = entry_at("http://127.0.0.1:9/model.pb")
    shelf = shelf_of(tmp_path, entry)
    shelf.put(entry, [CONTENT]).write_bytes(CONTENT + b"!")
    for look in (shelf.check, shelf.require):
        with pytest.raises(ModelDamaged, match="instead of"):
            look("test-model")


def test_a_model_that_changes_in_a_later_release_is_missing_not_wrong(tmp_path: Path) -> None:
    old = entry_at("http://127.0.0.1:9/model.pb")
    shelf_of(tmp_path, old).put(old, [CONTENT])
    new = dataclasses.replace(old, version="2", sha256="0" * 64)
    assert not shelf_of(tmp_path, new).has("test-model")


def test_every_model_is_described_completely_and_bundled_ones_are_intact(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path)
    notice = (ROOT / "NOTICE").read_text()
    for name, entry in MODELS.items():
        assert entry.name == name
        assert len(bytes.fromhex(entry.sha256)) == 32
        assert entry.url.startswith("https://")
        assert entry.licence.url.startswith("https://")
        assert len(set(entry.classes)) == len(entry.classes)
        if entry.bundled:
            assert entry.licence.commercial_use
            assert shelf.path_of(entry).stat().st_size == entry.size_bytes
            assert entry.file in notice
            shelf.check(name)
        else:
            assert not shelf.has(name)
    assert {name: len(MODELS[name].classes) for name in MODELS if MODELS[name].classes} == {
        "musicnn-mtt": 50,
        "musicnn-msd": 50,
        "jamendo-instrument": 40,
        "jamendo-moodtheme": 56,
    }


def test_every_model_that_can_be_installed_has_a_feature() -> None:
    used = {model for extractor in load_builtin([]).all() for model in extractor.models}
    assert set(MODELS) <= used


def test_versions_of_extractors_change_with_their_models_alone(tmp_path: Path) -> None:
    registry = load_builtin([])
    shelf = ModelShelf(tmp_path)
    before = {each.name: each.version_with(shelf) for each in registry.all()}
    assert {name: before[name] for name in ("key", "tempo", "loudness")} == {
        name: registry.get(name).version for name in ("key", "tempo", "loudness")
    }
    assert before["tags_mtt"] == f"{registry.get('tags_mtt').version}-{MODELS[MUSICNN_MTT].sha256[:8]}"
    assert before["tags_instrument"].endswith("-none-none")
    shelf.path_of(MODELS[DISCOGS_EFFNET]).write_bytes(b"")
    after = {each.name: each.version_with(shelf) for each in registry.all()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {each.name for each in registry.all() if DISCOGS_EFFNET in each.models}
    assert after["tags_instrument"].endswith(f"-{MODELS[DISCOGS_EFFNET].sha256[:8]}-none")


def test_the_folder_of_models_is_a_setting(tmp_path: Path) -> None:
    assert Settings.from_env({"MUSICFP_HOME": str(tmp_path)}).models_path == tmp_path / "models"
    assert Settings.from_env({"MUSICFP_MODELS_DIR": str(tmp_path / "m")}).models_path == tmp_path / "m"
