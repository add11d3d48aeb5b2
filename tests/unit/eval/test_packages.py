"""Fetching the full set: what the script gets, what archives hold, what is said of the rest."""

import zipfile
from pathlib import Path

import pytest

from eval import packages
from eval.packages import fetch_full, is_fetched, unpack_archives


def test_music_in_archives_is_put_beside_them(tmp_path: Path) -> None:
    """Whatever path a member pretends to have, it stays in the folder; what is no audio is left out."""
    archive = tmp_path / "game" / "0music.pk3"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("music/a.ogg", b"a")
        made.writestr("../../outside.ogg", b"b")
        made.writestr("maps/level.bsp", b"c")
    unpack_archives(tmp_path)
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"game/0music unpacked/music_a.ogg": b"a", "game/0music unpacked/.._outside.ogg": b"b"}


def test_archives_of_another_kind_are_dropped(tmp_path: Path) -> None:
    """Quake's own format has the suffix too."""
    (tmp_path / "pak0.pak").write_bytes(b"PACK")
    unpack_archives(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Does as the corpus script does: a folder with a mark for each package, save those that cannot be had."""
    made = tmp_path / "fetch.sh"
    made.write_text('out=$1; shift; for p in "$@"; do mkdir -p "$out/$p"; [ $p = gone ] || touch "$out/$p/.done"; done')
    return made


def test_it_is_complete_when_every_package_is_there(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "FULL_PACKAGES", ("one", "two"))
    folder = tmp_path / "music-full"
    assert not is_fetched(folder)
    fetch_full(folder, script)
    assert is_fetched(folder)
    monkeypatch.setattr(packages, "FULL_PACKAGES", ("one", "two", "new"))
    assert not is_fetched(folder)


def test_a_package_that_is_gone_is_named(
    tmp_path: Path, script: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The rest can be evaluated, and the next run tries again."""
    monkeypatch.setattr(packages, "FULL_PACKAGES", ("one", "gone"))
    fetch_full(tmp_path / "music-full", script)
    assert "gone" in capfd.readouterr().err
    assert not is_fetched(tmp_path / "music-full")
