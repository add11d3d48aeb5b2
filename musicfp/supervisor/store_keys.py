"""The embedded store's secrets: made once, kept in one file that only its owner can read.

`musicfp.store.connection` reads the key pair from the same file. The signing keys close the store's internal ports,
which would otherwise serve every object without asking who wants it.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from musicfp.errors import SettingsError


@dataclass(frozen=True)
class StoreKeys:
    """S3 key pair and the four keys with which the store's components sign requests to each other."""

    access_key: str
    secret_key: str
    jwt_signing: str
    jwt_signing_read: str
    jwt_filer_signing: str
    jwt_filer_signing_read: str

    def __repr__(self) -> str:
        """Show no secret in logs and tracebacks."""
        return f"StoreKeys({self.access_key})"


def ensure_keys(path: Path) -> StoreKeys:
    """Read the keys; make those that are missing and write them with mode 0600."""
    stored = _read(path)
    fresh = {field.name: secrets.token_urlsafe(32) for field in fields(StoreKeys)}
    fresh["access_key"] = f"musicfp{secrets.token_hex(6)}"
    keys = StoreKeys(**{name: stored.get(name) or value for name, value in fresh.items()})
    if asdict(keys) != stored:
        _write(path, keys)
    elif path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return keys


def _read(path: Path) -> dict[str, str]:
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise SettingsError(f"{path} is not a credentials file ({error}). Delete it and start again.") from error
    if not isinstance(stored, dict):
        raise SettingsError(f"{path} is not a credentials file. Delete it and start again.")
    return {str(name): str(value) for name, value in stored.items()}


def _write(path: Path, keys: StoreKeys) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(keys), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
