"""Ids that musicfp makes and the object keys made of them.

Ids are lower-case ULIDs: time-ordered, so that listing a bucket from a key onwards gives what is newer, and safe as
Dagster partition keys. A track's id is the id of the submission that brought it. Nothing of a client's file name
enters a key except an allow-listed extension.
"""

import re
from pathlib import PurePosixPath

from ulid import ULID

from musicfp.text import clean_line

ID_PATTERN = re.compile(r"[0-9a-hjkmnp-tv-z]{26}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
# A source may have the id of its submission behind the hash.
_SOURCE_KEY = re.compile(
    rf"sources/(?P<start>[0-9a-f]{{2}})/(?P<sha256>(?P=start)[0-9a-f]{{62}})(?:-{ID_PATTERN.pattern})?\.[a-z0-9]{{1,8}}"
)
_TRANSCODE_KEY = re.compile(
    rf"transcodes/(?P<track_id>{ID_PATTERN.pattern})/[a-z0-9_]+-[0-9a-f]{{16}}\.[a-z0-9]{{1,8}}"
)
SUBMISSION_PREFIX = "submissions/"
# Read to find out whether a store keeps objects; its content is its key. Never in the submission bucket.
PROBE_KEY = "probes/musicfp"
MAX_SUBMITTER_CHARACTERS = 64
INDEX_SEGMENT_PREFIX = "search-index/"


def new_id() -> str:
    """Return a new time-ordered id of 26 lower-case characters (ULID, Crockford base 32)."""
    return str(ULID()).lower()


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id made here."""
    return ID_PATTERN.fullmatch(text) is not None


def file_extension(filename: str) -> str | None:
    """Return the extension of a client's file name, lower-case and without the dot, if it is harmless; else None."""
    extension = PurePosixPath(filename.replace("\\", "/")).suffix.lower().lstrip(".")
    return extension if _EXTENSION.fullmatch(extension) else None


def submission_key(submission_id: str, filename: str) -> str:
    """Return the key in the submission bucket under which this submission is uploaded."""
    return f"{SUBMISSION_PREFIX}{submission_id}.{file_extension(filename) or 'bin'}"


def submission_id_of_key(key: str) -> str | None:
    """Return the submission id if `key` is one that `submission_key` makes, else None (some other tool's upload)."""
    if not key.startswith(SUBMISSION_PREFIX):
        return None
    stem = key.removeprefix(SUBMISSION_PREFIX).split(".", 1)[0]
    return stem if is_id(stem) else None


def submitter_of_key(key: str) -> str | None:
    """Return who dropped an object by the folder at the beginning of its key, None for one in no folder or in ours."""
    folder, slash, _ = key.partition("/")
    ours = SUBMISSION_PREFIX.rstrip("/")
    return clean_line(folder, max_characters=MAX_SUBMITTER_CHARACTERS) or None if slash and folder != ours else None


def source_key(source_sha256: str, extension: str) -> str:
    """Return the content-addressed key of an accepted file in the source bucket."""
    return f"sources/{source_sha256[:2]}/{source_sha256}.{extension}"


def renewed_source_key(source_sha256: str, extension: str, submission_id: str) -> str:
    """Return the key of an accepted file whose content was in the catalogue before and was deleted.

    Another key than the deleted one's, and no other submission's: whenever that is removed, this one stays.
    """
    return f"sources/{source_sha256[:2]}/{source_sha256}-{submission_id}.{extension}"


def transcode_key(track_id: str, profile: str, transcode_sha256: str, extension: str) -> str:
    """Return the content-addressed key of a transcode: a re-made transcode never overwrites one being served."""
    return f"{transcodes_prefix(track_id)}{profile}-{transcode_sha256[:16]}.{extension}"


def transcodes_prefix(track_id: str) -> str:
    """Return what the keys of all transcodes of a track begin with, those of earlier versions too."""
    return f"transcodes/{track_id}/"


def source_sha256_of_key(key: str) -> str | None:
    """Return the SHA-256 in a key that `source_key` makes, None for any other key."""
    found = _SOURCE_KEY.fullmatch(key)
    return found["sha256"] if found else None


def track_id_of_transcode_key(key: str) -> str | None:
    """Return the track's id in a key that `transcode_key` makes, None for any other key."""
    found = _TRANSCODE_KEY.fullmatch(key)
    return found["track_id"] if found else None


def index_segment_key(segment_sha256: str) -> str:
    """Return the content-addressed key of a file of the search index in the transcode bucket."""
    return f"{INDEX_SEGMENT_PREFIX}{segment_sha256}.segment"
