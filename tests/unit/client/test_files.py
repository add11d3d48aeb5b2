"""Which files are sent."""

from pathlib import Path

import pytest

from musicfp.client.files import is_unchanged, read_facts, select_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "music"
    (root / "disc 2").mkdir(parents=True)
    for name in ("b.MP3", "a.flac", "cover.jpg", "notes", "._a.flac", "disc 2/c.opus"):
        (root / name).write_bytes(b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.mp3").write_bytes(b"x")
    (root / "linked").symlink_to(outside)
    (root / "linked.mp3").symlink_to(outside / "secret.mp3")
    (root / "loop").symlink_to(root)
    return root


def test_folders_give_their_audio_files_in_order_and_count_the_rest(folder: Path) -> None:
    found = select_files([folder])
    assert [str(path.relative_to(folder)) for path in found.files] == ["a.flac", "b.MP3", "disc 2/c.opus"]
    assert (found.n_skipped, found.n_links) == (3, 1)


def test_links_in_folders_are_not_followed(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in select_files([folder]).files}
    assert not [name for name in names if name.startswith(("linked", "loop")) or "secret" in name]


def test_named_files_are_sent_whatever_they_are_called_and_only_once(folder: Path) -> None:
    found = select_files([folder / "notes", folder / "a.flac", folder])
    assert [path.name for path in found.files] == ["notes", "a.flac", "b.MP3", "c.opus"]


def test_a_file_that_grew_is_not_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "take.wav"
    path.write_bytes(b"one")
    facts = read_facts(path)
    assert facts.sha256 == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert is_unchanged(path, facts)
    path.write_bytes(b"one two")
    assert not is_unchanged(path, facts)
