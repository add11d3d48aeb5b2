"""A folder of synthetic music and what the evaluation makes of it, with a cache of its own."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from eval import music, pairs, queries, variants
from eval.music import Music, load_music
from tests.support.music import ffmpeg

_N_FILES = 8


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight files of a minute of noise in notes, one of them copied, one too short, one no audio at all."""
    made = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(1)
    for number in range(_N_FILES):
        notes = np.repeat(rng.uniform(0.0, 1.0, 240), 22050 // 4)
        samples = (rng.standard_normal(notes.size) * notes * 4000).astype("<i2")
        (made / "raw.pcm").write_bytes(samples.tobytes())
        ffmpeg("-f", "s16le", "-ar", "22050", "-ac", "1", "-i", str(made / "raw.pcm"), str(made / f"{number}.flac"))
    (made / "raw.pcm").unlink()
    (made / "copy.flac").write_bytes((made / "0.flac").read_bytes())
    ffmpeg("-i", str(made / "1.flac"), "-t", "5", str(made / "short.flac"))
    (made / "broken.flac").write_bytes(b"no audio")
    return made


@pytest.fixture(scope="session")
def loaded(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Music]:
    """The music of the folder, with a cache of its own."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for module in (music, queries, pairs, variants):
            patch.setattr(module, "CACHE", cache)
        yield load_music(folder)
