"""One file of every format, made once for all audio tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.audio_samples import encode_case, music_samples, write_module, write_wav

SAMPLE_DURATION_S = 8.0
TAGS = {"title": "Étude", "artist": "Ada", "album": "First", "track": "3/9"}

Sample = Callable[[str], Path]


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """Return a function from a case of ENCODINGS, or "module", to its file of SAMPLE_DURATION_S."""
    folder = tmp_path_factory.mktemp("samples")
    source = write_wav(folder / "source.wav", music_samples(SAMPLE_DURATION_S))
    made: dict[str, Path] = {}

    def get(case: str) -> Path:
        if case not in made and case == "module":
            made[case] = write_module(folder / "module.mod")
        elif case not in made:
            made[case] = encode_case(case, source, folder, tags=TAGS)
        return made[case]

    return get


@pytest.fixture
def cut(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a function that copies the first half of a file."""

    def cut_in_half(path: Path) -> Path:
        target = tmp_path / f"cut{path.suffix}"
        target.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return target

    return cut_in_half
