"""Where files of models are, which are there, and whether they are what they should be.

Here: looking, checking, and putting a file in its place. Not here: fetching one (`download`), running one (engines).
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from musicfp.errors import ModelDamaged
from musicfp.features.models.catalogue import MODELS
from musicfp.features.models.entry import ModelEntry
from musicfp.features.values import ModelMissing
from musicfp.settings import Settings

BUNDLED_FOLDER = Path(__file__).parent / "weights"
MISSING_TOKEN = "none"  # noqa: S105 (no secret)
_TOKEN_CHARACTERS = 8
_NAME_CHARACTERS = 12
_CHUNK_BYTES = 1 << 20


class ModelShelf:
    """The models of one machine: those of the package, and a folder with those that were installed.

    Parameters
    ----------
    folder
        Of installed models; need not exist.
    models
        What is known; tests have models of their own.

    """

    def __init__(self, folder: Path, *, models: Mapping[str, ModelEntry] = MODELS) -> None:
        self.folder = folder
        self.models = models

    @classmethod
    def of_settings(cls) -> "ModelShelf":
        """Return the shelf of MUSICFP_MODELS_DIR."""
        return cls(Settings.from_env().models_path)

    def path_of(self, entry: ModelEntry) -> Path:
        """Return where the file of a model belongs.

        The name of an installed one begins with its checksum: a model that changes in a later release is then missing,
        not wrong.
        """
        if entry.bundled:
            return BUNDLED_FOLDER / entry.file
        return self.folder / f"{entry.sha256[:_NAME_CHARACTERS]}-{entry.file}"

    def has(self, name: str) -> bool:
        """Whether the file of a model is there; it is not read."""
        return name in self.models and self.path_of(self.models[name]).is_file()

    def token(self, name: str) -> str:
        """Return what stands for a model in the version of a feature: the head of its checksum, or ``none``.

        Cheap enough for every tick of a sensor: nothing is hashed, since a file got its name after its checksum was
        compared.
        """
        return self.models[name].sha256[:_TOKEN_CHARACTERS] if self.has(name) else MISSING_TOKEN

    def require(self, name: str) -> tuple[ModelEntry, Path]:
        """Return a model and its file, which is compared with its checksum once in each process.

        Raises
        ------
        ModelMissing
            When it is not installed.
        ModelDamaged
            When the file is not the model.

        """
        if not self.has(name):
            raise ModelMissing(name)
        entry = self.models[name]
        path = self.path_of(entry)
        _check_once(path, entry.sha256)
        return entry, path

    def check(self, name: str) -> None:
        """Read the whole file of a model that is there; raises ModelDamaged when it is not the model."""
        entry = self.models[name]
        path = self.path_of(entry)
        if not path.is_file():
            raise ModelDamaged(f"The file of model {name}, {path}, is not there.")
        _check(path, entry.sha256)

    def put(self, entry: ModelEntry, content: Iterable[bytes]) -> Path:
        """Write a model's file, and give it its name only when all of it has the right checksum.

        Raises
        ------
        ModelDamaged
            When the content is something else. Nothing is kept of it.

        """
        path = self.path_of(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        n_bytes = 0
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".incoming-", delete=False) as incoming:
            unfinished = Path(incoming.name)
            try:
                for chunk in content:
                    n_bytes += len(chunk)
                    digest.update(chunk)
                    incoming.write(chunk)
                _compare(entry, found_sha256=digest.hexdigest(), n_bytes=n_bytes)
                incoming.flush()
                os.fsync(incoming.fileno())
                unfinished.chmod(0o644)
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
        _sync_folder(path.parent)
        return path


def _compare(entry: ModelEntry, *, found_sha256: str, n_bytes: int) -> None:
    if found_sha256 != entry.sha256:
        raise ModelDamaged(
            f"Checksum mismatch: {n_bytes} bytes came as {entry.file}, with SHA-256 {found_sha256} instead of "
            f"{entry.sha256}. Nothing was installed. Either the download was damaged, or somebody has changed the file "
            "at its source: then do not use it."
        )


def _check(path: Path, sha256: str) -> None:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            found.update(chunk)
    if found.hexdigest() != sha256:
        raise ModelDamaged(
            f"{path} has SHA-256 {found.hexdigest()} instead of {sha256}, so it is not used. Delete it and install the "
            "model again (`musicfp models install`), or, if it came with musicfp, install musicfp again."
        )


@lru_cache(maxsize=64)
def _check_once(path: Path, sha256: str) -> None:
    _check(path, sha256)


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
